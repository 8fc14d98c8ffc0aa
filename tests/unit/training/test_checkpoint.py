from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from nextrec.errors import CheckpointError
from nextrec.training import checkpoint
from nextrec.training.checkpoint import fill, pack, read_meta, read_state, unpack, write_state


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert torch.equal(a[name], b[name]), name


# -- writing and reading -----------------------------------------------------------------------


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    storage = torch.arange(20.0).reshape(5, 4)
    tied = torch.ones(3)
    tensors = {
        "rows of one storage": storage[:2],
        "other rows of it": storage[2:],
        "transposed": storage.t(),
        "tied": tied,
        "tied too": tied,
        "empty": torch.empty(0, 3),
        "empty too": torch.empty(0, 3),
        "scalar": torch.tensor(3),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "with gradient": nn.Parameter(torch.ones(2)),
        "not finite": torch.tensor([float("nan"), float("inf")]),
    }
    path = write_state(tmp_path / "new" / "x.model", tensors, {"kind": "test"})
    read, meta = read_state(path)
    finite = {k: v for k, v in tensors.items() if k != "not finite"}
    assert_equal({k: v for k, v in read.items() if k in finite}, dict(finite))
    assert math.isnan(read["not finite"][0])
    assert meta == {"format_version": 1, "kind": "test"}


def test_values_keep_nan_and_infinity(tmp_path: Path) -> None:
    values = {"nan": math.nan, "inf": -math.inf, "text": "ünï", "list": [1, None, True, {"a": []}]}
    meta = read_meta(write_state(tmp_path / "x", {}, values))
    assert math.isnan(meta.pop("nan"))
    del values["nan"]
    assert meta == {"format_version": 1, **values}


def test_a_write_that_breaks_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_state(tmp_path / "x", {"a": torch.ones(2)}, {})

    def half(tensors: Any, name: str, metadata: Any) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="disk full"):
        write_state(path, {"a": torch.zeros(2)}, {})
    assert torch.equal(read_state(path)[0]["a"], torch.ones(2))
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = write_state(tmp_path / "x", {"a": torch.ones(2)}, {"kind": "test"})
    with safe_open(str(path), "pt") as file:
        assert json.loads(file.metadata()["nextrec"])["kind"] == "test"
        assert list(file.keys()) == ["a"]


# -- files that can't be read ------------------------------------------------------------------


def test_a_file_cut_anywhere_is_named(tmp_path: Path) -> None:
    whole = write_state(tmp_path / "whole", {"a": torch.ones(50)}, {"kind": "x"}).read_bytes()
    cut = tmp_path / "cut.model"
    for size in range(0, len(whole), 7):
        cut.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"cut\.model: not a readable safetensors file"):
            read_state(cut)


def test_noise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.model"
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        noise = torch.randint(0, 256, (200,), generator=generator, dtype=torch.uint8)
        path.write_bytes(bytes(noise.tolist()))
        with pytest.raises(CheckpointError, match="noise"):
            read_meta(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "not of NextRec: no header"),
        ("{", "its header is not JSON"),
        ("[1]", "its header is no JSON object"),
        ('"x"', "its header is no JSON object"),
        ("{}", "format version None; this NextRec reads version 1"),
        ('{"format_version": 2}', "format version 2"),
    ],
)
def test_other_headers_are_refused(header: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    metadata = None if header is None else {"nextrec": header}
    save_file({"a": torch.ones(1)}, str(path), metadata=metadata)
    with pytest.raises(CheckpointError, match=f"x.model: .*{told}"):
        read_state(path)


@pytest.mark.parametrize("path", ["absent.model", "."])
def test_what_is_no_file_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_state(tmp_path / path)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def malicious_files(folder: Path) -> dict[str, bytes]:
    """A pickle, torch's older and newer formats, and a zip with a pickle in it."""
    marker = Malicious(folder / "executed")
    old, new, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(marker, old, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": marker}, new)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(marker))
    return {
        "pickle": pickle.dumps(marker),
        "old": old.getvalue(),
        "new": new.getvalue(),
        "zip": archive.getvalue(),
    }


@pytest.mark.parametrize("kind", ["pickle", "old", "new", "zip"])
def test_no_pickle_is_ever_executed(kind: str, tmp_path: Path) -> None:
    content = malicious_files(tmp_path)[kind]
    path = tmp_path / "DeepFM_best.model"
    path.write_bytes(content)
    for read in (read_state, read_meta):
        with pytest.raises(CheckpointError, match="not a readable safetensors file"):
            read(path)
    assert not (tmp_path / "executed").exists()
    if kind != "zip":  # the file would do harm where it is unpickled
        torch.load(path, weights_only=False) if kind != "pickle" else pickle.loads(content)
        assert (tmp_path / "executed").exists()


# -- nested states -----------------------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(NESTED)
def test_nested_values_survive_json(value: Any) -> None:
    tensors: dict[str, Tensor] = {}
    packed = json.loads(json.dumps(pack(value, "part/", tensors)))
    assert unpack(packed, tensors) == value


def test_tensors_inside_nested_values() -> None:
    state = {"state": {0: {"step": torch.tensor(3.0), "avg": torch.ones(2)}}, "betas": (0.9, 0.99)}
    tensors: dict[str, Tensor] = {"other": torch.zeros(1)}
    packed = json.loads(json.dumps(pack(state, "optimizer/", tensors)))
    assert [name for name in tensors if name.startswith("optimizer/")] == [
        "optimizer/1",
        "optimizer/2",
    ]
    again = unpack(packed, tensors)
    assert again["betas"] == (0.9, 0.99)
    assert torch.equal(again["state"][0]["avg"], torch.ones(2))


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"part/: a set can't be saved without pickle"):
        pack({"a": {1}}, "part/", {})


def test_a_tensor_that_is_missing_is_named() -> None:
    with pytest.raises(CheckpointError, match="'rng/3' is missing"):
        unpack({"a": {"__tensor__": "rng/3"}}, {})


# -- weights into a module ---------------------------------------------------------------------


def test_weights_fit_or_nothing_changes() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    other = {name: value + 1 for name, value in before.items()}
    bad = {**other, "1.weight": torch.ones(4), "more": torch.ones(1)}
    del bad["0.bias"]
    with pytest.raises(CheckpointError) as caught:
        fill(module, bad, "x.model")
    assert str(caught.value) == (
        "x.model: the weights do not fit this Sequential: 0.bias is missing; more has no place; "
        "1.weight has shape (4,), not (3,)."
    )
    assert_equal(dict(module.state_dict()), before)
    fill(module, other, "x.model")
    assert_equal(dict(module.state_dict()), other)


def test_many_problems_are_not_all_listed() -> None:
    with pytest.raises(CheckpointError, match=r"; \.\.\.\.$"):
        fill(nn.ModuleList(nn.Linear(1, 1) for _ in range(4)), {}, "x")


def test_a_byte_that_changed_on_the_disk_is_told(tmp_path: Path) -> None:
    path = write_state(tmp_path / "a.model", {"w": torch.randn(100)}, {"kind": "model"})
    raw = bytearray(path.read_bytes())
    raw[-7] ^= 0x40
    path.write_bytes(bytes(raw))
    with pytest.raises(CheckpointError, match="corrupted"):
        read_state(path)
