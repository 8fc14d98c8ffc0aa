"""MovieLens 1M, in GroupLens's layout or as CSV or Parquet, and NCF's test of it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from nextrec.data.datasets.dataset import Check, Dataset, checked
from nextrec.data.datasets.describe import (
    Column,
    Count,
    DatasetDescription,
    TableDescription,
    loads,
)
from nextrec.data.datasets.encoding import movie_frame
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.movielens import (
    CITATION,
    GENDER,
    GENRES,
    MOVIE,
    RATING,
    TERMS,
    TIME,
    TITLE,
    USER,
    YEAR,
    ZIP,
    read_layout,
)
from nextrec.data.datasets.ncf import read_ncf_test

MOVIELENS_1M = DatasetDescription(
    name="movielens-1m",
    what="ratings of movies; who the users are",
    rows=1_000_209,
    task="rating, click, sequence",
    licence=TERMS,
    citation=CITATION,
    source="https://grouplens.org/datasets/movielens/1m/",
    tables=(
        TableDescription(
            "ratings",
            ("ratings.dat", "ratings.parquet", "ratings.csv"),
            (
                *RATING[:3],
                replace(TIME, optional=True),
                Column("chrono_pos", "time", "place in the user's time order", "int", (), True),
            ),
            "ratings.dat: user, movie, rating, timestamp with :: between, no header",
        ),
        TableDescription(
            "users",
            ("users.dat", "users.parquet", "users.csv"),
            (
                USER,
                GENDER,
                Column("age", "categorical", "youngest of the age group: 1, 18, 25 ... 56", "int"),
                Column("occupation", "categorical", "code, 0 to 20", "int"),
                ZIP,
            ),
            "users.dat: fields with :: between, no header",
        ),
        TableDescription(
            "movies",
            ("movies.dat", "movies.parquet", "movies.csv"),
            (MOVIE, TITLE, GENRES, YEAR),
            "movies.dat: movie, title, genres with :: between, Latin-1, no header",
        ),
        TableDescription(
            "ncf_test",
            ("ml-1m.test.negative", "ncf_test.parquet"),
            (
                USER,
                MOVIE,
                Column("negatives", "list", "99 movies that the user did not rate", "list"),
            ),
            "ml-1m.test.negative: (user,item) and 99 items with tabs between, in NCF's numbering",
        ),
    ),
    layouts=(("ratings", "users", "movies"),),
    counts=(
        Count("ratings", 1_000_209),
        Count("ratings", 6_040, "user_id", "distinct"),
        Count("ratings", 3_706, "movie_id", "distinct"),
        Count("users", 6_040),
        Count("movies", 3_883),
        Count("ncf_test", 6_040),
    ),
    notes=(
        "Many ratings of a user share a second: which one is last depends on the sort, so "
        "leave-one-out numbers compare only under the same sort. Here it is stable: file order.",
        "NCF's test (He et al., WWW 2017) ranks one held-out movie among 99 sampled negatives; "
        "its numbers never compare with those of a ranking of all movies. For 156 users the "
        "held-out movie is among its own negatives.",
    ),
)


@loads(MOVIELENS_1M, "ml-1m")
def load_movielens_1m(folder: Folder, check: Check = "warn") -> Dataset:
    """MovieLens 1M: ``ratings``, ``users``, ``movies``, and NCF's ``ncf_test`` where it is there.

    Args:
        folder: holds ``ratings.dat``, ``users.dat``, ``movies.dat``, or CSV or Parquet files of
            these names; and perhaps ``ml-1m.test.negative`` of the authors of NCF.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken; names the file, the line and the value.
    """
    found = find_tables(MOVIELENS_1M, folder)
    tables: dict[str, pd.DataFrame] = {}
    for name in ("ratings", "users", "movies"):
        if name in found:
            columns = [each for each in MOVIELENS_1M.table(name).columns if each is not YEAR]
            table = read_layout(found[name][0], columns, "::")
            tables[name] = movie_frame(table) if name == "movies" else table.to_pandas()
    if "ratings" in tables and "ncf_test" in found:
        tables["ncf_test"] = read_ncf_test(found["ncf_test"][0], tables["ratings"])
    return checked(MOVIELENS_1M, tables, check)
