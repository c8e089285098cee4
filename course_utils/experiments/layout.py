"""Which axis is time, and what that decides: questions 2, 3, 4 and 6.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary, H hidden units, L layers.
"""

import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.experiments.measuring import graph_nodes, median_seconds, now, seeded, update, windows
from course_utils.models import RNNModel
from course_utils.training import baselines, detach, evaluate

LAYOUTS = ("transpose", "batch_first", "none", "reshape")
ARMS = (*LAYOUTS, "untransposed labels")
SHAPES = ((1, 1120), (4, 280), (32, 35), (160, 7), (1120, 1))  # (B, T): the same 1,120 tokens


class LayoutModel(nn.Module):
    """A recurrent and a linear layer that read one-hot tokens (B, T, V), their axes handed over in one of `LAYOUTS`.

    The scores come back as (B, T, V) in the order in which somebody who believes in the layout would read them: those
    at [b, t] are meant for the token after step t of sentence b.
    """

    def __init__(self, layout, vocab_size, num_hiddens):
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"layout is {layout!r}; it must be one of {', '.join(LAYOUTS)}")
        self.layout = layout
        self.rnn = nn.RNN(vocab_size, num_hiddens, batch_first=layout == "batch_first")
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(self, X):
        batch_size, num_steps, vocab_size = X.shape
        if self.layout == "transpose":
            return self.linear(self.rnn(X.transpose(0, 1))[0]).transpose(0, 1)
        if self.layout == "reshape":  # the right shape with the wrong numbers in it
            return self.linear(self.rnn(X.reshape(num_steps, batch_size, vocab_size))[0]).transpose(0, 1)
        return self.linear(self.rnn(X)[0])


def dependencies(layout, batch_size=2, num_steps=5, vocab_size=8, num_hiddens=16, seed=0, device="cpu"):
    """Measure which inputs an output depends on (questions 2 and 4): where its gradient is not exactly 0.

    Inputs are random one-hot tokens (B, T, V); no state is passed. Cost: 0.01 s for 10 tokens, growing as (B * T)².

    Args:
        layout: one of `LAYOUTS`.

    Returns:
        A boolean tensor (B, T, B, T) on the CPU: at [b, t, b', t'] whether the output for step t of sentence b depends
        on the input at step t' of sentence b'.
    """
    with seeded(seed):
        net = LayoutModel(layout, vocab_size, num_hiddens).to(device)
        X = F.one_hot(torch.randint(vocab_size, (batch_size, num_steps)), vocab_size).float().to(device)
        direction = torch.randn(vocab_size).to(device)  # so that no two gradients cancel each other
    outputs = (net(X.requires_grad_()) @ direction).flatten()  # (B * T)
    gradients = [torch.autograd.grad(output, X, retain_graph=True)[0] for output in outputs]
    return (torch.stack(gradients) != 0).any(dim=-1).reshape(batch_size, num_steps, batch_size, num_steps).cpu()


def batch_first_difference(batch_size=32, num_steps=35, vocab_size=28, num_hiddens=64, seed=0, device="cpu"):
    """Return the largest difference between the scores with `batch_first=True` and with a transpose (question 2).

    Both have the same weights and inputs; 0.0 means equal to the last bit. Cost: 0.01 s.
    """
    with seeded(seed):
        ours = LayoutModel("transpose", vocab_size, num_hiddens).to(device)
        theirs = LayoutModel("batch_first", vocab_size, num_hiddens).to(device)
        X = F.one_hot(torch.randint(vocab_size, (batch_size, num_steps)), vocab_size).float().to(device)
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        return (ours(X) - theirs(X)).abs().max().item()


def untransposed_with_state(batch_size=2, num_steps=5, vocab_size=8, num_hiddens=16, device="cpu"):
    """Return what torch says to inputs (B, T, V) without the transpose together with a state (1, B, H) (question 2).

    None where it says nothing, which is so whenever B = T: then nothing but the results gives the mistake away.
    Cost: 0.001 s.
    """
    with seeded(0):
        rnn = nn.RNN(vocab_size, num_hiddens).to(device)
    X = torch.zeros(batch_size, num_steps, vocab_size, device=device)
    try:
        rnn(X, torch.zeros(1, batch_size, num_hiddens, device=device))
    except RuntimeError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class AxisOrder:
    """How long one way over a batch takes; strides count numbers in memory, `ratio` is to the first way."""

    way: str
    shape: tuple
    strides: tuple
    seconds: float
    ratio: float


def axis_orders(
    batch_size=32, num_steps=35, vocab_size=28, num_hiddens=256, repeats=40, passed="forward", seed=0, device="cpu"
):
    """Measure what it costs when time is the middle axis (question 2), as medians of `repeats` turns.

    Four ways: a recurrence by hand over the first axis of (T, B, V) and over the middle axis of (B, T, V), and
    `nn.RNN` with the same two inputs. Cost: about 1 s, with backward 2 s.

    Args:
        passed: "forward", or "forward and backward" as in training.

    Returns:
        A list of four `AxisOrder`, seconds for the whole batch; each ratio is to the time-first way of its kind.
    """
    with seeded(seed):
        net = LayoutModel("transpose", vocab_size, num_hiddens).rnn.to(device)
        batch_first = nn.RNN(vocab_size, num_hiddens, batch_first=True).to(device)
        X = F.one_hot(torch.randint(vocab_size, (batch_size, num_steps)), vocab_size).float().to(device)
    inputs = {"loop, time first": X.transpose(0, 1).contiguous(), "loop, time in the middle": X}
    inputs |= {"nn.RNN, time first": inputs["loop, time first"], "nn.RNN, batch_first=True": X}
    weights = (net.weight_ih_l0, net.weight_hh_l0)
    runs = {
        "loop, time first": lambda: by_hand(inputs["loop, time first"].unbind(0), *weights),
        "loop, time in the middle": lambda: by_hand(X.unbind(1), *weights),
        "nn.RNN, time first": lambda: net(inputs["nn.RNN, time first"])[0][-1],
        "nn.RNN, batch_first=True": lambda: batch_first(X)[0][:, -1],
    }
    if passed != "forward":
        runs = {way: _with_backward(run) for way, run in runs.items()}
    with torch.set_grad_enabled(passed != "forward"):
        seconds = median_seconds(runs, repeats, device)
    firsts = [seconds["loop, time first"]] * 2 + [seconds["nn.RNN, time first"]] * 2
    return [
        AxisOrder(way, tuple(inputs[way].shape), inputs[way].stride(), seconds[way], seconds[way] / first)
        for way, first in zip(seconds, firsts, strict=True)
    ]


def by_hand(steps, W_ih, W_hh):
    """Return the last hidden state (B, H) of a tanh recurrence, written as a loop over T inputs (B, V); no biases."""
    hidden = torch.zeros(len(steps[0]), len(W_hh), device=W_hh.device)
    for X in steps:
        hidden = torch.tanh(X @ W_ih.T + hidden @ W_hh.T)
    return hidden


def _with_backward(run):
    return lambda: run().sum().backward()


@dataclass(frozen=True)
class LayoutRun:
    """A model trained in one of `ARMS`, beside the held-out perplexity of counting single tokens and pairs."""

    arm: str
    training_perplexity: float
    held_out_perplexity: float
    unigram: float
    bigram: float
    updates: int
    seconds: float


def train_layout(
    arm, tokens, held_out, vocab_size, batch_size=32, num_steps=35, num_hiddens=64, updates=200, lr=0.005, seed=0,
    device="cpu",
):  # fmt: skip
    """Measure what a mistake with the axes costs (question 2): train that way, and read unseen text the same way.

    The text is cut sequentially; every window starts from a state of zeros, as no state fits the wrong layouts. Adam,
    clipping at 1. Cost: about 1 s.

    Args:
        arm: one of `ARMS`: a layout with labels in the order that it pretends to have, or "untransposed labels", the
            right inputs with scores in the order (T, B) and labels in the order (B, T).
        tokens, held_out: long tensors; held_out needs at least B * T + 1 tokens.

    Returns:
        A `LayoutRun`; training_perplexity is that of the last tenth of the updates, before each of them.
    """
    start = now(device)
    with seeded(seed):
        net = LayoutModel("transpose" if arm == "untransposed labels" else arm, vocab_size, num_hiddens).to(device)
        seen = list(windows(tokens, batch_size, num_steps, updates))
        unseen = list(windows(held_out, batch_size, num_steps))
    optimizer, losses = torch.optim.Adam(net.parameters(), lr), []
    for X, Y, _ in seen:
        losses.append(update(optimizer, _arm_loss(net, arm, X.to(device), Y.to(device), vocab_size)))
    with torch.no_grad():
        held_out_losses = [_arm_loss(net, arm, X.to(device), Y.to(device), vocab_size).item() for X, Y, _ in unseen]
    last = losses[-max(1, updates // 10) :]
    return LayoutRun(
        arm,
        training_perplexity=math.exp(statistics.fmean(last)),
        held_out_perplexity=math.exp(statistics.fmean(held_out_losses)),
        **baselines(tokens, held_out, vocab_size),
        updates=updates,
        seconds=now(device) - start,
    )


def _arm_loss(net, arm, X, Y, vocab_size):
    """The mean cross-entropy of one batch X, Y (B, T) in the way of the arm."""
    logits = net(F.one_hot(X, vocab_size).float())  # (B, T, V)
    if arm == "untransposed labels":
        logits = logits.transpose(0, 1)
    return F.cross_entropy(logits.reshape(-1, vocab_size), Y.flatten())


@dataclass(frozen=True)
class LossWay:
    """One way to a batch's loss: how far it is from the first way, seconds with backward, `ratio` to the first way."""

    way: str
    loss: float
    difference: float
    seconds: float
    ratio: float


def loss_ways(tokens, vocab_size, batch_size=32, num_steps=35, repeats=5, seed=0, device="cpu"):
    """Measure whether T * B classifications are one (question 3): the loss of one batch in four ways, with its time.

    The scores are those of counting pairs in the same text, so that no training is needed: log(count + 1). Cost: 0.5 s.

    Returns:
        Four `LossWay`: all at once, a loop over T, a loop over T and B, and all at once with labels in the order (B, T)
        although the scores are (T, B). Seconds are medians of `repeats` and include backward to the scores.
    """
    with seeded(seed):
        X, Y, _ = next(windows(tokens, batch_size, num_steps, count=1))
    pairs = torch.bincount(tokens[:-1] * vocab_size + tokens[1:], minlength=vocab_size**2) + 1
    logits = pairs.reshape(vocab_size, -1).log()[X.T].to(device).requires_grad_()  # (T, B, V)
    labels, untransposed = Y.T.to(device), Y.to(device)
    ways = {
        "flatten, one call": lambda: F.cross_entropy(logits.flatten(0, 1), labels.flatten()),
        "loop over T": lambda: _mean_loss(logits.unbind(0), labels.unbind(0)),
        "loop over T and B": lambda: _mean_loss(logits.flatten(0, 1), labels.flatten()),
        "labels not transposed": lambda: F.cross_entropy(logits.flatten(0, 1), untransposed.flatten()),
    }
    losses = {way: loss().item() for way, loss in ways.items()}
    seconds = median_seconds({way: _with_backward(loss) for way, loss in ways.items()}, repeats, device)
    loss, first = losses["flatten, one call"], seconds["flatten, one call"]
    return [LossWay(way, losses[way], abs(losses[way] - loss), seconds[way], seconds[way] / first) for way in ways]


def _mean_loss(logits, labels):
    return torch.stack([F.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]).mean()


@dataclass(frozen=True)
class BatchShape:
    """What the same number of tokens per update costs and yields, cut as B rows of T."""

    batch_size: int
    num_steps: int
    updates: int
    tokens_per_second: float
    held_out_perplexity: float


def batch_against_time(
    tokens, held_out, vocab_size, shapes=SHAPES, num_hiddens=64, updates=60, lr=0.01, seed=0, device="cpu"
):
    """Measure batch size against time (question 4): the same tokens per update in different shapes, trained equally.

    Every shape makes `updates` updates with Adam, from the same weights; the state is carried from window to window as
    in the book. Cost: about 4 s, of which (1, 1120) takes 3.

    Args:
        tokens, held_out: long tensors; tokens needs at least max(B * T) + 1.
        shapes: pairs (B, T).

    Returns:
        A list of `BatchShape`; tokens_per_second is from the median time of one update.
    """
    return [
        _train_shape(tokens, held_out, vocab_size, shape, num_hiddens, updates, lr, seed, device) for shape in shapes
    ]


def _train_shape(tokens, held_out, vocab_size, shape, num_hiddens, updates, lr, seed, device):
    batch_size, num_steps = shape
    with seeded(seed):
        net = RNNModel(nn.RNN(vocab_size, num_hiddens), vocab_size).to(device)
        batches = list(windows(tokens, batch_size, num_steps, updates))
    optimizer, seconds, state = torch.optim.Adam(net.parameters(), lr), [], None
    for X, Y, begins in batches:
        start = now(device)
        state = net.begin_state(device, batch_size) if begins else detach(state)
        logits, state = net(X.to(device), state)
        update(optimizer, F.cross_entropy(logits, Y.to(device).T.flatten()))
        seconds.append(now(device) - start)
    speed = batch_size * num_steps / statistics.median(seconds)
    return BatchShape(batch_size, num_steps, updates, speed, evaluate(net, held_out, device))


@dataclass(frozen=True)
class Size:
    """What a recurrent layer has and returns for T steps and L layers; shapes are tuples."""

    num_steps: int
    num_layers: int
    parameters: int
    weight_tensors: int
    outputs: tuple
    state: tuple


def sizes(
    num_steps=(1, 35, 1000), num_layers=(1, 2, 3), batch_size=2, vocab_size=28, num_hiddens=256, layer=nn.RNN,
    device="cpu",
):  # fmt: skip
    """Count parameters and read off shapes for several T and L (question 6). Cost: 0.3 s.

    Returns:
        A list of `Size`, one for each L and T, in this order; outputs is (T, B, H), state is (L, B, H).
    """
    records = []
    for depth in num_layers:
        for steps in num_steps:
            with seeded(0), torch.no_grad():
                rnn = layer(vocab_size, num_hiddens, depth).to(device)
                outputs, state = rnn(torch.zeros(steps, batch_size, vocab_size, device=device))
            weights = [parameter.numel() for parameter in rnn.parameters()]
            shape = tuple((state[0] if isinstance(state, tuple) else state).shape)
            records.append(Size(steps, depth, sum(weights), len(weights), tuple(outputs.shape), shape))
    return records


@dataclass(frozen=True)
class UnrolledGraph:
    """Autograd's graph of a recurrence written as a loop: what grows with T, and what does not.

    `uses` counts the matrix products with the recurrent weight, whose gradients all flow into one tensor.
    """

    num_steps: int
    nodes: int
    uses: int
    weight_tensors: int
    gradient_shape: tuple


def unrolled_graph(num_steps, batch_size=2, vocab_size=28, num_hiddens=16, seed=0, device="cpu"):
    """Count what unrolling multiplies (question 6): nodes of the graph, uses of the recurrent weight, weight tensors.

    Cost: 0.05 s for T = 1000.
    """
    with seeded(seed):
        W_ih, W_hh = torch.randn(num_hiddens, vocab_size), torch.randn(num_hiddens, num_hiddens) / num_hiddens**0.5
        steps = torch.randn(num_steps, batch_size, vocab_size).to(device)
    W_ih, W_hh = W_ih.to(device).requires_grad_(), W_hh.to(device).requires_grad_()
    loss = by_hand(steps, W_ih, W_hh).sum()
    nodes = graph_nodes(loss)
    leaves = [node for node in nodes if hasattr(node, "variable")]  # one AccumulateGrad for each weight tensor
    edges = [following for node in nodes for following, _ in node.next_functions]
    uses = sum(node is not None and getattr(node, "variable", None) is W_hh for node in edges)
    loss.backward()
    return UnrolledGraph(num_steps, len(nodes), uses, len(leaves), tuple(W_hh.grad.shape))
