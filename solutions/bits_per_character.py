"""The bits a model needs for each character of a text, from its perplexity per token."""

import math
import random


def bits_per_character(perplexity, num_tokens, num_characters):
    return math.log2(perplexity) * num_tokens / num_characters


def inputs():
    draw = random.Random(0)
    for num_tokens in (1, 7, 200, 3_000):
        yield draw.uniform(1.2, 600), num_tokens, num_tokens * draw.randint(2, 9) + draw.randint(0, 1)
    yield 2.5, 90, 90  # each token is a character
    yield 1.0, 12, 60  # no doubt, no bits


ERRORS = [
    ("log2", "log", "Your number is in nats: perplexity is e to the mean loss, and a bit is a choice between two."),
    (
        " * num_tokens / num_characters",
        "",
        "These are the bits of a token. A word has several characters, which share its bits.",
    ),
    (
        "num_tokens / num_characters",
        "num_characters / num_tokens",
        "Your ratio is upside down: the longer the tokens, the fewer bits fall to one character.",
    ),
    (
        "math.log2(perplexity) * num_tokens / num_characters",
        "math.log2(perplexity * num_tokens / num_characters)",
        "You shared out the perplexity. Bits can be added and shared out, perplexities cannot: first the logarithm.",
    ),
    (" / num_characters", "", "These are the bits of the whole text. Asked for are those of one character."),
]
