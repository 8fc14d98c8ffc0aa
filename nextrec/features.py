"""What a column means: the three feature classes and the set that orders them.

A feature says how one column enters a model. Dense features are numbers, sparse features are ids,
sequence features are lists of ids. Features with the same ``embedding_name`` share one embedding
table. :class:`FeatureSet` holds the features of a model and is the only place that knows their
order, their widths and their tables.

Ids: 0 is padding, 1 is unknown, tokens follow. Raw integer ids are used as they are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nextrec.errors import FeatureError, invalid, unknown_option

if TYPE_CHECKING:
    import torch

PADDING_ID = 0
UNKNOWN_ID = 1
ID_SPACE_VERSION = 1
"""0 padding, 1 unknown, tokens from 2. Stands in saved models and processors."""
COMBINERS = ("mean", "sum", "max", "concat", "none")
OUT_OF_RANGE = ("error", "unknown")

Combiner = Literal["mean", "sum", "max", "concat", "none"]
OutOfRange = Literal["error", "unknown"]
NumericEmbedding = Literal["linear", "autodis", "periodic", "piecewise"]

NUMERIC_PARAMS: dict[str, dict[str, Any]] = {
    "linear": {},
    "autodis": {"num_embeddings": 20, "alpha": 0.5, "temperature": 0.1},
    "periodic": {"num_frequencies": 16, "scale": 0.1},
    "piecewise": {"edges": None},
}
"""``embedding_params`` of each ``embedding_type`` of a dense feature, with defaults; edges of bins
have none. The layers are those of ``nextrec.layers.numeric``."""


def get_auto_embedding_dim(num_classes: int) -> int:
    """Width of a table by its size: ``floor(6 * num_classes ** 0.25)``.

    >>> get_auto_embedding_dim(1000)
    33
    """
    return int(6 * num_classes**0.25)


class BaseFeature:
    """A described column. Equality is identity: two models may describe one column differently."""

    kind: ClassVar[str]
    name: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values that rebuild the feature; pretrained weights live in the model's state."""
        values = {"kind": self.kind}
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            if each.name != "pretrained_weight":
                values[each.name] = getattr(self, each.name)
        return values

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Feature:
        """Rebuild a feature from :meth:`to_dict`."""
        values = dict(values)
        kind = values.pop("kind", None)
        if kind not in FEATURE_KINDS:
            raise FeatureError(unknown_option("feature", "kind", FEATURE_KINDS, kind))
        return FEATURE_KINDS[kind](**values)

    def _check(self, parameter: str, ok: bool, must_be: str) -> None:
        if not ok:
            owner = f"{type(self).__name__} {self.name!r}"
            raise FeatureError(invalid(owner, parameter, must_be, getattr(self, parameter)))

    def _check_name(self) -> None:
        self._check("name", isinstance(self.name, str) and bool(self.name), "a non-empty string")

    def _check_table(self) -> None:
        """Checks and defaults that sparse and sequence features share."""
        self._check_name()
        self._check("vocab_size", _is_count(self.vocab_size), "an integer of at least 1")
        self.vocab_size = int(self.vocab_size)
        self.embedding_name = self.embedding_name or self.name
        # A dot would split the table's name into two levels of state-dict key.
        self._check("embedding_name", "." not in self.embedding_name, "a name without dots")
        self.embedding_dim = self.embedding_dim or get_auto_embedding_dim(self.vocab_size)
        self._check("embedding_dim", _is_count(self.embedding_dim), "a positive integer or None")
        self.embedding_dim = int(self.embedding_dim)
        self.init_params = dict(self.init_params or {})
        pad = self.padding_idx
        self._check(
            "padding_idx",
            pad is None or (_is_id(pad) and pad < self.vocab_size),
            f"None or an id below the vocabulary size {self.vocab_size}",
        )
        for strength in ("l1_reg", "l2_reg"):
            value = getattr(self, strength)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            self._check(strength, number and value >= 0, "a number of at least 0")
        self._check("out_of_range", self.out_of_range in OUT_OF_RANGE, "'error' or 'unknown'")
        if self.out_of_range == "unknown":
            has_row = self.vocab_size > UNKNOWN_ID
            self._check("vocab_size", has_row, "at least 2 with `out_of_range` 'unknown'")

    if TYPE_CHECKING:
        vocab_size: int
        embedding_name: str
        embedding_dim: int | None
        padding_idx: int | None
        init_params: dict[str, Any] | None
        out_of_range: OutOfRange


def _is_count(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return float(value) >= 1 and float(value).is_integer()


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_id(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


@dataclass(eq=False)
class SparseFeature(BaseFeature):
    """One id a row, looked up in a table of ``vocab_size`` rows and ``embedding_dim`` columns."""

    kind: ClassVar[str] = "sparse"

    name: str
    vocab_size: int
    embedding_name: str = ""
    """Name of the table; features that share it share the weights. Default: ``name``."""
    embedding_dim: int | None = 4
    """Width of the table; ``None`` or 0 takes :func:`get_auto_embedding_dim`."""
    padding_idx: int | None = None
    """Id whose row is zero and never trained; ``None``: every id is a category."""
    init_type: str = "normal"
    init_params: dict[str, Any] | None = None
    l1_reg: float = 0.0
    l2_reg: float = 0.0
    """Penalty on the rows that a batch looks up (0.3.1 declared 1e-5 and never applied it)."""
    trainable: bool = True
    pretrained_weight: torch.Tensor | None = field(default=None, repr=False)
    """Initial values ``(vocab_size, embedding_dim)``; copied, never changed."""
    freeze_pretrained: bool = False
    """True: the table is not trained."""
    out_of_range: OutOfRange = "error"
    """What happens to an id outside the table: an error, or the unknown row (id 1)."""

    def __post_init__(self) -> None:
        self._check_table()
        weight = self.pretrained_weight
        if weight is not None and tuple(weight.shape) != (self.vocab_size, self.embedding_dim):
            raise FeatureError(
                f"SparseFeature {self.name!r}: `pretrained_weight` must have shape "
                f"({self.vocab_size}, {self.embedding_dim}); got {tuple(weight.shape)}."
            )

    @property
    def width(self) -> int:
        """Numbers this feature adds to the flat vector."""
        assert self.embedding_dim is not None
        return self.embedding_dim


@dataclass(eq=False)
class SequenceFeature(BaseFeature):
    """A list of ids a row: looked up, then combined into one vector or kept as a sequence."""

    kind: ClassVar[str] = "sequence"

    name: str
    vocab_size: int
    max_len: int = 20
    """Longer histories keep their newest (last) items."""
    embedding_name: str = ""
    embedding_dim: int | None = 4
    combiner: Combiner = "mean"
    """``mean, sum, max`` over the real items, ``concat`` of all positions, ``none``: kept."""
    padding_idx: int | None = None
    """Id that pads; ``None`` means 0."""
    init_type: str = "normal"
    init_params: dict[str, Any] | None = None
    l1_reg: float = 0.0
    l2_reg: float = 0.0
    trainable: bool = True
    out_of_range: OutOfRange = "error"

    def __post_init__(self) -> None:
        self._check_table()
        self._check("max_len", _is_count(self.max_len), "an integer of at least 1")
        if self.combiner not in COMBINERS:
            owner = f"SequenceFeature {self.name!r}"
            raise FeatureError(unknown_option(owner, "combiner", COMBINERS, self.combiner))

    @property
    def padding_id(self) -> int:
        """The id that marks a position without an item."""
        return PADDING_ID if self.padding_idx is None else self.padding_idx

    @property
    def table_width(self) -> int:
        """Width of one item's vector."""
        assert self.embedding_dim is not None
        return self.embedding_dim

    @property
    def width(self) -> int:
        """Numbers this feature adds to the flat vector."""
        assert self.embedding_dim is not None
        if self.combiner == "none":
            raise FeatureError(
                f"SequenceFeature {self.name!r}: `combiner` 'none' keeps the sequence, which "
                "has no place in a flat vector; use mean, sum, max or concat."
            )
        return self.embedding_dim * (self.max_len if self.combiner == "concat" else 1)


@dataclass(eq=False)
class DenseFeature(BaseFeature):
    """One number a row, or a vector of ``input_dim`` numbers, raw or through a learned map.

    >>> DenseFeature("price", 16, embedding_type="piecewise", embedding_params={"edges": [0, 1, 9]})
    ... # doctest: +ELLIPSIS
    DenseFeature(name='price', embedding_dim=16, ... embedding_params={'edges': [0.0, 1.0, 9.0]})
    """

    kind: ClassVar[str] = "dense"

    name: str
    embedding_dim: int | None = 1
    """Width of the learned map's output."""
    input_dim: int = 1
    use_embedding: bool = False
    """Learn a map to ``embedding_dim`` numbers; implied by an ``embedding_dim`` above 1 and by an
    ``embedding_type`` other than ``linear``."""
    embedding_type: NumericEmbedding = "linear"
    """The learned map: ``linear`` (affine); of one number also ``autodis`` (a mixture of learned
    vectors), ``periodic`` (sines and cosines of learned frequencies) and ``piecewise`` (linear
    between given edges). See :mod:`nextrec.layers.numeric`."""
    embedding_params: dict[str, Any] | None = None
    """Arguments of the map, :data:`NUMERIC_PARAMS`; those left out take the defaults there."""

    def __post_init__(self) -> None:
        self._check_name()
        for name in ("embedding_dim", "input_dim"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            whole = value is None or (number and float(value).is_integer())
            self._check(name, whole, "a positive integer or None")
        self.input_dim = max(int(self.input_dim or 1), 1)
        self._check_map()
        if self.embedding_type != "linear" or (self.embedding_dim or 0) > 1:
            self.use_embedding = True
        self.embedding_dim = int(self.embedding_dim or self.input_dim)
        self._check("embedding_dim", self.embedding_dim >= 1, "a positive integer or None")

    def _check_map(self) -> None:
        """Check the kind of map and its arguments, and fill in their defaults."""
        owner, kind = f"DenseFeature {self.name!r}", self.embedding_type
        if kind not in list(NUMERIC_PARAMS):
            raise FeatureError(unknown_option(owner, "embedding_type", NUMERIC_PARAMS, kind))
        given = {} if self.embedding_params is None else self.embedding_params
        self._check("embedding_params", isinstance(given, Mapping), "a mapping or None")
        if kind == "linear":
            self._check("embedding_params", not given, "empty with `embedding_type` 'linear'")
            self.embedding_params = None
            return
        self._check("input_dim", self.input_dim == 1, f"1 with `embedding_type` {kind!r}")
        defaults = NUMERIC_PARAMS[kind]
        for key in given:
            if key not in defaults:
                raise FeatureError(unknown_option(owner, "embedding_params", defaults, key))
        self.embedding_params = {
            key: _numeric_param(owner, key, value) for key, value in {**defaults, **given}.items()
        }

    @property
    def width(self) -> int:
        """Numbers this feature adds to the flat vector."""
        return int(self.embedding_dim or 1) if self.use_embedding else self.input_dim


def _numeric_param(owner: str, key: str, value: Any) -> int | float | list[float]:
    """An argument of a numeric embedding as a plain value."""
    if key.startswith("num_"):
        if _is_count(value):
            return int(value)
        must_be = "a positive integer"
    elif key == "edges":
        edges = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
        numbers = len(edges) > 1 and all(map(_is_number, edges))
        if numbers and all(low < high for low, high in pairwise(edges)):
            return [float(edge) for edge in edges]
        must_be = "at least 2 numbers, each above the one before"
    else:
        if _is_number(value) and (value > 0 or key == "alpha"):
            return float(value)
        must_be = "a number" if key == "alpha" else "a number above 0"
    raise FeatureError(invalid(owner, f"embedding_params[{key!r}]", must_be, value))


Feature = SparseFeature | SequenceFeature | DenseFeature
TableFeature = SparseFeature | SequenceFeature
FEATURE_KINDS: dict[str, type[Feature]] = {
    "dense": DenseFeature,
    "sparse": SparseFeature,
    "sequence": SequenceFeature,
}


@dataclass(frozen=True)
class Table:
    """One embedding table and the features that read it."""

    name: str
    rows: int
    """The largest vocabulary among the features."""
    width: int
    padding_idx: int | None
    """Row that stays zero: a sequence's padding id, or what a sparse feature names."""
    init_type: str
    init_params: Mapping[str, Any]
    trainable: bool
    l1_reg: float
    l2_reg: float
    pretrained_weight: torch.Tensor | None
    features: tuple[TableFeature, ...]


class FeatureSet:
    """The features of one model, or of one of its groups, in their one order.

    The order is sparse, sequence, dense: that of the flat vector and of the fields. Everything
    about widths and tables is asked here and nowhere else.

    >>> item = SparseFeature("item", vocab_size=100, embedding_dim=8)
    >>> liked = SequenceFeature("liked", vocab_size=120, embedding_name="item", embedding_dim=8)
    >>> features = FeatureSet([DenseFeature("price")], [item], [liked])
    >>> [feature.name for feature in features]
    ['item', 'liked', 'price']
    >>> features.width, features.tables["item"].rows
    (17, 120)
    """

    def __init__(
        self,
        dense: Iterable[DenseFeature] | None = None,
        sparse: Iterable[SparseFeature] | None = None,
        sequence: Iterable[SequenceFeature] | None = None,
    ) -> None:
        self.dense = _of_kind(dense, DenseFeature)
        self.sparse = _of_kind(sparse, SparseFeature)
        self.sequence = _of_kind(sequence, SequenceFeature)
        self._by_name: dict[str, Feature] = {}
        for feature in self:
            if feature.name in self._by_name:
                raise FeatureError(f"two features are named {feature.name!r}; names must differ.")
            self._by_name[feature.name] = feature
        self.tables: dict[str, Table] = _tables(self.embedded)

    @classmethod
    def of(cls, features: Iterable[Feature]) -> FeatureSet:
        """Sort a mixed list into a set."""
        features = list(features)
        unknown = [f for f in features if not isinstance(f, BaseFeature)]
        if unknown:
            raise FeatureError(invalid("FeatureSet", "features", "feature objects", unknown[0]))
        return cls(
            dense=[f for f in features if isinstance(f, DenseFeature)],
            sparse=[f for f in features if isinstance(f, SparseFeature)],
            sequence=[f for f in features if isinstance(f, SequenceFeature)],
        )

    @classmethod
    def merge(cls, *sets: FeatureSet) -> FeatureSet:
        """Union by name; the same feature may stand in several sets, the first one counts."""
        by_name: dict[str, Feature] = {}
        for features in sets:
            for feature in features:
                by_name.setdefault(feature.name, feature)
        return cls.of(by_name.values())

    @property
    def embedded(self) -> tuple[TableFeature, ...]:
        """The features that read a table: sparse, then sequence."""
        return (*self.sparse, *self.sequence)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the one order."""
        return tuple(self._by_name)

    @property
    def width(self) -> int:
        """Length of the flat vector."""
        return sum(feature.width for feature in self)

    @property
    def fields(self) -> tuple[Feature, ...]:
        """The features that are one vector each: sparse, sequence, dense with a learned map."""
        return (*self.embedded, *(f for f in self.dense if f.use_embedding))

    def field_width(self, owner: str, at_least: int = 1) -> int:
        """The width that all fields share.

        Raises:
            FeatureError: two fields differ in width, or there are fewer than ``at_least``; the
                message names them.
        """
        fields = self.fields
        if not fields:
            raise FeatureError(f"{owner} needs at least one sparse or sequence feature.")
        if len(fields) < at_least:
            found = ", ".join(repr(f.name) for f in fields)
            raise FeatureError(
                f"{owner} needs at least {at_least} fields (sparse or sequence features, or dense "
                f"ones with a learned map); got {found}."
            )
        first = fields[0]
        for other in fields[1:]:
            if other.width != first.width:
                raise FeatureError(
                    f"{owner} needs fields of one width: {first.name!r} has {first.width}, "
                    f"{other.name!r} has {other.width}."
                )
        return first.width

    def as_fields(self, owner: str, at_least: int = 1) -> FeatureSet:
        """The same features, all of them fields of one width: raw dense values get a learned map.

        For models whose interactions need every feature as a vector.

        Raises:
            FeatureError: as :meth:`field_width`, counting the dense features.

        >>> item = SparseFeature("item", vocab_size=100, embedding_dim=8)
        >>> FeatureSet([DenseFeature("price")], [item]).as_fields("AutoInt").width
        16
        """
        mapped = [f.width for f in self.fields]
        width = mapped[0] if mapped else self.field_width(owner)
        every = FeatureSet.of(
            f
            if not isinstance(f, DenseFeature) or f.use_embedding
            else dataclasses.replace(f, embedding_dim=width, use_embedding=True)
            for f in self
        )
        every.field_width(owner, at_least)
        return every

    def slices(self) -> dict[str, slice]:
        """Where each feature lies in the flat vector."""
        places, start = {}, 0
        for feature in self:
            places[feature.name] = slice(start, start + feature.width)
            start += feature.width
        return places

    def sharing(self, feature: TableFeature) -> tuple[TableFeature, ...]:
        """The other features that read the same table."""
        table = self.tables[feature.embedding_name]
        return tuple(other for other in table.features if other is not feature)

    def as_arguments(self) -> dict[str, list[Any]]:
        """The lists that models and loaders take: ``DeepFM(**features.as_arguments(), ...)``."""
        return {
            "dense_features": list(self.dense),
            "sparse_features": list(self.sparse),
            "sequence_features": list(self.sequence),
        }

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values that rebuild the set."""
        return [feature.to_dict() for feature in self]

    @classmethod
    def from_dict(cls, values: Iterable[Mapping[str, Any]]) -> FeatureSet:
        """Rebuild a set from :meth:`to_dict`."""
        return cls.of(BaseFeature.from_dict(each) for each in values)

    def __getitem__(self, name: str) -> Feature:
        if name not in self._by_name:
            raise FeatureError(unknown_option("FeatureSet", "name", self._by_name, name))
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Feature]:
        return iter((*self.sparse, *self.sequence, *self.dense))

    def __len__(self) -> int:
        return len(self.sparse) + len(self.sequence) + len(self.dense)

    def __repr__(self) -> str:
        return (
            f"FeatureSet(sparse={len(self.sparse)}, sequence={len(self.sequence)}, "
            f"dense={len(self.dense)}, tables={len(self.tables)})"
        )


def _of_kind(features: Iterable[Any] | None, kind: type) -> tuple[Any, ...]:
    parameter = f"{kind.kind}_features"  # type: ignore[attr-defined]
    if isinstance(features, BaseFeature):
        raise FeatureError(invalid("FeatureSet", parameter, "a list of features", features))
    features = tuple(features or ())
    for feature in features:
        if not isinstance(feature, kind):
            must_be = f"a list of {kind.__name__}"
            raise FeatureError(invalid("FeatureSet", parameter, must_be, feature))
    return features


def _tables(features: Iterable[TableFeature]) -> dict[str, Table]:
    readers: dict[str, list[TableFeature]] = {}
    for feature in features:
        readers.setdefault(feature.embedding_name, []).append(feature)
    return {name: _table(name, tuple(group)) for name, group in readers.items()}


def _table(name: str, features: tuple[TableFeature, ...]) -> Table:
    first = features[0]
    padding = {
        f.name: f.padding_id if isinstance(f, SequenceFeature) else f.padding_idx
        for f in features
        if isinstance(f, SequenceFeature) or f.padding_idx is not None
    }
    pretrained = [f for f in features if getattr(f, "pretrained_weight", None) is not None]
    for other in features[1:]:
        for what in ("embedding_dim", "trainable"):
            if getattr(other, what) != getattr(first, what):
                raise FeatureError(
                    f"table {name!r} is shared by {first.name!r} with {what}="
                    f"{getattr(first, what)} and {other.name!r} with {what}="
                    f"{getattr(other, what)}; they must agree."
                )
    if len(set(padding.values())) > 1:
        raise FeatureError(
            f"table {name!r} has one padding row, but its features say "
            + ", ".join(f"{feature!r}: {pad}" for feature, pad in padding.items())
        )
    weights = [getattr(f, "pretrained_weight", None) for f in pretrained]
    if any(weight is not weights[0] for weight in weights[1:]):
        told = ", ".join(repr(f.name) for f in pretrained)
        raise FeatureError(f"table {name!r} has different pretrained weights from {told}.")
    rows = max(f.vocab_size for f in features)
    if pretrained and pretrained[0].vocab_size != rows:
        raise FeatureError(
            f"table {name!r} has {rows} rows by its largest feature, but the pretrained weight of "
            f"{pretrained[0].name!r} has {pretrained[0].vocab_size}."
        )
    assert first.embedding_dim is not None
    return Table(
        name=name,
        rows=rows,
        width=first.embedding_dim,
        padding_idx=next(iter(padding.values()), None),
        init_type=first.init_type,
        init_params=first.init_params or {},
        trainable=first.trainable
        and not any(getattr(f, "freeze_pretrained", False) for f in features),
        l1_reg=max(f.l1_reg for f in features),
        l2_reg=max(f.l2_reg for f in features),
        pretrained_weight=getattr(pretrained[0], "pretrained_weight", None) if pretrained else None,
        features=features,
    )


class FeatureSpecMixin:
    """The feature, target and id-column lists that models, loaders and processors carry."""

    dense_features: list[DenseFeature]
    sparse_features: list[SparseFeature]
    sequence_features: list[SequenceFeature]

    def _set_feature_config(
        self,
        dense_features: Iterable[DenseFeature] | None = None,
        sparse_features: Iterable[SparseFeature] | None = None,
        sequence_features: Iterable[SequenceFeature] | None = None,
        target: list[str] | str | None = None,
        id_columns: list[str] | str | None = None,
    ) -> None:
        self.dense_features = list(dense_features or ())
        self.sparse_features = list(sparse_features or ())
        self.sequence_features = list(sequence_features or ())
        self.all_features: list[Feature] = [
            *self.dense_features,
            *self.sparse_features,
            *self.sequence_features,
        ]
        self.feature_names = [feature.name for feature in self.all_features]
        self._set_target_id_config(target, id_columns)

    def _set_target_id_config(
        self, target: list[str] | str | None = None, id_columns: list[str] | str | None = None
    ) -> None:
        self.target_columns = self._normalize_to_list(target)
        self.id_columns = self._normalize_to_list(id_columns)

    @staticmethod
    def _normalize_to_list(value: list[str] | str | None) -> list[str]:
        if value is None:
            return []
        return [value] if isinstance(value, str) else list(value)


def merge_features(primary: Iterable[Feature] | None, secondary: Iterable[Feature] | None) -> list:
    """Union of two feature lists by name, in order; the first of a name wins."""
    by_name: dict[str, Feature] = {}
    for feature in (*(primary or ()), *(secondary or ())):
        by_name.setdefault(feature.name, feature)
    return list(by_name.values())
