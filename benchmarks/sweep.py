"""What a sweep costs beside its runs, and what a second core brings; on workers that are already there."""

import os
import tempfile
import time
from pathlib import Path

from course_utils import sweep

TINY = sweep.grid(num_hiddens=8, num_epochs=1, max_tokens=2_000, seed=range(200))
USUAL = sweep.grid(num_hiddens=[16, 64], cell=["RNN", "GRU"], num_epochs=20, seed=range(8))


def ready():
    """Make a worker import what a run needs; return its number."""
    sweep.run(TINY[0])
    time.sleep(0.2)  # so that no worker takes the task of another
    return os.getpid()


def warm(workers):
    """Let all workers begin; return their executor."""
    executor, seen = sweep.local_executor(workers), set()
    while len(seen) < workers:
        seen |= {future.result() for future in [executor.submit(ready) for _ in range(workers)]}
    return executor


def runs(configurations):
    return [sweep.run(each) for each in configurations]


def alone_seconds(configurations, workers):
    """The seconds that the workers need without a sweep, each for its share handed over at once."""
    executor = warm(workers)
    start = time.perf_counter()
    shares = [executor.submit(runs, configurations[number::workers]) for number in range(workers)]
    for share in shares:
        share.result()
    return time.perf_counter() - start


def sweep_seconds(configurations, workers):
    """The seconds of a sweep, and of the same once more, which finds everything stored."""
    warm(workers)
    taken, cores = [], sweep.available_cores
    sweep.available_cores = lambda: workers
    try:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                start = time.perf_counter()
                sweep.sweep(configurations, Path(folder) / "runs.sqlite")
                taken.append(time.perf_counter() - start)
    finally:
        sweep.available_cores = cores
    return taken


def measure(rounds=3):
    """Return name -> figures, one for each round; the milliseconds are those of a run beyond the run itself."""
    figures = {"sweep_overhead_ms": [], "sweep_resume_ms": [], "sweep_speed_up_2_workers": []}
    for _ in range(rounds):
        alone, (swept, resumed) = alone_seconds(TINY, 1), sweep_seconds(TINY, 1)
        figures["sweep_overhead_ms"].append(1_000 * (swept - alone) / len(TINY))
        figures["sweep_resume_ms"].append(1_000 * resumed)
        one, two = (sweep_seconds(USUAL, workers)[0] for workers in (1, 2))
        figures["sweep_speed_up_2_workers"].append(one / two)
    return figures


if __name__ == "__main__":
    print(measure())
