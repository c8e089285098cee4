"""Leaving a loop in the middle: it goes on where it was, ends cleanly, and neither side notices the other."""

import contextvars
import copy
import time

import pytest
import torch
from torch import nn

from course_utils.fast import quick_layers
from course_utils.widgets.slices import Slices

WORD = contextvars.ContextVar("WORD", default="nothing")


class Counting:
    """A loop that asks for a breath after each of its steps."""

    def __init__(self, steps=3, seconds=0.0):
        self.done, self.closed, self.steps = [], 0, steps
        self.slices = Slices(self.run, seconds)

    def run(self):
        try:
            for step in range(self.steps):
                self.done.append(step)
                self.slices.breathe()
            return "all"
        finally:
            self.slices.breathe()
            self.closed += 1


def test_it_is_left_and_goes_on_where_it_was():
    loop = Counting(steps=2)
    seen = []
    while not loop.slices.ended:
        loop.slices.go_on()
        seen.append((list(loop.done), loop.slices.result))
    assert seen == [([0], None), ([0, 1], None), ([0, 1], None), ([0, 1], "all")]
    assert loop.closed == 1


def test_with_no_time_at_all_it_is_left_at_once_also_between_two_ticks_of_the_clock(monkeypatch):
    monkeypatch.setattr("course_utils.widgets.slices.time.perf_counter", lambda: 64.0)
    loop = Counting()
    loop.slices.go_on()
    assert loop.done == [0]


def test_it_is_not_left_before_its_time():
    loop = Counting(steps=1_000, seconds=60)
    loop.slices.go_on()
    assert loop.slices.ended
    assert len(loop.done) == 1_000


def test_every_slice_has_its_full_time():
    loop = Counting(steps=10**6, seconds=0.02)
    for _ in range(3):
        start = time.perf_counter()
        loop.slices.go_on()
        assert time.perf_counter() - start >= 0.02
    loop.slices.give_up()


def test_calls_from_outside_leave_nothing():
    loop = Counting()
    loop.slices.breathe()
    loop.slices.go_on()
    other = Slices(lambda: loop.slices.breathe("a model", "its inputs"), 0)
    other.go_on()
    assert (other.ended, loop.done) == (True, [0])


def test_an_error_is_raised_where_the_slice_was_asked_for():
    slices = Slices(lambda: 1 / 0, 0)
    with pytest.raises(ZeroDivisionError):
        slices.go_on()
    assert slices.ended


def test_giving_up_ends_the_function_with_its_finally_and_without_another_breath():
    loop = Counting()
    loop.slices.go_on()
    for _ in range(2):  # the second time nothing is left to end
        loop.slices.give_up()
        assert (loop.done, loop.closed, loop.slices.ended) == ([0], 1, True)


@pytest.mark.parametrize("outside", [True, False])
def test_what_torch_knows_of_gradients_and_modes_is_kept_apart(outside):
    """Function modes lie on a stack: whoever leaves in the middle must not take one of the other side's away."""

    def state():
        return torch.is_grad_enabled(), torch.empty(()).device.type

    def function():
        inside.append(state())
        with torch.set_grad_enabled(not outside), torch.device("meta"):
            for _ in range(2):
                slices.breathe()
                inside.append(state())
        inside.append(state())

    with torch.set_grad_enabled(outside):
        inside, slices = [], Slices(function, 0)
        for mode in (outside, outside, not outside):
            with torch.set_grad_enabled(mode), quick_layers():
                slices.go_on()
                assert state() == (mode, "cpu")
                assert len(torch.overrides._get_current_function_mode_stack()) == 1
    assert slices.ended
    assert inside == [(outside, "cpu"), (not outside, "meta"), (not outside, "meta"), (outside, "cpu")]


def test_the_function_sees_the_callers_context():
    seen, token = [], WORD.set("the cell")
    slices = Slices(lambda: seen.append(WORD.get()), 0)
    WORD.reset(token)
    slices.go_on()
    assert seen == ["the cell"]


def test_a_model_can_be_copied_while_its_training_waits():
    net = nn.Linear(2, 2)

    def train():
        for _ in range(2):
            net(torch.zeros(1, 2))

    slices = Slices(train, 0)
    hook = net.register_forward_pre_hook(slices.breathe)
    slices.go_on()
    twin = copy.deepcopy(net)
    assert torch.equal(twin(torch.ones(1, 2)), net(torch.ones(1, 2)))
    assert not slices.ended
    slices.give_up()
    hook.remove()
