"""Public data sets: what they are, loaders for local copies, and standard tasks made from them.

:func:`load` reads any of them by name from a folder; MovieLens-small is bundled. Nothing is
downloaded. A loader finds the files in their published layout, checks what is in them and tells
how the counts differ from the published ones.
"""

from nextrec.data.datasets.amazon import load_amazon_reviews
from nextrec.data.datasets.avazu import load_avazu, parse_hours
from nextrec.data.datasets.census import load_adult, load_census_income
from nextrec.data.datasets.criteo import load_criteo, load_criteo_1tb
from nextrec.data.datasets.dataset import Check, Dataset, compare, count
from nextrec.data.datasets.describe import (
    DATASETS,
    Column,
    Count,
    DatasetDescription,
    Schema,
    TableDescription,
    describe,
)
from nextrec.data.datasets.diginetica import Sessions, diginetica_sessions, load_diginetica
from nextrec.data.datasets.frappe import load_frappe
from nextrec.data.datasets.leave_one_out import leave_one_out
from nextrec.data.datasets.loading import load
from nextrec.data.datasets.movielens_1m import load_movielens_1m
from nextrec.data.datasets.movielens_100k import load_movielens_100k
from nextrec.data.datasets.movielens_small import (
    LIKED,
    TRAIN_SHARE,
    MovieLensSchema,
    MovieLensSmall,
    MovieLensTask,
    bias_baseline,
    load_movielens_small,
    movielens_small_ctr,
)
from nextrec.data.datasets.streams import TextFiles
from nextrec.data.datasets.tasks import Task, TaskSchema, frappe_ctr, movielens_1m_ctr

__all__ = [
    "DATASETS",
    "LIKED",
    "TRAIN_SHARE",
    "Check",
    "Column",
    "Count",
    "Dataset",
    "DatasetDescription",
    "MovieLensSchema",
    "MovieLensSmall",
    "MovieLensTask",
    "Schema",
    "Sessions",
    "TableDescription",
    "Task",
    "TaskSchema",
    "TextFiles",
    "bias_baseline",
    "compare",
    "count",
    "describe",
    "diginetica_sessions",
    "frappe_ctr",
    "leave_one_out",
    "load",
    "load_adult",
    "load_amazon_reviews",
    "load_avazu",
    "load_census_income",
    "load_criteo",
    "load_criteo_1tb",
    "load_diginetica",
    "load_frappe",
    "load_movielens_1m",
    "load_movielens_100k",
    "load_movielens_small",
    "movielens_1m_ctr",
    "movielens_small_ctr",
    "parse_hours",
]
