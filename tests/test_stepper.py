"""The prediction stepper: every control does what it says, bad prefixes cost nothing, errors are shown and raised."""

import struct
import threading

import pytest
import torch
from torch import nn

from course_utils import RNNModel, Vocab, plots, predict
from course_utils.experiments import stepping
from course_utils.widgets.stepper import RUN_LENGTH, PredictionStepper

VOCAB = Vocab(list("a short text of the course for the vocabulary"))
PREFIX = "the cou"


def model(layer=nn.RNN, **options):
    torch.manual_seed(0)
    net = RNNModel(layer(len(VOCAB), 8, **options), len(VOCAB))
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return net


class FakePicture:
    """In place of a drawing, the numbers that it would show."""

    def __init__(self, snapshot):
        self.snapshot = snapshot

    def png(self, dpi):
        return repr(self.snapshot).encode()


@pytest.fixture
def lab(monkeypatch):
    """A lab that does not lose time with drawing."""
    monkeypatch.setattr(plots, "prediction_steps", FakePicture)
    return PredictionStepper(model(), VOCAB, "cpu", prefix=PREFIX)


@pytest.fixture
def drawn_lab():
    return PredictionStepper(model(), VOCAB, "cpu", prefix=PREFIX)


def draws(lab, monkeypatch):
    """A list that grows by one with every picture."""
    pictures = []
    original = lab.draw
    monkeypatch.setattr(lab, "draw", lambda: pictures.append(1) or original())
    return pictures


def test_the_first_picture_shows_the_prefix(drawn_lab):
    assert drawn_lab.text == PREFIX
    assert drawn_lab.snapshot.characters == list(PREFIX)
    assert bytes(drawn_lab.picture.value).startswith(b"\x89PNG")
    assert drawn_lab.errors.value == ""


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_step_and_run_write_what_predict_writes(layer, monkeypatch):
    monkeypatch.setattr(plots, "prediction_steps", FakePicture)
    net = model(layer)
    lab = PredictionStepper(net, VOCAB, "cpu", prefix=PREFIX)
    lab.step.click()
    assert lab.text == predict(PREFIX, 1, net, VOCAB, "cpu")
    lab.run.click()
    lab.step.click()
    assert lab.text == predict(PREFIX, RUN_LENGTH + 2, net, VOCAB, "cpu")
    lab.reset.click()
    assert lab.text == PREFIX


@pytest.mark.parametrize(("temperature", "top_k", "seed"), [(0.7, 20, 0), (1.5, 3, 11), (2.0, 2, 99)])
def test_the_sliders_choose_as_predict_does(lab, temperature, top_k, seed):
    lab.temperature.value, lab.top_k.value, lab.seed.value = temperature, top_k, seed
    lab.run.click()
    generator = torch.Generator().manual_seed(seed)
    expected = predict(PREFIX, RUN_LENGTH, lab.net, VOCAB, "cpu", temperature, top_k, generator)
    assert lab.text == expected
    lab.reset.click()
    lab.run.click()
    assert lab.text == expected  # the same seed, the same text


@pytest.mark.parametrize(
    ("name", "values", "seen"),
    [
        ("prefix", ["a", "text of", "the course"], lambda lab: (lab.text, tuple(lab.snapshot.softmax))),
        ("temperature", [0.5, 1.0, 2.0], lambda lab: tuple(lab.snapshot.drawn)),
        ("top_k", [2, 5, 9], lambda lab: tuple(lab.snapshot.drawn)),
        ("seed", [1, 50], lambda lab: lab.generator.initial_seed()),
        ("look_back", [1, 2, 5], lambda lab: (lab.snapshot.position, lab.snapshot.explained)),
    ],
)
def test_every_control_draws_once_and_changes_what_is_shown(lab, monkeypatch, name, values, seen):
    lab.temperature.value = 1.5 if name == "top_k" else lab.temperature.value
    pictures, shown = draws(lab, monkeypatch), [seen(lab)]
    for count, value in enumerate(values, start=1):
        before = lab.picture.value
        getattr(lab, name).value = value
        assert len(pictures) == count
        shown.append(seen(lab))
        if name != "seed":  # the seed alone changes what will be written, not what is shown
            assert lab.picture.value != before
    assert len(set(shown)) == len(values) + 1


def test_temperature_and_top_k_keep_the_text_and_seed_and_prefix_start_anew(lab):
    lab.run.click()
    text = lab.text
    lab.temperature.value, lab.top_k.value, lab.look_back.value = 1.0, 3, 2
    assert lab.text == text
    lab.seed.value = 5
    assert lab.text == PREFIX
    lab.run.click()
    lab.prefix.value = "the"
    assert lab.text == "the"


def test_each_click_draws_once(lab, monkeypatch):
    pictures = draws(lab, monkeypatch)
    for count, button in enumerate((lab.step, lab.run, lab.reset), start=1):
        button.click()
        assert len(pictures) == count


@pytest.mark.parametrize(("prefix", "words"), [("", "empty"), ("The", "does not know"), ("<b>", "&#x27;&lt;&#x27;")])
def test_a_bad_prefix_gets_a_sentence_and_loses_nothing(lab, monkeypatch, prefix, words):
    lab.run.click()
    text, picture, pictures = lab.text, lab.picture.value, draws(lab, monkeypatch)
    lab.prefix.value = prefix
    for button in (lab.step, lab.run, lab.reset):
        button.click()
        assert words in lab.errors.value
        assert "Traceback" not in lab.errors.value
    assert (lab.text, lab.picture.value, len(pictures)) == (text, picture, 0)
    lab.prefix.value = PREFIX
    assert (lab.text, lab.errors.value) == (text, "")
    lab.step.click()
    assert lab.text == predict(PREFIX, RUN_LENGTH + 1, lab.net, VOCAB, "cpu")


def test_what_is_wrong_stands_between_the_controls_and_the_picture(lab):
    assert lab.children[-4:-2] == (lab.errors, lab.picture)


def test_other_errors_are_shown_and_raised(lab, monkeypatch):
    def broken(X, state):
        raise ValueError("the student's forward is broken")

    monkeypatch.setattr(lab.net, "forward", broken)

    def change(name, value):
        getattr(lab, name).value = value

    acts = (lambda: lab._write(1), lambda: lab._write(None), lab.update, lambda: change("prefix", "of"))
    for act in acts:  # a click is `_write`; outside a notebook ipywidgets would log its error instead of raising it
        lab.errors.value = ""
        with pytest.raises(ValueError, match="forward is broken"):
            act()
        assert "Traceback" in lab.errors.value
        assert "forward is broken" in lab.errors.value
    lab.errors.value = ""
    lab.step.click()
    assert "forward is broken" in lab.errors.value


@pytest.mark.parametrize(("net", "prefix", "words"), [
    (model(bidirectional=True), "a", "bidirectional"), (model(), "", "empty"), (model(), "B", "does not know"),
])  # fmt: skip
def test_a_lab_that_could_never_draw_is_refused(net, prefix, words):
    with pytest.raises(ValueError, match=words):
        PredictionStepper(net, VOCAB, "cpu", prefix=prefix)


def test_a_loop_is_said_in_the_lab_and_in_the_picture(drawn_lab):
    assert "no loop" in drawn_lab.output.value
    drawn_lab.prefix.value = "the the the "
    assert drawn_lab.snapshot.period == 4
    assert "the text repeats every 4 characters" in drawn_lab.output.value
    words = {text.get_text() for text in plots.prediction_steps(drawn_lab.snapshot).texts}
    assert plots.loop_sentence(4) in words


def test_the_picture_shows_the_snapshots_numbers(drawn_lab):
    drawn_lab.run.click()
    drawn_lab.look_back.value = 3
    bars, moments = plots.prediction_steps(drawn_lab.snapshot).axes
    softmax, drawn = ([segment[1][1] for segment in lines.get_segments()] for lines in bars.collections[:2])
    assert softmax == pytest.approx(drawn_lab.snapshot.softmax)
    assert drawn == pytest.approx(drawn_lab.snapshot.drawn)
    hiddens, probabilities, connectivity = (image.get_array() for image in moments.images)
    assert (drawn_lab.snapshot.hiddens == hiddens.T).all()
    assert probabilities[0, 1:].data == pytest.approx(drawn_lab.snapshot.probabilities[1:])
    assert connectivity[0, :-3].data == pytest.approx(drawn_lab.snapshot.connectivity[:-3])
    assert bool(connectivity.mask[0, -3:].all())
    assert moments.patches[0].get_x() == drawn_lab.snapshot.position - 0.5


def test_a_model_that_cannot_be_followed_is_drawn_without_connectivity(drawn_lab, monkeypatch):
    monkeypatch.setattr(stepping, "connectivity", lambda *arguments: None)
    drawn_lab.update()
    moments = plots.prediction_steps(drawn_lab.snapshot).axes[1]
    assert len(moments.images) == 2
    assert any("not to be had" in text.get_text() for text in moments.texts)


def test_a_long_text_fits_the_picture(drawn_lab):
    size = struct.unpack(">II", drawn_lab.picture.value[16:24])
    for _ in range(5):
        drawn_lab.run.click()
    assert len(drawn_lab.snapshot.characters) == 60 < len(drawn_lab.text)
    assert struct.unpack(">II", drawn_lab.picture.value[16:24]) == size


def test_typing_while_the_model_writes_loses_nothing(lab):
    """JupyterLab delivers callbacks in a second thread: two buttons and a slider at once."""
    clicks = [lab.step.click] * 6 + [lab.run.click] * 2
    clicks += [lambda value=value: setattr(lab.look_back, "value", value) for value in range(1, 5)]
    threads = [threading.Thread(target=click) for click in clicks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lab.text == predict(PREFIX, 6 + 2 * RUN_LENGTH, lab.net, VOCAB, "cpu")
    assert lab.snapshot.characters == list(lab.text)[-60:]
    assert lab.errors.value == ""


def test_distributions_shares_one_scale_between_its_panels():
    named = {"cold": [0.9, 0.1], "warm": [0.6, 0.4], "hot": [0.5, 0.5]}
    panels = plots.distributions(named, ["e", " "]).axes
    assert [panel.get_title() for panel in panels] == list(named)
    for panel, probabilities in zip(panels, named.values(), strict=True):
        assert [bar.get_height() for bar in panel.patches] == probabilities
        assert [label.get_text() for label in panel.get_xticklabels()] == ["e", "␣"]
        assert panel.get_ylim() == (0, 1)


def test_the_static_picture_stands_beside_the_widget(drawn_lab):
    bundle = drawn_lab._repr_mimebundle_()
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)
