"""The tensor microscope: the record against torch and brute force, the picture against it, the lab against both."""

import base64
import dataclasses
import itertools
import struct
import sys
import threading

import common  # noqa: F401 (one thread)
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from course_utils import Vocab, plots
from course_utils.experiments.layout import LAYOUTS
from course_utils.experiments.microscope import focus
from course_utils.plots.network import Sketch
from course_utils.widgets.microscope import TensorMicroscope

drawing = sys.modules["course_utils.plots.microscope"]  # the package's attribute of that name is the function
SIZES = [(2, 5), (3, 7), (4, 4), (1, 4), (3, 1), (1, 1)]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_size = pytest.mark.parametrize(("B", "T"), SIZES)


class Spy(nn.RNN):
    """Keeps what it was called with, so that torch's own words about it can be compared."""

    def forward(self, X, state=None):
        self.X = X
        return super().forward(X, state)


def make_read(vocab_size, cell=nn.RNN, num_hiddens=4, **options):
    """A function like that of the notebook: four layouts, each output brought back to the place of its token."""
    torch.manual_seed(0)
    rnn = cell(vocab_size, num_hiddens, **options)
    batch_first = cell(vocab_size, num_hiddens, batch_first=True, **options)

    def read(one_hot, layout):
        batch_size, num_steps, _ = one_hot.shape
        if layout == "transpose":
            return rnn(one_hot.transpose(0, 1))[0].transpose(0, 1)
        if layout == "reshape":
            return rnn(one_hot.reshape(num_steps, batch_size, vocab_size))[0].reshape(batch_size, num_steps, -1)
        return (batch_first if layout == "batch_first" else rnn)(one_hot)[0]

    read.rnn, read.batch_first = rnn, batch_first
    return read


def batch(B, T):
    """B * T different tokens (B, T) and their vocabulary, so that every one-hot row says where it comes from."""
    vocab = Vocab([chr(ord("a") + number) for number in range(B * T)])
    return 1 + torch.arange(B * T).reshape(B, T), vocab


def look(read, layout="mine", b=0, t=0, B=2, T=5):
    X, vocab = batch(B, T)
    return focus(read, X, vocab, layout, b, t)


def both_ways(one_hot):
    """A recurrence by hand over a batch (B, T, V), one step as a sum of what was seen, halved at every step."""
    hidden, steps = torch.zeros(len(one_hot), one_hot.shape[2]), []
    for piece in one_hot.unbind(1):
        hidden = 0.5 * hidden + piece
        steps.append(hidden)
    return torch.stack(steps, dim=1)


def by_hand(one_hot, layout):
    return both_ways(one_hot)


# --- the record: who depends on whom


@torch.no_grad()
def changed_outputs(read, X, vocab, layout):
    """Brute force: [b, t, b', t'] whether the output (b, t) changes when the token (b', t') becomes another one."""

    def run(tokens):
        return read(F.one_hot(tokens, len(vocab)).float(), layout)

    before, rows = run(X), []
    for place in range(X.numel()):
        other = X.flatten().clone()
        other[place] = 0  # <unk>, which none of the tokens is
        rows.append((run(other.reshape(X.shape)) != before).any(dim=2))
    return torch.stack(rows, dim=2).reshape(*X.shape, *X.shape)


@every_layout
@every_size
@pytest.mark.parametrize(
    ("cell", "options"),
    [(nn.RNN, {}), (nn.GRU, {}), (nn.LSTM, {}), (nn.RNN, {"bidirectional": True}), (nn.GRU, {"num_layers": 2})],
)
def test_influence_and_broken_rules_are_what_changing_the_tokens_shows(layout, B, T, cell, options):
    X, vocab = batch(B, T)
    read = make_read(len(vocab), cell, **options)
    changed = changed_outputs(read, X, vocab, layout)
    for b, t in itertools.product(range(B), range(T)):
        record, seen = focus(read, X, vocab, layout, b, t), changed[b, t]
        assert [[size > 0 for size in row] for row in record.influence] == seen.tolist()
        others = torch.arange(B) != b
        assert record.others_seen == seen[others].sum()
        assert record.past_missing == t + 1 - seen[b, : t + 1].sum()
        assert record.future_seen == seen[b, t + 1 :].sum()


def test_the_notebooks_batch_breaks_as_many_rules_as_its_table_says():
    for layout, expected in {"transpose": (0, 0), "batch_first": (0, 0), "none": (5, 8), "reshape": (5, 8)}.items():
        records = [look(make_read(11), layout, b, t) for b in range(2) for t in range(5)]
        broken = [sum(map(bool, counts)) for counts in zip(*[(r.others_seen, r.past_missing) for r in records])]  # noqa: B905
        assert tuple(broken) == expected


def test_strength_is_the_gradients():
    """Every step halves what was there, so that lag k moves the output 2 ** -k times as much as lag 0."""
    (row,) = look(by_hand, b=0, t=5, B=1, T=8).influence
    assert [size / row[5] for size in row] == pytest.approx([0.5 ** (5 - t) for t in range(6)] + [0, 0])
    assert row[6:] == (0.0, 0.0)


def test_outputs_that_always_sum_to_one_hide_nothing():
    read = make_read(11)
    record = look(lambda one_hot, layout: read(one_hot, layout).softmax(dim=2), "transpose", 1, 3)
    assert (record.others_seen, record.past_missing, record.future_seen) == (0, 0, 0)
    assert min(record.influence[1][:4]) > 0.001 * max(record.influence[1])


def test_outputs_may_have_any_shape_after_batch_and_time():
    read = make_read(11)
    flat = look(lambda one_hot, layout: read(one_hot, layout)[..., 0], "none", 1, 3)
    deep = look(lambda one_hot, layout: read(one_hot, layout).unflatten(2, (2, 2)), "none", 1, 3)
    assert (flat.outputs, deep.outputs) == ((2, 5), (2, 5, 2, 2))
    assert flat.others_seen == deep.others_seen == 1


def test_what_reads_nothing_depends_on_nothing():
    weight = torch.ones(2, 5, 3, requires_grad=True)
    record = look(lambda one_hot, layout: 2 * weight, b=1, t=3)
    assert record.influence == ((0.0,) * 5,) * 2
    assert record.past_missing == 4


# --- the record: what the layer received


def check_received(record, layer, X, time_axis):
    """Compare what is said about a layer's input with what torch says of the very tensor."""
    received = record.received
    assert (received.layer, received.calls, received.time_axis) == (type(layer).__name__, 1, time_axis)
    assert received.bidirectional == layer.bidirectional
    assert (received.shape, received.strides, received.contiguous) == (X.shape, X.stride(), X.is_contiguous())
    assert received.step_contiguous == (X[0] if time_axis == 0 else X[:, 0]).is_contiguous()
    assert torch.equal(torch.tensor(received.values), X)
    for number, (i, j, v) in enumerate(received.memory):
        assert X[i, j, v].storage_offset() == X.storage_offset() + number
    assert len(set(received.memory)) == len(received.memory) == X.numel()


@every_layout
@every_size
@pytest.mark.parametrize("bidirectional", [False, True])
def test_received_is_the_tensor_itself(layout, B, T, bidirectional):
    X, vocab = batch(B, T)
    read = make_read(len(vocab), Spy, bidirectional=bidirectional)
    record = focus(read, X, vocab, layout, B - 1, T - 1)
    layer = read.batch_first if layout == "batch_first" else read.rnn
    check_received(record, layer, layer.X, time_axis=int(layout == "batch_first"))
    numbers = layer.X.argmax(dim=2) - 1  # token number b * T + t
    assert record.received.tokens == tuple(tuple(divmod(n, T) for n in row) for row in numbers.tolist())


READS = {  # name -> (what is handed to the layer, the tokens that lie there)
    "reversed in time": (lambda X: X.flip(1).transpose(0, 1), lambda i, j: (j, 4 - i)),
    "sentence 0 twice": (lambda X: X[:1].transpose(0, 1).expand(5, 2, 11), lambda i, j: (0, i)),
    "each sentence twice": (lambda X: torch.cat([X, X]).transpose(0, 1), lambda i, j: (j % 2, i)),
    "every second step": (lambda X: X[:, ::2].transpose(0, 1), lambda i, j: (j, 2 * i)),
    "symbols outside in memory": (lambda X: X.permute(2, 1, 0).contiguous().permute(1, 2, 0), lambda i, j: (j, i)),
    "a row of zeros first": (lambda X: F.pad(X, (0, 0, 1, 0)).transpose(0, 1), lambda i, j: (j, i - 1) if i else None),
    "shifted by a constant": (lambda X: X.transpose(0, 1) - 0.5, lambda i, j: (j, i)),
    "one sentence alone": (lambda X: X[1], lambda i, j: (1, i)),
    "two letters at once": (lambda X: X + X.roll(1, dims=1), lambda i, j: None),
    "three letters' mean": (lambda X: (X + X.roll(1, dims=1) + X.roll(-1, dims=1)) / 3, lambda i, j: None),
    "half as large": (lambda X: X / 2, lambda i, j: None),
    "symbols in another order": (lambda X: X.flip(2), lambda i, j: None),
    "one number more": (lambda X: F.pad(X, (0, 1)), lambda i, j: None),
    "one number for each letter": (lambda X: X.transpose(0, 1) @ torch.arange(11.0)[:, None], lambda i, j: None),
    "cut off from the graph": (lambda X: X.detach(), lambda i, j: None),
}


@pytest.mark.parametrize("name", READS)
def test_every_place_is_traced_to_its_token_and_only_to_a_whole_one(name):
    change, token = READS[name]
    handed = []

    def read(one_hot, layout):
        handed.append(change(one_hot))
        nn.RNN(handed[0].shape[-1], 3)(handed[0])
        return one_hot

    record, X = look(read, name).received, handed[0].detach()
    batched = X if X.dim() == 3 else X[:, None]
    assert (record.shape, record.strides) == (X.shape, X.stride())
    assert record.tokens == tuple(tuple(token(i, j) for j in range(batched.shape[1])) for i in range(len(X)))
    assert torch.equal(torch.tensor(record.values), batched)
    places = [*itertools.product(*map(range, batched.shape))]
    first = {batched[place].storage_offset() - X.storage_offset(): place for place in reversed(places)}
    assert dict(enumerate(record.memory)) == {number: first.get(number) for number in range(max(first) + 1)}


def test_batch_first_says_nothing_about_a_sentence_alone():
    rnn = nn.RNN(11, 4, batch_first=True)
    record = look(lambda one_hot, layout: torch.stack([rnn(sentence)[0] for sentence in one_hot]), b=1, t=3)
    assert (record.received.shape, record.received.time_axis, record.received.calls) == ((5, 11), 0, 2)
    assert record.received.tokens == tuple(((0, t),) for t in range(5))


def test_of_several_layers_the_first_is_described():
    first, second = nn.GRU(11, 6), nn.LSTM(6, 4)
    record = look(lambda one_hot, layout: second(first(one_hot.transpose(0, 1))[0])[0].transpose(0, 1))
    assert (record.received.layer, record.received.calls, record.received.shape) == ("GRU", 2, (5, 2, 11))


def test_other_modules_are_no_recurrent_layers():
    linear, rnn = nn.Linear(11, 11), nn.RNN(11, 4)
    record = look(lambda one_hot, layout: linear(one_hot) + rnn(one_hot)[0].sum(), b=1, t=3)
    assert (record.received.layer, record.received.calls) == ("RNN", 1)
    assert record.received.tokens[1][3] == (1, 3)


def packed(rnn, one_hot):
    outputs, _ = rnn(nn.utils.rnn.pack_padded_sequence(one_hot, [5, 5], batch_first=True))
    return nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0]


@pytest.mark.parametrize("call", [
    lambda rnn, one_hot: both_ways(one_hot),
    lambda rnn, one_hot: rnn(input=one_hot.transpose(0, 1))[0].transpose(0, 1),
    packed,
])  # fmt: skip
def test_without_a_tensor_as_first_argument_only_the_dependence_is_measured(call):
    rnn = nn.RNN(11, 4)
    record = look(lambda one_hot, layout: call(rnn, one_hot), b=1, t=3)
    assert record.received is None
    assert (record.others_seen, record.past_missing, record.future_seen) == (0, 0, 0)


def test_layers_that_run_in_another_thread_are_not_meant():
    read, training = make_read(11), nn.LSTM(3, 3)

    def busy_read(one_hot, layout):
        thread = threading.Thread(target=lambda: training(torch.zeros(1, 1, 3)))
        thread.start()
        thread.join()
        return read(one_hot, layout)

    assert look(busy_read, "none") == look(read, "none")


# --- the record: nothing is left behind


def raising(one_hot, layout):
    raise ArithmeticError("no")


@pytest.mark.parametrize(("read", "error"), [(make_read(11), None), (raising, ArithmeticError), (len, TypeError)])
def test_no_hook_stays(read, error):
    before = dict(torch_module._global_forward_pre_hooks)
    if error is None:
        look(read, "none")
    else:
        with pytest.raises(error):
            look(read)
    assert torch_module._global_forward_pre_hooks == before


def test_no_random_number_is_used_up_and_looking_twice_shows_the_same():
    def fresh(one_hot, layout):  # new weights at every call, as a student may write it
        return nn.RNN(11, 4)(one_hot.transpose(0, 1))[0].transpose(0, 1)

    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = look(fresh, b=1, t=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert look(fresh, b=1, t=3) == first


def test_no_gradient_stays_and_no_grad_does_not_matter():
    read = make_read(11)
    with torch.no_grad():
        record = look(read, "reshape", 1, 3)
        assert not torch.is_grad_enabled()
    assert record == look(read, "reshape", 1, 3)
    assert all(weight.grad is None for weight in read.rnn.parameters())


# --- the record: what cannot be looked at


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda one_hot, layout: nn.RNN(11, 4)(one_hot), r"returned a tuple; return the outputs alone"),
        (lambda one_hot, layout: one_hot.transpose(0, 1), r"\(5, 2, 11\); it must begin with \(B, T\) = \(2, 5\)"),
        (lambda one_hot, layout: one_hot[0], r"\(5, 11\); it must begin"),
        (lambda one_hot, layout: one_hot.sum(), r"shape \(\); it must begin"),
        (lambda one_hot, layout: one_hot.detach(), r"without a gradient; leave out detach"),
        (lambda one_hot, layout: one_hot.log(), r"not finite .*log\(0\)"),
    ],
)
def test_what_read_returns_wrongly_is_said_in_one_sentence(read, words):
    with pytest.raises(ValueError, match=words):
        look(read)


@pytest.mark.parametrize(("b", "t"), [(2, 0), (-1, 0), (0, 5), (0, -1)])
def test_an_output_that_is_not_there_is_named(b, t):
    with pytest.raises(ValueError, match=rf"no output \({b}, {t}\); X has 2 sentences of 5 steps"):
        look(by_hand, b=b, t=t)


def test_tokens_must_be_rows():
    with pytest.raises(ValueError, match=r"\(6,\); it must be \(B, T\)"):
        focus(by_hand, torch.arange(6), batch(2, 3)[1], "mine", 0, 0)


# --- the picture


@pytest.fixture
def said(monkeypatch):
    """(text, points, weight, left, right, top, bottom) of everything that is written on the pictures."""
    texts, words = [], Sketch.words

    def listen(sketch, x, y, text, size=9, align="left", family="sans", weight="normal", **style):
        words(sketch, x, y, text, size, align, family, weight, **style)
        path = sketch.letters[-1]
        points = path.vertices[path.codes != path.CLOSEPOLY]
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        texts.append((text, size, weight, left, right, top, bottom))

    monkeypatch.setattr(Sketch, "words", listen)
    return texts


@pytest.fixture
def drawn(monkeypatch):
    """Name -> arguments of every call of the functions that draw the parts of a picture."""
    calls = {}
    for name in ("_draw_axis_names", "_draw_cell", "_draw_frame", "_draw_numbers", "_draw_steps"):
        original, calls[name] = getattr(drawing, name), []

        def listen(sketch, *arguments, name=name, original=original):
            calls[name].append(arguments)
            original(sketch, *arguments)

        monkeypatch.setattr(drawing, name, listen)
    return calls


def texts(said):
    return [text for text, *_ in said]


@every_layout
@every_size
def test_nothing_is_written_over_anything_else_or_too_small_or_outside(said, layout, B, T):
    X, vocab = batch(B, T)
    picture = plots.microscope(focus(make_read(len(vocab)), X, vocab, layout, B - 1, max(0, T - 2)))
    check_writing(picture, said)


@pytest.mark.parametrize("layout", ["transpose", "none"])
def test_the_largest_batch_can_be_read(said, drawn, layout):
    X, vocab = torch.arange(80).reshape(8, 10) % 28, Vocab(list("abcdefghijklmnopqrstuvwxyz "))
    check_writing(plots.microscope(focus(make_read(28, nn.GRU), X, vocab, layout, 6, 6)), said)
    for (x, y, width, height), *_ in drawn["_draw_numbers"]:  # no number lies under a word
        assert not [
            word for word in said if word[3] < x + width and x < word[4] and word[5] < y + height and y < word[6]
        ]


@pytest.mark.parametrize("name", READS)
def test_strange_inputs_can_be_read(said, name):
    def read(one_hot, layout):
        handed = READS[name][0](one_hot)
        nn.LSTM(handed.shape[-1], 3, bidirectional=True)(handed)
        return both_ways(one_hot)

    check_writing(plots.microscope(look(read, name, 1, 3)), said)


def check_writing(picture, said):
    width, height = picture.get_size_inches() * 100
    assert width <= 920
    assert min(size for _, size, *_ in said) >= 9
    for text, _, _, left, right, top, bottom in said:
        assert 0 <= left <= right <= width, text
        assert 0 <= top <= bottom <= height, text
    for one, other in itertools.combinations(said, 2):
        apart = one[4] <= other[3] or other[4] <= one[3] or one[6] <= other[5] or other[6] <= one[5]
        assert apart, (one, other)


@every_layout
def test_picture_says_what_was_measured(said, layout):
    record = look(make_read(11), layout, 1, 3)
    plots.microscope(record)
    written = texts(said)
    assert f'read(one_hot, "{layout}")' in written
    assert "chosen: outputs[1, 3] of (2, 5, 4), letter i" in written
    verdict = (
        f"depends on {4 - record.past_missing} of 4 of its own sentence so far,",
        f"on {record.others_seen} of 5 of other sentences,",
        f"on {record.future_seen} of 1 of its own future",
    )
    assert [text for text in written if text in verdict] == [*verdict]
    broken = (record.past_missing, record.others_seen, record.future_seen)
    assert [text for text in written if text in "✓✗"] == ["✗" if count else "✓" for count in broken]
    received = record.received
    assert f"what the RNN received: {received.shape}" in written
    assert f"its loop runs over axis {received.time_axis}" in written
    [facts] = [text for text in written if text.startswith("strides")]
    assert facts.split("   ") == [
        f"strides {received.strides}",
        f"is_contiguous() {received.contiguous}",
        f"one step in one piece: {received.step_contiguous}",
    ]


def kind_of(record, token):
    """Worked out anew: what the cell of a token must look like."""
    b, t = token
    if record.influence[b][t]:
        return "seen" if b == record.b and t <= record.t else "forbidden"
    return "missing" if b == record.b and t <= record.t else "dark"


@every_layout
@pytest.mark.parametrize(("b", "t"), [(0, 0), (1, 3), (1, 4)])
def test_both_panels_light_every_token_by_its_influence(drawn, layout, b, t):
    record = look(make_read(11), layout, b, t)
    plots.microscope(record)
    left = [*itertools.product(range(2), range(5))]
    right = [token for row in record.received.tokens for token in row]
    cells = [call for call in drawn["_draw_cell"] if len(call) == 3]  # the key's four come without a strength
    assert [kind for _, kind, _ in cells] == [kind_of(record, token) for token in left + right]
    assert [kind for _, kind in [call for call in drawn["_draw_cell"] if len(call) == 2]] == [*dict(drawing.KEY)]
    lights = [(record.influence[b][t], light) for (*_, light), (b, t) in zip(cells, left + right, strict=True)]
    for (influence, light), (other, other_light) in itertools.product(lights, lights):
        assert (influence < other) == (light < other_light)
    framed = drawn["_draw_frame"]
    chosen = [area for (area, *_), token in zip(cells, left + right, strict=True) if token == (b, t)]
    assert len(chosen) == 2
    assert [*map(tuple, framed[:1] + framed[2:])] == [*map(tuple, chosen)]  # the second is the key's


def test_an_output_that_depends_on_nothing_is_drawn_without_light(drawn):
    nothing = torch.zeros(2, 5, 3, requires_grad=True)
    plots.microscope(look(lambda one_hot, layout: 2 * nothing, b=1, t=3))
    kinds = [kind for _, kind, *_ in drawn["_draw_cell"][:10]]
    assert kinds == ["dark"] * 5 + ["missing"] * 4 + ["dark"]


def test_every_kind_of_cell_looks_different_without_its_colour():
    shapes = set()
    for kind, _ in drawing.KEY:
        sketch = Sketch(50, 50)
        drawing._draw_cell(sketch, (10, 10, 20, 20), kind)
        white = sketch.faces[0] == "white"
        shapes.add((white, len(sketch.polygons), tuple(len(polygon.vertices) for polygon in sketch.polygons[1:])))
    assert len(shapes) == 4


@every_layout
def test_the_axes_of_the_layers_input_are_named_as_the_layer_takes_them(drawn, layout):
    plots.microscope(look(make_read(11), layout))
    _, _, across, columns, down, rows = drawn["_draw_axis_names"][1]
    expected = {"transpose": ("batch", 2, "step", 5), "reshape": ("batch", 2, "step", 5)}
    expected |= {"none": ("batch", 5, "step", 2), "batch_first": ("step", 5, "batch", 2)}
    assert (across, len(columns), down, len(rows)) == expected[layout]


def test_numbers_are_white_or_their_own_colour_if_0_and_black_if_1():
    sketch = Sketch(50, 50)
    drawing._draw_numbers(sketch, (0, 0, 40, 10), (0.0, 1.0, 0.5, -1.0), ["white", "red", "red", "red"])
    black, grey = ([1 - strength * (1 - channel / 255) for channel in (34, 34, 34)] for strength in (1, 0.5))
    parts = list(zip(sketch.faces, [polygon.get_extents().x0 for polygon in sketch.polygons], strict=True))[:4]
    assert [(face if isinstance(face, str) else pytest.approx(face), x) for face, x in parts] == [
        ("white", 0), (black, 10), (grey, 20), (black, 30),
    ]  # fmt: skip


@every_layout
def test_memory_is_drawn_in_its_order_with_the_step_that_reads_it(said, drawn, layout):
    record = look(make_read(11), layout, 1, 3)
    plots.microscope(record)
    received = record.received
    groups = [received.memory[first][:2] for first in range(0, 110, 11)]
    tokens = [received.tokens[i][j] for i, j in groups]
    strips = drawn["_draw_numbers"]
    assert [list(values) for _, values, _ in strips[:10]] == [list(v) for row in received.values for v in row]
    assert [given for _, _, given in strips[:10]] == [["white"] * 11] * 10
    colours = [[drawing._sentence_colour(b)] * 11 for b, _ in tokens]
    assert [given for _, _, given in strips[10:]] == colours
    assert [values.index(1) for _, values, _ in strips[10:]] == [1 + 5 * b + t for b, t in tokens]
    steps = [place[received.time_axis] for place in groups]
    names = [(text, weight) for text, _, weight, *_, bottom in said if text.startswith("step ")][-10:]
    step = next(step for step, token in zip(steps, tokens, strict=True) if token == (1, 3))
    assert names == [(f"step {i}", "bold" if i == step else "normal") for i in steps]
    assert [chosen for *_, chosen in drawn["_draw_steps"]] == [step] * 10
    assert f"bars: step {step} reads the chosen letter" in texts(said)


def test_a_bar_stands_below_exactly_the_numbers_of_the_chosen_step():
    for steps in ([0, 0, 1, 1], [1, 0, 1, 0], [None, 1, 1, None], [0, 2, 0, None]):
        sketch = Sketch(50, 100)
        drawing._draw_steps(sketch, steps, (0, 0, 40), 1)
        bars = [polygon.get_extents() for polygon in sketch.polygons]
        covered = [any(bar.x0 < 10 * i + 5 < bar.x1 for bar in bars) for i in range(4)]
        assert covered == [step == 1 for step in steps]


@every_layout
def test_jumps_end_at_the_number_after_one_step_along_their_axis(said, layout):
    received = look(make_read(11), layout, 1, 3).received
    sketch = Sketch(920, 100)
    drawing._draw_jumps(sketch, received, 50, 2, 400)
    heads = [polygon.vertices[0] for polygon in sketch.polygons if len(polygon.vertices) == 4]
    strides = sorted(received.strides[:2])
    assert [(x, y) for x, y in heads] == [(drawing.LEFT + 2 + 2 * stride, 50) for stride in strides]
    step = received.strides[received.time_axis]
    (place,) = {*strides} - {step}
    expected = {f"to the next step: {step} numbers on", f"to the next place of the batch: {place} numbers on"}
    assert set(texts(said)) == expected


def test_jumps_that_leave_the_row_and_axes_of_one_place_are_left_out(said):
    received = look(make_read(11), "transpose").received
    drawing._draw_jumps(Sketch(920, 100), received, 50, 2, 30)
    assert texts(said) == ["to the next step: 11 numbers on"]
    drawing._draw_jumps(Sketch(920, 100), look(make_read(4), B=3, T=1).received, 50, 2, 30)
    assert texts(said)[1:] == ["to the next step: 4 numbers on"]


def test_without_a_layer_the_picture_says_so_and_is_shorter(said):
    without, layer = look(by_hand, b=1, t=3), look(make_read(11), "transpose", 1, 3)
    height = plots.microscope(without).get_size_inches()[1]
    assert "what the layer received: nothing to show" in texts(said)
    assert not [text for text in texts(said) if "memory" in text]
    check_writing(plots.microscope(dataclasses.replace(without, t=3)), said[: len(said) // 2])
    assert height < plots.microscope(layer).get_size_inches()[1]


def test_what_is_too_much_to_draw_is_cut_and_said(said):
    rnn = nn.RNN(11, 4)
    picture = plots.microscope(look(lambda X, layout: rnn(X.repeat(10, 3, 1))[0][:2, :5], b=1, t=3))
    check_writing(picture, said)
    assert "its loop runs over axis 0; drawn: the first 12 × 10" in texts(said)
    assert "drawn: the first 1056 numbers; bars: step 1 reads the chosen letter" in texts(said)


def test_calls_directions_and_letters_that_are_not_there_are_said(said):
    rnn = nn.GRU(11, 4, bidirectional=True)
    plots.microscope(look(lambda X, layout: torch.stack([rnn(x)[0] for x in X]), b=1, t=3))
    wanted = {"what the GRU received: (5, 11), the first of 2 calls", "its loop runs over axis 0, in both directions"}
    assert wanted <= set(texts(said))
    assert "no step of this call reads the chosen letter" in texts(said)


@every_layout
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_arrow_for_each_direction_runs_along_the_time_axis(monkeypatch, layout, bidirectional):
    arrows, received = [], look(make_read(11, bidirectional=bidirectional), layout).received
    monkeypatch.setattr(Sketch, "arrow", lambda sketch, *ends: arrows.append(ends))
    drawing._draw_loops(Sketch(920, 400), received, 600, 300)
    left, top = drawing.RIGHT + 50, drawing.TOP
    across = [(left, 310, 600, 310), (600, 317, left, 317)]
    down = [(610, top, 610, 300), (617, 300, 617, top)]
    assert arrows == (across if layout == "batch_first" else down)[: 1 + bidirectional]


def test_step_0_has_bars_too(said):
    plots.microscope(look(make_read(11), "transpose", 1, 0))
    assert "bars: step 0 reads the chosen letter" in texts(said)


def test_memory_that_the_layer_does_not_read_is_said(said):
    rnn = nn.RNN(11, 4)
    plots.microscope(look(lambda X, layout: X + rnn(READS["every second step"][0](X))[0].sum()))
    steps = [text for text in texts(said) if text in ("step 0", "step 1", "step 2", "unread")]
    assert steps[3:] == ["step 0", "unread", "step 1", "unread", "step 2"] * 2


def test_only_whole_letters_are_named_in_memory(said):
    rnn = nn.RNN(11, 4)
    plots.microscope(look(lambda X, layout: rnn(READS["symbols outside in memory"][0](X))[0].transpose(0, 1)))
    assert [text for text in texts(said) if text == "1,3"] == ["1,3"]  # in the layer's input, and not below
    plots.microscope(look(make_read(11), "transpose"))
    assert [text for text in texts(said) if text == "1,3"] == ["1,3"] * 3


def test_letters_are_one_or_two_characters():
    assert [drawing._letter(token) for token in ("a", " ", "<unk>", "the")] == ["a", "␣", "<…", "t…"]


@pytest.mark.parametrize("read", [make_read(11), by_hand])
def test_pictures_stay_quick_two_artists_and_no_text_to_lay_out(read):
    (axes,) = plots.microscope(look(read, "none")).axes
    assert len(axes.collections) == 2
    assert not axes.texts
    assert not axes.lines
    assert not axes.patches


# --- the lab


class CountingMicroscope(TensorMicroscope):
    draws = 0

    def draw(self):
        self.draws += 1
        return super().draw()


X37, VOCAB37 = batch(3, 7)


@pytest.fixture(scope="module")
def lab():
    return CountingMicroscope(make_read(len(VOCAB37)), X37, VOCAB37)


def settings(lab):
    return lab.way.value, lab.b.value, lab.t.value


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [("way", "layout", ("none", "reshape", "batch_first")), ("b", "b", (0, 1)), ("t", "t", (0, 3, 6))],
)
def test_every_control_changes_record_and_picture_with_one_draw(lab, name, field, values):
    control = getattr(lab, name)
    default = control.value
    for value in values:
        assert value != control.value
        before, draws = (lab.record, lab.picture.value), lab.draws
        control.value = value
        assert getattr(lab.record, field) == value
        assert lab.record == focus(lab.read, X37, VOCAB37, *settings(lab))
        assert (lab.record.influence, lab.record.received) != (before[0].influence, before[0].received)
        assert lab.picture.value != before[1]
        assert lab.picture.value == plots.microscope(lab.record).png()
        assert lab.draws == draws + 1
        control.value = value
        assert lab.draws == draws + 1
    control.value = default


def test_lab_draws_once_at_first_and_keeps_a_static_picture_of_readable_width():
    lab = CountingMicroscope(make_read(len(VOCAB37)), X37, VOCAB37)
    assert lab.draws == 1
    assert settings(lab) == ("transpose", 2, 5)
    bundle = lab._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == lab.picture.value
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.model_id
    assert struct.unpack(">I", lab.picture.value[16:20])[0] <= 920


def test_read_runs_once_for_each_picture():
    ran, read = [], make_read(len(VOCAB37))

    def counting(one_hot, layout):
        ran.append(layout)
        return read(one_hot, layout)

    lab = TensorMicroscope(counting, X37, VOCAB37)
    lab.way.value = "none"
    lab.t.value = 0
    lab.update()
    assert ran == ["transpose", "none", "none", "none"]


def test_controls_offer_every_layout_and_every_output_by_name():
    lab = TensorMicroscope(by_hand, X37, VOCAB37)
    assert sorted(lab.way.options) == sorted(LAYOUTS)
    assert (lab.b.min, lab.b.max, lab.t.min, lab.t.max) == (0, 2, 0, 6)
    assert [control.description for control in lab.controls.values()] == ["layout", "b, sentence", "t, time"]
    assert "Dropdown" not in str(lab)


def test_lab_works_without_a_layer_and_with_one_token():
    lab = TensorMicroscope(by_hand, *batch(1, 1))
    assert lab.record.received is None
    assert settings(lab) == ("transpose", 0, 0)


@pytest.mark.parametrize(("X", "words"), [
    (torch.zeros(9, 5), r"\(9, 5\)"), (torch.zeros(2, 11), r"\(2, 11\)"), (torch.zeros(5), r"\(5,\)"),
    (torch.zeros(0, 5), r"\(0, 5\)"), (torch.zeros(2, 0), r"\(2, 0\)"),
])  # fmt: skip
def test_what_is_too_large_to_read_is_refused(X, words):
    with pytest.raises(ValueError, match=words + r"; the microscope shows .* up to \(8, 10\): take .* X\[:8, :10\]"):
        TensorMicroscope(by_hand, X.long(), VOCAB37)


@pytest.mark.parametrize(("fault", "error", "words"), [
    (lambda outputs: outputs.transpose(0, 1), ValueError, "bring the axes back"),
    (lambda outputs: outputs @ torch.zeros(3, 3), RuntimeError, "shapes cannot be multiplied"),
])  # fmt: skip
def test_an_error_in_the_readers_function_is_shown_and_raised_until_it_is_gone(fault, error, words):
    read = make_read(len(VOCAB37))

    def faulty(one_hot, layout):
        return fault(read(one_hot, layout)) if layout == "none" else read(one_hot, layout)

    lab = TensorMicroscope(faulty, X37, VOCAB37)
    picture = lab.picture.value
    with pytest.raises(error, match=words):
        lab.way.value = "none"
    assert error.__name__ in lab.errors.value
    assert words in lab.errors.value
    assert lab.picture.value == picture
    lab.way.value = "reshape"
    assert lab.errors.value == ""
    assert lab.picture.value != picture
