"""The stepper: the text that `predict` writes, the gradients of autograd; bad prefixes and trainings cost nothing."""

import math
import struct
from concurrent.futures import ThreadPoolExecutor

import common  # noqa: F401  (hypothesis without deadlines)
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils import RNNModel, Vocab, plots, predict
from course_utils.experiments import stepper
from course_utils.loaders import TextVocab, split
from course_utils.plots import stepper as drawing
from course_utils.widgets.stepper import RUN_LENGTH, PredictionStepper

VOCAB = Vocab(list("a short text of the course for the vocabulary"))
PREFIX = "the cou"
LAYERS = {
    "rnn": lambda: nn.RNN(len(VOCAB), 8),
    "gru": lambda: nn.GRU(len(VOCAB), 8),
    "lstm": lambda: nn.LSTM(len(VOCAB), 8),
    "two layers": lambda: nn.RNN(len(VOCAB), 8, num_layers=2),
    "dropout": lambda: nn.GRU(len(VOCAB), 8, num_layers=2, dropout=0.5),
    "two ways": lambda: nn.RNN(len(VOCAB), 8, bidirectional=True),
}
every_layer = pytest.mark.parametrize("layer", [name for name in LAYERS if name != "two ways"])


def model(layer="rnn"):
    """A model with fresh weights, large enough that its choices are clear."""
    torch.manual_seed(0)
    net = RNNModel(LAYERS[layer](), len(VOCAB))
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return net


class Embedding(nn.Module):
    """A student's own model: an embedding, a loop, a state (B, H) instead of (L, B, H), and its latest one kept."""

    num_directions = 1

    def __init__(self, follow=True):
        super().__init__()
        torch.manual_seed(1)
        self.table, self.cell = nn.Embedding(len(VOCAB), 6), nn.RNNCell(6, 5)
        self.linear, self.follow, self.latest = nn.Linear(5, len(VOCAB)), follow, None

    def begin_state(self, device, batch_size=1):
        return torch.zeros(batch_size, 5, device=device)

    def forward(self, X, state):
        outputs = []
        for token in X.T:
            state = self.cell(self.table(token) if self.follow else self.table.weight[token], state)
            outputs.append(self.linear(state))
        self.latest = state
        return torch.cat(outputs), state


def walk_of(net, prefix=PREFIX, count=0, **how):
    walk = stepper.read(prefix, net, VOCAB, "cpu")
    for _ in range(count):
        walk = stepper.step(walk, net, "cpu", **how)
    return walk


def written(walk):
    return "".join(VOCAB.to_tokens(list(walk.tokens)))


# The numbers


@every_layer
@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, None), (1.0, None), (0.6, 3), (1.5, 1)])
def test_steps_write_what_predict_writes(layer, temperature, top_k):
    net = model(layer)
    ours, theirs = (torch.Generator().manual_seed(4) for _ in range(2))
    walk = walk_of(net, count=25, temperature=temperature, top_k=top_k, generator=ours)
    assert written(walk) == predict(PREFIX, 25, net, VOCAB, "cpu", temperature, top_k, theirs)


def test_a_step_leaves_the_walk_before_it_alone():
    net = model()
    before = walk_of(net)
    tokens, states = before.tokens, [state.clone() for state in before.states]
    after = stepper.step(before, net, "cpu")
    assert before.tokens == tokens == after.tokens[:-1]
    assert all(torch.equal(old, new) for old, new in zip(states, after.states, strict=False))


@every_layer
def test_states_scores_and_probabilities_are_those_of_one_pass_over_the_text(layer):
    net = model(layer).eval()
    walk = walk_of(net, count=6)
    logits, state = net(torch.tensor([walk.tokens]), net.begin_state("cpu", 1))
    torch.testing.assert_close(torch.stack(walk.logits), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stepper.hidden(walk.states[-1]), stepper.hidden(state), atol=1e-5, rtol=1e-5)
    tops, _ = net.rnn(F.one_hot(torch.tensor(walk.tokens)[:, None], len(VOCAB)).float(), net.begin_state("cpu", 1))
    hiddens = torch.stack([stepper.hidden(state) for state in walk.states[1:]])
    torch.testing.assert_close(hiddens, tops[:, 0], atol=1e-5, rtol=1e-5)
    first, *others = stepper.probabilities(walk)
    losses = F.cross_entropy(logits[:-1], torch.tensor(walk.tokens[1:]), reduction="none")
    assert math.isnan(first)
    assert len(stepper.probabilities(walk_of(net, "a"))) == 1
    assert others == pytest.approx(losses.neg().exp().tolist(), rel=1e-4)


def naive_connectivity(net, tokens, target):
    """By hand for a `RNNModel`: one-hot inputs with gradients, the whole text, one backward."""
    net.eval()
    X = F.one_hot(torch.tensor(tokens)[:, None], net.vocab_size).float().requires_grad_()
    hiddens, _ = net.rnn(X, net.begin_state("cpu", 1))
    net.linear(hiddens[-1, 0]).log_softmax(dim=0)[target].backward()
    return X.grad[:, 0].norm(dim=1).tolist()


@every_layer
@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("position", [6, 9, 12])
def test_connectivity_equals_plain_autograd(layer, first, position):
    net = model(layer)
    walk = walk_of(net, count=5)
    target = walk.tokens[position] if position < 12 else walk.logits[-1].argmax().item()
    expected = naive_connectivity(net, walk.tokens[:position], target)[first:]
    assert stepper.connectivity(walk, net, "cpu", position, first) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_connectivity_of_a_students_own_model():
    net = Embedding()
    net(torch.tensor([[1]]), net.begin_state("cpu"))  # as after a training: `latest` still hangs on a graph
    walk = walk_of(net, count=2)
    vectors = net.table(torch.tensor(walk.tokens)).detach().requires_grad_()
    state = net.begin_state("cpu")
    for vector in vectors:
        state = net.cell(vector[None], state)
    net.linear(state[0]).log_softmax(dim=0).max().backward()
    expected = vectors.grad.norm(dim=1).tolist()
    assert stepper.connectivity(walk, net, "cpu", len(walk.tokens)) == pytest.approx(expected, rel=1e-3)


def test_where_the_vectors_cannot_be_followed_the_picture_does_without_connectivity():
    net = Embedding(follow=False)
    snapshot = stepper.snapshot(walk_of(net), net, VOCAB, "cpu")
    assert snapshot.connectivity is None
    assert any("not to be had" in text.get_text() for text in plots.stepper_picture(snapshot).axes[1].texts)


# A model that is only read


def test_the_model_and_the_global_chances_are_left_as_they_were():
    net = model("dropout")
    net.linear.eval()  # a mode for each part, which net.train() and net.eval() would lose
    weights, chances = [parameter.clone() for parameter in net.parameters()], torch.get_rng_state()
    walk = walk_of(net, count=3, temperature=1.0, generator=torch.Generator())
    stepper.snapshot(walk, net, VOCAB, "cpu", temperature=1.0)
    assert [part.training for part in (net, net.rnn, net.linear)] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), chances)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(old, new) for old, new in zip(weights, net.parameters(), strict=True))


def test_a_training_in_the_meantime_disturbs_nothing():
    net, calm = model(), model()

    @torch.no_grad()
    def train(*_):  # between a forward pass and the backward pass that belongs to it
        net.train()
        for parameter in net.parameters():
            parameter.mul_(1.5)

    walk = walk_of(calm, count=5)
    expected = stepper.snapshot(walk, calm, VOCAB, "cpu")
    net.linear.register_forward_hook(train)
    found = stepper.snapshot(walk, net, VOCAB, "cpu")
    assert found.connectivity == pytest.approx(expected.connectivity)
    assert not torch.equal(net.linear.weight, calm.linear.weight)  # it was trained
    texts = []
    calm._apply(lambda weight: texts.append(written(walk_of(calm, count=5))) or weight)  # a layer on the move
    assert set(texts) == {written(walk)}


# Loops


@given(head=st.text("ab c", max_size=20), unit=st.text("ab c", max_size=6), times=st.integers(1, 6),
       rest=st.integers(0, 5))  # fmt: skip
def test_the_period_is_the_smallest_of_those_that_explain_the_longest_stretch(head, unit, times, rest):
    text, stretches = head + unit * times + unit[:rest], {}
    for period in range(1, len(text) // 3 + 1):
        start = next(start for start in range(len(text)) if text[start + period :] == text[start:-period])
        if len(text) - start >= 3 * period:
            stretches[period] = len(text) - start
    expected = max(stretches, key=stretches.get, default=None)
    assert stepper.repeats_every(text) == stepper.repeats_every(tuple(text)) == expected


# The snapshot


def test_snapshot_shows_the_last_columns_and_explains_what_is_asked():
    net = model()
    walk = walk_of(net, count=10)
    whole = stepper.snapshot(walk, net, VOCAB, "cpu")
    assert (whole.characters, whole.num_given, whole.position) == (list(written(walk)), 7, 17)
    assert whole.explained == whole.candidates[0] == VOCAB.to_tokens(walk.logits[-1].argmax().item())
    assert whole.hiddens.shape == (17, 8)
    assert whole.softmax == sorted(walk.logits[-1].softmax(dim=0).tolist(), reverse=True)
    part = stepper.snapshot(walk, net, VOCAB, "cpu", look_back=2, columns=5)
    assert (part.characters, part.num_given, part.position) == (list(written(walk)[-5:]), 0, 3)
    assert part.explained == written(walk)[-2]
    assert [math.isnan(value) for value in part.connectivity] == [False] * 3 + [True] * 2
    assert part.probabilities == whole.probabilities[-5:]
    assert stepper.snapshot(walk, net, VOCAB, "cpu", look_back=30, columns=5).position == 1


@pytest.mark.parametrize(("temperature", "top_k"), [(0, None), (0.5, None), (1.0, 3), (2.0, 5), (2.0, None)])
def test_drawn_is_what_draws_follow_and_choices_is_its_openness(temperature, top_k):
    net = model()
    walk = walk_of(net)
    found = stepper.snapshot(walk, net, VOCAB, "cpu", temperature, top_k)
    kept = walk.logits[-1].sort(descending=True).values[: top_k or len(VOCAB)] / (temperature or 1e-4)
    expected = torch.distributions.Categorical(logits=kept)
    assert found.drawn[: len(kept)] == pytest.approx(expected.probs.tolist(), abs=1e-6)
    assert sum(found.drawn[len(kept) :]) == 0
    assert found.choices == pytest.approx(expected.entropy().exp().item(), rel=1e-4)
    assert found.softmax == stepper.snapshot(walk, net, VOCAB, "cpu").softmax


@pytest.mark.parametrize(("layer", "prefix", "words"), [
    ("rnn", "", "empty"), ("rnn", "B", "does not know"), ("two ways", "a", "bidirectional"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(layer, prefix, words):
    with pytest.raises(stepper.Unreadable, match=words):
        stepper.read(prefix, model(layer), VOCAB, "cpu")
    with pytest.raises(ValueError, match=words):
        PredictionStepper(model(layer), VOCAB, "cpu", prefix)


# The lab


@pytest.fixture
def lab():
    return PredictionStepper(model(), VOCAB, "cpu", PREFIX)


@pytest.mark.parametrize(("temperature", "top_k", "seed"), [(0, 20, 0), (0.7, 20, 0), (1.5, 3, 11), (2.0, 2, 99)])
def test_step_and_run_write_what_predict_writes(lab, temperature, top_k, seed):
    lab.temperature.value, lab.top_k.value, lab.seed.value = temperature, top_k, seed
    generator = torch.Generator().manual_seed(seed)
    expected = predict(PREFIX, RUN_LENGTH + 2, lab.net, VOCAB, "cpu", temperature, top_k, generator)
    for _ in range(2):  # the same seed, the same text
        lab.step.click()
        assert lab.text == expected[: len(PREFIX) + 1]
        lab.run.click()
        lab.step.click()
        assert lab.text == expected
        lab.reset.click()
        assert lab.text == PREFIX


def test_temperature_and_top_k_keep_the_text_and_seed_and_prefix_start_anew(lab):
    lab.run.click()
    text = lab.text
    lab.temperature.value, lab.top_k.value, lab.look_back.value = 1.0, 3, 2
    assert lab.text == text
    lab.seed.value = 5
    assert lab.text == PREFIX
    lab.run.click()
    lab.prefix.value = "the"
    assert lab.text == "the"


def test_the_readers_functions_pick_and_show():
    mine = {"choose": lambda *_: VOCAB["a"], "distribution": lambda *_: torch.full((len(VOCAB),), 1 / len(VOCAB))}
    lab = PredictionStepper(model(), VOCAB, "cpu", PREFIX, **mine)
    lab.temperature.value = 1.0
    lab.step.click()
    assert lab.text == PREFIX + "a"
    assert lab.snapshot.choices == pytest.approx(len(VOCAB))


@pytest.mark.parametrize(("prefix", "words"), [("", "empty"), ("The", "does not know"), ("<b>", "&#x27;&lt;&#x27;")])
def test_a_bad_prefix_gets_a_sentence_and_loses_nothing(lab, prefix, words):
    lab.run.click()
    text, picture = lab.text, lab.picture.value
    lab.prefix.value = prefix
    lab.temperature.value = 0.1
    for button in (lab.step, lab.run, lab.reset):
        button.click()
        assert words in lab.errors.value
        assert "Traceback" not in lab.errors.value
    assert (lab.text, lab.picture.value) == (text, picture)
    lab.prefix.value, lab.temperature.value = PREFIX, 0
    assert (lab.text, lab.errors.value) == (text, "")
    lab.step.click()
    assert lab.text == predict(PREFIX, RUN_LENGTH + 1, lab.net, VOCAB, "cpu")


def test_what_goes_wrong_at_a_click_is_shown_and_raised(lab, monkeypatch):
    def broken(X, state):
        raise ValueError("the student's forward is broken")

    monkeypatch.setattr(lab.net, "forward", broken)
    for count in (1, None):  # a click is `_write`; outside a notebook ipywidgets would log its error
        lab.errors.value = ""
        with pytest.raises(ValueError, match="forward is broken"):
            lab._write(count)
        assert "Traceback" in lab.errors.value


def test_typing_while_the_model_writes_loses_nothing(lab):
    """JupyterLab delivers callbacks in a second thread: two buttons and a slider at once."""
    clicks = [lab.step.click] * 6 + [lab.run.click] * 2
    clicks += [lambda value=value: setattr(lab.look_back, "value", value) for value in range(1, 5)]
    with ThreadPoolExecutor(len(clicks)) as pool:
        assert [*pool.map(lambda click: click(), clicks)] == [None] * len(clicks)
    assert lab.text == predict(PREFIX, 6 + 2 * RUN_LENGTH, lab.net, VOCAB, "cpu")
    assert lab.snapshot.characters == list(lab.text)[-60:]
    assert lab.errors.value == ""


# The picture


def test_the_picture_shows_the_snapshots_numbers_at_any_length():
    net = model()
    walk, sizes = walk_of(net, "the the the "), []
    for count in (0, 100):
        for _ in range(count):
            walk = stepper.step(walk, net, "cpu")
        snapshot = stepper.snapshot(walk, net, VOCAB, "cpu", temperature=1.0, top_k=4, look_back=3)
        picture = plots.stepper_picture(snapshot)
        bars, moments = picture.axes
        softmax, drawn = ([segment[1][1] for segment in lines.get_segments()] for lines in bars.collections[:2])
        assert (softmax, drawn) == (pytest.approx(snapshot.softmax), pytest.approx(snapshot.drawn))
        shown = [image.get_array() for image in moments.images]
        for values, row in zip(shown, (snapshot.hiddens.T, snapshot.probabilities, snapshot.connectivity), strict=True):
            assert values.squeeze().filled(-1) == pytest.approx(torch.tensor(row).nan_to_num(-1).numpy(), abs=1e-6)
        sizes.append(struct.unpack(">II", picture.png()[16:24]))
    assert len(snapshot.characters) == 60 < len(walk.tokens)
    assert sizes[0] == sizes[1]


def test_of_words_there_are_as_many_as_can_be_read_and_they_are_called_so():
    text = "one two three four, five six seven eight nine ten eleven twelve. "
    vocab = TextVocab(split(text, "words"), "words", "one two three")
    torch.manual_seed(0)
    lab = PredictionStepper(RNNModel(nn.RNN(len(vocab), 4), len(vocab)), vocab, "cpu")
    lab.run.click()
    lab.look_back.value = 30
    shown = lab.snapshot
    assert (len(shown.characters), shown.position, len(shown.candidates)) == (12, 1, 10)
    assert len(shown.hiddens) == len(shown.probabilities) == len(shown.connectivity) == 12
    assert f"{len(vocab.split(text[:13])) + RUN_LENGTH} words, " in lab.output.value
    lab.prefix.value = "one, " * 4
    assert "the text repeats every 2 words" in lab.output.value
    bars, moments = plots.stepper_picture(lab.snapshot).axes
    titles = bars.get_title(loc="left"), moments.get_title(loc="left")
    assert ["word" in title and "character" not in title for title in titles] == [True, True]


def test_a_long_token_becomes_smaller_and_is_cut_but_is_not_squeezed():
    def size(token, room):
        box = drawing._letter(token, room).get_extents()
        return box.width, box.height

    whole, smaller = size("mmmm", 10_000), size("mmmm", 200)
    assert smaller[0] <= 200 < whole[0]
    assert smaller[0] / smaller[1] == pytest.approx(whole[0] / whole[1])
    for count in (5, 8, 50):
        width, height = size("m" * count, 200)
        assert width <= 200
        assert height >= drawing.SMALLEST * whole[1] - 1e-6
    assert size("m", 30)[0] <= 30


@pytest.mark.parametrize(("prefix", "period", "words"), [
    ("the the the ", 4, "the text repeats every 4 characters"), ("so ooo", 1, "the text repeats its last character"),
])  # fmt: skip
def test_a_loop_is_said_in_the_lab_and_in_the_picture(prefix, period, words):
    lab = PredictionStepper(model(), VOCAB, "cpu", PREFIX)
    assert "no loop" in lab.output.value
    lab.prefix.value = prefix
    assert lab.snapshot.period == period
    assert words in lab.output.value
    assert words in {text.get_text() for text in plots.stepper_picture(lab.snapshot).texts}
