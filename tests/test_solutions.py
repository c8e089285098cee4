"""Every exercise: untouched, solved, solved wrongly; and solved by a mutant, which the check must reject.

A wrong answer that passes teaches an error. `SAME` names the mutants that are no errors, each with the reason.
"""

import ast
import inspect
import signal

import mutants
import nbformat
import platformdirs
import pytest
from make_slides import lesson
from nbclient import NotebookClient

from course_utils.widgets import check

FOLDER = check.SOLUTIONS.parent / "notebooks"
NAMES = sorted(path.stem for path in check.SOLUTIONS.glob("*.py"))
SECONDS = 5  # a mutant that takes longer does not end
every_exercise = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)


def solution(name):
    exercise = check.load(name)
    return exercise, inspect.getsource(vars(exercise)[name])


def cells(path):
    return nbformat.read(path, as_version=4).cells


def starters():
    """Name of the exercise -> (path of the notebook, cell) for each cell that checks a function."""
    found = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        for cell in cells(path):
            if cell.cell_type == "code" and "\ncheck(" in cell.source:
                name = cell.source.rpartition("\ncheck(")[2].partition(")")[0]
                assert name not in found, f"{name} stands in two cells"
                found[name] = path, cell
    return found


STARTERS = starters()


def test_every_exercise_stands_in_one_notebook_and_has_a_solution():
    assert sorted(STARTERS) == NAMES
    for path in FOLDER.glob("*.ipynb"):
        count = [place for place, _ in STARTERS.values()].count(path)
        assert count >= 3 or path.name.startswith("00"), f"{path.name} has {count} exercises"


@every_exercise
def test_the_starter_is_not_attempted_and_takes_the_same_arguments(name):
    kernel = {"check": lambda function: function}
    exec(STARTERS[name][1].source, kernel)
    exercise, _ = solution(name)
    assert inspect.signature(kernel[name]) == inspect.signature(vars(exercise)[name])
    assert check.check(kernel[name]).state == "not attempted"
    assert STARTERS[name][1].metadata.tags == ["nbval-check-output"]  # in the stored notebook and in each run of it


@every_exercise
def test_the_task_unfolds_two_hints(name):
    path, _ = STARTERS[name]
    before = [cell.source for cell in cells(path) if cell.cell_type == "markdown" and f"`{name}`" in cell.source]
    assert sum(text.count("<details><summary>Hint") for text in before) == 2


@every_exercise
def test_typical_errors_get_their_sentence(name):
    exercise, _ = solution(name)
    assert len(exercise.ERRORS) >= 4
    assert check.check(vars(exercise)[name]).state == "right"
    for before, after, sentence in exercise.ERRORS:
        outcome = check.check(check.variant(exercise, before, after))
        assert outcome[1:3] == ("not yet", sentence), f"{before!r} -> {after!r}"
        assert "Traceback" not in outcome.sentence


@every_exercise
def test_a_mutant_of_the_solution_is_rejected(name):
    exercise, source = solution(name)
    same = getattr(exercise, "SAME", {})
    tree, survivors, count = ast.parse(source), [], 0
    for _, *place in mutants.places(tree):
        text, line = mutants.planted(tree, *place)
        count += 1
        if accepted(check.edited(exercise, text)):
            survivors.append(line)
    assert sorted({*survivors}) == sorted(same)
    assert len(survivors) <= max(1, 0.1 * count), f"{len(survivors)} of {count} mutants survive: {survivors}"


def accepted(function):
    """Whether a check takes this function for right; one that does not end is wrong."""

    def give_up(*_):
        raise TimeoutError

    if not hasattr(signal, "SIGALRM"):
        return check.check(function).state == "right"
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        return check.check(function).state == "right"
    finally:
        signal.alarm(0)


def test_the_solutions_are_right_in_their_notebook(tmp_path, monkeypatch):
    """The imports and starters of each section Exercises alone, in a kernel, each starter with its solution."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    run = nbformat.v4.new_notebook()
    for path in sorted({path for path, _ in STARTERS.values()}):
        imports, *others = (cell for cell in exercises(path) if cell.cell_type == "code")
        run.cells += [nbformat.v4.new_code_cell("%reset -f"), imports]
        run.cells += [cell for cell in others if "\ncheck(" in cell.source]
    for name, (_, starter) in STARTERS.items():
        solved = inspect.getsource(check.load(name)).partition("def inputs")[0]
        cell = next(cell for cell in run.cells if cell.source == starter.source)
        cell.source = f"{solved}\ncheck({name})"
    NotebookClient(run, resources={"metadata": {"path": str(FOLDER)}}, timeout=120).execute()
    shown = [output.get("data", {}).get("text/plain", "") for cell in run.cells for output in cell.outputs]
    assert [text for text in shown if ": " in text] == [f"{name}: right" for name in STARTERS]


def exercises(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook.cells[len(lesson(notebook)) :]
