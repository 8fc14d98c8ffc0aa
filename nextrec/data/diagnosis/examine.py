"""The examination, in the order it happens: choose the roles, read, judge, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nextrec.data.diagnosis.columns import check_columns
from nextrec.data.diagnosis.copies import check_duplicates, check_equal_columns, check_overlap
from nextrec.data.diagnosis.findings import Diagnosis, Finding, sorted_findings
from nextrec.data.diagnosis.labels import check_label, check_users, label_table
from nextrec.data.diagnosis.leakage import check_leakage, positives, predictors, table_of
from nextrec.data.diagnosis.plan import Roles, choose_roles, plan_of, readable_columns, scan_test
from nextrec.data.diagnosis.scan import Progress, Scan, Side, column_of, scan_source
from nextrec.data.diagnosis.splits import (
    check_drift,
    check_future,
    check_missing,
    check_schema,
    check_unknown,
)
from nextrec.data.profile import MAX_DISTINCT, is_category
from nextrec.data.sources import open_source
from nextrec.errors import ConfigError, invalid


def examine(
    data: Any,
    target: str | Sequence[str] | None = None,
    time: str | None = None,
    user: str | None = None,
    item: str | None = None,
    test: Any = None,
    *,
    leak_auc: float = 0.95,
    test_share: float = 0.2,
    progress: Progress | None = None,
) -> Diagnosis:
    """Look through data for what makes models wrong or results too good.

    The data is read once (twice when a split by time is to be judged), whatever its size: values
    are counted exactly up to a million different ones a column, and columns are compared with
    labels on a sample of 200,000 rows that does not change from call to call.

    Args:
        data: anything tabular, see :func:`~nextrec.data.sources.read_table_of`.
        target: label column or columns; by default one that is called like a label.
        time: column that says when; without ``test``, its latest rows stand for the test data.
        user, item: columns of user and item ids; by default those that are called so.
        test: data to test on.
        leak_auc: a single column that orders the labels this well is reported.
        test_share: share of the latest rows that stand for the test data.
        progress: called with the number of rows read so far.

    Raises:
        ConfigError: a column that is named is not there, or a number is out of range.
        DataError: the data can't be read.

    >>> clicks = {"user_id": [1, 1, 2, 2] * 20, "page": ["a"] * 80, "click": [0, 1, 0, 1] * 20}
    >>> [(each.kind, each.column) for each in examine(clicks).findings if each.kind == "constant"]
    [('constant', 'page')]
    """
    for name, value in (("leak_auc", leak_auc), ("test_share", test_share)):
        if not 0 < value < 1:
            raise ConfigError(invalid("examine", name, "a number in (0, 1)", value))
    source = open_source(data)
    names, unreadable = readable_columns(source)
    roles = choose_roles(names, target, time, user, item)
    total = sum(source.counts(names)) if names else 0
    tested = None if test is None else scan_test(test, names, roles, progress)
    plan, written = plan_of(source, names, roles, tested, total, test_share)
    scan = scan_source(source, plan, progress)
    tables: dict[str, list[list[str]]] = {}
    findings = [_unreadable(*each) for each in unreadable]
    findings += _own_findings(scan, roles, leak_auc, tables)
    findings += _split_findings(scan, tested, roles, written)
    tested_rows = tested.rows if tested is not None else scan.later.rows if plan.split else None
    known = {"time": roles.time, "user": roles.user, "item": roles.item}
    return Diagnosis(
        rows=scan.rows,
        test_rows=tested_rows,
        schema=tuple(scan.profiles.values()),
        targets=roles.targets,
        roles={role: name for role, name in known.items() if name is not None},
        findings=sorted_findings(findings),
        tables=tables,
        notes=tuple(_notes(scan, roles, written)),
    )


def _unreadable(name: str, reason: str) -> Finding:
    advice = "give the column one type; it was not looked at further"
    return Finding("error", "mixed_types", name, reason, advice)


def _notes(scan: Scan, roles: Roles, written: str) -> Iterator[str]:
    """What was counted on a part, and what was not looked at."""
    if not scan.is_whole and scan.sample is not None:
        rows = f"{scan.sample.num_rows:,} rows, chosen by a hash of their number"
        yield f"labels, pairs of columns and distributions are looked at on {rows}"
    if any(each.distinct is None and is_category(each) for each in scan.profiles.values()):
        yield f"tokens of columns with over {MAX_DISTINCT:,} different values are not counted"
    if scan.plan.split:
        later = f"the {scan.later.rows:,} rows with {roles.time} after {written}"
        yield f"rows to test on: {later}"
    if not roles.targets:
        yield "no column is called like a label and none was named: labels were not looked at"


def _own_findings(
    scan: Scan, roles: Roles, leak_auc: float, tables: dict[str, list[list[str]]]
) -> Iterator[Finding]:
    """What the train data shows by itself."""
    if not scan.rows:
        yield Finding("error", "no_rows", None, "there is no row", "look at the source")
        return
    yield from check_columns(scan, roles.targets, roles.time)
    yield from check_equal_columns(scan, roles.targets)
    yield from check_duplicates(scan)
    yield from _label_findings(scan, roles, leak_auc, tables)


def _split_findings(
    scan: Scan, tested: Scan | None, roles: Roles, written: str
) -> Iterator[Finding]:
    """What the two sides show side by side."""
    if tested is not None:
        yield from check_schema(scan.profiles, tested.profiles, roles.targets)
        yield from _between(scan, scan.earlier, tested.earlier, roles)
        later_than = scan.plan.later_than
        if roles.time is not None and later_than is not None:
            yield from check_future(scan, tested, roles.time, later_than, written)
    elif scan.later.rows and scan.earlier.rows:
        yield from _between(scan, scan.earlier, scan.later, roles)


def _label_findings(
    scan: Scan, roles: Roles, leak_auc: float, tables: dict[str, list[list[str]]]
) -> Iterator[Finding]:
    for target in roles.targets:
        found = list(check_label(scan, target))
        yield from found
        profile = scan.profiles[target]
        if profile.kind not in ("integer", "real", "flag", "text"):
            continue
        tables[f"Label {target}"] = label_table(profile)
        best = predictors(scan, target, roles.targets)
        yield from check_leakage(scan, target, best, leak_auc, roles.user)
        if best:
            assert scan.sample is not None
            meaning = positives(column_of(scan.sample, target))[2]
            title = f"How well one column alone orders {target} ({meaning})"
            tables[title] = table_of(best, scan.sample.num_rows)
    if roles.user is not None and roles.targets:
        yield from check_users(scan, roles.user, roles.targets[0])


def _between(scan: Scan, train: Side, test: Side, roles: Roles) -> Iterator[Finding]:
    """What differs between the two sides, and what is on both."""
    for name, profile in scan.profiles.items():
        if name not in test.counts or profile.kind == "mixed" or _changed(scan, test, name):
            continue
        named = name in roles.targets or name == roles.time
        if not named and (is_category(profile) or profile.kind == "ids"):
            yield from check_unknown(name, train.counts[name], test.counts[name])
        yield from check_missing(
            name, (train.missing[name], train.rows), (test.missing[name], test.rows)
        )
        if name != roles.time:
            yield from check_drift(profile, train, test)
    yield from check_overlap(train, test, roles.pair)


def _changed(scan: Scan, test: Side, name: str) -> bool:
    """Whether the column is of another kind on the test side, which is told elsewhere."""
    other = test.profiles.get(name)
    if other is None:
        return False
    kinds = {scan.profiles[name].kind, other.kind}
    return len(kinds) > 1 and kinds != {"integer", "real"}
