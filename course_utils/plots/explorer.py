"""The explorer's figure: the curves of one setting over those of its neighbours, and the map around it."""

import math
import statistics

from course_utils.plots.cells import draw_cells
from course_utils.plots.picture import BLUE, GREY, PURPLE, VERMILION, FixedPicture, tint

TICKS = (1, 2, 3, 5, 10, 20, 40)
NOT_THERE = "nobody has trained this setting:\npress Train this live"


def explorer_picture(view, live=()):
    """Return a `Picture` of an `experiments.explorer.View`.

    Args:
        live: points (epoch, seconds, perplexity, held-out perplexity) of a run of this setting that is trained now.
    """
    picture = FixedPicture(9, 3.7)
    curves = picture.add_axes((0.06, 0.13, 0.46, 0.74))
    for runs in view.neighbours:
        epochs, _, (held_out, _, _) = bands(runs)
        curves.plot(epochs, held_out, "-", color=GREY, alpha=0.5, linewidth=1)
    if view.runs:
        epochs, *both = bands(view.runs)
        for (mean, low, high), colour, label in zip(both, (BLUE, VERMILION), ("training", "held-out"), strict=True):
            curves.fill_between(epochs, low, high, color=colour, alpha=0.25, linewidth=0)
            curves.plot(epochs, mean, "-", color=colour, label=f"{label} text")
    if live:
        epochs, _, training, held_out = zip(*live, strict=True)
        curves.plot(epochs, training, ":", epochs, held_out, "o-", color=PURPLE, markersize=3)
        curves.plot([], [], "o-", color=PURPLE, markersize=3, label="trained live")
    elif not view.runs:
        curves.text(0.5, 0.5, NOT_THERE, transform=curves.transAxes, ha="center", color=GREY)
    curves.set(xlabel="epoch", ylabel="perplexity", yscale="log")
    curves.set(ylim=(1, 40), xlim=(0, None))
    curves.set_yticks(TICKS, TICKS)
    curves.minorticks_off()
    curves.set_title(summary(view.runs), loc="left", fontsize=10)
    if view.runs or live:
        curves.legend(loc="lower left", frameon=False, fontsize=8)
    draw_map(picture.add_axes((0.62, 0.13, 0.36, 0.74)), view)
    return picture


def bands(runs):
    """Epochs, and for training and held-out text (mean, lowest, highest) of the seeds at each."""
    columns = [[*zip(*run.curve, strict=True)] for run in runs]
    training, held_out = ([*zip(*(column[place] for column in columns), strict=True)] for place in (2, 3))
    return columns[0][0], *((
        [statistics.geometric_mean(each) for each in seeds], [*map(min, seeds)], [*map(max, seeds)]
    ) for seeds in (training, held_out))  # fmt: skip


def summary(runs):
    """One line of numbers above the curves."""
    if not runs:
        return ""
    best, seconds = [run.best for run in runs], statistics.fmean(run.seconds for run in runs)
    return (f"lowest held-out perplexity {min(best):.1f} to {max(best):.1f}, "
            f"{seconds:.1f} s, {runs[0].parameters:,} parameters")  # fmt: skip


def draw_map(axes, view):
    """The lowest held-out perplexity of the settings around the chosen one, which is framed; dark is good."""
    numbers = [number for row in view.lowest for number in row if math.isfinite(number)]
    low, high = min(numbers, default=1), max(numbers, default=1)
    shades = [[tint(BLUE, shade(number, low, high)) for number in row] for row in view.lowest]
    labels = [[f"{number:.1f}" if math.isfinite(number) else "–" for number in row] for row in view.lowest]
    draw_cells(axes, shades, labels, "lowest held-out perplexity", frame=view.frame)
    (across, columns), (down, rows) = view.across, view.down
    axes.set(xlabel=across, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(view.lowest)), rows if down != across else [""])
    axes.set_ylabel(down if down != across else "")


def shade(number, low, high):
    """From 0.75 for the lowest to 0.05 for the highest, by their logarithms; 0 for none."""
    if not math.isfinite(number):
        return 0.0
    return 0.05 + 0.7 * (math.log(high / number) / math.log(high / low) if high > low else 0.0)
