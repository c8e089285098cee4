"""Where in the text the rows and windows of every batch lie, and where each row's state comes from.

Dimensions: K batches of an epoch, T time steps (`num_steps`), B batch size.

A cutting function is run on positions 0, 1, 2, ... instead of tokens, so that its batches tell where they were cut.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from course_utils.checks import checked, windows_fit
from course_utils.experiments.measuring import seeded
from course_utils.rules import whole


class Source(NamedTuple):
    """Where a row's state comes from, and the position at which the row stopped in the batch before."""

    kind: str  # "zeros" in the first batch, "goes on" if the row starts at the next position, else "from elsewhere"
    position: int | None = None


@dataclass(frozen=True)
class Ribbon:
    """One epoch of batches, as positions in the text."""

    num_tokens: int
    batch_size: int
    num_steps: int
    number: int  # which batch is looked at, from 1
    inputs: list  # the positions in X (K, B, T)
    labels: list  # and in Y
    unused: list  # positions that are never an input
    unseen: list  # those of them that are not even a label
    repeated: list  # positions that are an input more than once; none if windows do not overlap
    wrong_labels: list  # (number of the batch, row) wherever a label is not the token after its input
    sources: list  # a `Source` for each row of the batch looked at

    @property
    def num_batches(self):
        """K, batches of the epoch."""
        return len(self.inputs)

    @property
    def batch(self):
        """The inputs of the batch looked at: B rows of T positions."""
        return self.inputs[self.number - 1]


@checked(partial(windows_fit, sampling="any"), num_tokens=whole(0))
def corpus_ribbon(cut, num_tokens, batch_size, num_steps, seed=0, number=1):
    """Run a cutting function for one epoch on a text's positions, and return a `Ribbon`; about 1 ms for 300 tokens.

    Args:
        cut: called as `cut(positions, batch_size, num_steps)`; yields pairs of tensors X, Y of shape (B, T), as
            `text.seq_data_iter_sequential` and `text.seq_data_iter_random` do.
        seed: one seed, one epoch; torch's own generator is left alone.
        number: the batch to look at, from 1; beyond the last one it is the last one.

    Raises:
        NoBatch: B and T are too large for the text.
        ValueError: a size or number below 1, or batches that are not what was asked for.
    """
    with seeded(seed):
        batches = list(itertools.islice(_read(cut, num_tokens, batch_size, num_steps), num_tokens + 1))
    _check_number(len(batches), cut, num_tokens, batch_size, num_steps)
    X, Y = map(torch.stack, zip(*batches, strict=True))  # (K, B, T)
    number = min(number, len(X))
    inputs, labels = (torch.bincount(part.flatten(), minlength=num_tokens) for part in (X, Y))  # how often each is one
    return Ribbon(
        num_tokens, batch_size, num_steps, number, X.tolist(), Y.tolist(), unused=_where(inputs == 0),
        unseen=_where(inputs + labels == 0), repeated=_where(inputs > 1),
        wrong_labels=[(batch + 1, row) for batch, row in (Y != X + 1).any(dim=2).nonzero().tolist()],
        sources=_sources(X[number - 2 : number].tolist()) if number > 1 else [Source("zeros")] * batch_size,
    )  # fmt: skip


def _where(mask):
    return mask.nonzero().flatten().tolist()


def _sources(batches):
    """A `Source` for each row of the second one of two batches."""
    pairs = zip(*batches, strict=True)
    return [Source("goes on" if row[0] == old[-1] + 1 else "from elsewhere", old[-1]) for old, row in pairs]


def _read(cut, num_tokens, batch_size, num_steps):
    """Yield the pairs X, Y that a cutting function yields, if they are what was asked for."""
    name, batches = _name(cut), cut(torch.arange(num_tokens), batch_size, num_steps)
    if not hasattr(batches, "__iter__"):
        raise ValueError(f"{name} returned {batches!r}; let it yield pairs X, Y")
    for number, pair in enumerate(batches, start=1):
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(torch.is_tensor, pair))):
            raise ValueError(f"batch {number} of {name} is no pair of tensors; let it yield X, Y")
        if number > 1 or pair[0].numel():  # an empty first batch is none at all: `_check_number` has the words for it
            for letter, part in zip("XY", pair, strict=True):
                _check_part(f"{letter} of batch {number} of {name}", part, num_tokens, (batch_size, num_steps))
            yield pair


def _check_part(what, part, num_tokens, shape):
    """Raise ValueError unless X, or Y, has the right shape and holds tokens of the text."""
    if part.shape != shape:
        raise ValueError(f"{what} has the shape {tuple(part.shape)}; it must be (batch_size, num_steps) = {shape}")
    if part.is_floating_point() or part.min() < 0 or part.max() >= num_tokens:
        raise ValueError(f"{what} holds something else than tokens of the text; cut it from the text, and only cut")


def _check_number(num_batches, cut, num_tokens, batch_size, num_steps):
    """Raise `NoBatch` if there is none and that is the sizes' fault, ValueError if it is the function's."""
    name, asked = _name(cut), {"num_tokens": num_tokens, "batch_size": batch_size, "num_steps": num_steps}
    if not num_batches:
        windows_fit(asked, sampling="random")  # which needs the most, for its offset
        words = f"{num_tokens} tokens hold a batch of {batch_size} rows and {num_steps} steps"
        raise ValueError(f"{name} yields nothing, though {words}; look at its loop")
    if num_batches > num_tokens:
        raise ValueError(f"{name} yields more than {num_tokens} batches of {num_tokens} tokens; let its loop end")


def _name(cut):
    return getattr(cut, "__name__", "the cutting function")
