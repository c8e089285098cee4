"""The training loop: it yields what happened, and knows nothing of plots or widgets.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary.
"""

import math
import time
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import (
    check_optimizer,
    check_training,
    checked,
    known_tokens,
    same_device,
    trainable,
)
from course_utils.modes import eval_mode
from course_utils.prediction import predict
from course_utils.rules import row


def detach(state):
    """Keep the state's values and forget how they were computed, so that backward stops
    here."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


def train_epoch(net, train_iter, optimizer, device):
    """Train on every batch once and return the perplexity on the way, exp of the mean
    cross-entropy."""
    net.train()
    state, total_loss, num_tokens = None, 0.0, 0
    for X, Y in train_iter:
        X, labels = X.to(device), Y.to(device).T.flatten()  # time first, as the logits
        if state is None or not train_iter.carries_state:
            state = net.begin_state(device, batch_size=len(X))
        logits, state = net(X, detach(state))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), max_norm=1)
        optimizer.step()
        total_loss += loss.detach() * labels.numel()
        num_tokens += labels.numel()
    return (total_loss / num_tokens).exp().item()


@torch.no_grad()
def evaluate(net, tokens, device, row_length=1_000, num_steps=100):
    """Return the perplexity on `tokens`: rows of about `row_length`, each read from
    its start with a carried state."""
    num_rows = max(1, len(tokens) // row_length)
    used = (len(tokens) - 1) // num_rows * num_rows
    X = tokens[:used].reshape(num_rows, -1).to(device)
    Y = tokens[1 : used + 1].reshape(num_rows, -1).to(device)
    windows = zip(X.split(num_steps, dim=1), Y.split(num_steps, dim=1), strict=True)
    with eval_mode(net) as net:  # no dropout here
        state, total_loss = net.begin_state(device, batch_size=num_rows), 0.0
        for inputs, labels in windows:
            logits, state = net(inputs, state)
            total_loss += F.cross_entropy(logits, labels.T.flatten(), reduction="sum")
    return (total_loss / used).exp().item()


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought; the last two fields are None in epochs that were not
    looked at."""

    epoch: int
    perplexity: float
    tokens_per_second: float
    held_out_perplexity: float | None = None
    sample: str | None = None


def sgd(net, lr, num_updates):
    """The book's recipe: plain SGD, the same learning rate for every update."""
    return torch.optim.SGD(net.parameters(), lr)


def one_cycle(net, lr, num_updates):
    """A quicker recipe: AdamW, whose learning rate rises to `lr` and then falls to
    almost 0."""
    optimizer = torch.optim.AdamW(net.parameters(), lr)
    optimizer.schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=num_updates + 1, pct_start=0.15
    )
    optimizer.register_step_post_hook(lambda *details: optimizer.schedule.step())
    return optimizer


def epochs(net, train_iter, vocab, lr, num_epochs, device, *, recipe=None,
           prefix=None, every=10, first=1):  # fmt: skip
    """Yield an `Epoch` after each epoch; in every tenth, the first and the last one,
    look at unseen text too. The recipe is `sgd` unless another one is given."""
    prefix = getattr(vocab, "prefix", "time traveller") if prefix is None else prefix
    check_training(net, train_iter, vocab, lr, num_epochs, every, recipe, prefix)
    net.to(device)
    optimizer = (recipe or sgd)(net, lr, num_epochs * len(train_iter))
    check_optimizer(optimizer)
    tokens = len(train_iter) * train_iter.batch_size * train_iter.num_steps
    for epoch in range(first, first + num_epochs):
        start = time.perf_counter()
        perplexity = train_epoch(net, train_iter, optimizer, device)
        speed = tokens / (time.perf_counter() - start)
        check_finite(perplexity, epoch, lr)
        if epoch % every and epoch not in (first, first + num_epochs - 1):
            yield Epoch(epoch, perplexity, speed)
        else:
            seen = look(net, train_iter, vocab, device, prefix)
            yield Epoch(epoch, perplexity, speed, *seen)


def look(net, train_iter, vocab, device, prefix, limit=20_000):
    """Return the held-out perplexity, of at most `limit` tokens, and a sample of 50
    characters (None where the model cannot give one)."""
    held_out, sample = train_iter.held_out[:limit], None
    perplexity = evaluate(net, held_out, device) if len(held_out) > 1 else None
    if getattr(net, "num_directions", 1) == 1:
        sample = predict(prefix, 50, net, vocab, device)
    return perplexity, sample


def check_finite(perplexity, epoch, lr):
    """Raise FloatingPointError when training has blown up."""
    if not math.isfinite(perplexity):
        advice = f"start again with a new model and a learning rate below {lr}"
        raise FloatingPointError(
            f"perplexity is {perplexity} after epoch {epoch}; {advice}"
        )


def baselines(tokens, held_out, vocab_size):
    """Return the held-out perplexity of mere counting: single tokens (unigram), pairs
    (bigram), each count plus one."""
    singles = torch.bincount(tokens, minlength=vocab_size)  # (V,)
    unigram = ((singles + 1) / (len(tokens) + vocab_size))[held_out[1:]]
    pairs = Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    unseen = zip(held_out[:-1].tolist(), held_out[1:].tolist(), strict=True)
    counts = torch.tensor([pairs[pair] + 1 for pair in unseen])
    before = torch.bincount(tokens[:-1], minlength=vocab_size)[held_out[:-1]]
    named = {"unigram": unigram, "bigram": counts / (before + vocab_size)}
    return {name: p.log().mean().neg().exp().item() for name, p in named.items()}


train_epoch = checked(trainable, known_tokens)(train_epoch)
epochs = checked()(epochs)
evaluate = checked(same_device, known_tokens)(evaluate)
baselines = checked(known_tokens, tokens=row(1), held_out=row(2))(baselines)
