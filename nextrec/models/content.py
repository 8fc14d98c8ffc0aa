"""A short text that tells whether a run that is resumed has the data it began with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xxhash

from nextrec.data.batch import Batch
from nextrec.data.files import reading
from nextrec.data.locations import open_input, stamp_of
from nextrec.data.store import PackedStore
from nextrec.data.stream import ChunkStream, StreamLoader

EDGE_BYTES = 1 << 16
"""Read at each end of a file: the end of a Parquet file has the statistics of all its columns."""


def content_of(loader: Any) -> str | None:
    """A hash of the rows of a loader, in their order; ``None`` where they can't be known.

    Of a stream of files, which are not read for this, it is a hash of names, sizes, numbers of
    rows, both ends of each file, and of the first rows as they are packed.
    """
    if isinstance(loader, StreamLoader):
        return _content_of_stream(loader.stream)
    store = getattr(loader, "store", None)
    if not isinstance(store, PackedStore):
        return None
    digest = xxhash.xxh3_64()
    _add(digest, store.data)
    return digest.hexdigest()


def _content_of_stream(stream: ChunkStream) -> str:
    digest = xxhash.xxh3_64()
    for unit, rows in zip(stream.units, stream.counts.tolist(), strict=True):
        digest.update(f"{unit.file} {unit.place} {unit.rows} {rows}\n".encode())
    if stream.choice is not None:
        digest.update(stream.choice.description.encode())
    files = getattr(stream.source, "paths", None)
    if files is None:  # a table in memory
        for batch in stream:
            _add(digest, batch)
        return digest.hexdigest()
    for file in files:
        with reading(file, "data"):
            size, _ = stamp_of(file)
            digest.update(f"{file.name} {size}\n".encode())
            with open_input(file) as opened:
                digest.update(opened.read(EDGE_BYTES))
                opened.seek(max(size - EDGE_BYTES, 0))
                digest.update(opened.read(EDGE_BYTES))
    _add(digest, stream.head)
    return digest.hexdigest()


def _add(digest: Any, data: Batch) -> None:
    for block in (*data.features.blocks, data.labels, data.weights):
        if isinstance(block, torch.Tensor):
            digest.update(np.ascontiguousarray(block.numpy()).tobytes())
