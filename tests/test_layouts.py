"""Question 2: who depends on whom, exactly; and to which baseline each mistake with the axes falls."""

import itertools
import math

import pytest
import torch
from common import story

from course_utils.experiments import layouts
from course_utils.training import baselines

SIZES = [(2, 5), (5, 2), (3, 3), (1, 4), (4, 1)]


def expected(layout, b, t, b2, t2, B, T):
    """Whether the output at (b, t) should depend on the input at (b2, t2)."""
    if layout == "none":  # the layer takes sentences for time steps
        return t == t2 and b2 <= b
    if layout == "reshape":  # the numbers stay where they are in memory: step t of column b is number t * B + b
        return (b2 * T + t2) % B == b and (b2 * T + t2) // B <= t
    return b == b2 and t2 <= t


@pytest.mark.parametrize(("B", "T"), SIZES)
@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_an_output_depends_on_exactly_these_inputs(layout, B, T):
    measured = layouts.dependencies(layout, B, T)
    assert measured.shape == (B, T, B, T)
    places = itertools.product(range(B), range(T), range(B), range(T))
    assert all(bool(measured[place]) == expected(layout, *place, B, T) for place in places)


def test_batch_first_equals_the_transpose_to_the_last_bit():
    X = torch.rand(32, 35, 28)
    ours, theirs = (layouts.LayoutModel(layout, 28, 64) for layout in ("transpose", "batch_first"))
    assert not torch.allclose(ours(X), theirs(X))
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(X), theirs(X))


def test_axis_orders_differ_in_strides_only():
    orders = layouts.axis_orders(4, 6, 5, 8, repeats=2)
    assert [strides for strides, _ in orders.values()] == [(20, 5, 1), (30, 5, 1)] * 2
    assert all(seconds > 0 for _, seconds in orders.values())


def test_both_orders_are_timed_on_the_same_work(monkeypatch):
    sums = []
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: sums.append(loss.item()))
    monkeypatch.setattr(layouts, "median_seconds", lambda runs, repeats: {way: run() for way, run in runs.items()})
    layouts.axis_orders(4, 6, 5, 8)
    for first, second in (sums[:2], sums[2:]):
        assert first == pytest.approx(second, rel=1e-4)
    cell, X = torch.nn.RNNCell(2, 3), torch.randn(4, 1, 2)
    layer = torch.nn.RNN(2, 3)
    layer.load_state_dict({f"{name}_l0": weight for name, weight in cell.state_dict().items()})
    torch.testing.assert_close(layouts._last_state(cell, X), layer(X)[0][-1])


@pytest.mark.parametrize(("updates", "count"), [(5, 1), (19, 1), (20, 2)])
def test_the_training_perplexity_is_that_of_the_last_tenth_of_the_updates(monkeypatch, updates, count):
    losses = [0.1 * number for number in range(updates)]
    coming = iter(losses)
    monkeypatch.setattr(layouts, "update", lambda optimizer, loss: next(coming))
    training, _ = layouts.train_layout("transpose", *story(), num_hiddens=8, updates=updates)
    assert training == pytest.approx(math.exp(sum(losses[-count:]) / count))


@pytest.mark.parametrize(("layout", "transpose_labels", "baseline", "low", "high"), [
    ("transpose", True, "bigram", 0.5, 0.9),  # it learns more than pairs
    ("batch_first", True, "bigram", 0.5, 0.9),
    ("none", True, "bigram", 0.9, 1.2),
    ("reshape", True, "unigram", 0.95, 1.1),
    ("transpose", False, "unigram", 0.95, 1.1),
])  # fmt: skip
def test_each_mistake_falls_to_its_baseline(layout, transpose_labels, baseline, low, high):
    training, held_out = layouts.train_layout(layout, *story(), transpose_labels=transpose_labels)
    assert low < held_out / baselines(*story())[baseline] < high
    assert 0.85 < training / held_out < 1.25  # and not by learning by heart


def test_a_text_too_short_for_a_batch_is_refused():
    tokens, held_out, vocab_size = story()
    with pytest.raises(ValueError, match=r"1,120 tokens, but batch_size=32 and num_steps=35 .* need 1,121"):
        layouts.train_layout("transpose", tokens, held_out[:1120], vocab_size)
