"""The state after the last real step of each row, from the outputs of rows that were padded to one length."""

import torch


def last_states(Y, lengths):
    rows = torch.arange(len(lengths))
    return Y[lengths - 1, rows]  # one pair (step, row) for each row


def inputs():
    for T, B, H in [(5, 3, 4), (7, 1, 2), (4, 6, 3), (9, 4, 5)]:
        yield torch.randn(T, B, H), torch.randint(1, T + 1, (B,))
        yield torch.randn(T, B, H), torch.randint(1, T, (B,))  # even the longest row has padding
    yield torch.randn(6, 6, 2), torch.tensor([6, 1, 3, 3, 2, 5])


ERRORS = [
    (
        "[lengths - 1, rows]",
        "[-1]",
        "You take the last step of Y for every row. A short row has read padding by then, and its state has moved on.",
    ),
    (
        "[lengths - 1, rows]",
        "[lengths.max() - 1]",
        "You take one and the same step for all rows, the end of the longest. Each row ends at a step of its own.",
    ),
    ("lengths - 1", "lengths", "You are one step late: steps count from 0, so a row with 3 real steps ends at step 2."),
    (
        "[lengths - 1, rows]",
        "[rows, lengths - 1]",
        "The two indices are in the wrong order: axis 0 of Y is time, axis 1 is the row.",
    ),
    (
        "[lengths - 1, rows]",
        "[lengths - 1]",
        "Your result has an axis too many, (B, B, H): for each length you took all rows. Pair each length with "
        "its own row.",
    ),
]
