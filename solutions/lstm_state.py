"""The zeros from which any nn.LSTM can start."""

import torch


def lstm_state(layer, batch_size):
    directions = 1 + layer.bidirectional  # True counts as 1
    shape = layer.num_layers * directions, batch_size, layer.hidden_size
    return torch.zeros(shape), torch.zeros(shape)


def inputs():
    for num_layers, bidirectional, batch_size in [(1, False, 5), (3, False, 2), (1, True, 4), (2, True, 1)]:
        yield torch.nn.LSTM(8, 6, num_layers, bidirectional=bidirectional), batch_size


ERRORS = [
    (
        ", torch.zeros(shape)",
        "",
        "You return one tensor. An LSTM also has a memory cell, so its state is a tuple of two.",
    ),
    (
        "torch.zeros(shape), torch.zeros(shape)",
        "torch.zeros(2, *shape)",
        "You return one tensor with both parts in it. nn.LSTM wants them apart, as a tuple (h, c).",
    ),
    (
        "layer.num_layers * directions",
        "layer.num_layers",
        "A bidirectional layer needs more rows on axis 0: each direction starts from a state of its own.",
    ),
    (
        "batch_size, layer.hidden_size",
        "layer.hidden_size, batch_size",
        "The last two axes are in the wrong order: the batch comes before the hidden units.",
    ),
    (
        "layer.hidden_size",
        "layer.input_size",
        "Your state is as wide as the input. It must be as wide as the hidden state.",
    ),
]
