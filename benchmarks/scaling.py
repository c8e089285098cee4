"""How speed and memory grow with the sizes: one training each, in a process of its own; a picture of four panels.

Memory is the growth of the process's peak (read from Linux's /proc) while it loads the text, reads it three times, and
trains.
"""

import json
import subprocess
import sys
from pathlib import Path

from course_utils import plots

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "scaling.png"
AXES = {  # what grows, and what it grows to; the others stay as in the book
    "num_hiddens": (64, 128, 256, 512, 1024),
    "num_steps": (8, 32, 128, 512),
    "batch_size": (1, 8, 32, 128, 512),
    "num_tokens": (10_000, 100_000, 1_000_000, 10_000_000),
}
BOOK = {"num_hiddens": 256, "num_steps": 35, "batch_size": 32, "num_tokens": 300_000}
RUN = """
import json, re, sys, tempfile, time
from pathlib import Path
import torch
from torch import nn
from course_utils import RNNModel, load_data_time_machine, try_gpu, training
from course_utils.corpora import STORY_PATH
from course_utils.fast import quick_layers

sizes = json.loads(sys.argv[1])


def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024


device, before = try_gpu(), peak()
story = STORY_PATH.read_text()
with tempfile.TemporaryDirectory() as folder:
    text = Path(folder) / "long.txt"
    text.write_text(story * (sizes["num_tokens"] // 38_000 + 1))
    cut = sizes["batch_size"], sizes["num_steps"]
    loader, vocab = load_data_time_machine(*cut, max_tokens=sizes["num_tokens"], corpus=text)
loaded = peak()
for _ in range(3):
    for X, Y in loader:
        pass
epochs = peak()
net = RNNModel(nn.RNN(len(vocab), sizes["num_hiddens"]), len(vocab))
optimizer = training.sgd(net, 1, 0)
loader.corpus = loader.corpus[: 40 * sizes["batch_size"] * sizes["num_steps"] + 40]  # 40 updates tell the speed
with quick_layers():
    training.train_epoch(net, loader, optimizer, device)
    start = time.perf_counter()
    training.train_epoch(net, loader, optimizer, device)
speed = len(loader) * loader.batch_size * loader.num_steps / (time.perf_counter() - start)
print(json.dumps({"tokens_per_second": speed, "loader_mb": loaded - before, "three_epochs_mb": epochs - loaded,
                  "training_mb": peak() - epochs}))
"""


def measure():
    """Return the records, a list of dictionaries: what grew, the sizes, speed and memory; draw the picture."""
    records = [one(name, value) for name, values in AXES.items() for value in values]
    PICTURE.write_bytes(draw(records).png())
    return records


def one(name, value):
    """Train with one size changed; a text that the others need is as long as 40 batches."""
    sizes = BOOK | {name: value}
    if name != "num_tokens":
        sizes["num_tokens"] = max(10_000, 41 * sizes["batch_size"] * sizes["num_steps"])
    command = [sys.executable, "-c", RUN, json.dumps(sizes)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {"grows": name, **sizes, **json.loads(printed.splitlines()[-1])}


def draw(records):
    """The picture: tokens per second in blue, megabytes in orange, a panel for each size."""
    picture = plots.Picture(9, 5)
    for number, name in enumerate(AXES, start=1):
        chosen = [record for record in records if record["grows"] == name]
        sizes = [record[name] for record in chosen]
        axes = picture.add_subplot(2, 2, number)
        axes.plot(sizes, [record["tokens_per_second"] for record in chosen], "o-", color=plots.BLUE)
        axes.set(xscale="log", yscale="log", xlabel=name, ylim=(1e4, 3e6))
        axes.set_ylabel("tokens/s", color=plots.BLUE)
        memory, field = axes.twinx(), "loader_mb" if name == "num_tokens" else "training_mb"
        memory.plot(sizes, [record[field] for record in chosen], "s--", color=plots.VERMILION)
        memory.set(ylim=(0, None))
        memory.set_ylabel("MB for the loader" if name == "num_tokens" else "MB for training", color=plots.VERMILION)
    return picture


if __name__ == "__main__":
    for record in measure():
        print(record)
