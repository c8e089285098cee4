"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

import functools
import io
import math

from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import NullFormatter, ScalarFormatter
from matplotlib.transforms import Affine2D

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


class RunCurves(TrainingCurves):
    """The curves of one training run over those of earlier runs in grey, each of these labelled at its end.

    Args:
        baselines: as for `TrainingCurves`.
    """

    def __init__(self, baselines):
        super().__init__(baselines, last_epoch=1)
        self.ghosts = []
        self.picture.set_layout_engine("none")  # fixed margins: nothing jumps, and drawing takes two thirds of the time
        self.axes.set_position((0.09, 0.14, 0.83, 0.78))  # the labels of the runs stand in the margin on the right
        self.axes.xaxis.get_major_locator().set_params(integer=True)
        self.axes.set_yticks([1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500])

    def draw(self, history, title="", earlier=(), last_epoch=1):
        """Show the records of `history` over those of the runs before and return the picture.

        Args:
            history: records with epoch, perplexity and held_out_perplexity.
            title: one line above the axes.
            earlier: pairs of a label and the history of an earlier run.
            last_epoch: where the epoch axis ends.
        """
        super().draw(history, title)
        for artist in self.ghosts:
            artist.remove()
        self.ghosts = [artist for label, records in earlier for artist in self._ghost(label, records)]
        unseen = [r.held_out_perplexity for _, records in earlier for r in records if r.held_out_perplexity is not None]
        highest = max(filter(math.isfinite, unseen), default=1)
        self.axes.set_ylim(1, max(self.axes.get_ylim()[1], 1.2 * highest))
        self.axes.set_xlim(0, max(last_epoch, 1))
        return self.picture

    def _ghost(self, label, records):
        """Draw one earlier run, training text solid and held-out text dashed; return the artists."""
        looked = [record for record in records if record.held_out_perplexity is not None]
        trained = [r.epoch for r in records], [r.perplexity for r in records]
        held_out = [r.epoch for r in looked], [r.held_out_perplexity for r in looked]
        grey = {"color": GREY, "alpha": 0.6, "zorder": 1}
        artists = [*self.axes.plot(*trained, "-", **grey), *self.axes.plot(*held_out, "--", **grey)]
        xs, ys = held_out if looked else trained
        if xs:
            artists.append(self.axes.text(xs[-1], ys[-1], f" {label}", fontsize=8, color=GREY, va="center"))
        return artists


class FixedPicture(Picture):
    """A picture whose axes stand at fixed places: without a layout pass it is drawn in half the time."""

    def __init__(self, width, height):
        Figure.__init__(self, figsize=(width, height), dpi=100)


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
    for heights, colour, share, label in (
        (snapshot.softmax, _tint(SKY, 0.5), 0.85, "the model's softmax"),
        (snapshot.drawn, BLUE, 0.4, "what is drawn from"),
    ):
        axes.vlines(numbers, 0, heights, color=colour, linewidth=share * points, label=label)
    axes.set(xlim=(-0.5, max(28, len(numbers)) - 0.5), ylim=(0, 1), xticks=[], yticks=[0, 0.5, 1], ylabel="probability")
    axes.set_title(f"next character: as uncertain as a free choice among {snapshot.choices:.1f}", loc="left", size=11)
    axes.legend(loc="upper right", frameon=False)
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
    scale = Affine2D().scale(axes.figure.dpi / 72)
    places = [(number, y) for number in range(len(tokens))]
    paths = [_letter(token, size) for token in tokens]
    letters = PathCollection(paths, offsets=places, offset_transform=axes.transData, color="black", linewidth=0)
    letters.set(transform=scale, clip_on=False)
    axes.add_collection(letters, autolim=False)


@functools.cache
def _letter(token, size):
    """The outline of a token in the room of one letter: a space made visible, anything longer as a question mark."""
    letter = "␣" if token == " " else token if len(token) == 1 else "?"
    return TextPath((-0.3 * size, -0.28 * size), letter, size=size, prop=FontProperties(family="monospace"))
