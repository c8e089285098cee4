"""`train` around a fake display and a fake clock: one picture, seldom redrawn, and no record lost."""

import contextlib
import itertools
import math
import re
import signal
import struct
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from matplotlib.text import Text
from torch import nn

from course_utils import RNNModel, Vocab, load_data_time_machine, plots, predict, train, train_live, training
from course_utils.loaders import opening
from course_utils.training import Epoch


@pytest.fixture
def screen(monkeypatch):
    """Stand in for the notebook: collects the displayed picture and, with the time, its updates."""
    screen = SimpleNamespace(shown=[], updates=[], now=64.0)

    def display(picture, display_id):
        assert display_id is True
        screen.shown.append(picture)
        return SimpleNamespace(update=lambda picture: screen.updates.append((screen.now, picture)))

    monkeypatch.setattr(train_live, "display", display)
    monkeypatch.setattr(train_live, "time", SimpleNamespace(perf_counter=lambda: screen.now))
    return screen


@pytest.fixture(scope="module")
def data():
    return load_data_time_machine(8, 10, max_tokens=400, corpus="story")


def model(vocab, **kwargs):
    torch.manual_seed(0)
    return RNNModel(nn.RNN(len(vocab), 8, **kwargs), len(vocab))


def run(data, num_epochs=3, **kwargs):
    return train(model(data[1]), *data, 0.5, num_epochs, torch.device("cpu"), **kwargs)


def act(data, screen, *acts, **kwargs):
    """Run `train` on a list of acts in place of a training: records to yield or errors to raise, 0.25 s each."""

    def epochs(*args, **kwargs):
        for each in acts:
            screen.now += 0.25
            if isinstance(each, type):
                raise each
            yield each

    return run(data, len(acts), epochs=epochs, **kwargs)


def record(epoch, **kwargs):
    return Epoch(epoch, 20 / epoch + 1, 1000.0 * epoch, **kwargs)


def titles(monkeypatch, *interrupted, press=None):
    """A list of the titles that are drawn from now on; while these pictures are drawn, `press` is called."""
    draw, drawn = plots.TrainingCurves.draw, []

    def listen(curves, history, title):
        drawn.append(title)
        if len(drawn) in interrupted:
            press()
        return draw(curves, history, title)

    monkeypatch.setattr(plots.TrainingCurves, "draw", listen)
    return drawn


def test_updates_are_seldom_of_one_size_and_the_last_one_is_not_missed(data, screen):
    act(data, screen, *(record(epoch, held_out_perplexity=10.0**epoch) for epoch in range(1, 16)))
    times = [64.0, *(moment for moment, _ in screen.updates)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps[:-1]) >= train_live.SECONDS_BETWEEN_PICTURES >= 0.25
    assert len(screen.updates) >= 15 * 0.25 / (train_live.SECONDS_BETWEEN_PICTURES + 0.25)
    assert times[-1] == screen.now
    pictures = [*screen.shown, *(picture for _, picture in screen.updates)]
    assert len(screen.shown) == 1
    assert pictures[0].data != pictures[-1].data
    assert len({struct.unpack(">II", picture.data[16:24]) for picture in pictures}) == 1


@pytest.mark.parametrize("records", [[], [Epoch(12_345, 98_765.4, 1e6, 123_456.7)], [Epoch(100, 1e30, 1e6, math.inf)]])
def test_titles_fit_into_the_picture(records):
    curves = plots.TrainingCurves({"unigram": 17.0}, 20_000)
    for title in (train_live.closing("finished", records), train_live.progress(record(10_000), 1, 20_000, 98_765.0)):
        picture = curves.draw(records, title)
        picture.png()
        (label,) = [text for text in picture.findobj(Text) if text.get_text() == title]
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= picture.bbox.x1


def test_without_a_plot_or_a_notebook_it_prints_the_summary(data, capsys, monkeypatch):
    shown = []
    for plot in (True, False):  # there is no notebook here
        monkeypatch.setattr(train_live, "LivePlot", shown.append if not plot else train_live.LivePlot)
        history = run(data, plot=plot)
        assert len(history) == 3
        assert capsys.readouterr().out.endswith(train_live.summary(history, "cpu") + "\n")
    assert shown == []


def test_the_summary_line(capsys, data, screen):
    act(data, screen, record(1, held_out_perplexity=30.0), record(2), record(3, held_out_perplexity=12.25), record(4))
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 4: perplexity 6 on training text, 12.2 on held-out text\n3,000 tokens/s on cpu (")
    assert printed.count("\n") == 2


def test_titles_tell_the_progress_and_then_the_result(data, screen, monkeypatch):
    drawn, watched = titles(monkeypatch), []
    monkeypatch.setattr(train_live, "SECONDS_BETWEEN_PICTURES", 0.75)  # just over when the third record comes
    monkeypatch.setattr(train_live, "ThreadWatch", lambda device: SimpleNamespace(see=watched.append))
    history = act(data, screen, *(record(epoch) for epoch in range(1, 5)))
    assert drawn[:2] == ["getting ready", train_live.progress(record(3), 1, 4, 3 * 0.25)]
    assert re.fullmatch(r"finished \d\d:\d\d, epoch 4: 6 on training text", drawn[2])
    assert watched == [record.tokens_per_second for record in history]
    assert train_live.progress(record(13), 11, 20, 6.0) == "running, epoch 13 of 20, about 14 s left, 13,000 tokens/s"


def test_no_epochs(data, screen, capsys):
    old = [record(7)]
    assert run(data, 0) == []
    assert (len(screen.shown), len(screen.updates)) == (1, 1)
    assert capsys.readouterr().out == "no epoch was finished\n"
    assert run(data, 0, history=old) is old
    assert old == [record(7)]


def stop():
    """What the kernel's Stop button does."""
    signal.raise_signal(signal.SIGINT)


def fall():
    raise KeyboardInterrupt


@pytest.mark.parametrize("press", [stop, fall])
@pytest.mark.parametrize(("interrupted", "acts", "done"), [
    ((1,), 4, 0),  # while the plot is set up
    ((2,), 4, 3),  # in the second picture, which is due after 0.75 s
    ((2, 3), 4, 3),  # and once more in the last one
    ((1, 2), 1, 0),
    ((2,), 1, 1),  # in the last picture alone, when all is done
])  # fmt: skip
def test_stop_keeps_the_records_whenever_it_comes(data, screen, capsys, monkeypatch, press, interrupted, acts, done):
    records, before = [record(epoch) for epoch in range(1, acts + 1)], signal.getsignal(signal.SIGINT)
    drawn = titles(monkeypatch, *interrupted, press=press)
    assert act(data, screen, *records) == records[:done]
    printed = capsys.readouterr().out
    assert ("Stopped after epoch" in printed) == (done < acts)
    assert printed.endswith(train_live.summary(records[:done], "cpu") + "\n")
    assert drawn[-1].startswith("finished" if done == acts else "stopped" if done else "getting ready")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("num_good", [0, 2])
def test_a_training_that_blows_up_leaves_the_last_good_weights_and_the_records(data, screen, num_good):
    def epochs(net, *args, **kwargs):
        for number in range(1, 6):
            with torch.no_grad():
                net.linear.bias.fill_(number if number < 4 else math.nan)
            yield Epoch(number, 10.0 if number in (*range(1, num_good + 1), 4) else 1e9, 1.0)  # the 4th only looks good
        training.check_finite(math.nan, 6, 0.5)

    net = model(data[1])
    expected = net.linear.bias.detach().clone() if num_good == 0 else torch.full_like(net.linear.bias, num_good)
    with pytest.raises(FloatingPointError, match="after epoch 6") as raised:
        train(net, *data, 0.5, 6, "cpu", epochs=epochs)
    assert torch.equal(net.linear.bias, expected)
    assert [r.epoch for r in raised.value.history] == [1, 2, 3, 4, 5]
    assert (f"weights of epoch {num_good} again" if num_good else "weights of before") in raised.value.__notes__[0]


@pytest.mark.parametrize(("perplexity", "good"), [(1.0, True), (56.0, True), (56.1, False), (math.inf, False)])
def test_twice_as_bad_as_guessing_is_the_limit(perplexity, good):
    assert train_live.good(Epoch(1, perplexity, 1.0), 28) == good


@pytest.mark.parametrize(("letters", "held_out", "opens"), [
    ("time travler", "xyz", "time traveller"), ("xyz", "xyz", "xyzxyzxyzxyzxy"), ("xyz", "", "zyxzyxzyxzyxzy"),
])  # fmt: skip
def test_samples_start_as_the_book_does_or_where_the_text_has_other_letters_as_the_text(letters, held_out, opens):
    vocab = Vocab(letters)
    corpus, held_out = (torch.tensor(vocab[[*text * 9]], dtype=torch.long) for text in ("zyx", held_out))
    assert opening(vocab, SimpleNamespace(corpus=corpus, held_out=held_out)) == opens


def test_a_training_that_ends_worse_than_guessing_says_so(data, screen, capsys, monkeypatch):
    drawn, size = titles(monkeypatch), len(data[1])
    bad = [Epoch(epoch, 1e9, 1.0) for epoch in (1, 2, 3)]
    act(data, screen, *bad, Epoch(4, 1.9 * size, 1.0))  # it has recovered
    assert "diverged" not in capsys.readouterr().out
    act(data, screen, Epoch(1, 1.1 * size, 1.0), *bad[1:])
    assert "has diverged: from epoch 2 on" in capsys.readouterr().out.splitlines()[-1]
    ends = [title.split()[0] for title in drawn if "running" not in title]
    assert ends == ["getting", "finished", "getting", "diverged"]


@pytest.mark.parametrize(("change", "words"), [
    ({"lr": 0}, "lr is 0"), ({"vocab": Vocab("abc")}, "the vocabulary has 4; build it with len"),
    ({"spoiled": math.nan}, "weights that are not finite"),
])  # fmt: skip
def test_mistakes_are_said_before_anything_is_drawn(data, screen, change, words):
    asked = {"train_iter": data[0], "vocab": data[1], "lr": 0.5, "num_epochs": 3, "device": "cpu"} | change
    net = model(data[1])
    torch.nn.init.constant_(net.rnn.bias_hh_l0, asked.pop("spoiled", 0.0))
    with pytest.raises(ValueError, match=words):
        train(net, **asked)
    assert screen.shown == []


def test_after_an_interruption_within_an_epoch_model_and_history_go_on(data, screen, capsys):
    train_iter, vocab = data
    net, passes = model(vocab), itertools.count()

    def press_stop(net, inputs):
        if net.training and next(passes) == 3 * len(train_iter) + 2:
            raise KeyboardInterrupt

    net.register_forward_pre_hook(press_stop)
    history = train(net, train_iter, vocab, 0.5, 10, "cpu")
    assert [r.epoch for r in history] == [1, 2, 3]
    assert capsys.readouterr().out.startswith("Stopped after epoch 3; the model and its history are kept.\n")
    assert screen.updates[-1][0] == screen.now
    assert len(predict("time", 5, net, vocab, "cpu")) >= 9
    assert train(net, train_iter, vocab, 0.5, 2, "cpu", history=history) is history
    assert [r.epoch for r in history] == [1, 2, 3, 4, 5]
    assert [r.epoch for r in history if r.sample] == [1, 4, 5]
    assert len(screen.shown) == 2
    anew = train(net, train_iter, vocab, 0.5, 2, "cpu")
    assert [r.epoch for r in anew] == [1, 2]
    assert anew[0].perplexity < history[0].perplexity


def test_train_keeps_what_epochs_yields(data, screen):
    history = run(data, 5, every=2, prefix="boot", fast=False)
    torch.manual_seed(0)
    records = list(training.epochs(model(data[1]), *data, 0.5, 5, "cpu", every=2, prefix="boot"))
    assert [(r.epoch, r.perplexity, r.sample) for r in history] == [(r.epoch, r.perplexity, r.sample) for r in records]
    assert {r.epoch for r in history if r.sample} == {1, 2, 4, 5}


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, FloatingPointError])
@pytest.mark.parametrize("fast", [True, False])
def test_layers_are_quick_while_it_trains_unless_the_reader_says_no(data, screen, monkeypatch, error, fast):
    inside, seen = [], []

    class Fake:
        def __enter__(self):
            inside.append(True)

        def __exit__(self, *error):
            inside.clear()

    def epochs(*args, **kwargs):
        yield seen.append(bool(inside)) or record(1)
        if error:
            raise error

    monkeypatch.setattr(train_live, "quick_layers", Fake)
    history = []
    with pytest.raises(error) if error is FloatingPointError else contextlib.nullcontext():
        run(data, epochs=epochs, fast=fast, history=history)
    assert (seen, inside) == ([fast], [])
    assert (history, len(screen.updates)) == ([record(1)], 1)


def test_an_own_text_without_a_held_out_part_has_no_baselines(tmp_path, screen):
    (tmp_path / "short.txt").write_text("time traveller")
    train_iter, vocab = load_data_time_machine(1, 3, corpus=tmp_path / "short.txt")
    assert len(train_iter.held_out) < 2
    assert train_live.counted(train_iter, vocab) == {}
    history = train(model(vocab), train_iter, vocab, 0.5, 2, "cpu")
    assert [r.held_out_perplexity for r in history] == [None, None]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_two_held_out_tokens_are_enough_to_compare_with(data, count):
    text, vocab = SimpleNamespace(corpus=data[0].corpus, held_out=data[0].held_out[:count]), data[1]
    expected = training.baselines(text.corpus, text.held_out, len(vocab)) if count >= 2 else {}
    assert train_live.counted(text, vocab) == expected


def test_a_bidirectional_model_is_trained_and_drawn(data, screen, capsys):
    history = train(model(data[1], bidirectional=True), *data, 0.5, 2, "cpu")
    assert all(r.sample is None for r in history)
    assert "on held-out text" in capsys.readouterr().out


def test_of_many_interrupts_the_first_one_stops():
    stop = train_live.OneStop()
    with pytest.raises(KeyboardInterrupt):
        stop()
    stop()
    stop.heard = False  # a loop that goes on can be stopped again
    with pytest.raises(KeyboardInterrupt):
        stop()
