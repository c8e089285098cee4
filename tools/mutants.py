"""Does the suite notice a mistake? Plants small ones, one at a time, and counts those that the unit tests catch.

A mutant is a module with one change: another comparison, an arithmetic sign, a number one off, a condition turned
round, two arguments swapped, a statement left out, None returned. A seeded sample of all mutants is tried, each with
the tests of its module alone and in a copy of the repository, in a process forked from this one, where torch is loaded
already. A mutant that survives is a missing test, or equivalent: then docs/mutants.md quotes its line and says why.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import itertools
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "docs" / "mutants.md"
MODULES = ["models", "prediction", "text", "training", "loaders", "corpora", "devices", "train_live", "fast",
           "widgets/lab", "widgets/training_lab", "widgets/runs", "widgets/slices", "experiments/*"]  # fmt: skip
TESTS = {"runs": ["training_lab"], "measuring": ["measuring"]}  # where the name does not tell
TOO_LONG = "not memorises and not beside_another"  # half a minute each
WARM = [
    "torch",
    "IPython.display",
    "ipywidgets",
    "matplotlib.figure",
    "hypothesis",
    "pandas",
    "nbformat",
    "jupyter_client",
]
TURNED = {ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
          ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn],
          ast.NotIn: [ast.In], ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult],
          ast.FloorDiv: [ast.Mult], ast.Mod: [ast.Mult], ast.Pow: [ast.Mult], ast.BitOr: [ast.BitAnd],
          ast.And: [ast.Or], ast.Or: [ast.And]}  # fmt: skip


def changes(node):
    """Yield the mutants of one node, as what stands in its place."""
    match node:
        case ast.Compare(ops=[operator]):
            for turned in TURNED[type(operator)]:
                yield ast.Compare(node.left, [turned()], node.comparators)
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) if type(operator) in TURNED:
            for turned in TURNED[type(operator)]:
                other = copy.copy(node)
                other.op = turned()
                yield other
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            other = copy.copy(node)
            other.test = ast.UnaryOp(ast.Not(), test)
            yield other
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Call(args=[first, second, *rest]) if not isinstance(first, ast.Starred):
            yield ast.Call(node.func, [second, first, *rest], node.keywords)
        case (
            ast.Expr(value=ast.Call())
            | ast.AugAssign()
            | ast.Raise()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield ast.Pass()


def mutants(module):
    """Yield a module's mutants: (module, number of the line, then what `planted` needs)."""
    tree = ast.parse((ROOT / "course_utils" / module).read_text(encoding="utf-8"))
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            places = value if isinstance(value, list) else [value]
            for place, node in enumerate(places):
                if isinstance(node, ast.AST) and field not in ("annotation", "returns", "format_spec"):
                    for other in changes(node):
                        put = [*places[:place], other, *places[place + 1 :]] if isinstance(value, list) else other
                        yield module, getattr(node, "lineno", 0), tree, parent, field, put


def planted(tree, parent, field, put):
    """Return a mutant's whole source, and its first line that differs."""
    plain, value = ast.unparse(tree), getattr(parent, field)
    setattr(parent, field, put)
    source = ast.unparse(ast.fix_missing_locations(tree))
    setattr(parent, field, value)
    lines = itertools.zip_longest(source.splitlines(), plain.splitlines())
    return source, next(new for new, old in lines if new != old).strip()


def fails(folder, module, source, seconds, clock=itertools.count(1)):
    """Whether the tests of `module` fail, or do not end in time, when the copy in `folder` holds `source`."""
    path = folder / "course_utils" / module
    before = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    os.utime(path, (moment := next(clock), moment))  # or Python might take the bytecode of the mutant before
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


def run_tests(folder, name):
    """In a process of its own: run the tests of the module `name` in `folder`, and end."""
    os.setsid()
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(os.open(folder / "output.tmp", os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    files = [f"tests/test_{each}.py" for each in ("defaults", *TESTS.get(name, [name]))]
    code = 1
    try:
        code = pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-o", "addopts=", "-k", TOO_LONG, *files]
        )
    finally:
        sys.stdout.flush()
        os._exit(code)  # whatever happens: the folder is the parent's


def copied(folder):
    """Copy the repository's files, also those not committed yet, into `folder`."""
    names = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def wilson(hits, count, z=1.96):
    """Return the 95 % interval of a share."""
    middle, half = hits + z**2 / 2, z * math.sqrt(hits * (count - hits) / count + z**2 / 4)
    return (middle - half) / (count + z**2), (middle + half) / (count + z**2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (of several thousand)")
    parser.add_argument("modules", nargs="*", default=MODULES, help='such as "devices" or "experiments/*"')
    asked = parser.parse_args()
    package = ROOT / "course_utils"
    files = sorted({path for name in asked.modules for path in package.glob(f"{name}.py") if path.stem != "__init__"})
    found = [each for path in files for each in mutants(path.relative_to(package).as_posix())]
    sample = sorted(random.Random(asked.seed).sample(found, min(asked.sample, len(found))), key=lambda each: each[:2])
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # quicker, and what is loaded already need not be rewritten
    for name in WARM:
        importlib.import_module(name)
    excused, limits, survivors, equivalent = EQUIVALENT.read_text(encoding="utf-8"), {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        for module, number, *change in sample:
            source, line = planted(*change)
            if module not in limits:
                start, plain = time.monotonic(), ast.unparse(ast.parse((package / module).read_text(encoding="utf-8")))
                if fails(Path(folder), module, plain, 600):
                    sys.exit(
                        f"{module}: its tests fail without a mutant, see\n{Path(folder, 'output.tmp').read_text()}"
                    )
                limits[module] = 10 + 5 * (time.monotonic() - start)
                print(f"{module}: {(limits[module] - 10) / 5:.1f} s", flush=True)
            killed = fails(Path(folder), module, source, limits[module])
            known = not killed and f"{module}: `{line}`" in excused
            survivors, equivalent = survivors + (not killed and not known), equivalent + known
            print(
                f"{'killed' if killed else 'equivalent' if known else 'SURVIVED'} {module}:{number}: {line}", flush=True
            )
    count = len(sample) - equivalent
    low, high = wilson(count - survivors, count)
    print(
        f"seed {asked.seed}: {len(sample)} of {len(found)} mutants, {equivalent} equivalent; of {count} others "
        f"{count - survivors} killed, {(count - survivors) / count:.1%} ({low:.1%} to {high:.1%})"
    )


if __name__ == "__main__":
    main()
