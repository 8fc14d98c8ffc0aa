"""Census-Income (KDD) and Adult: answers to a census, with the income and marriage to predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

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
from nextrec.data.datasets.streams import first_line

_NEVER = Column(
    "never_married", "label", "1 never married, 0 else; made from marital_status", "int"
)
_INCOME = Column("income", "label", "1 above 50,000 dollars a year, 0 else", "int")


def _nominal(*names: str) -> list[Column]:
    return [Column(name.replace(" ", "_"), "categorical", name) for name in names]


def _numbers(*names: str) -> list[Column]:
    return [Column(name.replace(" ", "_"), "numeric", name, "real") for name in names]


_MARITAL = Column("marital_status", "other", "never_married is made from it, so it is no feature")
_KDD_COLUMNS = (
    *_numbers("age"),
    *_nominal("class of worker", "industry code", "occupation code", "education"),
    *_numbers("wage per hour"),
    *_nominal("enrolled in education last week"),
    _MARITAL,
    *_nominal("major industry code", "major occupation code", "race", "hispanic origin", "sex"),
    *_nominal("member of labor union", "reason for unemployment", "employment status"),
    *_numbers("capital gains", "capital losses", "dividends from stocks"),
    *_nominal("tax filer status", "region of previous residence", "state of previous residence"),
    *_nominal("household and family status", "household summary"),
    Column("instance_weight", "weight", "people that the row stands for; no feature", "real"),
    *_nominal("migration change in msa", "migration change in region", "migration within region"),
    *_nominal("lived in this house a year ago", "previous residence in sunbelt"),
    *_numbers("persons worked for employer"),
    *_nominal("family members under 18", "country of birth father", "country of birth mother"),
    *_nominal("country of birth self", "citizenship", "own business or self employed"),
    *_nominal("veterans questionnaire", "veterans benefits"),
    *_numbers("weeks worked in year"),
    *_nominal("year"),
    _INCOME,
)
"""The 42 fields of a row in their order (UCI's census-income.names)."""

CENSUS_INCOME = DatasetDescription(
    name="census-income",
    what="answers to US censuses, 1994-95 (KDD)",
    rows=299_285,
    task="multi-task",
    licence="CC BY 4.0",
    citation="Census-Income (KDD). UCI Machine Learning Repository, 2000. doi:10.24432/C5N30T",
    source="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
    tables=tuple(
        TableDescription(
            table,
            (f"census-income.{suffix}.gz", f"census-income.{suffix}"),
            (*_KDD_COLUMNS, _NEVER),
            "42 fields with commas between, no header; ? is missing",
        )
        for table, suffix in (("train", "data"), ("test", "test"))
    ),
    layouts=(("train", "test"),),
    counts=(
        Count("train", 199_523),
        Count("test", 99_762),
        Count("train", 12_382, "income", "sum"),
        Count("test", 6_186, "income", "sum"),
    ),
    notes=(
        "The tasks of Ma et al. (MMoE, KDD 2018): income above 50,000 and never married. "
        "marital_status must not be a feature; the household columns tell much of it.",
        "UCI tells to use instance_weight for conclusions about people, never as a feature.",
        "46,716 rows of train and 20,936 of test are duplicates or contradict others.",
    ),
)

_ADULT_COLUMNS = (
    Column("age", "numeric", "years", "real"),
    Column("workclass", "categorical", "kind of employer"),
    Column("fnlwgt", "weight", "people that the row stands for; no feature", "real"),
    Column("education", "categorical", "highest degree"),
    Column(
        "education_num",
        "numeric",
        "degree as a number",
        "real",
        ("education-num", "educational-num", "education.num"),
    ),
    Column(
        "marital_status",
        "other",
        "never_married is made from it, so it is no feature",
        also=("marital-status", "marital.status"),
    ),
    Column("occupation", "categorical", "kind of work"),
    Column("relationship", "categorical", "place in the household; tells much of never_married"),
    Column("race", "categorical", "race"),
    Column("sex", "categorical", "sex", also=("gender",)),
    Column("capital_gain", "numeric", "dollars", "real", ("capital-gain", "capital.gain")),
    Column("capital_loss", "numeric", "dollars", "real", ("capital-loss", "capital.loss")),
    Column("hours_per_week", "numeric", "hours", "real", ("hours-per-week", "hours.per.week")),
    Column("native_country", "categorical", "country", also=("native-country", "native.country")),
    Column("income", "label", "1 above 50,000 dollars a year, 0 else", "int", ("class",)),
)

ADULT = DatasetDescription(
    name="adult",
    what="answers to the US census of 1994",
    rows=48_842,
    task="multi-task",
    licence="CC BY 4.0",
    citation="Barry Becker and Ronny Kohavi. Adult. UCI Machine Learning Repository, 1996. "
    "doi:10.24432/C5XW20",
    source="https://archive.ics.uci.edu/dataset/2/adult",
    tables=(
        TableDescription(
            "train",
            ("adult.data", "adult.data.gz"),
            (*_ADULT_COLUMNS, _NEVER),
            "15 fields with commas between, no header; ? is missing",
        ),
        TableDescription(
            "test",
            ("adult.test", "adult.test.gz"),
            (*_ADULT_COLUMNS, _NEVER),
            "as adult.data, after a line |1x3 Cross validator, and a dot after the income",
        ),
        TableDescription(
            "all", ("adult.parquet", "adult.csv"), (*_ADULT_COLUMNS, _NEVER), "both parts in one"
        ),
    ),
    layouts=(("train", "test"), ("all",)),
    counts=(
        Count("train", 32_561),
        Count("test", 16_281),
        Count("all", 48_842),
        Count("train", 7_841, "income", "sum"),
        Count("test", 3_846, "income", "sum"),
        Count("all", 11_687, "income", "sum"),
    ),
)


@loads(CENSUS_INCOME, "census")
def load_census_income(folder: Folder, check: Check = "warn") -> Dataset:
    """Census-Income with both labels, ``income`` and ``never_married``; ``?`` is missing.

    Args:
        folder: holds ``census-income.data`` and ``census-income.test``, gzipped or not.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    tables = {
        name: _labelled(_read_raw(path, _KDD_COLUMNS), path, _KDD_INCOME, "Never married", 1)
        for name, (path, *_) in find_tables(CENSUS_INCOME, folder).items()
    }
    return checked(CENSUS_INCOME, tables, check)


@loads(ADULT)
def load_adult(folder: Folder, check: Check = "warn") -> Dataset:
    """Adult with the labels ``income`` and ``never_married``; ``?`` is missing.

    Args:
        folder: holds ``adult.data`` and ``adult.test``, or both parts as one CSV or Parquet file.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    tables = {}
    for name, (path, *_) in find_tables(ADULT, folder).items():
        raw, first = name != "all", 1
        if raw:
            # adult.test starts with a line that is no row.
            first = 2 if first_line(path).startswith("|") else 1
            table = _read_raw(path, _ADULT_COLUMNS, skip_rows=first - 1)
        else:
            table = _read_headed(path)
        first_row = first if raw else (None if path.suffix == ".parquet" else 2)
        tables[name] = _labelled(table, path, _ADULT_INCOME, "Never-married", first_row)
    return checked(ADULT, tables, check)


_KDD_INCOME = {"- 50000.": 0, "-50000": 0, "- 50000": 0, "50000+.": 1, "50000+": 1}
_ADULT_INCOME = {"<=50K": 0, "<=50K.": 0, ">50K": 1, ">50K.": 1}


def _as_written(columns: tuple[Column, ...]) -> list[Column]:
    """The income as the text that files hold."""
    return [
        Column(each.name, "other", each.meaning, also=each.also) if each.role == "label" else each
        for each in columns
    ]


def _read_raw(path: Path, columns: tuple[Column, ...], skip_rows: int = 0) -> pa.Table:
    written = _as_written(columns)
    return read_headless(path, written, ",", strip=True, missing=("?",), skip_rows=skip_rows)


def _read_headed(path: Path) -> pa.Table:
    return read_table(path, _as_written(_ADULT_COLUMNS), missing=("?",))


def _labelled(
    table: pa.Table, path: Path, incomes: dict[str, int], never: str, first: int | None
) -> pd.DataFrame:
    """The frame with both labels as integers; the raw marital status stays."""
    frame = table.to_pandas()
    for column in frame.columns[frame.dtypes != np.float64]:
        # Parquet copies keep the mark of a missing answer.
        frame[column] = frame[column].where(frame[column] != "?")
    income = frame["income"].map(incomes)
    odd = income.isna().to_numpy()
    if odd.any():
        row = int(odd.argmax())
        must_be = "one of " + ", ".join(incomes)
        raise wrong_value(path, place(row, first), "income", must_be, frame["income"].iloc[row])
    frame["income"] = income.astype(np.int64)
    frame["never_married"] = (frame["marital_status"] == never).astype(np.int64)
    return frame
