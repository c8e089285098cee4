"""The book's loading functions, with two additions: a choice of texts, and a last tenth that is never trained on.

Dimensions: T time steps (`num_steps`), B batch size.
"""

import torch

from course_utils import corpora
from course_utils.checks import checked, row, windows_fit
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

    @checked(windows_fit, corpus=row(), held_out=row())
    def __init__(self, corpus, batch_size, num_steps, sampling="sequential", held_out=()):
        self.corpus, self.held_out = corpus, torch.as_tensor(held_out, dtype=torch.long)  # the default is no tensor
        self.batch_size, self.num_steps, self.sampling = batch_size, num_steps, sampling

    @property
    def carries_state(self):
        return self.sampling == "sequential"

    def __len__(self):
        spare = 1 if self.sampling == "sequential" else self.num_steps
        return (len(self.corpus) - spare) // (self.batch_size * self.num_steps)

    def __iter__(self):
        cut = seq_data_iter_sequential if self.sampling == "sequential" else seq_data_iter_random
        return cut(self.corpus, self.batch_size, self.num_steps)


def read_indices(found):
    """Return the tokens of a `corpora.Corpus` as a list of indices, and their vocabulary; the file is read once."""
    tokens = tokenize(found.text)
    if not tokens:
        raise ValueError(f"{found.path} holds no letters a to z, and the course's vocabulary knows no others")
    vocab = Vocab(tokens)
    return vocab[tokens], vocab


@checked()
def load_corpus_time_machine(max_tokens=-1, corpus="auto"):
    """Return the text's first `max_tokens` tokens as a list of indices (-1: all of them), and its vocabulary.

    For the same file both are the same, token for token, as those of the book's function of this name.
    """
    indices, vocab = read_indices(corpora.find(corpus))
    return (indices if max_tokens < 0 else indices[:max_tokens]), vocab


@checked()
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
    found = corpora.find(corpus)
    indices, vocab = read_indices(found)
    training, held_out = torch.tensor(indices).tensor_split([len(indices) - len(indices) // HELD_OUT_SHARE])
    training = training if max_tokens < 0 else training[:max_tokens]
    train_iter = SeqDataLoader(training, batch_size, num_steps, sampling, held_out)
    print(corpora.wrapped(f"{found} {len(training):,} tokens to train on, {len(held_out):,} held out."))
    return train_iter, vocab
