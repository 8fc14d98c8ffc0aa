"""NCF's test of MovieLens 1M: a held-out movie among 99 that the user did not rate.

Xiangnan He et al. Neural Collaborative Filtering. WWW 2017.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nextrec.data.datasets.describe import Column
from nextrec.data.datasets.encoding import lists_of
from nextrec.data.datasets.readers import place, read_table, wrong_value
from nextrec.errors import DataError


def read_ncf_test(path: Path, ratings: pd.DataFrame) -> pd.DataFrame:
    """NCF's test with the ids of the ratings.

    NCF numbers users and movies from 0 by their first appearance in the ratings.
    """
    if path.suffix == ".parquet":
        columns = [
            Column("user", "user", "", "int"),
            Column("item", "item", "", "int"),
            Column("negatives", "list", "", "list"),
        ]
        table = read_table(path, columns)
    else:
        table = _as_text(path)
    negatives = table["negatives"].combine_chunks()
    users, movies = (np.asarray(pd.unique(ratings[name])) for name in ("user_id", "movie_id"))
    frame = pd.DataFrame(
        {
            "user_id": _tokens(path, "user", table["user"], users),
            "movie_id": _tokens(path, "item", table["item"], movies),
        }
    )
    flat = _tokens(path, "negatives", negatives.flatten(), movies)
    frame["negatives"] = lists_of(negatives.value_lengths().to_numpy(), flat).to_pandas()
    keys = ["user_id", "movie_id"]
    if len(frame.merge(ratings[keys].drop_duplicates(), on=keys)) < len(frame):
        raise DataError(
            f"{str(path)!r}: a held-out movie is not among its user's ratings. NCF's numbers are "
            "those of the whole ratings in the order of ratings.dat; other ratings give others."
        )
    return frame


def _tokens(
    path: Path, column: str, numbers: pa.Array | pa.ChunkedArray, tokens: np.ndarray
) -> np.ndarray:
    each = numbers.to_numpy()
    odd = (each < 0) | (each >= len(tokens))
    if odd.any():
        must_be = f"a number from 0 to {len(tokens) - 1}, of those in the ratings"
        where = f"value {int(odd.argmax())} of its column"
        raise wrong_value(path, where, column, must_be, int(each[odd.argmax()]))
    return tokens[each]


def _as_text(path: Path) -> pa.Table:
    lines = pa.array(path.read_text().splitlines(), pa.string())
    matched = pc.match_substring_regex(lines, r"^\(\d+,\d+\)(\t\d+)+$")
    if not pc.all(matched).as_py():
        odd = int(pc.index(matched, False).as_py())
        must_be = "(user,item) and negatives with tabs between"
        raise wrong_value(path, place(odd, 1), "negatives", must_be, lines[odd].as_py()[:60])
    plain = pc.replace_substring_regex(lines, r"[(),\t]+", " ")
    lists = pc.split_pattern(pc.utf8_trim_whitespace(plain), " ")
    numbers = lists.flatten().cast(pa.int64()).to_numpy()
    starts = lists.offsets.to_numpy()[:-1]
    rest = np.delete(numbers, np.concatenate([starts, starts + 1]))
    negatives = lists_of(lists.value_lengths().to_numpy() - 2, rest)
    return pa.table({"user": numbers[starts], "item": numbers[starts + 1], "negatives": negatives})
