"""Question 8: theory within its sampling error, training against a judge that can also say no."""

import contextlib
import dataclasses
import io
import itertools
import math

import common  # noqa: F401 (one thread)
import pytest
import torch
from torch import nn

from course_utils import plots
from course_utils.experiments import memory
from course_utils.loaders import load_data_time_machine


@pytest.fixture(scope="module")
def story():
    """Training tokens, held-out tokens and vocabulary size."""
    with contextlib.redirect_stdout(io.StringIO()):
        train_iter, vocab = load_data_time_machine(32, 35, max_tokens=-1, corpus="story")
    return train_iter.corpus, train_iter.held_out, len(vocab)


# Layers


def test_arms_change_what_they_name_and_nothing_else():
    plain, orthogonal, identity, scaled = (
        memory.recurrent_layer(arm, 5, 8).state_dict()
        for arm in ("rnn", "rnn orthogonal", "rnn identity", "rnn scale 3")
    )
    W = orthogonal.pop("weight_hh_l0")
    torch.testing.assert_close(W @ W.T, torch.eye(8))
    assert torch.equal(identity["weight_hh_l0"], torch.eye(8))
    assert not identity["bias_ih_l0"].any()
    assert not identity["bias_hh_l0"].any()
    assert torch.equal(scaled.pop("weight_hh_l0"), 3 * plain["weight_hh_l0"])
    for changed in (orthogonal, scaled, {"weight_ih_l0": identity["weight_ih_l0"]}):
        assert all(torch.equal(value, plain[name]) for name, value in changed.items())
    assert memory.recurrent_layer("rnn identity", 5, 8).nonlinearity == "relu"


def test_the_forget_bias_reaches_the_forget_gate():
    layer = memory.recurrent_layer("lstm forget 100", 5, 8)
    with torch.no_grad():  # a gate that is always open keeps the cell: its input gate may only add to it
        for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
            bias[:8] = -100
        cell = torch.randn(1, 1, 8)
        _, (_, kept) = layer(torch.randn(50, 1, 5), (torch.zeros(1, 1, 8), cell))
    torch.testing.assert_close(kept, cell)


@pytest.mark.parametrize(
    "arm", ["", "transformer", "rnn forget 1", "gru orthogonal", "lstm forget", "lstm forget it", "rnn orthogonal 2"]
)
def test_unknown_arms_are_refused(arm):
    with pytest.raises(ValueError, match="it must be like"):
        memory.recurrent_layer(arm, 5, 8)


# The gradient by lag


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.2])
def test_a_layer_that_multiplies_by_a_number_shows_that_number(factor):
    layer = nn.RNN(5, 8, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(factor * torch.eye(8))
        layer.weight_ih_l0.mul_(1e-8)  # so small that tanh is a straight line
    ratios = memory.gradient_by_lag(layer, num_steps=20)
    assert ratios == pytest.approx([factor**k for k in range(20)], rel=1e-4)
    assert memory.fitted_factor(ratios, (0, 19)) == pytest.approx(factor, rel=1e-5)


def test_the_gradient_can_be_measured_on_given_tokens():
    layer = memory.recurrent_layer("gru", 5, 8)
    tokens = torch.zeros(12, 3, dtype=torch.long)
    assert len(memory.gradient_by_lag(layer, tokens=tokens)) == 12
    assert memory.gradient_by_lag(layer, tokens=tokens) != memory.gradient_by_lag(layer, tokens=tokens + 1)


def test_the_fit_is_least_squares_on_logarithms():
    ratios = [2.0 * 0.7**k * math.exp(0.01 * (-1) ** k) for k in range(41)]
    assert memory.fitted_factor(ratios, (0, 40)) == pytest.approx(0.7, rel=1e-3)
    assert memory.fitted_factor([1.0, 1.0, 0.5, 0.25], (1, 3)) == pytest.approx(0.5)


LAGS, HIDDENS = 10, 256


@pytest.fixture(scope="module")
def decays():
    """Arm -> its decay, fitted over the first ten lags."""
    arms = ("rnn", "gru", "lstm", "lstm forget 1", "rnn orthogonal", "rnn scale 4")
    return {arm: memory.gradient_decay(arm, HIDDENS, 41, lags=(0, LAGS), draws=8) for arm in arms}


def agrees(decay, expected_factor):
    """Whether theory holds: within five standard errors, and k / 4H for products of one matrix, not of k fresh ones."""
    return abs(decay.factor - expected_factor) < 5 * decay.error + LAGS / (4 * HIDDENS) * expected_factor


def test_theory_gives_every_factor(decays):
    assert {arm for arm, decay in decays.items() if agrees(decay, decay.expected_factor)} == set(decays)


@pytest.mark.parametrize(
    ("arm", "other"),
    [
        ("rnn", "gru"),
        ("rnn", "rnn orthogonal"),
        ("gru", "rnn"),
        ("lstm", "lstm forget 1"),
        ("rnn orthogonal", "rnn scale 4"),
    ],
)
def test_theory_of_another_arm_does_not(decays, arm, other):
    assert not agrees(decays[arm], decays[other].expected_factor)


def test_theory_is_one_over_the_root_of_three_for_a_wide_default_rnn():
    expected = memory.expected_ratios("rnn", num_hiddens=10**6, num_steps=36)
    assert expected == pytest.approx([3 ** (-k / 2) for k in range(36)], rel=1e-3)


def test_theory_of_gates_in_the_long_run():
    expected = memory.expected_ratios("lstm", 256, num_steps=400)
    assert expected[1] == pytest.approx(math.sqrt(1 / 4 + 1 / 48))
    assert expected[399] / expected[398] == pytest.approx(1 / 2 + 1 / (4 * math.sqrt(3)), rel=0.002)


@pytest.mark.parametrize("arm", ["rnn identity", "lstm forget 5"])
def test_where_theory_has_no_answer_there_is_none(arm):
    decay = memory.gradient_decay(arm, 16, 36, draws=2)
    assert decay.expected is None
    assert decay.expected_factor is None


def forgets(decay):
    """Whether less than a hundred thousandth of the gradient is left after the book's 35 steps."""
    return decay.ratios[35] < 1e-5


def test_default_cells_forget_and_changed_ones_do_not(decays):
    assert {arm for arm, decay in decays.items() if forgets(decay)} == {"rnn", "gru", "lstm"}
    for arm in ("rnn identity", "lstm forget 5"):
        assert not forgets(memory.gradient_decay(arm, 64, 36, draws=2))


@pytest.mark.parametrize("arm", ["rnn", "gru", "lstm"])
def test_more_hidden_units_do_not_help_a_default_cell(arm):
    small, large = (memory.gradient_decay(arm, H, 36, draws=4) for H in (64, 512))
    assert 1 / 8 < large.ratios[35] / small.ratios[35] < 8  # of a loss of seven decimal places and more
    assert forgets(small)
    assert forgets(large)


def test_more_hidden_units_do_help_an_orthogonal_rnn():
    small, large = (memory.gradient_decay("rnn orthogonal", H, 36, draws=4) for H in (64, 512))
    assert large.factor - small.factor > 5 * math.hypot(large.error, small.error)


def test_scaled_weights_make_the_gradient_grow(decays):
    assert decays["rnn scale 4"].ratios[35] > 50
    assert all(decay.ratios[35] < 1 for arm, decay in decays.items() if arm != "rnn scale 4")


def test_the_mean_lies_between_the_extremes(decays):
    for decay in decays.values():
        assert decay.ratios[0] == 1
        between = zip(decay.lowest, decay.ratios, decay.highest, strict=True)
        assert all(low * (1 - 1e-9) <= ratio <= high * (1 + 1e-9) for low, ratio, high in between)


# Recall


def remembers(record):
    """Whether a trained model names the first symbol nearly always; False only if it is far from that."""
    assert not 0.8 < record.accuracy < 0.9
    return record.accuracy > 0.85


@pytest.mark.parametrize(
    ("arm", "gap", "answer"),
    [
        ("rnn", 40, False),
        ("rnn orthogonal", 40, True),
        ("rnn identity", 40, True),
        ("lstm", 40, False),
        ("lstm forget 5", 40, True),
        ("lstm", 2, True),  # nothing else keeps it from learning
        ("rnn", 2, True),
    ],
)
def test_who_remembers_is_decided_by_the_gradient(arm, gap, answer):
    assert remembers(memory.recall(arm, gap)) == answer


def test_without_training_recall_is_chance():
    record = memory.recall("rnn", 5, updates=0)
    assert record.updates == 0
    assert abs(record.accuracy - record.chance) < 5 * math.sqrt(0.25 * 0.75 / 1000)


def test_training_ends_when_the_model_is_sure():
    record = memory.recall("rnn", 1, lr=0.01)
    assert record.updates < 300
    assert record.accuracy > 0.99


# Clipping


def saves(clipped, plain):
    """Whether clipping makes the difference between a model and ruins."""
    return plain.held_out_perplexity > 30 * clipped.held_out_perplexity


def test_clipping_saves_a_training_that_explodes(story):
    clipped, plain = (memory.clipping("rnn scale 2", *story, max_norm=norm) for norm in (1.0, None))
    assert saves(clipped, plain)
    assert max(clipped.norms_before) > 2
    assert plain.norms_before == plain.norms_after


def test_clipping_shortens_long_gradients_to_the_limit_and_leaves_short_ones(story):
    run = memory.clipping("rnn scale 2", *story, max_norm=0.5, updates=60)
    for before, after in zip(run.norms_before, run.norms_after, strict=True):
        assert after == (pytest.approx(0.5, rel=1e-3) if before > 0.5 else pytest.approx(before, rel=1e-5))
    assert min(run.norms_before) < 0.5 < max(run.norms_before)


def test_where_nothing_explodes_clipping_changes_nothing(story):
    clipped, plain = (memory.clipping("rnn", *story, max_norm=norm, updates=60, lr=0.5) for norm in (1.0, None))
    assert max(plain.norms_before) < 1
    assert clipped.losses == plain.losses
    assert not saves(clipped, plain)


# Detaching


def test_without_detach_the_second_window_fails():
    assert memory.without_detach(num_windows=1) is None
    assert "backward through the graph a second time" in memory.without_detach()


def test_retaining_the_graph_only_changes_the_complaint():
    assert "modified by an inplace operation" in memory.without_detach(retain_graph=True)


def test_with_detach_nothing_fails(monkeypatch):
    forward = memory.RNNModel.forward
    monkeypatch.setattr(memory.RNNModel, "forward", lambda net, X, state: forward(net, X, memory.detach(state)))
    assert memory.without_detach(num_windows=5) is None


def test_a_history_that_is_not_detached_grows_by_a_window_each_time():
    costs = memory.history_cost(num_windows=5, num_steps=7, batch_size=2, num_hiddens=4, repeats=1)
    detached, whole = ([cost.nodes for cost in costs if cost.detached == flag] for flag in (True, False))
    assert [cost.window for cost in costs] == [1, 2, 3, 4, 5] * 2
    assert len(set(detached)) == 1
    assert whole[0] == detached[0]
    assert len({after - before for before, after in itertools.pairwise(whole)}) == 1
    assert whole[4] > 4 * detached[0]


# What all have in common


def runs(story):
    quick = {"num_hiddens": 8, "updates": 2}
    return {
        "recurrent_layer": lambda: memory.recurrent_layer("rnn orthogonal", 5, 8),
        "gradient_decay": lambda: memory.gradient_decay("gru", 8, 36, draws=2),
        "recall": lambda: memory.recall("lstm", 3, **quick),
        "clipping": lambda: memory.clipping("rnn", *story, batch_size=4, num_steps=6, **quick),
        "without_detach": memory.without_detach,
        "history_cost": lambda: memory.history_cost(2, 3, 2, 5, 4, repeats=1),
    }


@pytest.mark.parametrize("name", runs(None))
def test_the_callers_random_numbers_stay_untouched(story, name):
    before = torch.get_rng_state()
    runs(story)[name]()
    assert torch.equal(torch.get_rng_state(), before)


def test_measuring_a_given_layer_leaves_random_numbers_untouched():
    layer = nn.GRU(5, 8)
    before = torch.get_rng_state()
    memory.gradient_by_lag(layer)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_result(story):
    def results(seed):
        quick = {"updates": 3, "num_hiddens": 8, "seed": seed}
        recalled = dataclasses.replace(memory.recall("lstm", 3, **quick), seconds=0)
        return (
            recalled,
            memory.clipping("gru", *story, **quick),
            memory.gradient_decay("rnn", 8, 36, draws=2, seed=seed),
        )

    assert results(0) == results(0)
    assert all(one != other for one, other in zip(results(0), results(5), strict=True))


# Figures


def decay(arm, ratios, expected=None):
    spread = [tuple(factor * ratio for ratio in ratios) for factor in (0.5, 2)]
    return memory.GradientDecay(arm, 64, ratios, *spread, expected, 0.5, 0.01, None)


def test_gradient_decays_draws_measurement_spread_theory_and_guess():
    records = [decay("rnn", (1.0, 0.5), (1.0, 0.6)), decay("rnn identity", (1.0, 0.9))]
    picture = plots.gradient_decays(records, guess=1e-3)
    (axes,) = picture.axes
    drawn = [(line.get_linestyle(), list(line.get_ydata())) for line in axes.lines]
    for line in [("-", [1.0, 0.5]), ("--", [1.0, 0.6]), ("-", [1.0, 0.9]), ("None", [1e-3])]:
        assert drawn.count(line) == 1
    assert len(axes.collections) == 2
    assert axes.get_yscale() == "log"
    assert picture.png().startswith(b"\x89PNG")
    assert len(plots.gradient_decays(records).axes[0].lines) == len(axes.lines) - 1


def test_recalls_writes_each_accuracy_in_its_place_and_the_guess_beside_its_row():
    records = [
        memory.Recall("rnn", 64, 40, 0.25, 0.25, 300, 1.0),
        memory.Recall("rnn", 64, 20, 0.5, 0.25, 300, 1.0),
        memory.Recall("lstm forget 5", 64, 20, 1.0, 0.25, 90, 1.0),
    ]
    (axes,) = plots.recalls(records, guess="lstm forget 5").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["20", "40"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rnn, H = 64", "lstm forget 5, H = 64"]
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    assert {name: texts[name] for name in ("25%", "50%", "100%")} == {"25%": (1, 0), "50%": (0, 0), "100%": (0, 1)}
    assert texts["your guess"][1] == 1
    shades = [sum(patch.get_facecolor()[:3]) for patch in axes.patches]
    assert shades[0] > shades[1] > shades[2]  # darker: better
    assert "your guess" not in [text.get_text() for text in plots.recalls(records).axes[0].texts]


def test_clippings_draws_loss_and_norm_of_each_training_and_the_limit():
    clipped = memory.Clipping("rnn", 0.5, (3.0, 2.0), (1.0, 4.0), (0.5, 0.5), 9.0)
    plain = memory.Clipping("rnn", None, (3.0, math.inf), (1.0, math.nan), (1.0, math.nan), math.inf)
    picture = plots.clippings([clipped, plain])
    left, right = picture.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[3, 2], [3, math.inf]]
    assert [list(line.get_ydata())[:2] for line in right.lines[:2]] == [[1, 4], [0.5, 0.5]]
    assert [text.get_text() for text in picture.legends[0].texts] == ["rnn, clipped at 0.5", "rnn, no clipping"]
    assert picture.png().startswith(b"\x89PNG")


def test_history_costs_draws_nodes_and_milliseconds():
    costs = [memory.HistoryCost(w, flag, 100 if flag else 100 * w, w / 1000) for flag in (True, False) for w in (1, 2)]
    left, right = plots.history_costs(costs).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[100, 100], [100, 200]]
    assert [list(line.get_ydata()) for line in right.lines] == [[1, 2], [1, 2]]
    assert [text.get_text() for text in left.get_legend().texts] == ["detached", "not detached"]
