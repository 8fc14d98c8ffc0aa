"""MaskNet (Z. Wang, She, J. Zhang; DLP-KDD 2021, arXiv:2102.07619)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mask import InstanceGuidedMask
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["InstanceGuidedMask", "MaskBlockOnEmbedding", "MaskBlockOnHidden", "MaskNet"]

Structure = Literal["parallel", "serial"]


class MaskNet(BaseModel):
    r"""Layers whose input is multiplied, number by number, with a mask made from the row.

    .. math::
        \text{parallel:}\quad z &= \mathrm{MLP}([g_1; \dots; g_n]), \qquad
            g_i = \mathrm{ReLU}(\mathrm{LN}(W_i (m_i(v) \odot \mathrm{LN}_i(e)))) \\
        \text{serial:}\quad z &= w^\top h_n + b, \qquad h_1 = g_1, \quad
            h_{i+1} = \mathrm{ReLU}(\mathrm{LN}(W_{i+1} (m_{i+1}(v) \odot h_i)))

    where e are the fields, v their concatenation, and each mask m its own
    :class:`~nextrec.layers.mask.InstanceGuidedMask`. Raw dense values are fields by a learned map.

    Args:
        model_type: ``parallel`` or ``serial``.
        num_blocks: blocks n.
        mask_hidden_dim: width of each mask's hidden layer.
        block_hidden_dim: width of each block's output.
        block_dropout: dropout after each block.
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` on top of parallel blocks.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: fields of different widths, or ``mlp_params`` with serial blocks.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        model_type: Structure = "parallel",
        num_blocks: int = 3,
        mask_hidden_dim: int = 64,
        block_hidden_dim: int = 256,
        block_dropout: float = 0.0,
        mlp_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if model_type not in get_args(Structure):
            known = get_args(Structure)
            raise ConfigError(unknown_option(self.model_name, "model_type", known, model_type))
        serial = model_type == "serial"
        if serial and mlp_params:
            raise ConfigError("MaskNet: `mlp_params` has no use with `model_type` 'serial'.")
        sizes = {
            "num_blocks": num_blocks,
            "mask_hidden_dim": mask_hidden_dim,
            "block_hidden_dim": block_hidden_dim,
        }
        for name, value in sizes.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(invalid(self.model_name, name, "an integer of at least 1", value))
        rate = isinstance(block_dropout, int | float) and not isinstance(block_dropout, bool)
        if not rate or not 0 <= block_dropout < 1:
            must_be = "a number in [0, 1)"
            raise ConfigError(invalid(self.model_name, "block_dropout", must_be, block_dropout))
        fields = self.features.as_fields(self.model_name)
        self.embedding = EmbeddingLayer(fields)
        shape = (
            len(fields),
            fields.field_width(self.model_name),
            mask_hidden_dim,
            block_hidden_dim,
        )
        self.blocks = nn.ModuleList(
            MaskBlockOnHidden(*shape) if serial and number else MaskBlockOnEmbedding(*shape)
            for number in range(num_blocks)
        )
        self.dropout = nn.Dropout(block_dropout)
        self.head: nn.Module
        if serial:
            self.head = nn.Linear(block_hidden_dim, self.num_logits)
        else:
            joined = num_blocks * block_hidden_dim
            self.head = mlp_from(joined, mlp_params, dims=(256, 128), output_dim=self.num_logits)
        self.model_type = model_type

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        flat = fields.flatten(1)  # (B, F * D)
        if self.model_type == "parallel":
            hidden = torch.cat([block(fields, flat) for block in self.blocks], dim=1)
            return self.head(self.dropout(hidden))
        hidden = fields
        for block in self.blocks:
            hidden = self.dropout(block(hidden, flat))  # (B, block_hidden_dim)
        return self.head(hidden)


class MaskBlockOnEmbedding(nn.Module):
    r"""A masked layer over the normalised fields, :math:`ReLU(LN(W (m(v) \odot LN(e)) + b))`.

    The inner normalisation is over the width of each field, with one gain and bias for all.

    Args:
        num_fields: fields F.
        embedding_dim: width D of a field.
        mask_hidden_dim: width of the mask's hidden layer.
        hidden_dim: width of the output.

    Shape: ``(B, F, D)`` and the same as ``(B, F * D)`` -> ``(B, hidden_dim)``.
    """

    def __init__(
        self, num_fields: int, embedding_dim: int, mask_hidden_dim: int, hidden_dim: int
    ) -> None:
        super().__init__()
        width = num_fields * embedding_dim
        self.ln_emb = nn.LayerNorm(embedding_dim)
        self.mask_gen = InstanceGuidedMask(width, mask_hidden_dim, width)
        self.ffn = nn.Linear(width, hidden_dim)
        self.ln_hid = nn.LayerNorm(hidden_dim)
        self.out_features = hidden_dim

    def forward(self, field_emb: Tensor, v_emb_flat: Tensor) -> Tensor:  # noqa: D102
        masked = self.mask_gen(v_emb_flat) * self.ln_emb(field_emb).flatten(1)
        return torch.relu(self.ln_hid(self.ffn(masked)))


class MaskBlockOnHidden(nn.Module):
    r"""A masked layer over the output of another block, :math:`ReLU(LN(W (m(v) \odot h) + b))`.

    Args:
        num_fields: fields F.
        embedding_dim: width D of a field.
        mask_hidden_dim: width of the mask's hidden layer.
        hidden_dim: width of the input and the output.

    Shape: ``(B, hidden_dim)``, ``(B, F * D)`` -> ``(B, hidden_dim)``.
    """

    def __init__(
        self, num_fields: int, embedding_dim: int, mask_hidden_dim: int, hidden_dim: int
    ) -> None:
        super().__init__()
        self.mask_gen = InstanceGuidedMask(num_fields * embedding_dim, mask_hidden_dim, hidden_dim)
        self.ffn = nn.Linear(hidden_dim, hidden_dim)
        self.ln_output = nn.LayerNorm(hidden_dim)
        self.out_features = hidden_dim

    def forward(self, hidden_in: Tensor, v_emb_flat: Tensor) -> Tensor:  # noqa: D102
        masked = self.mask_gen(v_emb_flat) * hidden_in
        return torch.relu(self.ln_output(self.ffn(masked)))
