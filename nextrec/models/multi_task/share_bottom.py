"""Shared bottom (Caruana, Multitask Learning, Machine Learning 28, 1997)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions


class ShareBottom(BaseModel):
    r"""One bottom network for all tasks, one tower a task.

    .. math::
        z_t = \mathrm{Tower}_t(\mathrm{Bottom}(x))

    Args:
        bottom_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the bottom.
        tower_params_list: arguments of each task's tower, in the order of ``target``.

    Shape: columns -> ``(B, num_logits)``.
    """

    then_positional = ("target", "task", *POSITIONAL_OPTIONS)

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        bottom_params: Mapping[str, Any] | None = None,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        self.embedding = EmbeddingLayer(self.features)
        self.bottom = mlp_from(
            self.embedding.out_features, bottom_params, dims=(256, 128), output_layer=False
        )
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.bottom.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.towers(self.bottom(self.embedding.flat(x)))
