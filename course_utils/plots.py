"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

import functools
import io
import itertools
import math

from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import NullFormatter, ScalarFormatter
from matplotlib.transforms import Affine2D

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
INK, FAINT = "#222222", "#666666"
LAYER_COLOURS = (SKY, GREEN, YELLOW, BLUE)
SHIFT = 0.4  # a step along a tensor's first axis is drawn this many numbers to the right and down
ARM_NAMES = {
    "transpose": "transposed, as in the book",
    "batch_first": "batch_first=True",
    "none": "no transpose at all",
    "reshape": "reshape instead",
    "untransposed labels": "labels not transposed",
}


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
        self.axes.set_title(title, fontsize=8, loc="left", family="monospace")
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
    widths, height = [len(grid[0]) + 1 for grid in grids.values()], max(len(grid) for grid in grids.values())
    picture = Picture(0.55 * sum(widths), 0.55 * height + 0.8)
    panels = picture.subplots(1, len(grids), squeeze=False, width_ratios=widths).flat
    palette = (BLUE, ORANGE, GREEN, PURPLE)
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        places = [[divmod(int(number), len(sentences[0])) for number in row] for row in grid]  # (b, t) in each cell
        colours = [[_tint(palette[b % 4], 0.25 + 0.55 * t / len(sentences[0])) for b, t in row] for row in places]
        labels = [[f"{sentences[b][t].replace(' ', '␣')}\n{b}, {t}" for b, t in row] for row in places]
        _letter_cells(axes, title, colours, labels)
        axes.set_ylabel("axis 0", loc="top")
        axes.set_xlabel("axis 1", loc="left")
        axes.xaxis.set(label_position="top", ticks_position="top")
        axes.tick_params(length=0)
        axes.set_anchor("N")
        axes.set_ylim(height - 0.5, -0.5)  # one scale in all panels: cells of one size
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
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3, clip_on=False))
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
            border = {"fill": False, "edgecolor": GREY, "linewidth": 0.5, "clip_on": False}
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **border))
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
        self.ghosts = [artist for place, run in enumerate(earlier) for artist in self._ghost(*run, place)]
        unseen = [r.held_out_perplexity for _, records in earlier for r in records if r.held_out_perplexity is not None]
        highest = max(filter(math.isfinite, unseen), default=1)
        self.axes.set_ylim(1, max(self.axes.get_ylim()[1], 1.2 * highest))
        self.axes.set_xlim(0, max(last_epoch, 1))
        return self.picture

    def _ghost(self, label, records, place):
        """Draw one earlier run, training text solid and held-out text dashed; return the artists.

        Labels stand behind the curves' ends, each of another height in its `place`, so that none hides another.
        """
        looked = [record for record in records if record.held_out_perplexity is not None]
        trained = [r.epoch for r in records], [r.perplexity for r in records]
        held_out = [r.epoch for r in looked], [r.held_out_perplexity for r in looked]
        grey = {"color": GREY, "alpha": 0.6, "zorder": 1}
        artists = [*self.axes.plot(*trained, "-", **grey), *self.axes.plot(*held_out, "--", **grey)]
        xs, ys = held_out if looked else trained
        if xs:
            artists.append(
                self.axes.annotate(label, (xs[-1], ys[-1]), (4, 9 * place - 9), textcoords="offset points", fontsize=8,
                                   color=GREY, va="center", bbox=dict(facecolor="white", edgecolor="none", pad=0.5))
            )  # fmt: skip
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
    axes.vlines(numbers, 0, snapshot.softmax, color=_tint(SKY, 0.5), linewidth=0.85 * points)
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
    scale = Affine2D().scale(axes.figure.dpi / 72)
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


def prefix_curve(lengths, perplexities, baselines):
    """Return a `Picture` of the next character's perplexity against the number of characters read before it.

    Args:
        lengths: numbers of characters, growing.
        perplexities: one for each length.
        baselines: name -> perplexity of a simple model, drawn as a dotted line.
    """
    picture = Picture(6.5, 3)
    axes = picture.add_subplot()
    axes.plot(lengths, perplexities, color=VERMILION, marker="o", markersize=4)
    for name, perplexity in baselines.items():
        axes.axhline(perplexity, color=GREY, linestyle=":")
        axes.annotate(f"{name} {perplexity:.1f}", (lengths[-1], perplexity), ha="right", va="bottom", color=GREY)
    axes.set(xlabel="characters read before", ylabel="held-out perplexity", xscale="log")
    axes.set_xticks(lengths, lengths)
    axes.xaxis.set_minor_formatter(NullFormatter())
    return picture


def unrolled_picture(num_steps, num_layers=1, bidirectional=False, cell="RNN"):
    """Return a `Picture` of a recurrent layer unrolled over its time steps; of many steps the middle ones are left out.

    Args:
        num_steps, num_layers: whole numbers of at least 1.
        bidirectional: draw a second row of boxes in each layer, which reads from right to left.
        cell: "RNN", "GRU" or "LSTM"; an LSTM's state has two parts.
    """
    sketch = _Sketch(780, 70 + 62 * num_layers * (1 + bidirectional))
    _draw_network(sketch, (0, 6, 780, sketch.height - 12), num_steps, num_layers, bidirectional, cell)
    return sketch.finish()


def shape_picture(record):
    """Return a `Picture` of a layer: unrolled over time, then every tensor that flows and every weight, to scale.

    Args:
        record: an `experiments.shapes.LayerShapes`, or anything with its fields.
    """
    sketch = _Sketch(920, 616)
    layer, rest = record.parameters
    sketch.words(14, 19, f"layer = {record.code}", 14, family="monospace", weight="bold")
    sketch.words(14, 42, f"{layer:,} numbers to learn in the layer, and {rest:,} after it", 11)
    network = record.num_steps, record.num_layers, record.bidirectional, record.cell
    _draw_network(sketch, (0, 54, 768, 212), *network)
    blocks, groups = _flow_blocks(record), _weight_groups(record)
    scale, weights_scale = _scales(record, blocks, groups)
    _draw_flow(sketch, record, blocks, (14, 284, 750), scale)
    _draw_logits(sketch, record, (788, 13, 124, 595), scale)
    _draw_weights(sketch, groups, (14, 414, 750), weights_scale, scale)
    return sketch.finish()


class _Sketch:
    """Polygons and words in pixels, y downwards. All polygons become one artist, which keeps drawing quick."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.picture = FixedPicture(width / 100, height / 100)
        self.axes = self.picture.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()
        self.polygons, self.faces, self.edges = [], [], []
        self.letters, self.inks = [], []

    def polygon(self, points, face, edge=INK):
        self.polygons.append(Path([*points, points[0]], closed=True))
        self.faces.append(face)
        self.edges.append(edge)

    def box(self, x, y, width, height, face, edge=INK):
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], face, edge)

    def line(self, *points, colour=INK):
        self.polygon([*points, *points[-2:0:-1]], "none", colour)  # there and back: a polygon without area

    def arrow(self, x, y, to_x, to_y):
        """A horizontal or vertical arrow with a head of at most 5 pixels."""
        across, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
        size = min(5, abs(to_x - x) + abs(to_y - y))
        neck_x, neck_y = to_x - size * across, to_y - size * down
        self.line((x, y), (neck_x, neck_y))
        self.polygon(
            [(to_x, to_y), (neck_x - 3 * down, neck_y + 3 * across), (neck_x + 3 * down, neck_y - 3 * across)], INK
        )

    def words(self, x, y, text, size=9, align="left", family="sans", weight="normal", colour=INK):
        """Text in points, its letters centred on y; `align` is what of it stands at x: left, center or right."""
        path, width = _letters(text, family, weight)
        start = {"left": 0, "center": 0.5, "right": 1}[align] * width
        grow = size / 72  # letters are 100 units high; 100 pixels per inch
        self.letters.append(Path((path.vertices - (start, 36)) * (grow, -grow) + (x, y), path.codes))
        self.inks.append(colour)

    def finish(self):
        """Put everything on the picture and return it."""
        for paths, style in (
            (self.polygons, {"facecolors": self.faces, "edgecolors": self.edges, "linewidths": 0.8, "snap": True}),
            (self.letters, {"facecolors": self.inks, "linewidths": 0, "snap": False}),
        ):
            self.axes.add_collection(PathCollection(paths, **style), autolim=False)
        return self.picture


@functools.lru_cache(maxsize=2_000)
def _letters(text, family, weight):
    """A text's outlines and width, kept, because matplotlib's own text would take most of the time of a picture."""
    path = TextPath((0, 0), text, size=100, prop=FontProperties(family=family, weight=weight))
    return path, path.vertices[:, 0].max()


def _draw_network(sketch, area, num_steps, num_layers, bidirectional, cell):
    """The unrolled network: time to the right, layers upwards, in each layer a row of boxes per direction."""
    left, top, width, height = area
    shown = range(num_steps) if num_steps <= 6 else [0, 1, 2, None, num_steps - 2, num_steps - 1]
    pitch, directions = (width - 316) / len(shown), 1 + bidirectional
    places = [(step, left + 166 + pitch * (i + 0.5)) for i, step in enumerate(shown)]
    storey, lane = (height - 50) / num_layers, min(pitch * 0.21, 22) * bidirectional
    ends = (left + 150, left + width - 134)
    for layer in range(-1, num_layers):  # -1 stands for the inputs
        ceiling = top + height - 25 - (layer + 1) * storey
        _draw_vectors(sketch, places, ceiling, lane, _vector_colours(layer, num_layers, num_steps, directions))
        for direction in range(directions if layer >= 0 else 0):
            middle = ceiling + storey * (1 - (direction + 0.5) / directions)
            row = [(step, x + (2 * direction - 1) * lane) for step, x in places]
            size = min(26, 0.46 * storey / directions)
            _draw_row(sketch, row, (ceiling + storey, middle, ceiling), size, _layer_colour(layer))
            name = ("h[{0}], c[{0}]" if cell == "LSTM" else "state[{0}]").format(directions * layer + direction)
            colour = (ORANGE, PURPLE)[direction] if layer == num_layers - 1 else _layer_colour(layer)
            _draw_states(sketch, row, ends, middle, size, direction, name, colour)
    _draw_names(sketch, places, (left, top, height), storey, num_layers)


def _draw_names(sketch, places, corner, storey, num_layers):
    """What the layers, the inputs and the outputs of the network are called."""
    left, top, height = corner
    for layer in range(num_layers):
        sketch.words(left + 14, top + height - 25 - (layer + 0.5) * storey, f"layer {layer}")
    for step, x in places:
        for y, name in ((top + height - 10, "X"), (top + 11, "Y")):
            sketch.words(x, y, "· · ·" if step is None else f"{name}[{step}]", 10, align="center", family="monospace")


def _layer_colour(layer):
    return _tint(LAYER_COLOURS[layer % len(LAYER_COLOURS)], 0.6)


def _vector_colours(layer, num_layers, num_steps, directions):
    """A function from a time step to the colours of what stands above `layer` then, one per direction."""
    usual = _tint(GREY, 0.35) if layer < 0 else _layer_colour(layer)

    def colours(step):
        if layer < num_layers - 1:
            return [usual] * directions
        forward = ORANGE if step == num_steps - 1 else usual
        return [forward, PURPLE if step == 0 else usual][:directions]

    return colours


def _draw_vectors(sketch, places, y, lane, colours):
    """A flat bar for each step: the vector that goes into the layer above, from each direction one part."""
    for step, x in places:
        if step is not None:
            parts = colours(step)
            width = (2 * lane + 26) / len(parts)
            for i, colour in enumerate(parts):
                sketch.box(x - width * len(parts) / 2 + i * width, y - 3, width, 6, colour)


def _draw_row(sketch, row, levels, height, colour):
    """One direction of one layer: a box per step, each with an arrow from below and one to above."""
    floor, middle, ceiling = levels
    for step, x in row:
        if step is None:
            for dot in (-8, 0, 8):
                sketch.box(x + dot - 1, middle - 1, 2, 2, INK)
        else:
            sketch.arrow(x, floor - 3, x, middle + height / 2)
            sketch.box(x - 13, middle - height / 2, 26, height, colour)
            sketch.arrow(x, middle - height / 2, x, ceiling + 3)


def _draw_states(sketch, row, ends, y, height, backward, name, colour):
    """The state on its way through a row: from zeros at one end, over the boxes, to its final value at the other."""
    stops = [(ends[0], 7), *((x, 13 if step is not None else 14) for step, x in row), (ends[1], 7)]
    ahead = -1 if backward else 1
    stops = stops[::ahead]
    for (x, half), (to_x, to_half) in itertools.pairwise(stops):
        sketch.arrow(x + ahead * half, y, to_x - ahead * to_half, y)
    for (x, half), text, face, side in ((stops[0], "zeros", "white", -ahead), (stops[-1], name, colour, ahead)):
        sketch.box(x - half, y - height / 2, 2 * half, height, face)
        sketch.words(x + side * 13, y, text, align="right" if side < 0 else "left", family="monospace")


def _flow_blocks(record):
    """(title, shape, letters, colours) of the layer's input, output and state."""
    last, directions = record.num_layers - 1, 1 + record.bidirectional
    T, B, V, H = record.num_steps, record.batch_size, record.vocab_size, record.num_hiddens
    L = directions * record.num_layers

    def state_colours(row):
        return [(ORANGE, PURPLE)[row % directions] if row // directions == last else _layer_colour(row // directions)]

    wide = "2·H" if record.bidirectional else "H"
    outputs = _vector_colours(last, record.num_layers, record.Y[0], directions)
    inputs = _vector_colours(-1, record.num_layers, record.X[0], 1)
    blocks = [
        ("X", record.X, "TBV", (T, B, V), inputs),
        ("Y", record.Y, ("T", "B", wide), (T, B, directions * H), outputs),
    ]
    names = ("state",) if len(record.state) == 1 else ("h", "c")
    blocks += [(name, shape, "LBH", (L, B, H), state_colours) for name, shape in zip(names, record.state, strict=True)]
    return [
        (_title(name, shape, letters, expected), shape, letters, colours)
        for name, shape, letters, expected, colours in blocks
    ]


def _title(name, shape, letters, expected):
    """The name with its axes, or that it does not have them."""
    axes = f"({', '.join(letters)})"
    return f"{name} {axes}" if tuple(shape) == expected else f"{name} ≠ {axes}"


def _extent(shape):
    """Width and height of a drawn tensor in numbers."""
    depth, rows, columns = (1, 1, 1, *shape)[-3:]
    return columns + SHIFT * (depth - 1), rows + SHIFT * (depth - 1)


def _label_width(title, shape):
    return 30 + 7.7 * max(len(title), len(str(shape)))


def _scales(record, blocks, groups):
    """Pixels per number for what flows and for the weights: one scale for both, unless that would make one tiny."""
    sizes = [(*_extent(shape), _label_width(title, shape)) for title, shape, _, _ in blocks]
    for scale in (24 * 0.97**i for i in range(400)):
        wide = sum(max(label, width * scale + 40) for width, _, label in sizes)
        if wide < 570 and max(height for _, height, _ in sizes) * scale < 50:
            break
    rows, columns = (1, *record.logits)[-2:]
    scale = min(scale, 90 / columns, max(scale / 2.5, 530 / rows))
    other = 24
    for _, _, _, shapes, room in groups:
        wide, high = sum(_extent(shape)[0] for shape in shapes), max(_extent(shape)[1] for shape in shapes)
        other = min(other, 112 / high, (room - 10 - 5 * len(shapes)) / wide)
    return (min(scale, other),) * 2 if 0.4 < scale / other < 2.5 else (scale, other)


def _draw_heading(sketch, area, text, scale):
    """A line across, below it a heading at the left and at the right a bar of 1, 10, 100 or 1,000 numbers' length."""
    left, top, width = area
    sketch.line((left, top), (left + width, top), colour="#BBBBBB")
    sketch.words(left, top + 13, text, 10, colour=FAINT)
    numbers = next(n for n in (1, 10, 100, 1_000) if n * scale >= 12 or n == 1_000)
    right = left + width - numbers * scale
    sketch.box(right, top + 11, numbers * scale, 4, INK)
    sketch.words(right - 6, top + 13, f"{numbers:,} number{'s' if numbers > 1 else ''}", align="right", colour=FAINT)


def _draw_flow(sketch, record, blocks, area, scale):
    """The tensors that pass through the layer, side by side, and where the final state stands among the outputs."""
    left, top, width = area
    _draw_heading(sketch, area, "what passes through, in the shapes that torch returned: grows with T and B", scale)
    x = left
    for title, shape, letters, colours in blocks:
        sketch.words(x, top + 33, title, 10, weight="bold", colour=VERMILION if "≠" in title else INK)
        sketch.words(x, top + 48, str(shape), family="monospace")
        _draw_block(sketch, x, top + 69, shape, scale, colours, letters)
        x += max(_label_width(title, shape), _extent(shape)[0] * scale + 40)
    _draw_meetings(sketch, record, left + width, top + 48)


def _draw_meetings(sketch, record, right, y):
    """In words and colours: whether the last layer's final state is what stands in Y, as measured."""
    name = "state" if len(record.state) == 1 else "h"
    pairs = [("Y[-1]", f"{name}[-1]")]
    if record.bidirectional:
        pairs = [("Y[-1, :, :H]", f"{name}[-2]"), ("Y[0, :, H:]", f"{name}[-1]")]
    for i, (there, here) in enumerate(pairs):
        text = f"{there} {'=' if record.meets[i] else '≠'} {here}"
        sketch.words(right, y + 18 * i, text, family="monospace", align="right")
        sketch.box(right - 7.7 * len(text) - 16, y + 18 * i - 5, 10, 10, (ORANGE, PURPLE)[i])


def _draw_weights(sketch, groups, area, scale, other_scale):
    """The parameters: a group per layer, both directions side by side, and what comes after the layers."""
    left, top, _ = area
    ratio = max(scale, other_scale) / min(scale, other_scale)
    note = f" (drawn {ratio:.0f} times {'larger' if scale > other_scale else 'smaller'})" if ratio > 1 else ""
    _draw_heading(sketch, area, f"what is learnt: the same for any T and B{note}", scale)
    for title, lines, colour, shapes, room in groups:
        sketch.words(left, top + 33, title, 10, weight="bold")
        for i, line in enumerate(lines):
            sketch.words(left, top + 48 + 14 * i, line, family="monospace")
        x = left
        for shape in shapes:
            _draw_block(sketch, x, top + 87, shape, scale, colour)
            x += max(_extent(shape)[0] * scale, 2) + 5
        left += room


def _weight_groups(record):
    """(title, lines, colours, shapes, pixels of room) for each layer and for what comes after the layers."""
    groups, room = [], min(230, 564 / record.num_layers)
    for layer in range(record.num_layers):
        own = [(name, shape) for name, shape in record.weights if f"_l{layer}" in name]
        one = {name.split("_l")[0]: shape for name, shape in own if "reverse" not in name}
        lines = [f"W_ih {one['weight_ih']}", f"W_hh {one['weight_hh']}", f"b_ih,b_hh {one['bias_ih']}"]
        title = f"layer {layer}" + (", → and ←" if record.bidirectional else "")
        groups.append((title, lines, _plain(_layer_colour(layer)), [_upright(shape) for _, shape in own], room))
    if record.head:
        lines, shapes = (
            [f"{name} {shape}" for name, shape in record.head[:3]],
            [_upright(shape) for _, shape in record.head],
        )
        groups.append(("after the layer", lines, _plain(_tint(VERMILION, 0.5)), shapes, 186))
    return groups


def _draw_block(sketch, x, y, shape, scale, colours, letters=""):
    """A tensor to scale: a sheet of rows and columns for each place of the first axis, the last one in front."""
    depth, rows, columns = (1, 1, 1, *shape)[-3:]
    step, width, height = SHIFT * scale, max(columns * scale, 2), max(rows * scale, 2)
    every = max(1, math.ceil(2.5 / step))
    for sheet in sorted({0, *range(depth - 1, 0, -every)}):
        parts = colours(sheet)
        for i, colour in enumerate(parts):
            part = width / len(parts)
            sketch.box(x + sheet * step + i * part, y + sheet * step, part, height, colour, colour)
        _draw_sheet(sketch, x + sheet * step, y + sheet * step, rows, columns, width, height)
    end = (depth - 1) * step
    beside = x + end + width
    middle = y + end + height / 2
    over = (beside - end / 2 + 9, min(y + end / 2 - 3, middle - 11))
    places = (over, (beside + 9, middle), (beside - width / 2, y + end + height + 9))
    for (at_x, at_y), letter in zip(places, letters, strict=False):
        sketch.words(at_x, at_y, letter, align="center", colour=FAINT)


def _draw_sheet(sketch, x, y, rows, columns, width, height):
    """The outline of a matrix and, where there is room, a cell for every number."""
    if width / columns >= 6 and height / rows >= 6:
        for i in range(1, columns):
            sketch.line((x + i * width / columns, y), (x + i * width / columns, y + height), colour="white")
        for i in range(1, rows):
            sketch.line((x, y + i * height / rows), (x + width, y + i * height / rows), colour="white")
    sketch.box(x, y, width, height, "none")


def _draw_logits(sketch, record, area, scale):
    """The model's output upright, a shade for each time step; cut where it is too long for the picture."""
    left, top, _, height = area
    rows, columns = (1, *record.logits)[-2:]
    expected = (record.num_steps * record.batch_size, record.vocab_size)
    title = _title("logits", record.logits, ("T·B", "V"), expected)
    sketch.words(left, top + 6, title, 10, weight="bold", colour=VERMILION if "≠" in title else INK)
    sketch.words(left, top + 22, str(record.logits), family="monospace")
    y, shown = top + 38, min(rows, int((height - 60) / scale))
    wide, band = max(columns * scale, 2), max(1, rows // record.num_steps)
    for first in range(0, shown, band):
        shade = _tint(VERMILION, 0.35 if first // band % 2 else 0.6)
        sketch.box(left, y + first * scale, wide, min(band, shown - first) * scale, shade, shade)
    _draw_sheet(sketch, left, y, shown, columns, wide, max(shown * scale, 2))
    end = y + shown * scale
    if shown < rows:
        teeth = [(left - 4 + i * (wide + 8) / 8, end + 4 * (-1) ** i) for i in range(9)]
        sketch.polygon([*teeth, (left + wide + 4, end + 6), (left - 4, end + 6)], "white", "white")
        sketch.line(*teeth)
    sketch.words(left, end + 16, "cut: too long" if shown < rows else "a band per step", colour=FAINT)


def _upright(shape):
    """The shape of a weight as it is drawn: a bias, which has one axis only, as a column."""
    return (*shape, 1) if len(shape) == 1 else shape


def _plain(colour):
    """The same colour for every sheet of a tensor."""
    return lambda sheet: [colour]


def layout_runs(records, guess=None):
    """Return a `Picture` of what a mistake with the axes costs, a bar for each way of training.

    Args:
        records: `experiments.layout.LayoutRun`s of one text.
        guess: the reader's guess of the held-out perplexity without the transpose, or None.
    """
    picture = Picture(7.5, 2.8)
    axes = picture.add_subplot()
    perplexities = [record.held_out_perplexity for record in records]
    _labelled_bars(axes, [ARM_NAMES[record.arm] for record in records], perplexities, "{:.1f}")
    for name in ("bigram", "unigram"):
        value = getattr(records[0], name)
        axes.axvline(value, color=GREY, linestyle=":")
        axes.annotate(f"{name} {value:.1f} ", (value, 1), xycoords=("data", "axes fraction"), ha="right", va="bottom",
                      fontsize=8, color=GREY)  # fmt: skip
    axes.set(xlabel="held-out perplexity", xlim=(0, 1.15 * max(*perplexities, records[0].unigram, guess or 0)))
    _guess_line(axes, guess)
    return picture


def loss_ways(records, guess=None):
    """Return a `Picture` of how long each way to a batch's loss takes, with the loss that it finds.

    Args:
        records: `experiments.layout.LossWay`s; a loss that is not the first one's is written in red, without a bar.
        guess: the reader's guess of the longest way's ratio to the first one, or None.
    """
    picture = Picture(7.5, 2.5)
    axes = picture.add_subplot()
    wrong = [record.difference > 1e-4 for record in records]
    ratios = [math.nan if off else record.ratio for off, record in zip(wrong, records, strict=True)]
    _labelled_bars(axes, [record.way for record in records], ratios, "{:,.0f} ×")
    for number, record in enumerate(records):
        colour = VERMILION if wrong[number] else INK
        axes.annotate(f"loss {record.loss:.4f}", (1.02, number), xycoords=("axes fraction", "data"), va="center",
                      color=colour, annotation_clip=False)  # fmt: skip
    longest = max(guess or 0, *(record.ratio for record in records))
    axes.set(xlabel="time, as a multiple of one call", xscale="log", xlim=(0.5, 4 * longest))
    _guess_line(axes, guess)
    return picture


def dependence_maps(maps):
    """Return a `Picture` of which input each output depends on, for batches of different shapes; white = not at all.

    Args:
        maps: title -> boolean array (B, T, B, T): at [b, t, b', t'] whether output (b, t) depends on input (b', t').
    """
    picture = Picture(2.3 * len(maps) + 0.4, 2.7)
    panels = picture.subplots(1, len(maps), squeeze=False)[0]
    for axes, (title, depends) in zip(panels, maps.items(), strict=True):
        num_rows, num_steps = len(depends), len(depends[0])
        total = num_rows * num_steps
        cells = [[_tint(BLUE, 0.9 * bool(cell)) for cell in row] for row in depends.reshape(total, total)]
        axes.imshow(cells, extent=(0, total, total, 0))
        for edge in range(num_steps, total, num_steps):
            axes.axhline(edge, color=GREY, linewidth=0.3)
            axes.axvline(edge, color=GREY, linewidth=0.3)
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[], xlabel="input")
    panels[0].set_ylabel("output")
    return picture


def batch_against_time(records, baselines, guess=None):
    """Return a `Picture` of speed and quality for the same number of tokens per update, cut in different shapes.

    Args:
        records: `experiments.layout.BatchShape`s.
        baselines: name -> held-out perplexity of a simple model, drawn as a dotted line.
        guess: the shape that the reader takes for the worst, such as "32 × 35" (rows × steps), or None.
    """
    picture = Picture(8.5, 3.2)
    speed, quality = picture.subplots(1, 2)
    places, names = range(len(records)), [f"{record.batch_size} × {record.num_steps}" for record in records]
    speed.plot(places, [record.tokens_per_second for record in records], "o-", color=BLUE)
    speed.set(ylabel="tokens per second", yscale="log")
    quality.plot(places, [record.held_out_perplexity for record in records], "o-", color=VERMILION)
    for name, value in baselines.items():
        quality.axhline(value, color=GREY, linestyle=":")
        quality.annotate(f"{name} {value:.1f}", (0, value), va="bottom", fontsize=8, color=GREY)
    if guess in names:
        place = names.index(guess)
        quality.axvline(place, color=PURPLE, linestyle="--")
        side = "left" if place < len(names) / 2 else "right"
        quality.annotate(" your guess ", (place, 0.02), xycoords=("data", "axes fraction"), ha=side, color=PURPLE)
    quality.set_ylabel("held-out perplexity")
    for axes in (speed, quality):
        axes.set_xticks(places, names, fontsize=8)
        axes.set_xlabel("rows × steps")
        axes.margins(x=0.1, y=0.15)
    return picture


def steps_against_layers(sizes, graphs, guess=None):
    """Return a `Picture` of what grows with the number of time steps: parameters do not, autograd's graph does.

    Args:
        sizes: `experiments.layout.Size`s for several numbers of layers and steps.
        graphs: `experiments.layout.UnrolledGraph`s for several numbers of steps.
        guess: the reader's guess of how many times as many parameters the most steps need, or None.
    """
    picture = Picture(8.5, 3.2)
    left, right = picture.subplots(1, 2)
    for depth in sorted({size.num_layers for size in sizes}):
        chosen = [size for size in sizes if size.num_layers == depth]
        left.plot([size.num_steps for size in chosen], [size.parameters for size in chosen], "o-", color=BLUE)
        label = f"  {depth} layer{'s' * (depth > 1)}: {chosen[0].parameters:,}"
        left.annotate(label, (1, chosen[0].parameters), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    if guess is not None:
        one = [size for size in sizes if size.num_layers == 1]
        steps, guessed = [one[0].num_steps, one[-1].num_steps], [one[0].parameters, guess * one[0].parameters]
        left.plot(steps, guessed, "--", marker="*", color=PURPLE)
        left.annotate("your guess", (steps[-1], guessed[-1]), (0, 6), textcoords="offset points", ha="right",
                      color=PURPLE)  # fmt: skip
    left.set(title="parameters of the layer", ylim=(3e4, max(1e6, 3e5 * (guess or 0))))
    names = {"nodes": "nodes of the graph", "uses": "uses of $W_{hh}$", "weight_tensors": "weight tensors"}
    for (field, name), colour in zip(names.items(), (GREY, ORANGE, BLUE), strict=True):
        right.plot([g.num_steps for g in graphs], [getattr(g, field) for g in graphs], "o-", color=colour, label=name)
    right.set(title="the unrolled loop in autograd")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="time steps T")
        axes.yaxis.set_minor_formatter(NullFormatter())
    return picture


def _labelled_bars(axes, names, values, form):
    """Horizontal bars from top to bottom, each with its name on the left and its value behind it."""
    bars = axes.barh(range(len(names)), values, color=BLUE, height=0.6)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.1, -0.6)  # with room for a word below the last bar
    axes.spines[["top", "right"]].set_visible(False)


def _guess_line(axes, guess):
    """A dashed line where the reader expected the value on the x axis; nothing without a guess."""
    if guess is not None:
        axes.axvline(guess, color=PURPLE, linestyle="--")
        axes.annotate(" your guess", (guess, 0.01), xycoords=("data", "axes fraction"), color=PURPLE)


def text_windows(windows):
    """Return a `Picture` of a text cut into windows: one row for each string, one cell for each character.

    Args:
        windows: strings; spaces are drawn as an open box.
    """
    width = max(len(window) for window in windows)
    picture = FixedPicture(0.5 + 0.2 * max(width, 20), 0.4 + 0.32 * len(windows))
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.5, max(width, 20)), ylim=(len(windows) - 0.4, -0.6))
    axes.axis("off")
    for row, window in enumerate(windows):
        colour = (SKY, ORANGE)[row % 2]
        axes.add_patch(Rectangle((-0.5, row - 0.4), len(window), 0.8, facecolor=_tint(colour, 0.35), edgecolor=colour))
        for column, character in enumerate(window):
            letter = character.replace(" ", "\u2423")
            axes.text(column, row, letter, ha="center", va="center", family="monospace", size=10)
    return picture


def gradient_decays(records, guess=None):
    """Return a `Picture` of the gradient at lag k over that at lag 0, with its spread, and theory's as a dashed line.

    Args:
        records: `experiments.memory.GradientDecay`s, at most seven.
        guess: what the reader thinks is left after the book's 35 steps, or None.
    """
    picture = Picture(8, 4)
    axes = picture.add_subplot()
    for record, colour in zip(records, (BLUE, VERMILION, GREEN, ORANGE, SKY, INK, YELLOW), strict=False):
        lags = range(len(record.ratios))
        axes.plot(lags, record.ratios, color=colour, label=f"{record.arm}, H = {record.num_hiddens}")
        axes.fill_between(lags, record.lowest, record.highest, color=colour, alpha=0.2, linewidth=0)
        if record.expected is not None:
            axes.plot(lags, record.expected, "--", color=colour, linewidth=1)
    axes.plot([], [], "--", color=GREY, linewidth=1, label="theory")
    axes.axvline(35, color=GREY, linestyle=":")
    axes.annotate(" 35 steps", (35, 0.01), xycoords=("data", "axes fraction"), color=GREY)
    if guess is not None:
        axes.plot(35, guess, "*", markersize=12, color=PURPLE, zorder=3)
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        axes.annotate("your guess", (35, guess), (10, 4), textcoords="offset points", color=PURPLE, bbox=box)
    axes.set(xlabel="steps back in time", ylabel="share of the gradient left", yscale="log")
    axes.margins(x=0)
    picture.legend(loc="outside right center", frameon=False)
    return picture


def recalls(records, guess=None):
    """Return a `Picture` of who still knows the first symbol: a row for each model, a column for each gap.

    Args:
        records: `experiments.memory.Recall`s; places without a record stay empty.
        guess: the arm that the reader trusts most, or None.
    """
    rows = list(dict.fromkeys((record.arm, record.num_hiddens) for record in records))
    gaps = sorted({record.gap for record in records})
    picture = Picture(2.6 + 1.3 * len(gaps), 1.1 + 0.42 * len(rows))
    axes = picture.add_subplot()
    for record in records:
        x, y = gaps.index(record.gap), rows.index((record.arm, record.num_hiddens))
        better = (record.accuracy - record.chance) / (1 - record.chance)
        axes.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, color=_tint(BLUE, 0.1 + 0.6 * max(0, better))))
        axes.text(x, y, f"{record.accuracy:.0%}", ha="center", va="center")
    for y, (arm, _) in enumerate(rows):
        if arm == guess:
            axes.text(len(gaps) - 0.4, y, "your guess", va="center", color=PURPLE)
    axes.set_xticks(range(len(gaps)), gaps)
    axes.set_yticks(range(len(rows)), [f"{arm}, H = {num_hiddens}" for arm, num_hiddens in rows])
    axes.set(xlabel=f"symbols in between (chance: {records[0].chance:.0%})", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(-0.5, len(gaps) - 0.5 + 0.9 * (guess in [arm for arm, _ in rows]))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture


def clippings(records):
    """Return a `Picture` of trainings with and without clipping: the loss, and the gradient's norm before clipping.

    Args:
        records: `experiments.memory.Clipping`s; values that are not finite are left out.
    """
    picture = Picture(8.5, 3.2)
    left, right = picture.subplots(1, 2)
    for record, colour in zip(records, (BLUE, VERMILION, GREEN, ORANGE), strict=False):
        limit = "no clipping" if record.max_norm is None else f"clipped at {record.max_norm:g}"
        left.plot(record.losses, color=colour, linewidth=1)
        right.plot(record.norms_before, color=colour, linewidth=1, label=f"{record.arm}, {limit}")
        if record.max_norm is not None:
            right.axhline(record.max_norm, color=colour, linestyle=":")
    left.set(title="loss", ylim=(0, None))
    right.set(title="length of the gradient before clipping", yscale="log")
    for axes in (left, right):
        axes.set_xlabel("update")
        axes.spines[["top", "right"]].set_visible(False)
    picture.legend(loc="outside lower center", ncols=2, frameon=False)
    return picture


def history_costs(records):
    """Return a `Picture` of what backward costs from window to window, with and without `detach`.

    Args:
        records: `experiments.memory.HistoryCost`s.
    """
    picture = Picture(8.5, 3)
    left, right = picture.subplots(1, 2)
    for detached, colour, name in ((True, BLUE, "detached"), (False, VERMILION, "not detached")):
        chosen = [record for record in records if record.detached == detached]
        windows = [record.window for record in chosen]
        left.plot(windows, [record.nodes for record in chosen], "o-", color=colour, label=name)
        right.plot(windows, [1000 * record.seconds for record in chosen], "o-", color=colour, label=name)
    left.set_title("nodes of autograd's graph")
    right.set_title("milliseconds of one backward")
    for axes in (left, right):
        axes.set(xlabel="window", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    return picture


def telescope(sight):
    """Return a `Picture` of a layer's gradient at lag k over that at lag 0, on a log axis that never moves.

    Args:
        sight: a `widgets.telescope.Sight`; values that are 0 or beyond the axis are left out.
    """
    picture = FixedPicture(8, 4)
    axes = picture.add_axes((0.105, 0.13, 0.875, 0.72))
    lag = min(35, len(sight.ratios) - 1)
    axes.axhline(1, color=GREY, linewidth=0.5)
    axes.axvline(35, color=GREY, linestyle=":")
    label = f"measured: times {sight.factor:.2f} a step"
    axes.plot(sight.ratios, color=BLUE, linewidth=2, label=label)
    if sight.expected is not None:
        label = f"theory: times {sight.expected_factor:.2f} a step"
        axes.plot(sight.expected, "--", color=VERMILION, label=label)
    axes.plot(lag, sight.ratios[lag], "o", color=BLUE)
    axes.set(xlabel="steps back in time", ylabel="share of the gradient left", yscale="log")
    axes.set(xlim=(0, len(sight.ratios) - 1), ylim=(1e-15, 1e6))
    powers = dict(zip(range(-15, 7, 3), ("10⁻¹⁵", "10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1", "10³", "10⁶"), strict=True))
    axes.set_yticks([10.0**power for power in powers], powers.values())  # twice as fast as matplotlib's own formulas
    axes.minorticks_off()
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower left", frameon=False, title=None if sight.expected else "no theory for these settings")
    left = f"{sight.ratios[lag]:.1g}"
    axes.set_title(f"{_sight_name(sight)}\nleft after {lag} steps: {left}", loc="left", fontsize=10)
    return picture


def _sight_name(sight):
    """A layer and its weights in words, such as: LSTM, H = 64, forget bias 1."""
    weights = ["orthogonal weights"] * sight.orthogonal + [f"weights times {sight.scale:.1f}"] * (sight.scale != 1)
    gates = [f"forget bias {sight.forget_bias:g}"] * (sight.cell == "LSTM")
    return ", ".join([sight.cell, f"H = {sight.num_hiddens}", *(weights or ["torch's weights"]), *gates])


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
    _guess_line(axes, guess)
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
    _guess_line(axes, guess)
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
