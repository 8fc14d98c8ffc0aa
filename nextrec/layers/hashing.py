"""Hashes of vectors that keep their angles: one sign a random direction.

Letters: B batch, L positions of a history, D width of an item, m bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid

PIECE = 2**19
"""Numbers of an intermediate result that stay in a processor's cache."""


class SimHash(nn.Module):
    r"""The signs of m random projections, :math:`h_j(x) = \mathrm{sign}(r_j \cdot x)`.

    Two vectors at an angle :math:`\theta` differ in a bit with probability :math:`\theta / \pi`.
    The directions r are normal, drawn once and never trained; they are a buffer of the state
    dict, so a saved model hashes as it did. Nothing is differentiable here.

    Source: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.

    Args:
        embedding_dim: width D.
        bits: m.
        seed: of the directions; ``None`` draws them from torch's global stream, which a model's
            own ``seed`` sets.

    Shape: ``(..., D)`` -> ``(..., m)``, -1 or 1 (1 for a projection of 0).

    Raises:
        ConfigError: no bits.

    >>> hashes = SimHash(4, bits=16, seed=0)
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> hamming_distance(hashes(x), hashes(torch.stack([3 * x, -x], 1)))
    tensor([[ 0., 16.]])
    """

    directions: Tensor

    def __init__(self, embedding_dim: int, bits: int, seed: int | None = None) -> None:
        super().__init__()
        if not isinstance(bits, int) or isinstance(bits, bool) or bits < 1:
            raise ConfigError(invalid("SimHash", "bits", "an integer of at least 1", bits))
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.register_buffer("directions", torch.randn(embedding_dim, bits, generator=generator))
        self.bits = self.out_features = bits

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        signs = torch.sign(x.detach() @ self.directions)
        return signs + (signs == 0).to(signs.dtype)

    def distances(self, query: Tensor, keys: Tensor) -> Tensor:
        """Hamming distances ``(B, L)`` of a query ``(B, D)`` to the keys ``(B, L, D)``."""

        def compare(query: Tensor, keys: Tensor) -> Tensor:
            return hamming_distance(self(query), self(keys))

        return self.in_pieces(compare, query, keys)

    def in_pieces(
        self, function: Callable[[Tensor, Tensor], Tensor], query: Tensor, keys: Tensor
    ) -> Tensor:
        """``function(query, keys)`` a few rows at a time.

        The signs of a whole batch are m / D times as large as the batch. On a CPU, rows whose
        signs fit the cache are 3 times as fast (512 x 1,000 items of width 16, 48 bits).
        """
        rows = max(1, PIECE // (keys.shape[1] * self.bits))
        if torch.compiler.is_compiling() or keys.device.type != "cpu" or len(keys) <= rows:
            return function(query, keys)
        pieces = zip(query.detach().split(rows), keys.detach().split(rows), strict=True)
        return torch.cat([function(*piece) for piece in pieces])


def hamming_distance(code: Tensor, codes: Tensor) -> Tensor:
    """In how many bits codes ``(B, L, m)`` of -1 and 1 differ from one ``(B, m)``: ``(B, L)``.

    >>> hamming_distance(torch.tensor([[1.0, 1.0]]), torch.tensor([[[1.0, 1.0], [1.0, -1.0]]]))
    tensor([[0., 1.]])
    """
    same_less_other = torch.bmm(codes, code.unsqueeze(2)).squeeze(2)  # (B, L)
    return (codes.shape[2] - same_less_other) / 2
