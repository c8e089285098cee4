"""A training on disk while it runs: whatever is needed to go on is in the file, and the same call goes on.

A run that goes on ends, computed by one thread, with the weights of a run that was never interrupted, to the bit.
"""

import contextlib
import glob
import json
import math
import time
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from course_utils import saved_runs
from course_utils.language import say
from course_utils.saved_runs import check, pack, unpack

SECONDS_BETWEEN_WRITES = 5.0


class Checkpoint:
    """Keeps a training on disk while it runs, and goes on with the run that the file at `path` holds, if there is one.

    The training runs within this context: only there is an optimizer met.
    What does not fit is refused when this object is made, before anything is changed. The optimizer is the one that
    `recipe` makes; a loop that makes one itself is not interfered with: its optimizer is met at its first step.

    Attributes:
        recipe: the reader's, if there is one, to be handed to the loop.
        first, left: the number of the next epoch, and how many are still to come.
        finished: whether the file's run has had all its epochs; then `net` and `history` are those of the file.
    """

    def __init__(self, path, net, train_iter, vocab, lr, num_epochs, device, recipe, history):
        self.path, self.net, self.vocab, self.history = Path(path).expanduser(), net, vocab, history
        self.device, self.readers, self.recipe = torch.device(device), recipe, recipe and self._recipe
        self.facts = run_facts(train_iter, vocab, lr, num_epochs, recipe)
        self.optimizer, self.num_updates, self.start, self.hindrance = None, None, {}, ""
        self.latest, self.written, self.failing, self.several = None, -math.inf, False, False
        self.saved = self._read() if self.path.exists() else None
        done = saved_runs.epochs_of(self.saved[0]) if self.saved else history
        self.before = self.saved[0]["before"] if self.saved else len(history)  # records of an earlier training
        self.first, self.left = done[-1].epoch + 1 if done else 1, num_epochs - len(done) + self.before
        self.finished = bool(self.saved) and self.left <= 0
        if self.finished:
            print(say("{path}: this run is finished; to train anew, delete the file or choose another.", path=path))
        elif self.saved:
            print(say("{path}: going on at epoch {first}.", path=path, first=self.first))
        if self.saved and (self.finished or self.saved[0]["num_updates"] is None):  # else when the recipe is called
            self._put_back()
        with contextlib.suppress(OSError):  # where a process was killed while it wrote
            for leftover in self.path.parent.glob(glob.escape(f".{self.path.name}.") + "*"):
                leftover.unlink()

    def _read(self):
        """Return the content of the file once it is clear that this training may go on with it."""
        details, tensors = saved_runs.read(self.path)
        check(self.path, details["model"], saved_runs.model_facts(self.net))
        check(self.path, details["run"], self.facts)
        records = zip(map(saved_runs.plain, self.history), details["history"], strict=False)
        if any(json.dumps(ours, default=float) != json.dumps(theirs) for ours, theirs in records):
            raise ValueError(f"history is not that of the run in {self.path}; leave it out, or choose another file")
        unfinished = len(details["history"]) < self.facts["num_epochs"] + details["before"]
        if unfinished and details["hindrance"]:
            raise ValueError(f"the run in {self.path} cannot be gone on with: {details['hindrance']}")
        return details, tensors

    def __enter__(self):
        self.hook = register_optimizer_step_pre_hook(self._meet)

    def __exit__(self, *error):
        self.hook.remove()

    def _recipe(self, net, lr, num_updates):
        """The reader's recipe; the run's first call also puts everything back that the file holds."""
        first = self.saved and self.optimizer is None
        self.num_updates = self.saved[0]["num_updates"] if self.saved else num_updates  # those of the whole run
        optimizer = self.readers(net, lr, self.num_updates)
        self._meet(optimizer)
        if first:
            self._put_back()
        return optimizer

    def _meet(self, optimizer, *details):
        """Get to know the optimizer of the model; the first one gets back what the file's knew."""
        if optimizer is self.optimizer or not trains(optimizer, self.net):
            return
        if self.optimizer is not None:
            self.several = True
        else:
            self.optimizer, self.start = optimizer, optimizer_facts(optimizer)
            if self.saved:
                (details, tensors), schedule = self.saved, getattr(optimizer, "schedule", None)
                check(self.path, details["optimizer"]["start"], self.start)
                optimizer.load_state_dict(unpack(details["optimizer"]["state"], tensors))
                if schedule is not None:
                    schedule.load_state_dict(unpack(details["optimizer"]["schedule"], tensors))

    def _put_back(self):
        """Give model and history what they had, and unless all is done the random numbers."""
        details, tensors = self.saved
        self.net.load_state_dict(unpack(details["net"], tensors))
        self.history[:] = saved_runs.epochs_of(details)
        if not self.finished:
            set_random_state(unpack(details["random"], tensors))

    def keep(self):
        """Remember the state after an epoch, and write it if the last writing was long enough ago."""
        details, tensors = saved_runs.contents(self.net, self.vocab, self.history)
        details |= {"run": self.facts, "before": self.before, "num_updates": self.num_updates}
        details["random"] = pack(random_state(self.device), "random", tensors)
        details["optimizer"] = self._optimizer_state(tensors)
        details["hindrance"] = self.hindrance
        self.latest = details, tensors
        if time.monotonic() - self.written >= SECONDS_BETWEEN_WRITES:
            self.write()

    def _optimizer_state(self, tensors):
        """Return what the optimizer and its schedule know; if that is not enough to go on, say so once."""
        why, state, schedule = "", None, getattr(self.optimizer, "schedule", None)
        if self.optimizer is None:
            why = "no optimizer of torch trains it"
        elif self.several:
            why = "more than one optimizer trains it"
        elif schedule and self.num_updates is None:
            why = "its loop makes the schedule; leave that to a recipe, and hand it over as recipe=..."
        elif not hasattr(schedule, "state_dict") and (schedule or optimizer_facts(self.optimizer) != self.start):
            why = "its recipe changes the learning rate; keep the schedule in optimizer.schedule, as one_cycle does"
        else:
            state = {"state": pack(self.optimizer.state_dict(), "optimizer", tensors)}
            state["schedule"] = schedule and pack(schedule.state_dict(), "schedule", tensors)
            state["start"] = self.start
        if why and not self.hindrance:
            text = "{path} keeps model and records, but the run could not be gone on with: {why}."
            print(say(text, path=self.path, why=say(why)))
        self.hindrance = self.hindrance or why
        return state

    def write(self):
        """Write what was remembered last; what prevents it is said once, and the training goes on."""
        if self.latest is None:
            return
        self.written = time.monotonic()
        try:
            saved_runs.write(self.path, *self.latest)
            self.latest, self.failing = None, False
        except (OSError, ValueError, TypeError) as error:
            if not self.failing:
                reason = getattr(error, "strerror", None) or error
                text = "{path} was not written ({reason}); the training goes on, an earlier file stays as it was."
                print(say(text, path=self.path, reason=reason))
            self.failing = True


def run_facts(train_iter, vocab, lr, num_epochs, recipe):
    """Describe a training."""
    facts = {"torch": torch.__version__.partition("+")[0], **saved_runs.text_facts(train_iter, vocab)}
    facts["recipe"] = getattr(recipe, "__qualname__", type(recipe).__qualname__)  # NoneType: the loop's own
    facts |= {"lr": float(lr), "num_epochs": int(num_epochs)}
    settings = ("batch_size", "num_steps", "sampling", "carries_state")
    return facts | {name: getattr(train_iter, name, None) for name in settings}


def trains(optimizer, net):
    """Whether it is one of torch's optimizers and has weights of the model."""
    groups = optimizer.param_groups if isinstance(optimizer, torch.optim.Optimizer) else ()
    return not {id(weight) for group in groups for weight in group["params"]}.isdisjoint(map(id, net.parameters()))


def optimizer_facts(optimizer):
    """Describe an optimizer: its class, that of its schedule, and the settings of its groups of parameters."""
    facts = {"optimizer": type(optimizer).__name__, "schedule": type(getattr(optimizer, "schedule", None)).__name__}
    for number, group in enumerate(optimizer.param_groups):
        plain_group = group | {"params": f"{len(group['params'])} tensors"}
        facts |= {f"{name} of the optimizer's group {number}": str(value) for name, value in plain_group.items()}
    return facts


def random_state(device):
    """torch's random numbers, of the CPU and of the device, by the device's type."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def set_random_state(states):
    torch.set_rng_state(states.pop("cpu"))
    for kind, state in states.items():
        if torch.get_device_module(kind).is_available():
            torch.get_device_module(kind).set_rng_state(state)
