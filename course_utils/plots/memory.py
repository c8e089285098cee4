"""Question 8: gradients by lag, recall, clipping and the cost of history."""

from matplotlib.patches import Rectangle

from course_utils.plots.picture import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    FixedPicture,
    Picture,
    tint,
)


def gradient_decays(records, guess=None):
    """Return a `Picture` of the gradient at lag k over that at lag 0, with its spread, and theory's as a dashed line.

    Args:
        records: `experiments.memory.GradientDecay`s, at most seven.
        guess: what the reader thinks is left after the book's 35 steps, or None.
    """
    picture = Picture(8, 4)
    axes = picture.add_subplot()
    for record, colour in zip(records, (BLUE, VERMILION, GREEN, ORANGE, SKY, INK, YELLOW), strict=False):
        lags = range(len(record.ratios))
        axes.plot(lags, record.ratios, color=colour, label=f"{record.arm}, H = {record.num_hiddens}")
        axes.fill_between(lags, record.lowest, record.highest, color=colour, alpha=0.2, linewidth=0)
        if record.expected is not None:
            axes.plot(lags, record.expected, "--", color=colour, linewidth=1)
    axes.plot([], [], "--", color=GREY, linewidth=1, label="theory")
    axes.axvline(35, color=GREY, linestyle=":")
    axes.annotate(" 35 steps", (35, 0.01), xycoords=("data", "axes fraction"), color=GREY)
    if guess is not None:
        axes.plot(35, guess, "*", markersize=12, color=PURPLE, zorder=3)
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        axes.annotate("your guess", (35, guess), (10, 4), textcoords="offset points", color=PURPLE, bbox=box)
    axes.set(xlabel="steps back in time", ylabel="share of the gradient left", yscale="log")
    axes.margins(x=0)
    picture.legend(loc="outside right center", frameon=False)
    return picture


def recalls(records, guess=None):
    """Return a `Picture` of who still knows the first symbol: a row for each model, a column for each gap.

    Args:
        records: `experiments.memory.Recall`s; places without a record stay empty.
        guess: the arm that the reader trusts most, or None.
    """
    rows = list(dict.fromkeys((record.arm, record.num_hiddens) for record in records))
    gaps = sorted({record.gap for record in records})
    picture = Picture(2.6 + 1.3 * len(gaps), 1.1 + 0.42 * len(rows))
    axes = picture.add_subplot()
    for record in records:
        x, y = gaps.index(record.gap), rows.index((record.arm, record.num_hiddens))
        better = (record.accuracy - record.chance) / (1 - record.chance)
        axes.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, color=tint(BLUE, 0.1 + 0.6 * max(0, better))))
        axes.text(x, y, f"{record.accuracy:.0%}", ha="center", va="center")
    for y, (arm, _) in enumerate(rows):
        if arm == guess:
            axes.text(len(gaps) - 0.4, y, "your guess", va="center", color=PURPLE)
    axes.set_xticks(range(len(gaps)), gaps)
    axes.set_yticks(range(len(rows)), [f"{arm}, H = {num_hiddens}" for arm, num_hiddens in rows])
    axes.set(xlabel=f"symbols in between (chance: {records[0].chance:.0%})", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(-0.5, len(gaps) - 0.5 + 0.9 * (guess in [arm for arm, _ in rows]))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture


def clippings(records):
    """Return a `Picture` of trainings with and without clipping: the loss, and the gradient's norm before clipping.

    Args:
        records: `experiments.memory.Clipping`s; values that are not finite are left out.
    """
    picture = Picture(8.5, 3.2)
    left, right = picture.subplots(1, 2)
    for record, colour in zip(records, (BLUE, VERMILION, GREEN, ORANGE), strict=False):
        limit = "no clipping" if record.max_norm is None else f"clipped at {record.max_norm:g}"
        left.plot(record.losses, color=colour, linewidth=1)
        right.plot(record.norms_before, color=colour, linewidth=1, label=f"{record.arm}, {limit}")
        if record.max_norm is not None:
            right.axhline(record.max_norm, color=colour, linestyle=":")
    left.set(title="loss", ylim=(0, None))
    right.set(title="length of the gradient before clipping", yscale="log")
    for axes in (left, right):
        axes.set_xlabel("update")
        axes.spines[["top", "right"]].set_visible(False)
    picture.legend(loc="outside lower center", ncols=2, frameon=False)
    return picture


def history_costs(records):
    """Return a `Picture` of what backward costs from window to window, with and without `detach`.

    Args:
        records: `experiments.memory.HistoryCost`s.
    """
    picture = Picture(8.5, 3)
    left, right = picture.subplots(1, 2)
    for detached, colour, name in ((True, BLUE, "detached"), (False, VERMILION, "not detached")):
        chosen = [record for record in records if record.detached == detached]
        windows = [record.window for record in chosen]
        left.plot(windows, [record.nodes for record in chosen], "o-", color=colour, label=name)
        right.plot(windows, [1000 * record.seconds for record in chosen], "o-", color=colour, label=name)
    left.set_title("nodes of autograd's graph")
    right.set_title("milliseconds of one backward")
    for axes in (left, right):
        axes.set(xlabel="window", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    return picture


def telescope(sight):
    """Return a `Picture` of a layer's gradient at lag k over that at lag 0, on a log axis that never moves.

    Args:
        sight: a `widgets.telescope.Sight`; values that are 0 or beyond the axis are left out.
    """
    picture = FixedPicture(8, 4)
    axes = picture.add_axes((0.105, 0.13, 0.875, 0.72))
    lag = min(35, len(sight.ratios) - 1)
    axes.axhline(1, color=GREY, linewidth=0.5)
    axes.axvline(35, color=GREY, linestyle=":")
    label = f"measured: times {sight.factor:.2f} a step"
    axes.plot(sight.ratios, color=BLUE, linewidth=2, label=label)
    if sight.expected is not None:
        label = f"theory: times {sight.expected_factor:.2f} a step"
        axes.plot(sight.expected, "--", color=VERMILION, label=label)
    axes.plot(lag, sight.ratios[lag], "o", color=BLUE)
    axes.set(xlabel="steps back in time", ylabel="share of the gradient left", yscale="log")
    axes.set(xlim=(0, len(sight.ratios) - 1), ylim=(1e-15, 1e6))
    powers = dict(zip(range(-15, 7, 3), ("10⁻¹⁵", "10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1", "10³", "10⁶"), strict=True))
    axes.set_yticks([10.0**power for power in powers], powers.values())  # twice as fast as matplotlib's own formulas
    axes.minorticks_off()
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower left", frameon=False, title=None if sight.expected else "no theory for these settings")
    left = f"{sight.ratios[lag]:.1g}"
    axes.set_title(f"{_sight_name(sight)}\nleft after {lag} steps: {left}", loc="left", fontsize=10)
    return picture


def _sight_name(sight):
    """A layer and its weights in words, such as: LSTM, H = 64, forget bias 1."""
    weights = ["orthogonal weights"] * sight.orthogonal + [f"weights times {sight.scale:.1f}"] * (sight.scale != 1)
    gates = [f"forget bias {sight.forget_bias:g}"] * (sight.cell == "LSTM")
    return ", ".join([sight.cell, f"H = {sight.num_hiddens}", *(weights or ["torch's weights"]), *gates])
