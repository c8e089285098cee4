"""The quicker way through `nn.RNN`: the same numbers as torch's, whatever the reader does to model, layer or loop."""

import threading

import pytest
import torch
from common import spy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from course_utils import RNNModel, fast, training
from course_utils.fast import Tanh, quick_layers
from course_utils.loaders import SeqDataLoader

CPU, V, H = torch.device("cpu"), 7, 5


def tokens(count=121):
    return torch.arange(count) * 3 % V


@pytest.fixture
def applied(monkeypatch):
    """A list that grows with every call of the quicker way."""
    return spy(monkeypatch, Tanh, "forward", slice(0))


# The gradient, held against finite differences in double precision


@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("biases", [0, 2])
@pytest.mark.parametrize("num_steps", [1, 4])
def test_gradients_and_their_gradients_are_right(one_hot, biases, num_steps):
    torch.manual_seed(0)
    X = torch.randn(num_steps, 2, 3, dtype=torch.double)
    X = F.one_hot(X.argmax(dim=2), 3).double() if one_hot else X.requires_grad_()
    shapes = [(2, H), (H, 3), (H, H), *[(H,)] * biases]
    rest = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    before, after = [X] * one_hot, [None] * (2 - biases)
    inputs = rest if one_hot else [X, *rest]
    assert torch.autograd.gradcheck(lambda *parts: Tanh.apply({}, *before, *parts, *after), inputs)
    assert torch.autograd.gradgradcheck(lambda *parts: Tanh.apply({}, *before, *parts, *after), inputs)


# Property: a training with and without it ends with the same weights


@settings(max_examples=40)
@given(st.data())
def test_any_plain_layer_trains_as_torch_s(data):
    sizes = [data.draw(st.integers(1, high), name) for name, high in (("T", 12), ("B", 4), ("H", 9), ("L", 3))]
    num_steps, batch_size, num_hiddens, num_layers = sizes
    bias, sampling = data.draw(st.booleans()), data.draw(st.sampled_from(["sequential", "random"]))
    loader = SeqDataLoader(tokens(6 * num_steps * batch_size + num_steps), batch_size, num_steps, sampling)
    assert_trains_alike(lambda: RNNModel(nn.RNN(V, num_hiddens, num_layers, bias=bias), V), loader)


def assert_trains_alike(build, loader=None, num_epochs=2):
    """Train twice from the same start; return both models."""
    loader, nets = loader or SeqDataLoader(tokens(), 3, 8), []
    for quick in (False, True):
        torch.manual_seed(0)
        net = build()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.2)  # at rates near 1 rounding grows to chaos
        with quick_layers() if quick else torch.enable_grad():
            perplexities = [training.train_epoch(net, loader, optimizer, CPU) for _ in range(num_epochs)]
        nets.append((net, perplexities, torch.rand(())))  # and no random number was drawn on the way
    (plain, expected, next_random), (quick, measured, same_random) = nets
    assert measured == pytest.approx(expected, rel=1e-4)
    assert next_random == same_random
    for (name, weight), other in zip(plain.named_parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    return plain, quick


# What readers do to a model: nothing of it is skipped


def model(layer=None):
    return RNNModel(nn.RNN(V, H) if layer is None else layer, V)


class OwnForward(RNNModel):
    """Vectors that learn, or something done to the hidden states before they are scored."""

    def __init__(self, *args, embedding=None, change=lambda hiddens: hiddens):
        super().__init__(*args)
        self.embedding, self.change = embedding, change

    def forward(self, inputs, state):
        X = self.embedding(inputs.T) if self.embedding else F.one_hot(inputs.T, self.vocab_size).float()
        hiddens, state = self.rnn(X, state)
        return self.linear(self.change(hiddens).flatten(0, 1)), state


class Scaled(nn.Linear):
    def forward(self, X):
        return 3 * super().forward(X)


class OwnRNN(nn.RNN):
    def forward(self, X, state=None):
        outputs, state = super().forward(X, state)
        return outputs + 0.1 * X.sum(), state


def changed(change, layer=None):
    """A maker of models with something done to them."""

    def build():
        net = model(layer and layer())
        change(net)
        return net

    return build


def give_a_forward(net):
    plain = net.forward
    net.forward = lambda X, state: (F.dropout(plain(X, state)[0], 0.5), plain(X, state)[1])


def learn_the_first_state(net):
    plain, net.first = net.forward, nn.Parameter(torch.randn(1, 1, H))
    net.begin_state = lambda device, batch_size: net.first.expand(-1, batch_size, -1)
    net.forward = lambda X, state: plain(X, state + 0.1 * net.first)  # the loop detaches the state


def tie(net):
    net.rnn.weight_ih_l0 = nn.Parameter(torch.randn(H, V))
    net.linear.weight = nn.Parameter(net.rnn.weight_ih_l0.detach().T.clone())
    net.rnn.weight_hh_l1 = net.rnn.weight_hh_l0


def hook_the_layer(net):
    net.rnn.register_forward_hook(lambda layer, inputs, outputs: (2 * outputs[0], outputs[1]))


VARIANTS = {
    "forward of the instance": changed(give_a_forward),
    "forward with dropout": lambda: OwnForward(nn.RNN(V, H), V, change=F.dropout),
    "own begin_state": changed(learn_the_first_state),
    "inputs that learn": lambda: OwnForward(nn.RNN(V, H), V, embedding=nn.Embedding(V, V)),
    "outputs changed in place": lambda: OwnForward(nn.RNN(V, H), V, change=torch.relu_),
    "a layer of one's own": lambda: model(OwnRNN(V, H)),
    "a normalised output layer": changed(lambda net: parametrizations.weight_norm(net.linear)),
    "normalised recurrent weights": changed(lambda net: parametrizations.weight_norm(net.rnn, "weight_hh_l0")),
    "a linear layer of one's own": changed(lambda net: setattr(net, "linear", Scaled(H, V))),
    "a longer head": changed(lambda net: setattr(net, "linear", nn.Sequential(nn.Dropout(0.2), nn.Linear(H, V)))),
    "no biases": changed(lambda net: None, lambda: nn.RNN(V, H, bias=False)),
    "one frozen weight": changed(lambda net: net.rnn.weight_hh_l0.requires_grad_(False)),
    "shared weights": changed(tie, lambda: nn.RNN(V, H, num_layers=2)),
    "a hook on a weight": changed(lambda net: net.rnn.weight_hh_l0.register_hook(lambda gradient: 0.1 * gradient)),
    "a hook on the layer": changed(hook_the_layer),
    "a hook on the model": changed(lambda net: net.register_forward_hook(lambda net, X, Y: (2 * Y[0], Y[1]))),
}
NOT_KNOWN = {
    "relu": lambda: nn.RNN(V, H, nonlinearity="relu"),
    "dropout between layers": lambda: nn.RNN(V, H, num_layers=2, dropout=0.5),
    "two directions": lambda: nn.RNN(V, H, bidirectional=True),
    "GRU": lambda: nn.GRU(V, H),
    "LSTM": lambda: nn.LSTM(V, H),
    "frozen": lambda: nn.RNN(V, H).requires_grad_(False),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_reader_changes_counts(name, applied):
    assert_trains_alike(VARIANTS[name])
    assert applied, "else nothing was tested"


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_what_it_does_not_know_is_torch_s(name, applied):
    assert_trains_alike(lambda: model(NOT_KNOWN[name]()))
    assert not applied


def dual(X):
    return torch.autograd.forward_ad.make_dual(X, torch.ones_like(X))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own forward mode still uses it
@pytest.mark.parametrize("call", [
    lambda layer, X: layer.double()(X.double()),
    lambda layer, X: layer.bfloat16()(X.bfloat16()),
    lambda layer, X: nn.RNN(V, H, batch_first=True)(X),
    lambda layer, X: layer(nn.utils.rnn.pack_padded_sequence(X, [4, 3])),
    lambda layer, X: torch.no_grad()(layer)(X),
    lambda layer, X: layer.requires_grad_(False)(X),
    lambda layer, X: torch.autocast("cpu")(layer)(X),
    lambda layer, X: torch.func.grad(lambda X: layer(X)[0].sum())(X),
    lambda layer, X: torch.autograd.forward_ad.dual_level()(lambda: layer(dual(X)))(),
    lambda layer, X: layer.to("meta")(X.to("meta")),
    lambda layer, X: layer(X[:, :0], torch.zeros(1, 0, H)),
])  # fmt: skip
def test_other_calls_go_through_torch_s_own_layer(call, applied):
    with quick_layers():
        call(nn.RNN(V, H), torch.randn(4, 2, V))
    assert not applied


def test_the_reader_s_patch_of_the_layer_class_is_called(monkeypatch):
    seen = spy(monkeypatch, nn.RNN, "forward")
    assert_trains_alike(model)
    assert len(seen) == 2 * 2 * len(SeqDataLoader(tokens(), 3, 8))


def test_an_error_of_the_reader_s_passes_and_leaves_nothing_behind(applied):
    def fails(net, inputs):
        raise ArithmeticError("mine")

    net = changed(lambda net: net.linear.register_forward_pre_hook(fails))()
    with pytest.raises(ArithmeticError, match="mine"), quick_layers():
        net(torch.zeros(2, 3, dtype=torch.long), net.begin_state(CPU, 2))
    count = len(applied)
    nn.RNN(V, H)(torch.randn(4, 2, V))
    assert len(applied) == count
    assert not torch.overrides._get_current_function_mode_stack()


def test_another_thread_is_left_alone(applied):
    with quick_layers():
        other = threading.Thread(target=lambda: nn.RNN(V, H)(torch.randn(4, 2, V)))
        other.start()
        other.join()
    assert not applied


def test_a_graph_can_be_walked_twice_and_two_graphs_do_not_mix():
    torch.manual_seed(0)
    layer, X, Z = nn.RNN(V, H), torch.randn(4, 2, V), torch.randn(3, 2, V)
    expected = [torch.autograd.grad(layer(each)[0].square().sum(), layer.parameters()) for each in (X, Z)]
    with quick_layers():
        first, second = layer(X)[0].square().sum(), layer(Z)[0].square().sum()
        for loss, gradients in ((second, expected[1]), (first, expected[0]), (first, expected[0])):
            found = torch.autograd.grad(loss, layer.parameters(), retain_graph=True)
            for mine, theirs in zip(found, gradients, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_compiled_model_still_runs(applied):
    layer = torch.compile(nn.RNN(V, H), backend="eager")
    with quick_layers():
        layer(torch.randn(4, 2, V))[0].sum().backward()
    assert not applied


@pytest.mark.parametrize("row", [[0.0, 0, 0], [0, 2, 0], [1, 1, 0], [0.5, 0.5, 0], [1, 0, 1e-30], [0, 0, float("nan")]])
def test_rows_that_are_almost_one_hot_are_not(row):
    X = F.one_hot(torch.tensor([[2, 0], [1, 1]]), 3).float()
    assert fast.one_hot_tokens(X).tolist() == [2, 0, 1, 1]
    X[1, 0] = torch.tensor(row)
    assert fast.one_hot_tokens(X) is None


# The choice of a product and of tanh


def test_both_products_and_both_tanhs_compute_the_same():
    """Fails, and does not skip, where a release of torch renames the operator: readers would get the slow way."""
    torch.manual_seed(0)
    P, X, W = torch.randn(3, 4), torch.randn(3, 5), torch.randn(4, 5)
    for product, weight in ((torch.addmm, fast.transposed(W)), (fast.by_onednn, W)):
        out = P.clone()
        assert product(out, X, weight, out=out) is out
        torch.testing.assert_close(out, P + X @ W.T)
    torch.testing.assert_close(fast.numpy_tanh(P.clone()), P.tanh())


@pytest.mark.parametrize(("seconds", "chosen"), [((1, 2), 0), ((1.25, 1), 0), ((1.3, 1), 1), ((3, 1, 2), 1)])
def test_only_what_is_quicker_by_far_replaces_the_usual(monkeypatch, seconds, chosen):
    clock = [0.0]
    monkeypatch.setattr(fast.time, "perf_counter", lambda: clock[0])
    functions = [lambda each=each: clock.__setitem__(0, clock[0] + each) for each in seconds]
    assert fast.first_by_far(functions) == chosen


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("number", [0, -1])
def test_torch_s_other_product_and_tanh_are_among_those_to_choose_from(monkeypatch, available, number):
    asked = []

    def choose(functions):
        asked.append([function() for function in functions])  # as often as one likes: the results stay the same
        return range(len(functions))[number]

    monkeypatch.setattr(fast, "first_by_far", choose)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: available)
    prepare, product, tanh = fast.quickest.__wrapped__(3, 4, 1)
    usual, other = (fast.transposed, torch.addmm), (torch.Tensor.contiguous, fast.by_onednn)
    assert (prepare, product) == (other if available and number else usual)
    assert tanh is [fast.numpy_tanh, torch.tanh_][number]
    products, tanhs = asked
    assert [each.shape for each in products] == [(3, 4)] * (1 + available)
    assert [each.shape for each in tanhs] == [(3, 4)] * 2


def test_a_choice_is_made_once_for_each_size_and_number_of_threads():
    assert fast.quickest(3, 4, 1) is fast.quickest(3, 4, 1)
