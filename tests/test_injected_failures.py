"""Does the suite notice? A copy of the course is broken in one line, and the tests that readers trust must turn red.

The copy without a break must be green: else red would prove nothing.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from nbval_guard import student_environment
from test_browser import CHROMIUM, SHORT, keep_cells

ROOT = Path(__file__).parents[1]
COPIED = ("course_utils", "notebooks", "tests", "tools", "conftest.py", "pyproject.toml")
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
START, MODEL = f"notebooks/{NAMES[0]}.ipynb", f"notebooks/{NAMES[3]}.ipynb"
LAB, FAST = "course_utils/widgets/lab.py", "course_utils/fast.py"
FORWARD = "X = F.one_hot(inputs.T.long(), self.vocab_size).float()"


class Break(NamedTuple):
    """One broken line of a file, the tests that are run, and words that must stand in their report."""

    name: str
    file: str
    before: str
    after: str
    tests: str
    words: str
    cells: str = ""  # ids of the notebook's cells that are run; all of them if there are none


def lab_break(name, before, after, tests, words):
    return Break(name, LAB, before, after, tests, words)


def frozen(lab, attribute, measure, notebook, words):
    """A lab that measures once, then shows the same whatever its controls say; the cell with these words notices."""
    before, after = f"self.{attribute} = ", f"self.{attribute} = getattr(self, '{attribute}', None) or "
    name, file = f"a lab whose controls do nothing: {lab}", f"course_utils/widgets/{lab}.py"
    tests, cells = f"notebooks/{NAMES[notebook]}.ipynb", SHORT[NAMES[notebook]]
    return Break(name, file, before + measure, after + measure, tests, words, cells)


def dropped(what, before, after, test):
    """A fast way that leaves out something of the reader's model, and trains on without it."""
    tests, words = f"'tests/test_fast.py::test_{test}'", "assert measured == pytest.approx(expected"
    return Break(f"a fast way without {what}", FAST, before, after, tests, words)


# fmt: off
BREAKS = [
    lab_break("a callback that fails", "return self.function(**{",
              "return 1 / (not self.picture.value) and self.function(**{", START, "ZeroDivisionError"),
    lab_break("a callback that fails and keeps it to itself", "return refused", "return True",
              "tests/test_lab.py", "DID NOT RAISE"),
    lab_break("a stale picture", "self.draw().png(DPI[", "self.picture.value or self.draw().png(DPI[",
              START, "the picture did not follow the slider"),
    lab_break("a lab that keeps the reader's old code", "self._bound_to(self.thing) if self.follows else", "",
              "tests/test_lab.py -k counts_from_then_on", "'second'"),
    lab_break("an error in a thread that nobody waits for", "def _on_change(self, change):\n",
              "def _on_change(self, change):\n        threading.Thread(target=lambda: 1 / 0).start()\n",
              START, "Exception in thread"),
    lab_break("a picture that is not in the page", "ipywidgets.VBox([*self.arrange(), self.picture])",
              "ipywidgets.VBox(self.arrange())", "tests/test_browser.py -k notebook_7", "img"),
    Break("a training lab that forgets its records", "course_utils/widgets/training_lab.py",
          "        run.history.append(record)\n", "",
          "tests/test_training_lab.py -k consumes_all_epochs", "AssertionError"),
    Break("a forward without the transpose, in the cell", MODEL, FORWARD, FORWARD.replace(".T", ""), MODEL, "Error"),
    Break("a forward without the transpose, in the package", "course_utils/models.py", FORWARD,
          FORWARD.replace(".T", ""), "tests/test_shown_code.py tests/test_models.py", "inputs.T.long()"),
    dropped("the hooks of the layer", "self.blocks = {}",
            "torch.nn.RNN.__call__ = torch.nn.RNN.forward; self.blocks = {}",
            "what_a_reader_changes_counts[a hook on the layer]"),
    dropped("dropout between layers", "(dropout and training) or ", "",
            "what_it_does_not_know_is_torch_s[dropout between layers]"),
]
FROZEN = [
    frozen("shapes", "record", "layer_shapes", 1, "assert lab.record.Y[-1] =="),
    frozen("microscope", "record", "focus", 2, "the same inputs as in the maps above"),
    frozen("ribbon", "record", "corpus_ribbon", 4, "in ribbon.record.sources"),
    frozen("stepper", "snapshot", "stepper.snapshot", 6, "and explain its last character"),
    frozen("telescope", "record", "sight", 7, "orthogonal weights should keep far more"),
    frozen("explorer", "record", "self.grid.view", 8, "a live run should come out like the stored one"),
]
# fmt: on


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def run(course, *tests, first="-x"):
    """Run tests of the copy, until the first fails or all; return pytest's exit code and what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", first, "-p", "no:cacheprovider", *tests]
    environment = student_environment() | {"PYTHONPATH": str(course)}
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def test_the_whole_copy_is_green_and_is_what_runs(course):
    code, report = run(course, START, "tests/test_lab.py")
    assert code == 0, report
    where = [sys.executable, "-c", "import course_utils; print(course_utils.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(course)}
    found = subprocess.run(where, cwd=course / "notebooks", env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(course)


def shortened(course, name, ids):
    """Write the cells with these ids to a notebook of their own, and return its name."""
    short = f"notebooks/short_{Path(name).name}"
    shutil.copy(course / name, course / short)
    keep_cells(course / short, ids)
    return short


@contextlib.contextmanager
def damaged(course, broken):
    """In this context the copy has the broken line."""
    path = course / broken.file
    healthy = path.read_text(encoding="utf-8")
    assert healthy.count(broken.before) == 1, "the line to break is not there any more, or not unique"
    path.write_text(healthy.replace(broken.before, broken.after), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(healthy, encoding="utf-8")


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.name)
def test_a_break_turns_the_suite_red(course, broken):
    if "browser" in broken.tests and CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with damaged(course, broken):
        code, report = run(course, *shlex.split(broken.tests))
    assert code == pytest.ExitCode.TESTS_FAILED, report
    assert broken.words in report, report


def test_each_lab_whose_controls_do_nothing_turns_its_notebook_red(course):
    """All at once, for each has a file and a notebook of its own, and most of the time is pytest's start."""
    notebooks = [shortened(course, broken.tests, broken.cells.split()) for broken in FROZEN]
    with contextlib.ExitStack() as stack:
        for broken in FROZEN:
            stack.enter_context(damaged(course, broken))
        _, report = run(course, *notebooks, first="--no-header")
    for broken, notebook in zip(FROZEN, notebooks, strict=True):
        assert f"FAILED {notebook}" in report, f"{broken.name} is not noticed: {report}"
        assert broken.words in report, f"{broken.name}: {report}"
