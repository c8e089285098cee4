"""Held-out quality after at most a minute, beside the book's recipes, on The Time Machine; three seeds each.

The training loop and `one_cycle` are the taught ones, `DropoutModel` is that of notebook 07, line for line.
Dimensions: T time steps, B batch size, V vocabulary, H hidden units.
"""

import re
import time

import torch
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, corpora, load_data_time_machine, try_gpu
from course_utils.loaders import SeqDataLoader
from course_utils.text import Vocab
from course_utils.training import evaluate, one_cycle, sgd, train_epoch

SEEDS = (0, 1, 2)
QUICK = {"num_epochs": 4, "num_hiddens": 192, "dropout": 0.05, "lr": 0.012}  # soon below 5.0 on held-out text


class DropoutModel(nn.Module):
    """An embedding, an LSTM and a linear layer, with dropout in between."""

    def __init__(self, vocab_size, num_hiddens, dropout=0.3, embedding_dim=32):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.rnn = nn.LSTM(embedding_dim, num_hiddens)
        self.linear = nn.Linear(num_hiddens, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs, state):
        X = self.dropout(self.embedding(inputs.T))  # (T, B, embedding_dim)
        hiddens, state = self.rnn(X, state)  # (T, B, H)
        return self.linear(self.dropout(hiddens).flatten(0, 1)), state  # (T * B, V)

    def begin_state(self, device, batch_size=1):
        zeros = torch.zeros(1, batch_size, self.rnn.hidden_size, device=device)
        return zeros, zeros


class Shuffled:
    """Windows (N, T + 1) in random order: as notebook 07's DataLoader, but quicker."""

    carries_state = False  # `train_epoch` begins each batch with a fresh state

    def __init__(self, windows, batch_size):
        self.windows, self.batch_size = windows, batch_size

    def __len__(self):
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self):
        for rows in torch.randperm(len(self.windows)).split(self.batch_size):
            yield self.windows[rows, :-1], self.windows[rows, 1:]


def whole_text(tokens, held_out, vocab_size, device, seed=0, num_epochs=23, num_hiddens=256, dropout=0.3, lr=5e-3):
    """Train on all tokens but the held-out ones; return the held-out perplexity and the seconds, about 45."""
    torch.manual_seed(seed)
    net = DropoutModel(vocab_size, num_hiddens, dropout, embedding_dim=64)
    batches = SeqDataLoader(tokens, batch_size=32, num_steps=64)
    seconds = _train(net, batches, one_cycle, lr, num_epochs, device)
    return evaluate(net, held_out, device), seconds


def book_recipe(tokens, held_out, vocab_size, device, seed=0, num_epochs=500):
    """The book's recipe by the same yardstick: 10,000 tokens, 32 x 35, 256 units, SGD with rate 1; about 30 s."""
    torch.manual_seed(seed)
    net = RNNModel(nn.RNN(vocab_size, 256), vocab_size)
    batches = SeqDataLoader(tokens[:10_000], batch_size=32, num_steps=35)
    seconds = _train(net, batches, sgd, 1, num_epochs, device)
    return evaluate(net, held_out, device), seconds


def d2l_en_tokens(text):
    """Tokens and vocabulary of d2l-en (d2l 1.0): letters in lower case, everything else, line ends too, one space."""
    characters = list(re.sub("[^A-Za-z]+", " ", text).lower())
    vocab = Vocab(characters)
    return torch.tensor(vocab[characters]), vocab


def d2l_en_split(tokens, vocab_size, device, seed=0, num_epochs=8):
    """Train notebook 07's recipe on d2l-en's split; return the validation perplexity and the seconds, about 15."""
    torch.manual_seed(seed)
    return _on_split(tokens, DropoutModel(vocab_size, 128), 256, one_cycle, 5e-3, num_epochs, device)


def d2l_en_recipe(tokens, vocab_size, device, seed=0, num_epochs=100):
    """d2l-en's own recipe: an RNN with 32 units, SGD with rate 1, batches of 1,024; about 30 s."""
    torch.manual_seed(seed)
    return _on_split(tokens, RNNModel(nn.RNN(vocab_size, 32), vocab_size), 1024, sgd, 1, num_epochs, device)


def _on_split(tokens, net, batch_size, recipe, lr, num_epochs, device):
    """10,000 windows of T = 32 at stride 1 to train on, the next 5,000 for validation, each read from a fresh state."""
    windows = tokens.unfold(0, 33, 1)  # (N, T + 1)
    unseen = windows[10_000:15_000].to(device)
    seconds = _train(net, Shuffled(windows[:10_000], batch_size), recipe, lr, num_epochs, device)
    net.eval()
    with torch.no_grad():
        logits, _ = net(unseen[:, :-1], net.begin_state(device, len(unseen)))
    return F.cross_entropy(logits, unseen[:, 1:].T.flatten()).exp().item(), seconds


def _train(net, batches, recipe, lr, num_epochs, device):
    """Train by the taught loop and return the seconds that it took."""
    start = time.perf_counter()
    optimizer = recipe(net.to(device), lr, num_epochs * len(batches))
    for _ in range(num_epochs):
        train_epoch(net, batches, optimizer, device)
    return time.perf_counter() - start


def measure():
    """Return name -> one figure for each seed; perplexities and seconds."""
    device = try_gpu()
    train_iter, vocab = load_data_time_machine(32, 64, max_tokens=-1, corpus="time_machine")
    text = train_iter.corpus, train_iter.held_out, len(vocab), device
    tokens, en_vocab = d2l_en_tokens(corpora.find("time_machine").text)
    split = tokens, len(en_vocab), device
    runs = {
        "heldout_perplexity_book_60s": [whole_text(*text, seed=seed) for seed in SEEDS],
        "heldout_perplexity_book_5s": [whole_text(*text, seed=seed, **QUICK) for seed in SEEDS],
        "heldout_perplexity_book_recipe": [book_recipe(*text, seed=seed) for seed in SEEDS],
        "validation_perplexity_d2l_en_split_20s": [d2l_en_split(*split, seed=seed) for seed in SEEDS],
        "validation_perplexity_d2l_en_recipe": [d2l_en_recipe(*split, seed=seed) for seed in SEEDS],
    }
    figures = {name: [perplexity for perplexity, _ in reached] for name, reached in runs.items()}
    return figures | {f"seconds_{name}": [seconds for _, seconds in reached] for name, reached in runs.items()}


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(measure())
