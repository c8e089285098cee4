"""The inputs on which one output of a recurrent layer depends, as autograd knows them."""

import torch


def reached(layer, X, time, row):
    X = X.clone().requires_grad_()  # the caller's X stays as it is
    Y, _ = layer(X)
    (gradient,) = torch.autograd.grad(Y[time, row].sum(), X)  # (T, B, V)
    return (gradient != 0).any(dim=2)


def inputs():
    for V in (1, 3):
        layers = torch.nn.RNN(V, 2), torch.nn.GRU(V, 3, num_layers=2), torch.nn.RNN(V, 3, bidirectional=True)
        for layer in layers:
            yield from ((layer, torch.randn(T, B, V), T - 2, B - 1) for T, B in [(5, 2), (4, 4), (3, 1)])


ERRORS = [
    ("Y[time, row]", "Y[row, time]", "Time and row have changed places: axis 0 of Y is time."),
    ("Y[time, row]", "Y[time]", "You asked about all rows of this step at once. One output is one step of one row."),
    ("Y[time, row]", "Y[:, row]", "You asked about all steps of this row at once. One output is one step of one row."),
    ("Y[time, row]", "Y", "You asked about all outputs at once, so every input counts."),
    (
        "gradient != 0",
        "gradient > 0",
        "An input whose gradient is negative counts too: it moves the output the other way.",
    ),
    (
        ".any(dim=2)",
        ".any(dim=0)",
        "You joined the wrong axis. A token is one place (time, row); what remains beside it is the axis of its V"
        " numbers.",
    ),
    (
        "(gradient != 0).any(dim=2)",
        "gradient.abs().sum(dim=2)",
        "You return how strong the influence is. The question is only whether there is any: yes or no.",
    ),
]
