"""Imports go down: every module has a floor, and knows only what lies below it and the libraries it is there for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "course_utils"
FLOORS = {
    "checks": 0,  # what anybody may call: refusals, and the mode of a model
    "rules": 0,
    "modes": 0,
    "language": 0,
    **dict.fromkeys(["models", "prediction", "corpora", "plots", "devices"], 1),
    **dict.fromkeys(["training", "fast", "text", "loaders", "reference", "checkpoints", "saved_runs"], 2),
    **dict.fromkeys(["train_live", "experiments", "single_run", "sweep"], 3),
    "widgets": 4,
}
SAME_FLOOR = {  # the book's loading functions are made of the taught ones; a run on disk is made anew as them
    ("checks", "rules"),
    ("checks", "language"),  # what a lab refuses is said in the reader's language
    ("loaders", "text"),
    *(("saved_runs", module) for module in ("loaders", "text", "training")),
    ("checkpoints", "saved_runs"),
    ("experiments", "single_run"),  # what is explored are grids of runs
    ("sweep", "single_run"),
}
TAUGHT = {"models", "prediction", "training", "text"}
LIBRARIES = {  # each belongs to few modules, so that the rest of the package does not depend on it
    "torch": set(FLOORS) - {"plots", "corpora"},  # plots takes plain records and arrays, never a model
    "numpy": {"plots", "experiments", "fast"},
    "matplotlib": {"plots"},
    "matplotlib_inline": {"reference"},
    "d2l": {"reference"},
    "torchvision": {"reference"},
    "platformdirs": {"corpora", "widgets"},  # where a text, or a guess, is kept on each operating system
    "charset_normalizer": {"corpora"},  # in which encoding a reader's own text is
    "IPython": {"train_live", "reference", "widgets"},
    "ipywidgets": {"widgets"},
    "safetensors": {"saved_runs"},
    "loky": {"sweep"},  # processes that run trainings side by side, also those of a cell
    "tqdm": {"sweep"},
    "greenlet": {"widgets"},  # leaves a training loop between two batches
}


def modules(folder):
    """Return dotted name -> source of a package's modules; the package itself is "course_utils"."""
    named = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        named[".".join(["course_utils", *parts])] = path.read_text(encoding="utf-8")
    return named


def problems(name, source, known):
    """Return one sentence for each import that the module `name` should not have; `known` are all modules' names."""
    home = room(name)
    if home and home not in FLOORS:
        return [f"{name} is new; give it a floor in tests/test_imports.py and in the table of CONTRIBUTING.md"]
    judged = ((target, objection(name, target, known)) for target in imports(ast.parse(source), known))
    return [f"{name} imports {target}: {why}" for target, why in judged if why]


def room(name):
    """The module or folder right below the package, "" for the package itself."""
    return ".".join(name.split(".")[1:2])


def imports(tree, known):
    """Yield the full name of everything imported, wherever it stands and also by `import_module("...")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            names = [f"{origin}.{alias.name}" for alias in node.names]
            whole = origin == "course_utils"  # then the names must be modules, for the package itself holds nothing
            yield from (full if full in known or whole or full.endswith(".*") else origin for full in names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


def objection(name, target, known):
    """Say why the module `name` must not import `target`, or None if it may."""
    home, library = room(name), target.split(".")[0]
    if target.endswith(".*"):
        return "name what you need instead of a star"
    if target.startswith("."):
        return "write the name in full, from course_utils on"
    if library == "course_utils":
        return package_objection(home, target, known)
    if library in sys.stdlib_module_names:
        return None
    if library not in LIBRARIES:
        return "say in tests/test_imports.py which modules may use this library"
    return None if home in LIBRARIES[library] else f"only {', '.join(sorted(LIBRARIES[library]))} may"


def package_objection(home, target, known):
    below = room(target)
    if target != "course_utils" and target not in known:
        return "import it from the module where it stands"
    if not home or not below:
        return "the package itself loads nothing before it is used, and nothing in it needs it"
    if below not in FLOORS:
        return "this module has no floor"
    if home in TAUGHT and below not in TAUGHT | {"checks", "rules", "modes"}:
        return "taught code uses torch, the checks, their rules, modes and taught code only"
    if FLOORS[below] < FLOORS[home] or (home, below) in SAME_FLOOR or home == below:
        return None
    return f"floor {FLOORS[below]} is not below floor {FLOORS[home]}"


MODULES = modules(PACKAGE)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    found = problems(name, MODULES[name], set(MODULES))
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_every_floor_is_lived_on():
    assert {room(name) for name in MODULES} - {""} == set(FLOORS)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, course_utils; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "course_utils" in loaded
    assert [name for name in loaded if name.startswith("course_utils.")] == []
    heavy = {"torch", "matplotlib", "pandas", "numpy", "d2l", "IPython", "ipywidgets"}
    assert heavy.isdisjoint(loaded)


# The checker itself, on made-up code.

INNER = ("widgets.lab", "experiments.memory", "experiments.measuring")
KNOWN = {"course_utils", *(f"course_utils.{name}" for name in (*FLOORS, *INNER))}


@pytest.mark.parametrize(("name", "source", "words"), [  # without words: all is well
    ("models", "import math\nimport torch\nfrom torch import nn", ""),
    ("training", "from course_utils.prediction import predict", ""),
    ("loaders", "from course_utils.text import Vocab\nfrom course_utils import corpora", ""),
    ("widgets.shapes", "import ipywidgets\nfrom course_utils.widgets.lab import Lab", ""),
    ("widgets.shapes", "from course_utils import train_live", ""),
    ("experiments.memory", "from course_utils.experiments.measuring import seconds", ""),
    ("plots", "from matplotlib.figure import Figure\nimport numpy", ""),
    ("training", "from course_utils import train_live", "taught code"),
    ("models", "from course_utils.text import Vocab", "floor 2 is not below floor 1"),
    ("text", "from course_utils.training import detach", "floor 2 is not below floor 2"),
    ("text", "from course_utils.corpora import find", "taught code"),
    ("train_live", "from course_utils.experiments import memory", "floor 3 is not below floor 3"),
    ("fast", "from course_utils import training", "floor 2 is not below floor 2"),
    ("experiments.memory", "from course_utils.widgets.lab import Lab", "floor 4"),
    ("train_live", "import ipywidgets", "only widgets may"),
    ("widgets.shapes", "import matplotlib.pyplot as plt", "only plots may"),
    ("plots", "import torch", "may"),
    ("training", "def f():\n    import numpy as np", "may"),
    ("loaders", "import importlib\nbook = importlib.import_module('d2l.torch')", "only reference may"),
    ("loaders", "from d2l import torch", "only reference may"),
    ("loaders", "import pandas", "which modules may use this library"),
    ("loaders", "from course_utils.text import *", "instead of a star"),
    ("loaders", "from .text import Vocab", "in full"),
    ("loaders", "from . import text", "in full"),
    ("loaders", "from course_utils import RNNModel", "where it stands"),
    ("loaders", "import course_utils", "nothing in it needs it"),
    ("sounds", "import math", "give it a floor"),
    ("", "from course_utils.text import Vocab", "loads nothing"),
    ("", "import torch", "may"),
])  # fmt: skip
def test_bad_imports_are_red_and_good_ones_pass(name, source, words):
    found = problems(f"course_utils.{name}".rstrip("."), source, KNOWN)
    assert words in "\n".join(found)
    assert bool(found) == bool(words)
