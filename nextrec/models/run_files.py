"""What a run writes beside its weights: the manifest and the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nextrec.models import bundle, inputs
from nextrec.models.evaluation import predictions
from nextrec.models.expert_use import expert_use
from nextrec.models.fit_options import FitOptions
from nextrec.models.run_data import RunData
from nextrec.training.report import ReportData, write_report

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel


def write_manifest(model: BaseModel, data: RunData, options: FitOptions, seed: int) -> None:
    """Everything that was asked for, resolved, with versions and machine."""
    settings = {
        field.name: _plain(getattr(options, field.name)) for field in dataclasses.fields(options)
    }
    compiled = model.compiled
    model.session.save_text(model.features_config_path.name, bundle.describe_text(model))
    model.session.write_manifest(
        {
            "model": bundle.describe(model),
            "fit": {**settings, "seed": seed},
            "compile": {
                "optimizer": _plain(compiled.optimizer),
                "optimizer_params": _plain(compiled.optimizer_params),
                "scheduler": _plain(compiled.scheduler),
                "scheduler_params": _plain(compiled.scheduler_params),
                **_plain({**compiled.losses, **compiled.balancing}),
            },
            "rows": inputs.rows_of(data.train),
            "device": str(model.device),
        }
    )


def write_run_report(
    model: BaseModel,
    data: RunData,
    options: FitOptions,
    best_epoch: int | None,
    seconds: float,
) -> None:
    """``report.html``: curves of the run, and of the final weights on the validation data."""
    scores, labels = _validation(model, data, options)
    write_report(
        model.session_path / "report.html",
        ReportData(
            title=f"{model.model_name} · {model.session_id}",
            facts={
                "model": model.model_name,
                "targets": ", ".join(model.target_columns),
                "training rows": inputs.rows_of(data.train),
                "validation rows": None if labels is None else len(labels),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "device": str(model.device),
                "precision": options.precision,
                "optimizer": _plain(model.compiled.optimizer),
                "seconds": round(seconds, 1),
            },
            history=model.history,
            tasks=model.tasks,
            predictions=scores,
            labels=labels,
            best_epoch=best_epoch,
            gates=_gates(model, data, options),
        ),
    )


def _gates(model: BaseModel, data: RunData, options: FitOptions) -> dict[str, list[float]]:
    """How much each mixture uses each expert on the validation data."""
    if data.valid is None:
        return {}
    prepare = inputs.preparer(model, data.valid)
    return expert_use(model, data.valid, prepare, options.precision)


def _validation(
    model: BaseModel, data: RunData, options: FitOptions
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if data.valid is None:
        return None, None
    prepare = inputs.preparer(model, data.valid)
    labels, scores = [], []
    for batch, _, score in predictions(model, data.valid, prepare, options.precision):
        assert batch.labels is not None
        labels.append(batch.labels.cpu().numpy())
        scores.append(score.cpu().numpy())
    return np.concatenate(scores), np.concatenate(labels)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
