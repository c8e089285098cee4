"""A carried state that starts anew in the rows where a new document begins."""

import torch


def reset_rows(state, new_document):
    return state.masked_fill(new_document[:, None], 0)


def inputs():
    for L, B, H in [(1, 5, 3), (3, 4, 2), (2, 7, 6), (4, 1, 3), (3, 6, 8)]:
        yield torch.randn(L, B, H), torch.rand(B) < 0.5
    yield torch.randn(2, 3, 4), torch.tensor([False, True, False])
    yield torch.randn(3, 2, 5), torch.tensor([False, False])
    yield torch.randn(1, 4, 6), torch.tensor([True] * 4)


ERRORS = [
    (
        "masked_fill(",
        "masked_fill(~",
        "The wrong way round: you emptied the rows that go on, and kept those where a new document begins.",
    ),
    (
        "masked_fill(",
        "masked_fill_(",
        "The numbers are right, but you wrote them into the state you were given. Return a new tensor.",
    ),
    (
        "state.masked_fill(new_document[:, None], 0)",
        "torch.zeros_like(state) if new_document.any() else state",
        "You empty all rows as soon as one document ends. The others go on, each with its own memory.",
    ),
    (
        "new_document[:, None]",
        "new_document",
        "Your mask of shape (B,) was laid along the last axis, the hidden units. The rows of the batch are axis 1.",
    ),
    (
        "state.masked_fill(new_document[:, None], 0)",
        "state[:, ~new_document]",
        "You took rows out. The batch still has B rows, so the state must have them too, with zeros in some.",
    ),
    (
        "state.masked_fill(new_document[:, None], 0)",
        "torch.cat([state[:1].masked_fill(new_document[:, None], 0), state[1:]])",
        "You reset the first layer only. Each layer remembers the old document.",
    ),
]
