"""How far can we go: what a minute of honest effort reaches on text that was never trained on.

The training loop is the taught one. What differs from the book's recipe is the whole text instead of 10,000 characters,
an LSTM with dropout, and Adam with a learning rate that rises and falls.

Dimensions: T time steps, B batch size, V vocabulary, H hidden units, L layers.
"""

import re
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.loaders import SeqDataLoader
from course_utils.models import RNNModel
from course_utils.text import Vocab
from course_utils.training import evaluate, one_cycle, train_epoch


class DropoutModel(nn.Module):
    """An embedding, a recurrent layer and a linear layer, with dropout between them (Zaremba et al. 2014, 1409.2329).

    It is called like `RNNModel`: `forward(X, state)` takes tokens (B, T) and returns logits (T * B, V) and the state.

    Args:
        vocab_size: V.
        num_hiddens: H.
        cell: `nn.RNN`, `nn.GRU` or `nn.LSTM`.
        dropout: share of the embedding's and of the hidden numbers that are left out while training.
        embedding_dim: numbers that stand for one token.
    """

    def __init__(self, vocab_size, num_hiddens, cell=nn.LSTM, dropout=0.3, embedding_dim=64):
        super().__init__()
        self.vocab_size, self.num_hiddens, self.num_directions = vocab_size, num_hiddens, 1
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.rnn = cell(embedding_dim, num_hiddens)
        self.linear = nn.Linear(num_hiddens, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs, state):
        X = self.dropout(self.embedding(inputs.T))  # (B, T) -> (T, B, embedding_dim)
        hiddens, state = self.rnn(X, state)
        return self.linear(self.dropout(hiddens).flatten(0, 1)), state

    def begin_state(self, device, batch_size=1):
        return RNNModel.begin_state(self, device, batch_size)


@dataclass(frozen=True)
class Reached:
    """What a recipe reached: perplexity on the training and on the held-out text, and the seconds of its training."""

    recipe: str
    seed: int
    training: float
    held_out: float
    seconds: float


class Windows:
    """Windows of T tokens at stride 1 in random order, each read from a fresh state: d2l-en's way of making batches.

    Args:
        tokens: a long tensor.
        count: how many windows; the first begins at token `first`.
    """

    sampling = "random"  # what `train_epoch` asks: the state is reset for every batch

    def __init__(self, tokens, first, count, num_steps=32, batch_size=1024):
        self.windows = tokens.unfold(0, num_steps + 1, 1)[first : first + count]  # (count, T + 1)
        self.batch_size = batch_size

    def __len__(self):
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self):
        for rows in torch.randperm(len(self.windows)).split(self.batch_size):
            yield self.windows[rows, :-1], self.windows[rows, 1:]


def whole_text(tokens, held_out, vocab_size, device, seed=0, num_epochs=23, num_hiddens=256, dropout=0.3, lr=5e-3):
    """Train on all tokens but the held-out ones and return `Reached`; about 45 s on two CPU cores.

    Args:
        tokens, held_out: long tensors, as `train_iter.corpus` and `train_iter.held_out` with `max_tokens=-1`.
        vocab_size: V.
        device: where to compute.
        seed: of weights, offsets and dropout; torch's own generator is put back afterwards.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = DropoutModel(vocab_size, num_hiddens, dropout=dropout).to(device)
        loader = SeqDataLoader(tokens, batch_size=32, num_steps=64)
        return _run("LSTM with dropout, Adam, whole text", net, loader, num_epochs, device, seed,
                    one_cycle(net, lr, num_epochs * len(loader)), lambda: evaluate(net, held_out, device))  # fmt: skip


def book_recipe(tokens, held_out, vocab_size, device, seed=0, num_epochs=500):
    """The book's recipe, measured by the same yardstick: 10,000 tokens, 32 x 35, 256 units, SGD with rate 1; 30 s."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RNNModel(nn.RNN(vocab_size, 256), vocab_size).to(device)
        loader = SeqDataLoader(tokens[:10_000], batch_size=32, num_steps=35)
        return _run("the book's recipe, 10,000 characters", net, loader, num_epochs, device, seed,
                    torch.optim.SGD(net.parameters(), lr=1), lambda: evaluate(net, held_out, device))  # fmt: skip


def d2l_en_tokens(text):
    """Tokens and vocabulary of d2l-en (d2l 1.0): letters in lower case, everything else, line ends too, one space."""
    characters = list(re.sub("[^A-Za-z]+", " ", text).lower())
    vocab = Vocab(characters)
    return torch.tensor(vocab[characters]), vocab


def d2l_en_split(tokens, vocab_size, device, recipe="ours", seed=0, num_epochs=None):
    """Train on d2l-en's split and return `Reached`: 10,000 windows of 32 at stride 1, the next 5,000 for validation.

    Args:
        tokens: of `d2l_en_tokens`.
        recipe: "ours" (LSTM with dropout, Adam; about 15 s) or "d2l-en" (RNN with 32 units, SGD with rate 1, batches of
            1,024, 100 epochs, as in its own notebook; about 30 s).
        num_epochs: passes over the 10,000 windows; the recipe's own number if None.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        validation = Windows(tokens, 10_000, 5_000)
        if recipe == "d2l-en":
            net, loader = RNNModel(nn.RNN(vocab_size, 32), vocab_size).to(device), Windows(tokens, 0, 10_000)
            num_epochs, optimizer = num_epochs or 100, torch.optim.SGD(net.parameters(), lr=1)
        else:
            net = DropoutModel(vocab_size, 128, dropout=0.3, embedding_dim=32).to(device)
            loader, num_epochs = Windows(tokens, 0, 10_000, batch_size=256), num_epochs or 8
            optimizer = one_cycle(net, 5e-3, num_epochs * len(loader))
        return _run(
            recipe,
            net,
            loader,
            num_epochs,
            device,
            seed,
            optimizer,
            lambda: _windows_perplexity(net, validation, device),
        )


def _run(recipe, net, loader, num_epochs, device, seed, optimizer, measure):
    start = time.perf_counter()
    for _ in range(num_epochs):
        training = train_epoch(net, loader, optimizer, device)
    return Reached(recipe, seed, training, measure(), time.perf_counter() - start)


@torch.no_grad()
def _windows_perplexity(net, windows, device):
    """The perplexity over all tokens of all windows, each window read from a fresh state."""
    net.eval()
    total, count = 0.0, 0
    for X, Y in windows:
        logits, _ = net(X.to(device), net.begin_state(device, batch_size=len(X)))
        total += F.cross_entropy(logits, Y.to(device).T.flatten(), reduction="sum")
        count += Y.numel()
    return (total / count).exp().item()
