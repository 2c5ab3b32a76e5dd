"""The store over the reference of its drivers: nothing of it rests on one of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._sync.store import ObjectStore
from tests.effort import times
from tests.objectstore.in_memory import AsyncInMemoryObjects, InMemoryObjects

PLACES: defaultdict[Path, InMemoryObjects] = defaultdict(InMemoryObjects)


EXAMPLES = times(40, soak=40)  # the suite itself takes more in a soak


def bytes_in(place: Path) -> Iterable[bytes]:
    return [data for data, _ in PLACES[place].kept.values()]


class TestObjectsInMemory(StoreSuite):
    keeps_times = False
    examples = EXAMPLES

    def open(self, place: Path) -> ObjectStore:
        return ObjectStore(PLACES[place])

    def raw(self, place: Path) -> Iterable[bytes]:
        return bytes_in(place)


class TestAsyncObjectsInMemory(AsyncStoreSuite):
    keeps_times = False
    examples = EXAMPLES

    async def open(self, place: Path) -> AsyncObjectStore:
        return AsyncObjectStore(AsyncInMemoryObjects(PLACES[place]))

    def raw(self, place: Path) -> Iterable[bytes]:
        return bytes_in(place)
