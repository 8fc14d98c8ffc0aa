"""Raw files of real data sets, end to end: processor, DeepFM, and logistic regression beside it.

The files lie beside the project on some machines only. What is asked is little: on the same split
a DeepFM that is fed by the processor must not fall behind scikit-learn's logistic regression over
one-hot columns, or something in the data path is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nextrec import DataProcessor, DeepFM, SequenceFeature
from nextrec.data.sampling import build_histories, split
from nextrec.data.sources import read_table_of

SHARED = Path(__file__).parents[2] / "../shared/data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name}, which lies beside the project on some machines")
    return path


def logistic_regression(
    train: pd.DataFrame, test: pd.DataFrame, categories: list[str], numbers: list[str]
) -> float:
    """AUC of logistic regression over one-hot categories and standardised numbers."""
    one_hot = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer((one_hot, categories), (scaled, numbers))
    model = make_pipeline(columns, LogisticRegression(max_iter=1000, C=0.1))

    def as_text(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{name: frame[name].astype(str) for name in categories})

    model.fit(as_text(train), train["label"])
    return float(roc_auc_score(test["label"], model.predict_proba(as_text(test))[:, 1]))


def deepfm(
    processor: DataProcessor, train: Any, test: Any, width: int = 8, **options: Any
) -> float:
    """AUC of a DeepFM on raw tables, mean prediction of three seeds."""
    processor.fit(train)
    features = processor.features(embedding_dim=width)
    fit = {"epochs": 2, "batch_size": 256, "report": False, "checkpoint": False, **options}
    predictions = []
    for seed in range(3):
        model = DeepFM(
            **features.as_arguments(),
            target="label",
            mlp_params={"dims": [64, 32], "dropout": 0.2},
            optimizer_params={"lr": 2e-3},
            seed=seed,
        )
        model.fit(train, processor=processor, seed=seed, verbosity=0, **fit)
        predictions.append(model.predict(test)["label_pred"].to_numpy())
    labels = read_table_of(test, ["label"])["label"].to_numpy()
    return float(roc_auc_score(labels, np.mean(predictions, axis=0)))


@pytest.fixture(autouse=True)
def _sessions(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path))


def test_criteo() -> None:
    """13 counts with gaps, 26 hashed categories with gaps, tab separated, no header."""
    folder = shared("criteo-8k")
    numbers = [f"I{n}" for n in range(1, 14)]
    categories = [f"C{n}" for n in range(1, 27)]
    names = ["label", *numbers, *categories]
    train, valid, test = (
        pd.read_csv(folder / f"{part}.csv", sep=None, engine="python", header=None, names=names)
        for part in ("train", "dev", "test")
    )
    test = pd.concat([valid, test], ignore_index=True)
    processor = DataProcessor()
    for name in numbers:
        processor.add_numeric_feature(name, scaler="log", fill_na=0)
    for name in categories:
        processor.add_sparse_feature(name, min_frequency=3)
    processor.add_target("label")
    ours = deepfm(processor, train, test)
    theirs = logistic_regression(train, test, categories, numbers)
    assert ours > theirs, (ours, theirs)


def test_avazu() -> None:
    """Text ids, and an hour written as YYMMDDHH."""
    folder = shared("avazu-9k")
    train = pd.read_csv(folder / "train.csv", dtype={"id": str})
    rest = [
        pd.read_csv(folder / f"{part}.csv", header=None, names=list(train.columns))
        for part in ("dev", "test")
    ]
    test = pd.concat(rest, ignore_index=True)
    train, test = (each.rename(columns={"click": "label"}) for each in (train, test))
    categories = [each for each in train.columns if each not in ("id", "label", "hour")]
    processor = DataProcessor()
    for name in categories:
        processor.add_sparse_feature(name, min_frequency=2)
    processor.add_target("label")
    ours = deepfm(processor, train, test)
    theirs = logistic_regression(train, test, categories, [])
    assert ours > theirs, (ours, theirs)


def test_movielens_100k() -> None:
    """The tutorial file of 0.3.1, users and films as categories."""
    path = shared("nextrec/movielens_100k.csv.gz")
    frame = pd.read_csv(path)
    kept, held = split(len(frame), 0.2, seed=0)
    train, test = frame.iloc[kept], frame.iloc[held]
    categories = [
        name
        for name in frame.columns
        if name != "label" and (frame[name].nunique() < 2000) and name != "rating"
    ]
    processor = DataProcessor()
    for name in categories:
        processor.add_sparse_feature(name, min_frequency=2)
    processor.add_target("label")
    ours = deepfm(processor, train, test)
    theirs = logistic_regression(train, test, categories, [])
    assert ours > theirs, (ours, theirs)


def test_histories_of_movielens_1m() -> None:
    """What a user liked before, as a history that shares the films' table."""
    ratings = pd.read_parquet(shared("ml-1m/ratings.parquet"))
    ratings = ratings[ratings["user_id"] % 6 == 0].reset_index(drop=True)
    ratings["liked"] = ratings["rating"] >= 4
    ratings["label"] = ratings["liked"].astype(int)
    events = build_histories(
        ratings, user="user_id", item="item_id", time="chrono_pos", max_len=20, only="liked"
    )
    kept, held = split(
        len(events), 0.2, "user_time", values=events["chrono_pos"], groups=events["user_id"]
    )
    train, test = events.iloc[kept], events.iloc[held]
    processor = DataProcessor()
    processor.add_sparse_feature("user_id")
    processor.add_sparse_feature("item_id", vocabulary="item", min_frequency=2)
    history = next(name for name in events.columns if name.startswith("hist"))
    processor.add_sequence_feature(history, vocabulary="item", min_frequency=2, max_len=20)
    processor.add_target("label")
    ours = deepfm(processor, train, test, epochs=1)
    theirs = logistic_regression(train, test, ["user_id", "item_id"], [])
    assert isinstance(processor.features()[history], SequenceFeature)
    assert ours > theirs, (ours, theirs)


def test_census_income() -> None:
    """Headerless, with an instance weight and question marks for unknown."""
    from nextrec.data.datasets import load_census_income

    loaded = load_census_income(shared("census-income"))
    schema = loaded.schema_of("test")
    frame = loaded.frame("test")
    frame["label"] = frame["income"].astype(int)
    numbers, categories = list(schema.numeric), list(schema.categorical)
    kept, held = split(len(frame), 0.3, seed=0)
    train, test = frame.iloc[kept], frame.iloc[held]
    processor = DataProcessor()
    for name in numbers:
        processor.add_numeric_feature(name, scaler="quantile")
        processor.add_bucket_feature(f"{name}_bucket", "equal_frequency", 20, column=name)
    for name in categories:
        processor.add_sparse_feature(name, min_frequency=2)
    processor.add_target("label")
    ours = deepfm(processor, train, test, epochs=3, batch_size=1024)
    theirs = logistic_regression(train, test, categories, numbers)
    assert ours > theirs, (ours, theirs)
