"""Entire Space Multi-task Model (Ma et al.; SIGIR 2018, arXiv:1804.07931)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.chain import ChainPredictionLayer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.chains import check_chain, joint_logits
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import POSITIONAL_OPTIONS, ModelOptions


class ESMM(BaseModel):
    r"""Probabilities of reaching each step of a chain, trained on all rows.

    .. math::
        p_n = \prod_{m \le n} \sigma(\mathrm{Tower}_m(e))

    Towers read the same embeddings e. Tower m tells the probability of step m given the one before,
    which is never trained on its own: labels say whether a row came as far as step n, for every
    row that was shown, so nothing is learned from clicked rows alone. Predictions never grow along
    the chain. The paper's chain has two steps, ``click`` and ``click and conversion``; here it may
    have any number.

    Args:
        ctr_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the first of two towers.
        cvr_params: the same for the second.
        tower_params_list: one such mapping a target, for a chain of any length; in place of the two
            others.

    ``target`` is ``["ctr", "ctcvr"]`` by default.

    Shape: columns -> ``(B, num_logits)``, the log-odds of each :math:`p_n`.

    Raises:
        ConfigError: fewer than two targets, one that is not binary, or arguments that contradict
            each other.
    """

    then_positional = ("target", "task", *POSITIONAL_OPTIONS)

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        ctr_params: Mapping[str, Any] | None = None,
        cvr_params: Mapping[str, Any] | None = None,
        *,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        if options.get("target") is None:
            options["target"] = ["ctr", "ctcvr"]
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_chain(self.model_name, self.tasks)
        self.prediction_layer = ChainPredictionLayer.of(self.tasks)
        if ctr_params is not None or cvr_params is not None:
            if tower_params_list:
                raise ConfigError(
                    f"{self.model_name}: `tower_params_list` takes the place of `ctr_params` and "
                    "`cvr_params`; give either."
                )
            if len(self.tasks) != 2:
                must_be = f"None with {len(self.tasks)} targets, which take `tower_params_list`"
                given = {"ctr_params": ctr_params, "cvr_params": cvr_params}
                name = "ctr_params" if ctr_params is not None else "cvr_params"
                raise ConfigError(invalid(self.model_name, name, must_be, given[name]))
            default = {"dims": (64,)}
            tower_params_list = [
                default if each is None else each for each in (ctr_params, cvr_params)
            ]
        self.embedding = EmbeddingLayer(self.features)
        self.towers = TaskTowers(
            self.model_name, self.tasks, self.embedding.out_features, tower_params_list
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return joint_logits(self.towers(self.embedding.flat(x)))

    def conditional(self, x: Mapping[str, Tensor]) -> Tensor:
        """Probability of each step given the one before, ``(B, N)``: the click, then p(CVR)."""
        return torch.sigmoid(self.towers(self.embedding.flat(x)))
