"""Tokens in their cells: which one lies where, and which ones an output depends on."""

from matplotlib.patches import Rectangle

from course_utils.plots.picture import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, FixedPicture, Picture, tint


def token_grids(grids, sentences):
    """Return a `Picture` of where a batch's tokens lie in each grid: one colour per sentence, darker with time.

    Args:
        grids: title -> integer array (rows, columns); the token at time t of sentence b has the number b * T + t.
        sentences: B strings of T characters each.
    """
    widths, height = [len(grid[0]) + 1 for grid in grids.values()], max(len(grid) for grid in grids.values())
    picture = Picture(0.55 * sum(widths), 0.55 * height + 0.8)
    panels = picture.subplots(1, len(grids), squeeze=False, width_ratios=widths).flat
    palette = (BLUE, ORANGE, GREEN, PURPLE)
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        places = [[divmod(int(number), len(sentences[0])) for number in row] for row in grid]  # (b, t) in each cell
        colours = [[tint(palette[b % 4], 0.25 + 0.55 * t / len(sentences[0])) for b, t in row] for row in places]
        labels = [[f"{sentences[b][t].replace(' ', '␣')}\n{b}, {t}" for b, t in row] for row in places]
        _letter_cells(axes, title, colours, labels)
        axes.set_ylabel("axis 0", loc="top")
        axes.set_xlabel("axis 1", loc="left")
        axes.xaxis.set(label_position="top", ticks_position="top")
        axes.tick_params(length=0)
        axes.set_anchor("N")
        axes.set_ylim(height - 0.5, -0.5)  # one scale in all panels: cells of one size
    return picture


def dependence_grids(gradients, sentences, marked):
    """Return a `Picture` of the inputs that one output depends on: white = exactly no influence, dark = much.

    Args:
        gradients: title -> array (B, T), the size of the output's gradient at each input token.
        sentences: B strings of T characters each.
        marked: (b, t) of the output; a red frame shows its place.
    """
    picture = Picture(7.5, 3.4)
    for number, (title, sizes) in enumerate(gradients.items()):
        axes = picture.add_subplot((len(gradients) + 1) // 2, 2, number + 1)
        largest = max(float(size) for row in sizes for size in row) or 1.0
        colours = [[tint(BLUE, 0.2 + 0.6 * float(s) / largest if s else 0.0) for s in row] for row in sizes]
        labels = [[character.replace(" ", "␣") for character in sentence] for sentence in sentences]
        _letter_cells(axes, title, colours, labels)
        axes.set(xlabel="time", ylabel="sentence")
        corner = (marked[1] - 0.5, marked[0] - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3, clip_on=False))
    return picture


def _letter_cells(axes, title, colours, labels):
    """Draw a grid of coloured cells, each with its text, on axes that count rows and columns."""
    axes.imshow(colours)
    for i, row in enumerate(labels):
        for j, label in enumerate(row):
            axes.text(j, i, label, ha="center", va="center", fontsize=9, family="monospace")
            border = {"fill": False, "edgecolor": GREY, "linewidth": 0.5, "clip_on": False}
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **border))
    axes.set_title(title, fontsize=10)
    axes.set(xticks=range(len(labels[0])), yticks=range(len(labels)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def dependence_maps(maps):
    """Return a `Picture` of which input each output depends on, for batches of different shapes; white = not at all.

    Args:
        maps: title -> boolean array (B, T, B, T): at [b, t, b', t'] whether output (b, t) depends on input (b', t').
    """
    picture = Picture(2.3 * len(maps) + 0.4, 2.7)
    panels = picture.subplots(1, len(maps), squeeze=False)[0]
    for axes, (title, depends) in zip(panels, maps.items(), strict=True):
        num_rows, num_steps = len(depends), len(depends[0])
        total = num_rows * num_steps
        cells = [[tint(BLUE, 0.9 * bool(cell)) for cell in row] for row in depends.reshape(total, total)]
        axes.imshow(cells, extent=(0, total, total, 0))
        for edge in range(num_steps, total, num_steps):
            axes.axhline(edge, color=GREY, linewidth=0.3)
            axes.axvline(edge, color=GREY, linewidth=0.3)
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[], xlabel="input")
    panels[0].set_ylabel("output")
    return picture


def text_windows(windows):
    """Return a `Picture` of a text cut into windows: one row for each string, one cell for each character.

    Args:
        windows: strings; spaces are drawn as an open box.
    """
    width = max(len(window) for window in windows)
    picture = FixedPicture(0.5 + 0.2 * max(width, 20), 0.4 + 0.32 * len(windows))
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.5, max(width, 20)), ylim=(len(windows) - 0.4, -0.6))
    axes.axis("off")
    for row, window in enumerate(windows):
        colour = (SKY, ORANGE)[row % 2]
        axes.add_patch(Rectangle((-0.5, row - 0.4), len(window), 0.8, facecolor=tint(colour, 0.35), edgecolor=colour))
        for column, character in enumerate(window):
            letter = character.replace(" ", "\u2423")
            axes.text(column, row, letter, ha="center", va="center", family="monospace", size=10)
    return picture
