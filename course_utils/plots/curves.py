"""Training curves, live and finished."""

import math

from matplotlib.ticker import NullFormatter, ScalarFormatter

from course_utils.plots.fonts import caption, families
from course_utils.plots.picture import BLUE, GREY, VERMILION, QuickPicture
from course_utils.plots.series import draw_marks


class TrainingCurves:
    """Training and held-out perplexity by epoch, with the baselines as horizontal lines; redrawn in place.

    Args:
        baselines: name -> held-out perplexity of a simple model, drawn as a dotted line.
        last_epoch: where the epoch axis ends.
    """

    def __init__(self, baselines, last_epoch):
        self.picture = QuickPicture(6.5, 3.6)  # fixed margins: nothing jumps, and drawing takes two thirds of the time
        axes = self.axes = self.picture.add_axes((0.09, 0.14, 0.88, 0.78))
        moving = {"animated": True}  # drawn over the rest
        names = caption("training text"), caption("held-out text")
        (self.training,) = axes.plot([], [], color=BLUE, label=names[0], **moving)
        (self.held_out,) = axes.plot([], [], "o-", color=VERMILION, markersize=3, label=names[1], **moving)
        draw_marks(axes, baselines, {})
        axes.set(xlabel=caption("epoch"), ylabel=caption("perplexity"), yscale="log", xlim=(0, max(last_epoch, 1)))
        axes.set_yticks([1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000])
        axes.set_ylim(1, 40)  # after the ticks, which would widen it
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower left", frameon=False)
        self.title = axes.set_title("", fontsize=8, loc="left", family="monospace", **moving)

    def draw(self, history, title=""):
        """Show the records of `history` (with epoch, perplexity and held_out_perplexity) and return the picture."""
        training, held_out = points(history, "perplexity"), points(history, "held_out_perplexity")
        self.training.set_data(*training)
        self.held_out.set_data(*held_out)
        self.axes.set_ylim(1, top(training[1] + held_out[1]))
        self.title.set(text=title, family=families(title, "monospace"))
        return self.picture


def points(records, field):
    """Epochs and perplexities of the epochs that have one."""
    having = [record for record in records if getattr(record, field) is not None]
    return [record.epoch for record in having], [getattr(record, field) for record in having]


def top(values):
    """The end of the perplexity axis: 40, 120, 360 or 1,080, so that it seldom moves; curves may leave the picture."""
    highest = max(filter(math.isfinite, values), default=1)  # a model that diverges may be infinitely surprised
    return next((limit for limit in (40.0, 120.0, 360.0) if 1.1 * highest <= limit), 1080.0)


class RunCurves(TrainingCurves):
    """The curves of one training run over those of earlier runs in grey, each of these labelled at its end."""

    def __init__(self, baselines):
        super().__init__(baselines, last_epoch=1)
        self.ghosts = []
        self.axes.set_position((0.09, 0.14, 0.83, 0.78))  # the labels of the runs stand in the margin on the right
        self.axes.xaxis.get_major_locator().set_params(integer=True)
        self.hint = self.axes.text(0.5, 0.6, "", ha="center", color=GREY, parse_math=False)
        self.hint.set_transform(self.axes.transAxes)

    def draw(self, history, title="", earlier=(), last_epoch=1, hint=""):
        """Show the records of `history` over those of earlier runs, pairs (label, history), and return the picture.

        The hint stands in the middle; without one, an empty picture says what to do.
        """
        super().draw(history, title)
        self.hint.set_text(hint or ("" if history or earlier else caption("press Start: the curves grow here")))
        for artist in self.ghosts:
            artist.remove()
        self.ghosts, unseen = [], []
        for _, records in earlier:
            solid, dashed = points(records, "perplexity"), points(records, "held_out_perplexity")
            self.ghosts += self.axes.plot(*solid, "-", *dashed, "--", color=GREY, alpha=0.6, zorder=1)
            unseen += dashed[1]
        self.axes.set_ylim(1, max(self.axes.get_ylim()[1], top(unseen)))
        self.axes.set_xlim(0, max(last_epoch, 1))
        self.ghosts += self._labels(earlier)
        return self.picture

    def _labels(self, earlier):
        """Name each earlier run behind its curve's end, 10 points below the name above where it would hide it."""
        style = {"fontsize": 8, "color": GREY, "va": "center", "textcoords": "offset points"}
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        ends = []  # of the held-out curve, or of the other one where there is none
        for label, records in earlier:
            curves = points(records, "held_out_perplexity"), points(records, "perplexity")
            ends += [(values[-1], epochs[-1], label) for epochs, values in curves if values][:1]
        labels, free, limit = [], math.inf, self.axes.get_ylim()[1]
        for perplexity, epoch, label in sorted(ends, reverse=True):
            place = epoch, min(perplexity, limit)
            height = self.axes.transData.transform(place)[1] * 72 / self.picture.dpi
            free = min(height, free - 10)
            labels.append(self.axes.annotate(label, place, (4, free - height), **style))
        return labels
