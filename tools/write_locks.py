"""Write requirements.lock and requirements-test.lock from pyproject.toml, for every platform and Python at once."""

import subprocess
import sys

HEADER = "# Written by `make lock` from pyproject.toml. torch brings its CUDA packages itself where it needs them.\n"
CUDA = ["cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "triton"] + [
    f"nvidia-{name}"
    for name in (
        "cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse "
        "cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx"
    ).split()
]


def lock(path, *options):
    """Resolve pyproject.toml with uv and write the pins to `path`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--upgrade", "--quiet"]
    command += ["--python-version", "3.11", "--no-header", "--no-annotate", *options]
    for package in CUDA:
        command += ["--no-emit-package", package]
    pins = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEADER + pins)


if __name__ == "__main__":
    lock("requirements.lock")
    lock("requirements-test.lock", "--extra", "test", "--constraint", "requirements.lock")
