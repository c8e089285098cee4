"""Stored tables: what is written comes back, nothing without its provenance, and each table of the course is whole."""

import dataclasses
import json
import math
import re
from pathlib import Path

import common  # noqa: F401 (hypothesis without deadlines)
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.experiments import explorer, stored
from course_utils.experiments.sampling import ArmRun

TABLES = {"sampling_time_machine": ArmRun, "windows_time_machine": ArmRun}


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    share: float
    right: bool
    perhaps: float | None
    numbers: tuple[float, ...]
    names: tuple[str, ...] = ()


ROW = Row('a, "b" and\nc', -3, 0.125, False, None, (1.5, 2.5), ("x", "y"))
ORIGIN = stored.provenance("make experiments", "random bits", (0, 1, 2))

floats = st.floats(allow_nan=False)
words = st.text("abc,\"'; #é\n\u2028", max_size=8)
rows = st.builds(
    Row, words, st.integers(), floats, st.booleans(), st.none() | floats, st.lists(floats).map(tuple),
    st.lists(words).map(tuple),
)  # fmt: skip


def rounded(value):
    if isinstance(value, tuple):
        return tuple(map(rounded, value))
    return float(f"{value:.5g}") if isinstance(value, float) else value


@settings(max_examples=40)
@given(st.lists(rows, min_size=1, max_size=4))
def test_what_is_written_comes_back_with_five_digits(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("tables")
    stored.write("table", records, ORIGIN, folder)
    table = stored.read("table", Row, folder)
    assert table.records == tuple(Row(*map(rounded, dataclasses.astuple(record))) for record in records)
    assert table.provenance == ORIGIN


def test_the_note_says_that_it_is_stored_and_how_to_repeat_it(tmp_path):
    stored.write("table", [ROW], ORIGIN, tmp_path)
    note = stored.read("table", Row, tmp_path).note
    for part in ("Stored, not measured now", "`make experiments`", "seeds 0, 1, 2", ORIGIN["torch"], ORIGIN["date"]):
        assert part in note
    assert max(map(len, note.splitlines())) <= 88


@pytest.mark.parametrize("key", stored.PROVENANCE)
def test_nothing_is_written_or_read_without_its_provenance(tmp_path, key):
    lacking = ORIGIN | {key: ""}
    with pytest.raises(ValueError, match=f"does not say: {key}"):
        stored.write("table", [ROW], lacking, tmp_path)
    (tmp_path / "table.jsonl").write_text(json.dumps(lacking) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"does not say: {key}"):
        stored.read("table", Row, tmp_path)


def test_other_fields_missing_tables_and_empty_ones_are_refused(tmp_path):
    stored.write("table", [ROW], ORIGIN, tmp_path)
    with pytest.raises(ValueError, match="not the fields of ArmRun"):
        stored.read("table", ArmRun, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'tabel'; there are: table"):
        stored.read("tabel", Row, tmp_path)
    with pytest.raises(ValueError, match="no records"):
        stored.write("table", [], ORIGIN, tmp_path)


@pytest.mark.parametrize("name", TABLES)
def test_the_course_s_tables_are_whole(name):
    table = stored.read(name, TABLES[name])
    assert table.provenance["command"] == "make experiments"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", table.provenance["date"])
    seeds = set(table.provenance["seeds"])
    assert len(seeds) >= 3
    assert {record.seed for record in table.records} == seeds
    for record in table.records:
        assert len(record.by_position) == record.num_steps
        assert all(map(math.isfinite, record.by_position))
        assert record.best <= record.held_out


def test_every_stored_table_is_tested_here_or_elsewhere():
    listed = {path.stem for path in stored.FOLDER.glob("*.jsonl")}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    listed -= {f"{name}_story" for name in explorer.GRIDS}  # in test_explorer
    assert listed >= set(TABLES)
    assert all(f'"{name}"' in tests for name in listed)
