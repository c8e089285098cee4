"""Pictures of where tokens lie and of who depends on whom, and the figures of questions 2, 3, 4 and 6."""

import numpy as np
import pytest
import torch

from course_utils import plots
from course_utils.experiments import layout

SENTENCES = ["to th", "at se"]
PLACES = torch.arange(10).reshape(2, 5)
WHITE = [1.0, 1.0, 1.0]


def colours(axes):
    """The colour of every cell, shape (rows, columns, 3)."""
    return np.asarray(axes.images[0].get_array())


def labels(axes):
    return [text.get_text() for text in axes.texts]


def test_token_grid_writes_letter_sentence_and_time_in_every_cell():
    axes = plots.token_grids({"X.T": PLACES.T}, SENTENCES).axes[0]
    assert axes.get_title() == "X.T"
    assert labels(axes) == [f"{SENTENCES[b][t]}\n{b}, {t}".replace(" \n", "␣\n") for t in range(5) for b in range(2)]


def test_token_grid_moves_each_tokens_colour_with_it():
    pictured = plots.token_grids({"X": PLACES, "X.T": PLACES.T, "reshape": PLACES.reshape(5, 2)}, SENTENCES)
    as_given, transposed, reshaped = (colours(axes) for axes in pictured.axes)
    assert np.array_equal(transposed, as_given.swapaxes(0, 1))
    assert np.array_equal(reshaped, as_given.reshape(5, 2, 3))
    assert not np.array_equal(reshaped, transposed)


def test_token_grid_gives_every_cell_a_colour_of_its_own_later_is_darker():
    grid = colours(plots.token_grids({"X": PLACES}, SENTENCES).axes[0])
    assert len(np.unique(grid.reshape(10, 3), axis=0)) == 10
    assert (np.diff(grid.sum(axis=2), axis=1) < 0).all()


@pytest.mark.parametrize("weakest", [1e-30, 1e-3])
def test_dependence_grid_is_white_exactly_where_the_gradient_is_zero(weakest):
    sizes = torch.zeros(2, 5)
    sizes[1, :4] = torch.tensor([weakest, 0.5, 1.0, 4.0])
    grid = colours(plots.dependence_grids({"transpose": sizes}, SENTENCES, marked=(1, 3)).axes[0])
    assert np.array_equal((grid == WHITE).all(axis=2), (sizes == 0).numpy())


def test_dependence_grid_without_any_influence_is_all_white():
    grid = colours(plots.dependence_grids({"none": torch.zeros(2, 5)}, SENTENCES, marked=(0, 0)).axes[0])
    assert (grid == WHITE).all()


def test_dependence_grid_frames_the_marked_output():
    sizes = {name: torch.rand(2, 5) for name in ("transpose", "none", "reshape", "batch_first")}
    pictured = plots.dependence_grids(sizes, SENTENCES, marked=(1, 3))
    assert [axes.get_title() for axes in pictured.axes] == list(sizes)
    for axes in pictured.axes:
        frame = axes.patches[-1]  # drawn over the ten thin cell borders
        assert len(axes.patches) == 11
        assert frame.get_bbox().bounds == (2.5, 0.5, 1, 1)


def test_a_picture_shows_itself_as_png():
    assert plots.token_grids({"X": PLACES}, SENTENCES).png().startswith(b"\x89PNG")


# What the questions' figures show, with and without a guess.

RUNS = [
    layout.LayoutRun(arm, training_perplexity=6, held_out_perplexity=7 + place, unigram=16, bigram=9, updates=1,
                     seconds=1) for place, arm in enumerate(layout.ARMS)
]  # fmt: skip
WAYS = [
    layout.LossWay("one call", 2.25, 0.0, 0.001, 1.0),
    layout.LossWay("loop", 2.25, 1e-7, 0.3, 300.0),
    layout.LossWay("wrong", 3.5, 1.25, 0.1, 100.0),
]
CUTS = [layout.BatchShape(rows, 1120 // rows, 60, 1000 * rows, 8 + place) for place, rows in enumerate((1, 32, 1120))]
GRAPHS = [layout.UnrolledGraph(steps, 5 * steps + 3, steps, 2, (16, 16)) for steps in (1, 35, 1000)]
SIZES = [
    layout.Size(steps, depth, 100_000 * depth, 4 * depth, (), ()) for depth in (1, 2, 3) for steps in (1, 35, 1000)
]


def bar_lengths(axes):
    return [bar.get_width() for bar in axes.patches]


def guess_lines(axes):
    return [line for line in axes.lines if line.get_color() == plots.PURPLE]


def test_layout_runs_draws_every_arm_and_both_baselines():
    axes = plots.layout_runs(RUNS).axes[0]
    assert bar_lengths(axes) == [run.held_out_perplexity for run in RUNS]
    assert [line.get_xdata()[0] for line in axes.lines] == [9, 16]


def test_loss_ways_draws_the_time_of_right_losses_only():
    axes = plots.loss_ways(WAYS).axes[0]
    assert bar_lengths(axes)[:2] == [1.0, 300.0]
    assert np.isnan(bar_lengths(axes)[2])
    losses = {text.get_text(): text.get_color() for text in axes.texts if text.get_text().startswith("loss")}
    assert losses == {"loss 2.2500": plots.INK, "loss 3.5000": plots.VERMILION}


def test_dependence_maps_is_white_exactly_where_nothing_depends():
    depends = layout.dependencies("transpose", batch_size=2, num_steps=3)
    axes = plots.dependence_maps({"2 × 3": depends}).axes[0]
    assert np.array_equal((colours(axes) == WHITE).all(axis=2), ~depends.reshape(6, 6).numpy())


def test_batch_against_time_draws_speed_and_quality():
    speed, quality = plots.batch_against_time(CUTS, {"bigram": 9.0}).axes
    assert list(speed.lines[0].get_ydata()) == [1_000, 32_000, 1_120_000]
    assert list(quality.lines[0].get_ydata()) == [8, 9, 10]
    assert [label.get_text() for label in speed.get_xticklabels()] == ["1 × 1120", "32 × 35", "1120 × 1"]


def test_steps_against_layers_draws_a_line_for_each_depth_and_each_count():
    left, right = plots.steps_against_layers(SIZES, GRAPHS).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[100_000 * depth] * 3 for depth in (1, 2, 3)]
    assert [list(line.get_ydata()) for line in right.lines] == [[8, 178, 5003], [1, 35, 1000], [2, 2, 2]]


@pytest.mark.parametrize(
    ("draw", "guess", "place"),
    [
        (lambda guess: plots.layout_runs(RUNS, guess), 25, ([25, 25], [0, 1])),
        (lambda guess: plots.loss_ways(WAYS, guess), 5000, ([5000, 5000], [0, 1])),
        (lambda guess: plots.batch_against_time(CUTS, {}, guess), "32 × 35", ([1, 1], [0, 1])),
        (lambda guess: plots.steps_against_layers(SIZES, GRAPHS, guess), 7, ([1, 1000], [100_000, 700_000])),
    ],
    ids=["layout_runs", "loss_ways", "batch_against_time", "steps_against_layers"],
)
def test_a_guess_is_drawn_where_it_belongs_and_nothing_without_one(draw, guess, place):
    assert [line for axes in draw(None).axes for line in guess_lines(axes)] == []
    [(axes, line)] = [(axes, line) for axes in draw(guess).axes for line in guess_lines(axes)]
    assert tuple(map(list, line.get_data())) == place
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert all(low <= x <= high for x in line.get_xdata())
    assert line.get_transform() != axes.transData or all(bottom <= y <= top for y in line.get_ydata())
