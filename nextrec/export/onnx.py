"""A model as an ONNX graph: columns in, predictions out, any batch size."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from nextrec._files import atomic_path
from nextrec.errors import MissingDependencyError
from nextrec.features import DenseFeature, Feature, SequenceFeature
from nextrec.models.base import BaseModel


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
        MissingDependencyError: ``onnx`` or ``onnxscript`` is absent.
    """
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
                output_names=["predictions"],
                dynamic_shapes=(tuple({0: batch} for _ in columns),),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(str(temporary))
    finally:
        model.train(was_training)
    return Path(path)


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
