"""The gradient telescope: how far back in time a fresh recurrent layer can still learn from."""

import ipywidgets

from course_utils import plots
from course_utils.checks import checked
from course_utils.experiments.shapes import CELLS
from course_utils.experiments.telescope import plain_layer, sight
from course_utils.language import say
from course_utils.widgets.lab import WIDE, Lab, Latest, choice, int_slider


class GradientTelescope(Lab):
    """Sliders over a recurrent layer's weights; below them how much of the gradient is left, step by step back in time.

    Each picture comes from a fresh layer and one backward pass, kept as `record`, an `experiments.telescope.Sight`.

    Args:
        build: the reader's own function that builds a layer, called as `build(cell, input_size, num_hiddens)`.
    """

    @checked()
    def __init__(self, build=plain_layer):
        __tracebackhide__ = True
        self.build = Latest(build)
        controls = {
            "cell": choice("cell", list(CELLS)),
            "num_hiddens": int_slider("H, hidden units", 64, 8, 256, 8),
            "num_lags": int_slider("steps back", 61, 11, 121, 10),
            "seed": int_slider("seed", 0, 0, 20),
            "scale": _number_slider("scale of W_hh", 1.0, 0.4, 4.0, 0.1),
            "orthogonal": ipywidgets.Checkbox(False, description=say("orthogonal W_hh"), **WIDE),
            "forget_bias": _number_slider("forget bias", 0.0, -2.0, 6.0, 0.5),
        }
        super().__init__(controls)

    def draw(self):
        settings = {name: control.value for name, control in self.controls.items()}
        self.forget_bias.disabled = self.cell.value != "LSTM"
        if self.forget_bias.disabled:
            del settings["forget_bias"]
        self.record = sight(build=self.build, draws=1, batch_size=8, **settings)
        return plots.telescope_picture(self.record)


def _number_slider(description, value, low, high, step):
    limits = {"min": low, "max": high, "step": step, "readout_format": ".1f"}
    return ipywidgets.FloatSlider(value, description=say(description), **limits, **WIDE)
