"""A pytest plugin that turns red what nbval lets pass although a reader would call it broken.

nbval runs every cell of a notebook and fails on the cell's own error. It does not see errors in threads, in asyncio
tasks, in `call_later` and those that ipykernel only logs, a time-out that the cell swallows, and tags that compare
nothing. The guard listens to every message of the kernel, also to those that arrive late, and after the last cell it
waits a moment for what is still under way. The kernel itself runs as it does in JupyterLab.
"""

import collections
import os
import re
import tempfile
import weakref
from queue import Empty

import nbval.plugin
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbval.kernel import RunningKernel, start_new_kernel
from nbval.plugin import IPyNbCell

BROKEN = re.compile(
    r"Traceback \(most recent call last\)|Exception in thread|Exception in callback|Exception ignored in"
    r"|exception was never retrieved|Task was destroyed but it is pending|was never awaited"
)
QUIET_SECONDS = 0.5  # ipykernel sends what a thread prints within 0.2 s

# Runs in the kernel after the last cell: waits up to 2 s for threads and tasks of the notebook, then prints the
# errors of finished tasks that nobody asked for; asyncio itself reports them only once the task is thrown away.
AFTER_THE_LAST_CELL = """
import asyncio, gc, sys, threading, time, traceback

def _under_way():
    threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    coroutines = [task.get_coro() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    files = [getattr(getattr(coroutine, "cr_code", None), "co_filename", "site-packages") for coroutine in coroutines]
    return threads or [file for file in files if "site-packages" not in file]

_deadline = time.monotonic() + 2
await asyncio.sleep(0.3)
while _under_way() and time.monotonic() < _deadline:
    await asyncio.sleep(0.05)
gc.collect()
for _future in [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Future)]:
    if _future.done() and _future._log_traceback:
        traceback.print_exception(_future.exception())
sys.stderr.flush()
"""


class WatchedKernel(RunningKernel):
    """nbval's kernel, with everything noted that the running cell's test does not look at."""

    def __init__(self, kernel_name, cwd=None, startup_timeout=60):
        self.number = None  # number of the cell that runs now
        self.number_of = {}  # message id -> number of the cell it belongs to
        self.raised = {}  # number -> name of the error that ended the cell, or None
        self.errors = []  # (number, text) of every error message not yet complained about
        self.stderr = collections.defaultdict(str)  # number -> text not yet complained about
        self.log = tempfile.TemporaryFile("a+", encoding="utf-8", errors="replace")  # noqa: SIM115 (lives as the kernel)
        self.log_position = 0  # how far it has been read; both sides share the file's own position
        weakref.finalize(self, self.log.close)
        where = {"cwd": cwd, "env": student_environment(), "stderr": self.log}  # there ipykernel logs widgets' errors
        self.km, self.kc = start_new_kernel(kernel_name=kernel_name, startup_timeout=startup_timeout, **where)
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input, allow_stdin=None):
        message_id = super().execute_cell_input(cell_input, allow_stdin)
        self.number_of[message_id] = self.number
        return message_id

    def get_message(self, stream, timeout=None):
        message = super().get_message(stream, timeout)
        self.note(message["msg_type"], message["content"], self.number_of.get(message["parent_header"].get("msg_id")))
        return message

    def note(self, kind, content, number):
        """Keep what tells of an error; `number` is that of the cell it belongs to, None if unknown."""
        if kind == "execute_reply":
            self.raised[number] = content.get("ename")
        elif kind == "error":
            self.errors.append((number, f"{content['ename']}: {content['evalue']}"))
        elif kind == "stream" and content["name"] == "stderr":
            self.stderr[number] += content["text"]

    def listen(self, seconds):
        """Read messages until none has come for so many seconds."""
        while True:
            try:
                self.get_message("iopub", timeout=seconds)
            except Empty:
                return

    def complaints(self):
        """Return a sentence for each thing that went wrong since the last call."""
        found = [f"{cause(number)} had an error: {text}" for number, text in self.errors]
        self.errors.clear()
        for number, text in self.stderr.items():
            if BROKEN.search(text):
                found.append(f"{cause(number)} wrote an error to stderr:\n{text}")
                self.stderr[number] = ""
        self.log.seek(self.log_position)
        logged, self.log_position = self.log.read(), self.log.tell()
        if BROKEN.search(logged):
            found.append(f"the kernel logged an error, as of a widget's message:\n{logged}")
        return found


def student_environment():
    """The environment without pytest's variables: ipykernel would obey them and hide what other processes write."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def cause(number):
    return "something that a cell started" if number is None else f"cell {number}"


class NotebookEnd(pytest.Item):
    """The test after a notebook's last cell: nothing fails late."""

    def runtest(self):
        kernel = self.parent.kernel
        if self.parent.timed_out:
            pytest.skip("a cell timed out")
        if not kernel.is_alive():
            pytest.fail("the kernel died", pytrace=False)
        kernel.number = None
        kernel.await_reply(kernel.execute_cell_input(AFTER_THE_LAST_CELL, allow_stdin=False), timeout=60)
        kernel.listen(QUIET_SECONDS)
        found = kernel.complaints()
        if found:
            pytest.fail("after the last cell:\n" + "\n".join(found), pytrace=False)

    def reportinfo(self):
        return self.path, None, f"{self.path.name}: after the last cell"


def pytest_configure():
    nbval.plugin.RunningKernel = WatchedKernel


@pytest.hookimpl(tryfirst=True)  # before -k deselects, so that the added tests can be deselected too
def pytest_collection_modifyitems(items):
    """Append a `NotebookEnd` to the cells of each notebook."""
    last = {item.parent: place for place, item in enumerate(items) if isinstance(item, IPyNbCell)}
    for notebook, place in sorted(last.items(), key=lambda pair: -pair[1]):
        items.insert(place + 1, NotebookEnd.from_parent(notebook, name="after the last cell"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Let nbval run and judge the cell; where it is content, judge once more."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    kernel, number = item.parent.kernel, item.cell_num
    kernel.number = number
    try:
        result = yield
    except BaseException:
        kernel.complaints()  # red already; the next cell is not to blame
        raise
    if item.options["check_exception"] and kernel.raised.get(number):
        kernel.errors.remove(next(error for error in reversed(kernel.errors) if error[0] == number))  # the promised one
    found = [*swallowed_timeout(item), *broken_promises(item), *shell_commands(item), *kernel.complaints()]
    if found:
        item.raise_cell_error("\n".join(found))
    return result


def swallowed_timeout(item):
    if item.parent.timed_out:
        yield f"ran longer than {item.config.option.nbval_cell_timeout:g} s and swallowed the interruption"


def broken_promises(item):
    """Complain of a promised error that does not come or is another one; tests/test_notebooks.py sees to other tags."""
    if item.options["check_exception"]:
        raised = item.parent.kernel.raised.get(item.cell_num)
        promised = [output.ename for output in item.cell.outputs if output.output_type == "error"]
        if raised is None:
            yield "tagged raises-exception, but raised nothing"
        elif promised != [raised]:
            yield f"raised {raised}, but stored is {promised}; run `make notebooks`"


def shell_commands(item):
    """Complain of `!command`: nobody would see it fail."""
    if re.search(r"get_ipython\(\)\.(system|getoutput)\(", TransformerManager().transform_cell(item.cell.source)):
        yield "has a shell command whose failure nobody sees; use subprocess.run(..., check=True)"
