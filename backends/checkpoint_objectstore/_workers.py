"""Concurrent calls with a bounded number of threads or tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that start on demand and serve all callers of a process.

    Args:
        threads: how many at most.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="checkpoint-objects")

    def map(self, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Call a function for each item; return the results in the order of the items.

        Every call has ended when this returns or raises. It raises the first failure, in the order
        of the items.
        """
        given = list(items)
        if len(given) == 1:
            return [call(given[0])]
        pending: list[Future[R] | _Done[R]] = []
        for item in given:
            try:
                pending.append(self._pool.submit(call, item))
            except RuntimeError:  # the interpreter is shutting down and starts no threads
                pending.append(_Done(call, item))
        for each in pending:
            each.exception()  # waits for all calls before one failure is raised
        return [each.result() for each in pending]

    def close(self) -> None:
        """Release the threads. No call follows."""
        self._pool.shutdown(wait=False)


class AsyncWorkers:
    """:class:`Workers` with tasks in place of threads.

    Args:
        tasks: how many at most, for each caller.
    """

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks

    async def map(self, call: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
        """See :meth:`Workers.map`; cancelling it cancels its calls."""
        import asyncio

        free = asyncio.Semaphore(self._tasks)

        async def run(item: T) -> R:
            async with free:
                return await call(item)

        done = await asyncio.gather(*map(run, items), return_exceptions=True)
        results = []
        for each in done:
            if isinstance(each, BaseException):
                raise each
            results.append(each)
        return results

    def close(self) -> None:
        """See :meth:`Workers.close`."""


class _Done(Generic[R]):
    """The result of a call made in the calling thread, as a future."""

    def __init__(self, call: Callable[[T], R], item: T) -> None:
        self._results: list[R] = []
        self._failure: Exception | None = None
        try:
            self._results.append(call(item))
        except Exception as exc:  # noqa: BLE001 - raised where a future would
            self._failure = exc

    def exception(self) -> Exception | None:
        return self._failure

    def result(self) -> R:
        if self._failure is not None:
            raise self._failure
        return self._results[0]
