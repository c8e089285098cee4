"""The text as a ribbon, coloured by the rows and windows of the batches that were cut out of it."""

import math
import unicodedata

from course_utils.plots.fonts import caption, visible
from course_utils.plots.network import Sketch
from course_utils.plots.picture import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, YELLOW, tint

ROW_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY, VERMILION)
SIGNS = {"zeros": ("○", "zeros", INK), "goes on": ("●▶", "goes on", INK), "from elsewhere": ("✕", "stale", VERMILION)}
PALE = "#BBBBBB"
LETTERS, CELL, HIGH = 60, 14, 20  # cells of a line, and a cell's width and height in pixels
LEFT, LINE, TABLE = 50, 54, 300  # pixels: where the cells begin, a line's height, where the cells of the batch begin
LINES, ROWS, STEPS = 6, 8, 40  # the most that are drawn: lines of the ribbon, rows and steps of the batch
KEY = (
    "● the row stopped here in the batch before    ▶ goes on    ✕ does not: that state is stale    ○ zeros",
    "number above: the row    pale, dark: a window each    framed: this batch    white: never an input    "
    "struck out: not even a label",
)


def ribbon_picture(record, characters):
    """Return a `Picture` of a text as it is cut into batches, and of one batch with the origin of its states.

    Of a text longer than 360 characters the lines in which this batch begins come first; of a batch larger than 8 rows
    of 40 steps not all is drawn. The picture says so.

    Args:
        record: an `experiments.ribbon.Ribbon`, or anything with its fields.
        characters: the text, `record.num_tokens` characters; of a longer token the beginning is drawn.
    """
    if len(characters) != record.num_tokens:
        raise ValueError(f"the text has {len(characters)} characters; the ribbon is one of {record.num_tokens}")
    letters = [text if _width(text) <= 3 else f"{text[: 3 - _width(text[0])]}…" for text in map(visible, characters)]
    sentences, colours = fault_sentences(record), _colours(record)
    lines, wanted = range(math.ceil(record.num_tokens / LETTERS)), {row[0] // LETTERS for row in record.batch}
    shown = sorted(sorted(lines, key=lambda line: (line not in wanted, line))[:LINES])
    places = {line: 82 + 20 * len(sentences) + LINE * i for i, line in enumerate(shown)}
    end = 90 + 20 * len(sentences) + LINE * len(places)
    sketch = Sketch(920, end + 102 + 24 * min(ROWS, max(4, record.batch_size)))
    sketch.words(14, 20, batch_sentence(record), 12, weight="bold")
    unused = "never an input in this epoch: {unused} of {record.num_tokens} tokens; not even a label: {unseen}"
    unused = caption(unused, record=record, unused=len(record.unused), unseen=len(record.unseen))
    sketch.words(14, 44, unused, 11)
    for i, sentence in enumerate(sentences):
        sketch.words(14, 66 + 20 * i, sentence, 11, weight="bold", colour=VERMILION)
    _draw_ribbon(sketch, record, letters, colours, places)
    _draw_heads(sketch, record, colours, places)
    _draw_sources(sketch, record, places)
    _draw_batch(sketch, record, letters, colours, end)
    for i, line in enumerate(KEY):
        sketch.words(14, sketch.height - 32 + 18 * i, caption(line), colour=FAINT)
    return sketch.finish()


def batch_sentence(record):
    """Say how many rows of the batch looked at go on."""
    if record.number == 1:
        return caption("batch 1 of {record.num_batches}: the first one starts from zeros", record=record)
    going, rows = [source.kind for source in record.sources].count("goes on"), len(record.sources)
    text = "batch {n} of {record.num_batches}: {going} of {rows} rows go on where they stopped in batch {old}"
    text = caption(text, record=record, n=record.number, going=going, rows=rows, old=record.number - 1)
    return text + ("" if going == rows else caption("; start from zeros"))


def fault_sentences(record):
    """Say what is wrong with the windows, overlaps and labels that are not one later, and what has no room."""
    faults = []
    if record.repeated:
        text = "windows overlap (orange-red bars): tokens read more than once: {count}"
        faults.append(caption(text, count=len(record.repeated)))
    if record.wrong_labels:
        (number, row), count = record.wrong_labels[0], len(record.wrong_labels)
        text = "labels are not one token after their inputs: batch {number}, row {row}; such windows: {count}"
        faults.append(caption(text, number=number, row=row, count=count))
    lines, rows = math.ceil(record.num_tokens / LETTERS), record.batch_size
    found = ((lines, LINES, "{most} of {count} lines of {letters} letters"), (rows, ROWS, "{most} of {count} rows"),
             (record.num_steps, STEPS, "{most} of {count} steps"))  # fmt: skip
    cut = [caption(text, most=most, count=count, letters=LETTERS) for count, most, text in found if count > most]
    if cut:
        faults.append(caption("too large for one picture, which shows {parts}", parts=caption(", ").join(cut)))
    return faults


def _spot(places, position):
    """The middle of a position's cell at its upper edge, or None where its line is not drawn."""
    line, column = divmod(-1 if position is None else position, LETTERS)
    return (LEFT + (column + 0.5) * CELL, places[line]) if line in places else None


def _colours(record):
    """The colour of each window by (number of the batch, row): its row's, paler in every second window of the text.

    The batch looked at comes last, so that it lies on top.
    """
    batches = enumerate(record.inputs, start=1)
    ranked = sorted((window, number, row) for number, batch in batches for row, window in enumerate(batch))
    shades = [(number, row, (0.3, 0.6)[rank % 2]) for rank, (_, number, row) in enumerate(ranked)]
    shades.sort(key=lambda shade: shade[0] == record.number)
    return {(number, row): tint(ROW_COLOURS[row % len(ROW_COLOURS)], shade) for number, row, shade in shades}


def _draw_ribbon(sketch, record, letters, colours, places):
    """A cell for each letter: coloured by its window, white if never an input, struck out if not even a label."""
    painted = {}
    for (number, row), colour in colours.items():
        painted |= dict.fromkeys(record.inputs[number - 1][row], colour)
    unseen, repeated = set(record.unseen), set(record.repeated)
    for line, y in places.items():
        sketch.words(LEFT - 8, y + HIGH / 2, str(line * LETTERS), align="right", colour=FAINT)
        for position in range(line * LETTERS, min((line + 1) * LETTERS, record.num_tokens)):
            x, colour = _spot(places, position)[0] - CELL / 2, painted.get(position)
            sketch.box(x, y, CELL, HIGH, colour or "white", colour or PALE)
            if position in unseen:
                sketch.line((x, y + HIGH / 2), (x + CELL, y + HIGH / 2), colour=GREY)
            if position in repeated:
                sketch.box(x, y + HIGH - 3, CELL, 3, VERMILION, VERMILION)
            _draw_letter(sketch, x + CELL / 2, y + HIGH / 2, letters[position], INK if colour else GREY)


def _width(text):
    """How many Latin letters are as wide: a Chinese, Japanese or Korean sign is twice as wide as one."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def _draw_letter(sketch, x, y, letter, ink=INK):
    sketch.words(x, y, letter, min(10, 18 / max(1, _width(letter))), "center", "monospace", colour=ink)


def _draw_heads(sketch, record, colours, places):
    """The row's number above each window's first letter, and a thick frame around the windows of the batch."""
    heads = {}
    for number, row in colours:
        heads[record.inputs[number - 1][row][0]] = str(row), number == record.number
    for position, (row, chosen) in heads.items():
        spot, style = _spot(places, position), ("bold", INK) if chosen else ("normal", FAINT)
        if spot:
            sketch.words(spot[0], spot[1] - 9, row, align="center", weight=style[0], colour=style[1])
    for window in record.batch:
        for position in filter(lambda position: _spot(places, position), window):
            x, y = _spot(places, position)
            sides = [(x - CELL / 2, y - 2, CELL, 3), (x - CELL / 2, y + HIGH - 1, CELL, 3)]
            ends = ((position - 1, x - CELL / 2 - 1), (position + 1, x + CELL / 2 - 2))
            sides += [(end, y - 2, 3, HIGH + 4) for beyond, end in ends if beyond not in window]
            for side in sides:
                sketch.box(*side, INK, INK)


def _draw_sources(sketch, record, places):
    """Below the cells: where each row of the batch stopped before, and what that means where it starts."""
    starts, stops = {row[0] for row in record.batch}, {source.position for source in record.sources}
    for row, (window, source) in enumerate(zip(record.batch, record.sources, strict=True)):
        sign, _, ink = SIGNS[source.kind]
        for position, letter, side in ((window[0], sign[-1], -1), (source.position, "●", 1)):
            if spot := _spot(places, position):
                x, y = spot[0] - 4 * side * (position in starts & stops), spot[1] + HIGH + 10
                sketch.words(x, y, letter, 9 if letter == "●" else 10, "center", colour=ink)
                if source.kind == "goes on":  # half of the way from stop to start, which may stand in different lines
                    sketch.box(min(x, x + side * CELL / 2), y - 1, CELL / 2, 2, ink, ink)
                elif source.position is not None and position + 1 not in starts | stops:
                    sketch.words(x + 8, y, str(row), colour=ink)


def _draw_batch(sketch, record, letters, colours, top):
    """The batch as the model gets it: where each row's state comes from, the letters of X, and Y's last letter."""
    steps = [*range(record.num_steps)]
    if record.num_steps > STEPS:
        steps[STEPS - 3 : -2] = [None]
    sketch.line((14, top), (906, top), colour=PALE)
    for x, name in ((76, "state from"), (140, "starts at"), (TABLE - 8, f"X {record.batch_size, record.num_steps}")):
        sketch.words(x, top + 15, caption(name), align="right", colour=FAINT)
    sketch.words(TABLE + CELL * (len(steps) + 0.5), top + 15, "Y[:, -1]", colour=FAINT)
    for row, (window, source) in enumerate(zip(record.batch[:ROWS], record.sources, strict=False)):
        y, (sign, word, ink) = top + 38 + 24 * row, SIGNS[source.kind]
        sketch.words(76, y, "–" if source.position is None else str(source.position), 10, "right")
        sketch.words(140, y, str(window[0]), 10, "right")
        sketch.words(158, y, f"{sign} {caption(word)}", 10, colour=ink)
        sketch.words(TABLE - 8, y, f"X[{row}]", 10, "right", "monospace")
        sketch.box(TABLE, y - HIGH / 2, CELL * len(steps), HIGH, colours[record.number, row], INK)
        for i, step in enumerate(steps):
            _draw_letter(sketch, TABLE + (i + 0.5) * CELL, y, "…" if step is None else letters[window[step]])
        x, wrong = TABLE + CELL * (len(steps) + 1), (record.number, row) in record.wrong_labels
        ink = VERMILION if wrong else INK
        sketch.box(x - CELL / 2, y - HIGH / 2, CELL, HIGH, "white", ink)
        _draw_letter(sketch, x, y, letters[record.labels[record.number - 1][row][-1]], ink)
        if wrong:
            sketch.words(x + CELL, y, "≠", 10, colour=ink)
