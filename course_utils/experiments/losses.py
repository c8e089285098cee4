"""Why a batch's loss is one mean over batch size × time steps (question 3).

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary.
"""

import torch
from torch.nn import functional as F

from course_utils.checks import checked, gradients_on, known_tokens
from course_utils.experiments.measuring import median_seconds, seeded
from course_utils.loaders import SeqDataLoader
from course_utils.rules import whole


@checked(known_tokens, gradients_on, vocab_size=whole(1, 10_000))
def loss_ways(tokens, vocab_size, batch_size=32, num_steps=35, repeats=5, seed=0):
    """Measure whether T * B classifications are one: the loss of one batch in four ways, with its time. Cost: 0.5 s.

    The scores are those of counting pairs in the same text, so that no training is needed: log(count + 1). The last
    way takes labels in the order (B, T) although the scores are (T, B). Returns way -> (loss, seconds with backward
    to the scores as the median of `repeats` turns).
    """
    with seeded(seed):
        X, Y = next(iter(SeqDataLoader(tokens, batch_size, num_steps)))
    pairs = torch.bincount(tokens[:-1] * vocab_size + tokens[1:], minlength=vocab_size**2) + 1
    logits = pairs.reshape(vocab_size, -1).log()[X.T].requires_grad_()  # (T, B, V)
    ways = {
        "one call": lambda: F.cross_entropy(logits.flatten(0, 1), Y.T.flatten()),
        "loop over T": lambda: _mean_loss(logits, Y.T),
        "loop over T and B": lambda: _mean_loss(logits.flatten(0, 1), Y.T.flatten()),
        "labels not transposed": lambda: F.cross_entropy(logits.flatten(0, 1), Y.flatten()),
    }
    seconds = median_seconds({way: lambda loss=loss: loss().backward() for way, loss in ways.items()}, repeats)
    return {way: (loss().item(), seconds[way]) for way, loss in ways.items()}


def _mean_loss(logits, labels):
    return torch.stack([F.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]).mean()
