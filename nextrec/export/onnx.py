"""A model as an ONNX graph: columns in, predictions out, any batch size."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nextrec._files import atomic_path
from nextrec.errors import FeatureError, MissingDependencyError, invalid
from nextrec.features import DenseFeature, Feature, SequenceFeature
from nextrec.models.base import BaseModel

OUTPUT = "predictions"


class _Positional(nn.Module):
    """The model with its columns as positional inputs, which ONNX names."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model
        self.names = model.features.names

    def forward(self, *columns: Tensor) -> Tensor:
        return self.model(dict(zip(self.names, columns, strict=True)))


def export_onnx(model: BaseModel, path: str | os.PathLike[str]) -> Path:
    """Write the model's predictions as an ONNX graph.

    Inputs have the features' names: ids ``(B,)`` int64, sequences ``(B, max_len)`` int64, dense
    ``(B, input_dim)`` float32. The output is ``predictions``, ``(B,)`` or ``(B, T)``.

    Raises:
        FeatureError: a feature is called ``predictions``.
        MissingDependencyError: ``onnx`` or ``onnxscript`` is absent.
    """
    if OUTPUT in model.features:
        must_be = f"other names than the output's, {OUTPUT!r}"
        raise FeatureError(invalid("export_onnx", "features", must_be, OUTPUT))
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "onnx", "export_onnx")
    was_training = model.training
    wrapper = _Positional(model).eval()
    columns = tuple(_example(feature).to(model.device) for feature in model.features)
    batch = torch.export.Dim("batch")
    try:
        with atomic_path(path) as temporary, torch.no_grad(), _quiet():
            program = torch.onnx.export(
                wrapper,
                columns,
                input_names=list(wrapper.names),
                output_names=[OUTPUT],
                dynamic_shapes=(tuple({0: batch} for _ in columns),),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            _free_names(program.model.graph, {*wrapper.names, OUTPUT})
            program.save(str(temporary))
    finally:
        model.train(was_training)
    return Path(path)


def _free_names(graph: Any, taken: set[str]) -> None:
    """Rename what the exporter named like a feature: a graph's names must differ.

    The exporter calls an intermediate value after its operator (``linear``), without looking at
    the names that the inputs were given.
    """
    kept = {id(value) for value in (*graph.inputs, *graph.outputs)}
    values = [value for node in graph for value in node.outputs]
    for value in values:
        if value.name in taken and id(value) not in kept:
            value.name = f"{value.name}__inner"
    for name in [each for each in graph.initializers if each in taken]:
        weight = graph.initializers.pop(name)
        weight.name = f"{name}__inner"
        graph.initializers[weight.name] = weight


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says of its own insides: deprecations, operators of torchvision."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _example(feature: Feature, rows: int = 2) -> Tensor:
    """Values to trace with; two rows, since one is taken for a constant."""
    if isinstance(feature, DenseFeature):
        return torch.zeros(rows, feature.input_dim)
    if isinstance(feature, SequenceFeature):
        return torch.zeros(rows, feature.max_len, dtype=torch.long)
    return torch.zeros(rows, dtype=torch.long)
