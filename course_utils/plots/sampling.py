"""Question 7: four ways of sampling, a panel for each recipe."""

import math

from course_utils.plots.fonts import caption
from course_utils.plots.picture import BLUE, INK, PURPLE, VERMILION, Picture

MARKS = {"training_perplexity": ("o", BLUE, "training text"), "held_out": ("o", VERMILION, "held-out text"),
         "best": ("x", INK, "held-out text, best epoch")}  # fmt: skip


def sampling_arms(runs, guess=None):
    """Return a `Picture` of four ways to cut a text and to start a window: a row for each, a dot for each seed.

    Args:
        runs: `experiments.sampling.ArmRun`s; each recipe (text, window, layer, optimiser) gets a panel of its own.
        guess: the arm that the reader expects to read unseen text best, or None.
    """
    names, recipes = list(dict.fromkeys(run.arm for run in runs)), {}
    for run in runs:
        text = caption("{tokens:,} characters, windows of {steps}", tokens=run.training_tokens, steps=run.num_steps)
        model = caption("{run.layer} with {run.num_hiddens} units, {run.optimizer}, {run.epochs} epochs", run=run)
        recipes.setdefault(f"{text}\n{model}", []).append(run)
    columns, rows = min(2, len(recipes)), math.ceil(len(recipes) / 2)
    picture = Picture(3.5 * columns + 1.8, 1.7 * rows + 0.6)
    panels = picture.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes, (recipe, chosen) in zip(panels, recipes.items(), strict=False):
        for field, (marker, colour, label) in MARKS.items():
            values, places = zip(*((getattr(run, field), names.index(run.arm)) for run in chosen), strict=True)
            axes.plot(values, places, marker, color=colour, alpha=0.7, label=caption(label))
        axes.set_title(recipe, fontsize=9)
        axes.set_yticks(range(len(names)), [*map(caption, names)])
        axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=caption("perplexity"))
        axes.grid(axis="y", alpha=0.3)
        if guess in names:
            axes.axhline(names.index(guess), color=PURPLE, linestyle="--", linewidth=1, zorder=0)
            place = {"xy": (1, names.index(guess) - 0.1), "xycoords": ("axes fraction", "data"), "ha": "right"}
            axes.annotate(caption("your guess"), **place, color=PURPLE, fontsize=8)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return picture
