"""The text as a ribbon, coloured by the rows and windows of the batches that were cut out of it."""

import math

from course_utils.plots.network import Sketch
from course_utils.plots.picture import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    tint,
)

ROW_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY, VERMILION)
SIGNS = {"zeros": ("○", "zeros", INK), "goes on": ("●▶", "goes on", INK), "from elsewhere": ("✕", "stale", VERMILION)}
PALE = "#BBBBBB"
LETTERS, CELL, HIGH = 60, 14, 20  # cells of a line, and a cell's width and height in pixels
LEFT, LINE, GAP = 50, 54, 20  # pixels: where the cells begin, a line's height, the height of a cut
LINES, ROWS, STEPS = 6, 8, 40  # the most that are drawn: lines of the ribbon, rows and steps of the batch
TABLE = 300  # where the cells of the batch begin


def ribbon(record, characters):
    """Return a `Picture` of a text as it is cut into batches, and of one batch with the origin of its states.

    Of a text longer than 360 characters the lines in which this batch begins come first; of a batch larger than 8 rows
    of 40 steps the middle is left out. Both are marked as cuts.

    Args:
        record: an `experiments.ribbon.Ribbon`, or anything with its fields.
        characters: the text, `record.num_tokens` characters.

    Raises:
        ValueError: the text has another length.
    """
    if len(characters) != record.num_tokens:
        raise ValueError(f"the text has {len(characters)} characters; the ribbon is one of {record.num_tokens}")
    lines, faults = _shown_lines(record), fault_sentences(record)
    places, end = _places(lines, 82 + 20 * len(faults), record.num_tokens)
    sketch = Sketch(920, end + 110 + 24 * min(ROWS, max(4, record.batch_size)))
    sketch.words(14, 20, batch_sentence(record), 12, weight="bold")
    sketch.words(14, 44, unused_sentence(record), 11)
    for i, sentence in enumerate(faults):
        sketch.words(14, 66 + 20 * i, sentence, 11, weight="bold", colour=VERMILION)
    colours = _colours(record)
    _draw_windows(sketch, record, places, colours)
    _draw_rest(sketch, record, places)
    _draw_letters(sketch, record, characters, places)
    _draw_frames(sketch, record, places)
    _draw_sources(sketch, record, places)
    _draw_batch(sketch, record, characters, colours, end + 8)
    _draw_key(sketch, sketch.height - 32)
    return sketch.finish()


def batch_sentence(record):
    """Say which rows of the batch looked at go on."""
    start, kinds = f"batch {record.number} of {record.num_batches}:", [source.kind for source in record.sources]
    if record.number == 1:
        return f"{start} the first one starts from zeros"
    stopped, going = f"where it stopped in batch {record.number - 1}", kinds.count("goes on")
    if going == len(kinds):
        return f"{start} every row goes on {stopped}"
    some = f"only {going} of {len(kinds)} rows {'goes' if going == 1 else 'go'} on" if going else "no row goes on"
    return f"{start} {some} {stopped}; start from zeros"


def unused_sentence(record):
    """Say how many tokens an epoch leaves out."""
    count, rest = len(record.unused), len(record.unseen)
    if not count:
        return f"each of the {record.num_tokens} tokens is an input in this epoch"
    verb, labels = "is" if count == 1 else "are", f"{rest} of them not even a label" if rest else "only a label"
    return f"{count} of {record.num_tokens} tokens {verb} never an input in this epoch, {labels}"


def fault_sentences(record):
    """Say what is wrong with the windows themselves: overlaps, and labels that are not one later."""
    faults = []
    if record.repeated:
        count = "1 token is" if len(record.repeated) == 1 else f"{len(record.repeated)} tokens are"
        faults.append(f"windows overlap (red bars): {count} an input more than once in this epoch")
    if record.wrong_labels:
        (number, row), count = record.wrong_labels[0], len(record.wrong_labels)
        more = f", and {count - 1} more windows" if count > 1 else ""
        faults.append(f"labels are not one token after their inputs: batch {number}, row {row}{more}")
    return faults


def _shown_lines(record):
    """The numbers of the lines that are drawn: all, or first of all those in which a row of the batch begins."""
    lines = range(math.ceil(record.num_tokens / LETTERS))
    wanted = {row[0] // LETTERS for row in record.batch}
    return sorted(sorted(lines, key=lambda line: (line not in wanted, line))[:LINES])


def _places(lines, top, num_tokens):
    """The y of each line that is drawn, as line -> y, with room for the cuts between them, and the y below the last."""
    places, y, following = {}, top, 0
    for line in lines:
        y += GAP * (line != following)
        places[line], following = y, line + 1
        y += LINE
    return places, y + GAP * (following * LETTERS < num_tokens)


def _spot(places, position):
    """The middle of a position's cell at its upper edge, or None where its line is not drawn."""
    line, column = divmod(position, LETTERS)
    return (LEFT + (column + 0.5) * CELL, places[line]) if line in places else None


def _runs(positions, places):
    """Yield (first, last, x, y, width) for each stretch of neighbouring positions in a line that is drawn."""
    ordered = sorted(positions)
    first = 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or ordered[end] != ordered[end - 1] + 1 or ordered[end] % LETTERS == 0:
            spot = _spot(places, ordered[first])
            if spot:
                yield ordered[first], ordered[end - 1], spot[0] - CELL / 2, spot[1], (end - first) * CELL
            first = end


def _colours(record):
    """The colour of each window by (number of the batch, row): its row's, paler in every second window of the text."""
    batches = enumerate(record.inputs, start=1)
    ranked = sorted((window, number, row) for number, batch in batches for row, window in enumerate(batch))
    return {
        (number, row): tint(ROW_COLOURS[row % len(ROW_COLOURS)], (0.3, 0.6)[rank % 2])
        for rank, (_, number, row) in enumerate(ranked)
    }


def _draw_windows(sketch, record, places, colours):
    """A box for every window, its row's number above its first letter; the windows of the batch lie on top."""
    heads = {}
    for number, row in sorted(colours, key=lambda window: window[0] == record.number):
        window, colour = record.inputs[number - 1][row], colours[number, row]
        heads[window[0]] = str(row), number == record.number
        for _, _, x, y, width in _runs(window, places):
            sketch.box(x, y, width, HIGH, colour, colour)
    for position, (row, chosen) in heads.items():
        spot, style = _spot(places, position), ("bold", INK) if chosen else ("normal", FAINT)
        if spot:
            sketch.words(spot[0], spot[1] - 9, row, align="center", weight=style[0], colour=style[1])


def _draw_rest(sketch, record, places):
    """White boxes for the tokens that are never an input, struck out if not even a label; a bar below overlaps."""
    for _, _, x, y, width in _runs(record.unused, places):
        sketch.box(x, y, width, HIGH, "white", PALE)
    for _, _, x, y, width in _runs(record.unseen, places):
        sketch.line((x + 2, y + HIGH / 2), (x + width - 2, y + HIGH / 2), colour=GREY)
    for _, _, x, y, width in _runs(record.repeated, places):
        sketch.box(x, y + HIGH - 3, width, 3, VERMILION, VERMILION)


def _draw_letters(sketch, record, characters, places):
    """The text, with the position of each line's first letter; what is left out between lines is said."""
    unused, following, lines = set(record.unused), 0, math.ceil(record.num_tokens / LETTERS)
    for line, y in places.items():
        _draw_cut(sketch, line - following, y)
        sketch.words(LEFT - 8, y + HIGH / 2, str(line * LETTERS), align="right", colour=FAINT)
        following = line + 1
        for position in range(line * LETTERS, min(following * LETTERS, record.num_tokens)):
            x, ink = _spot(places, position)[0], GREY if position in unused else INK
            _draw_letter(sketch, x, y + HIGH / 2, characters[position], ink)
    _draw_cut(sketch, lines - following, max(places.values()) + LINE + GAP)


def _draw_cut(sketch, count, y):
    """Above a line at y, a torn edge that says how many lines of the text are left out; nothing if none are."""
    if count:
        teeth = [(LEFT + i * CELL, y - 27 + 3 * (-1) ** i) for i in range(LETTERS + 1)]
        sketch.line(*teeth, colour=PALE)
        sketch.box(LEFT + 20, y - 36, 204, 18, "white", "white")
        sketch.words(LEFT + 26, y - 27, f"cut: {count} line{'s' * (count > 1)} of {LETTERS} not drawn", colour=FAINT)


def _draw_letter(sketch, x, y, token, ink=INK):
    """A token in the room of one letter: a space made visible, anything longer as a question mark."""
    letter = "␣" if token == " " else token if len(token) == 1 else "?"
    sketch.words(x, y, letter, 10, "center", "monospace", colour=ink)


def _draw_frames(sketch, record, places):
    """A thick frame around each window of the batch, open where the window goes on in another line."""
    for window in record.batch:
        for first, last, x, y, width in _runs(window, places):
            sides = [(x, y - 2, width, 3), (x, y + HIGH - 1, width, 3)]
            ends = ((first - 1, x - 1), (last + 1, x + width - 2))
            sides += [(end, y - 2, 3, HIGH + 4) for beyond, end in ends if beyond not in window]
            for side in sides:
                sketch.box(*side, INK, INK)


def _draw_sources(sketch, record, places):
    """Below the cells: where each row of the batch stopped before, and what that means where it starts."""
    marks = _marks(record)
    for (position, starts), (letter, row, ink, link) in marks.items():
        spot = _spot(places, position)
        if spot:
            aside = 4 if (position, not starts) in marks else 0  # one row stops where another starts: windows overlap
            x, y = spot[0] + (aside if starts else -aside), spot[1] + HIGH + 10
            sketch.words(x, y, letter, 9 if letter == "●" else 10, "center", colour=ink)
            if link:  # half of the way from stop to start, which may stand in different lines
                sketch.box(x + min(0, link * CELL / 2), y - 1, CELL / 2, 2, ink, ink)
            elif letter != "○" and not {(position + 1, True), (position + 1, False)} & marks.keys():
                sketch.words(x + 8, y, str(row), colour=ink)


def _marks(record):
    """A dict (position, whether a row starts there) -> (sign, row, colour, side of the link or 0)."""
    marks = {}
    for row, (window, source) in enumerate(zip(record.batch, record.sources, strict=True)):
        sign, _, ink = SIGNS[source.kind]
        going = source.kind == "goes on"
        marks[window[0], True] = sign[-1], row, ink, -going
        if source.position is not None:
            marks[source.position, False] = "●", row, ink, +going
    return marks


def _draw_batch(sketch, record, characters, colours, top):
    """The batch as the model gets it: where each row's state comes from, the letters of X, and Y's last letter."""
    rows, steps = _shown(len(record.batch), ROWS), _shown(record.num_steps, STEPS)
    sketch.line((14, top), (906, top), colour=PALE)
    sketch.words(76, top + 15, "state from", align="right", colour=FAINT)
    sketch.words(140, top + 15, "starts at", align="right", colour=FAINT)
    sketch.words(TABLE - 8, top + 15, f"X {len(record.batch), record.num_steps}", align="right", colour=FAINT)
    sketch.words(TABLE + CELL * (len(steps) + 0.5), top + 15, "Y[:, -1]", colour=FAINT)
    for i, row in enumerate(rows):
        y = top + 38 + 24 * i
        if row is None:
            sketch.words(TABLE, y, f"· · ·  cut: {len(record.batch) - len(rows) + 1} rows not drawn", colour=FAINT)
        else:
            _draw_source(sketch, record, row, y)
            _draw_row(sketch, record, characters, colours[record.number, row], (row, steps), y)


def _shown(count, most):
    """The numbers 0, 1, 2, ..., count - 1; of more than `most` the first and the last ones, and None between them."""
    return [*range(count)] if count <= most else [*range(most - 3), None, *range(count - 2, count)]


def _draw_source(sketch, record, row, y):
    """In words: where the state of a row comes from."""
    source = record.sources[row]
    sign, word, ink = SIGNS[source.kind]
    sketch.words(76, y, "–" if source.position is None else str(source.position), 10, "right")
    sketch.words(140, y, str(record.batch[row][0]), 10, "right")
    sketch.words(158, y, f"{sign} {word}", 10, colour=ink)


def _draw_row(sketch, record, characters, colour, place, y):
    """One row of X in its colour, and apart from it the last letter of Y, in red where a label is wrong."""
    row, steps = place
    sketch.words(TABLE - 8, y, f"X[{row}]", 10, "right", "monospace")
    sketch.box(TABLE, y - HIGH / 2, CELL * len(steps), HIGH, colour, INK)
    for i, step in enumerate(steps):
        token = "…" if step is None else characters[record.batch[row][step]]
        _draw_letter(sketch, TABLE + (i + 0.5) * CELL, y, token)
    x, wrong = TABLE + CELL * (len(steps) + 1), (record.number, row) in record.wrong_labels
    sketch.box(x - CELL / 2, y - HIGH / 2, CELL, HIGH, "white", VERMILION if wrong else INK)
    _draw_letter(sketch, x, y, characters[record.labels[record.number - 1][row][-1]], VERMILION if wrong else INK)
    if wrong:
        sketch.words(x + CELL, y, "≠", 10, colour=VERMILION)


def _draw_key(sketch, y):
    """What the signs mean."""
    signs = ("● the row stopped here in the batch before", "▶ goes on", "✕ does not: that state is stale", "○ zeros")
    cells = ("number above: the row", "pale, dark: a window each", "framed: this batch", "white: never an input",
             "struck out: not even a label")  # fmt: skip
    for i, line in enumerate((signs, cells)):
        sketch.words(14, y + 18 * i, "    ".join(line), colour=FAINT)
