from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import nextrec
from nextrec.errors import CheckpointError, ConfigError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.models import bundle
from nextrec.models.base import BaseModel
from nextrec.models.zoo import MODELS
from nextrec.training.checkpoint import read_state, write_state


def model(cls: Any = nextrec.DeepFM, **options: Any) -> BaseModel:
    deep = {"mlp_params": {"dims": [8]}} if cls is nextrec.DeepFM else {}
    return cls(
        [DenseFeature("price")],
        [SparseFeature("user", 9, embedding_dim=4, padding_idx=0)],
        [SequenceFeature("liked", 7, 5, embedding_dim=4)],
        **{**deep, "seed": 1, **options},
    )


X = {
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "user": torch.tensor([0, 3, 8]),
    "liked": torch.tensor([[1, 2, 0, 0, 0], [0, 0, 0, 0, 0], [6, 5, 4, 3, 2]]),
}
DATA = {"price": [0.1, 0.2], "user": [1, 2], "liked": [[1], [2, 3]], "label": [0.0, 1.0]}


def assert_equal(a: BaseModel, b: BaseModel) -> None:
    assert type(a) is type(b)
    assert torch.equal(a.eval()(X), b.eval()(X))


def rewrite(path: Path, **changes: Any) -> Path:
    """The file with another description."""
    tensors, meta = read_state(path)
    meta["model"] = {**meta["model"], **changes}
    return write_state(path, tensors, meta)


# -- writing and reading -----------------------------------------------------------------------


def test_a_bundle_is_two_files_and_a_model_again(tmp_path: Path) -> None:
    saved = model(id_columns="row", target=["a", "b"], task=["binary", "regression"])
    path = saved.save(tmp_path / "shop" / "bundle")
    assert {each.name for each in path.iterdir()} == {"model.safetensors", "model.json"}
    assert [each.name for each in path.parent.iterdir()] == ["bundle"]
    description = json.loads((path / "model.json").read_text())
    assert description["class"] == "DeepFM"
    assert description["target"] == ["a", "b"]
    assert description["id_columns"] == ["row"]
    assert description["id_space_version"] == 1
    for loaded in (nextrec.load(path), nextrec.DeepFM.load(path), BaseModel.load(path)):
        assert_equal(loaded, saved)
        assert loaded.id_columns == ["row"]
        assert [task.kind for task in loaded.tasks] == ["binary", "regression"]
        assert not loaded.training
    assert saved.session_path.exists() is False


def test_a_file_holds_everything_too(tmp_path: Path) -> None:
    saved = model()
    path = saved.save_model(tmp_path / "x.model")
    assert path == tmp_path / "x.model"
    assert_equal(nextrec.load(path), saved)
    other = model(seed=5)
    other.load_model(path)
    assert_equal(other, saved)
    again = nextrec.DeepFM.from_checkpoint(path, session_id="again", early_stop_patience=3)
    assert_equal(again, saved)
    assert (again.session_id, again.early_stop_patience) == ("again", 3)


def test_save_model_goes_into_the_session(tmp_path: Path) -> None:
    saved = model(session_id="run")
    assert saved.save_model() == tmp_path / "nextrec_logs" / "run" / "DeepFM.model"
    stamped = saved.save_model("named", add_timestamp=True)
    assert stamped.parent == saved.session_path
    assert stamped.name.startswith("named_2")
    assert stamped.suffix == ".model"
    elsewhere = model()
    elsewhere.save_model(tmp_path / "y.model")
    assert not elsewhere.session_path.exists()


def test_a_loaded_model_trains_on_in_a_session_of_its_own(tmp_path: Path) -> None:
    saved = model(session_id="run", optimizer="sgd", optimizer_params={"lr": 0.5})
    saved.fit(DATA, report=False)
    loaded = nextrec.load(saved.best_path)
    assert loaded.session_id != "run"
    assert loaded.compiled.optimizer == "sgd"
    assert loaded.compiled.optimizer_params == {"lr": 0.5}
    loaded.fit(DATA, report=False)
    assert loaded.session_path != saved.session_path


def test_of_a_session_the_best_weights_are_read(tmp_path: Path) -> None:
    saved = model().fit(DATA, epochs=2, report=False)
    best, last = saved.best_path, saved.checkpoint_path
    assert_equal(nextrec.load(saved.session_path), nextrec.load(best))
    changed = model(seed=7)
    bundle.write_weights(changed, best)
    assert_equal(nextrec.load(saved.session_path), changed)
    assert_equal(nextrec.load(last), saved)
    best.unlink()
    other = model(seed=8)
    other.save_model(saved.session_path / "DeepFM.model")
    assert_equal(nextrec.load(saved.session_path), other)  # before the checkpoint
    (saved.session_path / "DeepFM.model").unlink()
    assert_equal(nextrec.load(saved.session_path), saved)
    fresh = model(seed=9)
    fresh.load_model(saved.session_path)
    assert_equal(fresh, saved)


def test_an_older_bundle_is_replaced_anything_else_is_left(tmp_path: Path) -> None:
    path = model().save(tmp_path / "bundle")
    second = model(seed=2)
    assert_equal(nextrec.load(second.save(path)), second)
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "empty").mkdir()
    assert_equal(nextrec.load(second.save(tmp_path / "empty")), second)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for taken in ("mine", "file"):
        with pytest.raises(ConfigError, match="is no bundle; it is left alone"):
            second.save(tmp_path / taken)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert (tmp_path / "file").read_text() == "keep"


def test_a_save_that_breaks_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model()
    path = first.save(tmp_path / "bundle")

    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(bundle, "write_text", broken)
    with pytest.raises(OSError, match="disk full"):
        model(seed=2).save(path)
    monkeypatch.undo()
    assert_equal(nextrec.load(path), first)
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_pretrained_and_frozen_tables_come_back(tmp_path: Path) -> None:
    weight = torch.rand(9, 4)
    feature = SparseFeature(
        "user", 9, embedding_dim=4, pretrained_weight=weight, freeze_pretrained=True
    )
    saved = nextrec.DCN(sparse_features=[feature])
    loaded = nextrec.load(saved.save(tmp_path / "bundle"))
    assert torch.equal(loaded.embedding.embed_dict["user"].weight, weight)
    assert not loaded.embedding.embed_dict.width_4_frozen.requires_grad


def test_arguments_of_a_run_may_have_no_json_form(tmp_path: Path) -> None:
    saved = model()
    saved = model(
        loss=nn.BCEWithLogitsLoss(), optimizer=torch.optim.SGD, device=torch.device("cpu")
    )
    loaded = nextrec.load(saved.save(tmp_path / "bundle"))
    assert_equal(loaded, saved)
    assert loaded.compiled.optimizer == "adam"


# -- models of the user's own ------------------------------------------------------------------


class BaseTied(BaseModel):
    """Weights under two names, a buffer, a parameter of its own."""

    def __init__(self, sparse_features: Any = None, block: Any = None, **options: Any) -> None:
        super().__init__(sparse_features=sparse_features, **options)
        self.embedding = EmbeddingLayer(self.features)
        width = self.embedding.out_features
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.rand(1))
        self.register_buffer("shift", torch.rand(1))
        self.head = nn.Linear(width, self.num_logits)

    def logits(self, x: Any) -> Tensor:
        hidden = self.second(torch.relu(self.first(self.embedding.flat(x))))
        return self.head(hidden) * self.scale + self.shift


@pytest.fixture(autouse=True)
def _own_models() -> Iterator[None]:
    """Models of these tests are known during these tests alone."""
    MODELS.add("BaseTied", BaseTied)
    yield
    del MODELS._objects["BaseTied"], MODELS._names["basetied"]


def tied(**options: Any) -> BaseTied:
    return BaseTied([SparseFeature("user", 9, embedding_dim=4)], **{"seed": 1, **options})


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    saved = tied().fit(DATA, report=False)
    for path in (saved.save(tmp_path / "bundle"), saved.best_path, saved.checkpoint_path):
        loaded = nextrec.load(path)
        assert_equal(loaded, saved)
        assert loaded.second.weight is loaded.first.weight


def test_a_class_is_registered_by_its_definition(tmp_path: Path) -> None:
    class Mine(BaseTied):
        def __init__(self, features: Any, **options: Any) -> None:
            super().__init__(features, **options)

    class Baseline(Mine):
        pass

    assert MODELS["mine"] is Mine
    assert MODELS["Baseline"] is Baseline
    saved = Mine([SparseFeature("user", 9, embedding_dim=4)], target="click")
    loaded = nextrec.load(saved.save(tmp_path / "bundle"))
    assert_equal(loaded, saved)
    assert loaded.target_columns == ["click"]


def test_a_class_that_is_not_defined_is_named(tmp_path: Path) -> None:
    path = rewrite(tied().save_model(tmp_path / "x.model"), **{"class": "BaseTide"})
    told = r"x\.model: .*'BaseTide'.*must be defined before it is loaded"
    with pytest.raises(CheckpointError, match=told):
        nextrec.load(path)
    rewrite(path, **{"class": "DeepFN"})
    with pytest.raises(CheckpointError, match=r"(?i)did you mean 'deepfm'"):
        nextrec.load(path)


def test_an_argument_without_json_form_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    own = tied(block=nn.ReLU())
    with pytest.raises(ConfigError, match=r"`BaseTied\.block` is a ReLU"):
        own.save(tmp_path / "bundle")
    with pytest.raises(ConfigError, match=r"`BaseTied\.block` is a ReLU"):
        own.fit(DATA)
    assert list(tmp_path.iterdir()) == []


# -- files that are refused --------------------------------------------------------------------


def test_weights_of_another_class_or_shape_change_nothing(tmp_path: Path) -> None:
    path = model().save_model(tmp_path / "x.model")
    with pytest.raises(CheckpointError, match=r"x\.model: holds a DeepFM, not a DCN"):
        model(nextrec.DCN).load_model(path)
    for cls in (nextrec.DCN, BaseTied):
        with pytest.raises(CheckpointError, match="holds a DeepFM, not a"):
            cls.load(path)
        with pytest.raises(CheckpointError, match="holds a DeepFM, not a"):
            cls.from_checkpoint(path)
    wide = model(mlp_params={"dims": [16]}, seed=3)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"x\.model: the weights do not fit this DeepFM"):
        wide.load_model(path)
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arguments": [1]}, "arguments are no JSON object"),
        ({"arguments": {}}, "DeepFM can't be rebuilt: DeepFM needs at least one feature"),
        ({"arguments": {"depth": 3}}, "DeepFM can't be rebuilt"),
        ({"arguments": {"a": {"__feature__": {"kind": "spars"}}}}, "Did you mean 'sparse'"),
        ({"arguments": {"a": {"__feature__": 3}}}, "a feature can't be rebuilt"),
        ({"id_space_version": 9}, "id space version 9; this NextRec uses version 1"),
        ({"class": 5}, "got 5"),
    ],
)
def test_descriptions_that_can_not_be_rebuilt(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = rewrite(model().save_model(tmp_path / "x.model"), **changes)
    with pytest.raises(CheckpointError, match=rf"x\.model: .*{told}"):
        nextrec.load(path)


def test_descriptions_that_lack_something(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    write_state(path, {}, {"kind": "model"})
    with pytest.raises(CheckpointError, match="no description of a model"):
        nextrec.load(path)
    write_state(path, {}, {"kind": "model", "model": {"class": "DCN"}})
    with pytest.raises(CheckpointError, match="lacks arguments, id_space_version"):
        nextrec.load(path)
    write_state(path, {}, {"kind": "checkpoint", "model": {"class": "DCN"}})
    with pytest.raises(CheckpointError, match="lacks arguments"):
        nextrec.load(path)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', ""])
def test_a_broken_model_json(text: str, tmp_path: Path) -> None:
    path = model().save(tmp_path / "bundle")
    (path / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json: not"):
        nextrec.load(path)
    (path / "model.json").unlink()
    with pytest.raises(CheckpointError, match=r"model\.json: not readable"):
        nextrec.load(path)


def test_a_truncated_bundle(tmp_path: Path) -> None:
    path = model().save(tmp_path / "bundle")
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"model\.safetensors: not a readable"):
            nextrec.load(path)


def test_folders_that_say_too_little(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        nextrec.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no \.model file"):
        nextrec.load(tmp_path)
    model().save_model(tmp_path / "DeepFM_best.model")
    model(nextrec.DCN).save_model(tmp_path / "DCN_best.model")
    told = r"several models \(DCN_best\.model, DeepFM_best\.model\); name one"
    with pytest.raises(CheckpointError, match=told):
        nextrec.load(tmp_path)
    model(nextrec.DCN).load_model(tmp_path)  # its own is the only one
    with pytest.raises(CheckpointError, match=r"no \.model file"):
        tied().load_model(tmp_path)


def test_a_checkpoint_inside_an_epoch_is_no_model(tmp_path: Path) -> None:
    saved = model().fit(DATA, report=False)
    tensors, meta = read_state(saved.checkpoint_path)
    meta["train"]["step_in_epoch"] = 3
    write_state(saved.checkpoint_path, tensors, meta)
    with pytest.raises(CheckpointError, match="written in the middle of an epoch"):
        nextrec.load(saved.checkpoint_path)


def test_an_absent_device_is_not_the_file_s_fault(tmp_path: Path) -> None:
    path = model().save(tmp_path / "bundle")
    with pytest.raises(ConfigError, match="`device` must be"):
        nextrec.load(path, device="gpu")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def test_loading_executes_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save({"x": Malicious(marker)}, tmp_path / "torch.model")
    (tmp_path / "pickle.model").write_bytes(pickle.dumps(Malicious(marker)))
    with zipfile.ZipFile(tmp_path / "zip.model", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Malicious(marker)))
    header = json.dumps({"format_version": 1, "model": {"class": "os.system", "arguments": {}}})
    save_file({"a": torch.ones(1)}, tmp_path / "class.model", metadata={"nextrec": header})
    for path in tmp_path.glob("*.model"):
        for load in (nextrec.load, model().load_model, nextrec.DCN.from_checkpoint):
            with pytest.raises(CheckpointError):
                load(path)
    assert not marker.exists()


def test_numpy_arguments_are_kept(tmp_path: Path) -> None:
    saved = model(mlp_params={"dims": [np.int64(8)], "dropout": np.float64(0.1)})
    assert_equal(nextrec.load(saved.save(tmp_path / "bundle")), saved)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text("{}")
    (other / "precious.txt").write_text("x")
    with pytest.raises(ConfigError, match="no bundle"):
        model().save(other)
    bundle_path = model().save(tmp_path / "mine")
    (bundle_path / "notes.txt").write_text("x")
    model(seed=2).save(bundle_path)
    assert (bundle_path / "notes.txt").exists()
    assert (other / "precious.txt").exists()


def test_weights_of_other_targets_are_refused(tmp_path: Path) -> None:
    features = [SparseFeature("user", 9, embedding_dim=4)]
    saved = nextrec.ShareBottom(sparse_features=features, target=["click", "buy"])
    file = saved.save_model(tmp_path / "a.model")
    swapped = nextrec.ShareBottom(sparse_features=features, target=["buy", "click"])
    with pytest.raises(CheckpointError, match="predicts"):
        swapped.load_model(file)


def test_a_copy_of_a_fitted_model_trains(tmp_path: Path) -> None:
    import copy

    first = nextrec.DCN(sparse_features=[SparseFeature("user", 9, embedding_dim=4)])
    data = {"user": [1, 2, 3, 4], "label": [0.0, 1.0, 0.0, 1.0]}
    first.fit(data, report=False)
    second = copy.deepcopy(first)
    second.fit(data, report=False)
    assert second.session_path != first.session_path
