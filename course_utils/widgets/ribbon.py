"""The corpus ribbon: see which token of a text lies in which batch, and where every row's state comes from."""

import contextlib
import html
import threading

import ipywidgets

from course_utils import plots
from course_utils.experiments.ribbon import NoBatch, corpus_ribbon
from course_utils.widgets.lab import Lab, choice, int_slider


class CorpusRibbon(Lab):
    """Sliders over the way a text is cut; below them the text as a ribbon, and one batch as the model gets it.

    Each picture comes from a run of the reader's own function. What it shows is kept as `record`, an
    `experiments.ribbon.Ribbon` from `corpus_ribbon`; `plots.ribbon(record, characters)` draws it without the lab.

    Sizes for which the text has no batch leave the picture as it is and put one sentence above it. The batch slider
    always ends at the last batch; where an epoch gets shorter, it moves there.

    Args:
        cuts: name -> cutting function, called as `cut(positions, batch_size, num_steps)`.
        characters: the text, best some 240 characters.
        batch_size, num_steps: the sizes to start with.

    Raises:
        ValueError: the text has no batch of the first sizes, or a function yields something else than batches.
    """

    def __init__(self, cuts, characters, batch_size=4, num_steps=9):
        self.cuts, self.characters = cuts, characters
        self.record = self._moving = None
        super().__init__(
            {
                "sampling": choice("sampling", list(cuts)),
                "batch_size": int_slider("B, batch size", batch_size, 1, 8),
                "num_steps": int_slider("T, num_steps", num_steps, 1, 40),
                "seed": int_slider("epoch (seed)", 0, 0, 20),
                "batch": int_slider("batch", 1, 1, 1),
            }
        )

    def arrange(self):
        """How the text is cut on the left, which of its batches to see on the right; what is wrong with it below."""
        controls = list(self.controls.values())
        return [ipywidgets.HBox([ipywidgets.VBox(controls[:3]), ipywidgets.VBox(controls[3:])]), self.errors]

    def below(self):
        return []

    def draw(self):
        cut, number = self.cuts[self.sampling.value], self.batch.value
        sizes = self.batch_size.value, self.num_steps.value, self.seed.value
        self.record = corpus_ribbon(cut, len(self.characters), *sizes, number)
        self._end_slider_at(self.record.num_batches)
        return plots.ribbon(self.record, self.characters)

    @contextlib.contextmanager
    def guard(self):
        """Sizes without a batch get a sentence, once there is a picture to keep; other errors are shown and raised."""
        with super().guard():
            try:
                yield
            except NoBatch as error:
                if self.record is None:
                    raise
                self.errors.value = f"<p style='color: {plots.VERMILION}'>{html.escape(str(error))}</p>"

    def _end_slider_at(self, num_batches):
        """Move the end of the batch slider, and with it a value beyond; that alone draws no further picture."""
        self._moving = threading.get_ident()
        self.batch.max = num_batches
        self._moving = None

    def _on_change(self, change):
        if self._moving != threading.get_ident():  # else it is the thread that draws already
            super()._on_change(change)
