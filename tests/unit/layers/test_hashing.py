"""SimHash: bits that keep angles, repeatable and saved; Hamming distances."""

from __future__ import annotations

import math

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.layers import hashing
from nextrec.layers.hashing import SimHash, hamming_distance


def test_bits_are_signs_of_projections():
    hashes = SimHash(5, 12, seed=0)
    x = torch.randn(3, 4, 5)
    codes = hashes(x)
    assert codes.shape == (3, 4, 12)
    expected = [
        1.0 if sum(x[2, 1, d] * hashes.directions[d, j] for d in range(5)) >= 0 else -1.0
        for j in range(12)
    ]
    assert codes[2, 1].tolist() == expected
    assert hashes(torch.zeros(1, 5)).tolist() == [[1.0] * 12]


def test_bits_differ_as_often_as_the_angle_says():
    hashes = SimHash(2, 20_000, seed=1)
    for degrees in (10, 60, 135):
        angle = math.radians(degrees)
        x = torch.tensor([[1.0, 0.0]])
        y = torch.tensor([[[math.cos(angle), math.sin(angle)]]])
        share = hamming_distance(hashes(x), hashes(y)).item() / 20_000
        assert share == pytest.approx(degrees / 180, abs=0.015)


def test_length_does_not_matter_and_the_opposite_is_farthest():
    hashes, x = SimHash(4, 32), torch.randn(2, 4)
    codes = hashes(torch.stack([x, 7 * x, -x], 1))
    assert hamming_distance(hashes(x), codes).tolist() == [[0, 0, 32], [0, 0, 32]]


def test_distance_counts_bits():
    code = torch.randint(0, 2, (3, 9)) * 2.0 - 1
    codes = torch.randint(0, 2, (3, 4, 9)) * 2.0 - 1
    expected = [
        [
            sum(a != b for a, b in zip(code[i].tolist(), codes[i, j].tolist(), strict=True))
            for j in range(4)
        ]
        for i in range(3)
    ]
    assert hamming_distance(code, codes).tolist() == expected


def test_pieces_are_the_whole(monkeypatch):
    hashes, query, keys = SimHash(4, 8), torch.randn(11, 4), torch.randn(11, 6, 4)
    whole = hashes.distances(query, keys)
    monkeypatch.setattr(hashing, "PIECE", 2 * 6 * 8)  # two rows a piece, one in the last
    assert torch.equal(hashes.distances(query, keys), whole)
    assert torch.equal(whole, hamming_distance(hashes(query), hashes(keys)))


def test_directions_are_seeded_saved_and_never_trained():
    assert torch.equal(SimHash(4, 8, seed=3).directions, SimHash(4, 8, seed=3).directions)
    assert not torch.equal(SimHash(4, 8, seed=3).directions, SimHash(4, 8, seed=4).directions)
    state = torch.get_rng_state()
    hashes = SimHash(4, 8, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(5)
    first = SimHash(4, 8)
    torch.manual_seed(5)
    assert torch.equal(first.directions, SimHash(4, 8).directions)
    assert list(hashes.parameters()) == []
    first.load_state_dict(hashes.state_dict())
    assert torch.equal(first.directions, hashes.directions)


def test_nothing_is_differentiable():
    x = torch.randn(2, 3, 4, requires_grad=True)
    assert not SimHash(4, 8)(x).requires_grad


@pytest.mark.parametrize("bits", [0, -1, 2.0, True])
def test_bits_must_be_a_count(bits):
    with pytest.raises(ConfigError, match="`bits` must be an integer of at least 1"):
        SimHash(4, bits)
