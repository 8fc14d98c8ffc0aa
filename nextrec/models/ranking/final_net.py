"""FinalNet (Zhu, Jia, Cai, Dai, Li, Dong, Tang, R. Zhang; SIGIR 2023).

"FINAL: Factorized Interaction Layer for CTR Prediction", doi:10.1145/3539618.3591988.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.activation import activation_layer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import BatchNorm1d, Norm, check_keys, layer_rates, stack_problems
from nextrec.layers.selection import FieldGate
from nextrec.loss.reduction import check_number
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

__all__ = ["FactorizedInteraction", "FinalBlock", "FinalNet"]

BlockType = Literal["1B", "2B"]
ResidualType = Literal["concat", "sum"]


class FinalNet(BaseModel):
    r"""One or two stacks of layers that multiply two linear views of their input.

    .. math::
        z_A = \mathrm{block}_A([e; \mathrm{gate}(e)]), \qquad z_B = \mathrm{block}_B(e), \qquad
        z = (z_A + z_B) / 2

    Each layer doubles the degree of the interactions (:class:`FactorizedInteraction`). Two blocks
    also learn from their mean: the loss is that of z plus, for each block, the same loss of its own
    prediction with :math:`\sigma(z)`, held fixed, in place of the label. Regression takes the
    squared distance to z, multiclass the cross entropy with z's softmax.

    The paper writes a layer as a sum with an activation on the second factor; its released code,
    whose results are published, concatenates and has none. Both are here (``residual_type``,
    ``interaction_activation``), the code's as default. The paper's products of more than two
    factors are not.

    Args:
        block1_params: arguments of :class:`FinalBlock` for block A: ``dims``, ``dropout``,
            ``activation``, ``norm``.
        block2_params: the same for block B.
        block_type: ``2B``, or ``1B`` for block A alone.
        use_field_gate: block A also reads the fields weighed by
            :class:`~nextrec.layers.selection.FieldGate`; the fields then need one width.
        residual_type: of :class:`FactorizedInteraction`.
        interaction_activation: of :class:`FactorizedInteraction`.
        distillation: weight of what the blocks learn from their mean; 0 leaves it out.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a layer's width is odd with ``concat``; ``block2_params`` with ``1B``; with the
            gate, fields of different widths.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        block1_params: Mapping[str, Any] | None = None,
        block2_params: Mapping[str, Any] | None = None,
        block_type: BlockType = "2B",
        use_field_gate: bool = False,
        residual_type: ResidualType = "concat",
        *,
        interaction_activation: str = "none",
        distillation: float = 1.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if block_type not in get_args(BlockType):
            known = get_args(BlockType)
            raise ConfigError(unknown_option(self.model_name, "block_type", known, block_type))
        if block_type == "1B" and block2_params:
            raise ConfigError("FinalNet: `block2_params` has no use with `block_type` '1B'.")
        self.distillation = check_number(self.model_name, "distillation", distillation)
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.gate, gated = None, 0
        if use_field_gate:
            fields = len(self.features.fields)
            gated = fields * self.features.field_width(self.model_name, at_least=2)
            self.gate = FieldGate(fields)
        common = {"residual_type": residual_type, "interaction_activation": interaction_activation}
        self.block1 = FinalBlock.of(width + gated, block1_params, **common)
        self.head1 = nn.Linear(self.block1.out_features, self.num_logits)
        self.block2, self.head2 = None, None
        if block_type == "2B":
            self.block2 = FinalBlock.of(width, block2_params, **common)
            self.head2 = nn.Linear(self.block2.out_features, self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        blocks = self._block_logits(x)
        return blocks[0] if len(blocks) == 1 else 0.5 * (blocks[0] + blocks[1])

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """The logits and, with two blocks, the distance of each one's prediction from theirs."""
        blocks = self._block_logits(x)
        if len(blocks) == 1:
            return {"logits": blocks[0]}
        mean = 0.5 * (blocks[0] + blocks[1])
        if not self.distillation:
            return {"logits": mean}
        auxiliary = {
            f"block{number}": self.distillation * self._distance(own, mean.detach())
            for number, own in enumerate(blocks, start=1)
        }
        return {"logits": mean, "auxiliary": auxiliary}

    def _block_logits(self, x: Mapping[str, Tensor]) -> list[Tensor]:
        """Logits ``(B, num_logits)`` of each block."""
        fields = None if self.gate is None else self.embedding.fields(x)  # (B, F, D)
        flat = self.embedding.flat(x, fields=fields)  # (B, width)
        first = flat
        if self.gate is not None:
            first = torch.cat([flat, self.gate(fields).flatten(1)], dim=1)
        logits = [self.head1(self.block1(first))]
        if self.block2 is not None and self.head2 is not None:
            logits.append(self.head2(self.block2(flat)))
        return logits

    def _distance(self, own: Tensor, mean: Tensor) -> Tensor:
        """Loss of a block's predictions with those of the mean as labels, summed over tasks."""
        total = own.new_zeros((), dtype=torch.promote_types(own.dtype, torch.float32))
        own, mean = own.to(total.dtype), mean.to(total.dtype)
        for task in self.tasks:
            student, teacher = own[:, task.logits], mean[:, task.logits]
            if task.kind == "regression":
                loss = F.mse_loss(student, teacher)
            elif task.kind == "multiclass":
                loss = F.cross_entropy(student, teacher.softmax(1))
            else:
                loss = F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
            total = total + loss
        return total


class FinalBlock(nn.Module):
    r"""Factorized interactions, each followed by normalisation, activation and dropout.

    .. math::
        x_l = \mathrm{dropout}(\phi(\mathrm{norm}(\mathrm{FI}_l(x_{l-1}))))

    Args:
        input_dim: width of the input.
        dims: widths of the layers.
        dropout, activation, norm: as in :class:`~nextrec.layers.mlp.MLP`.
        residual_type, interaction_activation: of :class:`FactorizedInteraction`.

    Shape: ``(B, input_dim)`` -> ``(B, dims[-1])``.

    >>> FinalBlock(10, dims=[16, 8])(torch.ones(4, 10)).shape
    torch.Size([4, 8])
    """

    parameters_of_a_model = ("dims", "dropout", "activation", "norm")

    def __init__(
        self,
        input_dim: int,
        dims: Sequence[int],
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        norm: Norm = "batch",
        residual_type: ResidualType = "concat",
        interaction_activation: str = "none",
    ) -> None:
        super().__init__()
        problems = stack_problems("FinalBlock", input_dim, dims, dropout, norm)
        if not dims:
            problems.append(invalid("FinalBlock", "dims", "at least one width", dims))
        if problems:
            raise ConfigError("\n".join(problems))
        rates = layer_rates(dims, dropout)
        layers: list[nn.Module] = []
        for width, dim, rate in zip((input_dim, *dims), dims, rates, strict=False):
            layers.append(FactorizedInteraction(width, dim, residual_type, interaction_activation))
            if norm != "none":
                layers.append(BatchNorm1d(dim) if norm == "batch" else nn.LayerNorm(dim))
            layers.append(activation_layer(activation, dim))
            if rate:
                layers.append(nn.Dropout(rate))
        self.layers = nn.Sequential(*layers)
        self.out_features = dims[-1]

    @classmethod
    def of(cls, input_dim: int, params: Mapping[str, Any] | None, **common: Any) -> FinalBlock:
        """Build from a model's ``block1_params`` or ``block2_params``.

        Raises:
            ConfigError: an unknown key, with the likely one, or a value that is refused.
        """
        params = dict(params or {})
        check_keys("FinalBlock", params, cls.parameters_of_a_model)
        return cls(input_dim, **{"dims": (256, 128), **params}, **common)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.layers(x)


class FactorizedInteraction(nn.Module):
    r"""A linear layer and its product with a second one.

    .. math::
        h_1 = W_1 x + b_1, \qquad h_2 = h_1 \odot \phi(W_2 x + b_2), \qquad
        y = [h_1; h_2] \ \text{or}\ h_1 + h_2

    Args:
        input_dim: width of the input.
        output_dim: width of the output.
        residual_type: ``concat`` has as many weights as one linear layer, and an even
            ``output_dim``; ``sum`` has twice as many.
        interaction_activation: :math:`\phi`, by default none.

    Shape: ``(B, input_dim)`` -> ``(B, output_dim)``.

    Raises:
        ConfigError: ``output_dim`` is odd with ``concat``, or an option is unknown.

    >>> FactorizedInteraction(10, 8)(torch.ones(4, 10)).shape
    torch.Size([4, 8])
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        residual_type: ResidualType = "concat",
        interaction_activation: str = "none",
    ) -> None:
        super().__init__()
        known = get_args(ResidualType)
        if residual_type not in known:
            raise ConfigError(unknown_option("FinalNet", "residual_type", known, residual_type))
        if residual_type == "concat" and output_dim % 2:
            must_be = "even, as `residual_type` 'concat' splits each in half"
            raise ConfigError(invalid("FinalNet", "dims", must_be, output_dim))
        half = output_dim if residual_type == "sum" else output_dim // 2
        self.linear = nn.Linear(input_dim, 2 * half)
        self.activation = activation_layer(interaction_activation, half)
        self.residual_type = residual_type
        self.out_features = output_dim

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        first, second = self.linear(x).chunk(2, dim=-1)
        product = first * self.activation(second)
        if self.residual_type == "sum":
            return first + product
        return torch.cat([first, product], dim=-1)
