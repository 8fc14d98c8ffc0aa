"""OneTrans (Z. Zhang et al.; WWW 2026, arXiv:2510.26104)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_counts, check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.events import EventTokenizer, find_behaviors
from nextrec.layers.mlp import mlp_from
from nextrec.layers.tokens import (
    GroupTokenizer,
    SplitTokenizer,
    TokenFeedForward,
    TokenLinear,
    grouped_places,
)
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class OneTrans(BaseModel):
    r"""One causal Transformer over the events of all histories and the tokens of all else.

    .. math::
        X^{(0)} &= [S_1; \mathrm{SEP}_1; S_2; \dots; S_n; N_1; \dots; N_T] \\
        Z &= \mathrm{MHA}(\mathrm{RMS}(X)) + X, \qquad
        X' = W_2\, \mathrm{GELU}(W_1\, \mathrm{RMS}(Z)) + Z \\
        z &= \mathrm{MLP}([\mathrm{RMS}(N_1); \dots; \mathrm{RMS}(N_T)])

    Events (S) and separators share all weights; each of the T tokens of the other features (N) has
    its own: queries, keys, values, output projection and both W. A token attends to itself and to
    those before it, so tokens of features see every history. They are cut from one linear map of
    the flat vector ("Auto-Split"), or are linear maps of the groups in ``token_groups``. Each
    history's events have a linear map to the common width; there are no positions, as in the
    paper. Candidates are among the other features, and need not exist.

    Pyramid: block b of l computes the newest
    :math:`L + (T - L)\,\frac{b - 1}{l - 1}` events (L: the sum of ``max_len`` and separators) and
    attends to all that the block before it kept; without ``pyramid`` all. The last block computes
    the feature tokens alone, as nothing reads its events. To keep the newest *real* events,
    padding is moved to the front; it is never attended to.

    Not implemented: merging histories by time (there are no times here, so they stand one after
    the other in the order given, with separators), rounding the pyramid to multiples of 32, and
    reuse of keys and values between requests. The activation, the output projection's kind and
    the last normalisation are ours, as the paper does not give them.

    Args:
        num_tokens: tokens T of the features that are not histories.
        token_dim: width D of a token.
        num_layers: blocks l.
        num_heads: heads, which share D.
        ffn_ratio: hidden width of a block's network over D.
        pyramid: keep fewer events in each block.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        behavior_feature_name: the histories in their order, by default every sequence; a list
            in the list names sequences that run in step (items and their categories). Other
            sequences are pooled by their combiners.
        token_groups: names of the features of each of the T tokens, every one once.
        dropout: of what attention and network add, in training.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no history, nothing beside them, sequences in step of different ``max_len``.
        ConfigError: heads that do not divide D, groups that do not hold every feature once.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        num_tokens: int | None = None,
        token_dim: int = 64,
        num_layers: int = 3,
        num_heads: int = 4,
        ffn_ratio: int = 2,
        pyramid: bool = True,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        behavior_feature_name: str | Sequence[str | Sequence[str]] | None = None,
        token_groups: Sequence[Sequence[str]] | None = None,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        owner = self.model_name
        behaviors = find_behaviors(self.features, behavior_feature_name, owner)
        names = {feature.name for behavior in behaviors for feature in behavior}
        self.rest = FeatureSet.of(f for f in self.features if f.name not in names)
        if not len(self.rest):
            raise FeatureError(f"{owner} needs a feature beside its histories {sorted(names)}.")
        if token_groups is not None and num_tokens not in (None, len(token_groups)):
            must_be = f"left out, or the number of `token_groups` ({len(token_groups)})"
            raise ConfigError(invalid(owner, "num_tokens", must_be, num_tokens))
        if num_tokens is None:
            num_tokens = 8 if token_groups is None else len(token_groups)
        check_counts(
            owner,
            num_tokens=num_tokens,
            token_dim=token_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            ffn_ratio=ffn_ratio,
        )
        check_rates(owner, dropout=dropout)
        if token_dim % num_heads:
            must_be = f"a divisor of `token_dim` ({token_dim})"
            raise ConfigError(invalid(owner, "num_heads", must_be, num_heads))
        self.embedding = EmbeddingLayer(self.features)
        self.tokenizer: nn.Module
        if token_groups is None:
            self.tokenizer = SplitTokenizer(self.rest.width, num_tokens, token_dim)
        else:
            places = grouped_places(self.rest, token_groups, owner)
            self.tokenizer = GroupTokenizer(places, token_dim)
        self.events = EventTokenizer(behaviors, token_dim)
        self.kept = pyramid_lengths(self.events.max_len, num_tokens, num_layers, pyramid)
        self.blocks = nn.ModuleList(
            Block(num_tokens, token_dim, num_heads, ffn_ratio, dropout, kept > 0)
            for kept in self.kept
        )
        self.norm = RMSNorm(token_dim)
        self.mlp = mlp_from(
            num_tokens * token_dim,
            mlp_params,
            dims=(256, 128),
            norm="none",
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        events, real = self.events(self.embedding, x)  # (B, L, D), (B, L)
        others = self.tokenizer(self.embedding.flat(x, self.rest))  # (B, T, D)
        tokens = torch.cat([events, others], 1)
        visible = causal(F.pad(real, (0, others.shape[1]), value=True))
        for block, kept in zip(self.blocks, self.kept, strict=True):
            left = min(kept + others.shape[1], tokens.shape[1])
            tokens = block(tokens, visible, left)
        return self.mlp(self.norm(tokens).flatten(1))


class Block(nn.Module):
    """Causal attention and feed-forward network of the last tokens over all, before them a norm.

    Without ``events`` the computed tokens are the T feature tokens alone. Letter: H heads.
    """

    def __init__(
        self, num_tokens: int, width: int, heads: int, ratio: int, dropout: float, events: bool
    ) -> None:
        super().__init__()
        self.head_dim = width // heads
        self.attention_norm = RMSNorm(width)
        self.query = mixed_linear(num_tokens, width, width, events)
        self.key_value = mixed_linear(num_tokens, width, 2 * width)
        self.out = mixed_linear(num_tokens, width, width, events)
        self.norm = RMSNorm(width)
        shared = None
        if events:
            shared = nn.Sequential(
                nn.Linear(width, ratio * width, bias=False),
                nn.GELU(),
                nn.Linear(ratio * width, width, bias=False),
            )
        own = TokenFeedForward(num_tokens, width, ratio, bias=False)
        self.feed_forward = Mixed(num_tokens, shared, own)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor, left: int) -> Tensor:
        """``(B, L, D)`` -> ``(B, left, D)``; ``visible`` ``(B, 1, L or more, L or more)``."""
        length = x.shape[1]
        normed = self.attention_norm(x)
        key, value = self._heads(self.key_value(normed)).chunk(2, 1)  # (B, H, L, D / H) each
        attended = F.scaled_dot_product_attention(
            self._heads(self.query(newest(normed, left))),
            key,
            value,
            attn_mask=visible[:, :, -left:, -length:],
        )  # (B, H, left, D / H)
        added = self.out(attended.transpose(1, 2).flatten(2))
        x = newest(x, left) + self.dropout(added)
        return x + self.dropout(self.feed_forward(self.norm(x)))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.head_dim)).transpose(1, 2)


class RMSNorm(nn.Module):
    r"""Scale to a root mean square of 1, :math:`y = g \odot x / \sqrt{\mathrm{mean}(x^2)}`.

    Source: B. Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019. It takes
    the time of torch's, which warns of bfloat16 inputs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class Mixed(nn.Module):
    """A module for the events, another for the T feature tokens that stand behind them.

    ``(B, L, I)`` -> ``(B, L, D)``; without ``shared`` there are only the T.
    """

    def __init__(self, num_tokens: int, shared: nn.Module | None, own: nn.Module) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.shared, self.own = shared, own

    def forward(self, x: Tensor) -> Tensor:
        """Map each token."""
        if self.shared is None:
            return self.own(x)
        events, others = x.split([x.shape[1] - self.num_tokens, self.num_tokens], 1)
        return torch.cat([self.shared(events), self.own(others)], 1)


def mixed_linear(num_tokens: int, width: int, out_features: int, events: bool = True) -> Mixed:
    """One matrix for all events, one a feature token; no biases."""
    shared = nn.Linear(width, out_features, bias=False) if events else None
    return Mixed(num_tokens, shared, TokenLinear(num_tokens, width, out_features, bias=False))


def newest(x: Tensor, count: int) -> Tensor:
    """The last tokens; of all there is no slice, whose backward pass would copy them."""
    return x if count == x.shape[1] else x[:, -count:]


def causal(real: Tensor) -> Tensor:
    """Which tokens each may see, ``(B, 1, L, L)``, from ``real`` ``(B, L)``.

    Those before it that are real, and itself: padding would else look at nothing, 0 / 0.
    """
    length = real.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((before & real.unsqueeze(1)) | itself).unsqueeze(1)


def pyramid_lengths(length: int, num_tokens: int, num_layers: int, pyramid: bool) -> list[int]:
    """How many events each block computes: a line from ``length`` to ``num_tokens``, then none.

    >>> pyramid_lengths(50, 10, num_layers=5, pyramid=True)
    [50, 40, 30, 20, 0]
    """
    last = min(length, num_tokens) if pyramid else length
    steps = max(num_layers - 1, 1)
    return [round(length + (last - length) * b / steps) for b in range(num_layers - 1)] + [0]
