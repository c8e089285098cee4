"""What the course's figures were measured with: a default that slips changes every number that the texts speak of.

Texts, stored tables and figures name these sizes, rates and seeds; whoever changes one measures anew and changes both.
"""

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest

from course_utils import experiments

DEFAULTS = {
    "prediction.choose": {"temperature": 0.0, "top_k": None},
    "prediction.distribution": {"temperature": 1.0, "top_k": None},
    "prediction.predict": {"temperature": 0.0, "top_k": None},
    "training.evaluate": {"row_length": 1_000, "num_steps": 100},
    "training.epochs": {"every": 10, "first": 1},
    "training.look": {"limit": 20_000},
    "train_live.train": {"plot": True, "every": 10, "fast": True},
    "loaders.load_corpus_time_machine": {"max_tokens": -1},
    "loaders.load_data_time_machine": {"sampling": "sequential", "max_tokens": 10_000},
    "corpora.download_book": {"timeout": 5.0},
    "fast.first_by_far": {"repeats": 7, "calls": 5},
    "widgets.training_lab.TrainingLab": {"batch_size": 32, "max_tokens": 10_000, "seed": 0},
    "experiments.adaptation.fine_tune": {
        "rates": (0.01, 0.1, 1.0), "steps": (1, 10, 100), "prefix_length": 14, "num_prefixes": 4, "following": 100,
    },
    "experiments.adaptation.dynamic_evaluation": {"rates": (0, 0.003, 0.01, 0.03, 0.1, 0.3, 1), "num_steps": 20},
    "experiments.adaptation.read_and_train": {"num_steps": 20},
    "experiments.layouts.dependencies": {
        "batch_size": 2, "num_steps": 5, "vocab_size": 8, "num_hiddens": 16, "seed": 0,
    },
    "experiments.layouts.axis_orders": {
        "batch_size": 32, "num_steps": 35, "vocab_size": 28, "num_hiddens": 256, "repeats": 40,
    },
    "experiments.layouts.train_layout": {
        "transpose_labels": True, "batch_size": 32, "num_steps": 35, "num_hiddens": 64, "updates": 200, "lr": 0.005,
        "seed": 0,
    },
    "experiments.losses.loss_ways": {"batch_size": 32, "num_steps": 35, "repeats": 5, "seed": 0},
    "experiments.memory.recall": {"num_hiddens": 64, "updates": 300, "lr": 0.001, "batch_size": 32, "seed": 0},
    "experiments.ribbon.corpus_ribbon": {"seed": 0, "number": 1},
    "experiments.sampling.perplexity_by_position": {"rows": 2000},
    "experiments.sampling.train_arm": {
        "num_hiddens": 128, "lr": 0.005, "num_steps": 35, "batch_size": 32, "num_epochs": 8, "every": 1, "seed": 0,
    },
    "experiments.shapes.layer_shapes": {"num_layers": 1, "bidirectional": False},
    "experiments.stepper.snapshot": {"temperature": 0.0, "top_k": None, "look_back": 0, "columns": 60},
    "experiments.telescope.recurrent_layer": {"scale": 1.0, "orthogonal": False, "identity": False, "seed": 0},
    "experiments.telescope.gradient_by_lag": {"num_lags": 61, "batch_size": 32, "seed": 0},
    "experiments.telescope.expected_ratios": {"num_lags": 61, "scale": 1.0, "orthogonal": False, "identity": False},
    "experiments.telescope.fitted_factor": {"last": 35},
    "experiments.telescope.sight": {"num_hiddens": 64, "num_lags": 61, "draws": 5, "batch_size": 32, "seed": 0},
    "experiments.windows.train_echo": {
        "carries_state": True, "frozen": False, "updates": 200, "lr": 0.01, "outputs": 8000, "seed": 0,
    },
    "experiments.windows.window_lengths": {
        "num_steps": (1, 4, 35), "carries_state": (True, False), "tokens_per_update": 1120, "seeds": (0,),
    },
}  # fmt: skip


CONSTANTS = {
    "fast.MARGIN": 1.25,
    "loaders.RARE_FROM": 10_000,
    "loaders.HELD_OUT_SHARE": 10,
    "train_live.SECONDS_BETWEEN_PICTURES": 0.7,
    "experiments.windows.ROWS": 32,
    "widgets.lab.DPI": {False: 100, True: 150},
    "widgets.training_lab.SECONDS_BETWEEN_PICTURES": 0.25,
    "widgets.training_lab.DRAWING_SHARE": 0.2,
    "widgets.training_lab.SECONDS_OF_A_SLICE": 0.1,
    "widgets.training_lab.SECONDS_FOR_THE_PAGE": 0.005,
    "widgets.training_lab.NUM_GHOSTS": 4,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name):
    assert find(name) == CONSTANTS[name]


def find(name):
    module, name_there = f"course_utils.{name}".rsplit(".", 1)
    return getattr(importlib.import_module(module), name_there)


MODULES = [f"experiments.{path.stem}" for path in Path(experiments.__file__).parent.glob("[a-z]*.py")]


@pytest.mark.parametrize("name", ["training", "corpora", *MODULES])
def test_records_do_not_change(name):
    found = vars(importlib.import_module(f"course_utils.{name}")).values()
    assert all(each.__dataclass_params__.frozen for each in found if dataclasses.is_dataclass(each))


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    parameters = inspect.signature(find(name)).parameters
    assert {each: parameters[each].default for each in DEFAULTS[name]} == DEFAULTS[name]
