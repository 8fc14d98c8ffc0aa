"""Adaptive Information Transfer Multi-task (Xi et al.; KDD 2021, arXiv:2105.08489)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.chain import ChainPredictionLayer
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.gates import inspected
from nextrec.layers.gating import ExpertBank, mix
from nextrec.loss.reduction import check_number, divide
from nextrec.models.base import BaseModel
from nextrec.models.multi_task.chains import check_chain, joint_logits
from nextrec.models.multi_task.towers import TaskTowers
from nextrec.models.options import ModelOptions


class AITM(BaseModel):
    r"""Each step of a chain decides how much it takes over from the step before.

    .. math::
        q_t = \mathrm{Bottom}_t(e), \qquad z_1 = q_1, \qquad
        z_t = \mathrm{AIT}_t(\mathrm{ReLU}(W_t z_{t-1} + b_t), q_t), \qquad
        p_t = \sigma(\mathrm{Tower}_t(z_t))

    with :class:`AdaptiveTransfer` as AIT. To the losses of the targets training adds

    .. math::
        \alpha\, \mathrm{E}\Bigl[\sum_{t > 1} \max(p_t - p_{t-1}, 0)\Bigr]

    for a step is not more probable than the one before. The mean is over all rows with a label,
    weighted by the largest weight of a row's labels.

    Args:
        bottom_params: arguments of :class:`~nextrec.layers.gating.ExpertBank` for the bottoms, one
            a target.
        tower_params_list: arguments of each target's tower over :math:`z_t`; by default a linear
            layer, as in the paper.
        calibrator_weight: :math:`\alpha`; 0 leaves the calibration out.
        consistent: let towers tell the log-odds of a step given the one before, and predict their
            products: p never grows along the chain, and there is nothing left to calibrate.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: fewer than two targets, one that is not binary, or a negative weight.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        bottom_params: Mapping[str, Any] | None = None,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        *,
        calibrator_weight: float = 0.6,
        consistent: bool = False,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        check_chain(self.model_name, self.tasks)
        check_number(self.model_name, "calibrator_weight", calibrator_weight)
        self.calibrator_weight, self.consistent = calibrator_weight, consistent
        if consistent:
            self.prediction_layer = ChainPredictionLayer.of(self.tasks)
        self.embedding = EmbeddingLayer(self.features)
        steps = len(self.tasks)
        self.bottoms = ExpertBank.of(
            steps, self.embedding.out_features, bottom_params, dims=(128, 64)
        )
        width = self.bottoms.out_features
        self.carries = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(steps - 1)
        )
        self.transfers = nn.ModuleList(AdaptiveTransfer(width) for _ in range(steps - 1))
        linear = [{"dims": ()} for _ in self.tasks]
        self.towers = TaskTowers(self.model_name, self.tasks, width, tower_params_list or linear)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        states, _ = self._steps(x)
        logits = self.towers(states)
        return joint_logits(logits) if self.consistent else logits

    def training_outputs(self, x: Mapping[str, Tensor]) -> Tensor | Mapping[str, Any]:
        """The logits, with the calibrator where it is trained."""
        logits = self.logits(x)
        if self.consistent or not self.calibrator_weight:
            return logits

        def calibrator(labels: Tensor, weights: Tensor) -> Tensor:
            p = torch.sigmoid(logits.to(labels.dtype))  # (B, T)
            excess = torch.relu(p[:, 1:] - p[:, :-1]).sum(1)  # (B,)
            row = weights.amax(1)
            return self.calibrator_weight * divide((row * excess).sum(), row.sum())

        return {"logits": logits, "auxiliary": {"calibrator": calibrator}}

    @inspected
    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights ``(B, 2)`` of each later target: what it takes over, and its own."""
        _, weights = self._steps(x)
        return {task.name: each for task, each in zip(self.tasks[1:], weights, strict=True)}

    def _steps(self, x: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """States z ``(B, D)`` of all steps, and the weights ``(B, 2)`` of all but the first."""
        first, *later = self.bottoms(self.embedding.flat(x)).unbind(1)
        states, weights = [first], []
        for carry, transfer, own in zip(self.carries, self.transfers, later, strict=True):
            state, weight = transfer(carry(states[-1]), own)
            states.append(state)
            weights.append(weight)
        return states, weights


class AdaptiveTransfer(nn.Module):
    r"""Mixture of what a step takes over, p, and of its own state, q.

    .. math::
        z = \sum_{u \in \{p, q\}} w_u\, h_1(u), \qquad
        w = \mathrm{softmax}_u\Bigl(\frac{\langle h_2(u), h_3(u) \rangle}{\sqrt D}\Bigr)

    with linear maps h.

    Shape: p, q ``(B, D)`` -> z ``(B, D)`` and w ``(B, 2)``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.scale = width**-0.5

    def forward(self, carried: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        both = torch.stack([carried, own], 1)  # (B, 2, D)
        scores = self.scale * (self.query(both) * self.key(both)).sum(-1)  # (B, 2)
        weights = torch.softmax(scores, -1)
        return mix(self.value(both), weights), weights
