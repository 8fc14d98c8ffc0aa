"""Batches of predictions kept until they are needed as one table.

Shapes: N rows, S predictions a row, T labels a row.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from nextrec.errors import DataError
from nextrec.metrics.inputs import as_ids, as_numbers, is_tensor


class Batch(NamedTuple):
    """Rows of one batch, or of many joined."""

    predictions: Any
    """``(N, S)``, or ``(N,)``."""
    labels: Any
    """``(N, T)``, or ``(N,)``."""
    groups: Any = None
    """``(N,)`` ids or None."""
    weights: Any = None
    """``(N,)`` or None."""

    def copied(self) -> Batch:
        """The same values in memory that nobody else writes to, on the same device.

        A captured CUDA graph and a pinned loader both write each step to the same place.
        """
        return Batch(*(_copy(each) for each in self))


class Batches:
    """A list of batches. Tensors stay on their device until :meth:`take` moves them, at once."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def __len__(self) -> int:
        return len(self._batches)

    def append(self, batch: Batch) -> None:
        """Keep one batch; group ids and weights come with all batches or with none."""
        for name in ("groups", "weights"):
            given = getattr(batch, name) is not None
            if self._batches and given != (getattr(self._batches[0], name) is not None):
                raise DataError(f"metrics: `{name}` must come with every batch or with none.")
        self._batches.append(batch)

    def extend(self, other: Batches) -> None:
        """Keep the batches of another list too."""
        for batch in other._batches:
            self.append(batch)

    def take(self) -> Batch:
        """All rows as one batch of new arrays; the list is empty afterwards."""
        columns = dict(zip(Batch._fields, zip(*self._batches, strict=True), strict=True))
        self._batches = []
        groups, weights = columns["groups"], columns["weights"]
        return Batch(
            _joined("predictions", columns["predictions"]),
            _joined("labels", columns["labels"]),
            None if groups[0] is None else _joined_ids(groups),
            None if weights[0] is None else _joined("weights", weights),
        )


def on_host(array: Any) -> bool:
    """Is it an array, or a tensor in main memory? Reading it then costs no synchronisation."""
    return not is_tensor(array) or str(array.device) == "cpu"


def _copy(array: Any) -> Any:
    return array.detach().clone() if is_tensor(array) else copy.copy(array)


def _joined(name: str, chunks: tuple[Any, ...]) -> np.ndarray:
    if all(is_tensor(each) for each in chunks):
        import torch

        return as_numbers(name, torch.cat([each.detach() for each in chunks]))
    return np.concatenate([as_numbers(name, each) for each in chunks])


def _joined_ids(chunks: tuple[Any, ...]) -> np.ndarray:
    arrays = [np.asarray(as_ids(each)) for each in chunks]
    if len({array.dtype.kind for array in arrays}) > 1:
        # numpy would join 1 and "1" as one string, and large integers with floats as floats.
        arrays = [array.astype(object) for array in arrays]
    return np.concatenate(arrays)
