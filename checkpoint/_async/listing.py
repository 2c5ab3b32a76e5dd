"""Listings for maintenance: sessions, heads, segments and records without their bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from checkpoint._async.commits import contended
from checkpoint._ids import SessionKey
from checkpoint._records.retention import Base, Range, read_base
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.store import AsyncStore, Head, Record

_LISTED = 500  # records or sessions per request
_NONE_AFTER = 2**53  # no session has so many revisions


async def read_head(store: AsyncStore, key: SessionKey) -> Head | None:
    """The head of a session without its records; None if the session never existed."""
    segment = await store.read(key, None, since=_NONE_AFTER)
    return segment.head if segment else None


async def read_bases(store: AsyncStore, key: SessionKey) -> list[Base]:
    """The bases of a session, oldest first: one for each segment."""
    found: list[Base] = []
    async for batch in listed(store, key, bases=True):
        found += [read_base(record) for record, _ in batch]
    return found[::-1]


async def read_segments(store: AsyncStore, key: SessionKey) -> tuple[Head | None, list[Base]]:
    """The head and the bases of a session, read with no removal in between.

    Raises:
        Conflict: others removed something on every attempt.
    """
    async for _ in AsyncAttempts(first=0):
        head = await read_head(store, key)
        bases = await read_bases(store, key)
        after = await read_head(store, key)
        if (head and head.epoch) == (after and after.epoch):
            return head, bases
    raise contended(key)


async def listed(
    store: AsyncStore, key: SessionKey, *, before: int | None = None, bases: bool = False
) -> AsyncIterator[list[tuple[Record, int]]]:
    """Records without their bodies, and their sizes, in batches; newest first."""
    while True:
        found = await store.headers(key, before, _LISTED, bases=bases)
        yield found
        if len(found) < _LISTED:
            return
        before = found[-1][0].revision


async def measure(store: AsyncStore, key: SessionKey, ranges: Sequence[Range]) -> tuple[int, int]:
    """The number of revisions in ranges, and their stored bytes."""
    sizes: list[int] = []
    for first, last in ranges:
        async for batch in listed(store, key, before=last + 1):
            sizes += [size for record, size in batch if record.revision >= first]
            if batch and batch[-1][0].revision < first:
                break
    return len(sizes), sum(sizes)


async def each_session(store: AsyncStore, namespace: str, prefix: str) -> AsyncIterator[SessionKey]:
    """All sessions of a namespace, including deleted ones and those that have only pages."""
    after = None
    while True:
        found = await store.sessions(namespace, prefix, after, _LISTED, deleted=True)
        for session_id, _ in found:
            yield SessionKey(namespace, session_id)
        if len(found) < _LISTED:
            return
        after = found[-1][0]
