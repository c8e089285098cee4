"""Tokens per second of one epoch, ours over the book's: same model, data and updates, in turn in one process."""

import time
from statistics import median

import torch
from torch import nn

from course_utils import RNNModel, d2l, load_data_time_machine
from course_utils.training import train_epoch

ROUNDS = 25


def measure():
    """Return name -> ratios, one for each round."""
    threads = torch.get_num_threads()
    figures = {}
    for name, count in (("tokens_ratio_1_thread", 1), ("tokens_ratio_2_threads", 2)):
        torch.set_num_threads(count)
        figures[name] = ratios()
    torch.set_num_threads(threads)
    return figures


def ratios():
    """Train one epoch with the book's loop, then one with ours, again and again; return the ratios of the speeds."""
    device = torch.device("cpu")
    train_iter, vocab = load_data_time_machine(32, 35)
    nets = [model(nn.RNN(len(vocab), 256), len(vocab)) for model in (d2l.RNNModel, RNNModel)]
    book, ours = (torch.optim.SGD(net.parameters(), lr=1) for net in nets)
    loss, seconds = nn.CrossEntropyLoss(), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        d2l.train_epoch_ch8(nets[0], train_iter, loss, book, device, False)
        middle = time.perf_counter()
        train_epoch(nets[1], train_iter, ours, device)
        seconds.append((middle - start, time.perf_counter() - middle))
    return [theirs / mine for theirs, mine in seconds[3:]]  # the first rounds warm up


if __name__ == "__main__":
    print({name: round(median(values), 2) for name, values in measure().items()})
