"""The unrolled network."""

import functools
import itertools

from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from course_utils.plots.fonts import PLACEHOLDER, SENTENCE, caption, drawable, families
from course_utils.plots.picture import FAINT, GREY, INK, LAYER_COLOURS, ORANGE, PURPLE, FixedPicture, tint


def unrolled_picture(num_steps, num_layers=1, bidirectional=False):
    """Return a `Picture` of a recurrent layer unrolled over its time steps; of many steps the middle ones are left out.

    Of two directions each has a row of boxes in each layer.
    """
    sketch = Sketch(780, 70 + 62 * num_layers * (1 + bidirectional))
    draw_network(sketch, (0, 6, 780, sketch.height - 12), num_steps, num_layers, bidirectional, "RNN")
    return sketch.finish()


class Sketch:
    """Polygons and words in pixels, y downwards. All polygons become one artist, which keeps drawing quick."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.picture = FixedPicture(width / 100, height / 100)
        self.axes = self.picture.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()
        self.incomplete = False  # whether a placeholder stands for something
        self.polygons, self.faces, self.edges, self.letters, self.inks = [], [], [], [], []

    def polygon(self, points, face, edge=INK):
        self.polygons.append(Path([*points, points[0]], closed=True))
        self.faces.append(face)
        self.edges.append(edge)

    def box(self, x, y, width, height, face, edge=INK):
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], face, edge)

    def parts(self, x, y, width, height, faces, edge=None):
        """Boxes side by side that share a width; without `edge` each has its own colour for one."""
        for i, face in enumerate(faces):
            self.box(x + i * width / len(faces), y, width / len(faces), height, face, edge or face)

    def line(self, *points, colour=INK):
        self.polygon([*points, *points[-2:0:-1]], "none", colour)  # there and back: a polygon without area

    def arrow(self, x, y, to_x, to_y):
        """A horizontal or vertical arrow with a head of at most 5 pixels."""
        across, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
        size = min(5, abs(to_x - x) + abs(to_y - y))
        neck_x, neck_y = to_x - size * across, to_y - size * down
        self.line((x, y), (neck_x, neck_y))
        barbs = [(neck_x - 3 * down * side, neck_y + 3 * across * side) for side in (1, -1)]
        self.polygon([(to_x, to_y), *barbs], INK)

    def words(self, x, y, text, size=9, align="left", family="sans", weight="normal", colour=INK):
        """Text in points, its letters centred on y; `align` is what of it stands at x: left, center or right."""
        text = drawable(text)
        self.incomplete |= PLACEHOLDER in text
        path, width = outlines(text, family, weight)
        start = {"left": 0, "center": 0.5, "right": 1}[align] * width
        grow = size / 72  # letters are 100 units high; 100 pixels per inch
        self.letters.append(Path((path.vertices - (start, 36)) * (grow, -grow) + (x, y), path.codes))
        self.inks.append(colour)

    def finish(self):
        """Put everything on the picture and return it."""
        if self.incomplete:
            end = self.axes.get_ylim()[0] + 18
            self.words(14, end - 14, caption(SENTENCE), colour=FAINT)
            self.axes.set_ylim(end, 0)
            self.picture.set_figheight(end / 100)
        shapes = PathCollection(self.polygons, facecolors=self.faces, edgecolors=self.edges, linewidths=0.8, snap=True)
        words = PathCollection(self.letters, facecolors=self.inks, linewidths=0, snap=False)
        for collection in (shapes, words):
            self.axes.add_collection(collection, autolim=False)
        return self.picture


@functools.lru_cache(maxsize=2_000)
def outlines(text, family, weight):
    """A text's outlines, 100 units high, and their width: matplotlib's own text would take most of a picture's time."""
    path = TextPath((0, 0), text, size=100, prop=FontProperties(family=families(text, family), weight=weight))
    return path, path.vertices[:, 0].max(initial=0)


def draw_network(sketch, area, num_steps, num_layers, bidirectional, cell):
    """The unrolled network: time to the right, layers upwards, in each layer a row of boxes per direction."""
    left, top, width, height = area
    shown = range(num_steps) if num_steps <= 6 else [0, 1, 2, None, num_steps - 2, num_steps - 1]
    pitch, directions = (width - 316) / len(shown), 1 + bidirectional
    places = [(step, left + 166 + pitch * (i + 0.5)) for i, step in enumerate(shown)]
    storey, lane = (height - 50) / num_layers, min(pitch * 0.21, 22) * bidirectional
    for layer in range(-1, num_layers):  # -1 stands for the inputs
        ceiling = top + height - 25 - (layer + 1) * storey
        for step, x in places:
            if step is not None:
                colours = vector_colours(step, num_steps, layer, num_layers, directions)
                sketch.parts(x - lane - 13, ceiling - 3, 2 * lane + 26, 6, colours, INK)
        for direction, ahead in enumerate((1, -1)[:directions] if layer >= 0 else ()):
            row = [(step, x - ahead * lane) for step, x in places]
            levels = ceiling + storey, ceiling + storey * (1 - (direction + 0.5) / directions), ceiling
            name = ("h[{0}], c[{0}]" if cell == "LSTM" else "state[{0}]").format(directions * layer + direction)
            faces = "white", layer_colour(layer), state_colour(layer, num_layers, direction)
            ends = (left + 150, left + width - 134)[::ahead]
            _draw_row(sketch, row[::ahead], ends, levels, min(26, 0.46 * storey / directions), name, faces)
        if layer >= 0:
            sketch.words(left + 14, ceiling + storey / 2, caption("layer {layer}", layer=layer))
    for step, x in places:
        for y, name in ((top + height - 10, "X"), (top + 11, "Y")):
            sketch.words(x, y, "· · ·" if step is None else f"{name}[{step}]", 10, align="center", family="monospace")


def _draw_row(sketch, row, ends, levels, height, name, faces):
    """One direction of one layer: the state from zeros over a box per step, crossed by arrows, to its end."""
    (begin, end), (floor, middle, ceiling) = ends, levels
    ahead = 1 if begin < end else -1
    for step, x in row:
        if step is None:
            sketch.words(x, middle, "· · ·", 10, align="center")
        else:
            sketch.arrow(x, floor - 3, x, middle + height / 2)
            sketch.box(x - 13, middle - height / 2, 26, height, faces[1])
            sketch.arrow(x, middle - height / 2, x, ceiling + 3)
    stops = [(begin, 7), *((x, 18 if step is None else 13) for step, x in row), (end, 7)]
    for (x, half), (to_x, to_half) in itertools.pairwise(stops):
        sketch.arrow(x + ahead * half, middle, to_x - ahead * to_half, middle)
    for x, side, text, face in ((begin, -ahead, caption("zeros"), faces[0]), (end, ahead, name, faces[2])):
        sketch.box(x - 7, middle - height / 2, 14, height, face)
        sketch.words(x + side * 13, middle, text, align="right" if side < 0 else "left", family="monospace")


def layer_colour(layer):
    """The colour of a layer; -1 stands for the inputs."""
    return tint(GREY, 0.35) if layer < 0 else tint(LAYER_COLOURS[layer % len(LAYER_COLOURS)], 0.6)


def state_colour(layer, num_layers, direction):
    """The colour of a layer's final state; that of the last layer stands in Y too, in the same colour."""
    return (ORANGE, PURPLE)[direction] if layer == num_layers - 1 else layer_colour(layer)


def vector_colours(step, num_steps, layer, num_layers, directions):
    """The colours of what stands above `layer` at this time step, one per direction."""
    ends = (num_steps - 1, 0)[:directions]  # where each direction has its final state
    return [state_colour(layer, num_layers, i) if step == end else layer_colour(layer) for i, end in enumerate(ends)]
