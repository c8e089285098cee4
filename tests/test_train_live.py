"""`train` around a fake display and a fake clock: one picture, seldom redrawn, and no record lost."""

import struct
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from IPython.display import Image
from matplotlib.text import Text
from torch import nn

from course_utils import RNNModel, Vocab, live, load_data_time_machine, predict, train, training
from course_utils.training import Epoch


@pytest.fixture
def screen(monkeypatch):
    """Stand in for the notebook: collects the displayed picture and, with the time, its updates."""
    screen = SimpleNamespace(shown=[], updates=[], now=0.0)

    def display(picture, display_id):
        assert display_id is True
        screen.shown.append(picture)
        return SimpleNamespace(update=lambda picture: screen.updates.append((screen.now, picture)))

    monkeypatch.setattr(live, "display", display)
    monkeypatch.setattr(live, "time", SimpleNamespace(perf_counter=lambda: screen.now))
    return screen


@pytest.fixture
def acts(monkeypatch, screen):
    """A function that replaces the training by a list of acts: records to yield or errors to raise, 0.25 s each."""

    def prepare(*acts):
        def epochs(*args):
            for act in acts:
                screen.now += 0.25
                if isinstance(act, type):
                    raise act
                yield act

        monkeypatch.setattr(training, "epochs", epochs)

    return prepare


@pytest.fixture(scope="module")
def data():
    return load_data_time_machine(8, 10, max_tokens=400, corpus="story")


def model(vocab, **kwargs):
    torch.manual_seed(0)
    return RNNModel(nn.RNN(len(vocab), 8, **kwargs), len(vocab))


def run(data, num_epochs=3, **kwargs):
    return train(model(data[1]), *data, 0.5, num_epochs, torch.device("cpu"), **kwargs)


def record(epoch, **kwargs):
    return Epoch(epoch, 20 / epoch + 1, 1000.0 * epoch, **kwargs)


def test_one_picture_is_shown_and_updated_in_place(data, screen):
    history = run(data, 4)
    assert [r.epoch for r in history] == [1, 2, 3, 4]
    assert len(screen.shown) == 1
    assert len(screen.updates) == 1  # the fake clock stands still, so only the last picture is due
    pictures = [screen.shown[0], screen.updates[0][1]]
    assert all(isinstance(picture, Image) and picture.data.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0].data != pictures[1].data


def test_updates_are_seldom_and_the_last_one_is_not_missed(data, screen, acts):
    acts(*(record(epoch) for epoch in range(1, 41)))
    run(data, 40)
    times = [0.0, *(moment for moment, _ in screen.updates)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps[:-1]) >= live.SECONDS_BETWEEN_PICTURES >= 0.25
    assert len(screen.updates) >= 40 * 0.25 / (live.SECONDS_BETWEEN_PICTURES + 0.25)
    assert times[-1] == screen.now


def test_all_pictures_have_the_same_size(data, screen, acts):
    acts(*(record(epoch, held_out_perplexity=10.0**epoch) for epoch in range(1, 16)))
    run(data, 15)
    pictures = [*screen.shown, *(picture for _, picture in screen.updates)]
    assert len(pictures) > 3
    assert len({struct.unpack(">II", picture.data[16:24]) for picture in pictures}) == 1


@pytest.mark.parametrize(
    "history", [[], [Epoch(12_345, 98_765.4321, 1e6, 123_456.789)], [Epoch(100, 1e30, 1e6, float("inf"))]]
)
def test_the_last_title_fits_into_the_picture(history):
    curves = live.plots.TrainingCurves({"unigram": 17.0}, 20_000)
    for title in (live.reached(history), live.progress(record(10_000), 1, 20_000, 98_765.0)):
        picture = curves.draw(history, title)
        picture.png()
        (label,) = [text for text in picture.findobj(Text) if text.get_text() == title]
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= picture.bbox.x1


def test_no_plot(data, screen, capsys):
    history = run(data, plot=False)
    assert len(history) == 3
    assert screen.shown == screen.updates == []
    assert capsys.readouterr().out == live.summary(history, "cpu") + "\n"


def test_outside_a_notebook_it_trains_all_the_same(data, capsys):
    assert len(run(data)) == 3
    assert "epoch 3: perplexity" in capsys.readouterr().out


def test_the_summary_line(capsys, data, screen, acts):
    acts(record(1, held_out_perplexity=30.0), record(2), record(3, held_out_perplexity=12.25), record(4))
    run(data, 4)
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 4: perplexity 6 on training text, 12.2 on held-out text, 3,000 tokens/s on cpu (")
    assert printed.count("\n") == 1
    assert live.summary([record(1)], "cpu").startswith("epoch 1: perplexity 21 on training text, 1,000 tokens/s on")
    assert live.summary([], "cpu") == "no epoch was finished"


def test_titles_tell_the_progress_and_then_the_result(data, screen, acts, monkeypatch):
    acts(*(record(epoch) for epoch in range(1, 5)))
    draw, titles = live.plots.TrainingCurves.draw, []
    monkeypatch.setattr(live.plots.TrainingCurves, "draw", lambda *args: titles.append(args[2]) or draw(*args))
    history = run(data, 4)
    assert titles == ["getting ready", live.progress(record(3), 1, 4, 3 * 0.25), live.reached(history)]


def test_the_progress_line():
    assert live.progress(record(3), 1, 10, 6.0) == "epoch 3 of 10, about 14 s left, 3,000 tokens/s"
    assert live.progress(record(13), 11, 20, 6.0) == "epoch 13 of 20, about 14 s left, 13,000 tokens/s"
    assert "about 0 s left" in live.progress(record(10), 1, 10, 6.0)


def test_no_epochs(data, screen, capsys):
    assert run(data, 0) == []
    assert len(screen.shown) == len(screen.updates) == 1
    assert capsys.readouterr().out == "no epoch was finished\n"
    old = [record(7)]
    assert run(data, 0, history=old) is old
    assert old == [record(7)]


def test_an_interruption_keeps_the_records(data, screen, acts, capsys):
    acts(record(1), record(2), record(3), KeyboardInterrupt, record(4))
    history = run(data, 10)
    assert history == [record(1), record(2), record(3)]
    assert len(screen.updates) == 2  # one in between at 0.75 s, and the last
    printed = capsys.readouterr().out
    assert printed.startswith("Stopped after epoch 3; the model and its history are kept.\nepoch 3: perplexity ")


def test_an_interruption_before_the_first_epoch_ends(data, screen, acts, capsys):
    acts(KeyboardInterrupt)
    assert run(data, 10) == []
    assert capsys.readouterr().out.startswith("Stopped after epoch 0; ")


def test_an_interruption_while_drawing(data, screen, acts, monkeypatch):
    acts(*(record(epoch) for epoch in range(1, 11)))
    draw, calls = live.plots.TrainingCurves.draw, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*args)

    monkeypatch.setattr(live.plots.TrainingCurves, "draw", interrupted)
    history = run(data, 10)
    assert history == [record(1), record(2), record(3)]
    assert len(screen.updates) == 1


class Interrupted:
    """A loader on which the user presses Stop in the middle of an epoch."""

    def __init__(self, train_iter, epoch):
        self.train_iter, self.left = train_iter, epoch

    def __getattr__(self, name):
        return getattr(self.train_iter, name)

    def __len__(self):
        return len(self.train_iter)

    def __iter__(self):
        self.left -= 1
        for i, batch in enumerate(self.train_iter):
            if self.left == 0 and i == 2:
                raise KeyboardInterrupt
            yield batch


def test_after_an_interruption_model_and_history_go_on(data, screen):
    train_iter, vocab = data
    net = model(vocab)
    history = train(net, Interrupted(train_iter, 4), vocab, 0.5, 10, "cpu")
    assert [r.epoch for r in history] == [1, 2, 3]
    assert len(predict("time", 5, net, vocab, "cpu")) >= 9
    again = train(net, train_iter, vocab, 0.5, 2, "cpu", history=history)
    assert again is history
    assert [r.epoch for r in history] == [1, 2, 3, 4, 5]
    assert [r.epoch for r in history if r.sample] == [1, 4, 5]
    assert len(screen.shown) == 2


def test_calling_again_without_the_history_starts_new_curves(data, screen):
    net = model(data[1])
    first = train(net, *data, 0.5, 2, "cpu")
    second = train(net, *data, 0.5, 2, "cpu")
    assert [r.epoch for r in second] == [1, 2]
    assert second[0].perplexity < first[0].perplexity


def test_train_yields_what_epochs_yields(data, screen):
    history = run(data, 5, every=2, prefix="boot")
    records = list(training.epochs(model(data[1]), *data, 0.5, 5, "cpu", every=2, prefix="boot"))
    assert len(records) == len(history) == 5
    assert {r.epoch for r in history if r.sample} == {1, 2, 4, 5}
    assert all(r.sample.startswith("boot") for r in history if r.sample)


def test_an_error_passes_and_leaves_the_picture_so_far(data, screen, acts):
    acts(record(1), FloatingPointError)
    history = []
    with pytest.raises(FloatingPointError):
        run(data, 5, history=history)
    assert history == [record(1)]
    assert len(screen.updates) == 1


def test_mistakes_are_said_before_anything_is_drawn(data, screen):
    train_iter, vocab = data
    with pytest.raises(ValueError, match="the vocabulary has 4; build it with len"):
        train(model(vocab), train_iter, Vocab("abc"), 0.5, 3, "cpu")
    with pytest.raises(ValueError, match="lr is 0"):
        train(model(vocab), train_iter, vocab, 0, 3, "cpu")
    with pytest.raises(ValueError, match="does not say its sampling"):
        train(model(vocab), list(train_iter), vocab, 0.5, 3, "cpu")
    with pytest.raises(ValueError, match="num_epochs is -1"):
        train(model(vocab), train_iter, vocab, 0.5, -1, "cpu")
    assert screen.shown == []


def test_an_own_text_without_a_held_out_part(tmp_path, screen):
    path = tmp_path / "short.txt"
    path.write_text("time traveller")
    train_iter, vocab = load_data_time_machine(1, 3, corpus=path)
    history = train(model(vocab), train_iter, vocab, 0.5, 2, "cpu")
    assert all(r.held_out_perplexity is not None or len(train_iter.held_out) < 2 for r in history)
    assert len(history) == 2


def test_a_bidirectional_model_is_trained_and_drawn(data, screen, capsys):
    net = model(data[1], bidirectional=True)
    history = train(net, *data, 0.5, 2, "cpu")
    assert all(r.sample is None for r in history)
    assert "on held-out text" in capsys.readouterr().out
