r"""Sums over the steps that a row slept through, kept by the step of its last update.

An optimizer with momentum moves a row at every step, also when the row has no gradient. The move
at the ``j``-th step after the last update ``t`` is a fixed share of the row's momentum, so what
the row owes at step ``now`` is that momentum times a sum that all rows of one ``t`` share:

.. math:: S_n[t] = \sum_{j=1}^{now-t} q_n^j \, x_n(t+j) \prod_{s=t+j+1}^{now} d(s)

with ratios ``q_n < 1``, a driver ``x_n(s)`` that every step ``s`` gives (it carries the learning
rate) and a factor ``d(s)`` by which the step shrinks all weights (decoupled weight decay).

A new step changes ``S[t]`` by ``S[t] * d + q^j x``. After ``K`` steps ``q^K`` is nil, so only the
last ``K`` entries change; older ones keep what the optimizer made of them, and shrink by the
product of ``d`` since, which a running logarithm gives. The cost of a step is ``K`` numbers,
whatever the number of rows; any gap is right, also under a schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

_NIL = 1e-17  # a share of momentum below float64's resolution of the sum


class LagSums:
    """The sums of every ``t`` in the window, and the coefficients made of them for every ``t``.

    Args:
        ratios: ``q_n`` of the N sums, each in [0, 1).
        coefficients: turns ``(N, w)`` sums of a window into ``(w, C)`` numbers a row needs.
        neutral: the C numbers of a row that owes nothing. Number 0 must be proportional to the
            sums: it is the one that shrinks after the window.

    >>> sums = LagSums([0.5], lambda s: s.T, [0.0])
    >>> for lr in (1.0, 1.0, 4.0):
    ...     sums.advance([lr], keep=1.0)
    >>> sums.gather(torch.tensor([1, 2, 3])).flatten()  # 0.5 * 1 + 0.25 * 4; 0.5 * 4; nothing
    tensor([1.5000, 2.0000, 0.0000], dtype=torch.float64)
    """

    def __init__(
        self, ratios: list[float], coefficients: Callable[[Array], Array], neutral: list[float]
    ) -> None:
        largest = max(ratios)
        self.window = max(1, math.ceil(math.log(_NIL) / math.log(largest))) if largest > 0 else 1
        lags = np.arange(self.window, 0, -1)  # the newest last: column i is t = now - lags[i]
        self._powers = np.power(np.asarray(ratios)[:, None], lags)  # (N, K)
        self._sums = np.zeros_like(self._powers)
        self._coefficients = coefficients
        self._neutral = np.asarray(neutral, dtype=np.float64)
        self._table = np.empty((1024, len(neutral)))  # row t: the coefficients of last update t
        self._table[0] = self._neutral
        self._log_keep = np.zeros(1024)  # log of the product of d(1) .. d(t)
        self.now = 0
        self._mirrors: dict[torch.device, _Mirror] = {}

    def advance(self, drivers: list[float], keep: float) -> None:
        """Go one step on.

        Args:
            drivers: ``x_n(now)`` of the N sums.
            keep: ``d(now)`` in (0, 1].
        """
        self.now += 1
        self._reserve(self.now + 1)
        self._log_keep[self.now] = self._log_keep[self.now - 1] + math.log(keep)
        self._table[self.now] = self._neutral
        active = min(self.window, self.now)
        sums = self._sums[:, -active:]
        sums[:, :-1] = sums[:, 1:]
        sums[:, -1] = 0.0
        sums *= keep
        sums += self._powers[:, -active:] * np.asarray(drivers)[:, None]
        self._table[self.now - active : self.now] = self._coefficients(sums)

    @property
    def shrinks(self) -> bool:
        """Whether some step shrank the weights."""
        return bool(self._log_keep[self.now])

    def gather(self, last: Tensor) -> Tensor:
        """Return the ``(U, C)`` coefficients at ``now`` of rows last updated at ``last``."""
        coefficients = self._on(last.device).table.index_select(0, last)
        if self.shrinks:
            left = (last + self.window).clamp_(max=self.now)  # when it left the window
            coefficients[:, 0] *= self._kept_since(left)
        return coefficients

    def kept(self, last: Tensor) -> Tensor | None:
        """Return the ``(U,)`` product of ``d`` after ``last``, or ``None`` if all were 1."""
        return self._kept_since(last) if self.shrinks else None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that :meth:`restore` needs, in copies."""
        end = self.now + 1
        arrays = {"sums": self._sums, "table": self._table[:end], "log_keep": self._log_keep[:end]}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`tensors` of sums with the same ratios."""
        self.now = len(tensors["log_keep"]) - 1
        self._reserve(self.now + 1)
        self._sums[:] = tensors["sums"].cpu().numpy()
        self._table[: self.now + 1] = tensors["table"].cpu().numpy()
        self._log_keep[: self.now + 1] = tensors["log_keep"].cpu().numpy()
        self._mirrors.clear()

    def shapes(self, now: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of :meth:`tensors` after step ``now``."""
        steps = now + 1
        table = (steps, self._table.shape[1])
        return {"sums": self._sums.shape, "table": table, "log_keep": (steps,)}

    def _kept_since(self, steps: Tensor) -> Tensor:
        log_keep = self._on(steps.device).log_keep
        return torch.exp(log_keep[self.now] - log_keep.index_select(0, steps))

    def _reserve(self, length: int) -> None:
        if length > len(self._table):
            extra = max(len(self._table), length - len(self._table))
            self._table = np.pad(self._table, ((0, extra), (0, 0)))
            self._log_keep = np.pad(self._log_keep, (0, extra))

    def _on(self, device: torch.device) -> _Mirror:
        """Return table and logarithms on ``device``: shared memory on a CPU, else a copy."""
        if device.type == "cpu":
            return _Mirror(torch.from_numpy(self._table), torch.from_numpy(self._log_keep))
        mirror = self._mirrors.get(device)
        if mirror is None or len(mirror.table) != len(self._table):
            mirror = self._mirrors[device] = _Mirror.empty(self._table, self._log_keep, device)
        mirror.follow(self._table, self._log_keep, self.now, self.window)
        return mirror


class _Mirror:
    """A copy on an accelerator; following a step copies the window only."""

    def __init__(self, table: Tensor, log_keep: Tensor) -> None:
        self.table = table
        self.log_keep = log_keep
        self._seen = -1

    @classmethod
    def empty(cls, table: Array, log_keep: Array, device: torch.device) -> _Mirror:
        # Apple's GPUs have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        shapes = table.shape, log_keep.shape
        return cls(*(torch.zeros(shape, dtype=dtype, device=device) for shape in shapes))

    def follow(self, table: Array, log_keep: Array, now: int, window: int) -> None:
        if self._seen == now:
            return
        changed = slice(max(0, self._seen - window), now + 1)
        for copy, array in ((self.table, table), (self.log_keep, log_keep)):
            copy[changed] = torch.from_numpy(array[changed]).to(copy.device, copy.dtype)
        self._seen = now
