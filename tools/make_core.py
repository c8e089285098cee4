"""Write the core path as notebooks, in core/ and core/zh: of each the cells tagged `core`, to run or to show as slides.

They are written anew each time; what was changed in core/ is lost. A notebook without such cells is left out.
"""

import re

import nbformat
from make_slides import NOTEBOOKS, ROOT, chosen

LINK = re.compile(r'(\]\(|href=")([^/:()"\s]+\.ipynb)')  # to a notebook in the same folder


def linked(source, names, whole="../notebooks"):
    """Lead the links to notebooks that are left out to the whole ones."""
    return LINK.sub(lambda found: found[0] if found[2] in names else f"{found[1]}{whole}/{found[2]}", source)


def write(source, folder, whole):
    """Write the core cells of a folder's notebooks to another folder; `whole` leads from there to the first."""
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in sorted(source.glob("*.ipynb"))}
    paths = {name: cells for name, notebook in notebooks.items() if (cells := chosen(notebook, core=True))}
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in paths.items():
        for cell in cells:
            cell.source = linked(cell.source, paths, whole) if cell.cell_type == "markdown" else cell.source
        notebooks[name].cells = cells
        nbformat.write(notebooks[name], folder / name)


def main(folder=ROOT / "core"):
    write(NOTEBOOKS, folder, "../notebooks")
    write(NOTEBOOKS / "zh", folder / "zh", "../../notebooks/zh")
    print(f"the core path is in {folder.name}/ and {folder.name}/zh/: open it with make lab or make present")


if __name__ == "__main__":
    main()
