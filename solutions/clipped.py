"""Gradients, scaled together to a joint norm of at most theta."""

import torch


def clipped(gradients, theta):
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()  # of all numbers together
    return [gradient * min(1, theta / norm) for gradient in gradients]


def inputs():
    shapes = [[(3, 4)], [(2, 5), (5,)], [(4, 2), (3, 3), (6,)], [(7,), (1,)]]
    for shape, theta in zip(shapes, (1, 0.5, 3, 2), strict=True):
        yield [3 * torch.randn(each) for each in shape], theta  # too long
        yield [0.05 * torch.randn(each) for each in shape], theta  # short enough
    yield [torch.tensor([6.0]), torch.tensor([8.0])], 9  # each of them is short enough, but not both together
    yield [torch.zeros(3), torch.zeros(2, 2)], 1


TOLERANCE = 1e-3  # torch's own function adds 1e-6 to the norm

ERRORS = [
    (
        "gradient * min(1, theta / norm)",
        "gradient * min(1, theta / gradient.norm())",
        "You clip each tensor by its own norm. That turns the direction: all need one factor, from the joint norm.",
    ),
    (
        "min(1, theta / norm)",
        "(theta / norm)",
        "You scale short gradients up to theta too (and divide zeros by zero). What is short enough stays as it is.",
    ),
    (
        "gradient * min(1, theta / norm)",
        "gradient.clamp(-theta, theta)",
        "You cut each number by itself. That turns the direction, and many numbers of theta are together longer.",
    ),
    (
        "[gradient.norm() for gradient in gradients]).norm()",
        "[gradient.norm() for gradient in gradients]).sum()",
        "You add the norms. Lengths at right angles add as in a right triangle, by their squares.",
    ),
    (
        "min(1, theta / norm)",
        "min(1, 1 / norm)",
        "You clip to a norm of 1, whatever theta is.",
    ),
    (
        "gradient * min(1, theta / norm)",
        "gradient.mul_(min(1, theta / norm))",
        "The numbers are right, but you changed the gradients you were given. Return new tensors.",
    ),
]
