"""The training lab, driven by fake epochs: runs of milliseconds, with every button, slider, thread and error."""

import asyncio
import contextlib
import functools
import gc
import html
import itertools
import signal
import threading
import time
import types

import pytest
import torch
from torch import nn

from course_utils import RNNModel, SeqDataLoader, fast, saved_runs, train, training
from course_utils.training import Epoch
from course_utils.widgets import runs, training_lab
from course_utils.widgets.training_lab import TrainingLab


class FakeEpochs:
    """In place of `training.epochs`: yields records without training and counts what is asked of it."""

    def __init__(self, endless=False, at=None, happens=None):
        self.endless, self.at, self.happens = endless, at, happens
        self.calls, self.advanced, self.closed = [], 0, 0

    def __call__(self, net, train_iter, vocab, lr, num_epochs, device, *, recipe, prefix):
        self.calls.append(types.SimpleNamespace(**{name: value for name, value in locals().items() if name != "self"}))
        return self.records(num_epochs)

    def records(self, num_epochs):
        try:
            for epoch in itertools.count(1) if self.endless else range(1, num_epochs + 1):
                self.advanced += 1
                if epoch == self.at:
                    self.happens()
                looked = (30 / epoch, f"sample <{epoch}>") if epoch % 10 in (0, 1) else ()
                yield Epoch(epoch, 20 / epoch, 1000.0, *looked)
        finally:
            self.closed += 1


class LongEpochs:
    """Epochs of very many forward passes without gradients, as in a large model's evaluation."""

    def __init__(self, passes=10**9, happens=None):
        self.passes, self.happens, self.done, self.closed = passes, happens, 0, 0

    @torch.no_grad()
    def __call__(self, net, train_iter, vocab, lr, num_epochs, device, *, recipe, prefix):
        for epoch in range(1, num_epochs + 1):
            try:
                for _ in range(self.passes):
                    net(torch.zeros(1, 1, dtype=torch.long), net.begin_state(torch.device("cpu"), 1))
                    self.done += 1
                    if self.happens and self.done == 10:
                        self.happens()
            finally:
                self.closed += 1
            yield Epoch(epoch, 10.0, 1000.0)


class QuietLab(TrainingLab):
    """The lab without matplotlib: it counts its pictures and remembers who drew them."""

    def __init__(self, epochs, **kwargs):
        self.drawn_by = []
        super().__init__(epochs=epochs, corpus="story", device=torch.device("cpu"), **kwargs)

    def draw(self):
        self.drawn_by.append(threading.get_ident())
        return types.SimpleNamespace(png=lambda dpi: b"a picture")


def scenario(test):
    """Run an `async def` test in a loop of its own; the limit only turns a hang into a failure."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def turns():
    for _ in range(50):
        await asyncio.sleep(0)


async def begin(lab, records=1):
    """Press Start and wait for so many records."""
    lab.start.click()
    await until(lambda: len(lab.history) >= records)


async def ran(lab):
    lab.start.click()
    return await lab.finished()


async def stopped(lab):
    lab.stop.click()
    return await lab.finished()


def broken():
    raise ZeroDivisionError("a student's <mistake>")


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def no_pause_for_the_page(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_FOR_THE_PAGE", 0)


@pytest.fixture
def short_slices(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_OF_A_SLICE", 0.001)


@pytest.fixture
def every_picture(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 0)
    monkeypatch.setattr(training_lab, "DRAWING_SHARE", float("inf"))


# The way of a run


@scenario
async def test_a_run_consumes_all_epochs_and_keeps_model_and_history():
    lab = QuietLab(fake := FakeEpochs())
    assert (lab.net, lab.history, lab.active) == (None, [], False)
    lab.start.click()
    assert lab.active
    run = await lab.finished()
    assert (run, run.state, lab.active) == (lab.runs[-1], "finished", False)
    assert [record.epoch for record in lab.history] == list(range(1, lab.num_epochs.value + 1))
    assert lab.net is fake.calls[0].net
    assert isinstance(lab.net, RNNModel)
    assert (len(fake.calls), fake.closed) == (1, 1)
    assert await ran(lab) is lab.runs[1] is not run


@pytest.mark.parametrize(("control", "values", "asked"), [
    ("num_steps", (10, 70), lambda call: call.train_iter.num_steps),
    ("num_hiddens", (16, 64), lambda call: call.net.num_hiddens),
    ("sampling", ("random", "sequential"), lambda call: call.train_iter.sampling),
    ("cell", ("GRU", "LSTM", "RNN"), lambda call: type(call.net.rnn).__name__),
    ("lr", (0.1, 3.0), lambda call: call.lr),
    ("recipe", ("one cycle", "book"), lambda call: {training.one_cycle: "one cycle"}.get(call.recipe, "book")),
    ("num_epochs", (20, 30), lambda call: call.num_epochs),
])  # fmt: skip
@scenario
async def test_each_control_reaches_the_run(control, values, asked):
    lab = QuietLab(fake := FakeEpochs())
    for value in values:
        lab.controls[control].value = value
        run = await ran(lab)
        torch.manual_seed(0)
        assert torch.equal(next(lab.net.parameters()), next(type(lab.net.rnn)(28, lab.net.num_hiddens).parameters()))
        assert asked(fake.calls[-1]) == run.settings[control] == value
        assert (f"{value:g}" if control == "lr" else str(value)) in lab.table.value


@scenario
async def test_a_recipe_of_the_readers_brings_the_rate_that_suits_it():
    def slow(net, lr, num_updates):
        return torch.optim.SGD(net.parameters(), lr)

    lab = QuietLab(fake := FakeEpochs(), recipes={"mine": (slow, 0.02), "one cycle": (training.one_cycle, 0.01)})
    assert (lab.recipe.value, lab.lr.value) == ("mine", 0.02)
    lab.recipe.value = "one cycle"
    assert lab.lr.value == 0.01
    lab.recipe.value, lab.lr.value = "mine", 0.3  # and may be turned on
    await ran(lab)
    assert (fake.calls[0].recipe, fake.calls[0].lr) == (slow, 0.3)
    assert "mine, lr 0.3" in str(lab.runs[0])


@scenario
async def test_the_students_own_class_and_text_are_used(tmp_path):
    class Edited(RNNModel):
        pass

    (tmp_path / "own.txt").write_text("abcd " * 2_000, encoding="utf-8")
    own = {"corpus": tmp_path / "own.txt", "batch_size": 7, "max_tokens": 4_000, "prefix": "abc", "device": "cpu"}
    await ran(TrainingLab(Edited, fake := FakeEpochs(), **own))
    (call,) = fake.calls
    assert type(call.net) is Edited
    assert (call.train_iter.batch_size, len(call.train_iter.corpus), len(call.vocab)) == (7, 4_000, 6)
    assert (call.device, call.prefix) == ("cpu", "abc")


@scenario
async def test_every_run_is_the_training_that_the_plain_function_does_with_the_labs_seed(monkeypatch):
    quick, known = [], fast.known
    monkeypatch.setattr(fast, "known", lambda *args: quick.append(known(*args)) or quick[-1])
    lab = TrainingLab(corpus="story", max_tokens=2_500, device=torch.device("cpu"), seed=3)
    lab.num_hiddens.value, lab.num_epochs.value = 16, 10
    first, second = [(await ran(lab)).net.linear.weight for _ in range(2)]
    assert any(quick)
    assert torch.equal(first, second)
    assert first is not second
    torch.manual_seed(3)
    net = RNNModel(nn.RNN(len(lab.vocab), 16), len(lab.vocab))
    train_iter = SeqDataLoader(lab.text.corpus, 32, 35, "sequential", lab.text.held_out)
    twin = train(net, train_iter, lab.vocab, 1, 10, torch.device("cpu"), plot=False, fast=False)
    for ours, theirs in zip(lab.history, twin, strict=True):
        assert ours.perplexity == pytest.approx(theirs.perplexity, rel=1e-3)
        assert (ours.sample is None) == (theirs.sample is None)
    assert lab.history[-1].held_out_perplexity == pytest.approx(twin[-1].held_out_perplexity, rel=1e-3)


# Buttons


@pytest.mark.parametrize("paused", [False, True])
@scenario
async def test_pause_resume_and_stop_also_in_a_pause_and_a_second_start_changes_nothing(paused):
    lab = QuietLab(fake := FakeEpochs())
    lab.pause.click()  # without a run nothing happens
    lab.stop.click()
    assert (lab.runs, lab.start.disabled, lab.pause.disabled, lab.stop.disabled) == ([], False, True, True)
    earlier, fake.endless = await ran(lab), True
    await begin(lab, 5)
    assert (lab.start.disabled, lab.pause.disabled, lab.stop.disabled) == (True, False, False)
    lab.start.click()
    lab.pause.click()
    assert lab.pause.description == "Resume"
    assert "Run 2 paused" in lab.status.value
    paused_at = len(lab.history)
    lab.start.click()
    await turns()
    assert (len(lab.history), lab.active) == (paused_at, True)
    lab.pause.click()
    assert lab.pause.description == "Pause"
    await until(lambda: len(lab.history) > paused_at + 5)
    if paused:
        lab.pause.click()
        await turns()
    run = await stopped(lab)
    stopped_at = fake.advanced
    await turns()
    assert (earlier.state, run.state, lab.net) == ("finished", "stopped", run.net)
    assert [record.epoch for record in lab.history] == list(range(1, stopped_at - len(earlier.history) + 1))
    assert (fake.advanced, len(fake.calls), fake.closed, len(lab.runs)) == (stopped_at, 2, 2, 2)
    assert (lab.start.disabled, lab.pause.disabled, lab.stop.disabled) == (False, True, True)


@pytest.mark.usefixtures("short_slices")
@scenario
async def test_a_stop_within_an_epoch_takes_effect_at_once_and_a_pause_at_its_end():
    lab = QuietLab(long := LongEpochs(passes=100))
    lab.start.click()
    await until(lambda: long.done)
    assert torch.is_grad_enabled()  # for whoever computes between two slices
    lab.pause.click()
    await until(lambda: lab.history)
    await turns()
    assert (len(lab.history), long.done, long.closed, lab.runs[-1].state) == (1, 100, 1, "paused")
    lab.pause.click()
    long.passes = 10**9
    await until(lambda: long.done > 100)
    run = await stopped(lab)
    done = long.done
    await turns()
    assert (run.state, len(lab.history), long.closed, long.done) == ("stopped", 1, 2, done)
    assert not run.net._forward_pre_hooks


@pytest.mark.usefixtures("short_slices")
@pytest.mark.parametrize(("happens", "state"), [(None, "stopped"), (interrupt, "interrupted"), (broken, "failed")])
@scenario
async def test_layers_are_quick_while_the_training_computes_and_never_in_between(monkeypatch, happens, state):
    entered, left = [], []

    @contextlib.contextmanager
    def fake():
        entered.append(asyncio.current_task())
        try:
            yield
        finally:
            left.append(asyncio.current_task())

    monkeypatch.setattr(training_lab, "quick_layers", fake)
    quick = []
    lab = QuietLab(long := LongEpochs(happens=happens))
    monkeypatch.setattr(RNNModel, "begin_state", lambda *args: quick.append(len(entered) - len(left)))
    monkeypatch.setattr(RNNModel, "forward", lambda *args: time.sleep(0.001))
    lab.start.click()
    await until(lambda: not lab.active if happens else len(entered) > 3)
    assert len(entered) == len(left)  # this test runs while the training waits
    lab.stop.click()
    with contextlib.suppress(ZeroDivisionError):
        await lab.finished()
    assert (lab.runs[0].state, long.closed) == (state, 1)
    assert set(quick) == {1}
    assert set(entered) == {lab.task}
    assert len(entered) == len(left) > 3


@scenario
async def test_update_shows_everything_anew_from_the_records():
    lab = QuietLab(FakeEpochs(endless=True))
    await begin(lab)
    lab.pause.click()
    await turns()
    parts = lab.picture, lab.status, lab.sample, lab.table
    shown = [part.value for part in parts]
    lab.picture.value, lab.status.value, lab.sample.value, lab.table.value = b"", "", "", ""
    lab.update()
    assert [part.value for part in parts] == shown
    lab.runs[0].history[:], lab.runs[0].seconds = [*[Epoch(1, 9.0, 1.0)] * 24, Epoch(1, 9.0, 1234.0)], 10.0
    lab.update()
    assert "Run 1 paused: epoch 25 of 100, 1,234 tokens/s, about 30 s left." in lab.status.value
    await stopped(lab)


@scenario
async def test_the_time_spent_is_that_of_the_epochs_without_pauses():
    lab = QuietLab(FakeEpochs(endless=True, at=3, happens=lambda: time.sleep(0.2)))
    await begin(lab, 5)
    lab.pause.click()
    await turns()
    spent = lab.runs[-1].seconds
    assert 0.2 <= spent < 60
    await asyncio.sleep(0.1)
    lab.pause.click()
    assert (await stopped(lab)).seconds == spent


@scenario
async def test_stop_and_start_in_one_breath_leave_one_run_at_work():
    lab = QuietLab(fake := FakeEpochs(endless=True))
    await begin(lab)
    lab.stop.click()
    stopped_at = len(lab.history)
    await begin(lab, 5)
    assert [run.state for run in lab.runs] == ["stopped", "training"]
    assert len(lab.runs[0].history) == stopped_at
    assert (len(fake.calls), fake.closed) == (2, 1)
    await stopped(lab)
    assert fake.closed == 2


@scenario
async def test_reset_stops_the_run_forgets_all_and_puts_the_controls_back():
    lab = QuietLab(fake := FakeEpochs(endless=True))
    before = {name: control.value for name, control in lab.controls.items()}
    lab.num_steps.value, lab.cell.value, lab.recipe.value, lab.lr.value = 70, "GRU", "one cycle", 0.1
    await begin(lab)
    lab.reset.click()
    await until(lambda: fake.closed)
    assert (lab.runs, lab.net, lab.history, lab.table.value, lab.active) == ([], None, [], "", False)
    assert {name: control.value for name, control in lab.controls.items()} == before


def test_without_a_loop_or_a_run_a_sentence_says_what_to_do_instead():
    lab = QuietLab(FakeEpochs())
    with pytest.raises(RuntimeError, match=r"course_utils\.train"):
        lab.do(lab._start)  # a button would only log the error outside IPython
    assert "RuntimeError" in lab.errors.value
    assert lab.runs == []
    with pytest.raises(RuntimeError, match="nothing was started"):
        asyncio.run(lab.finished())


@scenario
async def test_sliders_moved_during_training_take_effect_at_the_next_start_and_say_so():
    lab = QuietLab(fake := FakeEpochs(endless=True))
    await begin(lab)
    assert "next Start" not in lab.status.value
    lab.num_steps.value, lab.cell.value = 70, "LSTM"
    assert "At the next Start: num_steps 35 → 70, cell RNN → LSTM." in lab.status.value
    assert lab.runs[0].settings["num_steps"] == fake.calls[0].train_iter.num_steps == 35
    lab.num_steps.value = 35
    assert "num_steps" not in lab.status.value
    await stopped(lab)
    await begin(lab)
    assert "next Start" not in lab.status.value
    assert (lab.runs[1].settings["cell"], type(fake.calls[1].net.rnn)) == ("LSTM", nn.LSTM)
    await stopped(lab)


# What the page shows


@scenario
async def test_pictures_are_drawn_at_the_ends_and_in_a_pause_and_not_for_a_slider(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 3600)
    lab = QuietLab(FakeEpochs(endless=True))
    for value in range(5, 100, 5):
        lab.num_steps.value = value
    assert len(lab.drawn_by) == 1  # when the lab was opened
    await begin(lab, 5)
    assert len(lab.drawn_by) == 2
    lab.pause.click()
    await turns()
    assert len(lab.drawn_by) == 3
    await stopped(lab)
    assert len(lab.drawn_by) == 4


@pytest.mark.usefixtures("every_picture")
@scenario
async def test_a_picture_that_is_due_is_drawn_after_its_epoch():
    lab = QuietLab(FakeEpochs())
    await ran(lab)
    assert len(lab.drawn_by) == 1 + 2 + lab.num_epochs.value


@scenario
async def test_moves_from_a_thread_write_one_line_and_updates_draw_one_picture(monkeypatch):
    lab, tables, lines = QuietLab(FakeEpochs()), [], []
    monkeypatch.setattr(training_lab, "table", tables.append)
    monkeypatch.setattr(lab, "_say", lambda: lines.append(lab.num_hiddens.value) or vars(lab).update(_line_waits=False))
    moves = [16 + 16 * (call % 30) for call in range(100)]
    drawn = len(lab.drawn_by)

    async def after(act):
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()  # the loop is busy meanwhile, as with a long cell
        waited = len(lab.drawn_by) == drawn
        await turns()
        return waited

    assert await after(lambda: [setattr(lab.num_hiddens, "value", move) for move in moves])
    assert (tables, lines, len(lab.drawn_by)) == ([], [moves[-1]], drawn)
    assert await after(lambda: [lab.update() for _ in range(100)])
    assert len(lab.drawn_by) == drawn + 1


@pytest.mark.parametrize(("seconds", "wait"), [(1.0, 5.0), (0.01, 0.25)])
def test_drawing_takes_no_more_than_its_share_of_the_time(monkeypatch, seconds, wait):
    lab = QuietLab(FakeEpochs())
    now = iter([100.0, 100.0 + seconds])
    monkeypatch.setattr(training_lab.time, "perf_counter", lambda: next(now))
    lab._redraw()
    assert lab._next_picture == pytest.approx(100.0 + seconds + wait)


def test_the_lab_opens_with_the_book_s_settings():
    lab = QuietLab(FakeEpochs())
    sliders = [(each.value, each.min, each.max, each.step) for each in (lab.num_steps, lab.num_hiddens, lab.num_epochs)]
    assert sliders == [(35, 5, 140, 5), (256, 16, 512, 16), (100, 10, 500, 10)]
    assert (lab.sampling.value, lab.cell.value, lab.recipe.value, lab.lr.value) == ("sequential", "RNN", "book", 1.0)
    assert lab.lr.options == (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    assert {name: rate for name, (_, rate) in lab.recipes.items()} == {"book": 1.0, "one cycle": 0.01}


@pytest.mark.parametrize(("error", "lines"), [("x" * 34 + " " + "y" * 35, 1), ("x" * 35 + " " + "y" * 35, 2)])
def test_an_error_in_the_picture_is_no_wider_than_the_picture(error, lines):
    lab = QuietLab(FakeEpochs())
    lab._curves = types.SimpleNamespace(draw=lambda *words: words)
    lab.runs = [runs.Run(1, lab._settings(), None, error=error)]
    assert len(TrainingLab.draw(lab)[-1].splitlines()) == lines


@scenario
async def test_the_number_of_threads_follows_the_speed_of_the_lab_s_epochs(monkeypatch):
    devices, seen = [], []
    watch = types.SimpleNamespace(see=seen.append)
    monkeypatch.setattr(training_lab, "ThreadWatch", lambda device: devices.append(device) or watch)
    lab = QuietLab(FakeEpochs())
    await ran(lab)
    assert devices == [lab.device]
    assert seen == [1000.0] * lab.num_epochs.value


def test_samples_are_escaped_and_the_newest_comes_first():
    records = [Epoch(number, 9.0, 1.0, 8.0, f"<{number}>" if number % 2 else None) for number in range(12)]
    lines = runs.samples(records).splitlines()
    assert [line.partition("&lt;")[2].partition("&gt;")[0] for line in lines] == ["11", "9", "7", "5"]
    assert runs.samples([]) == ""


def test_the_table_has_a_row_for_every_run_with_its_lowest_held_out_perplexity():
    history = [Epoch(1, 9.0, 1.0, 8.0, "x"), Epoch(2, 8.0, 9.0, 6.5, "y"), Epoch(3, 7.0, 3.0, 7.5, "z")]
    diverging = [Epoch(1, 22113450721280.0, 1.0, float("inf"), "x")]
    table = runs.table([
        runs.Run(1, {"lr": 3.0, "num_epochs": 10}, None, history, state="stopped"),
        runs.Run(2, {"lr": 3.0, "num_epochs": 10}, None, diverging, state="failed"),
        runs.Run(3, {"lr": 3.0, "num_epochs": 10}, None),
    ])  # fmt: skip
    assert table.count("<tr>") == 4
    assert table.count("<th>") * 3 == table.count("<td>")
    for words in ("<td>7.0</td><td>6.5 (epoch 2)</td><td>7.5</td><td>3</td>", "<td>3 of 10, stopped</td>",
                  "<td>2e+13</td><td>inf (epoch 1)</td><td>inf</td>", "<td>0 of 10, training</td>"):  # fmt: skip
        assert words in table
    assert "<th>last held-out</th>" in runs.table([runs.Run(1, {"lr": 3.0, "num_epochs": 10}, None)])
    assert [runs._short(perplexity) for perplexity in (9_999, 10_000)] == ["9999.0", "1e+04"]
    assert runs.Run(1, {}, None) != runs.Run(1, {}, None), "two runs are two, also with equal settings"


@scenario
async def test_earlier_runs_stay_in_the_picture_as_ghosts():
    lab = TrainingLab(epochs=FakeEpochs(), corpus="story", device="cpu")
    labels = []
    for _ in range(training_lab.NUM_GHOSTS + 2):
        await ran(lab)
        labels.append(sorted(each.get_text() for each in lab._curves.ghosts if hasattr(each, "get_text")))
    assert labels[:3] == [[], ["run 1"], ["run 1", "run 2"]]
    assert labels[-1] == [f"run {number}" for number in range(2, training_lab.NUM_GHOSTS + 2)]
    assert lab._curves.axes.get_title(loc="left").startswith("run 6: RNN, 35 steps, 256 units")
    lines = len(lab._curves.axes.lines)
    lab.update()
    assert len(lab._curves.axes.lines) == lines  # redrawing replaces the ghosts


# Errors and interrupts


@scenario
async def test_an_error_in_the_training_is_shown_logged_and_raised(caplog):
    lab = TrainingLab(epochs=(fake := FakeEpochs(at=3, happens=broken)), corpus="story", device="cpu")
    assert lab._curves.hint.get_text() == "press Start: the curves grow here"
    lab.start.click()
    for _ in range(2):  # again, for whoever asks again
        with pytest.raises(ZeroDivisionError):
            await lab.finished()
    assert (lab.runs[0].state, len(lab.history), lab.active) == ("failed", 2, False)
    lab.update()
    assert "ZeroDivisionError: a student&#x27;s &lt;mistake&gt;" in lab.errors.value
    assert "<details>" in lab.errors.value
    for shown in (html.unescape(lab.status.value), lab._curves.hint.get_text().replace("\n", " ")):
        assert "ZeroDivisionError: a student's <mistake> (line" in shown
        assert 'of broken: raise ZeroDivisionError("a student\'s <mistake>"))' in shown
    fake.at = None
    assert (await ran(lab)).state == "finished"
    assert (lab._curves.hint.get_text(), lab.errors.value) == ("", "")
    (report,) = [record for record in caplog.records if record.name == "asyncio"]
    assert f"Task exception in {type(lab).__name__}" in report.message
    assert report.exc_info[0] is ZeroDivisionError


def old_loop(net, train_iter, vocab, lr, num_epochs, device):
    yield Epoch(1, 1.0, 1.0)


@pytest.mark.parametrize(("epochs", "words"), [(old_loop, "unexpected keyword"), (lambda *_, **__: [], "iterator")])
@scenario
async def test_a_loop_that_cannot_be_asked_fails_where_the_reader_sees_it(epochs, words):
    lab = QuietLab(epochs)
    with pytest.raises(TypeError, match=words):
        await ran(lab)
    assert (lab.runs[0].state, lab.active) == ("failed", False)
    assert words in lab.errors.value


def test_an_error_that_nobody_awaits_is_reported_once(caplog):
    @scenario
    async def run():
        lab = QuietLab(fake := FakeEpochs(at=1, happens=broken))
        lab.start.click()
        await until(lambda: not lab.active)
        await turns()
        fake.at = None
        await ran(lab)  # asyncio would report the first run now, as its task is dropped

    run()
    gc.collect()
    reports = [record for record in caplog.records if record.name == "asyncio"]
    assert [report.exc_info[0] for report in reports] == [ZeroDivisionError]


@contextlib.contextmanager
def as_between_two_cells():
    """The kernel ignores interrupts while no cell runs; a training in the background must not."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("every_picture")
@pytest.mark.parametrize(("happens", "state"), [(broken, "failed"), (interrupt, "interrupted")])
@scenario
async def test_what_happens_while_drawing_ends_the_run(happens, state):
    class Clumsy(QuietLab):
        def draw(self):
            if len(self.runs) == 2 and len(self.history) == 4 and self.active:
                happens()
            return super().draw()

    lab = Clumsy(fake := FakeEpochs())
    await ran(lab)
    fake.advanced, fake.endless = 0, True
    with as_between_two_cells():
        lab.start.click()
        with pytest.raises(ZeroDivisionError) if happens is broken else contextlib.nullcontext():
            await lab.finished()
    assert [run.state for run in lab.runs] == ["finished", state]
    assert (len(lab.history), fake.advanced) == (4, 4)
    assert ("ZeroDivisionError" in lab.errors.value) == (happens is broken)


@scenario
async def test_a_run_that_diverges_says_so_and_keeps_its_last_good_weights():
    def loop(net, *args, **kwargs):
        for epoch, perplexity in ((1, 20.0), (2, 1e9)):
            torch.nn.init.constant_(net.linear.bias, epoch)
            yield Epoch(epoch, perplexity, 1.0)
        blown_up and training.check_finite(float("nan"), 3, 1)

    for blown_up in (False, True):
        lab = QuietLab(loop)
        with pytest.raises(FloatingPointError) if blown_up else contextlib.nullcontext():
            await ran(lab)
        assert set(lab.net.linear.bias.tolist()) == {1.0 if blown_up else 2.0}
        assert ("perplexity is nan after epoch 3" if blown_up else "diverged: from epoch 2") in lab.status.value


@scenario
async def test_a_text_too_short_for_the_controls_is_refused_and_disturbs_nobody(tmp_path, caplog):
    (tmp_path / "short.txt").write_text("abcd " * 400)
    other = QuietLab(FakeEpochs(endless=True))
    short = TrainingLab(epochs=FakeEpochs(), corpus=tmp_path / "short.txt", batch_size=16, device="cpu", prefix="a")
    short.num_steps.value = 140
    await begin(other)
    short.start.click()
    assert "num_steps=140" in short.errors.value
    assert "Traceback" not in short.errors.value
    assert (short.runs, other.active, caplog.text) == ([], True, "")
    await stopped(other)
    short.num_steps.value = 35
    assert (await ran(short)).state == "finished"
    assert short.errors.value == ""


@scenario
async def test_what_model_and_loop_print_is_shown_with_their_run():
    class Talking(RNNModel):
        def __init__(self, *args):
            super().__init__(*args)
            print("built")

    lab = QuietLab(fake := FakeEpochs(at=3, happens=lambda: print("third <epoch>")), model=Talking)
    await ran(lab)
    assert "built\nthird &lt;epoch&gt;\n" in lab.printed.value
    fake.at = None
    await ran(lab)
    assert "third" not in lab.printed.value


@scenario
async def test_an_interrupt_ends_the_run_and_keeps_what_was_learnt():
    lab = QuietLab(fake := FakeEpochs(endless=True, at=4, happens=interrupt))
    with as_between_two_cells():
        run = await ran(lab)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert (run.state, len(run.history), fake.closed) == ("interrupted", 3, 1)
    assert run.net is not None
    assert "Run 1 interrupted: epoch 3 of 100." in lab.status.value
    assert lab.errors.value == ""


@scenario
async def test_cancelling_the_wait_stops_the_run():
    lab = QuietLab(fake := FakeEpochs(endless=True))
    lab.start.click()
    waiting = asyncio.create_task(lab.finished())  # as an interrupted cell does
    await until(lambda: lab.history)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: fake.closed)
    assert lab.runs[0].state == "stopped"


# Other labs and other threads


@pytest.mark.parametrize("paused", [False, True])
@scenario
async def test_a_newer_lab_ends_the_run_of_the_one_before(paused):
    old = QuietLab(fake := FakeEpochs(endless=True))
    await begin(old)
    if paused:
        old.pause.click()
    new = QuietLab(FakeEpochs(endless=True))
    await until(lambda: fake.closed)
    assert old.runs[0].state == "stopped"
    await begin(new)
    await begin(old)  # whoever starts last, trains
    assert (old.active, new.active) == (True, False)
    await stopped(old)


@pytest.mark.usefixtures("every_picture")
@scenario
async def test_threads_hammering_the_lab_leave_one_owner_and_one_history():
    over, calls = threading.Event(), [0, 0, 0, 0]
    lab = QuietLab(fake := FakeEpochs(endless=True))

    def hammer(number, act):
        while not over.is_set():
            act(calls[number])
            calls[number] += 1
            time.sleep(0)

    acts = (lambda _: lab.update(), lambda call: setattr(lab.num_steps, "value", 5 + 5 * (call % 28)),
            lambda _: lab.start.click(), lambda _: (lab.pause.click(), lab.pause.click()))  # fmt: skip
    lab.start.click()
    hammering = asyncio.gather(*(asyncio.to_thread(hammer, *pair) for pair in enumerate(acts)))
    await until(lambda: len(lab.history) >= 200 and min(calls) >= 100)
    over.set()
    await hammering
    await turns()
    await asyncio.to_thread(lab.stop.click)
    run = await lab.finished()
    assert set(lab.drawn_by) == {threading.get_ident()}
    assert [record.epoch for record in run.history] == list(range(1, fake.advanced + 1))
    assert (len(fake.calls), fake.closed, len(lab.runs)) == (1, 1, 1)
    assert run.settings["num_steps"] == fake.calls[0].train_iter.num_steps == 35


@pytest.mark.parametrize("in_another_thread", [False, True])
@scenario
async def test_a_model_that_cannot_be_built_is_shown_and_starts_nothing(caplog, in_another_thread):
    lab = QuietLab(fake := FakeEpochs(), model=lambda *_: broken())
    await asyncio.to_thread(lab.start.click) if in_another_thread else lab.start.click()
    await until(lambda: lab.errors.value)
    assert "ZeroDivisionError" in lab.errors.value
    assert (lab.runs, fake.calls, lab.start.disabled) == ([], [], False)
    assert "ZeroDivisionError" in caplog.text  # in a notebook, ipywidgets shows the error of a click in the cell


# Runs in files


@scenario
async def test_runs_are_kept_and_shown_again_by_a_lab_opened_later(tmp_path, monkeypatch):
    lab = QuietLab(fake := FakeEpochs(endless=True, at=4, happens=broken), folder=tmp_path / "mine")
    lab.cell.value, lab.num_hiddens.value = "LSTM", 16
    with pytest.raises(ZeroDivisionError):
        await ran(lab)
    fake.at, lab.cell.value = None, "GRU"
    await begin(lab, 11)
    lab.save.click()  # the run that is going on is not kept yet
    await stopped(lab)
    assert len(list(lab._folder.iterdir())) == 1
    for _ in range(2):
        lab.save.click()
    assert len(list(lab._folder.iterdir())) == 2
    assert "run 1, run 2" in lab.status.value
    random_numbers = torch.get_rng_state()
    again = QuietLab(FakeEpochs(), folder=tmp_path / "mine")
    assert torch.equal(torch.get_rng_state(), random_numbers)
    for name in ("number", "settings", "history", "state", "seconds", "file"):
        assert [getattr(run, name) for run in again.runs] == [getattr(run, name) for run in lab.runs]
    assert (again.table.value, again.sample.value) == (lab.table.value, lab.sample.value)
    for new, old in zip(again.net.parameters(), lab.net.parameters(), strict=True):
        assert torch.equal(new, old)
    again.reset.click()
    await ran(again)
    again.save.click()
    assert len(list(lab._folder.iterdir())) == 3  # whatever was kept stays


@scenario
async def test_files_of_other_texts_and_faults_are_one_sentence_in_the_lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab = QuietLab(FakeEpochs())
    lab.save.click()
    assert "no run yet" in lab.status.value
    assert not list(tmp_path.iterdir())
    await ran(lab)
    monkeypatch.setattr(saved_runs, "write_atomically", full_disk)
    lab.save.click()
    assert "Not saved in runs: No space left on device." in lab.status.value
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    lab.save.click()
    (tmp_path / "runs" / "run-000.safetensors").write_text("a diary")
    other = QuietLab(FakeEpochs(), max_tokens=9_000, folder="runs")
    assert other.runs == []
    assert "run-000.safetensors cannot be read as a run" in other.status.value
    assert "run-001.safetensors does not fit: training text is 10,000 tokens" in other.status.value


@scenario
async def test_a_folder_is_found_at_home_and_one_that_cannot_be_is_refused_before_a_lab_is_there(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "a diary").write_text("mine")
    for folder in (tmp_path / "a diary", "a\0b", 5):
        with pytest.raises(ValueError, match=r"^folder is [^\n]*the path of a folder"):
            QuietLab(FakeEpochs(), folder=folder)
    lab = QuietLab(FakeEpochs(), folder="~/runs")
    await ran(lab)
    lab.save.click()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run-001.safetensors"]


def full_disk(*args):
    raise OSError(28, "No space left on device")
