"""Probabilities from logits at a temperature, also for logits that are too large for exp."""

import torch


def softened(logits, temperature):
    scaled = logits / temperature
    powers = torch.exp(scaled - scaled.amax(dim=-1, keepdim=True))  # the largest power of each row is 1
    return powers / powers.sum(dim=-1, keepdim=True)


def inputs():
    for size, temperature in [((5,), 0.5), ((3, 4), 2.0), ((4, 4), 1.0), ((2, 3, 5), 0.3), ((1, 6), 1.5)]:
        yield 2 * torch.randn(size), temperature
    yield torch.tensor([1000.0, 999.0, 990.0]), 1.0
    yield torch.tensor([[500.0, 499.0], [-500.0, -501.0]]), 1.0  # no single number brings both rows near 0
    yield 2 * torch.randn(12), 3.0


ERRORS = [
    (
        "logits / temperature",
        "logits * temperature",
        "Your temperature works the wrong way: a high one should make the probabilities more equal.",
    ),
    (
        "torch.exp(scaled - scaled.amax(dim=-1, keepdim=True))",
        "torch.exp(scaled)",
        "Logits as the usual ones are right, but for large ones your result is nan: exp(1000) is infinite. What may "
        "be taken away from all logits of a row without a change of the probabilities?",
    ),
    (
        "scaled.amax(dim=-1, keepdim=True)",
        "scaled.amax()",
        "You take the same number away from all rows. A row far below it has only powers that round to 0, and 0 / 0 "
        "is nan.",
    ),
    (
        "powers.sum(dim=-1, keepdim=True)",
        "powers.sum()",
        "One row is right. With more rows, all of them together add to 1; each row should.",
    ),
    (
        "powers / powers.sum(dim=-1, keepdim=True)",
        "powers",
        "Your numbers do not add to 1 yet: they are powers, not shares.",
    ),
    (
        "scaled = logits / temperature",
        "return logits.softmax(dim=-1) / temperature",
        "You divide the probabilities by the temperature, so they no longer add to 1. The temperature belongs to the "
        "logits, before exp.",
    ),
    (
        "logits / temperature",
        "logits",
        "Your result does not depend on the temperature.",
    ),
]
PICTURE = {"x": "number of the token", "y": "probability"}
