"""Transforms of columns, their states, and how both are kept.

One transform makes one output column; see :mod:`nextrec.data.transforms.base` for the contract and
for writing one of your own.
"""

from nextrec.data.transforms.base import (
    TRANSFORMS,
    NothingToLearn,
    Output,
    State,
    Transform,
)
from nextrec.data.transforms.buckets import Bucketize
from nextrec.data.transforms.categorical import Encode, Hash
from nextrec.data.transforms.crosses import Cross
from nextrec.data.transforms.datetimes import DatetimePart
from nextrec.data.transforms.hashing import HASH_VERSION
from nextrec.data.transforms.missing import IsMissing
from nextrec.data.transforms.numeric import Scale
from nextrec.data.transforms.sequences import EncodeSequence
from nextrec.data.transforms.target_encoding import TargetEncode
from nextrec.data.transforms.targets import Target

__all__ = [
    "HASH_VERSION",
    "TRANSFORMS",
    "Bucketize",
    "Cross",
    "DatetimePart",
    "Encode",
    "EncodeSequence",
    "Hash",
    "IsMissing",
    "NothingToLearn",
    "Output",
    "Scale",
    "State",
    "Target",
    "TargetEncode",
    "Transform",
]
