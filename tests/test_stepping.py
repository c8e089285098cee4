"""The stepper's numbers: the same text as `predict`, the same gradients as plain autograd, loops and nothing else."""

import math
import re

import common  # noqa: F401  (hypothesis without deadlines)
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, Vocab, predict
from course_utils.experiments import stepping
from course_utils.prediction import choose

TEXT = "a short text of the course for the vocabulary"
VOCAB = Vocab(list(TEXT))
LAYERS = {
    "rnn": lambda: nn.RNN(len(VOCAB), 8),
    "gru": lambda: nn.GRU(len(VOCAB), 8),
    "lstm": lambda: nn.LSTM(len(VOCAB), 8),
    "two layers": lambda: nn.RNN(len(VOCAB), 8, num_layers=2),
    "dropout": lambda: nn.GRU(len(VOCAB), 8, num_layers=2, dropout=0.5),
}
every_layer = pytest.mark.parametrize("layer", LAYERS)


def model(layer="rnn"):
    """A model with fresh weights, large enough that its choices are clear."""
    torch.manual_seed(0)
    net = RNNModel(LAYERS[layer](), len(VOCAB))
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return net


class Embedding(nn.Module):
    """A student's own model: an embedding, a loop, and a state (B, H) instead of (L, B, H)."""

    num_directions = 1

    def __init__(self, follow=True):
        super().__init__()
        torch.manual_seed(1)
        self.table, self.cell = nn.Embedding(len(VOCAB), 6), nn.RNNCell(6, 5)
        self.linear, self.follow = nn.Linear(5, len(VOCAB)), follow

    def begin_state(self, device, batch_size=1):
        return torch.zeros(batch_size, 5, device=device)

    def forward(self, X, state):
        outputs = []
        for token in X.T:
            state = self.cell(self.table(token) if self.follow else self.table.weight[token], state)
            outputs.append(self.linear(state))
        return torch.cat(outputs), state


def walk_of(net, prefix="the cou", count=0, **how):
    walk = stepping.read(prefix, net, VOCAB, "cpu")
    for _ in range(count):
        walk = stepping.step(walk, net, "cpu", **how)
    return walk


def written(walk):
    return "".join(VOCAB.to_tokens(list(walk.tokens)))


@every_layer
@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, None), (1.0, None), (0.6, 3), (1.5, 1)])
def test_steps_write_what_predict_writes(layer, temperature, top_k):
    net = model(layer)
    ours, theirs = (torch.Generator().manual_seed(4) for _ in range(2))
    walk = walk_of(net, "the cou", 25, temperature=temperature, top_k=top_k, generator=ours)
    assert written(walk) == predict("the cou", 25, net, VOCAB, "cpu", temperature, top_k, theirs)


def test_a_step_leaves_the_walk_before_it_alone():
    net = model()
    before = walk_of(net)
    tokens, states = before.tokens, [state.clone() for state in before.states]
    after = stepping.step(before, net, "cpu")
    assert before.tokens == tokens == after.tokens[:-1]
    assert all(torch.equal(old, new) for old, new in zip(states, after.states, strict=False))


def test_the_model_is_left_as_it_was():
    net = model("dropout")
    weights = [parameter.clone() for parameter in net.parameters()]
    for mode in (True, False):
        net.train(mode)
        walk = walk_of(net, count=3)
        stepping.connectivity(walk, net, "cpu", len(walk.tokens))
        assert net.training is mode
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(old, new) for old, new in zip(weights, net.parameters(), strict=True))


@every_layer
def test_states_and_scores_are_those_of_one_pass_over_the_text(layer):
    net = model(layer).eval()
    walk = walk_of(net, count=6)
    logits, state = net(torch.tensor([walk.tokens]), net.begin_state("cpu", 1))
    torch.testing.assert_close(torch.stack(walk.logits), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stepping.hidden(walk.states[-1]), stepping.hidden(state), atol=1e-5, rtol=1e-5)
    tops, _ = net.rnn(F.one_hot(torch.tensor(walk.tokens)[:, None], len(VOCAB)).float(), net.begin_state("cpu", 1))
    hiddens = torch.stack([stepping.hidden(state) for state in walk.states[1:]])
    torch.testing.assert_close(hiddens, tops[:, 0], atol=1e-5, rtol=1e-5)


scores = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12, unique=True).map(torch.tensor)


@given(logits=scores)
def test_distribution_is_softmax_at_temperature_one(logits):
    torch.testing.assert_close(stepping.distribution(logits), logits.softmax(dim=0))


@given(logits=scores, temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]), top_k=st.none() | st.integers(1, 15))
def test_distribution_is_the_one_that_choose_draws_from(logits, temperature, top_k):
    drawn = stepping.distribution(logits, temperature, top_k)
    assert drawn.sum().item() == pytest.approx(1, abs=1e-5)
    if temperature and top_k:
        assert (drawn > 0).sum() <= top_k
    ours, theirs = (torch.Generator().manual_seed(7) for _ in range(2))
    for _ in range(5):
        draw = torch.multinomial(drawn, 1, generator=ours).item()
        assert draw == choose(logits, temperature, top_k, theirs)


@given(logits=scores)
def test_a_higher_temperature_never_lessens_the_choices(logits):
    few, middle, many = (stepping.choices(stepping.distribution(logits, t)) for t in (0.2, 1.0, 3.0))
    assert 1 - 1e-4 <= few <= middle + 1e-4
    assert middle <= many + 1e-4 <= len(logits) + 2e-4


def test_choices_counts_equal_chances():
    assert stepping.choices(torch.full((5,), 0.2)) == pytest.approx(5)
    assert stepping.choices(torch.tensor([0.0, 1.0])) == pytest.approx(1)


def test_probabilities_belong_to_the_character_that_came():
    net = model()
    walk = walk_of(net, count=4)
    first, *others = stepping.probabilities(walk)
    assert math.isnan(first)
    for number, probability in enumerate(others, start=1):
        expected = walk.logits[number - 1].softmax(dim=0)[walk.tokens[number]]
        assert probability == pytest.approx(expected.item(), rel=1e-5)
    assert len(stepping.probabilities(walk_of(net, "a"))) == 1


def naive_connectivity(net, tokens, target):
    """By hand for a `RNNModel`: one-hot inputs with gradients, the whole text, one backward."""
    net.eval()
    X = F.one_hot(torch.tensor(tokens)[:, None], net.vocab_size).float().requires_grad_()
    hiddens, _ = net.rnn(X, net.begin_state("cpu", 1))
    net.linear(hiddens[-1, 0]).log_softmax(dim=0)[target].backward()
    return X.grad[:, 0].norm(dim=1).tolist()


@every_layer
@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("position", [6, 9, 12])
def test_connectivity_equals_plain_autograd(layer, first, position):
    net = model(layer)
    walk = walk_of(net, count=5)
    target = walk.tokens[position] if position < 12 else walk.logits[-1].argmax().item()
    expected = naive_connectivity(net, walk.tokens[:position], target)[first:]
    assert stepping.connectivity(walk, net, "cpu", position, first) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_connectivity_of_a_students_own_model():
    net = Embedding()
    walk = walk_of(net, count=2)
    vectors = net.table(torch.tensor(walk.tokens)).detach().requires_grad_()
    state = net.begin_state("cpu")
    for vector in vectors:
        state = net.cell(vector[None], state)
    net.linear(state[0]).log_softmax(dim=0).max().backward()
    expected = vectors.grad.norm(dim=1).tolist()
    assert stepping.connectivity(walk, net, "cpu", len(walk.tokens)) == pytest.approx(expected, rel=1e-3)


def test_connectivity_is_none_where_the_vectors_cannot_be_followed():
    net = Embedding(follow=False)
    walk = walk_of(net)
    assert stepping.connectivity(walk, net, "cpu", 3) is None
    assert stepping.snapshot(walk, net, VOCAB, "cpu").connectivity is None


def smallest_root(unit):
    return next(length for length in range(1, len(unit) + 1) if unit == (unit[:length] * len(unit))[: len(unit)]
                and len(unit) % length == 0)  # fmt: skip


@given(head=st.text("ab c", max_size=20), unit=st.text("ab c", min_size=1, max_size=6), times=st.integers(3, 6),
       rest=st.integers(0, 5))  # fmt: skip
def test_a_loop_is_found_with_its_smallest_period(head, unit, times, rest):
    tail = (unit * (times + 1))[: len(unit) * times + min(rest, len(unit) - 1)]
    assert stepping.repeats_every(f"{head}|{tail}") == smallest_root(unit)


@given(text=st.text("abc", max_size=40))
def test_there_is_a_loop_exactly_where_something_stands_three_times_at_the_end(text):
    period = stepping.repeats_every(text)
    assert (period is not None) == (re.search(r"(.+)\1\1$", text) is not None)
    if period:
        assert text[-3 * period :] == text[-period:] * 3


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("", None),
        ("a", None),
        ("banana", None),
        ("the the ", None),
        ("so the the the ", 4),
        ("yes eee", 1),
        ("xaaa" * 3, 4),
    ],
)
def test_loops_by_hand(text, period):
    assert stepping.repeats_every(text) == stepping.repeats_every(tuple(text)) == period


def test_snapshot_shows_the_last_columns_and_explains_what_is_asked():
    net = model()
    walk = walk_of(net, "the cou", 10)
    whole = stepping.snapshot(walk, net, VOCAB, "cpu")
    assert (whole.characters, whole.num_given, whole.position) == (list(written(walk)), 7, 17)
    assert whole.explained == whole.candidates[0] == VOCAB.to_tokens(walk.logits[-1].argmax().item())
    assert whole.hiddens.shape == (17, 8)
    assert whole.softmax == sorted(whole.softmax, reverse=True)
    part = stepping.snapshot(walk, net, VOCAB, "cpu", look_back=2, columns=5, shown=4)
    assert (part.characters, part.num_given, part.position) == (list(written(walk)[-5:]), 0, 3)
    assert part.explained == written(walk)[-2]
    assert len(part.candidates) == len(part.drawn) == 4
    assert [math.isnan(value) for value in part.connectivity] == [False] * 3 + [True] * 2
    assert part.probabilities == whole.probabilities[-5:]
    warm = stepping.snapshot(walk, net, VOCAB, "cpu", temperature=1.5)
    assert (warm.softmax, warm.candidates) == (whole.softmax, whole.candidates)  # temperature moves only `drawn`
    assert whole.choices == pytest.approx(1) != warm.choices
    far_back = stepping.snapshot(walk, net, VOCAB, "cpu", look_back=30, columns=5)
    assert far_back.position == 1


def test_what_cannot_be_read_is_said():
    two_ways = RNNModel(nn.RNN(len(VOCAB), 8, bidirectional=True), len(VOCAB))
    for net, prefix, words in (
        (model(), "", "empty"),
        (model(), "B", "does not know"),
        (two_ways, "a", "bidirectional"),
    ):
        with pytest.raises(ValueError, match=words):
            stepping.read(prefix, net, VOCAB, "cpu")
