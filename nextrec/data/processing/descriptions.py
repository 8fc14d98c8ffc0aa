"""Describing columns: which transform makes which output column.

Each ``add_*`` method of the processor makes one transform, or several, out of arguments that are
those of 0.3.1 where 0.3.1 had the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nextrec.data.processing.fit import check_shared
from nextrec.data.transforms import (
    Bucketize,
    Cross,
    DatetimePart,
    Encode,
    EncodeSequence,
    Hash,
    IsMissing,
    Scale,
    Target,
    TargetEncode,
    Transform,
)
from nextrec.errors import ConfigError, invalid, unknown_option

Missing = Literal["fill", "error"]


class ColumnDescriptions:
    """The transforms of a processor by output column, and the methods that add to them."""

    def __init__(self) -> None:
        self.transforms: dict[str, Transform] = {}
        self.is_fitted = False
        self._folded_by_all: set[str] = set()
        """Target encodings whose folds all other input columns make."""

    def add_numeric_feature(
        self,
        name: str,
        scaler: str | None = "standard",
        fill_na: float | str | None = None,
        *,
        column: str | None = None,
        missing: Missing = "fill",
        clip: tuple[float, float] | None = None,
    ) -> None:
        """A column of numbers, scaled to float32.

        Args:
            name: the output column.
            scaler: ``standard, minmax, robust, maxabs, log, quantile, quantile_normal, none``.
                ``log`` is that of ``1 + x``, and takes negative numbers for 0.
            fill_na: what missing values become before scaling: a number, ``mean`` (default),
                ``median``, ``min`` or ``max`` of the fitted values.
            column: the input column; default ``name``.
            missing: ``error`` refuses missing values instead.
            clip: bounds of the scaled values.
        """
        self._add(Scale(name, column, scaler, fill_na, missing, clip))

    def add_bucket_feature(
        self,
        name: str,
        method: Literal["equal_width", "equal_frequency", "edges"] = "equal_width",
        num_buckets: int = 10,
        edges: Sequence[float] | None = None,
        *,
        column: str | None = None,
        missing: Missing = "fill",
    ) -> None:
        """A column of numbers as ids of intervals; a missing value is the unknown id.

        Args:
            edges: of ``method="edges"``: one more than there are intervals. Values beyond the outer
                ones fall into the first and the last interval.
        """
        self._add(Bucketize(name, column, method, num_buckets, edges, missing))

    def add_missing_indicator(self, name: str, column: str) -> None:
        """1 where ``column`` is missing, else 0."""
        self._add(IsMissing(name, column))

    def add_sparse_feature(
        self,
        name: str,
        encode_method: Literal["label", "hash"] = "label",
        hash_size: int | None = None,
        fill_na: str = "<UNK>",
        *,
        column: str | None = None,
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        vocabulary: str | None = None,
        missing: Missing = "fill",
        seed: int = 0,
    ) -> None:
        """A column of categories as ids.

        Args:
            name: the output column.
            encode_method: ``label`` learns a vocabulary, ``hash`` needs none.
            hash_size: rows of the table of hashed ids, padding and unknown among them.
            fill_na: the category of missing values; ``<UNK>``: the unknown id.
            column: the input column; default ``name``.
            min_frequency: rarer tokens are unknown.
            max_size: most tokens of the vocabulary; the most frequent stay.
            num_unknown: ids among which unknown tokens are spread by their hash.
            vocabulary: name under which columns share one vocabulary and one table.
            missing: ``error`` refuses missing values.
            seed: of the hash.
        """
        self._check_method(name, encode_method, hash_size)
        if encode_method == "hash":
            self._refuse_label_options(name, min_frequency, max_size, num_unknown, vocabulary)
            self._add(Hash(name, column, hash_size, seed, fill_na, missing))
        else:
            self._add(
                Encode(
                    name, column, min_frequency, max_size, num_unknown, fill_na, missing, vocabulary
                )
            )

    def add_cross_feature(
        self,
        name: str,
        columns: Sequence[str],
        encode_method: Literal["label", "hash"] = "hash",
        hash_size: int | None = None,
        *,
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        missing: Missing = "fill",
        seed: int = 0,
    ) -> None:
        """The combination of several columns as one category."""
        self._check_method(name, encode_method, hash_size)
        self._add(
            Cross(
                name,
                tuple(columns),
                encode_method=encode_method,
                hash_size=hash_size,
                seed=seed,
                min_frequency=min_frequency,
                max_size=max_size,
                num_unknown=num_unknown,
                missing=missing,
            )
        )

    def add_datetime_feature(
        self,
        name: str,
        parts: Sequence[str] = ("hour", "weekday"),
        *,
        column: str | None = None,
        format: str | None = None,
        unit: Literal["s", "ms", "us", "ns"] = "s",
        timezone: str | None = None,
        missing: Missing = "fill",
    ) -> None:
        """Parts of a moment, each in a column ``<name>_<part>``.

        Args:
            name: beginning of the output columns' names.
            parts: see :class:`~nextrec.data.transforms.DatetimePart`.
            column: the input column; default ``name``.
            format: of text that is not ISO 8601, as for ``strptime``.
            unit: of numbers, which count from 1970.
            timezone: of the parts, such as ``Europe/Berlin``; default UTC.
        """
        source = name if column is None else column
        made = [
            DatetimePart(f"{name}_{part}", source, part, format, unit, timezone, missing)
            for part in ([parts] if isinstance(parts, str) else parts)
        ]
        for each in made:
            self._add(each)

    def add_target_encoding(
        self,
        name: str,
        target: str,
        columns: str | Sequence[str],
        smoothing: float | Literal["auto"] = "auto",
        folds: int = 5,
        *,
        fold_by: str | Sequence[str] | None = None,
        seed: int = 0,
        missing: Missing = "fill",
    ) -> None:
        """The mean label of a category, learned so that no row sees its own label.

        ``fit_transform`` gives every row the mean of the other folds, ``transform`` that of all
        fitted rows. A row's fold follows from its values in ``fold_by`` (default: all other
        columns that are described here), so equal rows share a fold.
        """
        keys = (columns,) if isinstance(columns, str) else tuple(columns)
        by = (fold_by,) if isinstance(fold_by, str) else None if fold_by is None else tuple(fold_by)
        self._add(TargetEncode(name, target, keys, smoothing, folds, by, seed, missing))

    def add_sequence_feature(
        self,
        name: str,
        encode_method: Literal["label", "hash"] = "label",
        hash_size: int | None = None,
        max_len: int | None = 50,
        pad_value: int = 0,
        truncate: Literal["pre", "post"] = "pre",
        separator: str = ",",
        *,
        column: str | None = None,
        min_frequency: int = 1,
        max_size: int | None = None,
        num_unknown: int = 1,
        vocabulary: str | None = None,
        missing: Missing = "fill",
        seed: int = 0,
    ) -> None:
        """A column of lists of tokens, or of text that holds such lists, as lists of ids.

        Args:
            max_len: most items kept; ``None``: as many as the longest fitted list has.
            pad_value: 0, the padding id.
            truncate: ``pre`` drops the oldest (first) items, ``post`` the newest.
            separator: between the tokens of text.
            vocabulary: name of a vocabulary shared with other columns, a sparse one for example.

        The other arguments are those of :meth:`add_sparse_feature`.
        """
        self._check_method(name, encode_method, hash_size)
        if pad_value != 0:
            must_be = "0, the padding id of every table"
            raise ConfigError(
                invalid(f"sequence feature {name!r}", "pad_value", must_be, pad_value)
            )
        self._add(
            EncodeSequence(
                name,
                column,
                encode_method=encode_method,
                hash_size=hash_size,
                max_len=max_len,
                truncate=truncate,
                separator=separator,
                min_frequency=min_frequency,
                max_size=max_size,
                num_unknown=num_unknown,
                missing=missing,
                vocabulary=vocabulary,
                seed=seed,
            )
        )

    def add_target(
        self,
        name: str,
        target_type: Literal["binary", "multiclass", "regression"] = "binary",
        label_map: Mapping[Any, int] | None = None,
        *,
        column: str | None = None,
    ) -> None:
        """A label column; a missing label stays missing, which means not observed."""
        self._add(Target(name, column, target_type, label_map))

    def add(self, transform: Transform) -> None:
        """Any transform, your own too; it replaces an earlier one of that name."""
        if not isinstance(transform, Transform):
            raise ConfigError(invalid("DataProcessor", "transform", "a Transform", transform))
        self._add(transform)

    def _add(self, transform: Transform) -> None:
        if not isinstance(transform.name, str) or not transform.name:
            must_be = "a non-empty string"
            raise ConfigError(invalid("DataProcessor", "name", must_be, transform.name))
        self.transforms[transform.name] = transform
        self._folded_by_all.discard(transform.name)
        if isinstance(transform, TargetEncode) and transform.fold_by is None:
            self._folded_by_all.add(transform.name)
        self.is_fitted = False

    @staticmethod
    def _check_method(name: str, encode_method: str, hash_size: int | None) -> None:
        owner = f"feature {name!r}"
        if encode_method not in ("label", "hash"):
            raise ConfigError(
                unknown_option(owner, "encode_method", ("label", "hash"), encode_method)
            )
        if encode_method == "hash" and hash_size is None:
            must_be = "given with `encode_method` 'hash'"
            raise ConfigError(invalid(owner, "hash_size", must_be, None))
        if encode_method == "label" and hash_size is not None:
            must_be = "None with `encode_method` 'label'"
            raise ConfigError(invalid(owner, "hash_size", must_be, hash_size))

    @staticmethod
    def _refuse_label_options(
        name: str,
        min_frequency: int,
        max_size: int | None,
        num_unknown: int,
        vocabulary: str | None,
    ) -> None:
        given = {
            "min_frequency": min_frequency != 1,
            "max_size": max_size is not None,
            "num_unknown": num_unknown != 1,
            "vocabulary": vocabulary is not None,
        }
        wrong = [option for option, is_given in given.items() if is_given]
        if wrong:
            raise ConfigError(
                f"feature {name!r}: `{wrong[0]}` shapes a vocabulary, which `encode_method` 'hash' "
                "does not have."
            )

    def unfitted(self) -> dict[str, Transform]:
        """Unfitted copies of all transforms, complete for fitting."""
        if not self.transforms:
            raise ConfigError("DataProcessor: no column is described; use the add_* methods.")
        check_shared(self.transforms.values())
        fresh: dict[str, Transform] = {
            name: type(each)(**each.settings()) for name, each in self.transforms.items()
        }
        inputs = {each for one in fresh.values() if one.role != "target" for each in one.inputs}
        for name, each in fresh.items():
            if isinstance(each, TargetEncode):
                fresh[name] = self._with_label(each, inputs)
        return fresh

    def _with_label(self, encoding: TargetEncode, inputs: set[str]) -> TargetEncode:
        """The encoding with the column of its label, and with the columns that make its folds."""
        settings = encoding.settings()
        owner = f"feature {encoding.name!r}"
        for label in self.transforms.values():
            if not isinstance(label, Target) or encoding.target not in (label.name, *label.inputs):
                continue
            if label.target_type == "multiclass":
                must_be = "a binary target or a regression: classes have no mean"
                raise ConfigError(invalid(owner, "target", must_be, encoding.target))
            if any(float(key) != value for key, value in _numbers(label.label_map)):
                must_be = "a target without a `label_map`: the mean is that of the raw labels"
                raise ConfigError(invalid(owner, "target", must_be, encoding.target))
            settings["target"] = label.inputs[0]
        if encoding.name in self._folded_by_all:
            settings["fold_by"] = sorted(inputs - {settings["target"]})
        return TargetEncode(**settings)

    @staticmethod
    def copy_of(transform: Transform) -> Transform:
        """A transform of its own that has learned the same."""
        copy = type(transform)(**transform.settings())
        copy.restore(transform.learned())
        return copy


def _numbers(label_map: Mapping[Any, int] | None) -> list[tuple[float, int]]:
    """A label map with its keys as numbers; NaN, which equals nothing, for other keys."""
    found = []
    for key, value in (label_map or {}).items():
        try:
            found.append((float(key), value))
        except (TypeError, ValueError):
            found.append((float("nan"), value))
    return found
