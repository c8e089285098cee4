"""The mean cross-entropy over the real tokens, without those that only pad a row."""

import torch
from torch.nn import functional as F


def masked_loss(logits, labels, pad):
    real = labels != pad
    return F.cross_entropy(logits[real], labels[real])


def inputs():
    for count, V, pad in [(12, 5, 4), (30, 8, 0), (7, 3, 1), (20, 6, 5)]:
        labels = torch.randint(V, (count,))
        labels[: count // 3], labels[-1] = pad, (pad + 1) % V  # never padding alone
        yield 2 * torch.randn(count, V), labels, pad
    yield torch.randn(9, 4), torch.randint(3, (9,)), 3  # no padding at all


ERRORS = [
    (
        "logits[real], labels[real]",
        "logits, labels",
        "Your mean still counts the padding: it is part of the labels like any other symbol.",
    ),
    (
        "F.cross_entropy(logits[real], labels[real])",
        "(F.cross_entropy(logits, labels, reduction='none') * real).mean()",
        "Padding adds nothing to your sum, but you still divide by all tokens. Divide by the real ones.",
    ),
    (
        "labels[real])",
        "labels[real], reduction='sum')",
        "You return a sum: it grows with the number of tokens. A mean is asked for.",
    ),
    ("labels != pad", "labels != 0", "You take number 0 for the padding. Which number it is stands in pad."),
    (
        "labels != pad",
        "labels == pad",
        "Your mask is the wrong way round: you score the padding and leave out the text.",
    ),
    (
        "logits[real], labels[real]",
        "logits[real].softmax(1), labels[real]",
        "Your loss is too even: cross_entropy takes the logits as they are and makes the probabilities itself.",
    ),
]
