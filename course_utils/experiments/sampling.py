"""How windows are cut out of a text, and the state they start from: question 7; question 1 trains in the same way.

Dimensions: T time steps (`num_steps`, the window), B batch size, V vocabulary, H hidden units.

An arm is an order of the windows, "sequential" or "random", and whether the state is carried from batch to batch. Only
sequential windows go on where those of the batch before stopped; a state carried between random windows is stale: it
belongs to another place of the text. The book's "random" run is sequential windows with a reset state.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.experiments.measuring import now, seeded
from course_utils.loaders import check_windows
from course_utils.models import RNNModel
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential
from course_utils.training import evaluate, train_epoch

ARMS = {
    "sequential, carried": ("sequential", True),
    "sequential, reset": ("sequential", False),
    "random, reset": ("random", False),
    "random, stale": ("random", True),
}


class Windows:
    """One epoch of batches X, Y (B, T) for `training.train_epoch`, with order and state chosen independently.

    Attributes:
        sampling: what `train_epoch` reads off a loader: with "random" it resets the state before each batch.
    """

    def __init__(self, tokens, batch_size, num_steps, order="sequential", carried=True):
        check_windows(len(tokens), batch_size, num_steps, order)
        self.cut = seq_data_iter_sequential if order == "sequential" else seq_data_iter_random
        self.tokens, self.batch_size, self.num_steps = tokens, batch_size, num_steps
        self.sampling = "sequential" if carried else "random"

    def __iter__(self):
        return self.cut(self.tokens, self.batch_size, self.num_steps)


@torch.no_grad()
def perplexity_by_position(net, tokens, device, num_steps, rows=2000):
    """Measure the price of a cold start: the perplexity at each position of windows that begin with a state of zeros.

    A window begins at every token, so that all positions are judged on the same characters (but for the text's ends).

    Args:
        rows: so many windows are read at a time.

    Returns:
        A list of T numbers: exp of the mean cross-entropy at the window's first, second, ... character.
    """
    windows = tokens.unfold(0, num_steps + 1, 1)  # (N, T + 1)
    losses = torch.zeros(num_steps)
    for part in windows.to(device).split(rows):
        logits, _ = net(part[:, :-1], net.begin_state(device, batch_size=len(part)))
        part_losses = F.cross_entropy(logits, part[:, 1:].T.flatten(), reduction="none")  # (T * rows)
        losses += part_losses.reshape(num_steps, -1).sum(dim=1).cpu()
    return (losses / len(windows)).exp().tolist()


def geometric_mean(perplexities):
    """The perplexity of several equally long stretches together: exp of the mean of their logarithms."""
    return math.exp(sum(map(math.log, perplexities)) / len(perplexities))


@dataclass(frozen=True)
class ArmRun:
    """One training of a model, and how well it reads unseen text in two ways.

    Attributes:
        order, carried: the arm.
        layer, num_hiddens, optimizer, lr: the recipe; names of torch's classes, H, learning rate.
        training_perplexity: of the last epoch, on the way.
        held_out: perplexity of unseen text read in rows of 1,000 characters with a carried state (`training.evaluate`).
        best: the lowest such perplexity of all epochs that were looked at; `best_epoch` says which.
        held_out_reset: perplexity of unseen text read in windows of T characters, each from a state of zeros.
        by_position: that perplexity at each of the T positions.
        seconds: for training alone.
    """

    order: str
    carried: bool
    layer: str
    num_hiddens: int
    optimizer: str
    lr: float
    num_steps: int
    batch_size: int
    seed: int
    training_tokens: int
    epochs: int
    training_perplexity: float
    held_out: float
    best: float
    best_epoch: int
    held_out_reset: float
    by_position: tuple[float, ...]
    seconds: float

    @property
    def arm(self):
        """The arm's name in `ARMS`."""
        return next(name for name, arm in ARMS.items() if arm == (self.order, self.carried))


def train_arm(
    order, carried, tokens, held_out, vocab_size, batch_size=32, num_steps=35, num_epochs=8, layer=nn.RNN,
    num_hiddens=128, optimizer=torch.optim.Adam, lr=0.005, every=1, seed=0, device="cpu",
):  # fmt: skip
    """Train a model on windows cut in one order, with the state carried or reset (questions 1 and 7).

    The training loop is the course's, with clipping at 1. The same seed gives all arms the same first weights. Williams
    & Peng 1990 describe truncation to a window with a carried state; Tallec & Ollivier 2017 (arXiv 1705.08209) what it
    leaves out. Cost: 0.3 s per 100,000 tokens for an RNN with H = 128 and T = 35, 0.8 s for a GRU.

    Args:
        order: "sequential" or "random".
        carried: whether the state goes on from batch to batch.
        tokens, held_out: long tensors; tokens needs at least B * T + T, held_out more than T.
        layer, optimizer: classes of torch.
        every: look at the held-out text after every so many epochs, and after the last.

    Returns:
        An `ArmRun`.
    """
    seconds, looks = 0.0, {}
    with seeded(seed):
        net = RNNModel(layer(vocab_size, num_hiddens), vocab_size).to(device)
        windows = Windows(tokens, batch_size, num_steps, order, carried)
        steps = optimizer(net.parameters(), lr)
        for epoch in range(1, num_epochs + 1):
            start = now(device)
            training_perplexity = train_epoch(net, windows, steps, device)
            seconds += now(device) - start
            if epoch % every == 0 or epoch == num_epochs:
                looks[epoch] = evaluate(net, held_out, device)
    by_position = perplexity_by_position(net, held_out, device, num_steps)
    best_epoch = min(looks, key=looks.get)
    return ArmRun(
        order, carried, layer.__name__, num_hiddens, optimizer.__name__, lr, num_steps, batch_size, seed, len(tokens),
        num_epochs, training_perplexity, held_out=looks[num_epochs], best=looks[best_epoch], best_epoch=best_epoch,
        held_out_reset=geometric_mean(by_position), by_position=tuple(by_position), seconds=seconds,
    )  # fmt: skip


def sampling_arms(tokens, held_out, vocab_size, seeds=(0,), arms=tuple(ARMS), **options):
    """Measure whether batches may be random (question 7): train all four arms alike. Cost: 4 to 8 times `train_arm`.

    Args:
        seeds: every arm is trained once with each.
        arms: names in `ARMS`.
        options: of `train_arm`.

    Returns:
        A list of `ArmRun`, by arm and seed, in this order.
    """
    return [train_arm(*ARMS[arm], tokens, held_out, vocab_size, seed=seed, **options) for arm in arms for seed in seeds]
