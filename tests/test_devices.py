"""Which device is chosen and how it is called, on machines that this one is not; how many threads, also in company."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_utils import devices, try_gpu
from course_utils.devices import ThreadWatch, available_cores, choose_threads, quota


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """No test leaves another number of threads, and none obeys the variables of this machine."""
    before = torch.get_num_threads()
    for name in devices.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends to a number of NVIDIA GPUs, and to Apple's GPU or none."""

    def pretend(gpus=0, mps=False):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {torch.device(device).index}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.fixture
def cores(monkeypatch):
    """A function that pretends to a number of cores, each count with its measured (seconds, share)."""

    def pretend(count, measured):
        monkeypatch.setattr(devices, "available_cores", lambda: count)
        monkeypatch.setattr(devices, "measure_threads", lambda count: asked.append(count) or measured[count])
        asked.clear()
        return asked

    asked = []
    return pretend


FREE = {1: (8, 1), 2: (5, 1), 4: (3, 1), 8: (2.5, 1), 16: (2.4, 1), 32: (2.3, 1)}


@pytest.mark.parametrize(("gpus", "mps", "i", "expected"), [
    (0, False, 0, "cpu"),
    (0, True, 0, "mps"),
    (1, False, 0, "cuda:0"),
    (2, True, 1, "cuda:1"),
    (1, False, 1, "cpu"),
    (1, True, 1, "mps"),
])  # fmt: skip
def test_try_gpu_takes_the_best_and_chooses_threads_for_a_cpu_only(machine, cores, gpus, mps, i, expected):
    asked = cores(2, FREE)
    machine(gpus, mps)
    assert try_gpu(i) == torch.device(expected)
    assert i > 0 or try_gpu() == torch.device(expected)
    assert bool(asked) == (expected == "cpu")


def test_describe(machine, monkeypatch):
    machine(gpus=2)
    assert devices.describe(torch.device("cuda", 1)) == devices.describe("cuda:1") == "cuda:1 (GPU number 1)"
    assert devices.describe("mps") == "mps"
    for count, words in ((1, "cpu (1 thread)"), (2, "cpu (2 threads)")):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        assert devices.describe("cpu") == devices.describe(torch.device("cpu")) == words


@pytest.mark.parametrize(("measured", "expected"), [
    ({1: (8, 1), 2: (5, 1)}, 2),
    ({1: (8, 1), 2: (5, 1), 4: (3, 1), 6: (2.9, 1)}, 4),  # two more threads that gain 3 % are not worth their cores
    ({count: FREE[count] for count in (1, 2, 4, 8)}, 8),
    ({1: (8, 1), 2: (7.5, 1)}, 1),
    ({1: (10, 1), 2: (9, 1)}, 1),  # just at the limit, which is not enough
    ({1: (8, 1), 2: (5, 0.85)}, 1),
    ({1: (8, 1), 2: (5, 0.8)}, 1),  # fast for a moment, but in somebody's company
    ({1: (8, 1), 2: (5, 0.7), 4: (3, 0.99)}, 4),
    ({1: (8, 0.5), 2: (4, 0.5)}, 1),
])  # fmt: skip
def test_a_thread_must_be_undisturbed_and_earn_its_core(cores, measured, expected):
    cores(max(measured), measured)
    assert choose_threads() == torch.get_num_threads() == expected


@pytest.mark.parametrize(("count", "at_most", "variable", "asked", "chosen"), [
    (1, None, None, [], 1),  # nothing to choose
    (8, 2, None, [1, 2], 2),
    (32, None, None, [1, 2, 4, 8, 16, 32], 8),
    (8, None, "OMP_NUM_THREADS", [], 3),  # whoever set it has decided
    (8, None, "MKL_NUM_THREADS", [], 3),
])  # fmt: skip
def test_what_limits_the_choice(cores, monkeypatch, count, at_most, variable, asked, chosen):
    measured = cores(count, FREE)
    torch.set_num_threads(3)
    if variable:
        monkeypatch.setenv(variable, "3")
    assert choose_threads(at_most) == torch.get_num_threads() == chosen
    assert measured == asked


def test_available_cores_are_cut_to_the_quota(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    for granted, expected in ((math.inf, 4), (8, 4), (2.5, 2), (0.5, 1)):
        monkeypatch.setattr(devices, "quota", lambda granted=granted: granted)
        assert available_cores() == expected
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS and Windows
    for count, expected in ((4, 4), (1, 1), (None, 1)):
        monkeypatch.setattr(devices, "quota", lambda: math.inf)
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert available_cores() == expected


@pytest.mark.parametrize(("files", "expected"), [
    ({"cpu.max": "150000 100000\n"}, 1.5),
    ({"cpu.max": "1 2\n"}, 0.5),
    ({"cpu.max": "0 100000\n"}, math.inf),
    ({"cpu.max": "max 100000\n"}, math.inf),
    ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ({}, math.inf),
])  # fmt: skip
def test_quota(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert quota(tmp_path) == expected


@pytest.mark.parametrize(("options", "steps", "made", "expected"), [
    ({}, [(1 / 64, 2 / 64)] * 9, 4, (1 / 64, 1.0)),  # undisturbed: one try of 0.05 s is enough
    ({}, [(1.0, 1.0), (1.0, 1.5), (1.0, 0.5), (1.0, 2.0)], 3, (1.0, 0.75)),  # of three tries the least disturbed
    ({"seconds": 0}, [(1.0, 1.0), (0.5, 0.875), (1.0, 2.0)], 2, (0.5, 0.875)),
    ({}, [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], 3, (1.0, 0.5)),
    ({"tries": 2}, [(1.0, 1.7), (2.0, 3.6)], 2, (2.0, 0.9)),  # a share of 0.85 is not enough
    ({}, [(1.0, 0.0)] * 3, 3, (math.inf, 0.0)),
])  # fmt: skip
def test_two_clocks_tell_how_fast_and_how_undisturbed_a_step_is(monkeypatch, options, steps, made, expected):
    """Each step of a pretended machine takes so many seconds on the wall, and so many of its two cores together."""
    clocks, seen, tanh = {"wall": 64.0, "used": 0.0}, [], torch.tanh

    def step(state):
        wall, used = steps[len(seen)]
        clocks["wall"], clocks["used"] = clocks["wall"] + wall, clocks["used"] + used
        seen.append((tuple(state.shape), torch.get_num_threads()))
        return tanh(state)

    monkeypatch.setattr(devices.time, "perf_counter", lambda: clocks["wall"])
    monkeypatch.setattr(devices.time, "process_time", lambda: clocks["used"])
    monkeypatch.setattr(torch, "tanh", step)
    assert devices.measure_threads(2, **options) == pytest.approx(expected)
    assert seen == [((32, 256), 2)] * made


TWO_CORES = "import os\nos.sched_setaffinity(0, list(os.sched_getaffinity(0))[:2])\nfrom course_utils import devices\n"
COMPANY = "print('ready', flush=True)\nwhile True:\n    devices.measure_threads({threads})"
CHOOSE = "input()\nprint([devices.choose_threads() for _ in range(3)])"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("threads", [1, 2])
def test_beside_another_training_one_thread_is_chosen(threads):
    where = {"cwd": Path(__file__).parents[1], "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    programs = [TWO_CORES + program for program in (COMPANY.format(threads=threads), CHOOSE)]
    company, chooser = both = [subprocess.Popen([sys.executable, "-c", program], **where) for program in programs]
    try:
        assert company.stdout.readline() == "ready\n"
        assert chooser.communicate("choose\n", timeout=100)[0] == "[1, 1, 1]\n"
        assert company.poll() is None, "nobody was there"
    finally:
        for process in both:
            process.kill()
            process.communicate()


@pytest.fixture
def choices(monkeypatch):
    """The limits that `choose_threads` is called with, the numbers that it sets next, and a clock to be moved."""
    calls, plan, clock = [], [], [64.0]

    def choose(at_most=None):
        calls.append(at_most)
        torch.set_num_threads(plan.pop(0))

    monkeypatch.setattr(devices, "choose_threads", choose)
    monkeypatch.setattr(devices.time, "perf_counter", lambda: clock[0])
    torch.set_num_threads(2)
    return calls, plan, clock


def test_a_collapse_asks_for_fewer_threads_but_not_at_every_epoch(choices):
    calls, plan, clock = choices
    plan += [2, 1]
    watch = ThreadWatch("cpu")
    for speed in (100, 120, 90, 60, 119):
        watch.see(speed)
    assert calls == []  # steady enough
    watch.see(59)
    assert calls == [2]
    for seconds in (0.5, 0.5):
        clock[0] += seconds
        watch.see(20)
    assert calls == [2]
    clock[0] += 0.01
    watch.see(20)  # still as bad with as many threads, after more than a second: once more
    assert calls == [2, 2]
    clock[0] += 2
    watch.see(45)  # one thread is slower, and that is no collapse
    assert torch.get_num_threads() == 1


def test_after_a_while_more_threads_are_tried_again(choices):
    calls, plan, clock = choices
    plan += [1, 2]
    watch = ThreadWatch("cpu")
    for speed in (100, 20):
        watch.see(speed)
    for seconds in (9.0, 1.0):
        clock[0] += seconds
        watch.see(60)
    assert calls == [2]
    clock[0] += 0.01
    watch.see(60)
    assert calls == [2, 2]
    assert torch.get_num_threads() == 2
    clock[0] += 20
    watch.see(90)
    assert calls == [2, 2], "there are no more to try"


@pytest.mark.parametrize(("device", "threads"), [("cuda", 2), ("mps", 2), ("cpu", 1)])
def test_where_there_is_nothing_to_choose_nothing_is_watched(choices, device, threads):
    torch.set_num_threads(threads)
    watch = ThreadWatch(device)
    for speed in (100, 1):
        watch.see(speed)
    assert choices[0] == []
