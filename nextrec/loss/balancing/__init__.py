"""Balancing of tasks: how much each of their losses counts in a step.

By name in ``compile(loss_weights="pcgrad", loss_weights_params={...})``. Methods that weigh the
losses cost next to nothing; those that combine the task gradients cost a backward pass a task.
"""

from nextrec.loss.balancing.base import Balancer, GradientBalancer, TaskWeights
from nextrec.loss.balancing.cagrad import CAGrad
from nextrec.loss.balancing.dwa import DynamicWeightAverage
from nextrec.loss.balancing.famo import FAMO
from nextrec.loss.balancing.gradnorm import GradNorm
from nextrec.loss.balancing.imtl import IMTL, IMTLG, IMTLL
from nextrec.loss.balancing.mgda import MGDA
from nextrec.loss.balancing.nash_mtl import NashMTL
from nextrec.loss.balancing.pcgrad import PCGrad
from nextrec.loss.balancing.registry import BALANCERS, make_balancer, options_of
from nextrec.loss.balancing.rlw import RandomWeights
from nextrec.loss.balancing.uncertainty import Uncertainty

__all__ = [
    "BALANCERS",
    "FAMO",
    "IMTL",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "Balancer",
    "CAGrad",
    "DynamicWeightAverage",
    "GradNorm",
    "GradientBalancer",
    "NashMTL",
    "PCGrad",
    "RandomWeights",
    "TaskWeights",
    "Uncertainty",
    "make_balancer",
    "options_of",
]
