"""Standard tasks: rows with ids and what they mean, made from a loaded data set.

Ids are those of the framework: 0 padding, 1 unknown, tokens from 2, and only tokens of the train
rows have ids of their own (of all items for leave-one-out, which ranks them all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from nextrec.data.datasets.dataset import Check
from nextrec.data.datasets.encoding import encode, lists_of, vocab_size, vocabulary_of
from nextrec.data.datasets.folder import Folder, require_tables
from nextrec.data.datasets.frappe import FIELDS, FRAPPE, load_frappe
from nextrec.data.datasets.movielens_1m import MOVIELENS_1M, load_movielens_1m
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature


@dataclass(frozen=True, eq=False)
class TaskSchema:
    """What the columns of a task mean."""

    vocabularies: Mapping[str, pd.Index]
    """Sorted tokens by feature; a token's id is its position + 2."""
    target: str | None
    """The label's column; ``None`` where the item itself is to be predicted."""
    user_id_column: str
    """Groups of GAUC and of metrics at k."""
    lists: Mapping[str, int] = field(default_factory=dict)
    """Features that are lists of ids, with the most that one row has."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Features that read the table, and have the vocabulary, of another."""

    @property
    def vocab_sizes(self) -> dict[str, int]:
        """Table rows by feature."""
        return {name: vocab_size(tokens) for name, tokens in self.vocabularies.items()}

    def features(self, embedding_dim: int = 16) -> FeatureSet:
        """The task's features, every one ``embedding_dim`` wide."""
        sizes = self.vocab_sizes
        return FeatureSet(
            sparse=[
                SparseFeature(name, sizes[name], embedding_dim=embedding_dim)
                for name in self.vocabularies
                if name not in self.lists
            ],
            sequence=[
                SequenceFeature(
                    name,
                    sizes[self.shared.get(name, name)],
                    length,
                    self.shared.get(name, name),
                    embedding_dim,
                )
                for name, length in self.lists.items()
            ],
        )


class Task(NamedTuple):
    """Rows to train on, to choose on and to test on, and what their columns mean."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    schema: TaskSchema


def random_split(rows: int, seed: int, shares: Sequence[float]) -> list[np.ndarray]:
    """Row numbers of random parts; each has ``floor(share * rows)``, the last has the rest.

    >>> [len(part) for part in random_split(739_012, seed=0, shares=(0.8, 0.1, 0.1))]
    [591209, 73901, 73902]
    """
    order = np.random.default_rng(seed).permutation(rows)
    ends = np.cumsum([int(share * rows) for share in shares[:-1]])
    return [np.sort(part) for part in np.split(order, ends)]


def movielens_1m_ctr(folder: Folder, seed: int = 0, check: Check = "warn") -> Task:
    """MovieLens 1M as click prediction, with AutoInt's labels.

    Ratings of 4 and 5 are positive, of 1 and 2 negative, and those of 3 are dropped: 739,012 rows,
    cut at random 8:1:1. The published splits have no stated seed, so give the mean over several.

    Columns: ``label`` (0.0 or 1.0); the features ``user, gender, age, occupation, movie, decade``
    (ids; the decade of release) and ``genres`` (arrays of ids); and, untouched, ``user_id,
    movie_id, rating``. Published runs cut the year into nine parts that they do not state; decades
    are near.

    Source: Weiping Song et al. AutoInt: Automatic Feature Interaction Learning via Self-Attentive
    Neural Networks. CIKM 2019.

    Args:
        folder: as for :func:`load_movielens_1m`, with users and movies.
        seed: of the split.
        check: as for :func:`load`.
    """
    data = load_movielens_1m(folder, check)
    require_tables(MOVIELENS_1M, data.tables, "ratings", "users", "movies")
    ratings, users, movies = (data.frame(name) for name in ("ratings", "users", "movies"))
    rows = ratings.loc[ratings["rating"] != 3, ["user_id", "movie_id", "rating"]]
    rows = rows.reset_index(drop=True)
    user_rows = pd.Index(users["user_id"]).get_indexer(rows["user_id"])
    movie_rows = pd.Index(movies["movie_id"]).get_indexer(rows["movie_id"])
    tokens = {
        "user": rows["user_id"],
        "gender": _taken(users["gender"], user_rows),
        "age": _taken(users["age"], user_rows),
        "occupation": _taken(users["occupation"], user_rows),
        "movie": rows["movie_id"],
        "decade": _taken(movies["year"] // 10 * 10, movie_rows),
    }
    parts = random_split(len(rows), seed, (0.8, 0.1, 0.1))
    vocabularies = {name: vocabulary_of(each.iloc[parts[0]]) for name, each in tokens.items()}
    for name, each in tokens.items():
        rows[name] = encode(vocabularies[name], each)
    genres = _taken_lists(movies["genres"], movie_rows)
    seen = genres.take(pa.array(parts[0])).flatten().to_pandas()
    vocabularies["genres"] = vocabulary_of(seen)
    ids = encode(vocabularies["genres"], genres.flatten().to_pandas())
    lengths = genres.value_lengths().to_numpy()
    rows["genres"] = lists_of(lengths, ids).to_pandas()
    rows.insert(0, "label", (rows["rating"] > 3).astype(np.float32))
    schema = TaskSchema(
        vocabularies, "label", "user_id", {"genres": max(int(lengths.max(initial=0)), 1)}
    )
    train, valid, test = (rows.iloc[part].reset_index(drop=True) for part in parts)
    return Task(train, valid, test, schema)


def _taken(column: pd.Series, rows: np.ndarray) -> pd.Series:
    """Values of another table's rows; a row of -1 has none."""
    return column.reset_index(drop=True).reindex(np.where(rows < 0, len(column), rows))


def _taken_lists(column: pd.Series, rows: np.ndarray) -> pa.ListArray:
    lists = pa.array([*column, []], pa.list_(pa.string()))  # the last stands for no movie
    return lists.take(pa.array(np.where(rows < 0, len(column), rows)))


def frappe_ctr(folder: Folder, check: Check = "warn") -> Task:
    """Frappe's official parts as click prediction in ten fields.

    Columns: ``label`` (0.0 or 1.0) and the fields' ids; a token that train lacks is unknown.
    ``user_id`` is the raw user.

    Args:
        folder: as for :func:`load_frappe`, with all three parts.
        check: as for :func:`load`.
    """
    data = load_frappe(folder, check)
    require_tables(FRAPPE, data.tables, "train", "valid", "test")
    names = [column.name for column in FIELDS]
    train = data.frame("train")
    vocabularies = {name: vocabulary_of(train[name]) for name in names}

    def encoded(part: pd.DataFrame) -> pd.DataFrame:
        ids = {name: encode(vocabularies[name], part[name]) for name in names}
        label = part["label"].to_numpy(np.float32)
        return pd.DataFrame({"label": label, **ids, "user_id": part["user"].to_numpy()})

    valid, test = encoded(data.frame("valid")), encoded(data.frame("test"))
    return Task(encoded(train), valid, test, TaskSchema(vocabularies, "label", "user_id"))
