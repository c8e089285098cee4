"""What all labs share: pictures that follow the controls, errors that are seen, and no update lost between threads."""

import base64
import struct
import threading
import time

import ipywidgets
import pytest

from course_utils import plots
from course_utils.plots import Picture
from course_utils.widgets.lab import FunctionLab, Lab, choice, int_slider


class Bytes(bytes):
    def png(self, dpi):
        return bytes(self)


class Counter(Lab):
    """Its picture is the controls' values; it refuses 13."""

    def __init__(self):
        self.drawn = []
        super().__init__({"number": int_slider("number", 1, 0, 10_000), "word": choice("word", ["a", "b"])})

    def draw(self):
        number, word = self.number.value, self.word.value
        self.drawn.append((number, word))
        if number == 13:
            raise ArithmeticError("no <b>13</b>, please")
        return Bytes(f"{number} {word}".encode())


class Sized(Counter):
    """Its picture names the dots per inch it was asked for."""

    def draw(self):
        return SizedPicture()


class SizedPicture:
    def png(self, dpi):
        return b"%d dpi" % dpi


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


def in_threads(actions):
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    return threads


def test_the_picture_follows_the_controls():
    lab = Counter()
    assert lab.picture.value == b"1 a"
    lab.number.value = 5
    assert lab.picture.value == b"5 a"
    lab.word.value = "b"
    assert lab.picture.value == b"5 b"
    lab.word.value = "b"  # no change, no drawing
    assert lab.drawn == [(1, "a"), (5, "a"), (5, "b")]
    lab.update()
    assert len(lab.drawn) == 4


def test_controls_are_attributes_above_the_picture():
    lab = Counter()
    assert lab.children[:-1] == (lab.number, lab.word, lab.picture, lab.errors, lab.presenter)
    assert lab.controls == {"number": lab.number, "word": lab.word}


def test_the_presenter_switch_enlarges_the_picture_and_the_type():
    lab = Sized()
    small, css = lab.picture.value, lab.children[-1]
    lab.presenter.value = True
    assert (small, lab.picture.value) == (b"100 dpi", b"150 dpi")
    assert set(lab._dom_classes) == {"course-lab", "course-presenter"}
    lab.presenter.value = False
    assert (lab.picture.value, lab._dom_classes) == (small, ("course-lab",))
    assert ".course-presenter" in css.value
    assert css.layout.display == "none"


def test_a_larger_picture_shows_the_same_in_more_dots():
    for picture in (plots.text_windows(["to th", "e sea"]), plots.unrolled_picture(3)):
        sizes = [struct.unpack(">II", picture.png(dpi)[16:24]) for dpi in (100, 150)]  # width, height of a PNG
        assert sizes[1] == tuple(round(1.5 * length) for length in sizes[0])


def test_an_error_is_shown_and_raised_and_goes_away():
    lab = Counter()
    with pytest.raises(ArithmeticError, match="please"):
        lab.number.value = 13
    assert "ArithmeticError: no &lt;b&gt;13&lt;/b&gt;, please" in lab.errors.value
    assert "Traceback" in lab.errors.value
    assert lab.picture.value == b"1 a"
    with pytest.raises(ArithmeticError):
        lab.update()
    lab.number.value = 14
    assert lab.errors.value == ""
    assert lab.picture.value == b"14 a"


def test_the_guard_shows_and_passes_on_any_error():
    lab = Counter()
    with pytest.raises(KeyboardInterrupt), lab.guard():
        raise KeyboardInterrupt
    assert "KeyboardInterrupt" in lab.errors.value


def test_without_draw_there_is_no_lab():
    with pytest.raises(NotImplementedError):
        Lab({})


def test_the_mime_bundle_has_the_widget_and_its_picture():
    lab = Counter()
    lab.number.value = 7
    bundle = lab._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == b"7 a"
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.model_id
    assert "text/plain" in bundle


def test_a_real_picture():
    class Real(Lab):
        def draw(self):
            return Picture(1, 1)

    assert base64.b64decode(Real({})._repr_mimebundle_()["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_control_that_sets_another_leaves_the_last_state():
    lab = Counter()
    lab.number.observe(lambda change: setattr(lab.word, "value", "b" if change["new"] > 5 else "a"), names="value")
    lab.number.value = 6
    assert lab.picture.value == b"6 b"


def test_many_threads_leave_the_last_state_and_no_error():
    lab, errors = Counter(), []
    start = threading.Barrier(8)

    def drag(first):
        start.wait()
        try:
            for value in range(first, first + 100):
                lab.number.value = 100 + value
        except Exception as error:  # noqa: BLE001, collected and asserted on below
            errors.append(error)

    for thread in in_threads([lambda first=first: drag(first) for first in range(0, 800, 100)]):
        thread.join()
    assert errors == []
    assert lab.picture.value == f"{lab.number.value} a".encode()
    assert lab.drawn[-1] == (lab.number.value, "a")


def test_a_change_while_drawing_is_drawn_next():
    lab = Slow()
    lab.hold.set()
    (first,) = in_threads([lambda: setattr(lab.number, "value", 2)])
    assert lab.reading.wait(60)
    (second,) = in_threads([lambda: setattr(lab.number, "value", 3)])
    while lab.number.value != 3:
        time.sleep(0.001)
    lab.go_on.set()
    first.join()
    second.join()
    assert lab.picture.value == b"3 a"


def test_waiting_updates_are_drawn_as_one():
    lab = Slow()
    lab._lock = CountingLock(lab._lock)
    lab.hold.set()
    threads = in_threads([lab.update])
    assert lab.reading.wait(60)
    threads += in_threads([lab.update] * 10)
    while lab._lock.asked < 11:
        time.sleep(0.001)
    lab.go_on.set()
    for thread in threads:
        thread.join()
    assert len(lab.drawn) == 1 + 1 + 1  # when it was made, the one held up, and one for the ten that waited


def test_an_error_in_one_thread_does_not_block_the_others():
    lab, raised = Counter(), []

    def unlucky():
        try:
            lab.number.value = 13
        except ArithmeticError as error:
            raised.append(error)

    for action in (unlucky, lambda: setattr(lab.number, "value", 14)):
        (thread,) = in_threads([action])
        thread.join()
    assert len(raised) == 1
    assert lab.picture.value == b"14 a"


def test_controls():
    slider = int_slider("steps", 35, 1, 100, step=2)
    assert isinstance(slider, ipywidgets.IntSlider)
    assert (slider.value, slider.min, slider.max, slider.step, slider.description) == (35, 1, 100, 2, "steps")
    assert choice("word", ["a", "b"]).value == "a"
    assert choice("word", ["a", "b"], "b").options == ("a", "b")
    assert choice("word", ["a", "b"], "b").value == "b"


def test_a_function_lab_calls_the_function_with_the_controls_values():
    calls = []

    def draw(num_steps):
        calls.append(num_steps)
        return plots.text_windows(["a" * num_steps])

    lab = FunctionLab(draw, num_steps=int_slider("num_steps", 5, 1, 9))
    before = lab.picture.value
    lab.num_steps.value = 8
    assert calls == [5, 8]
    assert lab.picture.value != before


def test_text_windows_shows_every_character():
    axes = plots.text_windows(["to th", "e sea"]).axes[0]
    assert "".join(text.get_text() for text in axes.texts) == "to␣the␣sea".replace("␣", "\u2423")
