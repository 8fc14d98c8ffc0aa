"""Which items of a batch may be negatives for the others' users.

Letters: B rows of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextrec.data.sampling.seen import SeenItems, as_seen, checked_codes
from nextrec.errors import DataError, invalid


def in_batch_negatives(
    users: Any, items: Any, seen: SeenItems | tuple[Any, Any] | None = None
) -> Tensor:
    """Mask ``(B, B)``: whether row j's item may be a negative for row i's user.

    It may not be when it is row i's own item, an item of another row with the same user (a
    positive of the same user), or an item that ``seen`` knows of row i's user. So the diagonal is
    False: there stands the positive. A repeat of one item in several columns is no fault of
    row i's; log-probabilities of the items account for it.

    Args:
        users, items: codes ``(B,)`` of the batch's positive pairs, tensors or arrays.
        seen: further pairs that were seen, such as all of the training data: user codes and item
            codes, or for many calls these sorted once as :class:`SeenItems`.

    Returns:
        Booleans on the device of ``items``, True where the logit counts.

    >>> in_batch_negatives([0, 1, 0], [5, 6, 7]).int()
    tensor([[0, 1, 0],
            [1, 0, 1],
            [0, 1, 0]], dtype=torch.int32)
    """
    who, what = (
        each if isinstance(each, Tensor) else torch.from_numpy(np.array(each))  # a copy: writable
        for each in (users, items)
    )
    if who.ndim != 1 or what.shape != who.shape:
        must_be = "two vectors of one length"
        got = f"{tuple(who.shape)} and {tuple(what.shape)}"
        raise DataError(invalid("in_batch_negatives", "users, items", must_be, got))
    different_users, row = torch.unique(who.to(what.device), return_inverse=True)
    different_items, column = torch.unique(what, return_inverse=True)
    positive = torch.zeros(
        len(different_users), len(different_items), dtype=torch.bool, device=what.device
    )
    positive[row, column] = True
    if seen is not None:
        seen = as_seen("in_batch_negatives", "seen", seen)
        known_users = checked_codes(
            "in_batch_negatives", "users", different_users.cpu().numpy(), 2**31
        )
        places, known = seen.pairs_of(known_users)
        batch = different_items.cpu().numpy()  # ascending
        near = np.minimum(np.searchsorted(batch, known), max(len(batch) - 1, 0))
        here = batch[near] == known if len(batch) else np.zeros(0, dtype=bool)
        where = torch.from_numpy(np.stack([places[here], near[here]])).to(what.device)
        positive[where[0], where[1]] = True
    return ~positive[row][:, column]
