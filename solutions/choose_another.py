"""The best token that is not the one just picked."""

import torch


def choose_another(logits, last):
    others = logits.clone()  # the caller's logits stay as they are
    others[last] = float("-inf")
    return others.argmax().item()


def inputs():
    for V in (2, 3, 5, 9):
        logits = torch.randn(V) - 2  # mostly below 0
        yield from ((logits, last) for last in range(V))


ERRORS = [
    (
        "logits.clone()",
        "logits",
        "The choice may be right, but you change the logits of the caller. Work on a copy.",
    ),
    (
        'float("-inf")',
        "0.0",
        "You give the last token the score 0. Scores may all be below 0, and then 0 is the best. Which score can "
        "never win?",
    ),
    (
        'others[last] = float("-inf")',
        "return logits.topk(2).indices[1].item()",
        "You always take the second best. That is right only when the last token is the best one now.",
    ),
    (
        'others[last] = float("-inf")',
        "others = torch.cat([logits[:last], logits[last + 1 :]])",
        "You take the last token out, so all tokens behind it move one place down. Your index counts in the shorter "
        "list.",
    ),
    (
        'others[last] = float("-inf")',
        "pass",
        "You pick the best token of all, also when it is the one just picked.",
    ),
    ("others.argmax()", "others.max()", "You return the best score. The number of its token is asked for."),
]
