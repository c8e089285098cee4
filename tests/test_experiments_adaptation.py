"""Question 5: exact answers asserted exactly, trained ones by judges that can also say no."""

import contextlib
import copy
import io
import math

import common
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import plots
from course_utils.experiments import adaptation
from course_utils.experiments.adaptation import FineTuned, Reading
from course_utils.loaders import load_data_time_machine
from course_utils.models import RNNModel
from course_utils.prediction import predict
from course_utils.text import Vocab
from course_utils.training import evaluate, train_epoch

SIZE = 7  # of the vocabulary in tests without a text


def small(cell=nn.RNN, **options):
    """An untrained model; dropout, where it is asked for, must not be felt."""
    torch.manual_seed(0)
    return RNNModel(cell(SIZE, 12, **options), SIZE)


def tokens(count, seed=0):
    return torch.randint(SIZE, (count,), generator=torch.Generator().manual_seed(seed))


def unchanged(net, action):
    changed, total = adaptation.changed_weights(net, action)
    return changed == 0 and total == sum(parameter.numel() for parameter in net.parameters())


# Which weights change


@pytest.mark.parametrize("cell", common.CELLS)
def test_predict_changes_no_bit(cell):
    net, vocab = small(cell), Vocab("abcdef")
    assert unchanged(net, lambda: predict("abc", 20, net, vocab, "cpu"))


def test_one_step_of_training_changes_what_a_prefix_can_reach():
    net, prefix = small(), torch.tensor([1, 2, 1, 2])

    def step():
        F.cross_entropy(net(prefix[None, :-1], net.begin_state("cpu"))[0], prefix[1:]).backward()
        torch.optim.SGD(net.parameters(), 0.1).step()

    changed, total = adaptation.changed_weights(net, step)
    unread = 12 * (SIZE - 2)  # input weights of the symbols that the prefix does not have
    assert total - changed == unread


@pytest.mark.parametrize("value", [-0.0, 1e-45, math.nan])
def test_a_single_changed_bit_is_seen(value):
    net = small()

    def change():
        with torch.no_grad():
            net.linear.bias[3] = value

    with torch.no_grad():
        net.linear.bias.zero_()
    assert adaptation.changed_weights(net, change)[0] == 1
    assert unchanged(net, change)  # the same once more, a nan too


EXPERIMENTS = {
    "perplexity_by_length": lambda net: adaptation.perplexity_by_length(net, tokens(90), [1, 5]),
    "fine_tune": lambda net: adaptation.fine_tune(
        net, tokens(90), tokens(40, 1), (0.1, 1), (1, 3), num_prefixes=2, following=10
    ),
    "dynamic_evaluation": lambda net: adaptation.dynamic_evaluation(net, tokens(90), tokens(40, 1), (0, 0.1, 1)),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
@pytest.mark.parametrize("cell", common.CELLS)
def test_experiments_leave_the_model_alone_and_repeat(experiment, cell):
    net, results = small(cell, num_layers=2, dropout=0.5), []
    assert unchanged(net, lambda: results.append(experiment(net)))
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    torch.manual_seed(1)  # other chances must make no difference, as nothing is left to chance
    assert experiment(net) == results[0]


# Prefix lengths


def test_perplexity_by_length_is_that_of_each_character_by_itself():
    net, text = small(), tokens(25)
    for length, perplexity in zip((1, 4), adaptation.perplexity_by_length(net, text, [1, 4]), strict=True):
        losses = []
        for place in range(4, 25):
            logits, _ = net(text[None, place - length : place], net.begin_state("cpu"))
            losses.append(F.cross_entropy(logits[-1], text[place]).item())
        assert perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)


class Remembering(nn.Module):
    """Says again, with certainty, what came `lag` characters before; knows nothing when it has not read so far."""

    def __init__(self, lag):
        super().__init__()
        self.lag, self.weight = lag, nn.Parameter(torch.zeros(()))

    def begin_state(self, device, batch_size=1):
        return torch.zeros(batch_size, self.lag - 1, SIZE)

    def forward(self, inputs, state):
        known = torch.cat([state, 20.0 * F.one_hot(inputs, SIZE)], dim=1)  # (B, lag - 1 + T, V)
        logits = known[:, : inputs.shape[1]].transpose(0, 1).flatten(0, 1)
        return logits + self.weight, known[:, inputs.shape[1] :]


def test_the_curve_falls_where_the_model_begins_to_know():
    text = tokens(6).repeat(40)
    perplexities = adaptation.perplexity_by_length(Remembering(6), text, [1, 5, 6, 7, 30])
    assert perplexities == pytest.approx([SIZE, SIZE, 1, 1, 1], rel=1e-4)


def test_a_text_too_short_for_the_longest_prefix_is_refused():
    adaptation.perplexity_by_length(small(), tokens(11), [10])
    with pytest.raises(ValueError, match="10 tokens is too short for a prefix of 10"):
        adaptation.perplexity_by_length(small(), tokens(10), [10])


# Training on a prefix


def test_fine_tuning_is_sgd_on_the_prefix_and_nothing_else():
    net, text, elsewhere = small(), tokens(60), tokens(50, 1)
    before, _, after = adaptation.fine_tune(net, text, elsewhere, (0.1,), (1, 3), 6, 1, following=10)
    ours, losses = copy.deepcopy(net), []
    for _ in range(3):
        loss = F.cross_entropy(ours(text[None, :5], ours.begin_state("cpu"))[0], text[1:6])
        ours.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ours.parameters(), 1)
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter -= 0.1 * parameter.grad
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
    with pytest.raises(ValueError, match="do not hold 3 prefixes"):
        adaptation.fine_tune(small(), tokens(count), tokens(50), (0.1,), (1,), prefix_length, 3, following=10)


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
        ours.zero_grad()
        F.cross_entropy(logits, text[start + 1 : start + 21]).backward()
        nn.utils.clip_grad_norm_(ours.parameters(), 1)
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter -= 0.3 * parameter.grad
        state = tuple(part.detach() for part in state)
    reader, _, _ = adaptation.read_and_train(net, text, 0.3, num_steps=20)
    for a, b in zip(reader.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_destroyed_model_is_infinitely_surprised_and_no_error():
    [record] = adaptation.dynamic_evaluation(small(), tokens(200), tokens(40, 1), rates=[1e30])
    assert record.honest == math.inf
    assert not record.elsewhere < 1e6
    assert plots.readings([Reading(0, 8.0, 8.0, 8.0), record]).png().startswith(b"\x89PNG")


def test_a_text_without_a_window_is_refused():
    adaptation.read_and_train(small(), tokens(21), 0.1, num_steps=20)
    with pytest.raises(ValueError, match="20 tokens has no window of 20"):
        adaptation.read_and_train(small(), tokens(20), 0.1, num_steps=20)


def test_a_disguise_swaps_letters_and_nothing_else():
    text = torch.arange(28).repeat(2)
    swapped = adaptation.disguised(text, 28)
    assert sorted(swapped[:28].tolist()) == list(range(28))
    assert torch.equal(swapped[:28], swapped[28:])
    assert swapped[0] == 0
    assert (swapped[:28] == text[:28]).sum() < 10
    assert not torch.equal(swapped, adaptation.disguised(text, 28, seed=1))


# What training brings and breaks, on both texts: each judge must say yes to the measurement and no to its control


@pytest.fixture(scope="module", params=["story", pytest.param("time_machine", marks=common.needs_book)])
def trained(request):
    """A model after about 50 epochs of the book's recipe, near its best on held-out text; its text in three parts."""
    corpus = "story" if request.param == "story" else str(common.BOOK)
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        train_iter, vocab = load_data_time_machine(32, 35, corpus=corpus)
    net = RNNModel(nn.RNN(len(vocab), 256), len(vocab))
    optimizer = torch.optim.SGD(net.parameters(), 1)
    for _ in range(50):
        train_epoch(net, train_iter, optimizer, "cpu")
    return net, train_iter.held_out[:2000], train_iter.held_out[2000:4000], len(vocab)


def test_a_longer_prefix_helps_for_a_few_characters_and_leaves_no_trace_after_50(trained):
    net, reading, elsewhere, _ = trained
    one, three, five, fifty, all_of_it = adaptation.perplexity_by_length(
        net, torch.cat([reading, elsewhere]), [1, 3, 5, 50, 200]
    )
    assert one > 1.03 * min(three, five)
    assert fifty == pytest.approx(all_of_it, rel=0.01)
    assert fifty != one


def harmless(untouched, record):
    return abs(record.elsewhere / untouched.elsewhere - 1) < 0.03


def destroyed(untouched, record):
    return record.elsewhere > 3 * untouched.elsewhere and record.continuation > 3 * untouched.continuation


def test_a_prefix_teaches_nothing_gently_and_destroys_by_force(trained):
    net, reading, elsewhere, _ = trained
    untouched, gentle, hard = adaptation.fine_tune(net, reading, elsewhere, (0.001, 1), (100,), num_prefixes=3)
    assert harmless(untouched, gentle)
    assert not harmless(untouched, hard)
    assert destroyed(untouched, hard)
    assert not destroyed(untouched, gentle)
    assert 0.95 < gentle.continuation / untouched.continuation < 1.02
    assert gentle.prefix < 0.9 * untouched.prefix  # it did learn
    assert hard.prefix < 1.2


def test_up_to_a_point_only_rate_times_steps_counts(trained):
    net, reading, elsewhere, _ = trained
    _, few, many = [
        record
        for record in adaptation.fine_tune(net, reading, elsewhere, (0.1, 0.01), (10, 100), num_prefixes=2)
        if record.lr * record.steps in (0, 1)
    ]
    assert few.elsewhere == pytest.approx(many.elsewhere, rel=0.1)


def gains(records):
    """Whether some rate is better than rate 0 on the text that is read."""
    return min(record.honest for record in records) < 0.99 * records[0].honest


def test_gentle_steps_while_reading_help_and_the_rate_of_training_destroys(trained):
    net, reading, elsewhere, vocab_size = trained
    records = adaptation.dynamic_evaluation(net, reading, elsewhere, (0, 0.03, 0.1, 1))
    still, *gentle, hard = records
    assert gains(records)
    assert min(record.elsewhere for record in gentle) < 0.99 * still.elsewhere  # the gain is not about this text only
    assert hard.honest > 1.2 * still.honest
    assert hard.elsewhere > 1.05 * still.elsewhere
    assert still.peeking == still.honest
    assert all(record.peeking < 0.95 * record.honest for record in gentle)
    assert not gains([still])
    noise = torch.randint(1, vocab_size, (2000,), generator=torch.Generator().manual_seed(0))
    [noisy] = adaptation.dynamic_evaluation(net, noise, elsewhere, (0.1,))
    assert noisy.elsewhere > still.elsewhere  # not just any step helps


def test_a_strangers_text_is_learnt_at_the_cost_of_all_others(trained):
    net, reading, elsewhere, vocab_size = trained
    strange = adaptation.disguised(reading, vocab_size)
    own, still, gentle = [
        *adaptation.dynamic_evaluation(net, reading, elsewhere, (0.1,)),
        *adaptation.dynamic_evaluation(net, strange, elsewhere, (0, 0.1)),
    ]
    assert gentle.honest < 0.5 * still.honest
    assert gentle.elsewhere > 1.7 * still.elsewhere
    assert own.elsewhere < 1.1 * still.elsewhere


# Figures


def points(line):
    return list(zip(*(values.tolist() for values in map(np.asarray, line.get_data())), strict=True))


def words(picture):
    return {text.get_text().strip() for axes in picture.axes for text in axes.texts}


def test_prefix_curves_are_the_numbers():
    curves = {"held-out text": [9.0, 8.0, 8.5], "training text": [9.5, 7.0, 6.0]}
    picture = plots.prefix_curves([1, 2, 50], curves, {"bigram": 9.2})
    (axes,) = picture.axes
    *lines, baseline = axes.lines
    assert [points(line) for line in lines] == [
        list(zip((1, 2, 50), values, strict=True)) for values in curves.values()
    ]
    assert set(baseline.get_ydata()) == {9.2}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "50"]
    assert words(picture) == {"bigram 9.2"}
    guessed = plots.prefix_curves([1, 2, 50], curves, {}, guess=7)
    assert set(guessed.axes[0].lines[-1].get_xdata()) == {7}
    assert words(guessed) == {"your guess"}


TUNED = [
    FineTuned(0.0, 0, 6.0, 9.0, 8.0),
    FineTuned(0.1, 1, 4.0, 8.9, 8.1),
    FineTuned(0.1, 10, 1.2, 11.0, 10.0),
    FineTuned(1.0, 1, 1.5, 12.0, 11.0),
    FineTuned(1.0, 10, 1.0, 60.0, math.inf),
]


def test_fine_tunings_stand_at_rate_times_steps():
    (axes,) = plots.fine_tunings(TUNED).axes
    drawn = {tuple(points(line)) for line in axes.lines}
    assert ((0.1, 8.1), (1.0, 10.0)) in drawn
    assert ((1.0, 12.0), (10.0, 60.0)) in drawn
    assert ((0.1, 4.0), (1.0, 1.2)) in drawn
    heights = {y for line in axes.lines for _, y in points(line) if list(line.get_xdata()) == [0, 1]}
    assert heights == {6.0, 9.0, 8.0}


READINGS = [
    Reading(0, 8.0, 8.0, 9.0),
    Reading(0.1, 7.2, 5.0, 8.0),
    Reading(1, 20.0, 6.0, 30.0),
]


def test_readings_are_the_records_and_name_the_gain():
    picture = plots.readings(READINGS)
    (axes,) = picture.axes
    drawn = [points(line) for line in axes.lines]
    for field in ("honest", "peeking", "elsewhere"):
        assert list(enumerate(getattr(record, field) for record in READINGS)) in drawn
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1", "1"]
    assert words(picture) == {"-10%"}


@pytest.mark.parametrize(
    ("draw", "records", "guess", "star"),
    [(plots.fine_tunings, TUNED, 30, (10.0, 30)), (plots.readings, READINGS, -25, (1, 6.0))],
)
def test_a_guess_is_a_star_and_is_never_needed(draw, records, guess, star):
    without, with_guess = draw(records), draw(records, guess=guess)
    assert "your guess" in words(with_guess) - words(without)
    assert [star] in [points(line) for line in with_guess.axes[0].lines]
    assert with_guess.png() != without.png()
