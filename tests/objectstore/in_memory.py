"""Objects in this process: the reference of what a driver does, for tests of what is above it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

from checkpoint_objectstore.objects import Entry, Object

T = TypeVar("T")

_PAGE = 7  # entries of a listing at once: few, so that tests come across the end of a page


def _now() -> int:
    return time.time_ns() // 1000


class InMemoryObjects:
    """Keeps objects in a dict.

    Args:
        clock: microseconds since 1970.

    Attributes:
        kept: the objects, each with the time when it was written.
    """

    def __init__(self, clock: Callable[[], int] = _now) -> None:
        self.kept: dict[str, tuple[bytes, int]] = {}
        self._clock = clock
        self._lock = Lock()

    def get(self, key: str, unless: str = "") -> Object | None:
        with self._lock:
            if key not in self.kept:
                return None
            tag = _tag(self.kept[key][0])
            return Object(b"" if tag == unless else self.kept[key][0], tag)

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        with self._lock:
            return {key: self.kept[key][0][:first] for key in keys if key in self.kept}

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        with self._lock:
            for key, data in objects.items():
                self.kept[key] = data, self._clock()

    def create(self, key: str, data: bytes) -> str | None:
        with self._lock:
            if key in self.kept:
                return None
            self.kept[key] = data, self._clock()
            return _tag(data)

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        with self._lock:
            if key not in self.kept or _tag(self.kept[key][0]) != tag:
                return None
            self.kept[key] = data, self._clock()
            return _tag(data)

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        with self._lock:
            keys = sorted(key for key in self.kept if key.startswith(prefix) and key > after)
            return [Entry(key, len(self.kept[key][0]), self.kept[key][1]) for key in keys[:_PAGE]]

    def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        with self._lock:
            below = [key.removeprefix(folder) for key in self.kept if key.startswith(folder)]
        names = {key.split("/")[0] for key in below if "/" in key}
        return sorted(name for name in names if name.startswith(prefix) and name > after)[:_PAGE]

    def delete(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self.kept.pop(key, None)

    def close(self) -> None:
        pass


class AsyncInMemoryObjects:
    """The same, with ``await``: other tasks run before each call and after it."""

    def __init__(self, objects: InMemoryObjects) -> None:
        self.objects = objects

    async def get(self, key: str, unless: str = "") -> Object | None:
        return await self._run(self.objects.get, key, unless)

    async def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        return await self._run(self.objects.get_many, keys, first)

    async def put_many(self, objects: Mapping[str, bytes]) -> None:
        await self._run(self.objects.put_many, objects)

    async def create(self, key: str, data: bytes) -> str | None:
        return await self._run(self.objects.create, key, data)

    async def replace(self, key: str, data: bytes, tag: str) -> str | None:
        return await self._run(self.objects.replace, key, data, tag)

    async def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        return await self._run(self.objects.list, prefix, after)

    async def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        return await self._run(self.objects.folders, folder, prefix, after)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._run(self.objects.delete, keys)

    async def close(self) -> None:
        pass

    @staticmethod
    async def _run(call: Callable[..., T], *arguments: Any) -> T:
        await asyncio.sleep(0)
        answer = call(*arguments)
        await asyncio.sleep(0)
        return answer


def _tag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
