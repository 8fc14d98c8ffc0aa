"""How far a run is: a live bar on a terminal, a few log lines elsewhere.

The loss lives on the device, and reading it makes the host wait. So the trainer hands over a
callable, and only a line that is really drawn calls it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

LINE_SECONDS = 10.0
"""Least time between two log lines within an epoch."""
BAR_SECONDS = 0.2
"""Least time between two drawings of a bar."""


class EpochMeter:
    """Counts of one epoch; now and then it has them drawn."""

    def __init__(self, title: str, batches: int | None, done: int, period: float) -> None:
        self.title = title
        self.total = batches
        """Batches of the epoch; ``None``: unknown."""
        self.batches = done
        """Batches done."""
        self.rows = 0
        """Rows seen by this process."""
        self.waited = 0.0
        """Seconds spent waiting for data."""
        self.draw: Callable[[EpochMeter], None] | None = None
        self._loss: Callable[[], float] | None = None
        self._period = period
        self._start = perf_counter()
        self._due = self._start + period

    def update(self, rows: int, loss: Callable[[], float], waited: float = 0.0) -> None:
        """Count one batch.

        Args:
            rows: rows of the batch.
            loss: reads the loss so far; called only when something is drawn.
            waited: seconds that the loop waited for this batch.
        """
        self.batches += 1
        self.rows += rows
        self.waited += waited
        self._loss = loss
        now = perf_counter()
        if now >= self._due and self.draw is not None:
            self.draw(self)
            self._due = perf_counter() + self._period

    @property
    def seconds(self) -> float:
        """Time since the epoch began."""
        return perf_counter() - self._start

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / max(self.seconds, 1e-9)

    @property
    def waiting(self) -> float:
        """Share of the time spent waiting for data, in [0, 1]."""
        return min(self.waited / max(self.seconds, 1e-9), 1.0)

    def loss_text(self) -> str:
        """The loss with four decimals; reading it may wait for the device."""
        return "loss=-" if self._loss is None else f"loss={float(self._loss()):.4f}"

    def speed_text(self) -> str:
        """Rows a second and the share of waiting."""
        return f"{self.rate:,.0f} rows/s, {self.waiting:.0%} waiting for data"


class Progress:
    """Shows the course of training.

    Args:
        enabled: ``None`` shows a bar on a terminal and log lines elsewhere, as long as the logger
            takes messages of level INFO; ``True`` shows the bar even when it doesn't; ``False``
            shows nothing.
        logger: takes the lines; default ``nextrec``.

    >>> progress = Progress(enabled=False)
    >>> with progress.epoch(1, 3, batches=10) as bar:
    ...     bar.update(rows=32, loss=lambda: 0.5, waited=0.01)
    >>> bar.rows
    32
    """

    def __init__(self, enabled: bool | None = None, logger: logging.Logger | None = None) -> None:
        self.enabled = enabled
        self.logger = logger or logging.getLogger("nextrec")

    @contextmanager
    def epoch(
        self, index: int, total_epochs: int, batches: int | None = None, done: int = 0
    ) -> Iterator[EpochMeter]:
        """One epoch's meter.

        Args:
            index: the epoch's number; the first is 1.
            total_epochs: the last one's number.
            batches: length of the epoch; ``None`` for a loader without one.
            done: batches of this epoch that an earlier, interrupted run did.
        """
        title = f"Epoch {index}/{total_epochs}"
        stream = _terminal()
        if not self._is_shown():
            yield EpochMeter(title, batches, done, period=float("inf"))
        elif stream is None:
            meter = EpochMeter(title, batches, done, LINE_SECONDS)
            meter.draw = self._log_line
            yield meter
            self._log_end(meter)
        else:
            meter = EpochMeter(title, batches, done, BAR_SECONDS)
            with _bar(meter, stream):
                yield meter
            self._log_end(meter)

    def _is_shown(self) -> bool:
        if self.enabled is None:
            return self.logger.isEnabledFor(logging.INFO)
        return self.enabled

    def _log_line(self, meter: EpochMeter) -> None:
        of = "" if meter.total is None else f"/{meter.total:,} ({meter.batches / meter.total:.0%})"
        text = f"batch {meter.batches:,}{of}, {meter.loss_text()}, {meter.speed_text()}"
        self.logger.info("%s - %s", meter.title, text)

    def _log_end(self, meter: EpochMeter) -> None:
        done = f"{meter.batches:,} batches, {meter.rows:,} rows in {meter.seconds:.1f} s"
        text = f"{done}, {meter.loss_text()}, {meter.speed_text()}"
        self.logger.info("%s - %s", meter.title, text)


def _terminal() -> TextIO | None:
    """The stream to draw a bar on: stderr, else stdout, if one is a terminal."""
    if os.environ.get("TERM") == "dumb":  # can't move the cursor back
        return None
    return next((s for s in (sys.stderr, sys.stdout) if s is not None and s.isatty()), None)


@contextmanager
def _bar(meter: EpochMeter, stream: TextIO) -> Iterator[None]:
    """A bar that vanishes at the end; meanwhile log lines are printed above it."""
    with _rich(stream) as rich:
        task = rich.add_task(meter.title, total=meter.total, loss="", speed="")

        def draw(meter: EpochMeter) -> None:
            loss, speed = meter.loss_text(), meter.speed_text()
            rich.update(task, completed=meter.batches, refresh=True, loss=loss, speed=speed)

        meter.draw = draw
        yield


def _rich(stream: TextIO) -> RichProgress:
    """rich is imported for a bar only: it costs start-up time that batch jobs don't need."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"),
        Remaining(),
        console=Console(file=stream),
        auto_refresh=False,  # no second thread that competes for the interpreter
        transient=True,
    )
