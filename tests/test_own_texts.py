"""A reader's own text, in any script and with any kind of tokens, goes all the way: training, samples and labs."""

import math
import warnings

import common  # noqa: F401  (one thread)
import pytest
import torch
from torch import nn

from course_utils import RNNModel, load_data_time_machine, predict, train, training
from course_utils.loaders import SeqDataLoader, bits_per_character, tokens_per_character
from course_utils.text import seq_data_iter_random
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.runs import Run
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.training_lab import TrainingLab

TEXTS = {
    "characters": "床前明月光，\n疑是地上霜。\n举头望明月，\n“低头思故乡。” DNA Äé\n" * 40,
    "words": "Für die schöne Müllerin, sang er (leise).\nWho’s there? Не я!\n" * 80,
    "letters": "Für die schöne Müllerin sang er leise.\n" * 40,
}
every_kind = pytest.mark.parametrize("kind", TEXTS)


@pytest.fixture
def own(tmp_path, request):
    """The loader, vocabulary, a fresh model and the file of the text of this kind."""
    kind, path = request.getfixturevalue("kind"), tmp_path / "own.txt"
    path.write_text(TEXTS[kind], encoding="utf-8")
    torch.manual_seed(0)
    train_iter, vocab = load_data_time_machine(4, 5, corpus=path, tokens=kind)
    return train_iter, vocab, RNNModel(nn.RNN(len(vocab), 16), len(vocab)), path


@every_kind
def test_training_writes_samples_that_start_as_the_text(kind, own, capsys):
    train_iter, vocab, net, _ = own
    history = train(net, train_iter, vocab, 0.02, 3, "cpu", plot=False, recipe=training.one_cycle)
    text = vocab.join(vocab.to_tokens(train_iter.held_out.tolist()))
    assert vocab.prefix in text
    assert all(record.sample.startswith(vocab.prefix) for record in history if record.sample)
    (record,) = training.epochs(net, train_iter, vocab, 0.02, 1, "cpu")
    assert record.sample.startswith(vocab.prefix)
    density = len(train_iter.held_out) / len(text)
    bits = f"{math.log2(history[-1].held_out_perplexity) * density:.2f} bits per character of held-out text\n"
    assert (bits in capsys.readouterr().out) == (kind == "words")
    assert tokens_per_character(train_iter.held_out, vocab) == density
    assert (density == 1) == (kind != "words")


def test_bits_per_character_are_the_same_for_the_same_knowledge():
    assert bits_per_character(8, 1) == bits_per_character(8**5, 0.2) == pytest.approx(3)


@every_kind
def test_a_prediction_is_joined_as_the_text_is(kind, own):
    _, vocab, net, _ = own
    written = predict(vocab.prefix, 30, net, vocab, "cpu", temperature=2.0, generator=torch.Generator().manual_seed(0))
    tokens = vocab.split(written.replace("<unk>", "")) if kind == "words" else written
    assert written.startswith(vocab.prefix)
    given = len(vocab.split(vocab.prefix))
    assert given < len(tokens) <= given + 30 + 4 * written.count("<unk>")
    with pytest.raises(ValueError, match=rf"the prefix has {kind} that the vocabulary does not know, \['漢|\['Q"):
        predict("漢Qq", 3, net, vocab, "cpu")


@every_kind
def test_the_labs_take_it(kind, own):
    train_iter, vocab, net, path = own
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stepper = PredictionStepper(net, vocab, "cpu")
        stepper.run.click()
        assert stepper.text == predict(vocab.prefix, 20, net, vocab, "cpu")
        assert CorpusRibbon({"random": seq_data_iter_random}, vocab.to_tokens(train_iter.corpus[:200].tolist())).picture
        lab = TrainingLab(corpus=path, tokens=kind, batch_size=4, device="cpu")
    assert (lab.prefix, lab.vocab.kind, len(lab.vocab)) == (vocab.prefix, kind, len(vocab))
    assert TrainingLab(corpus=path, batch_size=4, device="cpu").vocab.kind == "characters"


@every_kind
def test_the_labs_table_gives_bits_per_character_where_tokens_are_words(kind, own):
    train_iter, vocab, net, path = own
    lab = TrainingLab(corpus=path, tokens=kind, batch_size=4, device="cpu")
    history = [training.Epoch(epoch, 9.0, 1.0, held_out) for epoch, held_out in enumerate((16.0, 32.0, None), 1)]
    lab.runs.append(Run(1, lab._settings(), net, history, "finished"))
    lab.update()
    density = len(train_iter.held_out) / len(vocab.join(vocab.to_tokens(train_iter.held_out.tolist())))
    bits = f" ({5 * density:.2f} bits per character)" if kind == "words" else ""
    assert f"<td>32.0{bits}</td><td>1</td></tr>" in lab.table.value


class Own:
    """A vocabulary of a reader's own with nothing but `len`, `[]` and `to_tokens`."""

    def __init__(self, text):
        self.signs = ["?", *sorted(set(text))]

    def __len__(self):
        return len(self.signs)

    def __getitem__(self, sign):
        return self.signs.index(sign) if sign in self.signs[1:] else 0

    def to_tokens(self, indices):
        return [self.signs[i] for i in indices] if isinstance(indices, list) else self.signs[indices]


@pytest.mark.parametrize("text", ["time traveller", "明月光，地上霜。"])
def test_a_vocabulary_of_the_readers_own_works_and_its_samples_start_as_the_book_or_the_text(text):
    vocab = Own(text)
    tokens = torch.tensor([vocab[sign] for sign in text * 20])
    torch.manual_seed(0)
    net = RNNModel(nn.RNN(len(vocab), 8), len(vocab))
    (record,) = train(net, SeqDataLoader(tokens, 2, 5, held_out=tokens[:60]), vocab, 0.5, 1, "cpu", plot=False)
    assert record.sample.startswith((text * 2)[:14])
    with pytest.raises(ValueError, match="does not know, "):
        predict("Q", 1, net, vocab, "cpu")
