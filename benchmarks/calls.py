"""Whole calls as a reader makes them, in a real kernel, with live plot and samples: the book's and ours in turn."""

import inspect
import json
from statistics import median

from benchmarks.labs import Page
from course_utils import RNNModel

SETUP = """
import json, statistics, time
import torch
from torch import nn
from torch.nn import functional as F
from course_utils import RNNModel, d2l, load_data_time_machine, train, train_live, training, try_gpu
from course_utils.widgets.training_lab import TrainingLab

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
pictures = Stopwatch(train_live.LivePlot.update)
samples, looks = Stopwatch(training.predict), Stopwatch(training.evaluate)
train_live.LivePlot.update = lambda *args, **options: pictures(*args, **options)
training.predict, training.evaluate = samples, looks
whole = seconds(train, model(), train_iter, vocab, 1, 500, device)
train_live.LivePlot.update, training.predict, training.evaluate = (each.function for each in (pictures, samples, looks))
print()
print(json.dumps([(pictures.total + samples.total) / whole, looks.total / whole]))
"""
LAB = """
def book_speed():
    per_epoch, loss = len(train_iter) * 32 * 35, nn.CrossEntropyLoss()
    times = [seconds(d2l.train_epoch_ch8, book_net, train_iter, loss, book_optimizer, device, False) for _ in range(15)]
    return per_epoch / statistics.median(times)


book_net = model()
book_optimizer = torch.optim.SGD(book_net.parameters(), lr=1)
lab = TrainingLab(model=RNNModel)
lab.num_epochs.value = 60
before = book_speed()
lab.start.click()
run = await lab.finished()
ours = statistics.median(record.tokens_per_second for record in run.history)
print()
print(json.dumps(ours / ((before + book_speed()) / 2)))
"""


def measure(rounds=3):
    """Return name -> figures, one for each round."""
    page = Page()
    try:
        page.run(SETUP)
        calls = [answer(page, CALL) for _ in range(rounds)]
        goals = [answer(page, TO_1_3) for _ in range(rounds)]
        plots = [answer(page, PLOT) for _ in range(rounds)]
        page.run(inspect.getsource(RNNModel))  # from here on the class is one of a cell
        labs = [answer(page, LAB) for _ in range(rounds)]
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
        "lab_tokens_ratio": labs,
    }


def answer(page, code):
    """Run code in the kernel; return the last thing that it prints."""
    return json.loads(page.run(code).splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps({name: round(median(values), 3) for name, values in measure().items()}, indent=1))
