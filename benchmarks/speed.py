"""Tokens per second of an epoch, ours over the book's: same model, data and updates, in turn in one process.

Beside it what bounds the speed, what company does to it, and how long the package takes to import.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn

from course_utils import RNNModel, d2l, fast, load_data_time_machine
from course_utils.fast import cpu
from course_utils.training import train_epoch

ROOT = Path(__file__).parents[1]
ROUNDS = 25
NAMES = "RNNModel, load_data_time_machine, predict, train, try_gpu"
IMPORT = f"""
import time, torch
start = time.perf_counter()
import course_utils
middle = time.perf_counter()
from course_utils import {NAMES}
print(middle - start, time.perf_counter() - start)
"""
TRAIN = """
import sys, time, torch
from torch import nn
from course_utils import RNNModel, load_data_time_machine, train, try_gpu
train_iter, vocab = load_data_time_machine(32, 35, corpus="story")
print("ready", flush=True)
sys.stdin.readline()
device, tokens, start = try_gpu(), 0, time.perf_counter()
while time.perf_counter() - start < 8:
    net = RNNModel(nn.RNN(len(vocab), 256), len(vocab))
    train(net, train_iter, vocab, 1, 50, device, plot=False)
    tokens += 50 * len(train_iter) * 32 * 35
print(tokens / (time.perf_counter() - start))
"""


def measure():
    """Return name -> figures, one for each round; None where there is no GPU."""
    threads, figures = torch.get_num_threads(), {}
    for name, count in (("1_thread", 1), ("2_threads", 2)):
        torch.set_num_threads(count)
        book, taught, ours, bound = epoch_seconds(torch.device("cpu"))
        figures |= {
            f"tokens_ratio_{name}": ratios(book, ours),
            f"taught_tokens_ratio_{name}": ratios(book, taught),
            f"share_of_matmul_bound_{name}": ratios(bound, ours),
        }
    torch.set_num_threads(threads)
    figures["share_of_matmul_bound"] = figures.pop("share_of_matmul_bound_1_thread")
    figures["contended_share"] = contended_shares()
    figures["import_seconds"], figures["import_seconds_with_names"] = import_seconds()
    figures["gpu_tokens_ratio"] = gpu_ratios()
    return figures


def ratios(theirs, ours):
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def epoch_seconds(device):
    """Train epochs with the book's loop, the taught one and the fast one in turn; return the seconds of each.

    The fourth list holds the seconds of the fast loop's matrix products alone (on a CPU).
    """
    train_iter, vocab = load_data_time_machine(32, 35)
    nets = [model(nn.RNN(len(vocab), 256), len(vocab)).to(device) for model in (d2l.RNNModel, RNNModel, RNNModel)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=1) for net in nets]
    loss, quick = nn.CrossEntropyLoss(), fast.choose(nets[2], device)
    window = used_window(nets[2], train_iter) if device.type == "cpu" else None
    runs = [
        lambda: d2l.train_epoch_ch8(nets[0], train_iter, loss, optimizers[0], device, False),
        lambda: train_epoch(nets[1], train_iter, optimizers[1], device),
        lambda: quick(nets[2], train_iter, optimizers[2], device),
        lambda: products(window, len(train_iter)) if window else None,
    ]
    seconds = [[timed(run) for run in runs] for _ in range(ROUNDS)]
    return list(zip(*seconds[3:], strict=True))  # the first rounds warm up


def timed(run):
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.no_grad()
def used_window(net, train_iter):
    """The fast loop's blocks with one batch's numbers in them."""
    X, Y = next(iter(train_iter))
    window = cpu.Window(net, *X.shape)
    window.forward_and_backward(X, Y, torch.zeros(net.num_hiddens, len(X)))
    return window


@torch.no_grad()
def products(window, num_batches):
    """Make the matrix products of one epoch, and nothing else: no faster loop can be built of them."""
    for _ in range(num_batches):
        for inputs_T in window.inputs_T[:-1]:
            cpu.product(window.W, inputs_T)
        cpu.product(window.W_linear, window.flat_inputs.flatten(1).T)
        for errors_T in window.errors_T[1:]:
            cpu.product(window.U, errors_T)
        cpu.product(window.flat_errors.flatten(1), window.flat_inputs.flatten(1))


def contended_shares(rounds=3):
    """Train alone, then in two processes at once; return the slower one's share of the lone speed, for each round."""
    return [
        min(together) / alone
        for _ in range(rounds)
        for [alone], together in [(tokens_per_second(1), tokens_per_second(2))]
    ]


def tokens_per_second(count):
    """Train in so many processes at the same time; return the speed of each."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", TRAIN]
    processes = [subprocess.Popen(command, **pipes, cwd=ROOT, env=plain_environment()) for _ in range(count)]
    for process in processes:
        while process.stdout.readline() != "ready\n":
            pass
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.communicate()[0].splitlines()[-1]) for process in processes]


def plain_environment():
    """The environment without a chosen number of threads."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}


def import_seconds(rounds=5):
    """Return the seconds of `import course_utils` beyond torch, and of importing its main names as well."""
    command = [sys.executable, "-c", IMPORT]
    printed = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(rounds)
    ]
    return list(zip(*(map(float, line.split()) for line in printed), strict=True))


def gpu_ratios():
    """The ratio of epoch times on a GPU, the book's over the recorded step's; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    book, _, ours, _ = epoch_seconds(torch.device("cuda"))
    return ratios(book, ours)


if __name__ == "__main__":
    print(json.dumps({name: values and round(median(values), 3) for name, values in measure().items()}, indent=1))
