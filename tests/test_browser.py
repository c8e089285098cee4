"""Every lab in a real browser: its notebook run in JupyterLab, the lab moved by keyboard and by mouse.

A copy of the notebooks is served from an empty home. Requests to any other host are refused and turn the test red. A
screenshot of each notebook and lab is left in the folder artifacts, for people to look at.
"""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbval_guard import student_environment
from playwright.sync_api import Error, TimeoutError, expect, sync_playwright

PROJECT = Path(__file__).parents[1]
ARTIFACTS = PROJECT / "artifacts"
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false"}',  # no question about news
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # every cell is in the page, also out of sight
}
PLACES = {
    "JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython", "XDG_DATA_HOME": "data",
}  # fmt: skip
# Of each notebook but 00, what its labs need: nbval runs all of its cells. 05 has no lab
SHORT = {
    "01_hidden_state_shapes": "6ecba5ce 73a3385c 5e6ba722 4859c311",
    "02_transpose_question": "cell-01 cell-03 cell-06 cell-08 cell-10 cell-15 cell-20 cell-41 cell-46 scope-01 cell-47 "
    "cell-50 scope-03 scope-05",
    "03_rnn_model": "cell-01 cell-11 cell-53 cell-55",
    "04_training": "train-01 train-05 train-10 train-15 train-r01 train-r03 train-28 train-34 train-38 train-42 "
    "train-43 train-s01 train-s03 train-45 train-46 train-83 train-85 train-87 train-88 train-91",
    "06_prediction": "prediction-01 prediction-08b prediction-09 prediction-14 prediction-20 prediction-21 "
    "prediction-68 prediction-70 prediction-72",
    "07_long_sequences": "long-01 long-56 long-57 long-59",
    "08_explore": "explore-11 explore-13 explore-15 explore-17",
}
AS_A_PAGE = "01_hidden_state_shapes"  # Voila shows this one, in Chinese, its lab and all
IN_CHINESE = "07_long_sequences"  # JupyterLab shows this one in Chinese
AS_SLIDES = "03_rnn_model"  # tests/test_present.py shows this one
IN_LAB = [NOTEBOOKS[0], *(path for path in NOTEBOOKS if path.stem in SHORT.keys() - {AS_A_PAGE, AS_SLIDES})]
IN_LAB = [PROJECT / "notebooks" / "zh" / path.name if path.stem == IN_CHINESE else path for path in IN_LAB]
WINDOW = {"width": 1280, "height": 900}
SECONDS = 1_000  # playwright counts in milliseconds
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each => each.textContent)"
RED = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'  # errors, and what is written to stderr
HANGS = 240 * SECONDS  # a notebook that takes longer hangs, also on a busy machine

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright closes its pipes late
]


# The server and the browser


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a copy of the notebooks, and with all that Jupyter would keep in a reader's home."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(PROJECT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name, ids in SHORT.items():
        for place in (folder / "notebooks", folder / "notebooks" / "zh"):
            keep_cells(place / f"{name}.ipynb", ids.split())
    for name, text in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def keep_cells(path, ids):
    """Shorten a notebook to the cells with these ids."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id in ids]
    assert len(notebook.cells) == len(ids)
    nbformat.write(notebook, path)


@contextlib.contextmanager
def served(command, home):
    """Start a server on a free port; its address, as soon as it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = student_environment() | {name: str(home / folder) for name, folder in PLACES.items()}
    environment["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, "-m", *command, "--no-browser", f"--port={port}"]
    with open(home / "server.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: listening(port, process), "no server", seconds=120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def listening(port, process):
    assert process.poll() is None, "the server has stopped"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True


def wait_for(condition, words, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, words
        time.sleep(0.05)


@pytest.fixture(scope="module")
def lab_server(home):
    command = ["jupyterlab", "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={home}"]
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with served([*command, *as_root], home) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, request):
    """A page of a small laptop's size; whatever it wants from another host is refused and complained about."""
    options = getattr(request, "param", {})  # JavaScript or not, and what may be asked for
    tolerated, wanted = options.get("tolerated", ()), []

    def refuse(route):
        wanted.append(route.request.url)
        route.abort()

    context = browser.new_context(viewport=WINDOW, java_script_enabled=options.get("javascript", True))
    context.route(re.compile(r"^(?!http://127\.0\.0\.1[:/]|file:|data:|blob:)"), refuse)
    yield context.new_page()
    context.close()
    assert [address for address in wanted if not address.startswith(tolerated)] == [], "the page asked another host"


# What a reader does


def open_notebook(page, address, name, place):
    """Open a notebook and wait for its kernel; a start that hangs is tried again."""
    for attempt in range(3):
        try:
            page.goto(f"{address}/{place}/notebooks/{name}?reset")  # without the pages that were open before
            page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60 * SECONDS)
        except Error:
            if attempt == 2:
                raise
        else:
            return


def choose_from_menu(page, menu, command):
    page.locator(".lm-MenuBar-item", has_text=menu).first.click()
    page.locator(f'.lm-Menu-item[data-command="{command}"]').click()


@contextlib.contextmanager
def at_work(page, address, name, promised=(), place="lab/tree"):
    """A notebook that was run from the top; afterwards its kernel ends, so that no two compute at the same time."""
    open_notebook(page, address, name, place)
    run_all(page, promised)
    assert [error.split(":")[0] for error in errors(page)] == list(promised)
    yield page.locator(".course-lab:visible")
    for session in page.request.get(f"{address}/api/sessions").json():
        page.request.delete(f"{address}/api/sessions/{session['id']}")


def run_all(page, promised):
    """Clear all outputs, run all cells, wait until each one has a number or an error came that nobody promised."""
    choose_from_menu(page, "Edit", "editmenu:clear-all")
    page.wait_for_function(f"{PROMPTS}.every(prompt => !/[0-9]/.test(prompt))", timeout=60 * SECONDS)
    for _ in range(3):  # a click that comes too early is lost
        choose_from_menu(page, "Run", "runmenu:run-all")
        try:
            page.wait_for_function(f"{PROMPTS}.some(prompt => /[*0-9]/.test(prompt))", timeout=10 * SECONDS)
            break
        except TimeoutError:
            continue
    done = f"{PROMPTS}.every(prompt => /[0-9]/.test(prompt))"
    stopped = f"document.querySelectorAll('{RED}').length > {len(promised)}"
    page.wait_for_function(f"{done} || {stopped}", timeout=HANGS)


def errors(page):
    """The last line of each red output of the page: the name of an error and its sentence."""
    return [text.strip().splitlines()[-1] for text in page.locator(RED).all_inner_texts()]


def promised_errors(path):
    cells = nbformat.read(path, as_version=4).cells
    return [output.ename for cell in cells if "raises-exception" in cell.metadata.get("tags", [])
            for output in cell.outputs if output.output_type == "error"]  # fmt: skip


def fingerprint(lab):
    """A hash of the lab's picture as the page shows it."""
    read = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
    data = lab.locator("img").first.evaluate(read, timeout=10 * SECONDS)
    return hashlib.sha256(bytes(data)).hexdigest()


def until_changed(lab, before):
    """Wait until the lab shows another picture than `before`; return its fingerprint."""
    wait_for(lambda: fingerprint(lab) != before, "the picture did not follow")
    return fingerprint(lab)


def handles(lab):
    return lab.locator(".noUi-target:not([disabled]):visible .noUi-handle")


def readout(handle):
    return handle.locator("xpath=ancestor::*[contains(@class, 'widget-slider')]//*[contains(@class, 'widget-readout')]")


ARROWS = "ArrowRight", "ArrowLeft"
PAGES = "PageUp", "PageDown"  # Notebook 7 keeps the arrow keys to itself: jupyter/notebook issue 7716


def move_by_keyboard(handle, keys=ARROWS):
    """Focus a slider and press the first key, or the second one where it stands at its upper end."""
    before = readout(handle).inner_text()
    at_its_end = float(handle.get_attribute("aria-valuenow")) == float(handle.get_attribute("aria-valuemax"))
    handle.press(keys[at_its_end])
    expect(readout(handle), "the slider does not follow the keyboard").not_to_have_text(before)


def move_by_mouse(handle):
    """Drag a slider to the other half of its length."""
    track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]").bounding_box()
    knob = handle.bounding_box()
    middle = track["x"] + track["width"] / 2
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    mouse = handle.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(track["x"] + track["width"] * (0.9 if x < middle else 0.1), y, steps=5)
    mouse.up()


def drive(lab, keys=ARROWS):
    """Move a lab as a reader would; the picture follows, every slider obeys the keyboard, nothing turns red."""
    shown = fingerprint(lab)
    move_by_keyboard(handles(lab).first, keys)
    shown = until_changed(lab, shown)
    move_by_mouse(handles(lab).first)
    until_changed(lab, shown)
    for number in range(1, handles(lab).count()):
        move_by_keyboard(handles(lab).nth(number), keys)
    for name in ("step", "run 20", "reset"):
        if button(lab, name).count():
            button(lab, name).click()
    if button(lab, "Train this live").count():
        shown = fingerprint(lab)
        button(lab, "Train this live").click()
        until_changed(lab, shown)
        button(lab, "Stop").click()
        expect(button(lab, "Train this live"), "the live run goes on").to_be_visible(timeout=60 * SECONDS)
    expect(lab).not_to_contain_text("Traceback")


def cut_labels(lab):
    """The labels of controls that do not fit into their place."""
    cut = "labels => labels.filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"
    return lab.locator(".widget-label:visible").evaluate_all(cut)


def drive_training(lab):
    """Start, move sliders, pause, resume, stop, each by the mouse or the keyboard."""
    page, status = lab.page, lab.locator("b").first
    for number in range(handles(lab).count()):
        move_by_keyboard(handles(lab).nth(number))
    handles(lab).last.press("End")  # as many epochs as there can be
    shown = fingerprint(lab)
    button(lab, "Start").click()
    for _ in range(2):
        shown = until_changed(lab, shown)
    for move in (move_by_keyboard, move_by_mouse):
        move(handles(lab).first)
        expect(lab).to_contain_text(re.compile(r"At the next Start: num_steps \d+ → \d+"), timeout=30 * SECONDS)
    button(lab, "Pause").click()
    expect(status).to_contain_text("paused", timeout=30 * SECONDS)
    page.wait_for_timeout(1 * SECONDS)  # the epoch under way ends
    held = fingerprint(lab)
    page.wait_for_timeout(1 * SECONDS)
    assert fingerprint(lab) == held, "the picture went on although the run is paused"
    button(lab, "Resume").click()
    until_changed(lab, held)
    button(lab, "Stop").click()
    expect(status).to_contain_text("stopped", timeout=30 * SECONDS)
    expect(button(lab, "Start")).to_be_enabled()
    expect(lab).not_to_contain_text("Traceback")


def button(lab, name):
    return lab.get_by_role("button", name=name, exact=True)


def photograph(place, name, page=None):
    """Keep a screenshot; a lab may be higher than the window of its page."""
    ARTIFACTS.mkdir(exist_ok=True)
    page and page.set_viewport_size({**WINDOW, "height": 1400})
    place.screenshot(path=ARTIFACTS / f"{name}.png")
    page and page.set_viewport_size(WINDOW)


# The tests


@pytest.mark.parametrize("path", IN_LAB, ids=lambda path: path.stem)
def test_a_notebook_and_its_labs_in_jupyterlab(page, lab_server, home, path):
    name = path.relative_to(PROJECT / "notebooks")
    with at_work(page, lab_server, name, promised_errors(home / "notebooks" / name)) as labs:
        if path.stem == IN_CHINESE:
            expect(labs.first).to_contain_text("隐藏单元")
        for number in range(labs.count()):
            lab = labs.nth(number)
            lab.scroll_into_view_if_needed()
            assert cut_labels(lab) == []
            (drive_training if button(lab, "Start").count() else drive)(lab)
            photograph(lab, f"{path.stem}-lab-{number + 1}", page)
        photograph(page, path.stem)


def write_notebook(home, name, *sources):
    slide = {"slideshow": {"slide_type": "slide"}}  # each cell is one
    cells = [nbformat.v4.new_code_cell(source, metadata=slide) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # without it Lab asks for one
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), home / "notebooks" / name)


TRAINING = """from course_utils.widgets.training_lab import TrainingLab
lab = TrainingLab(corpus="story")
lab.num_hiddens.value, lab.num_epochs.value = 64, 500
lab"""


def test_a_training_outlives_the_page_and_can_be_stopped_after_coming_back(page, lab_server, home):
    write_notebook(home, "reload.ipynb", TRAINING, "lab.update()\nlab")
    with at_work(page, lab_server, "reload.ipynb") as labs:
        shown = fingerprint(labs.last)
        button(labs.last, "Start").click()
        shown = until_changed(labs.last, shown)
        page.reload()
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator", timeout=60 * SECONDS)
        page.locator(".jp-CodeCell").last.click()
        choose_from_menu(page, "Run", "runmenu:run")  # the one cell that draws everything anew
        until_changed(labs.last, until_changed(labs.last, shown))
        button(labs.last, "Stop").click()
        expect(labs.last.locator("b").first).to_contain_text("Run 1 stopped", timeout=30 * SECONDS)


FAILING = """from course_utils import plots
from course_utils.widgets.lab import FunctionLab, int_slider

def draw(number):
    return plots.text_windows(["a" * (60 // (number - 3))])

FunctionLab(draw, number=int_slider("number", 1, 1, 60))"""


def test_an_error_is_read_in_the_page_until_it_is_gone_and_a_fast_drag_ends_at_its_last_value(page, lab_server, home):
    write_notebook(home, "failing.ipynb", FAILING)
    with at_work(page, lab_server, "failing.ipynb") as labs:
        lab, knob = labs.first, handles(labs.first).first
        first = fingerprint(lab)
        for failing in (False, True, False):
            knob.press("ArrowRight")
            for words in ("Traceback", "ZeroDivisionError"):
                (expect(lab).to_contain_text if failing else expect(lab).not_to_contain_text)(words)
        before = fingerprint(lab)
        knob.press("End")
        last = until_changed(lab, before)
        knob.press("Home")
        assert until_changed(lab, last) == first
        for _ in range(59):
            knob.press("ArrowRight")
        expect(readout(knob)).to_have_text("60")
        wait_for(lambda: fingerprint(lab) == last, "the picture is stale")


def test_a_lab_in_notebook_7(page, lab_server):
    with at_work(page, lab_server, "00_start_here.ipynb", place="notebooks") as labs:
        labs.first.scroll_into_view_if_needed()
        drive(labs.first, PAGES)
        photograph(page, "notebook-7")


@pytest.mark.parametrize("page", [{"tolerated": ("https://cdn.jsdelivr.net/npm/@fortawesome/",)}], indirect=True)
def test_a_notebook_as_a_voila_page(page, home):
    """Voila asks for its own icons."""
    with served(["voila", f"notebooks/zh/{AS_A_PAGE}.ipynb"], home) as address:
        page.goto(address, timeout=HANGS)
        page.wait_for_selector(".course-lab img", timeout=HANGS)
        expect(page.locator(".course-lab").first).to_contain_text("隐藏单元")
        drive(page.locator(".course-lab").first)
        photograph(page, "voila")


@pytest.mark.parametrize("page", [{"javascript": False}], indirect=True, ids=["static"])
@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, PROJECT / "notebooks" / "zh" / "04_training.ipynb"], ids=lambda path: path.stem
)
def test_every_lab_is_a_picture_where_nothing_runs(page, tmp_path, path):
    notebook = nbformat.read(path, as_version=4)
    stored = [output.data["image/png"] for cell in notebook.cells for output in cell.get("outputs", [])
              if "image/png" in output.get("data", {})]  # fmt: skip
    (tmp_path / "page.html").write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    images = page.locator(".jp-OutputArea img")
    shown = [image.get_attribute("src").partition("base64,")[2].strip() for image in images.all()]
    assert shown == [re.sub(r"\s", "", data) for data in stored]
    assert all(image.bounding_box()["height"] > 50 for image in images.all())
