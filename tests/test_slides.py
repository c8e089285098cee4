"""The decks: each cell is on a slide, each slide shows all it has, and nothing is asked of a network."""

import shutil

import make_slides
import nbformat
import pytest
from test_browser import browser, page, pytestmark  # noqa: F401 (fixtures and marks)

PATHS = make_slides.stored()
SIZES = ((1280, 720), (1920, 1080))
HIDDEN = """() => {
  const box = document.querySelector('section.present .fit'), seen = box.getBoundingClientRect()
  const out = each => {
    const place = each.getBoundingClientRect()
    const across = place.right > innerWidth + 1 || place.left < 0
    return place.width && (across || place.bottom > innerHeight + 1 || place.top < 0)
  }
  const found = [...box.querySelectorAll('*')].filter(each => each.checkVisibility() && out(each))
  const scale = box.style.transform ? Number(box.style.transform.slice(6, -1)) : 1
  const words = [...(scale < 0.7 ? [`shrunk to ${scale}`] : []), ...(seen.height ? [] : ['empty'])]
  return [...found.map(each => each.tagName), ...words]
}"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine to bring reveal.js")
    folder = tmp_path_factory.mktemp("slides")
    make_slides.main(["--folder", str(folder)])
    return folder


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_cell_before_the_exercises_is_on_one_slide(path):
    notebook = nbformat.read(path, as_version=4)
    cells = make_slides.chosen(notebook)
    grouped = make_slides.slides(cells)
    assert [cell for group in grouped for cell in group] == cells
    assert all(make_slides.height(group[0]) <= 2 * make_slides.FULL for group in grouped)
    asked = [cell for cell in cells if cell.cell_type == "code" and "Guess(" in cell.source]
    assert sum(make_slides.notes(group).count("Ask aloud") for group in grouped) >= len(asked)


def test_every_slide_fits_and_loads_nothing(decks, page):  # noqa: F811 (the fixture refuses other hosts)
    for name in (PATHS[0].stem, f"zh/{PATHS[4].stem}"):
        file = decks / f"{name}.html"
        assert file.stat().st_size < 3e6
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.goto(file.as_uri())
            page.wait_for_function("Reveal.isReady()")
            for number in range(page.evaluate("Reveal.getTotalSlides()")):
                page.evaluate(f"Reveal.slide({number})")
                assert page.evaluate(HIDDEN) == [], f"{name}, slide {number + 1}, {width} × {height}"


def test_what_is_to_be_predicted_waits_for_a_key():
    question, code = nbformat.v4.new_markdown_cell("**Predict.** How many?"), nbformat.v4.new_code_cell("print(1)")
    code.outputs = [nbformat.v4.new_output("stream", text="1")]
    assert "fragment" in make_slides.cell_html(code, question)
    assert "fragment" not in make_slides.cell_html(code, nbformat.v4.new_markdown_cell("So it is."))


def test_without_npm_one_sentence_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(make_slides.platformdirs, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(make_slides.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"npm is needed once.*install Node.js"):
        make_slides.library()
