"""The guard over notebook cells: what it promises to see is shown to it once, and a healthy notebook is not blamed.

All notebooks of this file run in two pytests of their own, in a copy of the project's pytest configuration.
"""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval_guard import student_environment

ROOT = Path(__file__).parents[1]
PRINTED_1 = [new_output("stream", name="stdout", text="1\n")]
RAISED = [new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])]
FAIL = "def fail(*args):\n    1 / 0\n\nasync def fail_later():\n    1 / 0\n"


class Cell(NamedTuple):
    """A cell, and the words the guard must find for it; without words it must be green."""

    source: str
    words: str = ""
    tags: tuple = ()
    outputs: tuple = ()
    name: str = ""


# fmt: off
HEALTHY = [
    Cell("import asyncio, logging, os, sys, threading, time, warnings\nimport ipywidgets"),
    Cell("assert not [name for name in os.environ if name.startswith('PYTEST')]", name="no sign of a test"),
    Cell("warnings.warn('a')\nlogging.warning('b')\nprint('c', file=sys.stderr)", name="words on stderr"),
    Cell("for step in range(3):\n    print('step', step, end='\\r', flush=True)", name="progress"),
    Cell("moves, slider = [], ipywidgets.IntSlider()\n"
         "slider.observe(moves.append, names='value')\ndisplay(slider)\nslider.value = 5\nassert len(moves) == 1",
         name="widget"),
    Cell("handle = display('a', display_id=True)\nhandle.update('b')", name="updated display"),
    Cell("with ipywidgets.Output():\n    print('inside')", name="output area"),
    Cell("print(1)", tags=("nbval-check-output",), outputs=PRINTED_1, name="checked output"),
    Cell("1 / 0", tags=("raises-exception",), outputs=RAISED, name="promised error"),
    Cell("thread = threading.Thread(target=time.sleep, args=[0.1])\nthread.start()", name="thread"),
    Cell("task = asyncio.create_task(asyncio.sleep(0.1, 'result'))", name="task"),
    Cell("pending = asyncio.create_task(asyncio.sleep(0.1))\npending.cancel()", name="cancelled task"),
]

BROKEN = [
    Cell("import asyncio, gc, subprocess, sys, threading, warnings\nimport ipywidgets\n" + FAIL),
    Cell("1 / 0", "division by zero", name="plain error"),
    Cell("thread = threading.Thread(target=fail)\nthread.start()\nthread.join()", "Exception in thread", name="thread"),
    Cell("task = asyncio.create_task(fail_later())\nawait asyncio.sleep(0.01)\ndel task",
         "Task exception was never retrieved", name="asyncio task"),
    Cell("asyncio.get_running_loop().call_later(0, fail)\nawait asyncio.sleep(0.05)", "Exception in callback",
         name="call_later"),
    Cell("fail_later()\nNone", "was never awaited", name="coroutine never awaited"),
    Cell("slider = ipywidgets.IntSlider()\nslider.observe(fail, names='value')\nslider.value = 5", "ZeroDivision",
         name="observe"),
    Cell("button = ipywidgets.Button()\nbutton.on_click(fail)\nbutton.click()", "ZeroDivision", name="on_click"),
    Cell("ipywidgets.interact(fail, x=3)", "ZeroDivision", name="interact"),
    Cell("with ipywidgets.Output():\n    fail()", "ZeroDivision", name="output area"),
    Cell("message = {'comm_id': slider.comm.comm_id, 'data': {'method': 'update', 'state': {'value': 7}}}\n"
         "get_ipython().kernel.comm_manager.comm_msg(None, None, {'content': message})", "ZeroDivision",
         name="slider moved in the page"),
    Cell("slider.comm.on_msg(fail)\nget_ipython().kernel.comm_manager.comm_msg(None, None, {'content': message})",
         "Exception in comm_msg", name="logged by ipykernel"),
    Cell("try:\n    fail()\nexcept ZeroDivisionError:\n    get_ipython().kernel.log.exception('gone wrong')",
         "kernel logged an error", name="kernel log"),
    Cell("print('fine')", "raised nothing", ("raises-exception",), RAISED, name="promised error missing"),
    Cell("int('x')", "raised ValueError, but stored", ("raises-exception",), RAISED, name="other error"),
    Cell("button.click()\n1 / 0", "ZeroDivision", ("raises-exception",), RAISED, name="promised error and one more"),
    Cell("print(2)", "Cell outputs differ", ("nbval-check-output",), PRINTED_1, name="checked output differs"),
    Cell("!true", "whose failure nobody sees", name="shell command"),
    Cell("lines = !false", "whose failure nobody sees", name="captured shell command"),
    Cell("ran = subprocess.run([sys.executable, '-c', '1 / 0'])", "ZeroDivision", name="traceback of another process"),
    Cell("x = 1", name="a healthy cell after broken ones"),
]

LATE = [
    Cell("import asyncio, threading, time\n" + FAIL),
    Cell("thread = threading.Timer(0.3, fail)\nthread.start()", name="thread that fails later"),
    Cell("thread.join()", "Exception in thread", name="the cell after it"),
    Cell("def shout():\n    time.sleep(0.3)\n    raise ValueError('late thread')\n\n"
         "async def sigh():\n    raise ValueError('late task')\n\n"
         "def cry():\n    raise ValueError('late callback')\n\n"
         "threading.Thread(target=shout).start()\nkept = asyncio.create_task(sigh())\n"
         "handle = asyncio.get_running_loop().call_later(0.2, cry)", name="the last cell"),
]

SLOW = "import time\ntry:\n    time.sleep(60)\nexcept BaseException:\n    print('never mind')"
NOTEBOOKS = {
    "healthy": HEALTHY,
    "broken": BROKEN,
    "late": LATE,
    "slow": [Cell(SLOW, "ran longer than 2 s", name="swallowed time-out")],
    ".ipynb_checkpoints/old": [Cell("1 / 0")],
}
CASES = [
    pytest.param(notebook, number, cell, id=f"{notebook}-{cell.name or number}")
    for notebook, cells in NOTEBOOKS.items()
    if "checkpoints" not in notebook
    for number, cell in enumerate(cells)
]


def write_notebook(path, cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nodes = [
        new_code_cell(cell.source, metadata={"tags": [*cell.tags]}, outputs=[*cell.outputs], execution_count=number)
        for number, cell in enumerate(cells, start=1)
    ]
    nbformat.write(new_notebook(cells=nodes), path)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run all notebooks with the project's own configuration; return (notebook, test) -> failure text, "" if green."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conftest.py", "pyproject.toml", "tests/nbval_guard.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name, cells in NOTEBOOKS.items():
        write_notebook(folder / "notebooks" / f"{name}.ipynb", cells)
    runs = {  # the notebook that hangs beside the others, which get time on a busy machine
        "slow.xml": ["--nbval-cell-timeout=2", "notebooks/slow.ipynb"],
        "others.xml": ["--nbval-cell-timeout=30", "--ignore=notebooks/slow.ipynb"],
    }
    command, where = [sys.executable, "-m", "pytest", "--color=no"], {"cwd": folder, "env": student_environment()}
    where |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen([*command, f"--junitxml={name}", *options], **where) for name, options in runs.items()]
    found = {}
    for name, process in zip(runs, started, strict=True):
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 1, said
        for case in ET.parse(folder / name).iter("testcase"):
            notebook = case.get("classname").removeprefix("notebooks.").removesuffix(".ipynb")
            verdicts = [child.text for child in case if child.tag in ("failure", "error", "skipped")]
            found[notebook, case.get("name")] = "".join(verdicts)
    return found


@pytest.mark.parametrize(("notebook", "number", "cell"), CASES)
def test_broken_cells_are_red_and_healthy_ones_green(results, notebook, number, cell):
    found = results[notebook, f"Cell {number}"]
    assert cell.words in found
    assert bool(found) == bool(cell.words)


def test_what_fails_after_the_last_cell_is_red_and_a_healthy_notebook_is_green_to_the_end(results):
    found = results["late", "after the last cell"]
    assert all(words in found for words in ("late thread", "late task", "late callback"))
    assert results["healthy", "after the last cell"] == ""


def test_every_cell_and_every_end_was_a_test_but_no_checkpoint(results):
    expected = {name: len(cells) + 1 for name, cells in NOTEBOOKS.items() if "checkpoints" not in name}
    assert Counter(notebook for notebook, _ in results) == expected
