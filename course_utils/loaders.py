"""The book's loading functions, with two additions: a choice of texts, and a last tenth that is never trained on.

Dimensions: T time steps (`num_steps`), B batch size.
"""

import collections
import dataclasses
import math
import re
import unicodedata

import torch

from course_utils import corpora
from course_utils.checks import checked, windows_fit
from course_utils.language import say
from course_utils.rules import one_of, optional, row
from course_utils.text import Vocab, seq_data_iter_random, seq_data_iter_sequential, tokenize

HELD_OUT_SHARE = 10  # the last tenth of every text is never trained on
RARE_FROM = 10_000  # in a text of so many tokens, one that occurs only once cannot be learnt: it becomes <unk>
CLOSING, OPENING, BOTH = r",.;:!?…%)\]}”’»", r"(\[{“‘«„¿¡", "、。，；：？！「」『』（）《》"  # marks by their spaces
_MARK = rf"[{CLOSING}{OPENING}{BOTH}\"'—–]"
_WORDS = re.compile(rf"(?:(?<=\w)['’-](?=\w)|(?!{_MARK})\S)+|{_MARK}")
_NO_SPACE = re.compile(rf" (?=[{CLOSING}{BOTH}])|(?<=[{OPENING}{BOTH}]) ")
KIND = optional(one_of("letters", "characters", "words"))  # of tokens


def split(text, kind):
    """Return a text's tokens: "letters" as in the book, "characters", or "words" and punctuation marks."""
    if kind == "letters":
        return tokenize(text)
    text = unicodedata.normalize("NFC", text)  # one character for é, however it is written
    return list(text) if kind == "characters" else _WORDS.findall(text)


class TextVocab(Vocab):
    """A `Vocab` that knows what its tokens are: a prefix is split, and a sample joined, as the text was.

    Args:
        tokens: a text's tokens; `TextVocab(vocab.idx_to_token[1:], vocab.kind, vocab.prefix)` is the same once more.
        kind: "letters", "characters" or "words".
        prefix: where samples start if nothing else is asked for.
        least: a token seen fewer times is unknown.
    """

    def __init__(self, tokens, kind="letters", prefix="time traveller", least=1):
        tokens, counts = list(tokens), collections.Counter(tokens)
        super().__init__(token for token in tokens if counts[token] >= least)
        self.kind, self.prefix = kind, prefix

    def split(self, text):
        """Return the tokens of a short text, with nothing left out that the vocabulary does not know."""
        return list(text) if self.kind == "letters" or not isinstance(text, str) else split(text, self.kind)

    def join(self, tokens):
        """Return the text that the tokens make; words have a space between them, punctuation as it is usual."""
        return _NO_SPACE.sub("", " ".join(tokens)) if self.kind == "words" else "".join(tokens)


class SeqDataLoader:
    """An iterable over one epoch of batches; each `for` loop starts a new epoch with a new random offset.

    Attributes:
        corpus: the training tokens, a long tensor.
        held_out: tokens of the same text that training never sees, a long tensor.
        sampling: how the windows are cut, "sequential" or "random".
        carries_state: whether the state goes on from batch to batch; it may where the rows do, as in sequential ones.
    """

    @checked(windows_fit, corpus=row(), held_out=row())
    def __init__(self, corpus, batch_size, num_steps, sampling="sequential", held_out=(), carries_state=None):
        self.corpus, self.held_out = corpus, torch.as_tensor(held_out, dtype=torch.long)  # the default is no tensor
        self.batch_size, self.num_steps, self.sampling = batch_size, num_steps, sampling
        self.carries_state = sampling == "sequential" if carries_state is None else carries_state

    def __len__(self):
        spare = 1 if self.sampling == "sequential" else self.num_steps
        return (len(self.corpus) - spare) // (self.batch_size * self.num_steps)

    def __iter__(self):
        cut = seq_data_iter_sequential if self.sampling == "sequential" else seq_data_iter_random
        return cut(self.corpus, self.batch_size, self.num_steps)


def read_indices(found, kind=None):
    """Return the tokens of a `corpora.Corpus` as a list of indices, their vocabulary, and a line about text and tokens.

    Of a course's own text in letters the line gives the name alone.
    """
    text, remarks = corpora.read(found.path)  # once
    ours = corpora.is_of_the_course(found.path, text)
    kind = ("letters" if ours else "characters") if kind is None else kind
    tokens = split(text, kind)
    least = 2 if kind != "letters" and len(tokens) >= RARE_FROM else 1
    vocab = TextVocab(tokens, kind, least=least)
    indices = vocab[tokens]
    if ours and kind == "letters":
        return indices, vocab, str(found)
    kept = sum(len(token) for token, index in zip(tokens, indices, strict=True) if index and not token.isspace())
    lost = 1 - kept / sum(not sign.isspace() for sign in unicodedata.normalize("NFC", text))
    if kind == "letters" and lost > 0.5:
        raise ValueError(
            f'letters are a to z, and {lost:.0%} of {found.path} is something else; use tokens="characters"'
        )
    vocab.prefix = _start(tokens[len(tokens) - len(tokens) // HELD_OUT_SHARE :], vocab) or _start(tokens, vocab)
    note = found.note + say(" ({reason})", reason=say("; ").join(remarks)) * bool(remarks)
    account = _account(kind, len(vocab), lost)
    return indices, vocab, say("{line} {more}", line=dataclasses.replace(found, note=note), more=account)


def _start(tokens, vocab):
    """Return the beginning of the first whole line, of tokens that the vocabulary knows; empty if there is none."""
    lines = vocab.join([token for token in tokens[:500] if vocab[token]]).splitlines()
    lines = [line.strip() for line in lines if line.strip()] or [""]
    start = vocab.split(lines[min(1, len(lines) - 1)])
    return vocab.join(start[: 3 if vocab.kind == "words" else 14]).strip()  # as long as "time traveller"


def opening(vocab, train_iter=None):
    """Where samples start: as the vocabulary says, else as in the book, or as the text where this has other signs."""
    prefix, split = getattr(vocab, "prefix", "time traveller"), getattr(vocab, "split", list)
    if train_iter is None or all(vocab.to_tokens(vocab[token]) == token for token in split(prefix)):
        return prefix
    text = train_iter.held_out if len(train_iter.held_out) else train_iter.corpus
    return "".join(vocab.to_tokens(text[:14].tolist()))


def _account(kind, size, lost):
    """Say in a sentence what was kept of a text, in a second one if more than a tenth was not."""
    if kind == "letters":
        account = say("Letters: a vocabulary of {size:,}, {lost:.1%} of the text dropped.", size=size, lost=lost)
        warning = say(' Warning: more than a tenth is dropped, for letters are a to z; tokens="characters" keeps more.')
    elif kind == "characters":
        account = say("Characters: a vocabulary of {size:,}, {lost:.1%} of the text unknown.", size=size, lost=lost)
        warning = say(" Warning: more than a tenth is unknown, for it occurs only once; a longer text keeps more.")
    else:
        account = say("Words: a vocabulary of {size:,}, {lost:.1%} of the text unknown.", size=size, lost=lost)
        warning = say(
            ' Warning: more than a tenth is unknown, for it occurs only once; tokens="characters" keeps more.'
        )
    return account + warning * (lost > 0.1)


@checked(tokens=KIND)
def load_corpus_time_machine(max_tokens=-1, corpus="auto", tokens=None):
    """Return the text's first `max_tokens` tokens as a list of indices (-1 or 0: all), and its vocabulary.

    In letters both are the same, token for token, as those of the book's function of this name.
    """
    indices, vocab, _ = read_indices(corpora.find(corpus), tokens)
    return (indices if max_tokens <= 0 else indices[:max_tokens]), vocab


@checked(tokens=KIND)
def load_data_time_machine(batch_size, num_steps, sampling="sequential", max_tokens=10_000, corpus="auto", tokens=None):
    """Return an iterable over training batches and the vocabulary; a printed line says which text is in use.

    Args:
        batch_size, num_steps: B rows of T tokens.
        max_tokens: training uses at most so many tokens from the start of the text (-1: all but the held-out tenth).
        corpus: "auto" (the book if it can be had, else the story), "time_machine", "story" or the path of a .txt file.
        tokens: "letters" as in the book (a to z in lower case and spaces; refused where it would drop half of the
            text), "characters" (everything as it stands, in any script) or "words" (and punctuation marks; where no
            spaces are written, as in Chinese, what stands between two marks is one word); None for letters of the
            course's texts and characters of yours. Of 10,000 characters or words and more, those that
            occur only once become "<unk>".

    Returns:
        train_iter: a `SeqDataLoader`; `train_iter.held_out` is the last tenth of the text, never trained on.
        vocab: the `TextVocab` of the whole text.

    Raises:
        ValueError, OSError: the text is missing, unreadable or too short; the message gives the numbers.
    """
    indices, vocab, line = read_indices(corpora.find(corpus), tokens)
    training, held_out = torch.tensor(indices).tensor_split([len(indices) - len(indices) // HELD_OUT_SHARE])
    training = training if max_tokens < 0 else training[:max_tokens]
    train_iter = SeqDataLoader(training, batch_size, num_steps, sampling, held_out)
    text = "{line} {training:,} tokens to train on, {held_out:,} held out."
    print(corpora.wrapped(say(text, line=line, training=len(training), held_out=len(held_out))))
    return train_iter, vocab


def bits_per_character(perplexity, tokens_per_character):
    """Return log2(perplexity), the bits of a token, times the tokens of a character: comparable for any kind of tokens.

    Where tokens are letters or characters it is log2(perplexity) itself. Knowing that a token is unknown is not knowing
    what stands there: with a share of `<unk>` the number is too good.
    """
    return math.log2(perplexity) * tokens_per_character


def tokens_per_character(tokens, vocab):
    """Return how many tokens (a tensor of indices) there are for each character of the text that they make."""
    return len(tokens) / len(vocab.join(vocab.to_tokens(tokens.tolist())))
