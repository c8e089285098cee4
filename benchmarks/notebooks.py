"""Seconds and peak memory of each notebook, run from the top in a fresh kernel."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def measure():
    """Return name -> (seconds, megabytes of the kernel and its children)."""
    with tempfile.TemporaryDirectory() as folder:
        copies = shutil.copytree(ROOT / "notebooks", Path(folder) / "notebooks")
        command = [sys.executable, "tools/store_notebooks.py", *map(str, sorted(copies.glob("*.ipynb")))]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^(.+)\.ipynb: (\d+) s, (\d+) MB", printed, flags=re.MULTILINE)
    return {name: (int(seconds), int(megabytes)) for name, seconds, megabytes in lines}


if __name__ == "__main__":
    print(measure())
