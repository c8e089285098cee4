"""The tensor microscope: choose one output, see which inputs it depends on and what the layer really received."""

from course_utils import plots
from course_utils.checks import checked, known_tokens
from course_utils.experiments.layouts import LAYOUTS
from course_utils.experiments.microscope import focus
from course_utils.widgets.lab import Lab, Latest, choice, int_slider

MOST = 8, 10  # sentences and steps: more letters could not be read


class TensorMicroscope(Lab):
    """Choose a layout and one output; below, the inputs that it depends on and the layer's input, also in memory.

    Each picture comes from one call of the reader's function and from autograd, kept as `record`, an
    `experiments.microscope.Focus`. Controls: `way` (a widget's own `layout` is its place on the page), `b`, `t`.

    Args:
        read, X, vocab: as for `experiments.microscope.focus`; X (B, T) has at most 8 sentences of 10 steps, else a
            ValueError says so.
    """

    @checked(known_tokens)
    def __init__(self, read, X, vocab):
        __tracebackhide__ = True
        if not all(size <= most for size, most in zip(X.shape, MOST, strict=True)):
            raise ValueError(
                f"X has the shape {tuple(X.shape)}; the microscope shows (B, T) up to {MOST}: take a part of it, as "
                f"X[:{MOST[0]}, :{MOST[1]}]"
            )
        self.read, self.X, self.vocab = Latest(read), X, vocab
        b, t = X.shape[0] - 1, X.shape[1] - 1
        outputs = {"b": int_slider("b, sentence", b, 0, b), "t": int_slider("t, time", t - 1, 0, t)}
        super().__init__({"way": choice("layout", LAYOUTS), **outputs})

    def draw(self):
        self.record = focus(self.read, self.X, self.vocab, self.way.value, self.b.value, self.t.value)
        return plots.microscope_picture(self.record)
