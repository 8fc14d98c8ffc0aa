"""Running jobs on threads, a bounded number ahead, with results in the order of the jobs.

Arrow reads, decompresses and parses outside Python's global lock, so threads overlap all that with
training. Order, and so every batch, is the same for any number of threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import Any, TypeVar

from nextrec.errors import ConfigError, invalid

T = TypeVar("T")

_END = object()


def in_order(jobs: Iterable[Callable[[], T]], threads: int, ahead: int) -> Iterator[T]:
    """The results of the jobs, in their order.

    The threads take the jobs one at a time from ``jobs`` itself, so that what it does while it is
    iterated (decompressing, say) is also done ahead; it is never advanced by two threads at once.
    An error of a job, or of ``jobs``, is raised in the place of its result, after the results
    before it, and ends the iteration. At the end, an error, or ``close()`` of the generator, the
    threads finish the jobs they are at and stop, and an iterator of jobs that can be closed is.

    Args:
        jobs: called once each, without arguments, on any thread.
        threads: how many run jobs; 0: the caller's own, each job when its result is asked for.
        ahead: how many jobs may at most be running or done, beside the result the caller is at.
            Fewer than ``threads`` leave threads idle.

    Raises:
        ConfigError: ``threads`` or ``ahead`` is out of range.

    >>> list(in_order([lambda: "a", lambda: "b", lambda: "c"], threads=2, ahead=4))
    ['a', 'b', 'c']
    """
    if not isinstance(threads, int) or threads < 0:
        raise ConfigError(invalid("in_order", "threads", "an integer of at least 0", threads))
    if not isinstance(ahead, int) or ahead < 1:
        raise ConfigError(invalid("in_order", "ahead", "a positive integer", ahead))
    source = iter(jobs)
    return _in_order(source, threads, ahead) if threads else _one_by_one(source)


def _closing(source: Iterator[Any]) -> Any:
    return closing(source) if hasattr(source, "close") else nullcontext()


def _one_by_one(source: Iterator[Callable[[], T]]) -> Iterator[T]:
    with _closing(source):
        for job in source:
            yield job()


def _in_order(source: Iterator[Callable[[], T]], threads: int, ahead: int) -> Iterator[T]:
    # Every slot will hold one result. The caller opens slots in order; threads fill them.
    waiting: deque[Future[Any]] = deque()
    unfilled: deque[Future[Any]] = deque()
    turn = threading.Lock()
    workers: set[int] = set()
    # An executor's idle threads don't keep the interpreter from ending, unlike threads of our own.
    pool = ThreadPoolExecutor(threads, thread_name_prefix="nextrec-prefetch")

    def fill() -> None:
        workers.add(threading.get_ident())
        with turn:  # one slot and one job are taken together: this is what keeps the order
            slot = unfilled.popleft()
            try:
                job = next(source, None)
            except BaseException as error:
                slot.set_exception(error)
                return
        try:
            slot.set_result(_END if job is None else job())
        except BaseException as error:
            slot.set_exception(error)

    def open_slot() -> None:
        slot: Future[Any] = Future()
        waiting.append(slot)
        unfilled.append(slot)
        pool.submit(fill)

    def take() -> Any:  # a function, so that the generator keeps no reference to the result
        result = waiting.popleft().result()
        open_slot()
        return result

    try:
        for _ in range(ahead):
            open_slot()
        while waiting[0].result() is not _END:
            yield take()
    finally:
        # The garbage collector may close the generator on one of its threads, which can't wait
        # for itself.
        pool.shutdown(wait=threading.get_ident() not in workers, cancel_futures=True)
        waiting.clear()
        with _closing(source):
            pass
