"""Avazu's mobile ads, raw: an hour, and categories of the site, the app, the device and the ad."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

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

HOUR_FORMAT = "%y%m%d%H"
"""How ``hour`` is written: 14102100 is the first hour of 21 October 2014, UTC."""

_CATEGORIES = {
    "C1": "anonymous",
    "banner_pos": "position of the banner",
    "site_id": "site",
    "site_domain": "site's domain",
    "site_category": "site's category",
    "app_id": "app",
    "app_domain": "app's domain",
    "app_category": "app's category",
    "device_id": "device; one value stands for most",
    "device_ip": "device's address",
    "device_model": "device's model",
    "device_type": "kind of device",
    "device_conn_type": "kind of connection",
    **{f"C{i}": "anonymous" for i in range(14, 22)},
}
_COLUMNS = (
    Column("id", "other", "the ad shown; beyond 64 bits with sign, so text"),
    Column("click", "label", "1 clicked, 0 not", "int", allowed=(0, 1)),
    Column("hour", "time", "YYMMDDHH, UTC"),
    *(Column(name, "categorical", meaning) for name, meaning in _CATEGORIES.items()),
)

AVAZU = DatasetDescription(
    name="avazu",
    what="mobile ads of ten days (Kaggle 2014)",
    rows=40_428_967,
    task="click",
    licence="Kaggle's rules, no redistribution",
    citation="Steve Wang and Will Cukierski. Click-Through Rate Prediction. Kaggle, 2014.",
    source="https://www.kaggle.com/c/avazu-ctr-prediction",
    tables=(
        TableDescription("train", ("train.csv", "train.csv.gz", "train.gz", "train"), _COLUMNS),
        TableDescription(
            "valid",
            ("valid.csv", "dev.csv"),
            _COLUMNS,
            "as train; not part of the published set",
        ),
        TableDescription(
            "test",
            ("test.csv", "test.csv.gz", "test.gz", "test"),
            _COLUMNS,
            "as train; the published file has no clicks",
        ),
    ),
    layouts=(("train",),),
    counts=(Count("train", 40_428_967), Count("test", 4_577_464)),
    notes=(
        "The published test file has no clicks. Papers split the train file at random, 8:1:1 in "
        "Avazu_x4 of BARS; a split by time is harder.",
        "id is no feature: it is different in each row.",
    ),
)


@loads(AVAZU)
def load_avazu(folder: Folder, check: Check = "warn") -> Dataset:
    """Avazu's ads; the tables are :class:`TextFiles`, read when asked.

    ``data["train"].source()`` streams the columns as they are written;
    ``data["train"].read(rows=...)`` gives a frame, with a column ``time`` made from ``hour``.
    Nothing but the start of each file is read here; ``check="strict"`` counts all lines.

    Args:
        folder: holds ``train.csv`` or ``train.gz``, and perhaps ``test``; with a header or without.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent, or its first lines have another layout.
    """
    found = find_tables(AVAZU, folder)
    return checked(AVAZU, {name: _text_files(paths[0]) for name, paths in found.items()}, check)


def _text_files(path: Path) -> TextFiles:
    names = [column.name for column in _COLUMNS]
    first = first_line(path).split(",")
    header = first[0] == "id"
    without_click = [name for name in names if name != "click"]
    unlabelled = first == without_click if header else len(first) == len(without_click)
    wanted = without_click if unlabelled else names
    if (header and first != wanted) or len(first) != len(wanted):
        raise DataError(
            f"{str(path)!r}: the columns must be {', '.join(names)} (click may be absent); "
            f"got {len(first)}: {', '.join(first)}."
        )
    columns = tuple(column for column in _COLUMNS if column.name in wanted)
    files = TextFiles((path,), columns, ",", header, _with_time)
    files.look()
    return files


def _with_time(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(time=parse_hours(frame["hour"]))


def parse_hours(hours: pd.Series) -> pd.Series:
    """Avazu's hours, text or integers, as times.

    Raises:
        DataError: an hour is not ``YYMMDDHH``; names the row.

    >>> parse_hours(pd.Series(["14102100", "14103023"]))[1]
    Timestamp('2014-10-30 23:00:00')
    """
    text = hours.astype(str)
    times = pd.to_datetime(text, format=HOUR_FORMAT, errors="coerce")
    odd = times.isna().to_numpy()
    if odd.any():
        row = int(odd.argmax())
        raise DataError(
            f"avazu, row {row}: `hour` must be YYMMDDHH, such as 14102100; got {text.iloc[row]!r}."
        )
    return times
