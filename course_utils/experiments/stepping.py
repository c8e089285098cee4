"""What a model thinks while it reads and writes a text, one character at a time: the numbers behind the stepper lab.

All functions work with any model that has `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)`.

Dimensions: N characters of the text so far, V vocabulary, H hidden units, L layers x directions.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from course_utils.prediction import check_prediction, choose


@dataclass(frozen=True)
class Walk:
    """A text and all that the model held in its head while it went along it.

    Attributes:
        tokens: indices of the N characters, the prefix first.
        prefix_length: how many of them were given; the model chose the others.
        states: N + 1 states of the model, before the first character and after each one.
        logits: N score vectors (V); number i was computed after character i, and predicts character i + 1.
    """

    tokens: tuple
    prefix_length: int
    states: tuple
    logits: tuple


@dataclass(frozen=True)
class Snapshot:
    """What the stepper's picture shows: plain lists and arrays, no model. The last W characters of the text, W <= N.

    Attributes:
        characters: the W characters.
        num_given: how many of them belong to the prefix.
        probabilities: (W,) the model's probability of each one after those before it; nan for a text's first character.
        hiddens: (W, H) the last layer's hidden state after each character.
        connectivity: (W,) how strongly each character moves the explained one; nan after it; None if not to be had.
        explained: the character whose log-probability `connectivity` belongs to.
        position: its number among the W characters; W stands for the next one, which is not written yet.
        candidates: the characters that may come next, the most probable first.
        softmax: their probabilities at temperature 1.
        drawn: the probabilities from which the next character is really drawn.
        choices: exp of the entropy of `drawn`, between 1 and V: among how many equal choices this is like choosing.
        period: length of the loop that the text is caught in, or None.
    """

    characters: list
    num_given: int
    probabilities: list
    hiddens: object
    connectivity: object
    explained: str
    position: int
    candidates: list
    softmax: list
    drawn: list
    choices: float
    period: int | None


@contextmanager
def _reading(net):
    """Read without dropout, as `predict` does, and leave the model as it was."""
    was_training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(was_training)


@torch.no_grad()
def read(prefix, net, vocab, device):
    """Return the `Walk` along a prefix.

    The last state and the scores come from reading the prefix in one go, as `predict` does, so that both write the
    same text to the last bit; the states on the way come from reading it once more, character by character.

    Raises:
        ValueError: the prefix is empty or has an unknown character, or the model is bidirectional.
    """
    check_prediction(prefix, 0, net, vocab, temperature=0.0, top_k=None)
    tokens = tuple(vocab[character] for character in prefix)
    states = [net.begin_state(batch_size=1, device=device)]
    with _reading(net):
        for token in tokens:
            states.append(net(torch.tensor([[token]], device=device), states[-1])[1])
        logits, states[-1] = net(torch.tensor([tokens], device=device), states[0])  # (N, V)
    return Walk(tokens, len(tokens), tuple(states), tuple(logits))


@torch.no_grad()
def step(walk, net, device, temperature=0.0, top_k=None, generator=None):
    """Return the walk with one more character, chosen by `prediction.choose`; the walk that is given stays as it is."""
    token = choose(walk.logits[-1], temperature, top_k, generator)
    with _reading(net):
        logits, state = net(torch.tensor([[token]], device=device), walk.states[-1])
    return Walk((*walk.tokens, token), walk.prefix_length, (*walk.states, state), (*walk.logits, logits[-1]))


def distribution(logits, temperature=1.0, top_k=None):
    """Return the probabilities (V) from which `prediction.choose` draws: at temperature 0 all on the best score."""
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    if top_k is not None:
        limit = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < limit, float("-inf"))
    return torch.softmax(logits / temperature, dim=0)


def choices(probabilities):
    """Return exp of the entropy of a distribution (V): 1 if one is certain, V if all are equally probable.

    It is the perplexity that a model with this distribution expects of itself.
    """
    return torch.special.entr(probabilities).sum().exp().item()


def probabilities(walk):
    """Return for each of the N characters the model's probability (temperature 1) of it; nan for the first one."""
    if len(walk.tokens) == 1:
        return [float("nan")]
    following = torch.tensor(walk.tokens[1:], device=walk.logits[0].device)
    softmax = torch.stack(walk.logits[:-1]).softmax(dim=1)  # (N - 1, V)
    return [float("nan"), *softmax.gather(1, following[:, None])[:, 0].tolist()]


def hidden(state):
    """Return the last layer's hidden state (H) from a model's state (L, 1, H); an LSTM's state is a pair of them."""
    part = state[0] if isinstance(state, tuple) else state
    return part.flatten(0, -2)[-1]


class _Vectors(TorchFunctionMode):
    """While this context is open, the vectors that a model makes of its tokens are kept and have gradients."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (F.one_hot, F.embedding):
            result = result.detach().float().requires_grad_()
            self.kept.append(result)
        return result


def connectivity(walk, net, device, position, first=0):
    """Return how strongly each character before `position` moves the log-probability of the token that stands there.

    Connectivity is the length of the gradient of that log-probability with respect to the character's input vector
    (one-hot or embedding); Andreas Madsen, "Visualizing memorization in RNNs", Distill 2019.

    Args:
        position: number of the explained character, 1 to N; N is the next one, the most probable, not written yet.
        first: start at this character, from the state that was reached there; the values are the same as from 0.

    Returns:
        A list of `position - first` lengths of gradients; None if the model makes its input vectors in a way that
        cannot be followed (neither `one_hot` nor an embedding, once for each character).
    """
    token = walk.tokens[position] if position < len(walk.tokens) else walk.logits[-1].argmax().item()
    inputs = torch.tensor([walk.tokens[first:position]], device=device)
    without_cudnn = torch.backends.cudnn.flags(enabled=False)  # cuDNN has no backward in eval()
    with _reading(net), torch.enable_grad(), without_cudnn, _Vectors() as vectors:
        logits, _ = net(inputs, walk.states[first])
        log_probability = logits[-1].log_softmax(dim=0)[token]
    if sum(kept.shape[:-1].numel() for kept in vectors.kept) != position - first:
        return None
    gradients = torch.autograd.grad(log_probability, vectors.kept)  # one for all characters, or one for each
    return torch.cat([gradient.flatten(0, -2).norm(dim=1) for gradient in gradients]).tolist()


def repeats_every(text):
    """Return the smallest period of the loop in which a text ends, or None if it ends in none.

    A loop is a stretch at the end that repeats at least three times. Where several lengths would do, as 1 and 4 in
    "xaaaxaaaxaaa", the one counts that explains the longest stretch.

    Args:
        text: a string or a sequence of tokens.
    """
    best, longest = None, 0
    for period in range(1, len(text) // 3 + 1):
        start = len(text) - period
        while start > 0 and text[start - 1] == text[start - 1 + period]:
            start -= 1
        stretch = len(text) - start
        if stretch >= 3 * period and stretch > longest:
            best, longest = period, stretch
    return best


def snapshot(walk, net, vocab, device, temperature=0.0, top_k=None, look_back=0, columns=60, shown=30):
    """Return the `Snapshot` of a walk.

    Args:
        temperature, top_k: how the next character will be chosen.
        look_back: explain the next character (0), the last one (1), the one before it (2), ... as far as there is one.
        columns: show at most so many characters of the text, the last ones.
        shown: show at most so many candidates for the next character.
    """
    total, first = len(walk.tokens), max(0, len(walk.tokens) - columns)
    position = max(total - look_back, first + 1)
    pull = connectivity(walk, net, device, position, first)
    softmax = distribution(walk.logits[-1])
    order = softmax.argsort(descending=True)[:shown]
    drawn = distribution(walk.logits[-1], temperature, top_k)
    explained = walk.tokens[position] if position < total else order[0].item()
    return Snapshot(
        characters=vocab.to_tokens(list(walk.tokens[first:])),
        num_given=max(0, walk.prefix_length - first),
        probabilities=probabilities(walk)[first:],
        hiddens=torch.stack([hidden(state) for state in walk.states[first + 1 :]]).cpu().numpy(),
        connectivity=None if pull is None else pull + [float("nan")] * (total - position),
        explained=vocab.to_tokens(explained),
        position=position - first,
        candidates=vocab.to_tokens(order.tolist()),
        softmax=softmax[order].tolist(),
        drawn=drawn[order].tolist(),
        choices=choices(drawn),
        period=repeats_every(walk.tokens[-4 * columns :]),
    )
