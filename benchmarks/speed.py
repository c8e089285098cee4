"""Tokens per second of an epoch, ours over the book's: same model, data and updates, in turn in one process.

Measured with the instructions that the processor has, and once more with AVX2 alone where it has AVX-512. Beside it
what bounds the speed, what company does to it, and how long the package takes to import.
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

from course_utils import RNNModel, d2l, load_data_time_machine
from course_utils.fast import quick_layers, quickest
from course_utils.training import train_epoch

ROOT = Path(__file__).parents[1]
ROUNDS = 25
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
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
    figures = epochs_in_a_process({})
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        figures |= {f"{name}_avx2": values for name, values in epochs_in_a_process(AVX2).items()}
    figures["contended_share"] = contended_shares()
    figures["import_seconds"], figures["import_seconds_with_names"] = import_seconds()
    figures["gpu_tokens_ratio"] = gpu_ratios()
    return figures


def epochs_in_a_process(instructions):
    """The figures of `epochs`, from a process that may use certain instructions only."""
    command = [sys.executable, "-c", "from benchmarks import speed; speed.epochs()"]
    environment = plain_environment() | instructions
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return json.loads(printed.splitlines()[-1])


def epochs():
    """Print name -> figures for 1 and 2 threads, one for each round.

    tokens_ratio: the book's seconds over ours. layer_ratio: torch's over ours, for the layer alone. share_of_products:
    seconds of the layer's matrix products over those of the layer. tokens_ratio_limit: the ratio to the book if the
    layer took no longer than its products; what is left then is the model's other parts, loss, clipping, optimiser.
    """
    figures = {}
    for name, count in (("1_thread", 1), ("2_threads", 2)):
        torch.set_num_threads(count)
        book, taught, ours, layer, quick, products = epoch_seconds(torch.device("cpu"))
        limits = [each - own + least for each, own, least in zip(ours, quick, products, strict=True)]
        figures |= {
            f"tokens_ratio_{name}": ratios(book, ours),
            f"taught_tokens_ratio_{name}": ratios(book, taught),
            f"layer_ratio_{name}": ratios(layer, quick),
            f"share_of_products_{name}": ratios(products, quick),
            f"tokens_ratio_limit_{name}": ratios(book, limits),
        }
    print(json.dumps(figures))


def ratios(theirs, ours):
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def epoch_seconds(device):
    """Train epochs with the book's loop, the taught one, and the taught one with the quick layer, in turn.

    Returns:
        Lists of seconds: of these three, then of the layer alone, of the quick one alone, and of its products alone.
    """
    train_iter, vocab = load_data_time_machine(32, 35)
    nets = [model(nn.RNN(len(vocab), 256), len(vocab)).to(device) for model in (d2l.RNNModel, RNNModel, RNNModel)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=1) for net in nets]
    layer, loss, count = nets[2].rnn, nn.CrossEntropyLoss(), len(train_iter)
    runs = [
        lambda: d2l.train_epoch_ch8(nets[0], train_iter, loss, optimizers[0], device, False),
        lambda: train_epoch(nets[1], train_iter, optimizers[1], device),
        lambda: quickly(train_epoch, nets[2], train_iter, optimizers[2], device),
    ]
    if device.type == "cpu":
        X = nn.functional.one_hot(next(iter(train_iter))[0].T, len(vocab)).float()
        gradient = torch.randn(35, 32, 256)
        runs += [
            lambda: forward_and_backward(layer, X, gradient, count),
            lambda: quickly(forward_and_backward, layer, X, gradient, count),
            lambda: layer_products(layer, X, gradient, count),
        ]
    seconds = [[timed(run) for run in runs] for _ in range(ROUNDS)]
    return list(zip(*seconds[3:], strict=True))  # the first rounds warm up


def timed(run):
    """Seconds of a run; with one thread those of the processor, which company does not lengthen."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def quickly(function, *args):
    with quick_layers():
        return function(*args)


def forward_and_backward(layer, X, gradient, count):
    for _ in range(count):
        torch.autograd.grad(layer(X)[0], list(layer.parameters()), gradient)


@torch.no_grad()
def layer_products(layer, X, gradient, count):
    """Make the matrix products of a layer's forward and backward, and nothing else: no quicker layer can be built."""
    prepare, product, _ = quickest(32, 256, torch.get_num_threads())
    forward, backward, out = prepare(layer.weight_hh_l0), prepare(layer.weight_hh_l0.t()), torch.empty(32, 256)
    flat = gradient.flatten(0, 1)
    for _ in range(count):
        for weight in (forward, backward):
            for step in gradient:
                product(out, step, weight, out=out)
        flat.t() @ flat


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
    """The ratio of epoch times on a GPU, the book's over the taught loop's; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    book, ours, *_ = epoch_seconds(torch.device("cuda"))
    return ratios(book, ours)


if __name__ == "__main__":
    print(json.dumps({name: values and round(median(values), 3) for name, values in measure().items()}, indent=1))
