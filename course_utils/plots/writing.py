"""Prediction: what may come next, and what reading and training on the prefix does (question 5)."""

import functools

from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import Affine2D

from course_utils.plots.picture import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    FixedPicture,
    Picture,
    guess_line,
    guess_star,
    perplexity_axis,
    tint,
)


def prediction_steps(snapshot):
    """Return a `Picture` of one moment of writing: what may come next, and the hidden states on the way to it.

    Below the hidden states the text stands twice: coloured by the probability of each character, and by how strongly it
    moves the framed one.

    Args:
        snapshot: an `experiments.stepping.Snapshot`: W characters, V candidates, H hidden units.
    """
    picture = FixedPicture(9, 6)
    _draw_candidates(picture.add_axes((0.115, 0.775, 0.875, 0.175)), snapshot)
    axes = picture.add_axes((0.115, 0.105, 0.875, 0.575))
    _draw_hidden_states(axes, snapshot)
    _draw_connectivity(axes, snapshot)
    axes.axvline(snapshot.num_given - 0.5, color="black", linewidth=1)
    axes.set(xlim=(-0.5, max(60, len(snapshot.characters)) + 0.5), ylim=(-3.2, 10), xticks=[])
    num_units = snapshot.hiddens.shape[1]
    axes.set_yticks([-2.4, -1, 5], ["connectivity", "probability", f"{num_units} hidden\nunits"])
    caption = "darker: more probable before it was read; moves the framed character more. Left of the line: the prefix."
    picture.text(0.115, 0.067, caption, fontsize=9, color=GREY)
    if snapshot.period:
        picture.text(0.115, 0.02, loop_sentence(snapshot.period), color=VERMILION, weight="bold")
    return picture


def loop_sentence(period):
    """Say that a text has fallen into a loop."""
    return "the text repeats its last character" if period == 1 else f"the text repeats every {period} characters"


def _draw_candidates(axes, snapshot):
    """Bars of the next character's probabilities: wide as the model gives them, narrow as they are drawn from."""
    numbers = range(len(snapshot.candidates))
    points = 567 / max(28, len(numbers))
    axes.vlines(numbers, 0, snapshot.softmax, color=tint(SKY, 0.5), linewidth=0.85 * points)
    axes.vlines(numbers, 0, snapshot.drawn, color=BLUE, linewidth=0.4 * points)
    axes.set(xlim=(-0.5, max(28, len(numbers)) - 0.5), ylim=(0, 1), xticks=[], yticks=[0, 0.5, 1], ylabel="probability")
    axes.set_title(f"next character: as uncertain as a free choice among {snapshot.choices:.1f}", loc="left", size=11)
    key = "wide and pale: the model's softmax\nnarrow and dark: what is drawn from"
    axes.text(0.99, 0.9, key, transform=axes.transAxes, ha="right", va="top", color=BLUE)
    _draw_letters(axes, snapshot.candidates, -0.11, 11)


def _draw_hidden_states(axes, snapshot):
    """A column per character, a row per hidden unit; below it the text, coloured by probability."""
    limit = max(1.0, abs(snapshot.hiddens).max())
    _draw_cells(axes, snapshot.hiddens.T, (0, 10), "RdBu_r", -limit, limit)
    _draw_cells(axes, [snapshot.probabilities], (-1.6, -0.4), "Blues", 0, 1.8)
    _draw_letters(axes, snapshot.characters, -1, 10)
    title = f"hidden state after each character (red {limit:.0f}, white 0, blue −{limit:.0f})"
    axes.set_title(title, loc="left", size=11)


def _draw_connectivity(axes, snapshot):
    """The text once more, coloured by how strongly each character moves the framed one."""
    if snapshot.connectivity is None:
        axes.text(0, -2.4, "not to be had: this model makes its input vectors by itself", va="center")
        return
    strongest = max(value for value in snapshot.connectivity if value == value)
    _draw_cells(axes, [snapshot.connectivity], (-3, -1.8), "Oranges", 0, 1.8 * strongest or 1)
    following = [snapshot.explained] if snapshot.position == len(snapshot.characters) else []
    _draw_letters(axes, [*snapshot.characters, *following], -2.4, 10)
    frame = ((snapshot.position - 0.5, -3), 1, 1.2)
    axes.add_patch(Rectangle(*frame, fill=False, edgecolor=VERMILION, linewidth=2))


def _draw_cells(axes, values, rows, colours, low, high):
    """An image whose columns are one unit wide and centred on 0, 1, 2, ...; values that are nan stay white."""
    extent = (-0.5, len(values[0]) - 0.5, rows[0], rows[1])
    axes.imshow(values, extent=extent, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")


def _draw_letters(axes, tokens, y, size):
    """One letter at each of the places (0, y), (1, y), ...: a single artist, ten times faster than a text for each."""
    scale = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans  # points to pixels, at any resolution
    places = [(number, y) for number in range(len(tokens))]
    paths = [_letter(token, size) for token in tokens]
    letters = PathCollection(paths, offsets=places, offset_transform=axes.transData, color="black", linewidth=0)
    letters.set(transform=scale, clip_on=False, snap=False)
    axes.add_collection(letters, autolim=False)


@functools.cache
def _letter(token, size):
    """The outline of a token in the room of one letter: a space made visible, anything longer as a question mark."""
    letter = "␣" if token == " " else token if len(token) == 1 else "?"
    return TextPath((-0.3 * size, -0.28 * size), letter, size=size, prop=FontProperties(family="monospace"))


def distributions(named, characters):
    """Return a `Picture` of the next character's probabilities under several rules, side by side.

    Args:
        named: title -> probabilities of the characters.
        characters: the characters, in the order of the probabilities.
    """
    picture = Picture(9, 2.4)
    panels = picture.subplots(1, len(named), sharey=True, squeeze=False)[0]
    for axes, (title, probabilities) in zip(panels, named.items(), strict=True):
        axes.bar(range(len(characters)), probabilities, color=BLUE)
        axes.set_xticks(range(len(characters)), [character.replace(" ", "␣") for character in characters])
        axes.set_title(title, fontsize=10)
    panels[0].set(ylabel="probability", ylim=(0, 1))
    return picture


def prefix_curves(lengths, named, baselines, guess=None):
    """Return a `Picture` of the next character's perplexity against the number of characters read before it.

    Args:
        lengths: numbers of characters, growing.
        named: title -> perplexities, one for each length.
        baselines: name -> perplexity of a simple model, drawn as a dotted line.
        guess: the length from which on the reader expects no more gain, or None.
    """
    picture = Picture(6.5, 3.2)
    axes = picture.add_subplot()
    for (name, perplexities), colour in zip(named.items(), (VERMILION, BLUE, GREEN, ORANGE), strict=False):
        axes.plot(lengths, perplexities, color=colour, marker="o", markersize=4, label=name)
    for name, perplexity in baselines.items():
        axes.axhline(perplexity, color=GREY, linestyle=":")
        axes.annotate(f"{name} {perplexity:.1f}", (lengths[-1], perplexity), ha="right", va="bottom", color=GREY)
    guess_line(axes, guess)
    axes.set(xlabel="characters read before", ylabel="perplexity", xscale="log")
    axes.set_xticks(lengths, lengths)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    return picture


def fine_tunings(records, guess=None):
    """Return a `Picture` of perplexities after training on a prefix, against rate times steps.

    Args:
        records: `experiments.adaptation.FineTuned`s, the first one with 0 steps; values not finite are left out.
        guess: the perplexity elsewhere that the reader expects after the hardest training, or None.
    """
    picture = Picture(7, 3.2)
    axes = picture.add_subplot()
    untouched, *trained = records
    rates = sorted({record.lr for record in trained})
    fields = {"prefix": "the prefix", "continuation": "what follows it", "elsewhere": "other text"}
    for (field, name), colour in zip(fields.items(), (BLUE, ORANGE, VERMILION), strict=True):
        axes.axhline(getattr(untouched, field), color=colour, linestyle=":", linewidth=1)
        axes.plot([], [], color=colour, label=name)
        for lr, marker in zip(rates, "os^vD", strict=False):
            chosen = [record for record in trained if record.lr == lr]
            xs, ys = [lr * record.steps for record in chosen], [getattr(record, field) for record in chosen]
            axes.plot(xs, ys, color=colour, marker=marker, markersize=5, linewidth=1)
    for lr, marker in zip(rates, "os^vD", strict=False):
        axes.plot([], [], marker, color=GREY, label=f"rate {lr:g}")
    axes.plot([], [], ":", color=GREY, label="as it was")
    if guess is not None:
        guess_star(axes, max(record.lr * record.steps for record in trained), guess)
    axes.set(xlabel="rate × steps", ylabel="perplexity", xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    perplexity_axis(axes)
    picture.legend(loc="outside right center", frameon=False)
    return picture


def readings(records, guess=None):
    """Return a `Picture` of a model that trains on what it reads, against the rate of its steps.

    Args:
        records: `experiments.adaptation.Reading`s, the first one with rate 0; values not finite are left out.
        guess: by how many percent the reader expects the best rate to change the first line's perplexity, or None.
    """
    picture = Picture(7, 3.2)
    axes = picture.add_subplot()
    places = range(len(records))
    lines = {
        "honest": ("the text it reads", BLUE, "o-"),
        "peeking": ("the same, peeking", SKY, "o--"),
        "elsewhere": ("other text, afterwards", VERMILION, "s-"),
    }
    for field, (name, colour, style) in lines.items():
        values = [getattr(record, field) for record in records]
        axes.plot(places, values, style, color=colour, markersize=4, label=name)
        axes.axhline(values[0], color=colour, linestyle=":", linewidth=1)
    axes.plot([], [], ":", color=GREY, label="as it was")
    best = min(places, key=[record.honest for record in records].__getitem__)
    change = f"{records[best].honest / records[0].honest - 1:+.0%}"
    below = {"xytext": (0, -13), "textcoords": "offset points", "ha": "center"}
    axes.annotate(change, (best, records[best].honest), **below, color=BLUE, weight="bold")
    if guess is not None:
        guess_star(axes, best, records[0].honest * (1 + guess / 100))
    axes.set_xticks(places, [f"{record.lr:g}" for record in records])
    axes.set(xlabel="rate of the step after each window", ylabel="perplexity")
    perplexity_axis(axes)
    picture.legend(loc="outside right center", frameon=False)
    return picture
