"""The book's loading functions, with two additions: a choice of texts, and a last tenth that is never trained on.

Dimensions: T time steps (`num_steps`), B batch size.
"""

from numbers import Integral

import torch

from course_utils import corpora
from course_utils.text import Vocab, seq_data_iter_random, seq_data_iter_sequential, tokenize

HELD_OUT_SHARE = 10  # the last tenth of every text is never trained on


class SeqDataLoader:
    """An iterable over one epoch of batches; each `for` loop starts a new epoch with a new random offset.

    Attributes:
        corpus: the training tokens, a long tensor.
        held_out: tokens of the same text that training never sees, a long tensor.
        sampling: how the windows are cut, "sequential" or "random".
        carries_state: whether a batch's rows go on where those of the batch before stopped, so that the state may too.
    """

    def __init__(self, corpus, batch_size, num_steps, sampling="sequential", held_out=()):
        check_windows(len(corpus), batch_size, num_steps, sampling)
        self.corpus = torch.as_tensor(corpus, dtype=torch.long)
        self.held_out = torch.as_tensor(held_out, dtype=torch.long)
        self.batch_size, self.num_steps, self.sampling = int(batch_size), int(num_steps), sampling

    @property
    def carries_state(self):
        return self.sampling == "sequential"

    def __len__(self):
        spare = 1 if self.sampling == "sequential" else self.num_steps
        return (len(self.corpus) - spare) // (self.batch_size * self.num_steps)

    def __iter__(self):
        cut = seq_data_iter_sequential if self.sampling == "sequential" else seq_data_iter_random
        return cut(self.corpus, self.batch_size, self.num_steps)


def check_windows(num_tokens, batch_size, num_steps, sampling):
    """Raise ValueError unless one batch of windows can be cut from `num_tokens` training tokens."""
    if sampling not in ("sequential", "random"):
        raise ValueError(f'sampling is {sampling!r}; it must be "sequential" or "random"')
    for name, value in (("batch_size", batch_size), ("num_steps", num_steps)):
        if not is_whole(value) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
    needed = batch_size * num_steps + (1 if sampling == "sequential" else num_steps)
    if num_tokens < needed:
        raise ValueError(
            f"the training text has {num_tokens:,} tokens, but batch_size={batch_size} and num_steps={num_steps} "
            f"with {sampling} sampling need {needed:,}; use more text, a smaller batch or fewer steps"
        )


def is_whole(value):
    """Whether `value` is a whole number, of Python or NumPy; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def read_indices(found):
    """Return the tokens of a `corpora.Corpus` as a list of indices, and their vocabulary; the file is read once."""
    tokens = tokenize(found.text)
    if not tokens:
        raise ValueError(f"{found.path} holds no letters a to z, and the course's vocabulary knows no others")
    vocab = Vocab(tokens)
    return vocab[tokens], vocab


def load_corpus_time_machine(max_tokens=-1, corpus="auto"):
    """Return the text's first `max_tokens` tokens as a list of indices (-1 or 0: all), and its vocabulary.

    For the same file both are the same, token for token, as those of the book's function of this name.
    """
    indices, vocab = read_indices(corpora.find(corpus))
    return (indices if max_tokens <= 0 else indices[:max_tokens]), vocab


def load_data_time_machine(batch_size, num_steps, sampling="sequential", max_tokens=10_000, corpus="auto"):
    """Return an iterable over training batches and the vocabulary; a printed line says which text is in use.

    Args:
        batch_size, num_steps: B rows of T tokens.
        max_tokens: training uses at most so many tokens from the start of the text (-1: all but the held-out tenth).
        corpus: "auto" (the book if it can be had, else the story), "time_machine", "story" or the path of a .txt file.

    Returns:
        train_iter: a `SeqDataLoader`; `train_iter.held_out` is the last tenth of the text, never trained on.
        vocab: the `Vocab` of the whole text.

    Raises:
        ValueError, OSError: the text is missing, unreadable or too short; the message gives the numbers.
    """
    if not is_whole(max_tokens):
        raise ValueError(f"max_tokens is {max_tokens!r}; it must be a whole number, or -1 for the whole text")
    found = corpora.find(corpus)
    indices, vocab = read_indices(found)
    training, held_out = torch.tensor(indices).tensor_split([len(indices) - len(indices) // HELD_OUT_SHARE])
    training = training if max_tokens < 0 else training[:max_tokens]
    train_iter = SeqDataLoader(training, batch_size, num_steps, sampling, held_out)
    print(corpora.wrapped(f"{found} {len(training):,} tokens to train on, {len(held_out):,} held out."))
    return train_iter, vocab
