"""Storing a notebook keeps what a reader sees and drops what changes by itself."""

import base64
import io
import re
import subprocess
import sys

import nbformat
import pytest
import store_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

TOOL = store_notebooks.__file__
VIEW = store_notebooks.WIDGET
# two pixels in full colour
BLUE = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGNkKNrEwMAAAAUQASZncJzTAAAAAElFTkSuQmCC"
SOURCES = {
    "progress": "import asyncio, sys, warnings\nimport ipywidgets\n\n"
    "for step in range(3):\n    print('step', step, end='\\r', flush=True)\nprint('done', 3)",
    "live": "print('before')\nhandle = display('first picture', display_id=True)\nprint('after')",
    "update": "handle.update('second picture')",
    "widget": "class Lab(ipywidgets.VBox):\n"
    "    def _repr_mimebundle_(self, **options):\n"
    f"        return {{**super()._repr_mimebundle_(**options), 'image/png': '{BLUE}'}}\n\n"
    "Lab([ipywidgets.IntSlider()])",
    "warning": "warnings.warn('careful')",
    "promised error": "import json\njson.loads('{')",
    "task": "async def late():\n    await asyncio.sleep(0.3)\n"
    "    handle.update('last picture')\n    print('last words')\n\n"
    "task = asyncio.create_task(late())",
}


def made_up(*sources):
    cells = [
        new_code_cell(source, metadata={"tags": ["raises-exception"]} if "json" in source else {}) for source in sources
    ]
    return new_notebook(cells=[new_markdown_cell("# Made up"), *cells], metadata={"vscode": {}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with notebooks that went through the tool, and what it printed."""
    folder = tmp_path_factory.mktemp("notebooks")
    nbformat.write(made_up(*SOURCES.values()), folder / "good.ipynb")
    nbformat.write(made_up("print('fine')", "1 / 0"), folder / "bad.ipynb")
    click = "import ipywidgets\nbutton = ipywidgets.Button()\nbutton.on_click(lambda button: 1 / 0)\nbutton.click()"
    nbformat.write(made_up(click), folder / "callback.ipynb")
    command = [sys.executable, TOOL, *sorted(folder.glob("*.ipynb"))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    (folder / "printed.txt").write_text(f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def printed(folder):
    return (folder / "printed.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stored(folder):
    """Name of a source -> its stored outputs."""
    cells = nbformat.read(folder / "good.ipynb", as_version=4).cells[1:]
    return {name: cell.outputs for name, cell in zip(SOURCES, cells, strict=True)}


def test_seconds_and_memory_are_printed_for_each_notebook(printed):
    for name in ("good", "bad", "callback"):
        assert 10 < int(re.search(rf"{name}.ipynb: \d+ s, (\d+) MB at most", printed)[1]) < 10_000


def test_a_notebook_with_an_error_is_refused_and_left_alone(folder, printed):
    assert printed.startswith("1\n")
    assert printed.count("not stored") == 2
    assert "ZeroDivisionError" in printed
    for name in ("bad", "callback"):
        cells = nbformat.read(folder / f"{name}.ipynb", as_version=4).cells[1:]
        assert {cell.execution_count for cell in cells} == {None}


def test_numbers_metadata_and_text_are_the_same_everywhere(folder):
    notebook = nbformat.read(folder / "good.ipynb", as_version=4)
    assert [cell.execution_count for cell in notebook.cells[1:]] == list(range(1, len(SOURCES) + 1))
    assert notebook.metadata == store_notebooks.NOTEBOOK_METADATA
    assert [dict(cell.metadata) for cell in notebook.cells if cell.metadata] == [{"tags": ["raises-exception"]}]
    text = (folder / "good.ipynb").read_text(encoding="utf-8")
    assert text.startswith('{\n "cells": [')
    assert re.search(r"\S\n\Z", text)
    assert not re.search(rf"{re.escape(sys.prefix)}|ipykernel_", text)


def test_progress_keeps_its_last_line_and_a_display_its_last_picture_also_if_a_task_drew_it_late(stored):
    assert [output.text for output in stored["progress"]] == ["done 3\n"]
    before, picture, after = stored["live"]
    assert picture.data["text/plain"] == "'last picture'"
    assert (before.text, after.text) == ("before\n", "after\n")  # in the order in which they were shown
    assert stored["update"] == []
    assert [output.text for output in stored["task"]] == ["last words\n"]


def test_a_widget_keeps_its_picture_and_gets_a_lasting_id(stored):
    [output] = stored["widget"]
    kept, shown = (Image.open(io.BytesIO(base64.b64decode(data))) for data in (output.data["image/png"], BLUE))
    assert kept.mode == "P"  # with a palette: half of the bytes
    assert (kept.size, kept.convert("RGB").tobytes()) == (shown.size, shown.convert("RGB").tobytes())
    assert output.data[VIEW]["model_id"] == f"{4:032x}"


def test_promised_errors_and_warnings_are_stored_without_machine_paths(stored):
    [error] = stored["promised error"]
    assert error.ename == "JSONDecodeError"
    assert re.search(r"(?<!/)python3\.\d+/json/decoder\.py", "".join(error.traceback))
    [warning] = stored["warning"]
    assert "<cell>:1: UserWarning: careful" in warning.text


def test_clean_only_removes_widget_state_and_timings_and_says_so_once(tmp_path, capsys):
    cell = new_code_cell("1", execution_count=7, metadata={"tags": ["a"], "execution": {"x": "2026"}, "scrolled": True})
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[cell], metadata={"widgets": {"application/x": {"state": {}}}}), path)
    assert store_notebooks.main(["--clean-only", str(path)]) == 1
    assert "cleaned" in capsys.readouterr().out
    assert store_notebooks.main(["--clean-only", str(path)]) == 0
    assert capsys.readouterr().out == ""
    kept = nbformat.read(path, as_version=4)
    assert "widgets" not in kept.metadata
    assert kept.cells == [nbformat.from_dict({**cell, "metadata": {"tags": ["a"]}})]


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        store_notebooks.main([str(tmp_path / "gone.ipynb")])
    assert "no such file" in capsys.readouterr().err


def test_clean_leaves_its_argument_alone_and_is_done_after_one_time():
    text = new_output("stream", name="stderr", text="/a/b/site-packages/c.py:1\n")
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[text, text])], metadata={"widgets": {}})
    cleaned = store_notebooks.clean(notebook)
    assert "widgets" in notebook.metadata
    assert notebook.cells[0].outputs[0].text == "/a/b/site-packages/c.py:1\n"
    assert store_notebooks.clean(cleaned) == cleaned


@pytest.mark.parametrize(("long", "short"), [
    ("\x1b[32m/srv/a/.venv/lib/python3.11/site-packages/torch/x.py:3", "\x1b[32msite-packages/torch/x.py:3"),
    ("~/.pyenv/versions/3.11.7/lib/python3.11/json/decoder.py", "python3.11/json/decoder.py"),
    (r'File "C:\Users\A\.venv\Lib\site-packages\torch\x.py"', r'File "site-packages\torch\x.py"'),
    ("in /srv/course/course_utils/text.py", "in course_utils/text.py"),
    ("/var/folders/ipykernel_12/345.py:1: UserWarning", "<cell>:1: UserWarning"),
    ("1/2 and course_utils/text.py", "1/2 and course_utils/text.py"),
])  # fmt: skip
def test_shorten(long, short):
    assert store_notebooks.shorten(long) == short
