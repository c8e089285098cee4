"""What all experiments share: a seed that decides and leaves no trace, a step of training, timing in turns, a graph."""

import pytest
import torch
from common import story
from torch import nn
from torch.nn import functional as F

from course_utils.experiments import layouts, losses, measuring, memory, ribbon, sampling, telescope, windows
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential


def with_wrong_axes(seed):
    layouts.axis_orders(4, 6, 5, 8, repeats=1)
    layouts.dependencies("none", seed=seed)
    return layouts.train_layout("none", *story(), batch_size=4, num_steps=6, num_hiddens=8, updates=3, seed=seed)


SEEDED = {
    "layouts": with_wrong_axes,
    "losses": lambda seed: [loss for loss, _ in losses.loss_ways(*story()[::2], repeats=1, seed=seed).values()],
    "memory": lambda seed: memory.recall(3, num_hiddens=8, updates=3, seed=seed),
    "ribbon, random": lambda seed: ribbon.corpus_ribbon(seq_data_iter_random, 200, 3, 7, seed),
    "ribbon, sequential": lambda seed: ribbon.corpus_ribbon(seq_data_iter_sequential, 200, 3, 7, seed),
    "sampling": lambda seed: sampling.train_arm("random", False, *story(), seed, num_epochs=1, num_hiddens=8).held_out,
    "telescope": lambda seed: telescope.sight("GRU", 8, draws=1, seed=seed),
    "windows": lambda seed: windows.train_echo(5, 3, updates=5, seed=seed).accuracy,
}


@pytest.mark.parametrize("experiment", SEEDED.values(), ids=SEEDED)
def test_the_seed_decides_and_the_callers_random_numbers_stay_untouched(experiment):
    before = torch.get_rng_state()
    first = experiment(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)  # whatever the caller draws
    assert experiment(1) == first != experiment(2)


DRAWS = {
    "a layer": lambda: nn.Linear(3, 3).weight.detach(),
    "recurrent dropout": lambda: nn.GRU(3, 3, 2, dropout=0.5)(torch.ones(4, 3))[0].detach(),
    "dropout": lambda: F.dropout(torch.ones(50)),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "whole numbers": lambda: torch.randint(100, (5,)),
    "an order": lambda: torch.randperm(20),
    "by weight": lambda: torch.multinomial(torch.ones(50), 9),
    "in place": lambda: torch.empty(4).normal_(),
    "alike": lambda: torch.rand_like(torch.ones(4)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_seeded_draws_what_the_seed_brings_and_leaves_the_common_generator_alone(name):
    torch.manual_seed(5)
    expected, before = [DRAWS[name]() for _ in range(2)], torch.get_rng_state()
    with measuring.seeded(5):
        for numbers in expected:
            assert torch.equal(DRAWS[name](), numbers)
            assert torch.equal(torch.get_rng_state(), before)  # meanwhile too: another thread may be training
        own = torch.rand(3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(own, torch.rand(3, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), before)


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


@pytest.mark.parametrize(("slope", "moved"), [
    ([6.0, 8.0], [0.6, 0.8]),  # a gradient of length 10 is cut to 1
    ([0.3, 0.4], [0.3, 0.4]),
])  # fmt: skip
def test_an_update_clips_the_gradient_of_all_groups_and_forgets_the_one_before(slope, moved):
    weights = [torch.ones(1, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.full((1,), 50.0)
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=1.0)
    loss = sum(weight * each for weight, each in zip(weights, slope, strict=True)).sum()
    assert measuring.update(optimizer, loss) == pytest.approx(sum(slope))
    assert [1 - weight.item() for weight in weights] == pytest.approx(moved, rel=1e-5)


def test_a_node_of_the_graph_that_is_reached_in_two_ways_counts_once():
    x = torch.ones((), requires_grad=True)
    square = x * x
    assert len(measuring.graph_nodes(square + square)) == 3  # the leaf, a product, a sum
