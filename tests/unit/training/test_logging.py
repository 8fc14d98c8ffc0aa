from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextrec.errors import ConfigError
from nextrec.training.logging import (
    ANSI_BOLD,
    ANSI_CODES,
    ANSI_ESCAPE_PATTERN,
    ANSI_RESET,
    DEFAULT_LEVEL_COLORS,
    AnsiFormatter,
    close_logger,
    colorize,
    setup_logger,
    supports_color,
)
from nextrec.training.session import create_session


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NEXTREC_LOG_DIR", str(tmp_path))
    yield tmp_path
    close_logger()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_colors() -> None:
    assert len(ANSI_CODES) == 16
    assert "bright_red" in ANSI_CODES
    assert colorize("x", "green") == f"{ANSI_CODES['green']}x{ANSI_RESET}"
    assert colorize("x", bold=True) == f"{ANSI_BOLD}x{ANSI_RESET}"
    assert colorize("x") == "x"
    assert ANSI_ESCAPE_PATTERN.sub("", colorize("x", "bright_blue", bold=True)) == "x"
    assert set(DEFAULT_LEVEL_COLORS.values()) <= set(ANSI_CODES)
    with pytest.raises(ConfigError, match="Did you mean 'green'"):
        colorize("x", "gren")


def test_formatter() -> None:
    def record(message: str) -> logging.LogRecord:
        return logging.LogRecord("n", logging.ERROR, "f", 1, message, None, None)

    red = ANSI_CODES["red"]
    assert AnsiFormatter("%(message)s", strip_ansi=True).format(record(f"{red}x")) == "x"
    auto = AnsiFormatter("%(message)s", auto_color_level=True)
    assert auto.format(record("x")) == colorize("x", "red")
    assert auto.format(record(f"{red}x")) == f"{red}x"
    own = AnsiFormatter("%(message)s", auto_color_level=True, level_colors={"ERROR": "blue"})
    assert own.format(record("x")) == colorize("x", "blue")
    assert AnsiFormatter("%(levelname)s %(message)s").format(record("x")) == "ERROR x"


def test_root_logger_is_untouched(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    logger = setup_logger("run")
    assert logger.name == "nextrec"
    assert logger.propagate
    assert (list(root.handlers), root.level) == before
    close_logger()
    assert (list(root.handlers), root.level) == before


def test_the_applications_handlers_see_the_records(caplog: pytest.LogCaptureFixture) -> None:
    setup_logger("run").info("hello")
    assert caplog.messages == ["hello"]


def test_library_without_setup_has_only_a_null_handler() -> None:
    handlers = logging.getLogger("nextrec").handlers
    assert handlers
    assert all(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_file_and_console(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logger("team/run")
    path = base / "team" / "run" / "run.log"
    assert not path.parent.exists()
    logger.info(colorize("start", "green"))
    logging.getLogger("nextrec.training.seed").warning("careful")
    logger.debug("hidden")
    first, second = logged(path)
    assert first[2] == first[5] == ":"
    assert first[8:] == " - INFO - start"
    assert second[8:] == " - WARNING - careful"
    assert capsys.readouterr().out == "start\ncareful\n"


def test_setup_twice_adds_nothing(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = create_session("run").claim()
    for _ in range(3):
        logger = setup_logger(session)
    setup_logger().info("once")
    setup_logger(str(session.root)).info("twice")
    assert [line[8:] for line in logged(session.log_path)] == [" - INFO - once", " - INFO - twice"]
    assert capsys.readouterr().out == "once\ntwice\n"
    assert len(logger.handlers) == 3  # null, console, file


def test_another_session_takes_another_file(base: Path) -> None:
    setup_logger("a").info("for a")
    setup_logger("b").info("for b")
    setup_logger("a").info("again")
    assert [line[8:] for line in logged(base / "a/a.log")] == [" - INFO - for a", " - INFO - again"]
    assert [line[8:] for line in logged(base / "b/b.log")] == [" - INFO - for b"]


def test_without_a_session_a_new_one_is_started(base: Path) -> None:
    setup_logger().info("x")
    setup_logger().info("y")
    (folder,) = base.iterdir()
    assert folder.name.startswith("nextrec_session_")
    assert len(logged(folder / f"{folder.name}.log")) == 2


def test_close_releases_everything(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logger("run", verbosity=2)
    logger.debug("x")
    files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    close_logger()
    assert files[0].stream is None
    assert logger.level == logging.NOTSET
    logger.warning("y")
    assert len(logged(base / "run/run.log")) == 1
    assert capsys.readouterr().out == "x\n"


@pytest.mark.parametrize(("verbosity", "expected"), [(0, "w\n"), (1, "i\nw\n"), (2, "d\ni\nw\n")])
def test_verbosity(verbosity: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logger("run", verbosity=verbosity)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    assert capsys.readouterr().out == expected
    with pytest.raises(ConfigError, match="verbosity"):
        setup_logger("run", verbosity=3)


def test_color_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    assert supports_color(terminal)
    assert not supports_color(pipe)
    logger = setup_logger("run")
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        logger.warning("late")
    assert terminal.getvalue() == colorize("late", "yellow") + "\n"
    assert pipe.getvalue() == "late\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_is_honoured(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    setup_logger("run").error(colorize("x", "blue"))
    assert terminal.getvalue() == "x\n"


def test_no_line_twice_when_the_application_prints_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    logger = setup_logger("run")
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setLevel(logging.WARNING)
    logging.getLogger().addHandler(theirs)
    try:
        logger.info("info")
        logger.warning("warning")
    finally:
        logging.getLogger().removeHandler(theirs)
    assert out.getvalue() == "info\n"
    assert err.getvalue() == "warning\n"


def test_a_process_without_stdout_still_logs(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    setup_logger("run").info("x")
    assert len(logged(base / "run/run.log")) == 1
