"""The parameters of nn.RNN with any number of layers and its output layer, by formula."""

from itertools import product


def count_parameters(vocab_size, num_hiddens, num_layers):
    V, H = vocab_size, num_hiddens
    first = H * V + H * H
    further = (num_layers - 1) * (H * H + H * H)  # these read H numbers a step
    biases = num_layers * 2 * H
    return first + further + biases + V * H + V


def inputs():
    yield from product((5, 28), (3, 16), (1, 2, 4))


ERRORS = [
    (
        "(H * H + H * H)",
        "(H * V + H * H)",
        "Right for one layer only: what does a further layer read at each step, the symbols or the layer below?",
    ),
    ("(num_layers - 1)", "num_layers", "You are one layer too high: the first layer has already been counted."),
    (
        "num_layers * 2 * H",
        "num_layers * H",
        "A recurrent layer of PyTorch has two biases of H numbers, one for the input and one for the state.",
    ),
    (
        " + V * H + V",
        "",
        "That is the recurrent layer alone. The output layer, which makes V scores of each hidden state, is missing.",
    ),
    (" + V * H + V", " + V * H", "You are V too low: the output layer has a bias too."),
    (" + further + biases", " + further + 2 * H", "Right for one layer only: every layer has its biases."),
]
