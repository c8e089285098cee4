"""The core path: the cells tagged `core` are one lesson of about 90 minutes, and they run without the others."""

import builtins
import symtable

import nbformat
import pytest
from make_slides import minutes
from test_notebooks import PATHS

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
