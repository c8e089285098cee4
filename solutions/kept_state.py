"""What of a carried state fits a last batch that has fewer rows."""

import torch


def kept_state(state, batch_size):
    if isinstance(state, tuple):  # an LSTM's (h, c)
        return tuple(kept_state(part, batch_size) for part in state)
    return state[:, :batch_size]


def inputs():
    for L, B, H, batch_size in [(1, 5, 4, 3), (3, 4, 2, 1), (4, 7, 3, 6), (2, 3, 5, 3)]:  # the last one fits as it is
        yield torch.randn(L, B, H), batch_size
        yield (torch.randn(L, B, H), torch.randn(L, B, H)), batch_size


ERRORS = [
    (
        "[:, :batch_size]",
        "[:batch_size]",
        "You cut axis 0, the layers. The rows of the batch lie on axis 1 of (L, B, H).",
    ),
    (
        "[:, :batch_size]",
        "[:, -batch_size:]",
        "You kept the last rows. Row b of the next batch goes on where row b of this one ended, so the first ones"
        " are needed.",
    ),
    (
        "isinstance(state, tuple)",
        "False",
        "Right for one tensor, but an LSTM's state is a tuple of two, and each must be cut.",
    ),
    (
        "return tuple(kept_state(part, batch_size) for part in state)",
        "state = state[0]",
        "For an LSTM you return h alone. Its memory cell must be carried too.",
    ),
    (
        "return tuple(kept_state(part, batch_size) for part in state)",
        "return kept_state(state[0], batch_size), state[1]",
        "For an LSTM you cut h but not the memory cell: both must have as many rows as the batch.",
    ),
    (
        "state[:, :batch_size]",
        "torch.zeros_like(state[:, :batch_size])",
        "The shape is right, but you return zeros: the memory of what was read is lost.",
    ),
]
