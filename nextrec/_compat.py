"""0.3.1's module paths, answered with today's objects.

Scripts written for 0.3.1 import from ``nextrec.basic.*`` and ``nextrec.utils.*``. Those packages
are gone; :func:`register` puts a stand-in for each of their modules into ``sys.modules``, as the
standard library does for ``os.path``. A stand-in imports the object behind a name when it is asked
for, so registering costs no torch. The objects are today's own: they pickle, print and inspect
under their real home. 0.3.1's other modules still exist and need no entry here.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMES: dict[str, dict[str, str]] = {
    "nextrec.basic.activation": {
        "Dice": "nextrec.layers.activation",
        "activation_layer": "nextrec.layers.activation",
    },
    "nextrec.basic.callback": {"EarlyStopper": "nextrec.training.callbacks"},
    "nextrec.basic.features": {
        "BaseFeature": "nextrec.features",
        "SequenceFeature": "nextrec.features",
        "SparseFeature": "nextrec.features",
        "DenseFeature": "nextrec.features",
        "FeatureSpecMixin": "nextrec.features",
    },
    "nextrec.basic.layers": {
        "EmbeddingLayer": "nextrec.layers.embedding",
        "InputMask": "nextrec.layers.embedding",
        "PredictionLayer": "nextrec.layers",
        "LR": "nextrec.layers",
        "ConcatPooling": "nextrec.layers",
        "AveragePooling": "nextrec.layers",
        "SumPooling": "nextrec.layers",
        "MLP": "nextrec.layers",
        "FM": "nextrec.layers",
        "CrossLayer": "nextrec.layers",
        "SENETLayer": "nextrec.layers",
        "BiLinearInteractionLayer": "nextrec.layers",
        "MultiHeadSelfAttention": "nextrec.layers",
        "AttentionPoolingLayer": "nextrec.layers",
    },
    "nextrec.basic.loggers": {
        "ANSI_CODES": "nextrec.training.logging",
        "ANSI_BOLD": "nextrec.training.logging",
        "ANSI_RESET": "nextrec.training.logging",
        "ANSI_ESCAPE_PATTERN": "nextrec.training.logging",
        "DEFAULT_LEVEL_COLORS": "nextrec.training.logging",
        "AnsiFormatter": "nextrec.training.logging",
        "colorize": "nextrec.training.logging",
        "setup_logger": "nextrec.training.logging",
    },
    "nextrec.basic.metrics": {
        "CLASSIFICATION_METRICS": "nextrec.metrics",
        "REGRESSION_METRICS": "nextrec.metrics",
        "TASK_DEFAULT_METRICS": "nextrec.metrics",
        "compute_ks": "nextrec.metrics",
        "compute_mape": "nextrec.metrics",
        "compute_msle": "nextrec.metrics",
        "compute_gauc": "nextrec.metrics",
        "configure_metrics": "nextrec.metrics",
        "get_best_metric_mode": "nextrec.metrics",
        "compute_single_metric": "nextrec.metrics",
        "evaluate_metrics": "nextrec.metrics",
    },
    "nextrec.basic.model": {"BaseModel": "nextrec.models.base"},
    "nextrec.basic.session": {
        "Session": "nextrec.training.session",
        "create_session": "nextrec.training.session",
        "resolve_save_path": "nextrec.training.session",
    },
    "nextrec.utils.common": {
        "resolve_device": "nextrec.training.device:resolve_device_name",
        "merge_features": "nextrec.features",
        "get_mlp_output_dim": "nextrec.layers.mlp",
    },
    "nextrec.utils.embedding": {"get_auto_embedding_dim": "nextrec.features"},
    "nextrec.utils.initializer": {"get_initializer": "nextrec.layers.init"},
    "nextrec.utils.optimizer": {
        "get_optimizer": "nextrec.optim",
        "get_scheduler": "nextrec.optim",
    },
    "nextrec.__version__": {"__version__": "nextrec"},
}
"""Old module: old name: the module that has it today, with ``:new_name`` where it differs."""

PACKAGES: dict[str, dict[str, str]] = {
    "nextrec.basic": {},
    "nextrec.utils": {
        "get_optimizer": "nextrec.optim",
        "get_scheduler": "nextrec.optim",
        "get_initializer": "nextrec.layers.init",
        "get_auto_embedding_dim": "nextrec.features",
        "resolve_device": "nextrec.training.device:resolve_device_name",
    },
}
"""Old package: the names that it exported itself; its modules are those of ``NAMES``."""


class _StandIn(ModuleType):
    """A module whose attributes are imported from elsewhere when they are first asked for."""

    def __init__(self, name: str, names: dict[str, str], is_package: bool) -> None:
        super().__init__(name, f"NextRec 0.3.1's ``{name}``, answered by today's objects.")
        self.__spec__ = ModuleSpec(name, loader=None, is_package=is_package)
        self.__package__ = name if is_package else name.rpartition(".")[0]
        self.__all__ = list(names)
        self._names = names
        if is_package:
            self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        home = self.__dict__.get("_names", {}).get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, _, today = home.partition(":")
        value = getattr(importlib.import_module(module), today or name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__all__})


def register() -> None:
    """Put the stand-ins into ``sys.modules`` and hang them on their parents."""
    for table, is_package in ((PACKAGES, True), (NAMES, False)):
        for path, names in table.items():
            stand_in = _StandIn(path, names, is_package)
            sys.modules[path] = stand_in
            parent, _, child = path.rpartition(".")
            # `nextrec.__version__` is a string: the module of that name is reached by import alone.
            if not hasattr(sys.modules[parent], child):
                setattr(sys.modules[parent], child, stand_in)
