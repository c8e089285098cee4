"""What several test files share: texts, cells, ways to look at what is drawn, and settings for a busy machine."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from course_utils import corpora, load_data_time_machine

torch.set_num_threads(1)  # small models gain nothing from two threads, which on a busy machine wait for each other
settings.register_profile("course", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")

CELLS = (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)

STORY = corpora.STORY_PATH
_PLACES = (corpora.cache_path(), Path(__file__).parents[2] / "shared" / "data" / "timemachine.txt")
BOOK = next((path for path in _PLACES if corpora._is_book(path)), None)

needs_book = pytest.mark.skipif(BOOK is None, reason="The Time Machine is not on this machine")
TEXTS = [pytest.param(STORY, id="story"), pytest.param(BOOK, id="time_machine", marks=needs_book)]
both_texts = pytest.mark.parametrize("path", TEXTS)


@functools.cache
def story():
    """The story's training tokens, held-out tokens and vocabulary size."""
    train_iter, vocab = load_data_time_machine(32, 35, max_tokens=-1, corpus=STORY)
    return train_iter.corpus, train_iter.held_out, len(vocab)


def spy(monkeypatch, owner, name, what=slice(None)):
    """Return a list that grows by the arguments in this slice whenever the function is called."""
    heard, function = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **named: (heard.append(args[what]), function(*args, **named))[1])
    return heard


def assert_words_fit(picture, texts):
    """No words of a `Sketch`, given in the order of drawing, leave its picture or hide each other."""
    extents = np.array([path.get_extents().extents for path in picture.axes[0].collections[1].get_paths()])
    left, top, right, bottom = extents.T
    width, height = 100 * picture.get_size_inches()
    outside = (left < 2) | (top < 2) | (right > width - 2) | (bottom > height - 2)
    assert [texts[i] for i in np.flatnonzero(outside)] == []
    hidden = (left[:, None] < right) & (left < right[:, None]) & (top[:, None] < bottom) & (top < bottom[:, None])
    assert [(texts[i], texts[j]) for i, j in np.argwhere(hidden) if i < j] == []
