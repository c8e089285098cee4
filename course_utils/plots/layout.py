"""Questions 2, 3, 4 and 6: layouts, losses, batch shapes and sizes."""

import math

from matplotlib.ticker import NullFormatter

from course_utils.plots.picture import BLUE, GREY, INK, ORANGE, PURPLE, VERMILION, Picture, guess_line, labelled_bars

ARM_NAMES = {
    "transpose": "transposed, as in the book",
    "batch_first": "batch_first=True",
    "none": "no transpose at all",
    "reshape": "reshape instead",
    "untransposed labels": "labels not transposed",
}


def layout_runs(records, guess=None):
    """Return a `Picture` of what a mistake with the axes costs, a bar for each way of training.

    Args:
        records: `experiments.layout.LayoutRun`s of one text.
        guess: the reader's guess of the held-out perplexity without the transpose, or None.
    """
    picture = Picture(7.5, 2.8)
    axes = picture.add_subplot()
    perplexities = [record.held_out_perplexity for record in records]
    labelled_bars(axes, [ARM_NAMES[record.arm] for record in records], perplexities, "{:.1f}")
    for name in ("bigram", "unigram"):
        value = getattr(records[0], name)
        axes.axvline(value, color=GREY, linestyle=":")
        axes.annotate(f"{name} {value:.1f} ", (value, 1), xycoords=("data", "axes fraction"), ha="right", va="bottom",
                      fontsize=8, color=GREY)  # fmt: skip
    axes.set(xlabel="held-out perplexity", xlim=(0, 1.15 * max(*perplexities, records[0].unigram, guess or 0)))
    guess_line(axes, guess)
    return picture


def loss_ways(records, guess=None):
    """Return a `Picture` of how long each way to a batch's loss takes, with the loss that it finds.

    Args:
        records: `experiments.layout.LossWay`s; a loss that is not the first one's is written in red, without a bar.
        guess: the reader's guess of the longest way's ratio to the first one, or None.
    """
    picture = Picture(7.5, 2.5)
    axes = picture.add_subplot()
    wrong = [record.difference > 1e-4 for record in records]
    ratios = [math.nan if off else record.ratio for off, record in zip(wrong, records, strict=True)]
    labelled_bars(axes, [record.way for record in records], ratios, "{:,.0f} ×")
    for number, record in enumerate(records):
        colour = VERMILION if wrong[number] else INK
        axes.annotate(f"loss {record.loss:.4f}", (1.02, number), xycoords=("axes fraction", "data"), va="center",
                      color=colour, annotation_clip=False)  # fmt: skip
    longest = max(guess or 0, *(record.ratio for record in records))
    axes.set(xlabel="time, as a multiple of one call", xscale="log", xlim=(0.5, 4 * longest))
    guess_line(axes, guess)
    return picture


def batch_against_time(records, baselines, guess=None):
    """Return a `Picture` of speed and quality for the same number of tokens per update, cut in different shapes.

    Args:
        records: `experiments.layout.BatchShape`s.
        baselines: name -> held-out perplexity of a simple model, drawn as a dotted line.
        guess: the shape that the reader takes for the worst, such as "32 × 35" (rows × steps), or None.
    """
    picture = Picture(8.5, 3.2)
    speed, quality = picture.subplots(1, 2)
    places, names = range(len(records)), [f"{record.batch_size} × {record.num_steps}" for record in records]
    speed.plot(places, [record.tokens_per_second for record in records], "o-", color=BLUE)
    speed.set(ylabel="tokens per second", yscale="log")
    quality.plot(places, [record.held_out_perplexity for record in records], "o-", color=VERMILION)
    for name, value in baselines.items():
        quality.axhline(value, color=GREY, linestyle=":")
        quality.annotate(f"{name} {value:.1f}", (0, value), va="bottom", fontsize=8, color=GREY)
    if guess in names:
        place = names.index(guess)
        quality.axvline(place, color=PURPLE, linestyle="--")
        side = "left" if place < len(names) / 2 else "right"
        quality.annotate(" your guess ", (place, 0.02), xycoords=("data", "axes fraction"), ha=side, color=PURPLE)
    quality.set_ylabel("held-out perplexity")
    for axes in (speed, quality):
        axes.set_xticks(places, names, fontsize=8)
        axes.set_xlabel("rows × steps")
        axes.margins(x=0.1, y=0.15)
    return picture


def steps_against_layers(sizes, graphs, guess=None):
    """Return a `Picture` of what grows with the number of time steps: parameters do not, autograd's graph does.

    Args:
        sizes: `experiments.layout.Size`s for several numbers of layers and steps.
        graphs: `experiments.layout.UnrolledGraph`s for several numbers of steps.
        guess: the reader's guess of how many times as many parameters the most steps need, or None.
    """
    picture = Picture(8.5, 3.2)
    left, right = picture.subplots(1, 2)
    for depth in sorted({size.num_layers for size in sizes}):
        chosen = [size for size in sizes if size.num_layers == depth]
        left.plot([size.num_steps for size in chosen], [size.parameters for size in chosen], "o-", color=BLUE)
        label = f"  {depth} layer{'s' * (depth > 1)}: {chosen[0].parameters:,}"
        left.annotate(label, (1, chosen[0].parameters), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    if guess is not None:
        one = [size for size in sizes if size.num_layers == 1]
        steps, guessed = [one[0].num_steps, one[-1].num_steps], [one[0].parameters, guess * one[0].parameters]
        left.plot(steps, guessed, "--", marker="*", color=PURPLE)
        left.annotate("your guess", (steps[-1], guessed[-1]), (0, 6), textcoords="offset points", ha="right",
                      color=PURPLE)  # fmt: skip
    left.set(title="parameters of the layer", ylim=(3e4, max(1e6, 3e5 * (guess or 0))))
    names = {"nodes": "nodes of the graph", "uses": "uses of $W_{hh}$", "weight_tensors": "weight tensors"}
    for (field, name), colour in zip(names.items(), (GREY, ORANGE, BLUE), strict=True):
        right.plot([g.num_steps for g in graphs], [getattr(g, field) for g in graphs], "o-", color=colour, label=name)
    right.set(title="the unrolled loop in autograd")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="time steps T")
        axes.yaxis.set_minor_formatter(NullFormatter())
    return picture
