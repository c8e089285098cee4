"""The guess widget: answers are taken, remembered, and never needed."""

import platformdirs
import pytest

from course_utils.widgets.guess import Guess


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    return tmp_path / "rnn-course"


@pytest.mark.parametrize(("options", "answer"), [(["one", "two"], "two"), ((1, 40), 7), ((0.0, 1.0, 0.1), 0.3)])
def test_a_guess_is_taken_and_remembered(options, answer):
    guess = Guess("q", "How many?", options)
    assert guess.answer is None
    assert "No guess" in guess.status.value
    guess.control.value = answer
    assert guess.answer == answer
    assert str(answer) in guess.status.value
    assert Guess("q", "How many?", options).control.value == answer
    assert Guess("other", "How many?", options).answer is None


def test_an_answer_that_no_longer_fits_is_not_chosen():
    Guess("q", "How many?", (1, 40)).control.value = 30
    assert Guess("q", "How many?", (1, 10)).control.value == 1
    assert Guess("q", "How many?", ["a", "b"]).control.value is None


@pytest.mark.parametrize("remembered", ["3.7", "[1]", "true", "NaN", "null", '"one"', "1e999"])
def test_an_answer_of_another_kind_is_not_taken(folder, remembered):
    folder.mkdir()
    (folder / "guesses.json").write_text(f'{{"q": {remembered}}}')
    guess = Guess("q", "How many?", (2, 40))
    assert (guess.answer, guess.control.value) == (None, 2)


@pytest.mark.parametrize("damage", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_counts_as_none(folder, damage):
    folder.mkdir()
    (folder / "guesses.json").write_bytes(damage)
    guess = Guess("q", "How many?", ["one", "two"])
    assert guess.answer is None
    guess.control.value = "one"
    assert Guess("q", "How many?", ["one", "two"]).answer == "one"


def test_an_unwritable_place_is_said(folder):
    folder.write_text("a file where the folder should be")
    guess = Guess("q", "How many?", ["one", "two"])
    guess.control.value = "one"
    assert guess.answer == "one"
    assert "forgotten" in guess.status.value


def test_the_question_stands_beside_the_widget_for_readers_without_a_kernel():
    bundle = Guess("q", "How <many>?", ["one", "two"])._repr_mimebundle_()
    assert "How &lt;many&gt;?" in bundle["text/html"]
    assert "one · two" in bundle["text/html"]
