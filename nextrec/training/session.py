"""One run's folder: what was asked, what happened, what came out.

``<base>/<id>/`` holds ``manifest.json`` (configuration, versions, machine), ``metrics.jsonl`` (one
record a line), the log, checkpoints, ``predictions/`` and ``processor/``. The base is
``$NEXTREC_LOG_DIR`` or ``nextrec_logs`` in the working directory. Nothing is made on disk before
something is written.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch

import nextrec
from nextrec._files import atomic_path, write_text
from nextrec.errors import CheckpointError, ConfigError, invalid
from nextrec.training.device import available_devices, describe_device

LOG_DIR_VARIABLE = "NEXTREC_LOG_DIR"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
REASONS = "reasons"
PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "polars", "safetensors")

# A dot and a word: ``.csv``, ``.parquet``. The ends of ``res_v1.2`` and ``res.v3`` are versions.
_EXTENSION = re.compile(r"\.(?!v\d)[A-Za-z]\w*$")


@dataclass(frozen=True)
class Session:
    """A run's id and folder. Reading a property makes no folder; writing does."""

    experiment_id: str
    root: Path
    claimed: bool = field(default=False, compare=False)
    """True: the folder exists and belongs to this run."""

    @property
    def logs_dir(self) -> Path:
        """The log's folder."""
        return self.root

    @property
    def checkpoints_dir(self) -> Path:
        """The folder of checkpoints and saved models."""
        return self.root

    @property
    def params_dir(self) -> Path:
        """The folder of the manifest."""
        return self.root

    @property
    def metrics_dir(self) -> Path:
        """The folder of the metrics' history."""
        return self.root

    @property
    def predictions_dir(self) -> Path:
        """The folder of predictions."""
        return self.root / "predictions"

    @property
    def processor_dir(self) -> Path:
        """The folder of the saved processor."""
        return self.root / "processor"

    @property
    def log_path(self) -> Path:
        """The text log."""
        return self.root / f"{self.root.name}.log"

    def claim(self) -> Session:
        """Make the folder and return the session that owns it.

        A folder that exists already holds another run: it is left alone and the id becomes
        ``<id>-2``, ``<id>-3`` and so on. Two processes never get the same folder, because only one
        of them can make it. A claimed session returns itself.
        """
        if self.claimed:
            return self
        self.root.parent.mkdir(parents=True, exist_ok=True)
        suffix, attempt = "", 1
        while True:
            root = self.root.with_name(self.root.name + suffix)
            try:
                root.mkdir()
                break
            except FileExistsError:
                attempt += 1
                suffix = f"-{attempt}"
        return replace(self, experiment_id=self.experiment_id + suffix, root=root, claimed=True)

    @classmethod
    def reopen(cls, path: str | os.PathLike[str]) -> Session:
        """The session of an existing folder, to go on with it.

        A last line of ``metrics.jsonl`` that a kill cut short is removed.

        Raises:
            CheckpointError: there is no such folder, or its manifest can't be read.
        """
        root = Path(path).absolute()
        if not root.is_dir():
            raise CheckpointError(f"There is no session folder {str(root)!r}.")
        session = cls(root.name, root, claimed=True)
        if (root / MANIFEST).exists():
            name = session.read_manifest().get("experiment_id", root.name)
            session = replace(session, experiment_id=name)
        session._cut_torn_line()
        return session

    def save_text(self, name: str, content: str) -> Path:
        """Write a UTF-8 text file under the folder, whole or not at all."""
        return write_text(self.root / _relative("save_text", "name", name), content)

    def write_manifest(self, values: Mapping[str, Any]) -> Path:
        """Write ``manifest.json``: ``values`` and what this process and machine are.

        Args:
            values: the resolved configuration, seed and the like. What JSON has no form for is
                written as its ``repr``.

        The keys ``experiment_id, started, command, versions, machine`` are added; ``started`` stays
        that of the first manifest, ``updated`` is that of this one.
        """
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        earlier = self.read_manifest() if (self.root / MANIFEST).exists() else {}
        manifest = {
            "experiment_id": self.experiment_id,
            "started": earlier.get("started", now),
            "updated": now,
            "command": shlex.join(sys.argv),
            "versions": _versions(),
            "machine": _machine(),
        }
        text = json.dumps(_plain({**manifest, **values}), indent=2, ensure_ascii=False)
        return write_text(self.root / MANIFEST, text + "\n")

    def read_manifest(self) -> dict[str, Any]:
        """Read what :meth:`write_manifest` wrote."""
        path = self.root / MANIFEST
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{str(path)!r} can't be read: {error}") from error
        return manifest

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one line to ``metrics.jsonl`` and flush it.

        JSON has no NaN: such a number is written as null, and ``reasons`` says why in the same
        place, in the words of ``record["reasons"]`` or else as ``"nan"``, ``"inf"``, ``"-inf"``:
        ``{"epoch": 1, "valid": {"auc": null}, "reasons": {"valid": {"auc": "all labels are 0"}}}``.
        """
        numbers = {key: value for key, value in _raw(record).items() if key != REASONS}
        finite, reasons = _split(numbers, _raw(record.get(REASONS, {})))
        line = json.dumps({**finite, REASONS: reasons} if reasons else finite, ensure_ascii=False)
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / METRICS, "a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records so far, with NaN and infinity back in their places.

        A last line without its end is not read: it is being written, or was when the run died.
        """
        return [record for _, record in self._records()]

    def truncate_metrics(self, last_epoch: int) -> None:
        """Drop the records of later epochs, atomically.

        A run that goes on from a checkpoint first drops what was recorded after it, so that
        nothing stands there twice.
        """
        lines = [line for line, record in self._records() if record.get("epoch", 0) <= last_epoch]
        with atomic_path(self.root / METRICS) as temporary:
            temporary.write_bytes(b"".join(lines))

    def _records(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        path = self.root / METRICS
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
            except ValueError as error:
                where = f"{str(path)!r}, line {number}"
                raise CheckpointError(f"{where} can't be read: {error}") from error
            yield line, _joined(record, record.get(REASONS, {}))

    def _cut_torn_line(self) -> None:
        path = self.root / METRICS
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def create_session(experiment_id: str | os.PathLike[str] | None = None) -> Session:
    """A session by id; nothing is written yet.

    Args:
        experiment_id: the folder's name under the base; slashes make nested folders. Without one
            the id is the time to the second and a random suffix.

    Raises:
        ConfigError: the id is an absolute path or leaves the base by ``..``.
    """
    if experiment_id is not None and not isinstance(experiment_id, (str, os.PathLike)):
        must_be = "a name, a path or None"
        raise ConfigError(invalid("create_session", "experiment_id", must_be, experiment_id))
    name = "" if experiment_id is None else os.fspath(experiment_id).strip()
    name = name or f"nextrec_session_{datetime.now():%Y%m%d_%H%M%S}_{secrets.token_hex(3)}"
    relative = _relative("create_session", "experiment_id", name)
    base = Path(os.environ.get(LOG_DIR_VARIABLE) or Path.cwd() / "nextrec_logs")
    return Session(relative.as_posix(), base.absolute() / relative)


def resolve_save_path(
    path: str | os.PathLike[str] | None,
    default_dir: str | os.PathLike[str],
    default_name: str,
    suffix: str,
    add_timestamp: bool = False,
) -> Path:
    """Where a result goes. What looks like a path is used as it was typed.

    =============================  ======================================  =====================
    ``path``                       result                                  example (``.csv``)
    =============================  ======================================  =====================
    ``None``                       ``default_dir/default_name+suffix``
    existing folder, or ends in /  the folder ``/default_name+suffix``     ``out/``
    a name without extension       ``default_dir/name+suffix``             ``res``, ``res_v1.2``
    folders, no extension          the path ``+suffix``                    ``sub/out``
    with an extension              the path, whatever the extension is     ``res.csv``, ``a/b.txt``
    =============================  ======================================  =====================

    An extension is a last dot and a word; numbers and versions (``.2``, ``.v3``) are part of the
    name. Relative paths are relative to the working directory.

    Args:
        path: what the user asked for.
        default_dir: the session's folder for this kind of result.
        default_name: name without extension.
        suffix: extension with its dot.
        add_timestamp: put ``_YYYYMMDD_HHMMSS`` before the extension.

    Returns:
        An absolute path; its parent folder exists.
    """
    if path is None or not os.fspath(path).strip():
        chosen = Path(default_dir, default_name + suffix)
    else:
        chosen = _complete(os.fspath(path), Path(default_dir), default_name, suffix)
    if add_timestamp:
        chosen = chosen.with_name(_stamped(chosen.name, f"_{datetime.now():%Y%m%d_%H%M%S}"))
    chosen = chosen.absolute()
    chosen.parent.mkdir(parents=True, exist_ok=True)
    return chosen


def goes_to_default(path: str | os.PathLike[str] | None) -> bool:
    """Whether :func:`resolve_save_path` puts ``path`` under its ``default_dir``.

    >>> goes_to_default(None), goes_to_default("res_v1.2"), goes_to_default("res.csv")
    (True, True, False)
    """
    if path is None or not os.fspath(path).strip():
        return True
    typed = os.fspath(path)
    name = Path(typed).name
    bare = name == typed and not Path(typed).expanduser().is_dir()
    return bare and not _EXTENSION.search(name)


def _complete(typed: str, default_dir: Path, default_name: str, suffix: str) -> Path:
    path = Path(typed).expanduser()
    if path.is_dir() or typed.endswith(("/", os.sep)):
        return path / (default_name + suffix)
    if _EXTENSION.search(path.name):
        return path
    folder = default_dir if path.name == typed else path.parent
    return folder / (path.name + suffix)


def _stamped(name: str, stamp: str) -> str:
    extension = _EXTENSION.search(name)
    end = extension.start() if extension else len(name)
    return name[:end] + stamp + name[end:]


def _relative(owner: str, parameter: str, name: str) -> Path:
    """``name`` as a path that stays inside its folder, by the rules of any platform."""
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    leaves = posix.is_absolute() or windows.anchor or ".." in windows.parts or "\0" in name
    if leaves or not posix.parts:
        must_be = f"a relative path without '..' (the base folder is set by ${LOG_DIR_VARIABLE})"
        raise ConfigError(invalid(owner, parameter, must_be, name))
    return Path(*posix.parts)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "nextrec": nextrec.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def _machine() -> dict[str, Any]:
    names = {name: describe_device(torch.device(name)) for name in available_devices()}
    return {"platform": platform.platform(), "cpus": os.cpu_count(), "devices": names}


def _raw(value: Any) -> Any:
    """Mappings, lists and Python scalars; arrays, tensors and their scalars are unpacked."""
    if isinstance(value, Mapping):
        return {str(key): _raw(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_raw(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    """What JSON can hold: infinities become words, unknown objects their ``repr``."""
    value = _raw(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else repr(value)


def _split(record: dict[str, Any], given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """``record`` with null for each number that is not finite, and the reasons in its shape."""
    finite: dict[str, Any] = {}
    reasons: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    for key, value in record.items():
        if isinstance(value, dict):
            finite[key], inner = _split(value, reasons.get(key, {}))
            if inner:
                reasons[key] = inner
        elif isinstance(value, float) and not math.isfinite(value):
            finite[key] = None
            reasons.setdefault(key, str(value))
        else:
            finite[key] = _plain(value)
    return finite, reasons


def _joined(record: dict[str, Any], reasons: dict[str, Any]) -> dict[str, Any]:
    """Undo :func:`_split`: null with a reason is NaN, or the infinity that the reason names."""
    for key, reason in reasons.items():
        if isinstance(reason, dict) and isinstance(record.get(key), dict):
            _joined(record[key], reason)
        elif key in record and record[key] is None:
            record[key] = float(reason) if reason in ("inf", "-inf") else math.nan
    return record
