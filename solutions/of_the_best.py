"""The probabilities of the k best tokens alone."""

import torch


def of_the_best(probabilities, k):
    limit = probabilities.topk(k).values[-1]
    kept = probabilities * (probabilities >= limit)
    return kept / kept.sum()


def inputs():
    for V, k in [(5, 2), (8, 3), (4, 4), (6, 1), (28, 7), (12, 5)]:
        yield torch.randn(V).softmax(dim=0), k


ERRORS = [
    (">= limit", "> limit", "You keep one token too few: the k-th best is one of the k best."),
    (
        "kept / kept.sum()",
        "kept",
        "The right tokens are left, but their probabilities do not add to 1 any more.",
    ),
    (
        "kept / kept.sum()",
        "kept.softmax(dim=0)",
        "What you have are probabilities already. softmax takes exp of them, and exp(0) is 1: the tokens that you "
        "took out come back.",
    ),
    (
        "kept / kept.sum()",
        "kept[kept > 0] / kept.sum()",
        "Your result holds the k best only. It should keep the length of the input, with 0 in the other places.",
    ),
    (
        "kept = probabilities * (probabilities >= limit)",
        "return torch.cat([(best := probabilities.topk(k).values) / best.sum(), torch.zeros(len(probabilities) - k)])",
        "Your probabilities are sorted. Each one must stay in its token's place.",
    ),
    (
        ".topk(k)",
        ".topk(k, largest=False)",
        "You found the limit of the k worst tokens; the k best are asked for.",
    ),
    (
        "probabilities * (probabilities >= limit)",
        "1.0 * (probabilities >= limit)",
        "You give the k best equal probabilities. Among them, a better one should stay more probable.",
    ),
]
PICTURE = {"x": "number of the token", "y": "probability"}
