"""Greedy text equals the book's, drawn text follows the softmax, and nothing about the model changes."""

import numpy as np
import pytest
import torch
from common import CELLS
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils import RNNModel, Vocab, d2l, predict
from course_utils.prediction import choose, distribution

VOCAB = Vocab("the time traveller wrote a quick brown fox jumps over lazy dogs and vexed zebras")


def model(cell=nn.RNN, num_layers=1, scale=1.0, **kwargs):
    """A small model with random weights, large enough to write different characters."""
    torch.manual_seed(0)
    net = RNNModel(cell(len(VOCAB), 16, num_layers, **kwargs), len(VOCAB))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=scale)
    return net


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("prefix", ["t", "time traveller", "aaaaaaaaaaaa"])
def test_greedy_equals_the_book(cell, num_layers, prefix):
    net = model(cell, num_layers)
    text = predict(prefix, 40, net, VOCAB, "cpu")
    assert text == d2l.predict_ch8(prefix, 40, net, VOCAB, torch.device("cpu"))
    assert len(set(text[len(prefix) :])) > 1


@pytest.mark.parametrize("num_preds", [0, 1, np.int64(7)])
def test_the_text_starts_with_the_prefix_and_has_the_asked_length(num_preds):
    text = predict("time", num_preds, model(), VOCAB, torch.device("cpu"))
    assert text.startswith("time")
    assert len(VOCAB[list(text)]) == 4 + num_preds


def test_the_prefix_warms_up_the_state():
    net = model()
    endings = {predict(prefix + "e", 20, net, VOCAB, "cpu")[len(prefix) :] for prefix in ("th", "tim", "travell")}
    assert len(endings) > 1


@pytest.mark.parametrize("top_k", [None, 5])
def test_a_seeded_generator_repeats_a_text(top_k):
    def write(seed):
        return predict("time", 30, model(scale=0.3), VOCAB, "cpu", 1.0, top_k, generator(seed))

    assert write(1) == write(1)
    assert len({write(seed) for seed in range(5)}) > 1


def test_without_a_generator_the_global_seed_decides():
    net = model(scale=0.3)
    texts = []
    for _ in range(2):
        torch.manual_seed(3)
        texts.append(predict("time", 30, net, VOCAB, "cpu", temperature=1.0))
    assert texts[0] == texts[1] != predict("time", 30, net, VOCAB, "cpu", temperature=1.0)


@pytest.mark.parametrize("arguments", [{"top_k": 1, "temperature": 1.5}, {"temperature": 1e-3}])
def test_one_candidate_or_next_to_no_temperature_is_greedy(arguments):
    net = model()
    assert predict("time", 40, net, VOCAB, "cpu", **arguments) == predict("time", 40, net, VOCAB, "cpu")


@given(
    scores=st.lists(st.floats(-50, 50), min_size=1, max_size=8),
    temperature=st.floats(0.5, 2),
    top_k=st.none() | st.integers(1, 10),
    seed=st.integers(0, 2**32),
)
def test_the_distribution_is_a_softmax_over_the_best_and_choose_takes_from_it(scores, temperature, top_k, seed):
    logits = torch.tensor(scores, dtype=torch.float64)
    kept = logits >= logits.sort(descending=True).values[: top_k or len(scores)][-1]
    weights = (logits / temperature).exp() * kept
    shares = distribution(logits, temperature, top_k)
    torch.testing.assert_close(shares, weights / weights.sum())
    assert logits.tolist() == scores  # left alone
    assert shares[choose(logits, temperature, top_k, generator(seed))] > 0
    assert logits[choose(logits)] == logits.max()


@pytest.mark.parametrize("top_k", [None, 3])
def test_draws_follow_the_distribution(top_k):
    logits, n, random = torch.tensor([2.0, 1.0, 0.5, -1.0, 0.0]), 2_000, generator()
    draws = torch.tensor([choose(logits, 1.5, top_k, random) for _ in range(n)])
    p = distribution(logits, 1.5, top_k)
    five_deviations = 5 * (p * (1 - p) / n).sqrt()  # of a binomial share; exact where p is 0
    assert ((draws.bincount(minlength=5) / n - p).abs() <= five_deviations + 1e-6).all()
