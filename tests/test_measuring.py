"""Timing in turns, and windows that say where an epoch begins."""

import torch

from course_utils.experiments import measuring


def test_medians_take_turns_and_leave_out_the_first_call(monkeypatch):
    calls, clock = [], iter([0, 100, 0, 1, 0, 3, 0, 5, 0, 2, 0, 9, 0, 4, 0, 7])
    monkeypatch.setattr(measuring, "now", lambda device: next(clock))
    functions = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    assert measuring.median_seconds(functions, repeats=3) == {"a": 3, "b": 7}
    assert calls == list("abababab")


def test_windows_say_where_an_epoch_begins():
    batches = list(measuring.windows(torch.arange(26), batch_size=2, num_steps=4, count=7))
    assert [begins for *_, begins in batches] == [True, False, False] * 2 + [True]
    assert len(list(measuring.windows(torch.arange(26), batch_size=2, num_steps=4))) == 3
    assert all(torch.equal(X + 1, Y) for X, Y, _ in batches)
