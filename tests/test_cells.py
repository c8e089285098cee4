"""Tokens in cells: colours go where the tokens go, and white means exactly no influence."""

import numpy as np
import pytest
import torch

from course_utils import plots
from course_utils.experiments.layouts import dependencies

SENTENCES = ["to th", "at se"]
PLACES = torch.arange(10).reshape(2, 5)


def colours(axes, rows):
    """The colour of every cell, shape (rows, columns, 3)."""
    return axes.collections[0].get_facecolor()[:, :3].reshape(rows, -1, 3)


def test_token_grids_move_each_tokens_colour_and_name_with_it():
    picture = plots.token_grids({"X": PLACES, "X.T": PLACES.T, "reshape": PLACES.reshape(5, 2)}, SENTENCES)
    as_given, transposed, reshaped = map(colours, picture.axes, (2, 5, 5))
    assert np.array_equal(transposed, as_given.swapaxes(0, 1))
    assert np.array_equal(reshaped, as_given.reshape(5, 2, 3))
    assert len(np.unique(as_given.reshape(10, 3), axis=0)) == 10
    assert (np.diff(as_given.sum(axis=2), axis=1) < 0).all()  # later is darker
    names = [f"{SENTENCES[b][t]}\n{b},{t}".replace(" ", "␣") for t in range(5) for b in range(2)]
    assert [text.get_text() for text in picture.axes[1].texts] == names


@pytest.mark.parametrize("weakest", [0, 1e-30, 1e-3])
def test_dependence_grids_are_white_exactly_where_the_gradient_is_zero(weakest):
    sizes = torch.zeros(2, 5)
    sizes[1, :4] = weakest * torch.tensor([1, 0.5e3, 1e3, 4e3])
    axes = plots.dependence_grids({"transpose": sizes}, SENTENCES, marked=(1, 3)).axes[0]
    assert np.array_equal((colours(axes, 2) == 1).all(axis=2), (sizes == 0).numpy())
    (frame,) = axes.patches
    assert frame.get_bbox().bounds == (2.5, 0.5, 1, 1)  # around the marked output


def test_dependence_maps_are_white_exactly_where_nothing_depends():
    depends = dependencies("transpose", batch_size=2, num_steps=3)
    axes = plots.dependence_maps({"2 × 3": depends}).axes[0]
    shown = np.asarray(axes.images[0].get_array())
    assert np.array_equal((shown == 1).all(axis=2), ~depends.reshape(6, 6).numpy())


def test_text_windows_show_every_character_and_an_empty_row_is_no_reason_to_complain():
    axes = plots.text_windows(["to th", "e sea"]).axes[0]
    assert "".join(text.get_text() for text in axes.texts) == "to␣the␣sea"
    assert plots.text_windows([""]).png().startswith(b"\x89PNG")
