"""Labels checked once, before they train anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from nextrec.errors import DataError, invalid
from nextrec.tasks import Task


def check_labels(labels: Tensor | ArrayLike, tasks: Sequence[Task], first_row: int = 0) -> None:
    """Refuse labels that their task can't mean; NaN is "not observed" everywhere.

    Binary and multilabel labels are 0 or 1, multiclass labels class numbers from 0, regression
    labels finite.

    Args:
        labels: ``(N, T)``, or ``(N,)`` for one label column.
        tasks: what the columns mean.
        first_row: number, in the whole data, of the first row.

    Raises:
        DataError: names each bad target with its first bad row (counted from 0), value and count.

    >>> from nextrec.tasks import make_tasks
    >>> check_labels([0.0, 1.0, float("nan")], make_tasks("binary", ["click"]))
    """
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    values = values[:, None] if values.ndim == 1 else values
    targets = [name for task in tasks for name in task.targets]
    if values.ndim != 2 or values.shape[1] != len(targets):
        must_be = f"(N, {len(targets)}): a column for each of {targets}"
        raise DataError(invalid("labels", "shape", must_be, values.shape))
    if values.dtype.kind not in "biuf":
        raise DataError(invalid("labels", "dtype", "numbers", str(values.dtype)))
    problems = []
    for task in tasks:
        for name, column in zip(task.targets, values[:, task.labels].T, strict=True):
            problem = _problem(name, column, task, first_row)
            if problem:
                problems.append(problem)
    if problems:
        raise DataError("\n".join(problems))


def _problem(target: str, column: np.ndarray, task: Task, first_row: int) -> str:
    if task.kind == "regression":
        bad, must_be = np.isinf(column), "finite"
    elif task.kind == "multiclass":
        in_range = (column >= 0) & (column < task.size) & (column == np.floor(column))
        bad, must_be = ~in_range, f"a class number from 0 to {task.size - 1}"
    else:
        bad, must_be = (column != 0) & (column != 1), "0 or 1"
    bad &= column == column  # NaN is equal to nothing
    if not bad.any():
        return ""
    row = int(bad.argmax())
    message = invalid("labels", target, f"{must_be}, or NaN where not observed", column[row].item())
    return f"{message} First of {int(bad.sum())} such rows: row {first_row + row}."
