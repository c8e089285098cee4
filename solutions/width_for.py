"""The widest layer that a number of parameters allows: RNNs, GRUs and LSTMs made equally large."""

from itertools import product


def width_for(parameters, vocab_size, gates):
    def size(H):
        layer = gates * (vocab_size * H + H * H + 2 * H)  # W_ih, W_hh, two biases
        return layer + (H + 1) * vocab_size  # the output layer

    return max((H for H in range(parameters) if size(H) <= parameters), default=0)


def inputs():
    for vocab_size, gates, H in product((2, 7, 28), (1, 3, 4), (1, 6, 19)):
        exactly = gates * H * (vocab_size + H + 2) + (H + 1) * vocab_size
        yield from ((exactly + more, vocab_size, gates) for more in (-1, 0))
    yield from product(range(40, 900, 37), (3,), (1, 3, 4))
    yield 5, 28, 3


ERRORS = [
    (
        " + (H + 1) * vocab_size",
        "",
        "The output layer is missing: a weight for each pair of unit and symbol, a bias for each symbol.",
    ),
    ("(H + 1) * vocab_size", "H * vocab_size", "The output layer's biases are missing, one for each symbol."),
    ("2 * H", "H", "torch keeps two biases for each unit and gate, b_ih and b_hh."),
    (" + 2 * H", "", "The biases of the recurrent layer are missing; torch keeps two of them."),
    (
        "layer + (H + 1) * vocab_size",
        "layer + gates * (H + 1) * vocab_size",
        "The output layer has no gates; it is there once, whatever the cell.",
    ),
    ("H * H + 2 * H)", "H * H) + 2 * H", "Each gate has biases of its own, as it has weights of its own."),
    ("gates * (vocab_size", "(vocab_size", "The gates are missing: each has weights and biases of its own."),
    ("<= parameters", "< parameters", "Exactly as many parameters are allowed too."),
    ("max((H for", "max((H + 1 for", "One unit too many: with that width the model is larger than allowed."),
    (", default=0", "", "Where not even one unit fits, max has nothing to choose from; return 0 then."),
]
