"""The gradient telescope: the record against theory, the picture against the record, the lab against both."""

import base64
import dataclasses
import math

import common  # noqa: F401 (one thread)
import pytest
import torch
from torch import nn

from course_utils import plots
from course_utils.experiments import memory
from course_utils.widgets import telescope
from course_utils.widgets.telescope import CELLS, GradientTelescope, sight


def build(cell, input_size, num_hiddens):
    return CELLS[cell](input_size, num_hiddens)


def halving(cell, input_size, num_hiddens):
    """A layer that multiplies by one half, whatever the cell; its inputs are so small that tanh is a straight line."""
    layer = nn.RNN(input_size, num_hiddens, bias=False)
    nn.init.eye_(layer.weight_hh_l0).mul_(0.5)
    layer.weight_ih_l0.mul_(1e-4)
    return layer


class Broken(nn.RNN):
    def forward(self, X):
        if self.hidden_size > 64:
            raise RuntimeError("no more than <64> units")
        return super().forward(X)


# --- the record


@pytest.mark.parametrize(
    ("settings", "arm"),
    [
        ({}, "rnn"),
        ({"scale": 3.0}, "rnn scale 3"),
        ({"orthogonal": True}, "rnn orthogonal"),
        ({"cell": "GRU"}, "gru"),
        ({"cell": "GRU", "forget_bias": 5.0}, "gru"),
        ({"cell": "LSTM"}, "lstm forget 0"),
        ({"cell": "LSTM", "forget_bias": 2.5}, "lstm forget 2.5"),
    ],
)
def test_settings_make_the_layers_of_the_experiments(settings, arm):
    seen = sight(num_hiddens=16, num_lags=31, seed=3, **settings)
    layer = memory.recurrent_layer(arm, 28, 16, seed=3)
    assert seen.ratios == tuple(memory.gradient_by_lag(layer, 31, batch_size=8, seed=3))
    expected = memory.expected_ratios(arm, 16, 31)
    assert seen.expected == (None if expected is None else pytest.approx(expected, rel=1e-4))


SETTINGS = [
    {},
    {"scale": 0.5},
    {"scale": 2.0},
    {"orthogonal": True},
    {"orthogonal": True, "scale": 0.7},
    {"cell": "GRU"},
    {"cell": "LSTM"},
    {"cell": "LSTM", "forget_bias": 1.0},
]


@pytest.fixture(scope="module")
def seen():
    """For each of the settings above four draws of the weights."""
    return [[sight(num_hiddens=256, num_lags=11, seed=seed, **settings) for seed in range(4)] for settings in SETTINGS]


def agrees(records, expected_factor):
    """Within 4 %: a fit over ten lags is that uncertain, as one matrix meets itself (lags / 4H = 1 %), and 8 rows."""
    factor = sum(record.factor for record in records) / len(records)
    return abs(factor / expected_factor - 1) < 0.04


def test_theory_gives_the_factor_of_its_own_settings(seen):
    for records in seen:
        assert agrees(records, records[0].expected_factor)


def test_theory_of_other_settings_does_not(seen):
    factors = [records[0].expected_factor for records in seen]
    for number, records in enumerate(seen):
        others = [other for other in factors if abs(other / factors[number] - 1) > 0.08]
        assert len(others) >= 5
        assert not any(agrees(records, other) for other in others)


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "LSTM", "forget_bias": 3.0},
        {"cell": "LSTM", "scale": 2.0},
        {"cell": "GRU", "scale": 0.5},
        {"cell": "GRU", "orthogonal": True},
    ],
)
def test_where_theory_has_no_answer_there_is_none(settings):
    record = sight(num_hiddens=8, num_lags=11, **settings)
    assert (record.expected, record.expected_factor) == (None, None)


@pytest.mark.parametrize(("cell", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_orthogonal_weights_are_so_gate_by_gate_and_then_scaled(cell, gates):
    layer = build(cell, 5, 8)
    with torch.no_grad():
        telescope._change_weights(layer, 2.0, True, 0.0)
    parts = layer.weight_hh_l0.split(8)
    assert len(parts) == gates
    for W in parts:
        torch.testing.assert_close(W @ W.T, 4 * torch.eye(8))


def test_looking_changes_no_random_number():
    before = torch.get_rng_state()
    sight(num_hiddens=8)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cell", CELLS)
def test_the_readers_own_layer_is_measured(cell):
    record = sight(halving, cell, num_hiddens=8, num_lags=21)
    assert record.ratios == pytest.approx([0.5**lag for lag in range(21)], rel=1e-4)
    assert record.factor == pytest.approx(0.5, rel=1e-4)
    assert sight(build, cell, num_hiddens=8) == sight(cell=cell, num_hiddens=8)


def test_gradients_that_float32_cannot_hold_are_left_out_of_the_factor():
    assert telescope._factor([1.0, 0.5, 0.25, 0.0, 0.0]) == pytest.approx(0.5)
    assert math.isnan(telescope._factor([1.0, 0.0]))
    record = sight(scale=0.001, num_hiddens=8)
    assert record.ratios[-1] == 0
    assert 0 < record.factor < 0.01
    assert plots.telescope(record).png().startswith(b"\x89PNG")


# --- the picture


@pytest.mark.parametrize("settings", [{}, {"cell": "LSTM", "forget_bias": 3.0, "scale": 1.5}])
def test_picture_draws_measurement_and_theory_and_says_what_is_left(settings):
    record = sight(num_hiddens=8, **settings)
    (axes,) = plots.telescope(record).axes
    drawn = [tuple(line.get_ydata()) for line in axes.lines]
    assert record.ratios in drawn
    assert (record.expected in drawn) == (record.expected is not None)
    assert axes.get_yscale() == "log"
    title = axes.get_title(loc="left")
    assert f"{record.cell}, H = 8" in title
    assert f"left after 35 steps: {record.ratios[35]:.1g}" in title
    legend = [text.get_text() for text in axes.get_legend().texts]
    assert f"measured: times {record.factor:.2f} a step" in legend
    assert len(legend) == 1 + (record.expected is not None)
    assert ("no theory" in axes.get_legend().get_title().get_text()) == (record.expected is None)


def test_picture_names_the_weights():
    record = sight(num_hiddens=8)
    names = {
        "torch's weights": record,
        "orthogonal weights": dataclasses.replace(record, orthogonal=True),
        "weights times 1.5": dataclasses.replace(record, scale=1.5),
        "forget bias 2.5": dataclasses.replace(record, cell="LSTM", forget_bias=2.5),
    }
    for name, changed in names.items():
        assert name in plots.telescope(changed).axes[0].get_title(loc="left")
    assert "torch's" not in plots.telescope(names["weights times 1.5"]).axes[0].get_title(loc="left")


def test_picture_of_few_lags_speaks_of_the_last_one():
    record = sight(num_hiddens=8, num_lags=11)
    (axes,) = plots.telescope(record).axes
    assert "left after 10 steps" in axes.get_title(loc="left")


def test_axis_stays_where_it_is_so_that_curves_move():
    limits = {plots.telescope(sight(num_hiddens=8, scale=scale)).axes[0].get_ylim() for scale in (0.5, 4.0)}
    assert len(limits) == 1


# --- the lab


class CountingTelescope(GradientTelescope):
    draws = 0

    def draw(self):
        self.draws += 1
        return super().draw()


@pytest.fixture(scope="module")
def lab():
    lab = CountingTelescope()
    lab.cell.value = "LSTM"  # the cell for which every control has something to do
    return lab


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cell", ("RNN", "GRU")),
        ("num_hiddens", (8, 128)),
        ("num_lags", (21, 121)),
        ("seed", (1, 7)),
        ("scale", (0.5, 3.0)),
        ("orthogonal", (True,)),
        ("forget_bias", (-1.0, 1.0, 4.0)),
    ],
)
def test_every_control_changes_record_and_picture_with_one_draw(lab, name, values):
    control = getattr(lab, name)
    default = control.value
    for value in values:
        before, draws = (lab.record, lab.picture.value), lab.draws
        control.value = value
        assert lab.record == sight(**{key: control.value for key, control in lab.controls.items()})
        assert (len(lab.record.ratios) if name == "num_lags" else getattr(lab.record, name)) == value
        assert lab.record.ratios != before[0].ratios
        assert lab.picture.value != before[1]
        assert lab.picture.value == plots.telescope(lab.record).png()
        assert lab.draws == draws + 1
        control.value = value
        assert lab.draws == draws + 1
    control.value = default


def test_lab_draws_once_at_first_and_keeps_a_static_picture():
    lab = CountingTelescope()
    assert lab.draws == 1
    assert base64.b64decode(lab._repr_mimebundle_()["image/png"]) == lab.picture.value


def test_one_layer_is_built_and_run_for_each_picture():
    built, ran = [], []

    def counting(*sizes):
        layer = build(*sizes)
        layer.register_forward_hook(lambda *_: ran.append(sizes))
        built.append(sizes)
        return layer

    lab = GradientTelescope(counting)
    lab.num_hiddens.value = 32
    assert built == ran == [("RNN", 28, 64), ("RNN", 28, 32)]


def test_forget_bias_can_be_turned_only_where_there_is_a_forget_gate():
    lab = GradientTelescope()
    for cell in ("LSTM", "GRU", "LSTM", "RNN"):
        lab.cell.value = cell
        assert lab.forget_bias.disabled == (cell != "LSTM")


def test_an_error_in_the_readers_layer_is_shown_and_raised_until_it_is_gone():
    lab = GradientTelescope(lambda cell, *sizes: Broken(*sizes))
    picture = lab.picture.value
    with pytest.raises(RuntimeError, match="no more than"):
        lab.num_hiddens.value = 128
    assert "RuntimeError: no more than &lt;64&gt; units" in lab.errors.value
    assert lab.picture.value == picture
    lab.num_hiddens.value = 32
    assert lab.errors.value == ""
    assert lab.picture.value != picture
