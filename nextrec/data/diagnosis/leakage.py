"""Columns that tell the label by themselves.

Letters: N rows of the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.diagnosis.findings import Finding, share
from nextrec.data.diagnosis.hashing import mix
from nextrec.data.diagnosis.scan import Scan, as_numbers, column_of
from nextrec.data.lists import is_list, is_text
from nextrec.data.profile import Profile

FEWEST = 10
"""Rows of each class below which no AUC is judged: with fewer, 1 comes by chance."""
FOLDS = 5
_BY_TOKENS = "the mean label of its tokens"


@dataclass(frozen=True)
class Predictor:
    """How well one column alone orders the labels of one target."""

    column: str
    by: str
    """What of the column orders them: its value, its tokens' mean label, its being missing."""
    auc: float
    rows: int
    """Rows that it is measured on."""


def positives(labels: pa.Array) -> tuple[np.ndarray, np.ndarray, str]:
    """Labels as two classes.

    Returns:
        Which rows have a label ``(N,)``, which of them are positive ``(N,)``, and what positive
        means: the label itself where there are two, otherwise being above the median; of text the
        commonest.
    """
    observed = labels.is_valid().to_numpy(zero_copy_only=False)
    if is_text(labels.type):
        known = labels.drop_null().value_counts()
        if not len(known):
            return observed, np.zeros(len(labels), bool), "no label"
        counts = known.field("counts").to_numpy()
        words = known.field("values")
        two = len(words) == 2
        chosen = max(words.to_pylist()) if two else words[int(counts.argmax())].as_py()
        hits = pc.fill_null(pc.equal(labels, pa.scalar(chosen, labels.type)), False)
        return observed, hits.to_numpy(zero_copy_only=False), repr(chosen)
    numbers = as_numbers(labels, "label", 0)
    observed = ~np.isnan(numbers)
    if not observed.any():
        return observed, observed, "no label"
    low, high = numbers[observed].min(), numbers[observed].max()
    two = bool(np.isin(numbers[observed], [low, high]).all())
    cut = low if two else float(np.median(numbers[observed]))
    meaning = f"{high:g}" if two else f"above the median {cut:g}"
    with np.errstate(invalid="ignore"):
        return observed, numbers > cut, meaning


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of scores ``(N,)``, ties counted half; NaN without both classes.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
    0.875
    """
    total = int(positive.sum())
    others = len(positive) - total
    if not total or not others:
        return float("nan")
    _, places = np.unique(scores, return_inverse=True)
    hits = np.bincount(places, weights=positive)
    misses = np.bincount(places) - hits
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / (total * others))


def fold_means(codes: np.ndarray, positive: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each row the mean label of its token in the other folds ``(N,)``.

    A row's own fold is left out, and the mean is drawn to that of all labels by one row's weight,
    so a token seen once tells nothing: a column of unique ids gives an AUC of 0.5.

    Args:
        codes: the token of each row, from 0.
        rows: row numbers, which decide the fold.
    """
    fold = (mix(rows) % np.uint64(FOLDS)).astype(np.int64)
    places = codes * FOLDS + fold
    size = (int(codes.max(initial=0)) + 1) * FOLDS
    hits = np.bincount(places, weights=positive, minlength=size)
    seen = np.bincount(places, minlength=size)
    others_hit = hits.reshape(-1, FOLDS).sum(1)[codes] - hits[places]
    others = seen.reshape(-1, FOLDS).sum(1)[codes] - seen[places]
    return np.asarray((others_hit + positive.mean()) / (others + 1))


def predictors(scan: Scan, target: str, left_out: tuple[str, ...]) -> list[Predictor]:
    """The best single predictor that each column gives, the best column first."""
    observed, positive, _ = positives(column_of(scan.sample, target))
    rows = scan.sample_rows[observed]
    positive = positive[observed]
    if min(positive.sum(), len(positive) - positive.sum()) < FEWEST:
        return []
    found = [
        Predictor("(the number of the row)", "its place", _either(auc(rows, positive)), len(rows))
    ]
    mask = pa.array(observed)
    for name, profile in scan.profiles.items():
        if name in left_out or profile.kind in ("mixed", "empty"):
            continue
        column = column_of(scan.sample, name).filter(mask)
        ways = [
            Predictor(name, by, value, count)
            for by, value, count in _ways(profile, column, positive, rows)
            if not np.isnan(value)
        ]
        if ways:
            found.append(max(ways, key=lambda each: each.auc))
    return sorted(found, key=lambda each: -each.auc)


def _ways(
    profile: Profile, column: pa.Array, positive: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[str, float, int]]:
    """How the column may order the labels: ``(what of it, AUC, rows)``."""
    if is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        yield "its length", _either(auc(lengths, positive)), len(rows)
        return
    present = pc.invert(column.is_null(nan_is_null=True)).to_numpy(zero_copy_only=False)
    if not present.all() and present.any():
        yield "its being missing", _either(auc(present, positive)), len(rows)
    if min(positive[present].sum(), (~positive[present]).sum()) < FEWEST:
        return
    values = column.filter(pa.array(present))
    if profile.kind in ("integer", "real", "flag", "time"):
        numbers = as_numbers(values, profile.name, 0)
        numbers = np.nan_to_num(numbers, nan=np.inf)  # infinite ones, as the largest
        yield "its value", _either(auc(numbers, positive[present])), len(values)
    if profile.kind in ("integer", "flag", "text", "ids") and not pa.types.is_nested(values.type):
        codes = values.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        means = fold_means(codes.astype(np.int64), positive[present], rows[present])
        yield _BY_TOKENS, auc(means, positive[present]), len(values)


def _either(value: float) -> float:
    """An order may be upside down."""
    return max(value, 1 - value)


def check_leakage(
    scan: Scan, target: str, found: list[Predictor], threshold: float, user: str | None = None
) -> Iterator[Finding]:
    """The predictors that are too good to be true.

    Args:
        user: column of users, who may differ so much that they alone tell the label.
    """
    for each in found:
        if each.auc < threshold:
            return
        values = {"target": target, "auc": each.auc, "by": each.by, "rows": each.rows}
        measured = "" if scan.is_whole and each.rows == scan.rows else f" ({each.rows:,} rows)"
        if each.by == "its place":
            message = f"rows are sorted by {target!r}: AUC {each.auc:.4g} by the row's number alone"
            advice = "shuffle before splitting off the last rows, and while training"
            yield Finding("warning", "sorted_rows", None, message, advice, values)
            continue
        if each.column == user and each.by == _BY_TOKENS:
            message = f"nearly every user has one value of {target!r}: AUC {each.auc:.4g}{measured}"
            advice = (
                "a model learns who they are, and nothing for new users: see whether the label is "
                "one of users, and split by user"
            )
            yield Finding("warning", "label_by_user", each.column, message, advice, values)
            continue
        message = f"{each.by} alone gives {target!r} away: AUC {each.auc:.4g}{measured}"
        advice = (
            "find out whether it is known before the label; what is recorded after it, or made "
            "from it, must go"
        )
        yield Finding("error", "label_leak", each.column, message, advice, values)


def table_of(found: list[Predictor], rows: int) -> list[list[str]]:
    """The best columns as rows of text."""
    lines = [["column", "by", "AUC", "rows"]]
    return lines + [
        [each.column, each.by, f"{each.auc:.4f}", share(each.rows, max(rows, 1))]
        for each in found[:8]
    ]
