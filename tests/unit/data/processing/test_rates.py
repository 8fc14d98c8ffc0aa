"""Shares of missing and unknown values, and when they are told."""

from __future__ import annotations

import math

import pyarrow as pa

from nextrec.data.preprocessor import DataProcessor
from nextrec.data.processing.rates import Rate, Rates, rate_of, warn_of
from nextrec.data.transforms.base import Output


def test_counts_add_up():
    first, second = Rates(2), Rates(3)
    sparse = DataProcessor()
    sparse.add_sparse_feature("c")
    transform = sparse.transforms["c"]
    first.add("c", rate_of(transform, Output(pa.array([1, 2]), 1, 0, 2), 2, 1))
    second.add("c", rate_of(transform, Output(pa.array([1, 2, 3]), 0, 2, 3), 3, 0))
    first.merge(second)
    assert first.rows == 5
    assert first.columns["c"] == Rate(rows=5, missing=1, tokens=4, unknown=2)
    assert first.columns["c"].missing_share == 0.2
    assert first.columns["c"].unknown_share == 0.5
    assert Rates.from_dict(first.to_dict()) == first


def test_rows_of_a_sequence_are_missing_and_its_items_unknown():
    processor = DataProcessor()
    processor.add_sequence_feature("h")
    data = {"h": [["a", "b"], [], None, ["a", "?", None]]}
    processor.fit({"h": [["a"], ["b"]]})
    for chunk in (1, 2, 100):
        processor.transform(data, chunk_size=chunk)
        assert processor.rates.columns["h"] == Rate(rows=4, missing=1, tokens=5, unknown=2)


def test_fitting_and_transforming_count_alike():
    processor = DataProcessor()
    processor.add_numeric_feature("text", scaler="none")
    processor.add_sparse_feature("rare", min_frequency=2)
    data = {"text": ["1", "NA", "", None, "3"], "rare": ["a", "a", "b", None, "c"]}
    processor.fit_transform(data)
    fitted, made = processor.fit_rates.columns, processor.rates.columns
    assert fitted["text"].missing == made["text"].missing == 3
    assert fitted["rare"] == made["rare"] == Rate(rows=5, missing=1, tokens=4, unknown=2)


def test_no_values_have_no_share():
    assert math.isnan(Rate().missing_share)
    assert math.isnan(Rate().unknown_share)


def test_only_what_grew_is_told():
    then = Rates(100, {"c": Rate(100, 40, 60, 0), "y": Rate(100)})
    now = Rates(100, {"c": Rate(100, 40, 60, 6), "y": Rate(100, 90), "new": Rate(100, 0, 100, 30)})
    told = warn_of(now, then, targets=["y"], most=0.05)
    assert told == [
        "column 'c': 10.0% unknown in 60 tokens (0.0% when the processor was fitted)",
        "column 'new': 30.0% unknown in 100 tokens (0.0% when the processor was fitted)",
    ]
    assert warn_of(now, then, targets=["y"], most=0.5) == []


def test_a_single_request_is_not_told():
    now = Rates(1, {"c": Rate(1, 0, 1, 1)})
    assert warn_of(now, Rates(), targets=[], most=0.05) == []
