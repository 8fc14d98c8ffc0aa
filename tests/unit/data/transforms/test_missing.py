"""IsMissing on columns of every kind."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from nextrec.data.transforms.base import TRANSFORMS, NothingToLearn
from nextrec.data.transforms.missing import IsMissing
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.features import DenseFeature


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None]), [0, 1]),
        (pa.array([1.0, float("nan"), None]), [0, 1, 1]),
        (pa.array(["", "NA", None]), [0, 0, 1]),
        (pa.array([[1], None, []]), [0, 1, 0]),
        (pa.array([date(2020, 1, 1), None]), [0, 1]),
        (pa.array([b"a", None]), [0, 1]),
        (pa.nulls(2), [1, 1]),
        (pa.array([], pa.int64()), []),
    ],
)
def test_flags(column: pa.Array, expected: list[int]) -> None:
    transform = IsMissing("gap", "x")
    output = transform.apply([column], 0)
    assert output.values.to_pylist() == expected
    assert output.values.type == transform.output_type == pa.float32()
    assert (output.missing, output.total) == (sum(expected), len(expected))


def test_saved_and_described() -> None:
    transform = IsMissing("gap", "x")
    again = TRANSFORMS["is_missing"](**from_bytes(to_bytes(transform.settings())))
    assert (again.name, again.inputs, again.role) == ("gap", ("x",), "numeric")
    assert IsMissing("x").inputs == ("x",)
    assert isinstance(transform.state(), NothingToLearn)
    assert isinstance(transform.feature({}), DenseFeature)
    assert transform.describe() == "is_missing"
