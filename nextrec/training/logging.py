"""The package's log: one logger named ``nextrec``, a plain file and a coloured console.

Records go through ``logging.getLogger("nextrec")`` and below, and reach the application's own
handlers as always. The root logger is never touched.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any, TextIO

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.training.session import Session, create_session

LOGGER_NAME = "nextrec"
VERBOSITY = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}

_COLOR_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
ANSI_CODES = {name: f"\033[{30 + i}m" for i, name in enumerate(_COLOR_NAMES)} | {
    f"bright_{name}": f"\033[{90 + i}m" for i, name in enumerate(_COLOR_NAMES)
}
ANSI_BOLD = "\033[1m"
ANSI_RESET = "\033[0m"
ANSI_ESCAPE_PATTERN = re.compile(r"\033\[[0-9;]*m")
DEFAULT_LEVEL_COLORS = {
    "DEBUG": "cyan",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bright_red",
}

# Without any handler Python prints warnings of a library to stderr by itself.
logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


def colorize(text: str, color: str | None = None, bold: bool = False) -> str:
    """``text`` between the escape codes of a colour, of bold, or of both.

    >>> colorize("late", "red", bold=True)
    '\\x1b[1m\\x1b[31mlate\\x1b[0m'
    >>> colorize("plain")
    'plain'
    """
    if color is not None and color not in ANSI_CODES:
        raise ConfigError(unknown_option("colorize", "color", ANSI_CODES, color))
    start = (ANSI_BOLD if bold else "") + (ANSI_CODES[color] if color else "")
    return f"{start}{text}{ANSI_RESET}" if start else text


class AnsiFormatter(logging.Formatter):
    """A formatter that drops colours, or colours whole lines by their level.

    Args:
        strip_ansi: remove escape codes from the text.
        auto_color_level: colour a line that has no colour of its own by its level.
        level_colors: level name -> colour name; default ``DEFAULT_LEVEL_COLORS``.
    """

    def __init__(
        self,
        *args: Any,
        strip_ansi: bool = False,
        auto_color_level: bool = False,
        level_colors: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.strip_ansi = strip_ansi
        self.auto_color_level = auto_color_level
        self.level_colors = DEFAULT_LEVEL_COLORS if level_colors is None else level_colors

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        text = super().format(record)
        if self.strip_ansi:
            return ANSI_ESCAPE_PATTERN.sub("", text)
        color = self.level_colors.get(record.levelname)
        if self.auto_color_level and color and "\033[" not in text:
            return colorize(text, color)
        return text


class SessionFileHandler(logging.FileHandler):
    """A log file that appears, with its folder, when the first record is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="a", encoding="utf-8", delay=True)
        layout = "%(asctime)s - %(levelname)s - %(message)s"
        self.setFormatter(AnsiFormatter(layout, datefmt="%H:%M:%S", strip_ansi=True))

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Messages on the standard output of the moment, in colour only on a terminal.

    A record that a console handler of the application's root logger prints too is left to it, so
    that no line appears twice.
    """

    def __init__(self) -> None:
        # StreamHandler's own constructor would keep today's sys.stdout; see `stream`.
        logging.Handler.__init__(self)
        self.setFormatter(AnsiFormatter("%(message)s", auto_color_level=True))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Looked up for each record: progress bars, notebooks and tests replace it."""
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        """The message, without escape codes where they would be garbage."""
        text = super().format(record)
        return text if supports_color(self.stream) else ANSI_ESCAPE_PATTERN.sub("", text)

    def filter(self, record: logging.LogRecord) -> Any:
        """Let through what no console of the application prints."""
        if self.stream is None or _printed_by_root(record):  # a windowed process has no stdout
            return False
        return super().filter(record)


def supports_color(stream: TextIO) -> bool:
    """True for a terminal, unless ``NO_COLOR`` is set or ``TERM`` is ``dumb``."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def setup_logger(
    session_id: Session | str | os.PathLike[str] | None = None, verbosity: int = 1
) -> logging.Logger:
    """Send the package's log to a session's file and to the console.

    A second call changes the file or the verbosity and adds nothing twice.

    Args:
        session_id: a session, its folder's absolute path or its id. ``None`` keeps the file that
            is open, or starts a new session's.
        verbosity: what is told: 0 warnings, 1 the course of a run, 2 details.

    Returns:
        The logger ``nextrec``.
    """
    if verbosity not in VERBOSITY:
        raise ConfigError(invalid("setup_logger", "verbosity", "0, 1 or 2", verbosity))
    logger = logging.getLogger(LOGGER_NAME)
    logger.setLevel(VERBOSITY[verbosity])
    if not _ours(logger, ConsoleHandler):
        logger.addHandler(ConsoleHandler())
    files = _ours(logger, SessionFileHandler)
    if session_id is None and files:
        return logger
    path = _log_path(session_id)
    if [file.baseFilename for file in files] != [str(path)]:  # type: ignore[attr-defined]
        _remove(logger, files)
        logger.addHandler(SessionFileHandler(path))
    return logger


def close_logger() -> None:
    """Undo :func:`setup_logger`: close the file, leave the console, forget the verbosity."""
    logger = logging.getLogger(LOGGER_NAME)
    _remove(logger, [*_ours(logger, SessionFileHandler), *_ours(logger, ConsoleHandler)])
    logger.setLevel(logging.NOTSET)


def _log_path(session_id: Session | str | os.PathLike[str] | None) -> Path:
    if isinstance(session_id, Session):
        session = session_id
    elif session_id is not None and os.path.isabs(session_id):
        session = Session(Path(session_id).name, Path(session_id))
    else:
        session = create_session(session_id)
    return session.log_path.absolute()


def _ours(logger: logging.Logger, kind: type[logging.Handler]) -> list[logging.Handler]:
    return [handler for handler in logger.handlers if isinstance(handler, kind)]


def _remove(logger: logging.Logger, handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()


def _printed_by_root(record: logging.LogRecord) -> bool:
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return logging.getLogger(LOGGER_NAME).propagate and any(
        isinstance(handler, logging.StreamHandler)
        and handler.stream in consoles
        and record.levelno >= handler.level
        for handler in logging.getLogger().handlers
    )
