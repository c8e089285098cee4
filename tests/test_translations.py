"""The Chinese notebooks are the English ones: 50 drifts of six kinds, each of which is found."""

import random
import re

import nbformat
import pytest
import translate_code
import translate_notebooks as tool
from babel.messages.mofile import read_mo

PAIRS = {path.stem: (notebook, texts) for path, notebook, texts in tool.pairs()}
every_notebook = pytest.mark.parametrize("name", PAIRS)


@every_notebook
def test_the_texts_say_what_the_cells_say(name):
    assert tool.wrong(name, *PAIRS[name]) == []


@every_notebook
def test_the_stored_notebook_is_the_one_that_is_built(name):
    stored = (tool.NOTEBOOKS / "zh" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert stored == tool.as_text(tool.built(*PAIRS[name])), "run `make notebooks`"


@every_notebook
def test_a_chinese_notebook_holds_the_code_and_its_links_lead_somewhere(name):
    notebook = nbformat.read(tool.NOTEBOOKS / "zh" / f"{name}.ipynb", as_version=4)
    for english, chinese in zip(PAIRS[name][0].cells, notebook.cells, strict=True):
        assert (english.id, english.cell_type, english.metadata) == (chinese.id, chinese.cell_type, chinese.metadata)
        if english.cell_type == "code":
            assert (english.source, pictures(english)) == (chinese.source, pictures(chinese))
            continue
        for target in tool.LINK.findall(chinese.source):
            path = target.partition("#")[0]
            assert target.startswith("http") or (tool.NOTEBOOKS / "zh" / path).exists(), target


def pictures(cell):
    """All that a cell shows but HTML, in which a guess or a check speaks Chinese."""
    return [{**output, "data": {**output.get("data", {}), "text/html": ""}} for output in cell.outputs]


def test_no_text_is_left_over():
    assert {path.stem for path in tool.TEXTS.glob("*.md")} == {*PAIRS}
    assert {path.stem for path in (tool.NOTEBOOKS / "zh").glob("*.ipynb")} == {*PAIRS}


def test_the_chinese_readme_has_the_figures_and_the_commands_of_the_english_one():
    english, chinese = ((tool.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    tables = [[line for line in text.splitlines() if line.startswith("|")] for text in (english, chinese)]
    assert len(tables[0]) == len(tables[1]) > 20
    for one, other in zip(*tables, strict=True):
        assert {*tool.numbers(one)} <= {*tool.numbers(other)}
        assert tool.PARTS["code"](one) == tool.PARTS["code"](other)
    assert {*re.findall("make [a-z]+", english)} <= {*re.findall("make [a-z]+", chinese)}
    links = (link.partition("#")[0] for link in tool.LINK.findall(chinese) if not link.startswith("http"))
    assert [link for link in links if not (tool.ROOT / link).exists()] == []


# What goes wrong with translations. Each kind changes a cell or its text, and says so


def changed_english(notebook, texts, draw):
    cell = draw.choice(tool.markdown(notebook))
    cell.source = cell.source.replace("e", "a", 1)
    return f"{cell.id}: is stale"


def dropped_cell(notebook, texts, draw):
    return f"{texts.pop(draw.randrange(len(texts))).cell}: has no text"


def changed_number(notebook, texts, draw):
    place = draw.choice([i for i, text in enumerate(texts) if tool.numbers(text.words)])
    words, number = texts[place].words, draw.choice(tool.numbers(texts[place].words))
    changed = re.sub(rf"(?<![\d.,]){re.escape(number)}(?![\d,])", f"{number}7", words)
    texts[place] = texts[place]._replace(words=changed)
    return f"{texts[place].cell}: numbers"


def broken_link(notebook, texts, draw):
    place = draw.choice([i for i, text in enumerate(texts) if tool.LINK.search(text.words)])
    target = draw.choice(tool.LINK.findall(texts[place].words))
    texts[place] = texts[place]._replace(words=texts[place].words.replace(f"]({target})", f"]({target}x)"))
    return f"{texts[place].cell}: links"


def swapped_cells(notebook, texts, draw):
    one, other = draw.sample(range(len(texts)), 2)
    words = texts[one].words, texts[other].words
    texts[one], texts[other] = texts[one]._replace(words=words[1]), texts[other]._replace(words=words[0])
    return f"{texts[one].cell}: "


def code_in_the_text(notebook, texts, draw):
    place, (number, code) = draw.randrange(len(texts)), draw.choice([*enumerate(tool.NOTEBOOKS.glob("0*.ipynb"))])
    cells = [cell.source for cell in nbformat.read(code, as_version=4).cells if cell.cell_type == "code"]
    block = f"```python\n{draw.choice(cells)}\n```" if number % 2 else draw.choice(cells)
    texts[place] = texts[place]._replace(words=f"{texts[place].words}\n\n{block}")
    return f"{texts[place].cell}: "


KINDS = (changed_english, dropped_cell, changed_number, broken_link, swapped_cells, code_in_the_text)
DRIFTS = [(KINDS[seed % len(KINDS)], seed) for seed in range(50)]


@pytest.mark.parametrize(("kind", "seed"), DRIFTS, ids=lambda each: getattr(each, "__name__", each))
def test_a_drift_is_found_and_named(kind, seed):
    draw = random.Random(seed)
    name = draw.choice([*PAIRS])
    notebook, texts = nbformat.from_dict(PAIRS[name][0]), list(PAIRS[name][1])
    expected = kind(notebook, texts, draw)
    found = tool.wrong(name, notebook, texts)
    assert any(expected in sentence for sentence in found), (expected, found)


@pytest.mark.parametrize(("english", "chinese", "words"), [
    ("It has 3 rows.", "它有 4 行。", "numbers ['3'] missing"),
    ("Call `f`.", "调用 `g`。", "code ['f'] missing"),
    ("**Predict, then run.** Why?", "**先猜，再运行。**为什么？", "does not close"),
    ("**Predict, then run.** Why?", "**猜一猜。** 为什么？", "is not '**先猜'"),
    ("The hidden state.", "状态。", "'hidden state' is not '隐状态'"),
    ("So it goes on.", "所以 it goes on like this。", "is English"),
    ("Rows, columns.", "行,列。", "half-width mark"),
    ("## 3. Rows", "### 3. 行", "headings"),
    ("- one\n- two", "- 一", "list items"),
])  # fmt: skip
def test_a_text_that_says_something_else_is_found(english, chinese, words):
    assert any(words in sentence for sentence in tool.drifted(english, chinese))


def test_words_before_the_first_marker_are_refused(tmp_path):
    (tmp_path / "a.md").write_text("words\n<!-- cell a 00000000 -->\n字\n", encoding="utf-8")
    with pytest.raises(ValueError, match="stands before the first marker"):
        tool.read_texts(tmp_path / "a.md")


def test_the_tables_of_both_readmes_hold_the_same_numbers():
    readmes = [(tool.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
    rows = [[line for line in text.splitlines() if line.startswith("|")] for text in readmes]
    for english, chinese in zip(*rows, strict=True):
        found = [re.findall(r"\d+(?:[.,]\d+)*%?", tool.LINK.sub("", row)) for row in (english, chinese)]
        assert found[0] == found[1], (english, chinese)


# What code says


def test_all_that_code_says_has_a_translation():
    assert list(translate_code.wrong(translate_code.read())) == []


def test_a_text_that_changes_is_missing_and_its_translation_stale():
    catalogue = translate_code.read()
    for before, after in (("Choose, then press Start.", "Choose and press Start."), ("{n} steps", "{n} long steps")):
        catalogue.add(after, catalogue[before].string)
        del catalogue[before]
    missing = [f"{text!r} has no translation" for text in ("Choose, then press Start.", "{n} steps")]
    stale = [f"{text!r} stands nowhere" for text in ("Choose and press Start.", "{n} long steps")]
    found = list(translate_code.wrong(catalogue))
    assert len(found) == 4
    assert all(any(words in sentence for sentence in found) for words in (*missing, *stale))


def test_the_catalogue_is_compiled():
    with translate_code.CATALOGUE.open("rb") as file:
        compiled = {message.id: message.string for message in read_mo(file) if message.id}
    assert compiled == {message.id: message.string for message in translate_code.read() if message.id}, (
        "run `make notebooks`"
    )
