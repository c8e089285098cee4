"""After how many equal factors less than a limit is left."""

from itertools import count, product


def lag_below(factor, limit):
    return next(lag for lag in count() if factor**lag < limit)


def inputs():
    yield from product((0.1, 0.57, 0.64, 0.9, 0.985), (0.7, 0.3, 0.012))
    yield from product((0.25, 0.5), (0.25, 0.0625))  # reached exactly


ERRORS = [
    ("< limit", "<= limit", "Equal to the limit is not below it: try a factor of 0.5 and a limit of 0.25."),
    (
        "next(lag",
        "next(lag - 1",
        "One too few: that is the last lag with the limit or more left, and the one after it is asked for.",
    ),
    ("next(lag", "next(lag + 1", "One too many: lag 1 has passed one factor, lag 0 none."),
    ("next(lag", "next(factor**lag", "That is the share that is left; asked is the number of steps."),
    (
        "< limit",
        "< 1 - limit",
        "You ask when a part as large as the limit is lost; asked is when less than the limit is left.",
    ),
    (
        "factor**lag",
        "1 - lag * (1 - factor)",
        "You take the same amount away at each step; it is the same part of what is still there.",
    ),
    (
        "factor**lag < limit",
        "factor**lag > limit",
        "At lag 0 all is there, so that is not below the limit: look for smaller, not for larger.",
    ),
]
