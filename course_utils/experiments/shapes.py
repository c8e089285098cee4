"""Which shapes a recurrent layer takes and returns, read off a real run.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary, H hidden units, D directions (1 or 2),
L layers x directions.
"""

from dataclasses import dataclass

import torch
from torch import nn

CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


@dataclass(frozen=True)
class LayerShapes:
    """One run of a model on made-up tokens. Every shape is what torch returned, as a tuple; none is computed by rule.

    Fields:
        cell, num_steps, batch_size, vocab_size, num_hiddens, num_layers, bidirectional: what was asked for.
        code: the line that builds the layer.
        X: shape of what the model fed to its layer, usually (T, B, V).
        Y: shape of the layer's outputs, usually (T, B, D * H).
        state: shapes of the state's parts: one (L, B, H), for an LSTM two.
        logits: shape of the model's outputs, usually (T * B, V).
        weights: (name, shape) of the layer's parameters.
        head: (name, shape) of the model's other parameters.
        parameters: how many numbers the layer learns, and how many the rest of the model.
        meets: for each direction, whether the last layer's final state stands in Y, equal to the last bit: forward in
            Y[-1], backward in Y[0].
    """

    cell: str
    num_steps: int
    batch_size: int
    vocab_size: int
    num_hiddens: int
    num_layers: int
    bidirectional: bool
    code: str
    X: tuple
    Y: tuple
    state: tuple
    logits: tuple
    weights: tuple
    head: tuple
    parameters: tuple
    meets: tuple


def layer_shapes(model, num_steps, batch_size, vocab_size, num_hiddens, num_layers=1, bidirectional=False, cell="RNN"):
    """Build a layer and a model around it, run them once without gradients, and return a `LayerShapes`.

    The weights are random; afterwards torch's generator is put back, so that looking changes no later result.

    Args:
        model: a class called as `model(rnn_layer, vocab_size)`, with `forward(X, state) -> (logits, state)` for tokens
            X (B, T), and `begin_state(device, batch_size)`.
        num_steps, batch_size, vocab_size, num_hiddens, num_layers: whole numbers of at least 1.
        bidirectional: whether the layer also reads from right to left.
        cell: "RNN", "GRU" or "LSTM".

    Raises:
        ValueError: a size below 1, an unknown cell, or a model that never calls its layer.
    """
    sizes = (num_steps, batch_size, vocab_size, num_hiddens, num_layers)
    if min(sizes) < 1 or cell not in CELLS:
        raise ValueError(f"sizes {sizes} must all be at least 1, and the cell {cell!r} one of {', '.join(CELLS)}")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layer = CELLS[cell](vocab_size, num_hiddens, num_layers, bidirectional=bidirectional)
        net = model(layer, vocab_size)
        X, Y, state, logits = _run(
            net, layer, torch.arange(num_steps * batch_size).reshape(batch_size, -1) % vocab_size
        )
    own = {id(parameter) for parameter in layer.parameters()}
    head = [(name, parameter) for name, parameter in net.named_parameters() if id(parameter) not in own]
    return LayerShapes(
        cell, num_steps, batch_size, vocab_size, num_hiddens, num_layers, bidirectional,
        code=layer_code(cell, vocab_size, num_hiddens, num_layers, bidirectional),
        X=tuple(X.shape),
        Y=tuple(Y.shape),
        state=tuple(tuple(part.shape) for part in state),
        logits=tuple(logits.shape),
        weights=_named_shapes(layer.named_parameters()),
        head=_named_shapes(head),
        parameters=(_count(layer.named_parameters()), _count(head)),
        meets=_meets(Y, state[0], num_hiddens, bidirectional),
    )  # fmt: skip


def layer_code(cell, vocab_size, num_hiddens, num_layers, bidirectional):
    """The line that builds the layer, without the arguments that keep their defaults."""
    more = [f"num_layers={num_layers}"] * (num_layers > 1) + ["bidirectional=True"] * bidirectional
    return f"nn.{cell}({', '.join([str(vocab_size), str(num_hiddens), *more])})"


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


def _named_shapes(parameters):
    return tuple((name, tuple(parameter.shape)) for name, parameter in parameters)


def _count(parameters):
    return sum(parameter.numel() for _, parameter in parameters)
