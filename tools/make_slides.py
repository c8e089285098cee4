"""Write the notebooks as decks: one HTML file each, in slides/, that a browser opens without a kernel or a network.

    python tools/make_slides.py          every cell before the exercises
    python tools/make_slides.py --core   only the cells of the core path

reveal.js shows the slides. npm brings it, once; it is kept in the user's cache, and every deck holds its own copy.
"""

import argparse
import hashlib
import html
import itertools
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nbformat
import platformdirs
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PACKAGE = "reveal.js@5.2.1"
SHA256 = "359b575dd51bbda32f89b2fd4c7dc46ad7389a805572158916c29252f7a27333"  # of npm's archive
FILES = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js")
FULL = 22  # lines of a slide; what is longer goes on in the next one
PICTURE = 13  # lines that a picture takes
SIGNS, SIGNS_A_WORD = "[\u4e00-\u9fff]", 1.8  # of Chinese: the course's signs, beside its words in English
NOTES = {  # what the speaker reads
    "en": ("About {} min.", "Ask aloud, and let everybody write an answer down:"),
    "zh": ("约 {} 分钟。", "大声问，让每个人都写下答案："),
}
WIDTH, HEIGHT = 1280, 720  # of a slide; the page enlarges or shrinks it as a whole
OWN_CSS = """
.reveal {font: 26px/1.45 sans-serif; color: #222; background: #fff}
.reveal .slides {text-align: left}
.reveal .slides section {padding: 0; height: 100%; box-sizing: border-box}
.reveal .fit {transform-origin: top left}
.reveal h1 {font-size: 1.9em; margin: 0.3em 0} .reveal h2 {font-size: 1.5em; margin: 0.2em 0}
.reveal h3 {font-size: 1.2em; margin: 0.2em 0}
.reveal p, .reveal ul, .reveal ol, .reveal table {margin: 0.4em 0} .reveal .anchor-link {display: none}
.reveal pre {margin: 0.3em 0; font: 19px/1.35 monospace; white-space: pre-wrap}
.reveal .highlight {background: #f4f5f7; border-left: 4px solid #0072b2; padding: 0.2em 0.8em}
.reveal img {display: block; max-width: 100%; max-height: 400px; margin: 0.2em 0}
.reveal table {border-collapse: collapse; font-size: 0.8em} .reveal td, .reveal th {padding: 0.15em 0.7em;
border-bottom: 1px solid #ccc; text-align: left}
.reveal code {font-size: 0.86em; background: #f4f5f7} .reveal .highlight code {background: none; font-size: 1em}
.reveal a {color: #0072b2}
"""
START = """
const fit = () => {
  const box = document.querySelector('section.present .fit')
  if (!box) return
  box.style.transform = box.style.width = ''
  let scale = 1
  while (scale > 0.5 && box.getBoundingClientRect().height > box.parentElement.getBoundingClientRect().height) {
    scale -= 0.02  // a little smaller, and as much wider, until everything is on the slide
    box.style.width = `${100 / scale}%`
    box.style.transform = `scale(${scale})`
  }
}
const size = {width: WIDTH, height: HEIGHT, margin: 0.03, center: false, transition: 'none', hash: true}
Reveal.initialize({...size, plugins: [RevealNotes]}).then(fit)
Reveal.on('slidechanged', fit)
Reveal.on('resize', fit)
document.addEventListener('toggle', fit, true)  // an answer is unfolded
"""


def library():
    """Return the texts of reveal.js' files; npm is asked for them where the cache has none."""
    folder = platformdirs.user_cache_path("rnn-course") / PACKAGE
    if not all((folder / name).exists() for name in FILES):
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("make slides: npm is needed once, to download reveal.js; install Node.js and call it again")
        with tempfile.TemporaryDirectory() as here:
            done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=here, capture_output=True, text=True)
            archives = list(Path(here).glob("*.tgz"))
            if done.returncode or not archives:
                sys.exit(f"make slides: npm could not download {PACKAGE}; it says: {done.stderr.strip()[:300]}")
            if hashlib.sha256(archives[0].read_bytes()).hexdigest() != SHA256:
                sys.exit(f"make slides: what npm sent is not {PACKAGE} as it was published; nothing was written")
            unpack(archives[0], folder)
    return [(folder / name).read_text(encoding="utf-8") for name in FILES]


def unpack(archive, folder):
    with tarfile.open(archive) as files:
        for name in FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files.extractfile(f"package/{name}").read())


def stored():
    """The paths of all notebooks, the Chinese ones last."""
    return [*sorted(NOTEBOOKS.glob("*.ipynb")), *sorted(NOTEBOOKS.glob("zh/*.ipynb"))]


def lesson(notebook):
    """The cells before the exercises."""
    begin = ("## Exercises", "## 练习")
    return list(itertools.takewhile(lambda cell: not cell.source.startswith(begin), notebook.cells))


def sections(notebook):
    """Heading -> cells, for all that is read before the exercises; what stands before the first one is "opening"."""
    parts = {}
    for cell in lesson(notebook):
        found = re.match("## (.*)", cell.source) if cell.cell_type == "markdown" else None
        parts.setdefault(found[1] if found else ([*parts] or ["opening"])[-1], []).append(cell)
    return parts


def minutes(cells):
    """How long they take: a minute for 130 words, or as much Chinese, and one for each code cell."""
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    words = sum(len(re.sub(SIGNS, "", text).split()) + len(re.findall(SIGNS, text)) / SIGNS_A_WORD for text in texts)
    return words / 130 + sum(cell.cell_type == "code" for cell in cells)


def chosen(notebook, core=False):
    """The cells that are shown: all of the lesson, or those of the core path."""
    return [cell for cell in lesson(notebook) if not core or "core" in cell.metadata.get("tags", [])]


def slides(cells):
    """Group cells: a new slide at each heading, where the notebook asks for one, and where one is full."""
    groups, lines = [], 0
    for cell in cells:
        begins = cell.metadata.get("slideshow", {}).get("slide_type") in ("slide", "subslide")
        heading = cell.cell_type == "markdown" and cell.source.startswith("#")
        length = height(cell)
        if not groups or begins or heading or lines + length > FULL:
            groups.append([])
            lines = 0
        groups[-1].append(cell)
        lines += length
    return groups


def height(cell):
    """About how many lines of a slide a cell takes."""
    if cell.cell_type == "markdown":
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell.source)
        return sum(1 + len(line) // 95 for line in text.splitlines() if line.strip()) + 0.5
    return 0.8 * len(cell.source.splitlines()) + sum(map(output_height, cell.outputs)) + 0.5


def output_height(output):
    if "image/png" in output.get("data", {}):
        return PICTURE
    return 0.8 * len(text_of(output).splitlines())


def text_of(output):
    data = output.get("data", {})
    return output.get("text", "") or output.get("evalue", "") or data.get("text/plain", "")


def cell_html(cell, before=None):
    """A cell; where the reader has just been asked to predict it, what it shows waits for the next key."""
    if cell.cell_type == "markdown":
        page = markdown2html_mistune(cell.source)
        return re.sub(r'href="(?!https?:|#)([^"]*?)\.ipynb', r'href="\1.html', page)
    code = highlight(cell.source, PythonLexer(), HtmlFormatter()) if cell.source.strip() else ""
    asked = re.compile("Predict|Commit|先猜|先给出")
    waits = before is not None and before.cell_type == "markdown" and asked.search(before.source)
    shown = "".join(map(output_html, cell.outputs))
    return code + (f"<div class='fragment'>{shown}</div>" if waits and shown else shown)


def output_html(output):
    """A picture, or HTML, or text; a widget is shown as what it stores beside itself."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        return data["text/html"]
    name = f"{output.ename}: " if output.output_type == "error" else ""
    return f"<pre>{html.escape(name + text_of(output))}</pre>"


def notes(cells, language="en"):
    """What the speaker reads: how long the slide takes, and what to ask before the result is shown."""
    time, ask = NOTES[language]
    guesses = (output for cell in cells if "Guess(" in cell.source for output in cell.get("outputs", []))
    shown = "".join(each.get("data", {}).get("text/html", "") for each in guesses)
    asked = re.findall("<b>(.*?)</b>", shown)
    said = [f"<p>{ask} <b>{words}</b></p>" for words in asked]
    return f"<aside class='notes'><p>{time.format(max(1, round(minutes(cells))))}</p>{''.join(said)}</aside>"


def section(cells, language):
    shown = "".join(map(cell_html, cells, [None, *cells]))
    return f"<section><div class='fit'>{shown}</div>{notes(cells, language)}</section>"


def deck(notebook, parts, core=False, language="en"):
    """Return the page of a notebook."""
    script, css, speaker = parts
    start = f"const WIDTH = {WIDTH}, HEIGHT = {HEIGHT}{START}"
    closed = (each.replace("</script", r"<\/script") for each in (script, speaker, start))
    scripts = "".join(f"<script>{each}</script>" for each in closed)
    sections = "".join(section(cells, language) for cells in slides(chosen(notebook, core)))
    title = html.escape(notebook.cells[0].source.splitlines()[0].strip("# "))
    return "".join([
        f"<!doctype html><html lang='{language}'><head><meta charset='utf-8'><title>{title}</title>",
        f"<style>{css}{HtmlFormatter().get_style_defs('.highlight')}{OWN_CSS}</style></head>",
        f"<body><div class='reveal'><div class='slides'>{sections}</div></div>",
        f"{scripts}</body></html>",
    ])  # fmt: skip


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", action="store_true", help="only the cells of the core path")
    parser.add_argument("--folder", type=Path, default=ROOT / "slides")
    asked = parser.parse_args(arguments)
    parts = library()
    for path in stored():
        notebook = nbformat.read(path, as_version=4)
        if chosen(notebook, asked.core):
            page = deck(notebook, parts, asked.core, "zh" if path.parent.name == "zh" else "en")
            target = (asked.folder / path.relative_to(NOTEBOOKS)).with_suffix(".html")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page, encoding="utf-8")
            print(f"{target.name}: {page.count('<section>')} slides, {len(page) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
