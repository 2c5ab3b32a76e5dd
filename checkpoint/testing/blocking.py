"""A blocking wrapper for asynchronous stores, so that one suite tests both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from threading import Thread
from typing import Any, TypeVar

from checkpoint._ids import SessionKey
from checkpoint.store import (
    AsyncStore,
    Attachment,
    Commit,
    Head,
    Page,
    PageInfo,
    Pruning,
    Record,
    Segment,
)

T = TypeVar("T")


class Blocking:
    """A :class:`~checkpoint.store.Store` whose calls run in a private event loop.

    Calls from several threads run concurrently in it, like the tasks of a server.

    Args:
        open: makes the asynchronous store, in that loop.
    """

    def __init__(self, open: Callable[[], Coroutine[Any, Any, AsyncStore]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = self._run(open())
        if getattr(self._store, "rewrites", False):
            self.rewrites = True

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        return self._run(self._store.read(key, revision, since=since))

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        return self._run(self._store.commit(key, commit))

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        return self._run(self._store.prune(key, pruning))

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        return self._run(self._store.headers(key, before, limit, bases=bases))

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        return self._run(self._store.sessions(namespace, prefix, after, limit, deleted=deleted))

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        self._run(self._store.put_pages(key, pages))

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return self._run(self._store.pages(key, ids))

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        return self._run(self._store.list_pages(key))

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        self._run(self._store.drop_pages(key, ids))

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        self._run(self._store.attach(key, attachment))

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        return self._run(self._store.detach(key, revision, name))

    def attachments(self, key: SessionKey) -> list[Attachment]:
        return self._run(self._store.attachments(key))

    def close(self) -> None:
        """Close the store; its loop keeps running, to answer later calls."""
        self._run(self._store.close())

    def end(self) -> None:
        """Stop the loop. No call follows."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()
