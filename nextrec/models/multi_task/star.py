"""Star Topology Adaptive Recommender (Sheng et al.; CIKM 2021, arXiv:2101.11427)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import FeatureError
from nextrec.layers.activation import activation_layer
from nextrec.layers.dense import column
from nextrec.layers.domain import PartitionedNorm, StarLinear
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from, stack_arguments
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class STAR(BaseModel):
    r"""One network for many domains: shared weights times those of the row's domain.

    .. math::
        h_0 = \mathrm{PN}_p(e), \qquad
        h_l = \phi((W_l \odot W_{lp}) h_{l-1} + b_l + b_{lp}), \qquad
        z = (W \odot W_p) h_L + b + b_p + \mathrm{MLP}([e_p; e])

    where e are the main features (``main_*``), p is the domain and :math:`e_p` its embedding; the
    last term is the auxiliary network, which lets the domain speak for itself. See
    :class:`~nextrec.layers.domain.PartitionedNorm` and
    :class:`~nextrec.layers.domain.StarLinear`. A batch may mix rows of all domains, where the
    paper's batches are of one. An id that was never trained, such as a new domain's, has the shared
    network alone. All targets share all layers but the last of both networks.

    The domain is the one feature of ``domain_sparse_features``; its ``vocab_size`` is the number of
    domains. It may be a main feature too.

    Args:
        mlp_params: ``dims``, ``dropout`` and ``activation`` of the star network, as in
            :class:`~nextrec.layers.mlp.MLP`.
        auxiliary_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the auxiliary network.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        FeatureError: no main feature, or the domain is not one sparse feature.
        ConfigError: a key or value of the parameters is refused.
    """

    groups = ("main", "domain")

    def __init__(
        self,
        *,
        mlp_params: Mapping[str, Any] | None = None,
        auxiliary_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**options)
        self.main, self.domain = self.feature_groups["main"], self.feature_groups["domain"]
        if not len(self.main):
            raise FeatureError("STAR needs at least one main feature.")
        if len(self.domain) != 1 or len(self.domain.sparse) != 1:
            names = [feature.name for feature in self.domain]
            raise FeatureError(f"STAR: the domain is one sparse feature; got {names}.")
        self.embedding = EmbeddingLayer(self.features)
        count, width = self.domain.sparse[0].vocab_size, self.main.width
        keys = ("dims", "dropout", "activation")
        given = stack_arguments(
            "STAR", width, mlp_params, keys, dims=(256, 128), may_be_empty=True, norm="none"
        )
        widths = [width, *given.dims, self.num_logits]
        self.norm = PartitionedNorm(count, width)
        self.star = nn.ModuleList(StarLinear(count, *each) for each in pairwise(widths))
        self.after = nn.ModuleList(
            nn.Sequential(activation_layer(given.activation, dim), nn.Dropout(rate))
            for dim, rate in zip(given.dims, given.rates, strict=True)
        )
        self.auxiliary = mlp_from(
            self.domain.width + width,
            auxiliary_params,
            "auxiliary_params",
            dims=(32,),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        ids = column(x, self.domain.sparse[0].name).reshape(-1).long()  # (B,)
        main = self.embedding.flat(x, self.main)
        own = self.embedding.flat(x, self.domain)
        *hidden, last = self.star
        h = self.norm(main, ids)
        for layer, after in zip(hidden, self.after, strict=True):
            h = after(layer(h, ids))
        return last(h, ids) + self.auxiliary(torch.cat([own, main], 1))
