"""Tokens with parameters of their own: from a flat vector to T tokens, and T networks at once.

Letters: B batch, W length of the flat vector, T tokens, I and D widths of a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid
from nextrec.features import FeatureSet
from nextrec.layers.gating import ExpertLinear

Groups = Sequence[Sequence[str]]


class TokenLinear(ExpertLinear):
    r"""A linear map a token, :math:`y_t = W_t x_t + b_t`, as one batched product.

    Args:
        num_tokens: tokens T.
        in_features, out_features: widths I and D.
        bias: learn b.

    Shape: ``(B, T, I)`` -> ``(B, T, D)``.

    >>> TokenLinear(3, 10, 8, bias=False)(torch.ones(4, 3, 10)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(
        self, num_tokens: int, in_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__(num_tokens, in_features, out_features)
        if not bias:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.bias is not None:
            return super().forward(x)
        return torch.bmm(x.transpose(0, 1), self.weight.transpose(1, 2)).transpose(0, 1)


class TokenFeedForward(nn.Sequential):
    r"""A network of two layers a token.

    .. math::
        y_t = W_{2t}\, \mathrm{GELU}(W_{1t} x_t + b_{1t}) + b_{2t}

    Where a Transformer has one such network for all tokens, heterogeneous tokens (a user, a price,
    a category) have one each. It costs the same products, with T times the parameters.

    Source: Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM
    2025, section 3.3; Gui et al., "Hiformer", 2023.

    Args:
        num_tokens: tokens T.
        width: width D of a token.
        ratio: hidden width over D.
        bias: learn both b.

    Shape: ``(B, T, D)`` -> ``(B, T, D)``.

    >>> TokenFeedForward(3, 8, ratio=2)(torch.ones(4, 3, 8)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(self, num_tokens: int, width: int, ratio: int, bias: bool = True) -> None:
        super().__init__(
            TokenLinear(num_tokens, width, ratio * width, bias),
            nn.GELU(),
            TokenLinear(num_tokens, ratio * width, width, bias),
        )
        self.out_features = width


class GroupTokenizer(nn.Module):
    r"""Each token is a linear map of its own part of the flat vector.

    Parts of unequal length are filled with zeros, so all maps are one batched product; an initial
    weight is scaled by the true length of its part.

    Source: Zhu et al., "RankMixer", CIKM 2025, section 3.2.

    Args:
        places: for each token the slices of the flat vector that it reads; see
            :func:`even_places` and :func:`grouped_places`.
        out_features: width D of a token.

    Shape: ``(B, W)`` -> ``(B, T, D)``.

    >>> GroupTokenizer([[slice(0, 2)], [slice(2, 3), slice(5, 7)]], 8)(torch.ones(4, 7)).shape
    torch.Size([4, 2, 8])
    """

    def __init__(self, places: Sequence[Sequence[slice]], out_features: int) -> None:
        super().__init__()
        self.places = [list(group) for group in places]
        lengths = [sum(place.stop - place.start for place in group) for group in places]
        longest = max(lengths)
        self.missing = [longest - length for length in lengths]
        self.linear = TokenLinear(len(lengths), longest, out_features)
        scale = (longest / torch.tensor(lengths)).sqrt()  # (T,)
        assert self.linear.bias is not None
        with torch.no_grad():
            self.linear.weight.mul_(scale[:, None, None])
            self.linear.bias.mul_(scale[:, None])
            for weight, length in zip(self.linear.weight, lengths, strict=True):
                weight[:, length:] = 0
        self.num_tokens, self.out_features = len(lengths), out_features

    def forward(self, flat: Tensor) -> Tensor:  # noqa: D102
        parts = []
        for group, missing in zip(self.places, self.missing, strict=True):
            parts += [flat[:, place] for place in group]
            if missing:
                parts.append(flat.new_zeros(flat.shape[0], missing))
        return self.linear(torch.cat(parts, 1).unflatten(1, (self.num_tokens, -1)))


class SplitTokenizer(nn.Linear):
    r"""One linear map of the whole flat vector, cut into T tokens.

    Source: Zhang et al., "OneTrans: Unified Feature Interaction and Sequence Modeling with One
    Transformer in Industrial Recommender", WWW 2026, section 3.2 ("Auto-Split").

    Args:
        in_features: length W of the flat vector.
        num_tokens: tokens T.
        token_dim: width D of a token.

    Shape: ``(B, W)`` -> ``(B, T, D)``.

    >>> SplitTokenizer(7, num_tokens=2, token_dim=8)(torch.ones(4, 7)).shape
    torch.Size([4, 2, 8])
    """

    def __init__(self, in_features: int, num_tokens: int, token_dim: int) -> None:
        super().__init__(in_features, num_tokens * token_dim)
        self.num_tokens = num_tokens

    def forward(self, flat: Tensor) -> Tensor:  # noqa: D102
        return super().forward(flat).unflatten(1, (self.num_tokens, -1))


def even_places(width: int, num_tokens: int) -> list[list[slice]]:
    """Cut ``width`` numbers into ``num_tokens`` neighbouring parts whose lengths differ by 1.

    >>> even_places(5, 2)
    [[slice(0, 2, None)], [slice(2, 5, None)]]
    """
    bounds = [width * i // num_tokens for i in range(num_tokens + 1)]
    return [[slice(*ends)] for ends in pairwise(bounds)]


def grouped_places(features: FeatureSet, groups: Groups, owner: str) -> list[list[slice]]:
    """Where the features of each group lie in the flat vector.

    Raises:
        ConfigError: a group is empty, a name is unknown, or the groups do not hold every feature
            exactly once.
    """
    names = [name for group in groups for name in group]
    if not names or not all(groups):
        must_be = "a list of lists of feature names, none of them empty"
        raise ConfigError(invalid(owner, "token_groups", must_be, groups))
    wrong = [name for name in features.names if names.count(features[name].name) != 1]
    places = features.slices()
    found = [[places[features[name].name] for name in group] for group in groups]
    if wrong:
        must_be = "groups that hold every feature once"
        raise ConfigError(invalid(owner, "token_groups", must_be, groups) + f" Look at {wrong}.")
    return found
