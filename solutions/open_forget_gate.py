"""An LSTM whose forget gates begin open."""

import copy

from torch import nn


def open_forget_gate(layer, value):
    opened, H = copy.deepcopy(layer), layer.hidden_size
    for number in range(layer.num_layers):
        getattr(opened, f"bias_ih_l{number}").data[H : 2 * H] = value
        getattr(opened, f"bias_hh_l{number}").data[H : 2 * H] = 0
    return opened


def inputs():
    yield nn.LSTM(3, 5), 1.0
    yield nn.LSTM(4, 3, num_layers=2), 5.0
    yield nn.LSTM(2, 4, num_layers=3), -2.0


ERRORS = [
    ("data[H : 2 * H] = 0", "data[H : 2 * H] = value", "Your gates get the double: torch adds b_ih and b_hh."),
    ("data[H : 2 * H] = 0", "data[H : 2 * H] += 0", "Only b_ih is set, and torch adds what b_hh was drawn with."),
    (
        "data[H : 2 * H] = value",
        "data[:H] = value",
        "The first block of a bias belongs to the input gate: torch's order is input, forget, cell, output.",
    ),
    (
        "data[H : 2 * H] = value",
        "data[H:] = value",
        "You open the output gate too, and change the candidate: a block has hidden_size numbers.",
    ),
    ("range(layer.num_layers)", "range(1)", "Only layer 0 is changed; the names end in the number of the layer."),
    ("copy.deepcopy(layer)", "layer", "You change the layer that you were given; make a copy and change that."),
    (
        "data[H : 2 * H] = value",
        "data[H : 2 * H] += value",
        "You add the value to what torch has drawn; the forget gate's bias must be the value itself.",
    ),
]
