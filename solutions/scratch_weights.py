"""A recurrent layer with the first weights of the book's model from scratch."""

import torch
from torch import nn


def scratch_weights(layer):
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=0.01)
    return layer


def inputs():
    torch.manual_seed(0)
    yield (nn.RNN(5, 7),)
    yield (nn.GRU(4, 6, num_layers=2),)
    yield (nn.LSTM(3, 5, bidirectional=True),)
    yield (nn.RNN(6, 9, bias=False),)


ERRORS = [
    ("std=0.01", "std=0.1", "Your weights are ten times too large: 0.01 is the standard deviation, not the variance."),
    ("nn.init.normal_(parameter, std=0.01)", "nn.init.normal_(parameter)", "You drew with a standard deviation of 1."),
    (
        "zeros_(parameter)",
        "normal_(parameter, std=0.01)",
        "You drew the biases too. They start at zero.",
    ),
    (
        "nn.init.normal_(parameter, std=0.01)",
        "nn.init.uniform_(parameter, -0.01, 0.01)",
        "You drew evenly between two limits. The book draws from a normal distribution.",
    ),
    (
        '"bias" in name',
        '"bias" in name or "hh" in name',
        "The recurrent weights are all zero: then no step can learn from the one before as it should. Draw them too.",
    ),
    (
        "nn.init.zeros_(parameter)",
        "pass",
        "The biases still hold what PyTorch drew. They start at zero.",
    ),
]
