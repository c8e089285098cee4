"""Which processor a notebook computes on, and how many of its cores."""

import contextlib
import math
import os
import time
from pathlib import Path

import torch

from course_utils.checks import checked

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # whoever sets one of them has decided


@checked()
def try_gpu(i=0):
    """Return the best device there is: NVIDIA GPU number `i`, else Apple's GPU (MPS), else the CPU.

    For the CPU it also gives torch as many threads as pay at the moment, see `choose_threads`.
    """
    if torch.cuda.device_count() > i:
        return torch.device("cuda", i)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    choose_threads()
    return torch.device("cpu")


def describe(device):
    """Name a device in words, such as 'cpu (2 threads)' or 'cuda:0 (NVIDIA H200)'."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)


def choose_threads(at_most=None):
    """Give torch the number of threads that computes fastest just now, and return that number.

    Threads that share their cores with another program wait for each other at every step: two notebooks that train
    with two threads each on two cores can be a hundred times slower than with one each. A short measurement tells.
    Nothing is measured with a single core, and where OMP_NUM_THREADS or MKL_NUM_THREADS is set, their number stays.
    Cost: 0.1 s with two cores, on a busy machine 0.3 s. Tries no more than `at_most`, nor than the process may use.
    """
    if any(os.environ.get(name) for name in THREAD_VARIABLES):
        return torch.get_num_threads()
    limit = min(available_cores(), at_most or math.inf)
    best, seconds = 1, math.inf
    counts = {count for count in (1, 2, 4, 8, 16) if count < limit} | {limit}
    for count in sorted(counts) if limit > 1 else ():
        needed, share = measure_threads(count)
        if share > 0.85 and needed < 0.9 * seconds:  # undisturbed, and worth its cores
            best, seconds = count, needed
    torch.set_num_threads(best)
    return best


@contextlib.contextmanager
def one_thread():
    """Let torch compute with one thread meanwhile, and give the others back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def available_cores():
    """Return how many cores this process may use: its affinity, cut to the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(cores, quota())))


def quota(folder="/sys/fs/cgroup"):
    """Return how many cores' time the container's cgroup grants, of version 2 or 1; infinity without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max" in place of a number
            granted, period = (int(word) for name in names for word in Path(folder, name).read_text().split())
            if granted > 0:
                return granted / period
    return math.inf


def measure_threads(count, tries=3, seconds=0.05):
    """Measure torch with so many threads on a recurrence as wide as the book's; return the least disturbed try.

    Returns:
        Seconds for one step, and the share of the cores' time that this process got: below 1 if others wanted them.
    """
    torch.set_num_threads(count)
    best = math.inf, 0.0
    weight, state = torch.eye(256), torch.ones(32, 256)
    for _ in range(tries):
        steps, wall, used = 0, time.perf_counter(), time.process_time()
        while steps == 0 or time.perf_counter() - wall < seconds:
            state, steps = torch.tanh(state @ weight), steps + 1
        wall, used = time.perf_counter() - wall, time.process_time() - used
        best = max(best, (wall / steps, used / wall / count), key=lambda measured: measured[1])
        if best[1] > 0.85:
            break
    return best


class ThreadWatch:
    """Watches the speed of a training: when it collapses, fewer threads may be better, and after a while more again.

    Never takes more threads than there were at the start, so that a number set by hand is a limit. `pause`: seconds
    between two choices while it goes badly; `calm`: seconds after which the larger number is tried again.
    """

    def __init__(self, device, pause=1.0, calm=10.0):
        self.most = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
        self.best = {}  # number of threads -> tokens per second
        self.pause, self.calm, self.chosen = pause, calm, -math.inf

    def see(self, tokens_per_second):
        """Look at an epoch's speed; choose the threads anew if it is less than half of the best with as many."""
        threads, waited = torch.get_num_threads(), time.perf_counter() - self.chosen
        best = self.best[threads] = max(tokens_per_second, self.best.get(threads, 0.0))
        collapsed = tokens_per_second < best / 2 and waited > self.pause
        recovered = threads < self.most and waited > self.calm
        if self.most > 1 and (collapsed or recovered):
            choose_threads(self.most)
            self.chosen = time.perf_counter()
