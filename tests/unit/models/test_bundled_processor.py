from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import nextrec
from nextrec.data.preprocessor import DataProcessor
from nextrec.errors import CheckpointError
from nextrec.features import SparseFeature
from nextrec.models import bundle

ITEMS = ["a", "b", "c"]


def processor(items: list[str] | None = None) -> DataProcessor:
    made = DataProcessor()
    made.add_sparse_feature("item")
    return made.fit({"item": items or ITEMS})


def model(own: Any = None) -> nextrec.BaseModel:
    built = nextrec.DCN(sparse_features=[SparseFeature("item", 9, embedding_dim=4)], seed=1)
    built.processor = own
    return built


def ids(of: nextrec.BaseModel) -> list[int]:
    return of.processor.transform({"item": ["c", "x"]})["item"].tolist()


def processors(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "processor" in path.name)


def test_a_bundle_brings_the_processor_back(tmp_path: Path) -> None:
    path = model(processor()).save(tmp_path / "bundle")
    loaded = nextrec.load(path)
    assert ids(loaded) == [4, 1]
    assert processors(path) == ["processor.arrow"]
    data = {"item": ["a", "x"]}
    expected = model(processor()).predict(data)["label_pred"].tolist()
    assert loaded.predict(data)["label_pred"].tolist() == expected
    assert nextrec.load(model().save(tmp_path / "without")).processor is None


def test_files_of_weights_do_not_hold_it(tmp_path: Path) -> None:
    path = model(processor()).save_model(tmp_path / "a.model", verbose=False)
    assert nextrec.load(path).processor is None


def test_saving_again_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    model(processor()).save(path)
    model(processor(["c"])).save(path)
    assert ids(nextrec.load(path)) == [2, 1]
    assert len(processors(path)) == 1
    model(processor()).save(path)
    model(processor()).save(path)
    assert ids(nextrec.load(path)) == [4, 1]
    assert len(processors(path)) == 1
    model().save(path)
    assert nextrec.load(path).processor is None
    assert processors(path) == []


@pytest.mark.parametrize("broken_at", ["write_weights", "remove_others"])
def test_an_interrupted_save_leaves_the_old_or_the_new(
    tmp_path: Path, broken_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    model(processor()).save(path)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bundle, broken_at, killed)
        with pytest.raises(KeyboardInterrupt):
            model(processor(["c"])).save(path)
    assert ids(nextrec.load(path)) == ([4, 1] if broken_at == "write_weights" else [2, 1])
    model(processor(["b", "c"])).save(path)
    assert ids(nextrec.load(path)) == [3, 1]
    assert len(processors(path)) == 1


def test_what_does_not_belong_to_the_weights_is_refused(tmp_path: Path) -> None:
    path = model(processor()).save(tmp_path / "bundle")
    other = model(processor(["c"])).save(tmp_path / "other")
    file = path / "processor.arrow"
    whole = file.read_bytes()
    for content in (whole[:-20], b"", (other / "processor.arrow").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"processor.arrow: this is not the processor"):
            nextrec.load(path)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"processor.arrow: the model's processor is missing"):
        nextrec.load(path)


def test_another_kind_of_processor_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Own:
        is_fitted = True

        def transform(self, data: Any, return_dict: bool = True) -> Any:
            return data

    with caplog.at_level(logging.WARNING, "nextrec"):
        path = model(Own()).save(tmp_path / "bundle")
    assert "the processor is a Own, no DataProcessor: it is not saved" in caplog.text
    assert nextrec.load(path).processor is None
