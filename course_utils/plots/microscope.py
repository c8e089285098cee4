"""One output under the microscope: what it depends on, what the layer received, and how that lies in memory.

Dimensions: T time steps, B batch size, V vocabulary. All places are in pixels.
"""

import itertools
import math

from course_utils.plots.fonts import caption, visible
from course_utils.plots.network import Sketch
from course_utils.plots.picture import BLUE, FAINT, GREEN, GREY, INK, PURPLE, SKY, VERMILION, YELLOW, tint

SENTENCE_COLOURS = [tint(colour, 0.75) for colour in (YELLOW, GREEN, PURPLE, SKY)]  # none is a colour of the light
WIDTH, LEFT, RIGHT, TOP = 920, 14, 338, 132  # where the two panels begin
ROWS, COLUMNS, GROUPS = 12, 10, 96  # more of the layer's input is not drawn
KEY = {  # (whether a token may be seen, whether it is) -> what that means
    (True, True): "may be seen, and is",
    (True, False): "ought to be seen, and is not",
    (False, True): "must not be seen, and is",
    (False, False): "must not be seen, and is not: exactly 0",
}


def microscope_picture(record):
    """Return a `Picture` of what one output depends on, beside the layer's input and its order in memory.

    The lighting is the same in both panels; what is wrong has a mark besides its colour. `record` is an
    `experiments.microscope.Focus`, or anything with its fields.
    """
    sketch = Sketch(WIDTH, WIDTH)  # its height follows from what is drawn
    _draw_verdict(sketch, record)
    end = _draw_meant(sketch, record)
    if record.received:
        end = _draw_memory(sketch, record, max(end, _draw_received(sketch, record)))
    else:
        reason = "read called no nn.RNN, nn.GRU or nn.LSTM with a tensor as its first argument."
        sketch.words(RIGHT, 88, caption("what the layer received: nothing to show"), 11, weight="bold")
        sketch.words(RIGHT, 112, caption(reason), 10)
        sketch.words(RIGHT, 130, caption("On the left everything is measured all the same."), 10)
    sketch.picture.set_figheight(end / 100)
    sketch.axes.set_ylim(end, 0)
    return sketch.finish()


def _draw_verdict(sketch, record):
    """The call, the chosen output, and for each rule how much is seen and whether that keeps it."""
    sketch.words(LEFT, 20, f'read(one_hot, "{record.layout}")', 14, family="monospace", weight="bold")
    chosen = "chosen: outputs[{record.b}, {record.t}] of {record.outputs}, letter {letter}"
    chosen = caption(chosen, record=record, letter=_letter(record, (record.b, record.t)))
    sketch.words(WIDTH - LEFT, 20, chosen, 11, align="right")
    num_rows, num_steps, past = len(record.letters), len(record.letters[0]), record.t + 1
    others, own = (num_rows - 1) * num_steps, past - record.past_missing
    for x, broken, text, seen, total in (
        (LEFT, record.past_missing, "depends on {seen} of {total} of its own sentence so far,", own, past),
        (402, record.others_seen, "on {seen} of {total} of other sentences,", record.others_seen, others),
        (682, record.future_seen, "on {seen} of {total} of its own future", record.future_seen, num_steps - past),
    ):
        sketch.words(x, 50, "✗" if broken else "✓", 14, colour=VERMILION if broken else BLUE)
        text = caption(text, seen=seen, total=total)
        sketch.words(x + 20, 50, text, 11, colour=VERMILION if broken else INK)
    sketch.line((LEFT, 70), (WIDTH - LEFT, 70), colour=tint(GREY, 0.5))


def _letter(record, token):
    """The text of a token (b, t) in one or two characters; the space as an open box."""
    text = "?" if token is None else visible(record.letters[token[0]][token[1]])
    return text if len(text) == 1 else f"{text[:1]}…"


def _draw_tokens(sketch, record, tokens, left, size, names):
    """Draw rows of cells, with the axes' names and numbers; yield each (token, its place, its area).

    A cell is lit as strongly as its token (b, t) moves the chosen output, and framed if it is the output's own.
    """
    (width, height), (down, across), largest = size, names, max(map(max, record.influence)) or 1.0
    sketch.words(left - 8, TOP - 10, caption(across), align="right", colour=FAINT)
    for j in range(len(tokens[0])):
        sketch.words(left + (j + 0.5) * width, TOP - 10, str(j), align="center", colour=FAINT)
    for i, row in enumerate(tokens):
        sketch.words(left - 8, TOP + (i + 0.5) * height, f"{caption(down)} {i}", align="right", colour=FAINT)
        for j, token in enumerate(row):
            area = left + j * width, TOP + i * height, width, height
            if token is None:
                sketch.box(*area, tint(GREY, 0.15), GREY)
            else:
                influence = record.influence[token[0]][token[1]]
                judgement = token[0] == record.b and token[1] <= record.t, influence > 0
                _draw_cell(sketch, area, judgement, 0.2 + 0.55 * math.sqrt(influence / largest))
            if token == (record.b, record.t):
                _draw_frame(sketch, *area)
            yield token, (i, j), area


def _draw_cell(sketch, area, judgement, light=0.5):
    """A cell of one of the kinds in `KEY`: blue, crossed, with a dark corner, or white."""
    (x, y, width, height), (allowed, seen) = area, judgement
    sketch.box(*area, tint(BLUE if allowed else VERMILION, light) if seen else "white", GREY)
    if allowed and not seen:
        sketch.line((x, y), (x + width, y + height), colour=tint(VERMILION, 0.7))
        sketch.line((x, y + height), (x + width, y), colour=tint(VERMILION, 0.7))
    if seen and not allowed:
        sketch.polygon([(x + width - 9, y), (x + width, y), (x + width, y + 9)], VERMILION, VERMILION)


def _draw_frame(sketch, x, y, width, height):
    """A thick frame just inside of a cell."""
    for inset in (0.5, 1.5, 2.5):
        sketch.box(x + inset, y + inset, width - 2 * inset, height - 2 * inset, "none", INK)


def _draw_meant(sketch, record):
    """Left: the sentences, row by row, lit, with the colours that they have in memory; below, what lights mean."""
    num_rows, num_steps = len(record.letters), len(record.letters[0])
    size = min(42, 204 / num_steps), min(38, 176 / num_rows)
    meant = caption("what we meant: {rows} sentences of {steps}", rows=num_rows, steps=num_steps)
    sketch.words(LEFT, 88, meant, 11, weight="bold")
    tokens, names = [[(b, t) for t in range(num_steps)] for b in range(num_rows)], ("sentence", "time")
    for token, (b, _), (x, y, width, height) in _draw_tokens(sketch, record, tokens, LEFT + 96, size, names):
        middle = y + height / 2
        sketch.words(x + width / 2, middle, _letter(record, token), 11, "center", "monospace", "bold")
        sketch.box(LEFT, middle - 5, 10, 10, SENTENCE_COLOURS[b % 4], GREY)
    y = TOP + num_rows * size[1] + 26
    sketch.words(LEFT, y, caption("light: how strongly it moves the chosen output"), colour=FAINT)
    for i, (judgement, text) in enumerate(KEY.items()):
        _draw_cell(sketch, (LEFT, y + 13 + 20 * i, 22, 15), judgement)
        sketch.words(LEFT + 30, y + 20.5 + 20 * i, caption(text), colour=FAINT)
    _draw_frame(sketch, LEFT + 222, y + 13, 22, 15)
    sketch.words(LEFT + 252, y + 20.5, caption("chosen"), colour=FAINT)
    return y + 114


def _draw_received(sketch, record):
    """Right: the layer's input, axis 0 downwards, with an arrow along its loop."""
    received, left = record.received, RIGHT + 50
    tokens = [row[:COLUMNS] for row in received.tokens[:ROWS]]
    rows, columns = len(tokens), len(tokens[0])
    title = caption("what the {received.layer} received: {received.shape}", received=received)
    title += caption(", the first of {n} calls", n=received.calls) if received.calls > 1 else ""
    sketch.words(RIGHT, 88, title, 11, weight="bold")
    loop = caption("its loop runs over axis {axis}", axis=received.time_axis)
    loop += caption(", in both directions") if received.bidirectional else ""
    if len(received.tokens) > rows or len(received.tokens[0]) > columns:
        loop += caption("; drawn: the first {rows} × {columns}", rows=rows, columns=columns)
    sketch.words(RIGHT, 106, loop, colour=FAINT)
    size = min(96, 500 / columns), min(44, max(34, 230 / rows))
    names = ("batch", "step") if received.time_axis else ("step", "batch")
    for token, (i, j), (x, y, width, height) in _draw_tokens(sketch, record, tokens, left, size, names):
        sketch.words(x + 4, y + 11, _letter(record, token), 10, family="monospace", weight="bold")
        if token:
            sketch.words(x + width - 10, y + 11, "{},{}".format(*token), align="right")
        _draw_numbers(sketch, (x + 5, y + height - 14, width - 10, 9), received.values[i][j], itertools.repeat("white"))
    right, end = left + columns * size[0], TOP + rows * size[1]
    ends = (left, end + 10, right, end + 10) if received.time_axis else (right + 10, TOP, right + 10, end)
    sketch.arrow(*ends)
    if received.bidirectional:
        sketch.arrow(*ends[2:], *ends[:2])
    return end + 24


def _draw_memory(sketch, record, top):
    """Below: the numbers in the order in which they lie in memory, in groups of V, each with the step that reads it."""
    received, room = record.received, WIDTH - 2 * LEFT
    numbers = len(received.values[0][0])
    groups = min(GROUPS, math.ceil(len(received.memory) / numbers))
    rows = max(math.ceil(50 * groups / room), min(2, math.ceil(6 * numbers * groups / room)))
    per_row, own = math.ceil(groups / rows), (record.b, record.t)
    width = min(max(50, 11 * numbers), room / per_row)
    readers = [(i, row.index(own))[received.time_axis] for i, row in enumerate(received.tokens) if own in row]
    chosen = min(readers, default=None)  # the step that reads the chosen letter first
    sketch.line((LEFT, top), (WIDTH - LEFT, top), colour=tint(GREY, 0.5))
    _describe_memory(sketch, received, top, groups, chosen)
    _draw_jumps(sketch, received, top + 78, width / numbers, min(width * per_row, 580))  # room for the words
    for group in range(groups):
        area = (LEFT + group % per_row * width, top + 82 + 56 * (group // per_row), width)
        _draw_group(sketch, record, received.memory[group * numbers : (group + 1) * numbers], area, chosen)
    return top + 90 + 56 * rows


def _describe_memory(sketch, received, top, groups, chosen):
    """Two lines above the memory: its facts, and what of it is drawn."""
    numbers = len(received.values[0][0])
    sketch.words(LEFT, top + 18, caption("its memory, in groups of {n} numbers", n=numbers), 11, weight="bold")
    facts = f"strides {received.strides}   is_contiguous() {received.contiguous}   "
    facts += caption("one step in one piece: {yes}", yes=received.step_contiguous)
    sketch.words(WIDTH - LEFT, top + 18, facts, family="monospace", align="right")
    cut = groups * numbers < len(received.memory)
    text = caption("drawn: the first {n} numbers; ", n=groups * numbers) if cut else ""
    if chosen is None:
        text += caption("no step of this call reads the chosen letter")
    else:
        text += caption("bars: step {step} reads the chosen letter", step=chosen)
    sketch.words(WIDTH - LEFT, top + 36, text, align="right", colour=FAINT)


def _draw_jumps(sketch, received, floor, pitch, room):
    """Arrows from the first number to the next one along either axis, as far as it lies in the first row."""
    axes = [axis for axis, size in enumerate(received.shape[:-1]) if size > 1]
    jumps = sorted((received.strides[axis], axis) for axis in axes if received.strides[axis] * pitch < room)
    for i, (stride, axis) in enumerate(jumps):
        x, y = LEFT + 2 + stride * pitch, floor - 12 - 16 * i
        sketch.line((LEFT + 2 + 3 * i, floor), (LEFT + 2 + 3 * i, y), (x, y))
        sketch.arrow(x, y, x, floor)
        place = caption("the next step" if axis == received.time_axis else "the next place of the batch")
        text = "to {place}: 1 number on" if stride == 1 else "to {place}: {n} numbers on"
        sketch.words(LEFT + 14 + jumps[-1][0] * pitch, y, caption(text, place=place, n=stride), colour=FAINT)


def _draw_group(sketch, record, places, area, chosen):
    """V numbers side by side in memory: above, the letter if it is a whole one; below, the step that reads it."""
    received, (x, y, width) = record.received, area
    numbers = len(received.values[0][0])
    pitch = width / numbers  # the last group may have fewer of them
    tokens = [place and received.tokens[place[0]][place[1]] for place in places]
    if tokens[0] and places == [(*places[0][:2], v) for v in range(numbers)]:
        sketch.words(x + 3, y + 8, _letter(record, tokens[0]), 10, family="monospace", weight="bold")
        sketch.words(x + 23, y + 8, "{},{}".format(*tokens[0]))
    values = [received.values[place[0]][place[1]][place[2]] if place else 0.0 for place in places]
    colours = [SENTENCE_COLOURS[token[0] % 4] if token else tint(GREY, 0.15) for token in tokens]
    _draw_numbers(sketch, (x, y + 17, pitch * len(places), 14), values, colours)
    steps = [place and place[received.time_axis] for place in places]
    found = {*steps} - {None}
    name = "step {step}" if len(found) == 1 else "{n} steps" if found else "unread"
    name = caption(name, step=min(found, default=None), n=len(found))
    weight = "bold" if chosen in found else "normal"
    sketch.words(x + pitch * len(places) / 2, y + 43, name, align="center", weight=weight)
    for i, step in enumerate(steps):
        if step is not None and step == chosen:
            sketch.box(x + i * pitch, y + 33, pitch, 2.5, INK)


def _draw_numbers(sketch, area, values, colours):
    """A row of numbers: 1 is black, 0 has its own colour; neighbours that look the same are one polygon."""
    x, y, width, height = area
    pitch = width / len(values)
    faces = [tint(INK, min(abs(value), 1)) if value else colour for value, colour in zip(values, colours, strict=False)]
    starts = [i for i, face in enumerate(faces) if not i or face != faces[i - 1]]
    for start, end in itertools.pairwise([*starts, len(faces)]):
        sketch.box(x + start * pitch, y, (end - start) * pitch, height, faces[start], faces[start])
    for i in range(1, len(values) if pitch >= 4 else 0):
        sketch.line((x + i * pitch, y), (x + i * pitch, y + height), colour=tint(GREY, 0.5))
    sketch.box(x, y, width, height, "none", GREY)
