"""A column of numbers: missing ones filled, scaled, and kept within float32.

What becomes of a column is told by two words: ``scaler``, a formula of
:mod:`~nextrec.data.transforms.scalers`, and ``fill_na``, what a missing number is replaced by
before it is scaled. Only the statistics that the two need are learned, from the numbers that are
not missing.

Letters: N rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin, first_true
from nextrec.data.transforms.base import (
    TRANSFORMS,
    NothingToLearn,
    Output,
    Payload,
    State,
    Transform,
)
from nextrec.data.transforms.number_state import NumberState, Statistic
from nextrec.data.transforms.numbers import Missing, check_policy, read_numbers
from nextrec.data.transforms.scalers import SCALERS
from nextrec.errors import ConfigError, DataError, NotFittedError, invalid, unknown_option
from nextrec.features import DenseFeature

_FILL_NEEDS: dict[str, Statistic] = {
    "mean": "mean",
    "median": "quantiles",
    "min": "range",
    "max": "range",
}


@TRANSFORMS.register("scale")
class Scale(Transform):
    """Numbers scaled to float32.

    Args:
        name: output column.
        column: input column; default: ``name``.
        scaler: ``standard``, ``minmax``, ``robust``, ``maxabs``, ``log``, ``quantile``,
            ``quantile_normal`` or ``none`` (also ``None``).
        fill_na: what a missing number is replaced by, before scaling: a number, or ``mean``,
            ``median``, ``min`` or ``max`` of the fitted ones; ``None``: their mean.
        missing: ``"error"``: a missing number is an error, in fitting and in applying.
        clip: the smallest and the largest result, after scaling; ``None``: no limit.

    >>> price = Scale("price", scaler="minmax", fill_na=1)
    >>> state = price.state()
    >>> state.update([pa.array([1, 3, None, 5])], first_row=0)
    >>> price.learn(state)
    >>> price.apply([pa.array([2.0, None, 5.0])], first_row=0).values.to_pylist()
    [0.25, 0.0, 1.0]
    """

    kind = "scale"
    role = "numeric"

    def __init__(
        self,
        name: str,
        column: str | None = None,
        scaler: str | None = "standard",
        fill_na: float | str | None = None,
        missing: Missing = "fill",
        clip: Sequence[float] | None = None,
    ) -> None:
        self.name = name
        self.inputs = (name if column is None else column,)
        self.scaler = "none" if scaler is None else scaler
        self.fill_na = fill_na
        self.missing = missing
        self.clip = clip
        self._check()
        self._scaler = SCALERS[self.scaler]()
        fill = None if fill_na is None or isinstance(fill_na, str) else float(fill_na)
        self._fill: float | None = fill
        self._fitted = False

    def _check(self) -> None:
        owner = f"Scale {self.name!r}"
        if self.scaler not in SCALERS:
            raise ConfigError(unknown_option(owner, "scaler", SCALERS, self.scaler))
        check_policy(owner, self.missing)
        fill = self.fill_na
        if isinstance(fill, str) and fill not in _FILL_NEEDS:
            options = ("a number", *_FILL_NEEDS)
            raise ConfigError(unknown_option(owner, "fill_na", options, fill))
        if fill is not None and not isinstance(fill, str) and not _is_finite(fill):
            must_be = f"a finite number, one of {', '.join(_FILL_NEEDS)}, or None"
            raise ConfigError(invalid(owner, "fill_na", must_be, fill))
        if self.clip is not None:
            limits = tuple(self.clip)
            two = len(limits) == 2 and all(map(_is_finite, limits))
            if not two or not limits[0] < limits[1]:
                must_be = "two numbers, the smaller one first, or None"
                raise ConfigError(invalid(owner, "clip", must_be, self.clip))
            self.clip = (float(limits[0]), float(limits[1]))

    @property
    def _owner(self) -> str:
        return f"{self.kind} of column {self.inputs[0]!r}"

    @property
    def _needs(self) -> frozenset[Statistic]:
        """Statistics that scaler and fill read."""
        needs = set(self._scaler.needs)
        if self.missing == "fill" and (self.fill_na is None or isinstance(self.fill_na, str)):
            needs.add(_FILL_NEEDS[self.fill_na or "mean"])
        return frozenset(needs)

    def state(self) -> State:
        """An empty state of what has to be learned."""
        if not self._needs:
            return NothingToLearn()
        return NumberState(self._owner, self._needs, self.missing)

    def learn(self, state: State) -> None:
        """Learn scaling and fill.

        Raises:
            DataError: the column has no value at all.
        """
        if isinstance(state, NumberState):
            if not state.count:
                raise DataError(
                    f"{self._owner}: there is no value to learn from, all are missing; give "
                    "`fill_na` a number and `scaler` 'none' or 'log', or leave the column out."
                )
            self._scaler.fit(state)
            self._fill = self._fill_of(state)
        self._fitted = True

    def _fill_of(self, state: NumberState) -> float | None:
        if self.missing == "error":
            return None
        if self.fill_na is not None and not isinstance(self.fill_na, str):
            return float(self.fill_na)
        if self.fill_na == "median":
            assert state.sketch is not None
            return float(state.sketch.quantiles(np.array([0.5]))[0])
        if self.fill_na in ("min", "max"):
            return state.low if self.fill_na == "min" else state.high
        assert state.sums is not None
        return state.sums.mean

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The scaled column.

        Raises:
            DataError: a value is no finite number, or is beyond float32 after scaling.
            NotFittedError: there is something to learn and it was not.
        """
        if self._needs and not self._fitted:
            raise NotFittedError(f"{self._owner}: fit it before transforming.")
        origin = Origin(self._owner, first_row)
        numbers = read_numbers(columns[0], origin, self.missing)
        fill = 0.0 if self._fill is None else self._fill  # None: then nothing is missing
        scaled = self.scaled(numbers.filled(fill))
        with np.errstate(over="ignore"):
            values = scaled.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            row = first_true(~finite)
            must_be = f"within float32 after scaling, not {scaled[row]:g}"
            raise origin.error(row, must_be, columns[0][row].as_py())
        return Output(pa.array(values), numbers.missing_count, total=len(values))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Numbers ``(N,)``, none missing, scaled and clipped in float64."""
        scaled = self._scaler(values)
        return scaled if self.clip is None else np.clip(scaled, self.clip[0], self.clip[1])

    @property
    def output_type(self) -> pa.DataType:
        """float32."""
        return pa.float32()

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        fill = self.fill_na
        return {
            "name": self.name,
            "column": self.inputs[0],
            "scaler": self.scaler,
            "fill_na": fill if fill is None or isinstance(fill, str) else float(fill),
            "missing": self.missing,
            "clip": None if self.clip is None else list(self.clip),
        }

    def learned(self) -> Payload:
        """What scaler and fill know; nothing before it is fitted."""
        return {"fill": self._fill, **self._scaler.learned()} if self._fitted else {}

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        if payload:
            self._fill = payload["fill"]
            self._scaler.restore(payload)
            self._fitted = True

    def feature(self, arguments: Mapping[str, Any]) -> DenseFeature:
        """A dense feature."""
        return DenseFeature(self.name, **arguments)

    def describe(self) -> str:
        """The scaler."""
        return self.scaler


def _is_finite(value: object) -> bool:
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return False
    return bool(-sys.float_info.max <= value <= sys.float_info.max)
