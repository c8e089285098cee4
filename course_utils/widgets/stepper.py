"""The prediction stepper: write a prefix, let the model go on character by character, and watch what it thinks."""

import html

import ipywidgets
import torch

from course_utils import plots
from course_utils.experiments import stepping
from course_utils.prediction import check_prediction
from course_utils.widgets.lab import Lab, int_slider

RUN_LENGTH = 20  # characters that the run button writes


class PredictionStepper(Lab):
    """Step through a prediction: the next character's distribution, the hidden states, the text and its connectivity.

    A new prefix or seed starts anew; temperature and top k hold for the characters still to be written. A prefix that
    the model cannot read leaves everything as it is and puts one sentence above the picture.

    Args:
        net: any model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`.
        vocab: the vocabulary that the model was trained with.
        device: where the model is.
        prefix: the text to start with.

    Attributes:
        prefix, temperature, top_k, seed, look_back: controls with a `value`.
        step, run, reset: buttons.
        walk, snapshot: the `experiments.stepping` records of the text so far and of the last picture.

    Raises:
        ValueError: the model is bidirectional, or the first prefix is empty or has an unknown character.
    """

    def __init__(self, net, vocab, device, prefix="time traveller"):
        check_prediction(prefix, 0, net, vocab, temperature=0, top_k=None)
        self.net, self.vocab, self.device = net, vocab, device
        self.walk = self.snapshot = self._started_with = self._accepted_prefix = None
        self.generator = torch.Generator()
        self.output = ipywidgets.HTML()
        self.step = self._button("step", "write one character", 1)
        self.run = self._button(f"run {RUN_LENGTH}", f"write {RUN_LENGTH} characters", RUN_LENGTH)
        self.reset = self._button("reset", "go back to the prefix and the seed", None)
        super().__init__(_controls(prefix, len(vocab)))

    def arrange(self):
        """Prefix and buttons, two rows of sliders, the text; what is wrong with a prefix stands near it."""
        rows = (
            [self.prefix, self.step, self.run, self.reset],
            [self.temperature, self.top_k],
            [self.seed, self.look_back],
        )
        return [*(ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows), self.output, self.errors]

    def below(self):
        return []

    @property
    def text(self):
        """The text so far, the prefix first."""
        return "".join(self.vocab.to_tokens(list(self.walk.tokens)))

    def update(self):
        """Draw the picture anew, unless the prefix cannot be read: then say so and leave everything as it is."""
        if self._accepts_prefix():
            super().update()

    def draw(self):
        self._follow_prefix()
        how = self.temperature.value, self.top_k.value, self.look_back.value
        self.snapshot = stepping.snapshot(self.walk, self.net, self.vocab, self.device, *how)
        self.output.value = self._output()
        return plots.prediction_steps(self.snapshot)

    def _accepts_prefix(self):
        """Take over the prefix as it is written now, or say what is wrong with it."""
        prefix = self.prefix.value
        try:
            check_prediction(prefix, 0, self.net, self.vocab, self.temperature.value, self.top_k.value)
        except ValueError as error:
            with self._lock:  # not while a picture is being drawn, which would wipe the sentence away
                self.errors.value = f"<p style='color: {plots.VERMILION}'>{html.escape(str(error))}</p>"
            return False
        self._accepted_prefix = prefix
        return True

    def _follow_prefix(self, anew=False):
        """Start again if the prefix or the seed is another one, or with `anew`."""
        start = self._accepted_prefix, self.seed.value
        if anew or start != self._started_with:
            self.walk = stepping.read(start[0], self.net, self.vocab, self.device)
            self.generator.manual_seed(start[1])
            self._started_with = start

    def _output(self):
        """The whole text as HTML, and whether it has fallen into a loop."""
        length = self.walk.prefix_length
        given, written = html.escape(self.text[:length]), html.escape(self.text[length:])
        loop = plots.loop_sentence(self.snapshot.period) if self.snapshot.period else "no loop at its end"
        text = f"<pre style='white-space: pre-wrap; margin: 0'><b>{given}</b>{written}</pre>"
        return f"{text}{len(self.walk.tokens)} characters, {loop}"

    def _button(self, description, tooltip, count):
        button = ipywidgets.Button(description=description, tooltip=tooltip, layout={"width": "6em"})

        def on_click(_):
            self._write(count)

        button.on_click(on_click)
        return button

    def _write(self, count):
        """Write `count` characters, or go back to the prefix where it is None."""
        if not self._accepts_prefix():
            return
        with self._lock, self.guard():
            self._follow_prefix(anew=count is None)
            for _ in range(count or 0):
                how = self.temperature.value, self.top_k.value, self.generator
                self.walk = stepping.step(self.walk, self.net, self.device, *how)
        self.update()


def _controls(prefix, vocab_size):
    """The controls by name."""
    style, layout = {"description_width": "8em"}, {"width": "28em"}
    controls = {
        "prefix": ipywidgets.Text(prefix, description="prefix", style=style, layout=layout),
        "temperature": ipywidgets.FloatSlider(
            0.0, min=0.0, max=2.0, step=0.1, description="temperature", style=style, layout=layout
        ),
        "top_k": int_slider("top k", vocab_size, 1, vocab_size),
        "seed": int_slider("seed", 0, 0, 99),
        "look_back": int_slider("look back", 0, 0, 30),
    }
    controls["temperature"].tooltip = "0: always the most probable character; above: drawn, the higher the more evenly"
    controls["top_k"].tooltip = "draw only among so many most probable characters"
    controls["look_back"].tooltip = "whose connectivity to show: 0 the next character's, 1 the last one's, ..."
    return controls
