"""Makes a blocking store asynchronous by running each call in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from checkpoint._ids import SessionKey
from checkpoint.errors import StoreClosed
from checkpoint.store import (
    Attachment,
    Commit,
    Head,
    Page,
    PageInfo,
    Pruning,
    Record,
    Segment,
    Store,
)

T = TypeVar("T")


class ThreadedStore:
    """An ``AsyncStore`` that runs a blocking :class:`~checkpoint.store.Store` in threads.

    Args:
        store: the blocking store; it is closed with this one.
        threads: maximum number of concurrent calls.
    """

    def __init__(self, store: Store, threads: int = 8) -> None:
        self._store = store
        if getattr(store, "rewrites", False):
            self.rewrites = True
        self._threads = threads
        self._pool = self._new_pool()
        self._pid = os.getpid()
        self._closed = False

    async def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        return await self._run(partial(self._store.read, key, revision, since=since))

    async def commit(self, key: SessionKey, commit: Commit) -> bool:
        return await self._finish(self._store.commit, key, commit)

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        return await self._finish(self._store.prune, key, pruning)

    async def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        return await self._run(partial(self._store.headers, key, before, limit, bases=bases))

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        call = partial(self._store.sessions, namespace, prefix, after, limit, deleted=deleted)
        return await self._run(call)

    async def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        await self._finish(self._store.put_pages, key, pages)

    async def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._run(self._store.pages, key, ids)

    async def list_pages(self, key: SessionKey) -> list[PageInfo]:
        return await self._run(self._store.list_pages, key)

    async def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        await self._finish(self._store.drop_pages, key, ids)

    async def attach(self, key: SessionKey, attachment: Attachment) -> None:
        await self._finish(self._store.attach, key, attachment)

    async def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        return await self._finish(self._store.detach, key, revision, name)

    async def attachments(self, key: SessionKey) -> list[Attachment]:
        return await self._run(self._store.attachments, key)

    async def close(self) -> None:
        if not self._closed:
            await self._run(self._store.close)
            self._closed = True
            self._pool.shutdown(wait=False)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        return await self._submit(call, *args)

    async def _finish(self, call: Callable[..., T], *args: Any) -> T:
        """Run a write to its end; a cancelled caller waits, since a thread cannot be stopped."""
        future = self._submit(call, *args)
        cancelled = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            future.exception()  # mark it as retrieved: the cancellation is raised instead
            raise cancelled
        return future.result()

    def _submit(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        if self._closed:
            raise StoreClosed("this store was closed; open it again")
        if self._pid != os.getpid():  # a forked child does not inherit the threads
            self._pool, self._pid = self._new_pool(), os.getpid()
        return asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="checkpoint")
