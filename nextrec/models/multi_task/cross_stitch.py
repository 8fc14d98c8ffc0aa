"""Cross-stitch networks (Misra, Shrivastava, Gupta, Hebert; CVPR 2016, arXiv:1604.03539)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected, named_gates
from nextrec.layers.gating import ExpertBank
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class CrossStitch(BaseModel):
    r"""A network a task, whose hidden layers are mixed between tasks after each layer.

    .. math::
        h^0_t = x, \qquad u^l_t = \mathrm{Layer}^l_t(h^{l-1}_t), \qquad
        h^l_t = \sum_s \alpha^l_{ts}\, u^l_s, \qquad z_t = \mathrm{Tower}_t(h^L_t)

    The mixtures :math:`\alpha` start with ``self_weight`` for a task's own layer and the rest in
    equal shares for the others, and are then learned freely. The paper stitches convolutions
    channel by channel and starts from networks trained on one task each; here the networks start
    together, and ``per_unit`` gives every hidden unit its own mixture.

    Args:
        network_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for each task's
            network.
        tower_params_list: arguments of each task's tower, in the order of ``target``.
        self_weight: first weight of a task's own layer.
        per_unit: learn a mixture for each hidden unit.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: ``self_weight`` outside [0, 1], or wrong parameters of a part.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        network_params: Mapping[str, Any] | None = None,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        self_weight: float = 0.9,
        *,
        per_unit: bool = False,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if not 0 <= self_weight <= 1:
            must_be = "a number in [0, 1]"
            raise ConfigError(invalid(self.model_name, "self_weight", must_be, self_weight))
        self.embedding = EmbeddingLayer(self.features)
        count = len(self.tasks)
        self.networks = ExpertBank.of(
            count, self.embedding.out_features, network_params, dims=(256, 128)
        )
        self.stitches = nn.ParameterList(
            first_mixture(count, self_weight, width if per_unit else 1)
            for width in self.networks.dims
        )
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.networks.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        h = self.embedding.flat(x)
        for number, stitch in enumerate(self.stitches):
            u = self.networks.hidden_layer(h, number)  # (B, T, H)
            shared = stitch.shape[-1] == 1  # by all units
            h = stitch.squeeze(-1) @ u if shared else torch.einsum("tsh,bsh->bth", stitch, u)
        return self.towers(h)

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mixtures ``(B, T)``, ``"level 1, click"``, the same in each row; means of units."""
        rows = len(self.embedding.flat(x))
        names, gates = [task.name for task in self.tasks], dict[str, Tensor]()
        for number, stitch in enumerate(self.stitches, start=1):
            weights = stitch.mean(-1).expand(rows, -1, -1)
            gates |= named_gates(names, weights, f"level {number}, ")
        return gates


def first_mixture(num_tasks: int, self_weight: float, width: int) -> Tensor:
    """``self_weight`` on the diagonal and equal shares of the rest beside it, ``(T, T, width)``.

    >>> first_mixture(3, 0.9, 1)[0, :, 0]
    tensor([0.9000, 0.0500, 0.0500])
    """
    if num_tasks == 1:
        return torch.ones(1, 1, width)
    share = (1 - self_weight) / (num_tasks - 1)
    weights = torch.full((num_tasks, num_tasks), share).fill_diagonal_(self_weight)
    return weights.unsqueeze(-1).repeat(1, 1, width)
