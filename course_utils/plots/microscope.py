"""One output under the microscope: what it depends on, what the layer received, and how that lies in memory.

Dimensions: T time steps, B batch size, V vocabulary; I and J are the first two axes of what the layer received.
"""

import itertools
import math

from course_utils.plots.network import Sketch
from course_utils.plots.picture import BLUE, FAINT, GREEN, GREY, INK, PURPLE, SKY, VERMILION, YELLOW, tint

SENTENCE_COLOURS = (YELLOW, GREEN, PURPLE, SKY)  # none of them is a colour of the light
WIDTH, LEFT, RIGHT, TOP = 920, 14, 338, 132  # pixels; where the two panels begin
ROWS, COLUMNS, GROUPS = 12, 10, 96  # more of the layer's input is not drawn
KEY = (
    ("seen", "may be seen, and is"),
    ("missing", "ought to be seen, and is not"),
    ("forbidden", "must not be seen, and is"),
    ("dark", "must not be seen, and is not: exactly 0"),
)


def microscope(record):
    """Return a `Picture` of what one output depends on, beside the layer's input and its order in memory.

    The lighting is the same in both panels; what is wrong has a mark besides its colour.

    Args:
        record: an `experiments.microscope.Focus`, or anything with its fields.
    """
    received = record.received
    middle = max(_meant_height(record), _received_height(received)) + TOP
    sketch = Sketch(WIDTH, middle + (_memory_height(received) if received else 0))
    _draw_verdict(sketch, record)
    _draw_meant(sketch, record)
    if received:
        _draw_received(sketch, record)
        _draw_memory(sketch, record, middle)
    else:
        _draw_no_layer(sketch)
    return sketch.finish()


# --- what was asked, and the answer


def _draw_verdict(sketch, record):
    """The call, the chosen output, and for each rule how much is seen and whether that keeps it."""
    sketch.words(LEFT, 20, f'read(one_hot, "{record.layout}")', 14, family="monospace", weight="bold")
    letter = _letter(record.letters[record.b][record.t])
    chosen = f"chosen: outputs[{record.b}, {record.t}] of {record.outputs}, letter {letter}"
    sketch.words(WIDTH - LEFT, 20, chosen, 11, align="right")
    for x, (broken, text) in zip((LEFT, 402, 682), _rules(record), strict=True):
        colour = VERMILION if broken else BLUE
        sketch.words(x, 50, "✗" if broken else "✓", 14, colour=colour)
        sketch.words(x + 20, 50, text, 11, colour=VERMILION if broken else INK)
    sketch.line((LEFT, 70), (WIDTH - LEFT, 70), colour="#BBBBBB")


def _rules(record):
    """(whether it is broken, what was measured) for the three rules."""
    num_rows, num_steps, past = len(record.letters), len(record.letters[0]), record.t + 1
    others, future = (num_rows - 1) * num_steps, num_steps - past
    return (
        (record.past_missing > 0, f"depends on {past - record.past_missing} of {past} of its own sentence so far,"),
        (record.others_seen > 0, f"on {record.others_seen} of {others} of other sentences,"),
        (record.future_seen > 0, f"on {record.future_seen} of {future} of its own future"),
    )


def _judge(record, token):
    """Whether a token (b, t) may be seen, and is: one of the words in `KEY`."""
    allowed = token[0] == record.b and token[1] <= record.t
    seen = record.influence[token[0]][token[1]] > 0
    return {(1, 1): "seen", (1, 0): "missing", (0, 1): "forbidden", (0, 0): "dark"}[allowed, seen]


def _letter(token):
    """A token in one or two characters; the space as an open box."""
    token = token.replace(" ", "␣")
    return token if len(token) == 1 else f"{token[:1]}…"


# --- cells and their light


def _draw_token(sketch, record, token, area):
    """A cell lit as strongly as its token (b, t) moves the chosen output, and framed if it is the output's own."""
    if token is None:
        sketch.box(*area, tint(GREY, 0.15), GREY)
        return
    largest = max(map(max, record.influence)) or 1.0
    light = 0.2 + 0.55 * math.sqrt(record.influence[token[0]][token[1]] / largest)
    _draw_cell(sketch, area, _judge(record, token), light)
    if token == (record.b, record.t):
        _draw_frame(sketch, *area)


def _draw_cell(sketch, area, kind, light=0.5):
    """A cell of one of the kinds in `KEY`: blue, crossed, with a dark corner, or white."""
    x, y, width, height = area
    colour = {"seen": BLUE, "forbidden": VERMILION}.get(kind)
    sketch.box(*area, tint(colour, light) if colour else "white", GREY)
    if kind == "missing":
        sketch.line((x, y), (x + width, y + height), colour=tint(VERMILION, 0.7))
        sketch.line((x, y + height), (x + width, y), colour=tint(VERMILION, 0.7))
    if kind == "forbidden":
        sketch.polygon([(x + width - 9, y), (x + width, y), (x + width, y + 9)], VERMILION, VERMILION)


def _draw_frame(sketch, x, y, width, height):
    """A thick frame just inside of a cell."""
    outer, inner = (x, y, x + width, y + height), (x + 2.5, y + 2.5, x + width - 2.5, y + height - 2.5)
    corners = [[(a, b), (c, b), (c, d), (a, d), (a, b)] for a, b, c, d in (outer, inner)]
    sketch.polygon(corners[0] + corners[1][::-1], INK, INK)


def _draw_numbers(sketch, area, values, colours):
    """A row of numbers: 1 is black, 0 has its own colour; neighbours that look the same are one polygon."""
    x, y, width, height = area
    pitch, start = width / len(values), 0
    faces = [tint(INK, min(abs(value), 1)) if value else colour for value, colour in zip(values, colours, strict=True)]
    for face, run in itertools.groupby(faces):
        length = len(list(run))
        sketch.box(x + start * pitch, y, length * pitch, height, face, face)
        start += length
    if pitch >= 4 and len(values) > 1:
        _draw_comb(sketch, x, y, pitch, len(values), height)
    sketch.box(x, y, width, height, "none", GREY)


def _draw_comb(sketch, x, y, pitch, count, height):
    """The lines between numbers as one polygon, there and back along the row's edges."""
    teeth = [(x + i * pitch, y + height * (j % 2 == i % 2)) for i in range(1, count) for j in (0, 1)]
    sketch.line(*teeth, colour=tint(GREY, 0.5))


# --- left: the sentences we meant


def _meant_cell(record):
    """Width and height of a letter's cell."""
    return min(42, 204 / len(record.letters[0])), min(38, 176 / len(record.letters))


def _meant_height(record):
    return len(record.letters) * _meant_cell(record)[1] + 20 * len(KEY) + 60


def _draw_meant(sketch, record):
    """The sentences, row by row, lit, with the colours that they have in memory; below, the key."""
    num_rows, num_steps = len(record.letters), len(record.letters[0])
    width, height = _meant_cell(record)
    left = LEFT + 96
    sketch.words(LEFT, 88, f"what we meant: {num_rows} sentences of {num_steps}", 11, weight="bold")
    _draw_axis_names(sketch, left, (width, height), "time", range(num_steps), "sentence", range(num_rows))
    for b in range(num_rows):
        sketch.box(LEFT, TOP + (b + 0.5) * height - 5, 10, 10, _sentence_colour(b), GREY)
    for b, t in itertools.product(range(num_rows), range(num_steps)):
        x, y = left + t * width, TOP + b * height
        _draw_token(sketch, record, (b, t), (x, y, width, height))
        letter = _letter(record.letters[b][t])
        sketch.words(x + width / 2, y + height / 2, letter, 11, "center", "monospace", "bold")
    _draw_key(sketch, TOP + num_rows * height + 26)


def _draw_axis_names(sketch, left, cell, across, columns, down, rows):
    """Numbers above the columns of a panel, and beside its rows."""
    width, height = cell
    sketch.words(left - 8, TOP - 10, across, align="right", colour=FAINT)
    for column in columns:
        sketch.words(left + (column + 0.5) * width, TOP - 10, str(column), align="center", colour=FAINT)
    for row in rows:
        sketch.words(left - 8, TOP + (row + 0.5) * height, f"{down} {row}", align="right", colour=FAINT)


def _draw_key(sketch, y):
    """What the cells' colours and marks say."""
    sketch.words(LEFT, y, "light: how strongly it moves the chosen output", colour=FAINT)
    for i, (kind, text) in enumerate(KEY):
        _draw_cell(sketch, (LEFT, y + 13 + 20 * i, 22, 15), kind)
        sketch.words(LEFT + 30, y + 20.5 + 20 * i, text, colour=FAINT)
    _draw_frame(sketch, LEFT + 222, y + 13, 22, 15)
    sketch.words(LEFT + 252, y + 20.5, "chosen", colour=FAINT)


def _sentence_colour(b):
    return tint(SENTENCE_COLOURS[b % len(SENTENCE_COLOURS)], 0.75)


# --- right: what the layer received


def _received_cell(received):
    """Width and height of a token's cell, and how many rows and columns of them are drawn."""
    rows, columns = min(ROWS, len(received.tokens)), min(COLUMNS, len(received.tokens[0]))
    return min(96, 500 / columns), min(44, max(34, 230 / rows)), rows, columns


def _received_height(received):
    if received is None:
        return 100
    _, height, rows, _ = _received_cell(received)
    return rows * height + 24


def _draw_received(sketch, record):
    """The layer's input, axis 0 downwards, with arrows in the direction of its loop."""
    received = record.received
    width, height, rows, columns = _received_cell(received)
    first = f", the first of {received.calls} calls" if received.calls > 1 else ""
    sketch.words(RIGHT, 88, f"what the {received.layer} received: {received.shape}{first}", 11, weight="bold")
    sketch.words(RIGHT, 106, _loop_sentence(received, rows, columns), colour=FAINT)
    down, across = ("batch", "step") if received.time_axis else ("step", "batch")
    _draw_axis_names(sketch, RIGHT + 50, (width, height), across, range(columns), down, range(rows))
    for i, j in itertools.product(range(rows), range(columns)):
        _draw_place(sketch, record, i, j, (RIGHT + 50 + j * width, TOP + i * height, width, height))
    _draw_loops(sketch, received, RIGHT + 50 + columns * width, TOP + rows * height)


def _draw_loops(sketch, received, right, bottom):
    """An arrow along the time axis for each direction in which the layer reads."""
    for i in range(1 + received.bidirectional):
        if received.time_axis:
            start, end = (RIGHT + 50, bottom + 10 + 7 * i), (right, bottom + 10 + 7 * i)
        else:
            start, end = (right + 10 + 7 * i, TOP), (right + 10 + 7 * i, bottom)
        sketch.arrow(*(end + start if i else start + end))


def _loop_sentence(received, rows, columns):
    """Over which axis the layer loops, and whether more was received than is drawn."""
    both = ", in both directions" if received.bidirectional else ""
    cut = (len(received.tokens), len(received.tokens[0])) != (rows, columns)
    return f"its loop runs over axis {received.time_axis}{both}" + cut * f"; drawn: the first {rows} × {columns}"


def _draw_place(sketch, record, i, j, area):
    """One place of the layer's input: the token that lies there, and its V numbers."""
    token, values, (x, y, width, height) = record.received.tokens[i][j], record.received.values[i][j], area
    _draw_token(sketch, record, token, area)
    letter = "?" if token is None else _letter(record.letters[token[0]][token[1]])
    sketch.words(x + 4, y + 11, letter, 10, family="monospace", weight="bold")
    if token is not None:
        end = x + width - (9 if _judge(record, token) == "forbidden" else 4)
        sketch.words(end, y + 11, "{},{}".format(*token), align="right")
    _draw_numbers(sketch, (x + 5, y + height - 14, width - 10, 9), values, ["white"] * len(values))


def _draw_no_layer(sketch):
    """Why there is nothing on the right."""
    sketch.words(RIGHT, 88, "what the layer received: nothing to show", 11, weight="bold")
    lines = (
        "read called no nn.RNN, nn.GRU or nn.LSTM with a tensor as its first argument.",
        "On the left everything is measured all the same.",
    )
    for i, line in enumerate(lines):
        sketch.words(RIGHT, 112 + 18 * i, line, 10, colour=FAINT)


# --- below: the numbers in memory


def _memory_grid(received):
    """Width of a group of V numbers, how many of them stand in a row, and how many are drawn."""
    numbers = len(received.values[0][0])
    groups = min(GROUPS, math.ceil(len(received.memory) / numbers))
    room = WIDTH - 2 * LEFT
    rows = max(math.ceil(50 * groups / room), min(2, math.ceil(6 * numbers * groups / room)))
    per_row = math.ceil(groups / rows)
    return min(max(50, 11 * numbers), room / per_row), per_row, groups


def _memory_height(received):
    _, per_row, groups = _memory_grid(received)
    return 90 + 56 * math.ceil(groups / per_row)


def _draw_memory(sketch, record, top):
    """The numbers in the order in which they lie in memory, in groups of V, each with the step that reads it."""
    received = record.received
    width, per_row, groups = _memory_grid(received)
    numbers = len(received.values[0][0])
    sketch.line((LEFT, top), (WIDTH - LEFT, top), colour="#BBBBBB")
    sketch.words(LEFT, top + 18, f"its memory, in groups of {numbers} numbers", 11, weight="bold")
    facts = (f"strides {received.strides}", f"is_contiguous() {received.contiguous}")
    facts += (f"one step in one piece: {received.step_contiguous}",)
    sketch.words(WIDTH - LEFT, top + 18, "   ".join(facts), family="monospace", align="right")
    chosen = _chosen_step(record)
    bars = f"bars: step {chosen} reads" if chosen is not None else "no step of this call reads"
    cut = f"drawn: the first {groups * numbers} numbers; " if groups * numbers < len(received.memory) else ""
    sketch.words(WIDTH - LEFT, top + 36, f"{cut}{bars} the chosen letter", align="right", colour=FAINT)
    _draw_jumps(sketch, received, top + 78, width / numbers, min(width * per_row, 580))  # room for the words
    for group in range(groups):
        area = (LEFT + group % per_row * width, top + 82 + 56 * (group // per_row), width)
        _draw_group(sketch, record, received.memory[group * numbers : (group + 1) * numbers], area, chosen)


def _chosen_step(record):
    """The step of the layer's loop that reads the chosen letter first; None if none does."""
    tokens = record.received.tokens
    places = itertools.product(range(len(tokens)), range(len(tokens[0])))
    steps = [(i, j)[record.received.time_axis] for i, j in places if tokens[i][j] == (record.b, record.t)]
    return min(steps, default=None)


def _draw_group(sketch, record, places, area, chosen):
    """V numbers side by side in memory: above, the letter if it is a whole one; below, the step that reads it."""
    received, (x, y, width) = record.received, area
    tokens = [place and received.tokens[place[0]][place[1]] for place in places]
    if tokens[0] and places == tuple((*places[0][:2], v) for v in range(len(places))):
        b, t = tokens[0]
        sketch.words(x + 3, y + 8, _letter(record.letters[b][t]), 10, family="monospace", weight="bold")
        sketch.words(x + 23, y + 8, f"{b},{t}")
    values = [received.values[place[0]][place[1]][place[2]] if place else 0.0 for place in places]
    colours = [_sentence_colour(token[0]) if token else tint(GREY, 0.15) for token in tokens]
    share = len(places) / len(received.values[0][0])  # the last group may be a shorter one
    _draw_numbers(sketch, (x, y + 17, share * width, 14), values, colours)
    _draw_steps(sketch, [place and place[received.time_axis] for place in places], (x, y, share * width), chosen)


def _draw_steps(sketch, steps, area, chosen):
    """Which steps of the layer's loop read a group, and a bar below every number that the chosen step reads."""
    (x, y, width), found = area, {*steps} - {None}
    name = f"step {min(found)}" if len(found) == 1 else f"{len(found)} steps" if found else "unread"
    sketch.words(x + width / 2, y + 43, name, align="center", weight="bold" if chosen in found else "normal")
    pitch, start = width / len(steps), 0
    for step, run in itertools.groupby(steps):
        length = len(list(run))
        if step is not None and step == chosen:
            sketch.box(x + start * pitch + 1, y + 33, length * pitch - 2, 2.5, INK)
        start += length


def _draw_jumps(sketch, received, floor, pitch, room):
    """Arrows from the first number to the next one along either axis, as far as it lies in the first row."""
    axes = [axis for axis, size in enumerate(received.shape[:-1]) if size > 1]
    jumps = sorted((received.strides[axis], axis) for axis in axes if received.strides[axis] * pitch < room)
    for i, (stride, axis) in enumerate(jumps):
        x, y = LEFT + 2 + stride * pitch, floor - 12 - 16 * i
        sketch.line((LEFT + 2 + 3 * i, floor), (LEFT + 2 + 3 * i, y), (x, y))
        sketch.arrow(x, y, x, floor)
        name = "step" if axis == received.time_axis else "place of the batch"
        text = f"to the next {name}: {stride} number{'s' * (stride != 1)} on"
        sketch.words(LEFT + 14 + jumps[-1][0] * pitch, y, text, colour=FAINT)
