"""The shape of a recurrent layer's state, for any number of layers and directions."""

from itertools import product


def state_shape(num_layers, directions, batch_size, num_hiddens):
    return num_layers * directions, batch_size, num_hiddens


def inputs():
    yield from product((1, 3), (1, 2), (4, 5), (7, 8))


ERRORS = [
    (
        "num_layers * directions",
        "num_layers",
        "The directions are missing: a bidirectional layer keeps a state for each.",
    ),
    ("num_layers * directions", "num_layers + directions", "Each layer has every direction: their numbers do not add."),
    (
        "batch_size, num_hiddens",
        "num_hiddens, batch_size",
        "The last two axes are in the wrong order: think of one row a sample.",
    ),
    (
        ", batch_size, num_hiddens",
        ", batch_size, directions * num_hiddens",
        "That is the width of Y; a state of one direction has num_hiddens numbers.",
    ),
    (
        "num_layers * directions, batch_size,",
        "batch_size, num_layers * directions,",
        "The batch does not come first, not even with batch_first=True.",
    ),
]
