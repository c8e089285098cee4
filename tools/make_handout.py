"""Write the notebooks as pages of HTML to print or to put on a web site; links lead from page to page."""

import re

import nbformat
from make_slides import NOTEBOOKS, ROOT, stored
from nbconvert import HTMLExporter

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
    for path in stored():
        target = (folder / path.relative_to(NOTEBOOKS)).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(nbformat.read(path, as_version=4)), encoding="utf-8")
    print(f"{len(list(folder.rglob('*.html')))} pages in {folder.name}/: print them from a browser")


if __name__ == "__main__":
    main()
