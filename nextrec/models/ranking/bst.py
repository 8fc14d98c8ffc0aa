"""Behavior Sequence Transformer (Q. Chen, Zhao, Li, Huang, Ou; DLP-KDD 2019, arXiv:1905.06874)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.checks import check_rates
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories
from nextrec.layers.mlp import mlp_from
from nextrec.layers.transformer import PositionalEmbedding, TransformerBlock
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

Output = Literal["concat", "mean", "candidate"]


class BST(BaseModel):
    r"""A Transformer over the history with the candidate as its newest item.

    .. math::
        x_t = [e_t; p_{L+1-t}], \quad t = 1, \dots, L + 1, \qquad
        y = \mathrm{blocks}(x), \qquad
        z = \mathrm{MLP}([\text{all other features}; y_1; \dots; y_{L+1}])

    where :math:`e_{L+1}` is the candidate and each block is
    :class:`~nextrec.layers.transformer.TransformerBlock` with LeakyReLU. Histories that run in step
    (items, categories) stand side by side. The position p tells how many items came between an
    item and the candidate; the paper's tells how much time, which a list of ids does not hold. The
    MLP reads the outputs at all positions, oldest first, the missing ones as zeros, and the
    candidate's last. The paper trains with dropout 0.2 everywhere, 8 heads and one block.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP`.
        num_blocks: Transformer blocks.
        num_heads: heads; they divide the items' width plus ``position_dim``.
        feedforward_dim: hidden width of a block's network; ``None``: 4 times the block's width.
        position_dim: width of p; ``None``: that of the items.
        block_dropout: dropout in the blocks.
        output: what the MLP reads: ``concat`` of all positions (the paper), their ``mean``, or the
            ``candidate``'s alone.
        behavior_feature_name, candidate_feature_name: histories and their candidates; see
            :func:`~nextrec.layers.history.find_pairs`.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: as :class:`~nextrec.layers.history.Histories`.
        ConfigError: an unknown ``output``, no blocks, or heads that don't divide the width.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        num_blocks: int = 1,
        num_heads: int = 2,
        feedforward_dim: int | None = None,
        position_dim: int | None = None,
        block_dropout: float = 0.0,
        output: Output = "concat",
        *,
        behavior_feature_name: str | Sequence[str] | None = None,
        candidate_feature_name: str | Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_rates(self.model_name, block_dropout=block_dropout)
        if output not in get_args(Output):
            raise ConfigError(unknown_option(self.model_name, "output", get_args(Output), output))
        if num_blocks < 1:
            raise ConfigError(invalid(self.model_name, "num_blocks", "at least 1", num_blocks))
        self.histories = Histories(
            self.features, behavior_feature_name, candidate_feature_name, self.model_name
        )
        self.embedding = EmbeddingLayer(self.features)
        positions = self.histories.max_len + 1
        items = self.histories.out_features
        self.position = PositionalEmbedding(
            positions, items if position_dim is None else position_dim
        )
        width = items + self.position.out_features
        self.blocks = nn.ModuleList(
            TransformerBlock(width, num_heads, feedforward_dim, block_dropout, "leaky_relu")
            for _ in range(num_blocks)
        )
        self.output = output
        read = positions * width if output == "concat" else width
        self.mlp = mlp_from(
            self.histories.rest.width + read,
            mlp_params,
            dims=(1024, 512, 256),
            activation="leaky_relu",
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        query, items, mask = self.histories(self.embedding, x)
        sequence = torch.cat([items, query.unsqueeze(1)], 1)  # (B, L + 1, D)
        mask = F.pad(mask, (0, 1), value=True)  # the candidate is always there
        y = torch.cat([sequence, self.position(mask).to(sequence.dtype)], -1)  # (B, L + 1, W)
        for block in self.blocks[:-1]:
            y = block(y, mask)
        y = self.blocks[-1](y, mask, last=1 if self.output == "candidate" else None)
        others = self.embedding.flat(x, self.histories.rest)
        return self.mlp(torch.cat([others, self._read(y, mask)], 1))

    def _read(self, y: Tensor, mask: Tensor) -> Tensor:
        if self.output == "candidate":
            return y[:, -1]
        if self.output == "mean":  # what is not real is zero
            return y.sum(1) / mask.sum(1, keepdim=True).to(y.dtype)
        missing = self.histories.max_len + 1 - y.shape[1]
        history = F.pad(y[:, :-1], (0, 0, 0, missing))  # (B, max_len, W)
        return torch.cat([history, y[:, -1:]], 1).flatten(1)
