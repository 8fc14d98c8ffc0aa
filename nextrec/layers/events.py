"""Histories as tokens: the events of several behaviours one after the other.

Letters: B batch, L events of all histories with the separators between them, D width of a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import FeatureError, invalid
from nextrec.features import FeatureSet, SequenceFeature
from nextrec.layers.embedding import EmbeddingLayer

Behavior = tuple[SequenceFeature, ...]
"""Sequences that run in step: together they describe the events of one history."""


class EventTokenizer(nn.Module):
    r"""The events of n histories as one sequence, newest last, with a separator between histories.

    .. math::
        [W_1 e_{11} + b_1; \dots; \mathrm{SEP}_1; W_2 e_{21} + b_2; \dots]

    where an event e has the vectors of its history's sequences side by side. What is padding moves
    to the front, so that the last k tokens are the newest k real ones however the columns were
    padded.

    Source: Zhang et al., "OneTrans", WWW 2026, section 3.2 (fusion without timestamps).

    Args:
        behaviors: the sequences of each history; see :func:`find_behaviors`.
        token_dim: width D.

    Shape: embedding and columns -> tokens ``(B, L, D)`` and True ``(B, L)`` at real ones, which
    separators are. ``max_len`` is the greatest L.

    >>> from nextrec.features import FeatureSet, SequenceFeature
    >>> seen, bought = SequenceFeature("seen", 9, max_len=3), SequenceFeature("bought", 9)
    >>> events = EventTokenizer([(seen,), (bought,)], token_dim=8)
    >>> x = {"seen": torch.tensor([[1, 2, 0]]), "bought": torch.tensor([[5, 0]])}
    >>> tokens, real = events(EmbeddingLayer([seen, bought]), x)
    >>> tokens.shape, real.tolist()
    (torch.Size([1, 6, 8]), [[False, False, True, True, True, True]])
    """

    def __init__(self, behaviors: Sequence[Behavior], token_dim: int) -> None:
        super().__init__()
        self.behaviors = list(behaviors)
        self.maps = nn.ModuleList(
            nn.Linear(sum(feature.table_width for feature in behavior), token_dim)
            for behavior in behaviors
        )
        between = len(self.behaviors) - 1
        self.separators = nn.ParameterList(0.02 * torch.randn(token_dim) for _ in range(between))
        self.max_len = between + sum(behavior[0].max_len for behavior in behaviors)
        self.out_features = token_dim

    def forward(  # noqa: D102
        self, embedding: EmbeddingLayer, x: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        tokens: list[Tensor] = []
        masks: list[Tensor] = []
        for i, (behavior, project) in enumerate(zip(self.behaviors, self.maps, strict=True)):
            vectors, real = in_step(embedding, x, behavior)
            if i:
                separator = self.separators[i - 1].to(tokens[0].dtype)
                tokens.append(separator.expand(real.shape[0], 1, -1))
                masks.append(torch.ones_like(real[:, :1]))
            tokens.append(project(vectors))
            masks.append(real)
        events, real = torch.cat(tokens, 1), torch.cat(masks, 1)
        return newest_last(events, real)


def newest_last(tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Move padding to the front; the order of the rest stays.

    Each token's new place is counted, which costs less than sorting and has an ONNX form.

    >>> tokens, real = torch.tensor([[[7.0], [0.0], [8.0], [0.0]]]), torch.tensor([[1, 0, 1, 0]])
    >>> moved, real = newest_last(tokens, real.bool())
    >>> moved.flatten().tolist(), real.tolist()
    ([0.0, 0.0, 7.0, 8.0], [[False, False, True, True]])
    """
    padding = (~real).sum(1, keepdim=True)  # (B, 1)
    counted = real.long().cumsum(1)  # (B, L), real ones up to each
    positions = torch.arange(real.shape[1], device=real.device)
    places = torch.where(real, padding + counted - 1, positions - counted)
    moved = torch.zeros_like(tokens).scatter(1, places.unsqueeze(2).expand_as(tokens), tokens)
    return moved, positions >= padding


def in_step(
    embedding: EmbeddingLayer, x: Mapping[str, Tensor], behavior: Behavior
) -> tuple[Tensor, Tensor]:
    """Vectors of a history's events side by side, and True where any of them is real."""
    parts = [embedding.sequence(x, feature) for feature in behavior]
    length = max(mask.shape[1] for _, mask in parts)
    vectors = [F.pad(v, (0, 0, 0, length - v.shape[1])) for v, _ in parts]
    masks = [F.pad(mask, (0, length - mask.shape[1])) for _, mask in parts]
    real = masks[0] if len(masks) == 1 else torch.stack(masks).any(0)
    return torch.cat(vectors, 2), real


def find_behaviors(
    features: FeatureSet, names: str | Sequence[str | Sequence[str]] | None, owner: str
) -> list[Behavior]:
    """Each history as its sequences: as named, else every sequence alone.

    Raises:
        FeatureError: an unknown name, one of another kind or given twice, no history, or
            sequences in step of different ``max_len``.
    """
    listed = [names] if isinstance(names, str) else names
    if listed is None:
        listed = [feature.name for feature in features.sequence]
    behaviors: list[Behavior] = []
    seen: set[str] = set()
    for entry in listed:
        behavior = []
        for name in [entry] if isinstance(entry, str) else entry:
            feature = features[name]
            if not isinstance(feature, SequenceFeature) or name in seen:
                must_be = "names of sequence features, each once"
                raise FeatureError(invalid(owner, "behavior_feature_name", must_be, names))
            seen.add(name)
            behavior.append(feature)
        behaviors.append(tuple(behavior))
    if not behaviors or not all(behaviors):
        raise FeatureError(f"{owner} needs a history: a sequence feature.")
    for first, *others in behaviors:
        for other in others:
            if other.max_len != first.max_len:
                raise FeatureError(
                    f"{owner} reads {first.name!r} and {other.name!r} in step, so they need one "
                    f"`max_len`: they have {first.max_len} and {other.max_len}."
                )
    return behaviors
