"""What the experiments share: seeding, a step of training, timing in turns, and autograd's graph."""

import pytest
import torch

from course_utils.experiments import measuring


def test_medians_take_turns_and_leave_out_the_first_call(monkeypatch):
    """The clock stands still but for a call of a function: 100 s the first time, then 3, 5, 4 s and 1, 2, 9 s."""
    calls, clock, seconds = [], [64], {"a": [100, 3, 5, 4], "b": [100, 1, 2, 9]}
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])

    def call(name):
        calls.append(name)
        clock[0] += seconds[name].pop(0)

    functions = {name: (lambda name=name: call(name)) for name in "ab"}
    assert measuring.median_seconds(functions, repeats=3) == {"a": 4, "b": 2}
    assert calls == list("abababab")


def test_inside_seeded_the_seed_decides_and_outside_nothing_has_happened():
    before, drawn = torch.get_rng_state(), []
    for seed in (1, 1, 2):
        with measuring.seeded(seed):
            drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "slope", "moved"),
    [
        ({}, [6.0, 8.0], [0.6, 0.8]),  # a gradient of length 10 is cut to 1
        ({"max_norm": 5}, [6.0, 8.0], [3.0, 4.0]),
        ({}, [0.3, 0.4], [0.3, 0.4]),
    ],
)
def test_an_update_clips_the_gradient_of_all_groups_and_forgets_the_one_before(options, slope, moved):
    weights = [torch.ones(1, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.full((1,), 50.0)
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=1.0)
    loss = sum(weight * each for weight, each in zip(weights, slope, strict=True)).sum()
    assert measuring.update(optimizer, loss, **options) == pytest.approx(sum(slope))
    assert [1 - weight.item() for weight in weights] == pytest.approx(moved, rel=1e-5)


def test_a_node_of_the_graph_that_is_reached_in_two_ways_counts_once():
    x = torch.ones((), requires_grad=True)
    square = x * x
    assert len(measuring.graph_nodes(square + square)) == 3  # the leaf, a product, a sum
