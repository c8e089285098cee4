"""Train the course's own grids and store them in course_utils/data: `make sweep`.

Each finished run is kept in a file in the cache; when the command is stopped and called again, it goes on where it was.
"""

import sys
import time

from course_utils import corpora
from course_utils.experiments import explorer, stored
from course_utils.sweep import sweep


def main(names):
    """Train the grids named on the command line, by default all; SystemExit with a sentence if a run failed."""
    for name in set(names) - set(explorer.GRIDS):
        raise SystemExit(f"there is no grid {name!r}; there are: {', '.join(explorer.GRIDS)}")
    store = corpora.cache_path().with_name("sweep.sqlite")
    store.parent.mkdir(parents=True, exist_ok=True)
    for name in names or explorer.GRIDS:
        start, grid = time.perf_counter(), explorer.GRIDS[name]
        runs = sweep(grid, store)
        for run in runs:
            if run.error:
                raise SystemExit(f"{run.configuration}: {run.error}")
        if len(runs) < len(grid):
            raise SystemExit(f"{name}: {len(grid) - len(runs)} runs are still to come; call again to go on")
        explorer.write(name, runs, stored.provenance("make sweep", "the course's own story", explorer.SEEDS))
        print(f"{name}: {len(runs)} runs in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
