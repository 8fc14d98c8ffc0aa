"""Layers with one set of parameters that all domains share and one that is each domain's own.

A domain is a part of the data such as a page, a country or a shop. Source: Sheng et al., "One Model
to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction", CIKM 2021.

Letters: B batch, P domains, I input width, O output width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BANK = 32
"""Most domains for which every row is computed in all of them. With more, rows gather weights."""


class PartitionedNorm(nn.Module):
    r"""Batch normalisation by domain.

    .. math::
        y = (\gamma \gamma_p) \frac{x - \mu_p}{\sqrt{\sigma_p^2 + \epsilon}} + (\beta + \beta_p)

    where p is the row's domain. In training :math:`\mu_p, \sigma_p^2` are those of the domain's
    rows in the batch, and running means of them are kept for evaluation. A single row has no
    variance: a domain with one row in the batch is normalised by its running statistics, and leaves
    them as they are. A domain that was never seen has mean 0 and variance 1.

    Args:
        num_domains: domains P.
        num_features: width I.
        eps: added to the variance.
        momentum: share of the batch in the running means.

    Shape: x ``(B, I)``, domain ids ``(B,)`` in [0, P) -> ``(B, I)``.

    >>> PartitionedNorm(3, num_features=8)(torch.ones(4, 8), torch.tensor([0, 0, 1, 2])).shape
    torch.Size([4, 8])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, num_domains: int, num_features: int, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.num_domains, self.out_features = num_domains, num_features
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.domain_weight = nn.Parameter(torch.ones(num_domains, num_features))
        self.domain_bias = nn.Parameter(torch.zeros(num_domains, num_features))
        self.register_buffer("running_mean", torch.zeros(num_domains, num_features))
        self.register_buffer("running_var", torch.ones(num_domains, num_features))

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:  # noqa: D102
        x = x.to(self.weight.dtype)  # half precision is too coarse for a variance
        mean, variance = self.running_mean, self.running_var  # (P, I)
        if self.training:
            mean, variance = self._batch_statistics(x, domain)
        scale = self.weight * self.domain_weight * (variance + self.eps).rsqrt()  # (P, I)
        return (x - mean[domain]) * scale[domain] + (self.bias + self.domain_bias)[domain]

    def _batch_statistics(self, x: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``(P, I)``: of the batch where a domain has two rows, else running."""
        zeros = torch.zeros_like(self.running_mean)
        rows = zeros[:, :1].index_add(0, domain, torch.ones_like(x[:, :1]))  # (P, 1)
        count, enough = rows.clamp(min=1), rows > 1
        mean = zeros.index_add(0, domain, x) / count
        variance = zeros.index_add(0, domain, (x - mean[domain]).square()) / count
        with torch.no_grad():
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(torch.where(enough, mean, self.running_mean), self.momentum)
            self.running_var.lerp_(torch.where(enough, unbiased, self.running_var), self.momentum)
        kept_mean, kept_variance = self.running_mean.clone(), self.running_var.clone()
        return torch.where(enough, mean, kept_mean), torch.where(enough, variance, kept_variance)


class StarLinear(nn.Module):
    r"""A linear layer whose weights are the product of shared and of the domain's own.

    .. math::
        y = (W \odot W_p) x + b + b_p

    :math:`W_p` starts at 1 and :math:`b_p` at 0, so all domains start as one layer. Rows of all
    domains are computed together: with up to :data:`BANK` domains each row in every domain, of
    which its own is taken; with more each row by a copy of its domain's weights.

    Args:
        num_domains: domains P.
        in_features: width I.
        out_features: width O.

    Shape: x ``(B, I)``, domain ids ``(B,)`` in [0, P) -> ``(B, O)``.

    >>> StarLinear(3, 10, 8)(torch.ones(4, 10), torch.tensor([0, 0, 1, 2])).shape
    torch.Size([4, 8])
    """

    def __init__(self, num_domains: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.num_domains = num_domains
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))
        self.domain_weight = nn.Parameter(torch.ones(num_domains, out_features, in_features))
        self.domain_bias = nn.Parameter(torch.zeros(num_domains, out_features))

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:  # noqa: D102
        bias = (self.bias + self.domain_bias)[domain]  # (B, O)
        if self.num_domains > BANK:
            own = self.weight * self.domain_weight[domain]  # (B, O, I)
            return torch.bmm(own, x.to(own.dtype).unsqueeze(-1)).squeeze(-1) + bias
        weight = (self.weight * self.domain_weight).flatten(0, 1)  # (P * O, I)
        every = F.linear(x, weight).unflatten(1, (self.num_domains, self.out_features))
        own_row = domain.view(-1, 1, 1).expand(-1, 1, self.out_features)
        return every.gather(1, own_row).squeeze(1) + bias
