"""Who remembers a symbol, and for how long (question 8)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks import checked, gradients_on
from course_utils.experiments.measuring import seeded, update
from course_utils.experiments.telescope import recurrent_layer

NUM_SYMBOLS = NUM_FILLERS = 4


@checked(gradients_on)
def recall(gap, cell="RNN", num_hiddens=64, updates=300, lr=0.001, batch_size=32, seed=0, device="cpu", **weights):
    """Train a model to name a sequence's first symbol, one of four, after `gap` random fillers; return its accuracy.

    Adam, clipping at 1, fresh sequences in every batch; training ends early when the last ten losses are near 0. The
    accuracy is that on 1,000 more sequences. `weights` are those of `recurrent_layer`, such as an LSTM's forget bias.
    Cost: 0.3 to 4 s, growing with gap; a GRU is the slowest.
    """
    rnn = recurrent_layer(cell, NUM_SYMBOLS + NUM_FILLERS, num_hiddens, seed=seed, device=device, **weights)
    with seeded(seed):
        linear = nn.Linear(num_hiddens, NUM_SYMBOLS).to(device)
        generator = torch.Generator().manual_seed(seed)
    optimizer, losses = torch.optim.Adam([*rnn.parameters(), *linear.parameters()], lr), [math.inf]
    while len(losses) <= updates and max(losses[-10:]) > 0.02:
        X, labels = _sequences(gap, batch_size, generator, device)
        losses.append(update(optimizer, F.cross_entropy(linear(rnn(X)[0][-1]), labels)))
    with torch.no_grad():
        X, labels = _sequences(gap, 1000, generator, device)
        right = linear(rnn(X)[0][-1]).argmax(dim=1) == labels
    return right.float().mean().item()


def _sequences(gap, batch_size, generator, device):
    """Draw one-hot sequences (gap + 1, B, symbols + fillers) and their first symbols (B)."""
    symbols = torch.randint(NUM_SYMBOLS, (1, batch_size), generator=generator)
    fillers = torch.randint(NUM_SYMBOLS, NUM_SYMBOLS + NUM_FILLERS, (gap, batch_size), generator=generator)
    tokens = torch.cat([symbols, fillers]).to(device)
    return F.one_hot(tokens, NUM_SYMBOLS + NUM_FILLERS).float(), tokens[0]
