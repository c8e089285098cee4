"""Question 7: sampling and state of the windows are independent, and what each costs."""

import itertools
import math
import statistics

import pytest
import torch
from common import spy, story
from torch import nn
from torch.nn import functional as F

from course_utils import plots
from course_utils.experiments import sampling, stored
from course_utils.experiments.sampling import ARMS, ArmRun
from course_utils.loaders import SeqDataLoader
from course_utils.models import RNNModel
from course_utils.training import Epoch, evaluate, train_epoch


@pytest.fixture(scope="module")
def short_windows():
    """Every arm trained once on the story, in windows of 5: arm -> `ArmRun`."""
    options = {"num_steps": 5, "batch_size": 224, "layer": nn.GRU, "num_hiddens": 64, "num_epochs": 2, "lr": 0.02}
    return {name: sampling.train_arm(*arm, *story(), **options) for name, arm in ARMS.items()}


def follow(batches):
    """Whether each row of a batch goes on where the same row of the batch before stopped."""
    return all(torch.equal(before[1][:, -1], after[0][:, 0]) for before, after in itertools.pairwise(batches))


@pytest.mark.parametrize(("cut", "carries"), ARMS.values(), ids=list(ARMS))
def test_the_sampling_decides_the_batches_and_carrying_decides_the_states(cut, carries, monkeypatch):
    begun = spy(monkeypatch, RNNModel, "begin_state")
    torch.manual_seed(0)
    windows = SeqDataLoader(torch.arange(200), 3, 4, cut, carries_state=carries)
    assert follow(list(windows)) == (cut == "sequential")
    net = RNNModel(nn.RNN(200, 4), 200)
    train_epoch(net, windows, torch.optim.SGD(net.parameters(), 0.1), "cpu")
    assert len(begun) == (1 if carries else len(windows))


def test_sequential_and_carried_is_the_course_s_own_training():
    tokens, held_out, vocab_size = story()
    run = sampling.train_arm("sequential", True, *story(), num_epochs=1, num_hiddens=8)
    torch.manual_seed(0)
    net = RNNModel(nn.RNN(vocab_size, 8), vocab_size)
    perplexity = train_epoch(net, SeqDataLoader(tokens, 32, 35), torch.optim.Adam(net.parameters(), 0.005), "cpu")
    assert (run.training_perplexity, run.held_out) == (perplexity, evaluate(net, held_out, "cpu"))
    assert list(run.by_position) == sampling.perplexity_by_position(net, held_out, "cpu", 35)


def test_perplexity_by_position_equals_a_loop_over_windows():
    torch.manual_seed(0)
    net, tokens = RNNModel(nn.GRU(6, 8), 6), torch.randint(6, (40,))
    losses = torch.zeros(3)
    for start in range(37):
        logits, _ = net(tokens[None, start : start + 3], net.begin_state("cpu", 1))
        losses += F.cross_entropy(logits, tokens[start + 1 : start + 4], reduction="none").detach()
    for rows in (7, 100):
        measured = sampling.perplexity_by_position(net, tokens, "cpu", 3, rows)
        assert torch.allclose(torch.tensor(measured), (losses / 37).exp(), rtol=1e-5)


def test_a_run_reports_its_recipe_and_its_best_epoch():
    tokens, held_out, vocab_size = story()
    run = sampling.train_arm("random", False, tokens[:3000], held_out, vocab_size, seed=3, batch_size=8, num_steps=10,
                             num_epochs=5, layer=nn.LSTM, num_hiddens=8, optimizer=torch.optim.SGD, lr=0.5,
                             every=2)  # fmt: skip
    assert (run.arm, run.layer, run.optimizer, run.lr, run.seed) == ("random, reset", "LSTM", "SGD", 0.5, 3)
    assert (run.num_steps, run.batch_size, run.training_tokens, run.epochs) == (10, 8, 3000, 5)
    assert run.best_epoch in (1, 2, 4, 5)
    assert run.best <= run.held_out
    assert len(run.by_position) == 10
    assert math.isclose(run.held_out_reset**10, math.prod(run.by_position))
    assert run.seconds > 0


def test_a_run_s_numbers_are_those_of_its_epochs(monkeypatch):
    looks = [(1, 9.0, 100.0, 8.0), (2, 8.0, 50.0, 6.0), (3, 7.0, 100.0), (4, 6.5, 200.0, 7.0)]
    monkeypatch.setattr(sampling, "epochs", lambda *args, **options: iter([Epoch(*look) for look in looks]))
    run = sampling.train_arm("sequential", False, story()[0][:801], *story()[1:], num_steps=10, batch_size=8)
    assert (run.training_perplexity, run.held_out, run.best, run.best_epoch) == (6.5, 7.0, 6.0, 2)
    assert run.seconds == pytest.approx(800 * (1 / 100 + 1 / 50 + 1 / 100 + 1 / 200))
    assert run.as_trained == run.held_out_reset != run.held_out


def test_the_first_characters_after_a_reset_are_the_price(short_windows):
    for run in short_windows.values():
        assert run.by_position[0] > 1.3 * run.by_position[-1]
        assert run.held_out < run.held_out_reset
    at_first = {arm: run.by_position[0] for arm, run in short_windows.items()}
    assert at_first["sequential, carried"] > 1.05 * at_first["sequential, reset"]  # it has never learnt from cold


# The stored table of The Time Machine, and what notebook 04 says of it


@pytest.fixture(scope="module")
def stored_runs():
    """Runs by recipe and arm: (training tokens, T, layer), arm -> `ArmRun`s."""
    runs = {}
    for run in stored.read("sampling_time_machine", ArmRun).records:
        runs.setdefault((run.training_tokens, run.num_steps, run.layer), {}).setdefault(run.arm, []).append(run)
    return runs


def below(arms, low, high, field):
    """Whether every seed of one arm is below every seed of the other."""
    return max(getattr(run, field) for run in arms[low]) < min(getattr(run, field) for run in arms[high])


def mean(runs, field):
    return statistics.fmean(getattr(run, field) for run in runs)


def test_the_table_has_all_arms_on_10_000_and_on_more_than_100_000_characters(stored_runs):
    sizes = {tokens for tokens, _, _ in stored_runs}
    assert min(sizes) == 10_000
    assert max(sizes) > 100_000
    for arms in stored_runs.values():
        assert list(arms) == list(ARMS)
        assert all(len(runs) >= 3 for runs in arms.values())


@pytest.mark.parametrize("size", ["whole", 10_000])
def test_table_with_windows_of_35_random_reads_unseen_text_better_even_with_a_stale_state(stored_runs, size):
    tokens = max(tokens for tokens, _, _ in stored_runs) if size == "whole" else size
    arms = stored_runs[tokens, 35, "GRU"]
    for field in ("held_out", "best"):
        assert below(arms, "random, reset", "sequential, reset", field)
        assert below(arms, "random, reset", "sequential, carried", field)
        assert mean(arms["random, stale"], field) < mean(arms["random, reset"], field)
    assert 1.02 < mean(arms["sequential, carried"], "best") / mean(arms["random, reset"], "best") < 1.08


def test_table_with_windows_of_5_carrying_helps_and_a_stale_state_harms(stored_runs):
    arms = stored_runs[max(tokens for tokens, _, _ in stored_runs), 5, "GRU"]
    for field in ("held_out", "best"):
        assert below(arms, "sequential, carried", "random, reset", field)
        assert below(arms, "random, reset", "random, stale", field)
    assert 0.97 < mean(arms["random, reset"], "best") / mean(arms["sequential, reset"], "best") < 1.03


def test_table_the_book_s_recipe_differs_much_at_its_end_and_little_in_its_best_epoch(stored_runs):
    arms = stored_runs[10_000, 35, "RNN"]
    assert mean(arms["sequential, carried"], "held_out") > 1.3 * mean(arms["random, reset"], "held_out")
    assert mean(arms["sequential, carried"], "best") < 1.05 * mean(arms["random, reset"], "best")


def test_table_a_cold_start_costs_about_eight_characters(stored_runs):
    arms = stored_runs[max(tokens for tokens, _, _ in stored_runs), 35, "GRU"]
    for run in arms["random, reset"]:
        assert run.by_position[0] > 2 * run.held_out
        assert run.by_position[7] < 1.03 * run.held_out
        assert run.by_position[3] > 1.05 * run.held_out


def test_table_the_training_perplexity_would_choose_the_wrong_arm(stored_runs):
    arms = stored_runs[max(tokens for tokens, _, _ in stored_runs), 35, "GRU"]
    assert below(arms, "sequential, carried", "random, reset", "training_perplexity")


# The figure


@pytest.mark.parametrize("sizes", [(100,), (100, 200), (100, 200, 300)])
@pytest.mark.parametrize(("guess", "marked"), [("random, reset", 2), ("no difference", None), (None, None)])
def test_each_recipe_gets_a_panel_with_all_seeds_and_the_guess_in_its_row(sizes, guess, marked):
    numbers = {"training_perplexity": 5.0, "held_out": 7.0, "best": 6.0, "best_epoch": 2, "held_out_reset": 8.0}
    runs = [
        ArmRun(*arm, "GRU", 8, "Adam", 0.01, 2, 4, seed, size, 3, by_position=(9.0, 8.0), seconds=1.0, **numbers)
        for size in sizes for arm in ARMS.values() for seed in (0, 1)
    ]  # fmt: skip
    picture = plots.sampling_arms(runs, guess)
    assert [axes.get_title().split()[0] for axes in picture.axes if axes.lines] == [str(size) for size in sizes]
    for axes in picture.axes[: len(sizes)]:
        dots = {line.get_label(): list(line.get_data()[0]) for line in axes.lines}
        assert dots["held-out text"] == [7.0] * 8
        rows = [line.get_ydata()[0] for line in axes.lines if line.get_color() == plots.PURPLE]
        assert rows == ([] if marked is None else [marked])
    assert picture.png().startswith(b"\x89PNG")
