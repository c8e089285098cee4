"""What several test files share: the texts to compare on, the three cells, and settings that suit a busy machine."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from course_utils import corpora

torch.set_num_threads(1)  # small models gain nothing from two threads, which on a busy machine wait for each other
settings.register_profile("course", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")

CELLS = (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)

STORY = corpora.STORY_PATH
_PLACES = (corpora.cache_path(), Path(__file__).parents[2] / "shared" / "data" / "timemachine.txt")
BOOK = next((path for path in _PLACES if corpora._is_book(path)), None)

needs_book = pytest.mark.skipif(BOOK is None, reason="The Time Machine is not on this machine")
both_texts = pytest.mark.parametrize(
    "path", [pytest.param(STORY, id="story"), pytest.param(BOOK, id="time_machine", marks=needs_book)]
)
