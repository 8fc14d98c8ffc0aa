"""Ranking models: one prediction a row."""

from nextrec.models.ranking.dcn import DCN
from nextrec.models.ranking.dcn_v2 import DCNv2
from nextrec.models.ranking.deepfm import DeepFM
from nextrec.models.ranking.din import DIN

__all__ = ["DCN", "DIN", "DCNv2", "DeepFM"]
