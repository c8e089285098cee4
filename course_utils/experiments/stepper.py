"""What a model thinks while it reads and writes a text, one character at a time: the numbers behind the stepper lab.

Every function takes any model with `forward(X, state) -> (logits, state)` and `begin_state(device, batch_size)` and
works on a copy of its own: the model keeps its mode, and may be trained in the meantime.

Dimensions: N characters of the text so far, W of them shown, V vocabulary, H hidden units, L layers x directions.
"""

import copy
import itertools
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from course_utils.checks import check_prediction, checked
from course_utils.prediction import choose, distribution
from course_utils.rules import kind


class Unreadable(ValueError):
    """A prefix that cannot be read, in one sentence."""


@dataclass(frozen=True)
class Walk:
    """A text and all that the model held in its head while it went along it."""

    tokens: tuple  # indices of the N characters, the prefix first
    prefix_length: int  # how many of them were given; the model chose the others
    states: tuple  # N + 1 states of the model, before the first character and after each one
    logits: tuple  # N score vectors (V); number i was computed after character i, and predicts character i + 1


@dataclass(frozen=True)
class Snapshot:
    """What the stepper's picture shows: plain lists and arrays, no model. The last W characters of the text, W <= N."""

    characters: list  # the W characters
    num_given: int  # how many of them belong to the prefix
    probabilities: list  # (W,) the model's probability of each one after those before it; nan for a text's first one
    hiddens: object  # (W, H) the last layer's hidden state after each character
    connectivity: list | None  # (W,) how strongly each one moves the explained one; nan after it; None: not to be had
    explained: str  # the character whose log-probability `connectivity` belongs to
    position: int  # its number among the W characters; W stands for the next one, which is not written yet
    candidates: list  # the characters that may come next, the most probable first
    softmax: list  # their probabilities at temperature 1
    drawn: list  # the probabilities from which the next character is really drawn
    choices: float  # exp of the entropy of all of these: among how many equal choices this is like choosing
    period: int | None  # length of the loop that the text is caught in
    unit: str = "character"  # or "word": what a token is; all the above holds for words too


def _still(net):
    """A copy to read with: without dropout, and out of reach of whatever happens to the model meanwhile."""
    copies = {}
    for part in reversed(list(net.modules())):  # deepcopy alone refuses a tensor of a graph, and a layer that moves
        state = list(vars(part).items())
        state = {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in state}
        copies[id(part)] = part.__new__(type(part))
        copies[id(part)].__setstate__(copy.deepcopy(state, copies))
    return copies[id(net)].eval()


@torch.no_grad()
def read(prefix, net, vocab, device):
    """Return the `Walk` along a prefix, or raise `Unreadable`.

    The last state and the scores come from reading the prefix in one go, as `predict` does, so that both write the
    same text to the last bit; the states on the way come from reading it once more, character by character.
    """
    try:
        check_prediction(prefix, 0, net, vocab, temperature=0.0, top_k=None)
    except ValueError as error:
        raise Unreadable(error) from error
    net, tokens = _still(net), tuple(vocab[token] for token in getattr(vocab, "split", list)(prefix))
    states = [net.begin_state(batch_size=1, device=device)]
    for token in tokens:
        states.append(net(torch.tensor([[token]], device=device), states[-1])[1])
    logits, states[-1] = net(torch.tensor([tokens], device=device), states[0])  # (N, V)
    return Walk(tokens, len(tokens), tuple(states), tuple(logits))


@torch.no_grad()
def step(walk, net, device, choose=choose, temperature=0.0, top_k=None, generator=None):
    """Return the walk with one more character, picked by `choose`; the walk that is given stays as it is."""
    token = choose(walk.logits[-1], temperature, top_k, generator)
    logits, state = _still(net)(torch.tensor([[token]], device=device), walk.states[-1])
    return Walk((*walk.tokens, token), walk.prefix_length, (*walk.states, state), (*walk.logits, logits[-1]))


def probabilities(walk):
    """Return for each of the N characters the model's probability (temperature 1) of it; nan for the first one."""
    softmax = torch.stack(walk.logits).softmax(dim=1)[:-1]  # (N - 1, V)
    following = torch.tensor(walk.tokens[1:], dtype=torch.long, device=softmax.device)
    return [float("nan"), *softmax.gather(1, following[:, None])[:, 0].tolist()]


def hidden(state):
    """Return the last layer's hidden state (H) from a model's state (L, 1, H); an LSTM's state is a pair of them."""
    return (state[0] if isinstance(state, tuple) else state).flatten(0, -2)[-1]


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
    (one-hot or embedding); Andreas Madsen, "Visualizing memorization in RNNs", Distill 2019. The list is None if these
    vectors cannot be followed (made neither by `one_hot` nor by an embedding, once for each character).

    Args:
        position: number of the explained character, 1 to N; N is the next one, the most probable, not written yet.
        first: start at this character, from the state that was reached there; the values are the same as from 0.
    """
    token = walk.tokens[position] if position < len(walk.tokens) else walk.logits[-1].argmax().item()
    net, inputs = _still(net), torch.tensor([walk.tokens[first:position]], device=device)
    without_cudnn = torch.backends.cudnn.flags(enabled=False)  # cuDNN has no backward in eval()
    with torch.enable_grad(), without_cudnn, _Vectors() as vectors:
        logits, _ = net(inputs, walk.states[first])
        log_probability = logits[-1].log_softmax(dim=0)[token]
    if sum(kept.shape[:-1].numel() for kept in vectors.kept) != position - first:
        return None
    gradients = torch.autograd.grad(log_probability, vectors.kept)  # one for all characters, or one for each
    return torch.cat([gradient.flatten(0, -2).norm(dim=1) for gradient in gradients]).tolist()


text_or_tokens = kind(
    lambda value: isinstance(value, str | list | tuple) and all(isinstance(each, str | int) for each in value),
    "a string, or a list of tokens",
)


@checked(text=text_or_tokens)
def repeats_every(text):
    """Return the smallest period of the loop in which a text (a string, or tokens) ends, or None if it ends in none.

    A loop is a stretch at the end that repeats at least three times. Where several lengths would do, as 1 and 4 in
    "xaaaxaaaxaaa", the one counts that explains the longest stretch.
    """
    best, longest = None, 0
    for period in range(1, len(text) // 3 + 1):
        pairs = zip(reversed(text), reversed(text[:-period]), strict=False)
        stretch = period + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        if stretch >= 3 * period and stretch > longest:
            best, longest = period, stretch
    return best


def snapshot(walk, net, vocab, device, temperature=0.0, top_k=None, look_back=0, distribution=distribution, columns=60):
    """Return the `Snapshot` of a walk; it explains the next character, or the one `look_back` places before that.

    Of words there are fewer, so that they can be read.
    """
    unit = "word" if getattr(vocab, "kind", None) == "words" else "character"
    columns, most = (columns // 5, 10) if unit == "word" else (columns, 30)
    total, first, scores = len(walk.tokens), max(0, len(walk.tokens) - columns), walk.logits[-1]
    position = max(total - look_back, first + 1)
    pull = connectivity(walk, net, device, position, first)
    softmax = scores.softmax(dim=0)
    order = softmax.argsort(descending=True, stable=True)[:most]  # a tie goes as with argmax
    greedy = F.one_hot(scores.argmax(), len(scores)).float()
    drawn = distribution(scores, temperature, top_k) if temperature else greedy
    return Snapshot(
        characters=vocab.to_tokens(list(walk.tokens[first:])),
        num_given=max(0, walk.prefix_length - first),
        probabilities=probabilities(walk)[first:],
        hiddens=torch.stack([hidden(state) for state in walk.states[first + 1 :]]).cpu().numpy(),
        connectivity=None if pull is None else pull + [float("nan")] * (total - position),
        explained=vocab.to_tokens(walk.tokens[position] if position < total else order[0].item()),
        position=position - first,
        candidates=vocab.to_tokens(order.tolist()),
        softmax=softmax[order].tolist(),
        drawn=drawn[order].tolist(),
        choices=torch.special.entr(drawn).sum().exp().item(),
        period=repeats_every(walk.tokens[-240:]),
        unit=unit,
    )
