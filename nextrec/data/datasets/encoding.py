"""Tokens to ids, and the lists that tables of movies hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.features import UNKNOWN_ID

NO_GENRES = "(no genres listed)"
YEAR = r"\((\d{4})(?:\W\d{0,4})?\)\s*(?:\(V\)\s*)?$"
"""The last bracket of a title, before the (V) of a video; of (2006-2007) the first year."""


def vocabulary_of(tokens: pd.Series) -> pd.Index:
    """Distinct tokens, sorted; a token's id is its position + 2, after padding and unknown."""
    return pd.Index(tokens.dropna().unique()).sort_values()


def encode(vocabulary: pd.Index, tokens: pd.Series) -> np.ndarray:
    """Ids of tokens; those that the vocabulary lacks, and missing ones, are unknown (1)."""
    # `get_indexer` answers -1 for a token that it lacks, which becomes the unknown id.
    return vocabulary.get_indexer(pd.Index(tokens)) + UNKNOWN_ID + 1


def vocab_size(vocabulary: pd.Index) -> int:
    """Rows of the table that holds padding, unknown and every token."""
    return len(vocabulary) + UNKNOWN_ID + 1


def lists_of(lengths: np.ndarray, values: np.ndarray | pa.Array) -> pa.ListArray:
    """Lists of these lengths, cut from one flat array."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def split_genres(joined: pa.StringArray) -> pa.ListArray:
    """``"Drama|War"`` to ``["Drama", "War"]``, and the mark of no genres to ``[]``."""
    lists = pc.split_pattern(joined, "|")
    names, rows = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
    real = pc.not_equal(names, NO_GENRES)
    counts = np.bincount(rows[real.to_numpy(zero_copy_only=False)], minlength=len(joined))
    return lists_of(counts, names.filter(real))


def movie_frame(table: pa.Table) -> pd.DataFrame:
    """``movie_id``, ``title``, ``genres`` as arrays of names, and the ``year`` of the title."""
    table = table.combine_chunks()
    movies = table.select(["movie_id", "title"]).to_pandas()
    movies["genres"] = split_genres(pa.concat_arrays(table["genres"].chunks)).to_pandas()
    year = movies["title"].str.extract(YEAR, expand=False)
    movies["year"] = pd.to_numeric(year).astype("Int64")
    return movies
