"""Build the Chinese notebooks: code, outputs and pictures of the English ones, text from translations/zh.

    python tools/translate_notebooks.py              build notebooks/zh; the exit code is 1 if a text is wrong
    python tools/translate_notebooks.py --check 04   say what is wrong with the texts of these notebooks; build nothing
    python tools/translate_notebooks.py --todo 04    print the English cells that have no text, or a stale one

A text file holds, for each markdown cell, a marker with the cell's id and a hash of its English source, then the text:

    <!-- cell train-28 0f3c9a1e -->
    ## 5. 一轮训练
"""

import argparse
import gettext
import hashlib
import html
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
from store_notebooks import as_text
from translate_code import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, TEXTS = ROOT / "notebooks", ROOT / "translations" / "zh"
MARKER = re.compile(r"^<!-- cell (\S+) ([0-9a-f]{8}) -->\n", re.MULTILINE)
LEADS = {  # what opens a cell in the same way everywhere: pattern in English -> words in Chinese
    r"\*\*Predict": "**先猜", r"\*\*Commit to an answer": "**先给出答案", r"\*\*In one sentence": "**一句话",
    r"\*\*After this notebook you can\*\*": "**学完这个笔记本，你能够**", r"\*\*Time:\*\*": "**时间：**",
    r"\*\*Prerequisites:\*\*": "**先修：**", r"\*\*Dimension key:\*\*": "**维度记号：**",
    r"## What we saw": "## 小结", r"## Exercises": "## 练习", r"## More to try": "## 再试试", r"^Next: ": "下一站：",
    "<summary>Hint 1<": "<summary>提示 1<", "<summary>Hint 2<": "<summary>提示 2<",
    "<summary>What happens<": "<summary>结果<",
}  # fmt: skip
CODE = re.compile(r"(`+)(.+?)\1|<code>(.+?)</code>")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BOLD, ITALIC = re.compile(r"\*\*(?=\S)(.+?)\*\*", re.DOTALL), re.compile(r"(?<!\*)\*(?=[^\s*])([^*\n]+?)\*(?!\*)")


class Text(NamedTuple):
    """The Chinese of one markdown cell."""

    cell: str
    digest: str
    words: str


def digest(source):
    return hashlib.sha256(source.encode("utf-8")).hexdigest()[:8]


def read_texts(path):
    """Return the texts of a file in their order; raise `ValueError` if words stand before the first marker."""
    before, *parts = MARKER.split(path.read_text(encoding="utf-8"))
    if before.strip():
        raise ValueError(f"{path.name}: {before.strip()[:40]!r} stands before the first marker")
    return [Text(cell, digest, words.strip()) for cell, digest, words in zip(*[iter(parts)] * 3, strict=True)]


def markdown(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def strayed(notebook, texts):
    """One sentence for each text that belongs to no cell, or to an older one, and for each cell without a text."""
    sources = {cell.id: cell.source for cell in markdown(notebook)}
    counts = Counter(text.cell for text in texts)
    yield from (f"{cell}: has {count} texts" for cell, count in counts.items() if count > 1)
    yield from (f"{cell}: has no text" for cell in sources if cell not in counts)
    for text in texts:
        if text.cell not in sources:
            yield f"{text.cell}: the notebook has no such cell"
        elif text.digest != digest(sources[text.cell]):
            yield f"{text.cell}: is stale, the English cell has changed; its hash is {digest(sources[text.cell])} now"
    known = [text.cell for text in texts if text.cell in sources]
    if known != [cell for cell in sources if cell in counts] and max(counts.values(), default=0) < 2:
        yield "the texts do not stand in the order of the cells"


def drifted(english, chinese):
    """One sentence for each thing that an English cell says and its Chinese text does not, or the other way round."""
    for what, found in PARTS.items():
        there, here = Counter(found(english)), Counter(found(chinese))
        if missing := list((there - here).elements()):
            yield f"{what} {missing} missing"
        if extra := list((here - there).elements()):
            yield f"{what} {extra} too much"
    for lead, words in LEADS.items():
        if re.search(lead, english, re.MULTILINE) and words not in chinese:
            yield f"{lead!r} is not {words!r}"
    plain = without_code(english).lower()
    for term, words in TERMS.items():
        if re.search(rf"\b{term}(?:s|es)?\b", plain) and words.lower() not in chinese.lower():
            yield f"{term!r} is not {words!r}"
    yield from misprints(english, chinese)


def without_code(text):
    """A text without code, targets of links and HTML tags."""
    return re.sub(r"<[^>]+>", " ", LINK.sub("]", CODE.sub(" ", text)))


def numbers(text):
    return [number.rstrip(".,") for number in re.findall(r"\d[\d.,]*(?:e[-+]?\d+)?", without_code(text))]


PARTS = {
    "numbers": numbers,
    "code": lambda text: [plain or tagged for _, plain, tagged in CODE.findall(text)],
    "formulas": lambda text: re.findall(r"\$[^$\n]+\$", without_code(text)),
    "links": LINK.findall,
    "tags": lambda text: re.findall(r"</?[a-z]+", text),
    "headings": lambda text: re.findall(r"^#+ (?:\d+\.)?", text, re.MULTILINE),
    "list items": lambda text: re.findall(r"^ *(?:-|\d+\.) ", text, re.MULTILINE),
    "table cells": lambda text: ["|"] * sum(line.count("|") for line in text.splitlines() if line.startswith("|")),
    "bold": lambda text: ["**"] * len(BOLD.findall(CODE.sub("x", text))),
    "italic": lambda text: ["*"] * len(ITALIC.findall(BOLD.sub("x", CODE.sub("x", text)))),
    "blocks of code": lambda text: re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE),
}


def misprints(english, chinese):
    """English left over, half-width marks, and emphasis that CommonMark does not close beside a letter."""
    plain = ITALIC.sub(" ", BOLD.sub(r" \1 ", without_code(chinese)))
    for words in re.findall(r"(?:[A-Za-z][a-z'’-]* +){3,}[A-Za-z][a-z'’-]*", plain):
        if words not in english or f"“{words}" not in chinese:
            yield f"is English: {words!r}"
    for line in map(str.strip, chinese.splitlines()):
        if re.search("[a-z]", line) and not re.search("[\u4e00-\u9fff]", line) and line not in english:
            yield f"has no Chinese: {line!r}"
    yield from (f"half-width mark in {found!r}" for found in re.findall(r"[\u4e00-\u9fff][,;:?!]", plain))
    hidden = CODE.sub(lambda found: "x" * len(found[0]), chinese)
    for found in [*BOLD.finditer(hidden), *ITALIC.finditer(BOLD.sub(lambda each: "x" * len(each[0]), hidden))]:
        before, after = hidden[: found.start()][-1:], hidden[found.end() :][:1]
        if is_mark(found[1][-1]) and after.strip() and not is_mark(after):
            yield f"{found[0]!r} does not close: put a space after it"
        if is_mark(found[1][0]) and before.strip() and not is_mark(before):
            yield f"{found[0]!r} does not open: put a space before it"


def is_mark(sign):
    return unicodedata.category(sign)[0] in "PS"


def terms(path=ROOT / "docs" / "glossary.zh.md"):
    """English -> Chinese, from the glossary."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {english.lower().removesuffix("s"): chinese for english, chinese in rows[1:] if english[0] != "-"}


TERMS = terms()
with CATALOGUE.open("rb") as compiled:
    SAID = gettext.GNUTranslations(compiled)


def wrong(name, notebook, texts):
    """All that is wrong with the texts of a notebook, one sentence each."""
    found = list(strayed(notebook, texts))
    sources = {cell.id: cell.source for cell in markdown(notebook)}
    for text in texts:
        found += [f"{text.cell}: {words}" for words in drifted(sources.get(text.cell, text.words), text.words)]
    return [f"{name}: {sentence}" for sentence in found]


def moved(target):
    """A link of a notebook, as it must be one folder deeper; a page that there is in Chinese is the Chinese one."""
    if target.startswith("zh/"):
        return f"../{target.removeprefix('zh/')}"
    if not target.startswith("../"):
        return target
    path, hash_mark, place = target.partition("#")
    chinese = re.sub(r"\.md$", ".zh.md", path)
    return "../" + (chinese if (NOTEBOOKS / chinese).exists() else path) + hash_mark + place


def built(notebook, texts):
    """Return the Chinese notebook: code and pictures stay; what a guess or a check shows, it shows in Chinese."""
    notebook, words = nbformat.from_dict(notebook), {text.cell: text.words for text in texts}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda found: f"]({moved(found[1])})", words[cell.id])
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                data["text/html"] = re.sub(r"(?<=>)[^<>]+(?=<)", lambda found: spoken(found[0]), data["text/html"])
    return notebook


def spoken(text):
    """What the catalogue has for a text, or for its parts."""
    text = html.unescape(text)
    parts = re.split("( · |: )", text) if SAID.gettext(text) == text else [text]
    return html.escape("".join(SAID.gettext(part) if part else "" for part in parts))


def pairs(names=()):
    """(path of the English notebook, notebook, texts) for those whose file begins with one of the names, or for all."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or path.name.startswith(tuple(names)):
            texts = TEXTS / f"{path.stem}.md"
            yield path, nbformat.read(path, as_version=4), read_texts(texts) if texts.exists() else []


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="+", default=(), metavar="NAME")
    parser.add_argument("--todo", nargs="+", default=(), metavar="NAME")
    asked = parser.parse_args(arguments)
    chosen = list(pairs([*asked.check, *asked.todo]))
    if asked.todo:
        for _, notebook, texts in chosen:
            done = {(text.cell, text.digest) for text in texts}
            todo = [cell for cell in markdown(notebook) if (cell.id, digest(cell.source)) not in done]
            print(*(f"<!-- cell {cell.id} {digest(cell.source)} -->\n{cell.source}\n" for cell in todo), sep="\n")
        return 0
    found = [sentence for path, notebook, texts in chosen for sentence in wrong(path.stem, notebook, texts)]
    if found:
        print(*found, f"{len(found)} mistakes; nothing was built", sep="\n", file=sys.stderr)
        return 1
    for path, notebook, texts in [] if asked.check else chosen:
        target = NOTEBOOKS / "zh" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(as_text(built(notebook, texts)), encoding="utf-8", newline="\n")
    print(f"{sum(len(texts) for _, _, texts in chosen)} texts are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
