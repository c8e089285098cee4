"""The core path: the cells tagged `core` are one lesson of about 90 minutes, and they run without the others."""

import builtins
import shutil
import symtable

import make_core
import nbformat
import pytest
from make_slides import ROOT, minutes
from test_notebooks import PATHS, has_living_links

GIVEN = set(dir(builtins)) | {"__name__", "display"}  # what a kernel knows before the first cell
LESSON = {path.stem: path for path in PATHS if path.stem[:2] in ("01", "02", "03", "04", "06")}


def core(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if "core" in cell.metadata.get("tags", [])]


def defined(table):
    """The names that a cell gives to the cells after it."""
    return {name.get_name() for name in table.get_symbols() if name.is_assigned() or name.is_imported()}


def read(table):
    """The global names that a cell reads, also in its functions and comprehensions."""
    own = {name.get_name() for name in table.get_symbols()
           if name.is_referenced() and (name.is_global() or table.get_type() == "module")}  # fmt: skip
    return own.union(*(read(child) for child in table.get_children()))


def missing(sources):
    """One sentence for every name that no cell before defines."""
    known = set(GIVEN)
    for number, source in enumerate(sources):
        table = symtable.symtable(source, "<cell>", "exec")
        known |= defined(table)
        yield from (f"core cell {number} reads {name}: {source[:60]!r}" for name in sorted(read(table) - known))


def test_the_core_path_takes_about_ninety_minutes():
    taken = {name: minutes(core(path)) for name, path in LESSON.items()}
    assert min(taken.values()) >= 5, taken
    assert 85 <= sum(taken.values()) <= 92, taken


@pytest.mark.parametrize("path", LESSON.values(), ids=LESSON)
def test_a_core_cell_needs_no_cell_that_is_left_out(path):
    assert list(missing(cell.source for cell in core(path) if cell.cell_type == "code")) == []


@pytest.mark.parametrize("path", LESSON.values(), ids=LESSON)
def test_the_core_path_opens_with_the_title(path):
    assert core(path)[0].source.startswith("# ")


@pytest.mark.parametrize(("sources", "count"), [
    (["x = 1", "print(x)"], 0),
    (["print(x)"], 1),
    (["def f(y):\n    return y + x"], 1),
    (["import torch", "def f(y):\n    z = torch.ones(y)\n    return [z for _ in range(3)]", "f(1)"], 0),
    (["[a for a in rows]"], 1),
    (["def f():\n    inner = 1", "inner"], 1),
])  # fmt: skip
def test_a_name_that_nobody_defines_is_found(sources, count):
    assert len(list(missing(sources))) == count


def test_the_core_notebooks_hold_the_core_cells_as_they_are_and_their_links_live(tmp_path):
    for name in ("docs", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    make_core.main(tmp_path / "core")
    written = {path.stem: nbformat.read(path, as_version=4) for path in (tmp_path / "core").glob("*.ipynb")}
    assert written.keys() == LESSON.keys()
    for name, notebook in written.items():
        nbformat.validate(notebook)
        whole = [{**cell, "source": make_core.linked(cell.source, [path.name for path in LESSON.values()])}
                 if cell.cell_type == "markdown" else cell for cell in core(LESSON[name])]  # fmt: skip
        assert notebook.cells == whole
        assert list(has_living_links(notebook, tmp_path / "core")) == []
        chinese = nbformat.read(tmp_path / "core" / "zh" / f"{name}.ipynb", as_version=4)
        assert [cell.id for cell in chinese.cells] == [cell.id for cell in notebook.cells]
        assert list(has_living_links(chinese, tmp_path / "core" / "zh")) == []


def test_a_link_to_a_notebook_that_is_left_out_leads_to_the_whole_one():
    source = '[a](01.ipynb), [b](05.ipynb#top), <a href="05.ipynb">, [c](../docs/05.ipynb), [d](https://x.y/05.ipynb)'
    linked = make_core.linked(source, ["01.ipynb"])
    assert linked == source.replace("(05", "(../notebooks/05").replace('"05', '"../notebooks/05')
