"""What code says to a reader, in Chinese: translations/zh/course.po, and the catalogue that gettext reads.

    python tools/translate_code.py           compile the catalogue; the exit code is 1 if something has no translation
    python tools/translate_code.py --add F   put the pairs of a JSON file, English -> Chinese, into course.po first

Labs and figures call `say` or `caption` with an English text. Guesses, figures in cells and exercises bring theirs.
"""

import argparse
import ast
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "translations" / "zh" / "course.po"
CATALOGUE = ROOT / "course_utils" / "data" / "zh" / "LC_MESSAGES" / "course.mo"
WRITTEN = datetime(2026, 11, 28, tzinfo=UTC)  # in the catalogue's head, so that it is the same whenever it is compiled
KINDS = {"dict", "list", "tuple"}  # of results, which a check names
SHOWN = {"x", "y", "title"}  # what a figure of a notebook is given
SHOWING = re.compile(r"course_utils/(plots/|widgets/|train_live|checkpoints)")  # all that has several words, but for
NOT_SHOWN = {  # words for matplotlib, for a file, for Python, for whoever writes code
    "axes fraction", "offset points", "lower left", "outside lower center", "Failed to find font weight",
    "from elsewhere", "trained by", "name state sentence picture", "<an edit of the solution>", "before the training",
    "a list of results of sweep, of two settings or more", "a dictionary, name -> (recipe, its lr)",
    "a list of answers, or (low, high) or (low, high, step) with low < high and step > 0",
}  # fmt: skip


def strings(node, left_out=()):
    """All plain strings in a piece of code, without the pieces of those that are put together, and without some."""
    pieces = {part for each in ast.walk(node) if isinstance(each, ast.JoinedStr) for part in each.values}
    constants = (each for each in ast.walk(node) if isinstance(each, ast.Constant) and each not in pieces)
    return [each.value for each in constants if isinstance(each.value, str) and each not in left_out]


def calls(tree, *names):
    """(call, name) for each call of a function or method with one of the names; with no names for each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if not names or name in names:
                yield node, name


def of_package(tree):
    """The texts of `say` and `caption`, also where an if chooses between two, or where they have a name."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    for call, _ in calls(tree, "say", "caption"):
        name = getattr(call.args[0], "id", None)
        texts = [node.value for node in named if node.targets[0].id == name] if name else call.args[:1]
        yield from (text for each in texts for text in choices(each))


def choices(node):
    """The texts that an expression may be: one string, or those of an if."""
    if isinstance(node, ast.IfExp):
        yield from (*choices(node.body), *choices(node.orelse))
    elif isinstance(node, ast.Constant) and node.value:
        yield node.value


def of_labs(tree):
    """The strings of several words, but for docstrings, style sheets and what an error says."""
    errors = (part for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node))
    docstrings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    texts = {text for text in strings(tree, {*errors, *docstrings}) if re.search("[a-z]{2,} [a-z]{2,}", text)}
    yield from (text for text in texts - NOT_SHOWN if "<style>" not in text)


def of_cell(tree):
    """The question, the answers and the unit of a guess; what stands at the axes of a figure, and over it."""
    for call, _ in calls(tree, "Guess"):
        yield from (text for part in call.args[1:] for text in strings(part))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("question", "answers"):
            yield from strings(node.value)
    for call, _ in calls(tree):
        if getattr(getattr(call.func, "value", None), "id", "") == "plots":
            yield from (text for each in call.keywords if each.arg in SHOWN for text in strings(each.value))


def of_solution(tree):
    """The sentences for typical errors, and what stands at the axes of a picture."""
    named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    yield from (ast.literal_eval(each.elts[2]) for each in named["ERRORS"].elts)
    if "PICTURE" in named:
        yield from (text for name, text in ast.literal_eval(named["PICTURE"]).items() if name in SHOWN)


def files():
    """(path, tree) for each file of the package and each solution, then for each cell of the notebooks."""
    for folder in ("course_utils", "solutions"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and not cell.source.startswith("%"):
                yield path, ast.parse(cell.source)


def wanted():
    """Text -> where it stands, for all that code says."""
    found = {}
    for path, tree in files():
        finders = [of_labs] if SHOWING.search(path.as_posix()) else []
        finders += {"solutions": [of_solution], "notebooks": [of_cell, of_package]}.get(path.parent.name, [of_package])
        found |= {text: path.name for finder in finders for text in finder(tree) if text not in found}
    return {text: place for text, place in found.items() if re.search("[a-z]{2}", text)}


def put_together(tree):
    """A regular expression for each string with values in it, if it has words too; values are short."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if re.search("[a-z]{2}", "".join(filter(None, parts))):
                yield "".join(".{0,20}" if part is None else re.escape(part) for part in parts)


def stale(texts):
    """One sentence for each text that no string of the code is, not even one with values in it."""
    trees = [tree for _, tree in files()]
    known = {text for tree in trees for text in strings(tree)} | KINDS
    shapes = re.compile("|".join(shape for tree in trees for shape in put_together(tree)))
    for text in texts:
        if text not in known and not shapes.fullmatch(text):
            yield f"{text!r} stands nowhere in the code; take it out of course.po"


def fields(text):
    """The places for values, and the numbers."""
    places = re.findall(r"{[^{}]*}", text)
    return sorted(places + re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"{[^{}]*}", "", text)))


def wrong(catalogue):
    """One sentence for each text without a translation, each whose values or numbers differ, each asked for no more."""
    there = {message.id: message.string for message in catalogue if message.id}
    yield from (f"{place}: {text!r} has no translation" for text, place in wanted().items() if not there.get(text))
    for text, translation in there.items():
        if fields(text) != fields(translation):
            yield f"{text!r}: {fields(text)} became {fields(translation)}"
    yield from stale(there)


def read():
    with SOURCE.open("rb") as file:
        catalogue = read_po(file, locale="zh", domain="course")
    catalogue.header_comment = "# What the course's code says to a reader, in Chinese."
    catalogue.project, catalogue.version, catalogue.fuzzy = "rnn-course", "0.1.0", False
    catalogue.creation_date = catalogue.revision_date = WRITTEN
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = ""
    return catalogue


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="F")
    catalogue, asked = read(), parser.parse_args(arguments)
    for path in asked.add:
        for text, translation in json.loads(path.read_text(encoding="utf-8")).items():
            catalogue.delete(text)
            catalogue.add(text, translation)
    if asked.add:
        with SOURCE.open("wb") as file:
            write_po(file, catalogue, width=120, omit_header=False, sort_output=True)
    found = list(wrong(catalogue))
    if found:
        print(*found, f"{len(found)} mistakes; the catalogue was not compiled", sep="\n", file=sys.stderr)
        return 1
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    with CATALOGUE.open("wb") as file:
        write_mo(file, catalogue)
    print(f"{len(catalogue)} texts of code are translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
