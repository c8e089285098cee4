"""What the window's length is for: question 1.

Dimensions: T time steps (`num_steps`, the window's length n), B batch size, V vocabulary, H hidden units.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.experiments.measuring import now, seeded
from course_utils.experiments.sampling import train_arm
from course_utils.models import RNNModel
from course_utils.training import detach, train_epoch


@dataclass(frozen=True)
class Echo:
    """How often a trained model repeats the bit it has seen `lag` steps ago, with windows of `num_steps`.

    Attributes:
        carried: whether the state went on from window to window, in training and in the test.
        accuracy: share of right answers among `outputs` fresh ones.
        expected: what counting expects, see `expected_accuracy`.
        error: the standard error of `accuracy` if `expected` is right; 0 where nothing is left to chance.
    """

    lag: int
    num_steps: int
    carried: bool
    accuracy: float
    expected: float
    error: float
    outputs: int
    updates: int
    seconds: float


def expected_accuracy(lag, num_steps, carried):
    """Return the share of right answers if gradients, and with reset states the bits too, reach no further than n.

    With n <= lag no gradient ever joins an answer to its bit: 1/2. With n > lag and a carried state: 1. With a state of
    zeros at each window's start, `lag` of the n answers are coin flips, as their bits lie before the window:
    (n - lag)/n + lag/(2n).
    """
    if num_steps <= lag:
        return 0.5
    return 1.0 if carried else 1 - lag / (2 * num_steps)


def truncation_cliff(
    lag=5, num_steps=(1, 3, 5, 6, 7, 10, 20), carried=True, frozen=False, updates=200, layer=nn.RNN, num_hiddens=64,
    batch_size=32, lr=0.01, outputs=8000, seed=0, device="cpu",
):  # fmt: skip
    """Measure what a window is for (question 1): train models to echo a random bit, with windows of several lengths.

    Every answer is one classification, of which a window holds n. All windows make the same number of updates. What a
    gradient cut off after n steps can still learn: Williams & Peng 1990. Cost: 0.3 s for each window's length.

    Args:
        lag: the model shall repeat the bit that it has seen so many steps ago, at least 1.
        num_steps: the windows' lengths.
        carried: False starts each window from a state of zeros.
        frozen: train the output layer only: the recurrent weights stay random, and no gradient has to go back in time.
            Tells whether the state still holds the bit (an echo state network: Jaeger 2001).
        outputs: about so many answers are judged, all of them on fresh bits.

    Returns:
        A list of `Echo`.
    """
    return [
        _echo(lag, steps, carried, frozen, updates, layer, num_hiddens, batch_size, lr, outputs, seed, device)
        for steps in num_steps
    ]


def _echo(lag, num_steps, carried, frozen, updates, layer, num_hiddens, batch_size, lr, outputs, seed, device):
    start = now(device)
    with seeded(seed):
        net = RNNModel(layer(2, num_hiddens), vocab_size=2).to(device)
        net.rnn.requires_grad_(not frozen)
        optimizer = torch.optim.Adam([weight for weight in net.parameters() if weight.requires_grad], lr)
        train_epoch(net, _Bits(lag, num_steps, batch_size, updates, carried), optimizer, device)
        warm_up = math.ceil(lag / num_steps)  # windows whose bits may lie before the stream's start
        judged = math.ceil(outputs / (batch_size * num_steps))
        right = _right_answers(net, _Bits(lag, num_steps, batch_size, warm_up + judged, carried), device)[warm_up:]
    count, expected = judged * batch_size * num_steps, expected_accuracy(lag, num_steps, carried)
    error = math.sqrt((1 - expected) / 2 / count)  # a share of 2 (1 - expected) is guessed, each with variance 1/4
    return Echo(lag, num_steps, carried, sum(right) / count, expected, error, count, updates, now(device) - start)


class _Bits(list):
    """Windows X, Y (B, T) that follow each other in B streams of random bits; a label is the bit `lag` steps ago."""

    def __init__(self, lag, num_steps, batch_size, count, carried):
        bits = torch.randint(2, (batch_size, lag + num_steps * count))
        Xs, Ys = bits[:, lag:].split(num_steps, dim=1), bits[:, : num_steps * count].split(num_steps, dim=1)
        super().__init__(zip(Xs, Ys, strict=True))
        self.sampling = "sequential" if carried else "random"  # as `train_epoch` reads it


@torch.no_grad()
def _right_answers(net, windows, device):
    """Return the number of right answers in each window."""
    counts, state = [], None
    for X, Y in windows:
        if state is None or windows.sampling == "random":
            state = net.begin_state(device, batch_size=len(X))
        logits, state = net(X.to(device), detach(state))
        counts.append((logits.argmax(dim=1).cpu() == Y.T.flatten()).sum().item())
    return counts


def window_lengths(
    tokens, held_out, vocab_size, num_steps=(1, 4, 35), carried=(True, False), tokens_per_update=1120, seeds=(0,),
    **options,
):  # fmt: skip
    """Measure where a longer window stops paying on real text (question 1): held-out perplexity at equal tokens.

    Every update sees `tokens_per_update` characters, in B = tokens_per_update // n rows of n, so that all windows make
    the same number of updates. Khandelwal et al. 2018 (arXiv 1805.04623) ask how far back a trained model looks; here
    the question is how far back a gradient must go. Cost: `train_arm` for each window, state and seed.

    Args:
        num_steps: the windows' lengths n.
        carried: whether the state is carried; both by default.
        seeds: every arm is trained once with each.
        options: of `sampling.train_arm`.

    Returns:
        A list of `sampling.ArmRun`.
    """
    return [
        train_arm("sequential", state, tokens, held_out, vocab_size, tokens_per_update // n, n, seed=seed, **options)
        for state in carried
        for n in num_steps
        for seed in seeds
    ]
