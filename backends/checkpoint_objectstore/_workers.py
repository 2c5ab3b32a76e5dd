"""Calls made at the same time, by a bounded number of threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that start when there is something to do, and serve all callers of a process.

    Args:
        threads: how many at most.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="checkpoint-objects")

    def map(self, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The results of a call for each item, in their order.

        Every call has ended when this returns or raises; what is raised is the first failure, in
        the order of the items.
        """
        given = list(items)
        if len(given) == 1:
            return [call(given[0])]
        under_way: list[Future[R] | _Done[R]] = []
        for item in given:
            try:
                under_way.append(self._pool.submit(call, item))
            except RuntimeError:  # the interpreter is ending, and starts no threads any more
                under_way.append(_Done(call, item))
        for each in under_way:
            each.exception()  # waits: when one is raised, the others have ended, too
        return [each.result() for each in under_way]

    def close(self) -> None:
        """Let the threads go; no call comes after it."""
        self._pool.shutdown(wait=False)


class AsyncWorkers:
    """:class:`Workers`, with tasks in place of threads.

    Args:
        tasks: how many at most, for each caller.
    """

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks

    async def map(self, call: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
        """As that of :class:`Workers`; a cancelled one cancels its calls."""
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
        """As that of :class:`Workers`."""


class _Done(Generic[R]):
    """A call that the calling thread made itself, as a future."""

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
