"""Parts of a long history: its newest items, or those that score best.

A part is looked up by itself, so that only its vectors are read again, kept for the backward pass
and given gradients. Letters: B batch, L positions of a history, k items chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nextrec.features import SequenceFeature
from nextrec.layers.embedding import newest_ids

Part = tuple[Tensor, Tensor]
"""Positions ``(B, k)`` in a history, and True ``(B, k)`` where there is an item at all."""


def newest(mask: Tensor, count: int) -> Part:
    """The last ``count`` real positions of ``mask`` ``(B, L)``, the newest first.

    >>> newest(torch.tensor([[True, True, True, False]]), 2)[0]
    tensor([[2, 1]])
    """
    return best(torch.zeros_like(mask, dtype=torch.int32), mask, count)


def best(scores: Tensor, mask: Tensor, count: int) -> Part:
    """The real positions with the ``count`` highest scores ``(B, L)``, or all if they are fewer.

    Among equal integer scores, such as numbers of bits, the newer position wins, so that the
    choice does not depend on how far a history is padded. Equal float scores stand for equal
    items, where it makes no difference.

    >>> scores, mask = torch.tensor([[1, 3, 3, 9]]), torch.tensor([[True, True, True, False]])
    >>> best(scores, mask, 2)[0]
    tensor([[2, 1]])
    """
    length = mask.shape[1]
    count = min(count, length)
    if scores.is_floating_point():
        lowest = torch.finfo(scores.dtype).min
        positions = torch.topk(scores.detach().masked_fill(~mask, lowest), count).indices
    else:
        place = torch.arange(length, device=mask.device, dtype=scores.dtype)
        order = (scores * length + place).masked_fill(~mask, torch.iinfo(scores.dtype).min)
        positions = torch.topk(order, count).indices
    return positions, mask.gather(1, positions)


def take(keys: Tensor, part: Part) -> Tensor:
    """The vectors ``(B, k, D)`` of a part of ``keys`` ``(B, L, D)``."""
    positions, _ = part
    return keys.gather(1, positions.unsqueeze(2).expand(-1, -1, keys.shape[2]))


class HistoryIds:
    """The ids of histories that run in step, cut to their newest ``max_len``, of one length L.

    Args:
        x: columns of a batch.
        histories: all with one ``max_len``.
        beside: further sequences of that ``max_len``, which do not say where an item is.

    Attributes:
        ids: name -> ``(B, L)``.
        mask: True ``(B, L)`` where any history has an item.

    >>> ids = HistoryIds({"seen": torch.tensor([[5, 7, 0]])}, [SequenceFeature("seen", 9)])
    >>> ids.part(newest(ids.mask, 1))
    {'seen': tensor([[7]])}
    """

    def __init__(
        self,
        x: Mapping[str, Tensor],
        histories: Sequence[SequenceFeature],
        beside: Sequence[SequenceFeature] = (),
    ) -> None:
        self.sequences = tuple(dict.fromkeys([*histories, *beside]))
        cut = {f.name: newest_ids(x[f.name], f) for f in self.sequences}
        length = max(column.shape[1] for column in cut.values())
        self.ids = {
            f.name: F.pad(cut[f.name], (0, length - cut[f.name].shape[1]), value=f.padding_id)
            for f in self.sequences
        }
        self.mask = torch.stack([self.ids[f.name] != f.padding_id for f in histories]).any(0)

    def part(self, part: Part) -> dict[str, Tensor]:
        """The columns ``(B, k)`` of these positions, with padding where there is no item."""
        positions, real = part
        return {
            f.name: self.ids[f.name].gather(1, positions).masked_fill(~real, f.padding_id)
            for f in self.sequences
        }
