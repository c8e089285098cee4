"""Runs on disk: killed at any moment they go on to the same bits; what does not fit or fails is one sentence."""

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_pre_hooks

from course_utils import RNNModel, SeqDataLoader, Vocab, checkpoints, load_run, predict, saved_runs, train, training
from course_utils.loaders import TextVocab, split
from course_utils.text import tokenize

VOCAB = Vocab(tokenize("the time traveller was in the garden again"))
TOKENS = torch.arange(500) ** 2 % (len(VOCAB) - 1) + 1
RECIPES = (None, training.one_cycle)


def batches(tokens=TOKENS, batch_size=4, num_steps=10, sampling="sequential"):
    return SeqDataLoader(tokens[:-200], batch_size, num_steps, sampling, tokens[-200:])


class Own(RNNModel):
    """A reader's model, which draws random numbers while it trains."""

    def forward(self, inputs, state):
        logits, state = super().forward(inputs, state)
        return nn.functional.dropout(logits, 0.2, self.training), state


def model(layer=nn.RNN, kind=RNNModel, hidden=8, seed=0, **kwargs):
    torch.manual_seed(seed)
    return kind(layer(len(VOCAB), hidden, **kwargs), len(VOCAB))


def run(net, path=None, num_epochs=6, *, data=None, lr=0.05, **kwargs):
    kwargs = {"plot": False, "prefix": "time"} | kwargs
    return train(net, data or batches(), VOCAB, lr, num_epochs, "cpu", checkpoint=path, **kwargs)


def stop_within(net, epoch):
    """Press Stop in the middle of an epoch."""
    passes = [0]

    def press(net, inputs):
        passes[0] += net.training
        if passes[0] == epoch * len(batches()) - 2:
            raise KeyboardInterrupt

    net.register_forward_pre_hook(press)
    return net


def weights(net):
    return [each.tolist() for each in net.state_dict().values()]


def learnt(history):
    return [(record.epoch, record.perplexity) for record in history]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", 0)


# Going on


def scheduled(optimizer, schedule):
    optimizer.register_step_post_hook(lambda *details: schedule.step())
    return optimizer


def staircase(net, lr, num_updates):
    """A reader's recipe: momentum, and a schedule whose state has keys that are numbers."""
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    optimizer.schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 40])
    return scheduled(optimizer, optimizer.schedule)


def ramp(net, lr, num_updates):
    """A reader's recipe, whose schedule does not keep how many updates there are."""
    optimizer = torch.optim.SGD(net.parameters(), lr)
    optimizer.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 - update / num_updates)
    return scheduled(optimizer, optimizer.schedule)


def own_record(epoch, perplexity, speed):
    return SimpleNamespace(epoch=epoch, perplexity=torch.tensor(perplexity), tokens_per_second=speed, mood="good",
                           held_out_perplexity=None, sample=None)  # fmt: skip


def loop(optimizer_of, record=training.Epoch, tell=lambda: None):
    """A reader's training loop with the optimizer that `optimizer_of(net, lr, num_updates, recipe)` returns.

    `tell` is called when whoever asks for epochs has done with a record.
    """

    def epochs(net, train_iter, vocab, lr, num_epochs, device, *, recipe, prefix, every, first):
        optimizer = optimizer_of(net, lr, num_epochs * len(train_iter), recipe)
        for epoch in range(first, first + num_epochs):
            yield record(epoch, training.train_epoch(net, train_iter, optimizer, device), 1.0)
            tell()

    return epochs


def with_first_weights(net, lr, num_updates, recipe):
    for weight in net.parameters():
        nn.init.uniform_(weight, -0.2, 0.2)
    return recipe(net, lr, num_updates)


def with_momentum(net, lr, num_updates, recipe):
    assert recipe is None
    return torch.optim.SGD(net.parameters(), lr, momentum=0.9)


@pytest.mark.parametrize(("net", "options"), [
    ({"layer": nn.GRU, "bidirectional": True}, {"recipe": training.one_cycle}),
    ({"kind": Own, "num_layers": 2}, {"data": batches(sampling="random")}),
    ({}, {"recipe": staircase}),
    ({}, {"recipe": ramp}),
    ({"layer": nn.LSTM}, {"epochs": loop(with_first_weights, own_record), "recipe": training.one_cycle}),
    ({"kind": Own}, {"epochs": loop(with_momentum)}),
])  # fmt: skip
def test_a_stopped_run_goes_on_to_the_same_bits(path, net, options, capsys):
    whole = model(**net)
    history = run(whole, **options)
    stopped = run(stop_within(model(**net), 4), path, **options)
    assert learnt(stopped) == learnt(history)[:3]
    assert len(load_run(path, net=model(**net)).history) == 3
    resumed = model(**net, seed=1)
    assert learnt(run(resumed, path, **options)) == learnt(history)
    assert weights(resumed) == weights(whole)
    assert f"{path}: going on at epoch 4.\n" in capsys.readouterr().out
    assert not _global_optimizer_pre_hooks


def test_a_finished_run_is_returned_and_trained_no_more(path, capsys, monkeypatch):
    whole = model()
    history, written = run(whole, path), path.read_bytes()
    torch.manual_seed(5)
    monkeypatch.setattr(training, "train_epoch", None)
    again, mine = model(seed=1), []
    random_numbers = torch.get_rng_state()
    assert run(again, path, history=mine) is mine
    assert mine == history
    assert weights(again) == weights(whole)
    assert path.read_bytes() == written
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert f"{path}: this run is finished; to train anew, delete" in capsys.readouterr().out


def test_a_run_that_goes_on_with_an_earlier_history(path):
    first = [training.Epoch(number, 9.0, 1.0) for number in (1, 2)]
    history = run(stop_within(model(), 2), path, history=list(first))
    assert [record.epoch for record in history] == [1, 2, 3]
    resumed = run(model(), path, history=first)
    assert resumed is first
    assert [record.epoch for record in resumed] == list(range(1, 9))
    with pytest.raises(ValueError, match="history is not that of the run"):
        run(model(), path, history=[training.Epoch(1, 8.0, 1.0)])


# Killed at any moment


def small_run(net, path=None, recipe=None, tell=lambda: None):
    """Twenty epochs of three batches, for `tell` see `loop`."""
    epochs = loop(lambda net, lr, num_updates, recipe: (recipe or training.sgd)(net, lr, num_updates), tell=tell)
    run(net, path, 20, data=batches(TOKENS[:265], 4, 5), recipe=recipe, epochs=epochs)
    return weights(net)


def one_life(path, layer, recipe, seconds):
    """Train in a process of its own, killed within the first epochs; return whether it was, and how often it told."""
    (out, into), epochs = os.pipe(), random.randint(0, 1)
    if not (child := os.fork()):
        small_run(model(layer), path, recipe, tell=lambda: os.write(into, b"."))
        os._exit(0)
    os.close(into)
    told = os.read(out, epochs)  # or nothing, if it is through
    time.sleep(random.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(out, "rb") as rest:
        return os.WIFSIGNALED(status), len(told + rest.read())


def kill_at_random_moments(folder, kills=13):
    """Kill runs of both recipes and two cells, each so often; print as JSON what happened."""
    checkpoints.SECONDS_BETWEEN_WRITES = 0
    seen = {"killed": 0, "lost": [], "equal": []}
    for number, (layer, recipe) in enumerate(itertools.product((nn.RNN, nn.LSTM), RECIPES), start=1):
        path, start, done = Path(folder) / "run.safetensors", time.perf_counter(), 0
        whole = small_run(model(layer), recipe=recipe)
        epoch = (time.perf_counter() - start) / 20
        while seen["killed"] < number * kills:
            killed, told = one_life(path, layer, recipe, epoch)
            kept = len(load_run(path).history) if path.exists() else 0
            seen["lost"].append(max(0, done + told - kept))
            seen["killed"] += killed
            if not killed:
                seen["equal"].append(weights(load_run(path).net) == whole)
                path.unlink()
            done = kept if killed else 0
        seen["equal"].append(small_run(model(layer), path, recipe) == whole)
        path.unlink()
    seen["left"] = [each.name for each in Path(folder).iterdir()]
    print(json.dumps(seen))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_run_that_is_killed_loses_nothing_that_was_written_and_ends_with_the_same_bits(tmp_path):
    code = f"import test_checkpoints; test_checkpoints.kill_at_random_moments({str(tmp_path)!r})"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["killed"] >= 50
    assert max(seen["lost"]) == 0  # with no pause between two writings
    assert len(seen["equal"]) >= 4
    assert all(seen["equal"])
    assert seen["left"] == []


# What does not fit


def other_order():
    vocab = Vocab([])
    vocab.idx_to_token = VOCAB.idx_to_token[::-1]
    return vocab


MISFITS = {
    "hidden_size is 8 there and 9 here": {"net": lambda: model(hidden=9)},
    "cell is RNN there and GRU here": {"net": lambda: model(nn.GRU)},
    "class is RNNModel there and Own here": {"net": lambda: model(kind=Own)},
    "nonlinearity is tanh there and relu here": {"net": lambda: model(nonlinearity="relu")},
    f"vocabulary is {len(VOCAB)} tokens": {"vocab": other_order()},
    "training text is 300 tokens": {"data": batches(TOKENS.roll(1))},
    "held-out text is 200 tokens": {"data": batches(torch.cat([TOKENS[:-1], TOKENS[:1]]))},
    "batch_size is 4 there and 5 here": {"data": batches(batch_size=5)},
    "num_steps is 10 there and 9 here": {"data": batches(num_steps=9)},
    "sampling is sequential there and random here": {"data": batches(sampling="random")},
    "recipe is sgd there and one_cycle here": {"recipe": training.one_cycle},
    "lr is 0.05 there and 0.1 here": {"lr": 0.1},
    "num_epochs is 6 there and 7 here": {"num_epochs": 7},
    "torch is .* there and 3.0.0 here": {"torch": "3.0.0"},
}


@pytest.mark.parametrize("words", MISFITS)
def test_what_does_not_fit_is_refused_before_anything_is_changed(path, monkeypatch, words):
    run(stop_within(model(), 3), path)
    given = {"net": model, "vocab": VOCAB, "data": batches(), "recipe": None, "lr": 0.05, "num_epochs": 6}
    given |= MISFITS[words]
    monkeypatch.setattr(torch, "__version__", given.pop("torch", torch.__version__))
    net, data, history = given.pop("net")(), given.pop("data"), []
    before = weights(net), torch.get_rng_state().tolist(), path.read_bytes()
    with pytest.raises(ValueError, match=f"^[^\n]*{words}[^\n]*$"):
        train(net, data, device="cpu", checkpoint=path, history=history, **given)
    assert (weights(net), torch.get_rng_state().tolist(), path.read_bytes()) == before
    assert history == []


@pytest.mark.parametrize(("edited", "words"), [
    ((torch.optim.Adam, 0.0), "optimizer is SGD"), ((torch.optim.SGD, 0.1), "weight_decay .* is 0.0"),
])  # fmt: skip
def test_a_recipe_that_was_edited_under_its_name_is_refused(path, edited, words):
    def recipe(net, lr, num_updates, kind=torch.optim.SGD, decay=0.0):
        return kind(net.parameters(), lr, weight_decay=decay)

    run(stop_within(model(), 3), path, recipe=recipe)
    recipe.__defaults__ = edited
    net, history = model(), []
    before = weights(net)
    with pytest.raises(ValueError, match=words):
        run(net, path, recipe=recipe, history=history)
    assert (weights(net), history) == (before, [])


FOREIGN = {  # what a file may hold that is no run
    "truncated": lambda path: run(model(), path, 1) and path.read_bytes()[:-5],
    "empty": lambda path: b"",
    "text": lambda path: b"My diary.\n" * 100,
    "pickle": lambda path: b"\x80\x02}q\x00.",
    "other tensors": lambda path: safetensors.torch.save({"a": torch.ones(2)}, {"format": "pt"}),
    "broken details": lambda path: safetensors.torch.save({"a": torch.ones(2)}, {saved_runs.ENTRY: '{"model": '}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_run_is_refused_and_left_alone(path, kind):
    path.write_bytes(FOREIGN[kind](path))
    net, data = model(), path.read_bytes()
    before = weights(net)
    for use in (lambda: run(net, path), lambda: load_run(path, net=net)):
        with pytest.raises(ValueError, match=r"^[^\n]*run\.safetensors (cannot be read|holds no run)[^\n]*$"):
            use()
    assert (path.read_bytes(), weights(net)) == (data, before)


def test_names_that_stand_for_no_file(tmp_path):
    for name in ("run.pt", "", 5, b"run.safetensors", "a\nb.safetensors", "~no-one/run.safetensors"):
        for use in (lambda name: run(model(), name), load_run):
            with pytest.raises(ValueError, match=r"^(checkpoint|path) is [^\n]*the name of a file such as"):
                use(name)
    (tmp_path / "folder.safetensors").mkdir()
    for use in (lambda name: run(model(), name), load_run):
        with pytest.raises(OSError, match=r"folder\.safetensors is a folder, or special"):
            use(tmp_path / "folder.safetensors")
    with pytest.raises(OSError, match=r"there is no file .*none\.safetensors"):
        load_run(tmp_path / "none.safetensors")


def test_a_single_bit_that_was_flipped_is_noticed(path):
    run(model(), path, 1)
    good, chance = path.read_bytes(), random.Random(0)
    for place in chance.choices(range(len(good)), k=200):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :])
        with pytest.raises(ValueError, match=r"^[^\n]*run\.safetensors (cannot be read|holds no run)[^\n]*$"):
            load_run(path)


# Faults while it is written


def once(monkeypatch, module, name, error, times=10**9):
    """Let a function fail so many times."""
    usual, left = getattr(module, name), [times]

    def fail(*args, **kwargs):
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return usual(*args, **kwargs)

    monkeypatch.setattr(module, name, fail)


FULL = OSError(errno.ENOSPC, "No space left on device")
FAULTS = {
    "fsync": (os, FULL),
    "replace": (os, FULL),
    "mkstemp": (tempfile, PermissionError(errno.EACCES, "Permission denied")),
}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_once_and_leaves_the_training_and_the_old_file_alone(path, capsys, monkeypatch, fault):
    run(stop_within(model(), 3), path)
    before, (module, error) = path.read_bytes(), FAULTS[fault]
    capsys.readouterr()
    with monkeypatch.context() as context:
        once(context, module, fault, error)
        net = model()
        history = run(net, path)
    printed = capsys.readouterr().out
    assert printed.count(f"{path} was not written ({error.strerror}); the training goes on") == 1
    assert [record.epoch for record in history] == list(range(1, 7))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    again = model()
    run(again, path)
    assert weights(again) == weights(net)


@pytest.mark.usefixtures("always")
def test_after_a_passing_fault_the_file_is_whole(path, monkeypatch, capsys):
    once(monkeypatch, os, "fsync", FULL, times=2)
    history = run(model(), path)
    assert load_run(path).history == history
    assert capsys.readouterr().out.count("was not written") == 1


def test_a_new_file_replaces_the_old_one_only_when_it_is_on_the_disk(path, monkeypatch):
    run(stop_within(model(), 3), path)
    before, seen, fsync = path.read_bytes(), [], os.fsync

    def look(handle):
        fsync(handle)
        seen.append((path.read_bytes() == before, [len(each.read_bytes()) for each in path.parent.glob(".run*")]))

    monkeypatch.setattr(os, "fsync", look)
    (path.parent / ".run.safetensors.killed").write_text("half a run")
    run(model(), path)
    assert len(seen) == 2
    assert seen[0][0]
    assert seen[-1][1] == [len(path.read_bytes())]
    assert list(path.parent.iterdir()) == [path]


def test_it_is_written_every_few_seconds_and_at_the_end(path, monkeypatch):
    clock, written = SimpleNamespace(now=100.0), []
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(saved_runs, "write", lambda path, details, tensors: written.append(len(details["history"])))

    def epochs(*args, **kwargs):
        for epoch in range(1, 15):
            yield training.Epoch(epoch, 9.0, 1.0)
            clock.now += 1.0

    run(model(), path, 14, epochs=epochs)
    assert written == [1, 6, 11, 14]


# What cannot be gone on with


def hidden_schedule(net, lr, num_updates):
    optimizer = torch.optim.SGD(net.parameters(), lr)
    return scheduled(optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9))


def by_hand(net, lr, num_updates, recipe):
    """No optimizer of torch's."""
    return SimpleNamespace(zero_grad=net.zero_grad, step=lambda: [p.data.sub_(lr * p.grad) for p in net.parameters()])


def two_of_them(net, lr, num_updates, recipe):
    parts = [torch.optim.SGD(part.parameters(), lr, momentum=0.9) for part in (net.rnn, net.linear)]
    return SimpleNamespace(zero_grad=net.zero_grad, step=lambda: [part.step() for part in parts])


def loop_with_schedule(net, train_iter, *args, recipe, **kwargs):
    return training.epochs(net, train_iter, *args, recipe=ramp, **kwargs)


@pytest.mark.parametrize(("options", "words"), [
    ({"recipe": hidden_schedule}, "keep the schedule in optimizer.schedule"),
    ({"epochs": loop(by_hand)}, "no optimizer of torch trains it"),
    ({"epochs": loop(two_of_them)}, "more than one optimizer trains it"),
    ({"epochs": loop_with_schedule}, "its loop makes the schedule"),
])  # fmt: skip
def test_what_could_not_go_on_exactly_says_so_and_is_refused(path, capsys, options, words):
    net = stop_within(model(), 4)
    run(net, path, **options)
    assert capsys.readouterr().out.count(words) == 1
    assert len(load_run(path).history) == 3
    with pytest.raises(ValueError, match=f"cannot be gone on with: .*{words}"):
        run(model(), path, **options)
    path.unlink()
    history = run(net := model(), path, **options)
    assert run(again := model(seed=1), path, **options) == history
    assert weights(again) == weights(net)


# Loaded


@pytest.mark.parametrize("layer", [
    {"layer": nn.RNN, "nonlinearity": "relu"}, {"layer": nn.GRU, "num_layers": 2, "dropout": 0.5},
    {"layer": nn.LSTM, "bias": False},
])  # fmt: skip
def test_a_loaded_run_predicts_as_the_trained_one_and_draws_no_random_numbers(path, layer):
    net = model(**layer)
    history = run(net, path)
    random_numbers = torch.get_rng_state()
    loaded, vocab, records = load_run(str(path))
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert repr(loaded) == repr(net)
    assert predict("time", 20, loaded, vocab, "cpu") == predict("time", 20, net, VOCAB, "cpu")
    assert (vocab.idx_to_token, vocab.token_to_idx) == (VOCAB.idx_to_token, VOCAB.token_to_idx)
    assert records == history


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_vocabulary_keeps_its_kind_of_tokens_and_their_order(path, kind):
    vocab = TextVocab(split("Über Nacht\nkam, was kam, in die Stadt. " * 20, kind), kind, "kam", least=21)
    vocab.idx_to_token = vocab.idx_to_token[::-1]
    vocab.token_to_idx = {token: idx for idx, token in enumerate(vocab.idx_to_token)}
    net = RNNModel(nn.RNN(len(vocab), 8), len(vocab))
    saved_runs.write(path, *saved_runs.contents(net, vocab, []))
    loaded = load_run(path).vocab
    assert type(loaded) is TextVocab
    assert vars(loaded) == vars(vocab)


def test_a_class_of_the_readers_is_handed_over(path):
    net = model(kind=Own)
    net.tied = net.linear.weight  # the same memory twice
    run(net, path, 1)
    with pytest.raises(ValueError, match=r"model of your class Own: .*net="):
        load_run(path)
    with pytest.raises(ValueError, match="hidden_size is 8 there and 9 here"):
        load_run(path, net=model(kind=Own, hidden=9))
    fresh = model(kind=Own, seed=1)
    fresh.tied = fresh.linear.weight
    loaded = load_run(path, net=fresh)
    assert loaded.net is fresh
    assert weights(fresh) == weights(net)


def test_a_stop_while_the_last_state_is_written_is_too_late_to_stop_anything(path, monkeypatch):
    write, written = checkpoints.Checkpoint.write, []

    def interrupted(self):
        written.append(1)
        if len(written) == 2:  # the first epoch's was the first
            signal.raise_signal(signal.SIGINT)
        write(self)

    monkeypatch.setattr(checkpoints.Checkpoint, "write", interrupted)
    history = run(model(), path, 3)
    assert len(written) == 2
    assert learnt(load_run(path).history) == learnt(history)
    assert len(history) == 3
