"""The answers of Spark's tasks: payloads in rows, joined and merged again.

A task answers with one payload: states, a description of files, or an error of ours. An error is an
answer, not a failure, so that Spark neither tries the task again nor wraps what it says. The driver
raises that of the first task, which is that of the first row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import pyarrow as pa

from nextrec import errors
from nextrec.data.processing.fit import FitStates
from nextrec.data.processing.recipe import Recipe
from nextrec.data.transforms.base import Payload
from nextrec.data.transforms.payload import from_bytes, to_bytes
from nextrec.errors import NextRecError

ANSWER = "task int, slice int, slices int, data binary"
"""Spark's schema of the rows in which a task answers; their ``data`` join to one payload."""
SLICE_BYTES = 32 << 20
"""Most bytes in one row: Spark holds rows whole, and none of 2 GiB."""
AnswerRow: TypeAlias = tuple[int, int, int, bytes]
_ANSWER_NAMES = ("task", "slice", "slices", "data")
_ANSWER_TYPES = (pa.int32(), pa.int32(), pa.int32(), pa.binary())


def answering(task: int, work: Callable[[], Payload | None]) -> Iterator[pa.RecordBatch]:
    """The answer of a task; ``None`` is none."""
    try:
        payload = work()
    except NextRecError as error:
        payload = error_to_payload(error, task)
    if payload is not None:
        yield from answer_batches(task, payload)


def answer_batches(task: int, payload: Payload) -> list[pa.RecordBatch]:
    """A task's answer as batches of one row each."""
    data = to_bytes(payload)
    slices = [data[start : start + SLICE_BYTES] for start in range(0, len(data), SLICE_BYTES)]
    batches = []
    for number, piece in enumerate(slices):
        values = (task, number, len(slices), piece)
        arrays = [pa.array([v], t) for v, t in zip(values, _ANSWER_TYPES, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, names=_ANSWER_NAMES))
    return batches


class Answers:
    """Puts the rows of answers, in any order, together again."""

    def __init__(self) -> None:
        self.waiting: dict[int, dict[int, bytes]] = {}

    def add(self, task: int, number: int, count: int, data: bytes) -> Payload | None:
        """The answer of the task when this row was the last that it lacked."""
        slices = self.waiting.setdefault(task, {})
        slices[number] = bytes(data)
        if len(slices) < count:
            return None
        del self.waiting[task]
        return from_bytes(b"".join(slices[each] for each in range(count)), f"task {task}")


def error_to_payload(error: NextRecError, task: int) -> Payload:
    """An error as an answer, so that Spark neither retries it nor wraps it."""
    return {"error": type(error).__name__, "text": str(error), "task": task}


def raise_error(payload: Payload) -> None:
    """Raise the error that an answer is, of the same class and text, if it is one."""
    if "error" not in payload:
        return
    kind: Any = getattr(errors, payload["error"], None)
    plain = isinstance(kind, type) and issubclass(kind, NextRecError)
    if not plain or kind is errors.MissingDependencyError:  # which is made of other arguments
        kind = NextRecError
    raise kind(payload["text"])


def merged(recipe: Recipe, rows: Iterable[AnswerRow]) -> tuple[FitStates, Payload | None]:
    """The states of many answers together, or of their errors that of the first task."""
    answers, states = Answers(), FitStates(recipe)
    error: Payload | None = None
    for row in rows:
        payload = answers.add(*row)
        if payload is None:
            continue
        if "error" in payload:
            first = error is None or payload["task"] < error["task"]
            error = payload if first else error
        elif error is None:
            states.merge(FitStates.load(recipe, payload))
    return states, error
