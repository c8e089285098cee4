"""Question 5: exact answers asserted exactly, trained ones by judges that can also say no."""

import copy
import math

import common
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.experiments import adaptation
from course_utils.loaders import load_data_time_machine
from course_utils.models import RNNModel
from course_utils.training import evaluate, train_epoch

SIZE = 7  # of the vocabulary in tests without a text


def small(cell=nn.RNN, **options):
    """An untrained model; dropout, where it is asked for, must not be felt."""
    torch.manual_seed(0)
    return RNNModel(cell(SIZE, 12, **options), SIZE)


def tokens(count, seed=0):
    return torch.randint(SIZE, (count,), generator=torch.Generator().manual_seed(seed))


def step_by_hand(net, loss, lr):
    """Plain SGD with clipping at 1, without an optimiser."""
    net.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= lr * parameter.grad


EXPERIMENTS = {
    "fine_tune": lambda net: adaptation.fine_tune(net, tokens(90), tokens(40, 1), (0.1, 1), (1, 3), 14, 2, 10),
    "dynamic_evaluation": lambda net: adaptation.dynamic_evaluation(net, tokens(90), tokens(40, 1), (0, 0.1, 1)),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
@pytest.mark.parametrize("cell", common.CELLS)
def test_experiments_leave_the_model_alone_and_repeat(experiment, cell):
    net = small(cell, num_layers=2, dropout=0.5)
    before = copy.deepcopy(net.state_dict())
    result = experiment(net)
    assert all(torch.equal(old, net.state_dict()[name]) for name, old in before.items())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    torch.manual_seed(1)  # other chances must make no difference, as nothing is left to chance
    assert experiment(net) == result


# Training on a prefix


def test_fine_tuning_is_sgd_on_the_prefix_and_nothing_else():
    net, text, elsewhere = small(), tokens(60), tokens(50, 1)
    before, _, after = adaptation.fine_tune(net, text, elsewhere, (0.1,), (1, 3), 6, 1, following=10)
    ours, losses = copy.deepcopy(net), []
    for _ in range(3):
        loss = F.cross_entropy(ours(text[None, :5], ours.begin_state("cpu"))[0], text[1:6])
        step_by_hand(ours, loss, 0.1)
        losses.append(loss.item())
    with torch.no_grad():
        logits, _ = ours(text[None, :15], ours.begin_state("cpu"))
    continuation = F.cross_entropy(logits[5:], text[6:16]).exp().item()
    assert (before.lr, before.steps, after.lr, after.steps) == (0.0, 0, 0.1, 3)
    assert before.prefix == pytest.approx(math.exp(losses[0]), rel=1e-5)
    assert before.elsewhere == pytest.approx(evaluate(net, elsewhere, "cpu"), rel=1e-5)
    assert after.prefix == pytest.approx(F.cross_entropy(logits[:5], text[1:6]).exp().item(), rel=1e-4)
    assert after.continuation == pytest.approx(continuation, rel=1e-4)
    assert after.elsewhere == pytest.approx(evaluate(ours, elsewhere, "cpu"), rel=1e-4)


def test_fine_tuning_at_rate_0_changes_nothing():
    records = adaptation.fine_tune(small(), tokens(200), tokens(50, 1), (0.0,), (1, 10), num_prefixes=2, following=80)
    assert len({(record.prefix, record.continuation, record.elsewhere) for record in records}) == 1
    assert [record.steps for record in records] == [0, 1, 10]


def test_losses_are_averaged_over_the_prefixes():
    text, elsewhere = tokens(60), tokens(50, 1)
    settings = {"rates": (0.1,), "steps": (2,), "prefix_length": 6, "following": 10}
    both = adaptation.fine_tune(small(), text, elsewhere, num_prefixes=2, **settings)
    halves = [adaptation.fine_tune(small(), half, elsewhere, num_prefixes=1, **settings) for half in text.chunk(2)]
    for record, first, second in zip(both, *halves, strict=True):
        for field in ("prefix", "continuation", "elsewhere"):
            expected = math.sqrt(getattr(first, field) * getattr(second, field))
            assert getattr(record, field) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("count", "prefix_length"), [(59, 10), (200, 1)])
def test_too_few_tokens_for_the_prefixes_are_refused(count, prefix_length):
    with pytest.raises(ValueError, match=r"do not hold 3 prefixes|prefix_length is 1; it must be"):
        adaptation.fine_tune(small(), tokens(count), tokens(50), (0.1,), (1,), prefix_length, 3, following=10)


@pytest.mark.parametrize(("count", "prefix_length"), [(60, 10), (200, 2)])
def test_just_enough_tokens_are_enough(count, prefix_length):
    records = adaptation.fine_tune(small(), tokens(count), tokens(50), (0.1,), (1,), prefix_length, 3, following=10)
    assert len(records) == 2


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_other_text_is_read_in_rows_of_200(experiment, monkeypatch):
    rows = []
    monkeypatch.setattr(adaptation, "evaluate", lambda *args, row_length: rows.append(row_length) or 2.0)
    assert {round(record.elsewhere, 6) for record in experiment(small())} == {2.0}
    assert set(rows) == {200}


# Training while reading


def test_rate_0_only_reads():
    net, text = small(), tokens(61)
    reader, before, after = adaptation.read_and_train(net, text, 0, num_steps=20)
    logits, _ = net(text[None, :60], net.begin_state("cpu"))
    expected = F.cross_entropy(logits, text[1:], reduction="none").reshape(3, 20).mean(dim=1)
    assert before == pytest.approx(expected.tolist(), rel=1e-5)
    assert after == pytest.approx(before, rel=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(reader.parameters(), net.parameters(), strict=True))


@pytest.mark.parametrize("cell", common.CELLS)
def test_no_window_is_scored_by_a_model_that_has_seen_its_labels(cell):
    """Other characters from some place on: up to that window every score stays the same to the last bit."""
    net, text = small(cell), tokens(101)
    other = text.clone()
    other[61:] = (other[61:] + 1) % SIZE  # 61 is the first label of the fourth window
    _, before, after = adaptation.read_and_train(net, text, 0.5)
    _, before_other, after_other = adaptation.read_and_train(net, other, 0.5)
    assert before[:3] == before_other[:3]
    assert after[:3] == after_other[:3]
    assert all(a != b for a, b in zip(before[3:], before_other[3:], strict=True))
    assert before[0] == adaptation.read_and_train(net, text, 0)[1][0]  # no step has been taken yet
    assert all(late < early for early, late in zip(before, after, strict=True))  # with the answers it is easy


def test_every_window_brings_one_step_from_the_state_before_it():
    net, text = small(nn.LSTM), tokens(41)
    ours, state = copy.deepcopy(net), net.begin_state("cpu")
    for start in (0, 20):
        logits, state = ours(text[None, start : start + 20], state)
        step_by_hand(ours, F.cross_entropy(logits, text[start + 1 : start + 21]), 0.3)
        state = tuple(part.detach() for part in state)
    reader, _, _ = adaptation.read_and_train(net, text, 0.3, num_steps=20)
    for a, b in zip(reader.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_destroyed_model_is_infinitely_surprised_and_no_error():
    [record] = adaptation.dynamic_evaluation(small(), tokens(200), tokens(40, 1), rates=[1e30])
    assert record.honest == math.inf
    assert not record.elsewhere < 1e6
    assert (adaptation._perplexity([699.5]), adaptation._perplexity([700.0])) == (math.exp(699.5), math.inf)


# What training brings and breaks, on both texts: each judge must say yes to the measurement and no to its control


@pytest.fixture(scope="module", params=common.TEXTS)
def trained(request):
    """A model after about 50 epochs of the book's recipe, near its best on held-out text; its text in three parts."""
    torch.manual_seed(0)
    train_iter, vocab = load_data_time_machine(32, 35, corpus=request.param)
    net = RNNModel(nn.RNN(len(vocab), 256), len(vocab))
    optimizer = torch.optim.SGD(net.parameters(), 1)
    for _ in range(50):
        train_epoch(net, train_iter, optimizer, "cpu")
    return net, train_iter.held_out[:2000], train_iter.held_out[2000:4000], len(vocab)


def test_a_prefix_teaches_nothing_gently_and_destroys_by_force(trained):
    net, reading, elsewhere, _ = trained
    untouched, gentle, hard = adaptation.fine_tune(net, reading, elsewhere, (0.001, 1), (100,), num_prefixes=3)
    assert gentle.elsewhere == pytest.approx(untouched.elsewhere, rel=0.03)
    assert 0.95 < gentle.continuation / untouched.continuation < 1.02
    assert gentle.prefix < 0.9 * untouched.prefix  # it did learn
    assert hard.prefix < 1.2
    assert hard.elsewhere > 3 * untouched.elsewhere
    assert hard.continuation > 3 * untouched.continuation


def test_up_to_a_point_only_rate_times_steps_counts(trained):
    net, reading, elsewhere, _ = trained
    records = adaptation.fine_tune(net, reading, elsewhere, (0.1, 0.01), (10, 100), num_prefixes=2)
    few, many = [record.elsewhere for record in records if record.lr * record.steps == 1]
    assert few == pytest.approx(many, rel=0.1)


def test_gentle_steps_while_reading_help_and_the_rate_of_training_destroys(trained):
    net, reading, elsewhere, vocab_size = trained
    records = adaptation.dynamic_evaluation(net, reading, elsewhere, (0, 0.03, 0.1, 1))
    still, *gentle, hard = records
    assert min(record.honest for record in gentle) < 0.99 * still.honest
    assert min(record.elsewhere for record in gentle) < 0.99 * still.elsewhere  # the gain is not about this text only
    assert hard.honest > 1.2 * still.honest
    assert hard.elsewhere > 1.05 * still.elsewhere
    assert still.peeking == still.honest
    assert all(record.peeking < 0.95 * record.honest for record in gentle)
    noise = torch.randint(1, vocab_size, (2000,), generator=torch.Generator().manual_seed(0))
    [noisy] = adaptation.dynamic_evaluation(net, noise, elsewhere, (0.1,))
    assert noisy.elsewhere > still.elsewhere  # not just any step helps


def test_a_strangers_text_is_learnt_at_the_cost_of_all_others(trained):
    net, reading, elsewhere, vocab_size = trained
    letters = torch.randperm(vocab_size - 1, generator=torch.Generator().manual_seed(0))
    strange = torch.cat([torch.zeros(1, dtype=torch.long), 1 + letters])[reading]  # each letter stands for another one
    [own] = adaptation.dynamic_evaluation(net, reading, elsewhere, (0.1,))
    still, gentle = adaptation.dynamic_evaluation(net, strange, elsewhere, (0, 0.1))
    assert gentle.honest < 0.5 * still.honest
    assert gentle.elsewhere > 1.7 * still.elsewhere
    assert own.elsewhere < 1.1 * still.elsewhere
