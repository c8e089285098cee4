"""The pages in docs/ say of the notebooks what is so."""

import json
import re
from pathlib import Path

import make_handout
import nbformat
import pytest
from make_slides import minutes, sections, stored

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = {path.name[:2]: nbformat.read(path, 4) for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb"))}
WORDS = {number: "\n".join(cell.source for cell in notebook.cells).lower() for number, notebook in NOTEBOOKS.items()}
TERMS = re.findall(r"^\| ([^|]+?) \|.*\| (\d\d) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)


def plan():
    """(notebook, section, minutes, minutes of the core path, measured seconds) for all before the exercises."""
    measured = json.loads((DOCS.parent / "benchmarks" / "results.json").read_text(encoding="utf-8"))["notebooks"]
    seconds = {name[:2]: sections for name, (_, _, sections) in measured.items()}
    for number, notebook in NOTEBOOKS.items():
        for name, cells in sections(notebook).items():
            core = [cell for cell in cells if "core" in cell.metadata.get("tags", [])]
            yield number, name, round(minutes(cells)), round(minutes(core)), round(seconds[number][name])


def test_the_plan_counts_the_minutes_and_shows_the_seconds_of_every_section():
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) \| (.*) \| (\d+) \| (\d*) \| (\d*) \|$", text, re.MULTILINE)
    assert [(number, name, *(int(each or 0) for each in figures)) for number, name, *figures in rows] == [*plan()]


def test_the_glossary_is_in_order_and_each_term_stands_in_it_once():
    terms = [term.lower() for term, _ in TERMS]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


def test_the_chinese_glossary_has_the_same_terms_symbols_and_places():
    english, chinese = ((DOCS / name).read_text(encoding="utf-8") for name in ("glossary.md", "glossary.zh.md"))
    rows = [re.findall(r"^\| ([^|]+) \|.*\|([^|]*)\|[^|]*\| (\d\d) \|$", text, re.M) for text in (english, chinese)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(TERMS)


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
    pages = {path.relative_to(DOCS.parent / "notebooks").with_suffix(".html").as_posix() for path in stored()}
    assert targets & pages
    assert {target for target in targets - pages if not (DOCS / target).exists()} == set()
