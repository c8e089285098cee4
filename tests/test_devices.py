"""Which device is chosen and how it is called, on machines that this one is not; how many threads, also in company."""

import math
import os
import subprocess
import sys
import time
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


FREE = {1: (8, 1), 2: (5, 1), 4: (3, 1), 8: (2.5, 1)}


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
    (FREE, 8),
    ({1: (8, 1), 2: (7.5, 1)}, 1),
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


@pytest.mark.parametrize(("files", "expected"), [
    ({"cpu.max": "150000 100000\n"}, 1.5),
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


TWO_CORES = "import os\nos.sched_setaffinity(0, list(os.sched_getaffinity(0))[:2])\nfrom course_utils import devices\n"
COMPANY = "print('ready', flush=True)\nwhile True:\n    devices.measure_threads({threads})"
CHOOSE = "print([devices.choose_threads() for _ in range(3)])"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("threads", [1, 2])
def test_beside_another_training_one_thread_is_chosen(threads):
    command, where = [sys.executable, "-c"], {"cwd": Path(__file__).parents[1], "text": True}
    company = subprocess.Popen([*command, TWO_CORES + COMPANY.format(threads=threads)], stdout=subprocess.PIPE, **where)
    try:
        assert company.stdout.readline() == "ready\n"
        assert subprocess.check_output([*command, TWO_CORES + CHOOSE], timeout=100, **where) == "[1, 1, 1]\n"
        assert company.poll() is None, "nobody was there"
    finally:
        company.kill()
        company.communicate()


@pytest.fixture
def choices(monkeypatch):
    """The limits with which `choose_threads` is called; it sets the next number of `plan`, a list."""
    calls, plan = [], []

    def choose(at_most=None):
        calls.append(at_most)
        torch.set_num_threads(plan.pop(0))

    monkeypatch.setattr(devices, "choose_threads", choose)
    torch.set_num_threads(2)
    return calls, plan


def test_a_collapse_asks_for_fewer_threads_but_not_at_every_epoch(choices):
    calls, plan = choices
    plan += [2, 1]
    watch = ThreadWatch("cpu", pause=0.1)
    for speed in (100, 120, 90, 61, 119):
        watch.see(speed)
    assert calls == []  # steady enough
    for speed in (20, 20, 20):
        watch.see(speed)
    assert calls == [2]
    time.sleep(0.11)
    watch.see(20)  # still as bad with as many threads: once more
    assert calls == [2, 2]
    watch.see(70)  # one thread is slower, and that is no collapse
    assert torch.get_num_threads() == 1


def test_after_a_while_more_threads_are_tried_again(choices):
    calls, plan = choices
    plan += [1, 2]
    watch = ThreadWatch("cpu", calm=0.1)
    for speed in (100, 20, 60, 60):
        watch.see(speed)
    assert calls == [2]
    time.sleep(0.11)
    watch.see(60)
    assert calls == [2, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("device", "threads"), [("cuda", 2), ("mps", 2), ("cpu", 1)])
def test_where_there_is_nothing_to_choose_nothing_is_watched(choices, device, threads):
    torch.set_num_threads(threads)
    watch = ThreadWatch(device)
    for speed in (100, 1):
        watch.see(speed)
    assert choices[0] == []
