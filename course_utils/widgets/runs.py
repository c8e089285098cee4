"""What the training lab remembers of a run, and how it writes it down in HTML."""

import asyncio
import html
import statistics
from dataclasses import dataclass, field

from torch import nn

from course_utils import plots
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
        chosen = self.settings
        return (f"run {self.number}: {chosen['cell']}, {chosen['num_steps']} steps, {chosen['num_hiddens']} units, "
                f"{chosen['sampling']}, {chosen['recipe']}, lr {chosen['lr']:g}")  # fmt: skip


def samples(history):
    """The latest four samples as HTML, the newest on top and in full colour."""
    written = [record for record in history if record.sample is not None][-4:]
    lines = [f"epoch {record.epoch:3}: {html.escape(record.sample)}" for record in reversed(written)]
    older = "".join(f"\n<span style='color: {plots.GREY}'>{line}</span>" for line in lines[1:])
    return f"<pre style='margin: 0'>{lines[0]}{older}</pre>" if lines else ""


def table(runs):
    """The runs as an HTML table, a row each."""
    rows = [_row(run) for run in runs]
    head = "".join(f"<th>{name}</th>" for name in rows[0]) if rows else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
    style = "border-collapse: collapse; line-height: 1.5"
    return f"<table border='1' cellpadding='3' style='{style}'><tr>{head}</tr>{body}</table>" if rows else ""


def _row(run):
    """The cells of a run's row in the table, by their column's name."""
    history, looked = run.history, [record for record in run.history if record.held_out_perplexity is not None]
    row = {"run": run.number, **run.settings, "lr": f"{run.settings['lr']:g}"}
    row |= {"num_epochs": f"{len(history)} of {run.settings['num_epochs']}", "state": run.state}
    row |= {"training": "–", "lowest held-out": "–", "last held-out": "–", "tokens/s": "–"}
    if history:
        row["training"] = _short(history[-1].perplexity)
        row["tokens/s"] = f"{statistics.median(record.tokens_per_second for record in history):,.0f}"
    if looked:
        best = min(looked, key=lambda record: record.held_out_perplexity)
        row["lowest held-out"] = f"{_short(best.held_out_perplexity)} (epoch {best.epoch})"
        row["last held-out"] = _short(looked[-1].held_out_perplexity)
    return row


def _short(perplexity):
    """A perplexity in a few characters, also that of a training that diverges."""
    return f"{perplexity:.1f}" if perplexity < 10_000 else f"{perplexity:.0e}"
