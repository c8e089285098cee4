"""The corpus ribbon: see which token of a text lies in which batch, and where every row's state comes from."""

import threading

from course_utils import plots
from course_utils.checks import NoBatch, checked
from course_utils.experiments.ribbon import corpus_ribbon
from course_utils.rules import functions
from course_utils.widgets.lab import Lab, Latest, choice, int_slider


class CorpusRibbon(Lab):
    """Sliders over the way a text is cut; below them the text as a ribbon, and one batch as the model gets it.

    Each picture comes from a run of the reader's own function, kept as `record`, an `experiments.ribbon.Ribbon`, which
    `plots.ribbon_picture(record, characters)` draws without the lab. The batch slider always ends at the last batch.

    Args:
        cuts: name -> cutting function, called as `cut(positions, batch_size, num_steps)`.
        characters: the text, best some 240 characters.
        batch_size, num_steps: the sizes to start with.
    """

    refusals = (NoBatch,)

    @checked(cuts=functions)
    def __init__(self, cuts, characters, batch_size=4, num_steps=9):
        __tracebackhide__ = True
        self.cuts = {name: Latest(cut) for name, cut in cuts.items()}
        self.characters, self._moving = characters, None
        controls = {"sampling": choice("sampling", list(cuts))}
        controls["batch_size"] = int_slider("B, batch size", batch_size, 1, 8)
        controls["num_steps"] = int_slider("T, num_steps", num_steps, 1, 40)
        controls |= {"seed": int_slider("epoch (seed)", 0, 0, 20), "batch": int_slider("batch", 1, 1, 1)}
        super().__init__(controls)

    def draw(self):
        cut, number = self.cuts[self.sampling.value].now(), self.batch.value
        sizes = self.batch_size.value, self.num_steps.value, self.seed.value
        self.record = corpus_ribbon(cut, len(self.characters), *sizes, number)
        self._moving = threading.get_ident()
        self.batch.max = self.record.num_batches  # takes a value beyond it along
        self._moving = None
        return plots.ribbon_picture(self.record, self.characters)

    def _on_change(self, change):
        if self._moving != threading.get_ident():  # else it is the thread that draws already
            super()._on_change(change)
