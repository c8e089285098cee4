"""Measure the tables that take minutes and store them in course_utils/data: `make experiments`.

Every table is a list of calls, each with its own seeds on one thread, so that the numbers do not depend on how many
calls run at the same time. Those on The Time Machine need it in the cache, or a connection to download it.
"""

import argparse
import concurrent.futures
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from course_utils import load_data_time_machine
from course_utils.experiments import stored
from course_utils.experiments.sampling import ARMS, train_arm
from course_utils.experiments.windows import window_lengths

SEEDS = (0, 1, 2)
LENGTHS = (1, 2, 4, 8, 16, 35, 70, 140)


def windows_calls(num_tokens):
    """Question 1: every window carried and reset with an RNN; carried with a GRU, which looks back further."""
    epochs = 12 if num_tokens > 100_000 else 20
    rnn = {"num_epochs": epochs}
    gru = {"num_epochs": epochs * 2 // 3, "layer": nn.GRU, "carries_state": (True,)}
    each = [{"num_steps": (steps,), "seeds": SEEDS} for steps in LENGTHS]
    return [partial(window_lengths, **layer, **length) for layer in (rnn, gru) for length in each]


def sampling_calls(num_tokens):
    """Question 7: all arms with the book's window and a short one, on the whole text and on its first 10,000 tokens."""
    epochs = 10 if num_tokens > 100_000 else 20
    book = {"layer": nn.RNN, "num_hiddens": 256, "optimizer": torch.optim.SGD, "lr": 1.0}
    return [
        partial(_arms, layer=nn.GRU, num_epochs=epochs),
        partial(_arms, layer=nn.GRU, num_epochs=epochs, num_steps=5, batch_size=224),
        partial(_arms, max_tokens=10_000, layer=nn.GRU, num_epochs=30),
        partial(_arms, max_tokens=10_000, **book, num_epochs=120, every=10),
    ]


def _arms(tokens, held_out, vocab_size, max_tokens=None, **setting):
    """A record for each arm and seed, on the first `max_tokens` tokens."""
    text = tokens[:max_tokens], held_out, vocab_size
    return [train_arm(*arm, *text, seed, **setting) for arm in ARMS.values() for seed in SEEDS]


TABLES = {
    "windows_time_machine": ("time_machine", windows_calls),
    "sampling_time_machine": ("time_machine", sampling_calls),
}
TITLES = {"time_machine": "The Time Machine"}


def measure(call, *text):
    """Make one call on one thread; return its records."""
    torch.set_num_threads(1)
    return call(*text)


def make_table(name, pool):
    """Measure a table and store it."""
    start = time.perf_counter()
    corpus, calls = TABLES[name]
    loader, vocab = load_data_time_machine(1, 1, max_tokens=-1, corpus=corpus)
    text = (loader.corpus, loader.held_out, len(vocab))
    jobs = [pool.submit(measure, call, *text) for call in calls(len(loader.corpus))]
    records = [replace(record, seconds=round(record.seconds, 1)) for job in jobs for record in job.result()]
    origin = stored.provenance("make experiments", TITLES[corpus], SEEDS)
    stored.write(name, records, origin)
    print(f"{name}: {len(records)} rows in {time.perf_counter() - start:.0f} s", flush=True)


def main():
    """Measure the tables named on the command line, by default all."""
    parser = argparse.ArgumentParser(
        description=Path(__file__).name + ": measure and store the tables that take minutes"
    )
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; all of them if none is named")
    parser.add_argument("--jobs", type=int, default=2, help="how many calls run at the same time (2)")
    arguments = parser.parse_args()
    for name in set(arguments.tables) - set(TABLES):
        parser.error(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    torch.set_num_threads(1)
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        for name in arguments.tables or TABLES:
            make_table(name, pool)


if __name__ == "__main__":
    main()
