"""The training lab: choose settings, train, and compare the runs, while the page stays alive.

One asyncio task on the kernel's loop trains, and only that loop's thread changes a run. Buttons and sliders, which
JupyterLab may deliver in another thread, pass their wish to the loop; the task looks at it after every epoch, and in
long epochs between two forward passes.
"""

import asyncio
import functools
import html
import signal
import textwrap
import time
import weakref
from pathlib import Path

import ipywidgets
import torch

from course_utils import plots, training
from course_utils.checks import NoBatch, checked
from course_utils.devices import ThreadWatch, try_gpu
from course_utils.experiments.shapes import CELLS
from course_utils.fast import quick_layers
from course_utils.language import say
from course_utils.loaders import KIND, SeqDataLoader, load_data_time_machine, opening, tokens_per_character
from course_utils.models import RNNModel
from course_utils.plots.fonts import caption
from course_utils.rules import RULES, kind, optional
from course_utils.single_run import RECIPES
from course_utils.train_live import LastGood, counted, on_interrupt
from course_utils.widgets.faults import Prints, explain, shorten
from course_utils.widgets.lab import Lab, Latest, choice, int_slider
from course_utils.widgets.runs import Run, load, moved, samples, save, state, table
from course_utils.widgets.slices import Slices
from course_utils.widgets.tasks import SECONDS_FOR_THE_PAGE, Tasks, running_loop

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SECONDS_BETWEEN_PICTURES = 0.25
DRAWING_SHARE = 0.2  # of the time, at most; the rest is for training
SECONDS_OF_A_SLICE = 0.1  # a longer epoch is left in the middle
NUM_GHOSTS = 4


RECIPES_RULE = kind(lambda named: named and all(callable(way) and RULES["lr"]("lr", lr) for way, lr in named.values()),
                    "a dictionary, name -> (recipe, its lr)")  # fmt: skip


class TrainingLab(Tasks, Lab):
    """Sliders for a training run, its curves as they grow, and the runs before it in grey.

    The buttons are `start`, `pause`, `stop`, `reset` and `save`; each can be clicked by code too. Only one lab trains
    at a time: a newer one, or the same cell run again, ends the run of the one before. A cell that defines the model,
    the loop or a recipe anew counts at the next Start.

    Args:
        model: called as `model(rnn_layer, vocab_size)`; a class of the course's interface, as edited in a cell.
        epochs: a generator function with the arguments of `training.epochs`.
        recipes: name -> (a function with the arguments of `training.sgd`, the learning rate that suits it).
        corpus, batch_size, max_tokens, tokens: as for `load_data_time_machine`.
        prefix: start of the sample that is written on the way; None for one from the text.
        seed: every run starts from it, so that runs differ by their settings alone.
        device: where to compute; by default `try_gpu()`.
        folder: where *Save* keeps the runs, by default `runs`; what it holds is shown when the lab is opened.

    Attributes:
        num_steps, num_hiddens, sampling, cell, recipe, lr, num_epochs: the controls; another recipe brings its own lr.
        runs: the `Run` records since the lab was opened or reset.
    """

    refusals = (NoBatch,)
    _turn = None  # weak reference to the lab that may train

    @checked(recipes=RECIPES_RULE, device=optional(RULES["device"]), tokens=KIND)
    def __init__(self, model=RNNModel, epochs=training.epochs, *, recipes=RECIPES, corpus="auto", batch_size=32,
                 max_tokens=10_000, tokens=None, prefix=None, seed=0, device=None, folder=None):  # fmt: skip
        self.model, self.epochs, self.seed = Latest(model), Latest(epochs), seed
        self.recipes = {name: (Latest(recipe), rate) for name, (recipe, rate) in recipes.items()}
        self.device = try_gpu() if device is None else device
        text = {"max_tokens": max_tokens, "corpus": corpus, "tokens": tokens}
        self.text, self.vocab = load_data_time_machine(batch_size, 1, **text)
        self.prefix = opening(self.vocab) if prefix is None else prefix
        words = self.vocab.kind == "words" and len(self.text.held_out)
        self._density = tokens_per_character(self.text.held_out, self.vocab) if words else None
        self.runs, self._next_picture = [], 0.0
        self._redraw_waits = self._line_waits = False
        self._note, self._folder = "", None if folder is None else Path(folder).expanduser()
        self._show_saved()
        self.loop = running_loop()
        self._curves = plots.RunCurves(counted(self.text, self.vocab))
        self.status, self.sample, self.table = (ipywidgets.HTML() for _ in range(3))
        super().__init__(_controls({name: rate for name, (_, rate) in self.recipes.items()}))
        self._defaults = self._settings()
        self.recipe.observe(self._on_recipe, names="value")
        self._take_turn()

    @property
    def net(self):
        """The model of the latest run, trained as far as it got; None before the first run."""
        return self.runs[-1].net if self.runs else None

    @property
    def history(self):
        """The records of the latest run."""
        return self.runs[-1].history if self.runs else []

    @property
    def active(self):
        """Whether a run is going on or paused."""
        return bool(self.runs) and self.runs[-1].active

    async def finished(self):
        """Wait for the end of the latest run and return it; raise what made it fail. Cancelling stops the run."""
        run = self.runs[-1] if self.runs else None
        try:
            await super().finished()
        except asyncio.CancelledError:
            self._stop()
            raise
        return run

    def update(self):
        """Redraw everything from the runs' records; from another thread: as soon as the loop is free."""
        if not self._redraw_waits:
            self._redraw_waits = True  # of many wishes one is kept
            self.do(self._redraw)

    # What follows runs in the loop's thread

    def _start(self):
        if self.active:
            return  # a second click changes nothing
        run, train_iter = self._new_run()
        self.begin(self._train, run, train_iter)  # from the loop's next turn on
        self._take_turn()
        self._note = ""
        self.runs.append(run)
        self._threads = ThreadWatch(self.device)
        self._redraw()

    def _new_run(self):
        """Build the batches and the model that the controls ask for."""
        text, settings = self.text, self._settings()
        cut = settings["num_steps"], settings["sampling"]
        train_iter = SeqDataLoader(text.corpus, text.batch_size, *cut, held_out=text.held_out)
        torch.manual_seed(self.seed)
        with Prints() as prints:
            net = self._new_net(settings)
        return Run(len(self.runs) + 1, settings, net, prints=prints), train_iter

    def _new_net(self, settings):
        return self.model(CELLS[settings["cell"]](len(self.vocab), settings["num_hiddens"]), len(self.vocab))

    async def _train(self, run, train_iter):
        """Consume the epochs one by one; whoever changes `run.state` decides whether there is a next one."""
        chosen, (recipe, _) = run.settings, self.recipes[run.settings["recipe"]]
        try:
            run.kept = LastGood(run.net, len(self.vocab))
            records = self.epochs(run.net, train_iter, self.vocab, chosen["lr"], chosen["num_epochs"], self.device,
                                  recipe=recipe.now(), prefix=self.prefix)  # fmt: skip
            while run.active:
                if run.state == "paused":
                    self._redraw()
                    await run.go_on.wait()
                else:
                    await self._one_epoch(run, records)
        except KeyboardInterrupt:
            run.state = "interrupted"
        except Exception as error:
            if isinstance(error, FloatingPointError):
                run.kept.put_back(error, run.history)
            shorten(error)
            run.state, (run.error, run.traceback) = "failed", explain(error)
            raise
        finally:
            self._redraw()

    async def _one_epoch(self, run, records):
        """Ask for the next record, slice by slice; a stop takes effect after a slice, a pause after the epoch."""
        epoch = Slices(functools.partial(next, records, None), SECONDS_OF_A_SLICE)
        hook = run.net.register_forward_pre_hook(epoch.breathe)
        try:
            while run.active and not epoch.ended:
                start = time.perf_counter()
                # KeyboardInterrupt, even in a student's endless loop; and quick layers for the training alone
                with on_interrupt(signal.default_int_handler), run.prints, quick_layers():
                    epoch.go_on()
                if epoch.ended:
                    self._take(run, epoch.result)
                await asyncio.sleep(SECONDS_FOR_THE_PAGE)
                run.seconds += time.perf_counter() - start
        finally:
            epoch.give_up()
            hook.remove()

    def _take(self, run, record):
        """Keep what an epoch brought; None says that there is no other."""
        if record is None:
            run.state = "finished"
            return
        run.history.append(record)
        run.kept.see(record)
        self._threads.see(record.tokens_per_second)
        if time.perf_counter() >= self._next_picture:
            with on_interrupt(self._interrupted):  # not in the middle of a picture
                self._redraw()

    def _interrupted(self, *signal_and_frame):
        if self.active:
            self.runs[-1].state = "interrupted"

    def _pause(self):
        if self.active:
            run = self.runs[-1]
            run.state = "training" if run.state == "paused" else "paused"
            (run.go_on.set if run.state == "training" else run.go_on.clear)()
            self._write()

    def _stop(self):
        if self.active:
            self.runs[-1].state = "stopped"
            self.runs[-1].go_on.set()
            self._write()  # at once; the task redraws everything when it ends

    def _reset(self):
        self._stop()
        self.runs = []
        for name, value in self._defaults.items():
            self.controls[name].value = value
        self._redraw()

    def _save(self):
        """Write the runs that have ended, each once, and say where they are or what prevents it."""
        self._folder = self._folder or Path("runs")
        ended = [run for run in self.runs if not run.active]
        try:
            for run in ended:
                save(run, self._folder, self.text, self.vocab)
            names = say(", ").join(say("run {number}", number=run.number) for run in ended) or say("no run yet")
            self._note = say("Kept in {folder}: {runs}.", folder=self._folder, runs=names)
        except OSError as error:
            self._note = say("Not saved in {folder}: {error.strerror}.", folder=self._folder, error=error)
        self._write()

    def _show_saved(self):
        """Take up the runs of the folder; say which file is none of this lab."""
        for path in sorted(self._folder.glob("run-*.safetensors")) if self._folder else ():
            try:
                run = load(path, len(self.runs) + 1, self.text, self.vocab, self._new_net)
                run.net.to(self.device)
                self.runs.append(run)
            except (OSError, ValueError) as error:
                self._note += f"{error}. "

    def _take_turn(self):
        """End the run of the lab that trained before this one."""
        before = TrainingLab._turn and TrainingLab._turn()
        if before is not None and before is not self:
            before.do(before._stop)
        TrainingLab._turn = weakref.ref(self)

    # Widgets

    def arrange(self):
        """The controls, the buttons, a line that says what is going on, and the place for an error."""
        controls, errors = super().arrange()
        self.start = self._button("Start", self._start, "train a new model with these settings", button_style="primary")
        self.pause = self._button("Pause", self._pause, "pause the run, or go on with it")
        self.stop = self._button("Stop", self._stop, "end the run; its model and curves are kept")
        self.reset = self._button("Reset", self._reset, "forget all runs and put the controls back")
        self.save = self._button("Save", self._save, "keep the runs in files, for after a restart of the kernel")
        buttons = ipywidgets.HBox([self.start, self.pause, self.stop, self.reset, self.save])
        return [controls, buttons, self.status, errors]

    def _button(self, name, action, tip, **looks):
        button = ipywidgets.Button(description=say(name), tooltip=say(tip), **looks)
        button.on_click(lambda _: self.do(action))
        return button

    def below(self):
        """What the model writes, and the table of runs."""
        return [self.sample, self.table]

    def draw(self):
        """Return the picture of the latest run over the runs before it."""
        *earlier, latest = self.runs or [None]
        ghosts = [(caption("run {number}", number=run.number), list(run.history)) for run in earlier[-NUM_GHOSTS:]]
        last_epoch = max([run.settings["num_epochs"] for run in self.runs], default=self.num_epochs.value)
        hint = textwrap.fill(latest.error, 70) if latest else ""
        title = str(latest) if latest else caption("no run yet")
        return self._curves.draw(list(self.history), title, ghosts, last_epoch, hint)

    def _redraw(self):
        self._redraw_waits = False
        start = time.perf_counter()
        super().update()
        self._write()
        now = time.perf_counter()
        self._next_picture = now + max(SECONDS_BETWEEN_PICTURES, (now - start) / DRAWING_SHARE)

    def _write(self):
        """Write the texts and label the buttons anew; the picture stays."""
        self._say()
        self.sample.value, self.table.value = samples(self.history), table(self.runs, self._density)
        self.start.disabled = self.active
        self.pause.disabled = self.stop.disabled = not self.active
        self.pause.description = say("Resume" if self.active and self.runs[-1].state == "paused" else "Pause")
        self.printed.value = self.runs[-1].prints.as_html() if self.runs else ""
        if self.runs and self.runs[-1].error:
            self.show_error(self.runs[-1].error, self.runs[-1].traceback)

    def _say(self):
        """Write the line that says what is going on."""
        self._line_waits = False
        happens = state(self.runs[-1], len(self.vocab)) if self.runs else say("Choose, then press Start.")
        waits = moved(self.runs[-1].settings, self._settings()) if self.active else ""
        self.status.value = f"<b>{html.escape(happens)}</b> {html.escape(waits + self._note)}"

    def _settings(self):
        return {name: control.value for name, control in self.controls.items()}

    def _on_change(self, change):
        if not self._line_waits:  # a fast drag brings hundreds: of those that wait one is kept, and all else stays
            self._line_waits = True
            self.do(self._say)

    def _on_recipe(self, change):
        self.lr.value = self.recipes[change["new"]][1]


def _controls(rates):
    """The lab's controls by name; the first recipe of `rates` (name -> learning rate) is chosen."""
    return {
        "num_steps": int_slider("num_steps", 35, 5, 140, 5),
        "num_hiddens": int_slider("num_hiddens", 256, 16, 512, 16),
        "sampling": choice("sampling", ["sequential", "random"]),
        "cell": choice("cell", list(CELLS)),
        "recipe": choice("recipe", list(rates)),
        "lr": choice("lr", sorted({*RATES, *rates.values()}), next(iter(rates.values()))),
        "num_epochs": int_slider("num_epochs", 100, 10, 500, 10),
    }
