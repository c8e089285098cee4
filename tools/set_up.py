"""Create .venv and install the exact pins of a lock file: `python3 tools/set_up.py requirements.lock`.

Runs on a bare Python, before anything is installed. Every failure ends in one sentence that says what to do.
A stamp in .venv remembers the installed lock, so that a second start installs nothing.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys

LOCKS = ["requirements.lock", "requirements-test.lock"]  # the second contains the first
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_GIB = {"cpu": 3, "cuda": 9}  # unpacked packages plus pip's downloads
NETWORK_WORDS = ("NewConnectionError", "Temporary failure in name", "Max retries", "ProxyError", "timed out", "ConnectionError")


def fail(sentence):
    """Leave with one sentence and without a traceback."""
    sys.exit("\nset-up: " + sentence)


def has_nvidia_gpu():
    """Whether the NVIDIA driver answers; only then does Linux need the large CUDA build."""
    command = shutil.which("nvidia-smi")
    return bool(command) and subprocess.call([command, "-L"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def check_machine(venv, build):
    """Stop early where the set-up could not succeed."""
    if sys.version_info < (3, 11):
        fail(
            "Python {}.{} is too old, 3.11 or newer is needed; name one, for example: make lab PYTHON=python3.12".format(
                *sys.version_info
            )
        )
    if not os.path.exists(venv) and (not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip")):
        fail("this Python has no 'venv' module; on Debian or Ubuntu install it with: sudo apt install python3-venv")
    free = shutil.disk_usage(os.path.dirname(venv)).free / 2**30
    if free < NEEDED_GIB[build]:
        fail(f"{free:.1f} GiB of disk are free here, {NEEDED_GIB[build]} GiB are needed; make room and call it again.")


def run_pip(python, *arguments):
    """Run pip with its progress visible; return its exit code and what it complained about."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        complaints = []
        for line in process.stderr:
            sys.stderr.write(line)
            complaints.append(line)
    return process.returncode, "".join(complaints)


def pip(python, *arguments):
    """Run pip and stop with a sentence that names the likely cause if it fails."""
    code, complaints = run_pip(python, *arguments)
    if code == 0:
        return
    if "No space left" in complaints:
        fail("the disk is full; make room and call the same command again, it goes on where it stopped.")
    if any(word in complaints for word in NETWORK_WORDS):
        fail("the package index cannot be reached; the first set-up needs a network connection, later starts do not.")
    fail(f"pip could not finish (exit code {code}); its own message stands above.")


def install_torch(python, version, build):
    """Install torch: the CPU build from PyTorch's own index where no GPU needs CUDA, else the default build."""
    if build == "cpu" and sys.platform == "linux":
        options = ["--index-url", TORCH_CPU_INDEX, "--retries", "1", "--timeout", "15", "--no-deps"]
        code, _ = run_pip(python, "install", *options, version)
        if code == 0:
            return
        print("set-up: PyTorch's CPU index does not answer; taking torch from the default index instead.")
    pip(python, "install", version)


def digest(root, lock):
    """A fingerprint of everything the installation depends on."""
    fingerprint = hashlib.sha256()
    for name in (lock, "pyproject.toml", os.path.join("tools", "set_up.py")):
        with open(os.path.join(root, name), "rb") as file:
            fingerprint.update(file.read())
    return fingerprint.hexdigest()


def is_stamped(root, venv, lock):
    """Whether this lock, or the larger one that contains it, is already installed."""
    for name in LOCKS[LOCKS.index(lock) :]:
        stamp = os.path.join(venv, name + ".stamp")
        if os.path.exists(stamp):
            with open(stamp, encoding="ascii") as file:
                if file.read() == digest(root, name):
                    return True
    return False


def torch_pin(root):
    """The line of the lock that pins torch, such as 'torch==2.13.0'."""
    with open(os.path.join(root, LOCKS[0]), encoding="utf-8") as file:
        return next(line.split()[0] for line in file if line.startswith("torch=="))


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    lock, venv = sys.argv[1], os.path.join(root, ".venv")
    if is_stamped(root, venv, lock):
        return
    build = "cuda" if sys.platform == "linux" and has_nvidia_gpu() else "cpu"
    check_machine(venv, build)
    python = os.path.join(venv, "Scripts" if os.name == "nt" else "bin", "python")
    if not os.path.exists(python):
        print("set-up: creating .venv")
        if subprocess.call([sys.executable, "-m", "venv", venv]) != 0:
            shutil.rmtree(venv, ignore_errors=True)
            fail("the virtual environment could not be created; on Debian or Ubuntu: sudo apt install python3-venv")
    print(f"set-up: installing the pins of {lock} ({build} build of torch); this happens once")
    install_torch(python, torch_pin(root), build)
    pip(python, "install", "-r", os.path.join(root, lock))
    pip(python, "install", "--no-deps", "-e", root)
    with open(os.path.join(venv, lock + ".stamp"), "w", encoding="ascii") as file:
        file.write(digest(root, lock))


if __name__ == "__main__":
    main()
