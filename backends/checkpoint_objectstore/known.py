"""The heads of the sessions served last: a save replaces the one it knows, without reading it."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import NamedTuple

from checkpoint.ids import SessionKey
from checkpoint_objectstore.format import Session

MAX_BYTES = 32 * 1024 * 1024


class Known(NamedTuple):
    """A head object as it was read or written."""

    tag: str
    session: Session


class KnownHeads:
    """The head objects known, those that were not used for longest dropped first.

    Args:
        max_bytes: limit for their records.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self._kept: OrderedDict[SessionKey, tuple[Known, int]] = OrderedDict()
        self._lock = RLock()  # a signal handler may come here while its thread is here

    def get(self, key: SessionKey) -> Known | None:
        """What was known last of a session; it may have changed since."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: SessionKey, tag: str, session: Session) -> Known:
        """Know a session's head object."""
        known = Known(tag, session)
        size = sum(len(record.head) + len(record.body) for record in session.records)
        with self._lock:
            self.drop(key)
            self._kept[key] = known, size
            self._left -= size
            while self._left < 0:
                _, (_, freed) = self._kept.popitem(last=False)
                self._left += freed
        return known

    def drop(self, key: SessionKey) -> None:
        """Forget a session."""
        with self._lock:
            _, size = self._kept.pop(key, (None, 0))
            self._left += size
