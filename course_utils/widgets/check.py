"""Exercises that check themselves: the reader's function beside the solution's, on inputs drawn from one seed.

An exercise is a file in `solutions`, named as its function. The file holds the solution, `inputs()`, which yields
tuples of arguments, and `ERRORS`: typical errors as edits of the solution, each with the sentence for whoever made it.
It may hold `TOLERANCE`, by which part a number may differ, and `PICTURE`, labels for a drawing of both results.
"""

import base64
import contextlib
import copy
import html
import importlib.util
import inspect
import math
import random
import textwrap
import types
from collections import namedtuple
from pathlib import Path

import torch

from course_utils import plots
from course_utils.language import say
from course_utils.rules import shown
from course_utils.widgets.faults import explain
from course_utils.widgets.guess import recall, remember

SOLUTIONS = Path(__file__).parents[2] / "solutions"
MOST_SHOWN = 160  # characters of a call in a sentence
WIDTH = 88  # of a printed line
COLOURS = {"not attempted": plots.GREY, "not yet": plots.VERMILION, "right": plots.GREEN}


class Outcome(namedtuple("Outcome", "name state sentence picture", defaults=["", None])):
    """What a check found: `state` is "not attempted", "not yet" or "right"; `sentence` says why not yet."""

    def __repr__(self):
        return ": ".join(filter(None, self[:3]))

    def _repr_html_(self):
        bar = f"border-left: 4px solid {COLOURS[self.state]}; padding-left: 8px"  # type in colour is faint in one theme
        text = f"<b>{self.name}: {say(self.state)}</b> {html.escape(self.sentence)}"
        if self.picture is not None:
            image = base64.b64encode(self.picture._repr_png_()).decode("ascii")
            text += f"<br><img alt='{say('your result beside the expected one')}' src='data:image/png;base64,{image}'>"
        return f"<div style='{bar}'>{text}</div>"


class Failure(namedtuple("Failure", "sentence")):
    """What stands in the place of a result that a call did not bring."""


def check(attempt):
    """Compare your function with the solution of the exercise that has its name.

    Both are called with the same inputs, drawn from a fixed seed. What is right is remembered, see `progress`.

    Returns:
        an `Outcome`: "not attempted" while the function returns `...`, "not yet" with one sentence, or "right".

    Raises:
        ValueError: no exercise has the function's name.
    """
    exercise = load(getattr(attempt, "__name__", None))
    outcome = _compared(attempt, exercise)
    if outcome.state == "right":
        return outcome._replace(sentence=remember(f"exercise {outcome.name}", True).strip())
    return outcome


def progress():
    """Return lines of text: how many exercises were right so far, and those still to do, by notebook."""
    names = sorted(path.stem for path in SOLUTIONS.glob("*.py"))
    to_do = [name for name in names if recall(f"exercise {name}") is not True]
    lines = [say("{right} of {all} exercises are right.", right=len(names) - len(to_do), all=len(names))]
    lines[0] += say(" Still to do:") * bool(to_do)
    for path in sorted((SOLUTIONS.parent / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        here = [name for name in to_do if f"check({name})" in text]
        lines += [f"{path.stem}: {', '.join(here)}"] * bool(here)
        to_do = [name for name in to_do if name not in here]
    lines += [say("elsewhere: {names}", names=", ".join(to_do))] * bool(to_do)
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in lines)


def load(name):
    """Return the module of an exercise."""
    path = SOLUTIONS / f"{name}.py"
    if not isinstance(name, str) or not path.is_file():
        known = ", ".join(sorted(path.stem for path in SOLUTIONS.glob("*.py")))
        raise ValueError(f"no exercise is called {name}; keep the name that stands in the starter cell: {known}")
    spec = importlib.util.spec_from_file_location(f"solutions.{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compared(attempt, exercise):
    name, solution = attempt.__name__, vars(exercise)[attempt.__name__]
    calls = _drawn(exercise)
    for number, arguments in enumerate(calls):
        got, changed = _called(attempt, arguments)
        if number == 0 and got is ...:
            return Outcome(name, "not attempted")
        expected, allowed = _called(solution, arguments)
        wrong = difference(got, expected, _tolerance(exercise))
        for parameter in [each for each in changed if each not in allowed][:1]:
            text = "your function changes its argument {name}; leave it as it is and return something new."
            wrong = say(text, name=parameter)
        if wrong:
            call = say("For {call} {wrong}", call=_call(name, arguments), wrong=wrong)
            sentence = say(_typical(attempt, exercise, calls)) or call
            return Outcome(name, "not yet", sentence, _picture(exercise, got, expected))
    return Outcome(name, "right", "", _picture(exercise, got, expected))


def _drawn(exercise):
    with _seeded(0):
        return list(exercise.inputs())


@contextlib.contextmanager
def _seeded(number):
    """Draw from a fixed seed, torch and Python's `random`, and give both back as they were."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        random.seed(number)
        try:
            yield
        finally:
            random.setstate(state)


def _tolerance(exercise):
    return getattr(exercise, "TOLERANCE", 1e-4)


def _called(function, arguments):
    """Return what the function brings, a `Failure` for an error, and which arguments differ afterwards, by name.

    An object that compares by identity differs from its copy always, after the solution too.
    """
    given = copy.deepcopy(arguments)
    try:
        with _seeded(1):
            result = function(*given)
    except Exception as error:  # noqa: BLE001 (whatever the reader's code raises becomes one sentence in the outcome)
        return Failure(say("it raises {error}", error=explain(error)[0])), []
    names = zip(inspect.signature(function).parameters, given, arguments, strict=False)
    return result, [name for name, now, before in names if difference(now, before, 0)]


def _typical(attempt, exercise, calls):
    """Return the sentence of the typical error that brings what the attempt brings with all inputs, if there is one."""
    for before, after, sentence in exercise.ERRORS:
        wrong = variant(exercise, before, after)
        if all(_same(_called(attempt, call), _called(wrong, call), _tolerance(exercise)) for call in calls):
            return sentence
    return ""


def _same(one, other, tolerance):
    failed = [isinstance(result, Failure) for result, _ in (one, other)]
    if any(failed):
        return all(failed) and one[0].sentence.partition("(line")[0] == other[0].sentence.partition("(line")[0]
    return one[1] == other[1] and not difference(one[0], other[0], tolerance)


def variant(exercise, before, after):
    """Return the solution with one edit of its body."""
    head, body = inspect.getsource(vars(exercise)[_name(exercise)]).split("\n", 1)
    assert before in body, f"{before!r} does not stand in the solution of {_name(exercise)}"
    return edited(exercise, f"{head}\n{body.replace(before, after, 1)}")


def edited(exercise, source):
    """Return the exercise's function with this source instead of the solution's."""
    module = types.ModuleType(exercise.__name__)
    vars(module).update(vars(exercise))
    exec(compile(source, "<an edit of the solution>", "exec"), vars(module))
    return vars(module)[_name(exercise)]


def _name(exercise):
    return exercise.__name__.rpartition(".")[2]


def _call(name, arguments):
    text = f"{name}({', '.join(shown(argument) for argument in arguments)})"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…)"


def difference(got, expected, tolerance):
    """Return how a result differs from the expected one, or ""; numbers may differ by a part `tolerance`."""
    if isinstance(got, Failure) or isinstance(expected, Failure):
        return got.sentence if isinstance(got, Failure) else expected.sentence
    if isinstance(expected, torch.nn.Module):
        return _of_pairs(got, expected, tolerance, "parameter", "state_dict")
    if isinstance(expected, torch.Tensor):
        return _of_tensors(got, expected, tolerance)
    if isinstance(expected, dict):
        return _of_pairs(got, expected, tolerance, "entry", "copy")
    if isinstance(expected, list | tuple):
        return _of_sequences(got, expected, tolerance)
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return _of_numbers(got, expected, tolerance)
    same = type(got) is type(expected) and got == expected
    return "" if same else say("you return {got}, which is not right.", got=shown(got))


def _of_numbers(got, expected, tolerance):
    number = got.item() if hasattr(got, "item") and torch.as_tensor(got).numel() == 1 else got
    if not isinstance(number, int | float) or isinstance(number, bool) or math.isnan(number):
        return say("you return {got}; a number is expected.", got=shown(got))
    if math.isclose(number, expected, rel_tol=tolerance, abs_tol=tolerance * 1e-3):
        return ""
    if number < expected:
        return say("you return {number:.6g}, which is too small.", number=number)
    return say("you return {number:.6g}, which is too large.", number=number)


def _of_tensors(got, expected, tolerance):
    if not isinstance(got, torch.Tensor):
        return say("you return {got}; a tensor is expected.", got=shown(got))
    if got.shape != expected.shape:
        shapes = {"got": tuple(got.shape), "expected": tuple(expected.shape)}
        return say("your result has the shape {got}; expected is {expected}.", **shapes)
    if got.dtype != expected.dtype:
        return say("your result holds {got}; expected is {expected}.", got=got.dtype, expected=expected.dtype)
    got = got.to(expected.device)
    close = torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance * 1e-2, equal_nan=True)
    if close.all():
        return ""
    place = tuple((~close).nonzero()[0].tolist())
    number, count = got[place].item(), int((~close).sum())
    where = say(" at {place}", place=list(place)) if place else ""
    found = {"count": count, "all": close.numel(), "number": number, "where": where}
    return say("{count} of {all} values are wrong; the first is {number:.4g}{where}.", **found)


def _of_sequences(got, expected, tolerance):
    kind = say(type(expected).__name__)
    if isinstance(got, torch.Size):
        got = tuple(got)
    if type(got) is not type(expected):
        return say("you return {got}; a {kind} is expected.", got=shown(got), kind=kind)
    if len(got) != len(expected):
        lengths = {"kind": kind, "got": len(got), "expected": len(expected)}
        return say("your {kind} has the length {got}; expected is {expected}.", **lengths)
    found = (difference(one, other, tolerance) for one, other in zip(got, expected, strict=True))
    places = [(number, words) for number, words in enumerate(found) if words][:1]
    return "".join(say("in place {n} of your {kind}: {words}", n=n, kind=kind, words=words) for n, words in places)


def _of_pairs(got, expected, tolerance, kind, pairs):
    if type(got) is not type(expected):
        return say("you return {got}; a {kind} is expected.", got=shown(got), kind=say(type(expected).__name__))
    got, expected = (dict(getattr(each, pairs)()) for each in (got, expected))
    if got.keys() != expected.keys():
        names = ", ".join(map(str, got))[:MOST_SHOWN]
        return say("your result's {kind} names are {names}; these are not the right ones.", kind=say(kind), names=names)
    found = ((key, difference(got[key], expected[key], tolerance)) for key in expected)
    return next((f"{say(kind)} {key}: {words}" for key, words in found if words), "")


def _picture(exercise, got, expected):
    """Draw a row of numbers beside the expected one, where the exercise says how."""
    labels, drawn = getattr(exercise, "PICTURE", None), {}
    if labels is None:
        return None
    for name, values in (("expected", expected), ("yours", got)):
        row = values.detach().tolist() if isinstance(values, torch.Tensor) else values
        if not isinstance(row, list | tuple) or not all(isinstance(number, int | float) for number in row):
            return None
        drawn[name] = [*enumerate(row)]
    return plots.lines(drawn, **labels)
