"""A question the reader answers before the measurement; the figure after it shows the guess beside the result."""

import html
import json
import math

import ipywidgets
import platformdirs

from course_utils.checks import checked
from course_utils.corpora import write_atomically
from course_utils.language import said, say
from course_utils.rules import kind


def _are_options(options):
    if isinstance(options, tuple):
        low, high, step = (*options, 1)[: max(3, len(options))]
        return -math.inf < low < high < math.inf and step > 0
    return isinstance(options, list) and options and all(isinstance(answer, str) for answer in options)


OPTIONS = kind(_are_options, "a list of answers, or (low, high) or (low, high, step) with low < high and step > 0")


class Guess(ipywidgets.VBox):
    """A choice or a slider that takes one guess and remembers it, also after a restart of the kernel.

    Everything works without a guess: `answer` is then None, and figures leave it out.

    Args:
        key: the name under which the guess is remembered, such as "q6-parameters".
        question: what is asked, as plain text.
        options: a list of answers to choose from, or a tuple (low, high) or (low, high, step) for a slider.
        unit: what the slider counts, such as "perplexity".

    Attributes:
        control: the ipywidgets control, a `RadioButtons` or a slider.
        answer: the guess: one of the options or a number; None as long as nothing was chosen.
    """

    @checked(options=OPTIONS)
    def __init__(self, key, question, options, unit=""):
        self.key, self.question, self.options, self.unit = key, question, options, unit
        self.answer, self.status = _fitting(recall(key), options), ipywidgets.HTML()
        self.control = _control(options, self.answer, unit)
        self.control.observe(self._on_change, names="value")
        super().__init__([ipywidgets.HTML(f"<b>{html.escape(say(question))}</b>"), self.control, self.status])
        self._show()

    def _on_change(self, change):
        self.answer = change["new"]
        self._show(remember(self.key, self.answer))

    def _show(self, trouble=""):
        guess = say("Your guess: {answer} {unit}", answer=said(self.answer), unit=say(self.unit)) + trouble
        none = say("No guess yet. You can run on without one.")
        self.status.value = html.escape(none if self.answer is None else guess)

    def _repr_mimebundle_(self, **kwargs):
        """The live widget, and beside it the question as text for readers without a kernel."""
        numeric = isinstance(self.options, tuple)
        low, high = self.options[:2] if numeric else (None, None)
        span = say("{low} to {high} {unit}", low=low, high=high, unit=say(self.unit))
        answers = span if numeric else " · ".join(map(say, self.options))
        text = f"<p><b>{html.escape(say(self.question))}</b><br>{html.escape(answers)}</p>"
        return super()._repr_mimebundle_(**kwargs) | {"text/html": text}


def _fitting(answer, options):
    """The remembered answer if it is one to this question; the file may be older, or damaged."""
    if not isinstance(options, tuple):
        return answer if answer in options else None
    number = isinstance(answer, int if _whole(options) else int | float) and options[0] <= answer <= options[1]
    return answer if number else None


def _whole(options):
    return all(isinstance(number, int) for number in options)


def _control(options, answer, unit):
    if not isinstance(options, tuple):
        shown = [(say(option), option) for option in options]
        return ipywidgets.RadioButtons(options=shown, value=answer, layout={"width": "auto"})
    low, high, step = (*options, 1)[:3]
    kind = ipywidgets.IntSlider if _whole(options) else ipywidgets.FloatSlider
    value = low if answer is None else answer
    return kind(value=value, min=low, max=high, step=step, description=say(unit), layout={"width": "28em"})


def _path():
    return platformdirs.user_data_path("rnn-course") / "guesses.json"


def _remembered():
    """All guesses so far; a file that is missing or damaged counts as none."""
    try:
        guesses = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError):
        return {}
    return guesses if isinstance(guesses, dict) else {}


def recall(key):
    """Return what was remembered under this key, or None."""
    return _remembered().get(key)


def remember(key, answer):
    """Write a guess, or an exercise that is right, down; return a sentence if that was not possible."""
    try:
        write_atomically(_path(), json.dumps(_remembered() | {key: answer}).encode())
    except OSError as error:
        return say(" (it will be forgotten when the kernel stops: {why})", why=error.strerror)
    return ""
