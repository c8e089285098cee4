"""Seconds and peak memory of each notebook, run from the top in a fresh kernel; the seconds by section too."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))

from make_slides import sections  # noqa: E402 (from a folder of scripts)
from store_notebooks import Recorder  # noqa: E402


def measure():
    """Return name -> (seconds, megabytes of the kernel and its children, {section: seconds})."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(shutil.copytree(ROOT / "notebooks", Path(folder) / "notebooks"))
        return {path.stem: measured(path, folder) for path in sorted(copies.glob("*.ipynb"))}


def measured(path, home):
    """The figures of one notebook; its guesses and exercises go to an empty home."""
    notebook = nbformat.read(path, as_version=4)
    recorder = Recorder(notebook, path.parent)
    recorder.execute(env={**os.environ, "XDG_DATA_HOME": str(home)})
    by_section = {
        name: round(sum(recorder.seconds.get(cell.id, 0) for cell in cells), 1)
        for name, cells in sections(notebook).items()
    }
    return round(sum(recorder.seconds.values())), round(recorder.peak / 1e6), by_section


if __name__ == "__main__":
    print(measure())
