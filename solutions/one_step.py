"""One time step of a tanh layer, computed from its four weights."""

import torch


def one_step(x, h, W_ih, W_hh, b_ih, b_hh):
    from_input = x @ W_ih.T + b_ih  # (B, V) -> (B, H)
    from_state = h @ W_hh.T + b_hh
    return torch.tanh(from_input + from_state)


def inputs():
    for B, V, H in [(2, 8, 4), (1, 3, 5), (3, 4, 4), (6, 2, 7)]:  # one row, and a square W_ih
        weights = torch.randn(H, V), torch.randn(H, H), torch.randn(H), torch.randn(H)
        yield torch.randn(B, V), torch.rand(B, H), *(0.5 * weight for weight in weights)


ERRORS = [
    (
        "W_hh.T",
        "W_hh",
        "The shape is right and the numbers are not: W_hh is square, so it fits both ways round. Which way does "
        "the formula of section 3 ask for, when the sentences are rows?",
    ),
    ("W_ih.T", "W_ih", "W_ih is (H, V) and x is (B, V): as they stand, their inner sizes do not meet."),
    (" + b_hh", "", "One of the four weights is not used: b_hh. The layer adds two biases."),
    (
        "torch.tanh(from_input + from_state)",
        "from_input + from_state",
        "Your numbers leave the range from -1 to 1: the sum is not squeezed yet.",
    ),
    (
        "torch.tanh",
        "torch.sigmoid",
        "None of your numbers is below 0: you squeeze the sum between 0 and 1, and this layer does it between -1 "
        "and 1.",
    ),
    (" + from_state", "", "Your result is the same whatever h holds: the layer has no memory."),
]
