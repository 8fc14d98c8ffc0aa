"""Export to ONNX beyond what the contract suite asks of every model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError
from nextrec.export import export_onnx

NAMES = ("linear", "embedding", "cat", "add", "getitem")


def test_features_may_be_called_like_operators(tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    sparse = [nextrec.SparseFeature(name, 20, embedding_dim=8) for name in NAMES]
    dense = [nextrec.DenseFeature("view"), nextrec.DenseFeature("mul")]
    model = nextrec.DCNv2(dense, sparse, mlp_params={"dims": [8]}, seed=1).eval()
    path = export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == list(model.features.names)
    x = {name: torch.arange(4) for name in NAMES}
    x |= {"view": torch.linspace(0, 1, 4), "mul": torch.linspace(1, 0, 4)}
    shapes = {each.name: each.shape[1:] for each in session.get_inputs()}
    feeds = {name: values.numpy().reshape(4, *shapes[name]) for name, values in x.items()}
    np.testing.assert_allclose(session.run(None, feeds)[0], model(x).detach(), atol=1e-6)


def test_a_feature_may_not_be_called_like_the_output(tmp_path) -> None:
    model = nextrec.DNN(sparse_features=[nextrec.SparseFeature("predictions", 5)])
    with pytest.raises(ConfigError, match="'predictions'"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
