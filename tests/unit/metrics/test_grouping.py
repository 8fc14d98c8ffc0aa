import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.metrics.grouping import GroupedRanking, order_within_groups


@pytest.mark.parametrize("groups", [1, 3, 70_000])  # more than 65,536: a second digit
@pytest.mark.parametrize("levels", [0, 3])
def test_order_is_by_group_then_by_falling_score(groups: int, levels: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, groups, 5000)
    scores = rng.normal(size=5000)
    scores = np.round(scores * levels) if levels else scores
    order = order_within_groups(codes, scores)
    expected = np.lexsort((-scores, codes))
    assert sorted(order) == list(range(5000))
    np.testing.assert_array_equal(codes[order], codes[expected])
    np.testing.assert_array_equal(scores[order], scores[expected])


def test_blocks_with_a_positive() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0, 0.0])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.8, 0.8])
    groups = np.array([0, 0, 0, 0, 0, 1, 1])
    ranking = GroupedRanking(labels, scores, groups)
    assert ranking.sizes.tolist() == [5, 2]
    assert ranking.positives.tolist() == [3, 0]
    assert ranking.block_list.tolist() == [0, 0, 0]
    assert ranking.block_ahead.tolist() == [0, 1, 4]
    assert ranking.block_size.tolist() == [1, 3, 1]
    assert ranking.block_positives.tolist() == [1, 1, 1]
    assert ranking.positives_ahead.tolist() == [0, 1, 2]
    assert not ranking.graded
    assert ranking.block_gain.tolist() == [1, 1, 1]


def test_grades() -> None:
    labels = np.array([3.0, 1.0, -2.0, 2.0])
    ranking = GroupedRanking(labels, np.array([0.9, 0.5, 0.5, 0.1]), np.zeros(4, dtype=int))
    assert ranking.graded
    assert ranking.block_gain.tolist() == [7, 1, 3]
    lists, ahead, gains = ranking.ideal
    assert lists.tolist() == [0, 0, 0]
    assert ahead.tolist() == [0, 1, 2]
    assert gains.tolist() == [7, 3, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_blocks_account_for_every_positive(rows) -> None:
    labels, scores, groups = (np.array(each) for each in zip(*rows, strict=True))
    groups = np.unique(groups, return_inverse=True)[1]
    ranking = GroupedRanking(labels, scores, groups)
    assert len(ranking) == groups.max() + 1
    for g in range(len(ranking)):
        mine = groups == g
        assert ranking.sizes[g] == mine.sum()
        assert ranking.positives[g] == (labels[mine] > 0).sum()
        blocks = ranking.block_list == g
        levels = sorted(
            {s for s, y in zip(scores[mine], labels[mine], strict=True) if y}, reverse=True
        )
        assert ranking.block_ahead[blocks].tolist() == [(scores[mine] > s).sum() for s in levels]
        assert ranking.block_size[blocks].tolist() == [(scores[mine] == s).sum() for s in levels]
        gains = [(2.0 ** labels[mine & (scores == s)] - 1).sum() for s in levels]
        assert ranking.block_gain[blocks].tolist() == pytest.approx(gains)
