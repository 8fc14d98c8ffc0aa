"""The shape of a training config: its sections, their keys and what each key holds.

Names that live in registries (models, optimizers, losses, metrics), paths and the arguments of a
model are checked by ``check.py`` and its neighbours; here stands only what a key may look like.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

Names = str | list[str]
Params = dict[str, Any]
Combiner = Literal["mean", "sum", "max", "concat", "none"]
OutOfRange = Literal["error", "unknown"]
NumericEmbedding = Literal["linear", "autodis", "periodic", "piecewise"]
Missing = Literal["fill", "error"]
Count = Field(default=None, ge=1)


class Section(BaseModel):
    """Base of all sections: no other keys, and no value turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, value: Any) -> Any:
        """``sparse:`` with nothing below it is as good as absent, where null means nothing else."""
        if not isinstance(value, dict):
            return value
        kept = (key for key in value if value[key] is not None or cls._takes_null(key))
        return {key: value[key] for key in kept}

    @classmethod
    def _takes_null(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is None or type(None) in get_args(field.annotation)


class DataSection(Section):
    """Where the rows are. Paths are relative to the config file."""

    train: Names
    """CSV or Parquet: a path, a folder, a pattern, or a list of these."""
    valid: Names | None = None
    test: Names | None = None
    """Evaluated once, after training."""
    validation_split: float | None = Field(default=None, gt=0, lt=1)
    """Share of ``train`` that becomes validation data."""
    split_by: Literal["random", "group", "time", "user_time"] = "random"
    """Rows at random; whole groups; the latest rows; the latest rows of each user."""
    split_column: str | None = None
    """Column of the groups or times."""


class FeatureEntry(Section):
    """A feature: a name alone, or a mapping of its class's arguments."""

    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        mapping = handler(core_schema)
        if set(mapping.get("required", ())) - {"name"}:
            return mapping
        title = mapping.get("title", cls.__name__)
        return {"title": title, "anyOf": [{"type": "string", "minLength": 1}, mapping]}


class DenseEntry(FeatureEntry):
    """Arguments of ``DenseFeature``."""

    embedding_dim: int | None = Field(default=1, ge=0)
    """Width of the learned map's output."""
    input_dim: int = Field(default=1, ge=1)
    """Numbers in a row's vector."""
    use_embedding: bool = False
    """Learn a map; implied by an ``embedding_dim`` above 1 and another ``embedding_type``."""
    embedding_type: NumericEmbedding = "linear"
    """The learned map: affine, or of one number autodis, periodic or piecewise."""
    embedding_params: Params | None = None
    """Its arguments: ``num_embeddings``, ``alpha``, ``temperature`` of autodis;
    ``num_frequencies``, ``scale`` of periodic; ``edges`` of piecewise."""


class TableEntry(FeatureEntry):
    """Arguments that features with an embedding table share."""

    vocab_size: int = Field(ge=1)
    """Rows of the table: the largest id + 1."""
    embedding_name: str = ""
    """Name of the table; features that share it share the weights. Default: ``name``."""
    embedding_dim: int | None = Field(default=4, ge=0)
    """Width of the table; ``null`` takes one that grows with the vocabulary."""
    padding_idx: int | None = Field(default=None, ge=0)
    """Id whose row stays zero."""
    init_type: str = "normal"
    init_params: Params | None = None
    l1_reg: float = Field(default=0.0, ge=0)
    l2_reg: float = Field(default=0.0, ge=0)
    trainable: bool = True
    out_of_range: OutOfRange = "error"
    """An id outside the table: an error, or the unknown row (id 1)."""


class SparseEntry(TableEntry):
    """Arguments of ``SparseFeature``."""

    freeze_pretrained: bool = False


class SequenceEntry(TableEntry):
    """Arguments of ``SequenceFeature``."""

    max_len: int = Field(default=20, ge=1)
    """Longer histories keep their newest items."""
    combiner: Combiner = "mean"


class FeaturesSection(Section):
    """The columns that enter the model."""

    dense: list[DenseEntry] = []
    sparse: list[SparseEntry] = []
    sequence: list[SequenceEntry] = []
    groups: dict[str, list[str]] = {}
    """Role -> names, for models that take features for several roles (POSO: ``main``, ``pc``)."""


class ColumnEntry(FeatureEntry):
    """A column of the processor: a name alone, or a mapping of arguments."""


class RawEntry(ColumnEntry):
    """What most columns take."""

    column: str | None = None
    """The input column; default: ``name``."""
    missing: Missing = "fill"
    """``error`` refuses missing values."""


class NumericEntry(RawEntry):
    """Arguments of ``DataProcessor.add_numeric_feature``."""

    scaler: str | None = "standard"
    """standard, minmax, robust, maxabs, log, quantile, none."""
    fill_na: float | str | None = None
    """What missing values become: a number, mean (default), median, min or max."""
    clip: list[float] | None = Field(default=None, min_length=2, max_length=2)
    """Bounds of the scaled values."""


class BucketEntry(RawEntry):
    """Arguments of ``DataProcessor.add_bucket_feature``."""

    method: Literal["equal_width", "equal_frequency", "edges"] = "equal_width"
    num_buckets: int = Field(default=10, ge=1)
    edges: list[float] | None = None


class MissingEntry(ColumnEntry):
    """Arguments of ``DataProcessor.add_missing_indicator``."""

    column: str


class VocabularyEntry(RawEntry):
    """Arguments that categories and histories share."""

    encode_method: Literal["label", "hash"] = "label"
    hash_size: int | None = Field(default=None, ge=3)
    """Rows of the table of hashed ids."""
    min_frequency: int = Field(default=1, ge=1)
    """Rarer tokens are unknown."""
    max_size: int | None = Count
    """Most tokens; the most frequent stay."""
    num_unknown: int = Field(default=1, ge=1)
    vocabulary: str | None = None
    """Name under which columns share one vocabulary and one table."""
    seed: int = 0


class CategoryEntry(VocabularyEntry):
    """Arguments of ``DataProcessor.add_sparse_feature``."""

    fill_na: str = "<UNK>"
    """The category of missing values."""


class HistoryEntry(VocabularyEntry):
    """Arguments of ``DataProcessor.add_sequence_feature``."""

    max_len: int | None = Field(default=50, ge=1)
    truncate: Literal["pre", "post"] = "pre"
    separator: str = ","


class CrossEntry(ColumnEntry):
    """Arguments of ``DataProcessor.add_cross_feature``."""

    columns: list[str]
    encode_method: Literal["label", "hash"] = "hash"
    hash_size: int | None = Field(default=None, ge=3)
    min_frequency: int = Field(default=1, ge=1)
    max_size: int | None = Count
    num_unknown: int = Field(default=1, ge=1)
    missing: Missing = "fill"
    seed: int = 0


class DatetimeEntry(RawEntry):
    """Arguments of ``DataProcessor.add_datetime_feature``."""

    parts: list[str] = ["hour", "weekday"]
    format: str | None = None
    unit: Literal["s", "ms", "us", "ns"] = "s"
    timezone: str | None = None


class TargetEncodingEntry(ColumnEntry):
    """Arguments of ``DataProcessor.add_target_encoding``."""

    target: str
    columns: Names
    smoothing: float | Literal["auto"] = "auto"
    folds: int = Field(default=5, ge=2)
    fold_by: Names | None = None
    seed: int = 0
    missing: Missing = "fill"


class TargetEntry(ColumnEntry):
    """Arguments of ``DataProcessor.add_target``."""

    target_type: Literal["binary", "multiclass", "regression"] = "binary"
    label_map: dict[str, int] | None = None
    column: str | None = None


class ProcessorSection(Section):
    """Raw columns, turned into ids and numbers by what ``data.train`` teaches."""

    numeric: list[NumericEntry] = []
    bucket: list[BucketEntry] = []
    missing: list[MissingEntry] = []
    sparse: list[CategoryEntry] = []
    cross: list[CrossEntry] = []
    datetime: list[DatetimeEntry] = []
    target_encoding: list[TargetEncodingEntry] = []
    sequence: list[HistoryEntry] = []
    target: list[TargetEntry] = []
    embedding_dim: int | None = Field(default=16, ge=1)
    """Width of the tables when no ``features`` are listed."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A single column may stand without a list around it; reading puts one there."""
        schema = handler(core_schema)
        for each in schema["properties"].values():
            if each.get("type") == "array":
                each["anyOf"] = [{"type": each.pop("type"), "items": each["items"]}, each["items"]]
                del each["items"]
        return schema


class ModelSection(Section):
    """Which model; ``nextrec models`` lists them with their parameters."""

    name: str
    params: Params = {}
    """Arguments of the model's constructor, without features."""


class CompileSection(Section):
    """How to train: arguments of ``BaseModel.compile``."""

    optimizer: str = "adam"
    optimizer_params: Params | None = None
    """``lr`` and the like; ``groups`` overrides them for embedding, dense, bias_norm."""
    scheduler: str | None = None
    scheduler_params: Params | None = None
    loss: str | list[str] | None = None
    """One for all tasks or one a task. Default by task."""
    loss_params: Params | list[Params] | None = None
    loss_weights: float | list[float] | str | None = None
    """A number, one a task, or a balancer's name such as pcgrad or uncertainty."""
    loss_weights_params: Params | None = None
    """Options of the balancer."""


class FitSection(Section):
    """How long and by what measure: arguments of ``BaseModel.fit``."""

    metrics: str | list[str] | dict[str, Names] | None = None
    """A name, names, or target -> names. Default by task."""
    epochs: int = Field(default=1, ge=1)
    shuffle: bool = True
    batch_size: int = Field(default=32, ge=1)
    user_id_column: str = "user_id"
    """Column of the groups of GAUC and of the metrics at k."""
    monitor: str | None = None
    """Value that decides the best epoch; default: the first metric."""
    monitor_mode: Literal["max", "min"] | None = None
    early_stop_patience: int | None = Count
    min_delta: float = Field(default=0.0, ge=0)
    seed: int | None = Field(default=None, ge=0)
    """Order of the rows, dropout and, unless the model has its own, the initial weights."""
    checkpoint: bool = True
    """Write the state of the run after every epoch, so that it can be resumed."""
    checkpoint_steps: int | None = Count
    """Steps between checkpoints inside an epoch."""
    precision: Literal["fp32", "bf16"] = "fp32"
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    drop_last: bool = False
    train_metrics: bool | None = None
    """Metrics of the training data after each epoch."""
    weight_column: str | None = None
    """Column of sample weights."""
    eval_batch_size: int | None = Count
    progress: bool | None = None
    """A bar; default: when the output is a terminal."""
    verbosity: Literal[0, 1, 2] = 1
    """What is told: 0 warnings, 1 the course of the run, 2 details."""
    report: bool = True
    """Write ``report.html`` into the session."""
    stream: bool | None = None
    """Read files while they are used; default: when they would take over 2 GiB in memory."""
    buffer_rows: int | None = Count
    """Rows that a stream shuffles together."""


class OutputSection(Section):
    """Where results go. Paths are relative to the config file."""

    session: str | None = Field(default=None, min_length=1)
    """Name of the run's folder; made from the time when left out."""
    bundle: str | None = Field(default=None, min_length=1)
    """Folder of the trained model; default: ``bundle`` in the session."""
    predictions: str | None = Field(default=None, min_length=1)
    """File for predictions of the test data, CSV or Parquet by its ending."""


class TrainConfig(Section):
    """What ``nextrec train`` reads."""

    data: DataSection
    features: FeaturesSection
    """May be left out with a ``processor``: all its columns are features then."""
    model: ModelSection
    processor: ProcessorSection | None = None
    compile: CompileSection = CompileSection()
    fit: FitSection = FitSection()
    output: OutputSection = OutputSection()


SECTIONS: dict[str, type[Section]] = {
    "data": DataSection,
    "processor": ProcessorSection,
    "features": FeaturesSection,
    "model": ModelSection,
    "compile": CompileSection,
    "fit": FitSection,
    "output": OutputSection,
}
ENTRIES: dict[str, type[FeatureEntry]] = {
    "dense": DenseEntry,
    "sparse": SparseEntry,
    "sequence": SequenceEntry,
}
COLUMNS: dict[str, type[FeatureEntry]] = {
    "numeric": NumericEntry,
    "bucket": BucketEntry,
    "missing": MissingEntry,
    "sparse": CategoryEntry,
    "cross": CrossEntry,
    "datetime": DatetimeEntry,
    "target_encoding": TargetEncodingEntry,
    "sequence": HistoryEntry,
    "target": TargetEntry,
}
"""Kinds of columns of the processor, in the order in which they are added."""
