"""The best run that a limit of seconds allows."""

import random


def best_within(runs, seconds):
    return min((run["held_out"] for run in runs if run["seconds"] <= seconds), default=None)


def inputs():
    source = random.Random(0)
    for count, seconds in [(5, 3), (8, 2), (6, 4), (7, 0)]:
        pairs = [(source.randint(1, 5), source.uniform(5, 9)) for _ in range(count)]
        runs = [{"seconds": needed, "held_out": reached} for needed, reached in pairs]
        yield runs, seconds
        yield [*runs, {"seconds": seconds, "held_out": 4.5}, {"seconds": 6, "held_out": 4.0}], seconds
        yield [{"seconds": seconds / 2, "held_out": 4.2}, *runs], seconds
    yield [], 10


ERRORS = [
    (' if run["seconds"] <= seconds', "", "Runs that take longer than the limit count too; leave them out first."),
    ('["seconds"] <= seconds', '["seconds"] < seconds', "A run that takes exactly so many seconds is allowed too."),
    (
        '["seconds"] <= seconds',
        '["seconds"] >= seconds',
        "You keep the runs that take too long; at most means as many or fewer.",
    ),
    ("min(", "max(", "That is the highest perplexity; lower is better."),
    (", default=None", "", "If no run is quick enough, min has nothing to choose from; return None then."),
    (
        'min((run["held_out"] for run in runs if run["seconds"] <= seconds), default=None)',
        'min((run for run in runs if run["seconds"] <= seconds), key=lambda run: run["held_out"], default=None)',
        "You return the whole run; asked is its held-out perplexity.",
    ),
    (
        'min((run["held_out"] for run in runs if run["seconds"] <= seconds), default=None)',
        'next((r["held_out"] for r in sorted(runs, key=lambda r: r["seconds"]) if r["seconds"] <= seconds), None)',
        "That is what the quickest run has reached; asked is the lowest of all that are quick enough.",
    ),
]
