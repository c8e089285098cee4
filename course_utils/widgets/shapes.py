"""The shape explorer: turn a size, see every tensor of a recurrent layer change with it."""

import ipywidgets

from course_utils import plots
from course_utils.checks import checked
from course_utils.experiments.shapes import CELLS, layer_shapes
from course_utils.language import say
from course_utils.models import RNNModel
from course_utils.widgets.lab import WIDE, Lab, Latest, choice, int_slider


class ShapeExplorer(Lab):
    """Sliders over a layer's sizes; below them the layer unrolled, its tensors to scale and the shapes torch returned.

    Each picture comes from a real run of the model, kept as `record`, an `experiments.shapes.LayerShapes`.

    Args:
        model: a class called as `model(rnn_layer, vocab_size)`, with `forward(X, state)` and `begin_state`.
    """

    @checked()
    def __init__(self, model=RNNModel):
        __tracebackhide__ = True
        self.model = Latest(model)
        controls = {
            "num_steps": int_slider("T, num_steps", 5, 1, 40),
            "batch_size": int_slider("B, batch size", 2, 1, 40),
            "vocab_size": int_slider("V, vocabulary", 8, 2, 40),
            "num_hiddens": int_slider("H, hidden units", 4, 1, 256),
            "num_layers": int_slider("layers", 1, 1, 4),
            "cell": choice("cell", list(CELLS)),
            "bidirectional": ipywidgets.Checkbox(False, description=say("bidirectional"), **WIDE),
        }
        super().__init__(controls)

    def draw(self):
        self.record = layer_shapes(self.model, **{name: control.value for name, control in self.controls.items()})
        return plots.shape_picture(self.record)
