"""Which columns are labels, and what task each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nextrec.data.profile import LABELS, Profile
from nextrec.data.transforms.labels import Label, label_of, ordered
from nextrec.errors import ConfigError, did_you_mean, invalid

MOST_CLASSES = 100
"""Text with more different words is no label of a first config."""


@dataclass(frozen=True)
class Target:
    """A label column in a first config."""

    name: str
    task: str
    why: str
    learn: dict[str, Any] | None = None
    """Arguments under ``processor.target``; ``None``: the labels are numbers as they are."""
    num_classes: int | None = None
    """Of a multiclass target."""


def choose_targets(
    profiles: Sequence[Profile], wanted: Sequence[str], owner: str = "init"
) -> list[Profile]:
    """The label columns: those that were named, else the first that is called like one.

    Raises:
        ConfigError: no such column, none that looks like a label, or one that can't be one.
    """
    by_name = {profile.name: profile for profile in profiles}
    for name in wanted:
        if name not in by_name:
            must_be = f"a column of the data ({', '.join(by_name)})"
            hint = did_you_mean(name, by_name)
            raise ConfigError(invalid(owner, "--target", must_be, name) + hint)
    lower = {name.lower(): name for name in reversed(by_name)}
    names = list(wanted) or [lower[name] for name in LABELS if name in lower][:1]
    if not names:
        raise ConfigError(
            f"{owner}: no column is called like a label; name it by --target. The columns are "
            f"{', '.join(by_name)}."
        )
    for name in names:
        _require_label(by_name[name], owner)
    return [by_name[name] for name in names]


def _require_label(profile: Profile, owner: str) -> None:
    must_be, got = "a column of numbers, or of a few words", str(profile.kind)
    if profile.kind == "text":
        many = profile.distinct is None or profile.distinct > MOST_CLASSES
        if many:
            got = f"text with more than {MOST_CLASSES} different values"
        elif len(_words(profile)) < 2:
            got = "text with one value only"
        else:
            return
    elif profile.kind in ("integer", "real", "flag"):
        if not profile.infinite:
            return
        must_be, got = "a column of finite numbers", f"{profile.infinite:,} infinite ones"
    raise ConfigError(invalid(owner, "--target", must_be, f"{profile.name}: {got}"))


def target_of(profile: Profile) -> Target:
    """The task of a label column, and how words or other numbers become 0, 1, 2..."""
    name, labels = profile.name, _words(profile)
    if profile.kind == "text":
        if all(not isinstance(label, str) for label in labels) and len(labels) > 2:
            why = f"{len(labels)} numbers as text, so regression"
            return Target(name, "regression", why, {"target_type": "regression"})
        told = ", ".join(str(label) for label in labels[:3]) + (", ..." if labels[3:] else "")
        if len(labels) == 2:
            return Target(name, "binary", f"text, {told}", {"label_map": _numbered(labels)})
        options = {"target_type": "multiclass", "label_map": _numbered(labels)}
        return Target(name, "multiclass", f"text, {told}", options, len(labels))
    span = f"{profile.lowest:g} to {profile.highest:g}"
    if profile.whole and profile.lowest >= 0 and profile.highest <= 1:
        return Target(name, "binary", f"{span}, so binary")
    if profile.whole and profile.distinct == 2 and len(labels) == 2:
        why = f"two labels, {labels[0]} and {labels[1]}, so binary"
        return Target(name, "binary", why, {"label_map": _numbered(labels)})
    return Target(name, "regression", f"{span}, so regression")


def task_of(profile: Profile) -> str:
    """``binary`` for two labels, ``multiclass`` for more words, otherwise ``regression``."""
    return target_of(profile).task


def _words(profile: Profile) -> list[Label]:
    """The different labels of a column of few values, in their order."""
    if profile.distinct is None or profile.distinct > MOST_CLASSES:
        return []
    found = {label_of(value) for value in profile.counts.values.to_pylist()}
    return ordered(label for label in found if label is not None)


def _numbered(labels: Sequence[Label]) -> dict[str, int]:
    return {str(label): number for number, label in enumerate(labels)}
