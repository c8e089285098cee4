"""Write the notebooks as pages of HTML to print or to put on a web site; links lead from page to page."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[1]
PRINTED = """<style>@media print {
.jp-Cell, img { break-inside: avoid }
.jp-InputPrompt, .jp-OutputPrompt { display: none }
}</style></head>"""


def page(notebook):
    """Return a notebook as HTML that holds its pictures; nothing is loaded, so its formulas are plain text."""
    html, _ = HTMLExporter(mathjax_url="", require_js_url="").from_notebook_node(notebook)
    html = re.sub(r'(href="(?!https?:)[^"]*)\.ipynb', r"\1.html", html)
    return html.replace("</head>", PRINTED, 1)


def main(folder=ROOT / "handout"):
    folder.mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (folder / f"{path.stem}.html").write_text(page(nbformat.read(path, as_version=4)), encoding="utf-8")
    print(f"{len(list(folder.glob('*.html')))} pages in {folder.name}/: print them from a browser")


if __name__ == "__main__":
    main()
