"""The table of metrics: name, direction, the kinds of task each fits, and how it is computed.

A metric of your own takes its place beside them::

    METRICS.add("mean_score", Metric("mean_score", "max", {"binary": lambda data: ...}))

where ``data`` are the :class:`~nextrec.metrics.observations.Observations` of one task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from nextrec._registry import Registry
from nextrec.errors import ConfigError, did_you_mean, invalid, unknown_option
from nextrec.metrics import calibration as cal
from nextrec.metrics import classification as one
from nextrec.metrics import multiclass as many
from nextrec.metrics import multilabel as each
from nextrec.metrics import ranking as rank
from nextrec.metrics import regression as num
from nextrec.metrics.forms import through
from nextrec.metrics.grouping import GroupedRanking, grouped_ranking
from nextrec.metrics.observations import Observations

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """One metric and what is known about it."""

    name: str
    """As users write it; ``@k`` at the end stands for a cut such as ``@10``."""
    mode: Mode | None
    """Which values are better; None: neither, so it can be reported but not monitored."""
    forms: Mapping[str, Callable[..., float]]
    """Task kind -> function of the observations, and of the cut when the metric has one."""
    needs_groups: bool = False

    @property
    def takes_k(self) -> bool:
        """The name ends in a cut."""
        return self.name.endswith("@k")


@dataclass(frozen=True)
class NamedMetric:
    """A metric with its cut, as one name asks for it."""

    name: str
    metric: Metric
    k: int | None = None

    def compute(self, data: Observations) -> float:
        """Value on the observations of a task; raises ``UndefinedError`` where there is none."""
        form = self.metric.forms[data.kind]
        return form(data) if self.k is None else form(data, self.k)


METRICS: Registry[Metric] = Registry("metrics", "metrics")


def parse_metric(name: object, owner: str = "metrics") -> NamedMetric:
    """The metric that a name asks for, in any case: ``"auc"``, ``"ndcg@10"``.

    Raises:
        ConfigError: no such metric (with the likely one), or a cut that is missing or wrong.

    >>> parse_metric("NDCG@10").k
    10
    >>> parse_metric("ndgc@10")
    Traceback (most recent call last):
        ...
    nextrec.errors.ConfigError: ... got 'ndgc@10'. Did you mean 'ndcg@10'?
    """
    if not isinstance(name, str):
        raise ConfigError(invalid(owner, "metrics", "names of metrics", name))
    lower = name.strip().lower()
    base, has_cut, cut = lower.partition("@")
    key = f"{base}@k" if has_cut else base
    if key in METRICS:
        if not has_cut:
            return NamedMetric(lower, METRICS[key])
        if cut.isdecimal() and int(cut) > 0:
            return NamedMetric(f"{base}@{int(cut)}", METRICS[key], int(cut))
        must_be = f"a cut of at least 1 after {base}@"
        raise ConfigError(invalid(owner, "metrics", must_be, name))
    if has_cut and base in METRICS:
        raise ConfigError(invalid(owner, "metrics", f"{base!r} without a cut", name))
    if f"{base}@k" in METRICS:
        must_be = f"{base!r} with a cut, such as '{base}@10'"
        raise ConfigError(invalid(owner, "metrics", must_be, name))
    hint = did_you_mean(key, METRICS).replace("@k", f"@{cut}")
    raise ConfigError(invalid(owner, "metrics", f"names among {', '.join(METRICS)}", name) + hint)


def metric_mode(name: str) -> Mode:
    """``"max"`` when larger is better, ``"min"`` when smaller is.

    Raises:
        ConfigError: no such metric, or one that is best at some value in between, such as PCOC.

    >>> metric_mode("auc"), metric_mode("logloss"), metric_mode("ndcg@10")
    ('max', 'min', 'max')
    """
    mode = parse_metric(name).metric.mode
    if mode is None:
        raise ConfigError(
            f"metrics: {name!r} has no direction to improve in, so it can't be monitored; "
            "it can be reported beside a metric that has one."
        )
    return mode


def is_better(new: float, best: float | None, mode: str, min_delta: float = 0.0) -> bool:
    """Does ``new`` improve on ``best`` by more than ``min_delta``?

    A value that isn't finite never improves; the first finite one always does.

    >>> is_better(0.8, 0.7, "max"), is_better(0.8, None, "min"), is_better(math.nan, None, "max")
    (True, True, False)
    """
    if mode not in get_args(Mode):
        raise ConfigError(unknown_option("is_better", "mode", get_args(Mode), mode))
    if not math.isfinite(new):
        return False
    if best is None or math.isnan(best):
        return True
    return new > best + min_delta if mode == "max" else new < best - min_delta


def _add(
    name: str,
    mode: Mode | None,
    aliases: tuple[str, ...] = (),
    needs_groups: bool = False,
    **forms: Callable[..., float],
) -> None:
    METRICS.add(name, Metric(name, mode, forms, needs_groups), aliases)


def _ranked(form: Callable[[GroupedRanking], float]) -> Callable[[Observations], float]:
    return lambda data: form(data.once(grouped_ranking))


def _cut(form: Callable[[GroupedRanking, int], float]) -> Callable[[Observations, int], float]:
    return lambda data, k: form(data.once(grouped_ranking), k)


_add("auc", "max", binary=one.AUC, multiclass=many.CLASS_AUC, multilabel=each.LABEL_AUC)
_add("ks", "max", binary=one.KS, multilabel=each.LABEL_KS)
_add("pr_auc", "max", ("average_precision",), binary=one.PR_AUC, multilabel=each.LABEL_PR_AUC)
_add(
    "logloss",
    "min",
    binary=one.LOGLOSS,
    multiclass=many.CLASS_LOGLOSS,
    multilabel=each.CELL_LOGLOSS,
)
_add(
    "accuracy",
    "max",
    ("acc",),
    binary=one.ACCURACY,
    multiclass=many.CLASS_ACCURACY,
    multilabel=each.SUBSET_ACCURACY,
)
_add(
    "precision",
    "max",
    binary=one.PRECISION,
    multiclass=many.CLASS_PRECISION,
    multilabel=each.ROW_PRECISION,
)
_add("recall", "max", binary=one.RECALL, multiclass=many.CLASS_RECALL, multilabel=each.ROW_RECALL)
_add("f1", "max", binary=one.F1, multiclass=many.CLASS_MACRO_F1, multilabel=each.ROW_F1)
_add(
    "micro_f1",
    "max",
    binary=one.MICRO_F1,
    multiclass=many.CLASS_MICRO_F1,
    multilabel=each.LABEL_MICRO_F1,
)
_add(
    "macro_f1",
    "max",
    binary=one.MACRO_F1,
    multiclass=many.CLASS_MACRO_F1,
    multilabel=each.LABEL_MACRO_F1,
)
_add("hamming_loss", "min", multilabel=each.HAMMING_LOSS)
_add("subset_accuracy", "max", multilabel=each.SUBSET_ACCURACY)

# Errors of a probability are as meaningful as those of a number: on binary labels MSE is the Brier
# score. Percentages and logarithms of clicks are not.
for _name, _form in {"mse": num.MSE, "mae": num.MAE, "rmse": num.RMSE}.items():
    _cells = through(each.cells, _form)
    _add(_name, "min", regression=_form, binary=_form, multilabel=_cells)
_add("r2", "max", regression=num.R2, binary=num.R2)
_add("mape", "min", regression=num.MAPE)
_add("msle", "min", regression=num.MSLE)

_pcoc, _ne = through(each.cells, cal.PCOC), through(each.cells, cal.NE)
_add("pcoc", None, binary=cal.PCOC, regression=cal.PCOC, multilabel=_pcoc)
_add("ne", "min", binary=cal.NE, multilabel=_ne)
_add("ece", "min", binary=cal.ECE, multilabel=lambda data: cal.ECE(data.once(each.cells)))

_gauc, _coverage = _ranked(rank.grouped_auc), _ranked(rank.grouped_share)
_add("gauc", "max", needs_groups=True, binary=_gauc)
_add("gauc_coverage", None, needs_groups=True, binary=_coverage)
# A number as label is a grade of relevance: ratings are ranked as clicks are.
for _name, _aliases, _rule in (
    ("precision@k", (), rank.mean_precision),
    ("recall@k", (), rank.mean_recall),
    ("hitrate@k", ("hr@k", "hit@k"), rank.mean_hit),
    ("mrr@k", (), rank.mean_reciprocal_rank),
    ("ndcg@k", (), rank.mean_ndcg),
    ("map@k", (), rank.mean_average_precision),
):
    _at_k = _cut(_rule)
    _add(_name, "max", _aliases, needs_groups=True, binary=_at_k, regression=_at_k)
_add("cosine", "max", binary=rank.score_distance)
