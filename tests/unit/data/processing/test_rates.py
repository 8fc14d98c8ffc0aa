"""Shares of missing and unknown values, and when they are told."""

from __future__ import annotations

import math

import pyarrow as pa

from nextrec.data.processing.rates import Rate, Rates, warn_of
from nextrec.data.transforms.base import Output


def test_counts_add_up():
    first, second = Rates(2), Rates(3)
    first.add("c", Output(pa.array([1, 2]), missing=1, unknown=0, total=2))
    second.add("c", Output(pa.array([1, 2, 3]), missing=0, unknown=2, total=3))
    second.add("d", Output(pa.array([1, 2, 3]), total=3))
    first.merge(second)
    assert first.rows == 5
    assert first.columns["c"] == Rate(5, 1, 2)
    assert first.columns["c"].missing_share == 0.2
    assert first.columns["d"].unknown_share == 0
    assert Rates.from_dict(first.to_dict()) == first


def test_no_values_have_no_share():
    assert math.isnan(Rate().missing_share)
    assert math.isnan(Rate().unknown_share)


def test_only_what_grew_is_told():
    then = Rates(10, {"c": Rate(10, 4, 0), "y": Rate(10, 0, 0)})
    now = Rates(10, {"c": Rate(10, 4, 1), "y": Rate(10, 9, 0), "new": Rate(10, 0, 3)})
    told = warn_of(now, then, targets=["y"], most=0.05)
    assert told == [
        "column 'c': 10.0% unknown in 10 values (0.0% when the processor was fitted)",
        "column 'new': 30.0% unknown in 10 values (0.0% when the processor was fitted)",
    ]
    assert warn_of(now, then, targets=["y"], most=0.5) == []
