"""The bundled MovieLens-small ratings, as plain tables and as a ready click-prediction task.

100,836 ratings of 9,724 movies by 610 users. The data is GroupLens's, under its own terms: research
use only, no commercial use without permission. The terms lie beside the data
(``nextrec/data/_bundled/movielens_small/README.txt``); work that uses the data must cite

    F. Maxwell Harper and Joseph A. Konstan. The MovieLens Datasets: History and Context.
    ACM Transactions on Interactive Intelligent Systems 5 (4), 2015.
    https://doi.org/10.1145/2827872
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from nextrec.data.datasets.dataset import Check
from nextrec.data.datasets.encoding import encode, lists_of, vocab_size, vocabulary_of
from nextrec.data.datasets.folder import Folder
from nextrec.data.datasets.movielens import read_movielens_small
from nextrec.errors import ConfigError, invalid
from nextrec.features import FeatureSet, SequenceFeature, SparseFeature

LIKED = 4.0
"""A rating of at least so many stars is a like, the positive label."""
TRAIN_SHARE = 0.8
"""Share of each user's events, the earliest, that is trained on."""


class MovieLensSmall(NamedTuple):
    """Ratings and movies as published."""

    ratings: pd.DataFrame
    """``user_id``, ``movie_id``, ``rating`` (0.5 to 5 stars), ``timestamp`` (seconds, Unix)."""
    movies: pd.DataFrame
    """``movie_id``, ``title``, ``genres`` (an array of names), ``year`` (may be missing)."""


def load_movielens_small(folder: Folder | None = None, check: Check = "warn") -> MovieLensSmall:
    """Read the bundled ratings and movies, or those of a folder with GroupLens's own files.

    Args:
        folder: holds ``ratings.csv`` and ``movies.csv``; ``None``: the bundled files.
        check: what to do when the published counts differ; see :func:`load`.

    >>> ratings, movies = load_movielens_small()
    >>> len(ratings), len(movies)
    (100836, 9742)
    >>> title, genres, year = movies.loc[0, ["title", "genres", "year"]]
    >>> print(title, list(genres)[:2], year)
    Toy Story (1995) ['Adventure', 'Animation'] 1995
    """
    data = read_movielens_small(folder, check)
    return MovieLensSmall(data.frame("ratings"), data.frame("movies"))


@dataclass(frozen=True)
class MovieLensSchema:
    """What the columns of :func:`movielens_small_ctr` mean."""

    vocabularies: dict[str, pd.Index]
    """Sorted tokens by feature; a token's id is its position + 2, after padding and unknown."""
    history_len: int
    genres_len: int
    """The most genres that one movie has."""

    target: ClassVar[str] = "label"
    user_id_column: ClassVar[str] = "user_id"
    """Raw user ids, the groups of GAUC."""

    @property
    def vocab_sizes(self) -> dict[str, int]:
        """Table rows by feature."""
        return {name: vocab_size(tokens) for name, tokens in self.vocabularies.items()}

    def features(self, embedding_dim: int = 16) -> FeatureSet:
        """The task's features, every one ``embedding_dim`` wide; history reads the movie table."""
        sizes, width = self.vocab_sizes, embedding_dim
        return FeatureSet(
            sparse=[
                SparseFeature(name, sizes[name], embedding_dim=width)
                for name in ("user", "movie", "year")
            ],
            sequence=[
                SequenceFeature("genres", sizes["genres"], self.genres_len, embedding_dim=width),
                SequenceFeature("history", sizes["movie"], self.history_len, "movie", width),
            ],
        )


class MovieLensTask(NamedTuple):
    """Train rows, test rows and what their columns mean."""

    train: pd.DataFrame
    test: pd.DataFrame
    schema: MovieLensSchema


def movielens_small_ctr(history_len: int = 20) -> MovieLensTask:
    """Predict whether a user likes a movie (a rating of at least 4 stars).

    Each user's events are ordered by time, those of one second as they stand in the file. The
    first ``floor(0.8 n)`` of a user's ``n`` events are train rows, the others test rows.

    Columns: ``label`` (0.0 or 1.0); the features ``user, movie, year`` (ids), ``genres`` and
    ``history`` (arrays of ids, not padded); and, untouched, ``user_id, movie_id, rating,
    timestamp``. ``history`` holds the user's last ``history_len`` liked movies, newest last, of
    strictly earlier seconds: events of one second never see each other. A test row's history
    may hold earlier test events, as it would when served.

    Ids come from the train rows alone: 0 is padding, 1 is a movie, year or genre never seen in
    training, or a missing year.

    Raises:
        ConfigError: ``history_len`` is below 1.

    >>> train, test, schema = movielens_small_ctr()
    >>> len(train), len(test), schema.vocab_sizes["movie"]
    (80419, 20417, 8232)
    >>> schema.features(embedding_dim=16)
    FeatureSet(sparse=3, sequence=2, dense=0, tables=4)
    """
    if history_len < 1:
        must_be = "an integer of at least 1"
        raise ConfigError(invalid("movielens_small_ctr", "history_len", must_be, history_len))
    ratings, movies = load_movielens_small()
    events = ratings.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)
    movie_rows = pd.Index(movies["movie_id"]).get_indexer(events["movie_id"])
    years = movies["year"].take(movie_rows)
    in_train = _is_early(events["user_id"].to_numpy())

    genres = pa.array(movies["genres"])
    seen_genres = genres.take(pa.array(movie_rows[in_train])).flatten().to_pandas()
    vocabularies = {
        "user": vocabulary_of(events["user_id"][in_train]),
        "movie": vocabulary_of(events["movie_id"][in_train]),
        "year": vocabulary_of(years[in_train]),
        "genres": vocabulary_of(seen_genres),
    }
    schema = MovieLensSchema(vocabularies, history_len, int(movies["genres"].str.len().max()))

    liked = events["rating"].to_numpy() >= LIKED
    events["label"] = liked.astype(np.float32)
    events["user"] = encode(vocabularies["user"], events["user_id"])
    events["movie"] = encode(vocabularies["movie"], events["movie_id"])
    events["year"] = encode(vocabularies["year"], years)
    genre_ids = encode(vocabularies["genres"], genres.flatten().to_pandas())
    genre_lists = lists_of(movies["genres"].str.len().to_numpy(), genre_ids)
    events["genres"] = genre_lists.take(pa.array(movie_rows)).to_pandas()
    events["history"] = _liked_before(events, liked, history_len).to_pandas()
    train = events[in_train].reset_index(drop=True)
    return MovieLensTask(train, events[~in_train].reset_index(drop=True), schema)


def _is_early(users: np.ndarray) -> np.ndarray:
    """Whether each event is in its user's first share; events lie by user, then time."""
    _, first, counts = np.unique(users, return_index=True, return_counts=True)
    position = np.arange(len(users)) - np.repeat(first, counts)
    return position < np.repeat(np.floor(TRAIN_SHARE * counts), counts)


def _liked_before(events: pd.DataFrame, liked: np.ndarray, history_len: int) -> pa.ListArray:
    """For each event the user's last liked movies of strictly earlier seconds, newest last."""
    user, second = events["user"].to_numpy(), events["timestamp"].to_numpy()
    # One number that orders events by user, then second: a user's numbers never meet another's.
    span = int(second.max()) + 1
    when = user * span + second
    liked_when = when[liked]
    stop = np.searchsorted(liked_when, when, side="left")
    start = np.maximum(np.searchsorted(liked_when, user * span), stop - history_len)
    lengths = stop - start
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1]) + np.repeat(stop - ends, lengths)
    return lists_of(lengths, events["movie"].to_numpy()[liked][places])


def bias_baseline(
    train: pd.DataFrame, test: pd.DataFrame, shrinkage: float = 5.0, floor: float = 0.01
) -> np.ndarray:
    """What a user's and a movie's like rates alone predict; a model must beat it.

    ``p(u, i) = mu + b_i + b_u``: ``mu`` the share of likes; ``b_i`` the mean over movie ``i``'s
    ``n_i`` train rows of ``y - mu``, and then ``b_u`` the mean over user ``u``'s of
    ``y - mu - b_i``, each times ``n / (n + shrinkage)``. A user or movie without train rows has no
    bias. The sum is cut to ``[floor, 1 - floor]``, so that it has a log loss.

    On :func:`movielens_small_ctr` it reaches AUC 0.765, GAUC 0.659 and log loss 0.581.

    Args:
        train: rows with ``user, movie`` (ids) and ``label``.
        test: rows with ``user, movie``.
        shrinkage: rows of no deviation that are added to each user and movie.
        floor: the least probability.

    Returns:
        Probabilities ``(rows of test,)``.
    """
    residual = train["label"].to_numpy(np.float64)
    mean = residual.mean()
    residual = residual - mean
    score = np.full(len(test), mean)
    for column in ("movie", "user"):
        ids, test_ids = train[column].to_numpy(), test[column].to_numpy()
        size = max(ids.max(), test_ids.max()) + 1
        count = np.bincount(ids, minlength=size)
        # The guard is for ids without train rows when nothing shrinks: 0 / 0 means no bias.
        bias = np.bincount(ids, residual, minlength=size) / np.maximum(count + shrinkage, 1e-12)
        residual = residual - bias[ids]
        score += bias[test_ids]
    return np.clip(score, floor, 1 - floor)
