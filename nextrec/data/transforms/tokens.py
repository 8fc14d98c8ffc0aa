"""Values become tokens: the one place that decides what text a value is.

A number, a truth value or a moment is one token, however it is stored:

- A number's token is the number, not the type it came in: ``1``, ``1.0`` and ``Decimal("1.00")``
  are all ``"1"``. Whole numbers are written out digit by digit, other numbers as the shortest text
  that reads back as the same number, in Python's notation.
- Truth values are ``true`` and ``false``.
- Moments and times of day are ISO 8601 without trailing zeros of a second, whatever their unit;
  with a time zone they are in UTC and end in ``Z``. A date is ``2024-01-02``: a day, which is not
  the moment ``2024-01-02T00:00:00`` at its start.
- Text is a token as it stands, but for two spellings that files give to numbers and truth values:
  text that writes a whole number with a zero fraction is the token of that number (``"3.0"`` and
  ``"-7.00"`` are ``"3"`` and ``"-7"``; pandas writes whole numbers so beside a gap), and ``True``
  and ``False`` are ``true`` and ``false``. All other text stays: ``"007"``, ``"1.10"``, ``"1e3"``
  and ``" 1"`` are tokens of their own, and so is ``"2024-01-02 00:00:00"``, as pandas writes a
  moment to CSV.
- Missing are null, NaN, ``None`` and ``NaT``.

So what a vocabulary knows, a hash, a cross, an item of a list and a key of a target encoding never
depend on the type of a column.

Columns repeat their values, so all but text is made distinct first and written once a value, and
text is given its one spelling as late as it can be: once a distinct token, or where it is unknown.
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
from nextrec.data.transforms.token_text import TEXT, canonical, text_of
from nextrec.errors import DataError

_MUST_BE = "text, a number, a truth value, a date or a time"
_SAMPLE = 16_384
_FEW = 1_024
_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_FITS_INT64 = 18  # digits with the sign


@dataclass(frozen=True)
class Tokens:
    """The tokens of N values: one text a value, or K texts and which of them each value has."""

    written: pa.Array
    """``(N,)``, or ``(K,)`` with ``codes``, ``large_string``; null is missing; may repeat."""
    codes: np.ndarray | None = None
    """Place in ``written`` of each value ``(N,)``, -1 for a missing one."""
    as_read: bool = False
    """Whether ``written`` is text of a column, which may spell a token in another way."""

    def __len__(self) -> int:
        return len(self.written) if self.codes is None else len(self.codes)

    @cached_property
    def text(self) -> pa.Array:
        """The tokens, as ``written`` but in their one spelling."""
        return canonical(self.written) if self.as_read else self.written

    @property
    def repeats(self) -> bool:
        """Whether it is faster to give distinct texts their one spelling first, by a sample."""
        if not self.as_read or self.codes is not None or len(self.written) <= _SAMPLE:
            return False
        sample = self.written[:_FEW]
        return canonical(sample) is not sample and not mostly_distinct(self.written)

    @cached_property
    def missing(self) -> np.ndarray:
        """Which values are missing ``(N,)``."""
        return self.spread(np.zeros(len(self.written), bool), True)

    @cached_property
    def missing_count(self) -> int:
        """How many values are missing."""
        if self.codes is None:
            return int(self.written.null_count)
        return int(np.count_nonzero(self.missing))

    def spread(self, of_text: np.ndarray, of_missing: Any) -> np.ndarray:
        """What each text has ``(N,)`` or ``(K,)`` as what each value has ``(N,)``."""
        if self.written.null_count:
            null = _mask(self.written.is_null())
            of_text = np.where(null, np.asarray(of_missing, of_text.dtype), of_text)
        if self.codes is None:
            return of_text
        # The code of a missing value is -1: the last place.
        return np.append(of_text, np.asarray(of_missing, of_text.dtype))[self.codes]

    def filled(self, token: str) -> Tokens:
        """The same tokens with ``token`` in the place of missing ones."""
        written = pc.fill_null(self.written, pa.scalar(token, TEXT))
        if self.codes is None or self.codes.min(initial=0) >= 0:
            return Tokens(written, self.codes, self.as_read)
        codes = np.where(self.codes < 0, len(written), self.codes)
        written = pa.concat_arrays([written, pa.array([token], TEXT)])
        return Tokens(written, codes, self.as_read)

    def counted(self) -> tuple[pa.Array, np.ndarray]:
        """Texts, none missing but perhaps repeated, and how many values are counted for each."""
        if self.codes is not None:
            counts = np.bincount(self.codes + 1, minlength=len(self.written) + 1)[1:]
            used = (counts > 0) & _mask(self.written.is_valid())
            return self.text.filter(pa.array(used)), counts[used]
        written = self.written.drop_null() if self.written.null_count else self.written
        if mostly_distinct(written):
            return Tokens(written, None, self.as_read).text, np.ones(len(written), np.int64)
        counted = written.value_counts()
        texts = Tokens(counted.field("values"), None, self.as_read).text
        return texts, counted.field("counts").to_numpy()

    def distinct(self) -> Tokens:
        """The same tokens with codes."""
        if self.codes is not None:
            return self
        encoded = self.written.dictionary_encode()
        return Tokens(encoded.dictionary, _codes(encoded.indices), self.as_read)


def tokens_of(values: pa.Array, origin: Origin) -> Tokens:
    """The token of each value ``(N,)``.

    Of a dictionary-encoded array only the dictionary is written as text. Run-end encoding and
    extension types are undone first.

    Raises:
        DataError: a list, a struct or a duration, or bytes that are not UTF-8; names the row.
    """
    values = decoded(values)
    data_type = values.type
    encoded = values
    if not (pa.types.is_dictionary(data_type) or is_text(data_type) or pa.types.is_null(data_type)):
        encoded = _encoded(values)
    try:
        has_codes = pa.types.is_dictionary(encoded.type)
        distinct = encoded.dictionary if has_codes else encoded
        text = _text_of(distinct, values, origin)
        as_read = is_text(distinct.type) or "binary" in str(distinct.type)
        return Tokens(text, _codes(encoded.indices) if has_codes else None, as_read)
    except pa.ArrowInvalid:
        if pa.types.is_dictionary(data_type):  # the culprit may be an entry that no row uses
            return tokens_of(values.dictionary_decode(), origin)
        raise _first_refused(values, origin) from None


def decoded(values: pa.Array) -> pa.Array:
    """The values without extension type and run-end encoding.

    >>> runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"]))
    >>> decoded(runs[1:]).to_pylist()
    ['a', 'b']
    """
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if isinstance(values, pa.RunEndEncodedArray):  # Arrow itself decodes some types only
        places = np.arange(values.offset, values.offset + len(values))
        runs = np.searchsorted(values.run_ends.to_numpy(), places, side="right")
        values = values.values.take(pa.array(runs))
    return values


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
