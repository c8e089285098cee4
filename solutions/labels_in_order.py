"""Labels, one row a sentence, in the order in which the model scores them."""

import torch


def labels_in_order(Y):
    return Y.T.flatten()  # all labels of step 0, then all of step 1


def inputs():
    for B, T in [(2, 5), (3, 3), (1, 4), (6, 2), (5, 1)]:
        yield (torch.randint(28, (B, T)),)


ERRORS = [
    (
        "Y.T",
        "Y",
        "You list sentence after sentence. The logits come step after step: the first B rows are step 0 of all "
        "sentences.",
    ),
    (".flatten()", "", "The order is right, but your labels are still a table. The logits are one list of T * B rows."),
    (
        "Y.T.flatten()",
        "Y.T[-1]",
        "You kept the last step only. The model predicts after every step, so every label counts.",
    ),
    (
        ".flatten()",
        ".flatten().float()",
        "The order is right, but your labels are fractions. They name classes, so they stay whole numbers.",
    ),
    (
        ".flatten()",
        ".reshape(-1, 1)",
        "The order is right, but your result is a column, (T * B, 1). The loss wants one axis.",
    ),
]
