"""Tables of measurements that take minutes: kept in the package, each with what it needs to be believed and repeated.

A table is a CSV file in `course_utils/data`. Lines of "# key: value" at its head say where it comes from; then there is
one column for each field of a record, and one row for each record. `make experiments` writes them all anew.
"""

import csv
import dataclasses
import datetime
import io
import itertools
import platform
import types
import typing
from pathlib import Path

import torch

from course_utils.corpora import write_atomically
from course_utils.devices import describe

FOLDER = Path(__file__).parents[1] / "data"
PROVENANCE = ("command", "date", "torch", "python", "device", "seeds", "text")


@dataclasses.dataclass(frozen=True)
class Table:
    """Records that were measured earlier, and where they come from: a dictionary with the keys of `PROVENANCE`."""

    records: tuple
    provenance: dict

    @property
    def note(self):
        """One sentence for below a figure: that this was not measured just now, and how it was."""
        return (
            "Stored, not measured now: {date}, seeds {seeds}, torch {torch}, {device}; `{command}` measures again."
        ).format_map(self.provenance)


def provenance(command, text, seeds, device="cpu"):
    """Describe a measurement that is made now, for `write`.

    Args:
        command: what to type to measure again.
        text: what was measured on, such as "The Time Machine".
        seeds: the seeds, a sequence of integers.
    """
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{describe(device)}, {platform.machine()}",
        "seeds": " ".join(map(str, seeds)),
        "text": text,
    }


def write(name, records, provenance, folder=FOLDER):
    """Write records of one dataclass as the table `name`; floats keep five digits.

    Raises:
        ValueError: something is missing from the provenance, or there are no records.
    """
    _check_provenance(name, provenance)
    if not records:
        raise ValueError(f"no records for the table {name!r}")
    columns = [field.name for field in dataclasses.fields(records[0])]
    file = io.StringIO()
    file.writelines(f"# {key}: {value}\n" for key, value in provenance.items())
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_as_text(getattr(record, column)) for column in columns] for record in records)
    write_atomically(Path(folder) / f"{name}.csv", file.getvalue().encode())


def read(name, record, folder=FOLDER):
    """Return the table `name` as a `Table` of records.

    Args:
        record: the dataclass of the records; its fields may be of type bool, int, float or str, one of them or None, or
            a tuple of them.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: the columns are not the record's fields, or something is missing from the provenance.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in Path(folder).glob("*.csv"))) or "none"
        raise FileNotFoundError(f"there is no stored table {name!r}; there are: {known}")
    lines = path.read_bytes().decode().splitlines(keepends=True)
    head = [line[2:].rstrip().split(": ", 1) for line in itertools.takewhile(_is_head, lines)]
    rows = csv.DictReader(io.StringIO("".join(lines[len(head) :]), newline=""))
    kinds = typing.get_type_hints(record)
    if rows.fieldnames != [field.name for field in dataclasses.fields(record)]:
        raise ValueError(f"the columns of the table {name!r} are not the fields of {record.__name__}")
    _check_provenance(name, dict(head))
    records = (record(**{column: _as_value(text, kinds[column]) for column, text in row.items()}) for row in rows)
    return Table(tuple(records), dict(head))


def _is_head(line):
    return line.startswith("# ")


def _check_provenance(name, provenance):
    missing = [key for key in PROVENANCE if not provenance.get(key)]
    if missing:
        raise ValueError(f"the provenance of the table {name!r} does not say: {', '.join(missing)}")


def _as_text(value):
    if isinstance(value, tuple):
        return " ".join(map(_as_text, value))
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else str(value)


def _as_value(text, kind):
    """Read a cell as the type that stands at the record's field."""
    if isinstance(kind, types.UnionType):  # such as float | None
        return None if text == "" else _as_value(text, typing.get_args(kind)[0])
    if typing.get_origin(kind) is tuple:  # such as tuple[float, ...]
        return tuple(_as_value(part, typing.get_args(kind)[0]) for part in text.split())
    return text == "True" if kind is bool else kind(text)
