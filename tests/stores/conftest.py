"""Every store that the contract is held against, each also in its asynchronous form."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from checkpoint.ids import SessionKey
from checkpoint.inmemory import InMemoryStore
from checkpoint.record import Record
from checkpoint.store import AsyncStore, Attachment, Commit, Head, Segment, Store
from checkpoint.threads import ThreadedStore
from checkpoint_sql.sqlite import SqliteStore

T = TypeVar("T")


class Blocking:
    """A blocking store made of an asynchronous one, so that one suite tests both forms."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self.loop = asyncio.new_event_loop()

    def read(self, key: SessionKey, revision: int | None = None) -> Segment | None:
        return self._run(self._store.read(key, revision))

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        return self._run(self._store.commit(key, commit))

    def heads(self, key: SessionKey, before: int | None, limit: int) -> list[tuple[Record, int]]:
        return self._run(self._store.heads(key, before, limit))

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Head]]:
        return self._run(self._store.sessions(namespace, prefix, after, limit))

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        self._run(self._store.attach(key, attachment))

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        return self._run(self._store.detach(key, revision, name))

    def attachments(self, key: SessionKey) -> list[Attachment]:
        return self._run(self._store.attachments(key))

    def close(self) -> None:
        self._run(self._store.close())

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite store of a test keeps its file."""
    return tmp_path / "sessions.db"


@pytest.fixture(params=["memory", "sqlite", "memory in threads", "sqlite in threads"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    """A new, empty store."""
    kept, _, threaded = str(request.param).partition(" in ")
    inner: Store = InMemoryStore() if kept == "memory" else SqliteStore(str(path))
    if not threaded:
        yield inner
        inner.close()
        return
    blocking = Blocking(ThreadedStore(inner))
    yield blocking
    blocking.close()
    blocking.loop.close()


@pytest.fixture
def sqlite(path: Path) -> Iterator[SqliteStore]:
    """A new SQLite store in the file ``path``."""
    opened = SqliteStore(str(path))
    yield opened
    opened.close()
