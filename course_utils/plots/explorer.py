"""The explorer's figure: the curves of one setting over those of its neighbours, and the map around it."""

import itertools
import math
import statistics

import numpy as np
from matplotlib.lines import Line2D

from course_utils.plots.cells import draw_cells
from course_utils.plots.fonts import caption
from course_utils.plots.picture import BLUE, GREY, PURPLE, VERMILION, QuickPicture, tint

TICKS = (1, 2, 3, 5, 10, 20, 40)
NOT_THERE = "nobody has trained this setting:\npress Train this live"


class ExplorerPicture(QuickPicture):
    """The picture of an `experiments.explorer.View`, redrawn in place."""

    def __init__(self):
        super().__init__(9, 3.7)
        self.curves, self.map = self.add_axes((0.06, 0.13, 0.46, 0.74)), self.add_axes((0.63, 0.13, 0.35, 0.74))
        self.curves.set(xlabel=caption("epoch"), ylabel=caption("perplexity"), yscale="log")
        self.curves.set(ylim=(1, 40))
        self.curves.set_yticks(TICKS, TICKS)
        self.curves.minorticks_off()
        names = {"training text": (BLUE, "-"), "held-out text": (VERMILION, "-"), "its neighbours": (GREY, "-"),
                 "trained live": (PURPLE, ":o")}  # fmt: skip
        samples = [
            Line2D([], [], color=colour, linestyle=style[0], marker=style[1:], markersize=3, label=caption(name))
            for name, (colour, style) in names.items()
        ]
        self.curves.legend(handles=samples, loc="lower left", frameon=False, fontsize=8)
        self.title = self.curves.set_title("", loc="left", fontsize=10, animated=True)

    def draw_view(self, view, live=()):
        """Show a view, and the looks (epoch, seconds, perplexity, held-out perplexity) of a live run of its setting."""
        for artist in self._moving(self.curves):
            artist.remove()
        for runs in view.neighbours:
            self.curves.plot(*spread([run.curve for run in runs], 3)[:2], color=GREY, alpha=0.5, linewidth=1)
        self._draw_curves([run.curve for run in view.runs], live)
        self.title.set_text(summary(view.runs))
        self._draw_map(view)
        for artist in (*self._moving(self.curves), *self._moving(self.map)):
            artist.set_animated(True)
        return self

    def png(self, dpi=100):
        """The picture as PNG bytes; in its usual size it is drawn quickly."""
        return self.quick_png() if dpi == 100 else super().png(dpi)

    @staticmethod
    def _moving(axes):
        return [*axes.lines, *axes.collections, *axes.texts, *axes.patches]

    def _draw_map(self, view):
        """The lowest held-out perplexity around the setting, which is framed; cells of the same fields are kept."""
        (across, columns), (down, rows) = view.across, view.down
        labels = [[f"{number:.1f}" if math.isfinite(number) else "–" for number in row] for row in view.lowest]
        if self.key != (key := (across, columns, down, rows)):
            self.key = key
            for artist in self._moving(self.map):
                artist.remove()
            white = [["white"] * len(columns)] * len(rows)
            draw_cells(self.map, white, labels, "lowest held-out perplexity", frame=view.frame)
            self.map.set(xlabel=across, ylabel=down, aspect="auto")
            self.map.set_xticks(range(len(columns)), columns)
            self.map.set_yticks(range(len(rows)), rows)
        self.map.collections[0].set_facecolor(shades(view.lowest))
        self.map.patches[0].set_xy((view.frame[1] - 0.5, view.frame[0] - 0.5))
        for text, label in zip(self.map.texts, itertools.chain(*labels), strict=True):
            text.set_text(label)

    def _draw_curves(self, curves, live):
        for place, colour in ((2, BLUE), (3, VERMILION)):
            if curves:
                epochs, mean, low, high = spread(curves, place)
                self.curves.plot(epochs, mean, color=colour)
                self.curves.fill_between(epochs, low, high, color=colour, alpha=0.25, linewidth=0)
            if live:
                epochs, values, *_ = spread([live], place)
                self.curves.plot(epochs, values, ":o" if place == 3 else ":", color=PURPLE, markersize=3)
        if not (curves or live):
            self.curves.text(0.5, 0.5, caption(NOT_THERE), transform=self.curves.transAxes, ha="center")
        self.curves.set_xlim(0, max((look[0] for curve in (*curves, live) for look in curve), default=1))


def spread(curves, place):
    """Epochs, and what stands at `place` of the looks there: its mean, lowest and highest over the curves.

    Runs that are ended by the clock have looks at other epochs: between two of a curve lies a straight line.
    """
    epochs = [look[0] for look in min(curves, key=len)]
    logs = [np.interp(epochs, [look[0] for look in curve], [np.log(look[place]) for look in curve]) for curve in curves]
    return epochs, *np.exp([np.mean(logs, 0), np.min(logs, 0), np.max(logs, 0)])


def summary(runs):
    """One line of numbers above the curves."""
    if not runs:
        return ""
    best, seconds = [run.best for run in runs], statistics.fmean(run.seconds for run in runs)
    text = "lowest held-out perplexity {low:.1f} to {high:.1f}, {seconds:.1f} s, {run.parameters:,} parameters"
    return caption(text, low=min(best), high=max(best), seconds=seconds, run=runs[0])


def shades(rows):
    """A colour for each number of the rows, one after the other: dark for the lowest, white where there is none."""
    logs = [math.log(number) if math.isfinite(number) else None for row in rows for number in row]
    known = [number for number in logs if number is not None]
    low, high = min(known, default=0), max(known, default=0)
    strength = 0.7 / max(high - low, 1e-9)
    return [tint(BLUE, 0 if number is None else 0.05 + strength * (high - number)) for number in logs]
