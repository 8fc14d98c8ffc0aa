"""Entire Space Counterfactual Multi-task Model (Wang et al.; SIGIR 2022, arXiv:2204.05125)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.mlp import mlp_from
from nextrec.loss.reduction import check_number, divide
from nextrec.models.multi_task.chains import joint_logits
from nextrec.models.multi_task.esmm import ESMM
from nextrec.models.options import ModelOptions

Estimator = Literal["ips", "dr"]


class ESCM2(ESMM):
    r"""ESMM whose conversion tower is also trained on clicked rows, weighted to stand for all rows.

    .. math::
        L = L_{click} + \lambda_g L_{click \cdot buy} + \lambda_c R, \qquad
        R_{IPS} = \mathrm{E}\Bigl[\frac{o\,\delta}{\hat o}\Bigr], \qquad
        R_{DR} = \mathrm{E}\Bigl[\hat\delta + \frac{o\,(\delta - \hat\delta)}{\hat o}\Bigr]
            + \mathrm{E}\Bigl[\frac{o\,(\delta - \hat\delta)^2}{\hat o}\Bigr]

    where o is the click, :math:`\hat o` its predicted probability, :math:`\delta` the log loss of
    the conversion given a click, and :math:`\hat\delta` the prediction of :math:`\delta` by a third
    tower. The means are over all rows that were shown, clicked or not. ESMM alone overestimates
    conversions, and may ignore that they follow from clicks.

    :math:`\hat o` is no smaller than ``min_propensity`` and gets no gradient of R: a risk that can
    be lowered by predicting more clicks would spoil them. :math:`\hat\delta` ends in a softplus: a
    log loss is never negative, and R falls without bound in the :math:`\hat\delta` of rows without
    a click. The formulas follow descriptions of the paper and public implementations.

    A row whose click was not observed is no row of R, nor is a clicked one whose conversion was
    not. With weights of rows the means are weighted: a clicked row by the weight of its conversion,
    another by that of its click.

    Args:
        tower_params_list: arguments of :class:`~nextrec.layers.mlp.MLP` of the towers of the click
            and of the conversion.
        estimator: ``ips``, or ``dr`` (doubly robust).
        imputation_params: arguments of the tower of :math:`\hat\delta`; only with ``dr``.
        counterfactual_weight: :math:`\lambda_c`.
        global_weight: :math:`\lambda_g`, the second of ``loss_weights``, which take its place.
        min_propensity: least :math:`\hat o`, in (0, 1].

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: not two binary targets, an unknown estimator, or a weight that is negative or
            without use.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        tower_params_list: Sequence[Mapping[str, Any]] | None = None,
        *,
        estimator: Estimator = "dr",
        imputation_params: Mapping[str, Any] | None = None,
        counterfactual_weight: float = 0.5,
        global_weight: float = 1.0,
        min_propensity: float = 0.05,
        **options: Unpack[ModelOptions],
    ) -> None:
        self.default_loss_weights = [1.0, check_number("ESCM2", "global_weight", global_weight)]
        if options.get("loss_weights") is not None and global_weight != 1.0:
            raise ConfigError("ESCM2: `loss_weights` take the place of `global_weight`.")
        targets = options.get("target")
        if targets is not None and (isinstance(targets, str) or len(targets) != 2):
            must_be = "two events, the click and the click with a conversion"
            raise ConfigError(invalid("ESCM2", "target", must_be, targets))
        super().__init__(
            dense_features,
            sparse_features,
            sequence_features,
            tower_params_list=tower_params_list,
            **options,
        )
        if estimator not in get_args(Estimator):
            known = get_args(Estimator)
            raise ConfigError(unknown_option(self.model_name, "estimator", known, estimator))
        check_number(self.model_name, "counterfactual_weight", counterfactual_weight, above=True)
        if not 0 < min_propensity <= 1:
            must_be = "a number in (0, 1]"
            raise ConfigError(invalid(self.model_name, "min_propensity", must_be, min_propensity))
        self.counterfactual_weight, self.min_propensity = counterfactual_weight, min_propensity
        self.imputation = None
        if estimator == "dr":
            width, name = self.embedding.out_features, "imputation_params"
            self.imputation = mlp_from(width, imputation_params, name, dims=(64,), output_dim=1)
        elif imputation_params is not None:
            raise ConfigError("ESCM2: `imputation_params` has no use with `estimator` 'ips'.")

    def training_outputs(self, x: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """The logits, with the counterfactual risk and with the loss of the imputed errors."""
        flat = self.embedding.flat(x)  # (B, width)
        conditional = self.towers(flat)  # (B, 2)
        imputed = None if self.imputation is None else self.imputation(flat).squeeze(1)  # (B,)

        def counterfactual(labels: Tensor, weights: Tensor) -> Tensor:
            row, clicked, error = self._errors(conditional, labels, weights)
            if imputed is None:
                return self.counterfactual_weight * _mean(clicked * error, row)
            guess = F.softplus(imputed.to(error.dtype))
            return self.counterfactual_weight * _mean(guess + clicked * (error - guess), row)

        def imputation(labels: Tensor, weights: Tensor) -> Tensor:
            row, clicked, error = self._errors(conditional, labels, weights)
            guess = F.softplus(imputed.to(error.dtype))  # type: ignore[union-attr]
            return self.counterfactual_weight * _mean(clicked * (error - guess).square(), row)

        losses = {"counterfactual": counterfactual}
        if imputed is not None:
            losses["imputation"] = imputation
        return {"logits": joint_logits(conditional), "auxiliary": losses}

    def _errors(
        self, conditional: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""The rows' weights, :math:`o / \hat o` and :math:`\delta`, each ``(B,)``."""
        click, conversion = conditional.to(labels.dtype).unbind(1)
        clicked = labels[:, 0]
        row = torch.where(clicked > 0, weights[:, 1], weights[:, 0])
        row = row * (weights[:, 0] > 0)  # nobody knows whether a row without a label was clicked
        propensity = torch.sigmoid(click).detach().clamp(min=self.min_propensity)
        error = F.binary_cross_entropy_with_logits(conversion, labels[:, 1], reduction="none")
        return row, clicked / propensity, error


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return divide((weight * values).sum(), weight.sum())
