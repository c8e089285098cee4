"""Many trainings: a grid of plain configurations, run side by side, each a row in a file as soon as it is finished.

Only the process that calls `sweep` writes. Whatever ends it, the same call goes on where it was.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import math
import os
import queue
import signal
import sqlite3
import sys
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError
from importlib.metadata import version
from pathlib import Path

import torch
from loky import get_reusable_executor
from tqdm import tqdm

from course_utils.checks import checked
from course_utils.devices import available_cores
from course_utils.language import say
from course_utils.models import RNNModel
from course_utils.rules import kind
from course_utils.single_run import Configuration, Result, grid, one_line, run, text_of

__all__ = ["Configuration", "Result", "grid", "run", "sweep"]  # a reader needs no other module

OTHERS = ("torch", "builtins")  # whose code belongs to a version
PLAIN = (bool, int, float, str, tuple, type(None))
MARK = 0x524E4E31  # SQLite's mark of whose file it is
TABLE = "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, configuration TEXT, result TEXT, again INTEGER)"


# Keys and rows


def key_of(configuration, *facts):
    """The name of a row: the same in every process for the same configuration, text, model and versions."""
    facts = json.dumps([vars(configuration), *facts], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


def source_of(model):
    """Return the source of a function, or of a class and all that it inherits from, with the plain values in use."""
    parts = [each for each in getattr(model, "__mro__", [model]) if each.__module__.split(".")[0] not in OTHERS]
    return "\n".join(map(code_of, parts))


def code_of(part):
    """Return a class's or a function's source, and the numbers and texts that it finds outside itself."""
    members = vars(part) if inspect.isclass(part) else {part.__name__: part}
    functions = {name: inspect.unwrap(each) for name, each in members.items() if inspect.isfunction(each)}
    used = [inspect.getclosurevars(function) for function in functions.values()]
    used = {name: value for each in used for name, value in (each.globals | each.nonlocals).items()}
    code = [f"{name} = {value!r}" for name, value in sorted(used.items()) if isinstance(value, PLAIN)]
    try:
        return "\n".join([inspect.getsource(part), *code])
    except (OSError, TypeError):  # a class of a cell is in no file, but its functions are known
        own = {name: each for name, each in members.items() if name not in functions and not name.startswith("__")}
        return "\n".join([part.__name__, *map(inspect.getsource, functions.values()), f"{own}", *code])


def opened(store):
    """Open the file of a sweep, or begin one; ValueError if there is something else, which stays as it is."""
    path, database = Path(store).expanduser().absolute(), None
    try:
        database = sqlite3.connect(path, timeout=60, isolation_level=None)  # each statement is a transaction of its own
        if database.execute("PRAGMA application_id").fetchone() != (MARK,):
            if database.execute("SELECT * FROM sqlite_master").fetchone():
                raise sqlite3.DatabaseError("it belongs to another program")
            database.execute(f"PRAGMA application_id = {MARK}")
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", TABLE):  # FULL: see `keep`
            database.execute(statement)
    except sqlite3.Error as error:
        if database:
            database.close()
        raise ValueError(f"store is {path}, which cannot be used: {error}; choose another file") from None
    return database


def stored(database, wanted):
    """Return key -> Result of the rows for `wanted` (key -> Configuration) that need not be run again."""
    rows = database.execute("SELECT key, result FROM runs WHERE NOT again")
    found = {key: json.loads(result) for key, result in rows if key in wanted}
    curves = {key: tuple(map(tuple, values.pop("curve"))) for key, values in found.items()}
    return {key: Result(wanted[key], curves[key], **values) for key, values in found.items()}


def keep(database, key, result, again):
    """Write a row, which then is safe from a power cut too: the milliseconds are few beside a run's seconds."""
    values = dataclasses.asdict(result)
    row = key, json.dumps(values.pop("configuration")), json.dumps(values), again
    database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", row)


# All runs


@checked(
    grid=kind(lambda value: isinstance(value, list | tuple) and all(isinstance(each, Configuration) for each in value),
              "a list of Configuration, as grid(...) makes it"),
    store=kind(lambda value: isinstance(value, str | os.PathLike) and Path(value).expanduser().parent.is_dir(),
               'the path of a file in a folder that exists, such as "runs.sqlite"'),
    executor=kind(lambda value: value is None or callable(value.submit), "an executor, which has submit, or None"),
    model=kind(lambda value: inspect.isclass(value) or inspect.isfunction(value),
               "a class such as RNNModel, or a function (layer, vocab_size) that returns a model"),
)  # fmt: skip
def sweep(grid, store, executor=None, model=RNNModel):
    """Run what of a grid is not in the store yet; return a list of `Result` in the grid's order.

    Interrupting the cell keeps all finished runs, and returns them; the same call goes on with the others. So it does
    after a crash. A run that failed is a row with its error, and is not tried again; one whose worker died is run once
    more, alone, and again by the next call.

    Args:
        grid: a list of `Configuration`, see `grid`.
        store: an SQLite file on a disk of this machine (its log needs shared memory), made if there is none.
        executor: None for this machine's cores, or anything with `submit` as in concurrent.futures. For a cluster it is
            `Client(cluster).get_executor()` of Dask (the extra `cluster`), where `cluster` is
            `SSHCluster(["scheduler", "host"], worker_options={"nthreads": 1})`,
            `dask_jobqueue.SLURMCluster(cores=1, memory="2GB", n_workers=40)` or
            `dask_kubernetes.operator.KubeCluster(name="sweep", image="...", n_workers=40)`. Each worker needs the
            course and the text, and one thread: a process has one run at a time.
        model: called with (layer, vocab_size); it may be a class of a cell. Functions that it calls are not in the key.

    Raises:
        ValueError, OSError: an argument is out of range, a text is missing, or the store is another program's file.
    """
    texts = {corpus: text_of(corpus) for corpus in {each.corpus for each in grid}}
    same = source_of(model), torch.__version__, version("rnn-course")
    keys = [key_of(each, texts[each.corpus], *same) for each in grid]
    wanted = dict(zip(keys, grid, strict=True))
    with contextlib.closing(opened(store)) as database:
        known = stored(database, wanted)
        todo = {key: (each, model, texts[each.corpus]) for key, each in wanted.items() if key not in known}
        results = finished(todo, executor)
        bar = tqdm(total=len(todo), unit="run", disable=not todo, file=sys.stdout, ncols=80)  # readable without widgets
        try:
            with contextlib.closing(results), bar:
                for key, result, again in results:
                    keep(database, key, result, again)
                    known[key] = result
                    bar.update()
        except KeyboardInterrupt:
            known |= stored(database, wanted)  # the interrupt may have come right after a row was written
            text = "Stopped: {done} of {all} runs are in {store}; the same call goes on with the others."
            print(say(text, done=len(known), all=len(wanted), store=store))
    return [known[key] for key in keys if key in known]


def finished(todo, executor):
    """Yield (key, Result, whether to try it again another time) of each run of `todo`, key -> arguments of `task`.

    When a worker dies, loky cannot say whose it was: all runs that were on their way are suspects, and run one by one.
    """
    waiting, running, suspects, done = deque(todo), {}, set(), queue.SimpleQueue()
    workers = min(available_cores(), len(todo))
    width = 2 * workers if executor is None else math.inf  # so that none waits, and few runs are suspects
    try:
        while waiting or running:
            while waiting and len(running) < (1 if suspects else width) and done.empty():
                future = submit(executor, workers, todo[waiting[0]])
                running[future] = waiting.popleft()
                future.add_done_callback(done.put)
            future = done.get()
            key = running.pop(future)
            error = CancelledError("it was cancelled") if future.cancelled() else future.exception()
            if isinstance(error, BrokenExecutor) and executor is None and key not in suspects:
                suspects.add(key)
                waiting.appendleft(key)
                continue
            suspects.discard(key)
            failed = error and Result(todo[key][0], (), 0.0, 0, None, one_line(error))
            yield key, failed or future.result(), error is not None
    finally:
        for future in running:
            future.cancel()
        if running and executor is None:
            local_executor(workers).shutdown(kill_workers=True)


def submit(executor, workers, arguments):
    """Hand a run to the executor; the default one is made anew when a worker's death has broken it."""
    while True:
        try:
            return (local_executor(workers) if executor is None else executor).submit(task, *arguments)
        except BrokenExecutor:
            if executor is not None:
                raise


def task(configuration, model, text):
    """What a worker does."""
    if text_of(configuration.corpus) != text:
        raise ValueError(f"{configuration.corpus} is another text on this worker; give it the same file")
    return run(configuration, model)


def local_executor(workers):
    """So many processes, which stay for a minute, for the next sweep."""
    return get_reusable_executor(workers, timeout=60, initializer=ignore_interrupts)


def ignore_interrupts():
    """An interrupt reaches all processes of a terminal or a kernel; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
