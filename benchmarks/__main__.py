"""Measure, write results.json and make results.md from it: `make bench`, about 20 minutes on two cores.

`make bench ARGS="speed calls"` measures these parts alone; the others stay as they were, with the machine that they
were measured on.
"""

import json
import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks import calls, labs, notebooks, quality, recipe, scaling, speed, sweep
from course_utils import try_gpu
from course_utils.devices import describe

FOLDER = Path(__file__).parent
FIGURES = {"speed": speed, "calls": calls, "labs": labs, "recipe": recipe, "quality": quality, "sweep": sweep}
TABLES = {"notebooks": notebooks, "scaling": scaling}


def machine():
    """What the figures were measured on."""
    versions = {name: version(name) for name in ("torch", "d2l", "numpy")}
    return {
        "date": date.today().isoformat(),
        "device": describe(try_gpu()),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor_name": processor_name(),
        "processor": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **versions,
    }


def processor_name():
    """What the processor calls itself, where the system says so."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def summarise(samples):
    """The median of every figure, and its spread as [smallest, largest]; None where nothing could be measured."""
    measured = {name: values for name, values in samples.items() if values is not None}
    medians = {name: rounded(median(measured[name])) if name in measured else None for name in samples}
    spreads = {name: [rounded(min(values)), rounded(max(values))] for name, values in measured.items()}
    return medians, spreads


def rounded(value):
    return round(value, 3)


def as_table(results):
    """The results as Markdown tables."""
    settings = [
        f"- {part}: " + ", ".join(f"{name} {value}" for name, value in setting.items())
        for part, setting in results["machines"].items()
    ]
    rows = [
        f"| `{name}` | {value:.3g} | {results['spread'][name][0]:.3g} to {results['spread'][name][1]:.3g} |"
        for name, value in results.items()
        if name in results["spread"]
    ]
    missing = [f"| `{name}` | not measured | no GPU |" for name, value in results.items() if value is None]
    books = [f"| {name} | {seconds} | {mb} |" for name, (seconds, mb, _) in results["notebooks"].items()]
    scales = [
        f"| {each['grows']} = {each[each['grows']]:,} | {each['tokens_per_second']:,.0f} | {each['training_mb']:.0f} "
        f"| {each['loader_mb']:.0f} | {each['three_epochs_mb']:.0f} |"
        for each in results["scaling"]
    ]
    return "\n".join(
        [
            "# Benchmark results",
            "",
            "`make bench`, part by part:",
            "",
            *settings,
            "",
            *("| Figure | Median | Spread |", "|---|---|---|", *rows, *missing, ""),
            *("| Notebook | Seconds | Peak MB |", "|---|---|---|", *books, ""),
            "| What grows | tokens/s | MB, training | MB, loader | MB more after three epochs |",
            *("|---|---|---|---|---|", *scales, ""),
        ]
    )


def main(parts):
    """Measure the parts of these names, by default all; each is written down as soon as it is known."""
    path = FOLDER / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    for part in parts or [*FIGURES, *TABLES]:
        if part in FIGURES:
            medians, spreads = summarise(FIGURES[part].measure())
            results |= medians | {"spread": results["spread"] | spreads}
        else:
            results[part] = TABLES[part].measure()
        results["machines"][part] = machine()
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        (FOLDER / "results.md").write_text(as_table(results), encoding="utf-8")
    print(as_table(results))


if __name__ == "__main__":
    main(sys.argv[1:])
