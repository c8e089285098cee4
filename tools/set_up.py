"""Create .venv and install the exact pins of a lock file: `python3 tools/set_up.py requirements.lock`.

Runs on a bare Python, before anything is installed, and an old one must still be able to read it: no syntax newer than
Python 3.6. Every failure ends in one sentence that says what to do. A stamp in .venv remembers the installed lock, so
that a second start installs nothing.

Every file that is downloaded must have a hash that stands in the lock. torch alone is not in it, for its builds come
from several places: it is installed last, by the exact pin of pyproject.toml, when all that it needs is there already.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys

OLDEST_PYTHON = (3, 11)
VERSION = "{}.{}".format(*sys.version_info)
LOCKS = ["requirements.lock", "requirements-test.lock"]  # the second contains the first
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MIRROR = "TORCH_INDEX"  # the name in the environment of another place for torch's CPU build
NEEDED_GIB = {"CPU": 3, "CUDA": 12}  # unpacked packages and pip's downloads, by build of torch
LAB_SETTINGS = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}\n'  # a pop-up about news

OLD_PYTHON = f"Python {VERSION} is too old, 3.11 or newer is needed; name one you have: make setup PYTHON=python3.12"
NO_VENV = f"this Python cannot make virtual environments; on Debian or Ubuntu: sudo apt install python{VERSION}-venv"
CAUSES = {  # words that venv and pip write, and what to tell the reader; the first that fits is told
    "DO NOT MATCH THE HASHES": (
        "a package that came is not the one in the lock file (pip says which) and was left out; try another network."
    ),
    "No space left|quota exceeded": "the disk or the temporary folder is full; make room and call this again.",
    "Permission denied|Read-only file": "no right to write here; move the course to your own folder, or remove .venv.",
    "Failed to establish|Failed to resolve|Max retries|timed out|ConnectionError|ProxyError": (
        "the package index cannot be reached; the first set-up needs a network connection, later starts do not."
    ),
    "No matching distribution": (
        f"a package for Python {VERSION} was not found; check the network, or try: make setup PYTHON=python3.12"
    ),
    "ensurepip": NO_VENV,
}


def fail(sentence):
    """Leave with one sentence and without a traceback."""
    sys.exit("\nset-up: " + sentence)


def say(sentence):
    """Show what happens now; flushed, so that it stands before what pip prints."""
    print("set-up: " + sentence, flush=True)


def is_usable(python):
    """Whether the environment's Python starts, is new enough and has pip.

    It does not where an earlier run was interrupted, or where the Python that it was made from has been removed.
    """
    code = f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    try:
        return subprocess.call([python, "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def has_nvidia_gpu():
    """Whether the NVIDIA driver names a GPU; only then does Linux need the large CUDA build."""
    command = shutil.which("nvidia-smi")
    if not command:
        return False
    with subprocess.Popen([command, "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        return process.communicate()[0].startswith(b"GPU")


def run(command, **streams):
    """Run a command with its output visible; return its exit code and what it complained about."""
    complaints = []
    with subprocess.Popen(command, universal_newlines=True, errors="replace", **streams) as process:
        for line in process.stderr or process.stdout:
            sys.stderr.write(line)
            complaints.append(line)
    return process.returncode, "".join(complaints)


def sentence_for(complaints):
    """The sentence for the likely cause of what a command wrote, or None."""
    return next((sentence for words, sentence in CAUSES.items() if re.search(words, complaints)), None)


def run_or_fail(command, **streams):
    """Run a command and stop with a sentence that names the likely cause if it fails."""
    code, complaints = run(command, **streams)
    if code != 0:
        what = " ".join(command[1:3])
        fail(sentence_for(complaints) or f"'{what}' ended with exit code {code}; its own message stands above.")


def make_environment(root, venv, build):
    """Make .venv anew, after checking what would stop the set-up half-way."""
    if sys.version_info < OLDEST_PYTHON:
        fail(OLD_PYTHON)
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        fail(NO_VENV)
    free = shutil.disk_usage(root).free / 2**30
    if free < NEEDED_GIB[build]:
        fail(f"{free:.1f} GiB of disk are free here, {NEEDED_GIB[build]} GiB are needed; make room and call it again.")
    say("repairing .venv" if os.path.exists(venv) else "creating .venv")
    command = [sys.executable, "-m", "venv", "--clear", venv]
    run_or_fail(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def install(root, python, lock, build):
    """Install the pins with their hashes, then torch, then the course itself from its folder; compile on all cores."""
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]  # pip would use one core
    run_or_fail([*pip, "--require-hashes", "-r", os.path.join(root, lock)], stderr=subprocess.PIPE)
    if build == "CPU" and sys.platform == "linux":  # elsewhere the default index has the right build
        place = torch_place()
        options = [*place, "--retries", "1", "--timeout", "15", "--no-deps"]
        if run([*pip, *options, torch_pin(root)], stderr=subprocess.PIPE)[0] != 0:
            say(f"no CPU build of torch from {place[1]} (a mirror: {MIRROR}); the default index may send a larger one")
    run_or_fail([*pip, torch_pin(root)], stderr=subprocess.PIPE)
    run_or_fail([*pip, "--no-deps", "--no-build-isolation", "-e", root], stderr=subprocess.PIPE)
    run([python, "-m", "compileall", "-qq", "-j", "0", os.path.join(root, ".venv")], stderr=subprocess.PIPE)


def torch_place():
    """Where pip looks for torch's CPU build. A mirror is an index, or one page with links; pip tries both."""
    mirror = os.environ.get(MIRROR)
    return ["--index-url", mirror, "--find-links", mirror] if mirror else ["--index-url", TORCH_CPU_INDEX]


def torch_pin(root):
    """The pin of torch among the dependencies, such as 'torch==2.13.0'."""
    with open(os.path.join(root, "pyproject.toml"), encoding="utf-8") as file:
        return re.search(r'"(torch==[^"]+)"', file.read()).group(1)


def silence_lab(venv):
    """Switch off JupyterLab's question about news, which covers the first page and needs the network."""
    folder = os.path.join(venv, "etc", "jupyter", "labconfig")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "page_config.json"), "w", encoding="ascii") as file:
        file.write(LAB_SETTINGS)


def digest(root, lock):
    """A fingerprint of everything the installation depends on, its place included."""
    fingerprint = hashlib.sha256(root.encode())
    for name in (lock, "pyproject.toml", os.path.join("tools", "set_up.py")):
        with open(os.path.join(root, name), "rb") as file:
            fingerprint.update(file.read())
    return fingerprint.hexdigest()


def stamp_of(venv, lock):
    """The file that remembers an installed lock by its digest."""
    return os.path.join(venv, lock + ".stamp")


def is_stamped(root, venv, lock):
    """Whether this lock, or the larger one that contains it, is already installed."""
    for name in LOCKS[LOCKS.index(lock) :]:
        if os.path.exists(stamp_of(venv, name)):
            with open(stamp_of(venv, name), encoding="ascii") as file:
                if file.read() == digest(root, name):
                    return True
    return False


def main(lock):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    venv = os.path.join(root, ".venv")
    python = os.path.join(venv, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    ready = is_usable(python)
    if ready and is_stamped(root, venv, lock):
        return
    if not os.access(venv if ready else root, os.W_OK):
        fail(sentence_for("Permission denied"))
    build = "CUDA" if sys.platform == "linux" and has_nvidia_gpu() else "CPU"
    if not ready:
        make_environment(root, venv, build)
    for stamp in filter(os.path.exists, [stamp_of(venv, name) for name in LOCKS]):
        os.remove(stamp)  # an interrupted change must not pass for the earlier state
    say(f"installing the pins of {lock} ({build} build of torch); about 310 MB for the CPU build, once")
    install(root, python, lock, build)
    silence_lab(venv)
    with open(stamp_of(venv, lock), "w", encoding="ascii") as file:
        file.write(digest(root, lock))
    say("done")


if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in LOCKS]:
        fail("call it as: python3 tools/set_up.py " + LOCKS[0])
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        fail("interrupted; call the same command again, it goes on where it stopped.")
    except OSError as error:
        fail(sentence_for(str(error)) or str(error))
