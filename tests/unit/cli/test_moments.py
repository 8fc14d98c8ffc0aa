"""Columns of moments: the form they are read in, and the parts that they hold."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from nextrec.cli.moments import moment_of
from nextrec.data.profile import profile_columns

DAY, CLOCK = ("weekday", "month"), ("hour", "weekday")


@pytest.mark.parametrize(
    ("values", "parts", "options"),
    [
        ([1_700_000_000, 1_700_000_100], CLOCK, {}),
        ([1_700_000_000_000, 1_700_000_000_500], CLOCK, {"unit": "ms"}),
        ([1_700_000_000_000_000, 1_700_000_000_000_001], CLOCK, {"unit": "us"}),
        ([1_700_000_000_000_000_000, 1_700_000_000_000_000_001], CLOCK, {"unit": "ns"}),
        ([datetime.date(2024, 1, 31), None], DAY, {}),
        ([datetime.datetime(2024, 1, 31), datetime.datetime(2024, 2, 1)], DAY, {}),
        ([datetime.datetime(2024, 1, 31, 5), datetime.datetime(2024, 2, 1)], CLOCK, {}),
        (["2024-01-31", "2024-02-01"], DAY, {}),
        (["2024-01-31T05:00:00", ""], CLOCK, {}),
        (["31.01.2024", "01.02.2024"], DAY, {"format": "%d.%m.%Y"}),
        (["01/31/2024 05:10", "02/01/2024 06:00"], CLOCK, {"format": "%m/%d/%Y %H:%M"}),
    ],
)
def test_moments(values, parts, options):
    (profile,) = profile_columns(["at"], pa.table({"at": pa.array(values)}).to_batches())
    found = moment_of(profile)
    assert (found.parts, found.options) == (parts, options)


def test_two_forms_are_told():
    table = pa.table({"at": ["01/02/2024", "03/04/2024"]})
    (profile,) = profile_columns(["at"], table.to_batches())
    assert "%m/%d/%Y fits as well" in moment_of(profile).why


@pytest.mark.parametrize("values", [["CET", "UTC"], [datetime.time(5), datetime.time(6)]])
def test_no_moments(values):
    (profile,) = profile_columns(["at"], pa.table({"at": pa.array(values)}).to_batches())
    assert moment_of(profile) is None
