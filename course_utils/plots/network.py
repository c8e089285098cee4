"""The unrolled network."""

import functools
import itertools

from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from course_utils.plots.picture import GREY, INK, LAYER_COLOURS, ORANGE, PURPLE, FixedPicture, tint


def unrolled_picture(num_steps, num_layers=1, bidirectional=False, cell="RNN"):
    """Return a `Picture` of a recurrent layer unrolled over its time steps; of many steps the middle ones are left out.

    Args:
        num_steps, num_layers: whole numbers of at least 1.
        bidirectional: draw a second row of boxes in each layer, which reads from right to left.
        cell: "RNN", "GRU" or "LSTM"; an LSTM's state has two parts.
    """
    sketch = Sketch(780, 70 + 62 * num_layers * (1 + bidirectional))
    draw_network(sketch, (0, 6, 780, sketch.height - 12), num_steps, num_layers, bidirectional, cell)
    return sketch.finish()


class Sketch:
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


def draw_network(sketch, area, num_steps, num_layers, bidirectional, cell):
    """The unrolled network: time to the right, layers upwards, in each layer a row of boxes per direction."""
    left, top, width, height = area
    shown = range(num_steps) if num_steps <= 6 else [0, 1, 2, None, num_steps - 2, num_steps - 1]
    pitch, directions = (width - 316) / len(shown), 1 + bidirectional
    places = [(step, left + 166 + pitch * (i + 0.5)) for i, step in enumerate(shown)]
    storey, lane = (height - 50) / num_layers, min(pitch * 0.21, 22) * bidirectional
    ends = (left + 150, left + width - 134)
    for layer in range(-1, num_layers):  # -1 stands for the inputs
        ceiling = top + height - 25 - (layer + 1) * storey
        _draw_vectors(sketch, places, ceiling, lane, vector_colours(layer, num_layers, num_steps, directions))
        for direction in range(directions if layer >= 0 else 0):
            middle = ceiling + storey * (1 - (direction + 0.5) / directions)
            row = [(step, x + (2 * direction - 1) * lane) for step, x in places]
            size = min(26, 0.46 * storey / directions)
            _draw_row(sketch, row, (ceiling + storey, middle, ceiling), size, layer_colour(layer))
            name = ("h[{0}], c[{0}]" if cell == "LSTM" else "state[{0}]").format(directions * layer + direction)
            colour = (ORANGE, PURPLE)[direction] if layer == num_layers - 1 else layer_colour(layer)
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


def layer_colour(layer):
    return tint(LAYER_COLOURS[layer % len(LAYER_COLOURS)], 0.6)


def vector_colours(layer, num_layers, num_steps, directions):
    """A function from a time step to the colours of what stands above `layer` then, one per direction."""
    usual = tint(GREY, 0.35) if layer < 0 else layer_colour(layer)

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
