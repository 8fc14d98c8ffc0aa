"""Optimizers whose cost is the rows touched, and learning-rate schedules.

==================  ===========================================================================
row_table           the tape of a step's lookups in a table, and its gradient as rows
merging             duplicate rows merged by one sort
row_rules           update rules on gathered rows
row_adam, lag_sums  Adam and AdamW with dense semantics: what a row owes for steps it slept through
rowwise             state of the tables, and one step over the rows that have a gradient
hybrid              dense parameters and tables under one ``torch.optim.Optimizer``
options, build      from a name and options to an optimizer
groups              which parameters are decayed
scheduler_handle    a running schedule, called after every step and epoch
schedules           the learning-rate schedules by name
schedulers          from a name, class, factory or instance to a running schedule
legacy              0.3.1's ``get_optimizer`` and ``get_scheduler``
==================  ===========================================================================
"""

from nextrec.optim.build import build_optimizer
from nextrec.optim.groups import GROUPS, group_parameters
from nextrec.optim.hybrid import HybridOptimizer, WholeTable, clip_grads_
from nextrec.optim.legacy import get_optimizer, get_scheduler
from nextrec.optim.options import OPTIMIZERS, OptimizerSpec
from nextrec.optim.row_table import RowTable
from nextrec.optim.rowwise import RowOptimizer
from nextrec.optim.scheduler_handle import SchedulerHandle
from nextrec.optim.schedulers import build_scheduler
from nextrec.optim.schedules import SCHEDULERS

__all__ = [
    "GROUPS",
    "OPTIMIZERS",
    "SCHEDULERS",
    "HybridOptimizer",
    "OptimizerSpec",
    "RowOptimizer",
    "RowTable",
    "SchedulerHandle",
    "WholeTable",
    "build_optimizer",
    "build_scheduler",
    "clip_grads_",
    "get_optimizer",
    "get_scheduler",
    "group_parameters",
]
