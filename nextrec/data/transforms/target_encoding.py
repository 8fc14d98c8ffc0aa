"""The mean label of a category as a number, of which no row sees its own label.

Letters: N rows, C categories, K folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from nextrec.data.lists import Origin, first_true
from nextrec.data.transforms.base import TRANSFORMS, Output, Payload, Role, Transform
from nextrec.data.transforms.category_keys import keys_of
from nextrec.data.transforms.encoding_state import EncodingState, folds_of
from nextrec.data.transforms.grouped_sums import BITS, Doubled, Limbs
from nextrec.data.transforms.token_index import TokenIndex
from nextrec.errors import ConfigError, DataError, NotFittedError, invalid, unknown_option
from nextrec.features import DenseFeature, Feature

TARGET_TYPES = ("binary", "regression")


@TRANSFORMS.register("target_encoding")
class TargetEncode(Transform):
    r"""The mean label of each category, drawn to the mean of all labels where rows are few.

    A category with ``n`` labels of sum ``s`` becomes ``(s + m p) / (n + m)``, where ``p`` is the
    mean of all labels and ``m`` the smoothing. ``"auto"`` estimates it for each category, with
    the variances ``v`` of all labels and ``w`` of the category's (empirical Bayes):
    ``l s / n + (1 - l) p`` with ``l = n v / (n v + w)``.

    Data that was fitted is encoded out of fold: a row's category, mean and variance are those of
    the other folds, otherwise the encoding of a rare category tells the row's own label. A row's
    fold is a hash of its ``fold_by`` columns, so copies of a row share a fold, and neither the
    order nor the cutting of the data matters, nor how it is stored: a number, a truth value or a
    moment is in the same fold as its text in a CSV file, but a list is not. Unseen and missing
    categories become ``p``.

    Source: D. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes
    in classification and prediction problems", SIGKDD Explorations, 2001.

    Args:
        name: the output column.
        target: the column of labels: 0 and 1, or numbers of a regression.
        columns: the column, or columns, whose values together are the category; default ``name``.
        smoothing: ``m``, in rows, or ``"auto"``.
        folds: number of folds.
        fold_by: columns that tell rows apart; the target is none of them, and they are not only
            columns of the category. The processor fills in all its other input columns.
        seed: of the hash.
        missing: ``fill`` or ``error``, for a missing category.
        target_type: type of the target where it is known; a ``multiclass`` one is refused.

    Raises:
        ConfigError: a setting is wrong.
    """

    kind: ClassVar[str] = "target_encoding"
    role: Role = "numeric"

    def __init__(
        self,
        name: str,
        target: str,
        columns: str | Sequence[str] | None = None,
        smoothing: float | Literal["auto"] = 10.0,
        folds: int = 5,
        fold_by: Sequence[str] | None = None,
        seed: int = 0,
        missing: Literal["fill", "error"] = "fill",
        target_type: str | None = None,
    ) -> None:
        columns = name if columns is None else columns
        self.inputs = (columns,) if isinstance(columns, str) else tuple(columns)
        self.name, self.target, self.missing, self.target_type = name, target, missing, target_type
        self.smoothing, self.folds, self.seed = smoothing, folds, seed
        self.owner = f"{self.kind} of column {' x '.join(map(repr, self.inputs))}"
        self._check()
        self.fold_by = fold_by
        self._index: TokenIndex | None = None
        self._encodings = np.empty((0, 0))
        """``(K + 1, C + 1)``: of all rows, then without each fold; the last column is ``p``."""

    def _check(self) -> None:
        must_be = None
        number = isinstance(self.smoothing, Real) and not isinstance(self.smoothing, bool)
        if self.smoothing != "auto" and not (number and 0 <= float(self.smoothing) < math.inf):
            must_be = ("smoothing", "'auto' or a number of at least 0")
        elif not isinstance(self.folds, Integral) or self.folds < 2:
            must_be = ("folds", "an integer of at least 2")
        elif not isinstance(self.seed, Integral):
            must_be = ("seed", "an integer")
        elif not self.inputs or self.target in self.inputs:
            must_be = ("inputs", "at least one column, and not the target")
        elif self.target_type == "multiclass":
            must_be = ("target_type", "'binary' or 'regression': classes have no mean")
        if must_be:
            raise ConfigError(invalid(self.owner, *must_be, getattr(self, must_be[0])))
        if self.target_type not in (None, *TARGET_TYPES):
            options = unknown_option(self.owner, "target_type", TARGET_TYPES, self.target_type)
            raise ConfigError(options)
        if self.missing not in ("fill", "error"):
            options = unknown_option(self.owner, "missing", ("fill", "error"), self.missing)
            raise ConfigError(options)

    @property
    def fold_by(self) -> tuple[str, ...] | None:
        """The columns whose values make a row's fold; ``None`` until they are known."""
        return self._fold_by

    @fold_by.setter
    def fold_by(self, columns: Sequence[str] | None) -> None:
        if columns is not None and (
            isinstance(columns, str) or self.target in columns or set(columns) <= set(self.inputs)
        ):
            must_be = "columns that tell rows apart: not the target, and others than the category's"
            raise ConfigError(invalid(self.owner, "fold_by", must_be, columns))
        self._fold_by = None if columns is None else tuple(columns)

    @property
    def fit_inputs(self) -> tuple[str, ...]:
        """The columns of the category, the target and the columns that make folds."""
        return (*self.inputs, self.target, *(self.fold_by or ()))

    def state(self) -> EncodingState:
        """An empty state."""
        if self.fold_by is None:
            must_be = "columns that tell rows apart, before it is fitted"
            raise ConfigError(invalid(self.owner, "fold_by", must_be, None))
        return EncodingState(self.owner, len(self.inputs), self.folds, self.seed)

    def state_type(self) -> type[EncodingState]:
        """The class of the states."""
        return EncodingState

    def learn(self, state: EncodingState) -> None:
        """Make the encodings, of all rows and without each fold."""
        text = state.sums.table["text"].combine_chunks()
        categories = text.unique().drop_null().sort()
        index = TokenIndex(categories)
        rows = index.find(text)
        rows[rows < 0] = len(categories)  # a missing category counts for the mean of all
        cells = rows * self.folds + state.sums.table["number"].to_numpy()

        def spread(values: np.ndarray) -> np.ndarray:
            table = np.zeros((len(categories) + 1) * self.folds, np.int64)
            table[cells] = values
            return table.reshape(-1, self.folds)

        counts = spread(state.sums.table["count"].to_numpy())  # (C + 1, K)
        sums = {key: spread(limb) for key, limb in state.sums.limbs("sum").items()}
        squares = {key: spread(limb) for key, limb in state.sums.limbs("square").items()}
        total = counts.sum()
        if not total:
            must_be = "a column with at least one label"
            raise DataError(invalid(self.owner, "target", must_be, "only missing ones"))
        if counts.sum(axis=0).max() == total:
            must_be = "columns that tell rows apart, so that there are several folds"
            raise DataError(invalid(self.owner, "fold_by", must_be, self.fold_by))
        chosen = [np.arange(self.folds) != fold for fold in (-1, *range(self.folds))]
        self._encodings = np.stack([self._encoded(counts, sums, squares, each) for each in chosen])
        self._index = index

    def _encoded(
        self, counts: np.ndarray, sums: Limbs, squares: Limbs, folds: np.ndarray
    ) -> np.ndarray:
        """The encoding of every category by the rows of some folds, then the mean ``(C + 1,)``."""
        count = counts[:, folds].sum(axis=1)  # (C + 1,)
        sums = {key: limb[:, folds].sum(axis=1) for key, limb in sums.items()}
        squares = {key: limb[:, folds].sum(axis=1) for key, limb in squares.items()}
        total, sum_, square = int(count.sum()), _exact(sums), _exact(squares)
        mean = float(sum_ / total)
        variance = float((total * square - sum_ * sum_) / total**2)
        of_category = Doubled.of(sums, count.shape)
        number = count.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.smoothing == "auto":
                zero = np.zeros_like(number)
                scatter = Doubled.of(squares, count.shape).times(Doubled(number, zero))
                scatter = scatter.minus(of_category.times(of_category))  # n^2 times the variance
                own = np.maximum(scatter.high, 0.0) / number**2
                weight = variance * number / (variance * number + own)
                encoded = weight * (of_category.high / number) + (1 - weight) * mean
            else:
                smoothing = float(self.smoothing)
                encoded = (of_category.high + smoothing * mean) / (number + smoothing)
        encoded[np.isnan(encoded)] = mean  # no rows, or no variance at all
        encoded[-1] = mean
        return encoded

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The encodings by all fitted rows."""
        return self._apply(columns, 0, first_row)

    def apply_to_fitted(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The encodings by the rows of the other folds, given ``fit_inputs``."""
        origin = Origin(self.owner, first_row)
        folds = folds_of(columns[len(self.inputs) + 1 :], origin, self.folds, self.seed)
        return self._apply(columns[: len(self.inputs)], folds + 1, first_row)

    def _apply(self, columns: Sequence[pa.Array], rows: int | np.ndarray, first_row: int) -> Output:
        if self._index is None:
            raise NotFittedError(f"{self.owner}: fit it before transform.")
        keys = keys_of(columns, Origin(self.owner, first_row))
        missing = keys.codes < 0
        if self.missing == "error" and missing.any():
            raise Origin(self.owner, first_row).error(first_true(missing), "present", None)
        places = np.append(self._index.find(keys.text), -1)[keys.codes]  # (N,), -1: the mean
        values = self._encodings[rows, places].astype(np.float32)
        missing_count = int(np.count_nonzero(missing))
        unknown = int(np.count_nonzero(places < 0)) - missing_count
        return Output(pa.array(values), missing_count, unknown, len(values))

    @property
    def output_type(self) -> pa.DataType:
        """float32."""
        return pa.float32()

    @property
    def encodings(self) -> dict[str, float]:
        """The encoding of each category by all fitted rows (several columns: a joined key)."""
        categories = [] if self._index is None else self._index.tokens.to_pylist()
        values = self._encodings[0, :-1].tolist() if categories else []
        return dict(zip(categories, values, strict=True))

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("name", "target", "smoothing", "folds", "seed", "missing", "target_type")
        fold_by = None if self.fold_by is None else list(self.fold_by)
        values = {name: getattr(self, name) for name in names}
        return {**values, "columns": list(self.inputs), "fold_by": fold_by}

    def learned(self) -> Payload:
        """The categories and their encodings."""
        return {
            "categories": None if self._index is None else self._index.tokens,
            "encodings": pa.array(self._encodings.ravel()),
        }

    def restore(self, payload: Payload) -> None:
        """Set what :meth:`learned` wrote."""
        categories = payload["categories"]
        self._index = None if categories is None else TokenIndex(categories)
        rows = self.folds + 1 if categories is not None else 0
        self._encodings = payload["encodings"].to_numpy().reshape(rows, -1 if rows else 0)

    def feature(self, arguments: Mapping[str, Any]) -> Feature:
        """A dense feature."""
        return DenseFeature(self.name, **arguments)

    def describe(self) -> str:
        """What the encoding is a mean of."""
        return f"mean of {self.target}, {self.folds} folds"


def _exact(limbs: Limbs) -> Fraction:
    """The sum of the numbers that limbs make."""
    total = Fraction(0)
    for key, limb in limbs.items():
        whole = (int((limb >> 16).sum()) << 16) + int((limb & 0xFFFF).sum())
        total += whole * Fraction(2) ** (BITS * key)
    return total
