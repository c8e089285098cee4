"""Token numbers, one row a sentence, as the one-hot numbers that a time-first layer reads."""

import torch
from torch.nn import functional as F


def to_inputs(tokens, vocab_size):
    return F.one_hot(tokens.T, vocab_size).float()  # (B, T) -> (T, B, V)


def inputs():
    for B, T, V in [(2, 5, 8), (1, 4, 3), (3, 3, 6), (6, 2, 28)]:  # one row, and as many rows as steps
        yield torch.randint(V, (B, T)), V
        yield torch.randint(V - 1, (B, T)), V  # the last symbol does not occur


ERRORS = [
    ("tokens.T", "tokens", "Your result is (B, T, V): sentences come first, and the layer would take them for time."),
    (
        ".float()",
        "",
        "The places are right, the kind of number is not: one_hot gives whole numbers, and a layer multiplies by "
        "fractions.",
    ),
    (
        ", vocab_size",
        "",
        "The last axis ends at the largest number that happens to occur. It must have a place for every symbol.",
    ),
    (
        "tokens.T",
        "tokens.reshape(tokens.shape[::-1])",
        "The shape is right and the content is not: reshape keeps the order in memory, so a column no longer "
        "holds one sentence.",
    ),
    ("tokens.T", "tokens.T.flatten()", "Time and batch have become one axis: a layer needs them apart, (T, B, V)."),
]
