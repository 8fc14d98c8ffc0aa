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
    "AFM": "nextrec.models.ranking.afm",
    "AFN": "nextrec.models.ranking.afn",
    "AITM": "nextrec.models.multi_task.aitm",
    "APG": "nextrec.models.multi_task.apg",
    "AutoInt": "nextrec.models.ranking.autoint",
    "BST": "nextrec.models.ranking.bst",
    "CrossStitch": "nextrec.models.multi_task.cross_stitch",
    "DCN": "nextrec.models.ranking.dcn",
    "DCNv2": "nextrec.models.ranking.dcn_v2",
    "DCNv3": "nextrec.models.ranking.dcn_v3",
    "DeepFM": "nextrec.models.ranking.deepfm",
    "DIEN": "nextrec.models.ranking.dien",
    "DIN": "nextrec.models.ranking.din",
    "DLRM": "nextrec.models.ranking.dlrm",
    "DMIN": "nextrec.models.ranking.dmin",
    "DMR": "nextrec.models.ranking.dmr",
    "DNN": "nextrec.models.ranking.dnn",
    "EDCN": "nextrec.models.ranking.edcn",
    "ESCM2": "nextrec.models.multi_task.escm2",
    "ESMM": "nextrec.models.multi_task.esmm",
    "ETA": "nextrec.models.ranking.eta",
    "EulerNet": "nextrec.models.ranking.euler_net",
    "FFM": "nextrec.models.ranking.ffm",
    "FiBiNET": "nextrec.models.ranking.fibinet",
    "FinalMLP": "nextrec.models.ranking.final_mlp",
    "FinalNet": "nextrec.models.ranking.final_net",
    "FM": "nextrec.models.ranking.fm",
    "FmFM": "nextrec.models.ranking.fmfm",
    "FwFM": "nextrec.models.ranking.fwfm",
    "GDCN": "nextrec.models.ranking.gdcn",
    "HiFormer": "nextrec.models.ranking.hiformer",
    "HMoE": "nextrec.models.multi_task.hmoe",
    "HoME": "nextrec.models.multi_task.home",
    "LR": "nextrec.models.ranking.lr",
    "M2M": "nextrec.models.multi_task.m2m",
    "MaskNet": "nextrec.models.ranking.masknet",
    "MMOE": "nextrec.models.multi_task.mmoe",
    "NFM": "nextrec.models.ranking.nfm",
    "OneTrans": "nextrec.models.ranking.one_trans",
    "ONN": "nextrec.models.ranking.onn",
    "PEPNet": "nextrec.models.multi_task.pepnet",
    "PLE": "nextrec.models.multi_task.ple",
    "PNN": "nextrec.models.ranking.pnn",
    "POSO": "nextrec.models.multi_task.poso",
    "RankMixer": "nextrec.models.ranking.rank_mixer",
    "SDIM": "nextrec.models.ranking.sdim",
    "ShareBottom": "nextrec.models.multi_task.share_bottom",
    "SIM": "nextrec.models.ranking.sim",
    "SNRTrans": "nextrec.models.multi_task.snr_trans",
    "STAR": "nextrec.models.multi_task.star",
    "STEM": "nextrec.models.multi_task.stem",
    "WideDeep": "nextrec.models.ranking.widedeep",
    "WuKong": "nextrec.models.ranking.wukong",
    "xDeepFM": "nextrec.models.ranking.xdeepfm",
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
    from nextrec.models.multi_task.aitm import AITM as AITM
    from nextrec.models.multi_task.apg import APG as APG
    from nextrec.models.multi_task.cross_stitch import CrossStitch as CrossStitch
    from nextrec.models.multi_task.escm2 import ESCM2 as ESCM2
    from nextrec.models.multi_task.esmm import ESMM as ESMM
    from nextrec.models.multi_task.hmoe import HMoE as HMoE
    from nextrec.models.multi_task.home import HoME as HoME
    from nextrec.models.multi_task.m2m import M2M as M2M
    from nextrec.models.multi_task.mmoe import MMOE as MMOE
    from nextrec.models.multi_task.pepnet import PEPNet as PEPNet
    from nextrec.models.multi_task.ple import PLE as PLE
    from nextrec.models.multi_task.poso import POSO as POSO
    from nextrec.models.multi_task.share_bottom import ShareBottom as ShareBottom
    from nextrec.models.multi_task.snr_trans import SNRTrans as SNRTrans
    from nextrec.models.multi_task.star import STAR as STAR
    from nextrec.models.multi_task.stem import STEM as STEM
    from nextrec.models.ranking.afm import AFM as AFM
    from nextrec.models.ranking.afn import AFN as AFN
    from nextrec.models.ranking.autoint import AutoInt as AutoInt
    from nextrec.models.ranking.bst import BST as BST
    from nextrec.models.ranking.dcn import DCN as DCN
    from nextrec.models.ranking.dcn_v2 import DCNv2 as DCNv2
    from nextrec.models.ranking.dcn_v3 import DCNv3 as DCNv3
    from nextrec.models.ranking.deepfm import DeepFM as DeepFM
    from nextrec.models.ranking.dien import DIEN as DIEN
    from nextrec.models.ranking.din import DIN as DIN
    from nextrec.models.ranking.dlrm import DLRM as DLRM
    from nextrec.models.ranking.dmin import DMIN as DMIN
    from nextrec.models.ranking.dmr import DMR as DMR
    from nextrec.models.ranking.dnn import DNN as DNN
    from nextrec.models.ranking.edcn import EDCN as EDCN
    from nextrec.models.ranking.eta import ETA as ETA
    from nextrec.models.ranking.euler_net import EulerNet as EulerNet
    from nextrec.models.ranking.ffm import FFM as FFM
    from nextrec.models.ranking.fibinet import FiBiNET as FiBiNET
    from nextrec.models.ranking.final_mlp import FinalMLP as FinalMLP
    from nextrec.models.ranking.final_net import FinalNet as FinalNet
    from nextrec.models.ranking.fm import FM as FM
    from nextrec.models.ranking.fmfm import FmFM as FmFM
    from nextrec.models.ranking.fwfm import FwFM as FwFM
    from nextrec.models.ranking.gdcn import GDCN as GDCN
    from nextrec.models.ranking.hiformer import HiFormer as HiFormer
    from nextrec.models.ranking.lr import LR as LR
    from nextrec.models.ranking.masknet import MaskNet as MaskNet
    from nextrec.models.ranking.nfm import NFM as NFM
    from nextrec.models.ranking.one_trans import OneTrans as OneTrans
    from nextrec.models.ranking.onn import ONN as ONN
    from nextrec.models.ranking.pnn import PNN as PNN
    from nextrec.models.ranking.rank_mixer import RankMixer as RankMixer
    from nextrec.models.ranking.sdim import SDIM as SDIM
    from nextrec.models.ranking.sim import SIM as SIM
    from nextrec.models.ranking.widedeep import WideDeep as WideDeep
    from nextrec.models.ranking.wukong import WuKong as WuKong
    from nextrec.models.ranking.xdeepfm import xDeepFM as xDeepFM
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
