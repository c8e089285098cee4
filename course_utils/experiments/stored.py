"""Tables of measurements that take minutes: kept in the package, each with what it needs to be believed and repeated.

A table is a file of lines in `course_utils/data`, each a JSON object: the first says where the table comes from, every
other one is a record. `make experiments` writes them all anew.
"""

import dataclasses
import datetime
import json
import platform
from pathlib import Path

import torch

from course_utils.checks import checked
from course_utils.corpora import write_atomically
from course_utils.devices import describe
from course_utils.language import say
from course_utils.rules import kind

FOLDER = Path(__file__).parents[1] / "data"
PROVENANCE = ("command", "date", "torch", "python", "device", "seeds", "text")


@dataclasses.dataclass(frozen=True)
class Table:
    """Records that were measured earlier, and where they come from: a dictionary with the keys of `PROVENANCE`."""

    records: tuple
    provenance: dict

    @property
    def note(self):
        """Two lines for above a figure: that this was not measured just now, and how it was."""
        seeds = ", ".join(map(str, self.provenance["seeds"]))
        facts = self.provenance | {"seeds": seeds, "text": say(self.provenance["text"])}
        first = say("Stored, not measured now: {text}, {date}, seeds {seeds}", **facts)
        return first + "\n" + say("(torch {torch}, {device}; `{command}` measures again)", **facts)


def provenance(command, text, seeds, device="cpu"):
    """Describe a measurement that is made now, for `write`: what to type to repeat it, the text's name, the seeds."""
    machine, today = f"{describe(device)}, {platform.machine()}", datetime.date.today().isoformat()
    said = (command, today, torch.__version__, platform.python_version(), machine, list(seeds), text)
    return dict(zip(PROVENANCE, said, strict=True))


def write(name, records, provenance, folder=FOLDER):
    """Write records, dataclasses of plain values and tuples, as the table `name`; floats keep five digits."""
    _check_provenance(name, provenance)
    if not records:
        raise ValueError(f"no records for the table {name!r}")
    rows = json.dumps([dataclasses.asdict(record) for record in records])
    rounded = json.loads(rows, parse_float=lambda digits: float(f"{float(digits):.5g}"))
    text = "".join(json.dumps(line) + "\n" for line in (provenance, *rounded))
    write_atomically(Path(folder) / f"{name}.jsonl", text.encode())


@checked(
    name=kind(lambda value: isinstance(value, str) and len(value) < 100, "a table's name"),
    record=kind(lambda value: isinstance(value, type) and dataclasses.is_dataclass(value), "a dataclass"),
)
def read(name, record, folder=FOLDER):
    """Return the table `name` as a `Table` of records of the dataclass `record`, lists as tuples."""
    path = Path(folder) / f"{name}.jsonl"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in Path(folder).glob("*.jsonl"))) or "none"
        raise FileNotFoundError(f"there is no stored table {name!r}; there are: {known}")
    origin, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    _check_provenance(name, origin)
    if any(list(row) != [field.name for field in dataclasses.fields(record)] for row in rows):
        raise ValueError(f"the fields of the table {name!r} are not the fields of {record.__name__}")
    records = ({key: tuple(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows)
    return Table(tuple(record(**values) for values in records), origin)


def _check_provenance(name, provenance):
    missing = [key for key in PROVENANCE if not provenance.get(key)]
    if missing:
        raise ValueError(f"the provenance of the table {name!r} does not say: {', '.join(missing)}")
