"""A sweep loses nothing and does nothing twice, whoever is killed; its numbers are the same wherever they are made."""

import contextlib
import json
import linecache
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import types
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from common import STORY
from distributed import Client, LocalCluster
from jupyter_client.manager import start_new_kernel
from nbval_guard import student_environment
from torch import nn

from course_utils import RNNModel, load_data_time_machine, single_run, sweep, training
from course_utils.devices import one_thread
from course_utils.fast import quick_layers
from course_utils.sweep import Configuration, grid

ROOT = Path(__file__).parents[1]
ALONE = student_environment() | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TINY = {"num_hiddens": 8, "num_epochs": 1, "max_tokens": 2_000}
SMALL = Configuration(**TINY)


class AtOnce:
    """An executor that runs everything here and now; `fail` may put an error in the place of a result."""

    def __init__(self, fail=lambda number: None):
        self.submitted, self.fail = [], fail

    def submit(self, function, configuration, *others):
        self.submitted.append(configuration)
        future = Future()
        try:
            if error := self.fail(len(self.submitted)):
                raise error
            future.set_result(function(configuration, *others))
        except (BrokenProcessPool, ValueError) as error:
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def few_workers(monkeypatch):
    monkeypatch.setattr(sweep, "available_cores", lambda: 2)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "runs.sqlite"


def numbers(result):
    """A result without the seconds, which no two runs share."""
    return replace(result, seconds=0, curve=tuple((look[0], *look[2:]) for look in result.curve))


def rows(store):
    with contextlib.closing(sqlite3.connect(store, timeout=60)) as database:
        found = database.execute("SELECT configuration, result, again FROM runs").fetchall()
    return [(json.loads(configuration), json.loads(result), again) for configuration, result, again in found]


# Grids


def test_a_grid_has_each_value_with_each_other():
    made = grid(num_hiddens=[16, 64], cell=("RNN", "GRU"), seed=range(2), num_epochs=3)
    assert made[:3] == [
        Configuration(num_hiddens=16, cell="RNN", seed=0, num_epochs=3),
        Configuration(num_hiddens=16, cell="RNN", seed=1, num_epochs=3),
        Configuration(num_hiddens=16, cell="GRU", seed=0, num_epochs=3),
    ]
    assert len(set(made)) == 8


@pytest.mark.parametrize(("values", "words"), [
    ({"num_hiddens": [16, 0]}, "num_hiddens is 0; it must be a whole number of at least 1"),
    ({"num_hiddens": []}, "num_hiddens is []; it must be a value, or a list with something in it"),
    ({"cell": ["RNN", "rnn"]}, "cell is 'rnn'; it must be"),
    ({"recipe": "adam"}, "recipe is 'adam'; it must be \"book\" or \"one cycle\""),
    ({"num_epochs": 0}, "num_epochs is 0"),
    ({"seconds": -1}, "seconds is -1; it must be a number of seconds above 0"),
    ({"lr": [0.1, float("nan")]}, "lr is nan"),
    ({"tokens": "bytes"}, "tokens is 'bytes'"),
    ({"corpus": 3}, "corpus is 3"),
])  # fmt: skip
def test_a_grid_refuses_what_cannot_be_run(values, words):
    with pytest.raises(ValueError, match="^" + words.replace("[", r"\[")):
        grid(**values)


def test_an_unknown_field_is_told_the_known_ones():
    with pytest.raises(TypeError, match=r"'hidden'.*num_hiddens, num_layers"):
        grid(hidden=[16])


def test_the_same_numbers_are_the_same_configuration():
    given = Configuration(num_hiddens=np.int64(8), lr=1, corpus=STORY, seconds=torch.tensor(2.0))
    plain = Configuration(num_hiddens=8, lr=1.0, corpus=str(STORY), seconds=2.0)
    assert given == plain
    assert json.dumps(asdict(given)) == json.dumps(asdict(plain))


# One run


@pytest.mark.parametrize("cell", ["RNN", "GRU"])  # of an RNN the layers are the quick ones
def test_a_run_is_the_course_s_own_training(cell):
    chosen = Configuration(**TINY | {"num_epochs": 20, "cell": cell, "num_layers": 2, "sampling": "random"})
    train_iter, vocab = load_data_time_machine(32, 35, "random", 2_000, "story")
    torch.manual_seed(0)
    net = RNNModel(getattr(nn, cell)(len(vocab), 8, 2), len(vocab))
    with quick_layers():
        history = [*training.epochs(net, train_iter, vocab, 0.01, 20, "cpu", recipe=training.one_cycle, every=2)]
    looked = [each for each in history if each.held_out_perplexity is not None]
    result = sweep.run(chosen)
    assert numbers(result).curve == tuple((each.epoch, each.perplexity, each.held_out_perplexity) for each in looked)
    assert (result.sample, result.error) == (history[-1].sample, "")
    assert result.parameters == sum(weight.numel() for weight in net.parameters())
    assert result.best == min(each.held_out_perplexity for each in looked)
    seconds = [look[1] for look in result.curve]
    assert seconds[0] > 0
    assert seconds == sorted(seconds)
    assert seconds[-1] == result.seconds


def test_a_run_that_is_followed_leaves_nothing_switched_on_between_two_looks():
    depth = torch.overrides._len_torch_function_stack()
    for _ in single_run.follow(SMALL, RNNModel):
        assert torch.overrides._len_torch_function_stack() == depth


def test_recipes_seeds_and_a_number_of_layers_make_a_difference():
    made = grid(**TINY, recipe=["book", "one cycle"], seed=[0, 1], num_layers=[1, 2])
    assert len({numbers(sweep.run(each)).curve for each in made}) == 8


def test_a_run_has_one_thread_and_leaves_the_process_as_it_was(capsys):
    seen = []

    def model(*arguments):
        seen.append(torch.get_num_threads())
        return RNNModel(*arguments)

    torch.manual_seed(3)
    state = torch.get_rng_state()
    with one_thread():  # gives back the number that there was
        torch.set_num_threads(2)
        sweep.run(SMALL, model)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("recipe", ["book", "one cycle"])
def test_seconds_end_a_training_after_the_epoch_in_which_they_are_over(recipe, monkeypatch):
    clock, train_epoch = [0.0], training.train_epoch

    def slower_and_slower(*arguments):
        clock[0] += 1.0 if clock[0] < 4 else 2.0  # a trial of four epochs promises more than then is true
        return train_epoch(*arguments)

    monkeypatch.setattr(training, "train_epoch", slower_and_slower)
    for name in ("perf_counter", "thread_time"):
        monkeypatch.setattr(training.time, name, lambda: clock[0])
    result = sweep.run(replace(SMALL, seconds=24.5, recipe=recipe))
    assert [look[0] for look in result.curve][-2:] == [12, 13]
    assert result.curve[-1][3] is not None
    assert result.seconds == pytest.approx(26)


def test_seconds_that_others_had_the_core_do_not_count(monkeypatch):
    """Beside other trainings on the same core a run takes longer, and costs what it costs."""
    clock = [0.0]

    def half_alone(*arguments):
        clock[0] += 2.0
        return 10.0

    monkeypatch.setattr(training, "train_epoch", half_alone)
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(training.time, "thread_time", lambda: clock[0] / 2)
    assert sweep.run(SMALL).seconds == pytest.approx(SMALL.num_epochs)


def test_an_epoch_that_takes_longer_than_all_seconds_is_looked_at():
    result = sweep.run(replace(SMALL, seconds=1e-6))
    assert [look[0] for look in result.curve] == [1]


# What is stored


def test_what_is_stored_comes_back_in_the_grid_s_order_and_is_not_run_again(store):
    first = sweep.sweep(grid(**TINY, seed=[3, 1]), store, AtOnce())
    executor = AtOnce()
    again = sweep.sweep(grid(**TINY, seed=[1, 2, 3, 1]), store, executor)
    assert [each.seed for each in executor.submitted] == [2]
    assert [each.configuration.seed for each in again] == [1, 2, 3, 1]
    assert (again[0], again[2], again[3]) == (first[1], first[0], first[1])
    assert len(rows(store)) == 3


def test_another_text_or_model_is_another_run(store, tmp_path):
    class Another(RNNModel):
        pass

    text = tmp_path / "text.txt"
    text.write_text(STORY.read_text()[:8_000])
    chosen, executor = [replace(SMALL, corpus=str(text))], AtOnce()
    before = sweep.sweep(chosen, store, executor)
    text.write_text(STORY.read_text()[1_000:9_000])
    after = sweep.sweep(chosen, store, executor)
    sweep.sweep(chosen, store, executor, model=Another)
    sweep.sweep(chosen, store, executor, model=Another)
    assert len(executor.submitted) == len(rows(store)) == 3
    assert numbers(before[0]).curve != numbers(after[0]).curve
    text.unlink()
    with pytest.raises(FileNotFoundError, match=r"text\.txt"):
        sweep.sweep([*grid(**TINY), *chosen], store, executor)
    assert len(executor.submitted) == 3, "something was run before the whole grid was looked at"


def test_a_worker_with_another_text_does_not_compute(store, monkeypatch):
    here = sweep.text_of
    executor = AtOnce()
    monkeypatch.setattr(sweep, "text_of", lambda corpus: here(corpus) + "!" * len(executor.submitted))
    (result,) = sweep.sweep([SMALL], store, executor)
    assert result.error == "ValueError: story is another text on this worker; give it the same file"
    assert [again for *_, again in rows(store)] == [1]


CELL = """
width = {width}
class Net(RNNModel):
    hidden = {hidden}
    def __init__(self, layer, vocab_size):
        super().__init__(layer, vocab_size)
        self.extra = nn.Linear({size}, width)
"""


def in_a_cell(code, name):
    """The class that a cell defines, as a kernel does: in no file, with its lines known to `inspect`."""
    module = sys.modules[name] = types.ModuleType(name)
    module.__dict__.update(RNNModel=RNNModel, nn=nn)
    linecache.cache[f"<{name}>"] = (len(code), None, code.splitlines(keepends=True), f"<{name}>")
    exec(compile(code, f"<{name}>", "exec"), module.__dict__)
    return module.Net


def test_a_class_of_a_cell_is_known_by_its_code():
    usual = {"width": 1, "hidden": 2, "size": 3}
    variants = [usual, usual, usual | {"width": 2}, usual | {"hidden": 1}, usual | {"size": 4}]
    known = [sweep.source_of(in_a_cell(CELL.format(**each), f"cell_{i}")) for i, each in enumerate(variants)]
    assert len(set(known)) == 4
    assert known[0] == known[1]


def test_a_function_is_known_by_its_code_and_what_it_remembers():
    def factory(width):
        return lambda layer, vocab_size: RNNModel(layer, vocab_size + width)

    assert sweep.source_of(factory(0)) == sweep.source_of(factory(0)) != sweep.source_of(factory(1))


@pytest.mark.parametrize(("arguments", "words"), [
    ({"grid": SMALL}, "grid is a Configuration; it must be a list of Configuration"),
    ({"grid": [SMALL, {"seed": 1}]}, "it must be a list of Configuration"),
    ({"store": 3}, "store is 3; it must be the path of a file"),
    ({"store": "nowhere/at/all.sqlite"}, "it must be the path of a file in a folder that exists"),
    ({"store": ROOT}, "cannot be used: unable to open database file; choose another file"),
    ({"store": STORY}, "cannot be used: file is not a database; choose another file"),
    ({"executor": 2}, "executor is 2; it must be an executor, which has submit, or None"),
    ({"model": "RNNModel"}, "model is 'RNNModel'; it must be a class such as RNNModel"),
])  # fmt: skip
def test_a_sweep_says_what_is_wrong_before_it_runs_anything(store, arguments, words):
    executor, text = AtOnce(), STORY.read_bytes()
    with pytest.raises(ValueError, match=words):
        sweep.sweep(**{"grid": [SMALL], "store": store, "executor": executor} | arguments)
    assert executor.submitted == []
    assert not store.exists()
    assert STORY.read_bytes() == text


def test_another_program_s_database_stays_as_it_is(store):
    database = sqlite3.connect(store)
    database.execute("CREATE TABLE runs (name)")
    database.commit()
    database.close()
    before = store.read_bytes()
    with pytest.raises(ValueError, match="it belongs to another program"):
        sweep.sweep([SMALL], store, AtOnce())
    assert store.read_bytes() == before


# Failures


def test_a_failing_run_is_a_row_and_stops_nothing(store):
    class Broken(RNNModel):
        def __init__(self, layer, vocab_size):
            if layer.hidden_size == 9:
                raise RuntimeError("no nines\n  here")
            super().__init__(layer, vocab_size)

    made = [replace(SMALL, num_steps=1_000), replace(SMALL, num_hiddens=9),
            replace(SMALL, recipe="book", lr=1e30, num_epochs=30, max_tokens=-1), SMALL]  # fmt: skip
    results, executor = sweep.sweep(made, store, AtOnce(), model=Broken), AtOnce()
    short, nine, diverged, good = results
    assert short.error.startswith("NoBatch: the training text has 2,000 tokens")
    assert nine.error == "RuntimeError: no nines here"
    assert diverged.error.startswith("FloatingPointError: perplexity is")
    assert (good.error, short.curve, short.best) == ("", (), float("inf"))
    assert sweep.sweep(made, store, executor, model=Broken) == results
    assert executor.submitted == [], "what fails of itself is not tried again"


def test_a_run_whose_worker_was_lost_is_tried_again_by_the_next_call(store):
    lost = BrokenProcessPool("a process\nwas killed")
    results = sweep.sweep(grid(**TINY, seed=range(3)), store, AtOnce(lambda number: lost if number == 2 else None))
    assert [each.error for each in results] == ["", "BrokenProcessPool: a process was killed", ""]
    executor = AtOnce()
    again = sweep.sweep(grid(**TINY, seed=range(3)), store, executor)
    assert [each.seed for each in executor.submitted] == [1]
    assert again[1].error == ""
    assert (again[0], again[2]) == (results[0], results[2])
    assert len(rows(store)) == 3


def test_stop_keeps_the_rows_and_returns_them(store, capsys):
    results = sweep.sweep(grid(**TINY, seed=range(4)), store, Stopping())
    assert [each.configuration.seed for each in results] == [0, 1]
    assert capsys.readouterr().out.splitlines()[-1].startswith("Stopped: 2 of 4 runs are in ")
    executor = AtOnce()
    assert sweep.sweep(grid(**TINY, seed=range(4)), store, executor)[:2] == results
    assert [each.seed for each in executor.submitted] == [2, 3]


class Stopping(AtOnce):
    def submit(self, *arguments):
        if len(self.submitted) == 2:
            raise KeyboardInterrupt
        return super().submit(*arguments)


def test_an_interrupt_right_after_a_row_was_written_does_not_hide_it(store, monkeypatch):
    written, keep = [], sweep.keep

    def interrupted(*arguments):
        keep(*arguments)
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "keep", interrupted)
    assert len(sweep.sweep(grid(**TINY, seed=range(4)), store, AtOnce())) == len(rows(store)) == 2


class Endless:
    """An executor whose runs never end, and which is interrupted when it gets the third."""

    def __init__(self):
        self.futures = []

    def submit(self, *arguments):
        if len(self.futures) == 2:
            raise KeyboardInterrupt
        self.futures.append(Future())
        return self.futures[-1]


def test_stop_cancels_what_is_not_finished(store):
    executor = Endless()
    assert sweep.sweep(grid(**TINY, seed=range(4)), store, executor) == []
    assert [each.cancelled() for each in executor.futures] == [True, True]


def test_stop_ends_the_workers_of_this_machine(store, monkeypatch):
    executor, ended = Endless(), []
    executor.shutdown = lambda kill_workers: ended.append(kill_workers)
    monkeypatch.setattr(sweep, "local_executor", lambda workers: executor)
    assert sweep.sweep(grid(**TINY, seed=range(4)), store) == []
    assert ended == [True]


class Fragile:
    """A local executor of one worker, which dies while a run of nine units is on its way; with it go all others."""

    def __init__(self):
        self.on_their_way, self.worker = {}, ThreadPoolExecutor(1)

    def submit(self, function, configuration, *others):
        future = Future()
        self.on_their_way[future] = configuration
        self.worker.submit(self.work, future, function, configuration, *others)
        return future

    def work(self, future, *call):
        time.sleep(0.1)  # until the sweep has handed over all that it wants to
        if any(each.num_hiddens == 9 for each in self.on_their_way.values()):
            while self.on_their_way:
                self.on_their_way.popitem()[0].set_exception(BrokenProcessPool("killed"))
        elif self.on_their_way.pop(future, None):
            future.set_result(call[0](*call[1:]))


def test_who_was_on_the_way_with_a_deadly_run_is_not_to_blame(store, monkeypatch):
    executor = Fragile()
    monkeypatch.setattr(sweep, "local_executor", lambda workers: executor)
    results = sweep.sweep(grid(**TINY | {"num_hiddens": [8, 9, 10, 11, 12, 13]}), store)
    executor.worker.shutdown()
    assert [each.error for each in results] == ["", "BrokenProcessPool: killed", "", "", "", ""]


def test_an_executor_that_breaks_between_two_runs_is_made_anew(store, monkeypatch):
    class Broken:
        def submit(self, *arguments):
            raise BrokenProcessPool

    executors = iter([Broken(), AtOnce(), AtOnce()])
    monkeypatch.setattr(sweep, "local_executor", lambda workers: next(executors))
    assert [each.error for each in sweep.sweep(grid(**TINY, seed=range(2)), store)] == ["", ""]


def test_threads_of_one_process_take_turns(tmp_path):
    made = grid(**TINY | {"num_epochs": 3}, seed=range(6))
    here = sweep.sweep(made, tmp_path / "here", AtOnce())
    with ThreadPoolExecutor(3) as threads:
        there = sweep.sweep(made, tmp_path / "there", threads)
    assert [*map(numbers, here)] == [*map(numbers, there)]


# Processes


class Deadly(RNNModel):
    """A model whose worker dies when it has nine units."""

    def __init__(self, layer, vocab_size):
        if layer.hidden_size == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(layer, vocab_size)


def test_a_run_that_kills_its_worker_is_one_row_and_the_others_are_computed(store, monkeypatch):
    monkeypatch.setattr(sweep, "available_cores", lambda: 1)
    dead, *others = sweep.sweep(grid(**TINY | {"num_hiddens": [9, 8, 10]}), store, model=Deadly)
    assert dead.error.startswith("TerminatedWorkerError")
    assert [each.error for each in others] == ["", ""]
    assert sorted(again for *_, again in rows(store)) == [0, 0, 1]


def test_the_numbers_are_the_same_to_the_bit_wherever_they_are_computed(tmp_path, monkeypatch):
    class Mine(RNNModel):
        """No worker can import it."""

    monkeypatch.setattr(sweep, "available_cores", lambda: 1)  # the worker that the last test has left
    made = grid(**TINY | {"num_epochs": 2}, cell=["RNN", "LSTM"], sampling=["sequential", "random"])
    here = sweep.sweep(made, tmp_path / "here", AtOnce(), Mine)
    there = sweep.sweep(made, tmp_path / "there", model=Mine)
    assert sweep.local_executor(1).submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
    with (LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
          Client(cluster) as client):  # fmt: skip
        on_a_cluster = sweep.sweep(made, tmp_path / "cluster", client.get_executor(), Mine)
    assert [each.error for each in here] == [""] * 4
    assert [*map(numbers, here)] == [*map(numbers, there)] == [*map(numbers, on_a_cluster)]


SCRIPT = f"""
import sys
from course_utils import RNNModel, single_run, sweep


class Mine(RNNModel):
    pass


sweep.available_cores = lambda: 1
results = sweep.sweep(sweep.grid(**{TINY}, seed=range(int(sys.argv[2]))), sys.argv[1], model=Mine)
print(len(results), {{each.error for each in results}})
"""


def test_a_script_without_a_main_guard_is_interrupted_and_goes_on(tmp_path, store):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with script_running(script, store) as process:
        wait_for_rows(process, store, 5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal or a kernel does: workers hear it too
        printed, shown = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    *bars, stopped, counted = printed.splitlines()
    kept = len(rows(store))
    assert stopped == f"Stopped: {kept} of 2000 runs are in {store}; the same call goes on with the others."
    assert counted == f"{kept} {{''}}"
    assert "Traceback" not in shown
    assert re.search(r"/2000 \[\d\d:\d\d<\d", bars[-1]), "no time left is shown"
    again = subprocess.run([sys.executable, script, store, "5"], env=ALONE, capture_output=True, text=True, check=True)
    assert (again.stdout, again.stderr) == ("5 {''}\n", "")


@contextlib.contextmanager
def script_running(script, store):
    command = [sys.executable, script, store, "2000"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ALONE, start_new_session=True, **piped) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_rows(process, store, count):
    deadline, found = time.monotonic() + 120, 0
    while found < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.OperationalError):  # the table is not there yet
            found = len(rows(store)) if store.exists() else 0


CELLS = [
    "from course_utils import RNNModel, sweep\nsweep.available_cores = lambda: 1",
    "class Mine(RNNModel):\n    def forward(self, X, state):\n        return super().forward(X, state)",
    f"results = sweep.sweep(sweep.grid(**{TINY}, seed=range(3)), 'runs.sqlite', model=Mine)",
    "print([each.error for each in results], len({each.curve for each in results}))",
]
FORBIDDEN = "def forbidden(*arguments):\n    raise RuntimeError('it is all there')\nsweep.submit = forbidden"


def test_a_cell_s_own_class_is_run_and_known_again_by_the_next_kernel(tmp_path):
    assert in_a_kernel(tmp_path, CELLS).splitlines()[-1] == "['', '', ''] 3"
    assert in_a_kernel(tmp_path, [CELLS[0], FORBIDDEN, *CELLS[1:]]) == "['', '', ''] 3\n"


def in_a_kernel(folder, cells):
    """Run cells in a new kernel and return what they print."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder), env=ALONE)
    try:
        for cell in cells:
            reply = client.execute_interactive(cell, output_hook=keep, timeout=120)["content"]
            assert reply["status"] == "ok", reply
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(printed)


TORTURE = """
import json, multiprocessing, os, random, signal, sqlite3, sys, time
from concurrent.futures import ProcessPoolExecutor
import psutil, torch
from course_utils import RNNModel, single_run, sweep

store, log = sys.argv[1:]
grid = sweep.grid(num_hiddens=8, num_epochs=1, max_tokens=2_000, seed=range(200))
sweep.run(grid[0])  # imports everything, once for all processes that are forked from this one


class Forked(ProcessPoolExecutor):
    '''In the place of loky's processes, which take seconds to begin.'''

    def shutdown(self, wait=True, kill_workers=False):
        super().shutdown(wait, cancel_futures=True)


def local_executor(workers, pools=[]):
    if not pools or pools[-1]._broken:
        pools.append(Forked(workers, multiprocessing.get_context("fork")))
    return pools[-1]


class Told(RNNModel):
    '''A model that writes down which run it is built for.'''

    def __init__(self, layer, vocab_size):
        super().__init__(layer, vocab_size)
        with open(log, "a") as file:
            file.write(f"{torch.initial_seed()}\\n")


sweep.local_executor, sweep.available_cores = local_executor, lambda: 2


def seeds():
    '''The runs that are stored.'''
    if not os.path.exists(store):
        return []
    database = sqlite3.connect(store, timeout=60)
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    found = database.execute("SELECT json_extract(configuration, '$.seed') FROM runs").fetchall() if tables else []
    database.close()
    return [seed for seed, in found]


def wait_for(count):
    deadline = time.monotonic() + 60
    while len(seeds()) < count:
        assert time.monotonic() < deadline, "the sweep does not go on"
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.02))


random.seed(0)
killed, twice = {"parent": 0, "worker": 0}, 0
for moment in range(20):
    before = seeds()
    open(log, "w").close()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        sweep.sweep(grid, store, model=Told)
        os._exit(0)
    wait_for(len(before) + random.randint(moment % 2, 3))
    if moment % 2:
        random.choice(psutil.Process(pid).children()).kill()
        killed["worker"] += 1
        wait_for(len(seeds()) + 5)  # more than were on their way
    os.kill(pid, signal.SIGKILL)
    killed["parent"] += 1
    os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    twice += len(set(before) & {int(line) for line in open(log) if line.strip()})
unfinished = len(grid) - len(seeds())
results = sweep.sweep(grid, store, model=Told)
start = time.perf_counter()
again = sweep.sweep(grid, store, model=Told)
seconds = time.perf_counter() - start
print(json.dumps({"killed": killed, "twice": twice, "unfinished": unfinished, "seconds": seconds,
                  "same": again == results, "errors": [each.error for each in results if each.error],
                  "in order": [each.configuration for each in results] == grid, "stored": sorted(seeds())}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, so that each begins at once")
def test_whoever_is_killed_every_run_is_stored_once_and_none_is_repeated(tmp_path, store):
    script = tmp_path / "torture.py"
    script.write_text(TORTURE)
    command = [sys.executable, script, store, tmp_path / "log"]
    finished = subprocess.run(command, env=ALONE, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3_000:]
    told = json.loads(finished.stdout.splitlines()[-1])
    assert told["killed"] == {"parent": 20, "worker": 10}
    assert told["unfinished"] > 0, "the last kills came too late to hit anything"
    assert (told["twice"], told["errors"], told["same"], told["in order"]) == (0, [], True, True)
    assert told["stored"] == [*range(200)]
    assert told["seconds"] < 1
