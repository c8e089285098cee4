"""The labs have room: on a small laptop, a projector, a slide, in a narrow window, zoomed, and in the dark theme."""

import test_browser
from test_browser import at_work, photograph, wait_for, write_notebook
from test_present import go_to, start_deck

pytestmark = test_browser.pytestmark
home, lab_server, browser, page = (vars(test_browser)[name] for name in ("home", "lab_server", "browser", "page"))

MADE_UP = """import torch
from torch import nn
from course_utils import RNNModel
from course_utils.experiments.explorer import read as read_runs
from course_utils.text import Vocab, seq_data_iter_random, seq_data_iter_sequential
from course_utils.training import Epoch
from course_utils.widgets.explorer import RunExplorer
from course_utils.widgets.microscope import TensorMicroscope
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.telescope import GradientTelescope
from course_utils.widgets.training_lab import TrainingLab

text = "a short text of the course for the vocabulary and for the ribbon " * 4
vocab = Vocab(list(text))
net = RNNModel(nn.RNN(len(vocab), 8), len(vocab))

layer = nn.RNN(len(vocab), 4)

def read(one_hot, layout):
    swapped = layout != "none"
    Y = layer(one_hot.transpose(0, 1) if swapped else one_hot)[0]
    return Y.transpose(0, 1) if swapped else Y

def epochs(net, train_iter, vocab, lr, num_epochs, device, *, recipe, prefix):
    for epoch in range(1, num_epochs + 1):
        yield Epoch(epoch, 17.25, 123456.0, *((123.4, prefix + " and so on it goes" * 4) if epoch % 10 == 1 else ()))
"""
OPENED = {
    "shape explorer": "ShapeExplorer()",
    "tensor microscope": "TensorMicroscope(read, torch.arange(32).reshape(4, 8) % 20, vocab)",
    "corpus ribbon": """cuts = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}
CorpusRibbon(cuts, text[:240])""",
    "training lab": """lab = TrainingLab(epochs=epochs, corpus="story", tokens="words")
for cell in ("GRU", "LSTM", "RNN"):
    lab.cell.value, lab.sampling.value, lab.recipe.value, lab.num_epochs.value = cell, "random", "one cycle", 20
    lab.start.click()
    await lab.finished()
lab""",
    "prediction stepper": 'PredictionStepper(net, vocab, "cpu", prefix="the course of the text")',
    "gradient telescope": "GradientTelescope()",
    "run explorer": 'RunExplorer(read_runs("explore").records)',
}
WINDOWS = {  # name -> size of the window; all with the side bar open. Zoomed by 150 %, a page has fewer pixels
    "plain": (1280, 800), "narrow": (900, 800), "zoomed": (853, 533),
}  # fmt: skip
ON_ONE_SCREEN = "plain", "presenter"
SLIDE = {"width": 1280, "height": 720}
CUT = """lab => {
  const end = lab.getBoundingClientRect().right + 1, words = ".widget-label, .widget-readout, button, th, td, pre";
  const parts = [lab, ...lab.querySelectorAll(`${words}, .widget-box, .widget-html-content`)];
  const shown = parts.filter(each => each.offsetParent && each.textContent.replace("\u200b", ""));
  const cut = shown.filter(each => each.scrollWidth > each.clientWidth || each.getBoundingClientRect().right > end);
  return cut.map(each => `${each.className} ${each.textContent.slice(0, 30)}`);
}"""
BEYOND = """lab => lab.querySelector("img").getBoundingClientRect().bottom - lab.getBoundingClientRect().top
  - lab.closest(".jp-WindowedPanel-outer").clientHeight"""
OFF_SCREEN = """(lab, parts) => [...lab.querySelectorAll(parts)].filter(each => {
  const {left, top, bottom} = each.getBoundingClientRect();
  return ![top + 2, bottom - 2].every(y => each.contains(document.elementFromPoint(left + 5, y)));
}).map(each => `${each.className} ${each.textContent.slice(0, 30)}`)"""
# The ratio of Web Content Accessibility Guidelines 2.2, 1.4.3; what cannot be used just now may be faint
FAINT = """lab => {
  const rgba = text => (text.match(/[0-9.]+/g) || []).map(Number);
  const over = (top, alpha, below) => top.slice(0, 3).map((part, i) => alpha * part + (1 - alpha) * below[i]);
  const linear = part => part <= 0.04 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) => 0.2126 * linear(red / 255) + 0.7152 * linear(green / 255)
    + 0.0722 * linear(blue / 255);
  const chain = each => each ? [...chain(each.parentElement), each] : [];
  const ratio = each => {
    let ground = [255, 255, 255], opacity = 1;
    for (const style of chain(each).map(part => getComputedStyle(part))) {
      const paint = rgba(style.backgroundColor);
      ground = over(paint, paint[3] ?? 1, ground);
      opacity *= style.opacity;
    }
    const ink = rgba(getComputedStyle(each).color);
    const [dark, bright] = [light(ground), light(over(ink, (ink[3] ?? 1) * opacity, ground))].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const words = node => node.nodeType === 3 && node.textContent.replace("\u200b", "").trim();
  const shown = [...lab.querySelectorAll("*")].filter(each => each.offsetParent && [...each.childNodes].some(words));
  const faint = shown.filter(each => !each.closest(":disabled") && ratio(each) < 4.5);
  return faint.map(each => `${ratio(each).toFixed(1)} ${each.textContent.slice(0, 30)}`);
}"""
CORNER = """lab => {
  const paper = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
  paper.drawImage(lab.querySelector("img"), 0, 0);
  return [...paper.getImageData(0, 0, 1, 1).data];
}"""


def test_no_lab_is_cut_each_stands_on_one_screen_and_is_read_in_both_themes(page, lab_server, home):
    write_notebook(home, "room.ipynb", MADE_UP, *OPENED.values())
    found = {}
    with at_work(page, lab_server, "room.ipynb") as labs:
        assert labs.count() == len(OPENED)
        for name, (width, height) in WINDOWS.items():
            page.set_viewport_size({"width": width, "height": height})
            found |= troubles(labs, name)
        page.set_viewport_size(dict(zip(("width", "height"), WINDOWS["plain"], strict=True)))
        found |= contrasts(labs, "light")
        for lab in labs.all():
            enlarge(lab)
        found |= troubles(labs, "presenter")
        choose_dark_theme(page)
        found |= contrasts(labs, "dark")
        found |= off_their_slides(page)
    assert found == {}


def troubles(labs, setting):
    """What is cut in each lab, and by how many pixels controls and picture are too high for one screen."""
    show(labs.nth(3), setting)
    found = {}
    for name, lab in zip(OPENED, labs.all(), strict=True):
        found[setting, name, "cut"] = lab.evaluate(CUT)
        if setting in ON_ONE_SCREEN:
            found[setting, name, "beyond"] = max(0, lab.evaluate(BEYOND))
    return {place: trouble for place, trouble in found.items() if trouble}


def contrasts(labs, theme):
    """Words that are too faint in each lab, and pictures without a ground of their own."""
    show(labs.nth(3), theme)
    found = {(theme, name): lab.evaluate(FAINT) for name, lab in zip(OPENED, labs.all(), strict=True)}
    assert [lab.evaluate(CORNER) for lab in labs.all()] == [[255] * 4] * len(OPENED)
    return {place: trouble for place, trouble in found.items() if trouble}


def off_their_slides(page):
    """What of each lab is not on the screen when its slide comes, cut, or not even there when it is scrolled to."""
    start_deck(page)
    page.set_viewport_size(SLIDE)  # the deck goes to another screen
    found = {}
    for name, lab in zip(OPENED, page.locator(".course-lab").all(), strict=True):
        go_to(page, lab)
        photograph(page, f"slide-{name.replace(' ', '-')}")
        found["slide", name] = lab.evaluate(OFF_SCREEN, ".widget-slider, .widget-button, img") + lab.evaluate(CUT)
        lab.locator(".widget-checkbox").last.evaluate("lowest => lowest.scrollIntoView({block: 'nearest'})")
        found["slide", name] += lab.evaluate(OFF_SCREEN, ":scope > .widget-checkbox")
    return {place: trouble for place, trouble in found.items() if trouble}


def show(lab, name):
    lab.evaluate("lab => lab.scrollIntoView()")
    photograph(lab.page, f"room-{name}")


def enlarge(lab):
    width = "image => image.naturalWidth"
    before = lab.locator("img").evaluate(width)
    lab.get_by_text("presenter: larger type").click()
    wait_for(lambda: lab.locator("img").evaluate(width) > before, "the picture stays small")


def choose_dark_theme(page):
    page.locator(".lm-MenuBar-item", has_text="Settings").first.click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator('.lm-Menu-item[data-command="apputils:change-theme"]', has_text="JupyterLab Dark").first.click()
    page.wait_for_selector('body[data-jp-theme-light="false"]', state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
