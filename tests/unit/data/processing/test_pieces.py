"""Pieces and parts are runs of units: every row once, in order."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextrec.data.files import Unit
from nextrec.data.processing.pieces import group_units, pieces
from nextrec.data.sources import open_source


def units_of(sizes: list[int]) -> list[Unit]:
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    return [Unit(0, n, size, firsts[n], n) for n, size in enumerate(sizes)]


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 60))
def test_runs_close_as_soon_as_they_are_full(sizes, rows):
    units = units_of(sizes)
    runs = list(group_units(units, rows))
    assert [unit for run in runs for unit in run] == units
    for run in runs[:-1]:
        counts = [unit.rows for unit in run]
        assert sum(counts) >= rows > sum(counts[:-1])


@pytest.mark.parametrize("rows", [1, 7, 10, 1000])
def test_pieces_of_files_are_their_rows(tmp_path, rows):
    for number in range(3):
        table = pa.table({"n": list(range(number * 20, number * 20 + 20)), "s": ["x"] * 20})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=6)
    source = open_source(tmp_path)
    found = list(pieces(source, ["n"], (), rows))
    values = [n for piece in found for n in piece.read()["n"].to_pylist()]
    assert values == list(range(60))
    assert [piece.first_row for piece in found] == [
        sum(piece.rows for piece in found[:n]) for n in range(len(found))
    ]


def test_types_may_vary_by_file(tmp_path):
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2.5])}), tmp_path / "b.parquet")
    (piece,) = pieces(open_source(tmp_path), ["n"], (), 10)
    assert piece.read()["n"].to_pylist() == [1, 2.5]
