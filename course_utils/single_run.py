"""One training as plain values: the configuration that goes in, the result that comes out, and the run between them."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import math
import os
import textwrap
import threading
import time

import torch
from torch import nn

from course_utils import corpora, training
from course_utils.checks import checked
from course_utils.devices import one_thread
from course_utils.fast import quick_layers
from course_utils.loaders import KIND, load_data_time_machine
from course_utils.models import RNNModel
from course_utils.rules import RULES, kind, one_of, optional, real, refuse, whole

RECIPES = {"book": (training.sgd, 1.0), "one cycle": (training.one_cycle, 0.01)}  # name -> recipe, its usual lr
LOOKS = 10  # a curve has about so many points
CPU = torch.device("cpu")
ALONE = threading.Lock()  # seed and number of threads belong to the whole process


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What a run is made of: plain values."""

    num_steps: int = 35  # T, tokens of a window
    num_hiddens: int = 64  # H, units of a layer
    num_layers: int = 1  # layers, one above the other
    cell: str = "RNN"  # or "GRU", "LSTM"
    sampling: str = "sequential"  # or "random"
    recipe: str = "one cycle"  # or "book": plain SGD
    lr: float | None = None  # learning rate, that of "one cycle" at its highest; None for what is usual: 0.01, or 1
    num_epochs: int = 30  # times that the training text is read
    seed: int = 0  # of torch: weights, windows, dropout
    batch_size: int = 32  # B, windows of an update
    max_tokens: int = 10_000  # tokens to train on, -1 for all
    corpus: str = "story"  # or "time_machine", "auto", the path of a .txt file
    tokens: str | None = None  # "letters", "characters" or "words"; None for what suits the text
    seconds: float | None = None  # instead of num_epochs: stop after the epoch in which so many of training are over


@dataclasses.dataclass(frozen=True)
class Result:
    """One finished run."""

    configuration: Configuration
    curve: tuple  # of (epoch, seconds of training so far, training perplexity, held-out perplexity), one for each look
    seconds: float  # of training, without reading the text and without the looks
    parameters: int  # numbers that are learnt
    sample: str | None  # what the model wrote at the last look; None if it cannot
    error: str = ""  # one line, when the run failed; the curve goes as far as the run came

    @property
    def best(self):
        """The lowest held-out perplexity of the curve; infinite if there is none."""
        return min((look[3] for look in self.curve if look[3] is not None), default=math.inf)


def as_float(rule):
    """A number by the rule, as a float: 1 and 1.0 are the same run."""
    return lambda name, value: float(rule(name, value))


Configuration.__init__ = checked(
    num_epochs=whole(1), recipe=one_of(*RECIPES), tokens=KIND, lr=optional(as_float(RULES["lr"])),
    seconds=optional(as_float(real(lambda number: 0 < number < 1e9, "a number of seconds above 0, or None"))),
    corpus=lambda name, value: os.fspath(RULES["corpus"](name, value)),
)(Configuration.__init__)  # fmt: skip


def grid(**values):
    """Return a list of `Configuration`: each value of a list with each of the others; the last name's change fastest.

    `grid(num_hiddens=[16, 64], cell=["RNN", "GRU"], num_epochs=20)` has four: a value alone is the same for all.
    """
    lists = {name: value if isinstance(value, list | tuple | range) else [value] for name, value in values.items()}
    for name, value in lists.items():
        if not value:
            refuse(name, value, "a value, or a list with something in it")
    return [Configuration(**dict(zip(lists, chosen, strict=True))) for chosen in itertools.product(*lists.values())]


@checked(configuration=kind(lambda value: isinstance(value, Configuration), "a Configuration"))
def run(configuration, model=RNNModel):
    """Train `model(layer, vocab_size)` by the course's own loop, in one thread of the CPU; return a `Result`.

    Whatever goes wrong meanwhile is the result's error. The process keeps its random numbers and its threads.
    """
    result, error = Result(configuration, (), 0.0, 0, None), ""
    with ALONE, torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()), one_thread():
        try:
            with quick_layers():
                for result in follow(configuration, model):  # noqa: B007 - the last one counts
                    pass
        except Exception as raised:  # noqa: BLE001 - a reader's model may raise anything; the row tells it
            error = one_line(raised)
    return dataclasses.replace(result, error=error)


def follow(configuration, model):
    """Yield the `Result` so far: of the new model, and after each look.

    Between two of them nothing is left switched on: whoever asks for the next one decides about quick layers.
    """
    c, curve, spent = configuration, (), 0.0
    train_iter, vocab = load(c.batch_size, c.num_steps, c.sampling, c.max_tokens, c.corpus, c.tokens, text_of(c.corpus))
    num_epochs = c.num_epochs if c.seconds is None else epochs_in(c, model, train_iter, vocab)
    net = build(c, model, vocab)
    parameters = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
    yield Result(c, curve, spent, parameters, None)
    recipe, usual_rate = RECIPES[c.recipe]
    epochs = training.epochs(net, train_iter, vocab, c.lr or usual_rate, num_epochs, CPU, recipe=recipe,
                             every=max(1, num_epochs // LOOKS))  # fmt: skip
    for record, seconds in clocked(epochs, len(train_iter) * c.batch_size * c.num_steps):
        spent += seconds
        over = c.seconds is not None and spent >= c.seconds
        seen = record.held_out_perplexity, record.sample
        if over and seen == (None, None):
            seen = training.look(net, train_iter, vocab, CPU, vocab.prefix)
        if seen != (None, None):
            curve += ((record.epoch, spent, record.perplexity, seen[0]),)
            yield Result(c, curve, spent, parameters, seen[1])
        if over:
            return


def clocked(epochs, tokens):
    """Yield each record with the seconds that this thread has computed for its `tokens`: others may have had its core.

    An epoch that takes a look takes longer than its training, so the share of the core counts, not the time itself.
    """
    start = time.perf_counter(), time.thread_time()
    for record in epochs:
        share = (time.thread_time() - start[1]) / (time.perf_counter() - start[0])
        yield record, tokens / record.tokens_per_second * min(1.0, share)
        start = time.perf_counter(), time.thread_time()


@functools.lru_cache(maxsize=32)
def load(batch_size, num_steps, sampling, max_tokens, corpus, tokens, text):
    """`load_data_time_machine`, once in a process for the same windows of the same `text`, see `text_of`."""
    return load_data_time_machine(batch_size, num_steps, sampling, max_tokens, corpus, tokens)


def build(configuration, model, vocab):
    torch.manual_seed(configuration.seed)
    layer = getattr(nn, configuration.cell)(len(vocab), configuration.num_hiddens, configuration.num_layers)
    return model(layer, len(vocab))


def epochs_in(configuration, model, train_iter, vocab):
    """Return how many epochs fill the seconds, from a trial: a recipe plans its learning rates for a known number."""
    net, taken = build(configuration, model, vocab), []
    optimizer = RECIPES[configuration.recipe][0](net, 1e-3, 4 * len(train_iter))
    for _ in range(4):
        start = time.perf_counter()
        training.train_epoch(net, train_iter, optimizer, CPU)
        taken.append(time.perf_counter() - start)
    return math.ceil(configuration.seconds / min(taken))


def text_of(corpus):
    """The fingerprint of a text: another text is another run, whatever its name."""
    return hashlib.sha256(corpora.find(corpus).path.read_bytes()).hexdigest()


def one_line(error):
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300)
