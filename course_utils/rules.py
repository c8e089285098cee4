"""Rules for arguments: a name means one thing in the whole package, and so each has one rule, in `RULES`.

A rule is called with the name and the value. It returns the value, or raises a ValueError with one sentence: the value,
its limit, and what to do. Whole numbers may be Python's, NumPy's or a tensor's; a float is none, even 2.0, and True is
no number.
"""

import operator
import os
import re
import reprlib
from pathlib import Path

import torch
from torch import nn


def refuse(name, value, limit):
    raise ValueError(f"{name} is {shown(value)}; it must be {limit}")


def shown(value):
    """A value in a few words, on one line."""
    if callable(value) and hasattr(value, "__name__"):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    if isinstance(value, torch.Tensor) and value.dim():
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    if type(value).__module__ in ("builtins", "numpy", "torch") or isinstance(value, Path):
        return " ".join(reprlib.repr(value).split())
    return f"a {type(value).__name__}"


def whole(least=1, most=2**31 - 1, also=""):
    """A whole number in these limits, handed on as an int; `also`: what else would do, in words."""

    def rule(name, value):
        number = None if _no_number(value) else _converted(operator.index, value)
        if number is None or number < least:
            refuse(name, value, f"a whole number of at least {least}{also}")
        if number > most:
            refuse(name, value, f"at most {most:,}{also}")
        return number

    return rule


def real(fits, limit):
    """A number that `fits`, handed on as a float unless it is an int of 64 bits; `limit` says which ones do."""

    def rule(name, value):
        number = None if _no_number(value) else _converted(float, value)
        if number is None or not fits(number):
            refuse(name, value, limit)
        return value if isinstance(value, int) and abs(value) < 2**63 else number

    return rule


def _no_number(value):
    """True, False and texts can be converted, but are none."""
    return isinstance(value, bool | str | bytes) or getattr(value, "dtype", None) in (bool, torch.bool)


def _converted(convert, value):
    try:
        return convert(value)
    except (ArithmeticError, AttributeError, OSError, RuntimeError, TypeError, ValueError):
        return None


def optional(rule):
    return lambda name, value: None if value is None else rule(name, value)


def each(rule):
    """A list or tuple, each of whose values follows the rule."""

    def rule_of_all(name, values):
        if not isinstance(values, list | tuple | range) or not values:
            refuse(name, values, "a list or tuple, with something in it")
        return tuple(rule(f"each of {name}", value) for value in values)

    return rule_of_all


def one_of(*names):
    def rule(name, value):
        if not (isinstance(value, str) and value in names):
            refuse(name, value, ", ".join(f'"{each}"' for each in names[:-1]) + f' or "{names[-1]}"')
        return value

    return rule


def kind(fits, limit):
    """A value that `fits`; `limit` says in words what does."""

    def rule(name, value):
        if not _converted(fits, value):
            refuse(name, value, limit)
        return value

    return rule


def device(name, value):
    """What torch.device takes, if this machine has it."""
    found = None if isinstance(value, bool) else _converted(torch.device, value)
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        refuse(name, value, '"cpu", "cuda" or "mps", or what try_gpu() returned')
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        refuse(name, value, f'another one, as torch finds {torch.cuda.device_count()} NVIDIA GPUs here, such as "cpu"')
    if found.type == "mps" and not torch.backends.mps.is_available():
        refuse(name, value, 'another one, as this machine has no GPU of Apple\'s, such as "cpu"')
    return value


def row(least=0):
    """A row of at least so many tokens, handed on as a long tensor."""

    def rule(name, value):
        numbers = isinstance(value, list | tuple | range) or hasattr(value, "__array__")  # nothing that never ends
        found = _converted(torch.as_tensor, value) if numbers else None
        if found is None or found.dim() != 1 or (len(found) and not _are_tokens(found)):
            refuse(name, value, "one row of tokens: a tensor, or a list, of whole numbers from 0 on")
        if len(found) < least:
            raise ValueError(f"{name} has {len(found)} tokens; it must have at least {least}, so use more text")
        return found.long()

    return rule


def _are_tokens(tensor):
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool or tensor.is_meta)
    return whole and bool(tensor.min() >= 0)


def window(name, value):
    """Tokens (B, T), neither of them 0."""
    if not (isinstance(value, torch.Tensor) and value.dim() == 2 and value.numel() and _are_tokens(value)):
        refuse(name, value, "a tensor (B, T) of whole numbers from 0 on, one row of tokens for each sentence")
    return value.long()


def scores(name, value):
    """Scores (V) to choose by; -inf rules a token out, nan comes from a model that is ruined."""
    good = isinstance(value, torch.Tensor) and value.dim() == 1 and value.is_floating_point() and not value.is_meta
    if not (good and len(value)):
        refuse(name, value, "a tensor (V) of floats, one score for each token")
    if value.isnan().any() or value.max().isinf():
        raise ValueError(f"{name} has values that are no finite numbers; the model is ruined, so train a new one")
    return value


def model(name, value):
    """A module with `begin_state`; one with the course's own `forward` needs weights of its precision."""
    if not (isinstance(value, nn.Module) and callable(getattr(value, "begin_state", None))):
        limit = "a model with forward(X, state) and begin_state(device, batch_size), as RNNModel(nn.RNN(V, H), V)"
        refuse(name, value, limit)
    if any(weight.is_meta for weight in value.parameters()):
        raise ValueError(f'{name} has weights on the device "meta", which holds no numbers; build it on "cpu"')
    if is_the_courses(value):
        layer_fits({"self": value, "rnn_layer": value.rnn, "vocab_size": value.vocab_size})
        if wrong := wrong_precision(value):
            raise ValueError(wrong)
    return value


def is_the_courses(net):
    return type(net).forward.__module__ == "course_utils.models"  # not so where a subclass has a forward of its own


def wrong_precision(net):
    wrong = {weight.dtype for weight in net.parameters()} - {torch.float32}
    return f"the model has weights of {wrong.pop()}, but reads torch.float32; call net.float()" if wrong else None


def layer_fits(arguments):
    """`RNNModel` works with a layer that reads one-hot tokens, time first."""
    net, layer, size = arguments["self"], arguments["rnn_layer"], arguments["vocab_size"]
    if isinstance(layer, type) or not (hasattr(layer, "hidden_size") and hasattr(layer, "bidirectional")):
        refuse("rnn_layer", layer, "a layer such as nn.RNN(vocab_size, num_hiddens), or nn.GRU or nn.LSTM")
    if not (is_the_courses(net) and isinstance(layer, nn.RNNBase)):
        return
    if layer.batch_first or layer.proj_size:
        option = "batch_first=True" if layer.batch_first else f"proj_size={layer.proj_size}"
        raise ValueError(f"rnn_layer has {option}, and RNNModel reads (T, B, V) and (T, B, H); build it without")
    if layer.input_size != size:
        raise ValueError(f"rnn_layer reads {layer.input_size} numbers a step, vocab_size is {size}; make them equal")


def batches(name, value):
    """What `load_data_time_machine` returns, or the like."""
    if not _has("carries_state", "__iter__")(value):
        raise ValueError(f"{name} does not say whether it carries_state; load it with load_data_time_machine")
    return value


def _is_path(value):
    """Whether this system can look for it, and a sentence print it on its line."""
    good = isinstance(value, str | os.PathLike) and not re.search("[\0-\x1f\x7f\ud800-\udfff]", str(value))
    return good and Path(value).expanduser().is_file() is not None


def _may_be_folder(value):
    return _is_path(value) and (Path(value).expanduser().is_dir() or not Path(value).expanduser().exists())


def _has(*names):
    return lambda value: not isinstance(value, type) and all(hasattr(value, name) for name in names)


function = kind(callable, "a function or a class")
flag = kind(lambda value: isinstance(value, bool), "True or False")
string = kind(lambda value: isinstance(value, str), "a text")
text = kind(lambda value: isinstance(value, str | list | tuple) and all(isinstance(each, str) for each in value),
            "a text")  # fmt: skip
vocabulary = kind(_has("__len__", "__getitem__", "to_tokens"), "a Vocab, as load_data_time_machine returns it")
recipe = kind(lambda value: callable(value) and not (isinstance(value, type) and hasattr(value, "zero_grad")),
              "a function (net, lr, num_updates) such as training.sgd or training.one_cycle")  # fmt: skip
optimizer = kind(_has("zero_grad", "step"), "an optimiser: let the recipe return torch.optim.SGD(net.parameters(), lr)")
several = kind(lambda value: hasattr(value, "__iter__") and not isinstance(value, dict | bytes | torch.Tensor),
               "a list of tokens, or a text whose characters are the tokens")  # fmt: skip
generator = kind(lambda value: isinstance(value, torch.Generator) and value.device.type == "cpu",
                 "a torch.Generator() on the CPU")  # fmt: skip
records = kind(lambda value: isinstance(value, list) and all(hasattr(each, "epoch") for each in value),
               "what train returned")  # fmt: skip
source = kind(_is_path, '"auto", "time_machine", "story" or the path of a .txt file')
folder = kind(_may_be_folder, "the path of a folder, one that is there or a new one")
run_file = kind(lambda value: _is_path(value) and Path(value).suffix == ".safetensors",
                'the name of a file such as "run.safetensors"')  # fmt: skip
functions = kind(lambda value: isinstance(value, dict) and value and all(map(callable, value.values())),
                 "a dictionary, name -> function, with something in it")  # fmt: skip

RULES = {name: rule for rule, names in [
    (whole(), "batch_size num_steps vocab_size input_size num_layers num_tokens tokens_per_update num_prefixes"),
    (whole(), "first every number repeats outputs draws rows following"),
    (whole(0), "num_epochs updates i b t"),
    (whole(0, 2**63 - 1), "seed"),
    (whole(2), "row_length prefix_length"),
    (whole(1, 1_000), "num_lags"),
    (whole(1, 10_000), "num_hiddens"),
    (whole(0, 10_000), "lag gap"),
    (whole(0, 1_000_000), "num_preds"),
    (whole(-1, also=", or -1 for the whole text"), "max_tokens"),
    (optional(whole(also=", or None for all tokens")), "top_k"),
    (real(lambda number: 0 < number < 1e38, "a number above 0, and finite"), "lr"),
    (real(lambda number: number == 0 or 1e-6 <= number <= 1e6, "0 (greedy) or a number in 1e-6 to 1e6"), "temperature"),
    (real(lambda number: abs(number) <= 1000, "a number from -1000 to 1000"), "scale"),
    (optional(real(lambda number: abs(number) <= 100, "a number from -100 to 100")), "forget_bias"),
    (one_of("sequential", "random"), "sampling"),
    (one_of("RNN", "GRU", "LSTM"), "cell"),
    (flag, "plot fast bidirectional orthogonal identity frozen carries_state transpose_labels"),
    (function, "epochs model build function read cut choose distribution step"),
    (string, "question key unit"), (text, "characters"),
    (row(2), "tokens elsewhere"),
    (row(), "held_out"),
    (source, "corpus"), (optional(folder), "folder"), (run_file, "path"), (optional(run_file), "checkpoint"),
    (device, "device"), (window, "X"), (scores, "logits"), (model, "net"), (vocabulary, "vocab"),
    (batches, "train_iter"), (optional(text), "prefix"), (optimizer, "optimizer"), (optional(recipe), "recipe"),
    (optional(generator), "generator"), (optional(records), "history"),
] for name in names.split()}  # fmt: skip
