"""NextRec: recommendation models in PyTorch.

The public names below are looked up on first use, so that ``import nextrec`` loads neither torch
nor a data-frame library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nextrec import _compat

__version__ = "1.0.0.dev0"

_HOMES = {
    # features
    "DenseFeature": "nextrec.features",
    "SparseFeature": "nextrec.features",
    "SequenceFeature": "nextrec.features",
    "FeatureSet": "nextrec.features",
    # data
    "Batch": "nextrec.data.batch",
    "DataProcessor": "nextrec.data.preprocessor",
    "RecDataLoader": "nextrec.data.dataloader",
    # models
    "BaseModel": "nextrec.models.base",
    "DCN": "nextrec.models.ranking.dcn",
    "DCNv2": "nextrec.models.ranking.dcn_v2",
    "DeepFM": "nextrec.models.ranking.deepfm",
    "DIN": "nextrec.models.ranking.din",
    "POSO": "nextrec.models.multi_task.poso",
    "ShareBottom": "nextrec.models.multi_task.share_bottom",
    # runs
    "load": "nextrec.models.bundle",
    "seed_everything": "nextrec.training.seed",
    # errors
    "NextRecError": "nextrec.errors",
    "ConfigError": "nextrec.errors",
    "FeatureError": "nextrec.errors",
    "DataError": "nextrec.errors",
    "NotFittedError": "nextrec.errors",
    "CheckpointError": "nextrec.errors",
    "TrainingError": "nextrec.errors",
    "MissingDependencyError": "nextrec.errors",
}
"""Each public name and the module that defines it."""

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:  # the same names, where type checkers and editors can follow them
    from nextrec.data.batch import Batch as Batch
    from nextrec.data.dataloader import RecDataLoader as RecDataLoader
    from nextrec.data.preprocessor import DataProcessor as DataProcessor
    from nextrec.errors import CheckpointError as CheckpointError
    from nextrec.errors import ConfigError as ConfigError
    from nextrec.errors import DataError as DataError
    from nextrec.errors import FeatureError as FeatureError
    from nextrec.errors import MissingDependencyError as MissingDependencyError
    from nextrec.errors import NextRecError as NextRecError
    from nextrec.errors import NotFittedError as NotFittedError
    from nextrec.errors import TrainingError as TrainingError
    from nextrec.features import DenseFeature as DenseFeature
    from nextrec.features import FeatureSet as FeatureSet
    from nextrec.features import SequenceFeature as SequenceFeature
    from nextrec.features import SparseFeature as SparseFeature
    from nextrec.models.base import BaseModel as BaseModel
    from nextrec.models.bundle import load as load
    from nextrec.models.multi_task.poso import POSO as POSO
    from nextrec.models.multi_task.share_bottom import ShareBottom as ShareBottom
    from nextrec.models.ranking.dcn import DCN as DCN
    from nextrec.models.ranking.dcn_v2 import DCNv2 as DCNv2
    from nextrec.models.ranking.deepfm import DeepFM as DeepFM
    from nextrec.models.ranking.din import DIN as DIN
    from nextrec.training.seed import seed_everything as seed_everything


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nextrec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


_compat.register()
