"""What several experiments share: seeding that leaves no trace, a step of training, timing, and autograd's graph."""

import statistics
import time
import timeit

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from course_utils.checks import checked
from course_utils.rules import functions, kind

TAKE_A_GENERATOR = {
    "bernoulli", "bernoulli_", "binomial", "cauchy_", "exponential_", "geometric_", "kaiming_normal_",
    "kaiming_uniform_", "log_normal_", "multinomial", "normal", "normal_", "poisson", "rand", "rand_like",
    "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "uniform_",
}  # fmt: skip
TAKE_NONE = {
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout", "gru",
    "gumbel_softmax", "lstm", "multi_head_attention_forward", "rnn_relu", "rnn_tanh", "rrelu",
    "scaled_dot_product_attention",
}  # fmt: skip


class seeded(TorchFunctionMode):
    """Inside, and in this thread alone, what is drawn on the CPU comes from a generator that starts from `seed`.

    The numbers are those that `torch.manual_seed(seed)` would bring, but the generator that all threads share is left
    alone: a lab may draw while a cell trains. It is borrowed for single calls that take no generator, such as dropout
    between recurrent layers. A `torch.manual_seed` inside says nothing about what is drawn here.
    """

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", None)
        if name in TAKE_A_GENERATOR and kwargs.get("generator") is None and _on_cpu(args, kwargs):
            return function(*args, **{**kwargs, "generator": self.generator})
        if name not in TAKE_NONE or not any(isinstance(part, float) and part > 0 for part in (*args, *kwargs.values())):
            return function(*args, **kwargs)  # without a share to drop nothing is drawn
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.generator.get_state())
            result = function(*args, **kwargs)
            self.generator.set_state(torch.get_rng_state())
        return result


def _on_cpu(args, kwargs):
    """Whether a call of torch's draws on the CPU; other devices have generators of their own."""
    given = [value.device for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    place = given[0] if given else kwargs.get("device") or torch.get_default_device()
    return torch.device(place).type == "cpu"


def update(optimizer, loss):
    """One step of training: backward, clipping at 1, and the optimiser's step. Return the loss as a number."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(weights, max_norm=1)
    optimizer.step()
    return loss.item()


@checked(functions=functions)
def median_seconds(functions, repeats):
    """Return how long each function (name -> function) takes, in seconds: name -> median of `repeats` calls.

    The functions take turns, so that a machine that gets slower meanwhile slows all of them; each is called once
    before the clock runs.
    """
    seconds = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            seconds[name].append(timeit.timeit(function, timer=time.perf_counter, number=1))
    return {name: statistics.median(measured[1:]) for name, measured in seconds.items()}


@checked(tensor=kind(lambda value: value.grad_fn, "a tensor that autograd has computed"))
def graph_nodes(tensor):
    """Return autograd's nodes behind a tensor, each one once: what `backward` would walk through."""
    found, waiting = {tensor.grad_fn}, [tensor.grad_fn]
    while waiting:
        following = {node for node, _ in waiting.pop().next_functions if node is not None} - found
        found |= following
        waiting.extend(following)
    return found
