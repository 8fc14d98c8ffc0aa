"""Wide & Deep (Cheng et al.; DLRS at RecSys 2016, arXiv:1606.07792)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from torch import Tensor

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class WideDeep(BaseModel):
    r"""A linear model that memorises beside a deep tower that generalises.

    .. math::
        z = b + w_{wide}^\top [x; \phi(x)] + \mathrm{MLP}(e)

    The wide part has a weight for every id and every number. The paper's cross-products
    :math:`\phi(x)` are columns like others: let the processor cross them, describe each as a sparse
    feature, and leave it out of ``deep_feature_names``.

    The paper trains the wide part by FTRL with L1. Here both parts train with one optimizer, and
    the tables of both are its group ``embedding``. For two, pass :meth:`compile` an optimizer
    made over ``model.linear.parameters()`` and the rest as groups; tables then get dense
    gradients.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the deep tower.
        wide_feature_names: names of the features that the wide part reads; ``None``: all.
        deep_feature_names: names of the features that the deep part reads; ``None``: all.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: a name is unknown, a part has no feature or a feature no part.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        *,
        wide_feature_names: Sequence[str] | None = None,
        deep_feature_names: Sequence[str] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        wide = self._named("wide_feature_names", wide_feature_names)
        deep = self._named("deep_feature_names", deep_feature_names)
        idle = [name for name in self.features.names if name not in wide and name not in deep]
        if idle:
            raise ConfigError(
                f"{self.model_name}: feature {idle[0]!r} is neither in `wide_feature_names` nor in "
                "`deep_feature_names`."
            )
        self.linear = FirstOrder(wide, self.num_logits)
        self.embedding = EmbeddingLayer(deep)
        self.mlp = mlp_from(deep.width, mlp_params, dims=(256, 128), output_dim=self.num_logits)

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        return self.linear(x) + self.mlp(self.embedding.flat(x))

    def _named(self, parameter: str, names: Sequence[str] | None) -> FeatureSet:
        """The features of one part."""
        if names is None:
            return self.features
        if isinstance(names, str) or not names:
            must_be = "a list of at least one feature's name, or None"
            raise ConfigError(invalid(self.model_name, parameter, must_be, names))
        for name in names:
            if name not in self.features:
                known = self.features.names
                raise ConfigError(unknown_option(self.model_name, parameter, known, name))
        return FeatureSet.of(feature for feature in self.features if feature.name in names)
