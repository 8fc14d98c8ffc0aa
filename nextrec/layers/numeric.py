r"""Embeddings of numbers: each number of a row becomes a vector, by weights of its feature's own.

Letters: B batch, n features, D width of a vector, I inputs of a linear map, H meta-embeddings,
K frequencies, T bins. The weights of all features stand in one tensor, feature first, so that one
batched product serves all of them. Each layer also computes some of its features alone: ``only``
are their positions, and the input then has their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Positions = Sequence[int] | None


def n_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear map for each feature: ``(B, n, I)``, ``(n, I, D)``, ``(n, D)`` -> ``(B, n, D)``.

    One input a feature needs no matrix product.

    >>> x = torch.tensor([[[2.0], [3.0]]])
    >>> n_linear(x, torch.tensor([[[1.0, 10.0]], [[1.0, 10.0]]]), torch.zeros(2, 2))
    tensor([[[ 2., 20.],
             [ 3., 30.]]])
    """
    if weight.shape[1] == 1:
        return torch.addcmul(bias, x, weight.squeeze(1))
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1) + bias


class NLinear(nn.Module):
    r"""A separate linear map for each feature, :math:`y_j = x_j W_j + b_j`.

    Source: Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
    Learning", NeurIPS 2022, section 3.4.

    Args:
        num_features: features n.
        input_dim: numbers I of each.
        output_dim: width D.

    Shape: ``(B, n, I)``, or ``(B, n)`` where I is 1 -> ``(B, n, D)``.

    >>> NLinear(3, input_dim=5, output_dim=8)(torch.zeros(4, 3, 5)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(self, num_features: int, input_dim: int, output_dim: int) -> None:
        super().__init__()
        bound = input_dim**-0.5
        self.weight = _uniform(num_features, input_dim, output_dim, bound=bound)
        self.bias = _uniform(num_features, output_dim, bound=bound)
        self.out_features = output_dim

    def forward(self, x: Tensor, only: Positions = None) -> Tensor:  # noqa: D102
        x = x.unsqueeze(-1) if x.dim() == 2 else x
        return n_linear(x, _of(self.weight, only), _of(self.bias, only))


class AutoDis(nn.Module):
    r"""A soft choice among H learned vectors: automatic discretisation.

    .. math::
        h_j = \mathrm{LeakyReLU}(w_j x_j), \qquad \tilde x_j = W_j h_j + \alpha h_j, \qquad
        e_j = \sum_h \mathrm{softmax}_h(\tilde x_j / \tau)\, M_{jh}

    Source: Guo, Chen, Tang, Zhang, Li and He, "An Embedding Learning Framework for Numerical
    Features in CTR Prediction", KDD 2021, with the weighted-average aggregation.

    Args:
        num_features: features n.
        output_dim: width D.
        num_embeddings: meta-embeddings H of each feature.
        alpha: weight of the skip connection.
        temperature: a small one makes the choice hard, a large one a mean.

    Shape: ``(B, n)`` -> ``(B, n, D)``. Numbers should be scaled to about 1.

    >>> AutoDis(3, output_dim=8)(torch.zeros(4, 3)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(
        self,
        num_features: int,
        output_dim: int,
        num_embeddings: int = 20,
        alpha: float = 0.5,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        n, D, H = num_features, output_dim, num_embeddings
        self.first = _uniform(n, 1, H, bound=1.0)
        self.second = _uniform(n, H, H, bound=(3 / H) ** 0.5)
        self.vectors = nn.Parameter(torch.randn(n, H, D) * D**-0.5)
        self.alpha, self.temperature = alpha, temperature
        self.out_features = D

    def forward(self, x: Tensor, only: Positions = None) -> Tensor:  # noqa: D102
        first, second, meta = (_of(each, only) for each in (self.first, self.second, self.vectors))
        h = nn.functional.leaky_relu(x.t().unsqueeze(-1) * first)  # (n, B, H)
        scores = torch.baddbmm(h, h, second, beta=self.alpha)
        choice = torch.softmax(scores / self.temperature, dim=-1)
        return torch.bmm(choice, meta).transpose(0, 1)  # (B, n, D)


class PeriodicEmbedding(nn.Module):
    r"""Sines and cosines of learned frequencies, then a linear map and ReLU.

    .. math::
        e_j = \mathrm{ReLU}(W_j [\cos(2\pi c_j x_j); \sin(2\pi c_j x_j)] + b_j)

    Source: as :class:`NLinear`, section 3.3 (PLR).

    Args:
        num_features: features n.
        output_dim: width D.
        num_frequencies: frequencies K of each feature.
        scale: standard deviation of the initial frequencies; the one to tune. Too large a value
            harms more than too small a one.

    Shape: ``(B, n)`` -> ``(B, n, D)``.

    >>> PeriodicEmbedding(3, output_dim=8)(torch.zeros(4, 3)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(
        self,
        num_features: int,
        output_dim: int,
        num_frequencies: int = 16,
        scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(num_features, num_frequencies))
        self.linear = NLinear(num_features, 2 * num_frequencies, output_dim)
        self.out_features = output_dim

    def forward(self, x: Tensor, only: Positions = None) -> Tensor:  # noqa: D102
        angles = 2 * math.pi * x.unsqueeze(-1) * _of(self.frequencies, only)  # (B, n, K)
        waves = torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
        return torch.relu(self.linear(waves, only))


class PiecewiseLinear(nn.Module):
    r"""How far a number fills each of its feature's bins, then a linear map.

    .. math::
        p_{jt} = \mathrm{clip}\Big(\frac{x_j - b_{j,t-1}}{b_{jt} - b_{j,t-1}}, 0, 1\Big), \qquad
        e_j = W_j p_j + b_j

    where the first bin is open below and the last one above: e is linear between the edges, and
    goes on beyond them.

    Source: as :class:`NLinear`, section 3.2 (piecewise linear encoding).

    Args:
        edges: for each feature its T + 1 edges, growing; features may differ in T. Quantiles of
            the training data are a good choice.
        output_dim: width D.

    Shape: ``(B, n)`` -> ``(B, n, D)``.

    >>> layer = PiecewiseLinear([[0.0, 1.0, 3.0]], output_dim=8)
    >>> layer.fill(torch.tensor([[2.0], [-1.0], [5.0]])).squeeze(1)
    tensor([[ 1.0000,  0.5000],
            [-1.0000,  0.0000],
            [ 1.0000,  2.0000]])
    """

    start: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], output_dim: int) -> None:
        super().__init__()
        bins = max(len(each) for each in edges) - 1
        lines = torch.tensor([_lines(each, bins) for each in edges])  # (n, 4, T)
        for name, line in zip(("start", "scale", "low", "high"), lines.unbind(1), strict=True):
            self.register_buffer(name, line.clone(), persistent=False)
        self.linear = NLinear(len(edges), bins, output_dim)
        self.out_features = output_dim

    def fill(self, x: Tensor, only: Positions = None) -> Tensor:
        """The encoding p, ``(B, n)`` -> ``(B, n, T)``; bins that a feature lacks are 0."""
        filled = (x.unsqueeze(-1) - _of(self.start, only)) * _of(self.scale, only)
        return torch.clamp(filled, _of(self.low, only), _of(self.high, only))

    def forward(self, x: Tensor, only: Positions = None) -> Tensor:  # noqa: D102
        return self.linear(self.fill(x, only), only)


NUMERIC_LAYERS: dict[str, Callable[..., nn.Module]] = {
    "autodis": AutoDis,
    "periodic": PeriodicEmbedding,
    "piecewise": PiecewiseLinear,
}
"""Layers by the ``embedding_type`` of a dense feature; ``linear`` has a map for each feature."""


def _lines(edges: Sequence[float], bins: int) -> list[list[float]]:
    """Start, 1 / width, lowest and highest fill of each bin, filled up with zeros."""
    widths = [high - low for low, high in pairwise(edges)]
    inner = [0.0] * (len(widths) - 1), [1.0] * (len(widths) - 1)
    lines = (
        list(edges[:-1]),
        [1 / width for width in widths],
        [-math.inf, *inner[0]],
        [*inner[1], math.inf],
    )
    return [line + [0.0] * (bins - len(widths)) for line in lines]


def _of(tensor: Tensor, only: Positions) -> Tensor:
    """The rows of the named features, or all."""
    return tensor if only is None else tensor[list(only)]


def _uniform(*shape: int, bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
