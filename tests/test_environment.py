"""The files that describe an environment agree, Binder reads the right ones, and the scripts beside them work."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from jupyterlab_server.translation_utils import get_language_pack
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from course_utils import corpora

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(line) for line in PYPROJECT["dependencies"]]
NEEDED_BY_TESTS = [Requirement(line) for line in PYPROJECT["optional-dependencies"]["test"]]
LOCKS = {"requirements.lock": NEEDED, "requirements-test.lock": NEEDED + NEEDED_BY_TESTS}
[TORCH] = [requirement for requirement in NEEDED if requirement.name == "torch"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge calls a package otherwise
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": platform, "os_name": name}
    for python in ("3.11", "3.12", "3.13")
    for platform, name in (("linux", "posix"), ("darwin", "posix"), ("win32", "nt"))
]


def lock_lines(name):
    """The packages of a lock file: pin, marker and hashes of each in one line."""
    lines = (PROJECT / name).read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    return [line for line in lines if not line.startswith("#")]


def pins(name, machine):
    """The versions that a lock file, and the pin of torch, give on a machine, by package."""
    requirements = [TORCH, *(Requirement(line.split(" --hash=")[0]) for line in lock_lines(name))]
    chosen = [r for r in requirements if r.marker is None or r.marker.evaluate(machine)]
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in chosen}
    assert len(versions) == len(chosen), "a package is pinned twice for one machine"
    return versions


def conda(name):
    """A conda environment file as (versions and builds by package, the lines of its pip section)."""
    dependencies = yaml.safe_load((PROJECT / name).read_text(encoding="utf-8"))["dependencies"]
    [pip] = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    packages = dict(entry.partition("=")[::2] for entry in dependencies if isinstance(entry, str))
    return packages, pip


@pytest.mark.parametrize("machine", MACHINES, ids="{python_version} {sys_platform}".format_map)
@pytest.mark.parametrize(("lock", "needed"), LOCKS.items())
def test_the_locks_pin_what_the_project_needs(lock, needed, machine):
    versions = pins(lock, machine)
    for requirement in needed:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_the_test_lock_contains_the_course_lock():
    files, test_files = (  # the same versions and hashes; a test tool may want one on more platforms
        {re.sub(" ; .*?(?= +--hash)", "", line) for line in lock_lines(name)} for name in LOCKS
    )
    assert not files - test_files, "run `make lock`"
    for machine in MACHINES:
        assert pins("requirements.lock", machine).items() <= pins("requirements-test.lock", machine).items()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash_and_none_an_address(lock):
    hashed = re.compile(r"[\w.-]+==[\w.]+( ; [^:]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in lock_lines(lock) if not hashed.fullmatch(line)] == []
    assert not [line for line in lock_lines(lock) if re.match("torch=|nvidia|cuda|triton", line)]  # no build fits all


@pytest.mark.parametrize("name", ["environment.yml", "binder/environment.yml"])
def test_the_conda_environments_offer_every_dependency_in_its_locked_version(name):
    packages, pip = conda(name)
    python = packages.pop("python")
    assert packages.pop("pip") == "", "conda asks for pip to be listed where its section is used"
    offered = {package: version.partition("=")[0] for package, version in packages.items()}
    offered |= dict(line.split("==") for line in pip if not line.startswith("-"))
    machine = MACHINES[0] | {"python_version": ".".join(python.split(".")[:2])}
    locked = {CONDA_NAMES.get(name, name): pin for name, pin in pins("requirements.lock", machine).items()}
    assert {package: locked[package] for package in offered} == offered
    assert {CONDA_NAMES.get(requirement.name, requirement.name) for requirement in NEEDED} <= set(offered)
    assert SpecifierSet(PYPROJECT["requires-python"]).contains(python)


ALLOWED_DIFFERENCES = [  # between environment.yml and Binder's copy of it
    r"python=(\d+\.\d+) -> python=\1\.\d+",
    r"pytorch=([\d.]+) -> pytorch=\1=cpu\*",
    r"-e \. -> -e \.\.",
]


def test_binders_copy_differs_where_it_must_and_nowhere_else():
    top, copy = (yaml.safe_load((PROJECT / name).read_text()) for name in ("environment.yml", "binder/environment.yml"))
    lines = [[*file["dependencies"][:-1], *file["dependencies"][-1]["pip"]] for file in (top, copy)]
    differences = [f"{ours} -> {binders}" for ours, binders in zip(*lines, strict=True) if ours != binders]
    assert len(differences) == len(ALLOWED_DIFFERENCES)
    for difference, allowed in zip(differences, ALLOWED_DIFFERENCES, strict=True):
        assert re.fullmatch(allowed, difference)
    assert top | {"dependencies": []} == copy | {"dependencies": []}


WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_commands_that_there_are(path):
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    made = {target for step in steps for line in re.findall(r"^make (.*)", step.get("run", ""), re.MULTILINE)
            for target in line.partition(" #")[0].split() if "=" not in target}  # fmt: skip
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert made <= targets
    assert made or path.stem == "weekly"  # which has none of the pins
    for script in (step["run"] for step in steps if "run" in step):
        subprocess.run(["bash", "-n", "-c", re.sub(r"\$\{\{.*?\}\}", "x", script)], check=True)


def test_the_workflow_tests_the_oldest_and_the_newest_python_of_the_locks():
    matrix = yaml.safe_load((PROJECT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    known = list(dict.fromkeys(machine["python_version"] for machine in MACHINES))
    assert matrix["python"] == [known[0], known[-1]]
    assert PYPROJECT["requires-python"] == f">={known[0]}"
    assert len(matrix["os"]) == len({machine["sys_platform"] for machine in MACHINES})


@pytest.fixture
def export(tmp_path):
    """The files that git tracks, copied: what Binder would clone."""
    if not (PROJECT / ".git").exists():
        pytest.skip("no git checkout, so nobody knows which files Binder would clone")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=PROJECT, text=True)
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


@pytest.mark.filterwarnings("ignore:pythonjsonlogger.jsonlogger has been moved")  # repo2docker's import
def test_binder_reads_its_folder_and_nothing_else(export, capsys, caplog):
    """repo2docker, which is what Binder runs, told to print its Dockerfile instead of building it."""
    from repo2docker.__main__ import make_r2d

    app = make_r2d(["--no-build", str(export)])
    app.initialize()
    app.build()
    dockerfile = capsys.readouterr().out
    update = 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"'
    assert dockerfile.count("env update") == dockerfile.count(update) == 1
    assert dockerfile.index(" src/ ${REPO_DIR}/") < dockerfile.index(update), "the course is not there to be installed"
    assert "RUN ./binder/postBuild" in dockerfile
    assert "fonts-wqy-zenhei" in dockerfile  # for figures in Chinese
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile
    assert "requirements" not in dockerfile
    minor = conda("binder/environment.yml")[0]["python"].rpartition(".")[0]
    assert f"Building conda environment for python={minor}\n" in caplog.text


@pytest.mark.parametrize("name", ["binder/postBuild", "binder/start", ".ci/run"])
def test_a_script_can_be_started(export, name):
    assert os.access(export / name, os.X_OK)
    subprocess.run(["bash", "-n", export / name], check=True)


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """A function that puts a small command of a test's own first on the PATH."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def add(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    return add


@pytest.mark.parametrize(("files", "chosen", "threads"), [
    ({}, None, "64"),
    ({"cpu.max": "max 100000"}, None, "64"),
    ({"cpu.max": "250000 100000"}, None, "2"),
    ({"cpu.max": "50000 100000"}, None, "1"),
    ({"cpu.max": "9900000 100000"}, None, "64"),
    ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, None, "3"),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, "64"),
    ({"cpu.max": "250000 100000"}, "7", "7"),
])  # fmt: skip
def test_binder_starts_no_more_threads_than_it_may_use(tmp_path, stubs, monkeypatch, files, chosen, threads):
    """On a host of 64 cores: files of a control group, the number chosen before, and the threads to use."""
    stubs("nproc", "echo 64")
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(f"{text}\n")
    monkeypatch.setenv("CGROUP_FOLDER", str(tmp_path / "cgroup"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    command = [PROJECT / "binder" / "start", "sh", "-c", 'echo "$OMP_NUM_THREADS $1"', "sh", "two words"]
    assert subprocess.check_output(command, text=True) == f"{threads} two words\n"


@pytest.fixture
def ci(tmp_path, monkeypatch, stubs):
    """A function that runs a copy of .ci/run, whose `make` fails with 3; returns its result."""
    script = tmp_path / "checkout" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(PROJECT / ".ci" / "run", script)
    stubs("make", 'echo "make $*"; exit 3')
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda: subprocess.run([shutil.which("bash"), script], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("cache", ["cache of its own", ""], ids=["XDG_CACHE_HOME", "home"])
def test_ci_tests_with_the_book_where_it_lies_and_ends_as_make_ends(tmp_path, stubs, monkeypatch, ci, cache):
    book = tmp_path / "shared" / "data" / "timemachine.txt"
    book.parent.mkdir(parents=True)
    book.write_text("the book")
    stubs("chromium", "exit 0")
    monkeypatch.setenv("XDG_CACHE_HOME", cache and str(tmp_path / cache))
    run = ci()
    assert (run.stdout, run.returncode) == ("make test\n", 3)
    if sys.platform == "linux":
        assert corpora.cache_path().read_text() == "the book"
        assert corpora.cache_path().is_relative_to(tmp_path)


def test_ci_goes_on_without_a_browser_and_without_the_book(tmp_path, stubs, monkeypatch, ci):
    stubs("apt-get", "exit 100")
    for name in ("bash", "dirname", "id", "env"):
        stubs(name, f'exec {shutil.which(name)} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "stubs"))
    run = ci()
    assert "no browser tests" in run.stdout
    assert (run.stdout.splitlines()[-1], run.returncode) == ("make test", 3)


def test_make_lab_passes_options_on_and_keeps_the_server_to_this_machine(monkeypatch):
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of the `make test` that may have started this
    make = ["make", "--dry-run", "--no-print-directory", "lab", "ARGS=--no-browser --port=8899"]
    command = subprocess.check_output(make, cwd=PROJECT, text=True).splitlines()[-1]
    assert command.endswith("--no-browser --port=8899")
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "/lab/tree/notebooks/00_start_here.ipynb" in command
    assert "token" not in command


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
@pytest.mark.parametrize(("options", "page"), [([], "notebooks/00"), (["LANGUAGE=zh"], "notebooks/zh/00")])
def test_make_lab_opens_the_course_in_the_language_that_is_asked_for(options, page):
    environment = {name: value for name, value in os.environ.items() if name != "LANGUAGE"}
    command = ["make", "--dry-run", "lab", *options]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert f"default_url=/lab/tree/{page}_start_here.ipynb" in done.stdout


def test_jupyterlab_has_its_menus_in_chinese():
    settings = PROJECT / "translations" / "zh" / "labconfig" / "default_setting_overrides.json"
    (options,) = json.loads(settings.read_text(encoding="utf-8")).values()
    pack, complaint = get_language_pack(options["locale"])
    assert (pack["jupyterlab"]["Run"], complaint) == (["运行"], "")
