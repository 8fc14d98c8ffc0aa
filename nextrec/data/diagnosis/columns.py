"""Findings about columns one by one: missing, constant, id-like, rare, and odd numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.diagnosis.findings import Finding, Severity, share, short
from nextrec.data.diagnosis.scan import Scan, column_of
from nextrec.data.diagnosis.text import check_text
from nextrec.data.profile import MAX_DISTINCT, Profile, is_category, is_id, is_packed, is_time

FEW_ROWS = 20
"""Below this, every column may differ in every row by chance."""
LARGE_VOCABULARY = 100_000
EXACT_FLOAT32 = 2**24
EXACT_FLOAT64 = 2**53


def check_columns(scan: Scan, targets: tuple[str, ...], time: str | None) -> Iterator[Finding]:
    """Everything about columns one by one; labels have checks of their own."""
    for name, profile in scan.profiles.items():
        if profile.kind == "mixed":
            yield _mixed(profile)
            continue
        if name in targets or not profile.rows:
            continue
        yield from _missing(profile)
        yield from _constant(profile)
        if name == time:
            continue
        sampled = column_of(scan.sample, name)
        yield from _id_like(profile, sampled)
        yield from _tokens(profile)
        if profile.kind in ("integer", "real"):
            yield from _numbers(profile, sampled)
        if profile.kind == "text":
            yield from check_text(profile, sampled)
        if profile.kind == "ids" and any("string" in each for each in profile.types):
            message = f"text that holds lists of up to {profile.longest} integers"
            advice = "it is read as lists; stored as lists in Parquet it is read faster"
            yield Finding("info", "text_lists", name, message, advice)
        if profile.kind == "other":
            message = f"holds {', '.join(profile.types)}, which no feature takes"
            yield Finding("info", "unusable", name, message, "convert it, or leave it out")


def _mixed(profile: Profile) -> Finding:
    found = ", then ".join(f"{kind} (row {row})" for kind, row in profile.types.items())
    values = {"types": dict(profile.types)}
    message = f"its values change their type: {found}"
    advice = "write all files with one type; the column was not looked at further"
    return Finding("error", "mixed_types", profile.name, message, advice, values)


def _missing(profile: Profile) -> Iterator[Finding]:
    name, rows = profile.name, profile.rows
    if profile.infinite:
        message = f"{profile.infinite:,} rows are infinite ({share(profile.infinite, rows)})"
        advice = "find the division by zero that made them; training refuses them"
        values: dict[str, Any] = {"rows": profile.infinite}
        yield Finding("warning", "infinite", name, message, advice, values)
    if not profile.missing:
        return
    part = profile.missing / rows
    values = {"rows": profile.missing, "share": part}
    if part == 1:
        yield Finding("warning", "empty", name, "holds no value", "leave it out", values)
        return
    message = f"{profile.missing:,} of {rows:,} rows are missing ({share(profile.missing, rows)})"
    advice = "fill them by a rule that serving follows too"
    if part >= 0.5:
        advice += "; ask whether the column is worth it"
    yield Finding("warning" if part >= 0.5 else "info", "missing", name, message, advice, values)


def _constant(profile: Profile) -> Iterator[Finding]:
    name = profile.name
    present = profile.rows - profile.missing
    if profile.rows < 2 or not present:
        return
    one = profile.distinct == 1 and profile.kind not in ("ids", "vector")
    numeric = profile.kind in ("integer", "real", "flag")
    if one or (numeric and profile.lowest == profile.highest):
        value = profile.counts.largest(1)[0][0] if one else profile.lowest
        values: dict[str, Any] = {"value": value}
        if profile.missing:
            message = f"is {short(value)} wherever it is not missing"
            yield Finding(
                "info", "constant", name, message, "keep only whether it is there", values
            )
        else:
            message = f"is {short(value)} in every row"
            yield Finding("warning", "constant", name, message, "leave it out", values)
        return
    largest = profile.counts.largest(1)
    if profile.distinct and largest and profile.kind != "ids":
        value, count = largest[0]
        if count >= 0.999 * present and present >= 1000:
            message = f"is {short(value)} in {share(count, present)} of the rows"
            values = {"value": value, "share": count / present}
            yield Finding("info", "nearly_constant", name, message, "it can teach little", values)


def _id_like(profile: Profile, sampled: pa.Array) -> Iterator[Finding]:
    if profile.kind not in ("integer", "text") or is_time(profile):
        return
    present = profile.rows - profile.missing
    if present < FEW_ROWS:
        return
    if profile.distinct is None:
        seen = sampled.drop_null()
        if len(seen.unique()) < len(seen) or not len(seen):
            return
        message = f"another value in each of {len(seen):,} sampled rows: it names rows"
    elif profile.distinct == present:
        message = f"another value in each of {present:,} rows: it names rows"
    else:
        return
    consecutive = profile.highest - profile.lowest + 1 <= 1.1 * present
    names_rows = profile.kind == "text" or is_id(profile) or consecutive
    severity: Severity = "warning" if names_rows else "info"
    advice = "leave it out of the features: a model can only memorise it"
    values: dict[str, Any] = {"distinct": profile.distinct}
    yield Finding(severity, "id_like", profile.name, message, advice, values)


def _tokens(profile: Profile) -> Iterator[Finding]:
    name = profile.name
    present = profile.rows - profile.missing
    lists = profile.kind == "ids" and not any("string" in each for each in profile.types)
    if not present or not (is_category(profile) or lists):
        return
    if profile.distinct is None or profile.distinct > LARGE_VOCABULARY:
        many = f"over {MAX_DISTINCT:,}" if profile.distinct is None else f"{profile.distinct:,}"
        advice = "drop rare ones (min_frequency, max_size) or hash them; look at the memory below"
        values: dict[str, Any] = {"distinct": profile.distinct}
        yield Finding("info", "high_cardinality", name, f"{many} different tokens", advice, values)
    distinct, once = profile.distinct, profile.counts.once
    if distinct is None or distinct == profile.counts.total or distinct < FEW_ROWS:
        return
    part = once / profile.counts.total
    if part >= 0.01:
        where = "items of all lists" if lists else "rows"
        message = (
            f"{once:,} of {distinct:,} tokens are seen once ({share(once, distinct)} of the "
            f"tokens, {share(once, profile.counts.total)} of the {where})"
        )
        advice = "set min_frequency, so that they share the row of unknown tokens"
        values = {"once": once, "distinct": distinct, "share_of_rows": part}
        severity: Severity = "warning" if part >= 0.2 else "info"
        yield Finding(severity, "rare_tokens", name, message, advice, values)


def _numbers(profile: Profile, sampled: pa.Array) -> Iterator[Finding]:
    name = profile.name
    largest = max(abs(profile.lowest), abs(profile.highest))
    if not np.isfinite(largest):
        return
    whole_reals = profile.kind == "real" and profile.whole and profile.distinct != 1
    if whole_reals:
        message = "whole numbers that are stored as reals"
        message += ", as pandas does with gaps" if profile.missing else ""
        exact = EXACT_FLOAT32 if "float" in profile.types else EXACT_FLOAT64
        lost = largest > exact
        if lost:
            message += f"; above {exact:,} such a type has lost digits (up to {largest:,.0f} here)"
        advice = "store integers as integers (Int64 in pandas keeps gaps)"
        yield Finding("warning" if lost else "info", "whole_reals", name, message, advice)
    if is_category(profile) or is_id(profile) or is_time(profile):
        return
    if largest > EXACT_FLOAT32:
        message = f"numbers up to {largest:,.4g}, beyond the digits of float32"
        advice = "scale it, or take its logarithm; as ids, encode them"
        values: dict[str, Any] = {"largest": largest}
        yield Finding("warning", "huge_numbers", name, message, advice, values)
    yield from _tails(profile, sampled)


def _tails(profile: Profile, sampled: pa.Array) -> Iterator[Finding]:
    numbers = sampled.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < 100 or is_packed(profile):
        return
    low, first, middle, third, high = np.quantile(numbers, [0.01, 0.25, 0.5, 0.75, 0.99])
    spread = third - first or high - low
    reach = max(profile.highest - middle, middle - profile.lowest)
    if spread > 0 and reach > 30 * spread:
        far = profile.highest if profile.highest - middle >= reach else profile.lowest
        middle_half = f"{first:,.4g} to {third:,.4g}"
        message = f"a heavy tail: half of the values lie in {middle_half}, one is {far:,.4g}"
        advice = "a logarithm, a quantile transform or clipping keeps few rows from ruling"
        values = {"quartiles": [first, middle, third], "farthest": far}
        yield Finding("info", "heavy_tail", profile.name, message, advice, values)
