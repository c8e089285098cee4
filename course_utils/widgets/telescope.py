"""The gradient telescope: how far back in time a fresh recurrent layer can still learn from."""

import math
from dataclasses import dataclass

import ipywidgets
import torch
from torch import nn

from course_utils import plots
from course_utils.experiments.measuring import seeded
from course_utils.experiments.memory import expected_ratios, fitted_factor, gradient_by_lag
from course_utils.widgets.lab import Lab, choice, int_slider

CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


@dataclass(frozen=True)
class Sight:
    """What the telescope shows: the settings, the gradient at lag k over that at lag 0, and theory's, or None.

    `factor` and `expected_factor` are per step, fitted over the book's 35 steps or as many lags as there are.
    """

    cell: str
    num_hiddens: int
    scale: float
    orthogonal: bool
    forget_bias: float
    seed: int
    ratios: tuple
    expected: tuple | None
    factor: float
    expected_factor: float | None


def sight(
    build=None, cell="RNN", num_hiddens=64, scale=1.0, orthogonal=False, forget_bias=0.0, num_lags=61, seed=0,
    vocab_size=28, batch_size=8,
):  # fmt: skip
    """Build a layer, change its weights as asked, and measure its gradient by lag: the lab's plain-function twin.

    Cost: a forward and a backward pass, about 30 ms for H = 64 (`experiments.memory.gradient_by_lag`).

    Args:
        build: called as `build(cell, input_size, num_hiddens)`; returns an `nn.RNN`, `nn.GRU` or `nn.LSTM`, or a
            layer with the same attributes. Without it, torch's own.
        scale: every recurrent weight is multiplied by this.
        orthogonal: recurrent weights (of each gate) that keep every vector's length, before they are scaled.
        forget_bias: bias of an LSTM's forget gates; other cells have none, and ignore it.

    Returns:
        A `Sight`.
    """
    with seeded(seed), torch.no_grad():
        layer = _build(cell, vocab_size, num_hiddens) if build is None else build(cell, vocab_size, num_hiddens)
        _change_weights(layer, scale, orthogonal, forget_bias)
    ratios = gradient_by_lag(layer, num_lags, batch_size, seed)
    expected = _theory(cell, num_hiddens, scale, orthogonal, forget_bias, num_lags)
    return Sight(
        cell, num_hiddens, scale, orthogonal, forget_bias, seed, tuple(ratios), expected,
        _factor(ratios), None if expected is None else _factor(expected),
    )  # fmt: skip


def _build(cell, input_size, num_hiddens):
    return CELLS[cell](input_size, num_hiddens)


def _change_weights(layer, scale, orthogonal, forget_bias):
    """Change a layer in place; torch stacks the gates of a GRU (3) and an LSTM (4: input, forget, cell, output)."""
    H = layer.hidden_size
    if orthogonal:
        for gate in layer.weight_hh_l0.split(H):
            nn.init.orthogonal_(gate)
    layer.weight_hh_l0.mul_(scale)
    if len(layer.weight_hh_l0) == 4 * H and layer.bias:
        layer.bias_ih_l0[H : 2 * H] = forget_bias
        layer.bias_hh_l0[H : 2 * H] = 0  # torch adds two biases


def _theory(cell, num_hiddens, scale, orthogonal, forget_bias, num_lags):
    """`expected_ratios` for these settings; None where it has no answer: gates with other than torch's weights."""
    gain = scale * math.sqrt(3) if orthogonal else scale  # torch's weights shrink a length by the root of three
    arms = {"RNN": f"rnn scale {gain:.6f}", "GRU": "gru", "LSTM": f"lstm forget {forget_bias:.6f}"}
    if cell != "RNN" and (orthogonal or scale != 1):
        return None
    expected = expected_ratios(arms[cell], num_hiddens, num_lags)
    return None if expected is None else tuple(expected)


def _factor(ratios):
    """The factor per step up to lag 35, as far as numbers are above 0; nan if there are not two such."""
    seen = next((lag for lag, ratio in enumerate(ratios[:36]) if not ratio > 0), len(ratios[:36]))
    return fitted_factor(ratios, (0, seen - 1)) if seen > 1 else math.nan


class GradientTelescope(Lab):
    """Sliders over a recurrent layer's weights; below them how much of the gradient is left, step by step back in time.

    Each picture comes from a fresh layer and one backward pass. What it shows is kept as `record`, a `Sight`;
    `plots.telescope(record)` draws it without the lab.

    Args:
        build: as for `sight`; the reader's own function that builds a layer.
    """

    def __init__(self, build=None):
        self.build = build
        super().__init__(
            {
                "cell": choice("cell", list(CELLS)),
                "num_hiddens": int_slider("H, hidden units", 64, 8, 256, 8),
                "num_lags": int_slider("steps back", 61, 11, 121, 10),
                "seed": int_slider("seed", 0, 0, 20),
                "scale": _number_slider("scale of W_hh", 1.0, 0.4, 4.0, 0.1),
                "orthogonal": ipywidgets.Checkbox(False, description="orthogonal W_hh"),
                "forget_bias": _number_slider("forget bias", 0.0, -2.0, 6.0, 0.5),
            }
        )

    def arrange(self):
        """What is built on the left, with which weights on the right."""
        controls = list(self.controls.values())
        return [ipywidgets.HBox([ipywidgets.VBox(controls[:4]), ipywidgets.VBox(controls[4:])])]

    def draw(self):
        self.forget_bias.disabled = self.cell.value != "LSTM"
        self.record = sight(self.build, **{name: control.value for name, control in self.controls.items()})
        return plots.telescope(self.record)


def _number_slider(description, value, low, high, step):
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=description, readout_format=".1f",
        style={"description_width": "8em"}, layout={"width": "28em"},
    )  # fmt: skip
