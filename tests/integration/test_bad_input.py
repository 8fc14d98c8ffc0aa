"""What can't be trained is refused with its name before training starts, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from names import without_addresses
from torch.utils.data import DataLoader

import nextrec
from nextrec.errors import ConfigError, DataError, FeatureError, NextRecError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature

ROWS, ROW = 40, 17
"""Rows of the data, and the one that is wrong."""
FORMS = ("dict", "pandas", "csv", "parquet")


def model(**options: Any) -> nextrec.BaseModel:
    return nextrec.DeepFM(
        [DenseFeature("price")],
        [
            SparseFeature("user", 20, embedding_dim=4),
            SparseFeature("item", 30, embedding_name="items", embedding_dim=4),
        ],
        [SequenceFeature("history", 30, 5, embedding_name="items", embedding_dim=4)],
        **{"mlp_params": {"dims": [8]}, "seed": 1, **options},
    )


def columns() -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    return {
        "user": rng.integers(0, 20, ROWS).tolist(),
        "item": rng.integers(0, 30, ROWS).tolist(),
        "price": rng.normal(size=ROWS).tolist(),
        "history": [rng.integers(1, 30, size).tolist() for size in rng.integers(1, 5, ROWS)],
        "label": [float(row % 2) for row in range(ROWS)],
    }


def as_form(data: dict[str, Any], form: str, folder: Path) -> Any:
    if form == "dict":
        return data
    frame = pd.DataFrame(data)
    if form == "pandas":
        return frame
    path = folder / f"data.{form}"
    frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
    return str(path)


def with_value(name: str, value: Any) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    def change(data: dict[str, list[Any]]) -> dict[str, list[Any]]:
        given = [str(each) for each in data[name]] if isinstance(value, str) else data[name]
        return {**data, name: [*given[:ROW], value, *given[ROW + 1 :]]}

    return change


def without(name: str) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    return lambda data: {key: values for key, values in data.items() if key != name}


def logs(folder: Path) -> Path:
    """Where the sessions of a test lie."""
    return folder / "nextrec_logs"


BAD_ROWS = {
    "id too large": (with_value("user", 20), r"'user', row 17: .*\[0, 20\).*got 20\b"),
    "id negative": (with_value("item", -1), r"'item', row 17: .*\[0, 30\).*got -1\b"),
    "id missing": (with_value("user", None), r"'user', row 17: .*fill missing.*got None"),
    "id NaN": (with_value("user", float("nan")), r"'user', row 17: .*fill missing.*got None"),
    "id a fraction": (with_value("user", 1.5), r"'user', row 17: .*integer id.*got 1\.5"),
    "id text": (with_value("user", "ann"), r"'user', row 17: .*not text.*got 'ann'"),
    "number text": (with_value("price", "cheap"), r"'price', row 17: .*not text.*got 'cheap'"),
    "number missing": (with_value("price", None), r"'price', row 17: .*fill missing.*got None"),
    "number infinite": (with_value("price", float("inf")), r"'price', row 17: .*finite.*got inf"),
    "number beyond float32": (with_value("price", 1e39), r"'price', row 17: .*float32.*got 1e\+39"),
    "history outside": (with_value("history", [3, 30]), r"'history', row 17: .*\[0, 30\).*got 30"),
    "label of another kind": (with_value("label", 2.0), r"`label` must be 0 or 1.*got 2.*row 17"),
    "label infinite": (with_value("label", float("inf")), r"'label', row 17: .*finite.*got inf"),
    "label text": (with_value("label", "yes"), r"'label', row 17: .*not text.*got 'yes'"),
    "column missing": (without("item"), r"lacks 1 column\(s\): 'item'"),
    "label missing": (without("label"), r"lacks 1 column\(s\): 'label'"),
    "empty": (lambda data: {name: values[:0] for name, values in data.items()}, "it has no rows"),
}


@pytest.mark.parametrize("form", FORMS)
def test_good_data_is_not_refused(form: str, tmp_path: Path) -> None:
    data = as_form(columns(), form, tmp_path)
    model().fit(data, valid_data=data, metrics=["auc"], batch_size=16, report=False)
    assert len(list(logs(tmp_path).iterdir())) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_named(case: str, form: str, tmp_path: Path) -> None:
    change, told = BAD_ROWS[case]
    bad = as_form(change(columns()), form, tmp_path)
    small = model()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    with pytest.raises(DataError, match=told):
        small.fit(bad, batch_size=16)
    with pytest.raises(DataError, match=told):
        small.fit(columns(), valid_data=bad, metrics=["auc"], batch_size=16)
    with pytest.raises(DataError, match=told):
        small.evaluate(bad, metrics=["auc"])
    if "label" not in case:
        with pytest.raises(DataError, match=r"empty" if case == "empty" else told):
            small.predict(bad, save_path="scores")
    assert not logs(tmp_path).exists()
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


@pytest.mark.parametrize("form", ["dict", "pandas"])
def test_a_column_of_mixed_kinds_names_the_row(form: str, tmp_path: Path) -> None:
    data = columns()
    data["user"][ROW] = "ann"
    with pytest.raises(DataError, match=r"'user', row 17: 'ann' is a str"):
        model().fit(as_form(data, form, tmp_path))
    assert not logs(tmp_path).exists()


def test_rows_are_counted_through_chunks_and_files(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    frame = pd.DataFrame(columns())
    frame.loc[33, "user"] = 99
    frame[:20].to_parquet(folder / "part-0.parquet")
    frame[20:].to_parquet(folder / "part-1.parquet")
    for refused in (lambda data: model().fit(data), lambda data: model().predict(data)):
        with pytest.raises(DataError, match=r"'user', row 33: "):
            refused(folder)
    with pytest.raises(DataError, match=r"'user', row 33: "):
        model().predict(frame, streaming_chunk_size=7)


def test_lengths_must_agree() -> None:
    data = columns()
    data["item"] = data["item"][:-1]
    with pytest.raises(DataError, match=r"'user' has 40 rows, 'item' has 39"):
        model().fit(data)


def test_one_row_trains_but_can_not_be_judged(tmp_path: Path) -> None:
    one = {name: values[:1] for name, values in columns().items()}
    small = model(mlp_params={"dims": [8], "norm": "batch"})
    before = {name: value.clone() for name, value in small.mlp.state_dict().items()}
    small.fit(one, report=False)
    changed = small.mlp.state_dict()
    assert any(not torch.equal(changed[name], before[name]) for name in before)
    assert all(torch.isfinite(value).all() for value in changed.values())
    with pytest.raises(DataError, match=r"monitor 'auc' is undefined.*one class"):
        model().fit(columns(), valid_data=one, metrics=["auc"])


def test_a_split_without_rows_on_one_side_is_refused(tmp_path: Path) -> None:
    two = {name: values[:2] for name, values in columns().items()}
    with pytest.raises(DataError, match=r"leaves 0 row\(s\) to train on and 2 to test"):
        model().fit(two, validation_split=0.999, metrics=["logloss"])
    one_time = {**two, "time": [5, 5]}
    with pytest.raises(DataError, match="both sides need at least one"):
        model().fit(one_time, validation_split=0.5, split_by="time", split_column="time")
    assert not logs(tmp_path).exists()


# -- labels that teach nothing -----------------------------------------------------------------


def test_a_target_without_any_label_is_refused(tmp_path: Path) -> None:
    missing = {**columns(), "label": [float("nan")] * ROWS}
    told = r"`label` must be observed, with a weight above 0.*got '40 rows without'"
    with pytest.raises(DataError, match=told):
        model().fit(missing)
    with pytest.raises(DataError, match=told):
        model().fit({**columns(), "weight": [0.0] * ROWS}, weight_column="weight")
    with pytest.raises(DataError, match=told):
        model().fit(loader(missing))
    with pytest.raises(DataError, match="no label of the validation data is observed"):
        model().fit(columns(), valid_data=missing, monitor="valid_loss")
    assert not logs(tmp_path).exists()


@pytest.mark.parametrize(("labels", "reason"), [(1.0, "one class"), (float("nan"), "observed")])
def test_a_monitor_that_can_not_be_computed_is_refused(
    labels: float, reason: str, tmp_path: Path
) -> None:
    valid = {**columns(), "label": [labels] * ROWS}
    with pytest.raises(DataError, match=reason):
        model().fit(columns(), valid_data=valid, metrics=["auc"])
    assert not logs(tmp_path).exists()


# -- settings ----------------------------------------------------------------------------------

BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"epochs": 0}, r"`epochs` must be an integer of at least 1; got 0"),
    ({"epochs": 1.5}, r"`epochs` must be an integer"),
    ({"batch_size": 0}, r"`batch_size` must be an integer of at least 1; got 0"),
    ({"batch_size": True}, r"`batch_size` must be an integer"),
    ({"eval_batch_size": 0}, r"`eval_batch_size` must be .*got 0"),
    ({"checkpoint_steps": 0}, r"`checkpoint_steps` must be .*got 0"),
    ({"early_stop_patience": 0}, r"`early_stop_patience` must be .*got 0"),
    ({"early_stop_patience": "3"}, r"`early_stop_patience` must be .*got '3'"),
    ({"validation_split": 1.0}, r"`validation_split` must be .*got 1\.0"),
    ({"validation_split": "a"}, r"`validation_split` must be .*got 'a'"),
    ({"split_by": "grp", "validation_split": 0.2}, r"`split_by` must be one of .*got 'grp'"),
    ({"split_by": "time", "validation_split": 0.2}, r"`split_column` must be the column"),
    ({"split_by": "time", "split_column": "price"}, r"`validation_split` must be given"),
    ({"precision": "fp16"}, r"`precision` must be 'fp32' or 'bf16'; got 'fp16'"),
    ({"max_grad_norm": 0}, r"`max_grad_norm` must be a positive number"),
    ({"max_grad_norm": "1"}, r"`max_grad_norm` must be a positive number"),
    ({"min_delta": -0.1}, r"`min_delta` must be .*got -0\.1"),
    ({"seed": -1}, r"`seed` must be .*got -1"),
    ({"seed": "x"}, r"`seed` must be .*got 'x'"),
    ({"monitor_mode": "up"}, r"`monitor_mode` must be 'max', 'min' or None; got 'up'"),
    ({"verbosity": 3}, r"`verbosity` must be 0, 1 or 2; got 3"),
    ({"callbacks": [object()]}, r"`callbacks` must be a list of .*Callback"),
    ({"monitor": "aucc"}, r"`monitor` must be one of auc, .*got 'aucc'\. Did you mean 'auc'"),
    ({"monitor": "pcoc", "metrics": ["auc", "pcoc"]}, r"`monitor` must be one of auc, valid_loss"),
    ({"metrics": ["acu"]}, r"got 'acu'\. Did you mean 'auc'"),
    ({"metrics": ["ndcg"]}, r"'ndcg' with a cut"),
    ({"metrics": ["mape"]}, r"'mape' is defined for regression tasks; this is a binary task"),
    ({"metrics": {"lable": ["auc"]}}, r"got 'lable'\. Did you mean 'label'"),
    ({"metrics": ["gauc"]}, r"gauc need the column `user_id_column`='user_id'"),
    ({"weight_column": "weight"}, r"lacks 1 column\(s\): 'weight'"),
    ({"epoch": 3}, r"fit does not take `epoch`\. Did you mean 'epochs'"),
    ({"early_stop_patient": 3}, r"Did you mean 'early_stop_patience'"),
]


@pytest.mark.parametrize(
    ("settings", "told"), BAD_SETTINGS, ids=[without_addresses(s) for s, _ in BAD_SETTINGS]
)
def test_bad_settings_of_fit_are_named(settings: dict[str, Any], told: str, tmp_path: Path) -> None:
    splits = {"validation_split", "split_by"} & set(settings)
    options = {} if splits else {"valid_data": columns(), "metrics": ["auc"]}
    with pytest.raises((ConfigError, DataError), match=told):
        model().fit(columns(), **{**options, **settings})
    assert not logs(tmp_path).exists()


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        model().fit(columns(), epochs=0, batch_size=-1, precision="fp64")
    assert all(name in str(caught.value) for name in ("epochs", "batch_size", "precision"))


BAD_MODELS: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": "adm"}, r"`optimizer` must be one of adam.*Did you mean 'adam'"),
    ({"scheduler": "cosin"}, r"`scheduler` must be one of .*Did you mean 'cosine'"),
    ({"loss": "bcee"}, r"`loss` must be one of bce.*Did you mean 'bce'"),
    ({"loss": "ce"}, r"CrossEntropyLoss trains multiclass; the task is binary"),
    ({"loss": ["bce", "bce"]}, r"`loss` must be one, or one a task"),
    ({"loss_weights": [1.0, 2.0]}, r"`loss_weights` must be"),
    ({"task": "binry"}, r"`task` must be one of .*Did you mean 'binary'"),
    ({"task": "multiclass"}, r"`num_classes` must be"),
    ({"device": "gpu"}, r"`device` must be 'auto' or a device of this machine"),
    ({"device": "cuda:77"}, r"`device` must be a device of this machine .*got 'cuda:77'"),
    ({"embedding_l2_reg": -1}, r"`embedding_l2_reg` must be a number of at least 0; got -1"),
    ({"dense_l1_reg": float("nan")}, r"`dense_l1_reg` must be .*got nan"),
    ({"early_stop_patience": 0}, r"`early_stop_patience` must be .*got 0"),
    ({"seed": "x"}, r"`seed` must be .*got 'x'"),
    ({"target": 3}, r"`target` must be a column's name or a list of names; got 3"),
    ({"target": ["a", "a"]}, r"`target` must be a list of different names"),
    ({"id_columns": 3}, r"`id_columns` must be .*got 3"),
    ({"mlp_parms": {}}, r"does not take `mlp_parms`\. Did you mean 'mlp_params'"),
    ({"optimizer_parms": {}}, r"Did you mean 'optimizer_params'"),
    ({"mlp_params": {"dim": [8]}}, r"Did you mean 'dims'"),
    ({"mlp_params": {"dims": [8], "activation": "rellu"}}, r"Did you mean 'relu'"),
    ({"session_id": "../elsewhere"}, r"`experiment_id` must be a relative path"),
]


@pytest.mark.parametrize(
    ("options", "told"), BAD_MODELS, ids=[without_addresses(o) for o, _ in BAD_MODELS]
)
def test_bad_arguments_of_a_model_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        model(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"optimizer_params": {"lrr": 0.1}}, r"no option 'lrr'\. Did you mean 'lr'"),
        ({"optimizer_params": {"lr": -1}}, r"`lr` must be"),
        ({"optimizer": 5}, r"`optimizer` must be a name"),
        ({"scheduler": 5}, r"`scheduler` must be a name"),
        ({"scheduler": "step", "scheduler_params": {"stepsize": 1}}, r"Did you mean 'step_size'"),
        ({"scheduler": "step"}, r"scheduler 'step' can't be built"),
        ({"scheduler": "plateau"}, r"a plateau scheduler follows the monitor"),
    ],
    ids=without_addresses,
)
def test_what_compile_got_is_refused_before_a_session_exists(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        model(**options).fit(columns())
    assert not logs(tmp_path).exists()


def test_a_precision_that_the_device_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextrec.training.device._has_bf16", lambda _: False)
    with pytest.raises(ConfigError, match="`precision` must be 'fp32' on the device 'cpu'"):
        model().fit(columns(), precision="bf16")
    assert not logs(tmp_path).exists()


def test_an_optimizer_of_another_model_is_refused(tmp_path: Path) -> None:
    stranger = torch.optim.Adam(model().parameters())
    with pytest.raises(ConfigError, match="no parameter of this model"):
        model(optimizer=stranger).fit(columns())
    assert not logs(tmp_path).exists()


def test_penalties_need_a_named_optimizer() -> None:
    with pytest.raises(ConfigError, match="`embedding_l2_reg` needs an optimizer given by name"):
        model(optimizer=torch.optim.SGD, embedding_l2_reg=1e-3)
    feature = SparseFeature("user", 20, embedding_dim=4, l2_reg=1e-3)
    with pytest.raises(ConfigError, match="`l2_reg of user` needs an optimizer given by name"):
        nextrec.DCN(sparse_features=[feature], optimizer=torch.optim.SGD)


# -- features ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: nextrec.DCN(), "DCN needs at least one feature"),
        (lambda: sparse(SparseFeature("user", 20), SparseFeature("user", 9)), "two features"),
        (
            lambda: sparse(
                SparseFeature("a", 9, embedding_name="t", embedding_dim=8),
                SparseFeature("b", 9, embedding_name="t", embedding_dim=4),
            ),
            r"table 't' is shared by 'a' with embedding_dim=8 and 'b' with embedding_dim=4",
        ),
        (
            lambda: sparse(
                SparseFeature("a", 9, embedding_name="t", padding_idx=0),
                SparseFeature("b", 9, embedding_name="t", padding_idx=1),
            ),
            r"table 't' has one padding row, but its features say 'a': 0, 'b': 1",
        ),
        (lambda: SparseFeature("user", 0), r"'user': `vocab_size` must be .*got 0"),
        (lambda: SparseFeature("", 5), r"`name` must be a non-empty string"),
        (lambda: SparseFeature("user", 5, padding_idx=5), r"`padding_idx` must be"),
        (lambda: SequenceFeature("h", 5, max_len=0), r"'h': `max_len` must be .*got 0"),
        (lambda: SequenceFeature("h", 5, combiner="avg"), r"`combiner` must be one of mean"),
        (
            lambda: nextrec.DCN(sparse_features=[DenseFeature("price")]),
            r"`sparse_features` must be a list of SparseFeature",
        ),
        (
            lambda: nextrec.DeepFM(
                sparse_features=[
                    SparseFeature("a", 9, embedding_dim=8),
                    SparseFeature("b", 9, embedding_dim=4),
                ]
            ),
            r"DeepFM needs fields of one width: 'a' has 8, 'b' has 4",
        ),
        (
            lambda: nextrec.POSO(
                main_sparse_features=[SparseFeature("user", 20)],
                pc_sparse_features=[SparseFeature("user", 50)],
            ),
            r"'user' is described differently by the groups 'main' and 'pc': vocab_size",
        ),
    ],
    ids=range(12),
)
def test_contradictory_features_are_named(build: Callable[[], Any], told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        build()


def sparse(*features: SparseFeature) -> nextrec.BaseModel:
    return nextrec.DCN(sparse_features=list(features))


# -- loaders of the user's own -----------------------------------------------------------------


def loader(data: Any, features: int = 99, target: str | None = "label", **options: Any) -> Any:
    """A loader made for a larger table of users than the model's."""
    maker = nextrec.RecDataLoader(
        [DenseFeature("price")],
        [SparseFeature("user", features), SparseFeature("item", 30)],
        [SequenceFeature("history", 30, 5)],
        target=target,
    )
    return maker.create_dataloader(data, batch_size=16, shuffle=False, **options)


def batches(user: int = 3, label: float = 1.0) -> list[dict[str, Any]]:
    """Dicts as 0.3.1's loaders gave them; row 5 of the last one is to be wrong."""
    data = columns()
    history = torch.zeros(ROWS, 5, dtype=torch.long)
    for row, items in enumerate(data["history"]):
        history[row, : len(items)] = torch.tensor(items)
    features = {name: torch.tensor(data[name]) for name in ("user", "item", "price")}
    features["history"] = history
    labels = torch.tensor(data["label"])
    features["user"][37], labels[37] = user, label
    return [
        {
            "features": {name: values[start : start + 16] for name, values in features.items()},
            "labels": {"label": labels[start : start + 16]},
        }
        for start in (0, 16, 32)
    ]


def test_a_loader_of_rows_in_memory_is_checked_as_a_whole(tmp_path: Path) -> None:
    frame = pd.DataFrame(columns())
    frame.loc[37, "user"] = 55
    told = r"'user', row 37: .*\[0, 20\).*got 55"
    with pytest.raises(DataError, match=told):
        model().fit(loader(frame))
    with pytest.raises(DataError, match=told):
        model().fit(columns(), valid_data=loader(frame), metrics=["auc"])
    with pytest.raises(DataError, match=told):
        model().evaluate(loader(frame), metrics=["auc"])
    with pytest.raises(DataError, match=r"`label` must be 0 or 1.*row 37"):
        model().fit(loader(pd.DataFrame({**columns(), "label": [*[0.0] * 37, 5.0, 0.0, 0.0]})))
    with pytest.raises(DataError, match="have no labels"):
        model().fit(loader(columns(), target=None))
    with pytest.raises(DataError, match=r"`target` must be those of the model"):
        model(target="click").fit(loader(columns()))
    assert not logs(tmp_path).exists()


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"user": 77}, r"a batch of the data loader: .*'user', row 5: .*\[0, 20\).*got 77"),
        ({"label": 3.0}, r"`label` must be 0 or 1.*got 3\.0.*row 5"),
    ],
)
def test_dict_batches_are_checked_as_they_come(bad: dict[str, Any], told: str) -> None:
    model().fit(DataLoader(batches(), batch_size=None), report=False)
    with pytest.raises(DataError, match=told):
        model().fit(DataLoader(batches(**bad), batch_size=None))
    with pytest.raises(DataError, match=told):
        model().evaluate(DataLoader(batches(**bad), batch_size=None), metrics=["auc"])


@pytest.mark.parametrize("part", ["train", "valid"])
def test_the_first_batch_is_checked_before_a_session_exists(part: str, tmp_path: Path) -> None:
    lacking = batches()
    del lacking[0]["features"]["item"]
    for bad, told in (
        (lacking, "lacks 1 column"),
        ([], "gives no batch"),
        ([{"x": 1}], "must be a Batch or a dict with the keys"),
        ([{**batches()[0], "labels": None}], "label"),
    ):
        own = DataLoader(bad, batch_size=None)
        arguments = {"train_data": own} if part == "train" else {"train_data": columns()}
        with pytest.raises(DataError, match=told):
            model().fit(**arguments, **({"valid_data": own} if part == "valid" else {}))
    assert not logs(tmp_path).exists()


def test_a_stream_names_the_row_of_its_batch(tmp_path: Path) -> None:
    frame = pd.DataFrame(columns())
    frame.loc[3, "user"] = 55
    frame.to_csv(tmp_path / "data.csv", index=False)
    stream = loader(str(tmp_path / "data.csv"), load_full=False, chunk_size=10)
    with pytest.raises(DataError, match=r"'user', row 3 of a batch: .*got 55"):
        model().fit(stream)
    assert not logs(tmp_path).exists()


def test_options_that_shape_batches_are_refused_beside_a_loader(tmp_path: Path) -> None:
    for options in ({"weight_column": "w"}, {"drop_last": True}):
        with pytest.raises(ConfigError, match=f"`{next(iter(options))}` must be said where"):
            model().fit(loader(columns(), 20), **options)
    with pytest.raises(ConfigError, match="`validation_split` needs data that is not a loader"):
        model().fit(loader(columns(), 20), validation_split=0.2)
    with pytest.raises(ConfigError, match="`weight_column` must be said where"):
        model().evaluate(loader(columns(), 20), metrics=["auc"], weight_column="w")
    with pytest.raises(ConfigError, match="gauc need the column"):
        model().fit(columns(), valid_data=loader(columns(), 20), metrics=["auc", "gauc"])
    assert not logs(tmp_path).exists()


NO_TABLES = [None, 3, "no/such.csv", np.zeros((3, 3)), [], "data.txt"]


@pytest.mark.parametrize("data", NO_TABLES, ids=without_addresses)
def test_what_is_no_table_is_refused(data: Any, tmp_path: Path) -> None:
    for refused in (model().fit, model().evaluate, model().predict):
        with pytest.raises(DataError):
            refused(data)
    assert not logs(tmp_path).exists()


def test_every_refusal_is_of_one_tree() -> None:
    for refused in (lambda: model().fit(columns(), epochs=0), lambda: model().fit(None)):
        with pytest.raises(NextRecError) as caught:
            refused()
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("stream", [False, True])
def test_the_word_that_makes_a_csv_column_text_is_named(tmp_path, stream):
    lines = ["item,label", *(f"{n % 9},{n % 2}" for n in range(30_000))]
    lines[29_990] = "oops,1"
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    model = nextrec.DeepFM(sparse_features=[SparseFeature("item", 10)])
    with pytest.raises(DataError, match=r"'item', row 29989: .*'oops'"):
        model.fit(str(path), stream=stream)
