"""What several experiments share: seeding that leaves no trace, a step of training, timing, and autograd's graph."""

import contextlib
import statistics
import time
import timeit

import torch
from torch import nn


@contextlib.contextmanager
def seeded(seed):
    """Inside, torch's generator on the CPU starts from `seed`; afterwards it goes on as if nothing had happened.

    Experiments draw everything on the CPU and move it, so that no other device's generator is touched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def update(optimizer, loss, max_norm=1.0):
    """One step of training: backward, clipping at `max_norm`, and the optimiser's step. Return the loss as a number."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(weights, max_norm)
    optimizer.step()
    return loss.item()


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


def graph_nodes(tensor):
    """Return autograd's nodes behind a tensor, each one once: what `backward` would walk through."""
    found, waiting = {tensor.grad_fn}, [tensor.grad_fn]
    while waiting:
        following = {node for node, _ in waiting.pop().next_functions if node is not None} - found
        found |= following
        waiting.extend(following)
    return found
