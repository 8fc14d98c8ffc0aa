"""Update rules on gathered rows: SGD, Adagrad, row-wise Adagrad, RMSprop, lazy Adam.

Shapes: U gathered rows, D width.

Each rule gives what the dense optimizer of ``torch.optim`` gives, including what that one does to
rows without a gradient; :class:`LazyAdam` alone leaves those rows out, as its name says. The one
difference is *coupled* weight decay (added to the gradient): it acts on the rows looked up in the
step only, for it would give every row of the table a gradient.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from nextrec.errors import ConfigError, invalid
from nextrec.optim.lag_sums import LagSums
from nextrec.optim.row_table import RowBlock


class RowRule(ABC):
    """An update rule. The engine gathers a :class:`RowBlock`, the rule changes it in place.

    Args:
        group: the live options (``lr``, ...); schedulers change them between steps.
    """

    defaults: ClassVar[dict[str, Any]]
    """Options and their defaults."""
    columns: tuple[str, ...] = ()
    """State of shape ``(R, D)`` by name, all zeros at first."""
    scalars: tuple[str, ...] = ()
    """State of shape ``(R, 1)``."""
    ages = False
    """Whether a step changes the state of rows without a gradient, so their last step is kept."""
    moves_idle_rows = False
    """Whether a step changes the weights of rows without a gradient."""
    sums: LagSums | None = None
    """What idle rows owe, where :attr:`moves_idle_rows`."""
    frozen: tuple[str, ...] = ()
    """Options that must keep their value once training has begun."""

    def __init__(self, group: dict[str, Any]) -> None:
        self.group = group
        self._began_with = {name: group[name] for name in self.frozen}

    def begin(self, now: int) -> None:
        """Start step ``now`` (from 1), before any update of it."""
        for name, value in self._began_with.items():
            if self.group[name] != value:
                must_be = f"the same in every step of row-wise updates ({value!r} at first)"
                raise ConfigError(invalid("optimizer", name, must_be, self.group[name]))

    def settle(self, block: RowBlock, now: int) -> None:
        """Move the weights by what the steps after ``block.last`` up to ``now`` owe them."""
        return

    def age(self, block: RowBlock, now: int) -> None:
        """Bring the state from ``block.last`` to ``now``, for steps without a gradient."""
        return

    @abstractmethod
    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Take step ``now`` with the gradient ``(U, D)``; the block stands at ``now - 1``."""

    def _with_decay(self, block: RowBlock, grad: Tensor) -> Tensor:
        decay = self.group["weight_decay"]
        return grad.add(block.weight, alpha=decay) if decay else grad


def idle_steps(block: RowBlock, now: int) -> Tensor:
    """Return the ``(U, 1)`` steps since each row's last update, in float64 where there is one."""
    assert block.last is not None
    wide = torch.float32 if block.last.device.type == "mps" else torch.float64
    return (now - block.last).to(wide).unsqueeze(1)


def power(base: float, exponents: Tensor, like: Tensor) -> Tensor:
    """Return ``base ** exponents`` in the precision of ``like``, with ``0 ** 0 = 1``."""
    log = math.log(base) if base > 0 else -1e4  # exp(-1e4) is 0 and exp(-1e4 * 0) is 1
    return torch.exp(exponents * log).to(like.dtype)


class SGD(RowRule):
    """Stochastic gradient descent, with momentum (Polyak, 1964) as :class:`torch.optim.SGD`.

    A row without a gradient goes on along its momentum buffer ``b``: after ``k`` steps it has
    moved by ``b * sum_j momentum^j lr_j``, the only sum here, so the catch-up is exact.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "momentum": 0.0,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
    }
    frozen = ("momentum", "nesterov")

    def __init__(self, group: dict[str, Any]) -> None:
        super().__init__(group)
        momentum = group["momentum"]
        if momentum:
            self.columns = ("momentum_buffer",)
            self.ages = self.moves_idle_rows = True
            self.sums = LagSums([momentum], lambda sums: sums.T, neutral=[0.0])

    def begin(self, now: int) -> None:
        """Enter the step's learning rate into the sums of idle rows."""
        super().begin(now)
        if self.sums is not None:
            self.sums.advance([self.group["lr"]], keep=1.0)

    def settle(self, block: RowBlock, now: int) -> None:
        """Move along the momentum buffer."""
        assert self.sums is not None
        assert block.last is not None
        owed = self.sums.gather(block.last).to(block.weight.dtype)  # (U, 1)
        if self.group["nesterov"]:  # its step looks one momentum ahead
            owed *= self.group["momentum"]
        block.weight.addcmul_(block.state["momentum_buffer"], owed, value=-1)

    def age(self, block: RowBlock, now: int) -> None:
        """Decay the buffer by the momentum a step."""
        buffer = block.state["momentum_buffer"]
        buffer.mul_(power(self.group["momentum"], idle_steps(block, now), buffer))

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Step along the gradient, or along the buffer with it."""
        momentum, direction = self.group["momentum"], self._with_decay(block, grad)
        if momentum:
            buffer = block.state["momentum_buffer"].mul_(momentum)
            # torch.optim starts the buffer with the whole first gradient.
            buffer.add_(direction, alpha=1 if now == 1 else 1 - self.group["dampening"])
            nesterov = self.group["nesterov"]
            direction = direction.add(buffer, alpha=momentum) if nesterov else buffer
        block.weight.add_(direction, alpha=-self.group["lr"])


class Adagrad(RowRule):
    """Adagrad (Duchi, Hazan and Singer, JMLR 2011): ``w -= lr g / (sqrt(sum g^2) + eps)``."""

    defaults: ClassVar = {
        "lr": 1e-3,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
    }
    columns: tuple[str, ...] = ("sum",)
    """Without the initial value, so that it can start as untouched zeros."""

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Add the squares, divide by the root of their sum."""
        grad = self._with_decay(block, grad)
        self._descend(block, grad, block.state["sum"].addcmul_(grad, grad), now)

    def _descend(self, block: RowBlock, grad: Tensor, total: Tensor, now: int) -> None:
        group = self.group
        lr = group["lr"] / (1 + (now - 1) * group["lr_decay"])
        scale = total.add(group["initial_accumulator_value"]).sqrt_().add_(group["eps"])
        block.weight.addcdiv_(grad, scale.expand_as(grad), value=-lr)


class RowwiseAdagrad(Adagrad):
    """Adagrad with one accumulator a row, the mean of its squared gradients over the width.

    State takes ``1 / D`` of Adagrad's (Mudigere et al., ISCA 2022, section 4.1.4).
    """

    columns = ()
    scalars = ("sum",)

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Add the mean square of the row, divide by the root of the sum."""
        grad = self._with_decay(block, grad)
        total = block.state["sum"].add_(grad.square().mean(dim=1, keepdim=True))  # (U, 1)
        self._descend(block, grad, total, now)


class RMSprop(RowRule):
    """RMSprop (Tieleman and Hinton, 2012): Adagrad with a decaying average of squares.

    A row without a gradient stays where it is while its average decays by ``alpha`` a step.
    """

    defaults: ClassVar = {"lr": 1e-3, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0}
    columns = ("square_avg",)
    ages = True
    frozen = ("alpha",)

    def age(self, block: RowBlock, now: int) -> None:
        """Decay the average by ``alpha`` a step."""
        average = block.state["square_avg"]
        average.mul_(power(self.group["alpha"], idle_steps(block, now), average))

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Average the squares, divide by the root of the average."""
        alpha, grad = self.group["alpha"], self._with_decay(block, grad)
        average = block.state["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        scale = average.sqrt().add_(self.group["eps"])
        block.weight.addcdiv_(grad, scale, value=-self.group["lr"])


class LazyAdam(RowRule):
    """Adam whose moments and weights stand still while a row has no gradient.

    Bias correction counts the steps of training, as in :class:`torch.optim.SparseAdam`; eps
    stands outside the corrected root, as in :class:`torch.optim.Adam`.
    """

    defaults: ClassVar = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    columns = ("exp_avg", "exp_avg_sq")

    def update(self, block: RowBlock, grad: Tensor, now: int) -> None:
        """Take Adam's step for these rows alone."""
        self._adam_step(block, self._with_decay(block, grad), now)

    def _adam_step(self, block: RowBlock, grad: Tensor, now: int) -> None:
        beta1, beta2 = self.group["betas"]
        mean = block.state["exp_avg"].lerp_(grad, 1 - beta1)
        square = block.state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        scale = square.sqrt().div_(math.sqrt(1 - beta2**now)).add_(self.group["eps"])
        block.weight.addcdiv_(mean, scale, value=-self.group["lr"] / (1 - beta1**now))


def rule_shapes(rule: RowRule, num_rows: int, width: int) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every state tensor of a table."""
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(rule.columns, (num_rows, width))
    shapes |= dict.fromkeys(rule.scalars, (num_rows, 1))
    return shapes | ({"last": (num_rows,)} if rule.ages else {})
