"""Which axis is time, and what that decides (question 2; question 4 asks `dependencies` too).

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary, H hidden units.
"""

import functools
import itertools
import math
import statistics

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import checked, fits_memory, gradients_on, known_tokens
from course_utils.experiments.measuring import median_seconds, seeded, update
from course_utils.loaders import SeqDataLoader
from course_utils.rules import one_of, whole

LAYOUTS = ("transpose", "batch_first", "none", "reshape")


class LayoutModel(nn.Module):
    """A recurrent and a linear layer that read one-hot tokens (B, T, V), their axes handed over in one of `LAYOUTS`.

    The scores come back as (B, T, V) in the order in which somebody who believes in the layout would read them: those
    at [b, t] are meant for the token after step t of sentence b.
    """

    def __init__(self, layout, vocab_size, num_hiddens):
        super().__init__()
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


@checked(gradients_on, layout=one_of(*LAYOUTS), batch_size=whole(1, 64), num_steps=whole(1, 64))
def dependencies(layout, batch_size=2, num_steps=5, vocab_size=8, num_hiddens=16, seed=0, device="cpu"):
    """Measure which inputs an output depends on: where its gradient is not exactly 0.

    Inputs are random one-hot tokens (B, T, V); no state is passed. Cost: 0.01 s for 10 tokens, growing as (B * T)².

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


@checked(fits_memory, gradients_on)
def axis_orders(batch_size=32, num_steps=35, vocab_size=28, num_hiddens=256, repeats=40):
    """Measure what it costs when time is the middle axis: (code, order) -> (strides of the input, seconds a batch).

    The code is a loop of our own or `nn.RNN`, the order that of the input's axes: (T, B, V) or (B, T, V). Seconds are
    medians, forward and backward. Cost: 0.05 s for each repeat.
    """
    with seeded(0):
        cell, rnn = nn.RNNCell(vocab_size, num_hiddens), nn.RNN(vocab_size, num_hiddens)
        batch_first = nn.RNN(vocab_size, num_hiddens, batch_first=True)
        batch_first.load_state_dict(rnn.state_dict())  # the same work, in another order
        X = torch.rand(batch_size, num_steps, vocab_size)
    time_first = X.transpose(0, 1).contiguous()
    runs = {
        ("loop", "time first"): (time_first, lambda: _last_state(cell, time_first.unbind(0))),
        ("loop", "time in the middle"): (X, lambda: _last_state(cell, X.unbind(1))),
        ("nn.RNN", "time first"): (time_first, lambda: rnn(time_first)[0][-1]),
        ("nn.RNN", "time in the middle"): (X, lambda: batch_first(X)[0][:, -1]),
    }
    trainings = {way: lambda run=run: run().sum().backward() for way, (_, run) in runs.items()}
    seconds = median_seconds(trainings, repeats)
    return {way: (inputs.stride(), seconds[way]) for way, (inputs, _) in runs.items()}


def _last_state(cell, steps):
    """The hidden state (B, H) after a loop over T inputs (B, V)."""
    return functools.reduce(lambda hidden, X: cell(X, hidden), steps, None)


@checked(known_tokens, gradients_on, layout=one_of(*LAYOUTS), updates=whole())
def train_layout(layout, tokens, held_out, vocab_size, *, transpose_labels=True, batch_size=32, num_steps=35,
                 num_hiddens=64, updates=200, lr=0.005, seed=0):  # fmt: skip
    """Measure what a mistake with the axes costs: train that way, and read unseen text the same way.

    Every window starts from a state of zeros, as no state fits the wrong layouts. Adam, clipping at 1. Cost: 1 s.

    Args:
        tokens, held_out: long tensors of at least B * T + 1 tokens.
        transpose_labels: False for the mistake of scores in the order (T, B) and labels in the order (B, T).

    Returns:
        Two perplexities: that of the last tenth of the updates, before each of them, and that of held_out.
    """

    def loss(X, Y):
        logits = net(F.one_hot(X, vocab_size).float())  # (B, T, V)
        logits = logits if transpose_labels else logits.transpose(0, 1)
        return F.cross_entropy(logits.flatten(0, 1), Y.flatten())

    with seeded(seed):
        net = LayoutModel(layout, vocab_size, num_hiddens)
        epochs = itertools.repeat(SeqDataLoader(tokens, batch_size, num_steps))
        seen = list(itertools.islice(itertools.chain.from_iterable(epochs), updates))
        unseen = list(SeqDataLoader(held_out, batch_size, num_steps))
    optimizer = torch.optim.Adam(net.parameters(), lr)
    losses = [update(optimizer, loss(X, Y)) for X, Y in seen]
    with torch.no_grad():
        held_out_losses = [loss(X, Y).item() for X, Y in unseen]
    last = losses[-max(1, updates // 10) :]
    return math.exp(statistics.fmean(last)), math.exp(statistics.fmean(held_out_losses))
