"""Ranking models: one prediction a row."""

from nextrec.models.ranking.afm import AFM
from nextrec.models.ranking.afn import AFN
from nextrec.models.ranking.autoint import AutoInt
from nextrec.models.ranking.bst import BST
from nextrec.models.ranking.dcn import DCN
from nextrec.models.ranking.dcn_v2 import DCNv2
from nextrec.models.ranking.dcn_v3 import DCNv3
from nextrec.models.ranking.deepfm import DeepFM
from nextrec.models.ranking.dien import DIEN
from nextrec.models.ranking.din import DIN
from nextrec.models.ranking.dlrm import DLRM
from nextrec.models.ranking.dmin import DMIN
from nextrec.models.ranking.dmr import DMR
from nextrec.models.ranking.dnn import DNN
from nextrec.models.ranking.edcn import EDCN
from nextrec.models.ranking.eta import ETA
from nextrec.models.ranking.euler_net import EulerNet
from nextrec.models.ranking.ffm import FFM
from nextrec.models.ranking.fibinet import FiBiNET
from nextrec.models.ranking.final_mlp import FinalMLP
from nextrec.models.ranking.final_net import FinalNet
from nextrec.models.ranking.fm import FM
from nextrec.models.ranking.fmfm import FmFM
from nextrec.models.ranking.fwfm import FwFM
from nextrec.models.ranking.gdcn import GDCN
from nextrec.models.ranking.hiformer import HiFormer
from nextrec.models.ranking.lr import LR
from nextrec.models.ranking.masknet import MaskNet
from nextrec.models.ranking.nfm import NFM
from nextrec.models.ranking.one_trans import OneTrans
from nextrec.models.ranking.onn import ONN
from nextrec.models.ranking.pnn import PNN
from nextrec.models.ranking.rank_mixer import RankMixer
from nextrec.models.ranking.sdim import SDIM
from nextrec.models.ranking.sim import SIM
from nextrec.models.ranking.widedeep import WideDeep
from nextrec.models.ranking.wukong import WuKong
from nextrec.models.ranking.xdeepfm import xDeepFM

__all__ = [
    "AFM",
    "AFN",
    "BST",
    "DCN",
    "DIEN",
    "DIN",
    "DLRM",
    "DMIN",
    "DMR",
    "DNN",
    "EDCN",
    "ETA",
    "FFM",
    "FM",
    "GDCN",
    "LR",
    "NFM",
    "ONN",
    "PNN",
    "SDIM",
    "SIM",
    "AutoInt",
    "DCNv2",
    "DCNv3",
    "DeepFM",
    "EulerNet",
    "FiBiNET",
    "FinalMLP",
    "FinalNet",
    "FmFM",
    "FwFM",
    "HiFormer",
    "MaskNet",
    "OneTrans",
    "RankMixer",
    "WideDeep",
    "WuKong",
    "xDeepFM",
]
