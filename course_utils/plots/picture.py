"""What all figures share: the picture that shows itself in a notebook, the colours, and small helpers."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave

from course_utils.plots.fonts import use_fonts

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#737373",
)  # fmt: skip
INK, FAINT = "#222222", "#666666"
LAYER_COLOURS = (SKY, GREEN, YELLOW, BLUE)
SHIFT = 0.4  # a step along a tensor's first axis is drawn this many numbers to the right and down


class Picture(Figure):
    """A matplotlib figure that shows itself as PNG in a notebook, with no backend behind it."""

    def __init__(self, width=6.5, height=3.6, layout="constrained"):
        use_fonts()
        super().__init__(figsize=(width, height), dpi=100, layout=layout)

    def png(self, dpi=100):
        """The picture as PNG bytes; more dots per inch make it larger."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_type": 0})  # a fifth smaller than the default
        return buffer.getvalue()

    def _repr_png_(self):
        return self.png()


def tint(colour, strength):
    """Mix a colour with white: strength 0 is white, 1 the colour itself."""
    return [1 - strength * (1 - channel) for channel in to_rgb(colour)]


class FixedPicture(Picture):
    """A picture whose axes stand at fixed places: without a layout pass it is drawn in half the time."""

    def __init__(self, width, height):
        super().__init__(width, height, layout=None)


class QuickPicture(FixedPicture):
    """A picture in which only some artists move: those are drawn over a kept background, in a fraction of the time.

    Blitting, as matplotlib's guide to animations has it. An artist moves if it is `animated`; it is in saved pictures
    too. Where an axis or `key` has changed, the background is drawn anew.
    """

    def __init__(self, width, height):
        super().__init__(width, height)
        self.canvas, self.key, self._background = FigureCanvasAgg(self), None, None

    def quick_png(self):
        """The picture as PNG bytes, with 100 dots per inch."""
        state = self.key, [axes.viewLim.extents.tolist() for axes in self.axes]
        if self._background is None or self._background[0] != state:
            self.canvas.draw()
            self._background = state, self.canvas.copy_from_bbox(self.bbox)
        self.canvas.restore_region(self._background[1])
        for axes in self.axes:
            for artist in sorted(axes.get_children(), key=lambda artist: artist.zorder):
                if artist.get_animated():
                    axes.draw_artist(artist)
        buffer = io.BytesIO()
        imsave(buffer, self.canvas.buffer_rgba(), format="png", pil_kwargs={"compress_level": 1})
        return buffer.getvalue()
