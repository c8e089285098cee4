"""What all figures share: the picture that shows itself in a notebook, the colours, and small helpers."""

import io

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
INK, FAINT = "#222222", "#666666"
LAYER_COLOURS = (SKY, GREEN, YELLOW, BLUE)
SHIFT = 0.4  # a step along a tensor's first axis is drawn this many numbers to the right and down


class Picture(Figure):
    """A matplotlib figure that shows itself as PNG in a notebook, with no backend behind it."""

    def __init__(self, width=6.5, height=3.6):
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")

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
        Figure.__init__(self, figsize=(width, height), dpi=100)
