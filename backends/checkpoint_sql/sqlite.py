"""Sessions in a SQLite file, with the driver of the standard library.

All processes of one machine can share a file. It must not be on a network file system.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from checkpoint._ids import SessionKey
from checkpoint._stores.registry import redact
from checkpoint.errors import InvalidOption
from checkpoint.store import Attachment, Commit, Head, Page, PageInfo, Pruning, Record, Segment
from checkpoint_sql import _rows as rows
from checkpoint_sql import _sqlite_statements as sql
from checkpoint_sql._sqlite_file import SqliteFile

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?", re.ASCII)


class SqliteStore(SqliteFile):
    """A SQLite file. Safe to share between threads, and with a forked child.

    Args:
        path: the file; created, with its tables, by the first call. Its directory must exist.
        timeout: seconds to wait for other writers before ``StoreBusy``.
        read_only: open an existing file for reading only.

    Raises:
        NotAStore: on the first call, the file holds something else.
        StoreTooNew: on the first call, a newer version of this library created its layout.
    """

    rewrites = True

    # --- reading ---------------------------------------------------------------------------------

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        statement = sql.READ_NEWEST if revision is None else sql.READ_REVISION
        values = {
            **key._asdict(),
            "revision": rows.bounded(revision),
            "since": rows.bounded(since),
        }
        found = self._query(statement, values)
        return rows.segment(found) if found else None

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        values = {
            **key._asdict(),
            "before": rows.bounded(before),
            "bases": bases,
            "limit": limit,
        }
        found = self._query(sql.LIST_HEADS, values)
        return [(rows.record(revision, head, b""), size) for revision, head, size in found]

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        values = {
            "namespace": namespace,
            "prefix": prefix,
            "end": rows.after_prefix(prefix),
            "after": after or "",
            "limit": limit,
        }
        found = self._query(sql.LIST_ALL_SESSIONS if deleted else sql.LIST_SESSIONS, values)
        return [(row[0], rows.head(row[1:])) for row in found]

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._connection() as connection:
            found = (
                connection.execute(sql.READ_PAGE, {**key._asdict(), "page": id}).fetchone()
                for id in ids
            )
            return dict(rows.page(*row) for row in found if row)

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        return [rows.page_info(*row) for row in self._query(sql.LIST_PAGES, key._asdict())]

    def attachments(self, key: SessionKey) -> list[Attachment]:
        return [rows.attachment(*row) for row in self._query(sql.LIST_ATTACHMENTS, key._asdict())]

    # --- writing ---------------------------------------------------------------------------------

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        head = commit.head
        values = {
            **key._asdict(),
            **head._asdict(),
            "parent": commit.parent,
            "parent_epoch": head.epoch,
            "head": commit.record.header,
            "body": commit.record.body,
        }

        def write(connection: sqlite3.Connection) -> bool:
            if commit.parent is None:
                try:
                    connection.execute(sql.CREATE_HEAD, values)
                except sqlite3.IntegrityError:
                    return False
            elif connection.execute(sql.MOVE_HEAD, values).rowcount == 0:
                return False
            connection.execute(sql.ADD_RECORD, values)
            if head.deleted:
                connection.execute(sql.CLEAR_RECORDS, values)
                connection.execute(sql.CLEAR_ATTACHMENTS, values)
            return True

        return self._transact(write)

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        values = {
            **key._asdict(),
            **pruning.head._asdict(),
            "parent": pruning.guard.write_id,
            "parent_epoch": pruning.guard.epoch,
        }
        ranges = [
            {**key._asdict(), "first": rows.bounded(first), "last": rows.bounded(last)}
            for first, last in pruning.remove
        ]
        written = [
            {
                **key._asdict(),
                "revision": record.revision,
                "base": base,
                "head": record.header,
                "body": record.body,
            }
            for record, base in pruning.records
        ]

        def write(connection: sqlite3.Connection) -> bool:
            if connection.execute(sql.MOVE_HEAD, values).rowcount == 0:
                return False
            connection.executemany(sql.REMOVE_RECORDS, ranges)
            connection.executemany(sql.REMOVE_ATTACHMENTS, ranges)
            connection.executemany(sql.REMOVE_RECORD, written)
            connection.executemany(sql.ADD_RECORD, written)
            return True

        return self._transact(write)

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        values = [
            {
                **key._asdict(),
                "page": page.id,
                "stored_at": page.stored_at,
                "body": page.data,
            }
            for page in pages
        ]
        self._transact(lambda connection: connection.executemany(sql.ADD_PAGE, values))

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        values = [{**key._asdict(), "page": id} for id in ids]
        self._transact(lambda connection: connection.executemany(sql.REMOVE_PAGE, values))

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        values = {**key._asdict(), **attachment._asdict()}

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(sql.REMOVE_ATTACHMENT, values)
            connection.execute(sql.ADD_ATTACHMENT, values)

        self._transact(write)

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        values: dict[str, Any] = {**key._asdict(), "revision": revision, "name": name}
        return self._transact(lambda c: c.execute(sql.REMOVE_ATTACHMENT, values).rowcount > 0)


def open_store(url: str) -> SqliteStore:
    """Open ``sqlite:///relative/path.db`` or ``sqlite:////absolute/path.db``.

    Parameters: ``timeout`` (seconds to wait for other writers, default 10) and ``mode=ro``.

    Raises:
        InvalidOption: the URL has no file, or an invalid or unknown parameter.
    """
    location, _, query = url.partition("?")
    path = unquote(location.partition("://")[2], errors="surrogateescape")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not path.startswith("/") or path in ("/", "/:memory:") or "\0" in path:
        raise InvalidOption(
            f"{redact(url)!r} does not name a file; write sqlite:///agents.db, with four slashes "
            f"for an absolute path. For a store in memory, use memory://"
        )
    mode, timeout = options.pop("mode", "rwc"), options.pop("timeout", "10")
    if options or mode not in ("ro", "rwc") or not _SECONDS.fullmatch(timeout):
        raise InvalidOption(
            f"{redact(url)!r}: a SQLite URL takes ?timeout=SECONDS and ?mode=ro only"
        )
    return SqliteStore(path[1:], timeout=float(timeout), read_only=mode == "ro")
