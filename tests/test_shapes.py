"""The shape explorer: the record against torch, the picture against the record, the lab against both."""

import base64
import dataclasses
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, plots
from course_utils.experiments import shapes
from course_utils.experiments.shapes import CELLS, layer_shapes
from course_utils.widgets.shapes import ShapeExplorer

T, B, V, H = 5, 3, 7, 4  # all different, so that no two axes can be mixed up unnoticed
every_layer = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"), list(itertools.product(CELLS, (1, 3), (False, True)))
)


class NoTranspose(RNNModel):
    """What a student may try: batch first into a layer that wants time first, and no state, which would tell."""

    def forward(self, inputs, state):
        hiddens, state = self.rnn(F.one_hot(inputs.long(), self.vocab_size).float())
        return self.linear(hiddens), state


class FailsOnLongInputs(RNNModel):
    def forward(self, inputs, state):
        if inputs.shape[1] > 6:
            raise RuntimeError("more than <6> steps")
        return super().forward(inputs, state)


class ForgetsLayer(RNNModel):
    def forward(self, inputs, state):
        return torch.zeros(inputs.numel(), self.vocab_size), state


class OnlyLayer(RNNModel):
    """A model without anything to learn after the layer."""

    def __init__(self, rnn_layer, vocab_size):
        super().__init__(rnn_layer, vocab_size)
        del self.linear

    def forward(self, inputs, state):
        return self.rnn(F.one_hot(inputs.T.long(), self.vocab_size).float(), state)


@pytest.fixture
def said(monkeypatch):
    """The words on the pictures, in the order in which they were drawn."""
    texts, words = [], plots.network.Sketch.words

    def listen(sketch, x, y, text, *args, **style):
        texts.append(text)
        words(sketch, x, y, text, *args, **style)

    monkeypatch.setattr(plots.network.Sketch, "words", listen)
    return texts


@pytest.fixture
def sheets(monkeypatch):
    """(rows, columns, width, height) of every matrix drawn."""
    drawn, draw_sheet = [], plots.shapes._draw_sheet

    def listen(sketch, x, y, *size):
        drawn.append(size)
        draw_sheet(sketch, x, y, *size)

    monkeypatch.setattr(plots.shapes, "_draw_sheet", listen)
    return drawn


# --- the record


@every_layer
def test_record_holds_the_shapes_of_the_layer_itself(cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    layer = CELLS[cell](V, H, num_layers, bidirectional=bidirectional)
    X = torch.zeros(T, B, V)
    Y, state = layer(X)
    state = state if isinstance(state, tuple) else (state,)
    assert (record.X, record.Y, record.state) == (X.shape, Y.shape, tuple(part.shape for part in state))
    assert record.weights == tuple((name, weight.shape) for name, weight in layer.named_parameters())
    assert record.logits == (T * B, V)
    width = (1 + bidirectional) * H
    assert record.head == (("linear.weight", (V, width)), ("linear.bias", (V,)))
    assert record.parameters == (sum(weight.numel() for weight in layer.parameters()), V * width + V)


@every_layer
def test_last_state_stands_in_the_outputs(cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    assert record.meets == (True,) * (1 + bidirectional)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_meeting_is_measured(bidirectional):
    Y, state = nn.RNN(V, H, 2, bidirectional=bidirectional)(torch.eye(V).reshape(V, 1, V))
    assert all(shapes._meets(Y, state, H, bidirectional))
    assert not any(shapes._meets(Y.flip(0), state, H, bidirectional))
    assert not any(shapes._meets(Y, state.flip(0), H, bidirectional))


@every_layer
def test_line_of_code_builds_the_layer(cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    layer = eval(record.code, {"nn": nn})
    assert isinstance(layer, CELLS[cell])
    assert record.weights == tuple((name, weight.shape) for name, weight in layer.named_parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_depend_on_layers_but_not_on_steps_or_batch(cell):
    counts = {layer_shapes(RNNModel, T, B, V, H, cell=cell).parameters for T in (1, 35, 1000) for B in (1, 32)}
    assert len(counts) == 1
    deeper = [layer_shapes(RNNModel, T, B, V, H, num_layers, cell=cell).parameters[0] for num_layers in (1, 2, 3)]
    assert deeper == sorted(set(deeper))


def test_looking_changes_no_random_number():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    layer_shapes(RNNModel, T, B, V, H)
    assert torch.equal(torch.rand(3), expected)


def test_record_shows_what_the_students_own_class_feeds_its_layer():
    record = layer_shapes(NoTranspose, T, B, V, H)
    assert (record.X, record.Y, record.state, record.logits) == ((B, T, V), (B, T, H), ((1, T, H),), (B, T, V))


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_steps", 0), ("batch_size", 0), ("vocab_size", -1), ("num_hiddens", 0), ("num_layers", 0), ("cell", "Elman")],
)
def test_sizes_and_cells_that_do_not_exist_are_named(name, value):
    asked = {"num_steps": T, "batch_size": B, "vocab_size": V, "num_hiddens": H, name: value}
    with pytest.raises(ValueError, match=str(value)):
        layer_shapes(RNNModel, **asked)


def test_a_model_that_forgets_its_layer_is_told_so():
    with pytest.raises(ValueError, match=r"ForgetsLayer\.forward never called"):
        layer_shapes(ForgetsLayer, T, B, V, H)


# --- the pictures


@every_layer
def test_every_tensor_is_drawn_to_scale(sheets, cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    plots.shape_picture(record)
    drawn = {(rows, columns) for rows, columns, _, _ in sheets}
    matrices = [record.X[1:], record.Y[1:], *(part[1:] for part in record.state), record.logits]
    weights = [(*shape, 1)[:2] for _, shape in record.weights + record.head]
    assert drawn == {*matrices, *weights}
    scales = [
        side / numbers for rows, columns, *size in sheets for numbers, side in zip((columns, rows), size, strict=True)
    ]
    assert scales == pytest.approx([scales[0]] * len(scales))


def test_a_scale_of_its_own_for_the_weights_is_announced(said, sheets):
    plots.shape_picture(layer_shapes(RNNModel, 2, 2, V, 256, 4, True, "LSTM"))
    scales = {round(width / columns, 6) for _, columns, width, _ in sheets if width > 2}
    assert len(scales) == 2
    ratio = max(scales) / min(scales)
    assert [text for text in said if f"(drawn {ratio:.0f} times smaller)" in text]


def test_logits_too_long_for_the_picture_are_cut_and_say_so(said):
    plots.shape_picture(layer_shapes(RNNModel, 5, 2, 8, 4))
    assert "cut: too long" not in said
    plots.shape_picture(layer_shapes(RNNModel, 40, 40, 2, 4))
    assert "cut: too long" in said


def test_picture_says_code_shapes_and_number_of_parameters(said):
    record = layer_shapes(RNNModel, T, B, V, H, 2, True, "LSTM")
    plots.shape_picture(record)
    wanted = [record.X, record.Y, *record.state, record.logits]
    assert {f"layer = {record.code}", *map(str, wanted)} <= set(said)
    assert [text for text in said if all(f"{count:,}" in text for count in record.parameters)]
    weights = {f"W_ih {shape}" for name, shape in record.weights if name.startswith("weight_ih")}
    assert weights == {text for text in said if text.startswith("W_ih")}
    assert {"Y[-1, :, :H] = h[-2]", "Y[0, :, H:] = h[-1]"} <= set(said)


def test_picture_marks_axes_and_meetings_that_are_not_as_they_should_be(said):
    plots.shape_picture(layer_shapes(RNNModel, T, B, V, H))
    assert not [text for text in said if "≠" in text]
    record = dataclasses.replace(layer_shapes(NoTranspose, T, B, V, H), meets=(False,))
    plots.shape_picture(record)
    marked = {text for text in said if "≠" in text}
    assert marked == {"X ≠ (T, B, V)", "Y ≠ (T, B, H)", "state ≠ (L, B, H)", "logits ≠ (T·B, V)", "Y[-1] ≠ state[-1]"}


def test_a_model_without_further_weights_can_be_drawn(said):
    plots.shape_picture(layer_shapes(OnlyLayer, T, B, V, H))
    assert "after the layer" not in said


@pytest.mark.parametrize("num_steps", [1, 6, 7, 1000])
def test_long_inputs_are_drawn_with_an_ellipsis(said, num_steps):
    plots.unrolled_picture(num_steps)
    steps = list(range(num_steps)) if num_steps <= 6 else [0, 1, 2, num_steps - 2, num_steps - 1]
    for name in "XY":
        assert [text for text in said if text.startswith(name)] == [f"{name}[{step}]" for step in steps]
    assert ("· · ·" in said) == (num_steps > 6)


def test_every_row_of_the_network_ends_in_its_state(said):
    plots.unrolled_picture(2, num_layers=2, bidirectional=True)
    assert [text for text in said if "state" in text] == ["state[0]", "state[1]", "state[2]", "state[3]"]
    plots.unrolled_picture(2, num_layers=2, cell="LSTM")
    assert [text for text in said if "h[" in text] == ["h[0], c[0]", "h[1], c[1]"]


@pytest.mark.parametrize("sizes", [(1, 1, 2, 1), (40, 40, 40, 256, 4, True, "LSTM")])
def test_pictures_stay_quick_two_artists_and_no_text_to_lay_out(sizes):
    (axes,) = plots.shape_picture(layer_shapes(RNNModel, *sizes)).axes
    assert len(axes.collections) == 2
    assert not axes.texts
    assert not axes.lines
    assert not axes.patches


# --- the lab


class CountingExplorer(ShapeExplorer):
    draws = 0

    def draw(self):
        self.draws += 1
        return super().draw()


@pytest.fixture(scope="module")
def lab():
    return CountingExplorer()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("num_steps", (1, 35)),
        ("batch_size", (1, 32)),
        ("vocab_size", (2, 28)),
        ("num_hiddens", (1, 256)),
        ("num_layers", (2, 4)),
        ("cell", ("GRU", "LSTM")),
        ("bidirectional", (True, False)),
    ],
)
def test_every_control_changes_record_and_picture_with_one_draw(lab, name, values):
    control = getattr(lab, name)
    default = control.value
    for value in values:
        before, draws = (lab.record, lab.picture.value), lab.draws
        control.value = value
        assert getattr(lab.record, name) == value
        assert lab.record == layer_shapes(RNNModel, **{key: control.value for key, control in lab.controls.items()})
        assert lab.record != before[0]
        assert lab.picture.value != before[1]
        assert lab.draws == draws + 1
        control.value = value
        assert lab.draws == draws + 1
    control.value = default


def test_lab_draws_once_at_first_and_keeps_a_static_picture():
    lab = CountingExplorer()
    assert lab.draws == 1
    lab.num_layers.value = 2
    assert lab.draws == 2
    assert lab.picture.value == plots.shape_picture(lab.record).png()
    assert base64.b64decode(lab._repr_mimebundle_()["image/png"]) == lab.picture.value


def test_lab_runs_the_students_own_class():
    lab = ShapeExplorer(model=NoTranspose)
    assert lab.record.X == (2, 5, 8)


def test_an_error_in_the_students_class_is_shown_and_raised_until_it_is_gone():
    lab = ShapeExplorer(model=FailsOnLongInputs)
    picture = lab.picture.value
    with pytest.raises(RuntimeError, match="more than"):
        lab.num_steps.value = 7
    assert "RuntimeError: more than &lt;6&gt; steps" in lab.errors.value
    assert lab.picture.value == picture
    lab.num_steps.value = 6
    assert lab.errors.value == ""
    assert lab.picture.value != picture
