"""Errors and options of DCNv3 and EulerNet, and numeric embeddings in a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.loss import Objective
from nextrec.models.forecast import forecast
from nextrec.models.ranking.dcn_v3 import DCNv3
from nextrec.models.ranking.deepfm import DeepFM
from nextrec.models.ranking.euler_net import EulerNet


def sparse(width: int = 4) -> dict:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=width),
            SparseFeature("item", 8, embedding_dim=width),
        ],
        "seed": 0,
    }


X = {
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "user": torch.tensor([0, 1, 5]),
    "item": torch.tensor([1, 2, 7]),
}


@pytest.mark.parametrize("model", [DCNv3, EulerNet])
def test_fields_of_two_widths_are_named(model: type) -> None:
    features = [
        SparseFeature("user", 6, embedding_dim=4),
        SparseFeature("item", 8, embedding_dim=6),
    ]
    with pytest.raises(FeatureError, match="'user' has 4, 'item' has 6"):
        model(sparse_features=features)


@pytest.mark.parametrize("model", [DCNv3, EulerNet])
def test_one_field_is_too_few(model: type) -> None:
    with pytest.raises(FeatureError, match=r"at least 2 fields.*'user'"):
        model(sparse_features=[SparseFeature("user", 6, embedding_dim=4)])


def test_dcn_v3_names_the_fields_that_do_not_split() -> None:
    with pytest.raises(FeatureError, match=r"multiple of 2; 'user', 'item', 'price' have 5"):
        DCNv3(**sparse(width=5))
    with pytest.raises(FeatureError, match=r"`num_heads` 3.*multiple of 6.* have 4"):
        DCNv3(**sparse(), num_heads=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deep_cross_num": -1}, "`deep_cross_num` must be an integer of at least 0; got -1"),
        ({"shallow_cross_num": 1.5}, "`shallow_cross_num` must be .* got 1.5"),
        ({"deep_cross_num": 0, "shallow_cross_num": 0}, "`deep_cross_num` must be at least 1"),
        ({"num_heads": 0}, "`num_heads` must be a positive integer; got 0"),
    ],
)
def test_dcn_v3_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DCNv3(**sparse(), **arguments)


def test_dcn_v3_without_its_loss_has_the_plain_objective() -> None:
    model = DCNv3(**sparse(), tri_loss=False)
    labels = torch.tensor([[1.0], [0.0], [0.0]])
    plain = Objective(model.tasks)
    assert model.objective(model.training_outputs(X), labels) == plain(model.logits(X), labels)


def test_dcn_v3_keeps_its_loss_when_compiled_again() -> None:
    model = DCNv3(**sparse())
    labels = torch.tensor([[1.0], [0.0], [0.0]])
    # One branch says 3, the other -3: their mean is right in the middle, one of them is worse.
    outputs = {
        "logits": torch.zeros(3, 1),
        "branches": [torch.full((3, 1), 3.0), torch.full((3, 1), -3.0)],
    }
    before = model.objective(outputs, labels)
    assert before > model.objective(outputs["logits"], labels) + 0.1
    model.compile(optimizer="sgd", loss_weights=2.0)
    torch.testing.assert_close(model.objective(outputs, labels), 2 * before)


def test_weights_of_the_branches_have_no_gradient() -> None:
    model = DCNv3(**sparse())
    labels = torch.tensor([[1.0], [1.0], [0.0]])
    z = torch.zeros(3, 1, requires_grad=True)
    branch = torch.full((3, 1), -2.0, requires_grad=True)
    model.objective({"logits": z, "branches": [branch]}, labels).backward()
    plain = torch.zeros(3, 1, requires_grad=True)
    model.objective(plain, labels).backward()
    torch.testing.assert_close(z.grad, plain.grad)
    alone = branch.detach().requires_grad_()
    loss = model.objective(alone, labels)
    loss.backward()
    weight = (loss - model.objective(z, labels)).item()
    assert weight > 0
    torch.testing.assert_close(branch.grad, weight * alone.grad)


@pytest.mark.parametrize("units", [[], [0], [4.0], 4, [True]])
def test_euler_net_refuses_order_units(units: object) -> None:
    with pytest.raises(ConfigError, match=r"`order_units` must be a list of (positive )?integers"):
        EulerNet(**sparse(), order_units=units)


def test_euler_layer_starts_as_its_inputs() -> None:
    """With as many products as fields each starts as one field to the power of one."""
    model = EulerNet(**sparse())
    (layer,) = model.layers
    assert torch.equal(layer.alpha, torch.eye(3))
    assert torch.equal(EulerNet(**sparse(), order_units=[7]).layers[0].alpha.sum(1), torch.ones(7))


def test_euler_layer_starts_with_xavier_spread() -> None:
    (layer,) = EulerNet(**sparse()).layers
    rows, columns = layer.implicit.weight.shape
    bound = (6 / (rows + columns)) ** 0.5
    assert 0.8 * bound < layer.implicit.weight.abs().max() <= bound


def test_a_vanishing_modulus_has_a_finite_gradient() -> None:
    model = EulerNet(**sparse())
    with torch.no_grad():
        model.mu.fill_(1e-12)
    model.logits(X).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


# -- numeric embeddings in a model ---------------------------------------------------------------

NUMERIC = [
    DenseFeature("raw"),
    DenseFeature("age", 4, embedding_type="autodis", embedding_params={"num_embeddings": 5}),
    DenseFeature("height", 4, embedding_type="autodis", embedding_params={"num_embeddings": 5}),
    DenseFeature("time", 4, embedding_type="periodic"),
    DenseFeature("price", 4, embedding_type="piecewise", embedding_params={"edges": [-1, 0, 2]}),
    DenseFeature("size", 4),
]


def numeric_model(**options: object) -> DeepFM:
    sparse = [SparseFeature("item", 8, embedding_dim=4)]
    return DeepFM(NUMERIC, sparse, mlp_params={"dims": [8]}, target="y", seed=0, **options)


def numeric_frame(rows: int = 96) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    frame: dict[str, np.ndarray] = {
        feature.name: rng.normal(size=rows).astype(np.float32) for feature in NUMERIC
    }
    frame["item"] = rng.integers(0, 8, rows)
    frame["y"] = (frame["price"] + 0.1 * rng.normal(size=rows) > 0).astype(np.float32)
    return frame


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_numeric_embeddings_are_trained_saved_and_loaded(tmp_path, precision: str) -> None:
    model, frame = numeric_model(), numeric_frame()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.fit(frame, epochs=2, batch_size=32, precision=precision, report=False, seed=0)
    same = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert same == []
    assert all(torch.isfinite(p).all() for p in model.parameters())
    x = {name: torch.from_numpy(values) for name, values in frame.items() if name != "y"}
    loaded = nextrec.load(model.save(tmp_path / "bundle"))
    assert torch.equal(loaded.eval()(x), model.eval()(x))
    assert [f.to_dict() for f in loaded.features] == [f.to_dict() for f in model.features]


def test_numeric_embeddings_are_exported_to_onnx(tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from nextrec.export import export_onnx

    model, frame = numeric_model().eval(), numeric_frame()
    session = onnxruntime.InferenceSession(
        str(export_onnx(model, tmp_path / "model.onnx")), providers=["CPUExecutionProvider"]
    )
    shapes = {each.name: (-1, *each.shape[1:]) for each in session.get_inputs()}
    feeds = {name: frame[name].reshape(shape) for name, shape in shapes.items()}
    x = {name: torch.from_numpy(values) for name, values in frame.items() if name != "y"}
    np.testing.assert_allclose(session.run(None, feeds)[0], model(x).detach().numpy(), atol=1e-5)


def test_the_forecast_counts_numeric_embeddings() -> None:
    model = numeric_model()
    params = {"mlp_params": {"dims": [8]}, "target": "y"}
    told = forecast("DeepFM", model.features, params)
    tables = {id(p) for name, p in model.named_parameters() if "embed_dict" in name}
    outside = [p for p in (*model.parameters(), *model.buffers()) if id(p) not in tables]
    assert told.dense == sum(p.numel() * p.element_size() for p in outside)
    assert told.activations is not None


def test_the_summary_tells_how_numbers_are_embedded() -> None:
    assert "dense: raw, age (autodis, 4), height (autodis, 4), time (periodic, 4), price " in (
        numeric_model().summary()
    )
