"""Shared bottom (Caruana, Multitask Learning, Machine Learning 28, 1997)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions
from nextrec.tasks import Task


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
        towers = tower_params(self.model_name, self.tasks, tower_params_list)
        self.towers = nn.ModuleList(
            mlp_from(self.bottom.out_features, params, output_dim=task.size)
            for task, params in zip(self.tasks, towers, strict=True)
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        shared = self.bottom(self.embedding.flat(x))  # (B, width of the bottom)
        return torch.cat([tower(shared) for tower in self.towers], dim=1)


def tower_params(
    owner: str, tasks: Sequence[Task], given: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """One mapping of tower arguments a task; without any, towers of one layer of 64.

    Raises:
        ConfigError: not one a task.
    """
    if given is None:
        return [{"dims": (64,)} for _ in tasks]
    if len(given) != len(tasks):
        must_be = f"a list of one mapping a target ({len(tasks)})"
        raise ConfigError(invalid(owner, "tower_params_list", must_be, list(given)))
    return list(given)
