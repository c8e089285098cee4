"""A layer's tensors as blocks to scale."""

import math

from course_utils.plots.network import Sketch, draw_network, layer_colour, vector_colours
from course_utils.plots.picture import FAINT, INK, ORANGE, PURPLE, SHIFT, VERMILION, tint


def shape_picture(record):
    """Return a `Picture` of a layer: unrolled over time, then every tensor that flows and every weight, to scale.

    Args:
        record: an `experiments.shapes.LayerShapes`, or anything with its fields.
    """
    sketch = Sketch(920, 616)
    layer, rest = record.parameters
    sketch.words(14, 19, f"layer = {record.code}", 14, family="monospace", weight="bold")
    sketch.words(14, 42, f"{layer:,} numbers to learn in the layer, and {rest:,} after it", 11)
    network = record.num_steps, record.num_layers, record.bidirectional, record.cell
    draw_network(sketch, (0, 54, 768, 212), *network)
    blocks, groups = _flow_blocks(record), _weight_groups(record)
    scale, weights_scale = _scales(record, blocks, groups)
    _draw_flow(sketch, record, blocks, (14, 284, 750), scale)
    _draw_logits(sketch, record, (788, 13, 124, 595), scale)
    _draw_weights(sketch, groups, (14, 414, 750), weights_scale, scale)
    return sketch.finish()


def _flow_blocks(record):
    """(title, shape, letters, colours) of the layer's input, output and state."""
    last, directions = record.num_layers - 1, 1 + record.bidirectional
    T, B, V, H = record.num_steps, record.batch_size, record.vocab_size, record.num_hiddens
    L = directions * record.num_layers

    def state_colours(row):
        return [(ORANGE, PURPLE)[row % directions] if row // directions == last else layer_colour(row // directions)]

    wide = "2·H" if record.bidirectional else "H"
    outputs = vector_colours(last, record.num_layers, record.Y[0], directions)
    inputs = vector_colours(-1, record.num_layers, record.X[0], 1)
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
        groups.append((title, lines, _plain(layer_colour(layer)), [_upright(shape) for _, shape in own], room))
    if record.head:
        lines, shapes = (
            [f"{name} {shape}" for name, shape in record.head[:3]],
            [_upright(shape) for _, shape in record.head],
        )
        groups.append(("after the layer", lines, _plain(tint(VERMILION, 0.5)), shapes, 186))
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
        shade = tint(VERMILION, 0.35 if first // band % 2 else 0.6)
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
