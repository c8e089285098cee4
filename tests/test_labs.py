"""What a reader may expect of every lab: one picture a change, her own code at work, and errors that are seen."""

import base64
import struct
import sys
import types

import ipywidgets
import pytest
import torch
from common import STORY, spy
from torch import nn

from course_utils import RNNModel, plots
from course_utils.experiments.explorer import read as read_runs
from course_utils.experiments.microscope import focus
from course_utils.experiments.ribbon import corpus_ribbon
from course_utils.experiments.shapes import layer_shapes
from course_utils.experiments.telescope import sight
from course_utils.prediction import distribution
from course_utils.text import Vocab, seq_data_iter_random, seq_data_iter_sequential
from course_utils.widgets.explorer import RunExplorer
from course_utils.widgets.lab import FunctionLab, int_slider
from course_utils.widgets.microscope import TensorMicroscope
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.telescope import GradientTelescope
from course_utils.widgets.training_lab import TrainingLab

TEXT = "a short text of the course for the vocabulary and for the ribbon " * 4
VOCAB = Vocab(list(TEXT))


def read(one_hot, layout):
    """A small model of the reader's for the microscope: without the transpose, steps and sentences change places."""
    weight = torch.linspace(-1, 1, one_hot.shape[2])
    by_time = (one_hot if layout == "none" else one_hot.transpose(0, 1)) @ weight
    sums = by_time.cumsum(0).tanh()
    return (sums if layout == "none" else sums.transpose(0, 1))[..., None]


def build(cell, input_size, num_hiddens):
    return getattr(nn, cell)(input_size, num_hiddens)


def windows(size):
    return plots.text_windows(["a" * size])


def ribbon(cut=seq_data_iter_sequential):
    return CorpusRibbon({"sequential": cut, "random": seq_data_iter_random}, TEXT[:240])


def stepper(shown=None):
    torch.manual_seed(0)
    net = RNNModel(nn.RNN(len(VOCAB), 8), len(VOCAB))
    lab = PredictionStepper(net, VOCAB, "cpu", prefix="the cou", **({"distribution": shown} if shown else {}))
    lab.temperature.value = 1.0  # else the most probable character is certain, whatever top k says
    return lab


def telescope(build=build):
    lab = GradientTelescope(build)
    lab.cell.value, lab.num_hiddens.value = "LSTM", 16  # the cell for which every control has something to do
    return lab


# name -> (the reader's function or class, how to open the lab with it)
LABS = {
    "shapes": (RNNModel, ShapeExplorer),
    "microscope": (read, lambda read=read: TensorMicroscope(read, torch.arange(12).reshape(3, 4), VOCAB)),
    "ribbon": (seq_data_iter_sequential, ribbon),
    "stepper": (distribution, stepper),
    "telescope": (build, telescope),
    "function": (windows, lambda draw=windows: FunctionLab(draw, size=int_slider("size", 5, 1, 9))),
}
PICTURES = {name: open_lab for name, (_, open_lab) in LABS.items()}
PICTURES |= {"explorer": lambda: RunExplorer(read_runs("explore").records[::7])}
PICTURES |= {"training": lambda: TrainingLab(corpus=STORY, device="cpu")}
every_lab = pytest.mark.parametrize("name", LABS)


def ribbon_twin(sampling, batch_size, num_steps, seed, batch):
    cut = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}[sampling]
    return corpus_ribbon(cut, 240, batch_size, num_steps, seed, batch)


def telescope_twin(forget_bias, **values):
    return sight(draws=1, batch_size=8, **values, **({"forget_bias": forget_bias} if values["cell"] == "LSTM" else {}))


# name -> (the plain function that makes the record of the controls' values, the one that draws it)
TWINS = {
    "shapes": (lambda **values: layer_shapes(RNNModel, **values), plots.shape_picture),
    "microscope": (lambda way, b, t: focus(read, torch.arange(12).reshape(3, 4), VOCAB, way, b, t),
                   plots.microscope_picture),
    "ribbon": (ribbon_twin, lambda record: plots.ribbon_picture(record, TEXT[:240])),
    "telescope": (telescope_twin, plots.telescope_picture),
}  # fmt: skip


def others(control):
    """Other values of a control, the last one its own: a switch has both, a slider its far end, a choice all."""
    value = control.value
    if isinstance(value, bool):
        return [not value, value]
    if hasattr(control, "options"):
        return [option for option in control.options if option != value] + [value]
    if isinstance(control, ipywidgets.Text):
        return [value + " a", value]
    return [control.max if value < control.max else control.min, value]


@every_lab
def test_each_move_of_each_control_draws_one_new_picture(name, monkeypatch):
    lab = PICTURES[name]()
    drawn = spy(monkeypatch, lab, "draw")
    for control_name, control in lab.controls.items():
        for value in others(control):
            shown = lab.picture.value
            drawn.clear()
            control.value = value
            assert len(drawn) == 1, control_name
            silent = name == "stepper" and control_name == "seed"  # it tells what will be written, not what is
            assert silent or lab.picture.value != shown, control_name
            control.value = value
            assert len(drawn) == 1, "nothing was moved"
            if name in TWINS:
                record, picture = TWINS[name]
                assert lab.record == record(**{each: other.value for each, other in lab.controls.items()})
                assert lab.picture.value == picture(lab.record).png()


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_stands_beside_the_widget_and_the_presenter_enlarges_it(name):
    lab = PICTURES[name]()
    small, bundle = bytes(lab.picture.value), lab._repr_mimebundle_()
    assert small.startswith(b"\x89PNG")
    assert lab._dom_classes == ("course-lab",)
    assert base64.b64decode(bundle["image/png"]) == small  # for readers without a kernel
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.model_id
    lab.presenter.value = True
    (width, height), (wide, high) = (struct.unpack(">II", png[16:24]) for png in (small, lab.picture.value))
    assert (wide, high) == pytest.approx((1.5 * width, 1.5 * height), abs=1)
    assert "course-presenter" in lab._dom_classes
    assert ".course-presenter" in lab.children[-1].value
    lab.presenter.value = False
    assert lab.picture.value == small
    assert lab._dom_classes == ("course-lab",)


@every_lab
def test_two_labs_of_a_kind_do_not_disturb_each_other(name):
    first, second = PICTURES[name](), PICTURES[name]()
    before = second.picture.value
    assert first.picture.value == before
    for lab in (first, second):
        control = next(iter(lab.controls.values()))
        control.value = others(control)[0]
        assert (second.picture.value == before) == (lab is first)
    assert first.picture.value == second.picture.value


@pytest.fixture
def cell(monkeypatch):
    """Runs a cell in which the reader defines `mine`, her own version of `thing`; `happens` is called in it."""
    notebook = types.ModuleType("notebook_of_a_reader")
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)

    def run(thing, happens):
        def mine(*args, **kwargs):
            happens()
            return thing(*args, **kwargs)

        mine.__module__, mine.__qualname__ = notebook.__name__, "mine"
        notebook.mine = mine
        return mine

    return run


@every_lab
def test_an_error_in_the_readers_code_is_shown_and_raised_until_it_is_gone(name, cell):
    thing, open_lab = LABS[name]
    troubles = []
    lab = open_lab(cell(thing, lambda: [float(trouble) for trouble in troubles]))
    picture = lab.picture.value
    troubles.append("a <b>")
    with pytest.raises(ValueError, match="could not convert"):
        lab.update()
    assert "ValueError: could not convert string to float: &#x27;a &lt;b&gt;&#x27;" in lab.errors.value
    assert lab.picture.value == picture
    troubles.clear()
    lab.update()
    assert lab.errors.value == ""


@every_lab
def test_code_defined_anew_runs_once_a_picture_in_an_open_lab_and_code_kept_under_another_name_stays(name, cell):
    thing, open_lab = LABS[name]
    ran = []
    kept = cell(thing, lambda: ran.append("first"))
    follows = open_lab(kept)
    cell(thing, lambda: ran.append("second"))
    for lab, expected in ((follows, "second"), (open_lab(kept), "first")):
        ran.clear()
        lab.update()
        assert ran == [expected]
