"""Questions 1 and 7: windows, truncation and four ways of sampling."""

import math

from matplotlib.ticker import NullFormatter

from course_utils.plots.picture import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, VERMILION, Picture, guess_line


def truncation_cliffs(records, guess=None):
    """Return a `Picture` of how often a bit is repeated by the window's length; lines show what counting expects.

    Args:
        records: `experiments.windows.Echo`es of one lag, with a carried state, with a reset one, or both.
        guess: the shortest window that suffices with a carried state, as the reader expects, or None.
    """
    picture = Picture(7, 3.2)
    axes = picture.add_subplot()
    for carried, name, colour in ((True, "state carried", BLUE), (False, "state reset", ORANGE)):
        chosen = [record for record in records if record.carried == carried]
        lengths = [record.num_steps for record in chosen]
        axes.plot(lengths, [record.expected for record in chosen], color=colour, alpha=0.5, linewidth=1)
        axes.plot(lengths, [record.accuracy for record in chosen], "o", color=colour, label=name if chosen else None)
    lag = records[0].lag
    axes.axvline(lag + 0.5, color=GREY, linestyle=":")
    axes.annotate(f"lag {lag} ", (lag + 0.5, 0.55), ha="right", color=GREY)
    axes.set(xlabel="window (steps)", ylabel="share of right answers", ylim=(0.4, 1.05))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc="center right")
    guess_line(axes, guess)
    return picture


def window_lengths(runs, guess=None):
    """Return a `Picture` of the held-out perplexity by the window's length, each arm read in the way it was trained.

    Args:
        runs: `experiments.sampling.ArmRun`s; lines join the means over seeds, bands reach from lowest to highest.
        guess: the window from which on, as the reader expects, more length stops paying, or None.
    """
    picture = Picture(7, 3.4)
    axes = picture.add_subplot()
    colours = {("RNN", True): BLUE, ("RNN", False): ORANGE, ("GRU", True): GREEN, ("GRU", False): PURPLE}
    for layer, carried in dict.fromkeys((run.layer, run.carried) for run in runs):
        chosen = [run for run in runs if (run.layer, run.carried) == (layer, carried)]
        by_length = _by_key(chosen, "num_steps", "held_out" if carried else "held_out_reset")
        label = f"{layer}, state {'carried' if carried else 'reset'}"
        _draw_spread(axes, by_length, colours.get((layer, carried), GREY), label)
    lengths = sorted({run.num_steps for run in runs})
    axes.set(xlabel="window (steps)", ylabel="held-out perplexity", xscale="log")
    axes.set_xticks(lengths, lengths)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    guess_line(axes, guess)
    return picture


def _by_key(runs, key, value):
    """The values of all runs with the same key: key -> list, by key."""
    keys = sorted({getattr(run, key) for run in runs})
    return {number: [getattr(run, value) for run in runs if getattr(run, key) == number] for number in keys}


def _draw_spread(axes, groups, colour, label):
    """A line through the mean of each group, on a band from its lowest to its highest value."""
    means = [sum(group) / len(group) for group in groups.values()]
    axes.plot(groups.keys(), means, "o-", markersize=4, color=colour, label=label)
    axes.fill_between(groups.keys(), *zip(*((min(g), max(g)) for g in groups.values()), strict=True), color=colour,
                      alpha=0.2, linewidth=0)  # fmt: skip


def sampling_arms(runs, guess=None):
    """Return a `Picture` of four ways to cut a text and to start a window: a row for each, a dot for each seed.

    Args:
        runs: `experiments.sampling.ArmRun`s; each recipe (text, window, layer, optimiser) gets a panel of its own.
        guess: the arm that the reader expects to read unseen text best, or None.
    """
    names = list(dict.fromkeys(run.arm for run in runs))
    recipes = list(dict.fromkeys(_recipe(run) for run in runs))
    rows = math.ceil(len(recipes) / 2)
    picture = Picture(3.5 * min(2, len(recipes)) + 1.8, 1.7 * rows + 0.6)
    panels = picture.subplots(rows, min(2, len(recipes)), sharey=True, squeeze=False).flat
    marks = {"training_perplexity": ("o", BLUE, "training text"), "held_out": ("o", VERMILION, "held-out text"),
             "best": ("x", INK, "held-out text, best epoch")}  # fmt: skip
    for axes, recipe in zip(panels, recipes, strict=False):
        chosen = [run for run in runs if _recipe(run) == recipe]
        places = [names.index(run.arm) for run in chosen]
        for field, (marker, colour, label) in marks.items():
            axes.plot([getattr(run, field) for run in chosen], places, marker, color=colour, alpha=0.7, label=label)
        axes.set_title(recipe, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", alpha=0.3)
        if guess in names:
            axes.axhline(names.index(guess), color=PURPLE, linestyle="--", linewidth=1, zorder=0)
            axes.annotate("your guess", (1, names.index(guess) - 0.1), xycoords=("axes fraction", "data"), ha="right",
                          color=PURPLE, fontsize=8)  # fmt: skip
        axes.set_xlabel("perplexity", fontsize=9)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return picture


def _recipe(run):
    """What all arms of a comparison have in common, in words."""
    size = f"{run.training_tokens:,} characters, windows of {run.num_steps}"
    return f"{size}\n{run.layer} with {run.num_hiddens} units, {run.optimizer}, {run.epochs} epochs"


def cold_starts(runs):
    """Return a `Picture` of the perplexity at each position of windows that start from a state of zeros.

    Args:
        runs: `experiments.sampling.ArmRun`s of one recipe; a line for each arm, the mean over its seeds. The dashed
            line is the first arm's when it reads on with a carried state.
    """
    picture = Picture(7, 3.2)
    axes = picture.add_subplot()
    for name, colour in zip(dict.fromkeys(run.arm for run in runs), (BLUE, GREEN, ORANGE, VERMILION), strict=False):
        lines = [run.by_position for run in runs if run.arm == name]
        means = [sum(values) / len(values) for values in zip(*lines, strict=True)]
        axes.plot(range(1, len(means) + 1), means, "o-", markersize=3, color=colour, label=f"trained {name}")
    warm = [run.held_out for run in runs if run.arm == runs[0].arm]
    axes.axhline(sum(warm) / len(warm), color=BLUE, linestyle="--", linewidth=1, label=f"{runs[0].arm}, reading on")
    axes.set(xlabel="place in the window", ylabel="held-out perplexity", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(4, 15), range(4, 15))
    axes.set_ylim(auto=True)
    axes.legend(frameon=False, fontsize=8)
    return picture
