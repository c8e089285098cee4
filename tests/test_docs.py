"""The pages in docs/ say of the notebooks what is so."""

import re
from pathlib import Path

import make_handout
import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = {path.name[:2]: nbformat.read(path, 4) for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb"))}
WORDS = {number: "\n".join(cell.source for cell in notebook.cells).lower() for number, notebook in NOTEBOOKS.items()}
TERMS = re.findall(r"^\| ([^|]+?) \|.*\| (\d\d) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_glossary_is_in_order_and_each_term_stands_in_it_once():
    terms = [term.lower() for term, _ in TERMS]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


@pytest.mark.parametrize(("term", "first"), TERMS)
def test_the_glossary_names_the_notebook_that_uses_a_term_first(term, first):
    using = [number for number, text in WORDS.items() if number != "00" and term.lower() in text]
    assert using, f"no notebook speaks of {term}"
    assert using[0] == first


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_every_notebook_links_to_the_glossary_before_its_first_code_cell(number):
    cells = NOTEBOOKS[number].cells
    first = next(place for place, cell in enumerate(cells) if cell.cell_type == "code")
    assert any("(../docs/glossary.md)" in cell.source for cell in cells[:first])


@pytest.mark.parametrize("number", ["00", "03"])
def test_the_handout_loads_nothing_and_its_links_lead_somewhere(number):
    html = make_handout.page(NOTEBOOKS[number])
    assert not re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""", html)
    targets = {target.split("#")[0] for target in re.findall(r'<a [^>]*?href="([^":]+)"', html)} - {""}
    pages = {f"{path.stem}.html" for path in (DOCS.parent / "notebooks").glob("*.ipynb")}
    assert targets & pages
    assert {target for target in targets - pages if not (DOCS / target).exists()} == set()
