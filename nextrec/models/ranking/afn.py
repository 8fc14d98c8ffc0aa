"""Adaptive Factorization Network (Cheng, Shen, Huang; AAAI 2020, arXiv:1909.03276)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import BatchNorm1d, mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions


class LogarithmicTransformation(nn.Module):
    r"""Neurons that multiply fields, each raised to a power that is learned.

    .. math::
        y_j = \exp\Big(\sum_f w_{jf} \ln x_f\Big) = \prod_f x_f^{w_{jf}}

    number by number over the width D. The paper makes embeddings positive; here a number counts by
    its absolute value, at least ``smallest``. As in the paper, logarithms and outputs are batch
    normalised, here by field and by neuron. The first norm has no scale and shift of its own: w and
    the second norm already say them.

    Args:
        num_fields: fields F.
        num_neurons: neurons N.
        smallest: least absolute value.

    Shape: ``(B, F, D)`` -> ``(B, N, D)``.

    >>> import torch
    >>> LogarithmicTransformation(5, 3)(torch.randn(2, 5, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, num_fields: int, num_neurons: int, smallest: float = 1e-5) -> None:
        super().__init__()
        self.smallest = smallest
        self.log_norm = BatchNorm1d(num_fields, affine=False)
        # Small powers at first, as in the authors' code: before the running statistics are known,
        # the logarithm of a number near zero must not be blown up.
        self.powers = nn.Parameter(0.1 * torch.randn(num_neurons, num_fields))
        self.exp_norm = BatchNorm1d(num_neurons)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        logarithms = self.log_norm(x.abs().clamp(min=self.smallest).log())  # (B, F, D)
        return self.exp_norm((self.powers @ logarithms).exp())  # (B, N, D)


class AFN(BaseModel):
    r"""Learns which fields to multiply, and to which power each, below a deep tower.

    .. math::
        z = \mathrm{MLP}([y_1; \dots; y_N]), \qquad y_j = \prod_f e_f^{w_{jf}}

    With ``dnn_params`` it is AFN+: a second tower over embeddings of its own is added to z. (The
    paper weighs the two; the weights are part of the towers' last layers.) Every feature is a field
    of one width: a raw dense one gets a learned map. AFN+'s second tower reads dense values as they
    are.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the tower.
        num_neurons: logarithmic neurons N.
        dnn_params: arguments of the MLP beside, which make it AFN+; ``None``: AFN.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: no neuron, fewer than two fields, or fields of different widths.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        num_neurons: int = 256,
        *,
        dnn_params: Mapping[str, Any] | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if not isinstance(num_neurons, int) or num_neurons < 1:
            must_be = "an integer of at least 1"
            raise ConfigError(invalid(self.model_name, "num_neurons", must_be, num_neurons))
        every = self.features.as_fields(self.model_name, at_least=2)
        self.embedding = EmbeddingLayer(every)
        self.products = LogarithmicTransformation(len(every), num_neurons)
        outputs, width = self.num_logits, every.fields[0].width
        self.mlp = mlp_from(num_neurons * width, mlp_params, dims=(256, 128), output_dim=outputs)
        self.dnn_embedding = self.dnn = None
        if dnn_params is not None:
            self.dnn_embedding = EmbeddingLayer(self.features)
            inputs = self.features.width
            self.dnn = mlp_from(
                inputs, dnn_params, "dnn_params", dims=(256, 128), output_dim=outputs
            )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        products = self.products(self.embedding.fields(x))  # (B, N, D)
        logits = self.mlp(products.flatten(1))
        if self.dnn is None or self.dnn_embedding is None:
            return logits
        return logits + self.dnn(self.dnn_embedding.flat(x))
