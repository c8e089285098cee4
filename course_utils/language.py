"""The language in which the course speaks to its reader: English, or Chinese, by a catalogue of gettext."""

import functools
import gettext
from pathlib import Path

CATALOGUES = Path(__file__).parent / "data"
LANGUAGES = ("en", "zh")


def set_language(name):
    """Let labs, figures, guesses, checks and printed lines speak this language from now on, "en" or "zh".

    Without a call the folder decides in which the package is loaded: in `notebooks/zh` it is Chinese. Figures are in
    English where no font of the machine has the Chinese signs.

    Raises:
        ValueError: there is no such language here.
    """
    if name not in LANGUAGES:
        raise ValueError(f"name is {name!r}; the course speaks {' and '.join(map(repr, LANGUAGES))}")
    _chosen[:] = [name]


def language():
    """Return "en" or "zh"."""
    return _chosen[0]


_chosen = ["zh" if Path.cwd().name == "zh" else "en"]  # asked once, for asking takes long, and a lab says much


def say(text, context="", /, **values):
    """Return a text in the reader's language, in its braces the values as they are.

    What the catalogue lacks stays English. Where one English word has two meanings, `context` tells them apart, as in
    gettext, such as "button". A value that is a word of the course's own is said by itself; one of the reader's never.
    """
    catalogue = _catalogue(language())
    if text:  # for "" gettext returns the catalogue's head
        text = catalogue.pgettext(context, text) if context else catalogue.gettext(text)
    return text.format(**values) if values else text


def said(value, words=say):
    """Return what a control is set to in the reader's language: a word of the course translated, all else as it is."""
    return words(value) if isinstance(value, str) else value


@functools.cache
def _catalogue(name):
    return gettext.NullTranslations() if name == "en" else gettext.translation("course", CATALOGUES, [name])
