"""Grids of real runs, and ways to look at them: one setting with its neighbours, a map over two fields, the best ones.

A setting is a dictionary, field of `sweep.Configuration` -> value; several runs of one setting differ by their seed.
"""

import dataclasses
import math
import statistics

from course_utils.experiments import stored
from course_utils.experiments.shapes import CELLS
from course_utils.single_run import Configuration, Result, grid

SEEDS, RATES = (0, 1), (0.003, 0.01)
GRIDS = {  # name -> what `make sweep` trains on the course's own story
    "explore": grid(num_steps=(5, 15, 35, 100), num_hiddens=(16, 64, 256), cell=list(CELLS),
                    sampling=("sequential", "random"), recipe=("one cycle", "book"), num_epochs=20, seed=SEEDS),
    "sizes": [
        *grid(num_steps=15, num_hiddens=(16, 32, 64, 128, 256, 512), num_epochs=(5, 15, 45), lr=RATES, seed=SEEDS),
        *grid(num_steps=15, num_hiddens=(16, 64, 256), num_epochs=15, max_tokens=-1, lr=RATES, seed=SEEDS),
    ],
    "layers": grid(num_steps=15, cell=list(CELLS), num_layers=(1, 2, 3), num_epochs=(10, 30), lr=RATES, seed=SEEDS),
    "steps": [run for num_steps in (5, 15, 35, 100)  # as many updates for each: a longer window makes fewer an epoch
              for run in grid(num_steps=num_steps, num_hiddens=(16, 64, 256), num_epochs=6 * num_steps, seed=SEEDS)],
}  # fmt: skip
FIELDS = [field.name for field in dataclasses.fields(Configuration) if field.name != "seed"]


@dataclasses.dataclass(frozen=True)
class View:
    """One setting of a grid, and where it lies in it."""

    setting: dict  # field -> value
    runs: tuple  # of `sweep.Result`, one for each seed; none where nobody has trained this setting
    neighbours: tuple  # for each setting that is one step away in one field, the runs
    across: tuple  # (field, its values): the columns of the map
    down: tuple  # (field, its values): the rows; the same field as `across` for a map of one row
    lowest: tuple  # the map: rows of the lowest held-out perplexity, the mean of the seeds; nan where there is no run
    frame: tuple  # (row, column) of the setting in the map


class Grid:
    """Runs by their setting; those without a curve are left out.

    Attributes:
        runs: a tuple of `sweep.Result`.
        fields: field -> its values, for each field in which settings differ: numbers in order, words as they come.
    """

    def __init__(self, runs):
        self.runs = tuple(run for run in runs if run.curve)
        seen = {field: dict.fromkeys(getattr(run.configuration, field) for run in self.runs) for field in FIELDS}
        self.fields = {field: _in_order([*values]) for field, values in seen.items() if len(values) > 1}
        self._settings = {}
        for run in self.runs:
            values = tuple(getattr(run.configuration, field) for field in self.fields)
            self._settings.setdefault(values, []).append(run)

    def at(self, setting):
        """Return the runs of a setting, which names all `fields`."""
        return tuple(self._settings.get(tuple(setting[field] for field in self.fields), ()))

    def view(self, setting, across, down):
        """Return the `View` of a setting, its map over the fields `across` and `down`, the others as in the setting."""
        near = [
            self.at(setting | {field: value})
            for field, values in self.fields.items()
            for value in _beside(values, setting[field])
        ]
        columns, rows = self.fields[across], self.fields[down] if down != across else [setting[down]]
        table = tuple(
            tuple(lowest(self.at(setting | {down: row, across: column})) for column in columns) for row in rows
        )
        frame = rows.index(setting[down]), columns.index(setting[across])
        return View(setting, self.at(setting), tuple(filter(None, near)), (across, columns), (down, rows), table, frame)

    def best(self, count):
        """Return the settings of the lowest held-out perplexity, the best one first, as pairs (setting, runs)."""
        ordered = sorted(self._settings.items(), key=lambda pair: lowest(pair[1]))[:count]
        return [(dict(zip(self.fields, values, strict=True)), tuple(runs)) for values, runs in ordered]


def lowest(runs):
    """Return the lowest held-out perplexity that a run has reached, the mean of the runs; nan without one."""
    return statistics.fmean(run.best for run in runs) if runs else math.nan


def _in_order(values):
    return values if any(isinstance(value, str) or value is None for value in values) else sorted(values)


def _beside(values, value):
    """The values just before and after one."""
    place = values.index(value)
    return [*values[max(0, place - 1) : place], *values[place + 1 : place + 2]]


def write(name, runs, origin, folder=stored.FOLDER):
    """Store the runs of the grid `name`; of a configuration only what is not the default."""
    rows = [dataclasses.replace(run, configuration=_changed(run.configuration)) for run in runs]
    stored.write(f"{name}_story", rows, origin, folder)


def read(name, folder=stored.FOLDER):
    """Return the stored grid `name` as an `experiments.stored.Table` of `sweep.Result`."""
    table = stored.read(f"{name}_story", Result, folder)
    runs = (dataclasses.replace(run, configuration=Configuration(**run.configuration)) for run in table.records)
    return dataclasses.replace(table, records=tuple(runs))


def _changed(configuration):
    default = dataclasses.asdict(Configuration())
    return {field: value for field, value in dataclasses.asdict(configuration).items() if value != default[field]}
