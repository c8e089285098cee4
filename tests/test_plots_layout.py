"""Pictures of where tokens lie and of who depends on whom."""

import numpy as np
import pytest
import torch

from course_utils import plots

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
