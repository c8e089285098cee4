"""Does the suite notice a mistake? Plants small ones, one at a time, and counts those that the unit tests catch.

A mutant is a module with one change: another comparison, an arithmetic sign, a number one off, a condition turned
round, two arguments swapped, a statement left out, None returned. A seeded sample of all mutants is tried, each with
the tests of its module alone and in a copy of the repository, in a process forked from this one, where torch is loaded
already. A mutant that survives is a missing test, or equivalent: then docs/mutants.md quotes its line and says why.
"""

import argparse
import ast
import collections
import contextlib
import copy
import importlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, EQUIVALENT = ROOT / "course_utils", ROOT / "docs" / "mutants.md"
MODULES = ["models", "prediction", "text", "training", "loaders", "corpora", "devices", "train_live", "fast",
           "widgets/lab", "widgets/training_lab", "widgets/runs", "widgets/tasks", "widgets/slices",
           "experiments/*"]  # fmt: skip
OWN_TEXTS = ("loaders", "corpora", "prediction", "train_live")  # are held by the tests of own texts too
TESTS = {"runs": ["training_lab"], "tasks": ["training_lab", "explorer"], "single_run": ["sweep"]}
TESTS |= {name: ["prediction", "training", "loaders", "models", "checkpoints"] for name in ("rules", "checks")}
TESTS |= {name: [name, "own_texts"] for name in OWN_TEXTS}
OPTIONS = ["-q", "-p", "no:cacheprovider", "--assert=plain", "-o", "addopts=",
           "-k", "not beside_another and not any_input"]  # half a minute each  # fmt: skip
WARM = ["torch", "IPython.display", "ipywidgets", "matplotlib.figure", "hypothesis", "pandas", "nbformat"]
TURNED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip


def changes(node):
    """Return the mutants of one node: what may stand in its place."""

    def put(**fields):
        other = copy.copy(node)
        vars(other).update(fields)
        return other

    match node:
        case ast.Compare(ops=[operator]):
            return [put(ops=[TURNED[type(operator)]()])]
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) if type(operator) in TURNED:
            return [put(op=TURNED[type(operator)]())]
        case ast.Constant(value=bool(value)):
            return [put(value=not value)]
        case ast.Constant(value=int(value) | float(value)):
            return [put(value=other) for other in (value + 1, value - 1) if other != value]
        case ast.UnaryOp(op=ast.Not()):
            return [node.operand]
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return [put(test=ast.UnaryOp(ast.Not(), test))]
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            return [put(value=ast.Constant(None))]
        case ast.Call(args=[first, second, *rest]) if ast.unparse(node.func) not in ("min", "max"):
            return [put(args=[second, first, *rest])]
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            return [ast.Pass()]
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return [ast.Pass()]
    return []


def mutants(path):
    """Yield a module's mutants: (its name, the number of the line, then what `planted` needs)."""
    module, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
    yield from ((module, number, tree, *place) for number, *place in places(tree))


def places(tree):
    """Yield the mutants of a tree: the number of the line, then what `planted` needs beside the tree."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for place, node in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(node, ast.AST) and field not in ("annotation", "returns", "format_spec"):
                    for other in changes(node) if getattr(parent, "arg", "") != "strict" else ():
                        put = [*value[:place], other, *value[place + 1 :]] if isinstance(value, list) else other
                        yield getattr(node, "lineno", 0), parent, field, put


def planted(tree, parent, field, put):
    """Return a mutant's whole source, and its first line that differs."""
    plain, value = ast.unparse(tree), getattr(parent, field)
    setattr(parent, field, put)
    source = ast.unparse(ast.fix_missing_locations(tree))
    setattr(parent, field, value)
    lines = itertools.zip_longest(*(text.splitlines() for text in (source, plain)), fillvalue="")
    new, old = next((new.strip(), old.strip()) for new, old in lines if new != old)
    return source, f"{new} # {old}" if new in ("pass", "return None") else new


def fails(folder, module, source, moment, seconds=600):
    """Whether the tests of `module` fail, or do not end in time, when the copy in `folder` holds `source`."""
    path = folder / "course_utils" / module
    before = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    os.utime(path, (moment, moment))  # another one each time, or Python might take the bytecode of the mutant before
    if not (child := os.fork()):
        run_tests(folder, Path(module).stem)
    end, (ended, status) = time.monotonic() + seconds, (0, 1)
    while not ended and time.monotonic() < end:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what its tests have started
    if not ended:
        os.waitpid(child, 0)
    path.write_text(before, encoding="utf-8")
    return not ended or status != 0


class QuickFirst:
    """A pytest plugin: the first run of a module's tests is timed, the later ones begin with the quickest test.

    A test that is red in the first run, without a mutant, is left out of the later ones.
    """

    def __init__(self, path):
        self.path, self.first, self.seconds, self.red = path, not path.exists(), collections.Counter(), []
        self.known, self.left_out = ({}, []) if self.first else json.loads(path.read_text())

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid not in self.left_out]
        items.sort(key=lambda item: self.known.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        self.red += [report.nodeid] * report.failed

    def pytest_sessionfinish(self):
        if self.first:
            self.path.write_text(json.dumps([self.seconds, self.red]))


def run_tests(folder, name):
    """In a process of its own: run the tests of the module `name` in `folder`, and end."""
    os.setsid()
    os.chdir(folder)
    output, code = os.open("output.tmp", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1
    os.dup2(output, 1), os.dup2(output, 2)
    files = [f"tests/test_{each}.py" for each in ("defaults", "bad_input", *TESTS.get(name, [name]))]
    plugin = QuickFirst(folder / f"{name}.first.tmp")
    try:
        code = pytest.main([*OPTIONS, *["-x"] * (not plugin.first), *files], [plugin])
    finally:
        sys.stdout.flush()
        os._exit(code)  # whatever happens: the folder is the parent's


def wilson(hits, count, z=1.96):
    """Return the 95 % interval of a share."""
    middle, half = hits + z**2 / 2, z * math.sqrt(hits * (count - hits) / count + z**2 / 4)
    return (middle - half) / (count + z**2), (middle + half) / (count + z**2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants, of some 3,000")
    parser.add_argument("modules", nargs="*", default=MODULES, help='such as "devices" or "experiments/*"')
    asked = parser.parse_args()
    paths = sorted({path for name in asked.modules for path in PACKAGE.glob(f"{name}.py") if path.stem != "__init__"})
    found = [mutant for path in paths for mutant in mutants(path)]
    sample = random.Random(asked.seed).sample(found, min(asked.sample, len(found)))  # what is done first is random too
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # quicker, and they could not be rewritten any more
    for name in WARM:
        importlib.import_module(name)
    excused, limits, results = EQUIVALENT.read_text(encoding="utf-8"), {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = shutil.copytree(ROOT, Path(name, "copy"), ignore=shutil.ignore_patterns(".*", "artifacts"))
        for moment, (module, number, *change) in enumerate(sample):
            source, line = planted(*change)
            if module not in limits:
                start = time.monotonic()
                if fails(folder, module, ast.unparse(change[0]), 2 * moment):
                    _, red = json.loads((folder / f"{Path(module).stem}.first.tmp").read_text())
                    print(f"left out, as they are red without a mutant: {', '.join(red)}", flush=True)
                limits[module] = 10 + 5 * (time.monotonic() - start)
            killed = fails(folder, module, source, 2 * moment + 1, limits[module])
            equivalent = not killed and f"{module}: `{line}`" in excused
            results.append("killed" if killed else "equivalent" if equivalent else "SURVIVED")
            print(f"{results[-1]} {module}:{number}: {line}", flush=True)
    killed, equivalent, count = results.count("killed"), results.count("equivalent"), len(results)
    low, high = wilson(killed, count - equivalent)
    print(f"seed {asked.seed}: {count} of {len(found)} mutants, {equivalent} equivalent, {killed} killed: "
          f"{killed / (count - equivalent):.1%} of the others ({low:.1%} to {high:.1%})")  # fmt: skip


if __name__ == "__main__":
    main()
