"""Question 6: what autograd notes of a loop, held against what the step was made of."""

import itertools

import pytest
import torch
from torch import nn

from course_utils.experiments.unrolling import unrolled_graph

LAYER = nn.RNN(5, 4)
WEIGHT = LAYER.weight_hh_l0


def step(x, h):
    return torch.tanh(x @ LAYER.weight_ih_l0.T + h @ WEIGHT.T + LAYER.bias_hh_l0)


def with_copies(x, h):
    return torch.tanh(x @ LAYER.weight_ih_l0.T + h @ WEIGHT.detach().clone().requires_grad_()) + 0 * WEIGHT.sum()


def graph(num_steps, step=step):
    return unrolled_graph(step, WEIGHT, torch.randn(num_steps, 2, 5), torch.zeros(2, 4))


@pytest.mark.parametrize("num_steps", [1, 35, 1000])
def test_one_weight_tensor_is_used_once_a_step(num_steps):
    found = graph(num_steps)
    assert (found.num_steps, found.uses) == (num_steps, num_steps)
    assert found.weight_tensors == 3  # what `step` uses: two matrices and one bias
    assert found.gradient_shape == WEIGHT.shape
    assert WEIGHT.grad is None  # looking leaves no trace


def test_the_graph_grows_by_the_same_nodes_with_every_step():
    nodes = [graph(num_steps).nodes for num_steps in range(2, 7)]
    (growth,) = {after - before for before, after in itertools.pairwise(nodes)}
    assert growth > 0


def test_a_copy_of_the_weight_for_every_step_is_noticed():
    assert graph(5, with_copies).weight_tensors == 2 + 5


def test_uses_are_counted_and_not_steps():
    assert graph(5, lambda x, h: step(x, step(x, h))).uses == 10
