"""A faster way through an epoch on a CPU: the taught loop's numbers, from fewer and larger matrix products.

`train_epoch` here stands in for `training.train_epoch` where `applies` says so: an `RNNModel` around a single `nn.RNN`
layer, as it is and without hooks. The gradient is written by hand (back-propagation through time: Werbos 1990), so that
no graph is recorded, and what a step multiplies lies in one block of memory.

Dimensions: T time steps, B batch size, V vocabulary, H hidden units, C = H + V + 1 rounded up to a multiple of 16. For
each of T + 1 steps there are two blocks (C, B), a column for each row of the batch, where h is the hidden state:

    inputs[t]  h[t-1]; token t, one-hot; 1; zeros
    errors[t]  the loss's gradient for tanh's argument at t; its gradient for logits[t-1]; zeros

    h[t] = tanh(W @ inputs[t])                              W = [W_hh, W_ih, b_ih + b_hh, 0]     (H, C)
    errors[t][:H] = (U @ errors[t+1]) * (1 - h[t]**2)       U = [W_hh.T, W_linear.T, 0]          (H, C)
    the sum of errors[t] @ inputs[t].T holds the gradients of all weights and biases             (C, C)
"""

import functools

import numpy
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.models import RNNModel

_linear = getattr(getattr(torch.ops.mkldnn, "_linear_pointwise", None), "default", None)


def applies(net, device):
    """Whether this module can train the model; whatever it does not know is left to the taught loop."""
    if type(net) is not RNNModel or type(net.rnn) is not nn.RNN or torch.device(device).type != "cpu":
        return False
    layer = net.rnn
    plain = (layer.nonlinearity, layer.num_layers, layer.bidirectional, layer.bias, layer.batch_first)
    watched = any(each._forward_hooks or each._forward_pre_hooks or "forward" in vars(each) for each in net.modules())
    trainable = all(weight.dtype == torch.float32 and weight.requires_grad for weight in net.parameters())
    return plain == ("tanh", 1, False, True, False) and trainable and not watched and has_product()


@functools.cache
def has_product():
    """Whether this build of torch has oneDNN's matrix product, which `product` calls."""
    try:
        return _linear is not None and product(torch.ones(1, 2), torch.ones(1, 2)).item() == 2
    except (NotImplementedError, RuntimeError):
        return False


def product(A, B):
    """Return A @ B.T."""
    return _linear(A, B, None, "none", [], "")


@torch.no_grad()
def train_epoch(net, train_iter, optimizer, device, windows=None):
    """Train on every batch once and return the perplexity on the way; up to rounding the taught loop's result.

    `windows`, a dict, keeps the blocks from one epoch to the next.
    """
    net.train()
    windows = {} if windows is None else windows
    state, total_loss, num_tokens = None, 0.0, 0
    for X, Y in train_iter:
        if (net, X.shape) not in windows:
            windows[net, X.shape] = Window(net, *X.shape)
        if state is None or train_iter.sampling == "random":
            state = torch.zeros(net.num_hiddens, len(X))
        loss, state = windows[net, X.shape].forward_and_backward(X, Y, state)
        optimizer.step()
        total_loss += loss
        num_tokens += Y.numel()
    return (total_loss / num_tokens).exp().item()


class Window:
    """The blocks of one window, their parts, and the way forward and back through it."""

    def __init__(self, net, batch_size, num_steps):
        self.net = net
        H, V = net.num_hiddens, net.vocab_size
        C = -(-(H + V + 1) // 16) * 16
        self.inputs, self.errors = (torch.zeros(num_steps + 1, C, batch_size) for _ in range(2))
        self.inputs[:, H + V] = 1
        self.flat_inputs, self.flat_errors = (torch.empty(C, num_steps + 1, batch_size) for _ in range(2))
        self.slopes = torch.empty(num_steps, H, batch_size)
        self.W, self.U, self.W_linear = torch.zeros(H, C), torch.zeros(H, C), torch.zeros(V, C)
        self.states, self.inputs_T = self.inputs[:, :H].unbind(), self.inputs.mT.unbind()
        self.deltas, self.errors_T = self.errors[:, :H].unbind(), self.errors.mT.unbind()
        self.numpy_states = [state.numpy() for state in self.states]
        self.hiddens, self.one_hot = self.inputs[1:, :H], self.inputs[:-1, H : H + V]
        self.logit_errors = self.errors[1:, H : H + V].transpose(0, 1)

    def forward_and_backward(self, X, Y, state):
        """Set the mean loss's clipped gradients for tokens X and labels Y (B, T), read from a state (H, B).

        Returns:
            The sum of the losses, and the last state.
        """
        self.load_weights()
        logits = self.forward(X, state)
        loss = self.start_errors(logits, Y)
        self.set_gradients(self.backward())
        return loss, self.states[-1]

    def load_weights(self):
        """Lay the model's weights beside each other."""
        H, V, layer, linear = self.net.num_hiddens, self.net.vocab_size, self.net.rnn, self.net.linear
        self.W[:, :H], self.W[:, H : H + V] = layer.weight_hh_l0, layer.weight_ih_l0
        self.W[:, H + V] = layer.bias_ih_l0 + layer.bias_hh_l0
        self.U[:, :H], self.U[:, H : H + V] = layer.weight_hh_l0.T.contiguous(), linear.weight.T
        self.W_linear[:, :H], self.W_linear[:, H + V] = linear.weight, linear.bias

    def forward(self, X, state):
        """Compute all states and return the logits (V, T * B); NumPy's tanh is several times quicker than torch's."""
        self.states[0].copy_(state)
        self.one_hot.zero_().scatter_(1, X.T[:, None], 1.0)
        for inputs_T, next_state in zip(self.inputs_T, self.numpy_states[1:], strict=False):
            numpy.tanh(product(self.W, inputs_T).numpy(), out=next_state)
        self.flat_inputs.copy_(self.inputs.transpose(0, 1))
        return product(self.W_linear, self.flat_inputs.flatten(1).T)[:, len(X) :]

    def start_errors(self, logits, Y):
        """Write the loss's gradients for the logits into the errors; return the sum of the losses."""
        labels = Y.T.reshape(1, -1)
        log_probabilities = F.log_softmax(logits, dim=0)
        loss = -log_probabilities.gather(0, labels).sum()
        right = torch.ones(1, 1).expand_as(labels)
        errors = log_probabilities.exp_().scatter_add_(0, labels, -right).div_(Y.numel())
        self.logit_errors.copy_(errors.view_as(self.logit_errors))
        return loss

    def backward(self):
        """Carry the errors back to the first step; return the gradients' sums over all steps (C, C)."""
        torch.addcmul(torch.ones(1), self.hiddens, self.hiddens, value=-1, out=self.slopes)
        steps = zip(self.deltas, self.errors_T[1:], self.slopes, strict=False)
        for delta, later_T, slope in reversed([*steps]):
            torch.mul(product(self.U, later_T), slope, out=delta)
        self.flat_errors.copy_(self.errors.transpose(0, 1))
        return product(self.flat_errors.flatten(1), self.flat_inputs.flatten(1))

    def set_gradients(self, sums, max_norm=1):
        """Clip the gradients as `nn.utils.clip_grad_norm_` does and hand each parameter its part of them."""
        H, V, layer, linear = self.net.num_hiddens, self.net.vocab_size, self.net.rnn, self.net.linear
        sums[H : H + V, H : H + V] = 0  # belongs to no weight
        norm = torch.hypot(torch.linalg.vector_norm(sums), torch.linalg.vector_norm(sums[:H, H + V]))  # two biases
        sums.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
        layer.weight_hh_l0.grad, layer.weight_ih_l0.grad = sums[:H, :H], sums[:H, H : H + V]
        layer.bias_ih_l0.grad, layer.bias_hh_l0.grad = sums[:H, H + V], sums[:H, H + V].clone()
        linear.weight.grad, linear.bias.grad = sums[H : H + V, :H], sums[H : H + V, H + V]
