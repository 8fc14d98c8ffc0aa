"""What every model of the zoo must do. A new model is tested by being there."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import torch
from contract.zoo import ITEMS, LENGTH, Case, cases, frame, tensors

import nextrec
from nextrec.errors import ConfigError

ROWS = 33


@pytest.fixture(params=cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_logits_are_finite_and_one_a_target(case: Case) -> None:
    model = case.build()
    for training in (True, False):
        logits = model.train(training).logits(tensors(ROWS))
        assert logits.shape == (ROWS, model.num_logits)
        assert torch.isfinite(logits).all()


def test_takes_several_targets(case: Case) -> None:
    if case.multi_task:
        pytest.skip("its targets are part of its structure")
    model = case.build(target=["click", "buy"], task=["binary", "multiclass"], num_classes=3)
    logits = model.logits(tensors(ROWS))
    assert logits.shape == (ROWS, 4)
    outputs = model.training_outputs(tensors(ROWS))
    labels = torch.zeros(ROWS, 2)
    model.objective(outputs, labels).backward()


def test_predictions_are_probabilities(case: Case) -> None:
    model = case.build().eval()
    predictions = model(tensors(ROWS))
    assert predictions.shape == ((ROWS,) if model.num_logits == 1 else (ROWS, model.num_logits))
    assert ((predictions > 0) & (predictions < 1)).all()


def test_every_parameter_gets_a_gradient(case: Case) -> None:
    model = case.build()
    x, y = tensors(256), frame(256)
    labels = torch.from_numpy(np.stack([y[name] for name in model.target_columns], axis=1))
    torch.manual_seed(0)  # switches that are drawn may all be shut
    for _ in range(3):  # a zero output layer would hide what lies before it
        model.zero_grad()
        model.objective(model.training_outputs(x), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
    lacking = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert lacking == []


def test_padding_changes_nothing(case: Case) -> None:
    model = case.build().eval()
    x = tensors(ROWS)
    shorter = {**x, "history": x["history"][:, :4]}
    shorter["history"][:, 3:] = 0
    longer = {**shorter, "history": torch.nn.functional.pad(shorter["history"], (0, LENGTH - 4))}
    torch.testing.assert_close(model(shorter), model(longer), rtol=1e-5, atol=1e-6)


def test_order_and_size_of_the_batch_change_nothing(case: Case) -> None:
    model = case.build().eval()
    x = tensors(ROWS)
    whole = model(x)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    shuffled = model({name: values[order] for name, values in x.items()})
    torch.testing.assert_close(shuffled, whole[order], rtol=1e-5, atol=1e-6)
    for row in (0, ROWS - 1):
        alone = model({name: values[row : row + 1] for name, values in x.items()})
        torch.testing.assert_close(alone, whole[row : row + 1], rtol=1e-5, atol=1e-6)


def test_trains_on_one_row(case: Case) -> None:
    model = case.build()
    before = [p.detach().clone() for p in model.parameters()]
    model.fit(frame(1), batch_size=32, epochs=1, report=False, seed=0)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert any((p != q).any() for p, q in zip(model.parameters(), before, strict=True))


def test_empty_histories_are_fine(case: Case) -> None:
    model = case.build().eval()
    x = tensors(4)
    x["history"] = torch.zeros_like(x["history"])
    x["tags"] = torch.zeros_like(x["tags"])
    empty = model(x)
    assert torch.isfinite(empty).all()
    without = {**x, "history": x["history"][:, :0], "tags": x["tags"][:, :0]}
    torch.testing.assert_close(model(without), empty, rtol=1e-5, atol=1e-6)


def test_same_seed_same_model(case: Case) -> None:
    state = torch.get_rng_state()
    first, second = case.build(seed=7), case.build(seed=7)
    other = case.build(seed=8)
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)]
    assert not all(same)


def test_saves_and_loads_bit_equal(case: Case, tmp_path) -> None:
    model = case.build().eval()
    x = tensors(ROWS)
    loaded = nextrec.load(model.save(tmp_path / "bundle"))
    assert type(loaded) is type(model)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(loaded(x), model(x))
    file = model.save_model(tmp_path / "weights.model")
    again = case.build(seed=99).eval()
    again.load_model(file)
    assert torch.equal(again(x), model(x))


def test_learns_a_planted_problem(case: Case) -> None:
    model = case.build(optimizer_params={"lr": 1e-2})
    model.fit(frame(1500, seed=1), epochs=8, batch_size=100, report=False, seed=3)
    first = model.tasks[0].name
    values = model.evaluate(frame(600, seed=2), metrics="auc")
    assert values["auc" if len(model.tasks) == 1 else f"auc_{first}"] > 0.9


def test_repeats_with_a_seed(case: Case) -> None:
    train, test = frame(300, seed=1), frame(60, seed=2)
    results = []
    for _ in range(2):
        model = case.build(optimizer_params={"lr": 1e-2})
        model.fit(train, epochs=2, batch_size=100, report=False, seed=3)
        results.append(model.predict(test, return_dataframe=False))
    assert np.array_equal(results[0], results[1])


def test_row_gradients_train_like_dense_ones(case: Case) -> None:
    """``fit`` with Adam follows a loop of one's own with ``torch.optim.Adam``."""
    data = frame(320)
    fitted, own = case.build(), case.build()
    fitted.fit(data, epochs=2, batch_size=64, shuffle=False, report=False, seed=0)
    optimizer = torch.optim.Adam(own.parameters(), lr=1e-3)
    x = tensors(320)
    y = torch.from_numpy(np.stack([data[name] for name in own.target_columns], axis=1))
    own.train()
    torch.manual_seed(0)  # as ``fit`` does: auxiliary losses draw negatives
    for _ in range(2):
        for start in range(0, 320, 64):
            batch = {name: values[start : start + 64] for name, values in x.items()}
            optimizer.zero_grad()
            own.objective(own.training_outputs(batch), y[start : start + 64]).backward()
            torch.nn.utils.clip_grad_norm_(own.parameters(), 1.0)
            optimizer.step()
    # A bias in front of a batch norm has no gradient but rounding, which Adam blows up; it has no
    # effect either, so tables and predictions are compared.
    tables = [name for name in own.state_dict() if "embed_dict" in name]
    assert tables
    for name in tables:
        a, b = fitted.state_dict()[name], own.state_dict()[name]
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(fitted.eval()(x), own.eval()(x), rtol=1e-3, atol=1e-4)


def test_bf16_stays_near(case: Case) -> None:
    model = case.build()
    model.fit(frame(256), epochs=1, batch_size=64, precision="bf16", report=False, seed=0)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_look_at_gates_leaves_no_trace(case: Case) -> None:
    model = case.build()
    if not hasattr(model, "gates"):
        pytest.skip("it has no mixtures to look at")
    frozen = next(iter(model.children())).eval()  # a part that the user keeps in evaluation mode
    modes = [module.training for module in model.modules()]
    before = {name: each.clone() for name, each in model.state_dict().items()}
    stream = torch.get_rng_state()
    gates = model.gates(tensors(ROWS))
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)
    assert [module.training for module in model.modules()] == modes
    assert not frozen.training
    evaluated = model.eval().gates(tensors(ROWS))
    for name, weights in gates.items():
        assert not weights.requires_grad
        assert torch.equal(weights, evaluated[name])


def test_exports_to_onnx(case: Case, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    import onnxruntime

    from nextrec.export import export_onnx

    model = case.build().eval()
    path = export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows in (1, ROWS):
        x = tensors(rows)
        shapes = {i.name: (rows, *i.shape[1:]) for i in session.get_inputs()}
        feeds = {name: x[name].numpy().reshape(shape) for name, shape in shapes.items()}
        ours = model(x).detach().numpy()
        np.testing.assert_allclose(session.run(None, feeds)[0], ours, atol=1e-5)


def test_compiles_as_one_graph(case: Case) -> None:
    """``torch.compile`` meets nothing that it must leave to Python."""
    model = case.build().eval()
    x = tensors(ROWS)
    torch._dynamo.reset()
    compiled = torch.compile(model.logits, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model.logits(x), rtol=1e-4, atol=1e-5)


def test_unknown_argument_names_the_likely_one(case: Case) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'optimizer_params'"):
        case.build(optimizer_parms={})


def test_documentation_names_shape_and_source(case: Case) -> None:
    module = inspect.getmodule(case.cls)
    assert re.search(r"\b(19|20)\d\d\b", module.__doc__), "the module docstring names the paper"
    assert "num_logits" in case.cls.__doc__, "the class docstring states the output's shape"


def test_the_planted_data_has_every_column() -> None:
    assert {"history", "tags", "item"} <= set(frame(2))
    assert frame(50)["item"].max() < ITEMS
