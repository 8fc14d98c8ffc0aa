"""Whether a value is missing, as a feature of its own.

A model that sees a filled-in number can't tell it from a real one; this column tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.transforms.base import TRANSFORMS, Output, Transform
from nextrec.features import DenseFeature


@TRANSFORMS.register("is_missing")
class IsMissing(Transform):
    """1 where the input is null or NaN, 0 elsewhere; of a column of any type.

    Args:
        name: output column.
        column: input column; default: ``name``.

    >>> no_price = IsMissing("no_price", "price")
    >>> no_price.apply([pa.array(["1", None])], first_row=0).values.to_pylist()
    [0.0, 1.0]
    """

    kind = "is_missing"
    role = "numeric"

    def __init__(self, name: str, column: str | None = None) -> None:
        self.name = name
        self.inputs = (name if column is None else column,)

    def apply(self, columns: Sequence[pa.Array], first_row: int) -> Output:
        """The flags."""
        missing = columns[0].is_null(nan_is_null=True)
        count = pc.sum(missing).as_py() or 0
        return Output(missing.cast(pa.float32()), count, total=len(missing))

    @property
    def output_type(self) -> pa.DataType:
        """float32."""
        return pa.float32()

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {"name": self.name, "column": self.inputs[0]}

    def feature(self, arguments: Mapping[str, Any]) -> DenseFeature:
        """A dense feature."""
        return DenseFeature(self.name, **arguments)
