"""Errors and options of WuKong, RankMixer, HiFormer and OneTrans."""

from __future__ import annotations

import pytest
import torch

from nextrec.errors import ConfigError, FeatureError
from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.ranking.hiformer import HiFormer
from nextrec.models.ranking.one_trans import OneTrans, causal, pyramid_lengths
from nextrec.models.ranking.rank_mixer import RankMixer
from nextrec.models.ranking.wukong import WuKong


def features(width: int = 4) -> dict:
    return {
        "dense_features": [DenseFeature("price")],
        "sparse_features": [
            SparseFeature("user", 6, embedding_dim=4),
            SparseFeature("item", 8, embedding_dim=width, embedding_name="items"),
        ],
        "sequence_features": [
            SequenceFeature("seen", 8, 5, "items", embedding_dim=width),
            SequenceFeature("tags", 7, 3, embedding_dim=4),
        ],
        "seed": 0,
    }


X = {
    "price": torch.tensor([0.5, -1.0, 2.0]),
    "user": torch.tensor([0, 1, 5]),
    "item": torch.tensor([1, 2, 7]),
    "seen": torch.tensor([[1, 2, 3, 0, 0], [0, 0, 0, 0, 0], [4, 5, 6, 7, 1]]),
    "tags": torch.tensor([[1, 0, 0], [2, 3, 0], [0, 0, 0]]),
}


@pytest.mark.parametrize("model", [WuKong, HiFormer])
def test_fields_of_two_widths_are_named(model: type) -> None:
    with pytest.raises(FeatureError, match="'user' has 4, 'item' has 3"):
        model(**features(3))


@pytest.mark.parametrize("model", [WuKong, HiFormer])
def test_one_field_is_too_few(model: type) -> None:
    with pytest.raises(FeatureError, match=r"at least 2 fields.*'user'"):
        model(sparse_features=[SparseFeature("user", 6)])


@pytest.mark.parametrize("model", [RankMixer, OneTrans])
def test_features_of_any_width_become_tokens(model: type) -> None:
    assert torch.isfinite(model(**features(3)).logits(X)).all()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (WuKong, {"num_layers": 0}, "`num_layers` must be a positive integer"),
        (WuKong, {"num_fmb": 0, "num_lcb": -1}, "`num_fmb`.*\n.*`num_lcb`"),
        (WuKong, {"rank": 0}, "`rank` must be a positive integer"),
        (WuKong, {"rank": None, "attention_params": {}}, "no use without `rank`"),
        (WuKong, {"fmb_params": {"dim": [4]}}, "Did you mean 'dims'"),
        (RankMixer, {"num_tokens": 5, "token_dim": 16}, "`token_dim` must be a multiple of the 5"),
        (RankMixer, {"num_tokens": 18, "token_dim": 18}, "at most the 17 numbers"),
        (RankMixer, {"ffn_ratio": 0}, "`ffn_ratio` must be a positive integer"),
        (RankMixer, {"token_groups": [["user", "item"]]}, r"\['seen', 'tags', 'price'\]"),
        (
            RankMixer,
            {"num_tokens": 2, "token_groups": [["user", "item", "seen", "tags", "price"]]},
            r"the number of `token_groups` \(1\); got 2",
        ),
        (HiFormer, {"num_heads": 3}, "`num_heads` must be a divisor of the fields' width 4"),
        (HiFormer, {"head_dim": 0}, "`head_dim` must be a positive integer"),
        (HiFormer, {"composite": False, "rank": 2}, "no use with `composite` False"),
        (OneTrans, {"num_heads": 3}, r"`num_heads` must be a divisor of `token_dim` \(64\)"),
        (OneTrans, {"num_tokens": 0}, "`num_tokens` must be a positive integer"),
        (OneTrans, {"num_tokens": 3, "token_groups": [["user"]]}, "the number of `token_groups`"),
        (OneTrans, {"token_groups": [["user", "item"]]}, r"\['price'\]"),
        (OneTrans, {"behavior_feature_name": [["seen", "tags"]]}, "need one `max_len`"),
        (OneTrans, {"behavior_feature_name": "user"}, "names of sequence features"),
    ],
)
def test_wrong_options_are_errors(model: type, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model(**features(), **options)


def test_one_trans_needs_a_history_and_something_else() -> None:
    with pytest.raises(FeatureError, match="needs a history"):
        OneTrans(sparse_features=[SparseFeature("user", 6)])
    with pytest.raises(FeatureError, match=r"a feature beside its histories \['seen'\]"):
        OneTrans(sequence_features=[SequenceFeature("seen", 8)])


def test_wukong_keeps_the_residual_where_the_count_stays() -> None:
    # Five fields; without a residual of its own the first layer maps 2 + 3 rows alone.
    model = WuKong(**features(), num_fmb=2, num_lcb=3, rank=6)
    assert [layer.combine.out_features for layer in model.layers] == [9, 9, 9]
    changed = WuKong(**features(), num_fmb=2, num_lcb=2, rank=6)
    assert [layer.combine.out_features for layer in changed.layers] == [12, 8, 8]


def test_wukong_lets_each_row_have_its_projection() -> None:
    plain, attentive = (
        WuKong(**features(), attention_params=params) for params in (None, {"dims": [8]})
    )
    assert plain.layers[0].attention is None
    assert attentive.layers[0].attention.out_features == 5 * 24


def test_hiformer_has_a_token_a_task_and_computes_only_these_last() -> None:
    model = HiFormer(
        **features(), target=["a", "b"], task=["binary", "multiclass"], num_classes=[3]
    )
    assert model.task_tokens.shape == (2, 4)
    assert [layer.queries for layer in model.layers] == [7, 2]
    assert model.logits(X).shape == (3, 4)


def test_a_rank_makes_hiformer_smaller() -> None:
    sizes = [
        sum(p.numel() for p in HiFormer(**features(), rank=rank).layers.parameters())
        for rank in (None, 2)
    ]
    # Two layers, six tokens of width 4, two heads of width 2, keys and values.
    full, low = 4 * 24 * 12, 4 * (24 * 2 + 2 * 12)
    assert sizes[0] - sizes[1] == 2 * (full - low)


def test_named_groups_are_tokens() -> None:
    groups = [["user"], ["item", "seen"], ["tags", "price"]]
    model = RankMixer(**features(), token_groups=groups, token_dim=12)
    assert model.tokenizer(model.embedding.flat(X)).shape == (3, 3, 12)
    groups = [["user", "price"], ["item"]]
    assert OneTrans(**features(), token_groups=groups).tokenizer.num_tokens == 2


def test_the_pyramid_ends_at_the_feature_tokens() -> None:
    assert pyramid_lengths(1190, 12, 6, True) == [1190, 954, 719, 483, 248, 0]
    assert pyramid_lengths(50, 8, 3, False) == [50, 50, 0]
    assert pyramid_lengths(3, 8, 3, True) == [3, 3, 0]
    assert pyramid_lengths(50, 8, 1, True) == [0]


def test_tokens_see_what_is_real_and_before_them() -> None:
    seen = causal(torch.tensor([[False, True, True]]))[0, 0]
    assert seen.tolist() == [[True, False, False], [False, True, False], [False, True, True]]


def test_events_do_not_see_the_candidate() -> None:
    model = OneTrans(**features()).eval()
    events, _ = model.events(model.embedding, X)
    kept = []
    model.blocks[0].register_forward_hook(lambda _, __, out: kept.append(out))
    model.logits(X)
    model.logits({**X, "item": torch.tensor([3, 3, 3])})
    before, after = (out[:, : events.shape[1]] for out in kept)
    torch.testing.assert_close(before, after)
    assert not torch.allclose(kept[0], kept[1])


def test_pooled_sequences_stay_features() -> None:
    model = OneTrans(**features(), behavior_feature_name="seen")
    assert model.rest.names == ("user", "item", "tags", "price")
    assert len(model.events.separators) == 0
    changed = {**X, "tags": X["tags"].flip(0)}
    assert not torch.allclose(model.eval().logits(X), model.logits(changed))


@pytest.mark.parametrize("pyramid", [True, False])
def test_one_trans_uses_the_newest_events(pyramid: bool) -> None:
    """Longer histories than ``max_len`` keep their end, and padding width is no matter."""
    model = OneTrans(**features(), pyramid=pyramid, num_layers=4).eval()
    longer = {**X, "seen": torch.cat([torch.full((3, 2), 3), X["seen"]], 1)}
    torch.testing.assert_close(model.logits(longer), model.logits(X))
    short = {**X, "seen": X["seen"][:2, :3], "tags": X["tags"][:2, :2]}
    short |= {name: X[name][:2] for name in ("price", "user", "item")}
    torch.testing.assert_close(model.logits(short), model.logits(X)[:2])


@pytest.mark.parametrize("model", [RankMixer, HiFormer, OneTrans])
def test_dropout_acts_in_training(model: type) -> None:
    built = model(**features(), dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(built.logits(X), built.logits(X))
    built.eval()
    assert torch.equal(built.logits(X), built.logits(X))
