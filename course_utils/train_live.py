"""`train`: the training loop with a picture that grows while you watch.

The loop itself is `training.epochs`; this module only consumes what it yields.
"""

import time
from contextlib import nullcontext

from IPython.display import Image, display

from course_utils import plots, training
from course_utils.checkpoints import Checkpoint
from course_utils.devices import ThreadWatch, describe
from course_utils.fast import quick_layers
from course_utils.loaders import bits_per_character, tokens_per_character

SECONDS_BETWEEN_PICTURES = 0.7


class LivePlot:
    """One picture in the notebook, updated in place at most every 0.7 seconds."""

    def __init__(self, baselines, last_epoch):
        self.curves = plots.TrainingCurves(baselines, last_epoch)
        self.curves.draw([], "getting ready")
        self.handle = display(Image(self.curves.quick_png()), display_id=True)
        self.last_drawn = time.perf_counter()

    def update(self, history, title, now=False):
        """Redraw if the last picture is old enough, or at once and with all care with `now`.

        PNG bytes, always of the same size: pyplot, once imported, crops figures to their contents, and they jump.
        """
        if now or time.perf_counter() - self.last_drawn >= SECONDS_BETWEEN_PICTURES:
            if self.handle is not None:  # outside a notebook there is nothing to update
                picture = self.curves.draw(history, title)
                self.handle.update(Image(picture.png() if now else self.curves.quick_png()))
            self.last_drawn = time.perf_counter()


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
        FloatingPointError: the loss became infinite or undefined; the learning rate is too large.
    """
    training.check_training(net, train_iter, vocab, lr, num_epochs, every, recipe)  # before anything is drawn
    history = [] if history is None else history
    prefix = opening(train_iter, vocab) if prefix is None else prefix
    first, disk = history[-1].epoch + 1 if history else 1, None
    if checkpoint is not None:
        recipe = training.sgd if recipe is None and epochs is training.epochs else recipe  # a reader's loop has its own
        disk = Checkpoint(checkpoint, net, train_iter, vocab, lr, num_epochs, device, recipe, history)
        recipe, first, num_epochs = disk.recipe, disk.first, disk.left
    last, rest = first + num_epochs - 1, {"recipe": recipe, "prefix": prefix, "every": every, "first": first}
    run = () if disk and disk.finished else epochs(net, train_iter, vocab, lr, num_epochs, device, **rest)
    live = LivePlot(counted(train_iter, vocab), last) if plot else None
    threads, start = ThreadWatch(device), time.perf_counter()
    try:
        with quick_layers() if fast else nullcontext():
            for record in run:
                history.append(record)
                if disk:
                    disk.keep()
                threads.see(record.tokens_per_second)
                if live:
                    live.update(history, progress(record, first, last, time.perf_counter() - start))
    except KeyboardInterrupt:
        print(f"Stopped after epoch {history[-1].epoch if history else 0}; the model and its history are kept.")
    finally:
        if disk:
            disk.close()
        if live:
            live.update(history, reached(history), now=True)
    print(summary(history, device) + bits(history, train_iter, vocab))
    return history


def opening(train_iter, vocab):
    """Where samples start: as the vocabulary says, else as in the book, or as the text where this has other signs."""
    prefix, split = getattr(vocab, "prefix", "time traveller"), getattr(vocab, "split", list)
    if all(vocab.to_tokens(vocab[token]) == token for token in split(prefix)):
        return prefix
    text = train_iter.held_out if len(train_iter.held_out) else train_iter.corpus
    return "".join(vocab.to_tokens(text[:14].tolist()))


def progress(record, first, last, seconds):
    """One line: how far the run is and how many seconds are left."""
    done = record.epoch - first + 1
    left = seconds / done * (last - record.epoch)
    return f"epoch {record.epoch} of {last}, about {left:.0f} s left, {record.tokens_per_second:,.0f} tokens/s"


def reached(history):
    """What the training reached, short enough for a title."""
    if not history:
        return "no epoch was finished"
    looked = [record for record in history if record.held_out_perplexity is not None]
    unseen = f", {looked[-1].held_out_perplexity:.3g} on held-out text" if looked else ""
    return f"epoch {history[-1].epoch}: perplexity {history[-1].perplexity:.3g} on training text{unseen}"


def summary(history, device):
    """Two short lines: what the training reached, and how fast (the median epoch)."""
    if not history:
        return reached(history)
    speed = sorted(record.tokens_per_second for record in history)[len(history) // 2]
    return f"{reached(history)}\n{speed:,.0f} tokens/s on {describe(device)}"


def bits(history, train_iter, vocab):
    """A line with the held-out bits per character where tokens are words, to be compared with those of characters."""
    looked = [record.held_out_perplexity for record in history if record.held_out_perplexity is not None]
    if getattr(vocab, "kind", "") != "words" or not looked:
        return ""
    found = bits_per_character(looked[-1], tokens_per_character(train_iter.held_out, vocab))
    return f"\n{found:.2f} bits per character of held-out text"


def counted(train_iter, vocab):
    """What mere counting reaches on the held-out text: `training.baselines`, or nothing where no text is held out."""
    text, held_out = train_iter.corpus, train_iter.held_out
    return training.baselines(text, held_out, len(vocab)) if len(held_out) > 1 else {}
