"""Numbers drawn apart from everybody else's, and timing in turns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.experiments import measuring

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
