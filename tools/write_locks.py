"""Write requirements.lock and requirements-test.lock from pyproject.toml, for every platform and Python at once.

Each package bears the hashes of all its files. torch and what only its CUDA build brings are left out: which files are
the right ones depends on the machine, and tools/set_up.py installs torch by its pin.
"""

import re
import subprocess
import sys

HEADER = "# Written by `make lock` from pyproject.toml. torch, whose builds differ by machine: tools/set_up.py.\n"
LEFT_OUT = ("torch==", "triton==", "cuda-", "nvidia-")


def lock(path, *options):
    """Resolve pyproject.toml with uv and write the pins to `path`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--upgrade", "--quiet"]
    command += ["--python-version", "3.11", "--no-header", "--no-annotate", "--generate-hashes", *options]
    pins = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEADER)
        file.writelines(pin for pin in re.split(r"(?m)^(?=\S)", pins) if not pin.startswith(LEFT_OUT))


if __name__ == "__main__":
    lock("requirements.lock", "--extra", "zh")
    lock("requirements-test.lock", "--extra", "zh", "--extra", "test", "--constraint", "requirements.lock")
