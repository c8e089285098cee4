"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

import io
import math

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter, ScalarFormatter

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip


class Picture(Figure):
    """A matplotlib figure that shows itself as PNG in a notebook, with no backend behind it."""

    def __init__(self, width=6.5, height=3.6):
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")

    def png(self):
        """The picture as PNG bytes."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _repr_png_(self):
        return self.png()


class TrainingCurves:
    """Training and held-out perplexity by epoch, with the baselines as horizontal lines; redrawn in place.

    Args:
        baselines: name -> held-out perplexity of a simple model, drawn as a dotted line.
        last_epoch: where the epoch axis ends.
    """

    def __init__(self, baselines, last_epoch):
        self.picture = Picture()
        axes = self.axes = self.picture.add_subplot()
        (self.training,) = axes.plot([], [], color=BLUE, label="training text")
        (self.held_out,) = axes.plot([], [], color=VERMILION, marker="o", markersize=3, label="held-out text")
        for name, perplexity in baselines.items():
            axes.axhline(perplexity, color=GREY, linestyle=":", linewidth=1)
            axes.annotate(f"{name} {perplexity:.1f}", (1, perplexity), xycoords=("axes fraction", "data"), ha="right",
                          va="bottom", fontsize=8, color=GREY)  # fmt: skip
        axes.set(xlabel="epoch", ylabel="perplexity", yscale="log", xlim=(0, max(last_epoch, 1)), ylim=(1, 40))
        axes.set_yticks([1, 2, 3, 5, 10, 20, 30])
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower left", frameon=False)

    def draw(self, history, title=""):
        """Show the records of `history` (with epoch, perplexity and held_out_perplexity) and return the picture."""
        looked = [record for record in history if record.held_out_perplexity is not None]
        self.training.set_data([r.epoch for r in history], [r.perplexity for r in history])
        self.held_out.set_data([r.epoch for r in looked], [r.held_out_perplexity for r in looked])
        values = [r.perplexity for r in history] + [r.held_out_perplexity for r in looked]
        highest = max(filter(math.isfinite, values), default=0)  # a model that diverges may be infinitely surprised
        self.axes.set_ylim(1, max(40, 1.2 * highest))
        self.axes.set_title(title, fontsize=9, loc="left", family="monospace")
        return self.picture


def training_curves(history, baselines, title=""):
    """Return a `Picture` of a finished training: the plain-function twin of the live plot."""
    return TrainingCurves(baselines, history[-1].epoch if history else 1).draw(history, title)


def token_grids(grids, sentences):
    """Return a `Picture` of where a batch's tokens lie in each grid: one colour per sentence, darker with time.

    Args:
        grids: title -> integer array (rows, columns); the token at time t of sentence b has the number b * T + t.
        sentences: B strings of T characters each.
    """
    picture = Picture(7.5, 2.8)
    palette = (BLUE, ORANGE, GREEN, PURPLE)
    for axes, (title, grid) in zip(picture.subplots(1, len(grids), squeeze=False).flat, grids.items(), strict=True):
        places = [[divmod(int(number), len(sentences[0])) for number in row] for row in grid]  # (b, t) in each cell
        colours = [[_tint(palette[b % 4], 0.25 + 0.55 * t / len(sentences[0])) for b, t in row] for row in places]
        labels = [[f"{sentences[b][t].replace(' ', '␣')}\n{b}, {t}" for b, t in row] for row in places]
        _letter_cells(axes, title, colours, labels)
    return picture


def dependence_grids(gradients, sentences, marked):
    """Return a `Picture` of the inputs that one output depends on: white = exactly no influence, dark = much.

    Args:
        gradients: title -> array (B, T), the size of the output's gradient at each input token.
        sentences: B strings of T characters each.
        marked: (b, t) of the output; a red frame shows its place.
    """
    picture = Picture(7.5, 3.4)
    for number, (title, sizes) in enumerate(gradients.items()):
        axes = picture.add_subplot((len(gradients) + 1) // 2, 2, number + 1)
        largest = max(float(size) for row in sizes for size in row) or 1.0
        colours = [[_tint(BLUE, 0.2 + 0.6 * float(s) / largest if s else 0.0) for s in row] for row in sizes]
        labels = [[character.replace(" ", "␣") for character in sentence] for sentence in sentences]
        _letter_cells(axes, title, colours, labels)
        axes.set(xlabel="time", ylabel="sentence")
        corner = (marked[1] - 0.5, marked[0] - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3))
    return picture


def _tint(colour, strength):
    """Mix a colour with white: strength 0 is white, 1 the colour itself."""
    return [1 - strength * (1 - channel) for channel in to_rgb(colour)]


def _letter_cells(axes, title, colours, labels):
    """Draw a grid of coloured cells, each with its text, on axes that count rows and columns."""
    axes.imshow(colours)
    for i, row in enumerate(labels):
        for j, label in enumerate(row):
            axes.text(j, i, label, ha="center", va="center", fontsize=9, family="monospace")
    axes.set_title(title, fontsize=10)
    axes.set(xticks=range(len(labels[0])), yticks=range(len(labels)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
