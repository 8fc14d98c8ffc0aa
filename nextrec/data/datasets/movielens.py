"""What the MovieLens sets share, and latest-small, which is bundled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from nextrec.data.datasets.encoding import movie_frame
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.readers import read_headless, read_table

BUNDLED = Path(__file__).parents[1] / "_bundled" / "movielens_small"
"""Folder of the bundled files, with GroupLens's terms beside them."""
TERMS = "GroupLens: research, not commercial"
CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5 (4), 2015. doi:10.1145/2827872"
)
USER = Column("user_id", "user", "who rated", "int", ("userId", "user"))
MOVIE = Column("movie_id", "item", "what was rated", "int", ("item_id", "movieId", "item"))
STARS = Column("rating", "label", "whole stars, 1 to 5", "int", allowed=(1, 2, 3, 4, 5))
HALF_STARS = Column(
    "rating", "label", "half stars, 0.5 to 5", "real", allowed=tuple(n / 2 for n in range(1, 11))
)
TIME = Column("timestamp", "time", "seconds since 1970, UTC", "int")
RATING = (USER, MOVIE, STARS, TIME)
TITLE = Column("title", "other", "title with the year in brackets")
GENRES = Column("genres", "list", "names of genres")
YEAR = Column("year", "categorical", "year in the title's brackets", "int", optional=True)
GENDER = Column("gender", "categorical", "M or F")
ZIP = Column("zip_code", "categorical", "US postal code", also=("zip-code", "zip"))

MOVIELENS_SMALL = DatasetDescription(
    name="movielens-small",
    what="ratings of movies, 9/2018; bundled",
    rows=100_836,
    task="rating, click, sequence",
    licence=TERMS,
    citation=CITATION,
    source="https://grouplens.org/datasets/movielens/latest/",
    tables=(
        TableDescription(
            "ratings",
            ("ratings.parquet", "ratings.csv"),
            (USER, MOVIE, HALF_STARS, TIME),
        ),
        TableDescription("movies", ("movies.parquet", "movies.csv"), (MOVIE, TITLE, GENRES, YEAR)),
        TableDescription(
            "tags",
            ("tags.parquet", "tags.csv"),
            (USER, MOVIE, Column("tag", "other", "words of the user"), TIME),
        ),
    ),
    layouts=(("ratings", "movies"),),
    counts=(
        Count("ratings", 100_836),
        Count("ratings", 610, "user_id", "distinct"),
        Count("ratings", 9_724, "movie_id", "distinct"),
        Count("movies", 9_742),
        Count("tags", 3_683),
    ),
    notes=('GroupLens replaces "latest-small" from time to time; these are the counts of 9/2018.',),
)


@loads(MOVIELENS_SMALL, "ml-latest-small")
def read_movielens_small(folder: Folder | None = None, check: Check = "warn") -> Dataset:
    """MovieLens latest-small as a :class:`Dataset`; ``folder=None`` reads the bundled files."""
    found = find_tables(MOVIELENS_SMALL, BUNDLED if folder is None else folder)
    tables: dict[str, pd.DataFrame] = {}
    for name, (path, *_) in found.items():
        columns = [each for each in MOVIELENS_SMALL.table(name).columns if each is not YEAR]
        table = read_table(path, columns)
        tables[name] = movie_frame(table) if name == "movies" else table.to_pandas()
    return checked(MOVIELENS_SMALL, tables, check)


def read_layout(path: Path, columns: Sequence[Column], delimiter: str) -> pa.Table:
    """A CSV or Parquet file by its suffix, else GroupLens's delimited text without a header."""
    if path.suffix in (".csv", ".parquet"):
        return read_table(path, columns)
    # GroupLens's own layouts have every column but what other layouts added.
    own = [column for column in columns if column.name != "chrono_pos"]
    return read_headless(path, own, delimiter)
