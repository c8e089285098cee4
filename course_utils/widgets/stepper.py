"""The prediction stepper: write a prefix, let the model go on character by character, and watch what it thinks."""

import html

import ipywidgets
import torch

from course_utils import plots, prediction
from course_utils.checks import checked, same_device
from course_utils.experiments import stepper
from course_utils.language import say
from course_utils.loaders import opening
from course_utils.plots.stepper import loop_words
from course_utils.rules import optional, string
from course_utils.widgets.lab import WIDE, Lab, Latest, int_slider

RUN_LENGTH = 20  # characters that the run button writes


class PredictionStepper(Lab):
    """Step through a prediction: the next character's distribution, the hidden states, the text and its connectivity.

    A new prefix or seed starts anew; temperature and top k hold for the characters still to be written. A prefix that
    the model cannot read leaves everything as it is and puts one sentence above the picture.

    Args:
        net: any model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`; it is only
            read, and may be trained while the lab is open.
        choose, distribution: the functions that pick a character and that show what it is drawn from; a cell that
            defines them anew counts from the next step on.

    Attributes:
        prefix, temperature, top_k, seed, look_back: controls with a `value`.
        step, run, reset: buttons.
        walk, snapshot: the `experiments.stepper` records of the text so far and of the last picture.

    Raises:
        ValueError: the model is bidirectional, or the first prefix is empty or has an unknown character.
    """

    refusals = (stepper.Unreadable,)

    @checked(same_device, prefix=optional(string))
    def __init__(self, net, vocab, device, prefix=None, choose=prediction.choose,
                 distribution=prediction.distribution):  # fmt: skip
        __tracebackhide__ = True
        self.net, self.vocab, self.device = net, vocab, device
        self.choose, self.distribution = Latest(choose), Latest(distribution)
        self.walk = self.snapshot = self._started_with = None
        self.generator, self.output = torch.Generator(), ipywidgets.HTML()
        self.step = self._button(say("step", "button"), say("write one character"), 1)
        self.run = self._button(say("run {n}", n=RUN_LENGTH), say("write {n} characters", n=RUN_LENGTH), RUN_LENGTH)
        self.reset = self._button(say("reset", "button"), say("go back to the prefix and the seed"), None)
        super().__init__(_controls(opening(vocab) if prefix is None else prefix, len(vocab)))

    def arrange(self):
        """The controls, the buttons and the text; what is wrong with a prefix stands below it."""
        controls, errors = super().arrange()
        controls.children += (ipywidgets.HBox([self.step, self.run, self.reset]),)
        return [controls, self.output, errors]

    @property
    def text(self):
        """The text so far, the prefix first."""
        return self._written(self.walk.tokens)

    def _written(self, tokens):
        return getattr(self.vocab, "join", "".join)(self.vocab.to_tokens(list(tokens)))

    def draw(self):
        self._follow_controls()
        how = self.temperature.value, self.top_k.value, self.look_back.value, self.distribution
        self.snapshot = stepper.snapshot(self.walk, self.net, self.vocab, self.device, *how)
        length = len(self._written(self.walk.tokens[: self.walk.prefix_length]))
        given, written = html.escape(self.text[:length]), html.escape(self.text[length:])
        text = f"<pre style='white-space: pre-wrap; margin: 0'><b>{given}</b>{written}</pre>"
        count, words = len(self.walk.tokens), self.snapshot.unit == "word"
        loop = loop_words(self.snapshot, say) or say("no loop at its end")
        self.output.value = text + say("{n} words, {loop}" if words else "{n} characters, {loop}", n=count, loop=loop)
        return plots.stepper_picture(self.snapshot)

    def _follow_controls(self, anew=False):
        """Start again if the prefix or the seed is another one, or with `anew`."""
        prefix, seed = start = self.prefix.value, self.seed.value
        if anew or start != self._started_with:
            self.walk = stepper.read(prefix, self.net, self.vocab, self.device)
            self.generator.manual_seed(seed)
            self._started_with = start

    def _button(self, description, tooltip, count):
        button = ipywidgets.Button(description=description, tooltip=tooltip, layout={"width": "6em"})
        button.on_click(lambda _: self._write(count))
        return button

    def _write(self, count):
        """Write `count` characters, or go back to the prefix where it is None."""
        with self._lock, self.guard():
            self._follow_controls(anew=count is None)
            for _ in range(count or 0):
                how = self.choose, self.temperature.value, self.top_k.value, self.generator
                self.walk = stepper.step(self.walk, self.net, self.device, *how)
        self.update()


def _controls(prefix, vocab_size):
    controls = {
        "prefix": ipywidgets.Text(prefix, description=say("prefix"), **WIDE),
        "temperature": ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.1, description=say("temperature"), **WIDE),
        "top_k": int_slider("top k", vocab_size, 1, vocab_size),
        "seed": int_slider("seed", 0, 0, 99),
        "look_back": int_slider("look back", 0, 0, 30),
    }
    controls["temperature"].tooltip = say(
        "0: always the most probable character; above: drawn, the higher the more evenly"
    )
    controls["top_k"].tooltip = say("draw only among so many most probable characters")
    controls["look_back"].tooltip = say("whose connectivity to show: 0 the next character's, 1 the last one's, ...")
    return controls
