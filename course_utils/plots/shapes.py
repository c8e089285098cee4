"""A layer's tensors as blocks to scale."""

import math

from course_utils.plots.fonts import caption
from course_utils.plots.network import Sketch, draw_network, layer_colour, state_colour, vector_colours
from course_utils.plots.picture import FAINT, INK, ORANGE, PURPLE, SHIFT, VERMILION, tint

LEFT, RIGHT, COLUMN = 14, 764, 128  # pixels: the ends of what stands under the network, and the least room for a block


def shape_picture(record):
    """Return a `Picture` of a `LayerShapes`: the layer unrolled, then what flows and what is learnt, all to scale."""
    sketch = Sketch(920, 616)
    sketch.words(LEFT, 19, f"layer = {record.code}", 14, family="monospace", weight="bold")
    own, after = record.parameters
    learnt = caption("{own:,} numbers to learn in the layer, and {after:,} after it", own=own, after=after)
    sketch.words(LEFT, 42, learnt, 11)
    draw_network(sketch, (0, 54, 768, 212), record.num_steps, record.num_layers, record.bidirectional, record.cell)
    blocks, groups = _flow_blocks(record), _weight_groups(record)
    scale, weights_scale = _scales(record, blocks, groups)
    _draw_flow(sketch, record, blocks, scale)
    _draw_weights(sketch, groups, weights_scale, scale)
    _draw_logits(sketch, record, scale)
    return sketch.finish()


def _flow_blocks(record):
    """(name, shape, axes that it should have, colours of its sheets) of the layer's input, output and state."""
    layers, directions, B, H = record.num_layers, 1 + record.bidirectional, record.batch_size, record.num_hiddens
    axes, wide = {"T": record.num_steps, "B": B}, "2·H" if record.bidirectional else "H"
    return [
        ("X", record.X, {**axes, "V": record.vocab_size}, lambda step: [layer_colour(-1)]),
        ("Y", record.Y, {**axes, wide: directions * H},
         lambda step: vector_colours(step, record.Y[0], layers - 1, layers, directions)),
        *((name, shape, {"L": directions * layers, "B": B, "H": H},
           lambda row: [state_colour(row // directions, layers, row % directions)])
          for name, shape in zip(["h", "c"] if len(record.state) == 2 else ["state"], record.state, strict=True)),
    ]  # fmt: skip


def _weight_groups(record):
    """(title, colour, named shapes, pixels of room) for each layer and for what comes after the layers."""
    groups, title = [], "layer {layer}, → and ←" if record.bidirectional else "layer {layer}"
    for layer in range(record.num_layers):
        own = [(name.replace("weight", "W").replace("bias", "b").replace(f"_l{layer}", ""), shape)
               for name, shape in record.weights if name.split("_")[2] == f"l{layer}"]  # fmt: skip
        groups.append((caption(title, layer=layer), layer_colour(layer), own, min(230, 564 / record.num_layers)))
    return groups + ([(caption("after the layer"), tint(VERMILION, 0.5), record.head, 186)] if record.head else [])


def _scales(record, blocks, groups):
    """Pixels per number for what flows and for the weights: one scale for both, unless that would make one tiny."""
    sizes = [_extent(shape) for _, shape, _, _ in blocks]
    for scale in (24 * 0.97**i for i in range(400)):
        wide = sum(max(COLUMN, width * scale + 40) for width, _ in sizes)
        if wide < 570 and max(height for _, height in sizes) * scale < 50:
            break
    _, rows, columns = _sheets(record.logits)
    scale, other = min(scale, 90 / columns, max(scale / 2.5, 530 / rows)), 24
    for _, _, named, room in groups:
        widths, heights = zip(*(_extent(shape) for _, shape in named), strict=True)
        other = min(other, 105 / max(heights), (room - 10 - 5 * len(named)) / sum(widths))
    return (min(scale, other),) * 2 if 0.4 < scale / other < 2.5 else (scale, other)


def _sheets(shape):
    """Sheets, rows and columns of a drawn tensor; a vector is a column."""
    return (1, *shape, 1) if len(shape) == 1 else (1, 1, 1, *shape)[-3:]


def _extent(shape):
    """Width and height of a drawn tensor in numbers."""
    depth, rows, columns = _sheets(shape)
    return columns + SHIFT * (depth - 1), rows + SHIFT * (depth - 1)


def _draw_heading(sketch, y, text, scale):
    """A line across, below it a heading at the left and at the right a bar of 1, 10, 100 or 1,000 numbers' length."""
    sketch.line((LEFT, y), (RIGHT, y), colour="#BBBBBB")
    sketch.words(LEFT, y + 13, text, 10, colour=FAINT)
    numbers = next(n for n in (1, 10, 100, 1_000) if n * scale >= 12 or n == 1_000)
    start = RIGHT - numbers * scale
    sketch.box(start, y + 11, numbers * scale, 4, INK)
    length = caption("1 number") if numbers == 1 else caption("{n:,} numbers", n=numbers)
    sketch.words(start - 6, y + 13, length, align="right", colour=FAINT)


def _draw_label(sketch, x, y, name, shape, axes):
    """A tensor's name with its axes, in vermilion if it does not have them, and its shape."""
    right = shape == tuple(axes.values())
    title = f"{name} {'' if right else '≠ '}({', '.join(axes)})"
    sketch.words(x, y, title, 10, weight="bold", colour=INK if right else VERMILION)
    sketch.words(x, y + 15, str(shape), family="monospace")


def _draw_flow(sketch, record, blocks, scale):
    """The tensors that pass through the layer, side by side, and whether the final state stands among the outputs."""
    text = caption("what passes through, in the shapes that torch returned: grows with T and B")
    _draw_heading(sketch, 284, text, scale)
    x = LEFT
    for name, shape, axes, colours in blocks:
        _draw_label(sketch, x, 317, name, shape, axes)
        _draw_block(sketch, x, 353, shape, scale, colours, axes)
        x += max(COLUMN, _extent(shape)[0] * scale + 40)
    places = [("Y[-1, :, :H]", -2), ("Y[0, :, H:]", -1)] if record.bidirectional else [("Y[-1]", -1)]
    for i, (place, row) in enumerate(places):
        text = f"{place} {'=' if record.meets[i] else '≠'} {blocks[2][0]}[{row}]"
        sketch.words(RIGHT, 332 + 18 * i, text, family="monospace", align="right")
        sketch.box(RIGHT - 7.7 * len(text) - 16, 327 + 18 * i, 10, 10, (ORANGE, PURPLE)[i])


def _draw_weights(sketch, groups, scale, other_scale):
    """The parameters: a group per layer, both directions side by side, and what comes after the layers."""
    ratio = max(scale, other_scale) / min(scale, other_scale)
    note = " (drawn {ratio:.0f} times larger)" if scale > other_scale else " (drawn {ratio:.0f} times smaller)"
    note = caption(note, ratio=ratio) if ratio > 1 else ""
    _draw_heading(sketch, 414, caption("what is learnt: the same for any T and B") + note, scale)
    left = LEFT
    for title, colour, named, room in groups:
        sketch.words(left, 446, title, 10, weight="bold")
        lines = [f"{name} {shape}" for name, shape in named if "reverse" not in name]
        for i, line in enumerate(lines[:4]):
            sketch.words(left, 460 + 12 * i, line, family="monospace")
        x = left
        for _, shape in named:
            _draw_block(sketch, x, 509, shape, scale, lambda sheet, colour=colour: [colour])
            x += max(_extent(shape)[0] * scale, 2) + 5
        left += room


def _draw_block(sketch, x, y, shape, scale, colours, letters=()):
    """A tensor to scale: a sheet of rows and columns for each place of the first axis, the last one in front."""
    depth, rows, columns = _sheets(shape)
    step, width, height = SHIFT * scale, max(columns * scale, 2), max(rows * scale, 2)
    for sheet in sorted({0, *range(depth - 1, 0, -max(1, math.ceil(2.5 / step)))}):
        sketch.parts(x + sheet * step, y + sheet * step, width, height, colours(sheet))
        _draw_sheet(sketch, x + sheet * step, y + sheet * step, rows, columns, width, height)
    end = (depth - 1) * step
    right, middle = x + end + width, y + end + height / 2
    over = min(y + end / 2 - 3, middle - 11)
    places = (right - end / 2 + 9, over), (right + 9, middle), (right - width / 2, y + end + height + 9)
    for place, letter in zip(places, letters, strict=False):
        sketch.words(*place, letter, align="center", colour=FAINT)


def _draw_sheet(sketch, x, y, rows, columns, width, height):
    """The outline of a matrix and, where there is room, a cell for every number."""
    if width / columns >= 6 and height / rows >= 6:
        for across in (x + i * width / columns for i in range(1, columns)):
            sketch.line((across, y), (across, y + height), colour="white")
        for down in (y + i * height / rows for i in range(1, rows)):
            sketch.line((x, down), (x + width, down), colour="white")
    sketch.box(x, y, width, height, "none")


def _draw_logits(sketch, record, scale):
    """The model's output upright, a shade for each time step; cut where it is too long for the picture."""
    left, top, (_, rows, columns) = 788, 51, _sheets(record.logits)
    axes = {"T·B": record.num_steps * record.batch_size, "V": record.vocab_size}
    _draw_label(sketch, left, 19, "logits", record.logits, axes)
    shown, wide, band = min(rows, int(535 / scale)), max(columns * scale, 2), max(1, rows // record.num_steps)
    for first in range(0, shown, band):
        shade = tint(VERMILION, 0.35 if first // band % 2 else 0.6)
        sketch.parts(left, top + first * scale, wide, min(band, shown - first) * scale, [shade])
    _draw_sheet(sketch, left, top, shown, columns, wide, max(shown * scale, 2))
    end = top + shown * scale
    if shown < rows:  # torn off
        sketch.line(*((left - 4 + i * (wide + 8) / 8, end + 4 * (-1) ** i) for i in range(9)))
    sketch.words(left, end + 16, caption("cut: too long" if shown < rows else "a band per step"), colour=FAINT)
