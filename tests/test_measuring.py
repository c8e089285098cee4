"""What all experiments share: a seed that decides and leaves no trace, and timing in turns."""

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
    calls, clock = [], iter([0, 100, 0, 1, 0, 3, 0, 5, 0, 2, 0, 9, 0, 4, 0, 7])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    functions = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    assert measuring.median_seconds(functions, repeats=3) == {"a": 3, "b": 7}
    assert calls == list("abababab")
