"""The run explorer: sliders over trainings that were done before, and one more of them live."""

import asyncio
import dataclasses
import html
import statistics

import ipywidgets

from course_utils import plots
from course_utils.checks import checked, kind
from course_utils.experiments import explorer
from course_utils.fast import quick_layers
from course_utils.models import RNNModel
from course_utils.sweep import Result, steps
from course_utils.widgets.lab import Lab, Latest, choice

SECONDS_FOR_THE_PAGE = 0.005  # after every epoch, so that the loop hears of a button
NUM_BEST = 5

def _are_runs(runs):
    return all(isinstance(run, Result) for run in runs) and explorer.varied(runs)


RUNS = kind(_are_runs, "a list of results of `sweep`, of at least two settings")


class RunExplorer(Lab):
    """A slider for each field in which runs differ: the curves of that setting at once, among its neighbours in grey.

    Beside them stands a map of the lowest held-out perplexity over any two fields. *Train this live* trains the chosen
    setting anew, here and now, with its curve over the stored one; a setting that is not in the grid can be had so too.

    Args:
        runs: `sweep.Result`s, as `experiments.explorer.read("explore").records` or those of a sweep of yours.
        model: the class that is trained live, called as `model(rnn_layer, vocab_size)`.

    Attributes:
        record: the `experiments.explorer.View` of the last picture.
        across, down: the fields of the map; every field in which the runs differ is a control of its name.
        train: the button.
        live: configuration -> the `Result` of a live run, as far as it got.
    """

    columns = (4, 4)
    _task = None

    @checked(runs=RUNS)
    def __init__(self, runs, model=RNNModel):
        __tracebackhide__ = True
        self.runs, self.model, self.live = tuple(run for run in runs if run.curve), Latest(model), {}
        self.sample, self.best = ipywidgets.HTML(), ipywidgets.HTML()
        self.train = ipywidgets.Button(description="Train this live", button_style="primary")
        self.train.on_click(lambda _: self.in_loop(self._start_or_stop))
        values = explorer.varied(self.runs)
        controls = {field: choice(field, options, options[len(options) // 2]) for field, options in values.items()}
        fields = list(values)
        controls |= {"across": choice("map: across", fields), "down": choice("map: down", fields, fields[1 % len(fields)])}
        super().__init__(controls)

    def arrange(self):
        *controls, errors = super().arrange()
        return [*controls, self.train, errors]

    def below(self):
        """What the model wrote at the end, and the best settings."""
        return [self.sample, self.best]

    @property
    def configuration(self):
        """The `sweep.Configuration` of the controls, with the first seed."""
        setting = {name: control.value for name, control in self.controls.items() if name not in ("across", "down")}
        return dataclasses.replace(self.runs[0].configuration, **setting)

    def draw(self):
        configuration = self.configuration
        setting = {field: getattr(configuration, field) for field in explorer.varied(self.runs)}
        self.record = explorer.view(self.runs, setting, self.across.value, self.down.value)
        live = self.live.get(configuration)
        self._write(live)
        return plots.explorer_picture(self.record, live.curve if live else ())

    def _write(self, live):
        """Write the samples of the setting, and the best settings of all."""
        shown = [("live", live)] if live else []
        shown += [(f"seed {run.configuration.seed}", run) for run in self.record.runs]
        lines = [html.escape(f"{name}: {run.sample or ''}").replace("\n", "↵") for name, run in shown]
        self.sample.value = f"<pre style='white-space: pre-wrap; margin: 0'>{'<br>'.join(lines)}</pre>"
        self.train.description = "Stop" if self.active else "Train this live"

    # What follows runs in the loop's thread

    @property
    def active(self):
        """Whether a run is trained just now."""
        return self._task is not None and not self._task.done()

    def _start_or_stop(self):
        if self.active:
            self._task.cancel()
            return
        if self._loop is None:
            raise RuntimeError("the run explorer trains in a notebook; in a script call course_utils.sweep.run")
        self._task = self._loop.create_task(self._follow(self.configuration))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # looked at: reported once

    async def _follow(self, configuration):
        """Train, and draw what there is after each epoch; cancelling ends it between two epochs."""
        try:
            with self.guard():
                results = steps(configuration, self.model.now())
                while (result := self._next(results)) is not None:
                    self.live[configuration] = result
                    if self.configuration == configuration:
                        self.update()
                    await asyncio.sleep(SECONDS_FOR_THE_PAGE)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"Task exception in {configuration}", "exception": error})
            raise
        finally:
            self.train.description = "Train this live"

    @staticmethod
    def _next(results):
        with quick_layers():
            return next(results, None)

    async def finished(self):
        """Wait for the end of the live run and return its `Result`; raise what made it fail."""
        if self._task is None:
            raise RuntimeError("nothing is trained live; press the button or call lab.train.click() first")
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
