"""The faster loop for CPUs gives the taught loop's numbers, and keeps away from every model it does not know."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, load_data_time_machine, train, training
from course_utils import fast as fast_loops
from course_utils.fast import cpu as fast
from course_utils.loaders import SeqDataLoader

SIZES = [(28, 32, 4, 7), (28, 256, 32, 35), (5, 3, 1, 1), (11, 17, 9, 2), (28, 64, 1, 140)]  # V, H, B, T

needs_product = pytest.mark.skipif(not fast.has_product(), reason="this build of torch has no oneDNN product")


def model(V=28, H=16, seed=0, **options):
    torch.manual_seed(seed)
    return RNNModel(nn.RNN(V, H, **options), V)


def batch(V, B, T, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(V, (2, B, T), generator=generator)


def gradients(net):
    return [parameter.grad for parameter in net.parameters()]


class Batches(list):
    def __init__(self, sampling, *batches):
        super().__init__(batches)
        self.sampling = sampling


def taught(net, windows):
    """Autograd's unclipped losses and gradients for windows that follow each other."""
    state = None
    for X, Y in windows:
        state = net.begin_state("cpu", len(X)) if state is None else training.detach(state)
        logits, state = net(X, state)
        loss = F.cross_entropy(logits, Y.T.flatten())
        net.zero_grad()
        loss.backward()
    return loss


@needs_product
@pytest.mark.parametrize("max_norm", [1e-3, 1e9])
@pytest.mark.parametrize(("V", "H", "B", "T"), SIZES)
def test_losses_and_gradients_are_autograds(V, H, B, T, max_norm, monkeypatch):
    ours, theirs, windows = model(V, H), model(V, H), [batch(V, B, T, seed) for seed in (1, 2)]
    expected = taught(theirs, windows)
    nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
    monkeypatch.setattr(fast.Window.set_gradients, "__defaults__", (max_norm,))
    window = fast.Window(ours, B, T)
    with torch.no_grad():
        _, state = window.forward_and_backward(*windows[0], torch.zeros(H, B))
        loss, _ = window.forward_and_backward(*windows[1], state)
    assert loss.item() / (B * T) == pytest.approx(expected.item(), rel=1e-5)
    for mine, autograds in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(mine, autograds, rtol=0, atol=1e-5 * autograds.abs().max().item())
    ours.rnn.bias_ih_l0.grad.zero_()
    assert ours.rnn.bias_hh_l0.grad.any(), "each bias must have a gradient of its own"


@needs_product
@pytest.mark.parametrize("sampling", ["sequential", "random"])
@pytest.mark.parametrize("recipe", [training.sgd, training.one_cycle])
def test_epochs_equal_the_taught_ones(sampling, recipe):
    ours, theirs = model(), model()
    windows = Batches(
        sampling, *(batch(28, 4, 7, seed) for seed in range(5)), *(batch(28, 3, 5, seed) for seed in (7, 8))
    )
    if sampling == "sequential":  # a shorter window goes on with the states; another batch size has none to go on with
        windows[5:] = [batch(28, 4, 3, seed=7)]
    optimizers, kept = [recipe(net, 0.05, 20) for net in (ours, theirs)], {}
    for _ in range(2):
        mine = fast.train_epoch(ours, windows, optimizers[0], "cpu", kept)
        expected = training.train_epoch(theirs, windows, optimizers[1], "cpu")
        assert mine == pytest.approx(expected, rel=1e-4)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert not torch.allclose(ours.linear.weight, model().linear.weight)
    assert len(kept) == 2


@needs_product
def test_another_model_gets_blocks_of_its_own():
    epoch, windows = fast_loops.choose(model(), "cpu"), Batches("random", batch(28, 4, 7))
    for seed in (0, 1):
        ours, theirs = model(seed=seed), model(seed=seed)
        epoch(ours, windows, training.sgd(ours, 1, 1), "cpu")
        training.train_epoch(theirs, windows, training.sgd(theirs, 1, 1), "cpu")
        torch.testing.assert_close(ours.linear.weight, theirs.linear.weight, rtol=0, atol=1e-5)
    assert len(epoch.keywords["windows"]) == 2


@needs_product
def test_the_two_samplings_differ():
    ends = []
    for sampling in ("sequential", "random"):
        net = model()
        fast.train_epoch(
            net, Batches(sampling, *(batch(28, 4, 7, seed) for seed in range(5))), training.sgd(net, 1, 5), "cpu"
        )
        ends.append(net.rnn.weight_hh_l0)
    assert not torch.allclose(*ends, atol=1e-3)


@needs_product
def test_an_epoch_leaves_the_model_in_training_and_gradients_on():
    net = model().eval()
    fast.train_epoch(net, Batches("random", batch(28, 4, 7)), training.sgd(net, 1, 1), "cpu")
    assert net.training
    assert torch.is_grad_enabled()
    assert all(parameter.requires_grad for parameter in net.parameters())


class Edited(RNNModel):
    def forward(self, inputs, state):
        return super().forward(inputs, state)


def with_forward_hook(net):
    net.linear.register_forward_hook(lambda *_: None)
    return net


def with_forward_pre_hook(net):
    net.rnn.register_forward_pre_hook(lambda *_: None)
    return net


def with_another_forward(net):
    net.forward = net.forward
    return net


def frozen(net):
    net.rnn.weight_hh_l0.requires_grad_(False)
    return net


UNKNOWN = {
    "an edited class": lambda: Edited(nn.RNN(28, 16), 28),
    "GRU": lambda: RNNModel(nn.GRU(28, 16), 28),
    "LSTM": lambda: RNNModel(nn.LSTM(28, 16), 28),
    "two layers": lambda: model(num_layers=2),
    "two directions": lambda: model(bidirectional=True),
    "relu": lambda: model(nonlinearity="relu"),
    "no bias": lambda: model(bias=False),
    "batch first": lambda: model(batch_first=True),
    "float64": lambda: model().double(),
    "a frozen weight": lambda: frozen(model()),
    "a hook": lambda: with_forward_hook(model()),
    "a hook before": lambda: with_forward_pre_hook(model()),
    "another forward": lambda: with_another_forward(model()),
}


@needs_product
def test_it_applies_to_the_books_model_on_a_cpu():
    assert fast.applies(model(), torch.device("cpu"))
    assert not fast.applies(model(), torch.device("cuda"))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_is_left_alone(name):
    assert not fast.applies(UNKNOWN[name](), "cpu")


def test_without_the_product_it_does_not_apply(monkeypatch):
    fast.has_product.cache_clear()
    monkeypatch.setattr(fast, "_linear", None)
    try:
        assert not fast.applies(model(), "cpu")
    finally:
        monkeypatch.undo()
        fast.has_product.cache_clear()


@needs_product
def test_train_takes_it_where_it_applies_unless_told_otherwise(monkeypatch):
    calls, epoch = [], fast.train_epoch
    monkeypatch.setattr(fast, "train_epoch", lambda net, *rest, **kept: calls.append(net) or epoch(net, *rest))
    train_iter, vocab = load_data_time_machine(8, 10, max_tokens=1_000, corpus="story")
    net = model(len(vocab))
    edited, slow = Edited(copy.deepcopy(net.rnn), len(vocab)), copy.deepcopy(net)
    edited.load_state_dict(net.state_dict())
    histories = []
    for each, options in ((net, {}), (slow, {"fast": False}), (edited, {})):
        torch.manual_seed(0)
        histories.append(train(each, train_iter, vocab, 1, 3, "cpu", plot=False, **options))
    assert calls == [net] * 3
    for records in zip(*histories, strict=True):
        assert [record.perplexity for record in records] == pytest.approx([records[0].perplexity] * 3, rel=1e-4)


def test_a_loader_of_the_course_is_what_it_expects():
    X, _ = next(iter(SeqDataLoader(range(100), 4, 5)))
    assert X.shape == torch.Size((4, 5))
