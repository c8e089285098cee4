"""The model equals the book's, forward and backward, and its logits keep sentences and time apart."""

import pytest
import torch
from common import CELLS
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, d2l

T, B, V, H = 7, 3, 11, 5
every_kind = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"),
    [(cell, num_layers, both_ways) for cell in CELLS for num_layers in (1, 2) for both_ways in (False, True)],
)


def model(cell, num_layers=1, bidirectional=False, kind=RNNModel):
    torch.manual_seed(0)
    return kind(cell(V, H, num_layers, bidirectional=bidirectional), V)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def step(net, inputs, labels, state):
    """The logits, the state after and all gradients, the starting state's too."""
    for part in parts(state):
        part.requires_grad_()
    logits, after = net(inputs, state)
    F.cross_entropy(logits, labels.T.flatten()).backward()
    return [logits, *parts(after), *(p.grad for p in net.parameters()), *(part.grad for part in parts(state))]


@every_kind
@pytest.mark.parametrize("batch_size", [B, 1])
def test_same_weights_same_numbers_as_the_book(cell, num_layers, bidirectional, batch_size):
    ours, theirs = model(cell, num_layers, bidirectional), model(cell, num_layers, bidirectional, d2l.RNNModel)
    torch.manual_seed(1)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert [part.shape[1] for part in parts(ours.begin_state("cpu"))] == [1] * len(parts(theirs.begin_state("cpu")))
    for name, value in {"num_hiddens": H, "num_directions": 1 + bidirectional, "vocab_size": V}.items():
        assert getattr(ours, name) == getattr(theirs, name) == value
    inputs, labels = torch.randint(V, (2, batch_size, T))
    numbers = (step(net, inputs, labels, net.begin_state("cpu", batch_size)) for net in (ours, theirs))
    for mine, books in zip(*numbers, strict=True):
        assert mine.shape == books.shape
        torch.testing.assert_close(mine, books, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_carries_everything_from_window_to_window(cell):
    net = model(cell, 2)
    tokens = torch.randint(V, (B, 2 * T))
    whole, last = net(tokens, net.begin_state("cpu", B))
    first_half, state = net(tokens[:, :T], net.begin_state("cpu", B))
    second_half, state = net(tokens[:, T:], state)
    torch.testing.assert_close(torch.cat([first_half, second_half]), whole)
    for now, expected in zip(parts(state), parts(last), strict=True):
        torch.testing.assert_close(now, expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("b", "t"), [(0, 0), (1, 3), (B - 1, T - 1)])
def test_a_token_reaches_its_own_sentence_from_its_own_time_on(cell, b, t):
    net = model(cell)
    tokens = torch.randint(V, (B, T))
    changed = tokens.clone()
    changed[b, t] = (tokens[b, t] + 1) % V
    state = net.begin_state("cpu", B)
    moved = (net(tokens, state)[0] != net(changed, state)[0]).any(dim=1).reshape(T, B)  # logits come time first
    expected = torch.zeros(T, B, dtype=torch.bool)
    expected[t:, b] = True
    assert torch.equal(moved, expected)
