"""Why long sequences are hard: question 8, and what `detach` and clipping are for.

Dimensions: T time steps, B batch size, V vocabulary, H hidden units.

A recurrent layer is named by an arm: "rnn", "gru" or "lstm" as torch initialises them, or one of
- "rnn orthogonal": recurrent weights that keep every vector's length;
- "rnn identity": recurrent weights of 1 on the diagonal, biases of 0, relu (Le et al. 2015, arXiv 1504.00941);
- "rnn scale 4": recurrent weights four times torch's;
- "lstm forget 1": forget gates with a bias of 1 (Jozefowicz et al. 2015); any number will do.
"""

import math
import re
import statistics
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.experiments.measuring import graph_nodes, median_seconds, now, seeded, update, windows
from course_utils.models import RNNModel
from course_utils.training import detach, evaluate

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def recurrent_layer(arm, input_size, num_hiddens, seed=0, device="cpu"):
    """Build the layer of an arm; the same seed gives the same weights on every device.

    Raises:
        ValueError: an arm that is not described at the head of this module.
    """
    cell, option, value = _parts(arm)
    with seeded(seed), torch.no_grad():
        layer = CELLS[cell](input_size, num_hiddens, **{"nonlinearity": "relu"} if option == "identity" else {})
        if option == "orthogonal":
            nn.init.orthogonal_(layer.weight_hh_l0)
        elif option == "identity":
            nn.init.eye_(layer.weight_hh_l0)
            layer.bias_ih_l0.zero_(), layer.bias_hh_l0.zero_()
        elif option == "scale":
            layer.weight_hh_l0.mul_(value)
        elif option == "forget":  # gates are stacked as input, forget, cell, output, and torch adds two biases
            layer.bias_ih_l0[num_hiddens : 2 * num_hiddens] = value
            layer.bias_hh_l0[num_hiddens : 2 * num_hiddens] = 0
    return layer.to(device)


def _parts(arm):
    """Split an arm into its cell, its option and the option's number (None where there is none)."""
    found = re.fullmatch(r"(\w+)(?: ([a-z]+))?(?: (-?\d+(?:\.\d+)?))?", arm)
    cell, option, value = found.groups() if found else ("", None, None)
    known = {"rnn": (None, "orthogonal", "identity", "scale"), "gru": (None,), "lstm": (None, "forget")}
    if option not in known.get(cell, ()) or (value is not None) != (option in ("scale", "forget")):
        raise ValueError(f'arm is {arm!r}; it must be like "rnn", "rnn orthogonal", "rnn scale 4" or "lstm forget 1"')
    return cell, option, None if value is None else float(value)


def gradient_by_lag(layer, num_steps=61, batch_size=32, seed=0, tokens=None):
    """Measure how much of the gradient is left after k steps back in time, for any recurrent layer, trained or not.

    The loss is a random weighting of the last hidden state; its gradient is taken with respect to the one-hot input k
    steps earlier. Lengths of gradients are averaged over the batch as root mean squares (Bengio et al. 1994; Pascanu et
    al. 2013, arXiv 1211.5063). Cost: 0.05 s. Below about 1e-38, float32 gives 0.

    Args:
        num_steps: how many lags to return, from 0 on.
        tokens: (T, B) indices to read; by default random ones, 20 more than lags, so that the state has settled before.

    Returns:
        A list of num_steps numbers, at most T: the gradient's length at lag k over its length at lag 0.
    """
    device = layer.weight_hh_l0.device
    with seeded(seed):
        random_tokens = torch.randint(layer.input_size, (num_steps + 20, batch_size))
        tokens = random_tokens if tokens is None else tokens
        weighting = torch.randn(tokens.shape[1], layer.hidden_size).to(device)
    X = F.one_hot(tokens.to(device), layer.input_size).float().requires_grad_()  # (T, B, V)
    (gradient,) = torch.autograd.grad((layer(X)[0][-1] * weighting).sum(), X)
    squares = gradient.cpu().double().square().sum(dim=2).mean(dim=1).flip(0)  # (T): lag 0 first
    return (squares / squares[0]).sqrt()[:num_steps].tolist()


def expected_ratios(arm, num_hiddens, num_steps=61):
    """Return what theory expects of `gradient_by_lag` for a layer with fresh weights; None where it has no answer.

    One step back multiplies the gradient by keep * I + mix * G, where G is a random matrix that leaves a length as it
    is on average. The mean square after k steps is then the sum over j of (binomial(k, j) keep^(k - j) mix^j)².
    - rnn: keep = 0. Weights from U(-1/√H, 1/√H) have variance 1/(3H), so that mix is 1/√3 times the root mean square of
      tanh', which is near 1 unless the weights are scaled up (mean field: Sompolinsky et al. 1988, Poole et al. 2016).
    - gru, lstm: half-open gates keep 1/2, or sigmoid(bias) of the forget gate, and mix 1/2 * 1/2 * 1/√3. In the long
      run that is keep + mix = 0.64 a step. Holds while the cell's values stay small: biases up to about 1.
    """
    cell, option, value = _parts(arm)
    if option == "identity" or (option == "forget" and value > 1):
        return None
    if cell == "rnn":
        gain = 1.0 if option == "orthogonal" else (value or 1.0) / math.sqrt(3)
        keep, mix = 0.0, gain * _slope(gain, num_hiddens)
    else:
        keep, mix = 1 / (1 + math.exp(-(value or 0.0))), 0.25 / math.sqrt(3)
    squares = [
        sum((math.comb(k, j) * keep ** (k - j) * mix**j) ** 2 for j in range(k + 1))  # after k steps
        for k in range(num_steps)
    ]
    return [math.sqrt(square) for square in squares]


def _slope(gain, num_hiddens):
    """The root mean square of tanh' where the hidden state has settled: q = gain² E[tanh²(√q z)] + 1/H, z normal."""
    z = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()
    q = 1.0
    for _ in range(500):
        q = gain**2 * (density * torch.tanh(math.sqrt(q) * z).square()).sum().item() + 1 / num_hiddens
    slope = 1 - torch.tanh(math.sqrt(q) * z).square()
    return math.sqrt((density * slope.square()).sum().item())


def fitted_factor(ratios, lags=(0, 35)):
    """Return the factor per step that fits ratios[first] ... ratios[last] best: least squares on their logarithms."""
    first, last = lags
    xs, ys = list(range(first, last + 1)), [math.log(ratio) for ratio in ratios[first : last + 1]]
    return math.exp(statistics.linear_regression(xs, ys).slope)


@dataclass(frozen=True)
class GradientDecay:
    """The gradient at lag k over lag 0 for an arm: geometric mean, lowest and highest over several draws of weights.

    `factor` is the mean of the factors per step fitted for each draw, `error` its standard error; `expected` and
    `expected_factor` are theory's, or None.
    """

    arm: str
    num_hiddens: int
    ratios: tuple
    lowest: tuple
    highest: tuple
    expected: tuple | None
    factor: float
    error: float
    expected_factor: float | None


def gradient_decay(
    arm, num_hiddens=256, num_steps=61, batch_size=32, vocab_size=28, draws=5, lags=(0, 35), seed=0, device="cpu"
):
    """Measure the gradient by lag over several draws of an arm's weights (question 8). Cost: 0.3 s (H = 256), see
    `gradient_by_lag` and `expected_ratios`.

    Args:
        draws: how many layers, with the seeds from `seed` on; at least 2.
        lags: first and last lag of the fit.

    Returns:
        A `GradientDecay`.
    """
    layers = [recurrent_layer(arm, vocab_size, num_hiddens, seed + draw, device) for draw in range(draws)]
    drawn = [gradient_by_lag(layer, num_steps, batch_size, seed + draw) for draw, layer in enumerate(layers)]
    factors = [fitted_factor(ratios, lags) for ratios in drawn]
    by_lag, expected = list(zip(*drawn, strict=True)), expected_ratios(arm, num_hiddens, num_steps)
    return GradientDecay(
        arm,
        num_hiddens,
        ratios=tuple(map(statistics.geometric_mean, by_lag)),
        lowest=tuple(map(min, by_lag)),
        highest=tuple(map(max, by_lag)),
        expected=None if expected is None else tuple(expected),
        factor=statistics.fmean(factors),
        error=statistics.stdev(factors) / math.sqrt(draws),
        expected_factor=None if expected is None else fitted_factor(expected, lags),
    )


@dataclass(frozen=True)
class Recall:
    """How often a trained model names a sequence's first symbol, after as many updates as it took or was allowed."""

    arm: str
    num_hiddens: int
    gap: int
    accuracy: float
    chance: float
    updates: int
    seconds: float


def recall(
    arm, gap, num_hiddens=64, updates=300, lr=0.001, batch_size=32, num_symbols=4, num_fillers=4, seed=0, device="cpu"
):
    """Train a model to name the first symbol of a sequence after `gap` random fillers (question 8).

    Adam, clipping at 1, fresh sequences in every batch; training ends early when the last ten losses are near 0. The
    accuracy is that on 1,000 more sequences. Cost: 0.3 to 4 s, growing with gap; a GRU is the slowest.

    Args:
        arm: see the head of this module.
        gap: how many fillers stand between the symbol and the answer.

    Returns:
        A `Recall`; chance is 1 / num_symbols.
    """
    start = now(device)
    vocab_size = num_symbols + num_fillers
    rnn = recurrent_layer(arm, vocab_size, num_hiddens, seed, device)
    with seeded(seed):
        linear = nn.Linear(num_hiddens, num_symbols).to(device)
        generator = torch.Generator().manual_seed(seed)
    optimizer, losses = torch.optim.Adam([*rnn.parameters(), *linear.parameters()], lr), [math.inf]
    while len(losses) <= updates and max(losses[-10:]) > 0.02:
        X, labels = _sequences(gap, batch_size, num_symbols, num_fillers, generator, device)
        losses.append(update(optimizer, F.cross_entropy(linear(rnn(X)[0][-1]), labels)))
    with torch.no_grad():
        X, labels = _sequences(gap, 1000, num_symbols, num_fillers, generator, device)
        right = linear(rnn(X)[0][-1]).argmax(dim=1) == labels
    accuracy = right.float().mean().item()
    return Recall(arm, num_hiddens, gap, accuracy, 1 / num_symbols, len(losses) - 1, now(device) - start)


def _sequences(gap, batch_size, num_symbols, num_fillers, generator, device):
    """Draw one-hot sequences (gap + 1, B, symbols + fillers) and their first symbols (B)."""
    symbols = torch.randint(num_symbols, (1, batch_size), generator=generator)
    fillers = torch.randint(num_symbols, num_symbols + num_fillers, (gap, batch_size), generator=generator)
    tokens = torch.cat([symbols, fillers]).to(device)
    return F.one_hot(tokens, num_symbols + num_fillers).float(), tokens[0]


@dataclass(frozen=True)
class Clipping:
    """A training with or without clipping: by update, the loss and the gradient's norm before and after clipping."""

    arm: str
    max_norm: float | None
    losses: tuple
    norms_before: tuple
    norms_after: tuple
    held_out_perplexity: float


def clipping(
    arm, tokens, held_out, vocab_size, max_norm=1.0, num_hiddens=64, batch_size=32, num_steps=35, updates=200, lr=2.0,
    seed=0, device="cpu",
):  # fmt: skip
    """Train on a text with SGD, as the book does, and record what clipping does (question 8, the exploding side).

    Sequential windows with a carried state (Pascanu et al. 2013, arXiv 1211.5063). Cost: 0.8 s.

    Args:
        arm: see the head of this module; "rnn scale 2" explodes.
        tokens, held_out: long tensors.
        max_norm: gradients longer than this are shortened to it; None leaves them as they are.
        lr: the book's is 1; with 2, even torch's own weights often explode without clipping.

    Returns:
        A `Clipping`; held_out_perplexity may be inf.
    """
    with seeded(seed):
        net = RNNModel(recurrent_layer(arm, vocab_size, num_hiddens, seed), vocab_size).to(device)
        batches = list(windows(tokens, batch_size, num_steps, updates))
    optimizer, state = torch.optim.SGD(net.parameters(), lr), None
    losses, before, after = [], [], []
    for X, Y, begins in batches:
        state = net.begin_state(device, batch_size) if begins else detach(state)
        logits, state = net(X.to(device), state)
        loss = F.cross_entropy(logits, Y.to(device).T.flatten())
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        before.append(_norm(net))
        if max_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        after.append(_norm(net))
        optimizer.step()
    return Clipping(arm, max_norm, tuple(losses), tuple(before), tuple(after), evaluate(net, held_out, device))


def _norm(net):
    return nn.utils.get_total_norm([parameter.grad for parameter in net.parameters()]).item()


def without_detach(retain_graph=False, num_windows=2, seed=0, device="cpu"):
    """Train on a few windows, passing the state on without `detach`; return torch's complaint, or None if it has none.

    With `retain_graph=True`, as torch's first complaint suggests, the next one is about weights that the optimiser has
    changed since. Cost: 0.01 s.
    """
    with seeded(seed):
        net = RNNModel(nn.RNN(28, 16), 28).to(device)
        texts = torch.randint(28, (num_windows, 2, 36)).to(device)  # B = 2, T = 35
    optimizer, state = torch.optim.SGD(net.parameters(), 0.1), net.begin_state(device, batch_size=2)
    try:
        for window in texts:
            logits, state = net(window[:, :-1], state)
            optimizer.zero_grad()
            F.cross_entropy(logits, window[:, 1:].T.flatten()).backward(retain_graph=retain_graph)
            optimizer.step()
    except RuntimeError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class HistoryCost:
    """What backward costs at one window: nodes of autograd's graph behind the loss, and seconds."""

    window: int
    detached: bool
    nodes: int
    seconds: float


def history_cost(
    num_windows=8, num_steps=35, batch_size=32, vocab_size=28, num_hiddens=64, repeats=3, seed=0, device="cpu"
):
    """Measure how backward grows with a history that is never cut off (question 8), without updates of the weights.

    Cost: about 1 s.

    Returns:
        A list of `HistoryCost`: first all windows with `detach` between them, then all without. Seconds are medians of
        `repeats` backward passes.
    """
    with seeded(seed):
        net = RNNModel(nn.RNN(vocab_size, num_hiddens), vocab_size).to(device)
        texts = torch.randint(vocab_size, (num_windows, batch_size, num_steps + 1)).to(device)
    records = []
    for detached in (True, False):
        state = net.begin_state(device, batch_size)
        for number, window in enumerate(texts, start=1):
            logits, state = net(window[:, :-1], detach(state) if detached else state)
            loss = F.cross_entropy(logits, window[:, 1:].T.flatten())
            seconds = median_seconds({"backward": _backward_again(loss)}, repeats, device)["backward"]
            records.append(HistoryCost(number, detached, len(graph_nodes(loss)), seconds))
    return records


def _backward_again(loss):
    return lambda: loss.backward(retain_graph=True)
