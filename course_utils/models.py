"""The model of the course: a recurrent layer and a linear output layer.

Dimensions: T time steps, B batch size, V vocabulary, H hidden units,
L layers x directions.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import checked, does_not_fit, explained
from course_utils.rules import layer_fits


class RNNModel(nn.Module):
    """A recurrent layer reads one-hot tokens; a linear layer turns each hidden state
    into scores for the next token."""

    def __init__(self, rnn_layer, vocab_size):
        super().__init__()
        self.rnn = rnn_layer
        self.vocab_size = vocab_size
        self.num_hiddens = rnn_layer.hidden_size
        self.num_directions = 2 if rnn_layer.bidirectional else 1
        self.linear = nn.Linear(self.num_directions * self.num_hiddens, vocab_size)

    def forward(self, inputs, state):
        X = F.one_hot(inputs.T.long(), self.vocab_size).float()  # (T, B, V)
        hiddens, state = self.rnn(X, state)  # (T, B, directions * H), (L, B, H)
        logits = self.linear(hiddens.flatten(0, 1))  # (T * B, V)
        return logits, state

    def begin_state(self, device, batch_size=1):
        num_rows = self.num_directions * self.rnn.num_layers  # L
        shape = (num_rows, batch_size, self.num_hiddens)
        if isinstance(self.rnn, nn.LSTM):
            return torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        return torch.zeros(shape, device=device)


RNNModel.__init__ = checked(layer_fits)(RNNModel.__init__)
RNNModel.begin_state = checked()(RNNModel.begin_state)
RNNModel.forward = explained(does_not_fit)(RNNModel.forward)
