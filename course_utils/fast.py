"""One of torch's layers, made quicker on a CPU: plain `nn.RNN` in single precision, while a training runs.

What a layer computes stays the same up to rounding. Its gradient is written by hand (back-propagation through time:
Werbos 1990): one product for all steps' weights, blocks of memory instead of a graph, and rows of the input weights
picked where the inputs are one-hot. Model, loop, loss, hooks and optimiser are torch's or the reader's, and all of them
run: only the primitive is replaced that torch's layer calls with its inputs and weights. `nn.GRU` and `nn.LSTM` stay
torch's: the same ideas made an epoch of a GRU 1.1 to 1.2 times as fast, and an LSTM's products leave less to gain.

Dimensions: T time steps, B batch size, V size of an input, H hidden units.
"""

import functools
import math
import time
import timeit

import numpy
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

tanh_backward = torch.ops.aten.tanh_backward.grad_input
MARGIN = 1.25  # only a way that is so many times as quick replaces the usual one: near ties every run takes the same


class quick_layers(TorchFunctionMode):
    """Inside this context, and in this thread alone, `nn.RNN` computes in the quicker way, layer by layer.

    Whatever is not known here goes to torch's own: relu, dropout, two directions, batch_first, packed sequences, other
    precisions and devices, no gradient wanted, `torch.compile` and `torch.func`. Nothing is written into any layer.
    """

    def __init__(self):
        super().__init__()
        self.blocks = {}  # memory that every backward pass writes anew: fresh memory costs more than a product

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.rnn_tanh or kwargs or not known(*args):
            return function(*args, **(kwargs or {}))
        outputs, first_states, weights, has_biases, num_layers, *_ = args
        last_states, each = [], 4 if has_biases else 2  # tensors of a layer: two matrices and two biases
        for number in range(num_layers):
            own = weights[each * number : each * (number + 1)]
            biases = [] if has_biases else [None, None]
            outputs, last = Tanh.apply(self.blocks, outputs, first_states[number], *own, *biases)
            last_states.append(last)
        return outputs, torch.stack(last_states)


def known(X, state, weights, *settings):
    """Whether `Tanh` can answer a call of torch's primitive: all that it does not know is torch's."""
    _, _, dropout, training, bidirectional, batch_first = settings
    tensors = (X, state, *weights)  # of a packed sequence, whole numbers are among them
    plain = all(type(each) in (torch.Tensor, nn.Parameter) and each.dtype == torch.float32 for each in tensors)
    on_cpu = all(each.device.type == "cpu" for each in tensors) and not torch.is_autocast_enabled("cpu")
    transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    usual = not (bidirectional or batch_first or (dropout and training) or transformed or 0 in X.shape)
    usual = usual and torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return plain and on_cpu and usual and any(each.requires_grad for each in tensors)


class Tanh(torch.autograd.Function):
    """One layer of `nn.RNN`: h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh)."""

    @staticmethod
    def forward(ctx, blocks, X, state, W_ih, W_hh, b_ih, b_hh):
        """Return the hidden states (T, B, H) and the last one (B, H) for X (T, B, V) and the first state (B, H)."""
        tokens = one_hot_tokens(X)
        outputs = hidden_states(X, tokens, state, W_ih, W_hh, b_ih, b_hh)
        ctx.save_for_backward(X, state, W_ih, W_hh, b_ih, b_hh, tokens)
        ctx.blocks, ctx.outputs, ctx.version = blocks, outputs.detach(), outputs._version
        return outputs, outputs[-1].clone()

    @staticmethod
    def backward(ctx, d_outputs, d_last):
        X, state, W_ih, W_hh, b_ih, b_hh, tokens = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted: torch's own layer has one
            return None, *by_torch(ctx.saved_tensors[:6], d_outputs, d_last)
        with torch._C.DisableTorchFunction():  # or `quick_layers` would be asked about every product
            outputs = ctx.outputs
            if outputs._version != ctx.version:  # somebody has changed in place what the layer returned
                outputs = hidden_states(X, tokens, state, W_ih, W_hh, b_ih, b_hh)
            if outputs.shape not in ctx.blocks:
                ctx.blocks[outputs.shape] = torch.empty_like(outputs)
            deltas = argument_gradients(d_outputs, d_last, outputs, W_hh, out=ctx.blocks[outputs.shape])
            d_X, d_W_ih, d_bias = input_gradients(ctx, deltas, X, W_ih, tokens)
            later, before = deltas[1:].flatten(0, 1), outputs[:-1].flatten(0, 1)  # all steps but the first
            d_W_hh = (later.t() @ before).addmm_(deltas[0].t(), state)
            d_state = deltas[0] @ W_hh if ctx.needs_input_grad[2] else None
            return None, d_X, d_state, d_W_ih, d_W_hh, *[None if b_ih is None else d_bias] * 2


def hidden_states(X, tokens, state, W_ih, W_hh, b_ih, b_hh):
    """Return all hidden states (T, B, H)."""
    outputs = state.new_empty(len(X), *state.shape)
    bias = W_ih.new_zeros(len(W_ih)) if b_ih is None else b_ih + b_hh
    if tokens is None:
        torch.addmm(bias, X.flatten(0, 1), W_ih.t(), out=outputs.view(-1, len(W_ih)))
    else:
        torch.index_select(W_ih.t() + bias, 0, tokens, out=outputs.view(-1, len(W_ih)))
    prepare, product, tanh = quickest(*state.shape, torch.get_num_threads())
    hidden, W = state, prepare(W_hh)
    for output in outputs.unbind():
        product(output, hidden, W, out=output)
        hidden = tanh(output)
    return outputs


def argument_gradients(d_outputs, d_last, outputs, W_hh, out):
    """Return the loss's gradients for what tanh was called with at each step (T, B, H), the last step first."""
    prepare, product, _ = quickest(*d_last.shape, torch.get_num_threads())
    deltas, hiddens, W = out.unbind(), outputs.unbind(), prepare(W_hh.t())
    tanh_backward(d_outputs[-1] + d_last, hiddens[-1], grad_input=deltas[-1])
    for t in reversed(range(len(outputs) - 1)):
        product(d_outputs[t], deltas[t + 1], W, out=deltas[t])
        tanh_backward(deltas[t], hiddens[t], grad_input=deltas[t])
    return out


def one_hot_tokens(X):
    """Return the place (T * B) of the 1 in each row of X (T, B, V), or None unless every row is exactly one-hot."""
    if X.requires_grad:
        return None
    rows = X.flatten(0, 1)
    tokens = (rows @ torch.arange(X.shape[2], dtype=X.dtype)).long().clamp_(0, X.shape[2] - 1)
    one_hot = torch.zeros_like(rows).scatter_(1, tokens[:, None], 1)
    return tokens if torch.equal(one_hot, rows) else None


def input_gradients(ctx, deltas, X, W_ih, tokens):
    """Return the gradients of X (None if not wanted), W_ih and the bias from those of tanh's arguments (T, B, H)."""
    flat = deltas.flatten(0, 1)
    d_X = (flat @ W_ih).view_as(X) if ctx.needs_input_grad[1] else None
    if tokens is None:
        return d_X, flat.t() @ X.flatten(0, 1), flat.sum(dim=0)
    table = flat.new_zeros(X.shape[2], flat.shape[1]).index_add_(0, tokens, flat)
    return d_X, table.t(), table.sum(dim=0)


def by_torch(tensors, d_outputs, d_last):
    """Return the gradients of one layer by torch's own layer, so that they have gradients themselves."""
    X, state, *weights = tensors
    weights = [weight for weight in weights if weight is not None]
    outputs, last = torch.rnn_tanh(X, state[None], weights, len(weights) == 4, 1, 0.0, True, False, False)
    wanted = [each for each in (X, state, *weights) if each.requires_grad]
    found = iter(torch.autograd.grad((outputs, last[0]), wanted, (d_outputs, d_last), create_graph=True))
    return [next(found) if each is not None and each.requires_grad else None for each in tensors]


# Which product and which tanh are quicker differs from processor to processor


def transposed(W):
    return W.t().contiguous()


def by_onednn(P, X, W, out):
    """P + X @ W.T by the product that torch.compile uses on CPUs with AVX-512."""
    return torch.add(P, torch.ops.mkldnn._linear_pointwise(X, W, None, "none", [], ""), out=out)


def numpy_tanh(X):
    numpy.tanh(X.numpy(), out=X.numpy())
    return X


@functools.cache
def quickest(rows, width, threads):
    """Measure once, for states (rows, width) and a number of threads, which product and which tanh to take: 5 ms.

    Returns:
        How to lay out a weight (width, width), `product(P, X, weight, out)` for P + X @ W.T, and tanh in place.
    """
    X, W, P = (torch.full((length, width), 0.5) for length in (rows, width, rows))  # draws no random number
    ways = [(transposed, torch.addmm)]
    if torch.backends.mkldnn.is_available():
        ways.append((torch.Tensor.contiguous, by_onednn))
    products = [functools.partial(product, P, X, prepare(W), out=P.clone()) for prepare, product in ways]
    tanhs = [numpy_tanh, torch.tanh_]
    return *ways[first_by_far(products)], tanhs[first_by_far([functools.partial(tanh, P) for tanh in tanhs])]


def first_by_far(functions, repeats=7, calls=5):
    """The number of the quickest function; another one than the first only if it is `MARGIN` times as quick."""
    seconds = [math.inf] * len(functions)
    for _ in range(repeats):  # in turn, so that a disturbance hits all of them
        taken = [timeit.timeit(function, timer=time.perf_counter, number=calls) for function in functions]
        seconds = [*map(min, seconds, taken)]
    best = seconds.index(min(seconds))
    return best if seconds[0] > MARGIN * seconds[best] else 0
