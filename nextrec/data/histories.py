"""Sequence columns of any form -> ids ``(N, L)``, right-padded, newest items kept.

Letters: N rows, L ``max_len``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nextrec.data.columns import ids, owner_of
from nextrec.data.lists import Origin, flatten, refuse_missing
from nextrec.features import SequenceFeature


def sequence_values(values: pa.Array, feature: SequenceFeature, first_row: int) -> np.ndarray:
    """A sequence feature's ids ``(N, L)`` int64.

    Every form that :func:`~nextrec.data.lists.flatten` reads is accepted, a missing history is
    empty. A missing item, an item that is not an integer or one outside the vocabulary is a
    DataError, wherever in the history it stands.
    """
    origin = Origin(owner_of(feature), first_row)
    flat, lengths = flatten(values, origin, pa.int64())
    origin = origin.flattened(lengths)
    refuse_missing(flat, origin, "a history without missing items")
    items = ids(flat, feature, origin)
    return pad_newest(items, lengths, feature.max_len, feature.padding_id)


def pad_newest(items: np.ndarray, lengths: np.ndarray, max_len: int, padding_id: int) -> np.ndarray:
    """Lay ragged histories out as rows of ``max_len`` ids, padded on the right.

    Padding at the end of a history is dropped before it is cut, so that the newest real items
    stay: the last ``max_len`` of them.

    Args:
        items: ids of all histories, one after another.
        lengths: ids of each history ``(N,)``.

    >>> pad_newest(np.array([1, 2, 3, 4, 5, 0]), np.array([4, 0, 2]), 3, 0)
    array([[2, 3, 4],
           [0, 0, 0],
           [5, 0, 0]])
    """
    rows = len(lengths)
    width = len(items) // rows if rows else 0
    result = np.full((rows, max_len), padding_id, dtype=np.int64)
    if width <= max_len and (lengths == width).all():
        result[:, :width] = items.reshape(rows, width)
        return result
    ends = np.cumsum(lengths)
    starts = ends - lengths
    # real_until[i]: one past the last real item among the first i; 0 when there is none.
    real_until = np.zeros(len(items) + 1, dtype=np.int64)
    real_until[1:] = np.where(items != padding_id, np.arange(1, len(items) + 1), 0)
    np.maximum.accumulate(real_until, out=real_until)
    stops = np.maximum(real_until[ends], starts)
    begins = np.maximum(starts, stops - max_len)
    columns = np.arange(max_len)
    filled = columns < (stops - begins)[:, None]  # (N, L)
    result[filled] = items[(begins[:, None] + columns)[filled]]
    return result
