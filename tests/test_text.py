"""Tokens and vocabulary are the book's; both samplings cut the windows that they promise."""

from itertools import pairwise
from unittest import mock

import pytest
import torch
from common import both_texts
from hypothesis import given
from hypothesis import strategies as st

from course_utils import corpora, d2l
from course_utils.text import Vocab, seq_data_iter_random, seq_data_iter_sequential, tokenize

sizes = {"batch_size": st.integers(1, 5), "num_steps": st.integers(1, 7), "spare": st.integers(0, 90)}


def book_tokens(monkeypatch, path):
    """The tokens that the book's own functions make of the file at `path`."""
    monkeypatch.setattr(d2l, "download", lambda name: str(path))
    return [token for line in d2l.tokenize(d2l.read_time_machine(), "char") for token in line]


@both_texts
def test_tokenize_equals_the_book(path, monkeypatch):
    assert tokenize(corpora.read(path)[0]) == book_tokens(monkeypatch, path)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_tokenize_equals_the_book_on_any_text(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "any.txt"
    path.write_bytes(f"a {text}".encode())
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert tokenize(corpora.read(path)[0]) == book_tokens(monkeypatch, path)


def test_tokenize_by_hand():
    assert "".join(tokenize("  The Time-Traveller's\n\n3rd BOOT! ")) == "the time traveller srd boot"
    assert tokenize("") == tokenize("1888, 42!\n") == []


@given(tokens=st.lists(st.sampled_from("abcde fgh")))
def test_vocab_equals_the_book(tokens):
    ours, theirs = Vocab(tokens), d2l.Vocab(tokens)
    assert ours.idx_to_token == theirs.idx_to_token
    assert ours.token_to_idx == theirs.token_to_idx
    assert len(ours) == len(theirs)
    assert ours[tokens] == theirs[tokens]
    assert ours.to_tokens(ours[tokens]) == tokens


def test_vocab_numbers_unknown_tokens_0_and_lists_of_lists_too():
    vocab = Vocab("aab")
    assert vocab["z"] == 0
    assert vocab[["a", "z"], ("b",)] == [[1, 0], [2]]
    assert vocab.to_tokens([[1, 0], (2,)]) == [["a", "<unk>"], ["b"]]
    assert vocab.to_tokens(torch.tensor(2)) == "b"


CUTS = {  # how windows are cut -> the tokens that the first batch needs beside B * T, given T
    seq_data_iter_sequential: lambda num_steps: 1,
    seq_data_iter_random: lambda num_steps: num_steps,
}
each_cut = pytest.mark.parametrize("cut", CUTS)


def epochs_at_every_offset(cut, size, batch_size, num_steps):
    """Yield the batches of one epoch for each offset that could be drawn, and for both ends of the shuffled windows."""
    bounds = []
    for order in (torch.arange, lambda n: torch.arange(n - 1, -1, -1)):
        offset = 0
        while offset == 0 or offset < bounds[-1]:  # bounds: what was asked of randint
            draw = mock.Mock(side_effect=lambda high, shape, offset=offset: bounds.append(high) or torch.tensor(offset))
            with mock.patch.object(torch, "randint", draw), mock.patch.object(torch, "randperm", order):
                yield list(cut(torch.arange(size), batch_size, num_steps))
            offset += 1


def check_batches(batches, size, batch_size, num_steps):
    """In the corpus 0, 1, 2, ... each token is its own position: windows run on by one, and lie inside."""
    for X, Y in batches:
        assert X.shape == Y.shape == (batch_size, num_steps)
        assert torch.equal(Y, X + 1)
        assert torch.equal(X, X[:, :1] + torch.arange(num_steps))
        assert X.min() >= 0
        assert Y.max() < size
    inputs = torch.cat([X.flatten() for X, Y in batches])
    assert len(inputs.unique()) == len(inputs)


@each_cut
@given(**sizes)
def test_batches_at_every_offset_and_over_the_epochs_every_token(cut, batch_size, num_steps, spare):
    beside = CUTS[cut](num_steps)
    size = batch_size * num_steps + beside + spare
    inputs, labels = set(), set()
    for batches in epochs_at_every_offset(cut, size, batch_size, num_steps):
        check_batches(batches, size, batch_size, num_steps)
        assert len(batches) == (size - beside) // (batch_size * num_steps)
        inputs |= {position.item() for X, _ in batches for position in X.flatten()}
        labels |= {position.item() for _, Y in batches for position in Y.flatten()}
        if cut is seq_data_iter_sequential:
            assert all(torch.equal(b[0][:, 0], a[1][:, -1]) for a, b in pairwise(batches))
    assert inputs == set(range(size - 1))
    assert labels == set(range(1, size))


def test_random_windows_come_in_random_order():
    torch.manual_seed(0)
    starts = torch.cat([X[:, 0] for X, _ in seq_data_iter_random(torch.arange(1_000), 4, 5)])
    assert not torch.equal(starts, starts.sort().values)
    assert starts.remainder(5).unique().numel() == 1


@each_cut
def test_a_seed_fixes_the_batches_and_epochs_differ(cut):
    def epoch():
        return torch.stack([X for X, _ in cut(torch.arange(997), 4, 5)])

    torch.manual_seed(1)
    first, second = epoch(), epoch()
    torch.manual_seed(1)
    assert torch.equal(epoch(), first)
    assert not torch.equal(second, first)
