"""What a lab shows of the reader's code beside its picture: an error, her own line last, and what she prints."""

import html
import sys
import sysconfig
import threading
import traceback
import types
from pathlib import Path

from course_utils.language import say
from course_utils.plots import VERMILION
from course_utils.plots.fonts import caption

PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = (*{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}, "<frozen")
MOST_PRINTED = 2_000  # characters


def shorten(error):
    """Cut an error's traceback to the reader's own code where the package has called it, so that her line is the last.

    An error that did not pass through such code stays as it is.
    """
    frames = [error.__traceback__]
    while frames[-1] is not None:
        frames.append(frames[-1].tb_next)
    ours, first, last = -1, 0, 0  # the package's latest frame, and between which ones the reader's lie
    for number, frame in enumerate(frames[:-1]):
        path = frame.tb_frame.f_code.co_filename
        if path.startswith(PACKAGE):
            ours = number
        elif ours >= 0 and is_readers(path):
            first, last = first if first > ours else number, number + 1
    rest = None if last else error.__traceback__
    for frame in reversed(frames[first:last]):
        rest = types.TracebackType(rest, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = rest


def is_readers(path):
    """Whether code in this file is the reader's: no package's and no library's."""
    return not path.startswith((PACKAGE, *LIBRARIES))


def explain(error):
    """Return one sentence, with the line if it is the reader's, and the traceback."""
    sentence = traceback.format_exception_only(error)[0].splitlines()[0]
    for frame in traceback.extract_tb(error.__traceback__)[-1:]:
        if is_readers(frame.filename):
            sentence += caption(" (line {frame.lineno} of {frame.name}: {frame.line})", frame=frame)  # drawn too
    return sentence, "".join(traceback.format_exception(error))


def as_html(sentence, more=""):
    """An error beside a bar in colour, in type that each theme has; what is more about it can be unfolded."""
    first, rest = (
        f"<pre style='white-space: pre-wrap; margin: 0'>{html.escape(text)}</pre>" for text in (sentence, more)
    )
    folded = f"<details><summary>{say('Traceback')}</summary>{rest}</details>" if more else ""
    return f"<div style='border-left: 4px solid {VERMILION}; padding-left: 8px'>{first}{folded}</div>"


class Prints:
    """Inside this context, what its thread prints is kept as `text`, the latest of it; it is printed all the same."""

    def __init__(self):
        self.text, self._thread = "", None

    def __enter__(self):
        self._thread, self._out, sys.stdout = threading.get_ident(), sys.stdout, self
        return self

    def __exit__(self, *error):
        self._thread = None
        while isinstance(sys.stdout, Prints) and sys.stdout._thread is None:  # else another thread's stands before it
            sys.stdout = sys.stdout._out

    def write(self, text):
        if threading.get_ident() == self._thread:
            self.text = (self.text + text)[-MOST_PRINTED:]
        return self._out.write(text)

    def __getattr__(self, name):
        return getattr(self._out, name)

    def as_html(self):
        style = "max-height: 12em; overflow: auto; margin: 0"
        return f"{say('Printed:')}<pre style='{style}'>{html.escape(self.text)}</pre>" if self.text else ""
