"""Our stores pass the suite that a stranger's has to pass, each in both forms."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import Pruning, SessionKey
from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint_sql.sqlite import SqliteStore
from tests.effort import times


def sqlite_in(place: Path) -> SqliteStore:
    return SqliteStore(str(place / "sessions.db"))


def rows_in(place: Path) -> Iterable[bytes]:
    """Every value that SQLite itself finds in the tables."""
    tables = ("checkpoint_records", "checkpoint_pages", "checkpoint_attachments")
    with closing(sqlite3.connect(place / "sessions.db")) as connection:
        for table in tables:
            for row in connection.execute(f"SELECT * FROM {table}"):
                yield from (value for value in row if isinstance(value, bytes))


class TestInMemory(StoreSuite):
    durable = False

    def open(self, place: Path) -> InMemoryStore:
        return InMemoryStore()


class WithoutRewriting(InMemoryStore):
    rewrites = False

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        assert pruning.records == ()
        return super().prune(key, pruning)


class TestWithoutRewriting(StoreSuite):
    durable = False

    def open(self, place: Path) -> InMemoryStore:
        return WithoutRewriting()


@pytest.mark.slow
class TestInMemoryInThreads(AsyncStoreSuite):
    durable = False

    async def open(self, place: Path) -> ThreadedStore:
        return ThreadedStore(InMemoryStore())


class TestSqlite(StoreSuite):
    examples = times(40, soak=40)  # the suite itself takes more in a soak

    def open(self, place: Path) -> SqliteStore:
        return sqlite_in(place)

    def raw(self, place: Path) -> Iterable[bytes]:
        return rows_in(place)


@pytest.mark.slow
class TestSqliteInThreads(AsyncStoreSuite):
    async def open(self, place: Path) -> ThreadedStore:
        return ThreadedStore(sqlite_in(place))

    def raw(self, place: Path) -> Iterable[bytes]:
        return rows_in(place)
