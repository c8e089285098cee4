"""Question 8 and its lab: the gradient by lag against hand and theory, the picture against the record."""

import math
import statistics

import common  # noqa: F401 (one thread)
import numpy
import pytest
import torch
from torch import nn

from course_utils import plots
from course_utils.experiments import telescope
from course_utils.experiments.shapes import CELLS
from course_utils.experiments.telescope import expected_ratios, fitted_factor, gradient_by_lag, recurrent_layer, sight
from course_utils.widgets.telescope import GradientTelescope


def multiplying(factor):
    """A layer that multiplies by a number; its inputs are so small that tanh is a straight line."""
    layer = nn.RNN(28, 8, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(factor * torch.eye(8))
        layer.weight_ih_l0.mul_(1e-8)
    return layer


# --- layers


def test_options_change_what_they_name_and_nothing_else():
    plain, orthogonal, identity, scaled = (
        recurrent_layer("RNN", 5, 8, **weights).state_dict()
        for weights in ({}, {"orthogonal": True}, {"identity": True}, {"scale": 3})
    )
    orthogonal.pop("weight_hh_l0")
    assert torch.equal(identity["weight_hh_l0"], torch.eye(8))
    assert not identity["bias_ih_l0"].any()
    assert not identity["bias_hh_l0"].any()
    assert torch.equal(scaled.pop("weight_hh_l0"), 3 * plain["weight_hh_l0"])
    for changed in (orthogonal, scaled, {"weight_ih_l0": identity["weight_ih_l0"]}):
        assert all(torch.equal(value, plain[name]) for name, value in changed.items())
    assert recurrent_layer("RNN", 5, 8, identity=True).nonlinearity == "relu"


@pytest.mark.parametrize(("cell", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_orthogonal_weights_are_so_gate_by_gate_and_then_scaled(cell, gates):
    parts = recurrent_layer(cell, 5, 8, orthogonal=True, scale=2.0).weight_hh_l0.split(8)
    assert len(parts) == gates
    for W in parts:
        torch.testing.assert_close(W @ W.T, 4 * torch.eye(8))


def test_the_forget_bias_reaches_the_forget_gate():
    layer = recurrent_layer("LSTM", 5, 8, forget_bias=100)
    with torch.no_grad():  # a gate that is always open keeps the cell: its input gate may only add to it
        for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
            bias[:8] = -100
        cell = torch.randn(1, 1, 8)
        _, (_, kept) = layer(torch.randn(50, 1, 5), (torch.zeros(1, 1, 8), cell))
    torch.testing.assert_close(kept, cell)


def test_no_other_bias_is_touched():
    plain, biased = (recurrent_layer("LSTM", 5, 8, **weights).state_dict() for weights in ({}, {"forget_bias": 2}))
    plain["bias_ih_l0"][8:16], plain["bias_hh_l0"][8:16] = 2, 0
    assert all(torch.equal(value, plain[name]) for name, value in biased.items())


# --- the gradient by lag


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.2])
def test_a_layer_that_multiplies_by_a_number_shows_that_number(factor):
    ratios = gradient_by_lag(multiplying(factor), num_lags=20)
    assert ratios == pytest.approx([factor**k for k in range(20)], rel=1e-4)
    assert fitted_factor(ratios) == pytest.approx(factor, rel=1e-5)


def test_one_unit_agrees_with_the_chain_rule_by_hand():
    layer = nn.RNN(1, 1)  # of one symbol, so that its tokens are known
    h, slopes = torch.zeros(()), []
    with torch.no_grad():
        for _ in range(6 + 20):
            h = torch.tanh(layer.weight_ih_l0 + layer.weight_hh_l0 * h + layer.bias_ih_l0 + layer.bias_hh_l0)
            slopes.append(1 - h.item() ** 2)
    by_hand = [math.prod(slopes[25 - k :]) * abs(layer.weight_hh_l0.item()) ** k / slopes[25] for k in range(6)]
    read = []
    layer.register_forward_pre_hook(lambda layer, inputs: read.append(tuple(inputs[0].shape)))
    assert gradient_by_lag(layer, num_lags=6, batch_size=3) == pytest.approx(by_hand, rel=1e-4)
    assert read == [(6 + 20, 3, 1)], "20 steps to settle"


def test_the_fit_is_least_squares_on_logarithms_up_to_the_last_lag_above_0():
    assert fitted_factor([2.0 * 0.7**k * math.exp(0.01 * (-1) ** k) for k in range(41)]) == pytest.approx(0.7, rel=1e-3)
    assert fitted_factor([1.0, 0.5, 0.3, 9.0], last=2) == pytest.approx(math.sqrt(0.3))
    assert fitted_factor([1.0, 0.5]) == pytest.approx(0.5)
    assert fitted_factor([1.0, 0.5, 0.25, 0.0, 0.0]) == pytest.approx(0.5)
    assert math.isnan(fitted_factor([1.0, 0.0]))


# --- theory


@pytest.mark.parametrize("gain", [0.3, 1.0, 2.3])
def test_the_mean_slope_is_that_of_the_settled_state_by_another_quadrature(gain):
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(120)
    weights, q = weights / weights.sum(), 1.0
    for _ in range(1000):
        q = gain**2 * (weights * numpy.tanh(math.sqrt(q) * nodes) ** 2).sum() + 1 / 64
    slope = math.sqrt((weights * (1 - numpy.tanh(math.sqrt(q) * nodes) ** 2) ** 2).sum())
    assert telescope._slope(gain, 64) == pytest.approx(slope, rel=1e-5)


def test_a_sight_draws_layers_over_28_tokens_with_seeds_that_follow_each_other():
    sizes = []

    def build(*size):
        sizes.append(size)
        return telescope.plain_layer(*size)

    seen = sight("GRU", 8, 5, draws=3, seed=4, build=build)
    assert sizes == [("GRU", 28, 8)] * 3
    for number, draw in zip((4, 5, 6), seen.draws, strict=True):
        assert list(draw) == gradient_by_lag(recurrent_layer("GRU", 28, 8, seed=number), 5, seed=number)


LAGS, HIDDENS = 10, 256
KINDS = {
    "RNN": {},
    "half": {"scale": 0.5},
    "times 4": {"scale": 4.0},
    "orthogonal": {"orthogonal": True},
    "orthogonal, shorter": {"orthogonal": True, "scale": 0.7},
    "GRU": {"cell": "GRU"},
    "LSTM": {"cell": "LSTM"},
    "LSTM, bias 1": {"cell": "LSTM", "forget_bias": 1.0},
}


@pytest.fixture(scope="module")
def seen():
    return {name: sight(num_hiddens=HIDDENS, num_lags=41, draws=8, **weights) for name, weights in KINDS.items()}


def agrees(record, other):
    """Whether a measurement has the factor of the other's theory: within five standard errors, and k / 4H because all
    factors of a product are one matrix, not k fresh ones."""
    factors = [fitted_factor(draw, LAGS) for draw in record.draws]
    expected = fitted_factor(other.expected, LAGS)
    error = statistics.stdev(factors) / math.sqrt(len(factors))
    return abs(statistics.fmean(factors) - expected) < 5 * error + LAGS / (4 * HIDDENS) * expected


@pytest.mark.parametrize("name", KINDS)
def test_theory_gives_the_factor_of_its_own_settings_and_of_no_others(seen, name):
    equal = {"GRU", "LSTM"}  # the same half-open gates
    own = equal if name in equal else {name}
    found = {other for other in KINDS if agrees(seen[name], seen[other])}
    assert name in found
    assert found <= own


def test_theory_is_one_over_the_root_of_three_for_a_wide_default_rnn():
    expected = expected_ratios("RNN", num_hiddens=10**6, num_lags=36)
    assert expected == pytest.approx([3 ** (-k / 2) for k in range(36)], rel=1e-3)


def test_theory_of_gates_in_the_long_run():
    expected = expected_ratios("LSTM", 256, num_lags=400)
    assert expected[1] == pytest.approx(math.sqrt(1 / 4 + 1 / 48))
    assert expected[399] / expected[398] == pytest.approx(1 / 2 + 1 / (4 * math.sqrt(3)), rel=0.002)


@pytest.mark.parametrize(("weights", "answer"), [
    ({"identity": True}, False), ({"cell": "LSTM", "forget_bias": 1.0}, True),
    ({"cell": "LSTM", "forget_bias": 1.5}, False), ({"cell": "LSTM", "scale": 2.0}, False),
    ({"cell": "GRU", "scale": 0.5}, False), ({"cell": "GRU", "orthogonal": True}, False),
])  # fmt: skip
def test_where_theory_has_no_answer_there_is_none_and_else_it_is_drawn(weights, answer):
    record = sight(num_hiddens=8, num_lags=11, draws=1, **weights)
    assert bool(record.expected) == bool(record.expected_factor) == answer
    (axes,) = plots.telescope_picture(record).axes
    assert (record.expected in [tuple(line.get_ydata()) for line in axes.lines]) == answer
    assert "left after 10 steps" in axes.get_title(loc="left")  # the last one there is


def test_more_hidden_units_do_help_an_orthogonal_rnn():
    small, large = (sight("RNN", H, 36, draws=4, orthogonal=True) for H in (64, 512))
    assert min(map(fitted_factor, large.draws)) > max(map(fitted_factor, small.draws))


# --- the record


def test_a_sight_joins_its_draws():
    record = telescope.Sight((), ((1.0, 0.5, 0.25), (1.0, 0.5, 0.0625)), (1.0, 0.25, 0.0625))
    assert record.ratios == pytest.approx((1, 0.5, 0.125))
    assert record.factor == pytest.approx((0.5 + 0.25) / 2)
    assert record.expected_factor == pytest.approx(0.25)
    assert record.points[:4] == [(0, 1.0), (1, 0.5), (2, 0.25), (0, 1.0)]


@pytest.mark.parametrize("cell", CELLS)
def test_the_readers_own_layer_is_measured_whatever_the_cell(cell):
    def halving(cell, input_size, num_hiddens):
        return multiplying(0.5)

    record = sight(cell, 8, 21, draws=1, build=halving, **({"forget_bias": 1.0} if cell == "LSTM" else {}))
    assert record.ratios == pytest.approx([0.5**lag for lag in range(21)], rel=1e-4)


# --- the picture


def test_picture_draws_the_record_and_says_what_is_left():
    record = sight("LSTM", 8, scale=1.5, forget_bias=3.0, draws=1)
    (axes,) = plots.telescope_picture(record).axes
    assert record.ratios in [tuple(line.get_ydata()) for line in axes.lines]
    title, legend = axes.get_title(loc="left"), axes.get_legend()
    for words in ("LSTM, H = 8", "weights times 1.5", "forget bias 3", f"after 35 steps: {record.ratios[35]:.2g}"):
        assert words in title
    assert [text.get_text() for text in legend.texts] == [f"measured: times {record.factor:.2f} a step"]
    assert "no theory" in legend.get_title().get_text()


def test_axis_stays_where_it_is_so_that_curves_move():
    records = [sight(num_hiddens=8, scale=scale, draws=1) for scale in (0.001, 0.5, 4.0)]
    assert records[0].ratios[-1] == 0  # more than float32 can hold
    assert 0 < records[0].factor < 0.01
    assert len({plots.telescope_picture(record).axes[0].get_ylim() for record in records}) == 1
    assert plots.telescope_picture(records[0]).png().startswith(b"\x89PNG")


# --- the lab


def test_forget_bias_can_be_turned_only_where_there_is_a_forget_gate():
    lab = GradientTelescope()
    for cell in ("LSTM", "GRU", "LSTM", "RNN"):
        lab.cell.value = cell
        assert lab.forget_bias.disabled == (cell != "LSTM")


def test_a_name_tells_the_weights_that_are_not_torch_s_own():
    settings = [{}, {"scale": 1.0}, {"scale": 2.0}, {"orthogonal": True}, {"identity": True}]
    sights = [sight("RNN", 8, 3, draws=1, **weights) for weights in settings]
    names = [each.name for each in sights]
    assert names == [plots.telescope_picture(each).axes[0].get_title(loc="left").split("\n")[0] for each in sights]
    assert names[:2] == ["RNN, H = 8"] * 2
    assert names[2:] == [f"RNN, H = 8, {words}" for words in ("weights times 2.0", "orthogonal", "identity")]
