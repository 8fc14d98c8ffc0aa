"""Amazon reviews of one category: 5-core reviews, all ratings, or items by user in time order."""

from __future__ import annotations

import json
import re
from dataclasses import replace
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
from nextrec.data.datasets.folder import Folder, find_tables
from nextrec.data.datasets.readers import (
    header_of,
    read_headed,
    read_headless,
    read_json_lines,
    read_lists,
    read_table,
)
from nextrec.errors import DataError

_USER = Column("user_id", "user", "reviewer", also=("reviewerID", "user"))
_ITEM = Column("item_id", "item", "product (ASIN)", also=("asin", "item"))
_RATING = Column("rating", "label", "stars, 1 to 5", "real", ("overall",), allowed=(1, 2, 3, 4, 5))
_TIME = Column(
    "timestamp", "time", "seconds since 1970, of a whole day", "int", ("unixReviewTime",)
)
_KEY = Column("user_id", "user", "reviewer, numbered", "int")
_ITEMS = Column("items", "list", "products in the order of their reviews", "list")

CORES = {
    "Beauty": (198_502, 22_363, 12_101),
    "Sports_and_Outdoors": (296_337, 35_598, 18_357),
    "Toys_and_Games": (167_597, 19_412, 11_924),
    "Video_Games": (231_780, 24_303, 10_672),
    "Clothing_Shoes_and_Jewelry": (278_677, 39_387, 23_033),
    "Electronics": (1_689_188, 192_403, 63_001),
    "Movies_and_TV": (1_697_533, 123_960, 50_052),
    "Books": (8_898_041, 603_668, 367_982),
}
"""Reviews, users and items of the 5-core files of 2014."""

AMAZON = DatasetDescription(
    name="amazon-reviews",
    what="reviews of one category, 1996 to 2014",
    rows=None,
    task="sequence, rating",
    licence="research, as the source states",
    citation=(
        "Julian McAuley, Christopher Targett, Qinfeng Shi, Anton van den Hengel. Image-Based "
        "Recommendations on Styles and Substitutes. SIGIR 2015."
    ),
    source="https://jmcauley.ucsd.edu/data/amazon/",
    tables=(
        TableDescription(
            "reviews",
            ("reviews_{category}_5.json*", "{category}_5.json*", "reviews_{category}.json*"),
            (_USER, _ITEM, _RATING, _TIME),
            "one JSON object a line, gzipped or not",
        ),
        TableDescription(
            "ratings",
            ("ratings_{category}.csv*",),
            (_USER, _ITEM, _RATING, _TIME),
            "user, item, rating, timestamp with commas between, no header",
        ),
        TableDescription(
            "sequences",
            ("sequences.txt", "{category}.txt", "sequences.parquet"),
            (_KEY, _ITEMS),
            "user item item ... with blanks between, a line a user",
        ),
        TableDescription(
            "attributes",
            ("item_attributes.json", "{category}_item2attributes.json"),
            (
                Column("item_id", "item", "product, numbered as in sequences", "int"),
                Column("attributes", "list", "numbers of its categories and brand", "list"),
            ),
            "a JSON object of lists by item",
        ),
    ),
    layouts=(("reviews",), ("ratings",), ("sequences",)),
    notes=(
        "Reviews have a day, not a second. A user's reviews of one day keep the file's order, "
        "which is by product: it tells a sequence model something that nobody did.",
        "5-core: every user and every item has at least five reviews.",
        "Counts are checked for the 5-core files of 2014 of: " + ", ".join(CORES) + ".",
    ),
)


@loads(AMAZON, "amazon")
def load_amazon_reviews(
    folder: Folder, category: str | None = None, check: Check = "warn"
) -> Dataset:
    """One category of Amazon reviews, in the layouts that the folder holds.

    Args:
        folder: holds ``reviews_Beauty_5.json.gz``, ``ratings_Beauty.csv`` or ``sequences.txt``.
        category: such as ``"Beauty"``; ``None``: the only one in the folder. It also says which
            published counts ``sequences.txt``, which is named after none, must have.
        check: what to do when the published counts differ; see :func:`load`.

    Raises:
        DataError: a file is absent or broken, or there are several categories and none was named.
    """
    description = _of_category(category)
    found = find_tables(description, folder)
    tables: dict[str, pd.DataFrame] = {}
    for name, paths in found.items():
        if len(paths) > 1:
            told = ", ".join(path.name for path in paths)
            raise DataError(
                f"amazon-reviews: several files may be {name!r}: {told}. Name the `category`."
            )
        tables[name] = _READERS[name](paths[0])
    core = category or _category_of(found)
    if core in CORES:
        description = replace(description, counts=_core_counts(core, found))
    return checked(description, tables, check)


def _of_category(category: str | None) -> DatasetDescription:
    """The description whose patterns name the category, or any."""
    named = category or "*"
    tables = [
        replace(table, files=tuple(dict.fromkeys(
            file.format(category=named) for file in table.files
            # With no category, any text file would do for "*.txt": README.txt among them.
            if category or file != "{category}.txt"
        )))
        for table in AMAZON.tables
    ]  # fmt: skip
    return replace(AMAZON, tables=tuple(tables))


def _category_of(found: dict[str, list[Path]]) -> str | None:
    for name in ("reviews", "ratings"):
        for path in found.get(name, ()):
            core = re.fullmatch(r"(?:reviews_)?(\w+?)_5\.json.*", path.name)
            return core[1] if core else None
    return None


def _core_counts(category: str, found: dict[str, list[Path]]) -> tuple[Count, ...]:
    reviews, users, items = CORES[category]
    counts = []
    if "reviews" in found and "_5.json" in found["reviews"][0].name:
        counts += [
            Count("reviews", reviews),
            Count("reviews", users, "user_id", "distinct"),
            Count("reviews", items, "item_id", "distinct"),
        ]
    if "sequences" in found:
        counts += [Count("sequences", users), Count("sequences", items, "items", "distinct")]
    return tuple(counts)


def _read_reviews(path: Path) -> pd.DataFrame:
    return read_json_lines(path, AMAZON.table("reviews").columns).to_pandas()


def _read_ratings(path: Path) -> pd.DataFrame:
    columns = AMAZON.table("ratings").columns
    first = header_of(path)
    headed = bool(first) and first[0] in (_USER.name, *_USER.also)
    table = read_headed(path, columns) if headed else read_headless(path, columns, ",")
    return table.to_pandas()


def _read_sequences(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        table = read_table(path, AMAZON.table("sequences").columns)
    else:
        table = read_lists(path, _KEY, _ITEMS)
    frame = table.to_pandas()
    again = frame["user_id"].duplicated()
    if again.any():
        user = frame.loc[again, "user_id"].iloc[0]
        raise DataError(
            f"{str(path)!r}: user {user} has several lines; a line must hold all items of a user."
        )
    return frame


def _read_attributes(path: Path) -> pd.DataFrame:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
        table = pa.table(
            {
                "item_id": pa.array([int(item) for item in items], pa.int64()),
                "attributes": pa.array(list(items.values()), pa.list_(pa.int64())),
            }
        )
    except (ValueError, AttributeError, pa.ArrowException) as error:
        raise DataError(
            f"{str(path)!r} can't be read as a JSON object of lists of integers: {error}"
        ) from error
    return table.to_pandas()


_READERS = {
    "reviews": _read_reviews,
    "ratings": _read_ratings,
    "sequences": _read_sequences,
    "attributes": _read_attributes,
}
