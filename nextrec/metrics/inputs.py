"""Arrays from whatever a user holds: numbers, and one id a row that says which list it is in.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nextrec.errors import ConfigError, DataError, invalid

OWNER = "metrics"


def is_tensor(values: Any) -> bool:
    """Is it a torch tensor? Asked without importing torch, which metrics can do without."""
    return hasattr(values, "detach")


def as_numbers(name: str, values: Any) -> np.ndarray:
    """A float array from an array, tensor, series or list; missing values become NaN.

    float32 and float64 stay what they are, so that ties are judged on the values as given.
    """
    if is_tensor(values):
        array = _from_tensor(values)
    elif isinstance(values, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        array = _from_pandas(name, values)
    else:
        array = np.asarray(values)
    if array.dtype.kind == "O":
        array = _floats(name, array)
    if array.dtype.kind not in "fiub":
        raise DataError(invalid(OWNER, name, "numbers", array.dtype.name))
    return array if array.dtype in (np.float32, np.float64) else _widened(array)


def as_column(name: str, values: Any) -> np.ndarray:
    """Numbers ``(N,)``; a single column ``(N, 1)`` is taken as one."""
    array = as_numbers(name, values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{invalid(OWNER, name, 'one number a row', np.shape(array))}")
    return np.ascontiguousarray(array)


def as_table(name: str, values: Any, columns: str) -> np.ndarray:
    """Numbers ``(N, columns)``."""
    array = as_numbers(name, values)
    if array.ndim != 2:
        raise DataError(invalid(OWNER, name, f"a table (rows, {columns})", np.shape(array)))
    return array


def as_weights(values: Any, rows: int) -> np.ndarray | None:
    """Sample weights ``(N,)`` in float64: finite and not negative."""
    if values is None:
        return None
    weights = as_column("weights", values).astype(np.float64)
    check_rows("weights", len(weights), rows)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        must_be = "finite numbers of at least 0"
        raise DataError(f"{invalid(OWNER, 'weights', must_be, float(weights[row]))} Row {row}.")
    return weights


def check_rows(name: str, rows: int, expected: int) -> None:
    """Refuse an array whose rows don't match those of the labels."""
    if rows != expected:
        raise DataError(invalid(OWNER, name, f"one value a row of the {expected} labels", rows))


def check_k(owner: str, k: Any) -> int:
    """A cut: a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError(invalid(owner, "k", "a whole number of at least 1", k))
    return int(k)


def factorize_groups(groups: Any, rows: int) -> np.ndarray:
    """Numbers ``0, 1, ...`` of the groups, ``(N,)``, from ids of any hashable kind.

    Takes arrays of numbers, strings or objects, pandas series (Arrow-backed ones too), Arrow and
    polars columns, tensors and lists. Ids of different types are different groups.

    Raises:
        DataError: another length than ``rows``, or an id that is missing.

    >>> factorize_groups(["b", "a", "b"], 3)
    array([0, 1, 0])
    """
    ids = as_ids(groups)
    check_rows("groups", len(ids), rows)
    try:
        codes, _ = pd.factorize(ids)
    except TypeError as error:
        raise DataError(invalid(OWNER, "groups", "ids that can be hashed", str(error))) from error
    if rows and codes.min() < 0:
        row = int((codes < 0).argmax())
        raise DataError(f"{invalid(OWNER, 'groups', 'one id a row', None)} Row {row}.")
    return codes


def as_ids(groups: Any) -> Any:
    """Ids ``(N,)`` as something pandas factorises without changing them."""
    if is_tensor(groups):
        groups = _from_tensor(groups)
    elif isinstance(groups, (list, tuple)):  # np.asarray would make strings of [1, "a"]
        groups = _objects(groups)
    elif not isinstance(groups, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        groups = np.asarray(groups)
    if getattr(groups, "ndim", 1) == 2 and groups.shape[1] == 1:
        groups = groups[:, 0]
    if getattr(groups, "ndim", 1) != 1:
        raise DataError(invalid(OWNER, "groups", "one id a row", np.shape(groups)))
    return groups


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def _from_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":  # numpy has no such type; float32 holds every value
        tensor = tensor.float()
    return tensor.cpu().numpy()


def _from_pandas(name: str, values: Any) -> np.ndarray:
    try:
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(invalid(OWNER, name, "numbers", str(values.dtype))) from error


def _floats(name: str, array: np.ndarray) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(invalid(OWNER, name, "numbers", str(error))) from error


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)
