"""Whatever a reader types gets a right result or one sentence of ours, in time, and a refusal changes nothing.

`make test` draws some hundred inputs, `make fuzz` a hundred thousand of the same kinds, from another seed.
"""

import collections
import copy
import dis
import inspect
import itertools
import os
import random
import signal
import traceback
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import ipywidgets
import numpy as np
import platformdirs
import pytest
import torch
from torch import nn

import course_utils
from course_utils import RNNModel, SeqDataLoader, Vocab, predict, prediction, train, training, try_gpu
from course_utils.experiments import adaptation, layouts, losses, measuring, memory, sampling, stored, telescope, windows
from course_utils.experiments.microscope import focus
from course_utils.experiments.ribbon import corpus_ribbon
from course_utils.experiments.shapes import layer_shapes
from course_utils.experiments.stepper import repeats_every
from course_utils.experiments.unrolling import unrolled_graph
from course_utils.loaders import load_corpus_time_machine, load_data_time_machine
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential
from course_utils.widgets.guess import Guess
from course_utils.widgets.lab import FunctionLab, int_slider
from course_utils.widgets.microscope import TensorMicroscope
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.telescope import GradientTelescope
from course_utils.widgets.training_lab import TrainingLab

NUMBER, SEED = int(os.environ.get("FUZZ_INPUTS", 1_000)), int(os.environ.get("FUZZ_SEED", 0))
SECONDS = int(os.environ.get("FUZZ_SECONDS", 30))  # a call that takes longer hangs, also on a busy machine
HOME = str(Path(course_utils.__file__).parent)
VOCAB = Vocab("the time traveller wrote a quick brown fox jumps over lazy dogs and vexed zebras")
V = len(VOCAB)
TEXT = "the time traveller wrote and the quick fox jumps over the lazy dogs " * 4


def net(layer=nn.RNN, **options):
    return RNNModel(layer(V, 4, **options), V)


def loader():
    return SeqDataLoader(VOCAB[list(TEXT)], 2, 5, held_out=VOCAB[list(TEXT[:30])])


class Own(nn.Module):
    """A reader's model that fails by itself."""

    def begin_state(self, device, batch_size=1):
        return torch.zeros(1, batch_size, 4, device=device)

    def forward(self, X, state):
        raise KeyError("the reader's own")


def batch_first():
    broken = net()
    broken.rnn = nn.RNN(V, 4, batch_first=True)
    return broken


VALUES = {  # each is made anew for each call
    "number": lambda: [
        None, True, False, 0, 1, -1, 2, 3, 2.0, 2.5, 0.5, float("nan"), float("inf"), 1e300, 1e-300, 10**12, 10**40, -(10**5000),
        1 + 2j, Fraction(1, 2), Decimal("2.5"), np.uint8(16), np.int64(-1), np.uint64(2**64 - 1), np.float32(0.5),
        np.float64("nan"), np.bool_(True), np.array(3), np.array([1, 2]), np.array(["a"]), np.array([], dtype=int),
        np.datetime64("2026-01-01"), torch.tensor(3), torch.tensor(2.5), torch.tensor(True), torch.tensor([1, 2]),
        torch.tensor([1.5]), torch.tensor(0.5, requires_grad=True), torch.tensor(1, device="meta"),
    ],
    "text": lambda: [
        "", "1", "a", "the", "Zürich", "a\nb", "story", "sequential", "random", "RNN", "transpose", "x.txt", "a\0.txt",
        "~nobody-here/x.txt", "a" * 5_000 + ".txt", "\ud800.txt", b"the", Path("x.txt"), Path("/"), bytearray(b"a"),
    ],
    "collection": lambda: [
        [], [1], [[1], [2, 3]], ["a"], [None], (), (1, 2), (1, "a"), {}, {"a": 1}, {1}, range(3), iter([1]), slice(2),
        [float("nan")], [2**70], [-1], [10**6] * 40, list("the time"), {"a": (training.sgd, 1)}, {"a": None}, [object()],
    ],
    "tensor": lambda: [
        torch.zeros(2, 3), torch.zeros(0), torch.zeros(0, 2, dtype=torch.long), torch.zeros(3, dtype=torch.half),
        torch.full((V,), float("nan")), torch.full((V,), float("-inf")), torch.zeros(40, dtype=torch.bool), torch.zeros(40),
        torch.full((40,), V), torch.full((2, 5), V), torch.full((40,), -1), torch.zeros(40, device="meta"),
        torch.zeros(40, dtype=torch.cfloat), torch.zeros(40, dtype=torch.uint8), torch.eye(3).to_sparse(),
        torch.zeros(1, 2, 4), torch.zeros(1, 3, 4), np.zeros(40), np.zeros((2, 5), dtype=int), torch.zeros(2, 5),
    ],
    "thing": lambda: [
        object(), int, print, len, Ellipsis, torch.float32, torch.device("meta"), torch.device("cuda"), "cuda", "cuda:7", "gpu",
        "mps", "cpu:0", "cpu", torch.Generator(), torch.optim.SGD, random.Random(0), training.sgd, (lambda *_: None), inspect,
        training.Epoch(1, 2.0, 3.0), [training.Epoch(1, 2.0, 3.0)], ipywidgets.IntSlider(), ipywidgets.Button(),
    ],
    "model": lambda: [
        nn.RNN(V, 4), nn.RNN, RNNModel, nn.Linear(2, 2), nn.RNNCell(V, 4), nn.LSTM(V, 4, proj_size=2), net().half(),
        net().double(), batch_first(), net(nn.RNN, bidirectional=True), net(nn.LSTM), net(nn.GRU, num_layers=2), net().to("meta"),
        net().requires_grad_(False), Own(), nn.RNN(V, 4, batch_first=True), nn.RNN(3, 4), RNNModel(nn.RNN(3, 4), 3),
    ],
    "course": lambda: [VOCAB, Vocab("ab"), Vocab([]), loader(), list(loader()), torch.utils.data.DataLoader([1]), dict(a=1)],
}  # fmt: skip
FUNCTIONS = {"epochs", "model", "build", "function", "read", "cut", "choose", "distribution", "step", "recipe", "cuts", "functions"}


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Name -> (function, its arguments, made anew for each call); what takes longer is drawn less often."""
    path = tmp_path_factory.mktemp("text") / "own.txt"
    path.write_text(TEXT)
    row, other, X = torch.tensor(VOCAB[list(TEXT)]), torch.tensor(VOCAB[list(TEXT[30:90])]), torch.randint(V, (2, 5))
    small = {"vocab_size": V, "batch_size": 2, "num_steps": 5}
    read = {"tokens": row, "held_out": other}
    learn = {"train_iter": loader, "vocab": VOCAB, "lr": 0.5, "num_epochs": 1, "device": "cpu"}
    write = {"net": net, "vocab": VOCAB, "device": "cpu", "prefix": "time"}
    options = {"temperature": 1.0, "top_k": 3, "generator": torch.Generator}
    layer = nn.RNN(V, 4)
    arm = {**read, "vocab_size": V, "seed": 0, "device": "cpu", "num_epochs": 1, "lr": 0.1, "batch_size": 2, "num_hiddens": 4}
    return {
        "load_data_time_machine": (load_data_time_machine, {
            "batch_size": 2, "num_steps": 3, "sampling": "random", "max_tokens": 100, "corpus": path}),
        "load_corpus_time_machine": (load_corpus_time_machine, {"max_tokens": 10, "corpus": path}),
        "SeqDataLoader": (SeqDataLoader, {
            "corpus": row, "batch_size": 2, "num_steps": 3, "sampling": "sequential", "held_out": [1, 2]}),
        "seq_data_iter_sequential": (seq_data_iter_sequential, {"corpus": row, "batch_size": 2, "num_steps": 3}),
        "seq_data_iter_random": (seq_data_iter_random, {"corpus": row, "batch_size": 2, "num_steps": 3}),
        "Vocab": (Vocab, {"tokens": ["a", "b"]}),
        "vocab[]": (VOCAB.__getitem__, {"tokens": ["a", "b"]}),
        "to_tokens": (VOCAB.to_tokens, {"indices": [1, 2]}),
        "RNNModel": (RNNModel, {"rnn_layer": layer, "vocab_size": V}),
        "begin_state": (net().begin_state, {"device": "cpu", "batch_size": 2}),
        "forward": (net().forward, {"inputs": X, "state": torch.zeros(1, 2, 4)}),
        "train": (train, {"net": net, **learn, "plot": False, "history": list, "prefix": "time", "every": 1,
                          "recipe": lambda: training.one_cycle, "epochs": lambda: training.epochs, "fast": True}),
        "epochs": (training.epochs, {"net": net, **learn, "prefix": "time", "every": 1, "first": 1}),
        "train_epoch": (training.train_epoch, {
            "net": layer_model, "train_iter": loader, "optimizer": torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1),
            "device": "cpu"}),
        "predict": (predict, {**write, "num_preds": 3, **options}),
        "evaluate": (training.evaluate, {"net": net, "tokens": row, "device": "cpu", "row_length": 50, "num_steps": 5}),
        "baselines": (training.baselines, {**read, "vocab_size": V}),
        "choose": (prediction.choose, {"logits": torch.randn(V), **options}),
        "distribution": (prediction.distribution, {"logits": torch.randn(V), "temperature": 1.0, "top_k": 3}),
        "try_gpu": (try_gpu, {"i": 0}),
        "dependencies": (layouts.dependencies, {"layout": "none", **small, "num_hiddens": 4, "seed": 0, "device": "cpu"}),
        "axis_orders": (layouts.axis_orders, {**small, "num_hiddens": 4, "repeats": 1}),
        "train_layout": (layouts.train_layout, {
            "layout": "none", **read, **small, "transpose_labels": True, "num_hiddens": 4, "updates": 2, "lr": 0.1, "seed": 0}),
        "loss_ways": (losses.loss_ways, {"tokens": row, **small, "repeats": 1, "seed": 0}),
        "median_seconds": (measuring.median_seconds, {"functions": {"a": int}, "repeats": 2}),
        "graph_nodes": (measuring.graph_nodes, {"tensor": torch.ones(2, requires_grad=True).sum()}),
        "focus": (focus, {"read": lambda: lambda one_hot, layout: one_hot, "X": X, "vocab": VOCAB, "layout": "a", "b": 1, "t": 1}),
        "corpus_ribbon": (corpus_ribbon, {
            "cut": lambda: seq_data_iter_sequential, "num_tokens": 60, "batch_size": 2, "num_steps": 5, "seed": 0, "number": 1}),
        "layer_shapes": (layer_shapes, {
            "model": lambda: RNNModel, **small, "num_hiddens": 4, "num_layers": 1, "bidirectional": True, "cell": "GRU"}),
        "unrolled_graph": (unrolled_graph, {
            "step": lambda: lambda x, h: x @ layer.weight_ih_l0.T + h, "weight": layer.weight_ih_l0,
            "inputs": torch.zeros(3, 2, V), "hidden": torch.zeros(2, 4)}),
        "sight": (telescope.sight, {"cell": "LSTM", "num_hiddens": 4, "num_lags": 5, "draws": 1, "batch_size": 2, "seed": 0,
                                    "device": "cpu", "scale": 1.5, "orthogonal": True, "forget_bias": 1}),
        "recurrent_layer": (telescope.recurrent_layer, {"cell": "GRU", "input_size": 3, "num_hiddens": 4, "scale": 2.0,
                                                        "orthogonal": True, "seed": 1, "device": "cpu"}),
        "recall": (memory.recall, {"gap": 2, "num_hiddens": 4, "updates": 2, "lr": 0.1, "batch_size": 2, "seed": 0,
                                   "device": "cpu", "identity": True}),
        "train_arm": (sampling.train_arm, {"sampling": "random", "carries_state": False, **arm, "num_steps": 5}),
        "perplexity_by_position": (sampling.perplexity_by_position, {
            "net": net, "tokens": row, "device": "cpu", "num_steps": 5, "rows": 50}),
        "train_echo": (windows.train_echo, {"lag": 1, "num_steps": 2, "carries_state": True, "frozen": False, "updates": 1,
                                            "lr": 0.1, "outputs": 10, "seed": 0, "device": "cpu"}),
        "window_lengths": (windows.window_lengths, {
            **read, "vocab_size": V, "num_steps": (5,), "carries_state": (True,), "tokens_per_update": 10, "seeds": (0,),
            "num_epochs": 1, "num_hiddens": 4}),
        "fine_tune": (adaptation.fine_tune, {"net": net, "tokens": row, "elsewhere": other, "rates": (0.1,), "steps": (1,),
                                             "prefix_length": 5, "num_prefixes": 1, "following": 5}),
        "dynamic_evaluation": (adaptation.dynamic_evaluation, {
            "net": net, "tokens": row[:40], "elsewhere": other, "rates": (0.1,), "num_steps": 5}),
        "repeats_every": (repeats_every, {"text": "aaaa"}),
        "stored.read": (stored.read, {"name": "sampling_time_machine", "record": lambda: sampling.ArmRun}),
        "Guess": (Guess, {"key": "q", "question": "How many?", "options": lambda: ["one", "two"], "unit": "steps"}),
        "FunctionLab": (FunctionLab, {"function": lambda: picture, "num_steps": lambda: int_slider("T", 5, 1, 9)}),
        "TensorMicroscope": (TensorMicroscope, {"read": lambda: lambda one_hot, layout: one_hot, "X": X, "vocab": VOCAB}),
        "CorpusRibbon": (CorpusRibbon, {"cuts": lambda: {"a": seq_data_iter_sequential}, "characters": TEXT[:80],
                                        "batch_size": 2, "num_steps": 3}),
        "ShapeExplorer": (ShapeExplorer, {"model": lambda: RNNModel}),
        "GradientTelescope": (GradientTelescope, {"build": lambda: telescope.plain_layer}),
        "PredictionStepper": (PredictionStepper, write),
        "TrainingLab": (TrainingLab, {
            "model": lambda: RNNModel, "epochs": lambda: training.epochs, "recipes": lambda: {"a": (training.sgd, 1.0)},
            "corpus": path, "batch_size": 2, "max_tokens": 100, "prefix": "time", "seed": 0, "device": "cpu"}),
    }  # fmt: skip


def layer_model():
    return net()


def picture(num_steps):
    return course_utils.plots.lines({"a": [(1, num_steps)]})


def draw(chance, name, good):
    """Return arguments, some of them replaced, and whether the call must succeed."""
    arguments = {
        each: value() if inspect.isroutine(value) or isinstance(value, type) else copy.copy(value)
        for each, value in good.items()
    }
    way = chance.random()
    if way < 0.05:
        return arguments, True
    if way < 0.1:
        chosen = chance.choice(list(arguments))
        return {key: value for key, value in arguments.items() if key != chosen} | chance.choice([{}, {"unheard_of": 1}]), False
    if way < 0.15 and len(arguments) > 1:
        one, two = chance.sample(list(arguments), 2)
        return arguments | {one: arguments[two], two: arguments[one]}, False
    whole = [each for each, value in arguments.items() if type(value) is int]
    if way < 0.25 and whole:
        chosen = chance.choice(whole)
        kind = chance.choice([np.uint8, np.int64, torch.tensor, np.array])
        return arguments | {chosen: kind(arguments[chosen])}, True
    for chosen in chance.sample(list(arguments), min(len(arguments), chance.choice([1, 1, 1, 2]))):
        value = chance.choice(VALUES[chance.choice(list(VALUES))]())
        if chosen not in FUNCTIONS or not (callable(value) or isinstance(value, dict)):  # what a reader's function does is theirs
            arguments[chosen] = value
    return arguments, False


class Hang(BaseException):
    """Not an Exception, so that nothing that is called can take it for an error of its own."""


def stop(*_):
    raise Hang


def attempt(function, arguments):
    """Call in bounded time, read what a generator yields, and return the exception or None."""
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        result = function(**arguments)
        if inspect.isgenerator(result):
            collections.deque(itertools.islice(result, 20), maxlen=0)
    except (Exception, Hang) as error:  # noqa: BLE001 whatever it is, it is looked at
        return error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def is_ours(error):
    """Whether one line was raised on purpose: by `raise`, in the package or in a class of the reader's."""
    if isinstance(error, KeyError) and "the reader's own" in str(error):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    raised = dis.opname[frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    kinds = (ValueError, TypeError, OSError, FloatingPointError)
    return raised and frame.f_code.co_filename.startswith(HOME) and isinstance(error, kinds) and 0 < len(str(error)) < 600 \
        and "\n" not in str(error)  # fmt: skip


def state(arguments):
    """What a refusal must leave as it is."""
    nets = [each for each in arguments.values() if isinstance(each, nn.Module)]
    weights = [(name, weight.detach().to("cpu" if weight.is_meta else weight.device).clone() if not weight.is_meta else None)
               for each in nets for name, weight in each.named_parameters()]  # fmt: skip
    modes = [part.training for each in nets for part in each.modules()]
    history = [len(each) for each in arguments.values() if isinstance(each, list)]
    return weights, modes, history, torch.get_rng_state(), torch.is_grad_enabled()


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two) or bool((one.isnan() & two.isnan()).any())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


SLOW = {"train": 3, "TrainingLab": 30, "PredictionStepper": 30, "ShapeExplorer": 30, "GradientTelescope": 30, "CorpusRibbon": 30,
        "TensorMicroscope": 30, "FunctionLab": 30, "train_arm": 5, "window_lengths": 5, "train_layout": 2, "fine_tune": 3}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [
    "load_data_time_machine", "load_corpus_time_machine", "SeqDataLoader", "seq_data_iter_sequential", "seq_data_iter_random",
    "Vocab", "vocab[]", "to_tokens", "RNNModel", "begin_state", "forward", "train", "epochs", "train_epoch", "predict",
    "evaluate", "baselines", "choose", "distribution", "try_gpu", "dependencies", "axis_orders", "train_layout", "loss_ways",
    "median_seconds", "graph_nodes", "focus", "corpus_ribbon", "layer_shapes", "unrolled_graph", "sight", "recurrent_layer",
    "recall", "train_arm", "perplexity_by_position", "train_echo", "window_lengths", "fine_tune", "dynamic_evaluation",
    "repeats_every", "stored.read", "Guess", "FunctionLab", "TensorMicroscope", "CorpusRibbon", "ShapeExplorer",
    "GradientTelescope", "PredictionStepper", "TrainingLab",
])  # fmt: skip
def test_any_input(name, calls, tmp_path, monkeypatch, record_property):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    function, good = calls[name]
    chance, foreign, refused = random.Random(f"{SEED} {name}"), [], 0
    for _ in range(max(2, NUMBER // len(calls) // SLOW.get(name, 1))):
        arguments, must_succeed = draw(chance, name, good)
        before = state(arguments)
        error = attempt(function, arguments)
        refused += error is not None
        words = {each: "a long number" if type(value) is int and abs(value) > 10**20 else str(value)[:60] for each, value in arguments.items()}
        if error is not None and (must_succeed or not is_ours(error)):
            foreign.append(f"{type(error).__name__}: {error}"[:300] + f"\n    for {words}")
        elif error is not None and not isinstance(error, FloatingPointError) and not same(before, state(arguments)):
            foreign.append(f"refused, but something changed: {error}\n    for {words}")
    record_property("refused", refused)
    if foreign:
        pytest.fail(f"{len(foreign)} of {refused} refusals\n" + "\n".join(foreign[:8]), pytrace=False)
