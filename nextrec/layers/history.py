"""Histories and their candidates: which feature is which, and both as vectors.

Letters: B batch, L positions of a history, D width of an item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import FeatureError, invalid
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature
from nextrec.layers.embedding import EmbeddingLayer

Pair = tuple[SequenceFeature, SparseFeature]


class Histories(nn.Module):
    r"""A model's histories beside their candidates, as vectors of one width.

    Several histories (items, their categories) that run in step are one: at each position their
    vectors stand side by side, as do the candidates'. A candidate whose table has another width
    than its history's is mapped to it.

    Args:
        features: the model's features.
        behavior, candidate: names, or ``None`` for what shares a table; see :func:`find_pairs`.
        owner: the model's name, for errors.

    Attributes:
        pairs: each history with its candidate.
        rest: all other features and the candidates; histories that are no pair's are among them.
        out_features: D, the sum of the histories' widths.

    Raises:
        FeatureError: as :func:`find_pairs`; histories of different ``max_len``.
    """

    def __init__(
        self,
        features: FeatureSet,
        behavior: str | Sequence[str] | None,
        candidate: str | Sequence[str] | None,
        owner: str,
    ) -> None:
        super().__init__()
        self.pairs = find_pairs(features, behavior, candidate, owner)
        first = self.pairs[0][0]
        for other, _ in self.pairs[1:]:
            if other.max_len != first.max_len:
                raise FeatureError(
                    f"{owner} reads its histories in step, so they need one `max_len`: "
                    f"{first.name!r} has {first.max_len}, {other.name!r} has {other.max_len}."
                )
        names = {behavior.name for behavior, _ in self.pairs}
        self.rest = FeatureSet.of(f for f in features if f.name not in names)
        self.maps = nn.ModuleList(candidate_map(*pair) for pair in self.pairs)
        self.max_len = first.max_len
        self.out_features = sum(behavior.table_width for behavior, _ in self.pairs)

    def forward(
        self, embedding: EmbeddingLayer, x: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Candidate ``(B, D)``, history ``(B, L, D)``, and True ``(B, L)`` at real positions.

        Vectors at positions that are not real are zero.
        """
        parts = [embedding.sequence(x, behavior) for behavior, _ in self.pairs]
        length = max(mask.shape[1] for _, mask in parts)
        keys = torch.cat([F.pad(k, (0, 0, 0, length - k.shape[1])) for k, _ in parts], -1)
        masks = [F.pad(mask, (0, length - mask.shape[1])) for _, mask in parts]
        mask = masks[0] if len(masks) == 1 else torch.stack(masks).any(0)
        queries = [
            project(embedding.lookup(x, candidate))
            for (_, candidate), project in zip(self.pairs, self.maps, strict=True)
        ]
        return torch.cat(queries, -1), keys, mask


def candidate_map(behavior: SequenceFeature, candidate: SparseFeature) -> nn.Module:
    """What brings a candidate's vector to the width of its history's."""
    if candidate.width == behavior.table_width:
        return nn.Identity()
    return nn.Linear(candidate.width, behavior.table_width, bias=False)


def find_pairs(
    features: FeatureSet,
    behavior: str | Sequence[str] | None,
    candidate: str | Sequence[str] | None,
    owner: str,
) -> list[Pair]:
    """Histories with their candidates: as named, else by shared tables.

    Raises:
        FeatureError: a name is of another kind, a history has no candidate or several, or there
            is no pair at all.
    """
    behaviors = _named(features, behavior, SequenceFeature, owner, "behavior_feature_name")
    candidates = _named(features, candidate, SparseFeature, owner, "candidate_feature_name")
    if candidates and behaviors and len(candidates) != len(behaviors):
        must_be = f"one candidate a history ({[each.name for each in behaviors]})"
        raise FeatureError(invalid(owner, "candidate_feature_name", must_be, candidate))
    if candidates and behaviors:
        return list(zip(behaviors, candidates, strict=True))
    pairs = []
    for sequence in behaviors or features.sequence:
        sharing = [f for f in features.sharing(sequence) if isinstance(f, SparseFeature)]
        if candidates:
            sharing = [f for f in sharing if f in candidates]
        if len(sharing) > 1 or (behaviors and not sharing):
            found = ", ".join(repr(f.name) for f in sharing) or "none"
            raise FeatureError(
                f"{owner}: the history {sequence.name!r} needs one candidate among the sparse "
                f"features that share its table (found: {found}); name it by "
                "`behavior_feature_name` and `candidate_feature_name`."
            )
        pairs += [(sequence, each) for each in sharing]
    unused = [each.name for each in candidates if each not in [pair[1] for pair in pairs]]
    if unused:
        must_be = "names of sparse features that share a history's table"
        raise FeatureError(invalid(owner, "candidate_feature_name", must_be, unused))
    if not pairs:
        raise FeatureError(
            f"{owner} needs a history and its candidate: a sequence and a sparse feature with one "
            "`embedding_name`, or both named by `behavior_feature_name` and "
            "`candidate_feature_name`."
        )
    return pairs


def _named(
    features: FeatureSet, names: str | Sequence[str] | None, kind: type, owner: str, parameter: str
) -> list[Any]:
    if names is not None and not names:
        raise FeatureError(invalid(owner, parameter, "a name, a list of names or None", names))
    chosen = [names] if isinstance(names, str) else list(names or ())
    for name in chosen:
        if not isinstance(features[name], kind):
            must_be = f"names of {kind.kind} features"  # type: ignore[attr-defined]
            raise FeatureError(invalid(owner, parameter, must_be, name))
    return [features[name] for name in chosen]
