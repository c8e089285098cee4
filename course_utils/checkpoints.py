"""Runs on disk: a model, its vocabulary and records, and all that a training needs to go on, in one file without code.

A file is a safetensors file: the tensors, and as JSON in its header everything else. A run that goes on from one ends,
computed by one thread, with the weights of a run that was never interrupted, to the bit.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from course_utils import training
from course_utils.corpora import write_atomically
from course_utils.loaders import TextVocab
from course_utils.models import RNNModel
from course_utils.text import Vocab

SECONDS_BETWEEN_WRITES = 5.0
ENTRY = "course_utils run, 1"  # name and version of the JSON in the header
LAYER = ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional")
FIELDS = [field.name for field in dataclasses.fields(training.Epoch)]


class SavedRun(NamedTuple):
    """What a file holds, ready for `predict`: the model on the CPU, the `Vocab`, and a list of `training.Epoch`."""

    net: nn.Module
    vocab: Vocab
    history: list


def load_run(path, net=None):
    """Return the model, the vocabulary and the records of a file that `train(..., checkpoint=path)` or a lab wrote.

    Args:
        net: for a model of a class of yours, which the file does not hold: a new one, into which the weights are put.

    Raises:
        OSError, ValueError: there is no such file, it holds no run, or its weights do not fit `net`.
    """
    details, tensors = read(path := file_name(path))
    if net is None and not details["buildable"]:
        name = details["model"]["class"]
        raise ValueError(f"{path} holds a model of your class {name}: build one and give it as load_run(path, net=...)")
    return restored(path, details, tensors, build(details["model"]) if net is None else net)


def restored(path, details, tensors, net):
    """Put the weights that were read into `net` if they fit, and return the `SavedRun`."""
    check(path, details["model"], model_facts(net))
    net.load_state_dict(unpack(details["net"], tensors))
    return SavedRun(net, build_vocab(details["vocab"]), epochs_of(details))


class Checkpoint:
    """Keeps a training on disk while it runs, and goes on with the run that the file at `path` holds, if there is one.

    What does not fit is refused when this object is made, before anything is changed. The optimizer is the one that
    `recipe` makes; a loop that makes one itself is not interfered with: its optimizer is met at its first step.

    Attributes:
        recipe: the reader's, if there is one, to be handed to the loop.
        first, left: the number of the next epoch, and how many are still to come.
        finished: whether the file's run has had all its epochs; then `net` and `history` are those of the file.
    """

    def __init__(self, path, net, train_iter, vocab, lr, num_epochs, device, recipe, history):
        self.path, self.net, self.vocab, self.history = file_name(path), net, vocab, history
        self.device, self.readers, self.recipe = torch.device(device), recipe, recipe and self._recipe
        self.facts = run_facts(train_iter, vocab, lr, num_epochs, recipe)
        self.optimizer, self.num_updates, self.start, self.hindrance = None, None, {}, ""
        self.latest, self.written, self.failing = None, -math.inf, False
        self.saved = self._read() if self.path.exists() else None
        done = epochs_of(self.saved[0]) if self.saved else history
        self.before = self.saved[0]["before"] if self.saved else len(history)  # records of an earlier training
        self.first, self.left = done[-1].epoch + 1 if done else 1, num_epochs - len(done) + self.before
        self.finished = bool(self.saved) and self.left <= 0
        if self.finished:
            print(f"{path}: this run is finished; to train anew, delete the file or choose another.")
        elif self.saved:
            print(f"{path}: going on at epoch {self.first}.")
        if self.saved and (self.finished or self.saved[0]["num_updates"] is None):  # else when the recipe is called
            self._put_back()
        self.hook = register_optimizer_step_pre_hook(self._meet)
        with contextlib.suppress(OSError):  # where a process was killed while it wrote
            for leftover in self.path.parent.glob(glob.escape(f".{self.path.name}.") + "*"):
                leftover.unlink()

    def _read(self):
        """Return the content of the file once it is clear that this training may go on with it."""
        details, tensors = read(self.path)
        check(self.path, details["model"], model_facts(self.net))
        check(self.path, details["run"], self.facts)
        records = zip(map(plain, self.history), details["history"], strict=False)
        if any(json.dumps(ours, default=float) != json.dumps(theirs) for ours, theirs in records):
            raise ValueError(f"history is not that of the run in {self.path}; leave it out, or choose another file")
        unfinished = len(details["history"]) < self.facts["num_epochs"] + details["before"]
        if unfinished and details["hindrance"]:
            raise ValueError(f"the run in {self.path} cannot be gone on with: {details['hindrance']}")
        return details, tensors

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
        if self.optimizer is None and trains(optimizer, self.net):
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
        self.history[:] = epochs_of(details)
        if not self.finished:
            set_random_state(unpack(details["random"], tensors))

    def keep(self):
        """Remember the state after an epoch, and write it if the last writing was long enough ago."""
        details, tensors = contents(self.net, self.vocab, self.history)
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
        elif schedule and self.num_updates is None:
            why = "its loop makes the schedule; leave that to a recipe, and hand it over as recipe=..."
        elif not hasattr(schedule, "state_dict") and (schedule or optimizer_facts(self.optimizer) != self.start):
            why = "its recipe changes the learning rate; keep the schedule in optimizer.schedule, as one_cycle does"
        else:
            state = {"state": pack(self.optimizer.state_dict(), "optimizer", tensors)}
            state["schedule"] = schedule and pack(schedule.state_dict(), "schedule", tensors)
            state["start"] = self.start
        if why and not self.hindrance:
            print(f"{self.path} keeps model and records, but the run could not be gone on with: {why}.")
        self.hindrance = self.hindrance or why
        return state

    def close(self):
        """Write what is not written yet."""
        self.hook.remove()
        self.write()

    def write(self):
        """Write what was remembered last; what prevents it is said once, and the training goes on."""
        if self.latest is None:
            return
        self.written = time.monotonic()
        try:
            write(self.path, *self.latest)
            self.latest, self.failing = None, False
        except (OSError, ValueError, TypeError) as error:
            if not self.failing:
                reason = getattr(error, "strerror", None) or error
                print(f"{self.path} was not written ({reason}); the training goes on, an earlier file stays as it was.")
            self.failing = True


# The file


def file_name(path):
    """Return `path` as a Path; ValueError if it can be no file of a run."""
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix != ".safetensors":
        raise ValueError(f'{path!r} is no name for the file of a run; take one such as "run.safetensors"')
    return Path(path).expanduser()


def read(path):
    """Return a file's details and tensors, as `contents` gives them; ValueError if it holds no run, or half of one."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; a run is written by train(..., checkpoint={str(path)!r})")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            details = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or something else"
        raise ValueError(f"{path} cannot be read as a run: {reason}; choose another file, this one stays") from None
    if not details:
        raise ValueError(f"{path} holds no run that this version of the course knows; choose another file")
    return details, tensors


def write(path, details, tensors):
    """Write a file in one step: whoever reads it finds the old run or the new one."""
    header = {ENTRY: json.dumps(details, default=float)}  # of a record's number, which may be a tensor's or NumPy's
    write_atomically(Path(path), safetensors.torch.save(tensors, header))


def contents(net, vocab, history):
    """Return what every file holds: details for the header, and the tensors by their names."""
    tensors, layer = {}, model_facts(net)
    details = {"model": layer, "buildable": type(net) is RNNModel and "cell" in layer}
    details["net"] = pack(net.state_dict(), "net", tensors)
    details["vocab"] = {name: getattr(vocab, name, None) for name in ("kind", "prefix")} | {"tokens": tokens_of(vocab)}
    details["history"] = [plain(record) for record in history]
    return details, tensors


def pack(value, name, tensors):
    """Return `value` for JSON: a tensor is copied to `tensors` and its name stays; keys may be other than words."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, pack(each, f"{name}.{key}", tensors)] for key, each in value.items()]}
    if isinstance(value, (list, tuple)):
        return [pack(each, f"{name}.{number}", tensors) for number, each in enumerate(value)]
    return value


def unpack(value, tensors):
    """Undo `pack`; tuples come back as lists."""
    if isinstance(value, list):
        return [unpack(each, tensors) for each in value]
    if isinstance(value, dict):
        return tensors[value["tensor"]] if "tensor" in value else {k: unpack(v, tensors) for k, v in value["items"]}
    return value


def plain(record):
    """An epoch's record, also one of a reader's own class, as a dictionary of the fields of `training.Epoch`."""
    return {name: getattr(record, name, None) for name in FIELDS}


def epochs_of(details):
    """The records of a file."""
    return [training.Epoch(**record) for record in details["history"]]


# What must fit


def check(path, there, here):
    """Raise ValueError with the first fact in which the file differs from what was asked for."""
    for name in there | here:
        if there.get(name) != here.get(name):
            raise ValueError(
                f"{path} does not fit: {name} is {there.get(name)} there and {here.get(name)} here; "
                "take the same again, or choose another file"
            )


def model_facts(net):
    """Describe a model: its class, the arguments of its recurrent layer, if that is torch's, and its weights."""
    facts, layer = {"class": type(net).__name__}, getattr(net, "rnn", None)
    if type(layer) in (nn.RNN, nn.GRU, nn.LSTM):
        facts |= {"cell": type(layer).__name__}
        facts |= {name: getattr(layer, name) for name in LAYER if hasattr(layer, name)}
    weights = {name: each for name, each in net.state_dict().items() if isinstance(each, torch.Tensor)}
    return facts | {name: f"{tuple(each.shape)} {each.dtype}" for name, each in weights.items()}


def text_facts(train_iter, vocab):
    """Describe the tokens and the text by their fingerprints."""
    text, held_out = (torch.as_tensor(getattr(train_iter, name, ())).tolist() for name in ("corpus", "held_out"))
    texts = {"vocabulary": tokens_of(vocab), "training text": text, "held-out text": held_out}
    return {name: fingerprint(tokens) for name, tokens in texts.items()}


def run_facts(train_iter, vocab, lr, num_epochs, recipe):
    """Describe a training."""
    facts = {"torch": torch.__version__.partition("+")[0], **text_facts(train_iter, vocab)}
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


def fingerprint(tokens):
    """How many tokens there are, and a few signs that are others where a token is another one, or their order."""
    return f"{len(tokens):,} tokens (#{hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:12]})"


# What is made anew


def build(facts):
    """Return an `RNNModel` with the layer that `model_facts` describes; global random numbers stay as they are."""
    arguments = {name: facts[name] for name in LAYER if name in facts}
    with torch.random.fork_rng(devices=[]):
        return RNNModel(getattr(nn, facts["cell"])(**arguments), facts["input_size"])


def build_vocab(saved):
    """Return the vocabulary as it was, whatever order its tokens were in."""
    vocab = TextVocab([], saved["kind"], saved["prefix"]) if saved["kind"] else Vocab([])
    vocab.idx_to_token = saved["tokens"]
    vocab.token_to_idx = {token: idx for idx, token in enumerate(vocab.idx_to_token)}
    return vocab


def tokens_of(vocab):
    return vocab.to_tokens(list(range(len(vocab))))


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
