"""The training curves show the records, nothing but the records, and are redrawn without piling up."""

import io
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import image

from course_utils import plots
from course_utils.training import Epoch

HISTORY = [
    Epoch(1, 20.5, 1e5, 18.0, "time"),
    Epoch(2, 15.0, 1e5),
    Epoch(3, 11.0, 1e5),
    Epoch(4, 9.0, 1e5, 10.0, "time"),
]
BASELINES = {"unigram": 17.25, "bigram": 11.5}


def points(line):
    return [tuple(float(x) for x in point) for point in zip(*line.get_data(), strict=True)]


def artists(picture):
    return len(picture.findobj())


def test_the_lines_are_the_records():
    curves = plots.TrainingCurves(BASELINES, 10)
    curves.draw(HISTORY)
    assert points(curves.training) == [(1, 20.5), (2, 15), (3, 11), (4, 9)]
    assert points(curves.held_out) == [(1, 18), (4, 10)]
    curves.draw(HISTORY[:1])
    assert points(curves.training) == [(1, 20.5)]
    curves.draw([])
    assert points(curves.training) == points(curves.held_out) == []


def test_the_baselines_are_lines_with_names():
    axes = plots.TrainingCurves(BASELINES, 10).axes
    heights = [set(line.get_ydata()) for line in axes.get_lines()]
    texts = [text.get_text() for text in axes.texts]
    for name, perplexity in BASELINES.items():
        assert {perplexity} in heights
        assert f"{name} {perplexity:.1f}" in texts
    assert len(plots.TrainingCurves({}, 10).axes.get_lines()) == len(axes.get_lines()) - 2


def test_redrawing_adds_nothing_and_keeps_the_picture():
    curves = plots.TrainingCurves(BASELINES, 10)
    first = curves.draw(HISTORY[:1], "one")
    first.png()
    before = artists(first)
    for i in range(1, 5):
        assert curves.draw(HISTORY[:i], f"title {i}") is first
        first.png()
    assert artists(first) == before
    assert curves.axes.get_title(loc="left") == "title 4"


@pytest.mark.parametrize("last_epoch", [0, 1, 500])
def test_axes(last_epoch):
    axes = plots.TrainingCurves(BASELINES, last_epoch).axes
    assert axes.get_xlim() == (0, max(1, last_epoch))
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (1, 40)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "perplexity")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training text", "held-out text"]


@pytest.mark.parametrize("extreme", [1e3, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("curves", [plots.TrainingCurves, lambda *_: plots.RunCurves(BASELINES)])
def test_a_perplexity_out_of_all_bounds_leaves_the_picture_and_an_axis_to_read(curves, extreme):
    curves = curves(BASELINES, 10)
    curves.draw([*HISTORY, Epoch(5, 30.0, 1e5, extreme, "")]).png()
    assert curves.axes.get_ylim() == (1, 1080 if math.isfinite(extreme) else 40)
    marks = [label.get_window_extent() for label in curves.axes.get_yticklabels()]
    assert all(above.y0 > below.y1 for below, above in pairwise(marks)), "labels lie over each other"


def test_png_is_a_picture_of_the_set_size():
    picture = plots.training_curves(HISTORY, BASELINES, "a title")
    for data in (picture.png(), picture._repr_png_()):
        pixels = image.imread(io.BytesIO(data))
        assert pixels.shape[:2] == (360, 650)
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10
    assert plots.Picture(3, 2).png().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_plain_function_draws_what_the_live_plot_draws():
    live = plots.TrainingCurves(BASELINES, HISTORY[-1].epoch).draw(HISTORY, "a title")
    assert plots.training_curves(HISTORY, BASELINES, "a title").png() == live.png()
    assert plots.training_curves([], {}).png().startswith(b"\x89PNG")


def test_pyplot_is_not_needed():
    """With pyplot, pictures would be shown twice, and stay in memory."""
    code = "import sys; from course_utils import plots; plots.Picture().png(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib.figure" in result.stdout.split()
    assert "matplotlib.pyplot" not in result.stdout.split()


def pixels(png):
    return (255 * image.imread(io.BytesIO(png))[..., :3]).astype(int)


def test_the_quick_picture_is_the_careful_one():
    live = plots.TrainingCurves(BASELINES, 10)
    long = [Epoch(i, 20 / i, 1e5, 25 / i if i % 3 == 0 else None, "") for i in range(1, 10)]
    high = [*long, Epoch(10, 300.0, 1e5, 500.0, "")]  # the axis must grow, and shrink again
    for history, title in ((long[:2], "first"), (long, "second"), (high, "third"), (long[:3], "fourth")):
        careful = pixels(live.draw(history, title).png())
        different = (abs(pixels(live.quick_png()) - careful).max(axis=2) > 16).mean()
        assert different < 1e-3  # of the pixels: curves lie over the legend's words, not under them
    assert (abs(pixels(live.draw(high, "fourth").png()) - careful).max(axis=2) > 16).mean() > 5e-3  # what is compared


def test_the_quick_picture_keeps_its_background():
    live, drawn = plots.TrainingCurves(BASELINES, 10), []
    draw = live.canvas.draw
    live.canvas.draw = lambda: drawn.append(1) or draw()
    for count in range(1, 4):
        live.draw([Epoch(i, 20 / i, 1e5, None, "") for i in range(1, count + 1)])
        live.quick_png()
    assert len(drawn) == 1
    live.draw([Epoch(1, 300.0, 1e5, None, "")])
    live.quick_png()
    assert len(drawn) == 2
