"""Which shapes a recurrent layer takes and returns, read off a real run.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary, H hidden units, D directions (1 or 2),
L layers x directions.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.checks import checked, fits_memory
from course_utils.experiments.measuring import seeded

CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


@dataclass(frozen=True)
class LayerShapes:
    """One run of a model on made-up tokens. Every shape is a tuple that torch returned; none is computed by rule."""

    cell: str  # from here to `bidirectional`: what was asked for
    num_steps: int
    batch_size: int
    vocab_size: int
    num_hiddens: int
    num_layers: int
    bidirectional: bool
    X: tuple  # what the model fed to its layer, usually (T, B, V)
    Y: tuple  # the layer's outputs, usually (T, B, D * H)
    state: tuple  # the shapes of the state's parts: one (L, B, H), for an LSTM two
    logits: tuple  # the model's outputs, usually (T * B, V)
    weights: tuple  # (name, shape) of the layer's parameters
    head: tuple  # (name, shape) of the model's other parameters
    meets: tuple  # per direction: does the last layer's final state stand in Y, to the last bit, at Y[-1] and at Y[0]?

    @property
    def parameters(self):
        """How many numbers the layer learns, and how many the rest of the model."""
        return tuple(sum(math.prod(shape) for _, shape in named) for named in (self.weights, self.head))

    @property
    def code(self):
        """The line that builds the layer, without the arguments that keep their defaults."""
        more = [f"num_layers={self.num_layers}"] * (self.num_layers > 1) + ["bidirectional=True"] * self.bidirectional
        return f"nn.{self.cell}({', '.join([str(self.vocab_size), str(self.num_hiddens), *more])})"


@checked(fits_memory)
def layer_shapes(model, num_steps, batch_size, vocab_size, num_hiddens, num_layers=1, bidirectional=False, cell="RNN"):
    """Build a layer and a model around it, run them once without gradients, and return a `LayerShapes`.

    The weights are random, from a generator of their own, so that looking changes no later result.

    Args:
        model: a class called as `model(rnn_layer, vocab_size)`, with `forward(X, state) -> (logits, state)` for tokens
            X (B, T), and `begin_state(device, batch_size)`.
        cell: a name in `CELLS`.

    Raises:
        ValueError: a size below 1, an unknown cell, or a model that never calls its layer.
    """
    sizes = (num_steps, batch_size, vocab_size, num_hiddens, num_layers)
    with seeded(0), torch.no_grad():
        layer = CELLS[cell](vocab_size, num_hiddens, num_layers, bidirectional=bidirectional)
        net = model(layer, vocab_size)
        tokens = torch.arange(num_steps * batch_size).reshape(batch_size, -1) % vocab_size
        X, Y, state, logits = _run(net, layer, tokens)
    own = {id(parameter) for parameter in layer.parameters()}
    return LayerShapes(
        cell, *sizes, bidirectional, X=tuple(X.shape), Y=tuple(Y.shape),
        state=tuple(tuple(part.shape) for part in state), logits=tuple(logits.shape),
        weights=tuple((name, tuple(weight.shape)) for name, weight in layer.named_parameters()),
        head=tuple((name, tuple(weight.shape)) for name, weight in net.named_parameters() if id(weight) not in own),
        meets=_meets(Y, state[0], num_hiddens, bidirectional),
    )  # fmt: skip


def _run(net, layer, tokens):
    """Run the model on tokens (B, T); return its layer's input, output and state (a tuple), and the model's logits."""
    calls = []
    layer.register_forward_hook(lambda layer, inputs, outputs: calls.append((inputs[0], *outputs)))
    logits, _ = net(tokens, net.begin_state(tokens.device, batch_size=len(tokens)))
    if not calls:
        raise ValueError(f"{type(net).__name__}.forward never called the recurrent layer that it was given")
    X, Y, state = calls[-1]
    return X, Y, state if isinstance(state, tuple) else (state,), logits


def _meets(Y, H, num_hiddens, bidirectional):
    """Whether Y ends with the last layer's forward state and, of two directions, begins with its backward state."""
    forward = torch.equal(Y[-1][..., :num_hiddens], H[-1 - bidirectional])
    return (forward, torch.equal(Y[0][..., num_hiddens:], H[-1])) if bidirectional else (forward,)
