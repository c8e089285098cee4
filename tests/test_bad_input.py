"""Whatever a reader types gets a right result or one sentence of ours, in time, and a refusal changes nothing.

`make test` draws some hundred inputs, `make fuzz` a hundred thousand of the same kinds, from another seed.
"""

import collections
import copy
import dis
import inspect
import itertools
import math
import os
import random
import re
import shutil
import signal
import traceback
import types
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import ipywidgets
import numpy as np
import platformdirs
import pytest
import safetensors.torch
import torch
from torch import nn

import course_utils
from course_utils import (
    RNNModel,
    SeqDataLoader,
    Vocab,
    load_run,
    loaders,
    predict,
    prediction,
    saved_runs,
    sweep,
    text,
    train,
    training,
    try_gpu,
)
from course_utils.experiments import adaptation, layouts, losses, measuring, memory, sampling, stored, telescope
from course_utils.experiments.microscope import focus
from course_utils.experiments.ribbon import corpus_ribbon
from course_utils.experiments.shapes import layer_shapes
from course_utils.experiments.stepper import repeats_every
from course_utils.experiments.unrolling import unrolled_graph
from course_utils.experiments.windows import train_echo, window_lengths
from course_utils.widgets.guess import Guess
from course_utils.widgets.lab import FunctionLab, int_slider
from course_utils.widgets.microscope import TensorMicroscope
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.runs import Run
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.telescope import GradientTelescope
from course_utils.widgets.training_lab import TrainingLab

NUMBER, SEED = int(os.environ.get("FUZZ_INPUTS", 800)), int(os.environ.get("FUZZ_SEED", 0))
SECONDS = int(os.environ.get("FUZZ_SECONDS", 30))  # a call that takes longer hangs, also on a busy machine
HOME = str(Path(course_utils.__file__).parent)
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="nothing ends a call that hangs on Windows")
VOCAB = Vocab("the time traveller wrote a quick brown fox jumps over lazy dogs and vexed zebras")
V = len(VOCAB)
TEXT = "the time traveller wrote and the quick fox jumps over the lazy dogs " * 2


OWN_TEXT = None  # the path of a file with it, while a test runs


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


def lab_that_saves(**setting):
    """Open a lab and press its Save after a run, which is made up."""
    lab = TrainingLab(corpus=OWN_TEXT, device="cpu", **setting)
    lab.runs.append(Run(1, lab._settings(), lab._new_net(lab._settings()), state="finished"))
    lab.save.click()


# fmt: off
VALUES = {  # what a hand may type, or a cell hand over
    "number": [
        None, True, False, 0, 1, -1, 2, 3, 2.0, 2.5, 0.5, float("nan"), float("inf"), 1e300, 1e-300, 10**12, 10**40,
        -(10**5000), 1 + 2j, Fraction(1, 2), Decimal("2.5"), np.uint8(16), np.int64(-1), np.uint64(2**64 - 1),
        np.float32(0.5), np.float64("nan"), np.bool_(True), np.array(3), np.array([1, 2]), np.array(["a"]),
        np.array([]), np.datetime64("2026-01-01"), torch.tensor(3), torch.tensor(2.5), torch.tensor(True),
        torch.tensor([1, 2]), torch.tensor([1.5]), torch.tensor(0.5, requires_grad=True),
        torch.tensor(1, device="meta"),
    ],
    "text": [
        "", "1", "a", "the", "Zürich", "a\nb", "story", "sequential", "random", "RNN", "transpose", "x.txt", "a\0.txt",
        "~nobody-here/x.txt", "a" * 5_000 + ".txt", "\ud800.txt", b"the", Path("x.txt"), Path("/"), bytearray(b"a"),
    ],
    "collection": [
        [], [1], [[1], [2, 3]], ["a"], [None], (), (1, 2), (1, "a"), {}, {"a": 1}, {1}, range(3), iter([1]), slice(2),
        [float("nan")], [2**70], [-1], [10**6] * 40, list("the"), {"a": (training.sgd, 1)}, {"a": None}, [object()],
    ],
    "tensor": [
        torch.zeros(2, 3), torch.zeros(0), torch.zeros(0, 2).long(), torch.zeros(3).half(), torch.zeros(40).bool(),
        torch.full((V,), float("nan")), torch.full((V,), float("-inf")), torch.zeros(40), torch.zeros(40).byte(),
        torch.full((40,), V), torch.full((2, 5), V), torch.full((40,), -1), torch.zeros(40, device="meta"),
        torch.zeros(40, dtype=torch.cfloat), torch.eye(3).to_sparse(), torch.zeros(1, 2, 4), torch.zeros(1, 3, 4),
        np.zeros(40), np.zeros((2, 5), dtype=int), torch.zeros(2, 5),
    ],
    "thing": [
        object(), int, print, len, Ellipsis, torch.float32, torch.device("meta"), torch.device("cuda"), "cuda",
        "cuda:7", "gpu", "mps", "cpu:0", "cpu", torch.Generator(), torch.optim.SGD, random.Random(0), inspect,
        training.Epoch(1, 2.0, 3.0), [training.Epoch(1, 2.0, 3.0)], ipywidgets.IntSlider(), ipywidgets.Button(),
    ],
    "model": [
        nn.RNN(V, 4), nn.RNN, RNNModel, nn.Linear(2, 2), nn.RNNCell(V, 4), nn.LSTM(V, 4, proj_size=2), net().half(),
        net().double(), batch_first(), net(bidirectional=True), net(nn.LSTM), net(nn.GRU, num_layers=2), Own(),
        net().to("meta"), net().requires_grad_(False), nn.RNN(V, 4, batch_first=True), nn.RNN(3, 4),
        RNNModel(nn.RNN(3, 4), 3),
    ],
    "place": [
        "new.safetensors", "run.safetensors", "other.safetensors", "lab.safetensors", "truncated.safetensors",
        "empty.safetensors", "flipped.safetensors", "foreign.safetensors", "list.safetensors", "keys.safetensors",
        "folder.safetensors", "loop.safetensors", "nowhere.safetensors", "run.safetensors/a.safetensors", "runs",
        "own.txt", "run.pt", "run", ".safetensors", "RUN.SAFETENSORS", "deep/er/new.safetensors", "/proc",
        "/proc/new.safetensors", "/dev/null", "a\nb.safetensors", "a\0.safetensors", "\ud800.safetensors", " ", ".",
        "a" * 300 + ".safetensors",
        "~nobody-here/run.safetensors", "~nobody-here", Path("run.safetensors"), Path("Läufe/第一.safetensors"), b"run",
    ],
    "course": [VOCAB, Vocab("ab"), Vocab([]), loader(), list(loader()), torch.utils.data.DataLoader([1]), {"a": 1}],
}
PLACES = {"checkpoint", "path", "folder"}
FUNCTIONS = {"epochs", "model", "build", "function", "read", "cut", "step", "recipe", "cuts", "functions", "recipes"}
ROW, OTHER, X = torch.tensor(VOCAB[list(TEXT)]), torch.tensor(VOCAB[list(TEXT[30:90])]), torch.randint(V, (2, 5))
LAYER = nn.RNN(V, 4)
CUT = {"batch_size": 2, "num_steps": 3}
SMALL = {"batch_size": 2, "num_steps": 5, "vocab_size": V}
READ = {"tokens": ROW, "held_out": OTHER}
LEARN = {"net": net, "train_iter": loader, "vocab": VOCAB, "lr": 0.5, "num_epochs": 1, "device": "cpu"}
WRITE = {"net": net, "vocab": VOCAB, "device": "cpu", "prefix": "time"}
PICK = {"temperature": 1.0, "top_k": 3}
SEEDED = {"seed": 0, "device": "cpu"}
ARM = {**READ, "vocab_size": V, "num_epochs": 1, "num_hiddens": 4, "lr": 0.1}
CALLS = {  # name -> (weight: how often it is drawn, function, its arguments; a function makes one anew for each call)
    "load_data_time_machine": (30, loaders.load_data_time_machine, {
        **CUT, "sampling": "random", "max_tokens": 100, "corpus": lambda: OWN_TEXT, "tokens": "letters"}),
    "load_corpus_time_machine": (30, loaders.load_corpus_time_machine, {
        "max_tokens": 10, "corpus": lambda: OWN_TEXT, "tokens": "words"}),
    "SeqDataLoader": (60, SeqDataLoader, {**CUT, "corpus": ROW, "sampling": "sequential", "held_out": [1, 2]}),
    "seq_data_iter_sequential": (40, text.seq_data_iter_sequential, {**CUT, "corpus": ROW}),
    "seq_data_iter_random": (40, text.seq_data_iter_random, {**CUT, "corpus": ROW}),
    "Vocab": (20, Vocab, {"tokens": ["a", "b"]}),
    "vocab[]": (20, VOCAB.__getitem__, {"tokens": ["a", "b"]}),
    "to_tokens": (20, VOCAB.to_tokens, {"indices": [1, 2]}),
    "RNNModel": (60, RNNModel, {"rnn_layer": LAYER, "vocab_size": V}),
    "begin_state": (60, net().begin_state, {"device": "cpu", "batch_size": 2}),
    "forward": (60, net().forward, {"inputs": X, "state": torch.zeros(1, 2, 4)}),
    "train": (10, train, {**LEARN, "plot": False, "history": list, "prefix": "time", "every": 1, "fast": False,
                          "recipe": lambda: training.one_cycle, "epochs": lambda: training.epochs}),
    "train(checkpoint)": (10, train, {
        **LEARN, "checkpoint": "new.safetensors", "plot": False, "history": list,
        "recipe": lambda: training.one_cycle}),
    "load_run": (40, load_run, {"path": "run.safetensors", "net": net}),
    "epochs": (10, training.epochs, {**LEARN, "prefix": "time", "every": 1, "first": 1}),
    "train_epoch": (10, training.train_epoch, {
        "net": net, "train_iter": loader, "device": "cpu", "optimizer": lambda: training.sgd(net(), 0.1, 1)}),
    "predict": (40, predict, {**WRITE, **PICK, "num_preds": 3, "generator": torch.Generator}),
    "evaluate": (20, training.evaluate, {"net": net, "tokens": ROW, "device": "cpu", "row_length": 50, "num_steps": 5}),
    "baselines": (40, training.baselines, {**READ, "vocab_size": V}),
    "choose": (60, prediction.choose, {**PICK, "logits": torch.randn(V), "generator": torch.Generator}),
    "distribution": (60, prediction.distribution, {**PICK, "logits": torch.randn(V)}),
    "try_gpu": (20, try_gpu, {"i": 0}),
    "dependencies": (5, layouts.dependencies, {**SMALL, **SEEDED, "layout": "none", "num_hiddens": 4}),
    "axis_orders": (5, layouts.axis_orders, {**SMALL, "num_hiddens": 4, "repeats": 1}),
    "train_layout": (5, layouts.train_layout, {
        **SMALL, **READ, "layout": "none", "transpose_labels": True, "num_hiddens": 4, "updates": 2, "lr": 0.1}),
    "loss_ways": (10, losses.loss_ways, {**SMALL, "tokens": ROW, "repeats": 1, "seed": 0}),
    "median_seconds": (10, measuring.median_seconds, {"functions": lambda: {"a": int}, "repeats": 2}),
    "graph_nodes": (10, measuring.graph_nodes, {"tensor": lambda: torch.ones(2, requires_grad=True).sum()}),
    "focus": (10, focus, {"read": lambda: lambda one_hot, layout: one_hot, "X": X, "vocab": VOCAB, "layout": "a",
                          "b": 1, "t": 1}),
    "corpus_ribbon": (20, corpus_ribbon, {
        **CUT, "cut": lambda: text.seq_data_iter_sequential, "num_tokens": 60, "seed": 0, "number": 1}),
    "layer_shapes": (20, layer_shapes, {
        **SMALL, "model": lambda: RNNModel, "num_hiddens": 4, "num_layers": 1, "bidirectional": True, "cell": "GRU"}),
    "unrolled_graph": (10, unrolled_graph, {
        "step": lambda: lambda x, h: x @ LAYER.weight_ih_l0.T + h, "weight": lambda: LAYER.weight_ih_l0,
        "inputs": torch.zeros(3, 2, V), "hidden": torch.zeros(2, 4)}),
    "sight": (5, telescope.sight, {**SEEDED, "cell": "LSTM", "num_hiddens": 4, "num_lags": 5, "draws": 1,
                                    "batch_size": 2, "scale": 1.5, "orthogonal": True, "forget_bias": 1}),
    "recurrent_layer": (20, telescope.recurrent_layer, {
        **SEEDED, "cell": "GRU", "input_size": 3, "num_hiddens": 4, "scale": 2.0, "orthogonal": True}),
    "recall": (4, memory.recall, {
        **SEEDED, "gap": 2, "num_hiddens": 4, "updates": 2, "lr": 0.1, "batch_size": 2, "identity": True}),
    "train_arm": (1, sampling.train_arm, {**ARM, **CUT, **SEEDED, "sampling": "random", "carries_state": False}),
    "window_lengths": (1, window_lengths, {
        **ARM, "num_steps": (5,), "carries_state": (True,), "tokens_per_update": 10, "seeds": (0,)}),
    "perplexity_by_position": (10, sampling.perplexity_by_position, {
        "net": net, "tokens": ROW, "device": "cpu", "num_steps": 5, "rows": 50}),
    "train_echo": (4, train_echo, {**SEEDED, "lag": 1, "num_steps": 2, "carries_state": True, "frozen": False,
                                   "updates": 1, "lr": 0.1, "outputs": 10}),
    "fine_tune": (2, adaptation.fine_tune, {
        "net": net, "tokens": ROW, "elsewhere": OTHER, "rates": (0.1,), "steps": (1,), "prefix_length": 5,
        "num_prefixes": 1, "following": 5}),
    "dynamic_evaluation": (2, adaptation.dynamic_evaluation, {
        "net": net, "tokens": ROW[:40], "elsewhere": OTHER, "rates": (0.1,), "num_steps": 5}),
    "repeats_every": (20, repeats_every, {"text": "aaaa"}),
    "stored.read": (20, stored.read, {"name": "sampling_time_machine", "record": lambda: sampling.ArmRun}),
    "Configuration": (20, sweep.Configuration, {
        **CUT, "num_hiddens": 4, "num_layers": 1, "cell": "GRU", "sampling": "random", "recipe": "book", "lr": 0.1,
        "num_epochs": 1, "seed": 0, "max_tokens": -1, "corpus": "story", "tokens": "words", "seconds": 2.5}),
    "grid": (20, sweep.grid, {
        "num_hiddens": [4, 8], "cell": ("RNN", "GRU"), "seed": range(2), "lr": 1, "corpus": "story"}),
    "Guess": (5, Guess, {"key": "q", "question": "How many?", "options": lambda: ["one", "two"], "unit": "steps"}),
    "FunctionLab": (1, FunctionLab, {"function": lambda: picture, "num_steps": lambda: int_slider("T", 5, 1, 9)}),
    "TensorMicroscope": (1, TensorMicroscope, {
        "read": lambda: lambda one_hot, layout: one_hot, "X": X, "vocab": VOCAB}),
    "CorpusRibbon": (1, CorpusRibbon, {
        **CUT, "cuts": lambda: {"a": text.seq_data_iter_sequential}, "characters": TEXT[:80]}),
    "ShapeExplorer": (1, ShapeExplorer, {"model": lambda: RNNModel}),
    "GradientTelescope": (1, GradientTelescope, {"build": lambda: telescope.plain_layer}),
    "PredictionStepper": (1, PredictionStepper, WRITE),
    "TrainingLab": (1, TrainingLab, {
        **SEEDED, "model": lambda: RNNModel, "epochs": lambda: training.epochs, "batch_size": 2, "max_tokens": 100,
        "recipes": lambda: {"a": (training.sgd, 1.0)}, "corpus": lambda: OWN_TEXT, "prefix": "time"}),
    "TrainingLab(folder)": (2, lab_that_saves, {"folder": "runs", "batch_size": 2, "max_tokens": 100}),
}
# fmt: on
WEIGHTS = sum(weight for weight, *_ in CALLS.values())


def picture(num_steps):
    return course_utils.plots.lines({"a": [(1, num_steps)]})


def draw(chance, good):
    """Return arguments, some of them replaced, and whether the call must succeed."""
    makers = (types.FunctionType, type)
    arguments = {name: value() if isinstance(value, makers) else value for name, value in good.items()}
    way, whole = chance.random(), [name for name, value in arguments.items() if type(value) is int and value >= 0]
    if way < 0.05:
        return arguments, True
    if way < 0.15 and whole:
        kind, name = chance.choice([np.uint8, np.int64, torch.tensor, np.array]), chance.choice(whole)
        return arguments | {name: kind(arguments[name])}, True
    if way < 0.2:
        arguments.pop(chance.choice(list(arguments)))
        return arguments | chance.choice([{}, {"unheard_of": 1}]), False
    values = [name for name in arguments if name not in FUNCTIONS]  # what a function of the reader's does is theirs
    if way < 0.25 and len(values) > 1:
        one, two = chance.sample(values, 2)
        return arguments | {one: arguments[two], two: arguments[one]}, False
    often = [*arguments, *sorted(PLACES & arguments.keys()) * 4]
    for name in chance.sample(often, min(len(arguments), chance.choice([1, 1, 1, 2]))):
        kind = "place" if name in PLACES and chance.random() < 0.8 else chance.choice(list(VALUES))
        value = chance.choice(VALUES[kind])
        if name in values or not (callable(value) or isinstance(value, dict)):
            arguments[name] = copy.deepcopy(value) if isinstance(value, nn.Module | torch.Tensor | list) else value
    return arguments, False


class Hang(BaseException):
    """Not an Exception, so that nothing that is called takes it for an error of its own."""


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
    """Whether it is one line that a `raise` of the package says on purpose, or the error of a function of the reader's.

    The last frame alone does not tell: what is written in C has none.
    """
    if isinstance(error, Hang):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    codes = [frame.f_code for frame in frames]
    if any(code.co_filename == __file__ and code.co_name in ("forward", "<lambda>") for code in codes):
        return True
    on_purpose = dis.opname[codes[-1].co_code[last.tb_lasti]] == "RAISE_VARARGS"
    one_line = isinstance(error, ValueError | TypeError | OSError | FloatingPointError) and "\n" not in str(error)
    return on_purpose and one_line and 20 < len(str(error)) < 500 and codes[-1].co_filename.startswith(HOME)


def state(arguments):
    """What a refusal must leave as it is."""
    nets = [value for value in arguments.values() if isinstance(value, nn.Module)]
    weights = [weight.detach().clone() for each in nets for weight in each.parameters() if not weight.is_meta]
    modes = [part.training for each in nets for part in each.modules()]
    lengths = [len(value) for value in arguments.values() if isinstance(value, list)]
    files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    return [*weights, torch.get_rng_state()], (modes, lengths, torch.is_grad_enabled(), files)


def clear(folder):
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def changed(before, after):
    return before[1] != after[1] or not all(map(torch.equal, before[0], after[0]))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with runs and with what is none, under the names in `VALUES`."""
    folder = tmp_path_factory.mktemp("places")
    for name, layer in {"run": nn.RNN, "other": nn.GRU}.items():
        learn = LEARN | {"net": net(layer), "train_iter": loader(), "recipe": training.one_cycle}
        train(**learn, plot=False, checkpoint=folder / f"{name}.safetensors")
    good, tensors = (folder / "run.safetensors").read_bytes(), {"a": torch.ones(2)}
    middle = len(good) // 2
    contents = {
        "truncated": good[:middle],
        "empty": b"",
        "flipped": good[:middle] + bytes([good[middle] ^ 16]) + good[middle + 1 :],
        "foreign": safetensors.torch.save(tensors, {"format": "pt"}),
        "list": safetensors.torch.save(tensors, {saved_runs.ENTRY: "[1]"}),
        "keys": safetensors.torch.save(tensors, {saved_runs.ENTRY: '{"model": {}}'}),
    }
    (folder / "runs").mkdir()
    for name, content in contents.items():
        (folder / f"{name}.safetensors").write_bytes(content)
        (folder / f"runs/run-{name}.safetensors").write_bytes(content)
    (folder / "folder.safetensors").mkdir()
    (folder / "loop.safetensors").symlink_to("loop.safetensors")
    (folder / "nowhere.safetensors").symlink_to("nowhere/at/all.safetensors")
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_any_input(name, tmp_path, monkeypatch, places):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    monkeypatch.setitem(globals(), "OWN_TEXT", tmp_path / "own.txt")
    (tmp_path / "own.txt").write_text(TEXT)
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    weight, function, good = CALLS[name]
    chance, wrong, refused = random.Random(f"{SEED} {name}"), [], 0
    for _ in range(max(3, NUMBER * weight // WEIGHTS)):
        if PLACES & good.keys():  # as nobody has left anything there
            clear(here)
            shutil.copytree(places, here, symlinks=True, dirs_exist_ok=True)
        arguments, must_succeed = draw(chance, good)
        before = state(arguments)
        error = attempt(function, arguments)
        refused += error is not None
        if error is not None and (must_succeed or not is_ours(error)):
            wrong.append(f"{type(error).__name__}: {error}"[:300] + f"\n    for {shown(arguments)}")
        elif error is not None and not isinstance(error, FloatingPointError) and changed(before, state(arguments)):
            wrong.append(f"refused, but something changed: {error}\n    for {shown(arguments)}")
    print(f"{name}: {NUMBER * weight // WEIGHTS} inputs, {refused} refused, {len(wrong)} in a wrong way")
    if wrong:
        pytest.fail("\n".join([f"{len(wrong)} of {refused} refusals, such as:", *wrong[:8]]), pytrace=False)


def shown(arguments):
    return {name: type(value) if type(value) is int and abs(value) > 10**20 else str(value)[:60]
            for name, value in arguments.items()}  # fmt: skip


def epoch(**changed):
    return list(training.epochs(**{**LEARN, "net": net(), "train_iter": loader(), **changed}))


def write(**changed):
    return predict(**{**WRITE, "net": net(), "num_preds": 3, **changed})


def load(**changed):
    return loaders.load_data_time_machine(**{"batch_size": 2, "num_steps": 3, "corpus": "story", **changed})


def lacking(thing, name):
    delattr(thing, name)
    return thing


def shortened():
    batches = loader()
    batches.corpus = batches.corpus[:3]
    return batches


def without_gradients():
    with torch.no_grad():
        epoch()


@pytest.mark.parametrize(("call", "words"), [
    (lambda: epoch(num_epochs=2.0), "num_epochs is 2.0; it must be a whole number of at least 0"),
    (lambda: epoch(num_epochs=-1), "num_epochs is -1; it must be a whole number of at least 0"),
    (lambda: epoch(every=0), "every is 0; it must be a whole number of at least 1"),
    (lambda: epoch(lr="1"), "lr is '1'; it must be a number above 0"),
    (lambda: epoch(lr=0), "lr is 0; it must be a number above 0"),
    (lambda: epoch(lr=math.nan), "lr is nan; it must be a number above 0"),
    (lambda: epoch(train_iter=[1]), "train_iter does not say whether it carries_state; load it with load_data_time_ma"),
    (lambda: epoch(vocab={"a": 1}), "vocab is {'a': 1}; it must be a Vocab"),
    (lambda: epoch(vocab=Vocab("a")), "the model knows 28 tokens, the vocabulary has 2"),
    (lambda: epoch(net=net().half()), "weights of torch.float16, but reads torch.float32; call net.float()"),
    (lambda: epoch(net=batch_first()), "batch_first=True, and RNNModel reads (T, B, V)"),
    (lambda: epoch(net=RNNModel), "net is the class RNNModel; it must be a model"),
    (lambda: epoch(net=net().requires_grad_(False)), "call net.requires_grad_(True)"),
    (lambda: epoch(recipe=lambda *_: None), "optimizer is None; it must be an optimiser: let the recipe return"),
    (lambda: epoch(recipe=torch.optim.SGD), "recipe is the class SGD; it must be a function (net, lr, num_updates)"),
    (lambda: epoch(recipe="adam"), "recipe is 'adam'; it must be a function (net, lr, num_updates) such as training."),
    (lambda: epoch(prefix="Time"), "the prefix has characters that the vocabulary does not know, ['T']"),
    (lambda: epoch(train_iter=SeqDataLoader([V] * 40, 2, 3)), "train_iter holds the token 28, but the last one is 27"),
    (lambda: epoch(net=RNNModel(nn.RNN(5, 4), 5)), "the model knows 5 tokens, the vocabulary has 28"),
    (lambda: epoch(train_iter=SeqDataLoader([1] * 40, 2, 3, held_out=[V])), "held_out holds the token 28, but the"),
    (lambda: epoch(train_iter=lacking(loader(), "held_out")), "train_iter has no held_out; load it with load_data"),
    (lambda: epoch(train_iter=shortened()), "train_iter has no batch; load it with load_data_time_machine"),
    (lambda: epoch(net=lacking(net(), "num_directions"), prefix="Time"), "does not know, ['T']"),
    (lambda: epoch(num_epochs=2**31), "num_epochs is 2147483648; it must be at most 2,147,483,647"),
    (lambda: epoch(unheard_of=1), "argument 'unheard_of'; its arguments are net, train_iter, vocab, lr, num_epochs, d"),
    (without_gradients, "gradients are switched off; call torch.set_grad_enabled(True)"),
    (lambda: epoch(device="cuda:99"), "device is 'cuda:99'; it must be another one, as torch finds"),
    (lambda: write(top_k=2.5), "top_k is 2.5; it must be a whole number"),
    (lambda: write(top_k=0), "top_k is 0; it must be a whole number of at least 1, or None"),
    (lambda: write(temperature=-0.1), "temperature is -0.1; it must be 0 (greedy) or a number in 1e-6 to"),
    (lambda: write(temperature=math.nan), "temperature is nan"),
    (lambda: write(temperature=math.inf), "temperature is inf"),
    (lambda: write(temperature=1.0, generator=torch.zeros(1)), "it must be a torch.Generator() on the CPU"),
    (lambda: prediction.choose(torch.zeros(2, 3), 1.0, None), "(2, 3) and torch.float32; it must be a tensor (V)"),
    (lambda: prediction.choose(torch.zeros(3).long(), 1.0, None), "logits is a tensor of shape (3,) and torch.int64;"),
    (lambda: prediction.choose(torch.zeros(0), 1.0, None), "one score for each token"),
    (lambda: prediction.choose(torch.tensor([0.0, math.nan]), 1.0, None), "logits has values that are no finite"),
    (lambda: write(num_preds=-1), "num_preds is -1; it must be a whole number of at least 0"),
    (lambda: write(prefix=""), "the prefix is empty"),
    (lambda: write(prefix=[]), "the prefix is empty"),
    (lambda: write(prefix="Time"), "does not know, ['T']; it knows ' abcde"),
    (lambda: write(prefix="zélé\n1895:1"), r"does not know, ['\n', '1', '5', '8', '9', ':', 'é']"),
    (lambda: write(net=net(bidirectional=True)), "a bidirectional model cannot predict"),
    (lambda: predict(None, 3, net(), VOCAB, "cpu"), "prefix is None; it must be a text"),
    (lambda: RNNModel(nn.RNN(V, 4, batch_first=True), V), "batch_first=True, and RNNModel reads (T, B, V)"),
    (lambda: RNNModel(nn.RNN(3, 4), V), "rnn_layer reads 3 numbers a step, vocab_size is 28"),
    (lambda: net().begin_state(2, "cpu"), "device is 2; it must be"),
    (lambda: net()(torch.tensor([[V]]), torch.zeros(1, 1, 4)), "inputs holds the token 28, but the last one is 27;"),
    (lambda: net()(X, torch.zeros(1, 3, 4)), "state is (1, 3, 4), for these inputs it must be (1, 2, 4)"),
    (lambda: loaders.load_data_time_machine(2, 3, corpus=None), 'corpus is None; it must be "auto", "time_machine"'),
    (lambda: load(max_tokens=0), "has 0 tokens"),
    (lambda: VOCAB.to_tokens([1, 99]), "it must be a whole number from 0 to 27"),
    (lambda: VOCAB.to_tokens([0, "a"]), "it must be a whole number from 0 to 27"),
    (lambda: VOCAB[{"a": 1}], "a token is {'a': 1}; it must be a string"),
    (lambda: VOCAB[[["a"], {}]], "a token is ['a']; it must be a string"),
    (lambda: Vocab([["a"]]), "a token is ['a']; it must be a string, or the tokens one list of strings"),
    (lambda: layer_shapes(RNNModel, 0, 3, 7, 4), "num_steps is 0; it must be"),
    (lambda: layer_shapes(RNNModel, 5, 0, 7, 4), "batch_size is 0; it must be"),
    (lambda: layer_shapes(RNNModel, 5, 3, -1, 4), "vocab_size is -1; it must be"),
    (lambda: layer_shapes(RNNModel, 5, 3, 7, 0), "num_hiddens is 0; it must be"),
    (lambda: layer_shapes(RNNModel, 5, 3, 7, 4, 0), "num_layers is 0; it must be"),
    (lambda: layer_shapes(RNNModel, 5, 3, 7, 4, cell="Elman"), 'cell is \'Elman\'; it must be "RNN", "GRU" or "LSTM"'),
    (lambda: telescope.sight("RNN", 8, 1_001), "num_lags is 1001; it must be at most 1,000"),
    (lambda: telescope.sight("RNN", 8, 3, scale="x"), "scale is 'x'; it must be a number from -1000 to 1000"),
    (lambda: telescope.recurrent_layer("RNN", 5, 8, forget_bias=1), "only an LSTM has a forget gate"),
    (lambda: telescope.recurrent_layer("GRU", 5, 8, forget_bias=0.0), "only an LSTM has a forget gate"),
    (lambda: telescope.recurrent_layer("LSTM", 5, 8, identity=True), "identity is for an RNN"),
    (lambda: telescope.recurrent_layer("RNN", 5, 8, identity=True, orthogonal=True), "leave one of them out"),
    (lambda: corpus_ribbon(text.seq_data_iter_random, 100, 2, 5, number=0), "number is 0; it must be a whole number"),
    (lambda: corpus_ribbon(text.seq_data_iter_random, -1, 1, 1), "num_tokens is -1; it must be a whole number of at"),
    (lambda: layouts.dependencies("sideways"), '"transpose", "batch_first", "none" or "reshape"'),
    (lambda: layouts.dependencies("none", batch_size=65), "batch_size is 65; it must be at most 64"),
    (lambda: layouts.dependencies("none", num_steps=65), "num_steps is 65; it must be at most 64"),
    (lambda: losses.loss_ways(ROW, 0), "vocab_size is 0; it must be a whole number of at least 1"),
    (lambda: losses.loss_ways(ROW, 10_001), "vocab_size is 10001; it must be at most 10,000"),
    (lambda: window_lengths(ROW, ROW, V, seeds=(-1,)), "each of seeds is -1; it must be a whole number of at least 0"),
    (lambda: adaptation.read_and_train(net(), ROW, -0.5), "lr is -0.5; it must be a number of at least 0"),
    (lambda: adaptation.read_and_train(net(), ROW[:20], 0.1), "a text of 20 tokens has no window of 20 steps"),
    (lambda: training.baselines([], ROW, V), "tokens has 0 tokens; it must have at least 1"),
    (lambda: training.baselines(ROW, [1], V), "held_out has 1 tokens; it must have at least 2"),
    (lambda: FunctionLab(lambda layout: layout, layout=int_slider("T", 5, 1, 9)), "a control is named 'layout'"),
    (lambda: Guess("q", "How many?", (3, 1)), "options is (3, 1); it must be a list of answers, or (low, high)"),
])  # fmt: skip
def test_one_sentence_says_it(call, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as refusal:
        call()
    assert is_ours(refusal.value)


def test_what_a_layer_of_the_readers_raises_stays_as_it_is():
    class Failing(nn.RNN):
        def forward(self, *arguments):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        RNNModel(Failing(V, 4), V)(X, torch.zeros(1, 2, 4))


@pytest.mark.parametrize(("name", "limit", "values"), [
    ("batch_size", "a whole number of at least 1", [0, -1, 2.0, 2.5, "32", None, True, math.nan, [32]]),
    ("num_steps", "a whole number of at least 1", [0, -1, 2.0, 2.5, "32", None, True, math.nan, [32]]),
    ("max_tokens", "a whole number of at least -1, or -1 for the whole text", [-2, 1e4, None, "10000", True]),
    ("sampling", '"sequential" or "random"', ["sequence", "Random", True, False, None, 0]),
    ("tokens", '"letters", "characters" or "words"', ["letter", "", ["words"], 0, True]),
])  # fmt: skip
def test_every_wrong_value_is_shown_with_its_limit(name, limit, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} is {re.escape(repr(value))}; it must be {limit}$"):
            load(**{name: value})


def test_small_numbers_of_numpy_and_large_ones_of_python_do_not_overflow():
    batches = SeqDataLoader(range(600), np.uint8(16), np.uint8(16))
    assert len(batches) == len(list(batches)) == 2
    assert len(adaptation.fine_tune(net(), ROW, OTHER, (2**70,), (1,), 5, 1, 5)) == 2
    exact, plain = (telescope.sight("RNN", 8, 3, draws=1, scale=scale) for scale in (Decimal("2.5"), 2.5))
    assert exact == plain


def test_a_sentence_from_inside_a_library_is_not_ours_and_a_hang_is_seen(monkeypatch):
    assert not is_ours(attempt(torch.arange, {"end": "x"}))
    assert not is_ours(attempt(inspect.unwrap(prediction.distribution), {"logits": [1.0]}))
    monkeypatch.setitem(globals(), "SECONDS", 1)
    assert isinstance(attempt(lambda: any(False for _ in itertools.count()), {}), Hang)
