"""What a prefix does to a model, and what training on it would do: question 5.

Every function takes any model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`, reads
without dropout, and trains copies only: the model that is given stays as it is, to the last bit.

Dimensions: T time steps, B batch size, V vocabulary.
"""

import copy
import math
import statistics
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from course_utils.experiments.measuring import seeded, update
from course_utils.training import detach, evaluate


def changed_weights(net, action):
    """Count the weights that `action`, a function without arguments, changes in any bit: (changed, all).

    Buffers count as weights. Cost: the action's, and a copy of the model.
    """
    before = copy.deepcopy(net).state_dict()
    action()
    changed = sum((_bits(old) != _bits(net.state_dict()[name])).any(dim=1).sum().item() for name, old in before.items())
    return changed, sum(old.numel() for old in before.values())


def _bits(tensor):
    """The bytes of each number, (numbers, bytes): 0.0 and -0.0 differ, a nan equals itself."""
    return tensor.detach().cpu().flatten().view(torch.uint8).reshape(tensor.numel(), tensor.element_size())


@torch.no_grad()
def perplexity_by_length(net, tokens, lengths, num_places=500):
    """Measure what a longer prefix is worth: the next character's perplexity after 1, 2, ... characters.

    The same characters are predicted for all lengths, each time from a fresh state, so that the numbers can be
    compared although each of them is uncertain by 5 to 10 %. Cost: 1.5 s for lengths that add up to 400.

    Args:
        tokens: a long tensor with more than max(lengths) tokens.
        lengths: numbers of characters read before the one to predict.
        num_places: at least so many characters are predicted, spread evenly over the text, or all there are.

    Returns:
        A list of perplexities, one for each length.
    """
    longest = max(lengths)
    if len(tokens) <= longest:
        raise ValueError(f"a text of {len(tokens):,} tokens is too short for a prefix of {longest} and what follows")
    step = max(1, (len(tokens) - longest) // num_places)
    windows = tokens.to(_device(net)).unfold(0, longest + 1, step)  # (B, longest + 1): the last one is predicted
    net = copy.deepcopy(net).eval()
    perplexities = []
    for length in lengths:
        logits, _ = net(windows[:, -1 - length : -1], net.begin_state(windows.device, batch_size=len(windows)))
        last = logits.reshape(length, len(windows), -1)[-1]  # (T * B, V) -> (B, V)
        perplexities.append(F.cross_entropy(last, windows[:, -1]).exp().item())
    return perplexities


@dataclass(frozen=True)
class FineTuned:
    """Perplexities of a model after `steps` steps of SGD with rate `lr` on a prefix; 0 steps is the model as it was.

    Attributes:
        prefix: on the prefix itself.
        continuation: on the characters that follow it in its own text.
        elsewhere: on other text.
    """

    lr: float
    steps: int
    prefix: float
    continuation: float
    elsewhere: float


def fine_tune(
    net, tokens, elsewhere, rates=(0.01, 0.1, 1.0), steps=(1, 10, 100), prefix_length=14, num_prefixes=4, following=100
):
    """Measure what training on a prefix brings, and what it breaks: plain SGD, clipped at 1 as in the book's training.

    Prefixes are taken evenly from `tokens`. Each one trains a copy of its own; losses are averaged over the prefixes.
    Cost: 3 s.

    Args:
        tokens, elsewhere: long tensors of held-out text that do not overlap.
        steps: after how many steps to measure.
        prefix_length: in characters; the default is that of "time traveller".
        following: how many characters after the prefix count as its continuation.

    Returns:
        A list of `FineTuned`: first the model as it was, then one for each rate and number of steps.
    """
    passages = _passages(tokens.to(_device(net)), prefix_length, following, num_prefixes)
    net = copy.deepcopy(net).eval()
    untouched = [_look(net, passage, prefix_length, elsewhere) for passage in passages]
    records = [FineTuned(0.0, 0, *_averaged(untouched))]
    for lr in rates:
        looks = [_steps_on(net, passage, prefix_length, elsewhere, lr, steps) for passage in passages]
        records += [
            FineTuned(lr, count, *_averaged(losses)) for count, *losses in zip(sorted(steps), *looks, strict=True)
        ]
    return records


def _passages(tokens, prefix_length, following, count):
    """Cut `count` pieces of prefix and continuation out of a text, evenly spread."""
    length, gap = prefix_length + following, len(tokens) // count
    if prefix_length < 2 or gap < length:
        raise ValueError(f"{len(tokens):,} tokens do not hold {count} prefixes of {prefix_length} and {following} more")
    return [tokens[number * gap : number * gap + length] for number in range(count)]


def _steps_on(net, passage, prefix_length, elsewhere, lr, steps):
    """Train a copy on a prefix; return the three losses after each number of steps."""
    net, looks = copy.deepcopy(net), []
    optimizer = torch.optim.SGD(net.parameters(), lr)
    for step in range(1, max(steps) + 1):
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward in eval()
            update(optimizer, _losses(net, passage[:prefix_length]).mean())
        if step in steps:
            looks.append(_look(net, passage, prefix_length, elsewhere))
    return looks


@torch.no_grad()
def _look(net, passage, prefix_length, elsewhere):
    """The mean losses on the prefix, on what follows it, and elsewhere."""
    losses = _losses(net, passage)
    known, new = losses[: prefix_length - 1].mean().item(), losses[prefix_length - 1 :].mean().item()
    return known, new, math.log(evaluate(net, elsewhere, _device(net), row_length=200))


def _losses(net, tokens):
    """The loss of each token but the first one, all read in one row from a fresh state."""
    logits, _ = net(tokens[None, :-1], net.begin_state(tokens.device, batch_size=1))
    return F.cross_entropy(logits, tokens[1:], reduction="none")


def _averaged(losses):
    """Perplexities from lists of losses: the mean over the lists, then exp."""
    return [_perplexity(values) for values in zip(*losses, strict=True)]


@dataclass(frozen=True)
class Reading:
    """Perplexities of a model that takes one step of SGD with rate `lr` on every window that it has read.

    Attributes:
        honest: on the text it reads, each window scored before the step on it.
        peeking: the same windows scored once more after the step, as a warning: by then the model has seen the answers.
        elsewhere: on other text, with the weights as they are in the end.
    """

    lr: float
    honest: float
    peeking: float
    elsewhere: float


def dynamic_evaluation(net, tokens, elsewhere, rates=(0, 0.003, 0.01, 0.03, 0.1, 0.3, 1), num_steps=20):
    """Measure whether a model gains from training on what it reads (Krause et al. 2018, arXiv 1709.07432).

    A copy reads the text in one row, window by window, with a carried state. Each window is first scored, then trained
    on by one step of plain SGD, clipped at 1. Rate 0 takes the same steps and changes nothing. Cost: 0.25 s a rate for
    2,000 tokens.

    Args:
        tokens, elsewhere: long tensors that do not overlap; tokens needs more than num_steps of them.

    Returns:
        A list of `Reading`, one for each rate.
    """
    records = []
    for lr in rates:
        reader, before, after = read_and_train(net, tokens, lr, num_steps)
        perplexity = evaluate(reader, elsewhere, _device(net), row_length=200)
        records.append(Reading(lr, _perplexity(before), _perplexity(after), perplexity))
    return records


def read_and_train(net, tokens, lr, num_steps=20):
    """Read a text once and train a copy on each window after having scored it.

    Returns:
        The copy, and two lists with the mean loss of each window: before the step on it, and after.
    """
    tokens, net = tokens.to(_device(net)), copy.deepcopy(net).eval()
    count = (len(tokens) - 1) // num_steps
    if count < 1:
        raise ValueError(f"a text of {len(tokens):,} tokens has no window of {num_steps} steps with labels")
    X = tokens[: count * num_steps].reshape(count, 1, num_steps)
    Y = tokens[1 : count * num_steps + 1].reshape(count, num_steps)
    optimizer, state = torch.optim.SGD(net.parameters(), lr), net.begin_state(tokens.device, batch_size=1)
    before, after = [], []
    for inputs, labels in zip(X, Y, strict=True):
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward in eval()
            logits, following = net(inputs, state)
            before.append(update(optimizer, F.cross_entropy(logits, labels)))
        with torch.no_grad():
            after.append(F.cross_entropy(net(inputs, state)[0], labels).item())
        state = detach(following)
    return net, before, after


def disguised(tokens, vocab_size, seed=0):
    """Return a text in which each letter stands for another one, the same everywhere: a stranger's language."""
    with seeded(seed):
        letters = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(vocab_size - 1)])  # 0 is <unk>
    return letters.to(tokens.device)[tokens]


def _perplexity(losses):
    """exp of the mean loss; a model that was destroyed may be infinitely surprised."""
    mean = statistics.fmean(losses)
    return math.exp(mean) if mean < 700 else math.inf


def _device(net):
    return next(net.parameters()).device
