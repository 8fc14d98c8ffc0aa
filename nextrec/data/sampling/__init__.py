"""From events to samples: histories, splits, negatives and evaluation candidates.

``build_histories`` and ``build_sequences`` turn events into what sequence features read; ``split``
and ``split3`` choose rows and ``check_split`` looks for leaks between them; ``sample_negatives``,
``add_negatives`` and ``in_batch_negatives`` choose items that count as negatives;
``build_eval_candidates`` makes lists to rank.
"""

from nextrec.data.sampling.candidates import build_eval_candidates
from nextrec.data.sampling.histories import build_histories
from nextrec.data.sampling.in_batch import in_batch_negatives
from nextrec.data.sampling.negative_rows import add_negatives
from nextrec.data.sampling.negatives import (
    NEGATIVE_METHODS,
    NegativeMethod,
    Negatives,
    sample_negatives,
)
from nextrec.data.sampling.seen import SeenItems
from nextrec.data.sampling.sequences import build_sequences
from nextrec.data.sampling.split_check import SplitReport, check_split
from nextrec.data.sampling.splits import SPLIT_METHODS, SplitMethod, split, split3
from nextrec.data.sampling.unseen import sample_unseen

__all__ = [
    "NEGATIVE_METHODS",
    "SPLIT_METHODS",
    "NegativeMethod",
    "Negatives",
    "SeenItems",
    "SplitMethod",
    "SplitReport",
    "add_negatives",
    "build_eval_candidates",
    "build_histories",
    "build_sequences",
    "check_split",
    "in_batch_negatives",
    "sample_negatives",
    "sample_unseen",
    "split",
    "split3",
]
