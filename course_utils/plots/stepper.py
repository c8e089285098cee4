"""The prediction stepper's picture: one moment of writing."""

from matplotlib.collections import PathCollection
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D

from course_utils.plots.fonts import PLACEHOLDER, SENTENCE, caption, visible
from course_utils.plots.network import outlines
from course_utils.plots.picture import BLUE, GREY, SKY, VERMILION, FixedPicture, tint

SMALLEST = 0.7  # of its size, at least, that a token is drawn at before it is cut


def stepper_picture(snapshot):
    """Return a `Picture` of what may come next, and of the hidden states on the way to it.

    Below the hidden states the text stands twice: coloured by the probability of each character, and by how strongly it
    moves the framed one. `snapshot` is an `experiments.stepper.Snapshot`: W characters, V candidates, H hidden units.
    """
    picture, unit = FixedPicture(9, 6), caption(snapshot.unit)
    _draw_candidates(picture.add_axes((0.115, 0.775, 0.875, 0.175)), snapshot)
    axes = picture.add_axes((0.115, 0.105, 0.875, 0.575))
    axes.set(xlim=(-0.5, _columns(snapshot.characters, 60) + 0.5), ylim=(-3.2, 10), xticks=[])
    limit = max(1.0, abs(snapshot.hiddens).max())
    _draw_rows(axes, snapshot.hiddens.T, (0, 10), "RdBu_r", -limit, limit)  # a column per character
    title = "hidden state after each {unit} (red {limit:.0f}, white 0, blue −{limit:.0f})"
    axes.set_title(caption(title, unit=unit, limit=limit), loc="left", size=11)
    _draw_rows(axes, [snapshot.probabilities], (-1.6, -0.4), "Blues", 0, 1.8)
    _draw_letters(axes, snapshot.characters, -1, 10)
    _draw_connectivity(axes, snapshot)
    axes.axvline(snapshot.num_given - 0.5, color="black", linewidth=1)
    units = caption("{n} hidden\nunits", n=snapshot.hiddens.shape[1])
    axes.set_yticks([-2.4, -1, 5], [caption("connectivity"), caption("probability"), units])
    key = "darker: more probable before it was read; moves the framed {unit} more. Left of the line: the prefix."
    picture.text(0.115, 0.067, caption(key, unit=unit), fontsize=9, color=GREY)
    picture.text(0.115, 0.02, loop_words(snapshot), color=VERMILION, weight="bold")
    if PLACEHOLDER in "".join(map(visible, [*snapshot.characters, *snapshot.candidates])):
        picture.text(0.99, 0.02, caption(SENTENCE), fontsize=9, color=GREY, ha="right")
    return picture


def loop_words(snapshot, words=caption):
    """The loop that the text is caught in, empty without one; outside a figure `words` is `say`."""
    if not snapshot.period:
        return ""
    text = "the text repeats its last {unit}" if snapshot.period == 1 else "the text repeats every {period} {unit}s"
    return words(text, period=snapshot.period, unit=words(snapshot.unit))


def _draw_candidates(axes, snapshot):
    """Bars of the next character's probabilities: wide as the model gives them, narrow as they are drawn from."""
    numbers, columns = range(len(snapshot.candidates)), _columns(snapshot.candidates, 28)
    points = 567 / columns
    axes.vlines(numbers, 0, snapshot.softmax, color=tint(SKY, 0.5), linewidth=0.85 * points)
    axes.vlines(numbers, 0, snapshot.drawn, color=BLUE, linewidth=0.4 * points)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(0, 1), xticks=[], yticks=[0, 0.5, 1], ylabel=caption("probability"))
    title = "next {unit}: as uncertain as a free choice among {choices:.1f}"
    axes.set_title(caption(title, unit=caption(snapshot.unit), choices=snapshot.choices), loc="left", size=11)
    key = caption("wide and pale: the model's softmax\nnarrow and dark: what is drawn from")
    axes.text(0.99, 0.9, key, transform=axes.transAxes, ha="right", va="top", color=BLUE)
    _draw_letters(axes, snapshot.candidates, -0.11, 11)


def _draw_connectivity(axes, snapshot):
    """The text once more, coloured by how strongly each character moves the framed one."""
    if snapshot.connectivity is None:
        axes.text(0, -2.4, caption("not to be had: this model makes its input vectors by itself"), va="center")
        return
    strongest = max(value for value in snapshot.connectivity if value == value)
    _draw_rows(axes, [snapshot.connectivity], (-3, -1.8), "Oranges", 0, 1.8 * strongest or 1)
    following = [snapshot.explained] if snapshot.position == len(snapshot.characters) else []
    _draw_letters(axes, [*snapshot.characters, *following], -2.4, 10)
    axes.add_patch(Rectangle((snapshot.position - 0.5, -3), 1, 1.2, fill=False, edgecolor=VERMILION, linewidth=2))


def _draw_rows(axes, values, rows, colours, low, high):
    """An image whose columns are one unit wide and centred on 0, 1, 2, ...; values that are nan stay white."""
    extent = (-0.5, len(values[0]) - 0.5, rows[0], rows[1])
    axes.imshow(values, extent=extent, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")


def _draw_letters(axes, tokens, y, size):
    """One letter at each of the places (0, y), (1, y), ...: a single artist, ten times faster than a text for each."""
    scale = Affine2D().scale(size / 7200) + axes.figure.dpi_scale_trans  # at any resolution
    room = 567 / (axes.get_xlim()[1] - axes.get_xlim()[0]) * 100 / size
    paths, places = [_letter(token, room) for token in tokens], [*enumerate([y] * len(tokens))]
    letters = PathCollection(paths, offsets=places, offset_transform=axes.transData, color="black", linewidth=0)
    letters.set(transform=scale, clip_on=False, snap=False)
    axes.add_collection(letters, autolim=False)


def _columns(tokens, most):
    """How many tokens have room: `most` of one letter, or a fifth of them where there are words."""
    return max(most // 5 if max(map(len, map(visible, tokens))) > 1 else most, len(tokens))


def _letter(token, room):
    """The outline of a token, in its middle 0: 100 units high, or smaller to fit into `room`, and what is long cut."""
    letter = visible(token)
    for length in range(min(len(letter), 12), 0, -1):
        shown = letter if length == len(letter) else f"{letter[:length]}…"
        path, end = outlines(shown, "monospace", "normal")
        width = max(60 * len(shown), end)
        if SMALLEST * width <= 0.9 * room or length == 1:
            return Affine2D().translate(-width / 2, -28).scale(min(1, 0.9 * room / width)).transform_path(path)
