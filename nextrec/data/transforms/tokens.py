"""Values become tokens: the one place that decides what text a value is.

A number's token is the number, not the type it came in: ``1``, ``1.0`` and ``Decimal("1.00")`` are
all ``"1"``. Whole numbers are written out digit by digit, other numbers as the shortest text that
reads back as the same number, in Python's notation. Text is a token as it stands. Truth values are
``true`` and ``false``; dates and times are ISO 8601 without trailing zeros of a second, and with a
time zone they are in UTC and end in ``Z``. Missing are null, NaN, ``None`` and ``NaT``.

Columns repeat their values, so all but text is made distinct first and written once a value.
Letters: N values, K distinct ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, is_text
from nextrec.data.transforms.token_text import TEXT, is_number, text_of
from nextrec.errors import DataError

_MUST_BE = "text, a number, a truth value, a date or a time"
_SAMPLE = 16_384
_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_FITS_INT64 = 18  # digits with the sign


@dataclass(frozen=True)
class Tokens:
    """The tokens of N values: one text a value, or K texts and which of them each value has."""

    text: pa.Array
    """``(N,)``, or ``(K,)`` with ``codes``, ``large_string``; null is missing; may repeat."""
    numeric: bool
    """Whether all values that are there were numbers (truth values are not)."""
    codes: np.ndarray | None = None
    """Place in ``text`` of each value ``(N,)``, -1 for a missing one."""

    def __len__(self) -> int:
        return len(self.text) if self.codes is None else len(self.codes)

    @cached_property
    def missing(self) -> np.ndarray:
        """Which values are missing ``(N,)``."""
        return self.spread(np.zeros(len(self.text), bool), True)

    @cached_property
    def missing_count(self) -> int:
        """How many values are missing."""
        if self.codes is None:
            return int(self.text.null_count)
        return int(np.count_nonzero(self.missing))

    def spread(self, of_text: np.ndarray, of_missing: Any) -> np.ndarray:
        """What each text has ``(N,)`` or ``(K,)`` as what each value has ``(N,)``."""
        if self.text.null_count:
            null = _mask(self.text.is_null())
            of_text = np.where(null, np.asarray(of_missing, of_text.dtype), of_text)
        if self.codes is None:
            return of_text
        # The code of a missing value is -1: the last place.
        return np.append(of_text, np.asarray(of_missing, of_text.dtype))[self.codes]

    def filled(self, token: str) -> Tokens:
        """The same tokens with ``token`` in the place of missing ones."""
        text = pc.fill_null(self.text, pa.scalar(token, TEXT))
        if self.codes is None or self.codes.min(initial=0) >= 0:
            return Tokens(text, self.numeric, self.codes)
        text = pa.concat_arrays([text, pa.array([token], TEXT)])
        codes = np.where(self.codes < 0, len(self.text), self.codes)
        return Tokens(text, self.numeric, codes)

    def counted(self) -> tuple[pa.Array, np.ndarray]:
        """Texts, none missing but perhaps repeated, and how many values are counted for each."""
        if self.codes is not None:
            counts = np.bincount(self.codes + 1, minlength=len(self.text) + 1)[1:]
            used = (counts > 0) & _mask(self.text.is_valid())
            return self.text.filter(pa.array(used)), counts[used]
        text = self.text.drop_null() if self.text.null_count else self.text
        if mostly_distinct(text):
            return text, np.ones(len(text), np.int64)
        counted = text.value_counts()
        return counted.field("values"), counted.field("counts").to_numpy()

    def distinct(self) -> Tokens:
        """The same tokens with codes."""
        if self.codes is not None:
            return self
        encoded = self.text.dictionary_encode()
        return Tokens(encoded.dictionary, self.numeric, _codes(encoded.indices))


def tokens_of(values: pa.Array, origin: Origin) -> Tokens:
    """The token of each value ``(N,)``.

    Of a dictionary-encoded array only the dictionary is written as text.

    Raises:
        DataError: a list, a struct or a duration, or bytes that are not UTF-8; names the row.
    """
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    data_type = values.type
    encoded = values
    if not (pa.types.is_dictionary(data_type) or is_text(data_type) or pa.types.is_null(data_type)):
        encoded = _encoded(values)
    try:
        has_codes = pa.types.is_dictionary(encoded.type)
        distinct = encoded.dictionary if has_codes else encoded
        text = _text_of(distinct, values, origin)
        numeric = is_number(distinct.type) or encoded.null_count == len(encoded)
        return Tokens(text, numeric, _codes(encoded.indices) if has_codes else None)
    except pa.ArrowInvalid:
        if pa.types.is_dictionary(data_type):  # the culprit may be an entry that no row uses
            return tokens_of(values.dictionary_decode(), origin)
        raise _first_refused(values, origin) from None


def token_order(tokens: pa.Array) -> np.ndarray:
    """Places of distinct tokens, none missing, in the order of ids ``(K,)``.

    By value when all are whole numbers, otherwise by code point.

    >>> token_order(pa.array(["10", "9", "-1"])).tolist()
    [2, 1, 0]
    >>> token_order(pa.array(["10", "9", "a"])).tolist()
    [0, 1, 2]
    """
    if not pc.all(pc.match_substring_regex(tokens, _CANONICAL_INTEGER), min_count=0).as_py():
        return pc.array_sort_indices(tokens).to_numpy()
    lengths = pc.binary_length(tokens).to_numpy()
    if lengths.max(initial=0) <= _FITS_INT64:
        return np.argsort(tokens.cast(pa.int64()).to_numpy(), kind="stable")
    # Of two numbers of one sign the longer one, or the later text, is further from zero.
    below_zero = _mask(pc.starts_with(tokens, "-"))
    by_size = pc.sort_indices(
        pa.table({"length": lengths, "text": tokens}),
        sort_keys=[("length", "ascending"), ("text", "ascending")],
    ).to_numpy()
    negative = below_zero[by_size]
    return np.concatenate([by_size[negative][::-1], by_size[~negative]])


def _encoded(values: pa.Array) -> pa.Array:
    try:
        return values.dictionary_encode()
    except pa.ArrowNotImplementedError:  # of rare types, and of those that are refused below
        return values


def _text_of(distinct: pa.Array, values: pa.Array, origin: Origin) -> pa.Array:
    text = text_of(distinct)
    if text is not None:
        return text
    if values.null_count == len(values):
        return pa.nulls(len(distinct), TEXT)
    raise _refused(values, int(np.argmax(_mask(values.is_valid()))), origin)


def _first_refused(values: pa.Array, origin: Origin) -> DataError:
    """The error about the first value that has no text, found by bisection."""
    start, stop = 0, len(values)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            text_of(values[start:middle])
            start = middle
        except pa.ArrowInvalid:
            stop = middle
    return _refused(values, start, origin)


def _refused(values: pa.Array, place: int, origin: Origin) -> DataError:
    value = values[place]
    must_be = "bytes of UTF-8 text" if "binary" in str(value.type) else _MUST_BE
    try:
        return origin.error(place, must_be, value.as_py())
    except (OverflowError, ValueError):  # a date that Python does not have
        return origin.error(place, must_be, f"{value.type} {getattr(value, 'value', '')}")


def mostly_distinct(text: pa.Array) -> bool:
    """Whether making the text distinct would hardly make it shorter, by its first values."""
    sample = text[:_SAMPLE]
    return len(text) > len(sample) and pc.count_distinct(sample).as_py() > 0.75 * len(sample)


def _codes(indices: pa.Array) -> np.ndarray:
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), -1)
    codes = indices.to_numpy()
    return codes if codes.dtype in (np.int32, np.int64) else codes.astype(np.int64)


def _mask(mask: pa.Array) -> np.ndarray:
    return mask.to_numpy(zero_copy_only=False)
