"""Interactions of fields: the factorisation machine, squeeze-and-excitation, bilinear products.

Letters: B batch, F fields, D width of a field, P = F (F - 1) / 2 pairs of fields.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.layers.pairs import pair_products

BILINEAR_TYPES = ("field_all", "field_each", "field_interaction")


class FM(nn.Module):
    r"""Sum of the inner products of all pairs of fields, in time linear in F.

    .. math::
        \sum_{i<j} \langle x_i, x_j \rangle =
        \tfrac12 \sum_d \Big[ \big(\sum_i x_{id}\big)^2 - \sum_i x_{id}^2 \Big]

    Source: Rendle, "Factorization Machines", ICDM 2010, lemma 3.1.

    Args:
        reduce_sum: sum over d too; without it the D terms are the output ("bi-interaction
            pooling", He and Chua, "Neural Factorization Machines for Sparse Predictive Analytics",
            SIGIR 2017).

    Shape: ``(B, F, D)`` -> ``(B, 1)``, or ``(B, D)`` without the sum (``out_features`` is None).

    >>> FM()(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[11.]])
    """

    def __init__(self, reduce_sum: bool = True) -> None:
        super().__init__()
        self.reduce_sum = reduce_sum
        self.out_features = 1 if reduce_sum else None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        pairs = 0.5 * (x.sum(1).square() - x.square().sum(1))  # (B, D)
        return pairs.sum(1, keepdim=True) if self.reduce_sum else pairs


class SENETLayer(nn.Module):
    r"""Weight each field by what all fields say about its importance.

    .. math::
        z_f = \tfrac1D \sum_d x_{fd}, \qquad
        a = \mathrm{ReLU}(W_2\, \mathrm{ReLU}(W_1 z)), \qquad y_f = a_f x_f

    Source: Huang, Zhang and Zhang, "FiBiNET: Combining Feature Importance and Bilinear feature
    Interaction for Click-Through Rate Prediction", RecSys 2019.

    Args:
        num_fields: fields F.
        reduction_ratio: F over the hidden width, which is at least 1.

    Shape: ``(B, F, D)`` -> ``(B, F, D)``.

    >>> SENETLayer(num_fields=6)(torch.ones(2, 6, 4)).shape
    torch.Size([2, 6, 4])
    """

    def __init__(self, num_fields: int, reduction_ratio: int = 3) -> None:
        super().__init__()
        hidden = max(1, int(num_fields / reduction_ratio))
        self.excite = nn.Sequential(
            nn.Linear(num_fields, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, num_fields, bias=False),
            nn.ReLU(),
        )
        self.num_fields = num_fields
        self.out_features = None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        importance = self.excite(x.mean(-1))  # (B, F)
        return x * importance.unsqueeze(-1)


class BiLinearInteractionLayer(nn.Module):
    r"""Element-wise product of every pair of fields, one side seen through a matrix.

    .. math::
        p_{ij} = (W v_i) \odot v_j, \qquad i < j

    Source: Huang, Zhang and Zhang, "FiBiNET: Combining Feature Importance and Bilinear feature
    Interaction for Click-Through Rate Prediction", RecSys 2019.

    Args:
        input_dim: width D of a field.
        num_fields: fields F, at least 2.
        bilinear_type: whose matrix W is: ``field_all`` has one, ``field_each`` one a left field
            (F - 1: the last field is never on the left), ``field_interaction`` one a pair.

    Shape: ``(B, F, D)`` -> ``(B, P, D)``, pairs in the order (0, 1), (0, 2), ..., (F - 2, F - 1).
    ``weight`` is ``(1 | F - 1 | P, D, D)``.

    Raises:
        ConfigError: an unknown type or fewer than two fields.

    >>> BiLinearInteractionLayer(4, num_fields=5)(torch.ones(2, 5, 4)).shape
    torch.Size([2, 10, 4])
    """

    def __init__(
        self, input_dim: int, num_fields: int, bilinear_type: str = "field_interaction"
    ) -> None:
        super().__init__()
        owner = "BiLinearInteractionLayer"
        if bilinear_type not in BILINEAR_TYPES:
            message = unknown_option(owner, "bilinear_type", BILINEAR_TYPES, bilinear_type)
            raise ConfigError(message)
        if num_fields < 2:
            raise ConfigError(invalid(owner, "num_fields", "at least 2", num_fields))
        self.num_pairs = num_fields * (num_fields - 1) // 2
        counts = {
            "field_all": 1,
            "field_each": num_fields - 1,
            "field_interaction": self.num_pairs,
        }
        self.bilinear_type = bilinear_type
        self.num_fields = num_fields
        self.out_features = input_dim
        self.weight = nn.Parameter(torch.empty(counts[bilinear_type], input_dim, input_dim))
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.bilinear_type == "field_interaction":
            return self._matrix_a_pair(x)
        if self.bilinear_type == "field_all":
            return pair_products(F.linear(x, self.weight[0]), x)
        left = torch.einsum("bfd,fed->bfe", x[:, :-1], self.weight)  # (B, F - 1, D)
        return pair_products(left, x)

    def _matrix_a_pair(self, x: Tensor) -> Tensor:
        """All partners of one left field in one matrix product, without a copy of the field."""
        partners = range(self.num_fields - 1, 0, -1)
        products = []
        for i, matrices in enumerate(self.weight.split(list(partners))):  # (n, D, D)
            left = F.linear(x[:, i], matrices.flatten(0, 1))  # (B, n * D)
            products.append(left.unflatten(1, (-1, self.out_features)) * x[:, i + 1 :])
        return torch.cat(products, 1)
