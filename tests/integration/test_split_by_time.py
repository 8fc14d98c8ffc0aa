"""Holding out the latest rows of a file whose times are text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nextrec
from nextrec.data.preprocessor import DataProcessor
from nextrec.errors import DataError
from nextrec.features import SparseFeature
from nextrec.models.fit_options import FitOptions
from nextrec.models.run_data import load_run_data

ROWS = 120


def frame(at: Any) -> pd.DataFrame:
    random = np.random.default_rng(0)
    order = random.permutation(ROWS)
    columns = {"row": np.arange(ROWS), "label": random.integers(0, 2, ROWS), "at": at}
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def held_out(
    path: Path, processor: DataProcessor | None, stream: bool, feature: str = "row"
) -> list[int]:
    """Ids of the rows that a run validates on."""
    model = nextrec.DeepFM([], [SparseFeature(feature, ROWS + 2, embedding_dim=4)], target="label")
    options = FitOptions(
        epochs=1,
        batch_size=32,
        validation_split=0.25,
        split_by="time",
        split_column="at",
        processor=processor,
        stream=stream,
    )
    data = load_run_data(model, str(path), None, options, seed=1)
    assert data.valid is not None
    return sorted(each for batch in data.valid for each in batch.features[feature].tolist())


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.5Z"])
def test_iso_text(tmp_path: Path, suffix: str, stream: bool, form: str) -> None:
    path = tmp_path / f"x{suffix}"
    times = pd.Series(pd.date_range("2023-11-01", periods=ROWS, freq="25h"))
    frame(times.dt.strftime(form)).to_csv(path, index=False)
    assert held_out(path, None, stream) == list(range(90, ROWS))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("numbers", [False, True])
def test_a_column_that_the_processor_reads_as_text(
    tmp_path: Path, suffix: str, stream: bool, numbers: bool
) -> None:
    path = tmp_path / f"x{suffix}"
    times = pd.Series(pd.date_range("2023-11-01", periods=ROWS, freq="25h"))
    at = np.arange(ROWS) * 25 + 7 if numbers else times.dt.strftime("%Y-%m-%d %H:%M")
    table = frame(at)
    table.to_csv(path, index=False)
    processor = DataProcessor()
    processor.add_sparse_feature("at")
    processor.fit(table)
    assert "at" in processor.text_columns
    ids = held_out(path, processor, stream, "at")
    assert ids == list(range(92, ROWS + 2))  # tokens from 2, in the order of these times


@pytest.mark.parametrize("stream", [False, True])
def test_other_text_is_refused(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "x.csv"
    times = pd.Series(pd.date_range("2023-11-01", periods=ROWS, freq="25h"))
    frame(times.dt.strftime("%d.%m.%Y")).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"row 0: `\w+` must be ISO 8601 text.*parse"):
        held_out(path, None, stream)
