"""Grids of real runs, and ways to look at them: one setting with its neighbours, a map over two, the best ones.

A setting is a dictionary, field of `sweep.Configuration` -> value; several runs of a setting differ by their seed.
"""

import dataclasses
import math
import statistics

from course_utils.experiments import stored
from course_utils.sweep import Configuration, Result, grid

SEEDS = (0, 1)
GRIDS = {  # name -> what `make sweep` trains; all on the course's own story
    "explore": grid(num_steps=(5, 15, 35, 100), num_hiddens=(16, 64, 256), cell=("RNN", "GRU", "LSTM"),
                    sampling=("sequential", "random"), recipe=("one cycle", "book"), seed=SEEDS),
    "sizes": grid(num_steps=[15], num_hiddens=(16, 32, 64, 128, 256, 512), num_epochs=(5, 15, 45), seed=SEEDS),
    "layers": grid(num_steps=[15], cell=("RNN", "GRU", "LSTM"), num_layers=(1, 2, 3), num_epochs=(10, 30), seed=SEEDS),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class View:
    """One setting of a grid, and where it lies in it."""

    setting: dict  # field -> value, for the fields that differ in the grid
    runs: tuple  # of `Result`, one for each seed; none where nobody has trained this setting
    neighbours: tuple  # for each setting that is one step away in one field, the runs
    across: tuple  # (field, its values): the columns of the map
    down: tuple  # (field, its values): its rows; the same as `across` for a map of one row
    lowest: tuple  # the map: rows of the lowest held-out perplexity, the mean of the seeds; nan where there is no run
    frame: tuple  # (row, column) of the setting in the map


def read(name):
    """Return the stored grid `name` as an `experiments.stored.Table` of `Result`s."""
    table = stored.read(name, Result)
    runs = (dataclasses.replace(run, configuration=Configuration(**run.configuration)) for run in table.records)
    return dataclasses.replace(table, records=tuple(runs))


def varied(runs):
    """Return field -> its values, for each field in which settings differ: numbers in order, words as they come."""
    seen = {}
    for run in runs:
        for field, value in setting_of(run).items():
            seen.setdefault(field, {})[value] = None
    numbers = {field: all(isinstance(value, int | float) for value in values) for field, values in seen.items()}
    return {field: sorted(values) if numbers[field] else [*values] for field, values in seen.items() if len(values) > 1}


def setting_of(run):
    """Return all fields of a run's configuration but the seed."""
    setting = dataclasses.asdict(run.configuration)
    del setting["seed"]
    return setting


def chosen(runs, **setting):
    """Return the runs with these values."""
    return tuple(run for run in runs if setting.items() <= setting_of(run).items())


def lowest(runs):
    """Return the lowest held-out perplexity that a run has reached, the mean of the runs (nan without one)."""
    return statistics.fmean(run.best for run in runs) if runs else math.nan


def view(runs, setting, across, down):
    """Return the `View` of a setting, its map over the fields `across` and `down`, all others as in the setting."""
    values, by_setting = varied(runs), {}
    for run in runs:
        by_setting.setdefault(tuple(setting_of(run)[field] for field in values), []).append(run)

    def at(**changed):
        return tuple(by_setting.get(tuple((setting | changed)[field] for field in values), ()))

    near = [at(**{field: value}) for field in values for value in _beside(values[field], setting[field])]
    rows = [setting[down]] if down == across else values[down]
    table = tuple(tuple(lowest(at(**{down: row, across: column})) for column in values[across]) for row in rows)
    frame = rows.index(setting[down]), values[across].index(setting[across])
    axes = (across, values[across]), (down, values[down])
    return View(setting, at(), tuple(filter(None, near)), *axes, table, frame)


def _beside(values, value):
    """The values just before and after one."""
    place = values.index(value)
    return [*values[max(0, place - 1) : place], *values[place + 1 : place + 2]]
