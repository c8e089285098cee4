"""Question 3: one call and the loops find one loss, and labels in the wrong order find another."""

import math

import pytest
import torch
from common import story

from course_utils.experiments.losses import loss_ways

TOKENS, _, VOCAB_SIZE = story()
EPS = torch.finfo(torch.float32).eps


def test_one_call_and_loops_give_the_same_loss_and_a_wrong_order_does_not():
    once, over_time, over_all, wrong = (loss for loss, _ in loss_ways(TOKENS, VOCAB_SIZE, repeats=1).values())
    rounding = 1120 * EPS * once  # relative, at worst one per term of the sum
    assert abs(over_time - once) <= rounding
    assert abs(over_all - once) <= rounding
    assert once < math.log(VOCAB_SIZE) < wrong  # better and worse than knowing nothing


def test_the_scores_are_those_of_counting_pairs_also_of_pairs_that_never_occur():
    tokens = torch.tensor([0, 1, 2] * 5)
    ways = loss_ways(tokens, 5, batch_size=2, num_steps=6, repeats=1)  # each letter has one follower, seen 5 times
    assert ways["one call"][0] == pytest.approx(math.log(10 / 6), rel=0.1)


def test_with_one_step_the_order_of_labels_does_not_matter():
    once, *_, wrong = (loss for loss, _ in loss_ways(TOKENS, VOCAB_SIZE, num_steps=1, repeats=1).values())
    assert abs(wrong - once) <= 32 * EPS * once


def test_a_vocabulary_of_one_token_leaves_nothing_to_guess():
    losses = [loss for loss, _ in loss_ways(torch.zeros(50, dtype=torch.long), 1, 2, 5, repeats=1).values()]
    assert losses == pytest.approx([0] * 4)
