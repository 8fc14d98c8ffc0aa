"""PNN (Qu, Cai, Ren, Zhang, Yu, Wen, Wang; ICDM 2016, arXiv:1611.00144)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.mlp import mlp_from
from nextrec.models.base import BaseModel
from nextrec.models.options import ModelOptions

Product = Literal["inner", "outer", "both"]


class PNN(BaseModel):
    r"""A deep tower whose first layer sees the fields and their products.

    .. math::
        l_1 = \mathrm{ReLU}(l_z + l_p + b_1), \qquad l_z^n = W_z^n \odot z, \qquad
        l_p^n = W_p^n \odot p

    where :math:`\odot` sums the products of all entries and z are the fields themselves. The signal
    p is, for ``inner``, the matrix of all :math:`p_{ij} = \langle f_i, f_j \rangle`, for ``outer``
    the superposition :math:`p = \sum_i \sum_j f_i f_j^\top = f_\Sigma f_\Sigma^\top`, and for
    ``both`` the two (the paper's PNN*). The sum of the two projections to D1 numbers is one linear
    map of [z; p], and that is the first layer of the tower: D1 is ``mlp_params["dims"][0]``.

    The paper saves time by giving each :math:`W_p^n` of the inner products rank one. That is
    another, smaller model; here the matrix is whole. As p is symmetric, one number a pair (and the
    squares, i = j) says the same.

    Fields are sparse features, pooled sequences and dense features with a learned map; they need
    one width. Raw dense values, which the paper does not have, are part of z.

    Args:
        mlp_params: arguments of :class:`~nextrec.layers.mlp.MLP` for the tower.
        product_type: ``inner``, ``outer`` or ``both``.
        outer_product_dim: width of a learned linear map of the fields before the outer product,
            which so has that many rows and columns; ``None``: none, as in the paper.

    Shape: columns -> ``(B, num_logits)``.

    Raises:
        ConfigError: an unknown product, or a width for an outer product that there is not.
    """

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        product_type: Product = "inner",
        outer_product_dim: int | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(dense_features, sparse_features, sequence_features, **options)
        if product_type not in get_args(Product):
            known = get_args(Product)
            raise ConfigError(unknown_option(self.model_name, "product_type", known, product_type))
        self.inner, self.outer = product_type != "outer", product_type != "inner"
        if outer_product_dim is not None and not (self.outer and outer_product_dim > 0):
            must_be = "a positive integer with an outer product, else None"
            raise ConfigError(
                invalid(self.model_name, "outer_product_dim", must_be, outer_product_dim)
            )
        width = self.features.field_width(self.model_name, at_least=2)
        self.embedding = EmbeddingLayer(self.features)
        self.kernel = None
        if outer_product_dim is not None:
            self.kernel = nn.Linear(width, outer_product_dim, bias=False)
        sizes = []
        if self.inner:
            sizes.append(len(self.features.fields))
        if self.outer:
            sizes.append(outer_product_dim or width)
        products = sum(size * (size + 1) // 2 for size in sizes)
        self.mlp = mlp_from(
            self.embedding.out_features + products,
            mlp_params,
            dims=(256, 128),
            output_dim=self.num_logits,
        )

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`BaseModel.logits`."""
        fields = self.embedding.fields(x)  # (B, F, D)
        parts = [self.embedding.flat(x, fields=fields)]
        if self.inner:
            parts.append(upper_triangle(fields @ fields.transpose(1, 2)))
        if self.outer:
            total = fields.sum(dim=1)  # (B, D)
            if self.kernel is not None:
                total = self.kernel(total)  # linear, so the sum may go first
            parts.append(upper_triangle(total.unsqueeze(2) * total.unsqueeze(1)))
        return self.mlp(torch.cat(parts, dim=1))


def upper_triangle(matrix: Tensor) -> Tensor:
    """The entries on and above the diagonal, ``(B, n, n)`` -> ``(B, n (n + 1) / 2)``.

    >>> upper_triangle(torch.tensor([[[1, 2], [2, 3]]]))
    tensor([[1, 2, 3]])
    """
    size = matrix.shape[-1]
    first, second = torch.triu_indices(size, size, device=matrix.device)
    return matrix.flatten(1).index_select(1, first * size + second)
