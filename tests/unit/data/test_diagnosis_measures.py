"""Hashes, samples and measures of the diagnosis, against references."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nextrec.data.diagnosis.hashing import ContentSample, combine, digest, hash_values, mix
from nextrec.data.diagnosis.leakage import auc, fold_means
from nextrec.data.diagnosis.splits import largest_gap, stability
from nextrec.data.value_counts import ValueCounts

VALUES = {
    "integers": [1, -1, 2**40, None],
    "reals": [0.5, -0.5, 1e300, None],
    "text": ["a", "", "é", None],
    "bytes": [b"a", b"\xff", b"", None],
    "flags": [True, False, None],
    "days": [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), None],
    "decimals": [decimal.Decimal("1.5"), decimal.Decimal("2.5"), None],
    "lists": [[1, 2], [2, 1], [1], [], [None], [1, 2, 3], None],
    "nested": [[[1], [2]], [[1, 2]], [[], [1, 2]], None],
    "words": [["a", "b"], ["b", "a"], ["ab"], None],
    "structs": [{"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 1, "b": None}, None],
}


@pytest.mark.parametrize("kind", VALUES)
def test_different_values_have_different_hashes_and_equal_ones_equal(kind):
    values = VALUES[kind]
    array = pa.array(values + values)
    hashes = hash_values(array)
    assert len(set(hashes[: len(values)].tolist())) == len(values)
    assert hashes[: len(values)].tolist() == hashes[len(values) :].tolist()
    assert hash_values(array.slice(1)).tolist() == hashes[1:].tolist()


def test_equal_numbers_of_any_type_have_one_hash():
    types = (pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64())
    hashes = {hash_values(pa.array([0, 1, 7]).cast(each)).tobytes() for each in types}
    assert len(hashes) == 1
    gaps = [pa.array([1.0, np.nan]), pa.array([1.0, None])]
    assert hash_values(gaps[0]).tolist() == hash_values(gaps[1]).tolist()


@given(st.lists(st.integers(-5, 5), min_size=1), st.integers(0, 20))
def test_a_columns_digest_does_not_depend_on_the_cuts(values, cut):
    hashes = hash_values(pa.array(values))
    whole = digest(hashes, 0)
    cut = min(cut, len(values))
    assert (digest(hashes[:cut], 0) + digest(hashes[cut:], cut)) % 2**64 == whole
    if len(set(values)) > 1:
        changed = [*values[1:], values[0]]
        if changed != values:
            assert digest(hash_values(pa.array(changed)), 0) != whole


def test_a_rows_hash_depends_on_the_order_of_columns():
    one, other = (hash_values(pa.array(values)) for values in ([1, 2], [2, 1]))
    first, second = combine([one, other], 2).tolist(), combine([other, one], 2).tolist()
    assert first != second
    assert first == second[::-1]


def test_a_content_sample_keeps_all_copies_of_what_it_keeps():
    sample = ContentSample(limit=1000)
    contents = np.repeat(np.arange(20_000), 3)
    for part in np.array_split(np.arange(len(contents)), 17):
        sample.take(mix(contents[part]), part)
    hashes, rows = sample.rows()
    assert 300 < len(hashes) <= 1000
    assert sample.share == 2.0**-sample.level
    kept, counts = np.unique(contents[rows], return_counts=True)
    assert (counts == 3).all()
    assert len(kept) == pytest.approx(20_000 * sample.share, rel=0.3)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_auc_is_that_of_scikit_learn(rows):
    scores, labels = (np.array(each) for each in zip(*rows, strict=True))
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_auc_needs_both_classes():
    assert np.isnan(auc(np.arange(3), np.array([True, True, True])))


def test_fold_means_leave_a_rows_own_fold_out():
    rng = np.random.default_rng(0)
    codes, labels, rows = rng.integers(0, 9, 300), rng.random(300) < 0.3, np.arange(300)
    fold = (mix(rows) % np.uint64(5)).astype(int)
    expected = []
    for row in rows:
        others = (codes == codes[row]) & (fold != fold[row])
        expected.append((labels[others].sum() + labels.mean()) / (others.sum() + 1))
    np.testing.assert_allclose(fold_means(codes, labels, rows), expected)
    unique = fold_means(np.arange(300), labels, rows)
    assert auc(unique, labels) == 0.5


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_the_largest_gap_is_that_of_the_definition(one, other):
    def share(values, limit):
        return sum(value <= limit for value in values) / len(values)

    expected = max(abs(share(one, each) - share(other, each)) for each in one + other)
    assert largest_gap(np.array(one, float), np.array(other, float)) == pytest.approx(expected)


def test_stability_of_shares():
    def counted(shares) -> ValueCounts:
        counts = ValueCounts(100)
        values = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * 100_000).astype(int))
        counts.take(pa.array(values))
        return counts

    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    value, by_chance = stability(counted(p), counted(q))
    assert value == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-3)
    assert by_chance < 1e-4
    assert stability(counted(p), counted(p))[0] == pytest.approx(0, abs=1e-12)
