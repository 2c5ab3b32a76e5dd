"""What a replica keeps of the sessions it served last, so that it need not read them again.

Documents as they were read, never live models: an aborted turn leaves nothing in here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import RLock
from typing import Generic, TypeVar

from checkpoint.ids import SessionKey
from checkpoint.segment import Loaded

CACHE_BYTES = 32 * 1024 * 1024
"""Default limit of a checkpointer's cache, in bytes as encoded."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LeastRecentlyUsed(Generic[K, V]):
    """Values up to a total size, those that were not used for longest dropped first.

    Args:
        max_bytes: limit for the sizes of all.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = self._max_bytes = max_bytes
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = RLock()  # a signal handler may come here while its thread is here

    def get(self, key: K) -> V | None:
        """What was kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of so many bytes in the place of what was kept, if there is room for it."""
        with self._lock:
            self.drop(key)
            if size > self._max_bytes:
                return
            self._kept[key] = value, size
            self._left -= size
            while self._left < 0:
                _, (_, freed) = self._kept.popitem(last=False)
                self._left += freed

    def drop(self, key: K) -> None:
        """Forget a value."""
        with self._lock:
            _, size = self._kept.pop(key, (None, 0))
            self._left += size


class Cache:
    """The newest revisions read or written, the least recently used ones dropped first.

    Args:
        max_bytes: limit for all documents and pages kept, by their encoded size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = LeastRecentlyUsed[SessionKey, Loaded](max_bytes)

    def get(self, key: SessionKey) -> Loaded | None:
        """What was kept of a session."""
        return self._kept.get(key)

    def put(self, key: SessionKey, loaded: Loaded) -> None:
        """Keep a session's newest revision, if there is room for it."""
        if not self._max_bytes:
            return
        tip = loaded.tip
        size = len(tip.prefix) + sum(map(len, tip.trail)) + tip.base_raw + tip.patch_raw
        of_pages = sum(len(page.raw) for page in loaded.pages.values())
        if size + of_pages > self._max_bytes // 2:  # one session must not push out all others
            spilled = {ref.id for ref in loaded.spilled}
            kept = {id: page for id, page in loaded.pages.items() if id in spilled}
            loaded = loaded._replace(pages=kept)
            of_pages = sum(len(page.raw) for page in kept.values())
        self._kept.put(key, loaded._replace(pages=dict(loaded.pages)), size + of_pages)

    def put_pages(self, key: SessionKey, loaded: Loaded) -> None:
        """Keep the pages that were read of a revision, if it is the one that is kept."""
        kept = self.get(key)
        if kept is not None and kept.tip is loaded.tip:
            self.put(key, loaded)

    def drop(self, key: SessionKey) -> None:
        """Forget a session."""
        self._kept.drop(key)
