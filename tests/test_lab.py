"""What all labs share: pictures that follow the controls, errors that are seen, and no update lost between threads.

Held here on labs without matplotlib; test_labs.py holds the course's labs to what a reader sees.
"""

import contextlib
import functools
import io
import sys
import threading
import time
import traceback
import types

import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

from course_utils.widgets import faults
from course_utils.widgets import lab as lab_module
from course_utils.widgets.lab import FunctionLab, Lab, Latest, choice, int_slider


class Drawn(str):
    """In place of a `plots.Picture`: words, and the dots per inch it was asked for."""

    def png(self, dpi):
        return f"{self} at {dpi}".encode()


class Refused(ValueError):
    """No fault of anybody's code."""


TROUBLES = {13: ArithmeticError("no <b>13</b>, please"), 12: Refused("no <b>12</b>"), 11: KeyboardInterrupt()}


class Counter(Lab):
    """Its picture is the controls' values; it cannot draw 13, refuses 12, and is interrupted at 11."""

    refusals = (Refused,)

    def __init__(self, number=1):
        self.drawn = []
        super().__init__({"number": int_slider("number", number, 0, 10_000), "word": choice("word", ["a", "b"])})

    def draw(self):
        number, word = self.number.value, self.word.value
        self.drawn.append((number, word))
        if number in TROUBLES:
            raise TROUBLES[number]
        return Drawn(f"{number} {word}")


class Slow(Counter):
    """Once `hold` is set, drawing waits for `go_on` after it has read the controls."""

    def __init__(self):
        self.hold, self.reading, self.go_on = threading.Event(), threading.Event(), threading.Event()
        super().__init__()

    def draw(self):
        picture = super().draw()
        if self.hold.is_set():
            self.reading.set()
            assert self.go_on.wait(60)
        return picture


class CountingLock:
    """A lock that knows how many have asked for it."""

    def __init__(self, lock):
        self.lock, self.asked, self.count_lock = lock, 0, threading.Lock()

    def __enter__(self):
        with self.count_lock:
            self.asked += 1
        self.lock.acquire()

    def __exit__(self, *error):
        self.lock.release()


def in_threads(*actions):
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    return threads


def until(condition):
    while not condition():
        time.sleep(0.001)


def test_the_picture_follows_the_controls():
    lab = Counter()
    lab.number.value, lab.word.value = 5, "b"
    assert lab.picture.value == b"5 b at 100"
    lab.word.value = "b"  # no change, no drawing
    assert lab.drawn == [(1, "a"), (5, "a"), (5, "b")]
    lab.update()
    assert len(lab.drawn) == 4


def test_controls_are_attributes_and_stand_above_the_picture():
    lab = Counter()
    controls, errors, picture = lab.children[0].children
    assert controls.children == (lab.number, lab.word)
    assert lab.controls == {"number": lab.number, "word": lab.word}
    assert (errors, picture) == (lab.errors, lab.picture)
    assert lab.children[1:-1] == (lab.printed, lab.presenter)


def test_a_lab_around_a_function_hands_it_the_controls_by_name():
    controls = {"number": int_slider("number", 1, 0, 9), "word": choice("word", ["a", "b"])}
    lab = FunctionLab(lambda word, number: Drawn(f"{word}{number}"), **controls)
    lab.number.value = 5
    assert (lab.picture.value, lab.number.step) == (b"a5 at 100", 1)
    with pytest.raises(NotImplementedError):
        Lab(controls)


@pytest.mark.parametrize(("number", "words"), [(13, "ArithmeticError"), (11, "Interrupt"), (12, "no &lt;b&gt;12")])
def test_trouble_is_shown_and_goes_away_and_all_but_a_refusal_is_raised(number, words):
    lab, refused = Counter(), number == 12
    for again in (lambda: setattr(lab.number, "value", number), lab.update):
        with contextlib.nullcontext() if refused else pytest.raises(type(TROUBLES[number])):
            again()
        assert words in lab.errors.value
        assert ("Traceback" in lab.errors.value) != refused
        assert lab.picture.value == b"1 a at 100"
    assert "<b>" not in lab.errors.value
    lab.number.value = 14
    assert (lab.errors.value, lab.picture.value) == ("", b"14 a at 100")


@pytest.mark.parametrize("number", TROUBLES)
def test_before_there_is_a_picture_every_trouble_is_raised(number):
    with pytest.raises(type(TROUBLES[number])):
        Counter(number)


def test_a_control_that_sets_another_leaves_the_last_state():
    lab = Counter()
    lab.number.observe(lambda change: setattr(lab.word, "value", "b" if change["new"] > 5 else "a"), names="value")
    lab.number.value = 6
    assert lab.picture.value == b"6 b at 100"


# What a reader's code says


def mistaken(size):
    print(f"size <{size}>")
    return nn.Linear(2, 2)(torch.zeros(size)) if size > 1 else Drawn(size)


def test_an_error_is_a_sentence_with_the_readers_line_and_a_folded_traceback_that_ends_there():
    opened = FunctionLab(mistaken, size=int_slider("size", 1, 1, 3))
    with pytest.raises(RuntimeError) as raised:
        opened.size.value = 3
    *_, last = traceback.extract_tb(raised.value.__traceback__)
    assert (last.name, last.filename) == ("mistaken", __file__)
    sentence, folded = opened.errors.value.split("<details>")
    assert "RuntimeError: " in sentence
    assert "of mistaken: return nn.Linear(2, 2)(torch.zeros(size))" in sentence
    assert "Traceback" in folded
    assert not any(place in folded for place in ("site-packages", "course_utils/widgets"))


def test_what_is_printed_while_drawing_is_shown_until_the_next_picture(capsys, monkeypatch):
    monkeypatch.setattr(faults, "MOST_PRINTED", 8)
    opened, out = FunctionLab(mistaken, size=int_slider("size", 1, 1, 3)), sys.stdout
    assert ">ize &lt;1&gt;\n<" in opened.printed.value  # the latest eight characters, as text
    assert capsys.readouterr().out == "size <1>\n"
    with pytest.raises(RuntimeError):
        opened.size.value = 3
    assert "&lt;3&gt;" in opened.printed.value
    opened.function = lambda size: Drawn("silent")
    opened.update()
    assert (opened.printed.value, sys.stdout) == ("", out)


def test_only_the_drawing_thread_is_listened_to_and_labs_may_end_in_any_order(monkeypatch):
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    first, second = faults.Prints(), faults.Prints()
    with first:
        in_threads(lambda: print("elsewhere"))[0].join()
        second.__enter__()
        print("both")
    print("second")
    second.__exit__()
    print("none")
    assert (first.text, second.text, sys.stdout) == ("both\n", "both\nsecond\n", out)
    assert out.getvalue() == "elsewhere\nboth\nsecond\nnone\n"


def test_a_lab_that_cannot_draw_at_first_is_displayed_with_its_error(monkeypatch):
    shown = []
    monkeypatch.setattr(lab_module, "get_ipython", lambda: types.SimpleNamespace())
    monkeypatch.setattr(lab_module, "display", shown.append)
    with pytest.raises(ArithmeticError):
        Counter(13)
    assert ["ArithmeticError" in each.errors.value for each in shown] == [True]


# A cell that is run again


class Shell:
    """In place of IPython's shell with a kernel: runs what a cell does, then what waits for its end."""

    def __init__(self):
        self.user_ns, self.events, self.kernel, self.waiting, self.count = {}, self, self, [], 0

    def get_parent(self, channel):
        return self.parent

    def register(self, event, function):
        assert event == "post_run_cell"
        self.waiting.append(function)

    def unregister(self, event, function):
        self.waiting.remove(function)

    def run(self, cell, **names):
        self.count += 1
        self.parent = {"metadata": {"cellId": cell} if cell else {}, "header": {"msg_id": self.count}}
        self.user_ns |= {name: open_lab() for name, open_lab in names.items()}
        for function in list(self.waiting):
            function()


def test_a_cell_run_again_closes_its_labs_with_all_their_widgets_but_not_those_kept_by_name(monkeypatch):
    shell = Shell()
    monkeypatch.setattr(lab_module, "get_ipython", lambda: shell)
    monkeypatch.setattr(lab_module, "_LABS", {})
    before = len(_instances)
    shell.run("a", mine=Counter, _1=Counter)  # two in one cell do not close each other
    once = len(_instances) - before
    first = shell.user_ns["mine"]
    shell.run("b", other=Counter)
    shell.user_ns["kept"] = shell.user_ns["other"]
    for _ in range(3):
        shell.run("a", mine=Counter, _1=Counter)
    assert (first.comm, shell.user_ns["mine"].comm is None) == (None, False)
    assert len(_instances) - before == 3 * once // 2
    shell.run("b", other=Counter)
    assert shell.user_ns["kept"].comm is not None
    shell.run(None, mine=Counter)
    assert len(shell.waiting) == 0


# Threads: JupyterLab delivers slider moves in a second one


def test_many_threads_leave_the_last_state_and_an_error_blocks_none(monkeypatch):
    monkeypatch.setitem(TROUBLES, 450, ArithmeticError("no 450, please"))
    lab, start, errors = Counter(), threading.Barrier(8), []

    def drag(first):
        start.wait()
        for value in range(first, first + 100):
            try:
                lab.number.value = value
            except Exception as error:  # noqa: BLE001, collected and asserted on below
                errors.append(error)

    for thread in in_threads(*(lambda first=first: drag(first) for first in range(100, 900, 100))):
        thread.join()
    assert {type(error) for error in errors} <= {ArithmeticError}
    assert lab.drawn[-1] == (lab.number.value, "a")
    assert lab.picture.value == f"{lab.number.value} a at 100".encode()


@pytest.mark.parametrize("waiting", [1, 10])
def test_changes_while_drawing_are_drawn_next_and_as_one(waiting):
    lab = Slow()
    lab._lock = CountingLock(lab._lock)
    lab.hold.set()
    threads = in_threads(lab.update)
    assert lab.reading.wait(60)
    threads += in_threads(*(lambda value=value: setattr(lab.number, "value", 20 + value) for value in range(waiting)))
    until(lambda: lab._lock.asked == 1 + waiting)
    lab.go_on.set()
    for thread in threads:
        thread.join()
    assert lab.drawn == [(1, "a"), (1, "a"), (lab.number.value, "a")]  # opened, held up, and one for all that waited
    assert lab.picture.value == f"{lab.number.value} a at 100".encode()


# What a reader hands over


@pytest.fixture
def cells(monkeypatch):
    """Runs code as cells of a notebook would: in a module of its own; returns that module."""
    module = types.ModuleType("cells_of_a_notebook")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def run(code):
        exec(code, vars(module))
        return module

    return run


@pytest.mark.parametrize("code", ["def f(): return {}", "class f:\n    def __new__(cls): return {}"])
def test_what_a_cell_defines_anew_counts_from_then_on(cells, code):
    latest = Latest(cells(code.format("'first'")).f)
    assert latest() == "first"
    cells(code.format("'second'"))
    assert latest() == "second"
    assert latest.now() is cells("").f


@pytest.mark.parametrize("later", ["def f(): return 'second'", "f = 3", "del f"])
@pytest.mark.parametrize("earlier", ["kept = f", "kept = f\ndef f(): return 'between'"])
def test_what_is_kept_under_another_name_stays(cells, earlier, later):
    latest = Latest(cells(f"def f(): return 'first'\n{earlier}").kept)
    followed = "between" not in earlier and "second" in later  # it was handed over as the function of this name
    cells(later)
    assert latest() == ("second" if followed else "first")


def test_what_has_no_name_of_its_own_stays():
    for thing in (lambda: "A", "a".upper, functools.partial(str.upper, "a")):
        assert Latest(thing)() == "A"


@pytest.mark.parametrize("part", [{"value": 1}, {"observe": print}, {}])
def test_a_control_is_a_widget_with_a_value(part):
    with pytest.raises(ValueError, match="size is a SimpleNamespace; it must be a widget with a value"):
        FunctionLab(lambda size: None, size=types.SimpleNamespace(**part))
