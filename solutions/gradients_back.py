"""The gradient of the last state with respect to each earlier one, in a network of one unit: a product of factors."""

import torch


def gradients_back(w, states):
    gradients = [torch.ones(())]
    for h in reversed(states[1:]):
        gradients.append(gradients[-1] * w * (1 - h**2))
    return torch.stack(gradients)


def inputs():
    for w, num_steps in [(0.5, 1), (0.5, 2), (-0.8, 5), (1.3, 8), (2.0, 4), (0.9, 12)]:
        h, states = 0.4 + 0.5 * torch.rand(()), []
        for _ in range(num_steps):
            states.append(h)
            h = torch.tanh(w * h)
        yield w, torch.stack(states)


ERRORS = [
    (" * (1 - h**2)", "", "The slopes of tanh are missing: each step back passes one w and one tanh."),
    (
        "gradients[-1] * w * (1 - h**2)",
        "gradients[-1] * (1 - h**2)",
        "The w of each step is missing: h stands inside tanh multiplied by it.",
    ),
    (
        "1 - h**2",
        "1 - torch.tanh(h) ** 2",
        "You take tanh once more; a state is the output of tanh already, and the slope needs no more.",
    ),
    (
        "states[1:]",
        "states[:-1]",
        "You take the slopes of the states one step too early: from h_(T-1) to h_T the slope at h_T counts.",
    ),
    (
        "reversed(states[1:])",
        "states[1:]",
        "You begin with the oldest factor; lag 1 passes only the step that made the last state.",
    ),
    ("gradients[-1] * w", "w", "Those are the single factors; the gradient at lag k is the product of k of them."),
    (
        "torch.stack(gradients)",
        "torch.stack(gradients).flip(0)",
        "Your result stands in the order of time; lag 0, which is 1, comes first.",
    ),
    (
        "torch.stack(gradients)",
        "torch.stack(gradients[1:])",
        "Lag 0 is missing: the last state changes one to one with itself.",
    ),
]
PICTURE = {"x": "lag k", "y": "gradient", "title": "the last state, by the state k steps earlier"}
