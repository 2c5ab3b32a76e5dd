"""A cache of head objects: lets a save replace a head without reading it first."""

from __future__ import annotations

from typing import NamedTuple

from checkpoint._ids import SessionKey
from checkpoint._runtime.cache import LeastRecentlyUsed
from checkpoint_objectstore._format import Session

MAX_BYTES = 32 * 1024 * 1024


class Known(NamedTuple):
    """A head object as last read or written."""

    tag: str
    session: Session


class KnownHeads:
    """A cache of head objects that drops the least recently used first.

    Args:
        max_bytes: limit for their records.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept = LeastRecentlyUsed[SessionKey, Known](max_bytes)

    def get(self, key: SessionKey) -> Known | None:
        """The last known head object of a session; it may have changed since."""
        return self._kept.get(key)

    def put(self, key: SessionKey, tag: str, session: Session) -> Known:
        """Remember the head object of a session."""
        known = Known(tag, session)
        size = sum(len(record.header) + len(record.body) for record in session.records)
        self._kept.put(key, known, size)
        return known

    def drop(self, key: SessionKey) -> None:
        """Forget a session."""
        self._kept.drop(key)
