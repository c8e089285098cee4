"""Whole calls as a reader makes them, in a real kernel, with live plot and samples: the book's and ours in turn."""

import json
from statistics import median

from benchmarks.labs import Page

SETUP = """
import contextlib, io, json, time
import torch
from torch import nn
from course_utils import RNNModel, d2l, live, load_data_time_machine, train, training, try_gpu

device = try_gpu()
train_iter, vocab = load_data_time_machine(32, 35)
book_iter, book_vocab = d2l.load_data_time_machine(32, 35)


def model():
    torch.manual_seed(0)
    return RNNModel(nn.RNN(len(vocab), 256), len(vocab))


def seconds(function, *args, **options):
    start = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - start


class Stopwatch:
    '''Adds up the seconds that a function takes.'''

    def __init__(self, function):
        self.function, self.total = function, 0.0

    def __call__(self, *args, **options):
        start = time.perf_counter()
        try:
            return self.function(*args, **options)
        finally:
            self.total += time.perf_counter() - start


class Records(list):
    '''A history that notes when a perplexity of at most 1.3 first arrives.'''

    def __init__(self):
        self.start, self.reached = time.perf_counter(), None

    def append(self, record):
        super().append(record)
        if self.reached is None and record.perplexity <= 1.3:
            self.reached = time.perf_counter() - self.start


class Goal:
    '''Notes when the book's plot first shows a perplexity of at most 1.3.'''

    def __init__(self):
        self.start, self.reached, self.add = time.perf_counter(), None, d2l.Animator.add

    def __call__(self, animator, x, y):
        if self.reached is None and y[0] <= 1.3:
            self.reached = time.perf_counter() - self.start
        self.add(animator, x, y)
"""
EPOCHS = 100
CALL = f"""
book = seconds(d2l.train_ch8, model(), book_iter, book_vocab, 1, {EPOCHS}, device)
ours = seconds(train, model(), train_iter, vocab, 1, {EPOCHS}, device)
held_out, train_iter.held_out = train_iter.held_out, train_iter.held_out[:0]  # the book never looks at unseen text
same = seconds(train, model(), train_iter, vocab, 1, {EPOCHS}, device)
train_iter.held_out = held_out
print()
print(json.dumps([book / ours, book / same]))
"""
TO_1_3 = """
goal = Goal()
d2l.Animator.add = lambda animator, x, y: goal(animator, x, y)
d2l.train_ch8(model(), book_iter, book_vocab, 1, 500, device)
d2l.Animator.add = goal.add
records = Records()
train(model(), train_iter, vocab, 0.01, 70, device, recipe=training.one_cycle, history=records)
print()
print(json.dumps([goal.reached, records.reached]))
"""
PLOT = """
pictures, samples, looks = Stopwatch(live.LivePlot.update), Stopwatch(training.predict), Stopwatch(training.evaluate)
live.LivePlot.update = lambda *args, **options: pictures(*args, **options)
training.predict, training.evaluate = samples, looks
whole = seconds(train, model(), train_iter, vocab, 1, 500, device)
live.LivePlot.update, training.predict, training.evaluate = (each.function for each in (pictures, samples, looks))
print()
print(json.dumps([(pictures.total + samples.total) / whole, looks.total / whole]))
"""


def measure(rounds=5):
    """Return name -> figures, one for each round."""
    page = Page()
    try:
        page.run(SETUP)
        calls = [answer(page, CALL) for _ in range(rounds)]
        goals = [answer(page, TO_1_3) for _ in range(rounds)]
        plots = [answer(page, PLOT) for _ in range(rounds)]
    finally:
        page.close()
    return {
        "train_call_ratio": [ratio for ratio, _ in calls],
        "train_call_ratio_without_held_out": [ratio for _, ratio in calls],
        "seconds_ratio_to_perplexity_1_3": [book / ours for book, ours in goals],
        "seconds_to_perplexity_1_3_d2l": [book for book, _ in goals],
        "seconds_to_perplexity_1_3": [ours for _, ours in goals],
        "plot_share": [share for share, _ in plots],
        "held_out_share": [share for _, share in plots],
    }


def answer(page, code):
    """Run code in the kernel; return the last thing that it prints."""
    return json.loads(page.run(code).splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps({name: round(median(values), 3) for name, values in measure().items()}, indent=1))
