from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.sampling import sample_unseen


class TestUnseen:
    @given(
        pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 11)), max_size=50),
        count=st.integers(1, 12),
        seed=st.integers(0, 3),
    )
    def test_every_draw_is_unseen_and_different(
        self, pairs: list[tuple[int, int]], count: int, seed: int
    ) -> None:
        users = np.array([user for user, _ in pairs], dtype=np.int64)
        items = np.array([item for _, item in pairs], dtype=np.int64)
        rows = np.array([0, 1, 2, 3, 4, 4, 0])
        random = np.random.default_rng(seed)
        drawn = sample_unseen(rows, users, items, 12, count, random)
        assert drawn.shape == (7, count)
        for user, row in zip(rows, drawn, strict=True):
            unseen = set(range(12)) - {item for who, item in pairs if who == user}
            real = row[row >= 0].tolist()
            assert len(real) == len(set(real)) == min(count, len(unseen))
            assert set(real) <= unseen
            assert (row[len(real) :] == -1).all()

    def test_every_unseen_item_is_as_likely_at_every_place(self) -> None:
        rows = np.zeros(60_000, dtype=np.int64)
        seen = np.array([0, 2, 3, 7])
        random = np.random.default_rng(0)
        drawn = sample_unseen(rows, np.zeros(4, dtype=int), seen, 9, 3, random)
        unseen = [1, 4, 5, 6, 8]
        for place in range(3):
            counts = np.bincount(drawn[:, place], minlength=9)
            assert counts[seen].sum() == 0
            # 12,000 expected of each; five standard deviations are 490.
            np.testing.assert_allclose(counts[unseen], 12_000, atol=490)
        together = np.bincount(drawn[:, 0] * 9 + drawn[:, 1], minlength=81)
        pairs = [one * 9 + other for one in unseen for other in unseen if one != other]
        np.testing.assert_allclose(together[pairs], 3_000, atol=270)

    def test_the_seed_decides(self) -> None:
        none = np.array([], dtype=np.int64)

        def draw(seed: int) -> list[list[int]]:
            random = np.random.default_rng(seed)
            return sample_unseen(np.array([0, 0]), none, none, 100, 5, random).tolist()

        assert draw(1) == draw(1) != draw(2)
