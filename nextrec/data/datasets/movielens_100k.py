"""MovieLens 100K, in GroupLens's layout, with its official splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from nextrec.data.datasets.dataset import Check, Dataset, checked
from nextrec.data.datasets.describe import (
    Column,
    Count,
    DatasetDescription,
    TableDescription,
    loads,
)
from nextrec.data.datasets.encoding import lists_of, movie_frame
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.movielens import (
    CITATION,
    GENDER,
    GENRES,
    MOVIE,
    RATING,
    TERMS,
    TITLE,
    USER,
    YEAR,
    ZIP,
    read_layout,
)
from nextrec.data.datasets.readers import read_headless

GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The genres of 100K, in the order of the last 19 fields of ``u.item``."""
SPLITS_100K = tuple(f"{split}_{part}" for split in ("ua", "ub", "u1", "u2", "u3", "u4", "u5")
                    for part in ("base", "test"))  # fmt: skip
"""Official splits of 100K: ``ua, ub`` hold out ten ratings a user; ``u1..u5`` a fifth each."""

MOVIELENS_100K = DatasetDescription(
    name="movielens-100k",
    what="ratings of movies; who the users are",
    rows=100_000,
    task="rating, click, sequence",
    licence=TERMS,
    citation=CITATION,
    source="https://grouplens.org/datasets/movielens/100k/",
    tables=(
        TableDescription(
            "ratings",
            ("u.data", "ratings.parquet", "ratings.csv"),
            RATING,
            "u.data: user, movie, rating, timestamp with tabs between, no header",
        ),
        TableDescription(
            "users",
            ("u.user", "users.parquet", "users.csv"),
            (
                USER,
                Column("age", "numeric", "years", "int"),
                GENDER,
                Column("occupation", "categorical", "one of 21"),
                ZIP,
            ),
            "u.user: fields with | between, no header",
        ),
        TableDescription(
            "movies",
            ("u.item",),
            (
                MOVIE,
                TITLE,
                Column("release_date", "other", "as 01-Jan-1995"),
                GENRES,
                YEAR,
            ),
            "u.item: 24 fields with | between, the last 19 marks of genres, Latin-1, no header",
        ),
        *(
            TableDescription(name, (name.replace("_", "."),), RATING, "as u.data")
            for name in SPLITS_100K
        ),
    ),
    layouts=(("ratings",),),
    counts=(
        Count("ratings", 100_000),
        Count("ratings", 943, "user_id", "distinct"),
        Count("ratings", 1_682, "movie_id", "distinct"),
        Count("users", 943),
        Count("movies", 1_682),
        *(Count(f"{each}_base", 90_570) for each in ("ua", "ub")),
        *(Count(f"{each}_test", 9_430) for each in ("ua", "ub")),
        *(Count(f"u{each}_base", 80_000) for each in range(1, 6)),
        *(Count(f"u{each}_test", 20_000) for each in range(1, 6)),
    ),
    notes=("Every user has at least 20 ratings; the ratings lie in no order.",),
)


@loads(MOVIELENS_100K, "ml-100k")
def load_movielens_100k(folder: Folder, check: Check = "warn") -> Dataset:
    """MovieLens 100K: ``ratings``, ``users``, ``movies`` and the official splits that are there.

    Args:
        folder: holds ``u.data``, and perhaps ``u.user``, ``u.item``, ``ua.base``, ``ua.test`` ...
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    found = find_tables(MOVIELENS_100K, folder)
    tables: dict[str, pd.DataFrame] = {}
    for name, (path, *_) in found.items():
        columns = MOVIELENS_100K.table(name).columns
        if name == "movies":
            tables[name] = _movies(path)
        else:
            tables[name] = read_layout(path, columns, "|" if name == "users" else "\t").to_pandas()
    return checked(MOVIELENS_100K, tables, check)


def _movies(path: Path) -> pd.DataFrame:
    fields = [
        MOVIE,
        TITLE,
        Column("release_date", "other", ""),
        Column("video_release_date", "other", ""),
        Column("imdb_url", "other", ""),
        *(Column(genre, "other", "", "int") for genre in GENRES_100K),
    ]
    table = read_headless(path, fields, "|")
    marks = np.stack([table[genre].to_numpy() for genre in GENRES_100K], axis=1) > 0
    rows, places = np.nonzero(marks)
    names = np.array(GENRES_100K)[places]
    joined = pa.array([""] * len(marks))  # movie_frame splits text; the marks come as lists
    movies = movie_frame(table.select(["movie_id", "title"]).append_column("genres", joined))
    movies["genres"] = lists_of(np.bincount(rows, minlength=len(marks)), names).to_pandas()
    movies.insert(2, "release_date", table["release_date"].to_pandas())
    return movies
