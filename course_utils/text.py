"""From a text to batches: tokens, vocabulary, and two ways of cutting windows out of a
long sequence.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary.
"""

import collections
import re
from functools import partial

import torch

from course_utils.checks import (
    checked,
    explained,
    not_a_token,
    not_numbered,
    windows_fit,
)
from course_utils.rules import row, several


def tokenize(text):
    """Split a text into characters: letters in lower case, anything else one space, no
    space at a line's ends."""
    lines = [re.findall("[A-Za-z]+", line) for line in text.split("\n")]
    return list("".join(" ".join(words).lower() for words in lines))


class Vocab:
    """Number the distinct tokens, the most frequent first; 0 stands for every unknown
    token."""

    def __init__(self, tokens):
        by_frequency = collections.Counter(tokens).most_common()  # (token, count)
        self.idx_to_token = ["<unk>", *(token for token, _ in by_frequency)]
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    def __len__(self):
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, 0)

    def to_tokens(self, indices):
        if isinstance(indices, (list, tuple)):
            return [self.to_tokens(idx) for idx in indices]
        return self.idx_to_token[indices]


def seq_data_iter_sequential(corpus, batch_size, num_steps):
    """Yield batches X, Y of shape (B, T); row b of a batch goes on where row b of the
    batch before stopped."""
    num_batches = (len(corpus) - 1) // (batch_size * num_steps)
    used = num_batches * batch_size * num_steps
    offset = torch.randint(len(corpus) - used, ()).item()  # each token gets its turn
    Xs = corpus[offset : offset + used].reshape(batch_size, -1)  # (B, num_batches * T)
    Ys = corpus[offset + 1 : offset + used + 1].reshape(batch_size, -1)  # one later
    yield from zip(Xs.split(num_steps, dim=1), Ys.split(num_steps, dim=1), strict=True)


def seq_data_iter_random(corpus, batch_size, num_steps):
    """Yield batches X, Y of shape (B, T); every row is a window from anywhere in the
    text."""
    num_batches = (len(corpus) - num_steps) // (batch_size * num_steps)
    offset = torch.randint(num_steps, ()).item()
    starts = torch.arange(offset, len(corpus) - num_steps, num_steps)
    starts = starts[torch.randperm(len(starts))][: num_batches * batch_size]
    for batch in starts.split(batch_size):
        positions = batch[:, None] + torch.arange(num_steps)  # (B, T)
        yield corpus[positions], corpus[positions + 1]


Vocab.__init__ = checked(tokens=several)(explained(not_a_token)(Vocab.__init__))
Vocab.__getitem__ = explained(not_a_token)(Vocab.__getitem__)
Vocab.to_tokens = explained(not_numbered)(Vocab.to_tokens)
seq_data_iter_sequential = checked(
    partial(windows_fit, sampling="sequential"), corpus=row()
)(seq_data_iter_sequential)
seq_data_iter_random = checked(partial(windows_fit, sampling="random"), corpus=row())(
    seq_data_iter_random
)
