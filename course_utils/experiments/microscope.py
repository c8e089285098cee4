"""One output of a reader's own code under the microscope: what it depends on, and what torch's layer really received.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary; I and J are the first two axes of what the layer
received, one of which it takes for time.
"""

import contextlib
import itertools
import threading
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_pre_hook

from course_utils.checks import checked, known_tokens
from course_utils.experiments.measuring import seeded


@dataclass(frozen=True)
class Received:
    """The tensor that a recurrent layer was called with, as torch holds it."""

    layer: str  # the name of its class
    calls: int  # of recurrent layers; this is the first one
    time_axis: int  # 0, or 1 if the layer has `batch_first=True`
    bidirectional: bool
    shape: tuple
    strides: tuple  # count numbers in memory
    contiguous: bool
    step_contiguous: bool  # whether the numbers of one time step lie in one piece
    values: list  # (I, J, V); J is 1 for a tensor without a batch
    tokens: list  # (I, J): the token (b, t) that lies there, or None for anything but exactly one token's one-hot row
    memory: list  # for every number in its stretch of memory the place (i, j, v) that reads it first, or None


@dataclass(frozen=True)
class Focus:
    """What one output depends on, and what the layer received on the way to it; a right reader breaks no rule."""

    layout: str
    b: int  # the output is that for step t of sentence b
    t: int
    letters: list  # (B, T): the tokens as text
    outputs: tuple  # shape of what the reader's function returned
    influence: list  # (B, T): how strongly each input token moves the output; exactly 0.0 where it does not
    others_seen: int  # tokens of other sentences that it depends on
    past_missing: int  # tokens of its own sentence, up to time t, that it does not depend on
    future_seen: int  # later tokens of its own sentence that it depends on
    received: Received | None  # None if no recurrent layer was called with a tensor as its first argument


@checked(known_tokens)
def focus(read, X, vocab, layout, b, t):
    """Call a reader's function once and look at one of its outputs: the numbers behind the tensor microscope.

    What an output depends on is asked of autograd, and so is which token lies where in the layer's input: neither
    follows a rule of ours. The run leaves no hook, gradient or random number behind. Cost: some ms for 10 tokens.

    Args:
        read: called as `read(one_hot, layout)` with one-hot tokens (B, T, V) and the layout, whatever that is; returns
            a tensor whose first two axes are (B, T), each output in the place of its token, or a ValueError says so.
        X, vocab: token indices (B, T), a long tensor, and what has a length V and `to_tokens(indices)`.
        b, t: sentence and time of the output; a ValueError if there is none.
    """
    if b >= len(X) or t >= X.shape[1]:
        raise ValueError(f"there is no output ({b}, {t}); X has {len(X)} sentences of {X.shape[1]} steps, from 0 on")
    with seeded(0), torch.enable_grad(), _listening() as calls:
        one_hot = F.one_hot(X, len(vocab)).float().requires_grad_()  # (B, T, V)
        outputs = read(one_hot, layout)
        _check_outputs(outputs, tuple(X.shape))
        influence = _influence(outputs[b, t].flatten(), one_hot)  # (B, T)
        received = _received(calls, one_hot)
    seen = influence > 0
    return Focus(
        layout, b, t, [vocab.to_tokens(row) for row in X.tolist()], tuple(outputs.shape), influence.tolist(),
        others_seen=int(seen.sum() - seen[b].sum()),
        past_missing=int((~seen[b, : t + 1]).sum()),
        future_seen=int(seen[b, t + 1 :].sum()), received=received,
    )  # fmt: skip


def _check_outputs(outputs, expected):
    """Say in one sentence what is wrong with what the reader's function returned."""
    if not isinstance(outputs, torch.Tensor):
        raise ValueError(f"read returned a {type(outputs).__name__}; return the outputs alone, a tensor (B, T, ...)")
    if outputs.shape[:2] != expected:
        raise ValueError(
            f"read returned the shape {tuple(outputs.shape)}; it must begin with (B, T) = {expected}, each output in "
            "the place of its token: bring the axes back"
        )
    if not outputs.requires_grad:
        raise ValueError("read returned outputs without a gradient; leave out detach() and no_grad()")


def _influence(output, one_hot):
    """How strongly each token (B, T) moves an output (H), as the sum of its gradient's sizes; 0 means not at all."""
    direction = torch.randn(output.shape).to(output)  # so that no two gradients cancel, as in a sum of probabilities
    gradient = _gradient(output, one_hot, direction)
    if not gradient.isfinite().all():
        raise ValueError(f"the output's gradient is not finite ({gradient.sum().item()}); look for log(0) or 0 / 0")
    return gradient.abs().sum(dim=2)


def _gradient(tensor, one_hot, weights):
    """The gradient of a weighted sum with respect to one_hot; zeros where nothing connects the two."""
    return torch.autograd.grad(tensor, one_hot, weights, retain_graph=True, materialize_grads=True)[0]


@contextlib.contextmanager
def _listening():
    """Note (layer, first argument) of every recurrent layer that this thread calls meanwhile."""
    calls, thread = [], threading.get_ident()  # in another thread, a cell may be training

    def note(module, arguments):
        if isinstance(module, nn.RNNBase) and threading.get_ident() == thread:
            calls.append((module, arguments[0] if arguments else None))

    with register_module_forward_pre_hook(note):
        yield calls


def _received(calls, one_hot):
    """The `Received` of the first call with a tensor; None without one."""
    layer, X = next(((layer, X) for layer, X in calls if isinstance(X, torch.Tensor)), (None, None))
    if layer is None:
        return None
    time_axis = int(layer.batch_first and X.dim() == 3)
    batched = X if X.dim() == 3 else X.unsqueeze(1)  # (I, J, V)
    return Received(
        type(layer).__name__, len(calls), time_axis, layer.bidirectional, tuple(X.shape), X.stride(), X.is_contiguous(),
        step_contiguous=X.select(time_axis, 0).is_contiguous(),
        values=batched.tolist(),
        tokens=[[_origin(numbers, one_hot) for numbers in row] for row in batched],
        memory=_memory(batched),
    )  # fmt: skip


def _origin(numbers, one_hot):
    """The token (b, t) of one_hot (B, T, V) that lies in a place of the layer's input, or None.

    The weights with which its V numbers are summed come back as the gradient of exactly one token, in the same order,
    and as 0 everywhere else; then the place holds that token.
    """
    if not numbers.requires_grad:
        return None
    weights = 1 + torch.rand(numbers.shape).to(numbers)  # none is 0, and no two are equal
    gradient = _gradient(numbers, one_hot, weights)
    tokens = gradient.abs().sum(dim=2).nonzero().tolist()  # (b, t) of every token that has a part in it
    whole = len(tokens) == 1 and torch.equal(gradient[tuple(tokens[0])], weights)
    return tuple(tokens[0]) if whole else None


def _memory(X):
    """For each number from X's first to its last in memory, the place in X that reads it first, or None."""
    length = 1 + sum(stride * (size - 1) for size, stride in zip(X.shape, X.stride(), strict=True))
    numbers = torch.arange(length).as_strided(X.shape, X.stride()).flatten().tolist()  # laid out like X itself
    places = itertools.product(*map(range, X.shape))
    read = dict(reversed([*zip(numbers, places, strict=True)]))  # of several, the first place stays
    return [read.get(number) for number in range(length)]
