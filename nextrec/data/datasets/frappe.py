"""Frappe: which app somebody used in which context, with two unused apps for each use."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.datasets.dataset import Check, Dataset, checked
from nextrec.data.datasets.describe import (
    Column,
    Count,
    DatasetDescription,
    TableDescription,
    loads,
)
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.readers import place, read_headless, read_table, wrong_value
from nextrec.data.lists import first_true

FIELDS = (
    Column("user", "user", "who", "int"),
    Column("item", "item", "which app", "int"),
    Column("daytime", "categorical", "part of the day", "int"),
    Column("weekday", "categorical", "day of the week", "int"),
    Column("isweekend", "categorical", "weekend or workday", "int"),
    Column("homework", "categorical", "at home, at work or unknown", "int"),
    Column("cost", "categorical", "free or paid app", "int"),
    Column("weather", "categorical", "weather there and then", "int"),
    Column("country", "categorical", "country", "int"),
    Column("city", "categorical", "city", "int"),
)
"""Tokens are numbered over all fields together, from 0 to 5,381."""
_COLUMNS = (Column("label", "label", "1 used, 0 drawn as unused", "int", allowed=(0, 1)), *FIELDS)
_PARTS = {"train": "train", "valid": "validation", "test": "test"}


def _files(part: str, long: str) -> tuple[str, ...]:
    suffixes = ("libfm", "libsvm", "csv", "parquet")
    return (f"frappe.{long}.libfm", *(f"{part}.{suffix}" for suffix in suffixes))


FRAPPE = DatasetDescription(
    name="frappe",
    what="uses and non-uses of mobile apps in context",
    rows=288_609,
    task="click",
    licence="research, no redistribution",
    citation=(
        "Linas Baltrunas, Karen Church, Alexandros Karatzoglou, Nuria Oliver. Frappe: "
        "Understanding the Usage and Perception of Mobile App Recommendations In-The-Wild. "
        "arXiv:1505.03014, 2015. Split and negatives: Xiangnan He and Tat-Seng Chua. Neural "
        "Factorization Machines for Sparse Predictive Analytics. SIGIR 2017."
    ),
    source="https://www.baltrunas.info/context-aware and the NFM repository of X. He",
    tables=tuple(
        TableDescription(
            part,
            _files(part, long),
            _COLUMNS,
            "libfm: label (1 or -1), then number:1 for each field, with blanks between",
        )
        for part, long in _PARTS.items()
    ),
    layouts=(("train", "valid", "test"),),
    counts=(
        Count("train", 202_027),
        Count("valid", 57_722),
        Count("test", 28_860),
        Count("train", 67_604, "label", "sum"),
        Count("valid", 19_063, "label", "sum"),
        Count("test", 9_536, "label", "sum"),
    ),
    notes=(
        "Two negatives were drawn for each use. A copy whose negatives were drawn again has the "
        "same counts but not the same rows: say so beside any number.",
        "Over the three parts: 957 users, 4,082 items, 5,382 tokens.",
    ),
)


@loads(FRAPPE)
def load_frappe(folder: Folder, check: Check = "warn") -> Dataset:
    """Frappe's official ``train``, ``valid`` and ``test`` parts.

    Args:
        folder: holds the parts in libfm's format, as CSV with a header or as Parquet.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    tables: dict[str, pd.DataFrame] = {}
    for name, (path, *_) in find_tables(FRAPPE, folder).items():
        libfm = path.suffix in (".libfm", ".libsvm")
        table = _read_libfm(path) if libfm else read_table(path, _COLUMNS)
        tables[name] = table.to_pandas()
    return checked(FRAPPE, tables, check)


def _read_libfm(path: Path) -> pa.Table:
    """``1 98:1 1148:1 ...`` with the fields in their order; a label of -1 becomes 0."""
    written = [Column(each.name, "other", each.meaning) for each in _COLUMNS]
    text = read_headless(path, written, " ", strip=True)
    numbers = [_numbers(text[column.name].combine_chunks(), column, path) for column in _COLUMNS]
    numbers[0] = pc.max_element_wise(numbers[0], 0)
    return pa.table(numbers, names=[column.name for column in _COLUMNS])


def _numbers(values: pa.Array, column: Column, path: Path) -> pa.Array:
    label = column.role == "label"
    form = r"^[+-]?[01](\.0*)?$" if label else r"^\d+:1(\.0*)?$"
    fits = pc.fill_null(pc.match_substring_regex(values, form), False)
    odd = first_true(pc.invert(fits))
    if odd >= 0:
        must_be = "1, 0 or -1" if label else "a number and its value 1, as in 98:1"
        raise wrong_value(path, place(odd, 1), column.name, must_be, values[odd].as_py())
    return pc.replace_substring_regex(values, r"(\.0*|:.*)$", "").cast(pa.int64())
