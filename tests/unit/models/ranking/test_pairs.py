"""Options and refusals of the models over pairs of fields."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SparseFeature
from nextrec.models.ranking.afm import AFM
from nextrec.models.ranking.ffm import FFM
from nextrec.models.ranking.fm import FM
from nextrec.models.ranking.fmfm import FmFM
from nextrec.models.ranking.fwfm import FwFM
from nextrec.models.ranking.lr import LR
from nextrec.models.ranking.nfm import NFM
from nextrec.models.ranking.onn import ONN

PAIRWISE = [AFM, FFM, FmFM, FwFM, NFM, ONN]
WIDTH = {"embedding_dim": 4, "init_params": {"std": 0.5}}
SPARSE = [SparseFeature("user", 6, **WIDTH), SparseFeature("item", 8, **WIDTH)]
IDS = {"user": torch.tensor([1, 2, 5]), "item": torch.tensor([7, 0, 3])}


@pytest.mark.parametrize("model", [*PAIRWISE, FM])
def test_widths_must_be_equal(model):
    wider = SparseFeature("city", 5, embedding_dim=3)
    with pytest.raises(FeatureError, match="'user' has 4, 'city' has 3"):
        model(sparse_features=[SPARSE[0], wider])


@pytest.mark.parametrize("model", PAIRWISE)
def test_one_field_has_no_pair(model):
    with pytest.raises(FeatureError, match=f"{model.__name__} needs at least 2 fields.*'user'"):
        model(sparse_features=SPARSE[:1])


@pytest.mark.parametrize("model", [AFM, FFM, FmFM, FwFM, NFM])
def test_a_dense_value_meets_the_other_fields(model):
    built = model([DenseFeature("price")], SPARSE[:1], seed=0).eval()
    prices = torch.tensor([0.0, 1.0, 5.0])
    ids = torch.tensor([1, 1, 1])
    logits = built.logits({"user": ids, "price": prices}).squeeze()
    other = built.logits({"user": ids + 1, "price": prices}).squeeze()
    gap = logits - other
    assert not torch.allclose(gap[0], gap[2])


def test_fm_and_lr_take_one_field():
    for model in (FM, LR):
        assert model(sparse_features=SPARSE[:1]).logits(IDS).shape == (3, 1)


def test_lr_takes_any_widths_and_kinds():
    model = LR([DenseFeature("price")], [SPARSE[0], SparseFeature("city", 5, embedding_dim=3)])
    x = {"user": IDS["user"], "city": torch.tensor([1, 2, 3]), "price": torch.ones(3)}
    assert model.logits(x).shape == (3, 1)
    assert LR([DenseFeature("price")]).logits({"price": torch.ones(3)}).shape == (3, 1)


@pytest.mark.parametrize("build", [FmFM, lambda **k: FwFM(**k, linear_type="LW")])
def test_starts_as_a_factorization_machine(build):
    model, plain = build(sparse_features=SPARSE), FM(sparse_features=SPARSE)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    plain.linear.load_state_dict(model.linear.state_dict())
    torch.testing.assert_close(model.logits(IDS), plain.logits(IDS))


@pytest.mark.parametrize(
    ("model", "argument", "value", "near"),
    [
        (FwFM, "linear_type", "FeLv", "FeLV"),
        (FmFM, "interaction", "vectors", "vector"),
    ],
)
def test_unknown_options_name_the_likely_one(model, argument, value, near):
    with pytest.raises(ConfigError, match=f"`{argument}`.*Did you mean '{near}'"):
        model(sparse_features=SPARSE, **{argument: value})


@pytest.mark.parametrize(
    ("model", "argument", "value"),
    [
        (AFM, "attention_dim", 0),
        (AFM, "attention_dim", 2.5),
        (AFM, "attention_dropout", 1.0),
        (NFM, "pooling_dropout", -0.1),
    ],
)
def test_numbers_out_of_range_are_refused(model, argument, value):
    with pytest.raises(ConfigError, match=f"{model.__name__}: `{argument}` must be"):
        model(sparse_features=SPARSE, **{argument: value})


@pytest.mark.parametrize(
    ("model", "argument"), [(AFM, "attention_dropout"), (NFM, "pooling_dropout")]
)
def test_dropout_acts_in_training_only(model, argument):
    torch.manual_seed(0)
    built = model(sparse_features=SPARSE, **{argument: 0.5}, seed=0)
    x = {name: ids.repeat(20) for name, ids in IDS.items()}
    assert not torch.equal(built.train().logits(x), built.train().logits(x))
    assert torch.equal(built.eval().logits(x), built.eval().logits(x))


def test_afm_gives_the_same_a_few_rows_at_a_time():
    model = AFM([DenseFeature("price")], SPARSE, seed=0).double()
    x = {name: ids.repeat(3) for name, ids in IDS.items()}
    x["price"] = torch.linspace(-1, 1, 9, dtype=torch.float64)
    whole = model.logits(x)
    expected = torch.autograd.grad(whole.square().sum(), model.attention_hidden.weight)
    model.rows_at_a_time = 2
    parts = model.logits(x)
    torch.testing.assert_close(parts, whole)
    gradient = torch.autograd.grad(parts.square().sum(), model.attention_hidden.weight)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("model", [AFM, FFM, FM, FmFM, FwFM, LR, NFM])
def test_compiles_without_a_break(model):
    built = model(sparse_features=SPARSE, seed=0).eval()
    compiled = torch.compile(built.logits, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(IDS), built.logits(IDS))
