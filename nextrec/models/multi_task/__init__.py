"""Multi-task models: several predictions a row."""

from nextrec.models.multi_task.aitm import AITM
from nextrec.models.multi_task.apg import APG
from nextrec.models.multi_task.cross_stitch import CrossStitch
from nextrec.models.multi_task.escm2 import ESCM2
from nextrec.models.multi_task.esmm import ESMM
from nextrec.models.multi_task.hmoe import HMoE
from nextrec.models.multi_task.home import HoME
from nextrec.models.multi_task.m2m import M2M
from nextrec.models.multi_task.mmoe import MMOE
from nextrec.models.multi_task.pepnet import PEPNet
from nextrec.models.multi_task.ple import PLE, CGCLayer
from nextrec.models.multi_task.poso import POSO
from nextrec.models.multi_task.share_bottom import ShareBottom
from nextrec.models.multi_task.snr_trans import SNRTrans
from nextrec.models.multi_task.star import STAR
from nextrec.models.multi_task.stem import STEM

__all__ = [
    "AITM",
    "APG",
    "ESCM2",
    "ESMM",
    "M2M",
    "MMOE",
    "PLE",
    "POSO",
    "STAR",
    "STEM",
    "CGCLayer",
    "CrossStitch",
    "HMoE",
    "HoME",
    "PEPNet",
    "SNRTrans",
    "ShareBottom",
]
