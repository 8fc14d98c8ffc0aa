from __future__ import annotations

import io
import logging
import re
import sys

import pytest

from nextrec.training import progress as module
from nextrec.training.progress import Progress


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Loss:
    """A loss that counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return 0.25


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    return clock


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.getLogger("nextrec.test_progress")
    caplog.set_level(logging.INFO, logger.name)
    return logger


def attach_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture: pytest puts its own streams back between set-up and test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    return terminal


def test_lines_are_rare_and_the_loss_is_read_only_for_them(
    clock: Clock, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    loss = Loss()
    with Progress(logger=logger).epoch(2, 5, batches=100) as bar:
        for _ in range(100):
            clock.now += 0.25
            bar.update(rows=1000, loss=loss, waited=0.05)
    # 25 seconds: after 10 and after 20, and the end.
    assert caplog.messages == [
        "Epoch 2/5 - batch 40/100 (40%), loss=0.2500, 4,000 rows/s, 20% waiting for data",
        "Epoch 2/5 - batch 80/100 (80%), loss=0.2500, 4,000 rows/s, 20% waiting for data",
        "Epoch 2/5 - 100 batches, 100,000 rows in 25.0 s, loss=0.2500, 4,000 rows/s, "
        "20% waiting for data",
    ]
    assert loss.reads == 3


def test_unknown_length_and_a_resumed_epoch(
    clock: Clock, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with Progress(logger=logger).epoch(1, 1, batches=None, done=7) as bar:
        clock.now += 10
        bar.update(5, lambda: 1.0)
    assert caplog.messages[0] == ("Epoch 1/1 - batch 8, loss=1.0000, 0 rows/s, 0% waiting for data")
    assert bar.batches == 8
    assert bar.rows == 5


def test_an_epoch_without_batches(
    clock: Clock, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with Progress(logger=logger).epoch(1, 1, batches=0):
        pass
    assert caplog.messages == [
        "Epoch 1/1 - 0 batches, 0 rows in 0.0 s, loss=-, 0 rows/s, 0% waiting for data"
    ]


def test_no_last_line_after_an_error(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyError), Progress(logger=logger).epoch(1, 1, 10):
        raise KeyError
    assert caplog.messages == []


@pytest.mark.parametrize("on_terminal", [False, True])
def test_disabled_shows_nothing(
    on_terminal: bool,
    clock: Clock,
    logger: logging.Logger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach_terminal(monkeypatch) if on_terminal else io.StringIO()
    loss = Loss()
    with Progress(False, logger).epoch(1, 1, 10) as bar:
        clock.now += 1e9
        bar.update(1, loss)
    assert caplog.messages == []
    assert terminal.getvalue() == ""
    assert loss.reads == 0


def test_a_quiet_logger_means_no_bar_unless_asked(
    clock: Clock, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = attach_terminal(monkeypatch)
    logger.setLevel(logging.WARNING)
    with Progress(None, logger).epoch(1, 1, 10) as bar:
        clock.now += 1
        bar.update(1, Loss())
    assert terminal.getvalue() == ""
    with Progress(True, logger).epoch(1, 1, 10) as bar:
        clock.now += 1
        bar.update(1, Loss())
    assert "Epoch 1/1" in terminal.getvalue()


@pytest.mark.parametrize("batches", [50, None])
def test_bar_on_a_terminal(
    batches: int | None,
    clock: Clock,
    logger: logging.Logger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach_terminal(monkeypatch)
    loss = Loss()
    with Progress(logger=logger).epoch(3, 9, batches) as bar:
        for _ in range(50):
            clock.now += 0.01
            bar.update(100, loss, waited=0.001)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "Epoch 3/9" in shown
    assert "loss=0.2500" in shown
    assert "10,000 rows/s, 10% waiting for data" in shown
    assert ("/50" in shown) == (batches is not None)
    # Half a second: two drawings and the line at the end.
    assert loss.reads == 3
    assert len(caplog.messages) == 1


def test_a_dumb_terminal_gets_lines(
    clock: Clock,
    logger: logging.Logger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with Progress(logger=logger).epoch(1, 1, 10) as bar:
        clock.now += 11
        bar.update(1, Loss())
    assert terminal.getvalue() == ""
    assert len(caplog.messages) == 2
