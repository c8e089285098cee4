"""Tokens in their cells: which one lies where, and which ones an output depends on."""

from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from course_utils.plots.fonts import PLACEHOLDER, SENTENCE, caption, drawable, families, visible
from course_utils.plots.picture import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, FixedPicture, Picture, tint

PALETTE = (BLUE, ORANGE, GREEN, PURPLE)  # of the sentences


def token_grids(grids, sentences):
    """Return a `Picture` of where a batch's tokens lie in each grid: one colour per sentence, darker with time.

    Args:
        grids: title -> integer array (rows, columns); the token at time t of sentence b has the number b * T + t.
        sentences: B strings of T characters each.
    """
    num_steps, height = len(sentences[0]), max(len(grid) for grid in grids.values())
    widths = [len(grid[0]) + 1 for grid in grids.values()]
    picture = Picture(0.55 * sum(widths), 0.55 * height + 0.8)
    panels = picture.subplots(1, len(grids), squeeze=False, width_ratios=widths)[0]
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        places = [[divmod(int(number), num_steps) for number in row] for row in grid]  # (b, t) in each cell
        colours = [[tint(PALETTE[b % 4], 0.25 + 0.55 * t / num_steps) for b, t in row] for row in places]
        draw_cells(axes, colours, [[f"{sentences[b][t]}\n{b},{t}" for b, t in row] for row in places], title)
        axes.set_ylabel(caption("axis 0"), loc="top")
        axes.set_xlabel(caption("axis 1"), loc="left")
        axes.xaxis.set(label_position="top", ticks_position="top")
        axes.set(anchor="N", yticks=range(len(grid)), ylim=(height - 0.5, -0.5))  # in all panels cells of one size
    return picture


def dependence_grids(gradients, sentences, marked):
    """Return a `Picture` of the inputs that one output depends on: white = exactly no influence, dark = much.

    Args:
        gradients: title -> array (B, T), the size of the output's gradient at each input token.
        sentences: B strings of T characters each.
        marked: (b, t) of the output; a frame shows its place.
    """
    picture = Picture(7.5, 3.4)
    for number, (title, sizes) in enumerate(gradients.items()):
        axes = picture.add_subplot((len(gradients) + 1) // 2, 2, number + 1)
        largest = max(float(size) for row in sizes for size in row) or 1.0
        colours = [[tint(BLUE, 0.2 + 0.6 * float(s) / largest if s else 0.0) for s in row] for row in sizes]
        draw_cells(axes, colours, sentences, title, marked)
        axes.set(xlabel=caption("time"), ylabel=caption("sentence"))
    return picture


def dependence_maps(maps):
    """Return a `Picture` of which input each output depends on, for batches of different shapes; white = not at all.

    `maps`: title -> boolean array (B, T, B, T): at [b, t, b', t'] whether output (b, t) depends on input (b', t').
    """
    picture = Picture(2.3 * len(maps) + 0.4, 2.7)
    panels = picture.subplots(1, len(maps), squeeze=False)[0]
    for axes, (title, depends) in zip(panels, maps.items(), strict=True):
        num_steps, total = len(depends[0]), len(depends) * len(depends[0])
        cells = [[tint(BLUE, 0.9 * bool(cell)) for cell in row] for row in depends.reshape(total, total)]
        axes.imshow(cells, extent=(0, total, total, 0))
        for edge in range(num_steps, total, num_steps):
            axes.axhline(edge, color=GREY, linewidth=0.3)
            axes.axvline(edge, color=GREY, linewidth=0.3)
        axes.set_title(caption(title), fontsize=10)
        axes.set(xticks=[], yticks=[], xlabel=caption("input"))
    panels[0].set_ylabel(caption("output"))
    return picture


def text_windows(windows):
    """Return a `Picture` of a text cut into windows: one row for each string, one cell for each character."""
    width = max(20, *map(len, windows))
    picture = FixedPicture(0.5 + 0.2 * width, 0.4 + 0.3 * len(windows))
    axes = picture.add_axes((0, 0, 1, 1))
    draw_cells(axes, [[tint((SKY, ORANGE)[i % 2], 0.35)] * len(row) for i, row in enumerate(windows)], windows)
    axes.set(aspect="auto", xlim=(-1.5, width), ylim=(len(windows) - 0.1, -0.9))
    axes.set_axis_off()
    return picture


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
                axes.figure.supxlabel(caption(SENTENCE), fontsize=8)
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
    axes.set_title(caption(title), fontsize=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
