"""The training loop equals the book's and plain loops over tokens, stops and goes on, and says what it cannot do."""

import contextlib
import functools
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import common
import numpy as np
import pytest
import torch
from common import CELLS, spy
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, Vocab, d2l, load_data_time_machine, predict, training
from course_utils.loaders import SeqDataLoader
from course_utils.text import tokenize
from course_utils.training import Epoch, baselines, epochs, evaluate, one_cycle, sgd, train_epoch

VOCAB = Vocab("the time traveller wrote a quick brown fox jumps over lazy dogs and vexed zebras")
V = len(VOCAB)


class Batches(list):
    """Batches that are the same in every epoch, with the one attribute that `train_epoch` reads."""

    def __init__(self, carries_state, num_batches=4):
        generator = torch.Generator().manual_seed(0)
        super().__init__(torch.randint(V, (2, 3, 5), generator=generator) for _ in range(num_batches))
        self.carries_state = carries_state


def model(cell=nn.RNN, num_layers=1, **kwargs):
    torch.manual_seed(0)
    return RNNModel(cell(V, 8, num_layers, **kwargs), V)


def one_epoch(net, batches, lr=0.1):
    return train_epoch(net, batches, torch.optim.SGD(net.parameters(), lr), torch.device("cpu"))


def loader(sampling="sequential", held_out_size=40):
    text = tokenize("the time traveller came as poor people buy a piano by instalments and the boot was first " * 6)
    tokens = VOCAB[text]
    return SeqDataLoader(tokens[held_out_size:], 4, 5, sampling, held_out=tokens[:held_out_size])


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")  # d2l adds up its losses so
@pytest.mark.parametrize("cell", CELLS)
def test_an_epoch_equals_the_book_with_the_state_carried_and_without(cell):
    perplexities = []
    for carried in (True, False):
        ours, theirs, batches = model(cell), model(cell), Batches(carried)
        perplexities.append(one_epoch(ours, batches, 2.0))
        updater, device = torch.optim.SGD(theirs.parameters(), 2.0), torch.device("cpu")
        expected, _ = d2l.train_epoch_ch8(theirs, batches, nn.CrossEntropyLoss(), updater, device, not carried)
        assert perplexities[-1] == pytest.approx(expected, rel=1e-5)
        torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-5, rtol=0)
        assert not torch.allclose(weights(ours), weights(model(cell)), atol=1e-2)  # something was learnt
    assert perplexities[0] != perplexities[1]


@pytest.mark.parametrize("factor", [1e-3, 100.0])
def test_gradients_longer_than_1_are_clipped_and_others_are_not(factor):
    net, batches = model(), Batches(carries_state=False, num_batches=1)
    with torch.no_grad():
        net.linear.weight *= factor
        net.linear.bias *= factor
    before = weights(net)
    inputs, labels = batches[0]
    loss = F.cross_entropy(net(inputs, net.begin_state("cpu", len(inputs)))[0], labels.T.flatten())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])
    assert (gradient.norm() > 1) == (factor > 1)
    one_epoch(net, batches, lr=1.0)
    torch.testing.assert_close(before - weights(net), gradient / max(1.0, gradient.norm().item()), atol=1e-5, rtol=1e-4)


def test_the_perplexity_is_the_mean_over_all_tokens_not_over_batches():
    net, batches = model(), Batches(carries_state=False)
    batches.append(torch.randint(V, (2, 3, 50)))  # one batch ten times as long
    scores = [net(X, net.begin_state("cpu", len(X)))[0] for X, _ in batches]
    loss = F.cross_entropy(torch.cat(scores), torch.cat([Y.T.flatten() for _, Y in batches]))
    assert one_epoch(net, batches, lr=1e-9) == pytest.approx(math.exp(loss.item()), rel=1e-5)


def naive_perplexity(net, tokens, row_length):
    """Token by token: every row is read from its start, and each next token is asked for."""
    num_rows = max(1, len(tokens) // row_length)
    length = (len(tokens) - 1) // num_rows
    losses = []
    for row in range(num_rows):
        state = net.begin_state("cpu", 1)
        for position in range(row * length, (row + 1) * length):
            logits, state = net(tokens[position].reshape(1, 1), state)
            losses.append(-logits[0].log_softmax(0)[tokens[position + 1]].item())
    return math.exp(sum(losses) / len(losses))


@given(
    size=st.one_of(st.integers(2, 10), st.integers(11, 120)),
    row_length=st.sampled_from([2, 3, 10, 50, 1_000]),
    num_steps=st.sampled_from([1, 3, 100]),
    cell=st.sampled_from(CELLS),
)
def test_evaluate_equals_a_loop_over_tokens(size, row_length, num_steps, cell):
    net, tokens = model(cell), torch.randint(V, (size,))
    with torch.no_grad():
        expected = naive_perplexity(net, tokens, row_length)
    assert evaluate(net, tokens, "cpu", row_length, num_steps) == pytest.approx(expected, rel=1e-4)


def write(net, tokens, device, temperature=0):
    return predict("time", 3, net, VOCAB, device, temperature, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("read", [evaluate, write, functools.partial(write, temperature=0.8)])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the main thread", "in another thread"])
def test_whoever_reads_a_model_feels_no_dropout_and_changes_nothing(read, training, fails, elsewhere):
    net, seen, found, building = model(nn.GRU, 2, dropout=0.5).train(training), [], None, []
    before, random_state = weights(net), torch.get_rng_state()
    net.rnn.train(not training)  # a part that is frozen, or trained alone
    net.heard, net.latest = [], net.linear(torch.zeros(1, net.num_hiddens))  # of a graph, as after a training

    def look(twin, *_):
        seen.append([net.training, net.rnn.training, net.linear.training])
        building.append(torch.is_grad_enabled())
        twin.heard.append((twin.training, twin.rnn.training))
        assert not fails

    net.register_forward_pre_hook(look)
    with pytest.raises(AssertionError) if fails else contextlib.nullcontext(), ThreadPoolExecutor(1) as thread:
        asked = net, torch.arange(V), "cpu"
        found = thread.submit(read, *asked).result() if elsewhere else read(*asked)
    modes = [training, not training, training]
    assert seen == [modes if elsewhere else [False] * 3] * len(seen) != []  # a cell may be training it just now
    assert set(net.heard) == {(False, False)}
    assert [net.training, net.rnn.training, net.linear.training] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(weights(net), before)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert set(building) == {False}
    assert fails or found == read(net.eval(), torch.arange(V), "cpu")


def test_what_a_model_notes_while_it_is_read_is_not_lost():
    net = model()
    net.calls, forward = 0, net.forward
    net.forward = lambda X, state: (setattr(net, "calls", net.calls + 1), net.train(), forward(X, state))[2]
    predict("time", 3, net.eval(), VOCAB, "cpu")
    assert net.calls == 4  # the prefix and three characters
    assert not net.training


def test_an_epoch_trains_with_dropout_even_after_eval():
    def perplexity(net):
        torch.manual_seed(1)
        return one_epoch(net, Batches(carries_state=False))

    with_dropout = perplexity(model(nn.GRU, 2, dropout=0.5))
    assert perplexity(model(nn.GRU, 2, dropout=0.5).eval()) == with_dropout != perplexity(model(nn.GRU, 2))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.lists(st.integers(0, 4), min_size=2, max_size=60))
def test_baselines_equal_counting_by_hand(tokens, held_out):
    singles, pairs, followed, size = Counter(tokens), Counter(pairwise(tokens)), Counter(tokens[:-1]), 5
    unigram = [-math.log((singles[b] + 1) / (len(tokens) + size)) for b in held_out[1:]]
    bigram = [-math.log((pairs[a, b] + 1) / (followed[a] + size)) for a, b in pairwise(held_out)]
    expected = {"unigram": math.exp(np.mean(unigram)), "bigram": math.exp(np.mean(bigram))}
    assert baselines(torch.tensor(tokens), torch.tensor(held_out), size) == pytest.approx(expected, rel=1e-4)


def test_baselines_of_very_many_words_need_no_table_of_all_pairs():
    tokens = torch.arange(1_000)
    values = baselines(tokens, tokens, 10**7)  # a table would have 10^14 places
    assert values == pytest.approx({"unigram": (10**7 + 1_000) / 2, "bigram": (10**7 + 1) / 2}, rel=1e-4)


@common.both_texts
def test_on_a_text_pairs_tell_more_than_letters_and_letters_more_than_nothing(path):
    train_iter, vocab = load_data_time_machine(32, 35, corpus=path)
    values = baselines(train_iter.corpus, train_iter.held_out, len(vocab))
    assert 1 < values["bigram"] < values["unigram"] < len(vocab)


@pytest.mark.parametrize(("num_epochs", "every", "first", "looked"), [
    (12, 10, 1, [1, 10, 12]),
    (5, 2, 1, [1, 2, 4, 5]),
    (7, 3, 8, [8, 9, 12, 14]),
    (0, 10, 1, []),
    (np.int64(3), np.int64(2), 1, [1, 2, 3]),
])  # fmt: skip
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_an_epoch_a_record_and_looks_at_the_right_ones(num_epochs, every, first, looked, sampling):
    options = {"prefix": "time", "every": every, "first": first}
    records = list(epochs(model(), loader(sampling), VOCAB, 0.5, num_epochs, "cpu", **options))
    assert [record.epoch for record in records] == list(range(first, first + num_epochs))
    assert [record.epoch for record in records if record.held_out_perplexity is not None] == looked
    assert [record.epoch for record in records if record.sample is not None] == looked
    assert all(record.sample.startswith("time") for record in records if record.sample)
    assert all(isinstance(record, Epoch) and record.tokens_per_second > 0 for record in records)
    assert all(math.isfinite(record.perplexity) and record.perplexity >= 1 for record in records)


def test_records_say_what_evaluate_and_predict_say_of_the_first_20_000_held_out_tokens():
    net, train_iter = model(), loader()
    train_iter.held_out = torch.randint(V, (30_000,))
    (record,) = epochs(net, train_iter, VOCAB, 0.5, 1, torch.device("cpu"), prefix="the")
    assert record.held_out_perplexity == evaluate(net, train_iter.held_out[:20_000], "cpu")
    assert record.held_out_perplexity != evaluate(net, train_iter.held_out, "cpu")
    assert record.sample == d2l.predict_ch8("the", 50, net, VOCAB, torch.device("cpu"))


def test_the_speed_is_an_epoch_s_tokens_over_its_seconds_without_the_look_at_unseen_text(monkeypatch):
    clock, train_iter = [64.0], loader()
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock[0])
    for name, seconds in (("train_epoch", 2.0), ("look", 100.0)):
        function = getattr(training, name)
        monkeypatch.setattr(
            training, name, lambda *args, f=function, s=seconds: (clock.__setitem__(0, clock[0] + s), f(*args))[1]
        )
    records = list(epochs(model(), train_iter, VOCAB, 0.5, 3, "cpu", every=2))
    assert {record.tokens_per_second for record in records} == {sum(X.numel() for X, _ in train_iter) / 2}


def perplexities(records):
    return [record.perplexity for record in records]


def run(net, num_epochs, every=10, **kwargs):
    return perplexities(epochs(net, loader(), VOCAB, 0.5, num_epochs, "cpu", every=every, **kwargs))


def test_recipe_and_epoch_are_found_by_name_when_the_training_runs(monkeypatch):
    """So a notebook's own `sgd` or `train_epoch`, defined again, counts in `epochs` without another word."""
    net, used, moved = model(), spy(monkeypatch, training, "sgd", slice(1, None)), []
    net.to = moved.append
    run(net, 2)
    assert used == [(0.5, 2 * len(loader()))]
    assert moved == ["cpu"]
    before = weights(net)
    monkeypatch.setattr(training, "train_epoch", lambda *arguments: 3.0)
    assert run(net, 2) == [3.0, 3.0]
    assert torch.equal(weights(net), before)


@pytest.mark.parametrize("kind", [{}, {"cell": nn.GRU, "num_layers": 2, "dropout": 0.5}])
def test_looking_does_not_change_the_training(kind):
    assert run(model(**kind), 6, every=1) == run(model(**kind), 6, every=100)


def test_stop_and_go_on_equals_going_through():
    """So nothing is done ahead of the consumer either."""
    net = model()
    stopped = list(islice(epochs(net, loader(), VOCAB, 0.5, 100, "cpu"), 3))
    assert perplexities(stopped) + run(net, 3, first=4) == run(model(), 6)


@pytest.mark.parametrize("held_out_size", [0, 1, 2, 10])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_look_without_held_out_text_or_without_a_sample(held_out_size, bidirectional):
    net, train_iter = model(bidirectional=bidirectional), loader(held_out_size=held_out_size)
    (record,) = epochs(net, train_iter, VOCAB, 0.5, 1, "cpu")
    assert (record.held_out_perplexity is None) == (held_out_size < 2)
    assert (record.sample is None) == bidirectional


def test_a_models_own_class_needs_no_more_than_forward_and_begin_state():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Embedding(V, V)

        def forward(self, inputs, state):
            return self.scores(inputs.T).flatten(0, 1), state

        def begin_state(self, device, batch_size=1):
            return torch.zeros(1, batch_size, 1, device=device)

    values = run(Own(), 30)
    assert values[-1] < values[0]


@pytest.mark.parametrize("lr", [1e6, 1e37])
def test_a_training_that_blows_up_says_so(lr):
    with pytest.raises(FloatingPointError, match=r"perplexity is (inf|nan) after epoch \d+; .*learning rate below"):
        list(epochs(model(), loader(), VOCAB, lr, 50, "cpu"))


# The recipes


def rates(recipe, num_updates=100):
    net = nn.Linear(1, 1)
    optimizer, seen = recipe(net, 0.1, num_updates), []
    for _ in range(num_updates):
        net(torch.ones(1, 1)).backward()
        optimizer.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_the_books_rate_stays_and_the_cycles_rises_and_falls():
    assert set(rates(sgd)) == {0.1}
    seen = rates(one_cycle)
    top = seen.index(max(seen))
    assert seen[0] < 0.01
    assert seen[top] == pytest.approx(0.1, rel=0.01)
    assert seen == sorted(seen[:top]) + sorted(seen[top:], reverse=True)
    assert seen[-1] == pytest.approx(0.1 / 25 / 1e4, rel=1e-3)  # where the cycle ends, and not beyond


def test_a_cycle_ends_with_the_last_epoch():
    used = []
    run(model(), 4, recipe=lambda *arguments: used.append(one_cycle(*arguments)) or used[0])
    assert used[0].param_groups[0]["lr"] < 1e-5
