"""One row of a matrix for each token number: an embedding."""

import torch


def embed(X, W):
    return W[X]


def inputs():
    for shape, V, H in [((2, 5), 8, 3), ((4,), 5, 5), ((3, 3), 6, 6), ((1, 1), 4, 2), ((2, 3, 4), 5, 2)]:
        yield torch.randint(V, shape), torch.randn(V, H)


ERRORS = [
    ("W[X]", "W[:, X]", "You picked columns. The matrix is (V, H): a symbol owns a row of H numbers."),
    (
        "W[X]",
        "W[X.mT] if X.dim() > 1 else W[X]",
        "X was transposed on the way. Each row of W belongs in the place where its number stands in X.",
    ),
    (
        "W[X]",
        "W[X - 1]",
        "You are one row off: symbol 0 owns row 0. An index of -1 is no error, it takes the last row.",
    ),
    (
        "W[X]",
        "X.float() @ W",
        "You multiplied by the token numbers themselves. A number is only a name here: symbol 6 is not three "
        "times symbol 2.",
    ),
    (
        "W[X]",
        "W[X.flatten()]",
        "The rows are right, but the axes of X are gone: expected is the shape of X with H behind it.",
    ),
]
