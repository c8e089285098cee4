"""Runs in files: a model, its vocabulary and records, in one safetensors file without any code.

The tensors are as safetensors keeps them; all else is JSON in the header. `checkpoints` adds what a training needs.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import nn

from course_utils import training
from course_utils.checks import checked
from course_utils.corpora import write_atomically
from course_utils.loaders import TextVocab
from course_utils.models import RNNModel
from course_utils.rules import RULES, optional
from course_utils.text import Vocab

ENTRY = "course_utils run, 2"  # name and version of the JSON in the header; "seal" beside it shows any damage
LAYER = ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional")
FIELDS = [field.name for field in dataclasses.fields(training.Epoch)]


class SavedRun(NamedTuple):
    """What a file holds, ready for `predict`: the model on the CPU, the `Vocab`, and a list of `training.Epoch`."""

    net: nn.Module
    vocab: Vocab
    history: list


@checked(net=optional(RULES["net"]))
def load_run(path, net=None):
    """Return the model, the vocabulary and the records of a file that `train(..., checkpoint=path)` or a lab wrote.

    Args:
        net: for a model of a class of yours, which the file does not hold: a new one, into which the weights are put.

    Raises:
        OSError, ValueError: there is no such file, it holds no run, or its weights do not fit `net`.
    """
    details, tensors = read(path := Path(path).expanduser())
    if net is None and not details["buildable"]:
        name = details["model"]["class"]
        raise ValueError(f"{path} holds a model of your class {name}: build one and give it as load_run(path, net=...)")
    return restored(path, details, tensors, build(details["model"]) if net is None else net)


def restored(path, details, tensors, net):
    """Put the weights that were read into `net` if they fit, and return the `SavedRun`."""
    check(path, details["model"], model_facts(net))
    net.load_state_dict(unpack(details["net"], tensors))
    saved = details["vocab"]
    vocab = TextVocab([], saved["kind"], saved["prefix"]) if saved["kind"] else Vocab([])
    vocab.idx_to_token = saved["tokens"]  # as they were, whatever their order
    vocab.token_to_idx = {token: idx for idx, token in enumerate(vocab.idx_to_token)}
    return SavedRun(net, vocab, epochs_of(details))


def read(path):
    """Return a file's details and tensors, as `contents` gives them; ValueError if it holds no run, or half of one."""
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is a folder, or special, and no file of a run; choose another name")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; a run is written by train(..., checkpoint={str(path)!r})")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or something else"
        raise ValueError(f"{path} cannot be read as a run: {reason}; choose another file, this one stays") from None
    if ENTRY not in header:
        raise ValueError(f"{path} holds no run that this version of the course knows; choose another file")
    if header.get("seal") != seal(header[ENTRY], tensors):
        raise ValueError(f"{path} cannot be read as a run: it is damaged; choose another file, this one stays")
    return json.loads(header[ENTRY]), tensors


def write(path, details, tensors):
    """Write a file in one step: whoever reads it finds the old run or the new one."""
    text = json.dumps(details, default=float)  # of a record's number, which may be a tensor's or NumPy's
    write_atomically(Path(path), safetensors.torch.save(tensors, {ENTRY: text, "seal": seal(text, tensors)}))


def seal(text, tensors):
    """Return a digest of all that a file holds; what has it was written by `write`, and is whole."""
    digest = hashlib.sha256(text.encode())
    for name, each in sorted(tensors.items()):
        digest.update(f"{name} {tuple(each.shape)} {each.dtype}".encode())
        digest.update(each.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


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
    """Describe vocabulary and text: how many tokens, and signs that are others where one is, or their order."""
    text, held_out = (torch.as_tensor(getattr(train_iter, name, ())).tolist() for name in ("corpus", "held_out"))
    texts = {"vocabulary": tokens_of(vocab), "training text": text, "held-out text": held_out}
    signs = {name: hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:12] for name, tokens in texts.items()}
    return {name: f"{len(tokens):,} tokens (#{signs[name]})" for name, tokens in texts.items()}


# What is made anew


def build(facts):
    """Return an `RNNModel` with the layer that `model_facts` describes; global random numbers stay as they are."""
    arguments = {name: facts[name] for name in LAYER if name in facts}
    with torch.random.fork_rng(devices=[]):
        return RNNModel(getattr(nn, facts["cell"])(**arguments), facts["input_size"])


def tokens_of(vocab):
    return vocab.to_tokens(list(range(len(vocab))))
