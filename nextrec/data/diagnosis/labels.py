"""Findings about the label: balance, gaps, and users with one label only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nextrec.data.diagnosis.findings import Finding, Severity, share, short
from nextrec.data.diagnosis.scan import Scan
from nextrec.data.profile import Profile

RARE = 0.01
"""A class with a smaller share is told."""
CLASSES = 20


def check_label(scan: Scan, target: str) -> Iterator[Finding]:
    """What is wrong with one label column."""
    profile = scan.profiles[target]
    present = profile.rows - profile.missing
    if profile.kind in ("ids", "vector", "other", "mixed", "time"):
        message = f"holds {profile.kind}, which is no label"
        yield Finding("error", "label_kind", target, message, "name another target")
        return
    if profile.missing:
        message = f"{profile.missing:,} labels are missing ({share(profile.missing, profile.rows)})"
        advice = "they count as not observed and train nothing: say so on purpose, or drop them"
        severity: Severity = "error" if not present else "warning"
        yield Finding(severity, "label_missing", target, message, advice, {"rows": profile.missing})
    if not present:
        return
    if profile.distinct == 1 or profile.lowest == profile.highest:
        value = profile.counts.largest(1)[0][0] if profile.distinct == 1 else profile.lowest
        message = f"every label is {short(value)}: there is nothing to learn"
        yield Finding("error", "label_constant", target, message, "look how it was made")
        return
    if profile.kind == "text":
        words = ", ".join(short(repr(word)) for word, _ in profile.counts.largest(3))
        message = f"text ({words}): a model's target must be a number"
        advice = (
            "list it under `processor.target`, which numbers the words: 0 and 1 of two, and with "
            "target_type: multiclass 0 to C - 1 of C"
        )
        yield Finding("warning", "label_text", target, message, advice)
    yield from _balance(profile, present)


def _balance(profile: Profile, present: int) -> Iterator[Finding]:
    if profile.distinct is None or profile.distinct > CLASSES:
        return
    two = profile.distinct == 2
    numeric = profile.kind in ("integer", "real", "flag")
    if two and numeric and (profile.lowest, profile.highest) != (0.0, 1.0):
        message = f"two labels, {profile.lowest:g} and {profile.highest:g}"
        advice = "list it under `processor.target`, which makes them 0 and 1: the task is binary"
        yield Finding("warning", "label_values", profile.name, message, advice)
    least = int(profile.counts.counts.min())
    if least >= RARE * present:
        return
    word = min(profile.counts.largest(CLASSES), key=lambda pair: pair[1])[0]
    message = f"label {short(word)} is rare: {least:,} rows ({share(least, present)})"
    advice = "judge by AUC and log loss, not accuracy; a split must keep enough of them"
    values: dict[str, Any] = {"label": word, "rows": least, "share": least / present}
    yield Finding("warning" if two else "info", "label_rare", profile.name, message, advice, values)


def label_table(profile: Profile) -> list[list[str]]:
    """Classes and their shares, or the range of a label with many values."""
    present = max(profile.rows - profile.missing, 1)
    if profile.distinct is not None and profile.distinct <= CLASSES:
        lines = [["label", "rows", "share"]]
        return lines + [
            [short(value), f"{count:,}", share(count, present)]
            for value, count in profile.counts.largest(CLASSES)
        ]
    return [["lowest", "highest"], [f"{profile.lowest:g}", f"{profile.highest:g}"]]


def check_users(scan: Scan, user: str, target: str) -> Iterator[Finding]:
    """How many users have one label only, so that GAUC is undefined for them."""
    hashes, labels = scan.users.rows()
    if not len(hashes):
        return
    order = np.argsort(hashes, kind="stable")
    hashes, labels = hashes[order], labels[order]
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    uniform = np.minimum.reduceat(labels, starts) == np.maximum.reduceat(labels, starts)
    sizes = np.diff(np.append(starts, len(hashes)))
    users, single = len(starts), int(uniform.sum())
    if not single:
        return
    part, rows = single / users, int(sizes[uniform].sum())
    message = (
        f"{share(single, users)} of {user!r} have one label only ({share(rows, len(hashes))} of "
        "the rows): GAUC is undefined for them"
    )
    if scan.users.level:
        message += f"; counted on {users:,} of them"
    advice = "read GAUC as the metric of the others, and AUC beside it"
    values = {"users": users, "single": single, "share": part, "share_of_rows": rows / len(hashes)}
    yield Finding(
        "warning" if part > 0.5 else "info", "single_label", user, message, advice, values
    )
