"""The training curves show the records, nothing but the records, and are redrawn without piling up."""

import io
import math
import subprocess
import sys
from itertools import pairwise

import pytest
from matplotlib import image

from course_utils import plots
from course_utils.training import Epoch

HISTORY = [Epoch(1, 20.5, 1.0, 18.0, "time"), Epoch(2, 15.0, 1.0), Epoch(3, 11.0, 1.0), Epoch(4, 9.0, 1.0, 10.0, "")]
BASELINES = {"unigram": 17.25, "bigram": 11.5}


def points(line):
    return [tuple(float(x) for x in point) for point in zip(*line.get_data(), strict=True)]


def pixels(png):
    return (255 * image.imread(io.BytesIO(png))[..., :3]).astype(int)


def words(axes):
    return [text.get_text() for text in axes.texts if text.get_visible()]


def labels(curves):
    return [artist for artist in curves.ghosts if hasattr(artist, "get_text")]


def test_the_lines_are_the_records_and_the_baselines():
    curves = plots.TrainingCurves(BASELINES, 10)
    for history in (HISTORY, HISTORY[:1], []):
        curves.draw(history)
        assert points(curves.training) == [(r.epoch, r.perplexity) for r in history]
        assert points(curves.held_out) == [(r.epoch, r.held_out_perplexity) for r in history if r.held_out_perplexity]
    for name, perplexity in BASELINES.items():
        assert any(set(line.get_ydata()) == {perplexity} for line in curves.axes.get_lines())
        assert any(name in word for word in words(curves.axes))
    assert not words(plots.TrainingCurves({}, 10).axes)


def test_redrawing_adds_nothing_and_keeps_the_picture():
    curves = plots.RunCurves(BASELINES)
    earlier = [("run 1", HISTORY), ("run 2", HISTORY[:2])]
    first = curves.draw(HISTORY[:1], "one", earlier)
    first.png()
    before = len(first.findobj())
    for i in range(1, 5):
        assert curves.draw(HISTORY[:i], f"title {i}", earlier) is first
        first.png()
    assert len(first.findobj()) == before
    assert curves.axes.get_title(loc="left") == "title 4"


@pytest.mark.parametrize("last_epoch", [0, 1, 500])
def test_axes(last_epoch):
    axes = plots.TrainingCurves(BASELINES, last_epoch).axes
    assert axes.get_xlim() == (0, max(1, last_epoch))
    assert (axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "epoch", "perplexity")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training text", "held-out text"]


@pytest.mark.parametrize("extreme", [1e3, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("curves", [plots.TrainingCurves, lambda *_: plots.RunCurves(BASELINES)])
def test_a_perplexity_out_of_all_bounds_leaves_the_picture_and_an_axis_to_read(curves, extreme):
    curves = curves(BASELINES, 10)
    curves.draw([*HISTORY, Epoch(5, 30.0, 1.0, extreme, "")]).png()
    assert curves.axes.get_ylim() == (1, 1080 if math.isfinite(extreme) else 40)
    marks = [label.get_window_extent() for label in curves.axes.get_yticklabels()]
    assert all(above.y0 > below.y1 for below, above in pairwise(marks)), "labels lie over each other"


def test_earlier_runs_are_grey_named_where_they_end_and_part_of_the_scale():
    curves = plots.RunCurves(BASELINES)
    curves.draw(HISTORY[:1], "", [("run 1", [Epoch(1, 20.0, 1.0, 18.0), Epoch(2, 10.0, 1.0, 300.0)]), ("run 2", [])], 7)
    ghosts = [points(artist) for artist in curves.ghosts if artist not in labels(curves)]
    assert [ghost for ghost in ghosts if ghost] == [[(1, 20), (2, 10)], [(1, 18), (2, 300)]]
    assert [(label.get_text(), label.xy) for label in labels(curves)] == [("run 1", (2, 300.0))]
    assert {artist.get_color() for artist in curves.ghosts} == {plots.GREY}
    assert points(curves.training) == [(1, 20.5)]
    assert curves.axes.get_xlim() == (0, 7)
    assert curves.axes.get_ylim()[1] > 300


@pytest.mark.parametrize("step", [0, 0.1, 1, -0.1, -1, math.inf])
def test_labels_of_runs_that_end_alike_do_not_hide_each_other(step):
    runs = [[Epoch(1, 20.0, 1.0, 18 + (number and number * step)), Epoch(2, 9.0, 1.0)] for number in range(4)]
    curves = plots.RunCurves({})
    curves.draw(runs[0], "", [(f"run {number}", records) for number, records in enumerate(runs)])
    boxes = [label.get_window_extent() for label in labels(curves)]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_an_empty_picture_says_what_to_do():
    curves = plots.RunCurves({})
    for history, earlier, said in (([], [], True), (HISTORY, [], False), ([], [("run 1", HISTORY)], False)):
        curves.draw(history, "", earlier)
        assert any("press Start" in word for word in words(curves.axes)) == said


def test_the_picture_has_the_set_size_and_shows_itself():
    picture = plots.TrainingCurves(BASELINES, 4).draw(HISTORY, "a title")
    assert picture.png() == picture._repr_png_()
    assert pixels(picture.png()).shape == (360, 650, 3)
    assert plots.TrainingCurves({}, 1).draw([]).png().startswith(b"\x89PNG")


def test_pyplot_is_not_needed():
    """With pyplot, pictures would be shown twice, and stay in memory."""
    code = "import sys; from course_utils import plots; plots.Picture().png(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib.figure" in result.stdout.split()
    assert "matplotlib.pyplot" not in result.stdout.split()


def test_the_quick_picture_is_the_careful_one():
    live = plots.TrainingCurves(BASELINES, 10)
    long = [Epoch(i, 20 / i, 1.0, 25 / i if i % 3 == 0 else None, "") for i in range(1, 10)]
    high = [*long, Epoch(10, 300.0, 1.0, 500.0, "")]  # the axis must grow, and shrink again
    for history, title in ((long[:2], "first"), (long, "second"), (high, "third"), (long[:3], "fourth")):
        careful = pixels(live.draw(history, title).png())
        different = (abs(pixels(live.picture.quick_png()) - careful).max(axis=2) > 16).mean()
        assert different < 1e-3  # of the pixels: curves lie over the legend's words, not under them
    assert (abs(pixels(live.draw(high, "fourth").png()) - careful).max(axis=2) > 16).mean() > 5e-3  # what is compared


def test_the_quick_picture_keeps_its_background_as_long_as_the_axis_stays():
    live, drawn = plots.TrainingCurves(BASELINES, 10), []
    draw = live.picture.canvas.draw
    live.picture.canvas.draw = lambda: drawn.append(1) or draw()
    for perplexity, backgrounds in ((20.0, 1), (10.0, 1), (300.0, 2)):
        live.draw([Epoch(1, perplexity, 1.0)])
        live.picture.quick_png()
        assert len(drawn) == backgrounds


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    points = [(0, 1.0), (1, 0.0), (2, float("inf")), (3, 0.1), (3, 0.0)]
    (line, *_) = plots.lines({"a": points}, log="y").axes[0].lines
    assert list(line.get_xdata()) == [0, 3]
    assert list(line.get_ydata()) == pytest.approx([1.0, 0.1])
