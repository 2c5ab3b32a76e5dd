"""Converts rows to the values of a store, and arguments to values a database can compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpoint.errors import Damaged
from checkpoint.store import Attachment, Head, PageInfo, Record, Segment


def segment(found: Sequence[Any]) -> Segment:
    """A segment from its rows: each has the head and one record, or a single row has no record."""
    records = tuple(record(*row[6:]) for row in found if row[6] is not None)
    return Segment(head(found[0]), records)


def record(revision: Any, head: Any, body: Any) -> Record:
    if type(revision) is int and type(head) is bytes and type(body) is bytes:
        return Record(revision, head, body)
    raise Damaged(f"the row of revision {revision!r:.40} does not hold a record")


def head(row: Any) -> Head:
    revision, write_id, base, saved_at, deleted, epoch = row[:6]
    if [type(value) for value in (*row[:4], epoch)] != [int, bytes, int, int, int]:
        raise Damaged("the row of a session does not hold its head")
    return Head(revision, write_id, base, saved_at, bool(deleted), epoch)


def page(id: Any, body: Any) -> tuple[bytes, bytes]:
    if type(id) is bytes and type(body) is bytes:
        return id, body
    raise Damaged(f"the row of page {id!r:.60} does not hold a page")


def page_info(id: Any, stored_at: Any, size: Any) -> PageInfo:
    if type(id) is bytes and type(stored_at) is int and type(size) is int:
        return PageInfo(id, stored_at, size)
    raise Damaged(f"the row of page {id!r:.60} does not describe a page")


def attachment(revision: Any, name: Any, data: Any) -> Attachment:
    if type(revision) is int and type(name) is str and type(data) is bytes:
        return Attachment(revision, name, data)
    raise Damaged(f"the row of attachment {name!r:.60} does not hold an attachment")


def bounded(number: int | None) -> int | None:
    """A revision limited to the range of databases; no stored revision is outside of it."""
    return number if number is None else max(-1, min(number, 2**63 - 1))


def after_prefix(prefix: str) -> str | None:
    """The first string after all that begin with ``prefix``, in byte order; None if none exists."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
        prefix = prefix[:-1]
    return None
