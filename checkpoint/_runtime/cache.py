"""The cache: recently used sessions, so that a replica need not read them again.

It holds documents as they were read, never live models, so an aborted turn leaves nothing in it.
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
"""Default limit of a checkpointer's cache, in encoded bytes."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LeastRecentlyUsed(Generic[K, V]):
    """A cache with a limited total size, which drops the least recently used values.

    Args:
        max_bytes: limit of the total size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = self._max_bytes = max_bytes
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = RLock()  # a signal handler may call this while its thread is in here

    def get(self, key: K) -> V | None:
        """The cached value, or None."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, size: int, elsewhere: int = 0) -> None:
        """Cache a value instead of an earlier one, if there is room for it.

        Args:
            size: size of the value, in bytes.
            elsewhere: bytes of the limit that are used elsewhere.
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
        """Remove a value."""
        with self._lock:
            _, size = self._kept.pop(key, (None, 0))
            self._left += size


class Cache:
    """The newest revisions read or written, and the known items of memories.

    Args:
        max_bytes: limit for documents, pages and items together, by their encoded size.
        memories: paths of the memories in a state. Their items take at most half of the limit.
    """

    def __init__(self, max_bytes: int, memories: Sequence[tuple[str, ...]] = ()) -> None:
        self._max_bytes = max_bytes
        self._kept = LeastRecentlyUsed[SessionKey, Baseline](max_bytes)
        self._items = {path: KnownItems(max_bytes // 2 // len(memories)) for path in memories}

    def known_items(self, path: tuple[str, ...]) -> KnownItems:
        """The known items of a memory."""
        return self._items[path]

    def get(self, key: SessionKey) -> Baseline | None:
        """The cached baseline of a session, or None."""
        return self._kept.get(key)

    def put(self, key: SessionKey, known: Baseline) -> None:
        """Cache a session's newest revision, if there is room for it."""
        if not self._max_bytes or (tip := known.tip) is None:
            return
        size = len(tip.prefix) + sum(map(len, tip.trail)) + tip.base_raw + tip.patch_raw
        size += len(known.encoded)
        of_pages = sum([page.size for page in known.pages.values()])
        if size + of_pages > self._max_bytes // 2:  # one session must not displace all others
            kept = {ref.id: known.pages[ref.id] for ref in known.spilled}
            known = known._replace(pages=kept)
            of_pages = sum([page.size for page in kept.values()])
        elsewhere = sum([items.size for items in self._items.values()])
        self._kept.put(key, known._replace(pages=dict(known.pages)), size + of_pages, elsewhere)

    def put_pages(self, key: SessionKey, known: Baseline) -> None:
        """Cache the pages that were read for a revision, if it is the cached one."""
        kept = self.get(key)
        if kept is not None and kept.tip is known.tip:
            self.put(key, known)

    def drop(self, key: SessionKey) -> None:
        """Remove a session."""
        self._kept.drop(key)
