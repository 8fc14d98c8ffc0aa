from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from nextrec.data.sampling import SeenItems, popularity, sample_negatives, sample_unseen
from nextrec.errors import ConfigError, DataError

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 11)), max_size=50)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


class TestSeen:
    @given(pairs=PAIRS)
    def test_look_ups_by_a_loop(self, pairs: list[tuple[int, int]]) -> None:
        seen = SeenItems(*arrays(pairs), 12)
        users = np.arange(7)
        grid = seen.contains(users[:, None], np.arange(-2, 14))
        expected = [[(user, item) in set(pairs) for item in range(-2, 14)] for user in users]
        assert grid.tolist() == expected
        assert seen.counts(users).tolist() == [sum(row) for row in expected]
        places, items = seen.pairs_of(users)
        assert list(zip(places.tolist(), items.tolist(), strict=True)) == sorted(set(pairs))
        for user in users:
            unseen = [item for item in range(12) if (user, item) not in set(pairs)]
            ranks = np.array([[-1, *range(len(unseen))]])
            assert seen.unseen(np.array([user]), ranks).tolist() == [[-1, *unseen]]

    @pytest.mark.parametrize(
        ("users", "items", "error", "message"),
        [
            ([0, -1], [0, 0], DataError, r"row 1: `users` must be a code in \[0"),
            ([0, 1], [0, 3], DataError, r"row 1: `items` must be a code in \[0, 3\); got 3"),
            ([0], [0, 1], DataError, "one item for each user"),
            ([0.5], [0], DataError, "`users` must be integer codes"),
            ([[0]], [0], DataError, "`users` must be integer codes in one dimension"),
        ],
    )
    def test_codes_out_of_range(self, users: Any, items: Any, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            SeenItems(users, items, 3)


@given(
    pairs=PAIRS,
    count=st.integers(1, 14),
    method=st.sampled_from(["uniform", "popularity"]),
    alpha=st.sampled_from([0.0, 0.75, 2.0]),
    replace=st.booleans(),
    exclude=st.booleans(),
    sorted_once=st.booleans(),
    seed=st.integers(0, 3),
)
def test_draws_are_never_known_positives_and_as_many_as_there_are(
    pairs: list[tuple[int, int]],
    count: int,
    method: Any,
    alpha: float,
    replace: bool,
    exclude: bool,
    sorted_once: bool,
    seed: int,
) -> None:
    users = np.array([0, 1, 2, 3, 4, 6, 0])
    weights = np.arange(12) % 4  # items 0, 4 and 8 have none
    positives = SeenItems(*arrays(pairs), 12) if sorted_once else arrays(pairs)
    drawn = sample_negatives(
        users,
        positives,
        *(12, count, method, alpha, exclude, seed),
        replace=replace,
        popularity=weights,
    )
    assert drawn.items.shape == drawn.log_probs.shape == (7, count)
    weighted = weights**alpha if method == "popularity" else np.ones(12)
    for user, items, logs in zip(users, drawn.items, drawn.log_probs, strict=True):
        known = {item for who, item in pairs if who == user} if exclude else set()
        allowed = {item for item in range(12) if item not in known and weighted[item] > 0}
        real = items[items >= 0].tolist()
        assert set(real) <= allowed
        assert len(real) == (count * bool(allowed) if replace else min(count, len(allowed)))
        assert replace or len(set(real)) == len(real)
        assert (items[len(real) :] == -1).all()
        total = sum(weighted[item] for item in range(12) if item not in known)
        expected = [np.log(weighted[item] / total) for item in real]
        np.testing.assert_allclose(logs[: len(real)], expected, rtol=1e-9, atol=1e-12)
        assert np.isnan(logs[len(real) :]).all()


class TestDistribution:
    """The distribution of draws, by chi-square against the exact one; seeds are fixed."""

    WEIGHTS = np.array([100.0, 40, 5, 0, 20, 1, 60, 9])
    SEEN = (0, 4)
    ROWS = 60_000

    @pytest.fixture(params=["by rejection", "mixed", "exactly"])
    def way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """How long draws are rejected before a row is finished from what is left."""
        patience = {"by rejection": 1e-6, "mixed": 1, "exactly": 100}[request.param]
        monkeypatch.setattr(popularity, "_PATIENCE", patience)
        monkeypatch.setattr(popularity, "_BLOCK", 50_000)
        monkeypatch.setattr(popularity, "_DENSE_BLOCK", 50_000)

    def draw(self, count: int, **options: Any) -> np.ndarray:
        users = np.zeros(self.ROWS, dtype=np.int64)
        seen = ([0] * len(self.SEEN), list(self.SEEN))
        options = {"method": "popularity", "popularity": self.WEIGHTS, "seed": 7, **options}
        return sample_negatives(users, seen, 8, count, **options).items

    def probabilities(self, alpha: float = 0.75) -> np.ndarray:
        weights = self.WEIGHTS**alpha
        weights[list(self.SEEN)] = 0
        return weights / weights.sum()

    @pytest.mark.usefixtures("way")
    def test_different_items_are_drawn_in_succession(self) -> None:
        drawn = self.draw(3)
        p = self.probabilities()
        there = np.flatnonzero(p)
        expected, observed = [], []
        for a, b, c in permutations(there, 3):
            expected.append(p[a] * p[b] / (1 - p[a]) * p[c] / (1 - p[a] - p[b]) * self.ROWS)
            observed.append(((drawn == (a, b, c)).all(axis=1)).sum())
        assert sum(observed) == self.ROWS
        order = np.argsort(expected)
        few = np.cumsum(np.array(expected)[order]) < 20  # chi-square needs some in every class
        cut = few.sum()
        fold = [np.array(each)[order] for each in (observed, expected)]
        fold = [np.concatenate([[each[: cut + 1].sum()], each[cut + 1 :]]) for each in fold]
        assert chisquare(*fold).pvalue > 0.01

    @pytest.mark.usefixtures("way")
    def test_repeated_items_are_independent(self) -> None:
        drawn = self.draw(2, replace=True)
        p = self.probabilities()
        there = np.flatnonzero(p)
        pairs = np.bincount(drawn[:, 0] * 8 + drawn[:, 1], minlength=64).reshape(8, 8)
        expected = np.outer(p, p)[np.ix_(there, there)] * self.ROWS
        assert pairs.sum() == pairs[np.ix_(there, there)].sum()
        assert chisquare(pairs[np.ix_(there, there)].ravel(), expected.ravel()).pvalue > 0.01

    def test_popularity_is_how_often_items_are_in_the_pairs(self) -> None:
        users = [1] * 11 + [2]
        items = [0] * 8 + [1] * 3 + [2]
        drawn = sample_negatives([0] * self.ROWS, (users, items), 3, 1, "popularity", 1.0, seed=1)
        counts = np.bincount(drawn.items[:, 0], minlength=3)
        assert chisquare(counts, np.array([8, 3, 1]) / 12 * self.ROWS).pvalue > 0.01

    @pytest.mark.parametrize("replace", [True, False])
    def test_uniform(self, replace: bool) -> None:
        drawn = self.draw(2, method="uniform", replace=replace)
        there = [1, 2, 3, 5, 6, 7]
        pairs = np.bincount(drawn[:, 0] * 8 + drawn[:, 1], minlength=64).reshape(8, 8)
        counts = pairs[np.ix_(there, there)]
        if not replace:
            assert np.diag(counts).sum() == 0
            counts = counts[~np.eye(6, dtype=bool)]
        assert counts.sum() == self.ROWS
        assert chisquare(counts.ravel()).pvalue > 0.01

    def test_without_exclusion_everything_may_come(self) -> None:
        drawn = self.draw(1, exclude_seen=False)
        p = self.WEIGHTS**0.75
        there = np.flatnonzero(p)
        counts = np.bincount(drawn[:, 0], minlength=8)[there]
        assert chisquare(counts, p[there] / p.sum() * self.ROWS).pvalue > 0.01


def test_users_who_have_seen_nearly_all_of_many_items_are_served() -> None:
    items = np.arange(20_000)
    weights = 1.0 / (items + 1) ** 2
    seen = SeenItems(np.zeros(19_997, dtype=int), items[:-3], 20_000)
    users = np.zeros(50, dtype=np.int64)
    drawn = sample_negatives(users, seen, 20_000, 4, "popularity", 1.0, popularity=weights)
    assert {tuple(sorted(row)) for row in drawn.items.tolist()} == {(-1, 19_997, 19_998, 19_999)}
    # A fifteen-digit mass of seen items would leave no digits for the rest.
    exact = np.log(weights[drawn.items[:, :3]] / weights[-3:].sum())
    np.testing.assert_allclose(drawn.log_probs[:, :3], exact, rtol=1e-9)


def test_rows_that_are_finished_together_do_not_touch_each_other() -> None:
    class Extremes:
        """The least and the greatest number that a generator gives."""

        def random(self, shape: tuple[int, int]) -> np.ndarray:
            return np.broadcast_to([0.0, 1 - 2.0**-53], shape)

    weights = np.array([[0, 1, 2, 0], [0, 1e-40, 0, 3e-40], [0, 0, 0, 0], [5e30, 0, 0, 1e30]] * 50)
    drawn = popularity._with_replacement(weights, 2, Extremes())
    assert drawn.tolist() == [[1, 2], [1, 3], [-1, -1], [0, 3]] * 50


def test_uniform_without_replacement_is_sample_unseen() -> None:
    users, (who, what) = np.array([0, 1, 2]), arrays([(0, 1), (1, 3), (1, 2)])
    expected = sample_unseen(users, who, what, 6, 4, np.random.default_rng(9))
    assert sample_negatives(users, (who, what), 6, 4, seed=9).items.tolist() == expected.tolist()


@pytest.mark.parametrize("method", ["uniform", "popularity"])
def test_the_seed_decides_and_a_generator_goes_on(method: Any) -> None:
    users, pairs = np.arange(5), arrays([(0, 1), (0, 2), (3, 5)])

    def draw(seed: Any) -> list[Any]:
        options = {"popularity": np.ones(90)}
        return sample_negatives(users, pairs, 90, 6, method, seed=seed, **options).items.tolist()

    assert draw(1) == draw(1) != draw(2)
    generator = np.random.default_rng(1)
    assert draw(generator) == draw(1)
    assert draw(generator) != draw(1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "popular"}, ConfigError, "Did you mean 'popularity'"),
        ({"count": 0}, ConfigError, "`count` must be an integer of at least 1"),
        ({"num_items": 0}, ConfigError, "`num_items` must be"),
        ({"users": [0, -2]}, DataError, "row 1: `users` must be a code"),
        ({"positives": ([0], [5])}, DataError, r"row 0: `items` must be a code in \[0, 5\)"),
        ({"positives": SeenItems([], [], 4)}, ConfigError, "`num_items` must be that of `pos"),
        ({"alpha": -1.0}, ConfigError, "`alpha` must be a number of at least 0"),
        ({"alpha": float("nan")}, ConfigError, "`alpha` must be"),
        ({"popularity": [1, 2]}, DataError, "one number for each of the 5 items"),
        ({"popularity": [1, 2, -3, 4, 5]}, DataError, "item 2: `popularity` must be a finite"),
        ({"popularity": [1, np.inf, 3, 4, 5]}, DataError, "item 1: `popularity` must be a finite"),
        ({"popularity": [0] * 5}, DataError, "above 0 for at least one item"),
    ],
)
def test_bad_arguments_are_refused(options: Any, error: type, message: str) -> None:
    given = {"users": [0], "positives": ([0], [1]), "num_items": 5, "count": 2}
    with pytest.raises(error, match=message):
        sample_negatives(**{"method": "popularity", **given, **options})


@pytest.mark.parametrize("replace", [False, True])
def test_items_of_popularity_0_are_not_drawn_when_no_others_are_left(replace: bool) -> None:
    seen = ([0] * 9 + [1] * 8, [*range(9), *range(8)])  # user 1 has item 8 left beside item 9
    drawn = sample_negatives(
        [0, 1], seen, 10, 3, "popularity", popularity=[1] * 9 + [0], replace=replace
    )
    assert drawn.items.tolist() == [[-1] * 3, [8] * 3 if replace else [8, -1, -1]]
    assert np.array_equal(np.isnan(drawn.log_probs), drawn.items < 0)
    assert drawn.log_probs[1, 0] == pytest.approx(0)
    even = sample_negatives([0], seen, 10, 1, "popularity", 0.0, popularity=[1] * 9 + [0])
    assert even.items.tolist() == [[9]]
