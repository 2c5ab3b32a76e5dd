"""What maintenance reads of a session: its head, its segments by their headers, its revisions."""

# Generated from checkpoint/_async/listing.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checkpoint._ids import SessionKey
from checkpoint._records.retention import Base, Range, read_base
from checkpoint._runtime.waiting import Attempts
from checkpoint._sync.commits import outrun
from checkpoint.store import Head, Record, Store

_LISTED = 500  # records or sessions asked for at once
_NONE_AFTER = 2**53  # no session has so many revisions


def read_head(store: Store, key: SessionKey) -> Head | None:
    """The head of a session, without its records; None when there never was one."""
    segment = store.read(key, None, since=_NONE_AFTER)
    return segment.head if segment else None


def read_bases(store: Store, key: SessionKey) -> list[Base]:
    """All segments of a session, oldest first."""
    found: list[Base] = []
    for some in listed(store, key, bases=True):
        found += [read_base(record) for record, _ in some]
    return found[::-1]


def read_segments(store: Store, key: SessionKey) -> tuple[Head | None, list[Base]]:
    """The head of a session, and after it all its segments as they were at one moment.

    Raises:
        Conflict: others take something out of the session all the time.
    """
    for _ in Attempts():
        head = read_head(store, key)
        bases = read_bases(store, key)
        after = read_head(store, key)
        if (head and head.epoch) == (after and after.epoch):
            return head, bases
    raise outrun(key)


def listed(
    store: Store, key: SessionKey, *, before: int | None = None, bases: bool = False
) -> Iterator[list[tuple[Record, int]]]:
    """Records without their bodies, and their sizes; newest first, many at once."""
    while True:
        found = store.headers(key, before, _LISTED, bases=bases)
        yield found
        if len(found) < _LISTED:
            return
        before = found[-1][0].revision


def measure(store: Store, key: SessionKey, ranges: Sequence[Range]) -> tuple[int, int]:
    """How many revisions are in ranges, and their stored bytes."""
    sizes: list[int] = []
    for first, last in ranges:
        for some in listed(store, key, before=last + 1):
            sizes += [size for record, size in some if record.revision >= first]
            if some and some[-1][0].revision < first:
                break
    return len(sizes), sum(sizes)


def each_session(store: Store, namespace: str, prefix: str) -> Iterator[SessionKey]:
    """All sessions of a namespace, also deleted ones, and those that are only pages."""
    after = None
    while True:
        found = store.sessions(namespace, prefix, after, _LISTED, deleted=True)
        for session_id, _ in found:
            yield SessionKey(namespace, session_id)
        if len(found) < _LISTED:
            return
        after = found[-1][0]
