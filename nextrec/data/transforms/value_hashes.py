"""A hash of each value of a column that is the same however the value is stored.

It decides which rows share a fold, so what a file makes of a value must not matter, while values
that merely have one hash do no harm:

- Numbers of any type and text that writes one in decimal, ``7``, ``"7"``, ``"7.0"`` and ``"007"``,
  are hashed as the float64 that is nearest to the shortest text of the number. Integers beyond
  ``2^53`` so share a hash with their neighbours. Infinities are hashed as numbers.
- Truth values and the text ``true``, ``True`` and ``TRUE`` (and of ``false``) are 1 and 0.
- Moments of any unit, days, and text of a day or a moment as ISO 8601, pandas and Polars write it,
  are hashed as the seconds since 1970 and the nanoseconds beyond; a day is its first moment. With
  an offset from UTC or a time zone they are taken in UTC, without one as they stand.
- Other text, times of day and bytes are hashed as their tokens.
- Lists are hashed item by item. A list and the text that joins its items differ.

Letters: N values, K distinct texts.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.columns import NUMBER_TEXT
from nextrec.data.lists import Origin, is_list
from nextrec.data.transforms.hashing import hash_tokens
from nextrec.data.transforms.list_text import without_views
from nextrec.data.transforms.token_text import TEXT, is_number
from nextrec.data.transforms.tokens import decoded, mostly_distinct, tokens_of

_MASK = (1 << 64) - 1
_MISSING = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_WORDS = pa.array(["false", "False", "FALSE", "true", "True", "TRUE", "inf", "-inf"], TEXT)
_OF_WORDS = np.array([0, 0, 0, 1, 1, 1, np.inf, -np.inf])
_MOMENT = (
    r"^(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[ T](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<part>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?)?$"
)
_IN_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def value_hashes(column: pa.Array, origin: Origin, seed: int) -> np.ndarray:
    """The hash of each value ``(N,)`` uint64; all missing ones have one.

    >>> numbers, text = pa.array([12.0, 0.5, None]), pa.array(["12", "0.50", None])
    >>> here = Origin("column 'x'", 0)
    >>> bool((value_hashes(numbers, here, 0) == value_hashes(text, here, 0)).all())
    True
    """
    column = without_views(decoded(column))
    kind = column.type
    if is_list(kind):
        return _list_hashes(column, origin, seed)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _with_missing(_moment_hashes(*_moments(column), seed), column)
    if pa.types.is_boolean(kind) or (is_number(kind) and not pa.types.is_float16(kind)):
        return _number_hashes(_numbers(column), seed)
    tokens = tokens_of(column, origin)
    if tokens.codes is None and not mostly_distinct(tokens.written):
        tokens = tokens.distinct()
    return tokens.spread(_text_hashes(tokens.text, seed), _MISSING)


def mixed(hashes: np.ndarray) -> np.ndarray:
    """Every bit depends on every bit: the last step of SplitMix64.

    G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA, 2014.
    """
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def joined(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One hash of two, in which their order matters ``(N,)``."""
    return mixed(hashes * _STEP + others)


def _seeded(values: np.ndarray, seed: int) -> np.ndarray:
    return mixed(values.view(np.uint64) + np.uint64(seed * int(_STEP) & _MASK))


def _with_missing(hashes: np.ndarray, column: pa.Array) -> np.ndarray:
    if not column.null_count:
        return hashes
    return np.where(column.is_null().to_numpy(zero_copy_only=False), _MISSING, hashes)


def _number_hashes(numbers: np.ndarray, seed: int) -> np.ndarray:
    hashes = _seeded(numbers + 0.0, seed)  # -0.0 becomes 0.0
    return np.where(np.isnan(numbers), _MISSING, hashes)


def _numbers(column: pa.Array) -> np.ndarray:
    """Each number as float64 ``(N,)``, missing ones as NaN."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_float32(kind) or pa.types.is_decimal(kind):
        column = column.cast(TEXT)  # 0.1 in 32 bits is not 0.1 in 64, but has its shortest text
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _moments(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970 and the nanoseconds beyond ``(N,)``, missing ones as any."""
    if pa.types.is_timestamp(column.type):
        in_a_second = _IN_A_SECOND[column.type.unit]
        units = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    else:
        in_a_second = 1
        units = pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), 0).to_numpy()
        units = units.astype(np.int64) * 86_400
    seconds, beyond = np.divmod(units, in_a_second)
    return seconds, beyond * (1_000_000_000 // in_a_second)


def _moment_hashes(seconds: np.ndarray, nanoseconds: np.ndarray, seed: int) -> np.ndarray:
    return joined(_seeded(seconds, seed), nanoseconds.view(np.uint64))


def _text_hashes(text: pa.Array, seed: int) -> np.ndarray:
    """The hash of each token ``(K,)``: of the number or moment that it writes, or of its text."""
    hashes = hash_tokens(text, seed)
    words = pc.index_in(text, _WORDS, skip_nulls=True)
    known = np.flatnonzero(words.is_valid().to_numpy(zero_copy_only=False))
    hashes[known] = _number_hashes(_OF_WORDS[words.drop_null().to_numpy()], seed)
    # What a number or a moment begins with lies between these two; all else is told apart fast.
    begins = pc.and_(
        pc.greater_equal(text, pa.scalar("+", TEXT)), pc.less(text, pa.scalar(":", TEXT))
    )
    rows = _places(begins)
    chosen = text.take(pa.array(rows))
    number = pc.match_substring_regex(chosen, NUMBER_TEXT)
    numbers = pc.utf8_trim_whitespace(chosen.filter(number)).cast(pa.float64()).to_numpy()
    hashes[rows[_places(number)]] = _number_hashes(numbers, seed)
    rows, chosen = rows[_places(pc.invert(number))], chosen.filter(pc.invert(number))
    places, seconds, nanoseconds = _moments_of_text(chosen)
    hashes[rows[places]] = _moment_hashes(seconds, nanoseconds, seed)
    return hashes


def _moments_of_text(text: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which texts write a moment, then its seconds and nanoseconds as :func:`_moments` has them."""
    parts = pc.extract_regex(text, _MOMENT)
    places = _places(parts.is_valid())
    day, time, part, zone = parts.drop_null().flatten()
    time = pc.if_else(pc.equal(time, ""), pa.scalar("00:00:00", TEXT), time)
    moment = pc.binary_join_element_wise(day, time, pa.scalar(" ", TEXT))
    moment = pc.strptime(moment, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    real = moment.is_valid()
    moment, part, zone = (each.filter(real) for each in (moment, part, zone))
    seconds = moment.cast(pa.int64()).to_numpy() - _offsets(zone)
    nanoseconds = pc.utf8_rpad(part, 9, "0").cast(pa.int64()).to_numpy()
    return places[_places(real)], seconds, nanoseconds


def _offsets(zone: pa.Array) -> np.ndarray:
    """Seconds that local time is ahead of UTC ``(N,)``, of ``+02:00``, ``+0200``, ``Z`` or none."""
    digits = pc.replace_substring_regex(zone, r"[^0-9]", "")
    number = pc.utf8_rpad(digits, 4, "0").cast(pa.int64()).to_numpy()
    sign = np.where(pc.starts_with(zone, "-").to_numpy(zero_copy_only=False), -1, 1)
    hours, minutes = np.divmod(number, 100)
    return sign * (hours * 3_600 + minutes * 60)


def _list_hashes(column: pa.Array, origin: Origin, seed: int) -> np.ndarray:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    items = value_hashes(column.flatten(), origin.flattened(lengths), seed)
    place = np.arange(len(items)) - np.repeat(starts, lengths)
    items = mixed(items + place.astype(np.uint64) * _STEP)
    sums = np.append(np.uint64(0), np.cumsum(items, dtype=np.uint64))  # modulo 2^64
    hashes = mixed(sums[ends] - sums[starts] + lengths.astype(np.uint64))
    return _with_missing(hashes, column)


def _places(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))
