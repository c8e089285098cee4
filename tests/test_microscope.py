"""The tensor microscope: the record against torch and brute force, the picture against the record, the lab's sizes."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from common import assert_words_fit, spy
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from course_utils import Vocab, plots
from course_utils.experiments.layouts import LAYOUTS
from course_utils.experiments.microscope import focus
from course_utils.plots import microscope as drawing
from course_utils.plots.network import Sketch
from course_utils.widgets.microscope import TensorMicroscope

every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def make_read(vocab_size, cell=nn.RNN, **options):
    """A function like that of the notebook: four layouts, each output brought back to the place of its token."""
    torch.manual_seed(0)
    rnn, batch_first = cell(vocab_size, 4, **options), cell(vocab_size, 4, batch_first=True, **options)

    def read(one_hot, layout):
        batch_size, num_steps, _ = one_hot.shape
        if layout == "transpose":
            return rnn(one_hot.transpose(0, 1))[0].transpose(0, 1)
        if layout == "reshape":
            return rnn(one_hot.reshape(num_steps, batch_size, vocab_size))[0].reshape(batch_size, num_steps, -1)
        return (batch_first if layout == "batch_first" else rnn)(one_hot)[0]

    return read


def batch(B, T):
    """B * T different tokens (B, T) and their vocabulary, so that every one-hot row says where it comes from."""
    return 1 + torch.arange(B * T).reshape(B, T), Vocab([chr(ord("a") + number) for number in range(B * T)])


def look(read, layout="mine", b=0, t=0, B=2, T=5):
    return focus(read, *batch(B, T), layout, b, t)


def rules(record):
    return record.others_seen, record.past_missing, record.future_seen


def by_hand(one_hot, layout):
    """A right reader without a layer: one step is a sum of what was seen, halved at every step."""
    times = torch.arange(one_hot.shape[1])
    return (0.5 ** (times[:, None] - times)).tril() @ one_hot


# --- the record: who depends on whom


@torch.no_grad()
def changed_outputs(read, X, vocab, layout):
    """Brute force: [b, t, b', t'] whether the output (b, t) changes when the token (b', t') becomes another one."""
    before, rows = read(F.one_hot(X, len(vocab)).float(), layout), []
    for place in itertools.product(*map(range, X.shape)):
        other = X.clone()
        other[place] = 0  # <unk>, which none of the tokens is
        rows.append((read(F.one_hot(other, len(vocab)).float(), layout) != before).any(dim=2))
    return torch.stack(rows, dim=2).reshape(*X.shape, *X.shape)


@every_layout
@pytest.mark.parametrize(("B", "T"), [(2, 5), (3, 7), (4, 4), (1, 4), (3, 1), (1, 1)])
@pytest.mark.parametrize(("cell", "options"), [
    (nn.RNN, {}), (nn.GRU, {}), (nn.LSTM, {}), (nn.RNN, {"bidirectional": True}), (nn.GRU, {"num_layers": 2}),
])  # fmt: skip
def test_influence_and_broken_rules_are_what_changing_the_tokens_shows(layout, B, T, cell, options):
    X, vocab = batch(B, T)
    read = make_read(len(vocab), cell, **options)
    changed = changed_outputs(read, X, vocab, layout)
    for b, t in itertools.product(range(B), range(T)):
        record, seen = focus(read, X, vocab, layout, b, t), changed[b, t]
        assert [[size > 0 for size in row] for row in record.influence] == seen.tolist()
        others = seen[torch.arange(B) != b].sum()
        assert rules(record) == (others, t + 1 - seen[b, : t + 1].sum(), seen[b, t + 1 :].sum())


def test_strength_is_the_gradients():
    """Every step halves what was there, so that lag k moves the output 2 ** -k times as much as lag 0."""
    (row,) = look(by_hand, b=0, t=5, B=1, T=8).influence
    assert [size / row[5] for size in row] == pytest.approx([0.5 ** (5 - t) for t in range(6)] + [0, 0])
    assert row[6:] == [0.0, 0.0]


def test_outputs_that_always_sum_to_one_hide_nothing():
    read = make_read(11)
    record = look(lambda one_hot, layout: read(one_hot, layout).softmax(dim=2), "transpose", 1, 3)
    assert rules(record) == (0, 0, 0)
    assert min(record.influence[1][:4]) > 0.001 * max(record.influence[1])


@pytest.mark.parametrize("change", [lambda outputs: outputs[..., 0], lambda outputs: outputs.unflatten(2, (2, 2))])
def test_outputs_may_have_any_shape_after_batch_and_time(change):
    read = make_read(11)
    assert rules(look(lambda one_hot, layout: change(read(one_hot, layout)), "none", 1, 3)) == (1, 3, 0)


def test_what_reads_nothing_depends_on_nothing():
    weight = torch.ones(2, 5, 3, requires_grad=True)
    record = look(lambda one_hot, layout: 2 * weight, b=1, t=3)
    assert record.influence == [[0.0] * 5] * 2
    assert record.past_missing == 4
    plots.microscope_picture(record).png()


# --- the record: what the layer received


READS = {  # name -> (what is handed to the layer, the tokens that lie there)
    "transposed": (lambda X: X.transpose(0, 1), lambda i, j: (j, i)),
    "as it is": (lambda X: X, lambda i, j: (i, j)),
    "reshaped": (lambda X: X.reshape(5, 2, 11), lambda i, j: divmod(2 * i + j, 5)),
    "reversed in time": (lambda X: X.flip(1).transpose(0, 1), lambda i, j: (j, 4 - i)),
    "sentence 0 twice": (lambda X: X[:1].transpose(0, 1).expand(5, 2, 11), lambda i, j: (0, i)),
    "every second step": (lambda X: X[:, ::2].transpose(0, 1), lambda i, j: (j, 2 * i)),
    "symbols outside in memory": (lambda X: X.permute(2, 1, 0).contiguous().permute(1, 2, 0), lambda i, j: (j, i)),
    "a row of zeros first": (lambda X: F.pad(X, (0, 0, 1, 0)).transpose(0, 1), lambda i, j: (j, i - 1) if i else None),
    "shifted by a constant": (lambda X: X.transpose(0, 1) - 0.5, lambda i, j: (j, i)),
    "one sentence alone": (lambda X: X[1], lambda i, j: (1, i)),
    "two letters at once": (lambda X: X + X.roll(1, dims=1), lambda i, j: None),
    "half as large": (lambda X: X / 2, lambda i, j: None),
    "symbols in another order": (lambda X: X.flip(2), lambda i, j: None),
    "one number for each letter": (lambda X: X.transpose(0, 1) @ torch.arange(11.0)[:, None], lambda i, j: None),
    "cut off from the graph": (lambda X: X.detach(), lambda i, j: None),
}


def handing(name, cell=nn.RNN, **options):
    """A reader that hands a layer what `READS` says, and keeps it."""

    def read(one_hot, layout):
        read.X = READS[name][0](one_hot)
        return by_hand(one_hot, layout) + 0 * cell(read.X.shape[-1], 3, **options)(read.X)[0].sum()

    return read


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_received_is_the_tensor_itself_and_only_whole_tokens_are_traced(name, batch_first):
    read = handing(name, batch_first=batch_first, bidirectional=batch_first)
    received = look(read).received
    X = read.X.detach()
    batched, axis = (X, int(batch_first)) if X.dim() == 3 else (X[:, None], 0)
    assert (received.layer, received.calls, received.bidirectional) == ("RNN", 1, batch_first)
    assert (received.shape, received.strides, received.contiguous) == (X.shape, X.stride(), X.is_contiguous())
    assert (received.time_axis, received.step_contiguous) == (axis, X.select(axis, 0).is_contiguous())
    assert torch.equal(torch.tensor(received.values), batched)
    assert received.tokens == [[READS[name][1](i, j) for j in range(batched.shape[1])] for i in range(len(X))]
    places = [*itertools.product(*map(range, batched.shape))]
    first = {batched[place].storage_offset() - X.storage_offset(): place for place in reversed(places)}
    assert received.memory == [first.get(number) for number in range(max(first) + 1)]


def each_alone(one_hot, layout):
    rnn = nn.GRU(11, 4, batch_first=True, bidirectional=True)
    return torch.stack([rnn(sentence)[0] for sentence in one_hot])


def stacked(one_hot, layout):
    return nn.LSTM(6, 4)(nn.GRU(11, 6)(nn.Linear(11, 11)(one_hot).transpose(0, 1))[0])[0].transpose(0, 1)


@pytest.mark.parametrize(("read", "layer", "shape"), [(each_alone, "GRU", (5, 11)), (stacked, "GRU", (5, 2, 11))])
def test_of_several_calls_of_recurrent_layers_the_first_is_described(read, layer, shape):
    received = look(read, b=1, t=3).received
    assert (received.layer, received.calls, received.shape, received.time_axis) == (layer, 2, shape, 0)


def packed(one_hot, layout):
    outputs, _ = nn.RNN(11, 4)(nn.utils.rnn.pack_padded_sequence(one_hot, [5, 5], batch_first=True))
    return nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0]


def named(one_hot, layout):
    return nn.RNN(11, 4)(input=one_hot.transpose(0, 1))[0].transpose(0, 1)


@pytest.mark.parametrize("read", [by_hand, packed, named])
def test_without_a_tensor_as_first_argument_only_the_dependence_is_measured(read):
    record = look(read, b=1, t=3)
    assert record.received is None
    assert rules(record) == (0, 0, 0)


def in_a_thread(function):
    with ThreadPoolExecutor() as pool:
        return pool.submit(function).result()


def test_a_look_works_in_any_thread_and_does_not_mean_layers_that_run_in_another():
    read, training = make_read(11), nn.LSTM(3, 3)

    def busy_read(one_hot, layout):
        in_a_thread(lambda: training(torch.zeros(1, 1, 3)))
        return read(one_hot, layout)

    assert look(busy_read, "none") == look(read, "none") == in_a_thread(lambda: look(read, "none"))


# --- the record: nothing is left behind, and what cannot be looked at is refused


def test_no_hook_gradient_or_random_number_is_left_behind_and_looking_twice_shows_the_same():
    rnn, hooks, random_numbers = nn.RNN(11, 4), dict(torch_module._global_forward_pre_hooks), torch.get_rng_state()

    def fresh(one_hot, layout):  # and new weights at every call, as a student may write it
        X = one_hot.transpose(0, 1)
        return (rnn(X)[0] + nn.RNN(11, 4)(X)[0]).transpose(0, 1)

    first = look(fresh, b=1, t=3)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    torch.rand(5)
    with torch.no_grad():
        assert look(fresh, b=1, t=3) == first
        assert not torch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        look(lambda one_hot, layout: 1 / 0)
    assert torch_module._global_forward_pre_hooks == hooks
    assert all(weight.grad is None for weight in rnn.parameters())


@pytest.mark.parametrize(("read", "words"), [
    (lambda one_hot, layout: nn.RNN(11, 4)(one_hot), r"returned a tuple; return the outputs alone"),
    (lambda one_hot, layout: one_hot.transpose(0, 1), r"\(5, 2, 11\); it must begin with \(B, T\) = \(2, 5\)"),
    (lambda one_hot, layout: one_hot.sum(), r"shape \(\); it must begin"),
    (lambda one_hot, layout: one_hot.detach(), r"without a gradient; leave out detach"),
    (lambda one_hot, layout: one_hot.log(), r"not finite .*log\(0\)"),
])  # fmt: skip
def test_what_read_returns_wrongly_is_said_in_one_sentence(read, words):
    with pytest.raises(ValueError, match=words):
        look(read)


@pytest.mark.parametrize(("b", "t"), [(2, 0), (-1, 0), (0, 5), (0, -1)])
def test_an_output_that_is_not_there_is_named_and_tokens_must_be_rows(b, t):
    with pytest.raises(ValueError, match=rf"no output \({b}, {t}\); X has 2 sentences of 5|is -1; it must be a whole"):
        look(by_hand, b=b, t=t)
    with pytest.raises(ValueError, match=r"\(6,\) .*; it must be a tensor \(B, T\)"):
        focus(by_hand, torch.arange(6), batch(2, 3)[1], "mine", b, t)


# --- the picture


@pytest.fixture
def sketch(monkeypatch):
    """Draw a record and return its `Sketch`, with the `texts` on it and `said`: (text, weight, size)."""

    class Open(Sketch):
        def words(self, x, y, text, size=9, align="left", family="sans", weight="normal", **style):
            super().words(x, y, text, size, align, family, weight, **style)
            self.said.append((text, weight, size))

    def draw(record):
        drawn = Open(920, 920)
        drawn.said = []
        monkeypatch.setattr(drawing, "Sketch", lambda width, height: drawn)
        plots.microscope_picture(record)
        drawn.texts = [text for text, *_ in drawn.said]
        return drawn

    return draw


def largest(layout):
    vocab = Vocab(list("abcdefghijklmnopqrstuvwxyz "))
    return focus(make_read(28, nn.GRU), torch.arange(80).reshape(8, 10) % 28, vocab, layout, 6, 6)


def too_much(one_hot, layout):
    return nn.RNN(11, 4)(one_hot.repeat(10, 3, 1))[0][:2, :5]


PICTURES = {f"the largest, {layout}": lambda layout=layout: largest(layout) for layout in LAYOUTS}
PICTURES |= {
    f"{layout}, {B} × {T}": lambda layout=layout, B=B, T=T: look(make_read(B * T + 1), layout, B - 1, T // 2, B, T)
    for layout, (B, T) in itertools.product(LAYOUTS, [(2, 5), (4, 4), (1, 1), (3, 1)])
}
PICTURES |= {name: lambda name=name: look(handing(name, nn.LSTM, bidirectional=True), name, 1, 3) for name in READS}
PICTURES |= {
    "no layer": lambda: look(by_hand, b=1, t=3),
    "too much": lambda: look(too_much, b=1, t=3),
    "each alone": lambda: look(each_alone, b=1, t=3),
    "the first step": lambda: look(make_read(11), "transpose", 1, 0),
}


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_written_over_anything_else_or_too_small_or_outside(sketch, name):
    drawn = sketch(PICTURES[name]())
    assert drawn.picture.get_size_inches()[0] <= 9.2
    assert min(size for _, _, size in drawn.said) >= 9
    assert_words_fit(drawn.picture, drawn.texts)


@every_layout
def test_picture_says_what_was_measured(sketch, layout):
    record = look(make_read(11), layout, 1, 3)
    texts, got = sketch(record).texts, record.received
    others, missing, future = rules(record)
    assert {f'read(one_hot, "{layout}")', "chosen: outputs[1, 3] of (2, 5, 4), letter i"} < {*texts}
    verdict = [f"depends on {4 - missing} of 4 of its own sentence so far,", f"on {others} of 5 of other sentences,",
               f"on {future} of 1 of its own future"]  # fmt: skip
    assert [text for text in texts if text in verdict] == verdict
    assert [text for text in texts if text in "✓✗"] == ["✗" if count else "✓" for count in (missing, others, future)]
    assert {f"what the RNN received: {got.shape}", f"its loop runs over axis {got.time_axis}"} < {*texts}
    facts = f"strides {got.strides}   is_contiguous() {got.contiguous}   one step in one piece: {got.step_contiguous}"
    assert facts in texts
    axes = {"step": got.strides[got.time_axis], "place of the batch": got.strides[1 - got.time_axis]}
    assert {f"to the next {name}: {stride} numbers on" for name, stride in axes.items()} < {*texts}


@every_layout
@pytest.mark.parametrize(("b", "t"), [(0, 0), (1, 3), (1, 4)])
def test_both_panels_judge_and_light_every_token_by_its_influence(monkeypatch, sketch, layout, b, t):
    cells = spy(monkeypatch, drawing, "_draw_cell", slice(2, None))
    record = look(make_read(11), layout, b, t)
    sketch(record)
    judged = [cell for cell in cells if len(cell) == 2]  # those of the key come without a strength
    tokens = [*itertools.product(range(2), range(5))]
    tokens += [token for row in record.received.tokens for token in row]
    for (row, step), ((allowed, seen), light) in zip(tokens, judged, strict=True):
        assert (allowed, seen) == (row == b and step <= t, record.influence[row][step] > 0)
        for (other, other_step), (_, other_light) in zip(tokens, judged, strict=True):
            assert (record.influence[row][step] < record.influence[other][other_step]) == (light < other_light)


def test_every_kind_of_cell_looks_different_without_its_colour():
    shapes = set()
    for judgement in drawing.KEY:
        drawn = Sketch(50, 50)
        drawing._draw_cell(drawn, (10, 10, 20, 20), judgement)
        shapes.add((drawn.faces[0] == "white", *(len(polygon.vertices) for polygon in drawn.polygons)))
    assert len(shapes) == 4


@every_layout
def test_memory_is_drawn_in_its_order_with_the_step_that_reads_it(sketch, layout):
    record = look(make_read(11), layout, 1, 3)
    drawn, got = sketch(record), record.received
    places = got.memory[::11]
    chosen = next(place[got.time_axis] for place in places if got.tokens[place[0]][place[1]] == (1, 3))
    steps = [place[got.time_axis] for place in places]
    names = [(text, weight) for text, weight, _ in drawn.said if text.startswith("step ")][-10:]
    assert names == [(f"step {step}", "bold" if step == chosen else "normal") for step in steps]
    assert f"bars: step {chosen} reads the chosen letter" in drawn.texts
    letters = [text for text in drawn.texts if text in [f"{b},{t}" for b in range(2) for t in range(5)]]
    assert letters[10:] == ["{},{}".format(*got.tokens[i][j]) for i, j, _ in places]


@pytest.mark.parametrize(("name", "words"), [
    ("no layer", ["what the layer received: nothing to show"]),
    ("too much", ["its loop runs over axis 0; drawn: the first 12 × 10",
                  "drawn: the first 1056 numbers; bars: step 1 reads the chosen letter"]),
    ("each alone", ["what the GRU received: (5, 11), the first of 2 calls",
                    "its loop runs over axis 0, in both directions", "no step of this call reads the chosen letter"]),
    ("the first step", ["bars: step 0 reads the chosen letter"]),
    ("every second step", ["unread", "step 2"]),
    ("symbols outside in memory", ["5 steps", "to the next place of the batch: 1 number on"]),
])  # fmt: skip
def test_what_is_strange_is_said(sketch, name, words):
    assert {*words} <= {*sketch(PICTURES[name]()).texts}


# --- the lab


@pytest.mark.parametrize(("shape", "chosen"), [((3, 7), (2, 5)), ((1, 1), (0, 0))])
def test_the_lab_chooses_among_all_outputs_and_needs_no_layer(shape, chosen):
    lab = TensorMicroscope(by_hand, *batch(*shape))
    assert lab.way.options == LAYOUTS
    assert (lab.b.value, lab.t.value) == chosen
    assert (lab.b.min, lab.b.max, lab.t.min, lab.t.max) == (0, shape[0] - 1, 0, shape[1] - 1)
    assert lab.record.received is None


@pytest.mark.parametrize("shape", [(9, 5), (2, 11), (5,), (0, 5), (2, 0)])
def test_what_is_too_large_to_read_is_refused(shape):
    too_large = r"the microscope shows .* up to \(8, 10\): take .* X\[:8, :10\]"
    with pytest.raises(ValueError, match=rf"shape \(.*; ({too_large}|it must be a tensor \(B, T\))"):
        TensorMicroscope(by_hand, torch.zeros(shape).long(), batch(3, 7)[1])
