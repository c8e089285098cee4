"""The loading functions: the book's corpus, batches as promised, a held-out tenth, one sentence for each mistake."""

import unicodedata
from functools import partial

import numpy as np
import pytest
import torch
from common import both_texts

from course_utils import d2l, load_corpus_time_machine, load_data_time_machine
from course_utils.loaders import SeqDataLoader, TextVocab, _start, split

SAMPLINGS = ("sequential", "random")


@pytest.fixture
def own_text(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content, name="own.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@both_texts
@pytest.mark.parametrize("max_tokens", [-1, 0, 1, 10_000])
def test_corpus_and_vocabulary_equal_the_book(path, max_tokens, monkeypatch):
    monkeypatch.setattr(d2l, "download", lambda name: str(path))
    corpus, vocab = load_corpus_time_machine(max_tokens, corpus=path)
    book_corpus, book_vocab = d2l.load_corpus_time_machine(max_tokens)
    assert corpus == book_corpus
    assert vocab.idx_to_token == book_vocab.idx_to_token


@both_texts
def test_the_loader_holds_the_corpus_in_two_parts(path, capsys):
    corpus, vocab = load_corpus_time_machine(corpus=path)
    train_iter, loader_vocab = load_data_time_machine(32, 35, max_tokens=-1, corpus=path)
    assert torch.cat([train_iter.corpus, train_iter.held_out]).tolist() == corpus
    assert len(train_iter.held_out) == len(corpus) // 10
    assert loader_vocab.idx_to_token == vocab.idx_to_token
    line = f"Text: {path.name}. {len(train_iter.corpus):,} tokens to train on, {len(train_iter.held_out):,} held out.\n"
    assert capsys.readouterr().out == line


def test_an_own_text_is_read_once_and_a_long_line_about_it_is_wrapped(own_text, monkeypatch, capsys):
    path, reads = own_text("a long text " * 20, "a_name_that_is_rather_long_" * 3 + ".txt"), []
    read = type(path).read_bytes
    monkeypatch.setattr(type(path), "read_bytes", lambda path: reads.append(path) or read(path))
    load_data_time_machine(2, 3, corpus=path)
    assert reads == [path]
    printed = capsys.readouterr().out
    assert all(len(line) <= 88 for line in printed.splitlines())
    words = f"Text: {path.name}. Characters: a vocabulary of 10, 0.0% of the text unknown. 216 tokens to train on, 24 "
    assert printed.split() == [*words.split(), "held", "out."]


def test_the_story_is_as_varied_as_the_book():
    corpus, vocab = load_corpus_time_machine(corpus="story")
    assert len(vocab) == 28
    assert set(vocab.idx_to_token) == {"<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"}
    assert len(corpus) >= 30_000
    text = "".join(vocab.to_tokens(corpus))
    assert text.count("time traveller") >= 20
    words = text.split()
    assert len(set(words)) > len(words) / 10  # prose, not a filler that repeats itself
    assert len({tuple(words[i : i + 8]) for i in range(len(words) - 7)}) > 0.99 * (len(words) - 7)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_training_never_touches_the_held_out_part(sampling, own_text):
    path = own_text("a" * 900 + "b" * 100)
    train_iter, vocab = load_data_time_machine(4, 5, sampling, max_tokens=-1, corpus=path)
    seen = torch.cat([part.flatten() for _ in range(50) for batch in train_iter for part in batch])
    assert set(vocab.to_tokens(seen.tolist())) == {"a"}
    assert vocab.to_tokens(train_iter.held_out.tolist()) == ["b"] * 100


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("batch_size", "num_steps"), [(1, 1), (2, 5), (32, 35)])
def test_the_least_text_that_is_enough(sampling, batch_size, num_steps):
    needed = batch_size * num_steps + (1 if sampling == "sequential" else num_steps)
    train_iter = SeqDataLoader(range(needed), batch_size, num_steps, sampling)
    assert train_iter.carries_state == (sampling == "sequential")
    for _ in range(20):  # a loader can be read again and again
        ((X, Y),) = train_iter
        assert X.shape == Y.shape == (batch_size, num_steps)
        assert len(train_iter) == 1
    with pytest.raises(ValueError, match=rf"has {needed - 1:,} tokens.*batch_size={batch_size} .*need {needed:,};"):
        SeqDataLoader(range(needed - 1), batch_size, num_steps, sampling)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda x: torch.tensor(x, dtype=torch.uint8)])
def test_any_sequence_of_numbers_becomes_a_long_tensor(kind):
    train_iter = SeqDataLoader(kind([1, 2, 3, 4, 5, 6, 7]), 1, 3, held_out=kind([8, 9]))
    assert train_iter.corpus.dtype == train_iter.held_out.dtype == torch.long
    assert train_iter.held_out.tolist() == [8, 9]


@pytest.mark.parametrize("content", [
    pytest.param("\ufeffOne traveller\nand another".encode(), id="byte-order mark"),
    pytest.param(b"One traveller\r\nand another", id="Windows line ends"),
    pytest.param(b"One traveller\rand another", id="old Macintosh line ends"),
    pytest.param("1. One traveller…\n“and–another”".encode(), id="signs"),
])  # fmt: skip
def test_the_same_text_in_other_clothes(content, own_text):
    corpus, vocab = load_corpus_time_machine(corpus=own_text(content), tokens="letters")
    assert "".join(vocab.to_tokens(corpus)) == "one travellerand another"


@pytest.mark.parametrize("content", ["1888, 42!", "Привет, мир", "关于DNA，以及WTO、IMF，大家都知道。"])
@pytest.mark.parametrize("load", [load_corpus_time_machine, partial(load_data_time_machine, 1, 1)])
def test_letters_refuse_a_text_that_has_few_of_them(content, load, own_text):
    words = r'letters are a to z, and .*% of .* is something else; use tokens="characters"'
    with pytest.raises(ValueError, match=words):
        load(corpus=own_text(content), tokens="letters")


@pytest.mark.parametrize(
    "content", ["1888, 42!", "Für die\nschöne Müllerin…", "关于DNA，以及WTO。\n\n", "हिन्दी\tمرحبا שלום"]
)
def test_an_own_text_is_kept_as_it_stands(content, own_text):
    corpus, vocab = load_corpus_time_machine(corpus=own_text(content))
    assert "".join(vocab.to_tokens(corpus)) == content
    decomposed, _ = load_corpus_time_machine(corpus=own_text(unicodedata.normalize("NFD", content)))
    assert decomposed == corpus


@pytest.mark.parametrize(("tokens", "text", "line"), [
    ("letters", "ab" * 49 + "éé", "Letters: a vocabulary of 3, 2.0% of the text dropped. "),
    ("letters", "ab" * 20 + "漢字" * 10, "33.3% of the text dropped. Warning: more than a tenth is dropped, for "
     'letters are a to z; tokens="characters" keeps more. '),
    ("characters", "ab " * 4_000 + "漢字", "Characters: a vocabulary of 4, 0.0% of the text unknown. "),
    ("characters", "ab" * 4_000 + "".join(map(chr, range(0x4E00, 0x5600))), "20.4% of the text unknown. Warning: more "
     "than a tenth is unknown, for it occurs only once; a longer text keeps more. "),
    ("words", "a b, " * 4_000 + "once", "Words: a vocabulary of 4, 0.0% of the text unknown. "),
])  # fmt: skip
def test_the_line_says_what_was_kept(tokens, text, line, own_text, capsys):
    load_data_time_machine(2, 3, corpus=own_text(text), tokens=tokens)
    assert line in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("count", [9_999, 10_000])
def test_rare_characters_are_known_in_short_texts_only(count, own_text):
    corpus, vocab = load_corpus_time_machine(corpus=own_text("a" * (count - 1) + "漢"))
    assert vocab.to_tokens(corpus[-1]) == ("漢" if count < 10_000 else "<unk>")


@pytest.mark.parametrize(("tokens", "text", "length"), [
    ("characters", "床前明月光，\n疑是地上霜。\n" * 30, 6),
    ("characters", "\n \n".join(["a line of its own"] * 60), 14),
    ("letters", "For the first time he did not know what to say to her. " * 9, 14),
    ("words", "Who knows? Not I, he said.\n" * 30, 3),
])  # fmt: skip
def test_a_sample_starts_as_the_held_out_text_or_its_first_whole_line(tokens, text, length, own_text):
    train_iter, vocab = load_data_time_machine(2, 3, corpus=own_text(text), tokens=tokens)
    held_out = vocab.join(vocab.to_tokens(train_iter.held_out.tolist()))
    assert f"\n{vocab.prefix}" in held_out or ("\n" not in held_out and held_out.startswith(vocab.prefix))
    assert length - 1 <= len(vocab.split(vocab.prefix)) <= length  # a space at its start or end is no part of it
    assert vocab.prefix.strip() == vocab.prefix


@pytest.mark.parametrize(("kind", "text", "prefix"), [
    ("characters", "half a line\nabcdefghijklmnopqrst\nthe last one", "abcdefghijklmn"),
    ("characters", "abcdefghijklmnopqrst", "abcdefghijklmn"),
    ("words", "half\n\na whole line of words\nthe last", "half a whole"),
    ("characters", "\n\n", ""),
])  # fmt: skip
def test_a_prefix_is_as_long_as_time_traveller_or_three_words(kind, text, prefix):
    tokens = split(text, kind)
    assert _start(tokens, TextVocab(tokens, kind)) == prefix


def test_the_courses_texts_keep_their_prefix():
    assert load_data_time_machine(2, 3, corpus="story")[1].prefix == "time traveller"
    assert load_data_time_machine(2, 3, corpus="story", tokens="words")[1].prefix != "time traveller"


def test_a_short_text_has_no_held_out_part_and_trains(own_text):
    train_iter, _ = load_data_time_machine(1, 2, corpus=own_text("abc abc"))
    assert len(train_iter.held_out) == 0
    assert len(list(train_iter)) == len(train_iter) == 3


def test_sequential_batches_are_views_of_the_corpus():
    train_iter = SeqDataLoader(torch.arange(50_000), 8, 10)
    whole = train_iter.corpus.untyped_storage().data_ptr()
    assert all(part.untyped_storage().data_ptr() == whole for batch in train_iter for part in batch)


@pytest.mark.parametrize(("kind", "text", "tokens"), [
    ("letters", "To... the", [*"to the"]),
    ("characters", "Für\r “Zola”\n東京 e\u0301", [*"Für\r “Zola”\n東京 é"]),
    ("words", "„Ça va?“ – don’t (ever), Jean-Luc!\n\nПривет, मित्र", [
        "„", "Ça", "va", "?", "“", "–", "don’t", "(", "ever", ")", ",", "Jean-Luc", "!", "Привет", ",", "मित्र"]),
    ("words", "疑是，地上。DNA", ["疑是", "，", "地上", "。", "DNA"]),
])  # fmt: skip
def test_a_text_is_split_by_kind(kind, text, tokens):
    assert split(text, kind) == tokens


@pytest.mark.parametrize(("kind", "text"), [
    ("letters", "the time traveller "),
    ("characters", "Für “Zola”\n東京 \t"),
    ("words", "“Ça va?” he said (isn’t it); Jean-Luc! 疑是，地上。DNA"),
])  # fmt: skip
def test_a_vocabulary_splits_and_joins_as_its_text_was_and_is_rebuilt_from_its_list(kind, text):
    vocab = TextVocab(split(text, kind), kind, prefix="ab")
    assert vocab.join(vocab.to_tokens(vocab[vocab.split(text)])) == text
    again = TextVocab(vocab.idx_to_token[1:], vocab.kind, vocab.prefix)
    assert vars(again) == vars(vocab)


def test_letters_of_a_prefix_are_not_cleaned_for_the_reader_is_to_hear_of_them():
    assert TextVocab("time").split("Time! ") == [*"Time! "]


def test_rare_tokens_are_unknown():
    assert TextVocab("abacab", least=2).idx_to_token == ["<unk>", "a", "b"]


def test_no_tokens_are_not_all_tokens():
    with pytest.raises(ValueError, match="the training text has 0 tokens"):
        load_data_time_machine(2, 5, max_tokens=0, corpus="story")
    assert len(load_data_time_machine(2, 5, max_tokens=-1, corpus="story")[0].corpus) > 10_000
