from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextrec.data.prefetch import in_order
from nextrec.errors import ConfigError

THREADS = [0, 1, 2, 8]


def prefetch_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("nextrec-prefetch")]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert prefetch_threads() == []


def returning(value: int, seconds: float = 0.0) -> Callable[[], int]:
    def job() -> int:
        time.sleep(seconds)
        return value

    return job


def failing(error: BaseException) -> Callable[[], int]:
    def job() -> int:
        raise error

    return job


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_results_come_in_the_order_of_the_jobs(threads: int, ahead: int) -> None:
    # Early jobs take longest, so threads finish them in another order.
    jobs = [returning(number, 0.002 * (number % 4 == 0)) for number in range(30)]
    assert list(in_order(jobs, threads, ahead)) == list(range(30))
    assert list(in_order(iter(jobs), threads, ahead)) == list(range(30))


@given(count=st.integers(0, 12), threads=st.integers(0, 4), ahead=st.integers(1, 6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_error_comes_after_the_results_before_it(
    count: int, threads: int, ahead: int, data: st.DataObject
) -> None:
    jobs = [returning(number) for number in range(count)]
    at = data.draw(st.integers(0, count))
    jobs.insert(at, failing(KeyError("bad")))
    results = in_order(jobs, threads, ahead)
    assert [next(results) for _ in range(at)] == list(range(at))
    with pytest.raises(KeyError, match="bad"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_of_the_iterator_comes_at_its_place_too(threads: int) -> None:
    def jobs() -> Iterator[Callable[[], int]]:
        yield returning(0, 0.01)
        yield returning(1)
        raise OSError("gone")

    results = in_order(jobs(), threads, 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(results)


@pytest.mark.parametrize("threads", THREADS)
def test_a_job_may_return_none(threads: int) -> None:
    assert list(in_order([lambda: None] * 3, threads, 2)) == [None] * 3


@pytest.mark.parametrize("pause", [0.0, 0.003], ids=["fast consumer", "slow consumer"])
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_the_bound_are_begun(threads: int, ahead: int, pause: float) -> None:
    begun = 0

    def jobs() -> Iterator[Callable[[], int]]:
        nonlocal begun
        for number in range(25):
            begun += 1
            yield returning(number, 0.001)

    for taken, result in enumerate(in_order(jobs(), threads, ahead), start=1):
        time.sleep(pause)
        assert begun <= taken + ahead
        assert result == taken - 1


def test_without_threads_a_job_runs_when_it_is_asked_for() -> None:
    ran: list[int] = []
    results = in_order((lambda n=n: ran.append(n) for n in range(5)), 0, 9)
    assert ran == []
    next(results)
    assert ran == [0]


class Result:
    """What a weak reference can point at."""


@pytest.mark.parametrize("threads", THREADS)
def test_a_result_is_let_go_when_the_consumer_lets_it_go(threads: int) -> None:
    results = in_order([Result] * 6, threads, 2)
    for result in results:
        here = weakref.ref(result)
        del result
        deadline = time.monotonic() + 2  # the thread that made it may hold it for an instant
        while here() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert here() is None


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_really_overlap_with_the_consumer(threads: int) -> None:
    others: set[int] = set()
    ready = threading.Event()

    def first() -> None:
        others.add(threading.get_ident())

    def second() -> None:
        others.add(threading.get_ident())
        ready.set()

    results = in_order([first, second], threads, 2)
    next(results)
    assert ready.wait(5)  # the second job runs while the consumer is at the first result
    assert threading.get_ident() not in others
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("threads", [2, 8])
def test_jobs_run_at_the_same_time(threads: int) -> None:
    together = threading.Barrier(2, timeout=5)
    list(in_order([together.wait, together.wait], threads, 2))


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_stops_threads_and_closes_the_jobs(threads: int, taken: int) -> None:
    ran: list[int] = []
    closed: list[bool] = []

    def jobs() -> Iterator[Callable[[], int]]:
        try:
            for number in range(1000):
                ran.append(number)
                yield returning(number, 0.001)
        finally:
            closed.append(True)

    results = in_order(jobs(), threads, 3)
    for _ in range(taken):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert prefetch_threads() == []
    assert closed == [True] * bool(taken)  # what never began has nothing to close
    assert len(ran) <= taken + 3
    before = len(ran)
    time.sleep(0.01)
    assert len(ran) == before


def test_breaking_out_of_a_loop_stops_the_threads() -> None:
    for result in in_order([returning(number) for number in range(100)], 4, 8):
        if result == 3:
            break
    assert prefetch_threads() == []


def test_the_jobs_are_advanced_by_one_thread_at_a_time() -> None:
    inside = 0

    def jobs() -> Iterator[Callable[[], int]]:
        nonlocal inside
        for number in range(40):
            inside += 1
            assert inside == 1
            time.sleep(0.0005)
            inside -= 1
            yield returning(number)

    assert list(in_order(jobs(), 8, 16)) == list(range(40))


def test_one_iteration_may_run_within_another() -> None:
    def inner(number: int) -> int:
        return sum(in_order([returning(number)] * 3, 2, 2))

    jobs = [lambda number=number: inner(number) for number in range(6)]
    assert list(in_order(jobs, 2, 4)) == [3 * number for number in range(6)]


@pytest.mark.parametrize(
    ("threads", "ahead", "parameter"),
    [(-1, 1, "threads"), (1.5, 1, "threads"), (1, 0, "ahead"), (0, 0, "ahead"), (1, None, "ahead")],
)
def test_numbers_out_of_range_are_refused(threads: object, ahead: object, parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"in_order: `{parameter}` must be"):
        in_order([], threads, ahead)  # type: ignore[arg-type]
