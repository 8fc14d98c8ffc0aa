"""DIN, DIEN, BST and DMIN: which histories they read, their options, auxiliary losses, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nextrec
from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.layers.activation import Dice
from nextrec.layers.recurrent import AGRU, AUGRU, DynamicGRU
from nextrec.models.ranking.bst import BST
from nextrec.models.ranking.dien import DIEN, BilinearAttention, MLPAttention
from nextrec.models.ranking.din import DIN
from nextrec.models.ranking.dmin import DMIN

MODELS = [DIN, DIEN, BST, DMIN]
AUXILIARY = [DIEN, DMIN]
ROWS = 12


def features(width=4, **history):
    """Items and their categories as histories with candidates, and tags beside them."""
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("item", 20, "items", width),
            SparseFeature("category", 9, "categories", 2),
            SparseFeature("user", 7),
        ],
        "sequence_features": [
            SequenceFeature("items_seen", 20, 5, "items", width, **history),
            SequenceFeature("categories_seen", 9, 5, "categories", 2),
            SequenceFeature("tags", 6, 3, embedding_dim=3),
        ],
    }


def columns(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.arange(5) < rng.integers(0, 6, (rows, 1))
    data = {
        "price": rng.normal(size=rows).astype(np.float32),
        "item": rng.integers(2, 20, rows),
        "category": rng.integers(2, 9, rows),
        "user": rng.integers(0, 7, rows),
        "items_seen": np.where(mask, rng.integers(2, 20, (rows, 5)), 0),
        "categories_seen": np.where(mask, rng.integers(2, 9, (rows, 5)), 0),
        "tags": rng.integers(0, 6, (rows, 3)),
    }
    return {name: torch.from_numpy(values) for name, values in data.items()}


def build(cls, arguments=None, **options):
    return cls(**(arguments or features()), **{"mlp_params": {"dims": [8]}, "seed": 0, **options})


@pytest.mark.parametrize("cls", MODELS)
def test_reads_every_column(cls):
    model = build(cls).eval()
    x = columns()
    before = model.logits(x)
    for name in x:
        changed = dict(x)
        changed[name] = x[name].roll(1, 0)
        assert not torch.allclose(model.logits(changed), before), name


@pytest.mark.parametrize("cls", MODELS)
def test_histories_are_those_with_a_candidate_or_those_named(cls):
    model = build(cls)
    found = model.pairs if cls is DIN else model.histories.pairs
    assert [(a.name, b.name) for a, b in found] == [
        ("items_seen", "item"),
        ("categories_seen", "category"),
    ]
    named = build(cls, behavior_feature_name="categories_seen", candidate_feature_name="category")
    found = named.pairs if cls is DIN else named.histories.pairs
    assert [(a.name, b.name) for a, b in found] == [("categories_seen", "category")]
    rest = named.rest if cls is DIN else named.histories.rest
    assert "items_seen" in rest
    assert "tags" in rest


@pytest.mark.parametrize("cls", MODELS)
def test_a_candidate_of_another_width_is_mapped(cls):
    model = build(cls, behavior_feature_name="tags", candidate_feature_name="user", **heads(cls, 1))
    assert torch.isfinite(model.logits(columns())).all()


def heads(cls, count):
    return {"num_heads": count} if cls in (BST, DMIN) else {}


@pytest.mark.parametrize("cls", MODELS)
def test_needs_a_history(cls):
    arguments = features()
    arguments["sequence_features"] = arguments["sequence_features"][2:]
    with pytest.raises(FeatureError, match=f"{cls.__name__} needs a history and its candidate"):
        build(cls, arguments)


@pytest.mark.parametrize("cls", MODELS)
def test_an_ambiguous_candidate_is_named_in_the_error(cls):
    arguments = features()
    arguments["sparse_features"].append(SparseFeature("item_shown_before", 20, "items", 4))
    with pytest.raises(FeatureError, match=r"'items_seen' needs one candidate.*item_shown_before"):
        build(cls, arguments)


@pytest.mark.parametrize("cls", [DIEN, BST, DMIN])
def test_histories_of_different_lengths_are_refused(cls):
    arguments = features()
    arguments["sequence_features"][1].max_len = 4
    with pytest.raises(FeatureError, match="'items_seen' has 5, 'categories_seen' has 4"):
        build(cls, arguments)


@pytest.mark.parametrize("cls", [BST, DMIN])
def test_heads_must_divide_the_width(cls):
    with pytest.raises(ConfigError, match="num_heads"):
        build(cls, num_heads=5)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (DIEN, {"gru_type": "augur"}, "Did you mean 'augru'"),
        (DIEN, {"auxiliary_weight": 0.0}, "`auxiliary_weight` must be positive"),
        (DIEN, {"gru_hidden_size": 0}, "hidden_size"),
        (DIEN, {"attention_activation": "dise"}, "Did you mean 'dice'"),
        (DMIN, {"auxiliary_weight": -1.0}, "`auxiliary_weight` must be positive"),
        (DMIN, {"attention_hidden_units": []}, "`attention_hidden_units` must be at least one"),
        (DMIN, {"attention_activation": "reluu"}, "Did you mean 'relu'"),
        (BST, {"output": "concatt"}, "Did you mean 'concat'"),
        (BST, {"num_blocks": 0}, "`num_blocks` must be at least 1"),
        (BST, {"position_dim": 0}, "embedding_dim"),
        (DIN, {"attention_activation": "dise"}, "Did you mean 'dice'"),
    ],
)
def test_refuses_bad_options(cls, options, message):
    with pytest.raises(ConfigError, match=message):
        build(cls, **options)


# -- DIN and DIEN --------------------------------------------------------------------------------


def test_din_offers_dice():
    kinds = [type(layer) for layer in build(DIN).attention[0].later]
    assert kinds[0] is Dice
    model = build(DIN, attention_activation="prelu")
    assert not [layer for layer in model.attention.modules() if isinstance(layer, Dice)]


def test_dien_takes_its_arguments_by_position():
    groups = features().values()
    model = DIEN(*groups, {"dims": [8]}, 16, [6, 5], "sigmoid", True)
    assert model.interest_extractor.hidden_size == 16
    assert model.attention_layer.first.weight.shape == (6, 4 * 16)
    assert model.auxiliary is not None


def test_dien_has_the_papers_attention_unless_units_are_given():
    assert type(build(DIEN).attention_layer) is BilinearAttention
    assert type(build(DIEN, attention_activation="sigmoid").attention_layer) is MLPAttention
    units = build(DIEN, attention_hidden_units=[6]).attention_layer
    assert type(units) is MLPAttention
    assert isinstance(units.later[0], Dice)


@pytest.mark.parametrize(
    ("gru_type", "kind"), [("augru", AUGRU), ("agru", AGRU), ("aigru", DynamicGRU)]
)
def test_dien_evolves_by_the_unit_named(gru_type, kind):
    assert type(build(DIEN, gru_type=gru_type).interest_evolution) is kind


# -- auxiliary losses ----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", AUXILIARY)
def test_auxiliary_loss_is_off_by_default(cls):
    assert isinstance(build(cls).training_outputs(columns()), torch.Tensor)


@pytest.mark.parametrize("cls", AUXILIARY)
def test_auxiliary_loss_is_added_by_its_weight(cls):
    x, labels = columns(), torch.ones(ROWS, 1)
    values = {}
    for weight in (0.5, 1.0):
        model = build(cls, use_negsampling=True, auxiliary_weight=weight).eval()
        torch.manual_seed(5)
        outputs = model.training_outputs(x)
        torch.testing.assert_close(outputs["logits"], model.logits(x))
        values[weight] = outputs["auxiliary"]["next_item"]
        plain = model.objective(outputs["logits"], labels)
        torch.testing.assert_close(model.objective(outputs, labels), plain + values[weight])
    torch.testing.assert_close(values[1.0], 2 * values[0.5])


@pytest.mark.parametrize("cls", AUXILIARY)
def test_every_parameter_learns_with_it(cls):
    model = build(cls, use_negsampling=True)
    labels = torch.from_numpy(np.arange(64) % 2).float().unsqueeze(1)
    model.objective(model.training_outputs(columns(64)), labels).backward()
    assert [n for n, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("cls", AUXILIARY)
def test_a_history_without_a_next_item_has_no_auxiliary_loss(cls):
    x = columns()
    x["items_seen"][:, 1:] = 0
    x["categories_seen"][:, 1:] = 0
    outputs = build(cls, use_negsampling=True).training_outputs(x)
    assert outputs["auxiliary"]["next_item"].item() == 0


@pytest.mark.parametrize("cls", AUXILIARY)
def test_the_states_do_not_see_the_item_they_have_to_tell(cls):
    model = build(cls, use_negsampling=True).eval()
    given = {}
    model.auxiliary.register_forward_pre_hook(lambda _, inputs: given.update(states=inputs[2]))
    x = columns()
    model.training_outputs(x)
    before = given["states"]
    x["items_seen"][:, 3:] = torch.where(x["items_seen"][:, 3:] > 0, 2, 0)
    model.training_outputs(x)
    torch.testing.assert_close(given["states"][:, :3], before[:, :3])
    assert not torch.allclose(given["states"], before)


@pytest.mark.parametrize("cls", AUXILIARY)
def test_too_few_items_are_refused(cls):
    arguments = {
        "sparse_features": [SparseFeature("item", 3, "items", 4)],
        "sequence_features": [SequenceFeature("seen", 3, 5, "items", 4)],
    }
    build(cls, arguments)
    with pytest.raises(FeatureError, match="'seen', so its table needs two items"):
        build(cls, arguments, use_negsampling=True)


@pytest.mark.parametrize("cls", AUXILIARY)
def test_trains_saves_and_repeats_with_it(cls, tmp_path):
    data = {name: values.numpy() for name, values in columns(96).items()}
    data["label"] = (np.arange(96) % 2).astype(np.float32)
    predictions = []
    for _ in range(2):
        model = build(cls, use_negsampling=True)
        model.fit(data, epochs=2, batch_size=32, report=False, seed=3)
        predictions.append(model.predict(data, return_dataframe=False))
    assert np.array_equal(*predictions)
    loaded = nextrec.load(model.save(tmp_path / "bundle"))
    assert np.array_equal(loaded.predict(data, return_dataframe=False), predictions[1])


@pytest.mark.parametrize("cls", AUXILIARY)
def test_auxiliary_loss_orders_the_items(cls):
    """Histories that walk round a ring: each item tells the next, and the loss learns it."""
    rng = np.random.default_rng(0)
    ids = 2 + (rng.integers(0, 18, (512, 1)) + np.arange(5)) % 18
    arguments = {
        "sparse_features": [SparseFeature("item", 20, "items", 16, init_params={"std": 0.3})],
        "sequence_features": [
            SequenceFeature("seen", 20, 5, "items", 16, init_params={"std": 0.3})
        ],
    }
    torch.manual_seed(0)
    model = build(cls, arguments, use_negsampling=True)
    x = {"item": torch.from_numpy(ids[:, 0]), "seen": torch.from_numpy(ids)}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.training_outputs(x)["auxiliary"]["next_item"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.0
    assert losses[-1] < 0.5


# -- BST -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["concat", "mean", "candidate"])
def test_bst_knows_the_order_of_the_history(output):
    model = build(BST, output=output).eval()
    x = columns()
    x["items_seen"][:] = torch.tensor([3, 4, 5, 6, 7])
    x["categories_seen"][:] = torch.tensor([3, 4, 5, 6, 7])
    before = model.logits(x)
    for name in ("items_seen", "categories_seen"):
        x[name] = x[name].flip(1)
    assert not torch.allclose(model.logits(x), before)


def test_bst_reads_what_is_named():
    width = 2 * (4 + 2)
    rest = build(BST).histories.rest.width
    sizes = {"concat": 6 * width, "mean": width, "candidate": width}
    for output, size in sizes.items():
        assert build(BST, output=output).mlp.mlp[0].in_features == rest + size
