"""One figure for every "letters in cells": a grid of coloured cells, each with its text."""

from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from course_utils.plots.fonts import PLACEHOLDER, SENTENCE, drawable, families, visible
from course_utils.plots.picture import GREY, VERMILION


def draw_cells(axes, colours, labels, title="", frame=None):
    """Draw a grid of cells on axes that count its rows and columns, row 0 on top.

    Args:
        colours: rows of colours; None leaves a place empty.
        labels: rows of texts; a token, and below it what else is to stand there.
        frame: (row, column) of a cell to be framed.
    """
    boxes, faces = [], []
    for i, (row, texts) in enumerate(zip(colours, labels, strict=True)):
        for j, (colour, text) in enumerate(zip(row, texts, strict=True)):
            if colour is not None:
                boxes.append(Rectangle((j - 0.5, i - 0.5), 1, 1))
                faces.append(colour)
            shown = visible(text[:1]) + drawable(text[1:])  # a line end there is layout
            if PLACEHOLDER in shown:
                axes.figure.supxlabel(SENTENCE, fontsize=8)
            axes.text(j, i, shown, ha="center", va="center", fontsize=9, family=families(shown, "monospace"))
    style = {"facecolors": faces, "edgecolors": GREY, "linewidths": 0.5, "clip_on": False}
    axes.add_collection(PatchCollection(boxes, **style), autolim=False)  # one artist: quicker than one for each cell
    if frame is not None:
        corner = frame[1] - 0.5, frame[0] - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3, clip_on=False))
    width = max(1, *map(len, labels))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal")
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.yaxis.set_major_locator(MultipleLocator(1))
    axes.set_title(title, fontsize=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
