"""What a reader is shown speaks one language: labs, figures, guesses and checks."""

import dataclasses
import re
import subprocess
import sys

import pytest
from matplotlib.text import Text
from test_fonts import few_fonts  # noqa: F401 (a fixture)
from test_labs import PICTURES
from test_solutions import NAMES, solution
from torch import nn

from course_utils import RNNModel, language, load_data_time_machine, plots, set_language, train
from course_utils.experiments.explorer import read as read_runs
from course_utils.plots import fonts
from course_utils.widgets import check
from course_utils.widgets.explorer import RunExplorer
from course_utils.widgets.guess import Guess

ROOT = language.CATALOGUES.parents[1]
CHINESE = re.compile("[\u4e00-\u9fff]")
WORDS = re.compile(r"[a-z]{3,} [a-z]{3,}")  # two words of English
KEPT = re.compile(r"<(style|pre)\b.*?</\1>|<[^>]+>", re.DOTALL)  # a style; what was printed or written by a model; tags


@pytest.fixture(autouse=True)
def chosen(monkeypatch):
    monkeypatch.setattr(language, "_chosen", ["en"])


@pytest.fixture
def chinese(chosen):
    set_language("zh")


@pytest.mark.parametrize(("folder", "words"), [("notebooks", "perplexity"), ("notebooks/zh", "困惑度")])
def test_the_folder_decides_and_a_call_decides_more(folder, words):
    ask = "from course_utils import language, set_language; print(language.say('perplexity'))"
    ask += "; set_language('en'); print(language.say('perplexity'))"
    command = [sys.executable, "-X", "utf8", "-c", ask]
    said = subprocess.run(command, cwd=ROOT / folder, capture_output=True, encoding="utf-8", check=True)
    assert said.stdout.split() == [words, "perplexity"]


def test_a_language_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="name is 'fr'; the course speaks 'en' and 'zh'"):
        set_language("fr")


def test_values_stand_in_the_sentence_as_they_are(chinese):
    assert language.say("Your guess: {answer} {unit}", answer="time", unit="") == "你的猜测：time "
    assert [language.said(value) for value in ("random", "no word of ours", 3)] == ["随机", "no word of ours", 3]
    assert language.say("no translation of {this}", this=3) == "no translation of 3"
    assert language.say("") == ""


def told(widget):
    """All words of a widget and of those in it."""
    yield from (str(getattr(widget, name, None) or "") for name in ("description", "tooltip", "placeholder"))
    yield from (str(label) for label in getattr(widget, "_options_labels", ()))
    if type(widget).__name__ == "HTML":
        yield KEPT.sub(" ", widget.value)
    for child in getattr(widget, "children", ()):
        yield from told(child)


def drawn(picture):
    return [text.get_text() for text in picture.findobj(Text)]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", PICTURES)
def test_a_lab_speaks_chinese(name, chinese, monkeypatch):
    monkeypatch.setattr(fonts, "font_with", lambda sign: "DejaVu Sans")  # whatever fonts there are
    lab = PICTURES[name]()
    words = [*told(lab), *drawn(lab.draw())]
    assert any(map(CHINESE.search, words))
    assert [text for text in words if WORDS.search(text)] == []


@pytest.mark.parametrize("tokens", ["letters", "characters", "words"])
def test_what_loading_and_training_print_is_chinese(tokens, chinese, capsys, tmp_path):
    (tmp_path / "text.txt").write_text("one two three, four; five six seven, 1 2 3 4\n" * 12, encoding="utf-8")
    words = {"corpus": tmp_path / "text.txt", "tokens": tokens}
    train_iter, vocab = load_data_time_machine(2, 5, **words)
    net = RNNModel(nn.RNN(len(vocab), 4), len(vocab))
    train(net, train_iter, vocab, lr=0.1, num_epochs=1, device="cpu", plot=False)
    said = capsys.readouterr().out
    assert ("词元用于训练" in said, "第 1 轮" in said, "比特" in said) == (True, True, tokens == "words")
    assert WORDS.search(said) is None
    assert "tokens/s" not in said


def test_what_a_model_wrote_is_not_translated(chinese):
    runs = read_runs("explore").records[::7]
    lab = RunExplorer([dataclasses.replace(run, sample="time") for run in runs])
    lab.draw()
    assert "time" in lab.sample.value
    assert language.say("time") not in lab.sample.value


def test_a_figure_is_in_english_where_no_font_has_the_signs(chinese, few_fonts):  # noqa: F811
    picture = plots.lines({"training text": [(1, 2.0)], "held-out text": [(1, 3.0)]}, x="epoch", y="perplexity")
    picture.png()  # a missing sign is a warning, and a warning is an error here
    assert {"epoch", "perplexity", "training text"} <= {*drawn(picture)}
    assert not any(map(CHINESE.search, drawn(picture)))


@pytest.mark.skipif(fonts.font_with("困") is None, reason="no font for Chinese is on this machine")
def test_a_figure_is_in_chinese_where_a_font_has_the_signs(chinese):
    picture = plots.lines({"training text": [(1, 2.0)], "held-out text": [(1, 3.0)]}, x="epoch", y="perplexity")
    picture.png()
    assert {"轮", "困惑度", "训练文本"} <= {*drawn(picture)}


def test_a_guess_shows_chinese_and_keeps_its_english_values(chinese):
    guess = Guess("a-key", "Which arm will read unseen text best?", ["no difference"])
    assert any(map(CHINESE.search, told(guess.control)))
    guess.control.value = "no difference"
    assert guess.answer == "no difference"
    assert "没有差别" in guess.status.value


@pytest.mark.parametrize("name", NAMES)
def test_a_check_says_in_chinese_what_is_wrong(name, chinese):
    exercise, _ = solution(name)
    for before, after, sentence in exercise.ERRORS:
        outcome = check.check(check.variant(exercise, before, after))
        assert outcome.sentence == language.say(sentence) != sentence
        assert CHINESE.search(outcome.sentence)
        assert "还不对" in outcome._repr_html_()
