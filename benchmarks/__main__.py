"""Measure everything, write results.json and make results.md from it: `make bench`, about 8 minutes on two cores."""

import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks import quality, recipe, speed
from course_utils import try_gpu
from course_utils.devices import describe

FOLDER = Path(__file__).parent


def machine():
    """What the figures were measured on."""
    versions = {name: version(name) for name in ("torch", "d2l", "numpy")}
    return {
        "date": date.today().isoformat(),
        "device": describe(try_gpu()),
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **versions,
    }


def summarise(samples):
    """The median of every figure, and its spread as [smallest, largest]."""
    medians = {name: round(median(values), 3) for name, values in samples.items()}
    spreads = {name: [round(min(values), 3), round(max(values), 3)] for name, values in samples.items()}
    return medians, spreads


def as_table(results):
    """The results as a Markdown table."""
    rows = [
        f"| `{name}` | {value:.3g} | {results['spread'][name][0]:.3g} to {results['spread'][name][1]:.3g} |"
        for name, value in results.items()
        if name in results["spread"]
    ]
    setting = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join(
        [
            "# Benchmark results",
            "",
            f"`make bench`; {setting}.",
            "",
            "| Figure | Median | Spread |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main():
    samples = {**speed.measure(), **recipe.measure(), **quality.measure()}
    medians, spreads = summarise(samples)
    results = {"machine": machine(), **medians, "spread": spreads}
    (FOLDER / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (FOLDER / "results.md").write_text(as_table(results), encoding="utf-8")
    print(as_table(results))


if __name__ == "__main__":
    main()
