"""What a model predicts: tasks, the label columns they read and the logits they own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from nextrec.errors import ConfigError, invalid, unknown_option

TaskKind = Literal["binary", "regression", "multiclass", "multilabel"]
TASK_KINDS: tuple[str, ...] = get_args(TaskKind)


@dataclass(frozen=True)
class Task:
    """One prediction: a kind, its label columns, its slice of the logits.

    Binary and regression own one logit and one label column, multiclass one logit a class and one
    column of class numbers, multilabel one logit and one column of {0, 1} a label.
    """

    kind: str
    targets: tuple[str, ...]
    size: int
    """Logits."""
    logits: slice
    """Columns of the logits ``(B, sum of sizes)``."""
    labels: slice
    """Columns of the labels ``(B, T)``."""

    @property
    def name(self) -> str:
        """The target's name; for multilabel the names joined by ``+``."""
        return "+".join(self.targets)


def make_tasks(
    kind: str | Sequence[str],
    targets: Sequence[str],
    num_classes: int | Sequence[int] | None = None,
    owner: str = "model",
) -> tuple[Task, ...]:
    """Tasks from the arguments ``task``, ``target`` and ``num_classes`` of a model.

    One kind serves every target; a list has one kind a target. ``num_classes`` is one number, or
    one a multiclass target.

    >>> [(t.name, t.kind, t.logits) for t in make_tasks(["binary", "multiclass"], ["a", "b"], 3)]
    [('a', 'binary', slice(0, 1, None)), ('b', 'multiclass', slice(1, 4, None))]
    >>> make_tasks("multilabel", ["x", "y"])[0].labels
    slice(0, 2, None)
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    targets = list(targets)
    for each in kinds:
        if each not in TASK_KINDS:
            raise ConfigError(unknown_option(owner, "task", TASK_KINDS, each))
    if len(set(targets)) != len(targets):
        raise ConfigError(invalid(owner, "target", "a list of different names", targets))
    if kinds == ["multilabel"]:
        count = len(targets)
        return (Task("multilabel", tuple(targets), count, slice(0, count), slice(0, count)),)
    if "multilabel" in kinds:
        raise ConfigError(
            f"{owner}: `task` 'multilabel' stands alone and takes its label columns as `target`; "
            f"got {kinds!r}."
        )
    if len(kinds) == 1:
        kinds = kinds * len(targets)
    if len(kinds) != len(targets):
        must_be = f"one kind or one a target ({len(targets)}: {targets})"
        raise ConfigError(invalid(owner, "task", must_be, kinds))
    sizes = _sizes(kinds, num_classes, owner)
    tasks, start = [], 0
    for column, (each, target, size) in enumerate(zip(kinds, targets, sizes, strict=True)):
        labels = slice(column, column + 1)
        tasks.append(Task(each, (target,), size, slice(start, start + size), labels))
        start += size
    return tuple(tasks)


def _sizes(kinds: list[str], num_classes: int | Sequence[int] | None, owner: str) -> list[int]:
    count = kinds.count("multiclass")
    if count == 0 and num_classes:
        must_be = f"None without a multiclass target (the tasks are {', '.join(kinds)})"
        raise ConfigError(invalid(owner, "num_classes", must_be, num_classes))
    given = [num_classes] * count if isinstance(num_classes, int) else list(num_classes or ())
    if len(given) != count or any(not isinstance(n, int) or n < 2 for n in given):
        must_be = f"the number of classes (at least 2) of each of the {count} multiclass targets"
        raise ConfigError(invalid(owner, "num_classes", must_be, num_classes))
    remaining = iter(given)
    return [next(remaining) if kind == "multiclass" else 1 for kind in kinds]
