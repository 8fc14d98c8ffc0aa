"""Scripts as a user of 0.3.1 has them, on the data of its tutorials: they run as they are.

Old import paths, keywords and dictionaries are used throughout, each script in a function. The
files lie beside the project on some machines only; elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import math
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nextrec
from nextrec.errors import FeatureError

ROWS = 4000
REGULARISED = {
    "embedding_l1_reg": 1e-6,
    "embedding_l2_reg": 1e-5,
    "dense_l1_reg": 1e-5,
    "dense_l2_reg": 1e-4,
}
FOCAL = {"loss": "focal", "loss_params": {"gamma": 2.0, "alpha": 0.25}}
ADAM = {"optimizer": "adam", "optimizer_params": {"lr": 1e-3, "weight_decay": 1e-5}}


def read(shared_data: Path, name: str) -> pd.DataFrame:
    path = shared_data / "nextrec" / f"{name}.csv.gz"
    if not path.is_file():
        pytest.skip(f"needs {path.name} of 0.3.1's tutorials")
    frame = pd.read_csv(path, nrows=ROWS)
    for column in frame.columns:
        if "sequence" in column:
            frame[column] = frame[column].apply(literal_eval)
    return frame


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    mixed = frame.sample(frac=1, random_state=42)
    cut = int(len(mixed) * 0.8)
    return mixed[:cut], mixed[cut:]


def vocabulary(frame: pd.DataFrame, column: str) -> int:
    values = frame[column]
    return int((values.apply(max) if "sequence" in column else values).max()) + 1


def assert_sound(values: dict[str, float], *keys: str) -> None:
    assert list(values) == list(keys)
    assert all(math.isfinite(value) for value in values.values())


def assert_session(model: Any, logs: Path, name: str) -> None:
    """The files that 0.3.1 wrote are where they were."""
    folder = Path(model.session_path)
    assert folder == logs / name
    written = {path.name for path in folder.iterdir()}
    best = f"{model.model_name}_best.model"
    assert {f"{name}.log", best, f"{model.model_name}_checkpoint.model"} <= written
    assert "metrics.jsonl" in written
    assert json.loads((folder / "features_config.json").read_text())["class"] == model.model_name


def assert_reloads(model: Any, data: Any, fresh: Any) -> None:
    """By a path, from the session's folder, and into a model that was built again."""
    expected = model.predict(data, batch_size=512, return_dataframe=False)
    path = model.save_model()
    again = type(model).from_checkpoint(path, device="cpu")
    assert np.array_equal(again.predict(data, batch_size=512, return_dataframe=False), expected)
    best = type(model).from_checkpoint(model.session_path)
    assert np.array_equal(best.predict(data, batch_size=512, return_dataframe=False), expected)
    fresh.load_model(path, map_location="cpu")
    assert np.array_equal(fresh.predict(data, batch_size=512, return_dataframe=False), expected)
    assert np.array_equal(
        nextrec.load(path).predict(data, batch_size=512, return_dataframe=False), expected
    )


def test_deepfm_on_movielens(shared_data: Path, tmp_path: Path) -> None:
    from nextrec.basic.features import DenseFeature, SparseFeature
    from nextrec.basic.metrics import compute_gauc

    from nextrec.models.ranking.deepfm import DeepFM

    frame = read(shared_data, "movielens_100k")
    train, test = split(frame)
    genres = ["Action", "Comedy", "Drama", "Romance", "Sci-Fi", "Thriller"]

    def build(session_id: str | None = None) -> Any:
        sparse = ["user_id", "item_id", "gender", "occupation", *genres]
        return DeepFM(
            dense_features=[DenseFeature(name="age", input_dim=1)],
            sparse_features=[
                SparseFeature(
                    name=name,
                    embedding_name=name,
                    vocab_size=vocabulary(frame, name),
                    embedding_dim=16,
                )
                for name in sparse
            ],
            sequence_features=[],
            mlp_params={"dims": [64, 32], "activation": "relu", "dropout": 0.2},
            target="label",
            device="cpu",
            session_id=session_id,
            id_columns=["user_id", "item_id"],
            **REGULARISED,
        )

    model = build("movielens_deepfm")
    model.compile(**ADAM, **FOCAL)
    metrics = ["auc", "gauc", "logloss"]
    returned = model.fit(
        train_data=train,
        valid_data=test,
        metrics=metrics,
        epochs=1,
        batch_size=512,
        shuffle=True,
        user_id_column="user_id",
    )
    assert returned is model
    values = model.evaluate(test, metrics=metrics, batch_size=512, user_id_column="user_id")
    assert_sound(values, *metrics)
    scores = model.predict(test, batch_size=512, save_path="scores", save_format="csv")
    assert list(scores.columns) == ["user_id", "item_id", "label_pred"]
    assert scores["user_id"].tolist() == test["user_id"].tolist()
    by_hand = compute_gauc(test["label"].to_numpy(), scores["label_pred"], test["user_id"])
    assert values["gauc"] == pytest.approx(by_hand, rel=1e-6)
    written = Path(model.session.predictions_dir) / "scores.csv"
    assert len(pd.read_csv(written)) == len(test)
    assert_session(model, tmp_path / "nextrec_logs", "movielens_deepfm")
    assert_reloads(model, test, build())


def din_features(frame: pd.DataFrame, width: int) -> dict[str, Any]:
    """The columns of the README; ``width`` is that of the second history."""
    from nextrec.basic.features import DenseFeature, SequenceFeature, SparseFeature

    items = max(vocabulary(frame, "item_id"), vocabulary(frame, "sequence_0"))
    shared = max(vocabulary(frame, "sparse_0"), vocabulary(frame, "sequence_1"))
    tables = {"user_id": "user_emb", "item_id": "item_emb", "sparse_0": "sparse_0_emb"}
    sizes = {"item_id": items, "sparse_0": shared}
    histories = {
        "sequence_0": ("item_emb", items, 32),
        "sequence_1": ("sparse_0_emb", shared, width),
    }
    return {
        "dense_features": [DenseFeature(name=f"dense_{i}", input_dim=1) for i in range(8)],
        "sparse_features": [
            SparseFeature(
                name=name,
                embedding_name=tables.get(name, f"{name}_emb"),
                vocab_size=sizes.get(name, vocabulary(frame, name)),
                embedding_dim=32,
            )
            for name in ["user_id", "item_id", *(f"sparse_{i}" for i in range(10))]
        ],
        "sequence_features": [
            SequenceFeature(
                name=name,
                vocab_size=size,
                embedding_dim=dim,
                padding_idx=0,
                embedding_name=table,
            )
            for name, (table, size, dim) in histories.items()
        ],
    }


def test_din_on_the_ranking_data(shared_data: Path, tmp_path: Path) -> None:
    from nextrec.models.ranking.din import DIN

    frame = read(shared_data, "ranking_task")

    def build(session_id: str | None = None) -> Any:
        return DIN(
            **din_features(frame, 32),
            mlp_params={"dims": [256, 128, 64], "activation": "relu", "dropout": 0.3},
            attention_hidden_units=[80, 40],
            attention_activation="sigmoid",
            attention_use_softmax=True,
            target=["label"],
            device="cpu",
            session_id=session_id,
            **REGULARISED,
        )

    model = build("din_tutorial")
    model.compile(**ADAM, **FOCAL)
    metrics = ["auc", "gauc", "logloss"]
    model.fit(
        train_data=frame,
        metrics=metrics,
        epochs=1,
        batch_size=512,
        shuffle=True,
        user_id_column="user_id",
    )
    assert {f"train_{name}" for name in metrics} <= set(model.history[0])
    values = model.evaluate(frame, metrics=metrics, batch_size=512, user_id_column="user_id")
    assert_sound(values, *metrics)
    assert list(model.predict(frame[:100])) == ["label_pred"]
    assert_session(model, tmp_path / "nextrec_logs", "din_tutorial")
    assert_reloads(model, frame[:700], build())


def test_a_shared_table_of_two_widths_is_refused(shared_data: Path) -> None:
    """The README of 0.3.1 says 32 and 16: it silently used the first."""
    from nextrec.models.ranking.din import DIN

    frame = read(shared_data, "ranking_task")
    told = r"'sparse_0_emb' is shared by 'sparse_0' with embedding_dim=32 and 'sequence_1' with"
    with pytest.raises(FeatureError, match=told):
        DIN(**din_features(frame, 16))


def multitask_features(frame: pd.DataFrame) -> tuple[list[Any], list[Any], list[Any]]:
    from nextrec.basic.features import DenseFeature, SequenceFeature, SparseFeature

    sparse = ["user_id", "item_id", *(f"sparse_{i}" for i in range(12))]
    return (
        [DenseFeature(name=f"dense_{i}") for i in range(8)],
        [SparseFeature(name, vocabulary(frame, name), embedding_dim=8) for name in sparse],
        [
            SequenceFeature(
                "sequence_0", vocabulary(frame, "sequence_0"), 15, embedding_dim=8, padding_idx=0
            )
        ],
    )


def build_multitask(frame: pd.DataFrame, kind: str, session_id: str | None = None) -> Any:
    dense, sparse, sequence = multitask_features(frame)
    common = {
        "target": ["click", "conversion"],
        "task": ["binary", "binary"],
        "device": "cpu",
        "loss": ["bce", "bce"],
        "session_id": session_id,
        "optimizer_params": {"lr": 1e-3},
        **REGULARISED,
    }
    towers = [{"dims": [16], "activation": "relu", "dropout": 0.1}] * 2
    if kind == "share_bottom":
        from nextrec.models.multi_task.share_bottom import ShareBottom

        bottom = {"dims": [64, 32], "dropout": 0.2, "activation": "relu"}
        return ShareBottom(
            dense, sparse, sequence, bottom_params=bottom, tower_params_list=towers, **common
        )
    from nextrec.models.multi_task.poso import POSO

    return POSO(
        main_dense_features=dense,
        main_sparse_features=sparse[:-2],
        main_sequence_features=sequence,
        pc_dense_features=[],
        pc_sparse_features=sparse[-2:],
        pc_sequence_features=[],
        tower_params_list=towers,
        architecture=kind.removeprefix("poso_"),
        expert_hidden_dims=[32, 16],
        num_experts=3,
        **common,
    )


@pytest.mark.parametrize("kind", ["share_bottom", "poso_mlp", "poso_mmoe"])
def test_multitask(kind: str, shared_data: Path, tmp_path: Path) -> None:
    frame = read(shared_data, "multitask_task")
    train, test = split(frame)
    model = build_multitask(frame, kind, "multitask")
    model.compile(**ADAM, loss=["bce", "bce"], loss_weights=[1.0, 2.0])
    metrics = {"click": ["auc", "logloss"], "conversion": ["auc"]}
    model.fit(train_data=train, valid_data=test, metrics=metrics, epochs=1, batch_size=512)
    values = model.evaluate(test, metrics=metrics, batch_size=512)
    assert_sound(values, "auc_click", "logloss_click", "auc_conversion")
    scores = model.predict(test, batch_size=512)
    assert list(scores.columns) == ["click_pred", "conversion_pred"]
    assert scores.to_numpy().min() > 0
    assert scores.to_numpy().max() < 1
    assert_session(model, tmp_path / "nextrec_logs", "multitask")
    assert_reloads(model, test, build_multitask(frame, kind))


def test_loaders_of_the_old_kind(shared_data: Path, tmp_path: Path) -> None:
    """RecDataLoader over a frame, a file read whole and a file read in chunks."""
    from torch.utils.data import DataLoader

    from nextrec.data import RecDataLoader, collate_fn
    from nextrec.data.dataloader import FileDataset

    frame = read(shared_data, "multitask_task")
    path = tmp_path / "train.csv"
    frame.to_csv(path, index=False)
    dense, sparse, sequence = multitask_features(frame)
    maker = RecDataLoader(
        dense_features=dense,
        sparse_features=sparse,
        sequence_features=sequence,
        target=["click", "conversion"],
        id_columns="user_id",
    )
    files = FileDataset(
        [str(path)], dense, sparse, sequence, ["click", "conversion"], ["user_id"], 1000
    )
    loaders = [
        maker.create_dataloader(data=frame, batch_size=512, shuffle=False),
        maker.create_dataloader(data=str(path), batch_size=512, shuffle=False, load_full=True),
        maker.create_dataloader(data=str(path), batch_size=512, shuffle=False, load_full=False),
        DataLoader(files, batch_size=1, collate_fn=collate_fn),
    ]
    values = []
    for loader in loaders:
        batch = next(iter(loader))
        assert set(batch["labels"]) == {"click", "conversion"}
        assert "user_id" in batch["ids"]
        model = build_multitask(frame, "share_bottom")
        model.fit(train_data=loader, valid_data=frame, metrics=["auc", "gauc"], epochs=1)
        values.append(model.evaluate(loader, metrics=["auc", "gauc"], user_id_column="user_id"))
        keys = ("auc_click", "gauc_click", "auc_conversion", "gauc_conversion")
        assert_sound(values[-1], *keys)
        assert len(model.predict(loader)) == len(frame)


def test_the_processor_as_its_tutorial_uses_it(shared_data: Path, tmp_path: Path) -> None:
    """Fit on a frame and on files, transform to dicts, frames and files, save, load, train."""
    from nextrec.basic.features import DenseFeature, SparseFeature

    from nextrec.data import RecDataLoader
    from nextrec.data.preprocessor import DataProcessor
    from nextrec.models.ranking.deepfm import DeepFM

    frame = pd.read_csv(shared_data / "nextrec" / "movielens_100k.csv.gz", nrows=ROWS)
    processor = DataProcessor()
    processor.add_numeric_feature("age", scaler="standard")
    processor.add_sparse_feature("user_id", encode_method="hash", hash_size=1000)
    processor.add_sparse_feature("item_id", encode_method="label")
    processor.add_sparse_feature("zip_code", encode_method="label", fill_na="none")
    processor.add_sequence_feature("movie_title", max_len=5, truncate="pre", separator=" ")
    processor.add_target("label", target_type="binary")
    train, test = split(frame)
    made = processor.fit_transform(train, return_dict=True)
    assert isinstance(made, dict)
    assert made["movie_title"].shape == (len(train), 5)
    processor.summary()
    processor.save(str(tmp_path / "processor.pkl"))
    loaded = DataProcessor.load(tmp_path / "processor.pkl")
    sizes = loaded.get_vocab_sizes()
    assert sizes["user_id"] == 1000

    train_frame = loaded.transform(train, return_dict=False)
    test_frame = loaded.transform(test, return_dict=False)
    assert isinstance(train_frame, pd.DataFrame)
    model = DeepFM(
        dense_features=[DenseFeature("age")],
        sparse_features=[
            SparseFeature(name, vocab_size=sizes[name], embedding_dim=8)
            for name in ("user_id", "item_id", "zip_code")
        ],
        mlp_params={"dims": [32], "activation": "relu", "dropout": 0.1},
        target="label",
        device="cpu",
    )
    model.fit(train_data=train_frame, valid_data=test_frame, metrics=["auc"], epochs=1)
    assert_sound(model.evaluate(test_frame, metrics=["auc"]), "auc")

    path = tmp_path / "train.csv"
    train.to_csv(path, index=False)
    again = DataProcessor()
    again.add_numeric_feature("age", scaler="standard")
    again.add_sparse_feature("item_id", encode_method="label")
    again.add_target("label", target_type="binary")
    again.fit(str(path), chunk_size=500)
    assert again.get_vocab_sizes()["item_id"] == sizes["item_id"]
    paths = again.transform(str(path), return_dict=False, output_path=str(tmp_path / "ready"))
    assert all(Path(each).is_file() for each in paths)
    loader = RecDataLoader(
        dense_features=[DenseFeature("age")],
        sparse_features=[SparseFeature("item_id", vocab_size=sizes["item_id"])],
        target=["label"],
        processor=again,
    ).create_dataloader(data=str(path), batch_size=256, load_full=False)
    assert sum(len(batch["labels"]["label"]) for batch in loader) == len(train)


def test_a_loop_of_ones_own(shared_data: Path) -> None:
    """What 0.3.1 offered beside ``fit``: inputs, forward, loss, penalties, any optimizer."""
    from nextrec.utils import get_optimizer

    from nextrec.data import RecDataLoader

    frame = read(shared_data, "multitask_task")
    model = build_multitask(frame, "poso_mlp")
    dense, sparse, sequence = multitask_features(frame)
    loader = RecDataLoader(dense, sparse, sequence, ["click", "conversion"]).create_dataloader(
        frame, batch_size=500, shuffle=True
    )
    optimizer = get_optimizer("adam", model.parameters(), lr=1e-3)
    losses = []
    for batch in loader:
        x, y = model.get_input(batch)
        loss = model.compute_loss(model(x), y) + model.add_reg_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert len(losses) == 8
    assert np.isfinite(losses).all()
    assert np.isfinite(model.train_epoch(loader))
