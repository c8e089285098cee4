"""How windows are cut out of a text, and the state they start from: question 7; question 1 trains in the same way.

Dimensions: T time steps (`num_steps`, the window), B batch size, V vocabulary, H hidden units.

An arm is a sampling, "sequential" or "random", and whether the state goes on from batch to batch. Only sequential
windows go on where those of the batch before stopped; a state carried into a random window is stale: it belongs to
another place of the text. The book's "random" run is sequential windows with a reset state.
"""

import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import checked, gradients_on, known_tokens, long_enough
from course_utils.experiments.measuring import seeded
from course_utils.loaders import SeqDataLoader
from course_utils.models import RNNModel
from course_utils.rules import kind, whole
from course_utils.text import Vocab
from course_utils.training import epochs

ARMS = {
    "sequential, carried": ("sequential", True),
    "sequential, reset": ("sequential", False),
    "random, reset": ("random", False),
    "random, stale": ("random", True),
}


@checked(known_tokens, long_enough)
@torch.no_grad()
def perplexity_by_position(net, tokens, device, num_steps, rows=2000):
    """Measure the price of a cold start: the perplexity at each position of windows that begin with a state of zeros.

    A window begins at every token, so that all positions are judged on the same characters (but for the text's ends).
    So many `rows` are read at a time. Returns a list of T numbers: exp of the mean cross-entropy at each place.
    """
    windows = tokens.unfold(0, num_steps + 1, 1)  # (N, T + 1)
    losses = torch.zeros(num_steps)
    for part in windows.to(device).split(rows):
        logits, _ = net(part[:, :-1], net.begin_state(device, batch_size=len(part)))
        part_losses = F.cross_entropy(logits, part[:, 1:].T.flatten(), reduction="none")  # (T * rows)
        losses += part_losses.reshape(num_steps, -1).sum(dim=1).cpu()
    return (losses / len(windows)).exp().tolist()


@dataclass(frozen=True)
class ArmRun:
    """One training of a model, and how well it reads unseen text in two ways."""

    sampling: str
    carries_state: bool
    layer: str
    num_hiddens: int
    optimizer: str
    lr: float
    num_steps: int
    batch_size: int
    seed: int
    training_tokens: int
    epochs: int
    training_perplexity: float  # of the last epoch, on the way
    held_out: float  # unseen text read in rows of 1,000 characters with a carried state (`training.evaluate`)
    best: float  # the lowest such perplexity of all epochs that were looked at
    best_epoch: int
    held_out_reset: float  # unseen text read in windows of T characters, each from a state of zeros
    by_position: tuple[float, ...]  # that perplexity at each of the T positions
    seconds: float  # of training alone

    @property
    def arm(self):
        """The arm's name in `ARMS`."""
        return next(name for name, arm in ARMS.items() if arm == (self.sampling, self.carries_state))

    @property
    def as_trained(self):
        """The held-out perplexity when the state is carried or reset as in training."""
        return self.held_out if self.carries_state else self.held_out_reset


LAYER = kind(lambda value: issubclass(value, nn.RNNBase), "nn.RNN, nn.GRU or nn.LSTM")
OPTIMIZER = kind(lambda value: issubclass(value, torch.optim.Optimizer), "a class such as torch.optim.Adam")


@checked(known_tokens, gradients_on, layer=LAYER, optimizer=OPTIMIZER, num_epochs=whole())
def train_arm(sampling, carries_state, tokens, held_out, vocab_size, seed=0, device="cpu", *, layer=nn.RNN,
              num_hiddens=128, optimizer=torch.optim.Adam, lr=0.005, num_steps=35, batch_size=32, num_epochs=8,
              every=1):  # fmt: skip
    """Train a model on windows cut in one way, with the state carried or reset (questions 1 and 7).

    The training loop is the course's, with clipping at 1. The same seed gives all arms the same first weights. Williams
    & Peng 1990 describe truncation to a window with a carried state; Tallec & Ollivier 2017 (arXiv 1705.08209) what it
    leaves out. Cost: 0.3 s per 100,000 tokens for an RNN with H = 128 and T = 35, 0.8 s for a GRU.

    Args:
        tokens, held_out: long tensors; tokens needs at least B * T + T, held_out more than T.
        layer: a recurrent layer of torch.
        optimizer: called as `optimizer(parameters, lr)`.
        every: epochs from one look at the held-out text to the next.
    """
    long_enough({"tokens": held_out, "num_steps": num_steps})
    vocab = Vocab(map(str, range(1, vocab_size)))  # stand-ins: nobody reads the samples
    with seeded(seed):
        net = RNNModel(layer(vocab_size, num_hiddens), vocab_size)
        windows = SeqDataLoader(tokens, batch_size, num_steps, sampling, held_out, carries_state)
        records = list(epochs(net, windows, vocab, lr, num_epochs, device, prefix="1", every=every,
                              recipe=lambda net, lr, num_updates: optimizer(net.parameters(), lr)))  # fmt: skip
    by_position = perplexity_by_position(net, held_out, device, num_steps)
    looked = [record for record in records if record.held_out_perplexity is not None]
    best = min(looked, key=lambda record: record.held_out_perplexity)
    trained = len(windows) * batch_size * num_steps  # tokens of an epoch
    return ArmRun(
        sampling, carries_state, layer.__name__, num_hiddens, optimizer.__name__, lr, num_steps, batch_size, seed,
        len(tokens), num_epochs, records[-1].perplexity, records[-1].held_out_perplexity,
        best=best.held_out_perplexity, best_epoch=best.epoch,
        held_out_reset=math.exp(statistics.fmean(map(math.log, by_position))), by_position=tuple(by_position),
        seconds=sum(trained / record.tokens_per_second for record in records),
    )  # fmt: skip
