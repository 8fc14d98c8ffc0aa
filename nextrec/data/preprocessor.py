"""DataProcessor: from raw columns to the numbers and ids that models take, and back to features.

Describe each column once, fit, and transform data of any size::

    processor = DataProcessor()
    processor.add_numeric_feature("price", scaler="robust")
    processor.add_sparse_feature("item", min_frequency=2)
    processor.add_sequence_feature("history", vocabulary="item", max_len=50)
    processor.add_target("click")
    train = processor.fit_transform(frame, return_dict=False)
    features = processor.features(embedding_dim=16)

Ids: 0 padding, 1 unknown or missing, tokens from 2. Fitting is a merge of states (see
:mod:`nextrec.data.transforms.base`), so threads, files and Spark give the same processor.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from copy import copy as shallow_copy
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import pyarrow as pa

from nextrec.data.files import Source
from nextrec.data.memory import unique_names
from nextrec.data.processing import local, results, saved
from nextrec.data.processing.descriptions import ColumnDescriptions
from nextrec.data.processing.fit import extend, learn
from nextrec.data.processing.rates import Rates, warn_of
from nextrec.data.processing.recipe import Recipe
from nextrec.data.processing.summary import summary_frame, summary_text
from nextrec.data.sources import frame_kind, read_table_of
from nextrec.errors import (
    ConfigError,
    FeatureError,
    NotFittedError,
    invalid,
    unknown_option,
)
from nextrec.features import FeatureSet, FeatureSpecMixin

logger = logging.getLogger("nextrec")

Engine = Literal["local", "spark"]
ENGINES = ("local", "spark")
FORMATS = ("csv", "parquet")


class DataProcessor(ColumnDescriptions, FeatureSpecMixin):
    """Learns what columns hold, and turns them into what models take.

    Args:
        warn_above: a column whose unknown or missing share in transformed data exceeds that of the
            fitted data by more than this is told in the log.
        threads: for fitting and transforming; ``None``: one a core. The result is the same.
        engine: ``"local"``, or ``"spark"`` to let Spark work on paths. A Spark DataFrame is
            always worked on by Spark, data in memory never.

    >>> processor = DataProcessor()
    >>> processor.add_sparse_feature("item")
    >>> processor.add_target("click")
    >>> data = processor.fit_transform({"item": ["b", "a", "b"], "click": [1, 0, 1]})
    >>> data["item"].tolist(), data["click"].tolist()
    ([3, 2, 3], [1.0, 0.0, 1.0])
    >>> processor.transform({"item": ["a", "new", None]})["item"].tolist()
    [2, 1, 1]
    """

    def __init__(
        self, warn_above: float = 0.05, threads: int | None = None, engine: Engine = "local"
    ) -> None:
        if engine not in ENGINES:
            raise ConfigError(unknown_option("DataProcessor", "engine", ENGINES, engine))
        if threads is not None and not _is_count(threads, 0):
            must_be = "an integer of at least 0, or None"
            raise ConfigError(invalid("DataProcessor", "threads", must_be, threads))
        if isinstance(warn_above, bool) or not isinstance(warn_above, Real) or not warn_above >= 0:
            must_be = "a number of at least 0"
            raise ConfigError(invalid("DataProcessor", "warn_above", must_be, warn_above))
        super().__init__()
        self.warn_above: float = float(warn_above)
        self.threads: int | None = threads
        self.engine: Engine = engine
        self.fit_rates: Rates = Rates()
        """What was missing in the data that was fitted."""
        self.rates: Rates = Rates()
        """What was missing and unknown in the data that was last transformed."""

    # -- fitting --------------------------------------------------------------------------------

    def fit(self, data: Any, chunk_size: int = 200_000) -> Self:
        """Learn from data; all that was learned before is replaced.

        Args:
            data: anything tabular, paths of any size, a source opened with options (such as
                ``open_source("*.csv", on_bad="skip")``), or a Spark DataFrame.
            chunk_size: rows that a thread works on at a time.

        Raises:
            DataError: a column is missing, or a value does not fit. The processor is then as it
                was.
        """
        fresh = self.unfitted()
        recipe = Recipe(fresh)
        states = self._engine(data).fit(recipe, data, self._chunk(chunk_size), self._threads)
        learn(fresh, states)
        self.transforms, self.fit_rates, self.rates = fresh, states.rates, Rates()
        self.is_fitted = True
        logger.info("DataProcessor: fitted %s columns on %s rows", len(fresh), states.rates.rows)
        return self

    def extend(self, data: Any, chunk_size: int = 200_000) -> dict[str, int]:
        """Add the new tokens of further data to the vocabularies; every old id stays.

        Scales, buckets and label maps stay as they are. Tables of trained models are then too
        small for the new ids.

        Returns:
            Number of new tokens by output column.
        """
        self._require_fitted()
        grown = {
            name: each
            for name, each in self.transforms.items()
            if each.vocab_size is not None and each.role != "target"
        }
        copies = {name: self.copy_of(each) for name, each in grown.items()}
        states = self._engine(data).fit(
            Recipe(copies), data, self._chunk(chunk_size), self._threads
        )
        added = extend(copies, states)
        self.transforms = {**self.transforms, **copies}
        return added

    # -- transforming ---------------------------------------------------------------------------

    def transform(
        self,
        data: Any,
        return_dict: bool = True,
        save_format: Literal["csv", "parquet"] | None = None,
        output_path: str | os.PathLike[str] | None = None,
        *,
        chunk_size: int = 200_000,
    ) -> Any:
        """Replace the described columns by what models take; all others are carried along.

        * Data in memory gives a dict of arrays, or with ``return_dict=False`` a frame of the kind
          that was given (pandas for a dict, a DataFrame for a lazy one). With ``output_path`` it is
          also written: to that file, or as ``transformed_data.parquet`` into that folder.
        * Paths give files: ``part-*.parquet`` and the manifest ``_SUCCESS`` in the folder
          ``output_path`` (default: ``<name>_preprocessed`` beside the data), all there or none.
          Returned are the paths of the parts.
        * A Spark DataFrame gives a Spark DataFrame, or files like paths do.

        Afterwards ``rates`` tells how much was missing and unknown.

        Raises:
            NotFittedError: :meth:`fit` was not called.
            DataError: a column is missing, or a value does not fit. Nothing is written then.
        """
        return self._transform(data, return_dict, save_format, output_path, chunk_size, False)

    def fit_transform(
        self,
        data: Any,
        return_dict: bool = True,
        save_format: Literal["csv", "parquet"] | None = None,
        output_path: str | os.PathLike[str] | None = None,
        chunk_size: int = 200_000,
    ) -> Any:
        """:meth:`fit`, then :meth:`transform` the same data; target encodings leave a row out."""
        data = _read_once(data)
        self.fit(data, chunk_size)
        return self._transform(data, return_dict, save_format, output_path, chunk_size, True)

    def _transform(
        self,
        data: Any,
        return_dict: bool,
        save_format: str | None,
        output_path: str | os.PathLike[str] | None,
        chunk_size: int,
        fitted: bool,
    ) -> Any:
        self._require_fitted()
        data = _read_once(data)
        if save_format not in (None, *FORMATS):
            raise ConfigError(
                unknown_option("DataProcessor.transform", "save_format", FORMATS, save_format)
            )
        recipe, chunk = Recipe(self.transforms), self._chunk(chunk_size)
        engine = self._engine(data)
        if engine is not local or is_files(data):
            result, rates = engine.transform_files(
                recipe, data, output_path, save_format or "parquet", chunk, self._threads, fitted
            )
        else:
            unique_names(data)
            outputs, rates = local.transform_memory(recipe, data, chunk, self._threads, fitted)
            make = results.as_dict if return_dict else results.as_frame
            result = make(data, outputs, self.transforms)
            if output_path is not None:
                local.write_result(data, outputs, output_path, save_format)
        self._take(rates)
        return result

    def transform_table(
        self,
        table: pa.Table,
        first_row: int = 0,
        fitted: bool = False,
        only: Sequence[str] | None = None,
    ) -> pa.Table:
        """Transform an Arrow table; the path of streams and servers.

        Ids are int32, histories lists of int32 without padding, numbers float32, labels float32 or
        int64 with nulls where not observed.

        Args:
            first_row: number, in the whole data, of the table's first row; errors count from it.
            fitted: the table is part of the data that was fitted.
            only: the columns to make; the others that are described stay as they are.
        """
        self._require_fitted()
        recipe = Recipe(self.transforms)
        return recipe.transform_table(table, first_row, fitted, only)[0]

    def watch(self, what: str, to_train: bool = False) -> Watched:
        """This processor for one table, whose missing and unknown values are counted apart.

        Args:
            what: the table, as the log calls it.
            to_train: target encodings leave a row's own label out.
        """
        return Watched(self, what, to_train)

    def copy(self) -> Self:
        """A processor of its own with what this one has learned; fitting one leaves the other."""
        twin = shallow_copy(self)  # transforms are replaced, never changed
        twin.transforms = dict(self.transforms)
        twin._folded_by_all = set(self._folded_by_all)
        return twin

    def _take(self, rates: Rates, what: str = "") -> None:
        self.rates = rates
        warn_of(rates, self.fit_rates, self.target_columns, self.warn_above, what)

    # -- what is known --------------------------------------------------------------------------

    def features(
        self,
        embedding_dim: int | None = 16,
        *,
        only: Sequence[str] | None = None,
        per_column: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> FeatureSet:
        """The features of the transformed columns, their vocabulary sizes filled in.

        Args:
            embedding_dim: width of all tables; ``None``: by their size.
            only: output columns to use; default all but targets.
            per_column: further arguments of single features, such as
                ``{"history": {"combiner": "sum"}}``.

        >>> processor = DataProcessor()
        >>> processor.add_sparse_feature("item", vocabulary="item")
        >>> processor.add_sequence_feature("seen", vocabulary="item", max_len=3)
        >>> processor.fit({"item": ["a", "b"], "seen": [["b"], []]}) is processor
        True
        >>> [(f.name, f.vocab_size, f.embedding_name) for f in processor.features(8)]
        [('item', 4, 'item'), ('seen', 4, 'item')]
        """
        self._require_fitted()
        usable = [name for name, each in self.transforms.items() if each.role != "target"]
        names = usable if only is None else list(only)
        for name in [*names, *(per_column or {})]:
            if name not in usable:
                raise ConfigError(unknown_option("features", "only", usable, name))
        made = []
        for name in names:
            transform = self.transforms[name]
            arguments: dict[str, Any] = {}
            if transform.role in ("sparse", "sequence"):
                arguments["embedding_dim"] = embedding_dim
            arguments |= (per_column or {}).get(name, {})
            feature = transform.feature(arguments)
            assert feature is not None  # only targets have none
            made.append(feature)
        self._refuse_one_name_for_two_tables(names, made)
        return FeatureSet.of(made)

    def _refuse_one_name_for_two_tables(self, names: Sequence[str], made: Sequence[Any]) -> None:
        """A dot in a name becomes ``_`` in that of its table, where it may meet another table."""
        owners: dict[str, str] = {}
        for name, feature in zip(names, made, strict=True):
            table = getattr(feature, "embedding_name", None)
            owner = self.transforms[name].shares or name
            if table is not None and owners.setdefault(table, owner) != owner:
                raise FeatureError(
                    f"features: the tables of {owners[table]!r} and {owner!r} would both be named "
                    f"{table!r}; rename one of the columns."
                )

    @property
    def target_columns(self) -> list[str]:  # type: ignore[override]
        """The label columns."""
        return [name for name, each in self.transforms.items() if each.role == "target"]

    @property
    def text_columns(self) -> frozenset[str]:
        """Input columns that CSV should deliver as they are written."""
        return Recipe(self.transforms).text_columns

    def inputs_of(self, names: Sequence[str]) -> list[str]:
        """Input columns that the columns ``names`` of transformed data need."""
        return Recipe(self.transforms).inputs_of(names)

    def get_vocab_sizes(self) -> dict[str, int]:
        """Table rows of every sparse and sequence column."""
        return {
            name: each.vocab_size
            for name, each in self.transforms.items()
            if each.role in ("sparse", "sequence") and each.vocab_size is not None
        }

    def report(self) -> pd.DataFrame:
        """One row an output column: transform, vocabulary, unknown and missing shares."""
        return summary_frame(self.transforms, self.is_fitted, self.fit_rates, self.rates)

    def summary(self) -> str:
        """:meth:`report` as text, which is also logged."""
        text = summary_text(self.report())
        logger.info("%s", text)
        return text

    # -- keeping --------------------------------------------------------------------------------

    def save(self, save_path: str | os.PathLike[str]) -> Path:
        """Write the processor into one file of Arrow and JSON; a path without suffix gets one."""
        if not self.is_fitted:
            logger.warning("DataProcessor: saved before it was fitted")
        path = saved.saved_path(save_path)
        state = {
            "is_fitted": self.is_fitted,
            "fit_rates": self.fit_rates.to_dict(),
            "warn_above": self.warn_above,
            "engine": self.engine,
            "folded_by_all": sorted(self._folded_by_all),
        }
        saved.write(path, self.transforms, self.is_fitted, state)
        return path

    @classmethod
    def load(cls, load_path: str | os.PathLike[str]) -> Self:
        """Read a processor, or the ``.pkl`` of one of NextRec 0.3.1.

        Raises:
            CheckpointError: the file can't be read, or is of another id space or hash.
        """
        path = Path(os.path.expanduser(os.fspath(load_path)))
        if not os.path.isfile(path):
            path = saved.saved_path(path)
        processor = cls()
        if _is_pickle(path):
            from nextrec.data.legacy_processor import read_legacy, to_transforms

            legacy = read_legacy(path)
            processor.transforms = {each.name: each for each in to_transforms(legacy)}
            processor.is_fitted = legacy.is_fitted
            return processor
        processor.transforms, state = saved.read(path)
        processor.is_fitted = state["is_fitted"]
        processor.fit_rates = Rates.from_dict(state["fit_rates"])
        processor.warn_above, processor.engine = state["warn_above"], state["engine"]
        processor._folded_by_all = set(state["folded_by_all"])
        return processor

    # -- inside ---------------------------------------------------------------------------------

    def _engine(self, data: Any) -> Any:
        from_files = self.engine == "spark" and is_files(data) and not isinstance(data, Source)
        if not (_is_spark(data) or from_files):
            return local
        from nextrec.data.processing import spark

        return spark

    @property
    def _threads(self) -> int:
        return (os.cpu_count() or 1) if self.threads is None else self.threads

    @staticmethod
    def _chunk(rows: int) -> int:
        if not _is_count(rows, 1):
            must_be = "an integer of at least 1"
            raise ConfigError(invalid("DataProcessor", "chunk_size", must_be, rows))
        return rows

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise NotFittedError("DataProcessor must be fitted before it transforms.")

    def __repr__(self) -> str:
        state = "fitted" if self.is_fitted else "not fitted"
        return f"DataProcessor({len(self.transforms)} columns, {state})"


class Watched:
    """A processor over one table: what streams, stores and predictions go through."""

    def __init__(self, processor: DataProcessor, what: str, to_train: bool) -> None:
        self.processor = processor
        self.what = what
        self.recipe = Recipe(processor.transforms)
        self.fitted = to_train and self.recipe.has_folds
        self.is_fitted = processor.is_fitted
        self.text_columns = processor.text_columns
        self.rates = Rates()
        self._lock = threading.Lock()

    def inputs_of(self, names: Sequence[str]) -> list[str]:
        """Input columns, with those that tell a row's fold."""
        return self.recipe.inputs_of(names, self.fitted)

    def transform_table(
        self, table: pa.Table, first_row: int = 0, only: Sequence[str] | None = None
    ) -> pa.Table:
        """See :meth:`DataProcessor.transform_table`; counts what the table lacks."""
        made, rates = self.recipe.transform_table(table, first_row, self.fitted, only)
        with self._lock:
            self.rates.merge(rates)
        return made

    def forget(self) -> None:
        """Count from here on."""
        with self._lock:
            self.rates = Rates()

    def tell(self) -> None:
        """Log what was missing or unknown so far, and keep it as the processor's ``rates``."""
        if self.rates.rows:
            self.processor._take(self.rates, self.what)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _read_once(data: Any) -> Any:
    """Keep what can be read only once, for it is read several times; read what is no file."""
    if isinstance(data, Source):
        return data if is_files(data) else read_table_of(data)
    return read_table_of(data) if not _is_spark(data) and frame_kind(data) == "stream" else data


def is_files(data: Any) -> bool:
    """Whether the data is files: paths, or a source of files that was opened with options."""
    if isinstance(data, Source):
        return getattr(data, "paths", None) is not None
    return not _is_spark(data) and frame_kind(data) == "files"


def _is_spark(data: Any) -> bool:
    """Whether the data is a Spark DataFrame, without importing Spark."""
    return type(data).__module__.split(".")[0] == "pyspark"


def _is_pickle(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(2)
    except (OSError, ValueError):
        return False
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
