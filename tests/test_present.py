"""The live deck of `make present`: a notebook as slides in JupyterLab, whose labs still obey their sliders."""

import pytest
from test_browser import (  # noqa: F401  the fixtures are used by their names
    AS_SLIDES,
    CHROMIUM,
    SECONDS,
    at_work,
    browser,
    fingerprint,
    handles,
    home,
    lab_server,
    move_by_keyboard,
    page,
    photograph,
    until_changed,
)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright closes its pipes late
]
SLIDES = 12  # the shortened notebook has fewer


def command(page, name):  # noqa: F811
    """Choose a command in the palette, as a reader does."""
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input:visible").fill(name)
    page.locator(".lm-CommandPalette-item", has_text=name).first.click()


def start_deck(page):  # noqa: F811
    page.locator(".jp-Notebook .jp-Cell").first.click()
    command(page, "Start Deck")
    page.wait_for_selector(".jp-deck-mod-visible", state="attached", timeout=30 * SECONDS)


def go_to(page, lab):  # noqa: F811
    """Go forward, slide by slide, until the lab is on one."""
    for _ in range(SLIDES):
        if lab.evaluate("each => each.closest('.jp-deck-mod-visible') !== null"):
            return
        page.keyboard.press("Space")
        page.wait_for_timeout(0.3 * SECONDS)
    raise AssertionError("no slide shows the lab")


def test_a_lab_follows_its_slider_inside_a_slide(page, lab_server):  # noqa: F811
    with at_work(page, lab_server, f"{AS_SLIDES}.ipynb"):
        lab = page.locator(".course-lab").first
        start_deck(page)
        assert not lab.locator("xpath=ancestor::*[contains(@class, 'jp-deck-mod-visible')]").count(), "not one slide"
        go_to(page, lab)
        before = fingerprint(lab)
        move_by_keyboard(handles(lab).first)
        until_changed(lab, before)
        photograph(page, "present")
