"""BaseModel: features and tasks, recorded parameters, and the compile/fit/evaluate/predict facade.

A model is one class with a short constructor and ``logits``. What belongs to the loop lives in
``nextrec.training``; how data becomes a run, a frame of predictions or a bundle lives beside this
file.
"""

from __future__ import annotations

import logging
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from nextrec.errors import ConfigError, FeatureError, invalid, unknown_option
from nextrec.features import (
    DenseFeature,
    FeatureSet,
    FeatureSpecMixin,
    SequenceFeature,
    SparseFeature,
)
from nextrec.layers.head import PredictionLayer
from nextrec.layers.init import get_initializer
from nextrec.loss import Objective
from nextrec.loss.balancing import make_balancer
from nextrec.metrics import MetricValues
from nextrec.models import bundle, compiled, legacy_loop, prediction, runs
from nextrec.models.fit_options import FitOptions
from nextrec.models.options import COMPILE_KEYS, POSITIONAL_OPTIONS
from nextrec.models.recording import KINDS, Recorded, unexpected
from nextrec.models.summary import summarize
from nextrec.models.zoo import MODELS
from nextrec.tasks import Task, make_tasks
from nextrec.training.device import resolve_device
from nextrec.training.session import (
    MANIFEST,
    Session,
    create_session,
    goes_to_default,
    resolve_save_path,
)

logger = logging.getLogger("nextrec")


class BaseModel(FeatureSpecMixin, nn.Module, metaclass=Recorded):
    """Base of all models.

    A subclass builds its blocks from :attr:`features` and returns logits; it inherits training,
    evaluation, prediction and saving. The keywords are described in
    :class:`~nextrec.models.options.ModelOptions`.

    Attributes:
        features: the model's :class:`~nextrec.features.FeatureSet`; ``feature_groups`` holds one
            for each role in :attr:`groups`.
        tasks: what is predicted; ``num_logits`` is the width of :meth:`logits`.
        init_arguments: what the constructor was given.
        processor: what tables go through in :meth:`fit`, :meth:`evaluate` and :meth:`predict`;
            given to :meth:`fit`, kept in bundles.
    """

    init_arguments: dict[str, Any]
    groups: ClassVar[tuple[str, ...]] = ()
    """Roles of features; the constructor then takes ``{group}_{kind}_features`` lists."""
    then_positional: ClassVar[tuple[str, ...]] = ("target", *POSITIONAL_OPTIONS)
    """Options that 0.3.1 also took by position, behind the constructor's own."""
    default_loss_weights: list[float] | None = None
    """Weights of the tasks' losses where :meth:`compile` is given none."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Bases of several models (BaseMatchModel) are no models; a Baseline is one.
        if re.match(r"_|Base[A-Z]", cls.__name__):
            return
        if cls.__name__ in MODELS and not cls.__module__.startswith("nextrec."):
            known = MODELS[cls.__name__]
            if known.__module__.startswith("nextrec."):
                logger.warning("%s takes the name of the zoo's model in saved files", cls.__name__)
        MODELS.add(cls.__name__, cls)

    def __init__(
        self,
        dense_features: Sequence[DenseFeature] | None = None,
        sparse_features: Sequence[SparseFeature] | None = None,
        sequence_features: Sequence[SequenceFeature] | None = None,
        target: str | Sequence[str] | None = None,
        id_columns: str | Sequence[str] | None = None,
        task: str | Sequence[str] = "binary",
        device: str | torch.device = "cpu",
        embedding_l1_reg: float = 0.0,
        dense_l1_reg: float = 0.0,
        embedding_l2_reg: float = 0.0,
        dense_l2_reg: float = 0.0,
        early_stop_patience: int = 20,
        session_id: str | None = None,
        *,
        embedding_reg_scope: Literal["batch", "table"] = "batch",
        linear_init: str | None = None,
        num_classes: int | Sequence[int] | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.feature_groups = self._take_groups(options)
        own = FeatureSet(dense_features, sparse_features, sequence_features)
        _check_agreement(self.feature_groups)
        self.features = FeatureSet.merge(*self.feature_groups.values(), own)
        if not len(self.features):
            raise FeatureError(f"{self.model_name} needs at least one feature.")
        targets = _names(self, "target", target) or ["label"]
        self._set_feature_config(
            self.features.dense,
            self.features.sparse,
            self.features.sequence,
            targets,
            _names(self, "id_columns", id_columns),
        )
        self.target = self.target_columns
        self.target_index = {name: column for column, name in enumerate(targets)}
        self.task = task if isinstance(task, str) else list(task)
        self.tasks: tuple[Task, ...] = make_tasks(task, targets, num_classes, self.model_name)
        self.nums_task = len(self.tasks)
        self.num_logits = sum(each.size for each in self.tasks)
        self.device = resolve_device(device)
        self.embedding_l1_reg = _strength(self, "embedding_l1_reg", embedding_l1_reg)
        self.embedding_l2_reg = _strength(self, "embedding_l2_reg", embedding_l2_reg)
        self.dense_l1_reg = _strength(self, "dense_l1_reg", dense_l1_reg)
        self.dense_l2_reg = _strength(self, "dense_l2_reg", dense_l2_reg)
        if embedding_reg_scope not in ("batch", "table"):
            scopes = ("batch", "table")
            raise ConfigError(
                unknown_option(self.model_name, "embedding_reg_scope", scopes, embedding_reg_scope)
            )
        self.embedding_reg_scope = embedding_reg_scope
        self._linear_init = None if linear_init is None else get_initializer(linear_init)
        leaking = [name for name in targets if name in self.features]
        if leaking:
            raise FeatureError(
                f"{self.model_name}: {leaking[0]!r} is both a feature and a target; a model that "
                "reads its label learns nothing else."
            )
        taken = {f"{name}_pred" for name in targets} & set(self.id_columns)
        if taken:
            must_be = f"other names than those of predictions ({', '.join(sorted(taken))})"
            raise ConfigError(invalid(self.model_name, "id_columns", must_be, self.id_columns))
        whole = isinstance(early_stop_patience, int) and not isinstance(early_stop_patience, bool)
        if not whole or early_stop_patience < 1:
            must_be = "an integer of at least 1"
            raise ConfigError(
                invalid(self.model_name, "early_stop_patience", must_be, early_stop_patience)
            )
        self.early_stop_patience = early_stop_patience
        self._planned_session = create_session(session_id)
        self.session: Session = self._planned_session
        self.history: list[dict[str, Any]] = []
        self.processor: Any = None
        self.prediction_layer = PredictionLayer.of(self.tasks, use_bias=False)
        compile_options = {key: options.pop(key) for key in COMPILE_KEYS if key in options}
        if options:
            raise unexpected(self.model_name, options, self._known_options())
        self.compile(**compile_options)

    # -- what a model says --------------------------------------------------------------------

    @abstractmethod
    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        """Logits ``(B, num_logits)`` of a batch's columns."""

    def training_outputs(self, x: Mapping[str, Tensor]) -> Tensor | Mapping[str, Any]:
        """What the objective gets: the logits, or ``{"logits": ..., "auxiliary": {...}}``."""
        return self.logits(x)

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Predictions: probabilities or values, ``(B,)`` for one output, else ``(B, T)``."""
        return self.prediction_layer(self.logits(x))

    @property
    def model_name(self) -> str:
        """The class's name."""
        return type(self).__name__

    @property
    def task_type(self) -> str | list[str]:
        """The kind of task, or the kind of each."""
        return self.task

    # -- the facade ---------------------------------------------------------------------------

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = "adam",
        optimizer_params: dict[str, Any] | None = None,
        scheduler: Any = None,
        scheduler_params: dict[str, Any] | None = None,
        loss: str | nn.Module | Sequence[str | nn.Module] | None = None,
        loss_params: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        loss_weights: float | Sequence[float] | str | None = None,
        loss_weights_params: dict[str, Any] | None = None,
    ) -> None:
        """Say how to train; the constructor calls it with its own arguments.

        Everything given before is replaced, and the next :meth:`fit` starts with a fresh optimizer.

        Args:
            loss_weights: a number, one a task, or the name of a balancer of
                :mod:`nextrec.loss.balancing`, which weighs the tasks anew in every step of a fit.
            loss_weights_params: its options.

        Raises:
            ConfigError: a name is unknown, or a loss does not fit its task.
        """
        if loss_weights is None:
            loss_weights = self.default_loss_weights
        balancer = make_balancer(self.tasks, loss_weights, loss_weights_params)
        fixed = None if isinstance(loss_weights, str) else loss_weights
        self.objective = Objective(self.tasks, loss, loss_params, fixed)
        self.compiled = compiled.Compiled(
            optimizer,
            optimizer_params,
            scheduler,
            scheduler_params,
            {"loss": loss, "loss_params": loss_params, "loss_weights": fixed},
            balancer,
            _balancing(loss_weights, loss_weights_params),
        )
        self.compiled.check(self)

    def fit(
        self,
        train_data: Any,
        valid_data: Any = None,
        metrics: str | Sequence[str] | Mapping[str, Any] | None = None,
        epochs: int = 1,
        shuffle: bool = True,
        batch_size: int = 32,
        user_id_column: str = "user_id",
        validation_split: float | None = None,
        **options: Any,
    ) -> Self:
        """Train; with validation data the best epoch's weights are the model's at the end.

        Args:
            train_data: frame, dict, Arrow table, path(s) of CSV or Parquet, or a loader.
            valid_data: the same; or take it from ``train_data`` by ``validation_split``.
            metrics: name, list, or mapping target -> names; default by task.
            user_id_column: groups of GAUC and the metrics at k.
            options: see :class:`~nextrec.models.fit_options.FitOptions`.

        Raises:
            ConfigError: a parameter is wrong. DataError: data does not fit the features. Both come
                before the first step. TrainingError: the loss is not finite.
        """
        runs.fit(
            self,
            train_data,
            valid_data,
            FitOptions.of(
                metrics=metrics,
                epochs=epochs,
                shuffle=shuffle,
                batch_size=batch_size,
                user_id_column=user_id_column,
                validation_split=validation_split,
                **options,
            ),
        )
        return self

    def evaluate(
        self,
        data: Any,
        metrics: str | Sequence[str] | Mapping[str, Any] | None = None,
        batch_size: int = 4096,
        user_ids: Any = None,
        user_id_column: str = "user_id",
        *,
        weight_column: str | None = None,
        streaming: bool = False,
        processor: Any = None,
        stream: bool | None = None,
    ) -> MetricValues:
        """Metrics of the data, exactly those asked for: ``metric``, or ``metric_target``.

        Args:
            user_ids: one group id a row, instead of ``user_id_column``.
            streaming: metrics in constant memory; AUC from a histogram.
            processor: transforms a table first; default: the model's own, False: none.
            stream: read the data while the model computes; default: files of more than 2 GiB.
        """
        return runs.evaluate(
            self,
            data,
            metrics,
            batch_size,
            user_ids,
            user_id_column,
            weight_column,
            streaming,
            processor,
            stream,
        )

    def predict(
        self,
        data: Any,
        batch_size: int = 4096,
        save_path: str | os.PathLike[str] | None = None,
        save_format: Literal["csv", "parquet"] | None = None,
        include_ids: bool | None = None,
        return_dataframe: bool = True,
        streaming_chunk_size: int = 65536,
        *,
        processor: Any = None,
    ) -> Any:
        """Predictions: id columns first, then ``<target>_pred``.

        Returns a frame of the kind that was given (pandas for a dict, a path or a loader), or an
        array ``(N, outputs)`` without ``return_dataframe``. With ``save_path`` the rows are also
        written as they come, through a temporary file; then ``return_dataframe=False`` returns the
        path and holds only one chunk in memory.

        Args:
            save_format: ``csv`` or ``parquet``; by default what the path's ending says, else csv.
            include_ids: ``None``: when the model has id columns.
            streaming_chunk_size: most rows in one piece of the result; the next ones are read
                and transformed meanwhile.
            processor: transforms a table first; default: the model's own, False: none.
        """
        return prediction.predict(
            self,
            data,
            batch_size=batch_size,
            save_path=save_path,
            save_format=save_format,
            include_ids=include_ids,
            return_dataframe=return_dataframe,
            chunk_rows=streaming_chunk_size,
            processor=processor,
        )

    def summary(self) -> str:
        """Features, tables, parameters and memory of each part, training setup; also logged."""
        return summarize(self)

    # -- saving -------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a bundle: a folder that :meth:`load` turns into this model again.

        It holds the model's processor too, where that is a ``DataProcessor``.
        """
        return bundle.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Self:
        """A model from a bundle or a saved file, with nothing to repeat.

        Raises:
            CheckpointError: the file is corrupted, or holds a model of another class.
        """
        model = bundle.load(path, device=device)
        if not isinstance(model, cls):
            raise bundle.wrong_class(path, model.model_name, cls.__name__)
        return model

    def save_model(
        self,
        save_path: str | os.PathLike[str] | None = None,
        add_timestamp: bool | None = None,
        verbose: bool = True,
    ) -> Path:
        """Write the weights and all that rebuilds the model into one ``.model`` file.

        The processor is not in it: see :meth:`save`.
        """
        return bundle.save_model(self, save_path, bool(add_timestamp), verbose)

    def load_model(
        self,
        save_path: str | os.PathLike[str],
        map_location: str | torch.device | None = "cpu",
        verbose: bool = True,
    ) -> None:
        """Read weights into this model, on its own device; of a folder, the best ones.

        ``map_location`` is accepted as in 0.3.1 and has no use: a model knows its device.
        """
        bundle.load_model(self, save_path, verbose)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint_path: str | os.PathLike[str],
        map_location: str | torch.device | None = "cpu",
        device: str | torch.device = "cpu",
        session_id: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Rebuild a model from a saved file or folder; ``kwargs`` replace recorded arguments."""
        overrides = {**kwargs, **({"session_id": session_id} if session_id else {})}
        model = bundle.load(checkpoint_path, device=device, overrides=overrides)
        if not isinstance(model, cls):
            raise bundle.wrong_class(checkpoint_path, model.model_name, cls.__name__)
        return model

    # -- where a run writes -------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """Name of the run's folder."""
        return self.session.experiment_id

    @property
    def session_path(self) -> Path:
        """The run's folder; made when something is written."""
        return Path(self.session.root)

    def claim_session(self, new_run: bool = False) -> Session:
        """Make the run's folder; a name that is taken gets ``-2``, ``-3``.

        Args:
            new_run: do not go on in a folder that holds a run of this model already.
        """
        if new_run and (self.session_path / MANIFEST).exists():
            self.session = self._planned_session
        self.session = self.session.claim()
        return self.session

    def output_path(
        self,
        path: str | os.PathLike[str] | None,
        name: str,
        suffix: str,
        folder: str = ".",
        add_timestamp: bool = False,
    ) -> Path:
        """Where a result goes: the path given, else into the session, which is then made."""
        if goes_to_default(path):
            self.claim_session()
        return resolve_save_path(path, self.session_path / folder, name, suffix, add_timestamp)

    @property
    def checkpoint_path(self) -> Path:
        """State of the run after its last epoch or checkpoint."""
        return self.session_path / f"{self.model_name}_checkpoint.model"

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch."""
        return self.session_path / f"{self.model_name}_best.model"

    @property
    def features_config_path(self) -> Path:
        """Class, arguments and features of the model as JSON."""
        return self.session_path / "features_config.json"

    # -- a user's own loop --------------------------------------------------------------------

    def get_input(
        self, input_data: Any, require_labels: bool = True
    ) -> tuple[Mapping[str, Tensor], Tensor | None]:
        """Columns and labels of a batch on the model's device; labels ``(B,)`` or ``(B, T)``."""
        return legacy_loop.get_input(self, input_data, require_labels)

    def compute_loss(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """The objective of predictions as :meth:`forward` returns them."""
        return legacy_loop.compute_loss(self, y_pred, y_true)

    def add_reg_loss(self) -> Tensor:
        """L1 and L2 penalties of whole tables and linear maps, for a loop of one's own."""
        return legacy_loop.penalties(self)

    def train_epoch(self, train_loader: Iterable[Any], is_streaming: bool = False) -> float:
        """One epoch over a loader, outside any session; returns the mean loss."""
        return runs.train_epoch(self, train_loader)

    def evaluate_metrics(
        self, y_true: Any, y_pred: Any, metrics: Any, user_ids: Any = None
    ) -> MetricValues:
        """Metrics of labels and predictions ``(N,)`` or ``(N, T)``."""
        return runs.metrics_of(self, y_true, y_pred, metrics, user_ids)

    # -- construction -------------------------------------------------------------------------

    def _take_groups(self, options: dict[str, Any]) -> dict[str, FeatureSet]:
        return {
            group: FeatureSet(
                **{kind: options.pop(f"{group}_{kind}_features", None) for kind in KINDS}
            )
            for group in self.groups
        }

    def _known_options(self) -> list[str]:
        from inspect import signature

        grouped = [f"{group}_{kind}_features" for group in self.groups for kind in KINDS]
        # Of the classes themselves: the metaclass hides the signature of its call.
        constructors = [signature(cls.__init__).parameters for cls in (type(self), BaseModel)]
        own = [name for names in constructors for name in names if name != "self"]
        return [*dict.fromkeys([*own, *COMPILE_KEYS, *grouped])]

    def _fill_linear_layers(self) -> None:
        if self._linear_init is None:
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                self._linear_init(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _finish_construction(self) -> None:
        self.to(self.device)


def _balancing(weights: Any, params: dict[str, Any] | None) -> dict[str, Any]:
    """The name of a balancer and its options, as a resumed run must repeat them."""
    if not isinstance(weights, str):
        return {}
    return {"loss_weights": weights, "loss_weights_params": params or {}}


def _names(model: BaseModel, parameter: str, value: Any) -> list[str]:
    names = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(e, str) and e for e in names):
        must_be = "a column's name or a list of names"
        raise ConfigError(invalid(model.model_name, parameter, must_be, value))
    return list(names)


def _check_agreement(groups: Mapping[str, FeatureSet]) -> None:
    """A column may play several roles, but it is described in one way."""
    described: dict[str, tuple[str, dict[str, Any]]] = {}
    for group, features in groups.items():
        for feature in features:
            values = feature.to_dict()
            first, others = described.setdefault(feature.name, (group, values))
            differing = [key for key in values if values[key] != others.get(key)]
            if differing:
                raise FeatureError(
                    f"feature {feature.name!r} is described differently by the groups {first!r} "
                    f"and {group!r}: {', '.join(differing)}."
                )


def _strength(model: BaseModel, name: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(invalid(model.model_name, name, "a number of at least 0", value))
    return float(value)
