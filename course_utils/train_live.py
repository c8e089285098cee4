"""`train`: the training loop with a picture that grows while you watch.

The loop itself is `training.epochs`; this module only consumes what it yields.
"""

import contextlib
import copy
import itertools
import signal
import threading
import time
from datetime import datetime

from IPython.display import Image, display

from course_utils import plots, training
from course_utils.checkpoints import Checkpoint
from course_utils.checks import check_training, checked
from course_utils.devices import ThreadWatch, describe
from course_utils.fast import quick_layers
from course_utils.language import say
from course_utils.loaders import bits_per_character, opening, tokens_per_character
from course_utils.plots.fonts import caption

SECONDS_BETWEEN_PICTURES = 0.7
WORSE_THAN_GUESSING = 2  # times the vocabulary's size, which is the perplexity of even guessing


class LivePlot:
    """One picture in the notebook, updated in place at most every 0.7 seconds."""

    def __init__(self, baselines, last_epoch):
        self.curves = plots.TrainingCurves(baselines, last_epoch)
        self.curves.draw([], caption("getting ready"))
        self.handle = display(Image(self.curves.picture.quick_png()), display_id=True)
        self.last_drawn = time.perf_counter()

    def update(self, history, title, now=False):
        """Redraw if the last picture is old enough, or at once and with all care with `now`.

        PNG bytes, always of the same size: pyplot, once imported, crops figures to their contents, and they jump.
        """
        if now or time.perf_counter() - self.last_drawn >= SECONDS_BETWEEN_PICTURES:
            if self.handle is not None:  # outside a notebook there is nothing to update
                picture = self.curves.draw(history, title)
                self.handle.update(Image(picture.png() if now else self.curves.picture.quick_png()))
            self.last_drawn = time.perf_counter()

    def finish(self, history, title):
        """Draw the last picture; an interrupt in here has nothing left to stop."""
        for _ in range(2):
            with contextlib.suppress(KeyboardInterrupt):
                return self.update(history, title, now=True)


class OneStop:
    """A handler of interrupts: the first one raises KeyboardInterrupt, the impatient ones after it do nothing."""

    heard = False

    def __call__(self, *signal_and_frame):
        if not self.heard:
            self.heard = True
            raise KeyboardInterrupt


class LastGood:
    """The weights after the last epoch that was no worse than guessing, for a training that diverges."""

    def __init__(self, net, vocab_size):
        self.net, self.vocab_size, self.when = net, vocab_size, "before the training"
        self.weights = copy.deepcopy(net.state_dict())

    def see(self, record):
        """Keep the weights that an epoch ended with, if it was a good one."""
        if good(record, self.vocab_size) and sum(weight.detach().sum() for weight in self.net.parameters()).isfinite():
            self.weights, self.when = copy.deepcopy(self.net.state_dict()), f"epoch {record.epoch}"

    def put_back(self, error, history):
        """Give the model these weights again; the error gets the records, and says so."""
        self.net.load_state_dict(self.weights)
        error.history = history
        error.add_note(f"The model has the weights of {self.when} again; the records are in the error's `history`.")


@contextlib.contextmanager
def on_interrupt(handler):
    """Call `handler` when the kernel is interrupted in here; between two cells the kernel would ignore it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@checked()
def train(net, train_iter, vocab, lr, num_epochs, device, *, plot=True, history=None, prefix=None,
          every=10, recipe=None, epochs=training.epochs, fast=True, checkpoint=None):  # fmt: skip
    """Train `net` in place with clipped gradients, showing training and held-out perplexity live.

    Interrupting the cell keeps the model and the records so far. Calling again goes on with the model; pass the
    returned `history` to go on with the curves too.

    Args:
        net: a model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`.
        train_iter, vocab: what `load_data_time_machine` returned.
        lr: learning rate; the book's recipe uses 1, `training.one_cycle` does well with 0.01.
        history: the records of an earlier call, to be continued.
        prefix: start of the sample that is written on the way; None for one from the text.
        every: look at the held-out text and write a sample every so many epochs.
        recipe: None for the book's, `training.one_cycle`, or a function of yours with the arguments of `training.sgd`.
            A second call begins a new cycle.
        epochs: the training loop, a generator function with the arguments of `training.epochs`; hand over your own.
        fast: let torch's recurrent layers compute in the quicker way of `course_utils.fast` where there is one.
        checkpoint: a file such as "run.safetensors", written every few seconds and at the end. The same call with a new
            model goes on where the file's run stopped. `load_run` reads it.

    Returns:
        A list of `training.Epoch` records.

    Raises:
        ValueError: an argument is out of range, or the checkpoint is another run's.
        FloatingPointError: the loss became infinite or undefined; the learning rate is too large. The model gets the
            weights of its last good epoch back, and the error has the records as its attribute `history`.
    """
    check_training(net, train_iter, vocab, lr, num_epochs, every, recipe, prefix)  # before anything is drawn
    history = [] if history is None else history
    prefix = opening(vocab, train_iter) if prefix is None else prefix
    first, disk = history[-1].epoch + 1 if history else 1, None
    if checkpoint is not None:
        recipe = training.sgd if recipe is None and epochs is training.epochs else recipe  # a reader's loop has its own
        disk = Checkpoint(checkpoint, net, train_iter, vocab, lr, num_epochs, device, recipe, history)
        recipe, first, num_epochs = disk.recipe, disk.first, disk.left
    last, rest = first + num_epochs - 1, {"recipe": recipe, "prefix": prefix, "every": every, "first": first}
    run = () if disk and disk.finished else epochs(net, train_iter, vocab, lr, num_epochs, device, **rest)
    follow_to_the_end(run, history, net=net, train_iter=train_iter, vocab=vocab, lr=lr, device=device,
                      epochs=(first, last), plot=plot, fast=fast, disk=disk)  # fmt: skip
    ends = summary(history, device), bits(history, train_iter, vocab), diverged(history, len(vocab), lr)
    print(*filter(None, ends), sep="\n")
    return history


def follow_to_the_end(run, history, *, net, train_iter, vocab, lr, device, epochs, plot, fast, disk):
    """Consume the epochs, from the first to the last of `epochs`; however they end, records and good weights stay."""
    live, kept, ended, stop = None, LastGood(net, len(vocab)), "failed", OneStop()
    with on_interrupt(stop):
        try:
            live = LivePlot(counted(train_iter, vocab), epochs[1]) if plot else None
            with quick_layers() if fast else contextlib.nullcontext(), disk or contextlib.nullcontext():
                for record in follow(run, history, *epochs, device, live):
                    stop.heard = False  # a loop that goes on after an interrupt can be interrupted again
                    kept.see(record)
                    if disk:
                        disk.keep()
            ended = "diverged" if diverged(history, len(vocab), lr) else "finished"
        except KeyboardInterrupt:
            ended = "stopped"
            last = history[-1].epoch if history else 0
            print(say("Stopped after epoch {last}; the model and its history are kept.", last=last))
        except FloatingPointError as error:
            ended = "diverged"
            kept.put_back(error, history)
            raise
        finally:
            stop.heard = True  # what is left to do is quickly done
            if disk:
                disk.write()
            if live:
                live.finish(history, closing(ended, history))


def follow(run, history, first, last, device, live):
    """Yield each record once it is in the history; afterwards draw it, and watch the speed."""
    threads, start = ThreadWatch(device), time.perf_counter()
    for record in run:
        history.append(record)
        yield record
        threads.see(record.tokens_per_second)
        if live:
            live.update(history, progress(record, first, last, time.perf_counter() - start))


def progress(record, first, last, seconds):
    """One line: how far the run is and how many seconds are left."""
    done = record.epoch - first + 1
    left = seconds / done * (last - record.epoch)
    return caption("running, epoch {done} of {last}, about {left:.0f} s left, {speed:,.0f} tokens/s",
                   done=record.epoch, last=last, left=left, speed=record.tokens_per_second)  # fmt: skip


def reached(history, words, text):
    """What the training reached, `text` for the last epoch, short enough for a title; `words` is `say` or `caption`."""
    if not history:
        return words("no epoch was finished")
    seen = words(text, last=history[-1])
    looked = [record.held_out_perplexity for record in history if record.held_out_perplexity is not None]
    return seen + words(", {unseen:.3g} on held-out text", unseen=looked[-1]) if looked else seen


def closing(ended, history):
    """The last title: how the training ended, and when, so that a page that was closed meanwhile shows what is old."""
    what = reached(history, caption, "epoch {last.epoch}: {last.perplexity:.3g} on training text")  # see the axis
    return caption("{ended} {now:%H:%M}, {what}", ended=caption(ended), now=datetime.now(), what=what)


def summary(history, device):
    """Two short lines: what the training reached, and how fast (the median epoch)."""
    what = reached(history, say, "epoch {last.epoch}: perplexity {last.perplexity:.3g} on training text")
    if not history:
        return what
    speed = sorted(record.tokens_per_second for record in history)[len(history) // 2]
    return what + "\n" + say("{speed:,.0f} tokens/s on {device}", speed=speed, device=describe(device))


def bits(history, train_iter, vocab):
    """A line with the held-out bits per character where tokens are words, to be compared with those of characters."""
    looked = [record.held_out_perplexity for record in history if record.held_out_perplexity is not None]
    if getattr(vocab, "kind", "") != "words" or not looked:
        return ""
    found = bits_per_character(looked[-1], tokens_per_character(train_iter.held_out, vocab))
    return say("{found:.2f} bits per character of held-out text", found=found)


def diverged(history, vocab_size, lr):
    """One sentence if the training ends with epochs that were worse than guessing, else an empty text."""
    worse = list(itertools.takewhile(lambda record: not good(record, vocab_size), reversed(history)))
    if not worse:
        return ""
    text = (
        "The training has diverged: from epoch {epoch} on it is worse than even guessing, of perplexity "
        "{vocab_size}; start again with a new model and a learning rate below {lr}."
    )
    return say(text, epoch=worse[-1].epoch, vocab_size=vocab_size, lr=lr)


def good(record, vocab_size):
    """Whether an epoch was no worse than guessing evenly: a fresh model's is about the vocabulary's size."""
    return record.perplexity <= WORSE_THAN_GUESSING * vocab_size


def counted(train_iter, vocab):
    """What mere counting reaches on the held-out text: `training.baselines`, or nothing where no text is held out."""
    text, held_out = train_iter.corpus, train_iter.held_out
    return training.baselines(text, held_out, len(vocab)) if len(held_out) > 1 else {}
