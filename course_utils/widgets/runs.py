"""What the training lab remembers of a run, how it writes it down in HTML, and how it keeps it in a file."""

import asyncio
import html
import itertools
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from course_utils import saved_runs
from course_utils.language import said, say
from course_utils.loaders import bits_per_character
from course_utils.plots.fonts import caption
from course_utils.train_live import diverged
from course_utils.widgets.faults import Prints


@dataclass(eq=False)
class Run:
    """One training run: what was asked for, the model, and what its epochs brought."""

    number: int
    settings: dict  # name -> value of the lab's controls at the start
    net: nn.Module
    history: list = field(default_factory=list)  # `training.Epoch` records
    state: str = "training"  # or "paused", "finished", "stopped", "interrupted", "failed"
    seconds: float = 0.0  # spent, pauses left out
    file: Path | None = None  # where it is kept on disk
    error: str = ""  # why it failed, in one sentence
    traceback: str = ""
    kept: object = None  # `train_live.LastGood`, for a run that diverges
    prints: Prints = field(default_factory=Prints)  # what the model, the loop and the recipe print
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def active(self):
        """Whether the run may go on."""
        return self.state in ("training", "paused")

    def __str__(self):
        settings = {name: said(value, caption) for name, value in self.settings.items()}
        return caption("run {number}: {cell}, {num_steps} steps, {num_hiddens} units, {sampling}, {recipe}, lr {lr:g}",
                       number=self.number, **settings)  # fmt: skip


def save(run, folder, text, vocab):
    """Write a run as a new file of the folder, and only once; files that are there stay as they are."""
    if run.file is None:
        details, tensors = saved_runs.contents(run.net, vocab, run.history)
        details["run"] = {"trained by": "a lab"} | saved_runs.text_facts(text, vocab)
        details["lab"] = {"settings": run.settings, "state": run.state, "seconds": run.seconds}
        names = (folder / f"run-{number:03}.safetensors" for number in itertools.count(1))
        path = next(name for name in names if not name.exists())
        saved_runs.write(path, details, tensors)
        run.file = path


def load(path, number, text, vocab, model):
    """Return the run that `save` wrote, its model built by `model(settings)`; ValueError if it is another text's."""
    details, tensors = saved_runs.read(path)
    saved_runs.check(path, details["run"], {"trained by": "a lab"} | saved_runs.text_facts(text, vocab))
    with torch.random.fork_rng(devices=[]):  # the page is opened as if nobody had drawn a random number
        net = model(details["lab"]["settings"])
    net, _, history = saved_runs.restored(path, details, tensors, net)
    return Run(number, net=net, history=history, file=path, **details["lab"])


def state(run, vocab_size):
    """Say how far a run is, and why it goes no further."""
    done, total = len(run.history), run.settings["num_epochs"]
    counts = {"number": run.number, "state": say(run.state), "done": done, "total": total}
    text = say("Run {number} {state}: epoch {done} of {total}", **counts)
    if done and run.active:
        left, speed = run.seconds / done * (total - done), run.history[-1].tokens_per_second
        text += say(", {speed:,.0f} tokens/s, about {left:.0f} s left", speed=speed, left=left)
    why = run.error or diverged(run.history, vocab_size, run.settings["lr"])
    return say("{happens}. {why}", happens=text, why=why).strip()


def moved(settings, now):
    """Name the controls that were moved since a run began with these settings."""
    changed = [f"{say(name)} {said(old)} → {said(now[name])}" for name, old in settings.items() if old != now[name]]
    return say("At the next Start: {moved}.", moved=say(", ").join(changed)) if changed else ""


def samples(history):
    """The latest four samples as HTML, the newest on top and in bold type."""
    written = [record for record in history if record.sample is not None][-4:]
    shown = [say("epoch {record.epoch:3}: {record.sample}", record=record) for record in reversed(written)]
    lines = [html.escape(line).replace("\n", "↵") for line in shown]
    rest = "".join(f"\n{line}" for line in lines[1:])
    return f"<pre style='white-space: pre-wrap; margin: 0'><b>{lines[0]}</b>{rest}</pre>" if lines else ""


def table(runs, density=None):
    """The runs as an HTML table, a row each; with bits per character where there are `density` tokens for each."""
    return html_table([_row(run, density) for run in runs])


def html_table(rows):
    """Rows (column -> cell) as an HTML table; nothing without a row."""
    head = "".join(f"<th>{say(name)}</th>" for name in rows[0]) if rows else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
    style = "border-collapse: collapse; line-height: 1.5"
    return f"<table border='1' cellpadding='3' style='{style}'><tr>{head}</tr>{body}</table>" if rows else ""


def in_words(settings):
    """Settings in one cell, whose lines can break: a number after its name, words alone."""
    return say(", ").join(say(value) if isinstance(value, str) else
                          say(f"{name.removeprefix('num_')} {{value:g}}", value=value)
                          for name, value in settings.items())  # fmt: skip


def _row(run, density):
    """The cells of a run's row in the table, by their column's name."""
    history, looked = run.history, [record for record in run.history if record.held_out_perplexity is not None]
    settings = {name: value for name, value in run.settings.items() if name != "num_epochs"}
    row = {"run": run.number, "settings": in_words(settings)}
    asked = run.settings["num_epochs"]
    row["epochs"] = say("{done} of {total}, {state}", done=len(history), total=asked, state=say(run.state))
    row |= {"last training": "–", "lowest held-out": "–", "last held-out": "–", "tokens/s": "–"}
    if history:
        row["last training"] = _short(history[-1].perplexity)
        row["tokens/s"] = f"{statistics.median(record.tokens_per_second for record in history):,.0f}"
    if looked:
        best = min(looked, key=lambda record: record.held_out_perplexity)
        lowest, last = _short(best.held_out_perplexity), looked[-1].held_out_perplexity
        row["lowest held-out"] = say("{perplexity} (epoch {epoch})", perplexity=lowest, epoch=best.epoch)
        row["last held-out"] = _short(last)
        if density:
            bits = bits_per_character(last, density)
            row["last held-out"] += say(" ({bits:.2f} bits per character)", bits=bits)
    return row


def _short(perplexity):
    """A perplexity in a few characters, also that of a training that diverges."""
    return f"{perplexity:.1f}" if perplexity < 10_000 else f"{perplexity:.0e}"
