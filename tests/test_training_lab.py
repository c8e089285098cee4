"""The training lab, driven by fake epochs: runs of milliseconds, with every button, slider, thread and error."""

import asyncio
import contextlib
import gc
import signal
import threading
import time

import pytest
import torch
from torch import nn

from course_utils import RNNModel, SeqDataLoader, plots, train, training
from course_utils.training import Epoch
from course_utils.widgets.training_lab import TrainingLab, runs
from course_utils.widgets.training_lab import lab as training_lab


class FakePicture:
    def png(self, dpi):
        return b"a picture"


class FakeEpochs:
    """In place of `training.epochs`: yields records without training and counts what is asked of it."""

    def __init__(self, endless=False, at=None, happens=None):
        self.endless, self.at, self.happens = endless, at, happens
        self.calls, self.advanced, self.closed = [], 0, 0

    def __call__(self, net, train_iter, vocab, lr, num_epochs, device, prefix, recipe):
        self.calls.append((net, train_iter, vocab, lr, num_epochs, device, prefix, recipe))
        return self.records(num_epochs)

    def records(self, num_epochs):
        try:
            epoch = 0
            while self.endless or epoch < num_epochs:
                epoch += 1
                self.advanced += 1
                if epoch == self.at:
                    self.happens()
                looked = (30 / epoch, f"sample <{epoch}>") if epoch % 10 in (0, 1) else ()
                yield Epoch(epoch, 20 / epoch, 1000.0, *looked)
        finally:
            self.closed += 1


class QuietLab(TrainingLab):
    """The lab without matplotlib: it counts its pictures and remembers who drew them."""

    def __init__(self, epochs, **kwargs):
        self.drawn_by = []
        super().__init__(epochs=epochs, corpus="story", device=torch.device("cpu"), **kwargs)

    def draw(self):
        self.drawn_by.append(threading.get_ident())
        return FakePicture()


def go(scenario):
    """Run a scenario; the limit only turns a hang into a failure."""
    return asyncio.run(asyncio.wait_for(scenario, 60))


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def turns(count=50):
    for _ in range(count):
        await asyncio.sleep(training_lab.SECONDS_FOR_THE_PAGE / 10)


@pytest.fixture(autouse=True)
def no_pause_for_the_page(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_FOR_THE_PAGE", 0)


def broken():
    raise ZeroDivisionError("a student's <mistake>")


# The way of a run


def test_a_run_consumes_all_epochs_and_keeps_model_and_history():
    async def scenario():
        fake = FakeEpochs()
        lab = QuietLab(fake)
        assert lab.net is None
        assert lab.history == []
        assert not lab.active
        lab.start.click()
        assert lab.active
        run = await lab.finished()
        assert run is lab.runs[-1]
        assert run.state == "finished"
        assert [record.epoch for record in lab.history] == list(range(1, lab.num_epochs.value + 1))
        assert lab.net is fake.calls[0][0]
        assert isinstance(lab.net, RNNModel)
        assert (len(fake.calls), fake.closed) == (1, 1)
        assert not lab.active

    go(scenario())


@pytest.mark.parametrize(
    ("control", "value", "asked"),
    [
        ("num_steps", 10, lambda call: call[1].num_steps),
        ("num_steps", 70, lambda call: call[1].num_steps),
        ("num_hiddens", 16, lambda call: call[0].num_hiddens),
        ("num_hiddens", 64, lambda call: call[0].num_hiddens),
        ("sampling", "random", lambda call: call[1].sampling),
        ("sampling", "sequential", lambda call: call[1].sampling),
        ("cell", "GRU", lambda call: type(call[0].rnn).__name__),
        ("cell", "LSTM", lambda call: type(call[0].rnn).__name__),
        ("lr", 0.1, lambda call: call[3]),
        ("lr", 3.0, lambda call: call[3]),
        ("recipe", "one cycle", lambda call: {training.one_cycle: "one cycle"}[call[7]]),
        ("recipe", "book", lambda call: {training.sgd: "book"}[call[7]]),
        ("num_epochs", 20, lambda call: call[4]),
        ("num_epochs", 30, lambda call: call[4]),
    ],
)
def test_each_control_reaches_the_run(control, value, asked):
    async def scenario():
        fake = FakeEpochs()
        lab = QuietLab(fake)
        lab.controls[control].value = value
        lab.start.click()
        run = await lab.finished()
        assert asked(fake.calls[0]) == value
        assert run.settings[control] == value
        assert (f"{value:g}" if control == "lr" else str(value)) in lab.table.value

    go(scenario())


def test_another_recipe_brings_a_rate_that_suits_it():
    async def scenario():
        fake = FakeEpochs()
        lab = QuietLab(fake)
        lab.recipe.value = "one cycle"
        assert lab.lr.value == 0.01
        lab.lr.value = 0.003  # and may be turned on
        lab.start.click()
        await lab.finished()
        assert fake.calls[0][3] == 0.003
        assert "one cycle" in str(lab.runs[0])
        lab.recipe.value = "book"
        assert lab.lr.value == 1.0

    go(scenario())


def test_the_students_own_class_and_text_are_used(tmp_path):
    class Edited(RNNModel):
        pass

    async def scenario():
        text = tmp_path / "own.txt"
        text.write_text("abcd " * 2_000, encoding="utf-8")
        fake = FakeEpochs()
        lab = TrainingLab(Edited, fake, corpus=text, batch_size=7, max_tokens=4_000, prefix="abc", device="cpu")
        lab.start.click()
        await lab.finished()
        net, train_iter, vocab, _, _, device, prefix, _ = fake.calls[0]
        assert type(net) is Edited
        assert (train_iter.batch_size, len(train_iter.corpus), len(vocab)) == (7, 4_000, 6)
        assert (device, prefix) == ("cpu", "abc")

    go(scenario())


def test_a_run_is_the_training_that_the_plain_function_does():
    async def scenario():
        lab = TrainingLab(corpus="story", max_tokens=2_500, device=torch.device("cpu"), seed=3)
        lab.num_hiddens.value, lab.num_epochs.value = 16, 10
        lab.start.click()
        await lab.finished()
        torch.manual_seed(3)
        net = RNNModel(nn.RNN(len(lab.vocab), 16), len(lab.vocab))
        train_iter = SeqDataLoader(lab.text.corpus, 32, 35, "sequential", lab.text.held_out)
        twin = train(net, train_iter, lab.vocab, 1, 10, torch.device("cpu"), plot=False)
        for ours, theirs in zip(lab.history, twin, strict=True):
            assert ours.perplexity == pytest.approx(theirs.perplexity, rel=1e-3)
            assert (ours.sample is None) == (theirs.sample is None)
        assert lab.history[-1].held_out_perplexity == pytest.approx(twin[-1].held_out_perplexity, rel=1e-3)

    go(scenario())


def test_every_run_starts_from_the_same_seed():
    async def scenario():
        lab = QuietLab(FakeEpochs())
        weights = []
        for _ in range(2):
            lab.start.click()
            await lab.finished()
            weights.append(lab.net.linear.weight)
        assert torch.equal(*weights)
        assert weights[0] is not weights[1]

    go(scenario())


# Buttons


def test_pause_resume_and_stop():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        await until(lambda: len(lab.history) > 5)
        lab.pause.click()
        assert lab.pause.description == "Resume"
        paused_at = len(lab.history)
        await turns()
        assert len(lab.history) == paused_at
        assert lab.active
        lab.pause.click()
        assert lab.pause.description == "Pause"
        await until(lambda: len(lab.history) > paused_at + 5)
        lab.stop.click()
        run = await lab.finished()
        stopped_at = fake.advanced
        await turns()
        assert run.state == "stopped"
        assert fake.advanced == stopped_at == len(lab.history)
        assert [record.epoch for record in lab.history] == list(range(1, stopped_at + 1))
        assert (len(fake.calls), fake.closed) == (1, 1)

    go(scenario())


def test_a_paused_run_can_be_stopped():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        await until(lambda: lab.history)
        lab.pause.click()
        await turns()
        lab.stop.click()
        assert (await lab.finished()).state == "stopped"
        assert fake.closed == 1

    go(scenario())


class LongEpochs:
    """Epochs of very many forward passes without gradients, as in a large model's evaluation."""

    def __init__(self, passes=10**9):
        self.passes, self.done, self.closed = passes, 0, 0

    @torch.no_grad()
    def __call__(self, net, train_iter, vocab, lr, num_epochs, device, prefix, recipe):
        for epoch in range(1, num_epochs + 1):
            yield self.train(net, epoch)

    def train(self, net, epoch):
        try:
            for _ in range(self.passes):
                net(torch.zeros(1, 1, dtype=torch.long), net.begin_state(torch.device("cpu"), 1))
                self.done += 1
        finally:
            self.closed += 1
        return Epoch(epoch, 10.0, 1000.0)


@pytest.fixture
def short_slices(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_OF_A_SLICE", 0.001)


@pytest.mark.usefixtures("short_slices")
def test_a_stop_within_an_epoch_takes_effect_at_once():
    async def scenario():
        long = LongEpochs()
        lab = QuietLab(long)
        lab.start.click()
        await until(lambda: long.done)
        assert torch.is_grad_enabled()  # for whoever computes between two slices
        lab.num_hiddens.value = 64
        assert "num_hiddens 256 → 64" in lab.status.value
        lab.stop.click()
        run = await lab.finished()
        done = long.done
        await turns()
        assert (run.state, lab.history, long.closed, long.done) == ("stopped", [], 1, done)
        assert not run.net._forward_pre_hooks

    go(scenario())


@pytest.mark.usefixtures("short_slices")
def test_a_pause_within_an_epoch_takes_effect_at_its_end():
    async def scenario():
        long = LongEpochs(passes=100)
        lab = QuietLab(long)
        lab.start.click()
        await until(lambda: long.done)
        lab.pause.click()
        await until(lambda: lab.history)
        await turns()
        assert (len(lab.history), long.done, lab.runs[-1].state) == (1, 100, "paused")
        lab.stop.click()
        assert (await lab.finished()).state == "stopped"

    go(scenario())


@pytest.mark.usefixtures("short_slices")
def test_an_interrupt_within_a_long_epoch_ends_the_run():
    async def scenario():
        long = LongEpochs()
        lab = QuietLab(long)
        lab.start.click()
        await until(lambda: long.done > 10)
        lab.net.register_forward_pre_hook(lambda *_: signal.raise_signal(signal.SIGINT))
        assert (await lab.finished()).state == "interrupted"
        assert long.closed == 1

    go(scenario())


def test_the_time_spent_is_that_of_the_epochs():
    async def scenario():
        lab = QuietLab(FakeEpochs(at=3, happens=lambda: time.sleep(0.2)))
        lab.start.click()
        run = await lab.finished()
        assert 0.2 <= run.seconds < 60

    go(scenario())


def test_pauses_count_neither_as_time_spent_nor_as_time_left():
    async def scenario():
        lab = QuietLab(FakeEpochs(endless=True))
        lab.start.click()
        await until(lambda: len(lab.history) > 5)
        lab.pause.click()
        await turns()
        spent = lab.runs[-1].seconds
        await asyncio.sleep(0.1)
        lab.pause.click()
        lab.stop.click()
        run = await lab.finished()
        assert run.seconds == spent

    go(scenario())


@pytest.mark.parametrize("paused", [False, True])
def test_a_second_start_changes_nothing(paused):
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        lab.start.click()
        await until(lambda: lab.history)
        if paused:
            lab.pause.click()
        lab.start.click()
        await turns()
        lab.stop.click()
        await lab.finished()
        assert (len(fake.calls), fake.closed, len(lab.runs)) == (1, 1, 1)

    go(scenario())


def test_pause_and_stop_without_a_run_change_nothing():
    lab = QuietLab(FakeEpochs())
    lab.pause.click()
    lab.stop.click()
    assert lab.runs == []
    assert lab.pause.disabled
    assert lab.stop.disabled
    assert not lab.start.disabled


def test_stop_and_start_in_one_breath_leave_one_run_at_work():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        await until(lambda: lab.history)
        lab.stop.click()
        lab.start.click()
        stopped_at = len(lab.runs[0].history)
        await until(lambda: len(lab.history) > 5)
        assert [run.state for run in lab.runs] == ["stopped", "training"]
        assert len(lab.runs[0].history) == stopped_at
        assert (len(fake.calls), fake.closed) == (2, 1)
        lab.stop.click()
        await lab.finished()
        assert fake.closed == 2

    go(scenario())


def test_reset_stops_the_run_forgets_all_and_puts_the_controls_back():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        before = {name: control.value for name, control in lab.controls.items()}
        lab.num_steps.value, lab.cell.value, lab.lr.value = 70, "GRU", 0.1
        lab.start.click()
        await until(lambda: lab.history)
        lab.reset.click()
        await until(lambda: fake.closed)
        assert (lab.runs, lab.net, lab.history, lab.table.value) == ([], None, [], "")
        assert {name: control.value for name, control in lab.controls.items()} == before
        assert not lab.active

    go(scenario())


def test_buttons_offer_only_what_is_possible():
    async def scenario():
        lab = QuietLab(FakeEpochs(endless=True))
        lab.start.click()
        assert (lab.start.disabled, lab.pause.disabled, lab.stop.disabled) == (True, False, False)
        lab.stop.click()
        await lab.finished()
        assert (lab.start.disabled, lab.pause.disabled, lab.stop.disabled) == (False, True, True)

    go(scenario())


def test_without_a_loop_start_says_what_to_do_instead():
    lab = QuietLab(FakeEpochs())
    with pytest.raises(RuntimeError, match=r"course_utils\.train"):
        lab._do(lab._start)  # a button would only log the error outside IPython
    assert "RuntimeError" in lab.errors.value
    assert lab.runs == []


def test_finished_without_a_run_says_so():
    with pytest.raises(RuntimeError, match="no run was started"):
        go(QuietLab(FakeEpochs()).finished())


# Sliders


def test_sliders_moved_during_training_take_effect_at_the_next_start_and_say_so():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        await until(lambda: lab.history)
        assert "next Start" not in lab.status.value
        lab.num_steps.value = 70
        lab.cell.value = "LSTM"
        assert "At the next Start: num_steps 35 → 70, cell RNN → LSTM." in lab.status.value
        assert lab.runs[0].settings["num_steps"] == fake.calls[0][1].num_steps == 35
        lab.num_steps.value = 35
        assert "num_steps" not in lab.status.value
        lab.stop.click()
        await lab.finished()
        lab.start.click()
        await until(lambda: lab.history)
        assert "next Start" not in lab.status.value
        assert (lab.runs[1].settings["cell"], type(fake.calls[1][0].rnn)) == ("LSTM", nn.LSTM)
        lab.stop.click()
        await lab.finished()

    go(scenario())


def test_moving_a_slider_draws_no_picture():
    lab = QuietLab(FakeEpochs())
    drawn = len(lab.drawn_by)
    for value in range(5, 100, 5):
        lab.num_steps.value = value
    assert len(lab.drawn_by) == drawn


# What the page shows


def test_pictures_are_drawn_when_due_and_at_the_ends_only(monkeypatch):
    async def pictures(lab):
        before = len(lab.drawn_by)
        lab.start.click()
        await lab.finished()
        return len(lab.drawn_by) - before

    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 3600)
    assert go(pictures(QuietLab(FakeEpochs()))) == 2
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 0)
    monkeypatch.setattr(training_lab, "DRAWING_SHARE", float("inf"))
    assert go(pictures(lab := QuietLab(FakeEpochs()))) == 2 + lab.num_epochs.value


def test_a_pause_brings_the_picture_up_to_date(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 3600)

    async def scenario():
        lab = QuietLab(FakeEpochs(endless=True))
        lab.start.click()
        drawn = len(lab.drawn_by)
        await until(lambda: len(lab.history) > 5)
        assert len(lab.drawn_by) == drawn
        lab.pause.click()
        await turns()
        assert len(lab.drawn_by) == drawn + 1
        lab.stop.click()
        await lab.finished()

    go(scenario())


def test_drawing_takes_no_more_than_its_share_of_the_time(monkeypatch):
    lab = QuietLab(FakeEpochs())
    now = iter([100.0, 101.0])
    monkeypatch.setattr(training_lab.time, "perf_counter", lambda: next(now))
    lab._redraw()
    assert lab._next_picture == pytest.approx(101.0 + 1.0 / training_lab.DRAWING_SHARE)


def test_update_shows_everything_anew_from_the_records():
    async def scenario():
        lab = QuietLab(FakeEpochs())
        lab.start.click()
        await lab.finished()
        return lab

    lab = go(scenario())
    shown = (lab.picture.value, lab.status.value, lab.sample.value, lab.table.value)
    lab.picture.value, lab.status.value, lab.sample.value, lab.table.value = b"", "", "", ""
    lab.update()
    assert (lab.picture.value, lab.status.value, lab.sample.value, lab.table.value) == shown


def test_the_status_tells_speed_and_time_left():
    async def scenario():
        lab = QuietLab(FakeEpochs(endless=True))
        lab.start.click()
        await until(lambda: lab.history)
        lab.pause.click()
        lab.runs[0].history[:] = [Epoch(1, 9.0, 1234.0)] * 25
        lab.runs[0].seconds = 10.0
        lab.update()
        text = lab.status.value
        lab.stop.click()
        await lab.finished()
        return text

    text = go(scenario())
    assert "Run 1 paused: epoch 25 of 100, 1,234 tokens/s, about 30 s left." in text


def test_samples_are_escaped_and_the_newest_comes_first():
    async def scenario():
        lab = QuietLab(FakeEpochs())
        lab.start.click()
        await lab.finished()
        return lab.sample.value

    lines = go(scenario()).splitlines()
    assert len(lines) == 4
    assert "sample &lt;100&gt;" in lines[0]
    assert "sample &lt;91&gt;" in lines[1]


def test_the_table_has_a_row_for_every_run_with_its_lowest_held_out_perplexity():
    async def scenario():
        lab = QuietLab(FakeEpochs())
        lab.start.click()
        await lab.finished()
        lab.num_epochs.value = 10
        lab.start.click()
        lab.runs[-1].history[:] = [Epoch(1, 9.0, 1.0, 8.0, "x"), Epoch(2, 8.0, 1.0, 6.5, "y"), Epoch(3, 7, 1, 7.5, "z")]
        lab.stop.click()
        await lab.finished()
        return lab.table.value

    table = go(scenario())
    assert table.count("<tr>") == 3
    assert table.count("<th>") * 2 == table.count("<td>")
    assert "<td>6.5 (epoch 2)</td><td>7.5</td>" in table
    assert "<td>3 of 10</td><td>stopped</td>" in table
    assert "<td>100 of 100</td><td>finished</td>" in table


def test_the_table_stays_narrow_when_a_training_diverges():
    run = runs.Run(1, {"lr": 3.0, "num_epochs": 10}, None, [Epoch(1, 22113450721280.0, 1.0, float("inf"), "x")])
    table = runs.table([run])
    assert "<td>2e+13</td><td>inf (epoch 1)</td><td>inf</td>" in table
    run.history[:] = [Epoch(1, 9999.94, 1.0, 10_000.0, "x")]
    assert "<td>9999.9</td><td>1e+04 (epoch 1)</td><td>1e+04</td>" in runs.table([run])


def test_earlier_runs_stay_in_the_picture_as_ghosts():
    async def scenario():
        lab = TrainingLab(epochs=FakeEpochs(), corpus="story", device="cpu")
        texts = []
        for _ in range(training_lab.NUM_GHOSTS + 2):
            lab.start.click()
            await lab.finished()
            texts.append([text.get_text() for text in lab._curves.ghosts if hasattr(text, "get_text")])
        return texts, lab

    texts, lab = go(scenario())
    assert texts[:2] == [[], ["run 1"]]
    assert sorted(texts[2]) == ["run 1", "run 2"]
    assert sorted(texts[-1]) == [f"run {number}" for number in range(2, training_lab.NUM_GHOSTS + 2)]
    curves = lab._curves
    assert curves.axes.get_title(loc="left") == "run 6: RNN, 35 steps, 256 units, sequential, book, lr 1"
    lines = len(curves.axes.lines)
    lab.update()
    assert len(curves.axes.lines) == lines  # redrawing replaces the ghosts


def test_run_curves_show_current_and_earlier_run_to_scale():
    short = [Epoch(1, 20.0, 1.0, 18.0), Epoch(2, 10.0, 1.0, 300.0)]
    curves = plots.RunCurves({"unigram": 17.0, "bigram": 10.0})
    curves.draw(short[:1], "title", [("run 1", short), ("run 2", [])], last_epoch=7)
    solid, dashed, label = *curves.ghosts[:2], curves.ghosts[-1]
    assert list(solid.get_ydata()) == [20.0, 10.0]
    assert list(dashed.get_ydata()) == [18.0, 300.0]
    assert (label.get_text(), label.xy) == ("run 1", (2, 300.0))
    assert {artist.get_color() for artist in curves.ghosts} == {plots.GREY}
    assert list(curves.training.get_ydata()) == [20.0]
    assert curves.axes.get_xlim() == (0, 7)
    assert curves.axes.get_ylim()[1] > 300
    words = [text.get_text() for text in curves.axes.texts]
    assert "unigram 17.0" in words
    assert "bigram 10.0" in words


def test_an_empty_picture_says_what_to_do():
    curves, records = plots.RunCurves({}), [Epoch(1, 20.0, 1.0, 18.0)]
    shown = []
    for history, earlier in (([], []), (records, []), ([], [("run 1", records)])):
        curves.draw(history, "", earlier)
        shown.append(
            [text.get_text() for text in curves.axes.texts if text.get_visible() and "Start" in text.get_text()]
        )
    assert shown == [["press Start: the curves grow here"], [], []]


@pytest.mark.parametrize("step", [0, 0.1, 1, -0.1, -1])
def test_labels_of_runs_that_end_alike_do_not_hide_each_other(step):
    runs = [[Epoch(1, 20.0, 1.0, 18 + number * step), Epoch(2, 9.0, 1.0)] for number in range(training_lab.NUM_GHOSTS)]
    curves = plots.RunCurves({})
    curves.draw(runs[0], "", [(f"run {number}", records) for number, records in enumerate(runs)])
    labels = [artist.get_window_extent() for artist in curves.ghosts if hasattr(artist, "get_text")]
    assert len(labels) == training_lab.NUM_GHOSTS
    assert not any(one.overlaps(other) for place, one in enumerate(labels) for other in labels[:place])


def test_an_infinite_perplexity_does_not_spoil_the_axis():
    curves = plots.RunCurves({})
    curves.draw([Epoch(1, 9.0, 1.0, float("inf"))], "", [("run 1", [Epoch(1, 9.0, 1.0, float("inf"))])])
    assert curves.axes.get_ylim() == (1, 40)
    assert curves.draw([]).png().startswith(b"\x89PNG")


def test_readers_without_widgets_see_a_picture():
    lab = TrainingLab(epochs=FakeEpochs(), corpus="story", device="cpu")
    bundle = lab._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBORw0KGgo")  # a PNG in base64
    assert "application/vnd.jupyter.widget-view+json" in bundle


# Errors and interrupts


def test_an_error_in_the_training_is_shown_logged_and_raised(caplog):
    async def scenario():
        fake = FakeEpochs(at=3, happens=broken)
        lab = QuietLab(fake)
        lab.start.click()
        for _ in range(2):  # again, for whoever asks again
            with pytest.raises(ZeroDivisionError):
                await lab.finished()
        assert lab.runs[0].state == "failed"
        assert len(lab.history) == 2
        assert not lab.active
        assert "ZeroDivisionError: a student&#x27;s &lt;mistake&gt;" in lab.errors.value
        lab.update()
        assert "ZeroDivisionError" in lab.errors.value
        fake.at = None
        lab.start.click()
        await lab.finished()
        assert lab.runs[1].state == "finished"
        assert lab.errors.value == ""

    go(scenario())
    (report,) = [record for record in caplog.records if record.name == "asyncio"]
    assert "Task exception in run 1" in report.message
    assert report.exc_info[0] is ZeroDivisionError


def test_an_error_that_nobody_awaits_is_reported_once(caplog):
    async def scenario():
        lab = QuietLab(fake := FakeEpochs(at=1, happens=broken))
        lab.start.click()
        await until(lambda: not lab.active)
        await turns()
        fake.at = None
        lab.start.click()
        await lab.finished()  # asyncio would report the first run now, as its task is dropped

    go(scenario())
    gc.collect()
    reports = [record for record in caplog.records if record.name == "asyncio"]
    assert [report.exc_info[0] for report in reports] == [ZeroDivisionError]


def test_an_error_while_drawing_ends_the_run(monkeypatch, caplog):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 0)
    monkeypatch.setattr(training_lab, "DRAWING_SHARE", float("inf"))

    class Clumsy(QuietLab):
        def draw(self):
            if len(self.history) == 4:
                broken()
            return super().draw()

    async def scenario():
        lab = Clumsy(FakeEpochs(endless=True))
        lab.start.click()
        with pytest.raises(ZeroDivisionError):
            await lab.finished()
        assert lab.runs[0].state == "failed"
        assert "ZeroDivisionError" in lab.errors.value

    go(scenario())


def test_a_model_that_cannot_be_built_is_shown_and_starts_nothing(caplog):
    async def scenario():
        fake = FakeEpochs()
        lab = QuietLab(fake, model=None)
        lab.start.click()
        assert "TypeError" in lab.errors.value
        assert (lab.runs, fake.calls) == ([], [])
        assert not lab.start.disabled

    go(scenario())
    assert "TypeError" in caplog.text  # in a notebook, ipywidgets shows the error of a click in the cell


def interrupt():
    signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def as_between_two_cells():
    """The kernel ignores interrupts while no cell runs; a training in the background must not."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_the_run_and_keeps_what_was_learnt():
    async def scenario():
        fake = FakeEpochs(endless=True, at=4, happens=interrupt)
        lab = QuietLab(fake)
        with as_between_two_cells():
            lab.start.click()
            run = await lab.finished()
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert (run.state, len(run.history), fake.closed) == ("interrupted", 3, 1)
        assert run.net is not None
        assert "Run 1 interrupted: epoch 3 of 100." in lab.status.value
        assert lab.errors.value == ""

    go(scenario())


def test_an_interrupt_while_drawing_ends_the_run_too(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 0)
    monkeypatch.setattr(training_lab, "DRAWING_SHARE", float("inf"))

    class Interrupted(QuietLab):
        def draw(self):
            if len(self.history) == 4 and self.active:
                interrupt()
            return super().draw()

    async def scenario():
        lab = Interrupted(fake := FakeEpochs(endless=True))
        with as_between_two_cells():
            lab.start.click()
            run = await lab.finished()
        assert (run.state, len(run.history), fake.closed) == ("interrupted", 4, 1)

    go(scenario())


def test_cancelling_the_wait_stops_the_run():
    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        waiting = asyncio.create_task(lab.finished())  # as an interrupted cell does
        await until(lambda: lab.history)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: fake.closed)
        assert lab.runs[0].state == "stopped"

    go(scenario())


# Other labs and other threads


@pytest.mark.parametrize("paused", [False, True])
def test_a_newer_lab_ends_the_run_of_the_one_before(paused):
    async def scenario():
        fake = FakeEpochs(endless=True)
        old = QuietLab(fake)
        old.start.click()
        await until(lambda: old.history)
        if paused:
            old.pause.click()
        new = QuietLab(FakeEpochs(endless=True))
        await until(lambda: fake.closed)
        assert old.runs[0].state == "stopped"
        new.start.click()
        await until(lambda: new.history)
        old.start.click()  # whoever starts last, trains
        await until(lambda: old.history)
        assert (old.active, new.active) == (True, False)
        old.stop.click()
        await old.finished()

    go(scenario())


def test_threads_hammering_the_lab_leave_one_owner_and_one_history(monkeypatch):
    monkeypatch.setattr(training_lab, "SECONDS_BETWEEN_PICTURES", 0)
    over = threading.Event()
    calls = [0, 0, 0, 0]

    def hammer(number, act):
        while not over.is_set():
            act(calls[number])
            calls[number] += 1
            time.sleep(0)

    def slide(lab, call):
        lab.num_steps.value = 5 + 5 * (call % 28)

    async def scenario():
        fake = FakeEpochs(endless=True)
        lab = QuietLab(fake)
        lab.start.click()
        acts = (lambda _: lab.update(), lambda call: slide(lab, call), lambda _: lab.start.click(),
                lambda _: (lab.pause.click(), lab.pause.click()))  # fmt: skip
        threads = [threading.Thread(target=hammer, args=pair) for pair in enumerate(acts)]
        for thread in threads:
            thread.start()
        await until(lambda: len(lab.history) >= 200 and min(calls) >= 100)
        over.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await turns()
        if lab.runs[0].state == "paused":
            lab.pause.click()
        lab.stop.click()
        run = await lab.finished()
        assert set(lab.drawn_by) == {threading.get_ident()}
        assert [record.epoch for record in run.history] == list(range(1, fake.advanced + 1))
        assert (len(fake.calls), fake.closed, len(lab.runs)) == (1, 1, 1)
        assert run.settings["num_steps"] == fake.calls[0][1].num_steps == 35

    go(scenario())


def test_many_updates_from_a_thread_wait_as_one():
    async def scenario():
        lab = QuietLab(FakeEpochs())
        await asyncio.sleep(0)
        drawn = len(lab.drawn_by)
        thread = threading.Thread(target=lambda: [lab.update() for _ in range(100)])
        thread.start()
        thread.join()  # the loop is busy meanwhile, as with a long cell
        assert len(lab.drawn_by) == drawn
        await turns()
        assert len(lab.drawn_by) == drawn + 1

    go(scenario())


def test_a_button_pressed_in_another_thread_reaches_the_loop():
    async def scenario():
        lab = QuietLab(FakeEpochs(endless=True))
        for button, wanted in ((lab.start, "training"), (lab.pause, "paused"), (lab.pause, "training"),
                               (lab.stop, "stopped")):  # fmt: skip
            await asyncio.to_thread(button.click)
            await until(lambda wanted=wanted: lab.runs and lab.runs[0].state == wanted)
        await lab.finished()

    go(scenario())


def test_an_error_from_a_button_in_another_thread_is_shown_and_logged(caplog):
    async def scenario():
        lab = QuietLab(FakeEpochs(), model=None)
        await asyncio.to_thread(lab.start.click)
        await until(lambda: lab.errors.value)
        assert "TypeError" in lab.errors.value

    go(scenario())
    assert any(record.exc_info and record.exc_info[0] is TypeError for record in caplog.records)


def test_the_lab_takes_the_generator_of_the_course_by_default():
    lab = TrainingLab(corpus="story", device="cpu")
    assert lab.epochs is training.epochs
    assert lab.model is RNNModel
