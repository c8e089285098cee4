"""What the window's length is for: question 1.

Dimensions: T time steps (`num_steps`, the window's length n), B batch size, V vocabulary, H hidden units.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.checks import checked, gradients_on, known_tokens
from course_utils.experiments.measuring import seeded
from course_utils.experiments.sampling import train_arm
from course_utils.loaders import SeqDataLoader
from course_utils.models import RNNModel
from course_utils.rules import each, flag, whole
from course_utils.training import detach, train_epoch

ROWS = 32  # B


@dataclass(frozen=True)
class Echo:
    """How often a trained model repeats the bit it has seen `lag` steps ago, with windows of `num_steps`."""

    lag: int
    num_steps: int
    carries_state: bool  # whether the state went on from window to window, in training and in the test
    accuracy: float  # share of right answers among `outputs` fresh ones
    expected: float  # what counting expects, see `expected_accuracy`
    error: float  # the standard error of `accuracy` if `expected` is right; 0 where nothing is left to chance
    outputs: int


def expected_accuracy(lag, num_steps, carries_state):
    """Return the share of right answers if gradients, and with reset states the bits too, reach no further than n.

    With n <= lag no gradient ever joins an answer to its bit: 1/2. With n > lag and a carried state: 1. With a state of
    zeros at each window's start, `lag` of the n answers are coin flips, as their bits lie before the window:
    (n - lag)/n + lag/(2n).
    """
    if num_steps <= lag:
        return 0.5
    return 1.0 if carries_state else 1 - lag / (2 * num_steps)


@checked(gradients_on)
def train_echo(lag, num_steps, carries_state=True, frozen=False, updates=200, lr=0.01, outputs=8000, seed=0,
               device="cpu"):  # fmt: skip
    """Measure what a window is for (question 1): train an RNN to repeat the bit that it has seen `lag` steps ago.

    Every answer is one classification, of which a window holds n. What a gradient cut off after n steps can still
    learn: Williams & Peng 1990. Cost: 0.3 s.

    Args:
        frozen: train the output layer only, so that no gradient has to go back in time. Tells whether the state, with
            random recurrent weights, still holds the bit (an echo state network: Jaeger 2001).
        outputs: about so many answers are judged, all of them on fresh bits.
    """
    early = math.ceil(lag / num_steps)  # windows whose bits may lie before the row's start
    judged = math.ceil(outputs / (ROWS * num_steps))
    with seeded(seed):
        net = RNNModel(nn.RNN(2, 64), vocab_size=2).to(device)
        net.rnn.requires_grad_(not frozen)
        optimizer = torch.optim.Adam([weight for weight in net.parameters() if weight.requires_grad], lr)
        train_epoch(net, Bits(lag, num_steps, updates, carries_state), optimizer, device)
        right = sum(right_answers(net, Bits(lag, num_steps, early + judged, carries_state), device)[early:])
    count, expected = judged * ROWS * num_steps, expected_accuracy(lag, num_steps, carries_state)
    error = math.sqrt((1 - expected) / 2 / count)  # a share of 2 (1 - expected) is guessed, each with variance 1/4
    return Echo(lag, num_steps, carries_state, right / count, expected, error, count)


class Bits(SeqDataLoader):
    """`count` batches of windows of random bits; a label is the bit of `lag` steps ago, at first one before the row."""

    def __init__(self, lag, num_steps, count, carries_state):
        size = ROWS * num_steps * count
        super().__init__(torch.arange(size + 1), ROWS, num_steps, carries_state=carries_state)
        self.bits, self.lag = torch.randint(2, (size + lag,)), lag

    def __iter__(self):
        for positions, _ in super().__iter__():
            yield self.bits[positions + self.lag], self.bits[positions]


@torch.no_grad()
def right_answers(net, bits, device):
    """Return the number of right answers in each window."""
    counts, state = [], None
    for X, Y in bits:
        if state is None or not bits.carries_state:
            state = net.begin_state(device, batch_size=len(X))
        logits, state = net(X.to(device), detach(state))
        counts.append((logits.argmax(dim=1).cpu() == Y.T.flatten()).sum().item())
    return counts


@checked(known_tokens, gradients_on, num_steps=each(whole()), carries_state=each(flag), seeds=each(whole(0)))
def window_lengths(tokens, held_out, vocab_size, num_steps=(1, 4, 35), carries_state=(True, False),
                   tokens_per_update=1120, seeds=(0,), **options):  # fmt: skip
    """Measure where a longer window stops paying on real text (question 1): held-out perplexity at equal tokens.

    Every update sees `tokens_per_update` characters, in B = tokens_per_update // n rows of n, so that all windows make
    the same number of updates. Khandelwal et al. 2018 (arXiv 1805.04623) ask how far back a trained model looks; here
    the question is how far back a gradient must go. Cost: `train_arm` for each length, state and seed; the options are
    its own. Returns a list of `sampling.ArmRun`.
    """
    return [
        train_arm("sequential", carries, tokens, held_out, vocab_size, seed,
                  batch_size=tokens_per_update // n, num_steps=n, **options)
        for carries in carries_state for n in num_steps for seed in seeds
    ]  # fmt: skip
