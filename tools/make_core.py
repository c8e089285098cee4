"""Write the core path as notebooks, in core/: of each notebook the cells tagged `core`, to run or to show as slides.

They are written anew each time; what was changed in core/ is lost. A notebook without such cells is left out.
"""

import re

import nbformat
from make_slides import NOTEBOOKS, ROOT, chosen

LINK = re.compile(r'(\]\(|href=")([^/:()"\s]+\.ipynb)')  # to a notebook in the same folder


def linked(source, names):
    """Lead the links to notebooks that are left out to the whole ones."""
    return LINK.sub(lambda found: found[0] if found[2] in names else f"{found[1]}../notebooks/{found[2]}", source)


def main(folder=ROOT / "core"):
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    paths = {name: cells for name, notebook in notebooks.items() if (cells := chosen(notebook, core=True))}
    folder.mkdir(exist_ok=True)
    for name, cells in paths.items():
        for cell in cells:
            cell.source = linked(cell.source, paths) if cell.cell_type == "markdown" else cell.source
        notebooks[name].cells = cells
        nbformat.write(notebooks[name], folder / name)
    print(f"{len(paths)} notebooks in {folder.name}/: open them with make lab, or as slides with make present")


if __name__ == "__main__":
    main()
