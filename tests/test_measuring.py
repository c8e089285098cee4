"""Timing in turns."""

from course_utils.experiments import measuring


def test_medians_take_turns_and_leave_out_the_first_call(monkeypatch):
    calls, clock = [], iter([0, 100, 0, 1, 0, 3, 0, 5, 0, 2, 0, 9, 0, 4, 0, 7])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    functions = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    assert measuring.median_seconds(functions, repeats=3) == {"a": 3, "b": 7}
    assert calls == list("abababab")
