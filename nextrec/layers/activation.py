"""Activations by name, and Dice, the activation that adapts to its input's distribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec._registry import Registry
from nextrec.errors import ConfigError, invalid


class Dice(nn.Module):
    r"""Parametric ReLU whose switch sits where the data is, not at zero.

    .. math::
        p(x) = \sigma\Big(\frac{x - E[x]}{\sqrt{Var[x] + \epsilon}}\Big), \qquad
        y = p(x) \cdot x + (1 - p(x)) \cdot \alpha x

    Mean and variance are those of the batch in training and the running ones in evaluation, one
    pair a channel and without an affine part, as in the paper. A batch of one row has no variance,
    so it uses the running ones too and leaves them as they are.

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
    section 5.2.

    Args:
        emb_size: channels E, the last axis of the input.
        epsilon: added to the variance.

    Shape: ``(..., E)`` -> ``(..., E)``; the statistics run over all other axes. ``mask`` ``(...)``,
    true for a real position, keeps padding out of them.

    >>> Dice(2)(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 2])
    """

    running_mean: Tensor
    running_var: Tensor
    momentum = 0.1  # weight of the newest batch in the running statistics, as in BatchNorm

    def __init__(self, emb_size: int, epsilon: float = 1e-9) -> None:
        super().__init__()
        self.emb_size = self.out_features = emb_size
        self.epsilon = epsilon
        self.alpha = nn.Parameter(torch.zeros(emb_size))
        self.register_buffer("running_mean", torch.zeros(emb_size))
        self.register_buffer("running_var", torch.ones(emb_size))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Activate ``x``; ``mask`` says which positions count in the statistics of a batch."""
        rows = x.reshape(-1, self.emb_size)  # (N, E)
        if self.training and mask is not None:
            normed = self._normalize_where(rows, mask.reshape(-1, 1))
        else:
            batch_statistics = self.training and rows.shape[0] > 1
            normed = F.batch_norm(
                rows,
                self.running_mean,
                self.running_var,
                training=batch_statistics,
                momentum=self.momentum if batch_statistics else 0.0,
                eps=self.epsilon,
            )
        p = torch.sigmoid(normed).view_as(x).to(x.dtype)
        alpha = self.alpha.to(x.dtype)
        return x * torch.addcmul(alpha, 1 - alpha, p)  # the equation in two passes over x

    def _normalize_where(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Normalise by the rows that ``mask`` ``(N, 1)`` keeps, without a branch on how many."""
        values = rows.to(self.running_mean.dtype)
        kept = mask.to(values.dtype)
        count = kept.sum()
        many = count > 1
        mean = (values * kept).sum(0) / count.clamp_min(1)
        centered = values - torch.where(many, mean, self.running_mean)
        squares = (centered.square() * kept).sum(0)
        variance = torch.where(many, squares / count.clamp_min(1), self.running_var)
        scale = torch.rsqrt(variance + self.epsilon)
        with torch.no_grad():
            step = self.momentum * many.to(values.dtype)
            self.running_mean.lerp_(mean, step)
            self.running_var.lerp_(squares / (count - 1).clamp_min(1), step)
        return centered * scale

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.emb_size}, epsilon={self.epsilon}"


ACTIVATIONS: Registry[Callable[..., nn.Module]] = Registry("activation_layer", "activation")
"""Name -> a callable without arguments; ``dice`` alone takes the width."""

ACTIVATIONS.add("dice", Dice)
ACTIVATIONS.add("relu", nn.ReLU)
ACTIVATIONS.add("relu6", nn.ReLU6)
ACTIVATIONS.add("elu", nn.ELU)
ACTIVATIONS.add("selu", nn.SELU)
ACTIVATIONS.add("leaky_relu", nn.LeakyReLU)
ACTIVATIONS.add("prelu", nn.PReLU)
ACTIVATIONS.add("gelu", nn.GELU)
ACTIVATIONS.add("sigmoid", nn.Sigmoid)
ACTIVATIONS.add("tanh", nn.Tanh)
ACTIVATIONS.add("softplus", nn.Softplus)
ACTIVATIONS.add("softsign", nn.Softsign)
ACTIVATIONS.add("hardswish", nn.Hardswish)
ACTIVATIONS.add("mish", nn.Mish)
ACTIVATIONS.add("silu", nn.SiLU, aliases=("swish",))
ACTIVATIONS.add("hardsigmoid", nn.Hardsigmoid)
ACTIVATIONS.add("tanhshrink", nn.Tanhshrink)
ACTIVATIONS.add("softshrink", nn.Softshrink)
ACTIVATIONS.add("none", nn.Identity, aliases=("linear", "identity"))


def activation_layer(activation: str, emb_size: int | None = None) -> nn.Module:
    """Build an activation by its name, whatever the case of its letters.

    Args:
        activation: one of the names in :data:`ACTIVATIONS`.
        emb_size: width of the input; only ``dice`` needs it.

    Raises:
        ConfigError: an unknown name, or ``dice`` without a width.

    >>> activation_layer("swish")
    SiLU()
    >>> activation_layer("dice", emb_size=8)
    Dice(8, epsilon=1e-09)
    """
    kind = ACTIVATIONS[activation]
    if kind is not Dice:
        return kind()
    if emb_size is None:
        must_be = "the width of the input when the activation is 'dice'"
        raise ConfigError(invalid("activation_layer", "emb_size", must_be, emb_size))
    return Dice(emb_size)
