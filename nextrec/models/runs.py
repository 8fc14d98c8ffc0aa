"""From the arguments of ``fit`` and ``evaluate`` to a run of the trainer."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextrec.data.preprocessor import DataProcessor
from nextrec.errors import CheckpointError, ConfigError, TrainingError
from nextrec.metrics import Evaluator, MetricValues, resolve_metrics
from nextrec.models import bundle, inputs
from nextrec.models.content import content_of
from nextrec.models.evaluation import evaluate_loader
from nextrec.models.fit_options import FitOptions
from nextrec.models.loading import TableInput, processor_for, tell, watched
from nextrec.models.run_checks import check_monitor, monitored
from nextrec.models.run_data import RunData, find_monitor, load_run_data
from nextrec.models.run_files import write_manifest, write_run_report
from nextrec.training.callbacks import Callback, Checkpointing, EarlyStopping, MetricsFile
from nextrec.training.checkpoint import read_meta
from nextrec.training.device import autocast_for
from nextrec.training.logging import setup_logger
from nextrec.training.progress import Progress
from nextrec.training.session import Session
from nextrec.training.trainer import Trainer, TrainOptions, length_of

if TYPE_CHECKING:
    from nextrec.models.base import BaseModel

logger = logging.getLogger("nextrec")


# -- fit ---------------------------------------------------------------------------------------


def fit(model: BaseModel, train_data: Any, valid_data: Any, options: FitOptions) -> None:
    """Train the model; see :meth:`BaseModel.fit`."""
    resumed = _resume_path(model, options)
    seed = _seed(options, resumed)
    model.compiled.build(model)
    data = load_run_data(model, train_data, valid_data, options, seed)
    monitor, mode = find_monitor(data, options)
    if data.valid is not None:
        check_monitor(model, data, monitor)
    stopping = _early_stopping(model, data, options, monitor, mode)
    validate = _validator(model, data, options, monitor)
    trainer = _trainer(model, data, options, seed, monitor, mode)
    # What can be refused was looked at: from here on there is a session.
    if resumed:
        model.session = Session.reopen(resumed.parent)
    setup_logger(model.claim_session(new_run=resumed is None), options.verbosity)
    for note in data.notes:
        logger.info("%s", note)
    for watching in data.loaded:
        tell(watching)
    if options.processor:
        # What is fitted or extended later must not change what this model reads.
        own = options.processor
        model.processor = own.copy() if isinstance(own, DataProcessor) else own
    trainer.callbacks = _callbacks(model, data, options, stopping)
    if resumed is None:
        torch.manual_seed(seed)
    else:
        trainer.load_checkpoint(resumed)
        unfinished = trainer.state.step_in_epoch > 0
        model.session.truncate_metrics(trainer.state.epoch - unfinished)
    write_manifest(model, data, options, seed)
    started = time.perf_counter()
    model.history = trainer.state.history  # grows with the epochs: a broken-off run keeps it
    try:
        trainer.fit(data.train, validate)
    except TrainingError:
        if stopping is not None and stopping.best_epoch is not None:
            _take_best(model, stopping)
        raise
    _take_best(model, stopping)
    if options.report:
        best = None if stopping is None else stopping.best_epoch
        write_run_report(model, data, options, best, time.perf_counter() - started)


def _trainer(
    model: BaseModel, data: RunData, options: FitOptions, seed: int, monitor: str, mode: str
) -> Trainer:
    """The trainer of a run, without callbacks; what does not fit together is refused."""
    prepare = inputs.preparer(model, data.train)
    inputs.check_first_batch(data.train, prepare)
    autocast = partial(autocast_for, model.device, options.precision)
    autocast()  # refuses a precision that the device lacks
    scheduler = model.compiled.build_scheduler(length_of(data.train), options.epochs, mode)
    if scheduler is not None and scheduler.needs_metric and data.valid is None:
        raise ConfigError("fit: a plateau scheduler follows the monitor: give validation data.")
    description = bundle.describe(model)
    return Trainer(
        model,
        model.objective,
        model.compiled.build(model),
        TrainOptions(
            epochs=options.epochs,
            max_grad_norm=options.max_grad_norm,
            dense_l1=model.dense_l1_reg,
            dense_l2=model.dense_l2_reg,
        ),
        prepare=prepare,
        row_mode=model.compiled.row_mode(),
        autocast=autocast,
        device=model.device,
        scheduler=scheduler,
        progress=Progress(enabled=options.progress, logger=logger),
        monitor=monitor if data.valid is not None else None,
        fingerprint=_fingerprint(model, data, options, seed),
        describe=lambda: description,
        balancer=model.compiled.balancer,
    )


def _early_stopping(
    model: BaseModel, data: RunData, options: FitOptions, monitor: str, mode: str
) -> EarlyStopping | None:
    if data.valid is None:
        return None
    patience = options.early_stop_patience or model.early_stop_patience

    def save_best() -> None:
        bundle.write_weights(model, model.best_path)

    return EarlyStopping(monitor, mode, patience, options.min_delta, save_best)


class _TellsOfStreams(Callback):
    """Tells, after the first epoch, what was missing and unknown in tables that are streamed."""

    def __init__(self, streamed: Iterable[Any]) -> None:
        self.waiting = list(streamed)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Forget what the checks before the run have read."""
        for watching in self.waiting:
            if hasattr(watching, "forget"):
                watching.forget()

    def on_epoch_end(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Tell once."""
        for watching in self.waiting:
            tell(watching)
        self.waiting = []


def _callbacks(
    model: BaseModel, data: RunData, options: FitOptions, stopping: EarlyStopping | None
) -> list[Callback]:
    """The user's first; the checkpoint last, so that it holds what the others decided."""
    return [
        *options.callbacks,
        _TellsOfStreams(data.streamed),
        *([stopping] if stopping else []),
        MetricsFile(model.session.append_metrics),
        *(
            [Checkpointing(model.checkpoint_path, options.checkpoint_steps)]
            if options.checkpoint
            else []
        ),
    ]


def _seed(options: FitOptions, resumed: Path | None) -> int:
    if resumed is None:
        return secrets.randbelow(2**31) if options.seed is None else options.seed
    seed = read_meta(resumed).get("fingerprint", {}).get("seed")
    if seed is None:
        raise CheckpointError(f"{resumed}: not the checkpoint of a run.")
    if options.seed not in (None, seed):
        raise ConfigError(f"fit: `seed` is {options.seed}, but the run to resume has seed {seed}.")
    return int(seed)


def _resume_path(model: BaseModel, options: FitOptions) -> Path | None:
    if options.resume is None or options.resume is False:
        return None
    path = model.session_path if options.resume is True else Path(options.resume)
    if path.is_dir():
        path = path / model.checkpoint_path.name
    if not path.is_file():
        raise CheckpointError(f"{path}: no checkpoint to resume from.")
    return path


def _validator(
    model: BaseModel, data: RunData, options: FitOptions, monitor: str
) -> Callable[[], dict[str, Any]] | None:
    """A function that measures the model after an epoch."""
    loaders = {"valid": data.valid} if data.valid is not None else {}
    if data.train_metrics:
        loaders["train"] = data.train
    if not loaders:
        return None
    averaged = [request.key for request in monitored(data.requests, monitor)]
    parts = {part: (loader, inputs.preparer(model, loader)) for part, loader in loaders.items()}
    for loader, prepare in parts.values():
        inputs.check_first_batch(loader, prepare)
    measure = partial(
        evaluate_loader,
        model,
        requests=data.requests,
        group_column=data.group_column,
        precision=options.precision,
    )

    def validate() -> dict[str, Any]:
        record: dict[str, Any] = {}
        for part, (loader, prepare) in parts.items():
            values = measure(loader, prepare=prepare, with_loss=part == "valid")
            if part == "valid":
                record["valid_loss"] = values.pop("loss")
            prefix = "" if part == "valid" else "train_"
            record |= {f"{prefix}{key}": value for key, value in values.items()}
            if values.reasons:
                reasons = {f"{prefix}{key}": why for key, why in values.reasons.items()}
                record["reasons"] = {**record.get("reasons", {}), **reasons}
            if part == "valid" and len(averaged) > 1:
                record[monitor] = sum(values[key] for key in averaged) / len(averaged)
            shown = ", ".join(f"{key}={value:.4f}" for key, value in values.items())
            logger.info("%s: %s", part, shown)
        return record

    return validate


def _fingerprint(model: BaseModel, data: RunData, options: FitOptions, seed: int) -> dict[str, Any]:
    """What must be equal for a resumed run to give the weights of an uninterrupted one."""
    told = {**model.compiled.losses, **model.compiled.balancing}
    return {
        "model": model.model_name,
        "seed": seed,
        "rows": inputs.rows_of(data.train),
        "batch_size": options.batch_size,
        "shuffle": options.shuffle,
        "drop_last": options.drop_last,
        "buffer_rows": getattr(data.train, "buffer_rows", None),
        "precision": options.precision,
        "max_grad_norm": options.max_grad_norm,
        "optimizer": _named(model.compiled.optimizer),
        "optimizer_params": str(model.compiled.optimizer_params or {}),
        "scheduler": _named(model.compiled.scheduler),
        "scheduler_params": str(model.compiled.scheduler_params or {}),
        **{name: _named(value) for name, value in told.items()},
        **_architecture(model),
        "content of the data": content_of(data.train),
        "validated": data.valid is not None,
        "epochs of the schedule": options.epochs if model.compiled.follows_length() else None,
    }


def _architecture(model: BaseModel) -> dict[str, Any]:
    """The model's own arguments, less those that only say how long and where to run."""
    free = {*bundle.RUN_KEYS, "early_stop_patience", "id_columns"}
    arguments = bundle.describe(model)["arguments"]
    return {f"argument {k}": v for k, v in arguments.items() if k not in free}


def _named(choice: Any) -> str:
    """A value as text; of a class or an object the class's name, which another process shares."""
    if choice is None or isinstance(choice, (str, int, float, list, tuple, dict)):
        return str(choice)
    return choice.__name__ if isinstance(choice, type) else type(choice).__name__


def _take_best(model: BaseModel, stopping: EarlyStopping | None) -> None:
    """The best epoch's weights of this run; without validation the last ones."""
    if stopping is not None and stopping.best_epoch is not None:
        bundle.read_weights(model, model.best_path)
        logger.info("the model has the weights of epoch %d", stopping.best_epoch)
        return
    if stopping is not None:
        logger.warning("the monitor was undefined in every epoch; the model keeps its last weights")
    bundle.write_weights(model, model.best_path)


# -- evaluate ----------------------------------------------------------------------------------


def evaluate(
    model: BaseModel,
    data: Any,
    metrics: Any,
    batch_size: int,
    user_ids: Any,
    user_id_column: str,
    weight_column: str | None,
    streaming: bool,
    processor: Any = None,
    stream: bool | None = None,
) -> MetricValues:
    """Metrics of the data; see :meth:`BaseModel.evaluate`."""
    requests = resolve_metrics(metrics, model.tasks, owner="evaluate", streaming=streaming)
    data = inputs.opened(data)
    inputs.refuse_with_loader(
        "evaluate", data, weight_column=weight_column, processor=processor, stream=stream
    )
    groups = None if user_ids is None else np.asarray(user_ids)
    column = None
    if groups is None:
        requests, column = inputs.grouping(
            requests, data, user_id_column, bool(metrics), "evaluate"
        )
    own = watched(processor_for(model, processor, data, "evaluate"), "evaluate")
    streams = False
    if not inputs.is_loader(data):
        table = TableInput(model, data, own, group_column=column, weight_column=weight_column)
        streams = table.streams(stream, "evaluate")
        for note in table.notes:
            logger.log(logging.INFO if streams else logging.DEBUG, "%s", note)
        data = table.loader(table.stream() if streams else table.store(), batch_size)
    values = evaluate_loader(
        model,
        data,
        requests,
        inputs.preparer(model, data),
        group_column=column,
        groups=groups,
        streaming=streaming,
    )
    if streams:
        tell(own)
    return values


def metrics_of(
    model: BaseModel, y_true: Any, y_pred: Any, metrics: Any, user_ids: Any
) -> MetricValues:
    """Metrics of labels and predictions; see :meth:`BaseModel.evaluate_metrics`."""
    evaluator = Evaluator(resolve_metrics(metrics, model.tasks, owner="evaluate"), model.tasks)
    labels, scores = np.asarray(y_true), np.asarray(y_pred)
    groups = None if user_ids is None else np.asarray(user_ids)
    evaluator.update(scores.reshape(len(scores), -1), labels.reshape(len(labels), -1), groups)
    return evaluator.compute()


def train_epoch(model: BaseModel, loader: Iterable[Any]) -> float:
    """One epoch without session, callbacks or validation; the mean loss."""
    trainer = Trainer(
        model,
        model.objective,
        model.compiled.build(model),
        TrainOptions(epochs=1, dense_l1=model.dense_l1_reg, dense_l2=model.dense_l2_reg),
        prepare=inputs.preparer(model, loader),
        row_mode=model.compiled.row_mode(),
        autocast=nullcontext,
        device=model.device,
        balancer=model.compiled.balancer,
    )
    return float(trainer.train_epoch(loader)["loss"])
