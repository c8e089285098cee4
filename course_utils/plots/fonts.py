"""Fonts for any script: matplotlib's own has the European ones, for others the machine's fonts are looked through."""

import contextlib
import functools
import logging

import matplotlib
from matplotlib import font_manager

from course_utils.language import language, say

UNKNOWN, PLACEHOLDER = "<unk>", "□"
SENTENCE = f"{PLACEHOLDER}: a sign that no font here has; Noto Sans CJK would have most"
OWN = {"monospace": "DejaVu Sans Mono", "sans": "DejaVu Sans"}
# Some fonts for Chinese exist in one weight that is not called normal, which matplotlib would say for each text anew
logging.getLogger(font_manager.__name__).addFilter(lambda record: "Failed to find font weight" not in record.msg)
_USEFUL = list(OWN.values())  # fonts that were of use come first: on some machines there are hundreds


@functools.cache
def font_with(sign):
    """Return the name of a font that has a sign, matplotlib's own first, or None if no font of this machine has it."""
    files = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}  # one for all weights of a font
    for name in [name for name in _USEFUL if name in files] + sorted(files.keys() - _USEFUL):
        if not name.startswith("Last Resort") and "Emoji" not in name:  # boxes; and pictures, not outlines
            with contextlib.suppress(OSError, RuntimeError):  # a font that was removed, or is damaged
                if font_manager.get_font(files[name]).get_char_index(ord(sign)):
                    _USEFUL.extend({name} - set(_USEFUL))
                    return name
    return None


def families(text, family="sans"):
    """Return the fonts to draw a text with: `family`, and what else its signs need."""
    if text.isascii():
        return family
    others = {font_with(sign) for sign in text} - {None, *OWN.values()}
    return list(dict.fromkeys([OWN[family], *OWN.values(), *sorted(others)]))


def drawable(text):
    """Return a text with placeholders for the signs that no font has."""
    return "".join(sign if sign == "\n" or font_with(sign) else PLACEHOLDER for sign in text)


def caption(text, **values):
    """Return what `say` does, in a figure; in English where no font of this machine can draw it."""
    translated = say(text, **values)
    if language() == "en" or all(sign == "\n" or font_with(sign) for sign in translated):
        return translated
    return text.format(**values) if values else text


def use_fonts():
    """Let whatever names no font be drawn in the reader's language."""
    if language() != "en":
        matplotlib.rcParams["font.family"] = families(caption("perplexity"))


def visible(text):
    """Return a token, drawable, whose spaces and line ends can be seen; a question mark for an unknown one."""
    if text == UNKNOWN:
        return "?"
    shown = {" ": "␣", "\n": "↵", "\t": "⇥"}
    signs = (shown.get(sign, "␣" if sign.isspace() else sign if sign.isprintable() else PLACEHOLDER) for sign in text)
    return drawable("".join(signs))
