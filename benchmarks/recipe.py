"""The book's recipe on both texts, 500 epochs on 10,000 characters, and the README's picture of it."""

from pathlib import Path

import torch
from torch import nn

from course_utils import RNNModel, load_data_time_machine, plots, train, try_gpu
from course_utils.training import baselines

PICTURE = Path(__file__).parents[1] / "docs" / "training.png"


def run(corpus):
    """Train by the book's recipe; return the history and the baselines."""
    train_iter, vocab = load_data_time_machine(32, 35, corpus=corpus)
    torch.manual_seed(0)
    net = RNNModel(nn.RNN(len(vocab), 256), len(vocab))
    history = train(net, train_iter, vocab, lr=1, num_epochs=500, device=try_gpu(), plot=False)
    return history, baselines(train_iter.corpus, train_iter.held_out, len(vocab))


def measure():
    """Return name -> one figure for each text; draw The Time Machine's curves into the README's picture."""
    figures = {}
    for corpus in ("story", "time_machine"):
        history, marks = run(corpus)
        held_out = [record.held_out_perplexity for record in history if record.held_out_perplexity is not None]
        figures |= {
            f"recipe_training_{corpus}": [history[-1].perplexity],
            f"recipe_held_out_{corpus}": [held_out[-1]],
            f"recipe_best_held_out_{corpus}": [min(held_out)],
            f"bigram_{corpus}": [marks["bigram"]],
        }
    title = "the book's recipe on The Time Machine: 10,000 characters, 256 units"
    PICTURE.write_bytes(plots.TrainingCurves(marks, history[-1].epoch).draw(history, title).png())
    return figures


if __name__ == "__main__":
    print(measure())
