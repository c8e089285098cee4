"""The run explorer: sliders over trainings that were done before, and one more of them live."""

import asyncio
import contextlib
import dataclasses
import html

import ipywidgets

from course_utils import plots
from course_utils.checks import checked
from course_utils.devices import one_thread
from course_utils.experiments import explorer
from course_utils.fast import quick_layers
from course_utils.language import say
from course_utils.models import RNNModel
from course_utils.rules import kind
from course_utils.single_run import Result, follow
from course_utils.widgets.lab import Lab, Latest, choice
from course_utils.widgets.runs import html_table, in_words
from course_utils.widgets.tasks import SECONDS_FOR_THE_PAGE, Tasks, running_loop

NUM_BEST = 5


def _are_runs(runs):
    return all(isinstance(run, Result) for run in runs) and explorer.Grid(runs).fields


class RunExplorer(Tasks, Lab):
    """A slider for each field in which runs differ: the curves of that setting at once, over its neighbours in grey.

    Beside them stands a map of the lowest held-out perplexity over any two fields. The button trains the chosen setting
    here and now, with its curve over the stored one; a setting that is not in the grid can be had in this way too.

    Args:
        runs: `sweep.Result`s of at least two settings, from `experiments.explorer.read` or from a sweep of yours.
        model: the class that is trained live, called as `model(rnn_layer, vocab_size)`.

    Attributes:
        across, down: the fields of the map; every field in which the runs differ is a control of its name.
        train: the button.
        record: the `experiments.explorer.View` of the last picture.
        live: configuration -> the `sweep.Result` of a live run as far as it got.
    """

    @checked(runs=kind(_are_runs, "a list of results of sweep, of two settings or more"))
    def __init__(self, runs, model=RNNModel):
        __tracebackhide__ = True
        self.grid, self.model, self.live = explorer.Grid(runs), Latest(model), {}
        self._picture = plots.ExplorerPicture()
        self.sample, self.best = ipywidgets.HTML(), ipywidgets.HTML(html_table(_best(self.grid)))
        looks = {"button_style": "primary", "layout": {"width": "max-content"}}  # whole in the presenter's type too
        self.train = ipywidgets.Button(description=say("Train this live"), **looks)
        self.train.on_click(lambda _: self.do(self._start_or_stop))
        names = list(self.grid.fields)
        controls = {name: choice(name, values, _first(values)) for name, values in self.grid.fields.items()}
        controls |= {"across": choice("map across", names), "down": choice("map down", names, names[1 % len(names)])}
        self.loop = running_loop()
        super().__init__(controls)

    def arrange(self):
        """The controls, the button, and the place for an error."""
        controls, errors = super().arrange()
        return [controls, self.train, errors]

    def below(self):
        """What the models wrote, and the best settings of all."""
        return [self.sample, self.best]

    @property
    def configuration(self):
        """What the controls ask for, a `sweep.Configuration` with the first run's seed."""
        return dataclasses.replace(self.grid.runs[0].configuration, **self._setting())

    def _setting(self):
        return {name: self.controls[name].value for name in self.grid.fields}

    def draw(self):
        self.record = self.grid.view(self._setting(), self.across.value, self.down.value)
        live = self.live.get(self.configuration)
        self._write(live)
        return self._picture.draw_view(self.record, live.curve if live else ())

    def _write(self, live):
        shown = [say("live: {sample}", sample=live.sample or "")] if live else []
        for run in self.record.runs:
            shown.append(say("seed {seed}: {sample}", seed=run.configuration.seed, sample=run.sample or ""))
        lines = [html.escape(line).replace("\n", "↵") for line in shown]
        self.sample.value = f"<pre style='white-space: pre-wrap; margin: 0'>{'<br>'.join(lines)}</pre>"

    # What follows runs in the loop's thread

    def _start_or_stop(self):
        if self.busy:
            self.task.cancel()
        else:
            self.begin(self._train, self.configuration)

    async def _train(self, configuration):
        """Train, and draw what there is after each look; cancelling ends it between two of them."""
        self.train.description = say("Stop")
        try:
            with contextlib.closing(follow(configuration, self.model.now())) as looks:
                while (result := self._next(looks)) is not None:
                    self.live[configuration] = result
                    if self.configuration == configuration:
                        self.update()
                    await asyncio.sleep(SECONDS_FOR_THE_PAGE)
        finally:
            self.train.description = say("Train this live")
        return self.live[configuration]

    def _next(self, looks):
        with self.guard(), quick_layers(), one_thread():  # as the stored runs, whose seconds stand beside it
            return next(looks, None)


def _first(values):
    """Where a slider begins: in the middle of numbers, at the first of words."""
    return values[0] if isinstance(values[0], str) else values[len(values) // 2]


def _best(grid):
    """The best settings as rows of a table, column -> cell."""
    rows = []
    for setting, runs in grid.best(NUM_BEST):
        reached, seconds = [run.best for run in runs], [run.seconds for run in runs]
        row = {"settings": in_words(setting)}
        row["lowest held-out"] = say("{low:.2f} to {high:.2f}", low=min(reached), high=max(reached))
        rows.append(row | {"seconds": f"{max(seconds):.1f}", "parameters": f"{runs[0].parameters:,}"})
    return rows
