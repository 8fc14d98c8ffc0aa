"""The loop: batches in, a trained module out.

The trainer knows batches, logits, an objective and callbacks; it knows no model. Each step of it is
a method of its own, so that a subclass can change one thing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nextrec.data.batch import Batch
from nextrec.errors import CheckpointError, TrainingError
from nextrec.loss.balancing import Balancer
from nextrec.optim import HybridOptimizer, RowTable, SchedulerHandle
from nextrec.training.balanced_step import BalancedStep
from nextrec.training.callbacks import Callback
from nextrec.training.checkpoint import fill, pack, read_state, unpack, write_state
from nextrec.training.progress import EpochMeter, Progress
from nextrec.training.seed import RngState

logger = logging.getLogger("nextrec")

Validate = Callable[[], dict[str, float]]


@dataclass
class TrainState:
    """Where a run stands; saved in every checkpoint."""

    epoch: int = 0
    """Epochs begun: 1 in the first one."""
    step: int = 0
    """Optimizer steps since the start."""
    step_in_epoch: int = 0
    """Steps of this epoch; 0 between epochs."""
    rows_in_epoch: int = 0
    loss_in_epoch: float = 0.0
    """Sum over the epoch's rows of the loss of their batch."""
    stop: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainOptions:
    """Settings of the loop that do not change while it runs."""

    epochs: int
    max_grad_norm: float | None = 1.0
    dense_l1: float = 0.0
    dense_l2: float = 0.0
    check_every: int = 50
    """Steps between looks at the loss on an accelerator; the CPU looks at every step."""


class Trainer:
    """Trains a module.

    Args:
        module: has ``training_outputs(columns)``: logits ``(B, T)``, or a mapping with ``logits``
            and ``auxiliary`` losses.
        objective: ``(outputs, labels, weights) -> scalar``.
        optimizer: a :class:`~nextrec.optim.HybridOptimizer`, or any ``torch.optim.Optimizer``.
        options: settings of the loop.
        prepare: turns what the loader yields into a checked :class:`~nextrec.data.Batch` on the
            module's device.
        row_mode: context in which table gradients are kept as looked-up rows.
        autocast: makes the context of the forward pass.
        scheduler: steps the learning rate.
        callbacks: told of each event, in order.
        monitor: record key that a plateau scheduler follows.
        fingerprint: plain values that must be equal when a run is resumed.
        balancer: weighs the tasks in each step; the objective then has ``task_losses``,
            ``other_loss`` and ``seen``, as :class:`~nextrec.loss.Objective`.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
        *,
        prepare: Callable[[Any], Batch],
        row_mode: Callable[[], AbstractContextManager[None]],
        autocast: Callable[[], AbstractContextManager[Any]],
        device: torch.device,
        scheduler: SchedulerHandle | None = None,
        callbacks: Sequence[Callback] = (),
        progress: Progress | None = None,
        monitor: str | None = None,
        fingerprint: Mapping[str, Any] | None = None,
        describe: Callable[[], dict[str, Any]] = dict,
        balancer: Balancer | None = None,
    ) -> None:
        self.module = module
        self.objective = objective
        self.optimizer = optimizer
        self.options = options
        self.prepare = prepare
        self.row_mode = row_mode
        self.autocast = autocast
        self.device = device
        self.scheduler = scheduler
        self.callbacks = list(callbacks)
        self.progress = progress or Progress(enabled=False, logger=logger)
        self.monitor = monitor
        self.fingerprint = dict(fingerprint or {})
        self.describe = describe
        self.balancer = balancer
        self.balanced = None if balancer is None else BalancedStep(self, balancer)
        self.batch: Batch | None = None
        """Of the last step."""
        self.state = TrainState()
        self._epoch_rng: RngState | None = None
        self._unchecked: list[tuple[int, Tensor]] = []
        wide = torch.float32 if device.type == "mps" else torch.float64
        self._loss_sum = torch.zeros((), dtype=wide, device=device)

    # -- the run -----------------------------------------------------------------------------

    def fit(self, loader: Iterable[Any], validate: Validate | None = None) -> list[dict[str, Any]]:
        """Run epochs until the last one or until a callback says stop; returns the history."""
        self._tell("on_fit_start")
        if self.state.stop:
            logger.warning("the run to resume had been stopped at epoch %d", self.state.epoch)
        while not self.state.stop and self._epochs_left():
            record = self.train_epoch(loader)
            record |= validate() if validate else {}
            self.end_epoch(record)
        self._tell("on_fit_end")
        return self.state.history

    def _epochs_left(self) -> bool:
        begun, mid = self.state.epoch, self.state.step_in_epoch > 0
        return begun < self.options.epochs or (mid and begun == self.options.epochs)

    def train_epoch(self, loader: Iterable[Any]) -> dict[str, Any]:
        """One pass over the loader, from where the state stands; returns the epoch's record."""
        state = self.state
        started = time.perf_counter()
        if state.step_in_epoch == 0:
            state.epoch += 1
            state.rows_in_epoch, state.loss_in_epoch = 0, 0.0
            self._tell("on_epoch_start")
        self.module.train()
        self._loss_sum.fill_(state.loss_in_epoch)
        rows_before = state.rows_in_epoch
        total = length_of(loader)
        try:
            with self.row_mode(), self._progress_of(total) as bar:
                for batch, waited in self._timed(self._batches(loader)):
                    self.step(batch)
                    bar.update(len(batch), self.mean_loss, waited)
                    self._tell("on_step_end")
                self._check_losses()
        finally:
            self._settle()
        if state.step_in_epoch == 0:
            raise TrainingError("fit: the training data gave no batch.")
        return self._close_epoch(started, state.rows_in_epoch - rows_before)

    def mean_loss(self) -> float:
        """Mean over the rows of the epoch so far; reading it waits for the device."""
        return float(self._loss_sum) / max(self.state.rows_in_epoch, 1)

    def _settle(self) -> None:
        """Bring all table rows up to date, also when the epoch is broken off.

        It happens at the end of every epoch, measured or not, so that measuring changes nothing.
        """
        if isinstance(self.optimizer, HybridOptimizer):
            self.optimizer.zero_grad()
            self.optimizer.flush()

    def _progress_of(self, batches: int | None) -> AbstractContextManager[EpochMeter]:
        done = self.state.step_in_epoch
        return self.progress.epoch(self.state.epoch, self.options.epochs, batches, done)

    def _close_epoch(self, started: float, rows: int) -> dict[str, Any]:
        seconds = time.perf_counter() - started
        state = self.state
        if self.balancer is not None:
            self.balancer.end_epoch()
        state.step_in_epoch = 0
        return {
            "epoch": state.epoch,
            "step": state.step,
            "loss": self.mean_loss(),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": seconds,
            "rows_per_second": rows / max(seconds, 1e-9),
        }

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Write the epoch down, tell the callbacks, move the learning rate."""
        if self.scheduler is not None:
            self.scheduler.on_epoch(record.get(self.monitor) if self.monitor else None)
        self.state.history.append(record)
        # Callbacks that write the state come last: it must hold what the others decided.
        for callback in self.callbacks:
            callback.on_epoch_end(self, record)

    # -- one step ----------------------------------------------------------------------------

    def step(self, batch: Batch) -> Tensor:
        """Forward, backward, clip, update; returns the detached loss."""
        self.batch = batch
        self.optimizer.zero_grad()
        loss = self.backward(batch)
        self.clip()
        self.optimizer.step()
        if self.balanced is not None:
            self.balanced.look_again(batch)
        if self.scheduler is not None:
            self.scheduler.on_step()
        state = self.state
        state.step += 1
        state.step_in_epoch += 1
        state.rows_in_epoch += len(batch)
        self._loss_sum += loss * len(batch)
        return loss

    def backward(self, batch: Batch) -> Tensor:
        """Give every parameter its gradient of one batch; returns the detached loss."""
        if self.balanced is not None:
            return self.balanced.backward(batch)
        loss = self.loss(batch)
        self.watch(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """The objective of one batch."""
        return self.objective(self.outputs(batch), batch.labels, batch.weights)

    def outputs(self, batch: Batch) -> Any:
        """What the objective takes; logits are in float32 whatever the precision."""
        with self.autocast():
            outputs = self.module.training_outputs(batch.features)  # type: ignore[operator]
        if isinstance(outputs, Tensor):
            return outputs.float()
        return {**outputs, "logits": outputs["logits"].float()}

    def clip(self) -> None:
        """Add the dense penalties and limit the global norm of all gradients."""
        options = self.options
        if isinstance(self.optimizer, HybridOptimizer):
            self.optimizer.add_penalties(options.dense_l1, options.dense_l2)
            if options.max_grad_norm is not None:
                self.optimizer.clip_grad_norm_(options.max_grad_norm)
        elif options.max_grad_norm is not None:
            # A parameter that the optimizer leaves out keeps its gradients, which would add up.
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, options.max_grad_norm)

    def watch(self, loss: Tensor) -> None:
        """Stop at a loss that is not finite: at once on the CPU, every few steps elsewhere."""
        self._unchecked.append((self.state.step + 1, loss.detach()))
        if self.device.type == "cpu" or len(self._unchecked) >= self.options.check_every:
            self._check_losses()

    def _check_losses(self) -> None:
        if not self._unchecked:
            return
        steps, losses = zip(*self._unchecked, strict=True)
        self._unchecked = []
        finite = torch.isfinite(torch.stack(losses))
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            raise TrainingError(
                f"the loss is {float(losses[first])} at step {steps[first]} "
                f"(epoch {self.state.epoch}); look for extreme inputs or labels, "
                "or lower the learning rate."
            )

    # -- batches -----------------------------------------------------------------------------

    def _batches(self, loader: Iterable[Any]) -> Iterator[Batch]:
        """The epoch's batches from the position where the state stands."""
        start = self.state.step_in_epoch
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(self.state.epoch - 1)
        if hasattr(loader, "batches"):
            source = loader.batches(start)
        else:
            source = self._skipped(loader, start)
        return map(self.prepare, source)

    def _skipped(self, loader: Iterable[Any], start: int) -> Iterator[Any]:
        """A loader of the user's own: repeat its epoch with the streams it began with."""
        now = RngState.capture()
        if start and self._epoch_rng is not None:
            self._epoch_rng.restore()
        else:
            self._epoch_rng = now
        iterator = iter(loader)
        for _ in range(start):
            next(iterator)
        if start:
            now.restore()
        return iterator

    @staticmethod
    def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            yield batch, time.perf_counter() - asked

    # -- state -------------------------------------------------------------------------------

    def save_checkpoint(self, path: Path) -> None:
        """Everything a resumed run needs: weights, optimizer, scheduler, streams, position."""
        self.state.loss_in_epoch = float(self._loss_sum)
        tensors = {f"model/{k}": v for k, v in self.module.state_dict().items()}
        parts: dict[str, Any] = {}
        for name, state in self._states().items():
            parts[name] = pack(state, f"{name}/", tensors)
        meta = {
            "kind": "checkpoint",
            "model": self.describe(),
            "train": asdict(self.state),
            "fingerprint": self.fingerprint,
            "callbacks": [[type(each).__name__, each.state_dict()] for each in self.callbacks],
            "parts": parts,
        }
        write_state(path, tensors, meta)

    def _states(self) -> dict[str, Any]:
        states = {"optimizer": self.optimizer.state_dict(), "rng": RngState.capture().state_dict()}
        if self.scheduler is not None:
            states["scheduler"] = self.scheduler.state_dict()
        if self.balancer is not None:
            states["balancer"] = self.balancer.state_dict()
        if self._epoch_rng is not None:
            states["epoch_rng"] = self._epoch_rng.state_dict()
        return states

    def load_checkpoint(self, path: Path) -> None:
        """Continue a run from its checkpoint.

        Raises:
            CheckpointError: the file is of another model, or the run had other data or settings.
        """
        tensors, meta = read_state(path)
        self._check_resumable(path, meta)
        parts = {name: unpack(packed, tensors) for name, packed in meta["parts"].items()}
        fill(self.module, {k[6:]: v for k, v in tensors.items() if k.startswith("model/")}, path)
        self.optimizer.load_state_dict(parts["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(parts["scheduler"])
        if self.balancer is not None:
            self.balancer.load_state_dict(parts["balancer"])
        self.state = TrainState(**meta["train"])
        # torch's schedulers warn when no step came before them; it came before the checkpoint.
        self.optimizer._opt_called = self.state.step > 0  # type: ignore[attr-defined]
        waiting = list(meta["callbacks"])
        for callback in self.callbacks:  # each takes the state of the next of its class
            saved = next((each for each in waiting if each[0] == type(callback).__name__), None)
            if saved is not None:
                waiting.remove(saved)
                callback.load_state_dict(saved[1])
        if "epoch_rng" in parts:
            self._epoch_rng = RngState.from_state_dict(parts["epoch_rng"])
        RngState.from_state_dict(parts["rng"]).restore()

    def _check_resumable(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Refuse a state that would not give the weights of an uninterrupted run."""
        if meta.get("kind") != "checkpoint":
            raise CheckpointError(f"{path}: weights without the state of a run; nothing to resume.")
        lacking = [k for k in ("fingerprint", "callbacks", "parts", "train") if k not in meta]
        if lacking:
            raise CheckpointError(f"{path}: the state of the run lacks {', '.join(lacking)}.")
        lacking = [name for name in ("optimizer", "rng") if name not in meta["parts"]]
        if lacking:
            raise CheckpointError(f"{path}: the state of the run lacks {', '.join(lacking)}.")
        # A callback that remembers nothing may come and go.
        stateful = [name for name, state in meta["callbacks"] if state]
        present = {type(callback).__name__ for callback in self.callbacks}
        now = {
            **self.fingerprint,
            "scheduler": self.scheduler is not None,
            "balancer": self.balancer is not None,
            "callbacks": [name for name in stateful if name in present],
        }
        then = {
            **meta["fingerprint"],
            "scheduler": "scheduler" in meta["parts"],
            "balancer": "balancer" in meta["parts"],
            "callbacks": stateful,
        }
        changed = [key for key in now if then.get(key) != now[key]]
        if changed:
            told = "; ".join(f"{key} was {then.get(key)!r}, is {now[key]!r}" for key in changed)
            raise CheckpointError(f"{path}: this run differs from the saved one: {told}.")

    def log(self, message: str) -> None:
        """A line in the run's log."""
        logger.info(message)

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)


@contextmanager
def row_gradients(
    tables: Sequence[tuple[Any, RowTable]],
) -> Iterator[None]:
    """Let each storage read through its row table for the time of the block."""
    for storage, table in tables:
        storage.reader = table  # records lookups where gradients are enabled, else only reads
    try:
        yield
    finally:
        for storage, _ in tables:
            storage.reader = None


def length_of(loader: Any) -> int | None:
    """Batches of a loader, where it knows them."""
    try:
        return len(loader)
    except TypeError:
        return None
