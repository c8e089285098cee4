"""The telescope's figure: how much of the gradient is left, lag by lag."""

from course_utils.plots.fonts import caption
from course_utils.plots.picture import BLUE, GREY, VERMILION, FixedPicture

POWERS = dict(zip(range(-15, 7, 3), ("10⁻¹⁵", "10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1", "10³", "10⁶"), strict=True))


def telescope_picture(sight):
    """Return a `Picture` of a layer's gradient at lag k over that at lag 0, on a log axis that never moves.

    `sight` is an `experiments.telescope.Sight`; values that are 0 or beyond the axis are left out.
    """
    picture = FixedPicture(8, 4)
    axes = picture.add_axes((0.105, 0.13, 0.875, 0.72))
    ratios = sight.ratios
    lag = min(35, len(ratios) - 1)
    axes.axhline(1, color=GREY, linewidth=0.5)
    axes.axvline(35, color=GREY, linestyle=":")
    axes.plot(ratios, color=BLUE, linewidth=2, label=caption("measured: times {sight.factor:.2f} a step", sight=sight))
    if sight.expected is not None:
        theory = caption("theory: times {sight.expected_factor:.2f} a step", sight=sight)
        axes.plot(sight.expected, "--", color=VERMILION, label=theory)
    axes.plot(lag, ratios[lag], "o", color=BLUE)
    axes.set(xlabel=caption("steps back in time"), ylabel=caption("share of the gradient left"), yscale="log")
    axes.set(xlim=(0, len(ratios) - 1), ylim=(1e-15, 1e6))
    axes.set_yticks([10.0**power for power in POWERS], POWERS.values())  # twice as fast as matplotlib's own formulas
    axes.minorticks_off()
    axes.xaxis.get_major_locator().set_params(integer=True)
    fit = caption("fitted over lags 0 to {lag}", lag=lag)
    fit += "" if sight.expected else caption("; no theory for these settings")
    axes.legend(loc="lower left", frameon=False, title=fit, alignment="left")
    left = caption("left after {lag} steps: {share:.2g}", lag=lag, share=ratios[lag])
    layer = caption(", ").join(caption(words, n=number) for words, number in sight.layer)
    axes.set_title(f"{layer}\n{left}", loc="left", fontsize=10)
    return picture
