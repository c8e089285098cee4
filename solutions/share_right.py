"""How many answers of an echo can be right if the state is reset at the start of each window."""


def share_right(num_steps, lag):
    blind = min(lag, num_steps)  # steps whose bit lies before the window: half of them are right by luck
    return (num_steps - blind / 2) / num_steps


def inputs():
    yield from [(10, 5), (6, 5), (20, 5), (5, 5), (3, 5), (1, 1), (35, 8), (12, 1), (7, 0), (2, 9)]


ERRORS = [
    (
        "min(lag, num_steps)",
        "lag",
        "A window cannot have more blind steps than steps. Try a window of 3 with a lag of 5.",
    ),
    ("blind / 2", "blind", "You count all blind answers as wrong. A coin flip is right half the time."),
    ("num_steps - blind / 2", "blind / 2", "You count the lucky answers only. The others are all right."),
    (
        "min(lag, num_steps)",
        "min(max(lag - 1, 0), num_steps)",
        "One blind step is missing. The bit of `lag` steps ago is in the window from step `lag` on, counted from 0.",
    ),
    (
        "min(lag, num_steps)",
        "min(lag + 1, num_steps)",
        "One blind step too many. The bit of `lag` steps ago is in the window from step `lag` on, counted from 0.",
    ),
    ("(num_steps - blind / 2) / num_steps", "num_steps - blind / 2", "That is a number of answers. Asked is their share."),
    (
        "(num_steps - blind / 2) / num_steps",
        "0.5 if blind else 1.0",
        "Only the first steps of a window are blind. From then on every answer is right.",
    ),
]
