"""Listings for maintenance: sessions, heads, segments and records without their bodies."""

# Generated from checkpoint/_async/listing.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checkpoint._ids import SessionKey
from checkpoint._records.retention import Base, Range, read_base
from checkpoint._runtime.waiting import Attempts
from checkpoint._sync.commits import contended
from checkpoint.store import Head, Record, Store

_LISTED = 500  # records or sessions per request
_NONE_AFTER = 2**53  # no session has so many revisions


def read_head(store: Store, key: SessionKey) -> Head | None:
    """The head of a session without its records; None if the session never existed."""
    segment = store.read(key, None, since=_NONE_AFTER)
    return segment.head if segment else None


def read_bases(store: Store, key: SessionKey) -> list[Base]:
    """The bases of a session, oldest first: one for each segment."""
    found: list[Base] = []
    for batch in listed(store, key, bases=True):
        found += [read_base(record) for record, _ in batch]
    return found[::-1]


def read_segments(store: Store, key: SessionKey) -> tuple[Head | None, list[Base]]:
    """The head and the bases of a session, read with no removal in between.

    Raises:
        Conflict: others removed something on every attempt.
    """
    for _ in Attempts(first=0):
        head = read_head(store, key)
        bases = read_bases(store, key)
        after = read_head(store, key)
        if (head and head.epoch) == (after and after.epoch):
            return head, bases
    raise contended(key)


def listed(
    store: Store, key: SessionKey, *, before: int | None = None, bases: bool = False
) -> Iterator[list[tuple[Record, int]]]:
    """Records without their bodies, and their sizes, in batches; newest first."""
    while True:
        found = store.headers(key, before, _LISTED, bases=bases)
        yield found
        if len(found) < _LISTED:
            return
        before = found[-1][0].revision


def measure(store: Store, key: SessionKey, ranges: Sequence[Range]) -> tuple[int, int]:
    """The number of revisions in ranges, and their stored bytes."""
    sizes: list[int] = []
    for first, last in ranges:
        for batch in listed(store, key, before=last + 1):
            sizes += [size for record, size in batch if record.revision >= first]
            if batch and batch[-1][0].revision < first:
                break
    return len(sizes), sum(sizes)


def each_session(store: Store, namespace: str, prefix: str) -> Iterator[SessionKey]:
    """All sessions of a namespace, including deleted ones and those that have only pages."""
    after = None
    while True:
        found = store.sessions(namespace, prefix, after, _LISTED, deleted=True)
        for session_id, _ in found:
            yield SessionKey(namespace, session_id)
        if len(found) < _LISTED:
            return
        after = found[-1][0]
