"""A table of positives, and the same table with sampled negatives as rows.

Letters: N rows of the table, M rows of the result, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import first_true
from nextrec.data.sampling.keys import check_count, codes, key_columns, names_of, one_array
from nextrec.data.sampling.negatives import NegativeMethod, sample_negatives
from nextrec.data.sampling.tables import loaded, take_rows, with_columns
from nextrec.data.sources import column_names, read_table_of
from nextrec.errors import DataError, invalid

_OWNER = "add_negatives"


def add_negatives(
    events: Any,
    user: str,
    item: str,
    label: str = "label",
    ratio: int = 4,
    *,
    items: Any = None,
    seen: Any = None,
    pair_columns: Sequence[str] | None = None,
    method: NegativeMethod = "uniform",
    alpha: float = 0.75,
    exclude_seen: bool = True,
    seed: int = 42,
) -> Any:
    """Put sampled negatives behind every positive of a table.

    A negative is a copy of its positive's row (user, time, history and the like) with another
    item: ``label`` is 0, and every column of the table ``items`` holds the other item's value.
    Columns that belong to the pair, such as a rating, must be named in ``pair_columns``: negatives
    have none, so they are missing there.

    Args:
        events: any table, one row an event.
        user, item: columns of ids of any type.
        label: column of labels. If it is there, rows labelled 1 are the positives, and the other
            rows stay as they are; if not, every row is a positive and the column is added.
        ratio: negatives a positive, all different; fewer when the user has too few items left.
        items: table with one row an item, from which negatives are drawn and whose columns are
            joined; ``None``: the items of ``events`` and ``seen``. Columns that ``events`` lacks
            are joined to all rows; a positive's own values are kept.
        seen: further table with columns ``user`` and ``item`` that are no negatives, such as the
            training events when ``events`` are those to test on.
        pair_columns: columns of ``events`` that are missing in negatives.
        method, alpha, exclude_seen, seed: as for :func:`sample_negatives`; how popular an item
            is, is how many rows of ``events`` and ``seen`` have it. With ``exclude_seen`` no item
            of any row of the user is drawn, whatever its label.

    Returns:
        A table of the kind that came in; each positive is followed by its negatives.

    Raises:
        DataError: a user or item is missing, an item has two rows in ``items``, or types differ.

    >>> events = {"user": ["a", "b"], "item": [1, 2], "day": [5, 6]}
    >>> rows = add_negatives(events, "user", "item", ratio=1, items={"item": [1, 2]})
    >>> {name: list(map(int, rows[name])) for name in ("item", "label", "day")}
    {'item': [1, 2, 2, 1], 'label': [1, 0, 1, 0], 'day': [5, 5, 6, 6]}
    """
    check_count(_OWNER, "ratio", ratio)
    events = loaded(events)
    who, what = key_columns(_OWNER, events, [user, item])
    known_who, known_what = (
        key_columns(f"{_OWNER}, `seen`", seen, [user, item])
        if seen is not None
        else (who.slice(0, 0), what.slice(0, 0))
    )
    users = codes(_joined(user, [who, known_who]))
    catalogue, places = _catalogue(item, [what, known_what], items)
    labels = _labels(events, label)
    positives = np.arange(len(who)) if labels is None else _ones(label, labels)
    listed = places >= 0
    drawn = sample_negatives(
        users[positives],
        (users[listed], places[listed]),
        len(catalogue),
        ratio,
        method,
        alpha,
        exclude_seen,
        seed,
    ).items  # (positives, ratio)

    rows, chosen = _follow(len(who), positives, drawn)
    new = {item: _mixed(what, catalogue, rows, chosen, item)}
    new[label] = _new_labels(labels, rows, chosen)
    for name, values in _item_columns(items, item, user, label).items():
        own = _column(events, name)
        if own is None:
            own = values.take(pa.array(places[: len(who)], mask=places[: len(who)] < 0))
        new[name] = _mixed(own, values, rows, chosen, name)
    for name in names_of(pair_columns):
        own = one_array(read_table_of(events, [name])[name])
        new[name] = own.take(pa.array(rows, mask=chosen >= 0))
    chunked = {name: pa.chunked_array([column]) for name, column in new.items()}
    return with_columns(take_rows(events, rows), chunked)


def _joined(name: str, parts: Sequence[pa.Array]) -> pa.Array:
    """Parts of one column; their types must be one, up to a cast that loses nothing."""
    kind = next((part.type for part in parts if len(part)), parts[0].type)
    try:
        return pa.concat_arrays([part.cast(kind) for part in parts])
    except pa.ArrowException as error:
        types = " and ".join(str(part.type) for part in parts)
        raise DataError(invalid(_OWNER, name, "of one type in all tables", types)) from error


def _catalogue(name: str, used: list[pa.Array], items: Any) -> tuple[pa.Array, np.ndarray]:
    """Items that negatives are drawn from ``(I,)``; the place of each used item there, or -1."""
    joined = _joined(name, used)
    if items is None:
        return joined.unique(), codes(joined)
    (column,) = key_columns(f"{_OWNER}, `items`", items, [name])
    catalogue = _joined(name, [joined, column]).slice(len(joined))
    number = codes(catalogue)
    repeated = first_true(number != np.arange(len(number)))
    if repeated >= 0:
        where = f"{_OWNER}, `items`, row {repeated}"
        raise DataError(invalid(where, name, "an item of no row before", column[repeated].as_py()))
    places = pc.index_in(joined, catalogue)
    return catalogue, pc.fill_null(places, -1).to_numpy().astype(np.int64)


def _column(events: Any, name: str) -> pa.Array | None:
    if name not in column_names(events):
        return None
    return one_array(read_table_of(events, [name])[name])


def _labels(events: Any, label: str) -> pa.Array | None:
    if label not in column_names(events):
        return None
    (labels,) = key_columns(_OWNER, events, [label])
    return labels


def _ones(name: str, labels: pa.Array) -> np.ndarray:
    """Rows with label 1."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(kind(labels.type) for kind in kinds):
        raise DataError(invalid(_OWNER, name, "a column of numbers", str(labels.type)))
    return np.flatnonzero(labels.to_numpy(zero_copy_only=False) == 1)


def _follow(rows: int, positives: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of the result ``(M,)``: the row it comes from, and the item drawn or -1."""
    real = drawn >= 0
    counts = np.ones(rows, dtype=np.int64)
    counts[positives] += real.sum(axis=1)
    source = np.repeat(np.arange(rows), counts)
    chosen = np.full(len(source), -1, dtype=np.int64)
    is_copy = np.ones(len(source), dtype=bool)
    is_copy[np.cumsum(counts) - counts] = False  # the row itself comes first
    chosen[is_copy] = drawn[real]  # both run through the positives in order
    return source, chosen


def _mixed(
    own: pa.Array, of_item: pa.Array, rows: np.ndarray, chosen: np.ndarray, name: str
) -> pa.Array:
    """The row's own value, or the drawn item's ``(M,)``."""
    values = _joined(name, [own, of_item])
    return values.take(pa.array(np.where(chosen >= 0, len(own) + chosen, rows)))


def _new_labels(labels: pa.Array | None, rows: np.ndarray, chosen: np.ndarray) -> pa.Array:
    if labels is None:
        return pa.array((chosen < 0).astype(np.int64))
    own = labels.take(pa.array(rows))
    return pc.if_else(pa.array(chosen < 0), own, pa.scalar(0).cast(labels.type))


def _item_columns(items: Any, item: str, user: str, label: str) -> dict[str, pa.Array]:
    if items is None:
        return {}
    names = [name for name in column_names(items) if name != item]
    for name in names:
        if name in (user, label):
            must_be = f"without the column {name!r}, which is not an item's"
            raise DataError(invalid(_OWNER, "items", must_be, column_names(items)))
    table = read_table_of(items, [item, *names])
    return {name: one_array(table[name]) for name in names}
