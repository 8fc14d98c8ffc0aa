"""Criteo's display ads, raw: a label, 13 counts and 26 hashed categories, with gaps."""

from __future__ import annotations

from pathlib import Path

from nextrec.data.datasets.dataset import Check, Dataset, checked
from nextrec.data.datasets.describe import (
    Column,
    Count,
    DatasetDescription,
    TableDescription,
    loads,
)
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.streams import TextFiles, first_line
from nextrec.errors import DataError

COUNTS = tuple(
    Column(f"I{i}", "numeric", "a count; meaning withheld", "real") for i in range(1, 14)
)
CATEGORIES = tuple(
    Column(f"C{i}", "categorical", "a hash of 32 bits; meaning withheld") for i in range(1, 27)
)
LABEL = Column("label", "label", "1 clicked, 0 not", "int", allowed=(0, 1))
_RAW = "label, 13 counts, 26 categories with tabs between, no header; a gap is an empty field"

CRITEO = DatasetDescription(
    name="criteo",
    what="display ads of a week (Kaggle 2014)",
    rows=45_840_617,
    task="click",
    licence="CC BY-NC-SA 4.0",
    citation="Criteo Labs. Display Advertising Challenge. Kaggle, 2014.",
    source="https://ailab.criteo.com/ressources/ (Kaggle display advertising challenge)",
    tables=(
        TableDescription(
            "train", ("train.txt", "train.txt.gz", "train.csv"), (LABEL, *COUNTS, *CATEGORIES), _RAW
        ),
        TableDescription(
            "valid",
            ("valid.txt", "valid.csv", "dev.txt", "dev.csv"),
            (LABEL, *COUNTS, *CATEGORIES),
            "as train; not part of the published set",
        ),
        TableDescription(
            "test",
            ("test.txt", "test.txt.gz", "test.csv"),
            (LABEL, *COUNTS, *CATEGORIES),
            "as train; the published file has no labels and so no first column",
        ),
    ),
    layouts=(("train",),),
    counts=(Count("train", 45_840_617), Count("test", 6_042_135)),
    notes=(
        "The published test file has no labels. Papers split train.txt at random: 8:1:1 (Criteo_x4 "
        "of BARS) or by their own rule; AUC compares only between equal splits.",
        "Rows lie in time order over seven days.",
    ),
)

CRITEO_1TB = DatasetDescription(
    name="criteo-1tb",
    what="display ads of 24 days (terabyte logs)",
    rows=4_373_472_329,
    task="click",
    licence="CC BY-NC-SA 4.0",
    citation="Criteo AI Lab. Terabyte Click Logs. 2015.",
    source="https://ailab.criteo.com/download-criteo-1tb-click-logs-dataset/",
    tables=(
        TableDescription(
            "days", ("day_*.gz", "day_*"), (LABEL, *COUNTS, *CATEGORIES), f"a file a day: {_RAW}"
        ),
    ),
    layouts=(("days",),),
    counts=(Count("days", 4_373_472_329),),
    notes=("MLPerf trains on the first 23 days and tests on the second half of the last.",),
)


@loads(CRITEO)
def load_criteo(folder: Folder, check: Check = "warn") -> Dataset:
    """Criteo's week of ads, or its terabyte; the tables are :class:`TextFiles`, read when asked.

    ``data["train"].source()`` streams, ``data["train"].read(rows=1_000_000)`` gives a frame.
    Nothing but the start of each file is read here; ``check="strict"`` counts all lines.

    Args:
        folder: holds ``train.txt`` (a week), or ``day_0`` ... ``day_23`` (the terabyte).
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent, or its first lines have another layout.
    """
    week = [file for table in CRITEO.tables for file in table.files]
    root = Path(folder).expanduser()
    if not any((root / file).is_file() for file in week) and any(root.glob("day_*")):
        return load_criteo_1tb(folder, check)
    found = find_tables(CRITEO, folder)
    return checked(CRITEO, {name: _text_files(*paths) for name, paths in found.items()}, check)


@loads(CRITEO_1TB)
def load_criteo_1tb(folder: Folder, check: Check = "warn") -> Dataset:
    """Criteo's terabyte as one streamed table ``days``, its files in the order of the days."""
    paths = find_tables(CRITEO_1TB, folder)["days"]
    paths.sort(key=lambda path: (len(path.name), path.name))  # day_2 before day_10
    return checked(CRITEO_1TB, {"days": _text_files(*paths)}, check)


def _text_files(*paths: Path) -> TextFiles:
    columns = (LABEL, *COUNTS, *CATEGORIES)
    fields = first_line(paths[0]).count("\t") + 1
    if fields == len(columns) - 1:
        columns = columns[1:]
    elif fields != len(columns):
        raise DataError(
            f"{str(paths[0])!r}: a row must have {len(columns)} fields with tabs between (or "
            f"{len(columns) - 1} without label); got {fields}."
        )
    files = TextFiles(paths, columns, "\t", header=False)
    files.look()
    return files
