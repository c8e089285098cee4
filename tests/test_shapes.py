"""The shape explorer: the record against torch, the picture against the record; the lab is in test_labs.py."""

import dataclasses
import itertools

import pytest
import torch
from common import spy
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, plots
from course_utils.experiments import shapes
from course_utils.experiments.shapes import CELLS, layer_shapes

T, B, V, H = 5, 3, 7, 4  # all different, so that no two axes can be mixed up unnoticed
EXTREMES = [(1, 1, 2, 1), (1000, 1, 28, 256), (40, 40, 40, 256, 4, True, "LSTM"), (40, 40, 2, 4)]
every_layer = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"), list(itertools.product(CELLS, (1, 3), (False, True)))
)


class NoTranspose(RNNModel):
    """What a student may try: batch first into a layer that wants time first, and no state, which would tell."""

    def forward(self, inputs, state):
        hiddens, state = self.rnn(F.one_hot(inputs.long(), self.vocab_size).float())
        return self.linear(hiddens), state


class ForgetsLayer(RNNModel):
    def forward(self, inputs, state):
        return inputs, state


@pytest.fixture
def said(monkeypatch):
    """The words on the pictures, in the order in which they were drawn."""
    return spy(monkeypatch, plots.network.Sketch, "words", 3)


@pytest.fixture
def sheets(monkeypatch):
    """(rows, columns, width, height) of every matrix drawn."""
    return spy(monkeypatch, plots.shapes, "_draw_sheet", slice(3, None))


@every_layer
def test_record_holds_the_shapes_of_the_layer_itself(cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    layer, width = eval(record.code, {"nn": nn}), (1 + bidirectional) * H
    assert isinstance(layer, CELLS[cell])
    X = torch.zeros(T, B, V)
    Y, state = layer(X)
    state = state if isinstance(state, tuple) else (state,)
    assert (record.X, record.Y, record.state) == (X.shape, Y.shape, tuple(part.shape for part in state))
    assert record.weights == tuple((name, weight.shape) for name, weight in layer.named_parameters())
    assert record.logits == (T * B, V)
    assert record.head == (("linear.weight", (V, width)), ("linear.bias", (V,)))
    assert record.parameters == (sum(weight.numel() for weight in layer.parameters()), V * width + V)
    assert record.meets == (True,) * (1 + bidirectional)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_meeting_is_measured(bidirectional):
    Y, state = nn.RNN(V, H, 2, bidirectional=bidirectional)(torch.eye(V).reshape(V, 1, V))
    assert all(shapes._meets(Y, state, H, bidirectional))
    assert not any(shapes._meets(Y.flip(0), state, H, bidirectional))
    assert not any(shapes._meets(Y, state.flip(0), H, bidirectional))


@pytest.mark.parametrize(("cell", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_parameters_depend_on_layers_but_not_on_steps_or_batch(cell, gates):
    for steps, rows, layers in itertools.product((1, 35, 1000), (1, 32), (1, 2, 3)):
        record = layer_shapes(RNNModel, steps, rows, V, H, layers, cell=cell)
        assert record.parameters[0] == gates * (V * H + H * H + 2 * H + (layers - 1) * (2 * H * H + 2 * H))
        assert set(record.state) == {(layers, rows, H)}
        assert (f"num_layers={layers}" in record.code) == (layers > 1)


def test_record_shows_what_the_students_own_class_feeds_its_layer_and_draws_no_random_number():
    before = torch.get_rng_state()
    record = layer_shapes(NoTranspose, T, B, V, H)
    assert torch.equal(torch.get_rng_state(), before)
    assert (record.X, record.Y, record.state, record.logits) == ((B, T, V), (B, T, H), ((1, T, H),), (B, T, V))


def test_a_model_that_forgets_its_layer_is_told_so():
    with pytest.raises(ValueError, match=r"ForgetsLayer\.forward never called"):
        layer_shapes(ForgetsLayer, T, B, V, H)


@every_layer
def test_every_tensor_is_drawn_to_scale(sheets, cell, num_layers, bidirectional):
    record = layer_shapes(RNNModel, T, B, V, H, num_layers, bidirectional, cell)
    plots.shape_picture(record)
    matrices = [record.X[1:], record.Y[1:], *(part[1:] for part in record.state), record.logits]
    weights = [(*shape, 1)[:2] for _, shape in record.weights + record.head]
    assert {(rows, columns) for rows, columns, _, _ in sheets} == {*matrices, *weights}
    scales = [scale for rows, columns, width, height in sheets for scale in (width / columns, height / rows)]
    assert scales == pytest.approx([scales[0]] * len(scales))


def test_a_scale_of_its_own_for_the_weights_is_announced(said, sheets):
    plots.shape_picture(layer_shapes(RNNModel, 2, 2, V, 256, 4, True, "LSTM"))
    small, large = sorted({round(width / columns, 6) for _, columns, width, _ in sheets if width > 2})
    assert [text for text in said if f"(drawn {large / small:.0f} times smaller)" in text]


def test_picture_says_code_shapes_and_number_of_parameters(said):
    record = layer_shapes(RNNModel, T, B, V, H, 2, True, "LSTM")
    plots.shape_picture(record)
    assert {f"layer = {record.code}", *map(str, [record.X, record.Y, *record.state, record.logits])} <= set(said)
    assert [text for text in said if all(f"{count:,}" in text for count in record.parameters)]
    weights = {f"W_ih {shape}" for name, shape in record.weights if name.startswith("weight_ih")}
    assert weights == {text for text in said if text.startswith("W_ih")}
    assert {"Y[-1, :, :H] = h[-2]", "Y[0, :, H:] = h[-1]"} <= set(said)


def test_picture_marks_axes_and_meetings_that_are_not_as_they_should_be(said):
    plots.shape_picture(layer_shapes(RNNModel, T, B, V, H))
    assert not [text for text in said if "≠" in text]
    plots.shape_picture(dataclasses.replace(layer_shapes(NoTranspose, T, B, V, H), meets=(False,)))
    marked = {text for text in said if "≠" in text}
    assert marked == {"X ≠ (T, B, V)", "Y ≠ (T, B, H)", "state ≠ (L, B, H)", "logits ≠ (T·B, V)", "Y[-1] ≠ state[-1]"}


def test_a_model_without_further_weights_can_be_drawn(said):
    def only_layer(rnn_layer, vocab_size):
        net = RNNModel(rnn_layer, vocab_size)
        net.linear = nn.Identity()
        return net

    plots.shape_picture(layer_shapes(only_layer, T, B, V, H))
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
    plots.shape_picture(layer_shapes(RNNModel, T, B, V, H, 2, cell="LSTM"))
    assert [text for text in said if text.startswith("h[")] == ["h[0], c[0]", "h[1], c[1]"]


@pytest.mark.parametrize("sizes", EXTREMES)
def test_pictures_of_any_size_fit_and_stay_quick(said, sizes):
    (axes,) = plots.shape_picture(layer_shapes(RNNModel, *sizes)).axes
    assert ("cut: too long" in said) == (sizes == EXTREMES[-1])  # logits
    assert len(axes.collections) == 2  # two artists and no text to lay out
    assert not [*axes.texts, *axes.lines, *axes.patches]
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for path in (path for collection in axes.collections for path in collection.get_paths()):
        inside = path.get_extents()
        assert low <= inside.x0 <= inside.x1 <= high
        assert top <= inside.y0 <= inside.y1 <= bottom
