"""A faster way through an epoch on an NVIDIA GPU: one step is recorded as a CUDA graph, and replayed for every batch.

A small model keeps a GPU waiting for Python, which starts some hundred kernels for each batch. A graph starts them all
at once. Forward, loss, backward and clipping are in it; the optimiser's step is not, so that any recipe works.

Dimensions: T time steps, B batch size.
"""

import warnings

import torch
from torch import nn
from torch.nn import functional as F

from course_utils import training
from course_utils.models import RNNModel


def applies(net, device):
    """Whether a graph says all that the model does: a class that students edit may print, count or branch."""
    watched = any(each._forward_hooks or each._forward_pre_hooks or "forward" in vars(each) for each in net.modules())
    trainable = all(weight.requires_grad for weight in net.parameters())
    return torch.device(device).type == "cuda" and type(net) is RNNModel and trainable and not watched


def record(step, device):
    """Record a function that works on fixed tensors as a CUDA graph; return what runs it again."""
    with torch.cuda.device(device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their algorithms and take their memory before the recording
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    return graph.replay


class GraphedEpoch:
    """`training.train_epoch` with a recorded step, which is kept from epoch to epoch.

    Where the recording fails, a warning says so and the taught loop does the work.

    Args:
        record: called with a function that works on fixed tensors, and the device; returns what runs it again.
    """

    def __init__(self, record=record):
        self.record, self.step, self.failed = record, None, False

    def __call__(self, net, train_iter, optimizer, device):
        if self.failed:
            return training.train_epoch(net, train_iter, optimizer, device)
        net.train()
        total_loss, num_tokens = torch.zeros((), device=device), 0
        for number, (X, Y) in enumerate(train_iter):
            if not self.ready(net, X.shape, device):
                return training.train_epoch(net, train_iter, optimizer, device)
            total_loss += self.step.run(X, Y, reset=number == 0 or train_iter.sampling == "random") * Y.numel()
            num_tokens += Y.numel()
            optimizer.step()
        return (total_loss / num_tokens).exp().item()

    def ready(self, net, shape, device):
        """Record a step for this model and shape unless that has been done; return whether there is one."""
        if self.step is None or (self.step.net, self.step.X.shape) != (net, shape):
            try:
                self.step = Step(net, shape, device, self.record)
            except RuntimeError as error:
                warnings.warn(f"no CUDA graph could be recorded, training goes on without one: {error}", stacklevel=2)
                self.failed = True
        return not self.failed


class Step:
    """The tensors that one recorded step works on: inputs, labels, state, gradients and the mean loss."""

    def __init__(self, net, shape, device, record):
        self.net, self.loss = net, torch.zeros((), device=device)
        self.X, self.Y = (torch.zeros(shape, dtype=torch.long, device=device) for _ in range(2))
        self.state = net.begin_state(device, batch_size=shape[0])
        for weight in net.parameters():
            weight.grad = torch.zeros_like(weight)
        self.replay = record(self.forward_and_backward, device)

    def run(self, X, Y, reset):
        """Set the clipped gradients for one batch (B, T), which starts from zeros or from the state before."""
        self.X.copy_(X, non_blocking=True)
        self.Y.copy_(Y, non_blocking=True)
        if reset:
            for part in parts(self.state):
                part.zero_()
        self.replay()
        return self.loss

    def forward_and_backward(self):
        for weight in self.net.parameters():
            weight.grad.zero_()
        logits, state = self.net(self.X, self.state)
        loss = F.cross_entropy(logits, self.Y.T.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), max_norm=1)
        self.loss.copy_(loss.detach())
        for old, new in zip(parts(self.state), parts(training.detach(state)), strict=True):
            old.copy_(new)


def parts(state):
    """The tensors of a state; an LSTM has two."""
    return state if isinstance(state, tuple) else (state,)
