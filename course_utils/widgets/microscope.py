"""The tensor microscope: choose one output, see which inputs it depends on and what the layer really received."""

import ipywidgets

from course_utils import plots
from course_utils.experiments.microscope import focus
from course_utils.widgets.lab import Lab, choice, int_slider

LAYOUTS = ("transpose", "none", "reshape", "batch_first")
MOST = 8, 10  # sentences and steps: more letters could not be read


class TensorMicroscope(Lab):
    """Choose a layout and one output; below, the inputs that it depends on and the layer's input, also in memory.

    Each picture comes from one call of the reader's function and from autograd. What it shows is kept as `record`, an
    `experiments.microscope.Focus`; `plots.microscope(record)` draws it without the lab.

    Args:
        read: called as `read(one_hot, layout)` with one-hot tokens (B, T, V); returns a tensor whose first two axes are
            (B, T), each output in the place of its token.
        X: token indices (B, T), a long tensor of at most 8 sentences of 10 steps.
        vocab: has a length V, and `to_tokens(indices)`.

    Attributes:
        way, b, t: controls with a `value`: the layout (a widget's own `layout` is its place on the page), the sentence
            and the time of the output.

    Raises:
        ValueError: X is no (B, T), or too large to read.
    """

    def __init__(self, read, X, vocab):
        if X.dim() != 2 or not all(1 <= size <= most for size, most in zip(X.shape, MOST, strict=True)):
            raise ValueError(
                f"X has the shape {tuple(X.shape)}; the microscope shows (B, T) up to {MOST}: take a part of it, as "
                f"X[:{MOST[0]}, :{MOST[1]}]"
            )
        self.read, self.X, self.vocab = read, X, vocab
        num_rows, num_steps = X.shape
        super().__init__(
            {
                "way": choice("layout", LAYOUTS),
                "b": int_slider("b, sentence", num_rows - 1, 0, num_rows - 1),
                "t": int_slider("t, time", num_steps - 2, 0, num_steps - 1),  # with a past and a future
            }
        )

    def arrange(self):
        """The layout on the left, the output on the right."""
        return [ipywidgets.HBox([ipywidgets.VBox([self.way]), ipywidgets.VBox([self.b, self.t])])]

    def draw(self):
        self.record = focus(self.read, self.X, self.vocab, self.way.value, self.b.value, self.t.value)
        return plots.microscope(self.record)
