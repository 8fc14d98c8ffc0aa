"""The features of a batch as three blocks of memory, also readable by name.

Columns of one kind lie side by side in one block, so that a model reads all its ids with one
gather and all its numbers without a copy. Letters: B batch, F features of a kind, L ``max_len``,
D ``input_dim``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nextrec.errors import DataError, did_you_mean
from nextrec.features import FeatureSet


@dataclass(frozen=True)
class Layout:
    """Which feature lies where in the blocks. Equal feature names and widths: equal layouts.

    >>> from nextrec.features import DenseFeature, SparseFeature
    >>> layout = Layout.of(FeatureSet([DenseFeature("d", input_dim=3)], [SparseFeature("s", 9)]))
    >>> layout.sparse, layout.dense, layout.places["d"]
    (('s',), (('d', 3),), ('dense', 0, 3))
    """

    sparse: tuple[str, ...]
    """Names of the single-valued features, one column each."""
    sequence: tuple[tuple[str, int], ...]
    """Names and lengths of the sequence features."""
    dense: tuple[tuple[str, int], ...]
    """Names and lengths of the dense features."""

    @classmethod
    def of(cls, features: FeatureSet) -> Layout:
        """The layout of a set of features, in the set's order."""
        return cls(
            sparse=tuple(feature.name for feature in features.sparse),
            sequence=tuple((feature.name, feature.max_len) for feature in features.sequence),
            dense=tuple((feature.name, feature.input_dim) for feature in features.dense),
        )

    @cached_property
    def places(self) -> dict[str, tuple[str, int, int]]:
        """Block, first column and number of columns of each feature."""
        places = {}
        blocks = {
            "sparse": [(name, 1) for name in self.sparse],
            "sequence": self.sequence,
            "dense": self.dense,
        }
        for block, members in blocks.items():
            start = 0
            for name, width in members:
                places[name] = (block, start, width)
                start += width
        return places

    def width(self, block: str) -> int:
        """Columns of a block."""
        return sum(width for name, _, width in self.places.values() if name == block)

    @cached_property
    def _selections(self) -> dict[tuple[str, tuple[str, ...]], slice | list[int] | None]:
        return {}

    @cached_property
    def _indices(self) -> dict[tuple[str, tuple[str, ...], torch.device], Tensor]:
        return {}

    def columns(self, block: str, names: tuple[str, ...]) -> slice | list[int] | None:
        """Columns of the named features in a block: all (None), one run (a slice), or a list."""
        key = (block, names)
        if key not in self._selections:
            columns = [column for name in names for column in self._columns_of(block, name)]
            selection: slice | list[int] | None = columns
            if columns == list(range(self.width(block))):
                selection = None
            elif columns and columns == list(range(columns[0], columns[-1] + 1)):
                selection = slice(columns[0], columns[-1] + 1)
            self._selections[key] = selection
        return self._selections[key]

    def index(self, block: str, names: tuple[str, ...], device: torch.device) -> Tensor:
        """:meth:`columns` as a tensor on a device, made once."""
        key = (block, names, device)
        if key not in self._indices:
            self._indices[key] = torch.tensor(self.columns(block, names), device=device)
        return self._indices[key]

    def _columns_of(self, block: str, name: str) -> range:
        where, start, width = self.places.get(name, ("", 0, 0))
        if where != block:
            names = [each for each, place in self.places.items() if place[0] == block]
            raise DataError(
                f"the batch has no {block} feature {name!r}.{did_you_mean(name, names)}"
            )
        return range(start, start + width)


class FeatureBatch(Mapping[str, Tensor]):
    """Features of B rows: a mapping from name to tensor over three packed blocks.

    ``x[name]`` is a view: ids ``(B,)`` of a sparse feature, ``(B, L)`` of a sequence feature,
    numbers ``(B, D)`` of a dense feature. A block without features is None.
    """

    __slots__ = ("cache", "dense", "layout", "sequence", "sparse")

    def __init__(
        self,
        layout: Layout,
        sparse: Tensor | None,
        sequence: Tensor | None,
        dense: Tensor | None,
    ) -> None:
        self.layout = layout
        self.sparse = sparse
        """``(B, F)`` int64"""
        self.sequence = sequence
        """``(B, sum of L)`` int64"""
        self.dense = dense
        """``(B, sum of D)`` float32"""
        self.cache: dict[Any, Any] = {}
        """What a model derives from this batch and wants to find again; never copied."""

    @property
    def blocks(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The sparse, the sequence and the dense block."""
        return self.sparse, self.sequence, self.dense

    @property
    def rows(self) -> int:
        """B."""
        return next(len(block) for block in self.blocks if block is not None)

    @property
    def device(self) -> torch.device:
        """Where the blocks are."""
        return next(block.device for block in self.blocks if block is not None)

    def ids(self, names: tuple[str, ...]) -> Tensor:
        """Ids of the named sparse features ``(B, len(names))``.

        No copy is made when they are all the features of the block, in order, or lie side by side.
        """
        if names is self.layout.sparse and self.sparse is not None:
            return self.sparse
        return self._part("sparse", names)

    def numbers(self, names: tuple[str, ...]) -> Tensor:
        """Numbers of the named dense features ``(B, sum of D)``; copied only as in :meth:`ids`."""
        return self._part("dense", names)

    def _part(self, block: str, names: tuple[str, ...]) -> Tensor:
        columns = self.layout.columns(block, names)
        values: Tensor = getattr(self, block)
        if columns is None:
            return values
        if isinstance(columns, slice):
            return values.narrow(1, columns.start, columns.stop - columns.start)
        return values.index_select(1, self.layout.index(block, names, values.device))

    def map(self, function: Any) -> FeatureBatch:
        """A batch of the same layout with ``function`` applied to each block."""
        return FeatureBatch(
            self.layout, *(None if block is None else function(block) for block in self.blocks)
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FeatureBatch:
        """The batch on a device; itself when it is there already."""
        if torch.device(device) == self.device:
            return self
        return self.map(lambda block: block.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> FeatureBatch:
        """The batch in page-locked memory, from which a GPU copies without waiting."""
        return self.map(lambda block: block.pin_memory())

    def __getitem__(self, name: str) -> Tensor:
        block, start, width = self.layout.places[name]
        values: Tensor = getattr(self, block)
        return values.select(1, start) if block == "sparse" else values.narrow(1, start, width)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.places)

    def __len__(self) -> int:
        return len(self.layout.places)

    # Equality of mappings would compare tensors, whose truth value is not defined.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"FeatureBatch(rows={self.rows}, features={list(self)})"
