import datetime as dt
import itertools
import math
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.transforms.base import TRANSFORMS
from nextrec.data.transforms.datetimes import CALENDAR, CYCLES, PARTS, DatetimePart
from nextrec.data.transforms.moment_state import MomentState
from nextrec.data.transforms.moments import MomentReader
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import ConfigError, DataError, NotFittedError

UTC = dt.UTC
MOMENTS = [
    dt.datetime(2023, 12, 31, 23, 59, 59, 999_999),  # Sunday, ISO week 52
    dt.datetime(2024, 1, 1, 0, 0),  # Monday, week 1
    dt.datetime(2024, 2, 29, 13, 5, 6),  # leap day
    dt.datetime(2024, 12, 31, 12, 30),  # day 366
    dt.datetime(2021, 1, 3, 6, 7, 8),  # Sunday of ISO week 53
    dt.datetime(1969, 12, 31, 18, 0),  # before 1970
]


def part(name, **options):
    return DatetimePart("out", "time", name, **options)


def fitted(transform, *pieces):
    state = transform.state()
    for piece in pieces:
        state.update([piece], 0)
    transform.learn(state)
    return transform


def reference(name, moment, years=None):
    """The part of one moment, from the standard library."""
    day_of_year = moment.timetuple().tm_yday
    year_days = (
        366 if moment.year % 4 == 0 and (moment.year % 100 or moment.year % 400 == 0) else 365
    )
    midnight = dt.datetime.combine(moment.date(), dt.time())
    values = {
        "year": moment.year,
        "quarter": (moment.month + 2) // 3,
        "month": moment.month,
        "week": moment.isocalendar().week,
        "day": moment.day,
        "weekday": moment.weekday(),
        "is_weekend": int(moment.weekday() >= 5),
        "day_of_year": day_of_year,
        "hour": moment.hour,
        "minute": moment.minute,
    }
    if name in CYCLES:
        turn = {
            "hour": (moment.replace(tzinfo=None) - midnight) / dt.timedelta(days=1),
            "weekday": moment.weekday() / 7,
            "day_of_year": (day_of_year - 1) / year_days,
        }[name[:-4]]
        return getattr(math, name[-3:])(2 * math.pi * turn)
    return values[name]


@pytest.mark.parametrize("name", CALENDAR)
def test_calendar_parts_equal_the_standard_library(name):
    transform = part(name)
    output = transform.apply([pa.array(MOMENTS)], 0)
    lowest = CALENDAR[name].lowest
    assert output.values.type == transform.output_type == pa.int32()
    assert output.values.to_pylist() == [2 + reference(name, each) - lowest for each in MOMENTS]
    assert max(output.values.to_pylist()) < transform.vocab_size
    assert (output.missing, output.unknown, output.total) == (0, 0, len(MOMENTS))


@pytest.mark.parametrize("name", CYCLES)
def test_cycles_equal_the_standard_library(name):
    values = part(name).apply([pa.array(MOMENTS)], 0).values
    assert values.type == pa.float32()
    expected = [reference(name, each) for each in MOMENTS]
    np.testing.assert_allclose(values.to_numpy(), expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)), min_size=1))
def test_all_parts_of_any_moment(moments):
    column = pa.array(moments, pa.timestamp("us"))
    for name in (*CALENDAR, *CYCLES):
        values = part(name).apply([column], 0).values.to_pylist()
        low = CALENDAR[name].lowest - 2 if name in CALENDAR else 0
        assert values == pytest.approx([reference(name, each) - low for each in moments], abs=1e-6)


def test_every_form_of_a_moment_gives_the_same_part():
    moment = dt.datetime(2024, 2, 29, 13, 5, 6)
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    columns = [(pa.array([moment], pa.timestamp(unit)), {}) for unit in ("s", "ms", "us", "ns")] + [
        (pa.array([moment.replace(tzinfo=UTC)], pa.timestamp("ms", "UTC")), {}),
        (pa.array([seconds]), {}),
        (pa.array([seconds], pa.uint64()), {}),
        (pa.array([seconds], pa.int32()), {}),
        (pa.array([seconds + 0.25]), {}),
        (pa.array([seconds * 1000]), {"unit": "ms"}),
        (pa.array([seconds * 10**6]), {"unit": "us"}),
        (pa.array([seconds * 10**9]), {"unit": "ns"}),
        (pa.array([seconds * 1e9]), {"unit": "ns"}),
        (pa.array(["2024-02-29T13:05:06"]), {}),
        (pa.array(["2024-02-29 13:05:06.123456789"]), {}),
        (pa.array([" 2024-02-29 13:05:06.5 "], pa.large_string()), {}),
        (pa.array(["2024-02-29T14:05:06+01:00"]), {}),
        (pa.array(["2024-02-29T13:05:06Z"]), {}),
        (pa.array(["29.2.2024 1:05:06 PM"]), {"format": "%d.%m.%Y %I:%M:%S %p"}),
        (pa.array(["29 Feb 24, 13:05"]), {"format": "%d %b %y, %H:%M"}),
        (pa.array(["2024-02-29 23:05:06+1000"]), {"format": "%F %T%z"}),
        (pa.array(["24022913"]), {"format": "%y%m%d%H"}),
        (pa.array([24022913]), {"format": "%y%m%d%H"}),
        (pa.array([24022913.0, None]), {"format": "%y%m%d%H"}),
    ]
    for column, options in columns:
        for name, expected in (("hour", 15), ("day", 30), ("month", 3), ("weekday", 5)):
            values = part(name, **options).apply([column], 0).values
            assert values[0].as_py() == expected, (column, options, name)


def test_parts_of_a_microsecond_do_not_move_a_moment():
    just_before_1970 = pa.array([-1], pa.timestamp("ns"))
    assert part("hour").apply([just_before_1970], 0).values.to_pylist() == [25]
    assert part("hour", unit="ns").apply([pa.array([-1])], 0).values.to_pylist() == [25]
    age = fitted(part("age"), pa.array([0]))
    assert age.apply([just_before_1970], 0).values[0].as_py() > 0


def test_pandas_columns_of_times():
    series = pd.Series(pd.to_datetime(["2024-02-29 13:05", None])).dt.tz_localize("Asia/Tokyo")
    column = pa.Array.from_pandas(series)
    assert part("hour").apply([column], 0).values.to_pylist() == [15, 1]
    london = part("hour", timezone="Europe/London").apply([column], 0)
    assert london.values.to_pylist() == [6, 1]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Europe/Berlin"])
def test_a_time_zone_moves_moments_and_not_dates(zone):
    moments = [dt.datetime(2024, 3, day, hour) for day in (9, 10, 11, 31) for hour in range(24)]
    seconds = [int(each.replace(tzinfo=UTC).timestamp()) for each in moments]
    local = [each.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) for each in moments]
    for column in (pa.array(moments), pa.array(seconds), pa.array([str(m) for m in moments])):
        for name in ("hour", "day"):
            values = part(name, timezone=zone).apply([column], 0).values.to_pylist()
            lowest = CALENDAR[name].lowest
            assert values == [2 + reference(name, each) - lowest for each in local]
    dates = [dt.date(2024, 3, 1)]
    for column, options in (
        (pa.array(dates), {}),
        (pa.array(dates, pa.date64()), {}),
        (pa.array(["2024-03-01"]), {}),
        (pa.array(["1/3/2024"]), {"format": "%d/%m/%Y"}),
    ):
        values = part("day", timezone=zone, **options).apply([column], 0).values
        assert values.to_pylist() == [2], column


def test_years_are_learned_and_others_unknown():
    transform = fitted(part("year"), pa.array(["2019-05-01", None]), pa.array(["2022-01-01"]))
    assert transform.vocab_size == 6
    later = pa.array(["2018-01-01", "2019-01-01", "2022-12-31", "2023-01-01", None])
    output = transform.apply([later], 0)
    assert output.values.to_pylist() == [1, 2, 5, 1, 1]
    assert (output.missing, output.unknown, output.total) == (1, 2, 5)
    fitted(transform, pa.array(["2030-01-01"]))  # a second fit forgets the first
    assert transform.vocab_size == 3


def test_age_counts_days_to_the_latest_fitted_moment():
    column = pa.array(["2024-01-11", "2024-01-01", None])
    transform = fitted(part("age"), column[:1], column[1:])
    later = pa.array(["2024-01-11", "2024-01-10T12:00:00", "2024-01-12", None])
    assert transform.apply([later], 0).values.to_pylist() == [0.0, 0.5, -1.0, 5.0]
    logs = fitted(part("log_age"), column).apply([later], 0).values.to_numpy()
    np.testing.assert_allclose(logs, [0, np.log(1.5), -np.log(2), np.log(6)], rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.none() | st.integers(-(2**40), 2**37), max_size=30),
    st.lists(st.integers(0, 30), max_size=4),
    st.randoms(),
)
def test_states_merge_in_any_cutting_and_order(seconds, cuts, random):
    def state_of(values):
        state = MomentState(MomentReader("time", timezone="Asia/Tokyo"))
        state.update([pa.array(values, pa.int64())], 0)
        return state

    seconds = [None if each is None else max(each, -62_000_000_000) for each in seconds]
    whole = state_of(seconds)
    shuffled = random.sample(seconds, len(seconds))
    ends = sorted(min(each, len(seconds)) for each in cuts)
    bounds = [0, *ends, len(seconds)]
    pieces = [state_of(shuffled[a:b]) for a, b in itertools.pairwise(bounds)]
    merged = MomentState(MomentReader("time", timezone="Asia/Tokyo"))
    for piece in pieces:
        merged.merge(MomentState.load(from_bytes(to_bytes(piece.dump()))))
    assert merged.dump() == whole.dump()
    present = [each for each in seconds if each is not None]
    if present:
        mean = sum(max(present) - each for each in present) / len(present) / 86_400
        assert merged.mean_age() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("name", PARTS)
def test_missing_moments_follow_the_policy(name):
    column = pa.array([dt.datetime(2024, 1, 1), None])
    filled = fitted(part(name), column).apply([column], 7)
    assert filled.missing == 1
    assert not filled.values.null_count
    if filled.values.type == pa.int32():
        assert filled.values[1].as_py() == 1
    elif name in CYCLES:
        assert filled.values[1].as_py() == 0.0
    with pytest.raises(DataError, match=r"row 8.*got None"):
        fitted(part(name, missing="error"), column).apply([column], 7)


@pytest.mark.parametrize("blank", [None, "", "  ", "NULL", "nan"])
def test_blank_text_words_for_missing_and_nan_are_missing(blank):
    assert part("hour").apply([pa.array(["2024-01-01", blank])], 0).missing == 1
    assert part("hour").apply([pa.array([0.0, float("nan")])], 0).values.to_pylist() == [2, 1]
    assert part("hour").apply([pa.nulls(2)], 0).values.to_pylist() == [1, 1]


@pytest.mark.parametrize(
    ("values", "options", "shown"),
    [
        (["2024-01-01", "yesterday"], {}, "'yesterday'"),
        (["2024-01-01", "2024-02-30"], {}, "'2024-02-30'"),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:60:00Z"], {}, "'2024-01-01T00:60:00Z'"),
        (["2024-01-01T00:00:00Z", "1706745600"], {}, "'1706745600'"),
        (["01/02/2024", "02/30/2024"], {"format": "%m/%d/%Y"}, "'02/30/2024'"),
        (["01/02/24", "04/31/24"], {"format": "%D"}, "'04/31/24'"),
        (["01/02/2024", "2/29/2023"], {"format": "%m/%d/%Y"}, "'2/29/2023'"),
        (["1 Feb 2024 +0000", "30 Feb 2024 +0900"], {"format": "%d %b %Y %z"}, "30 Feb"),
        (["01/02/2024", "01/02/2024 5"], {"format": "%m/%d/%Y"}, "'01/02/2024 5'"),
        ([14102100, 14133100], {"format": "%y%m%d%H"}, "'14133100'"),
        ([14102100.0, 14102100.5], {"format": "%y%m%d%H"}, "14102100.5"),
        ([1_700_000_000, 1_700_000_000_000], {}, "1700000000000"),
        ([0.0, math.inf], {}, "inf"),
        ([0.0, -1e12], {}, "-1000000000000.0"),
        ([0, 2**64 - 1], {"unit": "ns"}, "18446744073709551615"),
    ],
)
def test_what_is_no_moment_is_refused_by_row_and_value(values, options, shown):
    kind = pa.uint64() if 2**64 - 1 in values else None
    name = "hour" if "%H" in options.get("format", "") else "day"
    with pytest.raises(DataError) as caught:
        part(name, **options).apply([pa.array(values, kind)], 100)
    assert "datetime_part of column 'time', row 101" in str(caught.value)
    assert shown in str(caught.value)


def test_days_at_the_start_of_a_month_are_no_rolled_over_days():
    days = pd.date_range("2023-01-01", "2024-12-31")
    text = pa.array([f"{each.day}. {each.month_name()} {each.year}" for each in days])
    values = part("day", format="%d. %B %Y").apply([text], 0).values.to_pylist()
    assert values == [1 + each.day for each in days]
    zoned = pa.array([f"{each:%Y%m%d} 23:30 -0500" for each in days])
    values = part("day", format="%Y%m%d %H:%M %z").apply([zoned], 0).values.to_pylist()
    assert values == [1 + (each + pd.Timedelta(days=1)).day for each in days]


def test_a_form_without_a_day_reads_the_first():
    transform = part("month", format="%Y-%m")
    assert transform.apply([pa.array(["2024-03", "2024-12"])], 0).values.to_pylist() == [4, 13]
    hours = part("hour", format="%H:%M")
    assert hours.apply([pa.array(["00:00", "23:59"])], 0).values.to_pylist() == [2, 25]


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([[1]]), pa.array([b"x"])])
def test_other_columns_are_refused(column):
    with pytest.raises(DataError, match="column 'time'"):
        part("hour").apply([column], 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"part": "houre"}, "Did you mean 'hour"),
        ({"part": "hour", "unit": "m"}, "`unit` must be one of"),
        ({"part": "hour", "missing": "drop"}, "`missing` must be one of"),
        ({"part": "hour", "timezone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'"),
        ({"part": "hour", "format": "%Y %Q"}, "'%Q'"),
        ({"part": "hour", "format": "%H:%M:%S.%f"}, "'%f'"),
        ({"part": "hour", "format": "iso"}, "directives of strptime"),
        ({"part": "hour", "format": "%Y-%m-%d"}, "holds the hour"),
        ({"part": "weekday", "format": "%Y-%m"}, "holds the day"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match="datetime_part of column 'time'") as caught:
        DatetimePart("out", "time", **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", PARTS)
def test_settings_and_learned_rebuild_the_transform(name):
    column = pa.array([1_700_000_000_000, None, 1_600_000_000_000])
    transform = fitted(part(name, unit="ms", timezone="Asia/Tokyo"), column)
    again = TRANSFORMS["datetime_part"](**transform.settings())
    again.restore(from_bytes(to_bytes(transform.learned())))
    assert again.apply([column], 0) == transform.apply([column], 0)
    feature = again.feature({"embedding_dim": 4} if again.role == "sparse" else {})
    assert feature.name == "out"
    assert getattr(feature, "vocab_size", None) == again.vocab_size
    assert again.describe() == f"{name} in Asia/Tokyo"


@pytest.mark.parametrize("name", ["year", "age", "log_age"])
def test_parts_that_learn_need_a_moment(name):
    with pytest.raises(NotFittedError, match="column 'time'"):
        part(name).apply([pa.array([0])], 0)
    with pytest.raises(DataError, match="at least one moment"):
        fitted(part(name), pa.nulls(3))
