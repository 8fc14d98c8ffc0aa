"""Findings between the rows to train on and the rows to test on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.diagnosis.findings import Finding, Severity, share, short
from nextrec.data.diagnosis.hashing import ContentSample
from nextrec.data.diagnosis.scan import Scan, Side, as_numbers, column_of
from nextrec.data.profile import Profile, is_category, is_id, is_time
from nextrec.data.value_counts import ValueCounts

BINS = 50
"""Tokens that are compared one by one; the rest are one."""


def check_schema(
    train: Mapping[str, Profile], test: Mapping[str, Profile], targets: tuple[str, ...]
) -> Iterator[Finding]:
    """Columns that are on one side only, or of another kind there."""
    for name, profile in train.items():
        if name not in test:
            if name not in targets:
                advice = "a model that reads it can't be tested, nor served"
                yield Finding("error", "test_lacks", name, "is not in the test data", advice)
            continue
        other = test[name]
        pair = {profile.kind, other.kind}
        if len(pair) > 1 and "empty" not in pair and pair != {"integer", "real"}:
            message = f"holds {profile.kind} in train and {other.kind} in test"
            yield Finding("error", "test_kind", name, message, "make both alike")
    for name in test:
        if name not in train:
            message = "is in the test data only"
            yield Finding("info", "train_lacks", name, message, "no model can have learned it")


def check_unknown(name: str, train: ValueCounts, test: ValueCounts) -> Iterator[Finding]:
    """The share of test tokens that training never saw."""
    if train.over or test.over or not test.total:
        return
    unseen = train.counts_of(test.values) == 0
    rows, tokens = int(test.counts[unseen].sum()), int(unseen.sum())
    part = rows / test.total
    if part < 0.01:
        return
    first = test.values.filter(pa.array(unseen))[0].as_py()
    message = (
        f"{share(rows, test.total)} of the test values are tokens that train lacks "
        f"({tokens:,} of {len(unseen):,} tokens, such as {short(repr(first))})"
    )
    advice = "they all read the row of unknown tokens: min_frequency above 1 trains that row"
    values: dict[str, Any] = {"share": part, "tokens": tokens, "example": first}
    yield Finding(
        "warning" if part >= 0.1 else "info", "unknown_tokens", name, message, advice, values
    )


def check_missing(name: str, train: tuple[int, int], test: tuple[int, int]) -> Iterator[Finding]:
    """Missing values that are more frequent on one side; pairs are (missing, rows)."""
    shares = [missing / rows for missing, rows in (train, test) if rows]
    if len(shares) == 2 and abs(shares[0] - shares[1]) >= 0.1:
        message = (
            f"missing in {share(*train)} of the train rows and {share(*test)} of the test rows"
        )
        advice = "look what changed in the source"
        values = {"train": shares[0], "test": shares[1]}
        yield Finding("warning", "missing_shift", name, message, advice, values)


def check_drift(profile: Profile, train: Side, test: Side) -> Iterator[Finding]:
    """A distribution that moved: PSI of tokens, Kolmogorov-Smirnov of numbers."""
    name = profile.name
    if is_time(profile) or is_id(profile):  # new ids are told as unknown tokens
        return
    counted = not (train.counts[name].over or test.counts[name].over)
    if is_category(profile) and counted:
        value, by_chance = stability(train.counts[name], test.counts[name])
        if value >= max(0.1, 3 * by_chance):
            message = f"its tokens' shares moved between train and test: PSI {value:.3g}"
            advice = "ask whether the world changed or the way it is recorded"
            severity: Severity = "warning" if value >= 0.25 else "info"
            yield Finding(severity, "drift", name, message, advice, {"psi": value})
        return
    if profile.kind not in ("integer", "real", "flag"):
        return
    old, new = (_numbers(side, name) for side in (train, test))
    if min(len(old), len(new)) < 50:
        return
    value = largest_gap(old, new)
    by_chance = 1.63 * np.sqrt(1 / len(old) + 1 / len(new))  # passed once in 100 times
    if value >= max(0.1, 2 * by_chance):
        middle = [float(np.median(each)) for each in (old, new)]
        message = (
            f"its values moved between train and test: KS {value:.3g}, "
            f"median {middle[0]:.4g} and {middle[1]:.4g}"
        )
        advice = "ask whether the world changed or the way it is recorded"
        severity = "warning" if value >= 0.2 else "info"
        yield Finding(severity, "drift", name, message, advice, {"ks": value, "medians": middle})


def stability(train: ValueCounts, test: ValueCounts) -> tuple[float, float]:
    r"""Population stability index :math:`\sum_t (q_t - p_t) \ln(q_t / p_t)` of token shares.

    The most frequent tokens of train count one by one, the others as one.

    Returns:
        The index, and about what it is by chance when nothing moved.
    """
    old = np.sort(train.counts)[::-1]
    if not len(old) or not test.total:
        return 0.0, 0.0
    best = np.argsort(-train.counts, kind="stable")[:BINS]
    old = train.counts[best]
    new = test.counts_of(train.values.take(pa.array(best)))
    old = np.append(old, train.total - old.sum())
    new = np.append(new, test.total - new.sum())
    used = (old + new) > 0
    p, q = (each[used] + 0.5 for each in (old, new))
    p, q = p / p.sum(), q / q.sum()
    by_chance = (used.sum() - 1) * (1 / train.total + 1 / test.total)
    return float(((q - p) * np.log(q / p)).sum()), float(by_chance)


def largest_gap(one: np.ndarray, other: np.ndarray) -> float:
    """The Kolmogorov-Smirnov statistic: the largest gap between two empirical distributions.

    >>> largest_gap(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    one, other = np.sort(one), np.sort(other)
    places = np.concatenate([one, other])
    shares = [np.searchsorted(e, places, side="right") / len(e) for e in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _numbers(side: Side, name: str) -> np.ndarray:
    assert side.sample is not None
    numbers = as_numbers(column_of(side.sample, name), name, 0)
    return numbers[~np.isnan(numbers)]


# -- time ------------------------------------------------------------------------------------


def check_future(
    scan: Scan, tested: Scan, time: str, first_tested: float, written: str
) -> Iterator[Finding]:
    """Rows to train on that are later than the first row to test on."""
    late, rows = scan.later.rows, scan.rows
    if not late:
        return
    values: dict[str, Any] = {"rows": late, "share": late / rows, "examples": scan.later_examples}
    values["first_tested"] = first_tested
    than = f"later than the first test row ({written})"
    if late <= rows / 2:
        listed = ", ".join(map(str, scan.later_examples))
        message = f"{late:,} train rows ({share(late, rows)}) are {than}: rows {listed}"
        advice = "take them out: they tell the model what happens after the split"
        yield Finding("error", "future_rows", time, message, advice, values)
        return
    message = f"{share(late, rows)} of the train rows are {than}"
    by_user = _later_of_each_user(scan.user_times, tested.user_times)
    if by_user == 0:
        message += f", though none is later than the first test row of its {scan.plan.user!r}"
        advice = "split by user and time: fine to compare models, better than reality in numbers"
        yield Finding("info", "not_by_time", time, message, advice, values)
        return
    advice = "the split is not by time: offline metrics will be better than reality"
    yield Finding("warning", "not_by_time", time, message, advice, values)


def _later_of_each_user(train: ContentSample, test: ContentSample) -> int | None:
    """Train rows later than their own user's first test row; ``None`` without users."""
    level = max(train.level, test.level)
    (users, times), (tested, their_times) = train.rows(level), test.rows(level)
    if not len(users) or not len(tested):
        return None
    order = np.lexsort((their_times, tested))
    known, first = np.unique(tested[order], return_index=True)
    starts = their_times[order][first]
    places = np.searchsorted(known, users).clip(max=len(known) - 1)
    return int(((known[places] == users) & (times > starts[places])).sum())
