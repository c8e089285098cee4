"""What autograd notes while a step is repeated in a loop: question 6.

Dimensions: T time steps (`num_steps`), B batch size, V vocabulary, H hidden units.
"""

from dataclasses import dataclass

import torch

from course_utils.checks import checked, gradients_on
from course_utils.experiments.measuring import graph_nodes
from course_utils.rules import kind


@dataclass(frozen=True)
class UnrolledGraph:
    """Autograd's graph of a recurrence written as a loop: what grows with T, and what does not."""

    num_steps: int
    nodes: int
    uses: int  # of the recurrent weight; all their gradients flow into one tensor
    weight_tensors: int
    gradient_shape: tuple


full = kind(lambda value: torch.is_tensor(value) and value.dim() and len(value), "a tensor with something in it")
weight = kind(lambda value: torch.is_tensor(value) and value.requires_grad, "a tensor that requires a gradient")


@checked(gradients_on, weight=weight, inputs=full, hidden=full)
def unrolled_graph(step, weight, inputs, hidden):
    """Call a step once for each time step, and count what autograd notes (question 6). Cost: 0.2 s for T = 1000.

    Args:
        step: takes inputs (B, V) and a hidden state (B, H), and returns the next hidden state.
        weight: the recurrent weight that `step` uses, whose uses are counted; its `grad` is left alone.
        inputs: (T, B, V).
        hidden: the state to begin with, (B, H).
    """
    for x in inputs:
        hidden = step(x, hidden)
    loss = hidden.sum()
    nodes = graph_nodes(loss)
    leaves = [node for node in nodes if hasattr(node, "variable")]  # one for each weight tensor
    following = [after for node in nodes for after, _ in node.next_functions]
    uses = sum(getattr(node, "variable", None) is weight for node in following)
    if not uses:
        raise ValueError(
            "weight has no part in what step computes; hand over the one that it multiplies the state with"
        )
    (gradient,) = torch.autograd.grad(loss, weight)
    return UnrolledGraph(len(inputs), len(nodes), uses, len(leaves), tuple(gradient.shape))
