"""A SQLite file: connections, layout, forks and error translation.

It uses a write-ahead log, so readers never wait. Every commit is synced to disk before it returns.
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
    """A running call. It ends with its frame, so even an interrupted call is not waited for."""


class SqliteFile:
    """Runs statements on a file. Safe to share between threads, and with a forked child.

    Args:
        path: the file; created, with its tables, by the first call. Its directory must exist.
        timeout: seconds to wait for other writers before ``StoreBusy``.
        read_only: open an existing file for reading only.
    """

    def __init__(self, path: str, *, timeout: float = 10.0, read_only: bool = False) -> None:
        self._name = path  # for messages
        self._path = os.path.abspath(path)  # a later chdir must not lead to another file
        self._timeout = min(timeout, _LONGEST)
        self._read_only = read_only
        # Lists, whose append and pop are atomic. If a signal handler raises, a lock could stay held
        # and a counter stay wrong.
        self._idle: list[sqlite3.Connection] = []
        self._calls: list[ref[_Call]] = []  # running calls; a dead reference is a call that ended
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
        """Close the file until :meth:`after_fork`.

        SQLite's locks belong to a process. A child that inherits an open connection believes that
        it holds them, too, and its commits can be lost, so no connection may be open during a fork.
        """
        self._gate.acquire()
        deadline = time.monotonic() + self._timeout
        while any(call() for call in self._calls) and time.monotonic() < deadline:
            time.sleep(0.001)
        self._calls[:] = [call for call in self._calls if call()]
        self._close_idle()

    def after_fork(self) -> None:
        """Continue, in the parent and in the child; each opens its own connections."""
        self._gate.release()

    def _query(self, statement: str, values: dict[str, Any]) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    def _transact(self, write: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``write`` in a transaction; closing the connection rolls back an interrupted one."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            result = write(connection)
            connection.execute("COMMIT")
        return result

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one call; returned to the pool unless the call fails."""
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
                    connection.close()  # also rolls back
                else:
                    self._idle.append(connection)
            if self._closed:
                self._close_idle()
            with suppress(ValueError):
                self._calls.remove(known)

    def _connect(self) -> sqlite3.Connection:
        if self._read_only and not os.path.exists(self._path):
            raise StoreUnavailable(f"the SQLite file {self._name!r} does not exist")
        connection = sqlite3.connect(
            f"file://{quote(os.fsencode(self._path))}?mode={'ro' if self._read_only else 'rwc'}",
            timeout=self._timeout,
            isolation_level=None,  # no implicit transactions
            check_same_thread=False,  # the pool gives a connection to one thread at a time
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
        """Check that the tables are ours and of a known version; create them in an empty file."""
        if self._layout_version(connection) is None:
            if self._read_only:
                raise NotAStore(f"the SQLite file {self._name!r} is empty; save a session first")
            self._write_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            if self._layout_version(connection) is None:  # no other process was faster
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
        # In a damaged file, a name can have any type, and tables can be missing.
        names = {name for (name,) in rows if isinstance(name, str)}
        version = None
        if "checkpoint_layout" in names:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(checkpoint_layout)")]
            rows = connection.execute(sql.READ_LAYOUT).fetchall() if columns == ["version"] else []
            version = rows[0][0] if len(rows) == 1 else None
        if isinstance(version, int) and version > sql.LAYOUT:
            raise StoreTooNew(
                f"the SQLite file {self._name!r} has layout {version}, but this version of the "
                f"library supports only layout {sql.LAYOUT}; upgrade agent-checkpoint"
            )
        if not isinstance(version, int) or not names >= sql.TABLES:
            raise NotAStore(
                f"the SQLite file {self._name!r} holds other tables "
                f"({', '.join(sorted(names))[:80]}); give the sessions a file of their own"
            )
        return version

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch the file to a write-ahead log. SQLite's timeout does not apply here: wait."""
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
        """Translate an error of the driver."""
        code, where = _primary(exc), f"SQLite file {self._name!r}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreBusy(
                f"the {where} was locked by other writers for {self._timeout:g} s; nothing was "
                f"written. Try again, or give the URL a longer ?timeout="
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
    """SQLite's primary result code."""
    return _extended(exc) & 0xFF


def _extended(exc: Exception) -> int:
    return getattr(exc, "sqlite_errorcode", None) or 0
