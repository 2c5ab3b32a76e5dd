"""What a replica keeps of the sessions it served last, so that it need not read them again.

Documents as they were read, never live models: an aborted turn leaves nothing in here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import RLock
from typing import Generic, TypeVar

from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Baseline
from checkpoint._state.known import KnownItems

CACHE_BYTES = 64 * 1024 * 1024
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

    def put(self, key: K, value: V, size: int, elsewhere: int = 0) -> None:
        """Keep a value of so many bytes in the place of what was kept, if there is room for it.

        Args:
            elsewhere: bytes of the limit that something else takes.
        """
        with self._lock:
            self.drop(key)
            if size > self._max_bytes - elsewhere:
                return
            self._kept[key] = value, size
            self._left -= size
            while self._left < elsewhere:
                _, (_, freed) = self._kept.popitem(last=False)
                self._left += freed

    def drop(self, key: K) -> None:
        """Forget a value."""
        with self._lock:
            _, size = self._kept.pop(key, (None, 0))
            self._left += size


class Cache:
    """The newest revisions read or written, and what is known of the items of memories.

    Args:
        max_bytes: limit for all documents and pages kept, by their encoded size, and for items.
        memories: where the memories of a state are. What is known of items takes half at most.
    """

    def __init__(self, max_bytes: int, memories: Sequence[tuple[str, ...]] = ()) -> None:
        self._max_bytes = max_bytes
        self._kept = LeastRecentlyUsed[SessionKey, Baseline](max_bytes)
        self._items = {path: KnownItems(max_bytes // 2 // len(memories)) for path in memories}

    def known_items(self, path: tuple[str, ...]) -> KnownItems:
        """What is known of the items of a memory."""
        return self._items[path]

    def get(self, key: SessionKey) -> Baseline | None:
        """What was kept of a session."""
        return self._kept.get(key)

    def put(self, key: SessionKey, known: Baseline) -> None:
        """Keep a session's newest revision, if there is room for it."""
        if not self._max_bytes or (tip := known.tip) is None:
            return
        size = len(tip.prefix) + sum(map(len, tip.trail)) + tip.base_raw + tip.patch_raw
        size += len(known.encoded)
        of_pages = sum([page.size for page in known.pages.values()])
        if size + of_pages > self._max_bytes // 2:  # one session must not push out all others
            kept = {ref.id: known.pages[ref.id] for ref in known.spilled}
            known = known._replace(pages=kept)
            of_pages = sum([page.size for page in kept.values()])
        elsewhere = sum([items.size for items in self._items.values()])
        self._kept.put(key, known._replace(pages=dict(known.pages)), size + of_pages, elsewhere)

    def put_pages(self, key: SessionKey, known: Baseline) -> None:
        """Keep the pages that were read of a revision, if it is the one that is kept."""
        kept = self.get(key)
        if kept is not None and kept.tip is known.tip:
            self.put(key, known)

    def drop(self, key: SessionKey) -> None:
        """Forget a session."""
        self._kept.drop(key)
