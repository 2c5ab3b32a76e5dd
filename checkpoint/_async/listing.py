"""What maintenance reads of a session: its head, its segments by their headers, its revisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from checkpoint._async.commits import outrun
from checkpoint._ids import SessionKey
from checkpoint._records.retention import Base, Range, read_base
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.store import AsyncStore, Head, Record

_LISTED = 500  # records or sessions asked for at once
_NONE_AFTER = 2**53  # no session has so many revisions


async def read_head(store: AsyncStore, key: SessionKey) -> Head | None:
    """The head of a session, without its records; None when there never was one."""
    segment = await store.read(key, None, since=_NONE_AFTER)
    return segment.head if segment else None


async def read_bases(store: AsyncStore, key: SessionKey) -> list[Base]:
    """All segments of a session, oldest first."""
    found: list[Base] = []
    async for some in listed(store, key, bases=True):
        found += [read_base(record) for record, _ in some]
    return found[::-1]


async def read_segments(store: AsyncStore, key: SessionKey) -> tuple[Head | None, list[Base]]:
    """The head of a session, and after it all its segments as they were at one moment.

    Raises:
        Conflict: others take something out of the session all the time.
    """
    async for _ in AsyncAttempts():
        head = await read_head(store, key)
        bases = await read_bases(store, key)
        after = await read_head(store, key)
        if (head and head.epoch) == (after and after.epoch):
            return head, bases
    raise outrun(key)


async def listed(
    store: AsyncStore, key: SessionKey, *, before: int | None = None, bases: bool = False
) -> AsyncIterator[list[tuple[Record, int]]]:
    """Records without their bodies, and their sizes; newest first, many at once."""
    while True:
        found = await store.headers(key, before, _LISTED, bases=bases)
        yield found
        if len(found) < _LISTED:
            return
        before = found[-1][0].revision


async def measure(store: AsyncStore, key: SessionKey, ranges: Sequence[Range]) -> tuple[int, int]:
    """How many revisions are in ranges, and their stored bytes."""
    sizes: list[int] = []
    for first, last in ranges:
        async for some in listed(store, key, before=last + 1):
            sizes += [size for record, size in some if record.revision >= first]
            if some and some[-1][0].revision < first:
                break
    return len(sizes), sum(sizes)


async def each_session(store: AsyncStore, namespace: str, prefix: str) -> AsyncIterator[SessionKey]:
    """All sessions of a namespace, also deleted ones, and those that are only pages."""
    after = None
    while True:
        found = await store.sessions(namespace, prefix, after, _LISTED, deleted=True)
        for session_id, _ in found:
            yield SessionKey(namespace, session_id)
        if len(found) < _LISTED:
            return
        after = found[-1][0]
