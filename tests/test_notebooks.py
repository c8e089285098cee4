"""How the notebooks are stored and written: what a reader on GitHub sees, before anything runs."""

import ast
import itertools
import re
import statistics
from urllib.parse import unquote

import nbformat
import pytest
import store_notebooks
from make_slides import lesson, minutes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

FOLDER = store_notebooks.NOTEBOOKS
PATHS = sorted(FOLDER.glob("*.ipynb"))
MACHINE = re.compile(
    r"(?<![\w.:/~])/(?:home|Users|root|work|opt|tmp|mnt|srv|var|usr|private)/\w|[A-Za-z]:\\+Users|[\w.~]/site-packages"
    r"|Looking in indexes|://[^/\s]*(?:pypi|artifactory|nexus|mirror|proxy)"
)
BYTES = 600_000
CODE_COLUMNS, PRINTED_COLUMNS = 88, 100  # shown beside an open file browser; a printed line scrolls a little
TAUGHT = [FOLDER.parent / "course_utils" / f"{name}.py" for name in ("models", "prediction", "text", "training")]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def outputs(notebook):
    """Return (number of the cell as nbval counts, cell, output) for every output."""
    return [(number, cell, output) for number, cell in enumerate(code(notebook)) for output in cell.outputs]


# Each check takes a notebook and the folder it lies in, and yields one sentence for everything that is wrong.


def is_stored_as_the_tool_stores(notebook, folder):
    nbformat.validate(notebook)
    if store_notebooks.clean(notebook) != notebook:
        yield "is not stored as `make notebooks` does, which drops widget state, timings and versions; run it"


def was_executed_from_top_to_bottom(notebook, folder):
    counts = [cell.execution_count for cell in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"was executed in the order {counts}; run `make notebooks`"


def has_no_error_but_the_promised_ones(notebook, folder):
    yield from store_notebooks.errors(notebook)


def names_no_machine(notebook, folder):
    texts = [(f"cell {place}", cell.source) for place, cell in enumerate(notebook.cells)]
    texts += [(f"the output of Cell {number}", readable(output)) for number, _, output in outputs(notebook)]
    yield from (f"{where} has {found[0]!r}" for where, text in texts if (found := MACHINE.search(text)))


def readable(output):
    """All text of an output, without colours: printed, error, and every textual form of what was displayed."""
    data = [text for kind, text in output.get("data", {}).items() if kind.startswith(("text/", "image/svg"))]
    text = "\n".join([output.get("text", ""), output.get("evalue", ""), *output.get("traceback", []), *data])
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def loads_nothing_from_the_network(notebook, folder):
    loading = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//", re.IGNORECASE)
    for number, _, output in outputs(notebook):
        if found := loading.search(readable(output)):
            yield f"the output of Cell {number} loads {found[0]}"


def has_short_cells(notebook, folder):
    lines = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in code(notebook)]
    if statistics.median(lines) > 5:
        yield f"the median code cell has {statistics.median(lines):g} lines; at most 5"
    if sum(length <= 20 for length in lines) < 0.9 * len(lines):
        yield f"nine of ten code cells must have at most 20 lines; the longest have {sorted(lines)[-5:]}"
    if max(lines) > 40:
        yield f"a code cell has {max(lines)} lines; at most 40"
    if min(lines) == 0:
        yield "a code cell is empty"


def fits_the_page(notebook, folder):
    for number, cell in enumerate(code(notebook)):
        yield from (f"Cell {number} is too wide: {line}" for line in too_wide(cell.source, CODE_COLUMNS))
    for number, _, output in outputs(notebook):
        yield from (f"Cell {number} prints too wide: {line}" for line in too_wide(printed(output), PRINTED_COLUMNS))


def prints_no_warning(notebook, folder):
    for number, _, output in outputs(notebook):
        if output.get("name") == "stderr":
            yield f"Cell {number} prints a warning: {output.text.strip()[:80]}"


def too_wide(text, columns):
    return [line for line in text.splitlines() if len(line) > columns]


def printed(output):
    """The text of an output that a reader sees as text: not that beside a picture or a widget, and no traceback."""
    data = output.get("data", {})
    return output.get("text", "") or (data["text/plain"] if list(data) == ["text/plain"] else "")


def explains_its_cells(notebook, folder):
    ratio = len(markdown(notebook)) / len(code(notebook))
    if not 0.5 <= ratio <= 2.5:
        yield f"has {ratio:.1f} text cells for each code cell; between 0.5 and 2.5"


def shows_something_beside_every_widget(notebook, folder):
    for number, _, output in outputs(notebook):
        data = output.get("data", {})
        if store_notebooks.WIDGET in data and not {"image/png", "text/html"} & set(data):
            yield f"the widget of Cell {number} has no image/png (or text/html); GitHub will show nothing of it"


def checks_only_what_it_stores(notebook, folder):
    for number, cell in enumerate(code(notebook)):
        tags = cell.metadata.get("tags", [])
        unknown = set(tags) - {"core", "nbval-check-output", "raises-exception", "variant"}
        if unknown:
            yield f"Cell {number} has unknown tags {sorted(unknown)}"
        if "nbval-check-output" in tags and not any(readable(output).strip() for output in cell.outputs):
            yield f"Cell {number} is tagged nbval-check-output, but has no text to compare"


def says_what_its_checks_compare(notebook, folder):
    """A check that fails is a finding of a reader who may have changed something; a bare AssertionError is none."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for number, cell in enumerate(code(notebook)):
        for node in ast.walk(compile(cell.source, "<cell>", "exec", flags)):
            if isinstance(node, ast.Assert) and node.msg is None:
                yield f"Cell {number} does not say what it checks: {ast.unparse(node)}"


def chooses_its_threads_before_it_trains(notebook, folder):
    """Beside another program, or in a container, torch's own number of threads can be a hundred times slower."""
    chosen = False
    for number, cell in enumerate(code(notebook)):
        chosen = chosen or re.search(r"\b(choose_threads|try_gpu|set_num_threads)\(", cell.source)
        if not chosen and re.search(r"\b(train\w*|epochs)\(|\.backward\(", cell.source):
            yield f"Cell {number} trains, and no cell before it calls choose_threads() or try_gpu()"


def has_living_links(notebook, folder):
    for cell in markdown(notebook):
        for link in re.findall(r"\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"", cell.source):
            target = unquote("".join(link).split("#")[0])
            if target and not re.match(r"[a-z]+:", target) and not (folder / target).exists():
                yield f"links to {target}, which does not exist"


def opens_with_title_time_and_prerequisites(notebook, folder):
    cells = itertools.takewhile(lambda cell: cell.cell_type == "markdown", notebook.cells)
    text = "\n".join(cell.source for cell in cells)
    needed = {"title": r"\A# ", "time": r"\d+ (minutes|hours)", "prerequisites": "rerequisites", "axes": "ension key"}
    for word, pattern in needed.items():
        if not re.search(pattern, text):
            yield f"says nothing of {word} before its first code cell"


def claims_the_minutes_it_takes(notebook, folder):
    """130 words a minute and a minute for each code cell, as notebook 00 says; exercises are not counted."""
    read = lesson(notebook)
    taken = minutes(read)
    claimed = [int(number) for number in re.findall(r"about (\d+) minutes", read[0].source)]
    if not claimed or abs(claimed[0] / taken - 1) > 0.2:
        yield f"claims {claimed} minutes; its words and cells take about {taken:.0f}"


def closes_with_what_we_saw(notebook, folder):
    if not re.search(r"^#+ What we saw", "\n".join(cell.source for cell in markdown(notebook)), re.MULTILINE):
        yield 'has no section "What we saw"'
    if not re.search(r"\.ipynb[#)]", notebook.cells[-1].source):
        yield "does not end with a link to the next notebook"


# A made-up notebook, and how each check must be broken in it.

OPENING = "# Title\n\n**Time:** about 2 minutes. **Prerequisites:** none.\n\n**Dimension key:** **T** time steps."
CLOSING = "## What we saw\n\n- Much.\n\nNext: [01](01.ipynb#top) and [elsewhere](https://example.org/x)"
PRINTED = new_output("stream", name="stdout", text="(2, 5)\n")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQMAAAAl21bKAAAAA1BMVEUAcrKfHPQOAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
PICTURED = new_output("display_data", data={store_notebooks.WIDGET: {"model_id": f"{2:032x}"}, "image/png": PNG})


def good():
    compared = {"tags": ["nbval-check-output"]}
    shape = new_code_cell("print(X.shape)", execution_count=1, outputs=[PRINTED], metadata=compared)
    lab = new_code_cell("Lab()", execution_count=2, outputs=[PICTURED])
    cells = [new_markdown_cell(OPENING), shape, lab, new_markdown_cell(CLOSING)]
    return nbformat.from_dict(new_notebook(cells=cells, metadata=store_notebooks.NOTEBOOK_METADATA))


def put(place, **changes):
    return lambda notebook: notebook.cells[place].update(changes)


def printing(text):
    return put(1, outputs=[nbformat.from_dict({"output_type": "stream", "name": "stdout", "text": text})])


def showing(kind, text):
    return put(1, outputs=[nbformat.from_dict({"output_type": "display_data", "metadata": {}, "data": {kind: text}})])


def text(old, new, place=0):
    return put(place, source={0: OPENING, 3: CLOSING}[place].replace(old, new))


WORKSPACE = "/" + "work/main"  # in two pieces: no file of the project names a machine's folder
BREAKS = [
    (is_stored_as_the_tool_stores, lambda nb: nb.metadata.update(widgets={})),
    (is_stored_as_the_tool_stores, lambda nb: nb.cells[1].metadata.update(execution={})),
    (was_executed_from_top_to_bottom, put(1, execution_count=None)),
    (was_executed_from_top_to_bottom, lambda nb: nb.cells.insert(1, nb.cells.pop(2))),
    (has_no_error_but_the_promised_ones, put(1, outputs=[new_output("error", ename="E", evalue="")])),
    (names_no_machine, put(1, source=f"open('{WORKSPACE}/a.txt')")),
    (names_no_machine, printing(f"saved in {WORKSPACE}")),
    (names_no_machine, printing(f"File \x1b[32m{WORKSPACE}/a.py\x1b[0m")),
    (names_no_machine, printing("C:\\Users\\me")),
    (names_no_machine, printing("~/.venv/lib/python3.11/site-packages/torch")),
    (names_no_machine, printing("from https://pypi.example.org/simple")),
    (names_no_machine, showing("text/html", f"<b>{WORKSPACE}</b>")),
    (loads_nothing_from_the_network, showing("text/html", "<img src='//cdn/x.js'>")),
    (has_short_cells, put(1, source="x = 1\n" * 41)),
    (has_short_cells, put(1, source="x = 1\n" * 21)),
    (has_short_cells, put(1, source="x = 1\n" * 10)),
    (has_short_cells, put(1, source="\n")),
    (fits_the_page, put(1, source="x = 1\n" + "x" * 89)),
    (fits_the_page, printing("a line\n" + "x" * 101)),
    (fits_the_page, showing("text/plain", "x" * 101)),
    (prints_no_warning, put(1, outputs=[new_output("stream", name="stderr", text="UserWarning: mislabeled")])),
    (explains_its_cells, lambda nb: nb.cells.extend([new_code_cell("1")] * 6)),
    (explains_its_cells, lambda nb: nb.cells.extend([new_markdown_cell("a")] * 6)),
    (shows_something_beside_every_widget, lambda nb: nb.cells[2].outputs[0].data.pop("image/png")),
    (checks_only_what_it_stores, put(1, outputs=[])),
    (checks_only_what_it_stores, lambda nb: nb.cells[1].metadata.update(tags=["nbval-chek-output"])),
    (says_what_its_checks_compare, put(1, source="for x in X:\n    assert x > 0")),
    (chooses_its_threads_before_it_trains, put(1, source="loss.backward()\ntry_gpu")),
    (chooses_its_threads_before_it_trains, put(1, source="train(net)")),
    (has_living_links, text("# Title", "# [gone](gone.ipynb)")),
    (has_living_links, text("# Title", '# <img src="gone.png">')),
    (opens_with_title_time_and_prerequisites, text("# Title", "Title")),
    (opens_with_title_time_and_prerequisites, text("2 minutes", "long")),
    (opens_with_title_time_and_prerequisites, text("Prerequisites", "Tools")),
    (claims_the_minutes_it_takes, text("2 minutes", "3 minutes")),
    (claims_the_minutes_it_takes, text("2 minutes", "1 hour")),
    (closes_with_what_we_saw, text("saw", "did", 3)),
    (closes_with_what_we_saw, text("01.ipynb#top", "x", 3)),
]


CHECKS = list(dict.fromkeys(check for check, _ in BREAKS))  # no check that was not seen red


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_notebook(path, check):
    found = list(check(nbformat.read(path, as_version=4), path.parent))
    if found:
        pytest.fail("\n".join(f"{path.name} {sentence}" for sentence in found), pytrace=False)


def test_the_map_and_the_sum_are_those_of_the_notebooks():
    openings = [nbformat.read(path, as_version=4).cells for path in PATHS]
    claimed = [int(re.search(r"about (\d+) minutes", cells[0].source)[1]) for cells in openings]
    rows = re.findall(r"\.ipynb\) \|.*\| (\d+) \|$", openings[0][1].source, re.MULTILINE)
    assert [int(minutes) for minutes in rows] == claimed[1:]
    assert sum(claimed) / 60 == pytest.approx(int(re.search(r"about (\d+) hours", openings[0][0].source)[1]), abs=0.5)


def test_notebooks_are_small_enough_for_github_to_show():
    sizes = {path.name: path.stat().st_size for path in PATHS}
    assert "00_start_here.ipynb" in sizes
    assert {name: size for name, size in sizes.items() if size >= BYTES} == {}


@pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)
def test_what_the_package_teaches_is_as_narrow_as_a_cell(path):
    assert too_wide(path.read_text(encoding="utf-8"), CODE_COLUMNS) == []


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "01.ipynb").touch()
    return tmp_path


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_a_good_notebook_passes(check, folder):
    assert list(check(good(), folder)) == []


@pytest.mark.parametrize(("check", "break_it"), BREAKS, ids=[check.__name__ for check, _ in BREAKS])
def test_a_broken_notebook_is_red(check, break_it, folder):
    notebook = good()
    break_it(notebook)
    assert list(check(notebook, folder))
