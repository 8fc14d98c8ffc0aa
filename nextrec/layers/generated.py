"""Linear layers whose weights are made for each row from a condition.

Letters: B batch, N vectors of a row, C width of the condition, I input width, O output width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeneratedLinear(nn.Module):
    r"""A linear layer with weights of a row's own.

    .. math::
        y = W(z) x + b(z), \qquad [W(z); b(z)] = \mathrm{reshape}(G z + g)

    It starts as an ordinary layer: g has the initial values of ``nn.Linear(I, O)``, and G is scaled
    so that conditions of unit variance add weights of the same size.

    Args:
        condition_dim: width C of the condition z.
        in_features: width I.
        out_features: width O.
        bias: generate the bias b.

    Shape: ``(B, I)`` or ``(B, N, I)``, and z ``(B, C)`` -> ``(B, O)`` or ``(B, N, O)``. A row's N
    vectors share its weights, of which a batch holds ``B * O * I``.

    >>> layer = GeneratedLinear(4, in_features=10, out_features=8)
    >>> layer(torch.ones(3, 10), torch.ones(3, 4)).shape
    torch.Size([3, 8])
    """

    def __init__(
        self, condition_dim: int, in_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.generator = nn.Linear(condition_dim, out_features * (in_features + int(bias)))
        bound = in_features**-0.5
        with torch.no_grad():
            self.generator.bias.uniform_(-bound, bound)
            self.generator.weight.uniform_(-bound, bound).mul_(condition_dim**-0.5)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # noqa: D102
        numbers = self.generator(condition)
        size = self.out_features * self.in_features
        weight = numbers[:, :size].unflatten(1, (self.out_features, self.in_features))  # (B, O, I)
        vectors = x.unsqueeze(1) if x.dim() == 2 else x  # (B, N, I)
        y = torch.bmm(vectors, weight.transpose(1, 2))  # (B, N, O)
        if numbers.shape[1] > size:
            y = y + numbers[:, size:].unsqueeze(1)
        return y.squeeze(1) if x.dim() == 2 else y
