"""Lists written as text -> their items, with Arrow's string kernels.

Text is split at the separator, parts are stripped and empty parts dropped: ``"a, b,,c"`` has three
items. Text enclosed as a whole in ``[]`` or ``()`` is a list as Python, pandas, NumPy or JSON
write it: items stand between commas (numbers also between spaces, as NumPy writes them), quotes
around an item are removed, and an unquoted ``None``, ``nan`` or ``null`` is a missing item. Text
that only begins or only ends like a list, such as ``[1,``, is not enclosed: it is split at the
separator, and its bracket is part of the item ``[1``.

Letters: N rows, M items of all rows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.token_text import TEXT

Items = tuple[pa.Array, np.ndarray]
"""Items of all rows ``(M,)``, and how many each row has ``(N,)``."""

_VIEWS = tuple(
    getattr(pa, name) for name in ("ListViewArray", "LargeListViewArray") if hasattr(pa, name)
)  # from pyarrow 16 on
_NOTHING = pa.array(["None", "nan", "NaN", "NaT", "null", "<NA>"], TEXT)
_NUMBERS = r"^[-+.0-9eE,\s]*$"
_SPACED = r"^[^,\s]+\s[^,]*$"
_QUOTED = r"(?:'[^'\\,]*'|\"[^\"\\,]*\")"
_ALL_QUOTED = rf"^{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?$"
_ITEM = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<bare>[^,]*?))\s*(?:,|$)"""
)


def items_of_text(text: pa.Array, separator: str) -> Items:
    """The items of each text; a missing text has none.

    >>> text = pa.array(["a, b,,c", "['a, b', 'c']", "[1 2]", "[3, None]", None])
    >>> items, lengths = items_of_text(text, ",")
    >>> items.to_pylist(), lengths.tolist()
    (['a', 'b', 'c', 'a, b', 'c', '1', '2', '3', None], [3, 2, 2, 2, 0])
    """
    text = pc.utf8_trim_whitespace(text.cast(TEXT))
    enclosed = _enclosed(text)
    parts: list[tuple[np.ndarray, Callable[[pa.Array], Items]]] = [
        (~enclosed, lambda rows: _split(rows, separator))
    ]
    if enclosed.any():
        text = pc.if_else(pa.array(enclosed), pc.utf8_slice_codeunits(text, 1, -1), text)
        text = pc.utf8_trim_whitespace(text)
        numbers = enclosed & _matches(text, _NUMBERS)
        spaced = numbers & _matches(text, _SPACED)
        simple = enclosed & ~numbers & _matches(text, _ALL_QUOTED)
        quoted = enclosed & ~numbers & ~simple & _matches(text, "['\"]")
        parts += [
            (spaced, _split_spaces),
            (numbers & ~spaced, lambda rows: _split(rows, ",")),
            (simple, _split_quoted),
            (quoted, _parsed),
            (enclosed & ~numbers & ~simple & ~quoted, _split_bare),
        ]
    return _gathered(text, [(rows, split) for rows, split in parts if rows.any()])


def without_views(values: pa.Array) -> pa.Array:
    """Lists that are views of their items as plain lists; anything else as it is."""
    if not isinstance(values, _VIEWS):
        return values
    missing = values.is_null()
    lengths = pc.if_else(missing, 0, values.sizes.cast(pa.int64()))
    offsets = pa.array(np.append(0, np.cumsum(lengths.to_numpy())))
    return pa.LargeListArray.from_arrays(offsets, values.flatten(), mask=missing)


def ragged(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places of the items of ranges that begin at ``starts`` and have these lengths ``(M,)``.

    >>> ragged(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    begins = np.cumsum(lengths) - lengths
    return np.repeat(starts - begins, lengths) + np.arange(int(lengths.sum()))


def _enclosed(text: pa.Array) -> np.ndarray:
    result = np.zeros(len(text), bool)
    for opening, closing in ("[]", "()"):
        begins = _mask(pc.starts_with(text, opening))
        if begins.any():
            result |= begins & _mask(pc.ends_with(text, closing))
    return result & (pc.fill_null(pc.binary_length(text), 0).to_numpy() > 1)


def _gathered(text: pa.Array, parts: list[tuple[np.ndarray, Callable[[pa.Array], Items]]]) -> Items:
    """The items of rows that are split in different ways, in the order of the rows."""
    if len(parts) == 1:
        return parts[0][1](text)
    lengths = np.zeros(len(text), np.int64)
    starts = np.zeros(len(text), np.int64)
    pieces: list[pa.Array] = [pa.array([], TEXT)]
    before = 0
    for rows, split in parts:
        items, counts = split(text.filter(pa.array(rows)))
        pieces.append(items)
        lengths[rows] = counts
        starts[rows] = before + np.cumsum(counts) - counts
        before += len(items)
    return pa.concat_arrays(pieces).take(pa.array(ragged(starts, lengths))), lengths


def _split(text: pa.Array, separator: str) -> Items:
    return _without_empty(pc.split_pattern(text, separator))


def _split_spaces(text: pa.Array) -> Items:
    return _without_empty(pc.utf8_split_whitespace(text))


def _split_quoted(text: pa.Array) -> Items:
    items, lengths = _split(text, ",")
    return pc.utf8_slice_codeunits(items, 1, -1), lengths


def _split_bare(text: pa.Array) -> Items:
    items, lengths = _split(text, ",")
    return pc.if_else(pc.is_in(items, _NOTHING), pa.scalar(None, TEXT), items), lengths


def _without_empty(lists: pa.Array) -> Items:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    items = pc.utf8_trim_whitespace(lists.flatten())
    real = _mask(pc.not_equal(items, pa.scalar("", TEXT)))
    if real.all():
        return items, lengths.astype(np.int64)
    before = np.concatenate([[0], np.cumsum(real)])
    ends = np.cumsum(lengths)
    return items.filter(pa.array(real)), before[ends] - before[ends - lengths]


def _parsed(text: pa.Array) -> Items:
    """Items of lists that hold commas or escapes inside quotes, or both quotes and none."""
    rows = [_parse(row) for row in text.to_pylist()]
    items = [item for row in rows for item in row]
    return pa.array(items, TEXT), np.array([len(row) for row in rows], np.int64)


def _parse(text: str) -> list[str | None]:
    items: list[str | None] = []
    for match in _ITEM.finditer(text):
        quoted, bare = match["quoted"], match["bare"]
        if quoted is not None:
            items.append(_unescaped(quoted))
        elif bare:
            items.append(None if bare in _NOTHING.to_pylist() else bare)
    return items


def _unescaped(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        return quoted[1:-1]


def _matches(text: pa.Array, pattern: str) -> np.ndarray:
    return _mask(pc.match_substring_regex(text, pattern))


def _mask(mask: pa.Array) -> np.ndarray:
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
