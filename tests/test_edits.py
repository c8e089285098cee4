"""A reader edits one cell, runs that cell alone, and then the next call or the lab: a number moves."""

import asyncio
import sys
import types
from pathlib import Path

import nbformat
import pytest
import torch
from common import STORY
from torch import nn

from course_utils import RNNModel, SeqDataLoader, load_corpus_time_machine, predict, train
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.training_lab import TrainingLab

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CPU = torch.device("cpu")
CELLS = {  # notebook -> the ids of the cells that its labs and calls need
    "03_rnn_model": ("cell-01", "cell-11"),
    "04_training": ("train-01", "train-05", "train-10", "train-28", "train-34", "train-38", "train-42", "train-43",
                    "train-s01", "train-s03", "train-45", "train-46"),
}  # fmt: skip
TRAINING = [
    ("train-34", "if state is None or not train_iter.carries_state:", "if True:"),  # "More to try" of 04, number 3
    ("train-34", "max_norm=1)", "max_norm=0.01)"),  # number 5
    ("train-28", "return state.detach()", "return 0 * state.detach()"),
    ("train-38", "exp().item()", "exp().item() + 1"),
    ("train-43", "limit=20_000", "limit=500"),
    ("train-s01", "net.parameters(), lr)", "net.parameters(), lr / 2)"),
    ("train-46", "perplexity = train_epoch(", "perplexity = 2 * train_epoch("),
    ("train-s03", "pct_start=0.15", "pct_start=0.5"),  # of the recipe that is not the usual one
]  # fmt: skip


class Notebook:
    """The cells of a notebook in a namespace of their own, as a kernel keeps them."""

    def __init__(self, name):
        cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
        self.sources = {cell.id: cell.source for cell in cells}
        self.module = sys.modules["a_kernel"] = types.ModuleType("a_kernel")
        self.module.predict = predict  # as the notebooks import it
        for each in CELLS[name]:
            self.run(each)

    def run(self, cell, before="", after=""):
        """Run a cell, with one edit."""
        source = self.sources[cell]
        assert before in source
        exec(source.replace(before, after, 1), self.module.__dict__)

    def __getattr__(self, name):
        return getattr(self.module, name)


@pytest.fixture
def training():
    yield Notebook("04_training")
    del sys.modules["a_kernel"]


@pytest.fixture
def model():
    yield Notebook("03_rnn_model")
    del sys.modules["a_kernel"]


def numbers(history):
    return [(record.perplexity, record.held_out_perplexity) for record in history]


def trained(notebook, model, recipe=None):
    """What `train` brings with the notebook's loop."""
    indices, vocab = load_corpus_time_machine(3_000, corpus=STORY)
    loader = SeqDataLoader(indices[:2_000], 4, 20, held_out=indices[2_000:])
    torch.manual_seed(0)
    net = model(nn.RNN(len(vocab), 8), len(vocab))
    options = {"plot": False, "recipe": recipe} | ({"epochs": notebook.epochs} if notebook else {})
    return numbers(train(net, loader, vocab, 0.5, 2, CPU, **options))


def run_of(lab):
    """Press Start and wait; return what the run brought."""

    async def start():
        lab.start.click()
        return await lab.finished()

    return numbers(asyncio.run(start()).history)


def opened(**given):
    lab = TrainingLab(**given, corpus=STORY, batch_size=4, max_tokens=2_000, device=CPU)
    lab.num_steps.value, lab.num_hiddens.value, lab.num_epochs.value = 20, 16, 10
    return lab


def lab_of(training):
    recipes = {"book": (training.sgd, 1.0), "one cycle": (training.one_cycle, 0.01)}
    return opened(epochs=training.epochs, recipes=recipes)


def results(training, lab, recipe):
    """What train and the lab bring with the notebook's loop and one of its recipes."""
    lab.recipe.value = recipe
    return trained(training, RNNModel, training.one_cycle if recipe == "one cycle" else None), run_of(lab)


@pytest.fixture(scope="module")
def usual():
    """Recipe -> what it brings without an edit, the same in two kernels: else a difference would prove nothing."""
    found = []
    for notebook in (Notebook("04_training"), Notebook("04_training")):
        sys.modules["a_kernel"], lab = notebook.module, lab_of(notebook)
        found.append({name: results(notebook, lab, name) for name in ("book", "one cycle")})
    assert found[0] == found[1]
    del sys.modules["a_kernel"]
    return found[0]


@pytest.mark.parametrize(("cell", "before", "after"), TRAINING)
def test_an_edit_of_the_training_moves_train_and_the_lab(usual, training, cell, before, after):
    recipe, lab = "one cycle" if cell == "train-s03" else "book", lab_of(training)
    training.run(cell, before, after)
    assert all(old != new for old, new in zip(usual[recipe], results(training, lab, recipe), strict=True))


@pytest.mark.parametrize(("cell", "before", "after", "sampling"), [
    ("train-05", "offset = torch.randint(len(corpus) - used, ()).item()", "offset = 0", "sequential"),
    ("train-10", "starts[torch.randperm(len(starts))]", "starts", "random"),
])  # fmt: skip
def test_an_edit_of_a_cut_moves_the_ribbon(training, cell, before, after, sampling):
    cuts = {"sequential": training.seq_data_iter_sequential, "random": training.seq_data_iter_random}
    lab = CorpusRibbon(cuts, "a text of letters to be cut in several ways with a rest " * 4)
    lab.sampling.value, lab.seed.value = sampling, 1
    assert lab.record.inputs[0][0][0] > 0  # else an offset of 0 would change nothing
    was = lab.record.inputs
    training.run(cell, before, after)
    lab.update()
    assert lab.record.inputs != was


@pytest.mark.parametrize(
    ("before", "after", "shape_moves"),
    [("self.vocab_size).float()", "self.vocab_size).float() * 0", False), ("hiddens.flatten(0, 1)", "hiddens", True)],
)
def test_an_edit_of_the_model_moves_its_training_and_its_shapes(model, before, after, shape_moves):
    shapes, lab = ShapeExplorer(model.RNNModel), opened(model=model.RNNModel)
    was, logits, run = trained(None, model.RNNModel), shapes.record.logits, run_of(lab)
    model.run("cell-11", before, after)
    shapes.update()
    assert (shapes.record.logits != logits) == shape_moves
    if shape_moves:  # whoever edits like this meets torch's error in the training
        with pytest.raises(ValueError, match="batch"):
            trained(None, model.RNNModel)
    else:
        assert trained(None, model.RNNModel) != was
        assert run_of(lab) != run


def test_an_edit_of_choose_moves_the_stepper(model):
    source = nbformat.read(NOTEBOOKS / "06_prediction.ipynb", as_version=4)
    cells = [cell.source for cell in source.cells if cell.source.startswith(("def choose(", "def distribution("))]
    assert len(cells) == 2
    for cell in cells:
        exec(cell, model.module.__dict__)
    vocab = load_corpus_time_machine(10, corpus=STORY)[1]
    lab = PredictionStepper(model.RNNModel(nn.RNN(len(vocab), 8), len(vocab)), vocab, CPU, "the ", choose=model.choose)
    lab.run.click()
    was = lab.text
    exec(next(cell for cell in cells if "argmax" in cell).replace("argmax", "argmin"), model.module.__dict__)
    lab.reset.click()
    lab.run.click()
    assert lab.text != was
