"""Storage of embedding tables: one weight a width, one state-dict entry a table.

Shapes: D width of a table, R rows of a storage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.features import Table
from nextrec.layers.init import get_initializer

Reader = Callable[[Tensor], Tensor]
"""Rows of any shape ``(...)`` -> vectors ``(..., D)``."""


@dataclass
class Storage:
    """The tables of one width that train alike, one after the other in one weight ``(R, D)``."""

    key: str
    """Name of the parameter in :class:`EmbeddingTables`."""
    tables: tuple[Table, ...]
    offsets: dict[str, int]
    """First row of each table."""
    rows: int
    width: int
    reader: Reader | None = None
    """Set by the trainer to keep gradients as looked-up rows; ``None``: an ordinary lookup."""

    def spans(self) -> Iterator[tuple[Table, slice]]:
        """Each table with its rows."""
        for table in self.tables:
            start = self.offsets[table.name]
            yield table, slice(start, start + table.rows)

    @property
    def padding_rows(self) -> list[int]:
        """Rows that stay zero and are never trained."""
        return [
            self.offsets[table.name] + table.padding_idx
            for table in self.tables
            if table.padding_idx is not None
        ]


@dataclass(frozen=True)
class TableView:
    """One table inside its storage; ``weight`` ``(rows, D)`` shares the storage's memory."""

    weight: Tensor
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None


class EmbeddingTables(nn.Module):
    """All tables of a layer, stored by width, saved by table.

    Parameters are one weight a width (``width_16``; ``width_16_frozen`` for tables that are not
    trained), so that fields of one width are read with one gather and :meth:`torch.nn.Module.to`
    keeps them together. The state dict has one entry a table, ``<table>.weight``.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        super().__init__()
        grouped: dict[str, list[Table]] = {}
        for table in tables.values():
            key = f"width_{table.width}" + ("" if table.trainable else "_frozen")
            grouped.setdefault(key, []).append(table)
        self.storages: dict[str, Storage] = {}
        self._storage_of: dict[str, str] = {}
        for key, group in grouped.items():
            offsets, rows = {}, 0
            for table in group:
                offsets[table.name], rows = rows, rows + table.rows
                self._storage_of[table.name] = key
            width = group[0].width
            weight = nn.Parameter(torch.empty(rows, width), requires_grad=group[0].trainable)
            self.register_parameter(key, weight)
            self.storages[key] = Storage(key, tuple(group), offsets, rows, width)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill every table by its initializer or pretrained weight; padding rows are zero."""
        for storage in self.storages.values():
            weight = self.weight(storage)
            for table, rows in storage.spans():
                if table.pretrained_weight is not None:
                    weight[rows] = table.pretrained_weight.to(weight)
                else:
                    get_initializer(table.init_type, param=dict(table.init_params))(weight[rows])
        self.zero_padding()

    @torch.no_grad()
    def zero_padding(self) -> None:
        """Set the padding rows to zero."""
        for storage in self.storages.values():
            self.weight(storage)[storage.padding_rows] = 0.0

    def weight(self, storage: Storage) -> nn.Parameter:
        """The storage's parameter ``(R, D)``."""
        return cast("nn.Parameter", getattr(self, storage.key))

    def storage_of(self, table: str) -> Storage:
        """The storage that holds a table."""
        return self.storages[self._storage_of[table]]

    def lookup(self, storage: Storage, rows: Tensor, padding: Tensor | None) -> Tensor:
        """Vectors ``(..., D)`` of rows ``(...)``.

        Args:
            padding: True ``(...)`` where a row is padding; ``None`` when no row can be. An
                ordinary lookup cuts those from the graph; the trainer's reader does it itself.
        """
        if storage.reader is not None:
            return storage.reader(rows)
        vectors = F.embedding(rows, self.weight(storage))
        if padding is not None and torch.is_grad_enabled():
            vectors = vectors.masked_fill(padding.unsqueeze(-1), 0.0)
        return vectors

    def __getitem__(self, table: str) -> TableView:
        storage = self.storage_of(table)
        for each, rows in storage.spans():
            if each.name == table:
                view = self.weight(storage)[rows]
                return TableView(view, each.rows, each.width, each.padding_idx)
        raise KeyError(table)

    def __contains__(self, table: object) -> bool:
        return table in self._storage_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._storage_of)

    def __len__(self) -> int:
        return len(self._storage_of)

    def extra_repr(self) -> str:
        """One line a storage."""
        return "\n".join(
            f"{s.key}: {len(s.tables)} tables, {s.rows} rows" for s in self.storages.values()
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for storage in self.storages.values():
            weight = self.weight(storage)
            for table, rows in storage.spans():
                destination[f"{prefix}{table.name}.weight"] = (
                    weight[rows] if keep_vars else weight.detach()[rows]
                )

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        expected = set()
        for storage in self.storages.values():
            weight = self.weight(storage)
            for table, rows in storage.spans():
                key = f"{prefix}{table.name}.weight"
                expected.add(key)
                if key not in state_dict:
                    missing_keys.append(key)
                elif state_dict[key].shape != weight[rows].shape:
                    error_msgs.append(
                        f"{key} has shape {tuple(state_dict[key].shape)}, "
                        f"the table needs {tuple(weight[rows].shape)}"
                    )
                else:
                    with torch.no_grad():
                        weight[rows] = state_dict[key].to(weight)
        if strict:
            unexpected_keys += [k for k in state_dict if k.startswith(prefix) and k not in expected]
        self.zero_padding()
