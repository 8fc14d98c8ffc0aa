"""What a model will take in memory, told before anything is allocated.

The model and its optimizer are built as they are for training, on torch's ``meta`` device, where
tensors have shapes and no memory. So the numbers come from the code that will run: tables, dense
parameters, the optimizer's state of both, and what a step keeps for its backward pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextrec.data.blocks import Layout
from nextrec.errors import ConfigError, invalid
from nextrec.features import FeatureSet
from nextrec.layers.tables import EmbeddingTables, Storage
from nextrec.models.compiled import penalises_whole_tables
from nextrec.models.zoo import find_model
from nextrec.optim import HybridOptimizer, RowTable, build_optimizer, group_parameters

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

META = torch.device("meta")


@dataclass(frozen=True)
class TableForecast:
    """One embedding table; tables that several layers read are one per layer."""

    name: str
    rows: int
    width: int
    trained: bool
    bytes: int
    state_bytes: int
    """Optimizer state once every row was seen; rows never seen take none on a CPU."""


@dataclass(frozen=True)
class Forecast:
    """Bytes by what they are for."""

    model: str
    optimizer: str
    batch_size: int
    rows: int | None
    """Rows of the data, where they were given."""
    tables: tuple[TableForecast, ...]
    dense: int
    """Parameters and buffers outside tables."""
    dense_state: int
    """Optimizer state of these, and the sums that rows of all tables share."""
    gradients: int
    """Gradients of parameters; those of tables in row mode are part of ``activations``."""
    activations: int | None
    """An estimate for one step: what the backward pass needs, and the rows looked up."""
    why_no_activations: str
    """Why ``activations`` is None: the model looks at values, which ``meta`` tensors lack."""
    data: int | None
    """The rows packed in memory; ``None`` when their number is not known."""

    @property
    def table_bytes(self) -> int:
        """Weights of all tables."""
        return sum(table.bytes for table in self.tables)

    @property
    def table_state(self) -> int:
        """Optimizer state of all tables."""
        return sum(table.state_bytes for table in self.tables)

    @property
    def parameters(self) -> int:
        """Weights of tables and of the rest, and buffers."""
        return self.table_bytes + self.dense

    @property
    def optimizer_state(self) -> int:
        """State of tables and of the rest."""
        return self.table_state + self.dense_state

    @property
    def bundle(self) -> int:
        """A saved model on disk."""
        return self.parameters

    @property
    def checkpoint(self) -> int:
        """A training checkpoint on disk: parameters and optimizer state."""
        return self.parameters + self.optimizer_state

    @property
    def total(self) -> int:
        """Memory while training, without Python and torch themselves (about 0.3 GiB)."""
        step = self.gradients + (self.activations or 0)
        return self.parameters + self.optimizer_state + step + (self.data or 0)

    @property
    def saving(self) -> int:
        """What writing a checkpoint takes on top for a moment: a copy of the tables."""
        return self.table_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the sums."""
        names = ("table_bytes", "table_state", "parameters", "optimizer_state", "bundle")
        sums = {name: getattr(self, name) for name in (*names, "checkpoint", "total", "saving")}
        return {**dataclasses.asdict(self), **sums}

    def to_text(self) -> str:
        """A table of the parts, then the largest embedding tables."""
        rows = "?" if self.rows is None else f"{self.rows:,}"
        activations = readable(self.activations)
        if self.activations is None:
            activations += f" ({self.why_no_activations})"
        parts = [
            ("embedding tables", readable(self.table_bytes)),
            ("their optimizer state", readable(self.table_state)),
            ("other parameters", readable(self.dense)),
            ("their optimizer state", readable(self.dense_state)),
            ("gradients", readable(self.gradients)),
            (f"one step of {self.batch_size:,} rows, about", activations),
            (f"{rows} rows in memory", readable(self.data)),
            ("together while training", readable(self.total)),
            ("for a moment more while saving", readable(self.saving)),
            ("checkpoint on disk", readable(self.checkpoint)),
            ("bundle on disk", readable(self.bundle)),
        ]
        lines = [f"{self.model}, {self.optimizer}"]
        lines += [f"  {name:<34}{value}" for name, value in parts]
        largest = sorted(self.tables, key=lambda table: -table.bytes)[:5]
        for table in largest:
            size = f"{table.rows:,} x {table.width}"
            memory = f"{readable(table.bytes)} + {readable(table.state_bytes)} of state"
            lines.append(f"  table {table.name}: {size}, {memory}")
        return "\n".join(lines)


def readable(size: int | None) -> str:
    """Bytes as people write them.

    >>> readable(3 * 2**30), readable(1536), readable(12), readable(None)
    ('3.00 GiB', '1.50 KiB', '12 B', 'not known')
    """
    if size is None:
        return "not known"
    number, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while number >= 1024 and unit != "TiB":
        number, unit = number / 1024, next(units)
    return f"{size} B" if unit == "B" else f"{number:.2f} {unit}"


def forecast(
    model: str | type[BaseModel],
    features: FeatureSet | Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    *,
    optimizer: str | type[torch.optim.Optimizer] = "adam",
    optimizer_params: Mapping[str, Any] | None = None,
    batch_size: int = 4096,
    rows: int | None = None,
) -> Forecast:
    """Memory of training a model, without building it.

    Args:
        model: a name or a class.
        features: the features; for a model with groups, the constructor's lists by keyword.
        params: the constructor's other arguments.
        optimizer: a name of :data:`~nextrec.optim.OPTIMIZERS`, or a class of ``torch.optim``
            (which trains the tables with dense gradients).
        optimizer_params: as for ``compile``.
        batch_size: rows of a step.
        rows: rows of the data, when it is to be held in memory.

    Raises:
        ConfigError, FeatureError: what the constructor and ``compile`` refuse, and a constructor
            that looks at the values of its weights.

    >>> from nextrec.features import SparseFeature
    >>> items = FeatureSet(sparse=[SparseFeature("item", 10**9, embedding_dim=16)])
    >>> told = forecast("DCN", items, {"mlp_params": {"dims": [64]}}, optimizer="rowwise_adagrad")
    >>> readable(told.table_bytes), readable(told.table_state)
    ('59.60 GiB', '3.73 GiB')
    """
    _require_name_or_class(optimizer)
    cls = find_model(model) if isinstance(model, str) else model
    built = _on_meta(cls, {**(params or {}), **_feature_arguments(features)})
    storages = [
        (module, storage)
        for module in built.modules()
        if isinstance(module, EmbeddingTables)
        for storage in module.storages.values()
    ]
    weights = [module.weight(storage) for module, storage in storages]
    training = _optimizer(built, weights, optimizer, optimizer_params or {})
    row_mode = isinstance(training, HybridOptimizer) and training.rows is not None
    activations, reason = _activations(built, storages, batch_size, row_mode, training)
    states, shared = _state_bytes(training)
    own = {id(weight) for weight in weights}
    gradients = [
        p for p in built.parameters() if p.requires_grad and not (row_mode and id(p) in own)
    ]
    outside = [*(p for p in built.parameters() if id(p) not in own), *built.buffers()]
    return Forecast(
        model=cls.__name__,
        optimizer=optimizer if isinstance(optimizer, str) else optimizer.__name__,
        batch_size=batch_size,
        rows=rows,
        tables=tuple(_tables(storages, states)),
        dense=_bytes(outside),
        dense_state=shared + sum(size for key, size in states.items() if key not in own),
        gradients=_bytes(gradients),
        activations=activations,
        why_no_activations=reason,
        data=None if rows is None else rows * row_bytes(built.features, built.nums_task),
    )


def row_bytes(features: FeatureSet, num_targets: int) -> int:
    """Memory of one packed row: int64 ids, float32 numbers and labels.

    >>> from nextrec.features import DenseFeature, SequenceFeature, SparseFeature
    >>> one = FeatureSet([DenseFeature("d")], [SparseFeature("s", 9)], [SequenceFeature("h", 9, 5)])
    >>> row_bytes(one, 1)
    56
    """
    layout = Layout.of(features)
    ids = layout.width("sparse") + layout.width("sequence")
    return 8 * ids + 4 * (layout.width("dense") + num_targets)


# -- building without memory -----------------------------------------------------------------


def _require_name_or_class(optimizer: object) -> None:
    is_class = isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)
    if not is_class and not isinstance(optimizer, str):
        must_be = "a name or a torch.optim.Optimizer class"
        raise ConfigError(invalid("forecast", "optimizer", must_be, optimizer))


def _feature_arguments(features: FeatureSet | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(features, FeatureSet):
        return dict(features)
    kinds = ("dense", "sparse", "sequence")
    return {f"{kind}_features": list(getattr(features, kind)) for kind in kinds}


def _on_meta(cls: type[BaseModel], arguments: dict[str, Any]) -> BaseModel:
    """The model with weights that have shapes only."""
    arguments = {**arguments, "device": "cpu", "session_id": None, "seed": None}
    try:
        with META:
            # Without the metaclass's call, which would move the model to its device.
            return type.__call__(cls, **arguments)
    except (NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"{cls.__name__}: its memory can't be forecast, because its constructor looks at "
            f"values of tensors ({str(error).splitlines()[0]})."
        ) from error


def _optimizer(
    model: BaseModel,
    weights: Sequence[nn.Parameter],
    optimizer: str | type[torch.optim.Optimizer],
    options: Mapping[str, Any],
) -> torch.optim.Optimizer:
    """The optimizer that training will use, its state made by a step of gradients zero."""
    trained = [weight for weight in weights if weight.requires_grad]
    whole = penalises_whole_tables(model)
    tables = [RowTable(weight) for weight in trained] if isinstance(optimizer, str) else []
    groups = group_parameters(model, exclude=[table.weight for table in tables])
    if whole and tables:
        groups, tables = {"embedding": trained, **groups}, []
    training = build_optimizer(
        optimizer, options, groups=groups, row_tables=tables, owner="forecast"
    )
    dense = training.dense if isinstance(training, HybridOptimizer) else training
    if dense is not None:
        for parameter in (p for group in dense.param_groups for p in group["params"]):
            parameter.grad = torch.zeros_like(parameter)
        dense.step()
    if isinstance(training, HybridOptimizer) and training.rows is not None:
        for table in tables:  # a lookup of no row makes the state of all rows
            training.rows.load(table, torch.empty(0, dtype=torch.long, device=META))
    return training


def _state_bytes(training: torch.optim.Optimizer) -> tuple[dict[int, int], int]:
    """Bytes of state by the parameter's identity, and those that belong to no single one."""
    hybrid = training if isinstance(training, HybridOptimizer) else None
    dense = training if hybrid is None else hybrid.dense
    kept = {} if dense is None else dense.state
    states = {id(parameter): _bytes(each.values()) for parameter, each in kept.items()}
    shared = 0
    if hybrid is not None and hybrid.rows is not None:
        places = {str(i): id(table.weight) for i, table in enumerate(hybrid.rows.tables)}
        for name, tensor in hybrid.rows.tensors().items():
            place = places.get(name.split(".")[0])
            if place is None:
                shared += _bytes([tensor])
            else:
                states[place] = states.get(place, 0) + _bytes([tensor])
    return states, shared


def _tables(
    storages: Iterable[tuple[EmbeddingTables, Storage]], states: Mapping[int, int]
) -> Iterable[TableForecast]:
    for module, storage in storages:
        weight = module.weight(storage)
        for table in storage.tables:
            size = table.rows * table.width * weight.element_size()
            state = states.get(id(weight), 0) * table.rows // storage.rows
            yield TableForecast(table.name, table.rows, table.width, table.trainable, size, state)


def _bytes(values: Iterable[Any]) -> int:
    tensors = (value for value in values if isinstance(value, Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


# -- one step --------------------------------------------------------------------------------


def _activations(
    model: BaseModel,
    storages: Sequence[tuple[EmbeddingTables, Storage]],
    batch_size: int,
    row_mode: bool,
    training: torch.optim.Optimizer,
) -> tuple[int | None, str]:
    """Bytes that one step holds beside parameters, or why they are not known."""
    looked_up: list[int] = []
    for module, storage in storages:
        storage.reader = _counting(module.weight(storage), looked_up)
    kept = {parameter.untyped_storage()._cdata: 0 for parameter in model.parameters()}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        kept.setdefault(memory._cdata, memory.nbytes())
        alive.append(tensor)  # so that no later tensor gets its address
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.training_outputs(_batch(model.features, batch_size))
    except (NotImplementedError, RuntimeError) as error:
        return None, str(error).splitlines()[0]
    finally:
        for _, storage in storages:
            storage.reader = None
    return sum(kept.values()) + _row_step(looked_up, row_mode, training), ""


def _counting(weight: nn.Parameter, looked_up: list[int]) -> Any:
    def read(rows: Tensor) -> Tensor:
        vectors = F.embedding(rows, weight)
        looked_up.append(_bytes([vectors]))
        return vectors

    return read


def _row_step(looked_up: Sequence[int], row_mode: bool, training: torch.optim.Optimizer) -> int:
    """Rows looked up: themselves, their gradient, and in row mode the distinct rows' copies."""
    copies = 2
    if row_mode and isinstance(training, HybridOptimizer) and training.rows is not None:
        copies += 2 + len(training.rows.rule.columns)  # weight, summed gradient, state
    return copies * sum(looked_up)


def _batch(features: FeatureSet, batch_size: int) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {each.name: (batch_size,) for each in features.sparse}
    shapes |= {each.name: (batch_size, each.max_len) for each in features.sequence}
    batch = {name: torch.zeros(s, dtype=torch.long, device=META) for name, s in shapes.items()}
    for each in features.dense:
        batch[each.name] = torch.zeros(batch_size, each.input_dim, device=META)
    return batch
