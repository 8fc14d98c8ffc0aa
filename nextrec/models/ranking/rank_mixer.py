"""RankMixer (Zhu et al.; CIKM 2025, arXiv:2507.15551)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts, check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.layers.tokens import (
    GroupTokenizer,
    TokenFeedForward,
    even_places,
    grouped_places,
)
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class RankMixer(BaseModel):
    r"""Tokens of features that exchange slices of themselves, then pass networks of their own.

    .. math::
        s &= \mathrm{LN}(\mathrm{Mix}(x) + x), \qquad
        \mathrm{Mix}(x)_h = [x_1^{(h)}; \dots; x_T^{(h)}] \\
        x'_t &= \mathrm{LN}\big(W_{2t}\, \mathrm{GELU}(W_{1t} s_t + b_{1t}) + b_{2t} + s_t\big)
        \\
        z &= \mathrm{MLP}\Big(\tfrac1T \sum_t x_t\Big)

    where :math:`x_t^{(h)}` is slice h of token t; there are as many slices as tokens, so mixing
    has no parameters and keeps the shape. Tokens are linear maps of the parts of the flat vector:
    parts of (nearly) one length, or the groups of features named by ``token_groups``, which the
    paper chooses by meaning. Sequences enter pooled by their combiners; the paper takes them from
    a separate sequence model. The sparse mixture of experts in place of the networks (ReLU
    routing, dense training and sparse inference) is not implemented: the paper leaves open how
    the outputs of its two routers are joined in training.

    Args:
        num_tokens: tokens T, also the slices of one.
        token_dim: width D of a token, a multiple of T.
        num_layers: blocks.
        ffn_ratio: hidden width of a token's network over D.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` on the mean of the tokens.
        token_groups: names of the features of each token, every feature once; then ``num_tokens``
            is their number.
        dropout: of what a token's network adds, in training.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: T does not divide D, there are fewer numbers than tokens, or the groups do not
            hold every feature once.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        num_tokens: int | None = None,
        token_dim: int = 64,
        num_layers: int = 2,
        ffn_ratio: int = 2,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        token_groups: Sequence[Sequence[str]] | None = None,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        owner, width = self.model_name, self.features.width
        if token_groups is not None:
            places = grouped_places(self.features, token_groups, owner)
            if num_tokens not in (None, len(places)):
                must_be = f"left out, or the number of `token_groups` ({len(places)})"
                raise ConfigError(invalid(owner, "num_tokens", must_be, num_tokens))
            num_tokens = len(places)
        num_tokens = 8 if num_tokens is None else num_tokens
        check_counts(
            owner,
            num_tokens=num_tokens,
            token_dim=token_dim,
            num_layers=num_layers,
            ffn_ratio=ffn_ratio,
        )
        check_rates(owner, dropout=dropout)
        if token_groups is None:
            if num_tokens > width:
                must_be = f"at most the {width} numbers of the flat vector"
                raise ConfigError(invalid(owner, "num_tokens", must_be, num_tokens))
            places = even_places(width, num_tokens)
        if token_dim % num_tokens:
            must_be = f"a multiple of the {num_tokens} tokens"
            raise ConfigError(invalid(owner, "token_dim", must_be, token_dim))
        self.embedding = EmbeddingLayer(self.features)
        self.tokenizer = GroupTokenizer(places, token_dim)
        self.blocks = nn.Sequential(
            *(Block(num_tokens, token_dim, ffn_ratio, dropout) for _ in range(num_layers))
        )
        self.mlp = mlp_from(
            token_dim, mlp_params, dims=(64,), norm="none", output_dim=self.num_logits
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        tokens = self.tokenizer(self.embedding.flat(x))  # (B, T, D)
        return self.mlp(self.blocks(tokens).mean(1))


class Block(nn.Module):
    """Token mixing and the tokens' networks, each with a residual and layer normalisation."""

    def __init__(self, num_tokens: int, token_dim: int, ffn_ratio: int, dropout: float) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.mix_norm = nn.LayerNorm(token_dim)
        self.feed_forward = TokenFeedForward(num_tokens, token_dim, ffn_ratio)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, D)`` -> ``(B, T, D)``."""
        slices = x.unflatten(2, (self.num_tokens, -1))  # (B, T, T, D / T)
        mixed = self.mix_norm(slices.transpose(1, 2).flatten(2) + x)
        return self.norm(self.dropout(self.feed_forward(mixed)) + mixed)
