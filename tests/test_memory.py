"""Question 8: who remembers is decided by the gradient, by a judge that can also say no."""

import common  # noqa: F401 (one thread)
import pytest
import torch

from course_utils.experiments.memory import _sequences, recall


def test_the_label_is_the_first_symbol_and_never_comes_again():
    X, labels = _sequences(6, 50, torch.Generator().manual_seed(0), "cpu")
    tokens = X.argmax(dim=2)  # (gap + 1, B)
    assert X.shape == (7, 50, 8)
    assert torch.equal(tokens[0], labels)
    assert labels.max() < 4 <= tokens[1:].min()
    assert len(labels.unique()) == 4


@pytest.mark.parametrize(("gap", "settings", "answer"), [
    (40, {}, False),
    (40, {"orthogonal": True}, True),
    (40, {"identity": True}, True),
    (40, {"cell": "LSTM"}, False),
    (40, {"cell": "LSTM", "forget_bias": 5}, True),
    (2, {"cell": "LSTM"}, True),  # nothing else keeps it from learning
    (2, {}, True),
    (1, {"updates": 0}, False),
])  # fmt: skip
def test_who_remembers_is_decided_by_the_gradient(gap, settings, answer):
    accuracy = recall(gap, **settings)
    assert accuracy > 0.9 if answer else accuracy < 0.7


@pytest.mark.parametrize(("loss", "count"), [(0.02, 10), (0.021, 15), (1.0, 15)])
def test_training_ends_when_the_model_is_sure(monkeypatch, loss, count):
    updates = []
    monkeypatch.setattr("course_utils.experiments.memory.update", lambda *_: updates.append(1) or loss)
    accuracy = recall(1, num_hiddens=8, updates=15)
    assert len(updates) == count
    assert accuracy * 1000 == pytest.approx(round(accuracy * 1000), abs=0.01)  # of 1,000 sequences
