"""The grids behind the sliders, their picture and their lab."""

import asyncio
import math
import random

import pytest
import torch
from common import spy

from course_utils import RNNModel, plots, sweep
from course_utils.devices import one_thread
from course_utils.experiments import explorer
from course_utils.sweep import Configuration, Result, grid
from course_utils.widgets.explorer import RunExplorer

STORED = {name: explorer.read(name) for name in explorer.GRIDS}


def made_up(configuration):
    """A run whose lowest held-out perplexity tells what it was made of: 8 units and 5 steps at seed 0 give 8.5."""
    lowest = configuration.num_hiddens + configuration.num_steps / 10 + configuration.seed / 100
    curve = tuple((epoch, epoch / 10, lowest - 1, lowest + 10 - epoch) for epoch in (1, 5, 10))
    return Result(configuration, curve, 1.0, configuration.num_hiddens**2, f"<seed {configuration.seed}>\nend")


GRID = grid(num_steps=[35, 5], num_hiddens=[8, 4, 16], cell=["RNN", "GRU"], num_epochs=10, max_tokens=2000, seed=[0, 1])
HOLE = {"num_steps": 35, "num_hiddens": 16, "cell": "GRU"}
RUNS = [run for run in map(made_up, GRID) if not HOLE.items() <= vars(run.configuration).items()]


def opened(runs=RUNS, **setting):
    lab = RunExplorer(runs)
    for name, value in setting.items():
        lab.controls[name].value = value
    return lab


# The grid


def test_fields_are_those_that_differ_numbers_in_order_and_words_as_they_come():
    fields = explorer.Grid(RUNS).fields
    assert fields == {"num_steps": [5, 35], "num_hiddens": [4, 8, 16], "cell": ["RNN", "GRU"]}


def test_a_view_holds_the_seeds_of_a_setting_its_neighbours_and_the_map():
    view = explorer.Grid(RUNS).view({"num_steps": 5, "num_hiddens": 4, "cell": "GRU"}, "num_steps", "num_hiddens")
    assert [run.configuration.seed for run in view.runs] == [0, 1]
    beside = {(run.configuration.num_steps, run.configuration.num_hiddens, run.configuration.cell)
              for runs in view.neighbours for run in runs}  # fmt: skip
    assert beside == {(35, 4, "GRU"), (5, 8, "GRU"), (5, 4, "RNN")}
    assert view.frame == (0, 0)
    (a, b), (c, d), (e, hole) = view.lowest
    assert (a, b, c, d, e) == pytest.approx((4.505, 7.505, 8.505, 11.505, 16.505))
    assert math.isnan(hole)


def test_a_map_of_one_field_has_one_row():
    view = explorer.Grid(RUNS).view({"num_steps": 35, "num_hiddens": 8, "cell": "RNN"}, "num_hiddens", "num_hiddens")
    assert view.lowest == (pytest.approx((7.505, 11.505, 19.505)),)
    assert view.frame == (0, 1)


def test_the_best_settings_come_first_and_a_run_without_a_curve_does_not_count():
    failed = Result(Configuration(num_hiddens=1), (), 0.0, 0, None, "ValueError: it failed")
    found = explorer.Grid([*RUNS, failed]).best(3)
    assert [(setting["num_steps"], setting["num_hiddens"]) for setting, _ in found] == [(5, 4), (5, 4), (35, 4)]
    assert all(len(runs) == 2 for _, runs in found)


# The stored grids


@pytest.mark.parametrize("name", explorer.GRIDS)
def test_a_stored_grid_has_each_run_once_and_whole(name):
    table = STORED[name]
    assert table.provenance["command"] == "make sweep"
    assert [run.configuration for run in table.records] == explorer.GRIDS[name]
    for run in table.records:
        assert run.curve[-1][0] == run.configuration.num_epochs
        assert run.seconds > 0
        assert run.sample


def test_the_stored_grids_are_enough_and_small():
    assert sum(len(table.records) for table in STORED.values()) >= 200
    files = [explorer.stored.FOLDER / f"{name}_story.jsonl" for name in ("explore", "sizes", "layers", "steps")]
    assert sum(file.stat().st_size for file in files) <= 400_000


@pytest.mark.parametrize("number", [0, 1])
def test_two_rows_drawn_at_random_are_what_training_gives(number):
    """Another processor rounds otherwise; so a run may differ as much as its seeds, but at least by a tenth."""
    runs = [run for run in STORED["explore"].records if run.seconds < 2]
    row = random.Random().choice(runs)
    again = sweep.run(row.configuration)
    stored = explorer.Grid(runs)
    seeds = [run.best for run in stored.at({field: getattr(row.configuration, field) for field in stored.fields})]
    assert again.best == pytest.approx(row.best, rel=max(0.1, 2 * (max(seeds) / min(seeds) - 1))), row.configuration
    assert again.parameters == row.parameters
    assert len(again.curve) == len(row.curve)


# The lab


def test_each_move_of_each_control_draws_one_new_picture(monkeypatch):
    lab = opened()
    drawn = spy(monkeypatch, lab, "draw")
    for name, control in lab.controls.items():
        for value in control.options[::-1]:
            if value != control.value:
                shown = lab.picture.value
                drawn.clear()
                control.value = value
                assert len(drawn) == 1, name
                assert lab.picture.value != shown, name


def test_the_samples_of_all_seeds_and_the_best_settings_stand_below():
    lab = opened(num_steps=5, num_hiddens=4)
    assert "seed 0: &lt;seed 0&gt;↵end" in lab.sample.value
    assert "seed 1: &lt;seed 1&gt;↵end" in lab.sample.value
    assert lab.best.value.index("4.50 to 4.51") < lab.best.value.index("7.50 to 7.51")


def test_a_redrawn_picture_is_the_one_drawn_at_once_whatever_was_shown_before():
    """Nothing of the settings before stays in the picture that is drawn in place."""
    lab = opened()
    last = {"num_hiddens": 4, "cell": "RNN", "num_steps": 5}
    for name, value in [*HOLE.items(), *last.items()]:
        lab.controls[name].value = value
    assert lab.picture.value == opened(**last).picture.value


def test_what_is_not_in_the_grid_says_so_and_live_training_fills_it():
    lab = opened(**HOLE)
    assert "nobody has trained" in texts(lab)
    result = live(lab)
    assert result.configuration == Configuration(**HOLE, num_epochs=10, max_tokens=2_000)
    assert [look[2:] for look in result.curve] == [look[2:] for look in sweep.run(result.configuration).curve]
    assert "nobody has trained" not in texts(lab)
    assert "live: time traveller" in lab.sample.value
    lab.cell.value = "RNN"
    assert "live" not in lab.sample.value
    lab.cell.value = "GRU"
    assert "live" in lab.sample.value


def texts(lab):
    return " ".join(text.get_text() for text in lab._picture.curves.texts)


def live(lab, during=lambda: None):
    """Press the button, wait for the end of the run."""

    async def train():
        lab.loop = asyncio.get_running_loop()
        lab.train.click()
        await asyncio.sleep(0)
        during()
        return await lab.finished()

    return asyncio.run(train())


def test_a_second_press_stops_a_live_run_and_keeps_what_there_is():
    lab = opened(**HOLE)
    assert live(lab, during=lab.train.click) is None
    assert not lab.busy
    assert lab.train.description == "Train this live"


def test_a_live_run_has_one_thread_as_the_stored_ones_had():
    seen = []

    class Watched(RNNModel):
        def forward(self, inputs, state):
            seen.append(torch.get_num_threads())
            return super().forward(inputs, state)

    with one_thread():  # gives back the number that there was
        torch.set_num_threads(2)
        live(RunExplorer(RUNS, model=Watched))
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)


def test_the_readers_class_is_the_one_that_is_trained_and_its_error_is_shown_and_raised():
    class Broken(RNNModel):
        def forward(self, inputs, state):
            raise ZeroDivisionError("mine")

    lab = RunExplorer(RUNS, model=Broken)
    with pytest.raises(ZeroDivisionError, match="mine"):
        live(lab)
    assert "ZeroDivisionError: mine" in lab.errors.value


def test_a_list_that_is_no_grid_is_refused():
    for runs in ([], RUNS[:2], [1, 2], None):
        with pytest.raises(ValueError, match="two settings or more"):
            RunExplorer(runs)


def test_runs_that_the_clock_ended_after_different_epochs_make_one_band():
    curves = [((1, 0.1, 8.0, 9.0), (3, 0.3, 2.0, 3.0)), ((1, 0.1, 8.0, 9.0), (2, 0.2, 4.0, 5.0), (3, 0.3, 2.0, 3.0))]
    epochs, mean, low, high = plots.explorer.spread(curves, 2)
    assert epochs == [1, 3]
    assert mean.tolist() == pytest.approx([8, 2])
    assert (high - low).tolist() == pytest.approx([0, 0])
