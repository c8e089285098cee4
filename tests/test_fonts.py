"""Signs of any script in figures: a font of the machine that has them, else a placeholder and one sentence."""

import dataclasses
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager

from course_utils import plots
from course_utils.experiments.ribbon import corpus_ribbon
from course_utils.experiments.stepper import Snapshot
from course_utils.plots import fonts
from course_utils.text import seq_data_iter_sequential

OTHER = "Ⓐ"  # in a font that comes with matplotlib, but in none of the two that figures are written with
TEXT = "Für “Zola”,\n東京 \u3000\u200be\u0301\tمرحبا " + OTHER


@pytest.fixture
def few_fonts(monkeypatch):
    """A machine that has matplotlib's own fonts and no others."""
    files = Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")
    own = [font_manager.ttfFontProperty(font_manager.get_font(file)) for file in files]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    fonts.font_with.cache_clear()
    yield
    fonts.font_with.cache_clear()


def words_of(picture):
    return [text.get_text() for text in picture.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_a_font_is_found_for_a_sign_and_used_only_where_it_is_needed(few_fonts):
    assert [fonts.font_with(sign) for sign in ("a", "é", "␣", "東")] == ["DejaVu Sans Mono"] * 3 + [None]
    assert fonts.font_with(OTHER).startswith("STIX")
    assert fonts.families("time", "monospace") == "monospace"
    assert fonts.families("für") == ["DejaVu Sans", "DejaVu Sans Mono"]
    assert fonts.families(f"a{OTHER}", "monospace") == ["DejaVu Sans Mono", "DejaVu Sans", fonts.font_with(OTHER)]


def test_a_font_file_that_is_gone_is_passed_over(few_fonts, monkeypatch):
    gone = dataclasses.replace(font_manager.fontManager.ttflist[0], fname="/nowhere.ttf", name="DejaVu Sans Mono")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist, gone])
    assert fonts.font_with("a") == "DejaVu Sans"


@pytest.mark.parametrize(("token", "shown"), [
    (" ", "␣"), ("\n", "↵"), ("\t", "⇥"), ("\u3000", "␣"), ("\u200b", "□"), ("\x07", "□"), ("東", "□"), ("é", "é"),
    ("<unk>", "?"), ("a b", "a␣b"), ("", ""),
])  # fmt: skip
def test_every_sign_can_be_seen(token, shown, few_fonts):
    assert fonts.visible(token) == shown


def ribbon(tokens):
    return plots.ribbon_picture(corpus_ribbon(seq_data_iter_sequential, len(tokens), 2, 3), tokens)


def stepper(tokens):
    shares = [0.5] * len(tokens)
    read = {"characters": tokens, "num_given": 2, "probabilities": shares, "hiddens": np.zeros((len(tokens), 3))}
    asked = {"connectivity": None, "explained": tokens[0], "position": len(tokens)}
    ahead = {"candidates": tokens, "softmax": shares, "drawn": shares, "choices": 2.0, "period": None}
    return plots.stepper_picture(Snapshot(**read, **asked, **ahead, unit="word"))


PICTURES = {
    "ribbon": ribbon,
    "stepper": stepper,
    "cells": lambda tokens: plots.text_windows([tokens]),
    "lines": lambda tokens: plots.lines({"p": [(token, 1) for token in tokens]}),
    "bars": lambda tokens: plots.bars({token: 1.0 for token in tokens}),
}


@pytest.mark.parametrize("tokens", [list(TEXT), ["time", "<unk>", "für", "東京東京東京", "\n", "I", ",", "x"]])
@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_any_text_is_drawn_without_a_warning_on_any_machine(draw, tokens, few_fonts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(tokens).png()


@pytest.mark.parametrize("name", ["stepper", "cells"])
@pytest.mark.parametrize("text", ["für\n", "東京 f"])
def test_a_sentence_says_what_a_placeholder_is(name, text, few_fonts):
    assert (fonts.SENTENCE in words_of(PICTURES[name](list(text)))) == ("東" in text)


def test_the_ribbon_grows_by_the_sentence(few_fonts):
    assert ribbon(list("東京東京東京東京")).get_figheight() - ribbon(
        list("für\nfür\n")
    ).get_figheight() == pytest.approx(0.18)
