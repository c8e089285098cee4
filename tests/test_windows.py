"""Question 1: the cliff of truncation against counting, and what a longer window brings on a text."""

import itertools
import math
import statistics

import pytest
import torch

from course_utils.experiments import stored, windows
from course_utils.experiments.sampling import ArmRun


@pytest.mark.parametrize(("lag", "num_steps"), [*itertools.product((1, 3, 5), (1, 2, 5, 6, 20))])
def test_the_expectation_is_a_count_of_the_answers_whose_bit_lies_in_the_window(lag, num_steps):
    known = sum(place - lag >= 0 for place in range(num_steps))  # the others are right half the time
    assert math.isclose(windows.expected_accuracy(lag, num_steps, False), (known + num_steps) / 2 / num_steps)
    assert windows.expected_accuracy(lag, num_steps, True) == (1.0 if known else 0.5)


@pytest.mark.parametrize("lag", [1, 3, 7])
@pytest.mark.parametrize("num_steps", [1, 3, 5])
def test_every_label_is_the_bit_that_was_seen_lag_steps_ago(lag, num_steps):
    bits = windows.Bits(lag, num_steps, count=9, carries_state=True)
    X, Y = (torch.cat(parts, dim=1) for parts in zip(*bits, strict=True))
    assert [tuple(x.shape) for x, _ in bits] == [(32, num_steps)] * 9 == [(32, num_steps)] * len(bits)
    assert torch.equal(Y[:, lag:], X[:, :-lag])
    assert 0.3 < X.float().mean() < 0.7


@pytest.mark.parametrize("num_steps", [3, 6, 20])
def test_with_a_reset_state_the_answers_are_those_of_counting(num_steps):
    echo = windows.train_echo(5, num_steps, carries_state=False)
    assert (echo.lag, echo.num_steps, echo.carries_state) == (5, num_steps, False)
    shortfall = 0.02 * (echo.num_steps > echo.lag)  # what 200 updates may have left to learn
    assert -4 * echo.error - shortfall < echo.accuracy - echo.expected < 4 * echo.error
    flips = 2 * (1 - echo.expected) * echo.outputs  # these answers are guessed
    assert math.isclose(echo.error, math.sqrt(flips) / 2 / echo.outputs)


def test_the_state_holds_the_bit_even_where_training_cannot_use_it():
    frozen = {"frozen": True, "updates": 300, "lr": 0.1}
    carried, reset = (windows.train_echo(5, 5, carries, **frozen) for carries in (True, False))
    assert carried.accuracy > 0.9
    assert abs(reset.accuracy - 0.5) < 4 * reset.error


def test_frozen_trains_the_output_layer_only(monkeypatch):
    weights = []
    monkeypatch.setattr(windows, "right_answers", lambda net, bits, device: weights.append(net.state_dict()) or [0])
    for updates in (1, 3):
        windows.train_echo(5, 2, frozen=True, updates=updates)
    changed = {name for name, weight in weights[0].items() if not torch.equal(weight, weights[1][name])}
    assert changed == {"linear.weight", "linear.bias"}
    assert weights[0]["linear.weight"].shape == (2, 64)  # an answer, 0 or 1, from 64 units


def test_the_test_judges_right_answers_with_the_state_as_in_training():
    class Echoes(torch.nn.Module):
        """Answers with the bit of one step ago, kept in the state."""

        def begin_state(self, device, batch_size):
            return torch.zeros(batch_size, dtype=torch.long)

        def forward(self, X, state):
            before = torch.cat([state[:, None], X[:, :-1]], dim=1)
            return torch.nn.functional.one_hot(before.T.flatten(), 2), X[:, -1]

    torch.manual_seed(0)
    both = [windows.Bits(1, 4, 50, carries) for carries in (True, False)]
    carried, reset = (windows.right_answers(Echoes(), bits, "cpu") for bits in both)
    assert carried[1:] == [128] * 49
    assert abs(sum(reset) / 50 - 112) < 4 * math.sqrt(32 / 50) / 2  # of 32 first answers half are right


def test_answers_about_bits_before_the_stream_do_not_count(monkeypatch):
    answers = [1, 1, 1] + [64] * 125  # ceil(5 / 2) early windows of 32 x 2, then the others
    monkeypatch.setattr(windows, "right_answers", lambda net, bits, device: answers[: len(bits)])
    assert windows.train_echo(5, 2, updates=1).accuracy == 1


def test_all_windows_see_as_many_characters_in_as_many_updates(monkeypatch):
    calls = []
    monkeypatch.setattr(windows, "train_arm", lambda *arguments, **options: calls.append((arguments, options)))
    windows.window_lengths([1, 2], [], 28, num_steps=(1, 4, 35, 140), seeds=(0, 1), num_epochs=2)
    assert len(calls) == 4 * 2 * 2
    assert {options["batch_size"] * options["num_steps"] for _, options in calls} == {1120}
    assert {arguments[1] for arguments, _ in calls} == {True, False}
    assert all(options["num_epochs"] == 2 for _, options in calls)


# The stored table of The Time Machine, and what notebook 04 says of it


@pytest.fixture(scope="module")
def perplexities():
    """Means over seeds: layer, carried -> window -> held-out perplexity, read in the way of the training."""
    table = {}
    for run in stored.read("windows_time_machine", ArmRun).records:
        arm = table.setdefault((run.layer, run.carries_state), {})
        arm.setdefault(run.num_steps, []).append(run.as_trained)
    assert all(len(values) >= 3 for arm in table.values() for values in arm.values())
    return {arm: {n: statistics.fmean(values) for n, values in by.items()} for arm, by in table.items()}


def test_table_has_all_windows_on_more_than_100_000_characters(perplexities):
    assert set(perplexities) == {("RNN", True), ("RNN", False), ("GRU", True)}
    assert all(list(by) == [1, 2, 4, 8, 16, 35, 70, 140] for by in perplexities.values())
    assert min(run.training_tokens for run in stored.read("windows_time_machine", ArmRun).records) > 100_000


def test_table_with_a_carried_state_eight_steps_are_as_good_as_any(perplexities):
    for layer in ("RNN", "GRU"):
        by_window = perplexities[layer, True]
        assert by_window[8] < 1.02 * min(by_window.values())
        assert by_window[1] > 1.05 * min(by_window.values())
        assert by_window[140] > by_window[8]


def test_table_one_carried_step_reads_far_better_than_a_bigram(perplexities):
    bigram = 10.0  # `training.baselines` of the whole book, rounded
    assert perplexities["RNN", True][1] < 0.65 * bigram
    assert 0.95 < perplexities["RNN", False][1] / bigram < 1.05


def test_table_with_a_reset_state_longer_windows_pay_until_about_35(perplexities):
    by_window = perplexities["RNN", False]
    assert all(by_window[n] > 1.03 * by_window[m] for n, m in itertools.pairwise([1, 2, 4, 8, 16, 35]))
    assert by_window[35] < 1.02 * min(by_window.values())
