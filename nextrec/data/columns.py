"""One Arrow column with one value a row -> one checked NumPy array.

Each function takes a piece of a column and its origin, and refuses what does not fit: nothing is
cast, cut or filled in silently. Letters: N rows, D numbers a row.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.lists import Origin, first_true, flatten, is_list, is_text, refuse_missing
from nextrec.errors import DataError
from nextrec.features import UNKNOWN_ID, DenseFeature, SparseFeature, TableFeature

NUMBER_TEXT = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def owner_of(feature: SparseFeature | DenseFeature | TableFeature) -> str:
    """A feature's class and name, as errors print them."""
    return f"{type(feature).__name__} {feature.name!r}"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Undo the encodings that carry no meaning here: dictionaries and extension types."""
    if isinstance(column.type, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, type=column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def numeric(values: pa.Array, origin: Origin, must_be: str, advice: str = "") -> pa.Array:
    """The values if they are numbers or booleans, some perhaps missing; otherwise an error.

    ``advice`` ends the message for a column of text.
    """
    data_type = values.type
    if is_text(data_type):
        looks_right = pc.fill_null(pc.match_substring_regex(values, NUMBER_TEXT), True)
        wrong = first_true(pc.invert(looks_right))
        # When all look like numbers, the type itself is wrong: show the first value.
        wrong = wrong if wrong >= 0 else max(first_true(values.is_valid()), 0)
        raise origin.error(wrong, f"{must_be}, not text{advice}", values[wrong].as_py())
    if pa.types.is_null(data_type) or pa.types.is_decimal(data_type):
        return values.cast(pa.float64())
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(kind(data_type) for kind in kinds):
        got = "lists" if is_list(data_type) else str(data_type)
        raise DataError(f"{origin.owner}: the column must hold {must_be}; got {got}.")
    return values


def numbers(values: pa.Array, origin: Origin, must_be: str, advice: str = "") -> np.ndarray:
    """Numbers and booleans, none missing, in their own type ``(N,)``."""
    values = numeric(values, origin, must_be, advice)
    refuse_missing(values, origin, f"{must_be}: fill missing values first")
    return values.to_numpy(zero_copy_only=False)


def ids(values: pa.Array, feature: TableFeature, origin: Origin) -> np.ndarray:
    """Ids of a feature's table ``(N,)`` int64, checked against its vocabulary.

    An id outside the vocabulary is an error, or the unknown id when the feature says so.
    """
    size = feature.vocab_size
    must_be = f"an integer id in [0, {size}), the vocabulary"
    raw = numbers(values, origin, must_be, ": encode it first, for example with DataProcessor")
    if raw.size == 0:
        return raw.astype(np.int64)
    if raw.dtype.kind == "f":
        wrong = first_true(~(np.isfinite(raw) & (np.floor(raw) == raw)))
        if wrong >= 0:
            raise origin.error(wrong, must_be, raw[wrong])
    if raw.min() >= 0 and raw.max() < size:
        return raw.astype(np.int64, copy=False)
    outside = (raw < 0) | (raw >= size)
    if feature.out_of_range == "error" or size <= UNKNOWN_ID:
        wrong = first_true(outside)
        raise origin.error(wrong, must_be, raw[wrong])
    return np.where(outside, UNKNOWN_ID, raw).astype(np.int64)


def sparse_values(values: pa.Array, feature: SparseFeature, first_row: int) -> np.ndarray:
    """A sparse feature's ids ``(N,)`` int64."""
    return ids(values, feature, Origin(owner_of(feature), first_row))


def dense_values(values: pa.Array, feature: DenseFeature, first_row: int) -> np.ndarray:
    """A dense feature's numbers ``(N, D)`` float32, ``D = input_dim``; NaN and inf are refused."""
    origin = Origin(owner_of(feature), first_row)
    width = feature.input_dim
    if width > 1 or is_list(values.type):
        values, lengths = _vectors(values, width, origin)
        origin = origin.flattened(lengths)
    must_be = "a finite number"
    raw = numbers(values, origin, must_be, ": parse or encode it first")
    with np.errstate(over="ignore"):  # a float64 that float32 can't hold is reported below
        result = raw.astype(np.float32)
    wrong = first_true(~np.isfinite(result))
    if wrong >= 0:
        raise origin.error(wrong, f"{must_be} in float32: fill missing values first", raw[wrong])
    return result.reshape(-1, width)


def _vectors(values: pa.Array, width: int, origin: Origin) -> tuple[pa.Array, np.ndarray]:
    flat, lengths = flatten(values, origin, pa.float64())
    wrong = first_true(lengths != width)
    if wrong >= 0:
        raise origin.error(wrong, f"a vector of {width} number(s)", values[wrong].as_py())
    return flat, lengths


def label_values(values: pa.Array, target: str, first_row: int) -> np.ndarray:
    """Labels ``(N,)`` float32; a missing label is NaN, which means not observed."""
    origin = Origin(f"target {target!r}", first_row)
    must_be = "a finite number, or missing"
    if is_list(values.type):
        values, _ = _vectors(values, 1, origin)
    values = numeric(values, origin, must_be, ": map it to numbers first")
    if values.null_count:
        values = pc.fill_null(values.cast(pa.float64(), safe=False), np.nan)
    raw = values.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        result = raw.astype(np.float32)
    wrong = first_true(np.isinf(result))
    if wrong >= 0:
        raise origin.error(wrong, must_be, raw[wrong])
    return result


def weight_values(values: pa.Array, name: str, first_row: int) -> np.ndarray:
    """Sample weights ``(N,)`` float32, finite and not negative."""
    origin = Origin(f"weight column {name!r}", first_row)
    must_be = "a finite number of at least 0"
    raw = numbers(values, origin, must_be)
    with np.errstate(over="ignore"):
        result = raw.astype(np.float32)
    wrong = first_true(~(np.isfinite(result) & (result >= 0)))
    if wrong >= 0:
        raise origin.error(wrong, must_be, raw[wrong])
    return result


def id_values(column: pa.ChunkedArray) -> np.ndarray | pa.Array:
    """An id column as it is ``(N,)``: NumPy where NumPy has the type, otherwise an Arrow array."""
    column = plain(column)
    simple = pa.types.is_primitive(column.type) and not column.null_count
    if simple and not getattr(column.type, "tz", None):
        return column.to_numpy()
    if pa.types.is_string(column.type):
        column = column.cast(pa.large_string())  # joined chunks may pass 2 GiB
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)
