"""What training on a prefix, or on all that is read, would do to a model: question 5.

Every function takes any model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`, reads
without dropout, and trains copies only: the model that is given stays as it is, to the last bit.

Dimensions: T time steps.
"""

import copy
import math
import statistics
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from course_utils.checks import checked, known_tokens, long_enough, trainable
from course_utils.experiments.measuring import update
from course_utils.rules import each, real, whole
from course_utils.training import detach, evaluate


@dataclass(frozen=True)
class FineTuned:
    """Perplexities of a model after `steps` steps of SGD with rate `lr` on a prefix; 0 steps is the model as it was."""

    lr: float
    steps: int
    prefix: float  # on the prefix itself
    continuation: float  # on the characters that follow it in its own text
    elsewhere: float  # on other text


RATE = real(lambda number: 0 <= number < 1e38, "a number of at least 0, and finite")


@checked(known_tokens, trainable, rates=each(RATE), steps=each(whole()))
def fine_tune(net, tokens, elsewhere, rates=(0.01, 0.1, 1.0), steps=(1, 10, 100), prefix_length=14, num_prefixes=4,
              following=100):  # fmt: skip
    """Measure what training on a prefix brings, and what it breaks: plain SGD, clipped at 1 as in the book's training.

    Prefixes as long as "time traveller", and the `following` characters after each, are taken evenly from `tokens`; the
    two texts must not overlap. Each prefix trains a copy of its own; losses are averaged over them. Cost: 3 s.

    Returns:
        A list of `FineTuned`: first the model as it was, then one for each rate and number of steps.
    """
    length, gap = prefix_length + following, len(tokens) // num_prefixes
    if gap < length:
        wanted = f"{num_prefixes} prefixes of {prefix_length} and {following} more"
        raise ValueError(f"{len(tokens):,} tokens do not hold {wanted}")
    passages = tokens.to(_device(net)).unfold(0, length, gap)[:num_prefixes]
    records = []
    for lr, counts in [(0.0, [0]), *((lr, sorted(steps)) for lr in rates)]:
        looks = [_fine_tune_on(net, passage, prefix_length, elsewhere, lr, counts) for passage in passages]
        for count, *losses in zip(counts, *looks, strict=True):
            records.append(FineTuned(lr, count, *map(_perplexity, zip(*losses, strict=True))))
    return records


def _fine_tune_on(net, passage, prefix_length, elsewhere, lr, counts):
    """Train a copy on one prefix; return the losses on it, after it and elsewhere, for each number of steps."""
    net, looks = copy.deepcopy(net).eval(), []
    optimizer, fresh = torch.optim.SGD(net.parameters(), lr), net.begin_state(passage.device, batch_size=1)
    for count in range(max(counts) + 1):
        if count > 0:
            _step(net, optimizer, passage[:prefix_length], fresh)
        if count in counts:
            with torch.no_grad():
                losses = F.cross_entropy(net(passage[None, :-1], fresh)[0], passage[1:], reduction="none")
            known, new = losses[: prefix_length - 1].mean().item(), losses[prefix_length - 1 :].mean().item()
            looks.append((known, new, math.log(evaluate(net, elsewhere, passage.device, row_length=200))))
    return looks


@dataclass(frozen=True)
class Reading:
    """Perplexities of a model that takes one step of SGD with rate `lr` on every window that it has read."""

    lr: float
    honest: float  # on the text it reads, each window scored before the step on it
    peeking: float  # the same windows scored once more after the step, as a warning: it has seen the answers by then
    elsewhere: float  # on other text, with the weights as they are in the end


@checked(known_tokens, trainable, rates=each(RATE))
def dynamic_evaluation(net, tokens, elsewhere, rates=(0, 0.003, 0.01, 0.03, 0.1, 0.3, 1), num_steps=20):
    """Measure whether a model gains from training on what it reads (Krause et al. 2018, arXiv 1709.07432).

    A copy reads the text in one row, window by window, with a carried state. Each window is first scored, then trained
    on by one step of plain SGD, clipped at 1. Rate 0 takes the same steps and changes nothing. The two texts must not
    overlap. Cost: 0.25 s a rate for 2,000 tokens.
    """
    records = []
    for lr in rates:
        reader, before, after = read_and_train(net, tokens, lr, num_steps)
        other = evaluate(reader, elsewhere, _device(net), row_length=200)
        records.append(Reading(lr, _perplexity(before), _perplexity(after), other))
    return records


@checked(known_tokens, trainable, long_enough, lr=RATE)
def read_and_train(net, tokens, lr, num_steps=20):
    """Read a text once, score each window and then train a copy on it: the copy, and all windows' mean losses before
    and after the step on them."""
    tokens, net = tokens.to(_device(net)), copy.deepcopy(net).eval()
    optimizer, state = torch.optim.SGD(net.parameters(), lr), net.begin_state(tokens.device, batch_size=1)
    before, after = [], []
    for window in tokens.unfold(0, num_steps + 1, num_steps):  # (T + 1): a window and its last label
        loss, following = _step(net, optimizer, window, state)
        before.append(loss)
        with torch.no_grad():
            after.append(F.cross_entropy(net(window[None, :-1], state)[0], window[1:]).item())
        state = following
    return net, before, after


def _step(net, optimizer, tokens, state):
    """Make one step on tokens (T + 1) in one row; return their mean loss before it, and the state after them."""
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward in eval()
        logits, state = net(tokens[None, :-1], state)
        return update(optimizer, F.cross_entropy(logits, tokens[1:])), detach(state)


def _perplexity(losses):
    """exp of the mean loss; a model that was destroyed may be infinitely surprised."""
    mean = statistics.fmean(losses)
    return math.exp(mean) if mean < 700 else math.inf


def _device(net):
    return next(net.parameters()).device
