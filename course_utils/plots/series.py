"""One figure for every "y over x": lines by name, with what counting or theory expects and what the reader guessed."""

import math
import statistics

from matplotlib.ticker import NullFormatter

from course_utils.plots.fonts import caption, drawable, families, visible
from course_utils.plots.picture import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, Picture

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY, INK, PURPLE)
BASELINE = {"ha": "right", "va": "bottom", "fontsize": 8, "color": GREY}
CAN_BE_LEFT_OUT = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}


def lines(series, **labels):
    """Return a `Picture` with one panel, see `draw_lines`."""
    picture = Picture(7, 3.4)
    draw_lines(picture.add_subplot(), series, **labels)
    return picture


def panels(*each):
    """Return a `Picture` of several panels side by side, each given as a dictionary of `draw_lines`' arguments."""
    picture = Picture(8.5, 3.2)
    for axes, arguments in zip(picture.subplots(1, len(each), squeeze=False)[0], each, strict=True):
        draw_lines(axes, **arguments)
    return picture


def draw_lines(axes, series, x="", y="", title="", log="", expected=None, baselines=None, marks=None, guess=None,
               style="o-"):  # fmt: skip
    """Draw points joined by a line for each name, all in a colour of their own.

    Names and labels stand in the reader's language where the catalogue has them.

    Args:
        series: name -> pairs (x, y). Where an x comes several times, as with several seeds, the line goes through the
            mean (on a log axis the geometric one) and a band reaches from the lowest to the highest y. A y that is not
            finite is left out, and on a log axis one that is not above 0. An x may be a word: words keep their order.
        log: "x", "y" or "xy": the axes with a logarithmic scale, their numbers written plainly.
        expected: name -> pairs, what theory or counting says: dashed, in the colour of the series of this name.
        baselines: name -> y of a dotted horizontal line.
        marks: name -> x of a dotted vertical line.
        guess: where the reader expected something: an x, or a pair (x, y); None without a guess.
        style: matplotlib's marker and line.
    """
    colours = dict(zip(series, COLOURS, strict=False))
    for name, pairs in series.items():
        groups = {}
        for place, value in pairs:
            if math.isfinite(value) and (value > 0 or "y" not in log):
                groups.setdefault(place, []).append(value)
        means = map(statistics.geometric_mean if "y" in log else statistics.fmean, groups.values())
        axes.plot([*groups], [*means], style, color=colours[name], markersize=4, label=caption(name))
        if any(len(group) > 1 for group in groups.values()):
            low, high = [*map(min, groups.values())], [*map(max, groups.values())]
            axes.fill_between([*groups], low, high, color=colours[name], alpha=0.2, linewidth=0)
    for name, pairs in (expected or {}).items():
        axes.plot(*zip(*pairs, strict=True), "--", color=colours.get(name, GREY), linewidth=1)
    words = list(dict.fromkeys(place for pairs in series.values() for place, _ in pairs if isinstance(place, str)))
    if words:
        shown = [visible(word) if len(word) == 1 else drawable(word) for word in words]
        axes.set_xticks(range(len(words)), shown, family=families("".join(shown)))
    axes.set(xlabel=caption(x), ylabel=caption(y), title=caption(title))
    draw_marks(axes, baselines or {}, marks or {})
    draw_guess(axes, guess)
    _scale(axes, series, log)  # last, so that everything drawn has room
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes, series, log):
    """Logarithmic scales with plain numbers; on a short x axis every x gets its tick."""
    for letter, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if letter in log:
            (axes.set_xscale if letter == "x" else axes.set_yscale)("log")
            low, high = axis.get_view_interval()
            if high < 1e5 * low:
                axis.set_major_formatter(_plain)
            axis.set_minor_formatter(NullFormatter())
    xs = sorted({x for pairs in series.values() for x, _ in pairs}) if "x" in log else []
    if 0 < len(xs) <= 10:
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
    if "y" in log and (high := axes.get_ylim()[1]) < 100 * (low := axes.get_ylim()[0]):
        ones = range(1, 11) if high < 10 * low else (1, 2, 3, 5, 7, 10)
        round_numbers = (*ones, 15, 20, 30, 50, *(n * 10**k for k in range(2, 9) for n in (1, 2, 5)))
        axes.set_yticks([number for number in round_numbers if low <= number <= high])
        axes.yaxis.set_major_formatter(_plain)
        axes.set_ylim(low, high)


def _plain(number, place=None):
    """A tick's number in full, never as a power."""
    return f"{number:,.0f}" if number >= 10 else f"{number:g}"


def draw_marks(axes, baselines, marks):
    """Dotted lines, each with its name: across at a y, upright at an x."""
    for name, value in baselines.items():
        axes.axhline(value, color=GREY, linestyle=":")
        axes.annotate(f"{caption(name)} {value:.1f}", (1, value), xycoords=("axes fraction", "data"), **BASELINE)
    for name, place in marks.items():
        axes.axvline(place, color=GREY, linestyle=":")
        axes.annotate(f" {caption(name)}", (place, 0.01), xycoords=("data", "axes fraction"), color=GREY, fontsize=8)


def draw_guess(axes, guess):
    """Draw the reader's guess: a dashed line at an x, or a star at a pair (x, y); nothing for None."""
    if guess is None:
        return
    x, y = guess if isinstance(guess, tuple) else (guess, None)
    if y is None:
        axes.axvline(x, color=PURPLE, linestyle="--")
    else:
        axes.plot(x, y, "*", markersize=12, color=PURPLE, zorder=3)
    low, high = axes.get_xlim()
    side = -1 if axes.convert_xunits(x) > (low + high) / 2 else 1  # the words towards the middle
    place = ((x, 0.03), ("data", "axes fraction")) if y is None else ((x, y), "data")
    style = {"va": "center", "ha": "left" if side > 0 else "right", "color": PURPLE, "bbox": CAN_BE_LEFT_OUT}
    words = caption("your guess")
    axes.annotate(words, place[0], (8 * side, 0), xycoords=place[1], textcoords="offset points", **style)


def bars(values, x="", form="{:.1f}", log=False, baselines=None, guess=None):
    """Return a `Picture` of horizontal bars from top to bottom, the value behind each.

    Names and labels stand in the reader's language where the catalogue has them.

    Args:
        values: name -> number; one that is not finite gets no bar.
        x, log: label of the values' axis, and whether it is logarithmic.
        form: format of the values.
        baselines: name -> value of a dotted line.
        guess: the value that the reader expected, or None.
    """
    picture = Picture(7.5, 0.9 + 0.4 * len(values))
    axes = picture.add_subplot()
    drawn = axes.barh(range(len(values)), values.values(), color=BLUE, height=0.6)
    axes.bar_label(drawn, [form.format(value) for value in values.values()], padding=3, fontsize=9)
    names = [drawable(caption(name)) for name in values]
    axes.set_yticks(range(len(names)), names, family=families("".join(names)))
    axes.set_ylim(len(values) - 0.1, -0.6)  # with room for a word below the last bar
    numbers = (*values.values(), *(baselines or {}).values(), guess or 0)
    longest = max(filter(math.isfinite, numbers))
    axes.set(xlabel=caption(x), xlim=(0.5, 4 * longest) if log else (0, 1.15 * longest))
    axes.set_xscale("log" if log else "linear")
    for name, value in (baselines or {}).items():
        axes.axvline(value, color=GREY, linestyle=":")
        axes.annotate(f"{caption(name)} {value:.1f} ", (value, 1), xycoords=("data", "axes fraction"), **BASELINE)
    draw_guess(axes, guess)
    axes.spines[["top", "right"]].set_visible(False)
    return picture
