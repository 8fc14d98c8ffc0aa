"""What a model consists of, as text."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from nextrec.features import DenseFeature, SequenceFeature
from nextrec.layers.tables import EmbeddingTables

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

logger = logging.getLogger("nextrec")

STATE_PER_WEIGHT = {
    "adam": 2.0,
    "adamw": 2.0,
    "lazy_adam": 2.0,
    "adagrad": 1.0,
    "rmsprop": 1.0,
    "sgd": 0.0,
}
"""Numbers of optimizer state a weight; row-wise Adagrad keeps one a row instead."""


def summarize(model: BaseModel) -> str:
    """Features, parameters and memory, training setup; logged and returned."""
    parts = [_features(model), _parameters(model), _training(model)]
    text = "\n\n".join(parts)
    logger.info("%s", text)
    return text


def _features(model: BaseModel) -> str:
    dense = ", ".join(map(_dense, model.features.dense)) or "none"
    rows = [("feature", "vocabulary", "table", "width", "max_len")]
    for feature in model.features.embedded:
        length = str(feature.max_len) if isinstance(feature, SequenceFeature) else ""
        width = str(feature.embedding_dim)
        rows.append(
            (feature.name, f"{feature.vocab_size:,}", feature.embedding_name, width, length)
        )
    return f"Features of {model.model_name}\ndense: {dense}\n{_table(rows)}"


def _dense(feature: DenseFeature) -> str:
    """A dense feature's name, and the map that it is learned by."""
    learned = f" ({feature.embedding_type}, {feature.width})" if feature.use_embedding else ""
    return feature.name + learned


def _parameters(model: BaseModel) -> str:
    rows = [("part", "parameters", "trained", "MiB", "optimizer MiB")]
    totals: list[float] = [0, 0, 0.0, 0.0]
    parts = [(name, list(child.parameters())) for name, child in model.named_children()]
    parts.append(("(its own)", list(model.parameters(recurse=False))))
    seen: set[int] = set()
    for name, parameters in parts:
        parameters = [p for p in parameters if id(p) not in seen]  # tied weights count once
        seen.update(map(id, parameters))
        count = sum(parameter.numel() for parameter in parameters)
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        if not count:
            continue
        memory, state = count * 4 / 2**20, _state_bytes(model, parameters) / 2**20
        rows.append((name, f"{count:,}", f"{trained:,}", f"{memory:.2f}", f"{state:.2f}"))
        totals = [a + b for a, b in zip(totals, (count, trained, memory, state), strict=True)]
    rows.append(
        ("total", f"{totals[0]:,}", f"{totals[1]:,}", f"{totals[2]:.2f}", f"{totals[3]:.2f}")
    )
    return f"Parameters\n{_table(rows)}"


def _state_bytes(model: BaseModel, parameters: Iterable[nn.Parameter]) -> float:
    """Bytes of optimizer state of a part, 0 for an optimizer of the user's own."""
    name = model.compiled.optimizer
    name = name.lower() if isinstance(name, str) else ""
    tables = {
        id(module.weight(storage))
        for module in model.modules()
        if isinstance(module, EmbeddingTables)
        for storage in module.storages.values()
    }
    total = 0.0
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if name == "rowwise_adagrad":
            total += 4 * (parameter.shape[0] if id(parameter) in tables else parameter.numel())
            continue
        total += 4 * STATE_PER_WEIGHT.get(name, 0.0) * parameter.numel()
        if id(parameter) in tables and name in ("adam", "adamw", "lazy_adam", "rmsprop"):
            total += 4 * parameter.shape[0]  # step of the last touch
    return total


def _training(model: BaseModel) -> str:
    compiled = model.compiled
    rows = [
        ("setting", "value"),
        ("task", str(model.task)),
        ("targets", ", ".join(model.target_columns)),
        ("device", str(model.device)),
        ("optimizer", f"{compiled.optimizer} {compiled.optimizer_params or {}}"),
        ("scheduler", f"{compiled.scheduler} {compiled.scheduler_params or {}}"),
        ("embedding L1, L2", f"{model.embedding_l1_reg}, {model.embedding_l2_reg}"),
        ("dense L1, L2", f"{model.dense_l1_reg}, {model.dense_l2_reg}"),
        ("early stop patience", str(model.early_stop_patience)),
        ("session", str(model.session_path)),
    ]
    return f"Training\n{_table(rows)}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
