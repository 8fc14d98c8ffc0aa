"""Reads the ``.pkl`` files that 0.3.1's ``DataProcessor.save`` wrote, without running them.

A pickle is a program. This reader lets only those of its instructions pass that build plain
values, and only the few names that such a file needs; each name stands for an inert class of this
module, so nothing of NumPy or scikit-learn is imported or called, whatever the file says. The rest
is one dataclass of plain values.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from nextrec.data.legacy_content import (
    LegacyNumeric,
    LegacyProcessor,
    LegacySequence,
    LegacySparse,
    LegacyTarget,
)
from nextrec.data.legacy_transforms import to_transforms
from nextrec.errors import CheckpointError

__all__ = ["LegacyProcessor", "read_legacy", "to_transforms"]

LARGEST_FILE = 1 << 30
"""Bytes. What is built from a file takes a small multiple of them."""
SCALERS = ("standard", "minmax", "robust", "maxabs", "log", "none")
TARGET_TYPES = ("binary", "multiclass", "regression")
# What pickle's protocols 4 and 5 need for plain values and objects. Absent: persistent ids,
# extension codes, names of the old protocols, and memo entries at a place of the file's choice.
_INSTRUCTIONS = """
PROTO FRAME STOP MARK MEMOIZE BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2
LONG1 LONG4 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8
BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM
SETITEMS STACK_GLOBAL REDUCE NEWOBJ BUILD
"""
INSTRUCTIONS = frozenset(_INSTRUCTIONS.split())
_NUMBERS = re.compile(r"[iuf][1248]|b1")
_TEXTS = re.compile(r"U[1-9]\d{0,8}")


def read_legacy(path: str | Path) -> LegacyProcessor:
    """Read a processor that 0.3.1 saved.

    Raises:
        CheckpointError: there is no such file, it is cut short, it is something else, or it names
            what such a file never needs. Nothing in the file is run.
    """
    where = str(path)
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_FILE:
            raise CheckpointError(f"{where}: {size:,} bytes are too many for a saved processor.")
        return _processor(_Content(where, _unpickled(Path(path).read_bytes()), "the file"))
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{where}: not readable ({error.strerror}).") from error
    except _RefusedError as error:
        raise CheckpointError(
            f"{where}: refused, for it holds {error}, which no processor of NextRec 0.3.1 does. "
            "Nothing in it was run."
        ) from None
    except Exception as error:  # whatever a broken program stumbles over
        raise CheckpointError(
            f"{where}: not a processor of NextRec 0.3.1, or cut short ({error})."
        ) from error


def _unpickled(data: bytes) -> Any:
    for instruction, _, _ in pickletools.genops(data):
        if instruction.name not in INSTRUCTIONS:
            raise _RefusedError(f"the instruction {instruction.name}")
    return _Unpickler(io.BytesIO(data)).load()


class _RefusedError(Exception):
    """A pickle wants more than plain values."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise _RefusedError(f"the name {module}.{name}") from None


class _Inert:
    """What a name in a file stands for. No state can be put into the class itself."""

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("a state where none belongs")


class _Estimator(_Inert):
    """Stands for an object of scikit-learn: keeps its attributes, does nothing."""

    state: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise _RefusedError("an estimator without attributes")
        self.state = state


class _Dtype(_Inert):
    """Stands for a NumPy type; only numbers, text and objects exist."""

    def __init__(self, name: object = "", *_: object) -> None:
        known = isinstance(name, str) and (
            name == "O8" or _NUMBERS.fullmatch(name) or _TEXTS.fullmatch(name)
        )
        if not known:
            raise _RefusedError(f"an array of type {name!r}")
        self.name = str(name)
        self.order = "<"

    def __setstate__(self, state: object) -> None:
        plain = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
        if not plain or state[1] not in ("<", ">", "|", "="):  # type: ignore[index]
            raise _RefusedError("an array of a structured type")
        self.order = state[1]  # type: ignore[index]

    def values(self, data: object, count: int) -> list[Any]:
        """Python values of an array's content."""
        if self.name == "O8":
            fits = isinstance(data, list) and len(data) == count
            values = data
        else:
            dtype = np.dtype(self.order.replace("=", "<") + self.name)
            fits = isinstance(data, (bytes, bytearray)) and len(data) == count * dtype.itemsize
            values = np.frombuffer(data, dtype).tolist() if fits else None  # type: ignore[call-overload]
        if not fits or not isinstance(values, list):
            raise _RefusedError("an array whose content does not fit its shape")
        return values


class _Array(_Inert):
    """Stands for a NumPy array of one dimension."""

    def __init__(self, *_: object) -> None:
        self.values: list[Any] = []

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _RefusedError("an array without content")
        _, shape, dtype, _, data = state
        self.fill(data, dtype, shape)

    def fill(self, data: object, dtype: object, shape: object) -> _Array:
        one_dimension = isinstance(shape, tuple) and len(shape) == 1 and isinstance(shape[0], int)
        if not one_dimension or not isinstance(dtype, _Dtype):
            raise _RefusedError("an array that is no list of values")
        self.values = dtype.values(data, shape[0])  # type: ignore[index]
        return self


class _Scalar(_Inert):
    """Stands for the function that makes a NumPy number; becomes Python's."""

    def __new__(cls, dtype: object, data: object) -> Any:
        return _Array().fill(data, dtype, (1,)).values[0]


class _FromBuffer(_Inert):
    """Stands for the function that makes an array of bytes (protocol 5)."""

    def __new__(cls, data: object, dtype: object, shape: object, order: object) -> Any:
        return _Array().fill(data, dtype, shape)


def _known_names() -> dict[tuple[str, str], type[_Inert]]:
    names: dict[tuple[str, str], type[_Inert]] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("sklearn.preprocessing._label", "LabelEncoder"): type("LabelEncoder", (_Estimator,), {}),
    }
    for core in ("numpy.core", "numpy._core"):  # before and from NumPy 2 on
        names[f"{core}.multiarray", "_reconstruct"] = _Array
        names[f"{core}.multiarray", "scalar"] = _Scalar
        names[f"{core}.numeric", "_frombuffer"] = _FromBuffer
    for scaler in ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler"):
        names["sklearn.preprocessing._data", scaler] = type(scaler, (_Estimator,), {})
    return names


_NAMES = _known_names()


@dataclass(frozen=True)
class _Content:
    """A dict of the file, read with checks."""

    path: str
    values: Any
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.values, dict):
            self.fail("", "a dict", self.values)

    def fail(self, key: str, must_be: str, got: object) -> NoReturn:
        what = f"{self.name}[{key!r}]" if key else self.name
        shown = repr(got)[:80] if isinstance(got, (str, int, float)) else type(got).__name__
        message = f"{what} must be {must_be}; got {shown}."
        raise CheckpointError(f"{self.path}: not a processor of NextRec 0.3.1: {message}")

    def dict_of(self, key: str) -> _Content:
        return _Content(self.path, self.values.get(key, {}), f"{self.name}[{key!r}]")

    def each(self) -> dict[str, _Content]:
        for key in self.values:
            if not isinstance(key, str):
                self.fail("", "a dict with names of columns", key)
        return {key: self.dict_of(key) for key in self.values}

    def word(self, key: str, options: tuple[str, ...]) -> str:
        value = self.values.get(key)
        if value is None and "none" in options:
            value = "none"
        if value not in options:
            self.fail(key, f"one of {', '.join(options)}", value)
        return str(value)

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, Real):
            self.fail(key, "a number or None", value)
        return None if value is None or math.isnan(value) else float(value)

    def integer(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, Integral):
            self.fail(key, "an integer or None", value)
        return None if value is None else int(value)

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, (str, int, float)):
            self.fail(key, "text", value)
        return str(value)


def _processor(content: _Content) -> LegacyProcessor:
    parts = ("numeric_features", "sparse_features", "sequence_features", "target_features")
    if missing := [name for name in parts if name not in content.values]:
        content.fail("", f"a dict with {', '.join(missing)}", f"{len(content.values)} others")
    numeric, sparse, sequence, targets = (content.dict_of(name).each() for name in parts)
    scalers = content.dict_of("scalers")
    encoders = content.dict_of("label_encoders")
    maps = content.dict_of("target_encoders")
    return LegacyProcessor(
        content.path,
        content.text("processor_version", "unknown"),
        bool(content.values.get("is_fitted", False)),
        {name: _numeric(each, scalers, name) for name, each in numeric.items()},
        {name: _sparse(each, encoders, name) for name, each in sparse.items()},
        {name: _sequence(each, encoders, name) for name, each in sequence.items()},
        {name: _target(each, maps, name) for name, each in targets.items()},
    )


def _numeric(config: _Content, scalers: _Content, name: str) -> LegacyNumeric:
    statistics = None
    if name in scalers.values:
        state = _state_of(scalers, name)
        arrays = {key: each.values for key, each in state.items() if isinstance(each, _Array)}
        for key, values in arrays.items():
            if len(values) != 1 or not isinstance(values[0], Real):
                scalers.fail(name, f"a scaler of one column, but {key} is not", values)
        statistics = {key: float(values[0]) for key, values in arrays.items()}
    scaler = config.word("scaler", SCALERS)
    return LegacyNumeric(
        scaler, config.number("fill_na"), config.number("fill_na_value"), statistics
    )


def _sparse(config: _Content, encoders: _Content, name: str) -> LegacySparse:
    return LegacySparse(
        config.word("encode_method", ("label", "hash")),
        config.integer("hash_size"),
        config.text("fill_na", "<UNK>"),
        _tokens(encoders, name),
    )


def _sequence(config: _Content, encoders: _Content, name: str) -> LegacySequence:
    return LegacySequence(
        config.word("encode_method", ("label", "hash")),
        config.integer("hash_size"),
        config.integer("max_len") or 50,
        config.integer("pad_value") or 0,
        config.word("truncate", ("pre", "post")),
        config.text("separator", ","),
        _tokens(encoders, name),
    )


def _tokens(encoders: _Content, name: str) -> tuple[str, ...] | None:
    if name not in encoders.values:
        return None
    classes = _state_of(encoders, name).get("classes_")
    if not isinstance(classes, _Array) or not all(isinstance(each, str) for each in classes.values):
        encoders.fail(name, "an encoder of text", classes)
    return tuple(classes.values)


def _state_of(estimators: _Content, name: str) -> Mapping[str, Any]:
    estimator = estimators.values[name]
    if not isinstance(estimator, _Estimator):
        estimators.fail(name, "an object of scikit-learn", estimator)
    return estimator.state


def _target(config: _Content, maps: _Content, name: str) -> LegacyTarget:
    target_type = config.word("target_type", TARGET_TYPES)
    source = maps if maps.values.get(name) is not None else config
    key = name if source is maps else "label_map"
    label_map = source.values.get(key)
    if label_map is None or target_type == "regression":
        return LegacyTarget(target_type, None)
    if not isinstance(label_map, dict):
        source.fail(key, "a dict from labels to classes", label_map)
    for label, code in label_map.items():
        if not isinstance(label, (str, int, float)) or not isinstance(code, int):
            source.fail(key, "a dict from labels to classes", label)
    return LegacyTarget(target_type, {str(label): int(code) for label, code in label_map.items()})
