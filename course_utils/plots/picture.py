"""What all figures share: the picture that shows itself in a notebook, the colours, and small helpers."""

import io

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip


INK, FAINT = "#222222", "#666666"


LAYER_COLOURS = (SKY, GREEN, YELLOW, BLUE)


SHIFT = 0.4  # a step along a tensor's first axis is drawn this many numbers to the right and down


class Picture(Figure):
    """A matplotlib figure that shows itself as PNG in a notebook, with no backend behind it."""

    def __init__(self, width=6.5, height=3.6):
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")

    def png(self, dpi=100):
        """The picture as PNG bytes; more dots per inch make it larger."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_type": 0})  # a fifth smaller than the default
        return buffer.getvalue()

    def _repr_png_(self):
        return self.png()


def tint(colour, strength):
    """Mix a colour with white: strength 0 is white, 1 the colour itself."""
    return [1 - strength * (1 - channel) for channel in to_rgb(colour)]


class FixedPicture(Picture):
    """A picture whose axes stand at fixed places: without a layout pass it is drawn in half the time."""

    def __init__(self, width, height):
        Figure.__init__(self, figsize=(width, height), dpi=100)


def labelled_bars(axes, names, values, form):
    """Horizontal bars from top to bottom, each with its name on the left and its value behind it."""
    bars = axes.barh(range(len(names)), values, color=BLUE, height=0.6)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.1, -0.6)  # with room for a word below the last bar
    axes.spines[["top", "right"]].set_visible(False)


def guess_line(axes, guess):
    """A dashed line where the reader expected the value on the x axis; nothing without a guess."""
    if guess is not None:
        axes.axvline(guess, color=PURPLE, linestyle="--")
        axes.annotate(" your guess", (guess, 0.01), xycoords=("data", "axes fraction"), color=PURPLE)


def guess_star(axes, x, y):
    """Mark what the reader guessed."""
    axes.plot(x, y, "*", markersize=12, color=PURPLE, zorder=3)
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    below = {"xytext": (0, -18), "textcoords": "offset points", "ha": "center"}
    axes.annotate("your guess", (x, y), **below, color=PURPLE, bbox=box)


def perplexity_axis(axes):
    """A logarithmic axis with plain numbers; what lies above 1,000 is out of the picture."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_yticks([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    axes.set_ylim(max(0.95, low), min(1000, high))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
