"""Which of two settings wins with all of its seeds."""

from itertools import product


def clear_winner(first, second):
    if max(first) < min(second):
        return "first"
    if max(second) < min(first):
        return "second"
    return "neither"


def inputs():
    low, high, mixed, wide = [5.6, 5.5], [6.3, 6.4, 6.1], [6.0, 6.2], [5.0, 7.0, 5.2]
    yield from product((low, high, mixed, wide), repeat=2)
    yield [6.0, 6.1], [6.1, 6.3]  # one as low as the other
    yield [6.1, 6.3], [6.1, 6.0]
    yield [9.0], [8.9]


RULE = '{}:\n        return "first"\n    if {}'
RIGHT = RULE.format("max(first) < min(second)", "max(second) < min(first)")
ERRORS = [
    (
        RIGHT,
        RULE.format(
            "sum(first) / len(first) < sum(second) / len(second)", "sum(second) / len(second) < sum(first) / len(first)"
        ),
        "You compare means, which one lucky seed can move: each seed of one must be below each seed of the other.",
    ),
    (
        RIGHT,
        RULE.format("min(first) < min(second)", "min(second) < min(first)"),
        "You compare the best seeds only; one lucky draw does not make a winner.",
    ),
    (
        RIGHT,
        RULE.format("max(first) < max(second)", "max(second) < max(first)"),
        "You compare the worst seeds only; the worst of one must be below the best of the other.",
    ),
    (
        RIGHT,
        RULE.format("min(first) > max(second)", "min(second) > max(first)"),
        "Your winner has the higher perplexity; lower is better.",
    ),
    (
        RIGHT,
        RULE.format("max(first) <= min(second)", "max(second) <= min(first)"),
        "Two seeds that are equal are not below one another, and so nobody wins.",
    ),
    (
        RIGHT,
        RULE.format("all(a < b for a, b in zip(first, second))", "all(b < a for a, b in zip(first, second))"),
        "You compare the seeds in pairs; each must be below every one of the other setting.",
    ),
    (
        'return "neither"',
        'return "second"',
        "Not first does not mean second: where the seeds overlap, nobody wins.",
    ),
]
