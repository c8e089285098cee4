"""How far back in time a recurrent layer's gradient reaches: measured, and what theory expects (question 8).

Dimensions: T time steps, B batch size, V vocabulary, H hidden units. A lag k is a number of steps back in time.
"""

import itertools
import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import checked, gradients_on
from course_utils.experiments.measuring import seeded
from course_utils.experiments.shapes import CELLS


def plain_layer(cell, input_size, num_hiddens, **options):
    """Torch's layer with torch's first weights."""
    return CELLS[cell](input_size, num_hiddens, **options)


@checked()
def recurrent_layer(cell, input_size, num_hiddens, *, scale=1.0, orthogonal=False, identity=False, forget_bias=None,
                    build=plain_layer, seed=0, device="cpu"):  # fmt: skip
    """Build a layer and change its first weights; the same seed gives the same weights on every device.

    Args:
        scale: every recurrent weight is multiplied by this.
        orthogonal: recurrent weights (of each gate) that keep every vector's length, before they are scaled.
        identity: an RNN with ones on the diagonal, biases of 0 and relu (Le et al. 2015, arXiv 1504.00941).
        forget_bias: bias of an LSTM's forget gates (Jozefowicz et al. 2015); None leaves torch's.
        build: called as `build(cell, input_size, num_hiddens)`; returns an `nn.RNN`, `nn.GRU` or `nn.LSTM`, or a layer
            with the same attributes.

    Raises:
        ValueError: an unknown cell, or weights that the cell does not have.
    """
    if identity and (cell != "RNN" or orthogonal):
        raise ValueError("identity is for an RNN and takes the place of orthogonal; leave one of them out")
    if forget_bias is not None and cell != "LSTM":
        raise ValueError(f"forget_bias is {forget_bias}, but of the cells only an LSTM has a forget gate, no {cell}")
    with seeded(seed), torch.no_grad():
        layer = build(cell, input_size, num_hiddens, **({"nonlinearity": "relu"} if identity else {}))
        weights, H = layer.weight_hh_l0, layer.hidden_size
        if orthogonal:
            for gate in weights.split(H):  # torch stacks a GRU's 3, and an LSTM's 4: input, forget, cell, output
                nn.init.orthogonal_(gate)
        if identity:
            nn.init.eye_(weights)
            layer.bias_ih_l0.zero_(), layer.bias_hh_l0.zero_()
        weights.mul_(scale)
        if forget_bias is not None and len(weights) == 4 * H and layer.bias:
            layer.bias_ih_l0[H : 2 * H] = forget_bias
            layer.bias_hh_l0[H : 2 * H] = 0  # torch adds two biases
    return layer.to(device)


def gradient_by_lag(layer, num_lags=61, batch_size=32, seed=0):
    """Measure how much of the gradient is left after k steps back in time, for any recurrent layer, trained or not.

    The layer reads random tokens, 20 more than lags, so that its state has settled before. The loss is a random
    weighting of the last hidden state; its gradient is taken with respect to the one-hot input k steps earlier. Lengths
    of gradients are averaged over the batch as root mean squares (Bengio et al. 1994; Pascanu et al. 2013, arXiv
    1211.5063). Cost: 0.05 s. Below about 1e-38, float32 gives 0.

    Returns a list of num_lags numbers: the gradient's length at lag k, from 0 on, over its length at lag 0.
    """
    device = layer.weight_hh_l0.device
    with seeded(seed):
        tokens = torch.randint(layer.input_size, (num_lags + 20, batch_size))
        weighting = torch.randn(batch_size, layer.hidden_size).to(device)
    X = F.one_hot(tokens.to(device), layer.input_size).float().requires_grad_()  # (T, B, V)
    (gradient,) = torch.autograd.grad((layer(X)[0][-1] * weighting).sum(), X)
    squares = gradient.cpu().double().square().sum(dim=2).mean(dim=1).flip(0)  # (T): lag 0 first
    return (squares / squares[0]).sqrt()[:num_lags].tolist()


def expected_ratios(cell, num_hiddens, num_lags=61, *, scale=1.0, orthogonal=False, identity=False, forget_bias=None):
    """Return what theory expects of `gradient_by_lag` for a layer with fresh weights; None where it has no answer.

    One step back multiplies the gradient by keep * I + mix * G, where G is a random matrix that leaves a length as it
    is on average. The mean square after k steps is then the sum over j of (binomial(k, j) keep^(k - j) mix^j)².
    - RNN: keep = 0. Weights from U(-1/√H, 1/√H) have variance 1/(3H), so that mix is 1/√3 times the root mean square of
      tanh', which is near 1 unless the weights are scaled up (mean field: Sompolinsky et al. 1988, Poole et al. 2016).
    - GRU, LSTM: half-open gates keep 1/2, or sigmoid(bias) of the forget gate, and mix 1/2 * 1/2 * 1/√3. In the long
      run that is keep + mix = 0.64 a step. Holds while the cell's values stay small: biases up to about 1.
    """
    if identity or (forget_bias or 0) > 1 or (cell != "RNN" and (orthogonal or scale != 1)):
        return None
    if cell == "RNN":
        gain = scale if orthogonal else scale / math.sqrt(3)
        keep, mix = 0.0, gain * _slope(gain, num_hiddens)
    else:
        keep, mix = 1 / (1 + math.exp(-(forget_bias or 0))), 0.25 / math.sqrt(3)
    return [math.hypot(*(math.comb(k, j) * keep ** (k - j) * mix**j for j in range(k + 1))) for k in range(num_lags)]


def _slope(gain, num_hiddens):
    """The root mean square of tanh' where the hidden state has settled: q = gain² E[tanh²(√q z)] + 1/H, z normal."""
    z = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()
    q, before = 1.0, 0.0
    while abs(q - before) > 1e-9:
        q, before = gain**2 * (density * torch.tanh(math.sqrt(q) * z).square()).sum().item() + 1 / num_hiddens, q
    slope = 1 - torch.tanh(math.sqrt(q) * z).square()
    return math.sqrt((density * slope.square()).sum().item())


def fitted_factor(ratios, last=35):
    """Return the factor per step that fits lags 0 to `last` best: least squares on logarithms, as far as numbers are
    above 0; nan if there are not two such."""
    logs = [math.log(ratio) for ratio in itertools.takewhile(lambda ratio: ratio > 0, ratios[: last + 1])]
    return math.exp(statistics.linear_regression(range(len(logs)), logs).slope) if len(logs) > 1 else math.nan


@dataclass(frozen=True)
class Sight:
    """How far layers of one kind look back: the gradient at lag k over that at lag 0."""

    layer: tuple  # pairs (words, number) that say what it is, in the words {n} for the number, if there is one
    draws: tuple  # a tuple of ratios for each draw of the weights
    expected: tuple | None  # theory's ratios

    @property
    def name(self):
        """The layer in words, such as: LSTM, H = 64, forget bias 1."""
        return ", ".join(words.format(n=number) for words, number in self.layer)

    @property
    def ratios(self):
        """The geometric mean over the draws."""
        return tuple(math.prod(by_lag) ** (1 / len(by_lag)) for by_lag in zip(*self.draws, strict=True))

    @property
    def points(self):
        """Pairs (lag, ratio) of all draws, for `plots.lines`."""
        return [point for draw in self.draws for point in enumerate(draw)]

    @property
    def factor(self):
        """The factor per step fitted over the book's 35 steps, the mean over the draws."""
        return statistics.fmean(map(fitted_factor, self.draws))

    @property
    def expected_factor(self):
        return self.expected and fitted_factor(self.expected)


@checked(gradients_on)
def sight(cell="RNN", num_hiddens=64, num_lags=61, draws=5, batch_size=32, seed=0, build=plain_layer, device="cpu",
          **weights):  # fmt: skip
    """Build layers, measure their gradients by lag and return a `Sight`: the lab's plain-function twin.

    Cost: a forward and a backward pass for each draw, about 30 ms for H = 64.

    Args:
        draws: how many layers, with the seeds from `seed` on.
        build, weights: as for `recurrent_layer`.
    """
    drawn = []
    for number in range(seed, seed + draws):
        layer = recurrent_layer(cell, 28, num_hiddens, build=build, seed=number, device=device, **weights)
        drawn.append(tuple(gradient_by_lag(layer, num_lags, batch_size, number)))
    expected = expected_ratios(cell, num_hiddens, num_lags, **weights)
    return Sight(_described(cell, num_hiddens, **weights), tuple(drawn), expected and tuple(expected))


def _described(cell, num_hiddens, scale=1.0, orthogonal=False, identity=False, forget_bias=None):
    """A layer in pairs (words, number), see `Sight`."""
    always = [(cell, None), ("H = {n}", num_hiddens)]
    asked = [("orthogonal", None)] * orthogonal + [("identity", None)] * identity
    asked += [("weights times {n:.1f}", scale)] * (scale != 1)
    return (*always, *asked, *[("forget bias {n:g}", forget_bias)] * (forget_bias is not None))
