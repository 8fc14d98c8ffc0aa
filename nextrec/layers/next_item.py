"""The auxiliary loss of interest models: the state after an item tells the next item.

Letters: B batch, L positions of a history, D width of an item, H width of a state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import FeatureError
from nextrec.features import UNKNOWN_ID, FeatureSet
from nextrec.layers.embedding import EmbeddingLayer
from nextrec.layers.history import Histories


class NextItemLoss(nn.Module):
    r"""How badly the states tell each next item from an item drawn at random.

    .. math::
        \ell = -\frac1{|T|} \sum_{(i, t) \in T} \log \sigma(\langle h_{it}, e_{i,t+1} \rangle)
        + \log\big(1 - \sigma(\langle h_{it}, \hat e_{i,t+1} \rangle)\big)

    T are the pairs of neighbouring real items, e the next item's vector and :math:`\hat e` that of
    an item drawn uniformly from its table: never padding, the unknown id or the next item itself.
    The paper sums over t; the mean over all pairs has the same scale for histories of any length.
    A state of another width than the items' is mapped to it. Where several histories stand side by
    side, each has a draw of its own.

    Source: Zhou et al., "Deep Interest Evolution Network for Click-Through Rate Prediction", AAAI
    2019, section 4.2.

    Args:
        histories: the model's histories.
        features: the model's features, for the sizes of the tables.
        state_size: width H.

    Raises:
        FeatureError: a table has fewer than two items to draw from.
    """

    def __init__(self, histories: Histories, features: FeatureSet, state_size: int) -> None:
        super().__init__()
        self.behaviors = [behavior for behavior, _ in histories.pairs]
        self.rows = [features.tables[each.embedding_name].rows for each in self.behaviors]
        for behavior, rows in zip(self.behaviors, self.rows, strict=True):
            if rows - len(_reserved(behavior.padding_id)) < 2:
                raise FeatureError(
                    f"negative sampling draws another item for each of {behavior.name!r}, so its "
                    f"table needs two items beside padding and unknown; it has {rows} rows."
                )
        width = histories.out_features
        self.project: nn.Module = nn.Identity()
        if state_size != width:
            self.project = nn.Linear(state_size, width, bias=False)

    def forward(
        self,
        embedding: EmbeddingLayer,
        x: Mapping[str, Tensor],
        states: Tensor,
        items: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """The loss, a scalar; 0 when no history has two items.

        Args:
            embedding: reads the drawn items.
            x: the batch's columns.
            states: ``(B, L, H)``; the one at t must not have seen the item at t + 1.
            items: ``(B, L, D)``.
            mask: True ``(B, L)`` at real items.
        """
        expected = self.project(states[:, :-1]).float()  # (B, L - 1, D)
        drawn = self._draw(embedding, x, items.shape[1])  # (B, L, D)
        positive = (expected * items[:, 1:]).sum(-1)  # (B, L - 1)
        negative = (expected * drawn[:, 1:]).sum(-1)
        pairs = (mask[:, 1:] & mask[:, :-1]).to(positive.dtype)
        total = ((F.softplus(-positive) + F.softplus(negative)) * pairs).sum()
        return total / pairs.sum().clamp_min(1)

    def _draw(self, embedding: EmbeddingLayer, x: Mapping[str, Tensor], length: int) -> Tensor:
        parts = []
        for behavior, rows in zip(self.behaviors, self.rows, strict=True):
            ids = x[behavior.name].reshape(len(x[behavior.name]), -1)[:, -behavior.max_len :]
            other = other_ids(ids, rows, behavior.padding_id)
            vectors, _ = embedding.sequence({behavior.name: other}, behavior)
            parts.append(F.pad(vectors, (0, 0, 0, length - vectors.shape[1])))
        return torch.cat(parts, -1)


def other_ids(ids: Tensor, rows: int, padding_id: int = 0) -> Tensor:
    """For each id another one, drawn uniformly from a table's items with torch's generator.

    Items are all ids but the padding and the unknown one.

    >>> other_ids(torch.tensor([2, 3, 3]), rows=4)
    tensor([3, 2, 2])
    """
    reserved = _reserved(padding_id)
    count = rows - len(reserved)
    # Number the items without gaps, go on by 1 to count - 1 of them, and come back to ids.
    number = ids.clone()
    for each in reserved:
        number -= (ids > each).to(ids.dtype)
    other = (number + torch.randint_like(number, 1, count)) % count
    for each in reserved:
        other += (other >= each).to(ids.dtype)
    return other


def _reserved(padding_id: int) -> list[int]:
    """Ids that are no items, in rising order."""
    return sorted({padding_id, UNKNOWN_ID})
