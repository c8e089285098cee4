"""An RNN that begins by handing its state on as it is."""

import copy

from torch import nn


def identity_start(layer):
    started = copy.deepcopy(layer)
    for name, weights in started.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.eye_(weights)
        if name.startswith("bias"):
            nn.init.zeros_(weights)
    return started


def inputs():
    yield (nn.RNN(3, 5),)
    yield (nn.RNN(4, 3, num_layers=2, nonlinearity="relu"),)
    yield (nn.RNN(2, 4, num_layers=2, bidirectional=True),)


ERRORS = [
    (
        'startswith("weight_hh")',
        'startswith("weight")',
        "W_ih is changed too; only the matrix between one state and the next becomes the identity.",
    ),
    (
        'startswith("weight_hh")',
        'startswith("weight_ih")',
        "You change W_ih; the matrix that leads from one state to the next is another one.",
    ),
    (
        'startswith("weight_hh")',
        'startswith("weight_hh_l0")',
        "Only layer 0 has the identity; each layer has a matrix of its own.",
    ),
    (
        "nn.init.eye_",
        "nn.init.ones_",
        "A matrix full of ones adds all units up; the identity has ones on the diagonal only.",
    ),
    (
        "nn.init.eye_",
        "nn.init.orthogonal_",
        "An orthogonal matrix keeps the length of a state and turns it; the identity does not turn.",
    ),
    ('startswith("bias")', 'startswith("bias_hh")', "There are two biases for each layer; b_ih is not 0."),
    ("nn.init.zeros_(weights)", "pass", "The biases are still those that torch has drawn; they must be 0."),
    ("copy.deepcopy(layer)", "layer", "You change the layer that you were given; make a copy and change that."),
]
