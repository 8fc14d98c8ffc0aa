"""Findings about what is there twice: columns, rows, and rows of both sides of a split."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import xxhash

from nextrec.data.diagnosis.findings import Finding, Severity, share
from nextrec.data.diagnosis.hashing import ContentSample
from nextrec.data.diagnosis.scan import Scan, Side, column_of
from nextrec.data.profile import Profile


def check_equal_columns(scan: Scan, targets: Collection[str] = ()) -> Iterator[Finding]:
    """Columns of equal content, and columns whose values go with each other one to one.

    Told of the later column; of a label and its copy, always of the copy.
    """
    informative = [
        profile
        for profile in sorted(scan.profiles.values(), key=lambda each: each.name not in targets)
        if profile.kind not in ("mixed", "empty") and profile.missing < profile.rows
    ]
    first_of: dict[int, str] = {}
    copies = set()
    for profile in informative:
        twin = first_of.setdefault(scan.digests[profile.name], profile.name)
        is_constant = profile.distinct == 1 or profile.lowest == profile.highest
        if twin != profile.name and scan.rows > 1 and not (is_constant and not profile.missing):
            copies.add(profile.name)
            message = f"the same as {twin!r} in every row"
            values = {"of": twin}
            advice = "leave one of the two out"
            yield Finding("warning", "duplicate_column", profile.name, message, advice, values)
    yield from _renamed([each for each in informative if each.name not in copies], scan)


def _renamed(profiles: list[Profile], scan: Scan) -> Iterator[Finding]:
    """Columns with one code a row that number their values alike, by order of appearance."""
    first_of: dict[int, str] = {}
    for profile in profiles:
        if profile.kind not in ("text", "integer", "flag"):
            continue
        codes = column_of(scan.sample, profile.name).dictionary_encode("encode").indices
        codes = np.ascontiguousarray(codes.to_numpy(zero_copy_only=False))
        different = int(codes.max(initial=-1)) + 1
        if different < 3 or different > len(codes) // 2:
            continue
        twin = first_of.setdefault(xxhash.xxh3_64_intdigest(codes.data), profile.name)
        if twin != profile.name:
            message = f"each of its values goes with one value of {twin!r} and back"
            message += "" if scan.is_whole else ", in the sample"
            advice = "the two say the same: one is enough"
            yield Finding("info", "renamed_column", profile.name, message, advice, {"of": twin})


def check_duplicates(scan: Scan) -> Iterator[Finding]:
    """Rows that occur several times in the data."""
    level = max(scan.earlier.contents.level, scan.later.contents.level)
    parts = [side.contents.rows(level) for side in (scan.earlier, scan.later)]
    hashes, numbers = (np.concatenate(each) for each in zip(*parts, strict=True))
    repeated, pair = _repeated(hashes, numbers)
    if not repeated:
        return
    part = repeated / len(hashes)
    message = f"{share(repeated, len(hashes))} of the rows repeat an earlier one"
    message += f", as row {pair[1]} repeats row {pair[0]}"
    message += f" (estimated on {len(hashes):,} rows)" if level else ""
    advice = "drop them, unless equal events did happen: look for a join that multiplied rows"
    values: dict[str, Any] = {"share": part, "example": pair}
    severity: Severity = "warning" if part >= 0.01 and len(scan.profiles) > 1 else "info"
    yield Finding(severity, "duplicate_rows", None, message, advice, values)


def _repeated(hashes: np.ndarray, numbers: np.ndarray) -> tuple[int, tuple[int, int]]:
    """How many rows repeat another one, and the first such pair of row numbers."""
    order = np.lexsort((numbers, hashes))
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    if not len(same):
        return 0, (-1, -1)
    second = int(same[numbers[order][same + 1].argmin()])
    return len(same), (int(numbers[order][second]), int(numbers[order][second + 1]))


def check_overlap(train: Side, test: Side, pair: tuple[str, str] | None) -> Iterator[Finding]:
    """Rows, and pairs of user and item, that are on both sides."""
    part, place = _overlap(train.shared, test.shared)
    if part:
        within, _ = _repeated(*train.shared.rows())
        usual = within / max(len(train.shared.rows()[0]), 1)
        message = f"{share(part, 1)} of the test rows are rows of train too, as test row {place}"
        advice = "take them out of one side: they are tested on what was learned by heart"
        if part < 2 * usual:
            message += f"; no more than rows repeat within train ({share(usual, 1)})"
        severity: Severity = "warning" if part >= 0.01 and part >= 2 * usual else "info"
        yield Finding(severity, "test_rows_in_train", None, message, advice, {"share": part})
    if pair is not None:
        part, place = _overlap(train.pairs, test.pairs)
        if part >= 0.01:
            names = " and ".join(map(repr, pair))
            message = f"{share(part, 1)} of the test rows have a pair of {names} that train has"
            advice = "fine if pairs repeat by nature; otherwise leave them out of the test"
            yield Finding("info", "test_pairs_in_train", None, message, advice, {"share": part})


def _overlap(train: ContentSample, test: ContentSample) -> tuple[float, int]:
    """Share of the test contents that train has, and the number of the first such row."""
    level = max(train.level, test.level)
    known, (hashes, numbers) = train.rows(level)[0], test.rows(level)
    shared = np.isin(hashes, known)
    if not shared.any():
        return 0.0, -1
    return float(shared.mean()), int(numbers[shared].min())
