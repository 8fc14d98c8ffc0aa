"""Candidates to rank for each user: some positives among items they never touched.

Letters: P positives, C negatives each at most, M rows of the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import numeric, plain
from nextrec.data.files import require_columns
from nextrec.data.lists import Origin, is_text
from nextrec.data.sampling.keys import check_count, key_columns, moments, one_array
from nextrec.data.sampling.seen import SeenItems
from nextrec.data.sampling.tables import in_kind_of, loaded
from nextrec.data.sampling.unseen import draw_unseen
from nextrec.data.sources import column_names, frame_kind, open_source, read_table_of
from nextrec.errors import DataError, invalid

_OWNER = "build_eval_candidates"


def build_eval_candidates(
    df_all: Any,
    user_col: str,
    item_col: str,
    label_col: str,
    user_features: Any,
    item_features: Any,
    num_pos_per_user: int = 5,
    num_neg_per_pos: int = 50,
    random_seed: int = 2025,
    *,
    time_col: str | None = None,
) -> Any:
    """Candidates to rank: each user's first positives, each followed by items they never touched.

    Users come in the order of their first row. Positives come in the order of the rows, or with
    ``time_col`` the newest first.

    Args:
        df_all: any table of all interactions; labels are numbers or booleans, and one of 1 is a
            positive. A row without user or item (missing) is left out.
        user_features, item_features: any tables of one row a user and an item (the first counts);
            negatives are drawn from the items here.
        num_pos_per_user: different positive items a user at most.
        num_neg_per_pos: negatives of each positive, drawn without replacement; fewer when the
            user has touched nearly all items: all that are left.
        time_col: column of ``df_all`` by which a user's newest positives are chosen; of equal
            times the later row is the newer.

    Returns:
        A table of the kind of ``df_all`` (Arrow for files, data sets, streams and row dicts) with
        the columns user, item, label (1 or 0), then those of both feature tables; missing where a
        user or item has no row there. Names in both get ``_x`` and ``_y``.

    Raises:
        DataError: a column is missing, a time is missing, a label is text, or ``df_all`` and
            ``item_features`` have no item in common.
    """
    check_count(_OWNER, "num_pos_per_user", num_pos_per_user)
    check_count(_OWNER, "num_neg_per_pos", num_neg_per_pos)
    names = user_col, item_col, label_col
    options = (num_pos_per_user, num_neg_per_pos), random_seed, time_col
    if isinstance(df_all, pd.DataFrame):
        users, items = (
            each if isinstance(each, pd.DataFrame) else read_table_of(each).to_pandas()
            for each in (user_features, item_features)
        )
        return _candidates(df_all, names, users, items, *options)
    in_memory = frame_kind(df_all) in ("polars", "dict")
    events = loaded(df_all) if in_memory else open_source(df_all)  # a stream is read only once
    used = [*names, *([time_col] if time_col else [])]
    require_columns(used, column_names(events), "`df_all`")
    frame = _arrow_frame(read_table_of(events, used))
    users, items = _arrow_frame(user_features), _arrow_frame(item_features)
    table = _as_table(_candidates(frame, names, users, items, *options))
    return in_kind_of(events if in_memory else table, table)


def _candidates(
    df_all: pd.DataFrame,
    names: tuple[str, str, str],
    user_features: pd.DataFrame,
    item_features: pd.DataFrame,
    counts: tuple[int, int],
    random_seed: int,
    time_col: str | None,
) -> pd.DataFrame:
    user_col, item_col, label_col = names
    columns = [user_col, item_col, label_col, *([time_col] if time_col else [])]
    require_columns(columns, list(df_all.columns), "`df_all`")
    require_columns([user_col], list(user_features.columns), "`user_features`")
    require_columns([item_col], list(item_features.columns), "`item_features`")
    _refuse_taken(user_col, item_col, label_col, user_features, item_features)

    users, user_names = pd.factorize(df_all[user_col])
    items, item_names = pd.factorize(df_all[item_col])
    catalogue = pd.Index(item_features[item_col].dropna().unique())
    places = catalogue.get_indexer(item_names)  # by item code; -1: no features
    if not len(catalogue) or (len(places) and (places < 0).all()):
        got = f"{list(item_names[:3])} and {list(catalogue[:3])}"
        must_be = "a column of `df_all` and `item_features` with ids in common"
        raise DataError(invalid(_OWNER, item_col, must_be, got))

    there = (users >= 0) & (items >= 0)
    liked = there & _liked(df_all, label_col)
    order = _newest_first(df_all, time_col)
    positives = _first_of_each(users, items, order[liked[order]], counts[0])
    known = np.flatnonzero(there)
    known = known[places[items[known]] >= 0]
    seen = SeenItems(users[known], places[items[known]], len(catalogue))
    random = np.random.default_rng(random_seed)
    drawn = draw_unseen(users[positives], seen, counts[1], random)  # (P, C)

    row, chosen = _follow(drawn)
    user = users[positives][row]
    item = np.where(chosen < 0, items[positives][row], len(item_names) + chosen)
    every_item = item_names.append(catalogue)
    keys = {user_col: user_names.take(user), item_col: every_item.take(item)}
    candidates = pd.DataFrame({**keys, label_col: (chosen < 0).astype(np.int64)})
    of_user = _features(user_features, user_col, user_names, user)
    of_item = _features(item_features, item_col, every_item, item)
    both = of_user.columns.intersection(of_item.columns)
    of_user = of_user.rename(columns={name: f"{name}_x" for name in both})
    of_item = of_item.rename(columns={name: f"{name}_y" for name in both})
    return pd.concat([candidates, of_user, of_item], axis=1)


def _arrow_frame(data: Any) -> pd.DataFrame:
    """Any table as a pandas frame of Arrow's types, which missing values don't change."""
    table = read_table_of(data)
    columns = [plain(column) for column in table.columns]
    columns = [
        column.cast(pa.large_string()) if is_text(column.type) else column for column in columns
    ]
    whole = pa.table(columns, table.column_names)
    return whole.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


def _as_table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _liked(df_all: pd.DataFrame, label_col: str) -> np.ndarray:
    """Which rows are positives ``(N,)``; one without a label is none."""
    labels = one_array(read_table_of({"label": df_all[label_col]})["label"])
    origin = Origin(f"{_OWNER}, {label_col!r}", 0)
    labels = numeric(labels, origin, "a number or a boolean", ": map it to 0 and 1 first")
    liked = pc.equal(labels.cast(pa.float64(), safe=False), 1.0)
    return pc.fill_null(liked, False).to_numpy(zero_copy_only=False)


def _refuse_taken(
    user_col: str,
    item_col: str,
    label_col: str,
    user_features: pd.DataFrame,
    item_features: pd.DataFrame,
) -> None:
    frames = {
        "user_features": (user_features, {item_col, label_col}),
        "item_features": (item_features, {user_col, label_col}),
    }
    for parameter, (frame, taken) in frames.items():
        for name in frame.columns:
            if name in taken:
                must_be = f"a frame without the column {name!r}, which the result has already"
                raise DataError(invalid(_OWNER, parameter, must_be, list(frame.columns)))


def _newest_first(df_all: pd.DataFrame, time_col: str | None) -> np.ndarray:
    """Rows in the order in which positives are chosen."""
    if time_col is None:
        return np.arange(len(df_all))
    (times,) = key_columns(_OWNER, df_all, [time_col])
    return np.argsort(moments(_OWNER, time_col, times).values, kind="stable")[::-1]


def _first_of_each(
    users: np.ndarray, items: np.ndarray, rows: np.ndarray, count: int
) -> np.ndarray:
    """Each user's first ``count`` different items ``(P,)``, users in order of their codes.

    Args:
        rows: rows to choose from, the first choice first.
    """
    pairs = users[rows] * (int(items.max(initial=0)) + 1) + items[rows]
    _, first = np.unique(pairs, return_index=True)
    rows = rows[np.sort(first)]
    rows = rows[np.argsort(users[rows], kind="stable")]
    sizes = np.bincount(users[rows])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows[place < count]


def _follow(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of the result ``(M,)``: its positive, and the item drawn or -1 for itself."""
    laid_out = np.concatenate([np.full((len(drawn), 1), -1), drawn], axis=1)
    real = laid_out >= 0
    real[:, 0] = True
    return np.nonzero(real)[0], laid_out[real]


def _features(frame: pd.DataFrame, key: str, names: pd.Index, codes: np.ndarray) -> pd.DataFrame:
    """The features of users or items given by codes ``(M,)``, each the place of its name."""
    frame = frame.drop_duplicates(key)
    rows = pd.Index(frame[key]).get_indexer(names)[codes]
    values = frame.drop(columns=key).reset_index(drop=True)
    # Missing values may change a column's type, so that only missing rows bring them in.
    values = values.reindex(rows) if (rows < 0).any() else values.take(rows)
    return values.reset_index(drop=True)
