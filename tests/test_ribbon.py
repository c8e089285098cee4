"""The corpus ribbon: the record against brute force, the picture against the record, the lab against both."""

import base64
import itertools
import sys
import threading

import common  # noqa: F401 (one thread)
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from course_utils import plots
from course_utils.experiments import ribbon
from course_utils.experiments.ribbon import NoBatch, corpus_ribbon
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential
from course_utils.widgets.ribbon import CorpusRibbon

drawing = sys.modules["course_utils.plots.ribbon"]  # under its name stands the function
TAUGHT = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}
TEXT = "all day the tide came in and went out again, and nobody on the pier could say where it had been. " * 5
both_ways = pytest.mark.parametrize("cut", TAUGHT.values(), ids=list(TAUGHT))
sizes = {"batch_size": st.integers(1, 5), "num_steps": st.integers(1, 7), "spare": st.integers(0, 90)}


# What a student may write.


def same_labels(corpus, batch_size, num_steps):
    for X, _ in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X, X


def one_wrong_label(corpus, batch_size, num_steps):
    for number, (X, Y) in enumerate(seq_data_iter_sequential(corpus, batch_size, num_steps), start=1):
        Y = Y.clone()
        Y[-1, 0] += number == 2
        yield X, Y


def overlapping(corpus, batch_size, num_steps):
    """Two batches of windows that share all tokens but one; the second row goes on where the first one stopped."""
    starts = torch.arange(batch_size)[:, None] * num_steps
    for offset in (0, 1):
        positions = starts + offset + torch.arange(num_steps)
        yield corpus[positions], corpus[positions + 1]


def half_going_on(corpus, batch_size, num_steps):
    """Sequential, but in every batch after the first one the rows from the second on stand in another order."""
    for number, (X, Y) in enumerate(seq_data_iter_sequential(corpus, batch_size, num_steps)):
        order = [0, *range(batch_size - 1, 0, -1)] if number % 2 else list(range(batch_size))
        yield X[order], Y[order]


def transposed(corpus, batch_size, num_steps):
    for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X.T, Y.T


def last_batch_smaller(corpus, batch_size, num_steps):
    batches = list(seq_data_iter_sequential(corpus, batch_size, num_steps))
    X, Y = batches[-1]
    yield from [*batches[:-1], (X[1:], Y[1:])]


def short_labels(corpus, batch_size, num_steps):
    for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X, Y[:, 1:]


def only_inputs(corpus, batch_size, num_steps):
    for X, _ in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X


def numbers(corpus, batch_size, num_steps):
    yield from (3, 4)


def lists(corpus, batch_size, num_steps):
    for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X.tolist(), Y.tolist()


def floats(corpus, batch_size, num_steps):
    for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X.float(), Y


def beyond(corpus, batch_size, num_steps):
    for X, _ in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X, X + len(corpus)


def before(corpus, batch_size, num_steps):
    for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
        yield X - len(corpus), Y


def endless(corpus, batch_size, num_steps):
    while True:
        yield from seq_data_iter_sequential(corpus, batch_size, num_steps)


def returns_nothing(corpus, batch_size, num_steps):
    list(seq_data_iter_sequential(corpus, batch_size, num_steps))


def yields_nothing(corpus, batch_size, num_steps):
    for _ in range(0):
        yield corpus, corpus


def yields_no_rows(corpus, batch_size, num_steps):
    yield corpus[:0].reshape(0, num_steps), corpus[:0].reshape(0, num_steps)


def picky(corpus, batch_size, num_steps):
    if num_steps == 7:
        raise ArithmeticError("no <7> steps, please")
    return seq_data_iter_sequential(corpus, batch_size, num_steps)


# --- the record


@both_ways
@given(**sizes, seed=st.integers(0, 9), number=st.integers(1, 30))
@settings(max_examples=60)
def test_record_equals_brute_force(cut, batch_size, num_steps, spare, seed, number):
    size = batch_size * num_steps + num_steps + spare
    record = corpus_ribbon(cut, size, batch_size, num_steps, seed, number)
    torch.manual_seed(seed)
    batches = list(cut(torch.arange(size), batch_size, num_steps))
    assert record.num_batches == len(batches)
    assert record.number == min(number, len(batches))
    for number, (X, Y) in enumerate(batches):
        assert torch.equal(torch.tensor(record.inputs[number]), X)
        assert torch.equal(torch.tensor(record.labels[number]), Y)
    for token in range(size):
        places = [(k + 1, int(b)) for k, (X, _) in enumerate(batches) for b in (token == X).nonzero()[:, 0]]
        assert list(record.uses[token]) == places
        labelled = any((token == Y).any() for _, Y in batches)
        assert (token in record.unused) == (not places)
        assert (token in record.unseen) == (not places and not labelled)
    assert record.batch == record.inputs[record.number - 1]
    assert (record.num_tokens, record.batch_size, record.num_steps, record.seed) == (size, batch_size, num_steps, seed)


@both_ways
@given(**sizes, seed=st.integers(0, 9), number=st.integers(1, 30))
@settings(max_examples=60)
def test_taught_functions_keep_their_promises(cut, batch_size, num_steps, spare, seed, number):
    size = batch_size * num_steps + num_steps + spare
    record = corpus_ribbon(cut, size, batch_size, num_steps, seed, number)
    assert max(map(len, record.uses)) == 1
    assert len(record.unused) == size - record.num_batches * batch_size * num_steps
    assert record.repeated == record.wrong_labels == ()
    assert set(record.unseen) <= set(record.unused)
    assert (np.array(record.labels) == np.array(record.inputs) + 1).all()
    kinds = [source.kind for source in record.sources]
    assert len(kinds) == batch_size
    if record.number == 1:
        assert kinds == ["zeros"] * batch_size
    elif cut is seq_data_iter_sequential:
        assert kinds == ["goes on"] * batch_size


@given(seed=st.integers(0, 30), number=st.integers(1, 8))
@settings(max_examples=60)
def test_sources_are_measured_not_assumed(seed, number):
    """Two tokens a window and few windows: in random batches a row now and then goes on by chance."""
    record = corpus_ribbon(seq_data_iter_random, 20, 1, 2, seed, number)
    source, start = record.sources[0], record.batch[0][0]
    if record.number == 1:
        assert source == ribbon.Source("zeros", None)
    else:
        stopped = record.inputs[record.number - 2][0][-1]
        assert source == ribbon.Source("goes on" if start == stopped + 1 else "from elsewhere", stopped)


def test_chance_does_let_a_random_row_go_on():
    kinds = {corpus_ribbon(seq_data_iter_random, 20, 1, 2, seed, 5).sources[0].kind for seed in range(40)}
    assert kinds == {"goes on", "from elsewhere"}


def test_each_row_of_a_batch_has_its_own_source():
    record = corpus_ribbon(half_going_on, 100, 3, 4, seed=0, number=2)
    assert [source.kind for source in record.sources] == ["goes on", "from elsewhere", "from elsewhere"]
    assert [source.position for source in record.sources] == [row[-1] for row in record.inputs[0]]


@both_ways
def test_an_epoch_is_a_seed_and_looking_changes_no_random_number(cut):
    before_looking = torch.get_rng_state()
    first = corpus_ribbon(cut, 200, 3, 7, seed=1)
    assert torch.equal(torch.get_rng_state(), before_looking)
    torch.rand(1)
    assert corpus_ribbon(cut, 200, 3, 7, seed=1) == first
    assert corpus_ribbon(cut, 200, 3, 7, seed=2).inputs != first.inputs


def test_overlaps_are_counted():
    record = corpus_ribbon(overlapping, 100, 2, 5, number=2)
    assert record.repeated == tuple(range(1, 10))
    assert record.uses[0] == ((1, 0),)
    assert record.uses[5] == ((1, 1), (2, 0))


def test_wrong_labels_are_found_where_they_are():
    assert corpus_ribbon(one_wrong_label, 100, 3, 5).wrong_labels == ((2, 2),)
    record = corpus_ribbon(same_labels, 100, 3, 5)
    assert record.wrong_labels == tuple(itertools.product(range(1, record.num_batches + 1), range(3)))
    assert record.unseen == record.unused


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (transposed, r"X of batch 1 of transposed has the shape \(5, 3\); it must be .* \(3, 5\)"),
        (last_batch_smaller, r"X of batch 6 of last_batch_smaller has the shape \(2, 5\)"),
        (short_labels, r"Y of batch 1 of short_labels has the shape \(3, 4\)"),
        (only_inputs, "batch 1 of only_inputs is no pair of tensors; let it yield X, Y"),
        (numbers, "batch 1 of numbers is no pair of tensors"),
        (lists, "batch 1 of lists is no pair of tensors"),
        (floats, "X of batch 1 of floats holds something else than tokens"),
        (beyond, "Y of batch 1 of beyond holds something else than tokens"),
        (before, "X of batch 1 of before holds something else than tokens"),
        (endless, "endless yields more than 100 batches of 100 tokens; let its loop end"),
        (returns_nothing, "returns_nothing returned None; let it yield"),
        (yields_nothing, "yields_nothing yields nothing, though 100 tokens hold a batch of 3 rows and 5 steps"),
        (yields_no_rows, "yields_no_rows yields nothing"),
    ],
)
def test_each_fault_of_a_function_gets_its_sentence(cut, words):
    with pytest.raises(ValueError, match=words) as caught:
        corpus_ribbon(cut, 100, 3, 5)
    assert not isinstance(caught.value, NoBatch)


def test_two_rows_are_not_taken_for_a_pair():
    with pytest.raises(ValueError, match="batch 1 of only_inputs is no pair of tensors"):
        corpus_ribbon(only_inputs, 100, 2, 5)


def test_an_endless_function_is_stopped_after_as_many_batches_as_tokens():
    yielded = []

    def counted(*arguments):
        for pair in endless(*arguments):
            yielded.append(pair)
            yield pair

    with pytest.raises(ValueError, match="let its loop end"):
        corpus_ribbon(counted, 100, 3, 5)
    assert len(yielded) == 101


def test_a_function_without_a_name_can_be_complained_of():
    class Cut:
        def __call__(self, corpus, batch_size, num_steps):
            return None

    with pytest.raises(ValueError, match="the cutting function returned None"):
        corpus_ribbon(Cut(), 100, 3, 5)


@pytest.mark.parametrize(
    ("cut", "smallest", "words"),
    [
        (seq_data_iter_sequential, 4 * 9 + 1, "hold no batch of 4 rows and 9 steps, which takes 37; choose fewer"),
        (seq_data_iter_random, 4 * 9 + 9, "seq_data_iter_random finds no batch of 4 rows and 9 steps in 44 tokens"),
    ],
)
def test_sizes_too_large_for_the_text_are_no_fault_of_the_function(cut, smallest, words):
    assert corpus_ribbon(cut, smallest, 4, 9).num_batches == 1
    with pytest.raises(NoBatch, match=words):
        corpus_ribbon(cut, smallest - 1, 4, 9)
    for size in range(smallest):
        with pytest.raises(NoBatch):
            corpus_ribbon(cut, size, 4, 9)


@pytest.mark.parametrize("name", ["batch_size", "num_steps", "number"])
def test_sizes_below_one_are_named(name):
    asked = {"batch_size": 2, "num_steps": 5, "number": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        corpus_ribbon(seq_data_iter_sequential, 100, **asked)


# --- the picture

ZEROS, UNUSED = "where it stopped in batch {}; start from zeros", "never an input in this epoch"


@pytest.fixture
def said(monkeypatch):
    """(x, y, text, size) of all words on the pictures."""
    texts, words = [], plots.network.Sketch.words

    def listen(sketch, x, y, text, size=9, *args, **style):
        texts.append((x, y, text, size))
        words(sketch, x, y, text, size, *args, **style)

    monkeypatch.setattr(plots.network.Sketch, "words", listen)
    return texts


@pytest.fixture
def boxes(monkeypatch):
    """(x, y, width, height, face) of all boxes on the pictures."""
    drawn, box = [], plots.network.Sketch.box

    def listen(sketch, x, y, width, height, face, *args):
        drawn.append((x, y, width, height, face))
        box(sketch, x, y, width, height, face, *args)

    monkeypatch.setattr(plots.network.Sketch, "box", listen)
    return drawn


@pytest.fixture
def lines(monkeypatch):
    """The points of all lines on the pictures."""
    drawn, line = [], plots.network.Sketch.line

    def listen(sketch, *points, **style):
        drawn.append(points)
        line(sketch, *points, **style)

    monkeypatch.setattr(plots.network.Sketch, "line", listen)
    return drawn


def draw(cut, size, batch_size, num_steps, seed=0, number=1):
    """The record and its picture."""
    record = corpus_ribbon(cut, size, batch_size, num_steps, seed, number)
    return record, plots.ribbon(record, TEXT[:size])


def places(record):
    return drawing._places(drawing._shown_lines(record), 82 + 20 * len(drawing.fault_sentences(record)), 0)[0]


def colour_at(boxes, position, record):
    """What lies on top of the middle of a cell, frames and overlap bars left out."""
    x, y = drawing._spot(places(record), position)
    cells = [b for b in boxes if b[3] == drawing.HIGH and b[0] < x < b[0] + b[2] and b[1] < y + 5 < b[1] + b[3]]
    return tuple(to_rgb(cells[-1][4]))


@both_ways
def test_every_token_has_the_colour_of_its_window_and_unused_ones_none(boxes, cut):
    record, _ = draw(cut, 240, 4, 9, number=3)
    seen = {position: colour_at(boxes, position, record) for position in range(240)}
    assert {position for position in seen if seen[position] == (1, 1, 1)} == set(record.unused)
    windows = sorted(window for batch in record.inputs for window in batch)
    for window, following in itertools.pairwise(windows):
        assert len({seen[position] for position in window}) == 1
        assert seen[window[0]] != seen[following[0]]
    rows = [{seen[batch[row][0]] for batch in record.inputs} for row in range(4)]
    assert all(1 <= len(colours) <= 2 for colours in rows)
    assert len(set.union(*rows)) == sum(map(len, rows))


@both_ways
def test_every_window_has_its_rows_number_above_and_those_of_the_batch_a_frame(said, boxes, cut):
    record, _ = draw(cut, 240, 4, 9, number=3)
    numbers, frames = {}, set()
    for batch, row in itertools.product(record.inputs, range(4)):
        x, y = drawing._spot(places(record), batch[row][0])
        numbers[x, y - 9] = str(row)
        if batch is record.batch:
            frames.add((x - drawing.CELL / 2 - 1, y - 2))
            x, y = drawing._spot(places(record), batch[row][-1])
            frames.add((x + drawing.CELL / 2 - 2, y - 2))
    assert {(x, y): text for x, y, text, _ in said if (x, y) in numbers} == numbers
    assert {(x, y) for x, y, width, height, _ in boxes if (width, height) == (3, drawing.HIGH + 4)} == frames


@pytest.mark.parametrize(
    ("cut", "number", "start", "stop"),
    [
        (seq_data_iter_sequential, 1, "○", None),
        (seq_data_iter_sequential, 6, "▶", "●"),
        (seq_data_iter_random, 3, "✕", "●"),
    ],
)
def test_signs_stand_where_rows_start_and_where_they_stopped(said, cut, number, start, stop):
    record, _ = draw(cut, 240, 4, 9, number=number)

    def below(position):
        x, y = drawing._spot(places(record), position)
        return x, y + drawing.HIGH + 10

    expected = {below(window[0]): start for window in record.batch}
    if stop:
        expected.update({below(source.position): stop for source in record.sources})
    assert {(x, y): text for x, y, text, _ in said if text in "●▶✕○"} == expected


@pytest.mark.parametrize(("cut", "halves"), [(seq_data_iter_sequential, 8), (seq_data_iter_random, 0)])
def test_a_link_joins_start_and_stop_only_where_a_row_goes_on(boxes, cut, halves):
    record, _ = draw(cut, 240, 4, 9, number=3)
    links = [(x, width) for x, _, width, height, _ in boxes if height == 2]
    assert len(links) == halves
    middles = [drawing._spot(places(record), window[0])[0] - drawing.CELL / 2 for window in record.batch]
    ends = sorted(x for x, _ in links) + sorted(x + width for x, width in links)
    assert not halves or {x for x in ends if ends.count(x) == 2} == set(middles)


@both_ways
def test_struck_out_is_what_is_not_even_a_label(lines, cut):
    record, _ = draw(cut, 240, 4, 9)
    struck = {
        position
        for position in range(240)
        for x, y in [drawing._spot(places(record), position)]
        for (left, height), (right, _) in [points for points in lines if len(points) == 2]
        if left < x < right and height == y + drawing.HIGH / 2
    }
    assert struck == set(record.unseen) != set(record.unused)


def test_letters_and_positions_of_the_text(said):
    record, _ = draw(seq_data_iter_random, 100, 2, 9)
    for position, letter in enumerate(TEXT[:100]):
        x, y = drawing._spot(places(record), position)
        assert (x, y + drawing.HIGH / 2, letter.replace(" ", "␣"), 10) in said
    assert {"0", "60"} <= {text for x, _, text, _ in said if x == drawing.LEFT - 8}


@both_ways
def test_table_holds_the_batch_as_the_model_gets_it(said, cut):
    record, _ = draw(cut, 240, 3, 7, number=2)
    [(_, y, _, _)] = [word for word in said if word[2] == "X (3, 7)"]
    for row, (window, source) in enumerate(zip(record.batch, record.sources, strict=True)):
        line = [text for _, height, text, _ in said if height == y + 23 + 24 * row]
        letters = [TEXT[position].replace(" ", "␣") for position in (*window, window[-1] + 1)]
        sign = "●▶ goes on" if cut is seq_data_iter_sequential else "✕ stale"
        assert line == [str(source.position), str(window[0]), sign, f"X[{row}]", *letters]


@pytest.mark.parametrize(
    ("cut", "sizes", "words"),
    [
        (seq_data_iter_sequential, (4, 9, 0, 1), "batch 1 of 6: the first one starts from zeros"),
        (seq_data_iter_sequential, (4, 9, 0, 3), "batch 3 of 6: every row goes on where it stopped in batch 2"),
        (seq_data_iter_random, (4, 9, 0, 3), f"batch 3 of 6: no row goes on {ZEROS.format(2)}"),
        (half_going_on, (3, 9, 0, 2), f"batch 2 of 8: only 1 of 3 rows goes on {ZEROS.format(1)}"),
        (half_going_on, (4, 9, 0, 4), f"batch 4 of 6: only 2 of 4 rows go on {ZEROS.format(3)}"),
        (seq_data_iter_sequential, (4, 9), f"24 of 240 tokens are {UNUSED}, 23 of them not even a label"),
        (seq_data_iter_sequential, (1, 1), f"1 of 240 tokens is {UNUSED}, only a label"),
        (overlapping, (2, 5), "windows overlap (red bars): 9 tokens are an input more than once in this epoch"),
        (overlapping, (1, 2), "windows overlap (red bars): 1 token is an input more than once in this epoch"),
        (one_wrong_label, (3, 5), "labels are not one token after their inputs: batch 2, row 2"),
        (same_labels, (3, 5), "labels are not one token after their inputs: batch 1, row 0, and 44 more windows"),
    ],
)
def test_the_picture_says_what_is_so(said, cut, sizes, words):
    draw(cut, 240, *sizes)
    assert words in [text for _, _, text, _ in said]


def test_nothing_is_said_of_faults_that_are_none(said):
    draw(seq_data_iter_random, 240, 4, 9)
    assert not [text for _, _, text, _ in said if "overlap" in text or "labels are" in text or "≠" in text]


def test_every_token_an_input_is_said_so():
    record = corpus_ribbon(seq_data_iter_sequential, 5, 1, 2)
    changed = type("Changed", (), {"unused": (), "unseen": (), "num_tokens": record.num_tokens})
    assert drawing.unused_sentence(changed) == "each of the 5 tokens is an input in this epoch"


def test_a_wrong_label_and_overlaps_are_marked(said, boxes):
    draw(one_wrong_label, 240, 3, 5, number=2)
    assert [text for _, _, text, _ in said].count("≠") == 1
    record, _ = draw(overlapping, 240, 2, 5, number=2)
    bars = [box for box in boxes if box[4] == plots.VERMILION and box[3] == 3]
    assert sum(width for _, _, width, _, _ in bars) == drawing.CELL * len(record.repeated)


@pytest.mark.parametrize("number", [1, 2])
def test_of_windows_that_overlap_those_of_the_batch_lie_on_top(boxes, number):
    record, _ = draw(overlapping, 100, 1, 5, number=number)
    colours = drawing._colours(record)
    assert colours[1, 0] != colours[2, 0]
    for position in record.batch[0]:
        assert colour_at(boxes, position, record) == tuple(colours[number, 0])


def test_the_last_cut_stands_above_the_batch(lines):
    draw(seq_data_iter_sequential, 480, 2, 10)
    [torn] = [points for points in lines if len(points) > 2]
    [(left, right)] = [points for points in lines if points[0][0] == 14]
    assert left[1] == right[1] > max(y for _, y in torn) + 20


def test_what_is_too_large_is_cut_and_says_so(said):
    draw(seq_data_iter_sequential, 360, 8, 40)
    assert not [text for _, _, text, _ in said if "cut" in text or "…" in text]
    said.clear()
    draw(seq_data_iter_sequential, 481, 9, 41)
    texts = [text for _, _, text, _ in said]
    assert sum(int(text.split()[1]) for text in texts if text.startswith("cut:")) == 3  # of 9 lines
    assert "· · ·  cut: 2 rows not drawn" in texts
    assert texts.count("…") == 7
    assert {"X[0]", "X[4]", "X[7]", "X[8]"} <= set(texts)
    assert not {"X[5]", "X[6]"} & set(texts)


def test_of_a_long_text_the_lines_where_the_batch_begins_are_drawn():
    record, _ = draw(seq_data_iter_sequential, 480, 2, 10, number=20)
    begins = {row[0] // drawing.LETTERS for row in record.batch}
    lines = drawing._shown_lines(record)
    assert max(begins) > drawing.LINES
    assert begins <= set(lines)
    assert len(lines) == drawing.LINES


@pytest.mark.parametrize(
    ("cut", "size", "sizes"),
    [
        (seq_data_iter_sequential, 240, (4, 9, 0, 3)),
        (seq_data_iter_random, 300, (8, 5, 0, 2)),
        (seq_data_iter_random, 240, (8, 1, 0, 3)),
        (seq_data_iter_sequential, 240, (8, 1, 1, 9)),
        (seq_data_iter_random, 240, (1, 1, 0, 7)),
        (seq_data_iter_sequential, 240, (1, 40, 0, 2)),
        (same_labels, 360, (8, 40)),
        (seq_data_iter_random, 480, (9, 41)),
        (seq_data_iter_sequential, 480, (2, 10, 0, 20)),
        (seq_data_iter_sequential, 2, (1, 1)),
    ],
)
def test_words_are_large_enough_stay_inside_and_do_not_overlap(said, cut, size, sizes):
    _, picture = draw(cut, size, *sizes)
    assert min(size for *_, size in said) >= 9
    extents = np.array([path.get_extents().extents for path in picture.axes[0].collections[1].get_paths()])
    width, height = 100 * picture.get_size_inches()
    assert width <= 920
    assert (extents.min(axis=0)[:2] >= 2).all()
    assert extents[:, 2].max() <= width - 2
    assert extents[:, 3].max() <= height - 2
    (left, top, right, bottom), order = extents.T, range(len(extents))
    across = (left[:, None] < right) & (left < right[:, None])
    down = (top[:, None] < bottom) & (top < bottom[:, None])
    assert [(said[i], said[j]) for i, j in np.argwhere(across & down) if i < j in order] == []


@both_ways
def test_pictures_stay_quick_two_artists_and_no_text_to_lay_out(cut):
    (axes,) = draw(cut, 360, 8, 1)[1].axes
    assert len(axes.collections) == 2
    assert not axes.texts
    assert not axes.lines
    assert not axes.patches


def test_words_as_tokens_are_drawn_as_question_marks(said):
    plots.ribbon(corpus_ribbon(seq_data_iter_sequential, 11, 2, 5), ["the", *"sea and me"])
    assert "?" in [text for _, _, text, _ in said]


def test_another_text_is_refused():
    with pytest.raises(ValueError, match="the text has 239 characters; the ribbon is one of 240"):
        plots.ribbon(corpus_ribbon(seq_data_iter_sequential, 240, 4, 9), TEXT[:239])


# --- the lab


class CountingRibbon(CorpusRibbon):
    draws = 0

    def draw(self):
        self.draws += 1
        return super().draw()


@pytest.fixture
def lab():
    lab = CountingRibbon(TAUGHT, TEXT[:240])
    lab.batch.value = 2
    lab.draws = 0
    return lab


def shown(lab):
    """The record that belongs to the controls."""
    sizes = lab.batch_size.value, lab.num_steps.value, lab.seed.value, lab.batch.value
    return corpus_ribbon(lab.cuts[lab.sampling.value], len(lab.characters), *sizes)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sampling", ("random", "sequential")),
        ("batch_size", (1, 8)),
        ("num_steps", (1, 3, 20)),
        ("seed", (1, 7)),
        ("batch", (3, 6)),
    ],
)
def test_every_control_changes_record_and_picture_with_one_draw(lab, name, values):
    for count, value in enumerate(values, start=1):
        record, picture = lab.record, lab.picture.value
        getattr(lab, name).value = value
        assert lab.record == shown(lab) != record
        assert lab.picture.value == plots.ribbon(lab.record, TEXT[:240]).png() != picture
        getattr(lab, name).value = value
        assert lab.draws == count
        assert getattr(lab, name).value == value
        assert lab.batch.max == lab.record.num_batches


def test_batch_slider_ends_at_the_last_batch_and_takes_its_value_along(lab):
    assert (lab.batch.min, lab.batch.max) == (1, 6)
    lab.batch.value = 6
    lab.num_steps.value = 20
    assert (lab.batch.value, lab.batch.max, lab.record.number, lab.draws) == (2, 2, 2, 2)
    lab.num_steps.value = 40
    assert (lab.batch.value, lab.batch.max, lab.record.number, lab.draws) == (1, 1, 1, 3)
    lab.num_steps.value = 9
    assert (lab.batch.value, lab.batch.max, lab.record.number, lab.draws) == (1, 6, 1, 4)
    lab.batch.value = 99
    assert (lab.batch.value, lab.record.number, lab.draws) == (6, 6, 5)


@pytest.mark.parametrize("sampling", TAUGHT)
def test_sizes_without_a_batch_get_one_sentence_and_lose_nothing(lab, sampling):
    lab.sampling.value, lab.batch_size.value = sampling, 8
    kept = lab.record, lab.picture.value, lab.batch.max
    lab.num_steps.value = 40
    for name, value in (("batch_size", 7), ("batch_size", 6), ("seed", 3), ("batch", 1)):
        getattr(lab, name).value = value
        assert f"240 tokens hold no batch of {lab.batch_size.value} rows and 40 steps" in lab.errors.value
        assert "Traceback" not in lab.errors.value
        assert (lab.record, lab.picture.value, lab.batch.max) == kept
    lab.num_steps.value = 9
    assert lab.errors.value == ""
    assert lab.record == shown(lab) != kept[0]


def test_a_function_that_finds_no_batch_in_few_tokens_is_quoted(lab):
    lab.num_steps.value, lab.batch_size.value = 26, 8
    assert lab.record.num_batches == 1
    lab.sampling.value = "random"
    picture = lab.picture.value
    lab.num_steps.value = 27
    assert "seq_data_iter_random finds no batch of 8 rows and 27 steps in 240 tokens" in lab.errors.value
    assert lab.picture.value == picture
    lab.sampling.value = "sequential"
    assert (lab.errors.value, lab.record.num_steps) == ("", 27)


def test_lab_refuses_a_text_that_it_cannot_draw_at_first():
    with pytest.raises(NoBatch, match="30 tokens hold no batch of 4 rows and 9 steps"):
        CorpusRibbon(TAUGHT, TEXT[:30])
    assert CorpusRibbon(TAUGHT, TEXT[:30], batch_size=2, num_steps=5).record.num_batches == 2


def test_the_readers_own_function_is_run_once_for_each_picture():
    calls = []

    def own(corpus, batch_size, num_steps):
        calls.append((len(corpus), batch_size, num_steps))
        return seq_data_iter_sequential(corpus, batch_size, num_steps)

    lab = CorpusRibbon({"own": own}, TEXT[:100])
    lab.num_steps.value = 5
    assert calls == [(100, 4, 9), (100, 4, 5)]


def test_an_error_in_the_readers_function_is_shown_and_raised_until_it_is_gone():
    lab = CorpusRibbon({"picky": picky, "nothing": yields_nothing}, TEXT[:100])
    for name, value, back, error, words in (
        ("num_steps", 7, 9, ArithmeticError, "no &lt;7&gt; steps, please"),
        ("sampling", "nothing", "picky", ValueError, "yields_nothing yields nothing, though"),
    ):
        picture = lab.picture.value
        with pytest.raises(error):
            getattr(lab, name).value = value
        assert "Traceback" in lab.errors.value
        assert words in lab.errors.value
        assert lab.picture.value == picture
        getattr(lab, name).value = back
        assert lab.errors.value == ""
        assert lab.record == shown(lab)


def test_a_function_that_is_broken_from_the_start_is_refused():
    with pytest.raises(ValueError, match="transposed"):
        CorpusRibbon({"mine": transposed}, TEXT[:100])


def test_lab_draws_once_at_first_and_keeps_a_static_picture():
    lab = CountingRibbon(TAUGHT, TEXT[:240])
    assert lab.draws == 1
    assert (lab.record.number, lab.batch.max) == (1, 6)
    bundle = lab._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == lab.picture.value == plots.ribbon(lab.record, TEXT[:240]).png()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_every_control_is_a_described_slider_and_errors_stand_above_the_picture(lab):
    assert all("Slider" in type(control).__name__ and control.description for control in lab.controls.values())
    assert lab.children[-4:-2] == (lab.errors, lab.picture)


def test_a_change_in_another_thread_while_the_batch_slider_is_moved_is_drawn_next(lab):
    """JupyterLab delivers callbacks in a second thread: only the drawing thread's own move draws nothing."""
    lab.batch.value = 6
    arrived, waiting = threading.Event(), []

    class Announced(type(lab)):
        def update(self):
            arrived.set()
            super().update()

    def interfere(change):
        arrived.clear()
        waiting.append(threading.Thread(target=lambda: setattr(lab.seed, "value", 5)))
        waiting[0].start()
        assert arrived.wait(20)

    lab.__class__ = Announced
    lab.batch.observe(interfere, names="max")
    lab.batch_size.value = 8
    waiting[0].join(60)
    assert (lab.record.seed, lab.record.batch_size, lab.batch.value) == (5, 8, 3)
    assert lab.draws == 3
