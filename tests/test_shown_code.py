"""What a notebook shows is what the package runs: taught code stands in exactly one cell, line for line the same."""

import ast
import difflib
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
TAUGHT = [f"course_utils/{name}.py" for name in ("models", "prediction", "training", "text")]


def definitions(source):
    """Return name -> text of every top-level class and function, from its first decorator to its last line."""
    tree = compile(source, "<cell>", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(source.splitlines()[first - 1 : node.end_lineno])
    return found


def packaged(modules):
    """Return name -> (place, text) over modules given as path -> source."""
    return {name: (path, text) for path, source in modules.items() for name, text in definitions(source).items()}


def shown(notebooks):
    """Return a list of (name, place, text) over notebooks given as path -> notebook, without cells tagged `variant`."""
    found = []
    for path, notebook in notebooks.items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(cells):  # numbered as nbval does
            if "variant" not in cell.metadata.get("tags", []):
                found += [(name, f"{path} Cell {number}", text) for name, text in cell_definitions(cell).items()]
    return found


def cell_definitions(cell):
    try:
        return definitions(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        if "raises-exception" in cell.metadata.get("tags", []):  # shows a syntax error on purpose
            return {}
        raise


def problems(name, modules, notebooks):
    """Return a sentence or a diff for each way in which the packaged definition `name` is not what is shown."""
    place, text = packaged(modules)[name]
    copies = [(where, copy) for shown_name, where, copy in shown(notebooks) if shown_name == name]
    found = [difference(place, text, where, copy) for where, copy in copies if copy != text]
    if len(copies) > 1:
        places = ", ".join(where for where, _ in copies)
        found.append(f"{name} stands in {len(copies)} cells ({places}); show it once and import it elsewhere")
    if not copies and not name.startswith("check_"):  # these only word the error messages
        found.append(f"{name} of {place} stands in no notebook; give it a cell, or move it to another module")
    return found


def difference(place, text, where, copy):
    lines = difflib.unified_diff(text.splitlines(), copy.splitlines(), place, where, lineterm="")
    return "\n".join(["the two differ; change both, or tag the cell `variant` if it differs on purpose:", *lines])


MODULES = {path: (ROOT / path).read_text(encoding="utf-8") for path in TAUGHT}


@pytest.fixture(scope="module")
def notebooks():
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {f"notebooks/{path.name}": nbformat.read(path, as_version=4) for path in paths}


@pytest.mark.parametrize("name", packaged(MODULES))
def test_taught_code_is_shown_once_and_as_it_is(name, notebooks):
    found = problems(name, MODULES, notebooks)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# The checker itself, on made-up code.

CODE = '''@torch.no_grad()
def double(x):  # (B,)
    """Twice x."""

    return 2 * x
'''


def cell(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def made_up(*cells, code=CODE, name="double"):
    return problems(name, {"taught.py": code}, {"01.ipynb": nbformat.v4.new_notebook(cells=cells)})


def test_equal_code_passes_whatever_surrounds_it():
    """Magics and top-level await, other definitions, and methods or inner functions of the same name."""
    other = "class A:\n    def double(self):\n        def double(): ...\n"
    surrounded = f"%matplotlib inline\nimport torch\n\n{CODE}\n\nawait run(double(3))\n{other}"
    assert made_up(cell("x = 1"), nbformat.v4.new_markdown_cell(CODE), cell(surrounded)) == []


@pytest.mark.parametrize(("old", "new"), [
    ("@torch.no_grad()\n", ""),
    ("  # (B,)", ""),
    ("Twice", "Double"),
    ("\n\n    return", "\n    return"),
    ("2 * x", "x * 2"),
])  # fmt: skip
def test_any_changed_line_is_red_and_the_message_shows_it(old, new):
    [message] = made_up(cell(CODE.replace(old, new)))
    assert re.search("taught.py.*01.ipynb Cell 0", message, re.DOTALL)
    assert any(line.startswith(("-", "+")) for line in message.splitlines()[3:])


def test_missing_and_doubled_code_is_red_and_a_variant_does_not_count():
    variant = cell(CODE.replace("2 * x", "x + x"), "variant")
    assert made_up(cell(CODE), variant) == []
    for cells in ([cell("x = 1")], [variant]):
        assert "stands in no notebook" in made_up(*cells)[0]
    [doubled] = made_up(cell(CODE), cell(CODE))
    assert "2 cells (01.ipynb Cell 0, 01.ipynb Cell 1)" in doubled


def test_a_syntax_error_shown_on_purpose_is_skipped_others_are_not():
    assert made_up(cell(CODE), cell("def (", "raises-exception")) == []
    with pytest.raises(SyntaxError):
        made_up(cell("def ("))


def test_checks_need_not_be_shown_but_may_not_differ():
    check = "def check_size(x):\n    assert len(x)\n"
    assert made_up(cell("x = 1"), code=check, name="check_size") == []
    assert "the two differ" in made_up(cell(check.replace("len(x)", "x")), code=check, name="check_size")[0]
