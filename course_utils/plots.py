"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

import io
import math

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip


class Picture(Figure):
    """A matplotlib figure that shows itself as PNG in a notebook, with no backend behind it."""

    def __init__(self, width=6.5, height=3.6):
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")

    def png(self):
        """The picture as PNG bytes."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _repr_png_(self):
        return self.png()


class TrainingCurves:
    """Training and held-out perplexity by epoch, with the baselines as horizontal lines; redrawn in place.

    Args:
        baselines: name -> held-out perplexity of a simple model, drawn as a dotted line.
        last_epoch: where the epoch axis ends.
    """

    def __init__(self, baselines, last_epoch):
        self.picture = Picture()
        axes = self.axes = self.picture.add_subplot()
        (self.training,) = axes.plot([], [], color=BLUE, label="training text")
        (self.held_out,) = axes.plot([], [], color=VERMILION, marker="o", markersize=3, label="held-out text")
        for name, perplexity in baselines.items():
            axes.axhline(perplexity, color=GREY, linestyle=":", linewidth=1)
            axes.annotate(f"{name} {perplexity:.1f}", (1, perplexity), xycoords=("axes fraction", "data"), ha="right",
                          va="bottom", fontsize=8, color=GREY)  # fmt: skip
        axes.set(xlabel="epoch", ylabel="perplexity", yscale="log", xlim=(0, max(last_epoch, 1)), ylim=(1, 40))
        axes.set_yticks([1, 2, 3, 5, 10, 20, 30])
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower left", frameon=False)

    def draw(self, history, title=""):
        """Show the records of `history` (with epoch, perplexity and held_out_perplexity) and return the picture."""
        looked = [record for record in history if record.held_out_perplexity is not None]
        self.training.set_data([r.epoch for r in history], [r.perplexity for r in history])
        self.held_out.set_data([r.epoch for r in looked], [r.held_out_perplexity for r in looked])
        values = [r.perplexity for r in history] + [r.held_out_perplexity for r in looked]
        highest = max(filter(math.isfinite, values), default=0)  # a model that diverges may be infinitely surprised
        self.axes.set_ylim(1, max(40, 1.2 * highest))
        self.axes.set_title(title, fontsize=9, loc="left", family="monospace")
        return self.picture


def training_curves(history, baselines, title=""):
    """Return a `Picture` of a finished training: the plain-function twin of the live plot."""
    return TrainingCurves(baselines, history[-1].epoch if history else 1).draw(history, title)
