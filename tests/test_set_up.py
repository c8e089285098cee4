"""The set-up command: every way to fail ends in one sentence, and a second start installs nothing.

The real script runs in a copy of the project whose path has a space. A stand-in for pip writes down how it was called,
so that nothing is downloaded; one test runs the real pip against an index that does not answer.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
TORCH = re.search(r'"(torch==[\d.]+)"', (PROJECT / "pyproject.toml").read_text())[1]
COPIED = ["pyproject.toml", "requirements.lock", "requirements-test.lock", "tools/set_up.py"]
PIP = """
import json, os, signal, sys
with open(os.environ["PIP_LOG"], "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
if os.environ.get("PIP_INTERRUPTS"):
    os.kill(os.getppid(), signal.SIGINT)
if os.environ.get("PIP_FAILS_ON", "nothing") in sys.argv:
    sys.exit(os.environ["PIP_COMPLAINT"])
"""
VENV = """
import os, sys
os.execv(sys.executable, [sys.executable, "-I", "-m", "venv", "--without-pip", *sys.argv[1:]])
"""


def free_disk(gib):
    """The statement that makes a process believe in so much free disk."""
    return f"import shutil; shutil.disk_usage = lambda path: type('', (), {{'free': {gib} * 2**30}})"


class Project:
    """A copy of the project and the machine around it: what pip and nvidia-smi do can be set by a test."""

    def __init__(self, folder):
        self.root, self.stubs, self.log = folder / "my course", folder / "stubs", folder / "pip.log"
        for name in COPIED:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target)
        for name, text in {"pip": PIP, "venv": VENV}.items():
            (self.stubs / name).mkdir(parents=True)
            (self.stubs / name / "__init__.py").touch()
            (self.stubs / name / "__main__.py").write_text(text)
        self.nvidia_smi("exit 9")

    def nvidia_smi(self, body):
        (self.stubs / "nvidia-smi").write_text(f"#!/bin/sh\n{body}\n")
        (self.stubs / "nvidia-smi").chmod(0o755)

    def set_up(self, lock="requirements.lock", patch="", **environment):
        """Run the real script in a process of its own, after the statements in `patch`."""
        call = [str(self.root / "tools" / "set_up.py"), lock]
        run = f"import runpy, sys; sys.argv = {call}; runpy.run_path(sys.argv[0], run_name='__main__')"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        ours = {"PYTHONPATH": str(self.stubs), "PIP_LOG": str(self.log), "PIP_COMPLAINT": "ERROR: no reason given"}
        ours["PATH"] = f"{self.stubs}{os.pathsep}{os.environ['PATH']}"
        code, environment = "\n".join([free_disk(100), patch, run]), inherited | ours | environment
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)

    def pip_calls(self):
        """The argument lists pip was called with so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def sentence(result):
    """The last line of a run that must have failed with a sentence."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("set-up: ")
    return last


def succeeded(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def test_an_old_python_can_read_the_script():
    ast.parse((PROJECT / "tools" / "set_up.py").read_text(encoding="ascii"), feature_version=(3, 7))


@pytest.mark.parametrize(("patch", "words"), {
    "import sys; sys.version_info = (3, 9, 2)": "Python 3.9 is too old, 3.11 or newer is needed",
    "import sys; sys.modules['ensurepip'] = None": "sudo apt install python3",
    free_disk(1): "1.0 GiB of disk are free",
    "import os; os.access = lambda *arguments: False": "no right to write here",
}.items())  # fmt: skip
def test_what_is_missing_is_said_before_anything_is_made(project, patch, words):
    assert words in sentence(project.set_up(patch=patch))
    assert not (project.root / ".venv").exists()
    assert project.pip_calls() == []


@pytest.mark.parametrize(("complaint", "words"), {
    "ERROR: Could not install packages: [Errno 28] No space left on device": "the disk or the temporary",
    "ERROR: [Errno 122] Disk quota exceeded": "the disk or the temporary",
    "ERROR: [Errno 13] Permission denied: 'site-packages'": "no right to write",
    "WARNING: Retrying after NameResolutionError: Failed to resolve 'pypi.org'": "index cannot be reached",
    "ERROR: No matching distribution found for jupyterlab==4.6.6": "was not found",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.": "is not the one in the lock file",
    "ERROR: something new": "'-m pip' ended with exit code 1; its own message stands above",
}.items())  # fmt: skip
@pytest.mark.parametrize("step", ["--require-hashes", "-e"])
def test_what_pip_complains_about_becomes_a_sentence(project, complaint, words, step):
    result = project.set_up(PIP_FAILS_ON=step, PIP_COMPLAINT=complaint)
    assert words in sentence(result)
    assert complaint in result.stderr
    assert not list(project.root.glob(".venv/*.stamp"))


def test_no_network(project):
    """The real venv and the real pip, whose index and proxy do not answer."""
    addresses = ("PIP_INDEX_URL", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    nowhere = dict.fromkeys(addresses, "http://127.0.0.1:9")
    unset = dict.fromkeys(("PYTHONPATH", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"), "")
    result = project.set_up(PIP_CONFIG_FILE=os.devnull, PIP_RETRIES="1", **nowhere, **unset)
    assert "needs a network connection" in sentence(result)
    assert "creating .venv" in result.stdout


def test_the_second_start_installs_nothing(project):
    result = succeeded(project.set_up())
    assert "installing the pins of requirements.lock (CPU build" in result.stdout
    calls = project.pip_calls()
    assert calls[0][-3:] == ["--require-hashes", "-r", str(project.root / "requirements.lock")]
    assert calls[-1][-2:] == ["-e", str(project.root)]
    settings = json.loads((project.root / ".venv/etc/jupyter/labconfig/page_config.json").read_text())
    assert settings["disabledExtensions"] == {"@jupyterlab/apputils-extension:announcements": True}  # no question
    assert succeeded(project.set_up()).stdout == ""
    assert project.pip_calls() == calls


def test_the_course_is_ready_where_the_tests_are_but_not_the_reverse(project):
    succeeded(project.set_up("requirements.lock"))
    calls = len(project.pip_calls())
    succeeded(project.set_up("requirements-test.lock"))
    assert len(project.pip_calls()) > calls
    (project.root / ".venv" / "requirements.lock.stamp").unlink(missing_ok=True)
    calls = len(project.pip_calls())
    succeeded(project.set_up("requirements.lock"))
    assert len(project.pip_calls()) == calls


def test_a_changed_lock_and_a_moved_folder_are_installed_anew_also_after_a_failure(project):
    lock = project.root / "requirements.lock"
    earlier = lock.read_text()
    succeeded(project.set_up())
    lock.write_text(earlier + "one-more==1.0\n")
    sentence(project.set_up(PIP_FAILS_ON="-r"))
    lock.write_text(earlier)  # the change that failed must not be taken for the earlier state
    calls = len(project.pip_calls())
    succeeded(project.set_up())
    assert len(project.pip_calls()) > calls
    project.root = project.root.rename(project.root.with_name("moved"))
    succeeded(project.set_up())
    assert project.pip_calls()[-1][-1] == str(project.root)


def test_an_interrupted_run_goes_on_at_the_next_call(project):
    assert "interrupted" in sentence(project.set_up(PIP_INTERRUPTS="1"))
    assert "installing" in succeeded(project.set_up()).stdout


@pytest.mark.parametrize("broken", ["vanished", "too old or without pip"])
def test_a_broken_environment_is_repaired(project, broken):
    succeeded(project.set_up())
    python = project.root / ".venv" / "bin" / "python"
    python.unlink()
    if broken == "vanished":
        python.symlink_to("a-python-removed-since")
    else:
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    assert "repairing .venv" in succeeded(project.set_up()).stdout
    assert subprocess.run([python, "-c", ""]).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the default index has the right build")
@pytest.mark.parametrize("silent", [False, True])
def test_linux_without_a_gpu_takes_torch_from_the_cpu_index_unless_it_is_silent(project, silent):
    result = succeeded(project.set_up(PIP_FAILS_ON="--index-url" if silent else "nothing"))
    _, from_cpu_index, torch, _ = project.pip_calls()
    assert any(argument.endswith("/whl/cpu") for argument in from_cpu_index)
    assert from_cpu_index[-1] == torch[-1] == TORCH
    assert ("the default index may send a larger one" in result.stdout) == silent


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the default index has the right build")
def test_a_mirror_of_the_cpu_build_is_asked_instead(project):
    mirror = "https://mirror.example/whl/cpu"
    succeeded(project.set_up(TORCH_INDEX=mirror))
    call = project.pip_calls()[1]
    assert [call[call.index(option) + 1] for option in ("--index-url", "--find-links")] == [mirror] * 2
    assert not any("pytorch.org" in argument for each in project.pip_calls() for argument in each)


@pytest.mark.parametrize(("patch", "build"), [("", "CUDA"), ("import sys; sys.platform = 'darwin'", "CPU")])
def test_a_mac_and_a_machine_with_an_nvidia_gpu_take_torch_from_the_default_index(project, patch, build):
    project.nvidia_smi("echo 'GPU 0: a fast one'")
    assert f"{build} build" in succeeded(project.set_up(patch=patch)).stdout
    assert not any("--index-url" in call for call in project.pip_calls())
    assert project.pip_calls()[1][-1] == TORCH


def test_a_wrong_call_and_any_other_fault_of_the_system_are_named(project):
    assert "requirements.lock" in sentence(project.set_up("requirements.txt"))
    (project.root / "pyproject.toml").unlink()
    assert "No such file or directory" in sentence(project.set_up())
