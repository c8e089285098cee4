"""The check of an exercise, with made-up ones: right and wrong answers, and what stays untouched."""

import math
import random

import platformdirs
import pytest
import torch
from torch import nn

from course_utils.widgets import check as module
from course_utils.widgets.check import check, difference, progress

DOUBLE = """
import torch


def double(x):
    return 2 * x


def inputs():
    yield (3,)
    yield (torch.randint(4, 9, ()).item(),)


ERRORS = [("2 * x", "x + x + 1", "One too many."), ("2 * x", "x.y", "A number has no parts.")]
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    monkeypatch.setattr(module, "SOLUTIONS", tmp_path / "solutions")
    (tmp_path / "solutions").mkdir()
    (tmp_path / "notebooks").mkdir()
    write("double", DOUBLE)
    return tmp_path / "rnn-course"


def write(name, text):
    (module.SOLUTIONS / f"{name}.py").write_text(text, encoding="utf-8")


def exercise(name, result, call="(torch.ones(2),)", more=""):
    """Write an exercise of one argument x, whose solution returns `result`."""
    body = f"def {name}(x):\n    return {result}\n\n\ndef inputs():\n    yield {call}\n\n\nERRORS = []\n{more}\n"
    write(name, f"import torch\nfrom torch import nn\n\n\n{body}")


def named(name, function):
    function.__name__ = name
    return check(function)


def test_the_three_outcomes():
    assert repr(named("double", lambda x: ...)) == "double: not attempted"
    assert named("double", lambda x: 3 * x)[:3] == (
        "double",
        "not yet",
        "For double(3) you return 9, which is too large.",
    )
    assert named("double", lambda x: x)[2] == "For double(3) you return 3, which is too small."
    assert repr(named("double", lambda x: x + x)) == "double: right"


def test_a_later_input_counts_too():
    assert named("double", lambda x: 6)[1] == "not yet"


@pytest.mark.parametrize("attempt", [lambda x: 2 * x + 1, lambda x: 1 + x * 2.0])
def test_a_typical_error_gets_its_sentence(attempt):
    assert named("double", attempt)[1:3] == ("not yet", "One too many.")


def test_a_typical_error_must_bring_the_same_for_all_inputs():
    assert "One too many" not in named("double", lambda x: 7 if x == 3 else 2 * x)[2]


def test_an_error_that_is_raised_is_one_sentence():
    outcome = named("double", lambda x: x / 0)
    assert outcome.state == "not yet"
    assert outcome.sentence.startswith("For double(3) it raises ZeroDivisionError: division by zero (line ")
    assert "\n" not in outcome.sentence
    assert named("double", lambda x: x.y)[2] == "A number has no parts."
    assert "takes 0 positional arguments" in named("double", lambda: 2)[2]


def test_an_unknown_name_is_one_sentence():
    for attempt in (lambda x: x, 3, nn.Linear(1, 1)):
        with pytest.raises(ValueError, match=r"no exercise is called .*; keep the name .* starter cell: double$"):
            check(attempt)


def test_an_interrupt_passes_through():
    def double(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(double)


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("([1, 2],)", lambda x: x.append(3)),
        ("(torch.ones(2),)", lambda x: x.add_(1)),
        ("({'a': 1},)", lambda x: x.clear()),
        ("(nn.Linear(2, 2),)", lambda x: x.weight.data.zero_()),
    ],
)
def test_an_argument_changed_in_place_is_said(call, change):
    exercise("keep", "5", call)

    def keep(x):
        change(x)
        return 5

    assert check(keep)[2].endswith("your function changes its argument x; leave it as it is and return something new.")
    assert named("keep", lambda x: 5).state == "right"


def test_what_the_solution_changes_may_be_changed():
    exercise("fill", "x.add_(1).sum().item()")
    assert named("fill", lambda x: x.add_(1).sum().item()).state == "right"
    exercise("same", "5", "(object(),)")  # is not equal to its copy
    assert named("same", lambda x: 5).state == "right"


@pytest.mark.parametrize(
    ("result", "wrong", "words"),
    [
        ("3", "3", "you return '3'; a number is expected."),
        ("3", True, "you return True; a number is expected."),
        ("3", None, "you return None; a number is expected."),
        ("3", math.nan, "you return nan; a number is expected."),
        ("3", 3.01, "you return 3.01, which is too large."),
        ("3", [3], "you return [3]; a number is expected."),
        ("'GRU'", "gru", "you return 'gru', which is not right."),
        ("None", 0, "you return 0, which is not right."),
        ("True", 1, "you return 1, which is not right."),
        ("[1, 2]", (1, 2), "you return (1, 2); a list is expected."),
        ("[1, 2]", [1], "your list has the length 1; expected is 2."),
        ("(1, [2, 3])", (1, [2, 4]),
         "in place 1 of your tuple: in place 1 of your list: you return 4, which is too large."),
        ("torch.ones(2)", [1.0, 1.0], "you return [1.0, 1.0]; a tensor is expected."),
        ("torch.ones(2, 3)", torch.ones(3, 2), "your result has the shape (3, 2); expected is (2, 3)."),
        ("torch.ones(2)", torch.ones(2).long(), "your result holds torch.int64; expected is torch.float32."),
        ("torch.ones(2)", torch.tensor([1.0, 1.1]), "1 of 2 values are wrong; the first is 1.1 at [1]."),
        ("torch.ones(2)", torch.tensor([math.nan, 1]), "1 of 2 values are wrong; the first is nan at [0]."),
        ("torch.ones(())", torch.zeros(()), "1 of 1 values are wrong; the first is 0."),
        ("{'a': 1}", {"b": 1}, "your result's entry names are b; these are not the right ones."),
        ("{'a': [1]}", {"a": [2]}, "entry a: in place 0 of your list: you return 2, which is too large."),
        ("{'a': 1}", [1], "you return [1]; a dict is expected."),
        ("nn.Identity()", nn.Flatten(), "you return a Flatten; a Identity is expected."),
    ],
)  # fmt: skip
def test_what_differs_is_said(result, wrong, words):
    exercise("give", result, "(0,)")
    assert named("give", lambda x: wrong)[1:3] == ("not yet", f"For give(0) {words}")


def test_modules_are_compared_by_their_parameters():
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert difference(one, one, 1e-4) == ""
    assert difference(one, other, 1e-4).startswith("parameter weight: 4 of 4 values are wrong")
    assert "parameter names are weight;" in difference(nn.Linear(2, 2, bias=False), one, 1e-4)


@pytest.mark.parametrize(
    ("result", "right"),
    [
        ("3", 3.0), ("3", torch.tensor(3)), ("0.5", torch.tensor([0.5])), ("3", torch.tensor(3.0).numpy()),
        ("1e6", 1e6 + 1), ("(2, 3)", torch.Size([2, 3])), ("torch.ones(2)", torch.ones(2, requires_grad=True)),
        ("torch.tensor([float('nan')])", torch.tensor([math.nan])), 
        ("torch.ones(2)", nn.Parameter(torch.ones(2) + 1e-6)),
    ],
)  # fmt: skip
def test_what_is_as_good_is_right(result, right):
    exercise("give", result, "(0,)")
    assert named("give", lambda x: right).state == "right"


def test_the_tolerance_is_the_exercises():
    exercise("give", "100", "(0,)", "TOLERANCE = 0.1")
    assert named("give", lambda x: 105).state == "right"
    assert named("give", lambda x: 115).state == "not yet"


def test_a_long_call_is_cut():
    exercise("give", "1", "({f'name {n}': 'x' * 30 for n in range(9)}, [['y' * 30] * 9] * 9)"[:-1] + ")[:1]")
    assert len(named("give", lambda x: 2).sentence) < 260


def test_what_is_right_is_remembered(home):
    assert progress() == "0 of 1 exercises are right. Still to do:\nelsewhere: double"
    named("double", lambda x: 2 * x)
    assert progress() == "1 of 1 exercises are right."
    named("double", lambda x: 3 * x)  # a later try takes nothing away
    assert progress() == "1 of 1 exercises are right."
    (home / "guesses.json").unlink()
    assert progress().startswith("0 of 1")


def test_progress_goes_by_notebook_and_is_narrow():
    for name in ("triple", "treble", *(f"exercise_number_{n}" for n in range(20))):
        exercise(name, "3 * x")
    folder = module.SOLUTIONS.parent / "notebooks"
    (folder / "01_first.ipynb").write_text("check(triple)\\ncheck(double)")
    (folder / "02_second.ipynb").write_text("check(treble)")
    (folder / "03_third.ipynb").write_text("no exercise")
    named("treble", lambda x: 3 * x)
    first, second, *rest = progress().splitlines()
    assert (first, second) == ("1 of 23 exercises are right. Still to do:", "01_first: double, triple")
    assert rest[0].startswith("elsewhere: exercise_number_0")
    assert len(rest) > 2
    assert max(map(len, rest)) <= 88


def test_an_unwritable_place_is_said(home):
    home.write_text("a file where the folder should be")
    outcome = named("double", lambda x: 2 * x)
    assert outcome.state == "right"
    assert repr(outcome).startswith("double: right: (it will be forgotten when the kernel stops")


def test_the_readers_random_state_and_weights_stay():
    exercise("noisy", "torch.rand(3) + x(torch.ones(1, 2)).sum()", "(nn.Linear(2, 2),)")
    net = nn.Linear(2, 2)
    weights, before = net.weight.clone(), torch.get_rng_state()

    def noisy(x):
        noise = torch.rand(3)
        net.weight.data.add_(0)
        return noise + x(torch.ones(1, 2)).sum()

    outcome = check(noisy)
    assert (outcome.state, outcome.sentence) == ("right", "")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(net.weight, weights)


def test_the_inputs_are_the_same_each_time():
    exercise("give", "x", "(torch.rand(3).tolist() + [__import__('random').random()],)")
    seen = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        random.seed(seed)
        named("give", lambda x: seen.append(x) or x)
    assert seen[0] == seen[-1]


def test_a_draw_of_python_is_seeded_and_given_back():
    exercise("draw", "[__import__('random').random() for _ in range(3)]", "(0,)")
    before = random.getstate()
    assert named("draw", lambda x: [random.random() for _ in range(3)]).state == "right"
    assert random.getstate() == before


def test_html_is_escaped_and_coloured():
    exercise("give", "'a'", "(0,)")
    text = named("give", lambda x: "<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in text
    assert "<b>&" not in text
    assert "give: not yet" in text
    assert "<img" not in text
    colours = {named("double", function)._repr_html_().split("'")[1] for function in
               (lambda x: ..., lambda x: x, lambda x: 2 * x)}  # fmt: skip
    assert len(colours) == 3


def test_a_picture_only_where_the_exercise_has_one():
    assert named("double", lambda x: 2 * x).picture is None
    exercise("give", "2 * x", "(torch.arange(3.0),)", 'PICTURE = {"x": "lag", "y": "share"}')
    for factor in (2, 3):  # right, and wrong
        picture = named("give", lambda x, factor=factor: factor * x).picture
        mine, expected = picture.axes[0].lines[1], picture.axes[0].lines[0]
        assert list(mine.get_ydata()) == [0, factor, 2 * factor]
        assert list(expected.get_ydata()) == [0, 2, 4]
        assert picture.axes[0].get_xlabel() == "lag"
    assert "<img" in named("give", lambda x: 2 * x)._repr_html_()


@pytest.mark.parametrize("wrong", [3, None, "text", torch.ones(2, 2), torch.ones(()), ["a"], {}])
def test_no_picture_of_what_is_no_row_of_numbers(wrong):
    exercise("give", "2 * x", "(torch.arange(3.0),)", 'PICTURE = {"x": "lag", "y": "share"}')
    assert named("give", lambda x: wrong)[1::2] == ("not yet", None)
    assert named("give", lambda x: x.y).picture is None
