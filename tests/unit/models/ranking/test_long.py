"""Models for long histories: what they refuse, what they find, and where gradients go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.ranking.dmr import DMR
from nextrec.models.ranking.eta import ETA
from nextrec.models.ranking.sdim import SDIM
from nextrec.models.ranking.sim import SIM

ROWS, LENGTH = 17, 12
WIDTH = {"embedding_dim": 8, "init_params": {"std": 0.3}}
HARD = {
    "search": "hard",
    "top_k": 3,
    "short_len": 2,
    "category_feature_name": "genre",
    "time_feature_name": "gaps",
}


def arguments(**changes):
    """Items and genres in step, the time since each, and a sequence of its own."""
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 9, **WIDTH),
            SparseFeature("item", 40, "items", **WIDTH),
            SparseFeature("genre", 5, "genres", **WIDTH),
        ],
        "sequence_features": [
            SequenceFeature("history", 40, LENGTH, "items", **WIDTH),
            SequenceFeature("genres", 5, LENGTH, "genres", **WIDTH),
            SequenceFeature("gaps", 6, LENGTH, combiner="none", **WIDTH),
        ],
        "seed": 1,
        **changes,
    }


def without_gaps(**changes):
    every = arguments(**changes)
    every["sequence_features"].pop()
    return every


def batch(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    real = np.arange(LENGTH) < rng.integers(0, LENGTH + 1, (rows, 1))
    columns = {
        "price": rng.normal(size=rows).astype(np.float32),
        "user": rng.integers(1, 9, rows),
        "item": rng.integers(1, 40, rows),
        "genre": rng.integers(1, 5, rows),
        "history": rng.integers(1, 40, (rows, LENGTH)) * real,
        "genres": rng.integers(1, 5, (rows, LENGTH)) * real,
        "gaps": rng.integers(1, 6, (rows, LENGTH)) * real,
    }
    return {name: torch.from_numpy(values) for name, values in columns.items()}


MODELS = {
    "DMR": lambda: DMR(**without_gaps()),
    "SIM soft": lambda: SIM(**without_gaps(), top_k=3, short_len=2),
    "SIM soft with time": lambda: SIM(
        **arguments(), top_k=3, short_len=2, num_heads=4, time_feature_name="gaps"
    ),
    "SIM hard": lambda: SIM(**arguments(), **HARD),
    "ETA": lambda: ETA(**without_gaps(), top_k=3, short_len=2),
    "SDIM": lambda: SDIM(**without_gaps(), short_len=2),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_every_parameter_gets_a_gradient(model):
    outputs = model.training_outputs(batch(200))
    model.objective(outputs, torch.arange(200.0) % 2).backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert lacking == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_padding_on_either_side_changes_nothing(model):
    model.eval()
    x = batch()
    half = {n: c[:, : LENGTH // 2] if c.dim() == 2 else c for n, c in x.items()}
    pad = torch.nn.functional.pad
    right = {n: pad(c, (0, 6)) if c.dim() == 2 else c for n, c in half.items()}
    left = {n: pad(c, (6, 0)) if c.dim() == 2 else c for n, c in half.items()}
    for padded in (right, left):
        torch.testing.assert_close(model.logits(padded), model.logits(half))


def test_empty_histories_are_finite_and_train(model):
    x = batch()
    for name in ("history", "genres", "gaps"):
        x[name] = torch.zeros_like(x[name])
    outputs = model.training_outputs(x)
    loss = model.objective(outputs, torch.zeros(ROWS))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_training_reads_the_logits_of_prediction(model):
    model.eval()
    outputs = model.training_outputs(batch())
    logits = outputs if isinstance(outputs, torch.Tensor) else outputs["logits"]
    torch.testing.assert_close(logits, model.logits(batch()))


def test_loads_bit_equal(model, tmp_path):
    model.eval()
    loaded = nextrec.load(model.save(tmp_path / "bundle"))
    assert torch.equal(loaded(batch()), model(batch()))


def test_hard_search_exports(tmp_path):
    """The contract's features have no category; it exports the other models."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from nextrec.export import export_onnx

    model, x = MODELS["SIM hard"]().eval(), batch()
    session = onnxruntime.InferenceSession(str(export_onnx(model, tmp_path / "model.onnx")))
    feeds = {i.name: x[i.name].numpy().reshape(ROWS, *i.shape[1:]) for i in session.get_inputs()}
    np.testing.assert_allclose(session.run(None, feeds)[0], model(x).detach().numpy(), atol=1e-5)


def test_the_search_of_eta_trains_only_what_it_found():
    model = ETA(**without_gaps(), top_k=2, short_len=0)
    x = batch(1)
    x["history"][:] = torch.arange(2, 2 + LENGTH)
    x["genres"][:] = 1
    model.logits(x).sum().backward()
    table = model.embedding.embed_dict
    gradient = table.weight(table.storage_of("items")).grad
    start = table.storage_of("items").offsets["items"]
    touched = gradient[start : start + 40].any(1).nonzero().flatten().tolist()
    assert len(set(touched) - {x["item"].item()}) <= 2


def test_eta_finds_the_items_that_are_the_candidate():
    model = ETA(**without_gaps(), top_k=1, short_len=0).eval()
    x = batch(1)
    x["item"][:], x["genre"][:] = 7, 2
    x["history"][:], x["genres"][:] = torch.arange(20, 20 + LENGTH), 4
    x["history"][0, 3], x["genres"][0, 3] = 7, 2
    alone = {**x, "history": torch.tensor([[7]]), "genres": torch.tensor([[2]])}
    torch.testing.assert_close(model.logits(x), model.logits(alone))


def test_hard_search_sees_the_newest_of_the_category_only():
    model = SIM(**arguments(), **{**HARD, "short_len": 0}).eval()
    x = batch(1)
    x["genre"][:] = 2
    x["history"][:], x["gaps"][:] = torch.arange(20, 20 + LENGTH), 1
    x["genres"][:] = torch.tensor([2, 2, 1, 2, 3, 2, 3, 1, 1, 1, 1, 1])
    places = [1, 3, 5]  # the newest three of four
    only = {n: c[:, places] if c.dim() == 2 else c for n, c in x.items()}
    torch.testing.assert_close(model.logits(x), model.logits(only))
    moved = {**x, "history": x["history"].clone()}
    moved["history"][0, 5] = 9
    assert not torch.allclose(model.logits(x), model.logits(moved))


def test_soft_search_follows_the_weight_of_its_loss():
    light, heavy = (SIM(**without_gaps(), auxiliary_weight=w) for w in (0.1, 10.0))
    gradients = []
    for model in (light, heavy):
        outputs = model.training_outputs(batch())
        model.objective(outputs, torch.arange(float(ROWS)) % 2).backward()
        gradients.append(model.soft.W_a.weight.grad)
    torch.testing.assert_close(gradients[1], 100 * gradients[0])
    light.compile(loss="focal")
    outputs = light.training_outputs(batch())
    alone = light.objective(outputs["logits"], torch.zeros(ROWS))
    assert light.objective(outputs, torch.zeros(ROWS)) > alone


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (ETA, {"top_k": 0}, "ETA: `top_k` must be an integer of at least 1; got 0"),
        (ETA, {"hash_bits": 0}, "`hash_bits`"),
        (ETA, {"short_len": -1}, "`short_len` must be an integer of at least 0"),
        (ETA, {"num_heads": 3}, "`num_heads` must be a divisor of the width 16"),
        (SDIM, {"signature_width": 5}, r"`signature_width` must be a divisor of `num_hashes` \(48"),
        (SDIM, {"num_hashes": 0}, "`num_hashes`"),
        (SDIM, {"short_len": 2.0}, "`short_len`"),
        (DMR, {"auxiliary_weight": -1}, "`auxiliary_weight` must be a number of at least 0"),
        (DMR, {"attention_dim": 0}, "`attention_dim`"),
        (DMR, {"position_dim": 0}, "`position_dim`"),
        (DMR, {"num_negatives": 0}, "`num_negatives`"),
        (SIM, {"search": "sof"}, r"`search` must be one of soft, hard; got 'sof'.*'soft'"),
        (SIM, {"search": "hard"}, "`category_feature_name` must be the candidate's category"),
        (SIM, {"category_feature_name": "genre"}, "`search` must be 'hard'"),
        (SIM, {"auxiliary_weight": 0}, "`auxiliary_weight` must be a number above 0"),
        (SIM, {"top_k": 0}, "`top_k`"),
        (SIM, {"num_heads": 3}, "`num_heads`"),
        (
            SIM,
            {"search": "hard", "category_feature_name": "genre", "search_params": {}},
            "`search_params` has no use with hard search",
        ),
        (SIM, {"search_params": {"dim": [4]}}, "Did you mean 'dims'"),
        (SIM, {"time_feature_name": "user"}, "`time_feature_name` must be the name of a sequence"),
        (
            SIM,
            {"search": "hard", "category_feature_name": "user"},
            "names of sparse features that share a history's table",
        ),
    ],
)
def test_bad_arguments_are_refused(cls, options, message):
    with pytest.raises(ConfigError, match=message):
        cls(**without_gaps(), **options)


@pytest.mark.parametrize("cls", [DMR, SIM, ETA, SDIM])
def test_a_history_needs_its_candidate(cls):
    every = without_gaps()
    every["sparse_features"] = every["sparse_features"][:1]
    with pytest.raises(FeatureError, match=f"{cls.__name__} needs a history and its candidate"):
        cls(**every)


@pytest.mark.parametrize("cls", [DMR, SIM, ETA, SDIM])
def test_histories_run_in_step(cls):
    every = without_gaps()
    every["sequence_features"][1] = SequenceFeature("genres", 5, 3, "genres", **WIDTH)
    with pytest.raises(FeatureError, match=r"one `max_len`: 'history' has 12, 'genres' has 3"):
        cls(**every)


def test_sequences_beside_the_items_run_in_step():
    every = without_gaps()
    every["sequence_features"].append(SequenceFeature("gaps", 6, 3, **WIDTH))
    with pytest.raises(FeatureError, match=r"reads 'gaps' in step with 'history'.* 3 and 12"):
        SIM(**every, time_feature_name="gaps")


def test_dmr_needs_one_table_of_items():
    every = without_gaps()
    every["sparse_features"][1] = SparseFeature("item", 40, "others", **WIDTH)
    names = {"behavior_feature_name": "history", "candidate_feature_name": "item"}
    with pytest.raises(FeatureError, match="'history' has 'items', 'item' has 'others'"):
        DMR(**every, **names)
    ETA(**every, **names)  # which only compares vectors
