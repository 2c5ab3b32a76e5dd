"""A SQLite file: its connections, its tables, its forks, and its errors in our words.

Write-ahead log, so readers never wait; every commit is synced to disk before it is acknowledged.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import ref

from checkpoint.errors import (
    NotAStore,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from checkpoint_sql import _forks as forks
from checkpoint_sql import _sqlite_statements as sql

T = TypeVar("T")

_LONGEST = 1_000_000.0  # seconds; SQLite counts milliseconds in 32 bits


class _Call:
    """A call under way, for as long as its frame lives: however it ends, it is not waited for."""


class SqliteFile:
    """Runs statements in a file. Safe to share between threads, and with a forked child.

    Args:
        path: the file; created, with its tables, by the first call. Its directory must exist.
        timeout: seconds to wait for other writers before ``StoreBusy``.
        read_only: open an existing file for reading only.
    """

    def __init__(self, path: str, *, timeout: float = 10.0, read_only: bool = False) -> None:
        self._name = path  # for people
        self._path = os.path.abspath(path)  # a later chdir must not lead to another file
        self._timeout = min(timeout, _LONGEST)
        self._read_only = read_only
        # Lists, for their append and pop are atomic. A lock would be held, or a count be wrong, for
        # ever after where a signal handler raises.
        self._idle: list[sqlite3.Connection] = []
        self._calls: list[ref[_Call]] = []  # those under way; one that is gone has ended
        self._gate = Lock()  # closed while the process forks
        self._checked = False
        self._closed = False
        forks.register(self)

    def __repr__(self) -> str:
        return f"SqliteStore({self._name!r})"

    # --- connections -----------------------------------------------------------------------------

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread took it
                self._idle.pop().close()

    def before_fork(self) -> None:
        """Let go of the file until :meth:`after_fork`.

        SQLite's locks are those of a process. A child that inherits an open connection believes
        that it holds them too, and its acknowledged commits can be lost: so no connection is open
        when a process forks.
        """
        self._gate.acquire()
        deadline = time.monotonic() + self._timeout
        while any(call() for call in self._calls) and time.monotonic() < deadline:
            time.sleep(0.001)
        self._calls[:] = [call for call in self._calls if call()]
        self._close_idle()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child; each opens connections of its own."""
        self._gate.release()

    def _query(self, statement: str, values: dict[str, Any]) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    def _transact(self, write: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``write`` in one transaction; an interrupted one is undone with its connection."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            result = write(connection)
            connection.execute("COMMIT")
        return result

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one call, kept for the next one unless the call failed."""
        call = _Call()
        known = ref(call)
        connection = None
        failed = True
        try:
            with self._gate:
                self._calls.append(known)
            if self._closed:
                raise StoreClosed(f"the store {self._name!r} was closed; open it again")
            with suppress(IndexError):
                connection = self._idle.pop()
            if connection is None:
                connection = self._connect()
            yield connection
            failed = False
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
            raise self._translated(exc) from exc
        finally:
            if connection is not None:
                if failed:
                    connection.close()  # also undoes what is not committed
                else:
                    self._idle.append(connection)
            if self._closed:
                self._close_idle()
            with suppress(ValueError):
                self._calls.remove(known)

    def _connect(self) -> sqlite3.Connection:
        if self._read_only and not os.path.exists(self._path):
            raise StoreUnavailable(f"there is no SQLite file {self._name!r} to read")
        connection = sqlite3.connect(
            f"file://{quote(os.fsencode(self._path))}?mode={'ro' if self._read_only else 'rwc'}",
            timeout=self._timeout,
            isolation_level=None,  # transactions are begun and ended here, not by the driver
            check_same_thread=False,  # the pool hands each to one thread at a time
            uri=True,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if not self._checked:
                self._check_layout(connection)
                self._checked = True
        except BaseException:
            connection.close()
            raise
        return connection

    # --- the layout ------------------------------------------------------------------------------

    def _check_layout(self, connection: sqlite3.Connection) -> None:
        """Make sure the tables are ours and of a version we know; create them in an empty file."""
        if self._layout_version(connection) is None:
            if self._read_only:
                raise NotAStore(f"the SQLite file {self._name!r} is empty: no session was saved")
            self._write_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            if self._layout_version(connection) is None:  # nobody was faster
                for statement in sql.CREATE_TABLES:
                    connection.execute(statement)
                connection.execute(sql.WRITE_LAYOUT, {"version": sql.LAYOUT})
            connection.execute("COMMIT")

    def _layout_version(self, connection: sqlite3.Connection) -> int | None:
        """The version of the tables; None in an empty file."""
        changes = connection.execute("PRAGMA schema_version").fetchone()
        rows = connection.execute("SELECT name FROM sqlite_master").fetchall()
        if not rows and changes == (0,):
            return None
        # In a damaged file a name can be of any type, and tables be missing.
        names = {name for (name,) in rows if isinstance(name, str)}
        version = None
        if "checkpoint_layout" in names:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(checkpoint_layout)")]
            rows = connection.execute(sql.READ_LAYOUT).fetchall() if columns == ["version"] else []
            version = rows[0][0] if len(rows) == 1 else None
        if isinstance(version, int) and version > sql.LAYOUT:
            raise StoreTooNew(
                f"the SQLite file {self._name!r} has layout {version}, and this version knows "
                f"{sql.LAYOUT}; upgrade agent-checkpoint"
            )
        if not isinstance(version, int) or not names >= sql.TABLES:
            raise NotAStore(
                f"the SQLite file {self._name!r} holds other tables "
                f"({', '.join(sorted(names))[:80]}); give the sessions a file of their own"
            )
        return version

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch the file to a write-ahead log; SQLite does not wait for others here, so we do."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as exc:
                if _primary(exc) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _translated(self, exc: Exception) -> StoreError:
        """A driver's error in the words of this library; the only place that knows its codes."""
        code, where = _primary(exc), f"SQLite file {self._name!r}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreBusy(
                f"the {where} was locked by others for {self._timeout:g} s; nothing was written. "
                f"Try again, or give the URL a longer ?timeout="
            )
        if code == sqlite3.SQLITE_FULL or _extended(exc) == sqlite3.SQLITE_IOERR_SHMSIZE:
            return StoreFull(f"no space left for the {where}; nothing was written. Make room")
        if code == sqlite3.SQLITE_READONLY:
            return StoreReadOnly(
                f"the {where} or its directory cannot be written to; nothing was written. "
                f"Check its permissions, or whether the URL says ?mode=ro"
            )
        if code == sqlite3.SQLITE_NOTADB:
            return NotAStore(f"the {where} is not a SQLite database; name another file")
        if code == sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(
                f"the {where} cannot be opened; does its directory exist, and may this process "
                f"write there?"
            )
        if code == sqlite3.SQLITE_CORRUPT or isinstance(exc, UnicodeDecodeError):
            return StoreError(f"the {where} is damaged ({exc}); restore it from a backup")
        return StoreUnavailable(f"the {where} failed: {exc}")


def _primary(exc: Exception) -> int:
    """SQLite's primary result code: the extended ones tell more than anybody asks."""
    return _extended(exc) & 0xFF


def _extended(exc: Exception) -> int:
    return getattr(exc, "sqlite_errorcode", None) or 0
