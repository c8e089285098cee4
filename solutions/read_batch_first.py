"""A time-first layer, used for a minibatch whose sentences come first."""

import torch


def read_batch_first(layer, X):
    Y, state = layer(X.permute(1, 0, 2))  # (B, T, V) -> (T, B, V)
    return Y.permute(1, 0, 2), state  # the state has no time axis


def inputs():
    for B, T in [(2, 5), (1, 4), (3, 3), (6, 2)]:  # one row, and as many rows as steps
        for layer in (torch.nn.RNN(4, 3), torch.nn.GRU(4, 5, num_layers=2), torch.nn.LSTM(4, 3, bidirectional=True)):
            yield layer.requires_grad_(False), torch.randn(B, T, 4)


ERRORS = [
    ("X.permute(1, 0, 2)", "X", "The layer got X as it stands: it took sentences for time and time for sentences."),
    (
        "Y.permute(1, 0, 2)",
        "Y",
        "Your Y is still time first, (T, B, H). The caller gave (B, T, V) and wants the sentences first again.",
    ),
    (
        "X.permute(1, 0, 2)",
        "X.reshape(X.shape[1], X.shape[0], -1)",
        "The shapes are right and the numbers are not: reshape cuts the memory anew and mixes the sentences.",
    ),
    (
        "), state",
        "), state.transpose(0, 1)",
        "You moved the axes of the state too. It is (L, B, H) whichever way the sentences lie, and an LSTM's is a"
        " tuple.",
    ),
    ("), state", ")", "You return Y alone. The caller needs the state to go on reading."),
]
