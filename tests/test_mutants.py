"""Planted mistakes: each is one change, and none outlasts its run."""

import ast
import os
import signal

import mutants
import pytest

SOURCE = '''
def f(x, y=3):
    """1 < 2 stays."""
    if x < y and not g(y, x, key=True):
        self.a = x - 1
    return x
'''
EXPECTED = """\
def f(x, y=2):
def f(x, y=4):
if not (x < y and (not g(y, x, key=True))):
if x < y or not g(y, x, key=True):
if x <= y and (not g(y, x, key=True)):
if x < y and g(y, x, key=True):
if x < y and (not g(x, y, key=True)):
if x < y and (not g(y, x, key=False)):
self.a = x + 1
self.a = x - 0
self.a = x - 2
pass # self.a = x - 1
return None # return x"""


def test_a_mutant_is_one_change_and_the_next_one_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "PACKAGE", tmp_path)
    (tmp_path / "module.py").write_text(SOURCE)
    found = [mutants.planted(*change) for _, _, *change in mutants.mutants(tmp_path / "module.py")]
    assert sorted(line for _, line in found) == sorted(EXPECTED.splitlines())
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    for source, _ in found:
        assert sum(new != old for new, old in zip(source.splitlines(), plain, strict=True)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("end", "killed"), [
    (lambda: os._exit(0), False), (lambda: os._exit(1), True), (lambda: os.kill(os.getpid(), signal.SIGKILL), True),
    (lambda: signal.pause(), True),
])  # fmt: skip
def test_red_tests_crashes_and_hangs_kill_and_the_file_is_as_before(tmp_path, monkeypatch, end, killed):
    (tmp_path / "course_utils").mkdir()
    path = tmp_path / "course_utils" / "module.py"
    path.write_text("number = 1\n")

    def run_tests(folder, name):
        os.setsid()
        end() if (folder, name, path.read_text()) == (tmp_path, "module", "number = 2\n") else os._exit(1)

    monkeypatch.setattr(mutants, "run_tests", run_tests)
    assert mutants.fails(tmp_path, "module.py", "number = 2\n", 1, seconds=0.5) == killed
    assert path.read_text() == "number = 1\n"


def test_the_interval_is_wilson_s():
    assert mutants.wilson(181, 210) == pytest.approx((0.809, 0.902), abs=0.001)
