r"""Adam and AdamW with the results of dense training at the cost of the rows looked up.

Adam (Kingma and Ba, ICLR 2015) moves a weight at every step, also without a gradient, along its
first moment. With the moments ``m, v`` of a row last updated at step ``t``, the ``j``-th step
after it without a gradient is (torch's eps stands outside the corrected root)

.. math::

    \Delta_j = \frac{m \, r^j c_{t+j}}{\sqrt v + \varepsilon g_j}, \quad
    r = \frac{\beta_1}{\sqrt{\beta_2}}, \quad
    c_s = lr_s \frac{\sqrt{1-\beta_2^s}}{1-\beta_1^s}, \quad
    g_j = \beta_2^{-j/2} \sqrt{1-\beta_2^{t+j}}

The sum over ``j`` would be one number per ``t`` if eps were 0. With eps it is ``m`` times a
function of ``s = sqrt(v)`` of the Stieltjes kind, ``f(s) = sum_j w_j / (s + eps g_j)``, and the
Gauss rule of two nodes in ``1/g`` gives it from the moments ``S, U_1, U_2, U_3``,
``U_i = sum_j w_j g_j^{-i}``:

.. math:: f(s) \approx S \frac{s + \varepsilon a}{s^2 + \varepsilon b s + \varepsilon^2 c}, \quad
    c = \frac{u_2 - u_1^2}{u_1 u_3 - u_2^2}, \quad a = c u_1, \quad b = \frac{1 + c u_2}{u_1}

with ``u_i = U_i / S``. It is exact for one or two steps, exact where ``sqrt(v)`` is far above
eps, and matches three orders where it is far below; one node at the mean lag, the simpler choice,
is up to 0.2 off at the first steps. Against ``torch.optim.Adam`` over 650 steps of random touches
with gradients of 1e-6 to 1e2, weights deviate by 6e-7 of the distance moved on average and by
4e-5 at worst; betas of (0.9, 0.95), where eps grows faster over the lag, give 3e-5 and 6e-4.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nextrec.errors import ConfigError, invalid
from nextrec.optim.lag_sums import Array, LagSums
from nextrec.optim.row_rules import LazyAdam, idle_steps, power
from nextrec.optim.row_table import RowBlock


class Adam(LazyAdam):
    """Adam, dense semantics: a row catches up on its idle steps when it is next read."""

    ages = moves_idle_rows = True
    frozen = ("betas",)

    def __init__(self, group: dict[str, Any]) -> None:
        super().__init__(group)
        beta1, beta2 = group["betas"]
        if not beta1 < math.sqrt(beta2):
            must_be = "(b1, b2) with b1 < sqrt(b2): an idle row would never come to rest"
            raise ConfigError(invalid("optimizer", "betas", must_be, group["betas"]))
        # w_j / g_j^i has the ratio r * sqrt(b2)^i.
        ratios = [beta1 * beta2 ** ((i - 1) / 2) for i in range(4)]
        self.sums: LagSums = LagSums(ratios, two_node_rule, neutral=[0.0, 1.0, 1.0, 1.0])

    def begin(self, now: int) -> None:
        """Enter the step's size into the sums of idle rows."""
        super().begin(now)
        beta1, beta2 = self.group["betas"]
        root = math.sqrt(1 - beta2**now)
        size = self.group["lr"] * root / (1 - beta1**now)
        self.sums.advance([size / root**i for i in range(4)], keep=self._keep())

    def _keep(self) -> float:
        return 1.0

    def settle(self, block: RowBlock, now: int) -> None:
        """Shrink, then move along the first moment: ``w * kept - m f(sqrt(v))``."""
        assert block.last is not None
        kept = self.sums.kept(block.last)
        if kept is not None:
            block.weight.mul_(kept.unsqueeze(1).to(block.weight.dtype))
        coefficients, eps = self.sums.gather(block.last), self.group["eps"]
        coefficients[:, 1:3] *= eps
        coefficients[:, 3] *= eps * eps
        total, a, b, c = coefficients.to(block.weight.dtype).split(1, dim=1)  # (U, 1) each
        # A row that never had a gradient owes 0 / eps; this keeps it 0 when eps^2 underflows.
        c = c.clamp(min=torch.finfo(c.dtype).tiny)
        s = block.state["exp_avg_sq"].sqrt()
        over = (s + a).mul_(block.state["exp_avg"]).mul_(total)
        block.weight.addcdiv_(over, (s + b).mul_(s).add_(c), value=-1)

    def age(self, block: RowBlock, now: int) -> None:
        """Decay both moments by their beta a step."""
        idle = idle_steps(block, now)
        for name, beta in zip(("exp_avg", "exp_avg_sq"), self.group["betas"], strict=True):
            block.state[name].mul_(power(beta, idle, block.state[name]))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    Every step shrinks every weight by ``1 - lr * weight_decay``, also of rows never looked up;
    so the product of these factors since a row's last update is part of what it owes.
    """

    defaults: ClassVar = {**LazyAdam.defaults, "weight_decay": 1e-2}

    def _keep(self) -> float:
        keep = 1 - self.group["lr"] * self.group["weight_decay"]
        if not 0 < keep <= 1:
            value = self.group["weight_decay"]
            raise ConfigError(invalid("adamw", "weight_decay", "below 1 / lr", value))
        return keep

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Shrink the weights, then take Adam's step."""
        block.weight.mul_(self._keep())
        self._adam_step(block, grad, now)


def two_node_rule(sums: Array) -> Array:
    """Turn the moments ``(4, w)`` into ``(w, 4)`` coefficients ``S, a, b, c`` without eps.

    Two equal nodes stand for the rule where all ``g`` are (nearly) equal, so that its equations
    are singular; nothing is owed where the sums are 0 (a learning rate of 0).

    >>> w, g, s = np.array([0.5, 0.25]), np.array([1.0, 2.0]), 3.0
    >>> S, a, b, c = two_node_rule(np.array([[(w / g**i).sum()] for i in range(4)]))[0]
    >>> bool(np.isclose(S * (s + a) / (s * s + b * s + c), (w / (s + g)).sum()))
    True
    """
    total = sums[0]
    moving = total > 0
    u1, u2, u3 = np.where(moving, sums[1:], 1.0) / np.where(moving, total, 1.0)
    spread = u1 * u3 - u2 * u2
    equal = spread <= 1e-13 * u1 * u3
    c = np.where(equal, 1 / (u1 * u1), (u2 - u1 * u1) / np.where(equal, 1.0, spread))
    return np.stack([total, c * u1, (1 + c * u2) / u1, c], axis=1)
