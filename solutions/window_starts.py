"""Where the windows of each batch begin, if a text is read in order in several rows."""


def window_starts(length, batch_size, num_steps):
    row = (length - 1) // batch_size  # the last token is only ever a label
    return [[r * row + b * num_steps for r in range(batch_size)] for b in range(row // num_steps)]


def inputs():
    yield from [(36, 2, 5), (41, 4, 5), (40, 4, 5), (101, 3, 7), (25, 1, 4), (30, 5, 3)]
    yield 9, 4, 2
    yield 8, 4, 2  # no batch at all: each row has a single token with a label


ERRORS = [
    ("(length - 1)", "length", "Your rows are too long: the last token of the text has no label, so it begins nothing."),
    (
        "r * row + b * num_steps",
        "(b * batch_size + r) * num_steps",
        "You cut one long row: window follows window within a batch. Then no row goes on where it stopped.",
    ),
    (
        "r * row + b * num_steps",
        "r * row + b",
        "From batch to batch your rows go on by one token. They must go on by a whole window.",
    ),
    (
        "[[r * row + b * num_steps for r in range(batch_size)] for b in range(row // num_steps)]",
        "[[r * row + b * num_steps for b in range(row // num_steps)] for r in range(batch_size)]",
        "You have one list a row. Asked is one list a batch, with one start for each row.",
    ),
    (
        "range(row // num_steps)",
        "range(-(-row // num_steps))",
        "Your last batch reaches into the next row, or behind the text: what does not fill a window is left out.",
    ),
    (
        "range(row // num_steps)",
        "range(max(1, row // num_steps))",
        "Where the text is too short for one window in each row, there is no batch: an empty list.",
    ),
]
