"""Write requirements.lock and requirements-test.lock from pyproject.toml, for every platform and Python at once."""

import subprocess
import sys

HEADER = "# Written by `make lock` from pyproject.toml. torch brings its CUDA packages itself where it needs them.\n"
CUDA = ("cuda-", "nvidia-", "triton==")  # what only torch's CUDA build needs, and what would burden every other machine


def lock(path, *options):
    """Resolve pyproject.toml with uv and write the pins to `path`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--upgrade", "--quiet"]
    command += ["--python-version", "3.11", "--no-header", "--no-annotate", *options]
    pins = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEADER)
        file.writelines(line for line in pins.splitlines(keepends=True) if not line.startswith(CUDA))


if __name__ == "__main__":
    lock("requirements.lock")
    lock("requirements-test.lock", "--extra", "test", "--constraint", "requirements.lock")
