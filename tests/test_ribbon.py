"""The corpus ribbon: the record against brute force, the picture's words against the record, the lab against both."""

import functools
import itertools
import re
import threading

import pytest
import torch
from common import assert_words_fit, spy
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from course_utils import plots
from course_utils.checks import NoBatch
from course_utils.experiments.ribbon import Source, corpus_ribbon
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential
from course_utils.widgets.ribbon import CorpusRibbon

TAUGHT = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}
TEXT = "all day the tide came in and went out again, and nobody on the pier could say where it had been. " * 5
both_ways = pytest.mark.parametrize("cut", TAUGHT.values(), ids=list(TAUGHT))
sizes = {"batch_size": st.integers(1, 5), "num_steps": st.integers(1, 7), "spare": st.integers(0, 90)}


# What a student may write.


def changed(name, change):
    """A cutting function of this name that yields `change(X, Y, len(corpus))` for each sequential batch."""

    def cut(corpus, batch_size, num_steps):
        for X, Y in seq_data_iter_sequential(corpus, batch_size, num_steps):
            yield change(X, Y, len(corpus))

    cut.__name__ = name
    return cut


same_labels = changed("same_labels", lambda X, Y, size: (X, X))
only_inputs = changed("only_inputs", lambda X, Y, size: X)


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


def last_batch_smaller(corpus, batch_size, num_steps):
    *batches, (X, Y) = seq_data_iter_sequential(corpus, batch_size, num_steps)
    yield from [*batches, (X[1:], Y[1:])]


def endless(corpus, batch_size, num_steps):
    while True:
        yield from seq_data_iter_sequential(corpus, batch_size, num_steps)


def yields_no_rows(corpus, batch_size, num_steps):
    yield corpus[:0].reshape(0, num_steps), corpus[:0].reshape(0, num_steps)


def second_batch_empty(corpus, batch_size, num_steps):
    first, *_ = seq_data_iter_sequential(corpus, batch_size, num_steps)
    yield from [first, *yields_no_rows(corpus, batch_size, num_steps)]


# The record


@both_ways
@given(**sizes, seed=st.integers(0, 9), number=st.integers(1, 30))
@settings(max_examples=60)
def test_record_equals_brute_force_and_taught_promises_hold(cut, batch_size, num_steps, spare, seed, number):
    size = batch_size * num_steps + num_steps + spare
    record = corpus_ribbon(cut, size, batch_size, num_steps, seed, number)
    torch.manual_seed(seed)
    batches = list(cut(torch.arange(size), batch_size, num_steps))
    assert record.inputs == [X.tolist() for X, _ in batches]
    assert record.labels == [Y.tolist() for _, Y in batches]
    assert record.number == min(number, len(batches))
    for token in range(size):
        used, labelled = (sum((token == batch[side]).sum().item() for batch in batches) for side in (0, 1))
        assert (token in record.unused, token in record.unseen) == (not used, not used and not labelled)
        assert (token in record.repeated) == (used > 1)
    assert record.batch == record.inputs[record.number - 1]
    assert (record.num_tokens, record.batch_size, record.num_steps) == (size, batch_size, num_steps)
    assert len(record.unused) == size - record.num_batches * batch_size * num_steps
    assert record.repeated == record.wrong_labels == []
    kind = "zeros" if record.number == 1 else "goes on"
    assert cut is seq_data_iter_random or [source.kind for source in record.sources] == [kind] * batch_size


def test_sources_are_measured_not_assumed():
    """Two tokens a window and few windows: in random batches a row now and then goes on by chance."""
    kinds = set()
    for seed in range(40):
        record = corpus_ribbon(seq_data_iter_random, 20, 1, 2, seed, 5)
        stopped, start = record.inputs[record.number - 2][0][-1], record.batch[0][0]
        assert record.sources == [Source("goes on" if start == stopped + 1 else "from elsewhere", stopped)]
        kinds.add(record.sources[0].kind)
    assert kinds == {"goes on", "from elsewhere"}


def test_each_row_of_a_batch_has_its_own_source():
    record = corpus_ribbon(half_going_on, 100, 3, 4, seed=0, number=2)
    assert [source.kind for source in record.sources] == ["goes on", "from elsewhere", "from elsewhere"]
    assert [source.position for source in record.sources] == [row[-1] for row in record.inputs[0]]


def test_overlaps_and_wrong_labels_are_found_where_they_are():
    assert corpus_ribbon(overlapping, 100, 2, 5, number=2).repeated == list(range(1, 10))
    assert corpus_ribbon(one_wrong_label, 100, 3, 5).wrong_labels == [(2, 2)]
    record = corpus_ribbon(same_labels, 100, 3, 5)
    assert record.wrong_labels == [*itertools.product(range(1, record.num_batches + 1), range(3))]
    assert record.unseen == record.unused


@pytest.mark.parametrize(("cut", "words"), [
    (changed("turned", lambda X, Y, size: (X.T, Y.T)), r"X of batch 1 of turned has the shape \(5, 3\)"),
    (last_batch_smaller, r"X of batch 6 of last_batch_smaller has the shape \(2, 5\); it must be .* \(3, 5\)"),
    (changed("short", lambda X, Y, size: (X, Y[:, 1:])), r"Y of batch 1 of short has the shape \(3, 4\)"),
    (only_inputs, "batch 1 of only_inputs is no pair of tensors; let it yield X, Y"),
    (changed("lists", lambda X, Y, size: (X.tolist(), Y)), "batch 1 of lists is no pair of tensors"),
    (changed("floats", lambda X, Y, size: (X.float(), Y)), "X of batch 1 of floats holds something else"),
    (changed("beyond", lambda X, Y, size: (X, X + size)), "Y of batch 1 of beyond holds something else"),
    (changed("below", lambda X, Y, size: (X - size, Y)), "X of batch 1 of below holds something else than tokens"),
    (endless, "endless yields more than 100 batches of 100 tokens; let its loop end"),
    (yields_no_rows, "yields_no_rows yields nothing, though 100 tokens hold a batch of 3 rows and 5 steps"),
    (second_batch_empty, r"X of batch 2 of second_batch_empty has the shape \(0, 5\)"),
    (functools.partial(lambda *sizes: None), "the cutting function returned None; let it yield pairs X, Y"),
])  # fmt: skip
def test_each_fault_of_a_function_gets_its_sentence(cut, words):
    with pytest.raises(ValueError, match=words) as caught:
        corpus_ribbon(cut, 100, 3, 5)
    assert not isinstance(caught.value, NoBatch)
    with pytest.raises(ValueError, match="yields nothing, though 20 tokens hold a batch") as caught:
        corpus_ribbon(yields_no_rows, (3 + 1) * 5, 3, 5)  # room for any offset
    assert not isinstance(caught.value, NoBatch)
    with pytest.raises(ValueError, match="batch 1 of only_inputs is no pair of tensors"):
        corpus_ribbon(only_inputs, 100, 2, 5)  # two rows are not taken for a pair


@pytest.mark.parametrize(("cut", "smallest", "words"), [
    (seq_data_iter_sequential, 4 * 9 + 1, "has 36 tokens.* with any sampling need 37; use more"),
    (seq_data_iter_random, 4 * 9 + 9, "has 44 tokens.* need 45; use more text"),
    (seq_data_iter_random.__wrapped__, 4 * 9 + 9, "has 44 tokens.* need 45; use more text"),
])  # fmt: skip
def test_sizes_too_large_for_the_text_are_no_fault_of_the_function(cut, smallest, words):
    assert corpus_ribbon(cut, smallest, 4, 9).num_batches == 1
    with pytest.raises(NoBatch, match=words):
        corpus_ribbon(cut, smallest - 1, 4, 9)
    for size in range(smallest):
        with pytest.raises(NoBatch):
            corpus_ribbon(cut, size, 4, 9)


# The picture


@pytest.fixture
def said(monkeypatch):
    """All words on the pictures, with their places: (x, y, text)."""
    return spy(monkeypatch, plots.network.Sketch, "words", slice(1, 4))


def draw(cut, size, *sizes):
    """The record and its picture."""
    record = corpus_ribbon(cut, size, *sizes)
    return record, plots.ribbon_picture(record, TEXT[:size])


GOING, UNUSED = "rows go on where they stopped in batch", "never an input in this epoch"


@pytest.mark.parametrize(("cut", "sizes", "words"), [
    (seq_data_iter_sequential, (4, 9, 0, 1), "batch 1 of 6: the first one starts from zeros"),
    (seq_data_iter_sequential, (4, 9, 0, 3), f"batch 3 of 6: 4 of 4 {GOING} 2"),
    (seq_data_iter_random, (4, 9, 0, 3), f"batch 3 of 6: 0 of 4 {GOING} 2; start from zeros"),
    (half_going_on, (4, 9, 0, 4), f"batch 4 of 6: 2 of 4 {GOING} 3; start from zeros"),
    (seq_data_iter_sequential, (4, 9), f"{UNUSED}: 24 of 240 tokens; not even a label: 23"),
    (seq_data_iter_sequential, (1, 1), f"{UNUSED}: 1 of 240 tokens; not even a label: 0"),
    (overlapping, (2, 5), "windows overlap (orange-red bars): tokens read more than once: 9"),
    (one_wrong_label, (3, 5), "labels are not one token after their inputs: batch 2, row 2; such windows: 1"),
    (same_labels, (3, 5), "labels are not one token after their inputs: batch 1, row 0; such windows: 45"),
    (seq_data_iter_sequential, (9, 20), "too large for one picture, which shows 8 of 9 rows"),
    (seq_data_iter_sequential, (1, 41), "too large for one picture, which shows 40 of 41 steps"),
])  # fmt: skip
def test_the_picture_says_what_is_so(said, cut, sizes, words):
    draw(cut, 240, *sizes)
    assert words in [text for *_, text in said]


def test_of_a_long_text_the_lines_where_the_batch_begins_are_drawn(said):
    record, _ = draw(seq_data_iter_sequential, 480, 2, 10, 0, 20)
    texts = [text for *_, text in said]
    assert "too large for one picture, which shows 6 of 8 lines of 60 letters" in texts
    assert {str(60 * (row[0] // 60)) for row in record.batch} <= set(texts)


def test_nothing_is_said_of_faults_that_are_none(said):
    draw(seq_data_iter_random, 240, 4, 9)
    assert not re.search("overlap|labels are|≠|large", "\n".join(text for *_, text in said))


@both_ways
def test_table_and_signs_are_those_of_the_record(said, cut):
    record, _ = draw(cut, 240, 3, 7, 0, 2)
    [top] = [y for _, y, text in said if text == "X (3, 7)"]
    sign = "●▶ goes on" if cut is seq_data_iter_sequential else "✕ stale"
    for row, (window, source) in enumerate(zip(record.batch, record.sources, strict=True)):
        line = [text for _, y, text in said if y == top + 23 + 24 * row]
        letters = [TEXT[position].replace(" ", "␣") for position in (*window, window[-1] + 1)]
        assert line == [str(source.position), str(window[0]), sign, f"X[{row}]", *letters]
    assert [text for *_, text in said if text in "●▶✕○"].count(sign[:2].strip()[-1]) == 3


@both_ways
def test_every_token_has_the_colour_of_its_window_and_unused_ones_none(cut, monkeypatch):
    cells = spy(monkeypatch, plots.network.Sketch, "box", slice(1, 6))
    record, _ = draw(cut, 240, 4, 9, 0, 3)
    colours = [to_rgb(face) for _, _, width, height, face in cells if (width, height) == (14, 20)][:240]
    assert [place for place, colour in enumerate(colours) if colour == (1, 1, 1)] == record.unused
    windows = sorted(window for batch in record.inputs for window in batch)
    for window, following in itertools.pairwise(windows):
        assert len({colours[position] for position in window}) == 1
        assert colours[window[0]] != colours[following[0]]


@pytest.mark.parametrize(("cut", "size", "sizes"), [
    (seq_data_iter_sequential, 240, (4, 9, 0, 3)), (seq_data_iter_random, 300, (8, 5, 0, 2)),
    (seq_data_iter_random, 240, (8, 1, 0, 3)), (seq_data_iter_random, 240, (1, 1, 0, 7)),
    (seq_data_iter_sequential, 240, (1, 40, 0, 2)), (same_labels, 360, (8, 40)), (seq_data_iter_random, 480, (9, 41)),
    (seq_data_iter_sequential, 480, (2, 10, 0, 20)), (seq_data_iter_sequential, 2, (1, 1)),
])  # fmt: skip
def test_words_stay_inside_and_do_not_overlap(said, cut, size, sizes):
    _, picture = draw(cut, size, *sizes)
    assert_words_fit(picture, said)


def test_of_a_word_the_beginning_is_drawn_and_another_text_is_refused(said):
    record = corpus_ribbon(seq_data_iter_sequential, 11, 2, 5)
    plots.ribbon_picture(record, ["then", *"sea and me"])
    assert "th…" in [text for *_, text in said]
    plots.ribbon_picture(record, ["♈♉", "♊", "♋abc", *"sea and "])  # each as wide as two letters, as Chinese is
    assert {"♈…", "♊", "♋…"} <= {text for *_, text in said}
    with pytest.raises(ValueError, match="the text has 12 characters; the ribbon is one of 11"):
        plots.ribbon_picture(record, TEXT[:12])


# The lab


@pytest.fixture
def lab(monkeypatch):
    """A lab whose list `drawn` grows with every picture."""
    lab = CorpusRibbon(TAUGHT, TEXT[:240])
    lab.batch.value = 2
    lab.drawn = spy(monkeypatch, lab, "draw")
    return lab


def shown(lab):
    """The record that belongs to the controls."""
    sizes = lab.batch_size.value, lab.num_steps.value, lab.seed.value, lab.batch.value
    return corpus_ribbon(TAUGHT[lab.sampling.value], len(lab.characters), *sizes)


def test_batch_slider_ends_at_the_last_batch_and_takes_its_value_along(lab):
    assert (lab.batch.min, lab.batch.max) == (1, 6)
    lab.batch.value = 6
    for draws, (num_steps, batch, last) in enumerate([(20, 2, 2), (40, 1, 1), (9, 1, 6)], start=2):
        lab.num_steps.value = num_steps
        assert (lab.batch.value, lab.batch.max, lab.record.number, len(lab.drawn)) == (batch, last, batch, draws)


@pytest.mark.parametrize("sampling", TAUGHT)
def test_sizes_without_a_batch_get_one_sentence_and_lose_nothing(lab, sampling):
    lab.sampling.value, lab.batch_size.value = sampling, 8
    kept = lab.record, lab.picture.value, lab.batch.max
    lab.num_steps.value = 40
    for name, value in (("batch_size", 7), ("seed", 3), ("batch", 1)):
        getattr(lab, name).value = value
        assert f"240 tokens, but batch_size={lab.batch_size.value} and num_steps=40 with any" in lab.errors.value
        assert "Traceback" not in lab.errors.value
        assert (lab.record, lab.picture.value, lab.batch.max) == kept
    lab.num_steps.value = 9
    assert lab.errors.value == ""
    assert lab.record == shown(lab) != kept[0]


def test_lab_refuses_a_text_that_it_cannot_draw_at_first():
    with pytest.raises(NoBatch, match="30 tokens, but batch_size=4 and num_steps=9 with any sampling need 37"):
        CorpusRibbon(TAUGHT, TEXT[:30])


def test_a_change_in_another_thread_while_the_batch_slider_is_moved_is_drawn_next(lab, monkeypatch):
    """JupyterLab delivers callbacks in a second thread: only the drawing thread's own move draws nothing."""
    lab.batch.value = 6
    arrived, waiting, update = threading.Event(), [], lab.update
    monkeypatch.setattr(lab, "update", lambda: arrived.set() or update(), raising=False)

    def interfere(change):
        arrived.clear()
        waiting.append(threading.Thread(target=lambda: setattr(lab.seed, "value", 5)))
        waiting[0].start()
        assert arrived.wait(20)

    lab.batch.observe(interfere, names="max")
    lab.batch_size.value = 8
    waiting[0].join(60)
    assert (lab.record, lab.batch.value) == (shown(lab), 3)
    assert len(lab.drawn) == 3
