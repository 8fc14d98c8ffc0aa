"""SDIM (Cao, Zhou, Feng, Huang, Xiao, Chen, Chen; CIKM 2022, arXiv:2205.10249)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates, require_count
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.hashing import SimHash
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.search import newest, take
from nextrec.layers.target_attention import MultiHeadTargetAttention
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class SDIM(BaseModel):
    r"""Sums the items of a long history that fall into the candidate's buckets.

    .. math::
        v = \frac{1}{m / \tau} \sum_{g=1}^{m / \tau}
            \ell_2\Big(\sum_t [\mathrm{sig}_g(k_t) = \mathrm{sig}_g(q)]\, k_t\Big), \qquad
        z = \mathrm{MLP}([\text{other features}; v; \mathrm{MHTA}_{short}(q, \text{newest})])

    where each signature is :math:`\tau` of the m bits of
    :class:`~nextrec.layers.hashing.SimHash` and :math:`\ell_2` divides by the length. An item is
    in the candidate's bucket with probability :math:`(1 - \theta / \pi)^\tau`, so v is what
    attention by that weight would give, without a score a position. Buckets without an item, and
    an empty history, give zeros. The hashes stay as they were drawn; gradients reach the items
    that were summed. The long part is the whole history, the newest items included.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        num_hashes: bits m, a multiple of ``signature_width``.
        signature_width: bits :math:`\tau` of a signature; more make the attention sharper.
        num_heads: heads of the short-term attention.
        attention_dropout: probability that one of its weights is zeroed in training.
        short_len: newest items in the short-term attention; 0 leaves it out.
        behavior_feature_name: the history, or several that run in step; by default every sequence
            that shares its table with a sparse feature.
        candidate_feature_name: the candidate of each history; by default the sparse feature that
            shares its table.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: a history has no candidate, several sparse features could be it, or the
            histories differ in ``max_len``.
        ConfigError: ``signature_width`` does not divide ``num_hashes``, the heads do not divide
            the history's width, or a count is below 1.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        num_hashes: int = 48,
        signature_width: int = 3,
        num_heads: int = 2,
        attention_dropout: float = 0.0,
        short_len: int = 50,
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(self.model_name, attention_dropout=attention_dropout)
        require_count(self.model_name, "num_hashes", num_hashes)
        require_count(self.model_name, "signature_width", signature_width)
        require_count(self.model_name, "num_heads", num_heads)
        require_count(self.model_name, "short_len", short_len, least=0)
        if num_hashes % signature_width:
            must_be = f"a divisor of `num_hashes` ({num_hashes})"
            raise ConfigError(invalid(self.model_name, "signature_width", must_be, signature_width))
        self.short_len = short_len
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        width = self.histories.out_features
        self.long = BucketPooling(width, num_hashes, signature_width)
        self.short = None
        if short_len:
            self.short = MultiHeadTargetAttention(width, num_heads, attention_dropout)
        self.mlp = mlp_from(
            self.histories.rest.width + width * (2 if short_len else 1),
            mlp_params,
            dims=(200, 80),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        candidate, keys, mask = self.histories(self.embedding, x)  # (B, D), (B, L, D), (B, L)
        parts = [self.embedding.flat(x, self.histories.rest), self.long(candidate, keys, mask)]
        if self.short is not None:
            part = newest(mask, self.short_len)
            parts.append(self.short(candidate, take(keys, part), part[1]))
        return self.mlp(torch.cat(parts, dim=1))


class BucketPooling(nn.Module):
    """The mean over G signatures of the candidate's bucket, each of length 1.

    Shape: candidate ``(B, D)``, items ``(B, L, D)``, mask ``(B, L)`` -> ``(B, D)``.
    """

    def __init__(self, embedding_dim: int, num_hashes: int, signature_width: int) -> None:
        super().__init__()
        self.hashes = SimHash(embedding_dim, num_hashes)
        self.signature_width = signature_width
        self.out_features = embedding_dim

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        together = self.hashes.in_pieces(self._collisions, query, keys)  # (B, L, G)
        members = (together & mask.unsqueeze(2)).to(keys.dtype)
        sums = torch.bmm(members.transpose(1, 2), keys)  # (B, G, D)
        squares = sums.square().sum(2, keepdim=True)  # (B, G, 1)
        # An empty bucket stays zero, and its gradient finite.
        return (sums * torch.rsqrt(squares + (squares == 0))).mean(1)

    def _collisions(self, query: Tensor, keys: Tensor) -> Tensor:
        """True ``(B, L, G)`` where all bits of a signature are the query's.

        Signature g is made of the bits g, g + G, g + 2 G and so on: neighbours in memory belong to
        different signatures, which is what vector instructions want.
        """
        same = self.hashes(keys) == self.hashes(query).unsqueeze(1)  # (B, L, m)
        return reduce(torch.logical_and, same.chunk(self.signature_width, 2))
