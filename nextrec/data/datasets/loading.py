"""Loading any data set by name."""

from __future__ import annotations

from typing import Any

from nextrec.data.datasets.dataset import Check, Dataset, check_option
from nextrec.data.datasets.describe import DATASETS, LOADERS
from nextrec.data.datasets.folder import Folder
from nextrec.errors import ConfigError, invalid


def load(name: str, folder: Folder | None = None, check: Check = "warn", **options: Any) -> Dataset:
    """Load a public data set from a local folder.

    Nothing is downloaded. The folder holds the files as they are published, or as CSV or Parquet
    files; ``nextrec data show NAME`` lists the names that are looked for.

    Args:
        name: as in ``nextrec data list``; case does not matter.
        folder: where the files are; ``None`` only for what is bundled, ``movielens-small``.
        check: the published counts are compared with those found. ``"warn"`` logs a difference,
            since many folders hold a known subset; ``"strict"`` raises; ``"off"`` compares
            nothing. A file that is broken or lacks a column is an error in any case.
        options: further arguments of the loader, such as ``category`` of ``amazon-reviews``.

    Raises:
        ConfigError: no data set has this name, or ``check`` is none of the three.
        DataError: a file is absent or broken, or a count differs under ``"strict"``.

    >>> data = load("movielens-small")
    >>> data
    Dataset(movielens-small: ratings=100836, movies=9742)
    >>> data.schema.user, data.schema.item, data.schema.time, data.schema.labels
    ('user_id', 'movie_id', 'timestamp', ('rating',))
    """
    description = DATASETS[name]
    check_option(check)
    if folder is None and description.name != "movielens-small":
        must_be = f"a folder with the files, from {description.source}"
        raise ConfigError(invalid(description.name, "folder", must_be, folder))
    return LOADERS[description.name](folder, check=check, **options)
