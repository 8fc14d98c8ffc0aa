"""Diginetica (CIKM Cup 2016, track 2): what visitors of a shop looked at, session by session."""

from __future__ import annotations

from typing import NamedTuple

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
from nextrec.data.datasets.encoding import lists_of
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.readers import read_table
from nextrec.errors import DataError

_SESSION = Column("session_id", "user", "visit", "int", ("sessionId",))
_USER = Column("user_id", "other", "visitor; mostly missing", "int", ("userId",))
_ITEM = Column("item_id", "item", "product", "int", ("itemId",))
_QUERY = Column("query_id", "other", "search that showed it", "int", ("queryId",))
_TIME = Column("timeframe", "time", "milliseconds since the session's first event", "int")
_DATE = Column("event_date", "other", "day, as 2016-05-09", also=("eventdate",))
_LISTS = "prepared: lists of items, numbered from 1 by first appearance in train"

DIGINETICA = DatasetDescription(
    name="diginetica",
    what="product views of a web shop",
    rows=1_235_380,
    task="session",
    licence="research, as the challenge states",
    citation=(
        "DIGINETICA. CIKM Cup 2016 Track 2: Personalized E-Commerce Search Challenge. Sessions: "
        "Shu Wu et al. Session-Based Recommendation with Graph Neural Networks. AAAI 2019."
    ),
    source="https://competitions.codalab.org/competitions/11161",
    tables=(
        TableDescription(
            "item_views",
            ("train-item-views.csv", "train-item-views.csv.gz"),
            (_SESSION, _USER, _ITEM, _TIME, _DATE),
            "header, ; between, NA is missing",
        ),
        TableDescription(
            "purchases",
            ("train-purchases.csv",),
            (
                _SESSION,
                _USER,
                _TIME,
                _DATE,
                Column("order_number", "other", "order", "int", ("ordernumber",)),
                _ITEM,
            ),
            "as item views",
        ),
        TableDescription("clicks", ("train-clicks.csv",), (_QUERY, _TIME, _ITEM), "as item views"),
        TableDescription(
            "products",
            ("products.csv",),
            (
                _ITEM,
                Column("price_log2", "numeric", "log2 of the price", "real", ("pricelog2",)),
                Column("name_tokens", "other", "hashed words", also=("product.name.tokens",)),
            ),
            "as item views",
        ),
        TableDescription(
            "categories",
            ("product-categories.csv",),
            (_ITEM, Column("category_id", "categorical", "category", "int", ("categoryId",))),
            "as item views",
        ),
        TableDescription(
            "train",
            ("train_sessions.parquet", "train.parquet"),
            (Column("items", "list", "products of a session in order", "list"),),
            _LISTS,
        ),
        TableDescription(
            "test",
            ("test.parquet",),
            (
                Column("prefix", "list", "products so far", "list"),
                Column("target", "item", "the next product", "int"),
            ),
            _LISTS,
        ),
    ),
    layouts=(("item_views",), ("train", "test")),
    counts=(
        Count("item_views", 1_235_380),
        Count("purchases", 18_025),
        Count("clicks", 1_127_764),
        Count("products", 184_047),
        Count("train", 186_670),
        Count("train", 43_097, "items", "distinct"),
        Count("test", 60_858),
    ),
    notes=(
        "The split of NARM and SR-GNN (the last seven days test; every prefix of a test session is "
        "a row) is not the leave-one-out split of RecBole: their numbers do not compare.",
    ),
)


@loads(DIGINETICA)
def load_diginetica(folder: Folder, check: Check = "warn") -> Dataset:
    """Diginetica: the raw tables (``item_views`` ...), or prepared ``train`` and ``test`` sessions.

    Args:
        folder: holds ``train-item-views.csv``, or ``train_sessions.parquet`` and ``test.parquet``.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    tables = {
        name: read_table(path, DIGINETICA.table(name).columns, ";", missing=("NA",)).to_pandas()
        for name, (path, *_) in find_tables(DIGINETICA, folder).items()
    }
    return checked(DIGINETICA, tables, check)


class Sessions(NamedTuple):
    """Sessions to train on, and prefixes with the next item to test on."""

    train: pd.DataFrame
    """``items``: arrays of ids from 1 by first appearance."""
    test: pd.DataFrame
    """``prefix``: an array of ids; ``target``: the id that came next."""
    items: np.ndarray
    """The product of each id; ``items[id - 1]``."""


def diginetica_sessions(
    item_views: pd.DataFrame, min_views: int = 5, test_days: int = 7
) -> Sessions:
    """Train and test sessions from raw views, by the rule of NARM and SR-GNN.

    Sessions of one view are dropped, then items of fewer than ``min_views`` views, then sessions
    left with one view. A session's day is the day of its last view in the file. Those later than
    ``test_days`` before the last day are test; a session exactly that old is in neither part.
    Views of a test session whose item never occurs in train are dropped, then sessions of one view.
    Every prefix of a test session is a row, longest first.

    Args:
        item_views: the table of :func:`load_diginetica`.
        min_views: views that an item needs.
        test_days: days at the end that are tested on.

    Raises:
        DataError: a view has no day, or nothing is left.

    Source: Jing Li et al. Neural Attentive Session-based Recommendation. CIKM 2017; Shu Wu et al.
    Session-Based Recommendation with Graph Neural Networks. AAAI 2019.
    """
    views = item_views[["session_id", "item_id", "timeframe"]].copy()
    views["day"] = pd.to_datetime(item_views["event_date"], format="%Y-%m-%d", errors="coerce")
    if views["day"].isna().any():
        row = int(views["day"].isna().to_numpy().argmax())
        got = item_views["event_date"].iloc[row]
        raise DataError(
            f"diginetica, row {row}: `event_date` must be a day such as 2016-05-09; got {got!r}."
        )
    views["day"] = views.groupby("session_id")["day"].transform("last")
    views = _of_size(views, "session_id", 2)
    views = _of_size(_of_size(views, "item_id", min_views), "session_id", 2)
    if views.empty:
        raise DataError("diginetica: no session of two views is left after the filters.")
    cut = views["day"].max() - pd.Timedelta(days=test_days)
    # Sessions of one day stay in the order of the file.
    views["session"] = pd.factorize(views["session_id"])[0]
    views = views.sort_values(["day", "session", "timeframe"], kind="stable")
    train, test = views[views["day"] < cut], views[views["day"] > cut]
    items = pd.unique(train["item_id"])
    test = _of_size(test[test["item_id"].isin(items)], "session_id", 2)
    numbers = pd.Index(items)
    return Sessions(
        pd.DataFrame({"items": _by_session(train, numbers).to_pandas()}),
        _prefixes(_by_session(test, numbers)),
        items,
    )


def _of_size(views: pd.DataFrame, column: str, least: int) -> pd.DataFrame:
    return views[views.groupby(column)[column].transform("size") >= least]


def _by_session(views: pd.DataFrame, numbers: pd.Index) -> pa.ListArray:
    """A list of ids for each session; the views of one lie together."""
    first = np.flatnonzero((views["session"] != views["session"].shift()).to_numpy())
    lengths = np.diff(np.append(first, len(views)))
    return lists_of(lengths, numbers.get_indexer(pd.Index(views["item_id"])) + 1)


def _prefixes(sessions: pa.ListArray) -> pd.DataFrame:
    """A row for each item but the first: what came before it, and it; longest first."""
    flat, lengths = sessions.flatten().to_numpy(), sessions.value_lengths().to_numpy()
    first = np.repeat(sessions.offsets.to_numpy()[:-1], lengths - 1)
    rows = lengths - 1
    # Within a session of n items the prefixes have n - 1, n - 2, ..., 1 items.
    before = np.repeat(np.cumsum(rows) - rows, rows)
    size = np.repeat(rows, rows) - (np.arange(rows.sum()) - before)
    ends = np.cumsum(size)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - (ends - size), size)
    frame = pd.DataFrame({"prefix": lists_of(size, flat[places]).to_pandas()})
    frame["target"] = flat[first + size]
    return frame
