"""Access to the shared objects across the simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from checkpoint.testing.simulator.network import Process
from checkpoint_objectstore.objects import Entry, Object


class ObjectsLink:
    """An ``AsyncObjects`` whose calls cross the network.

    Each object of a batch is a separate request, so a batch can be done in part.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    async def get(self, key: str, unless: str = "") -> Object | None:
        found: Object | None = await self._process.ask("get", key, unless)
        return found

    async def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        found = await _all([self._process.ask("fetch", key, first) for key in keys])
        return {key: data for key, data in zip(keys, found, strict=True) if data is not None}

    async def put_many(self, objects: Mapping[str, bytes]) -> None:
        await _all([self._process.ask("put", key, data) for key, data in objects.items()])

    async def create(self, key: str, data: bytes) -> str | None:
        tag: str | None = await self._process.ask("create", key, data)
        return tag

    async def replace(self, key: str, data: bytes, tag: str) -> str | None:
        new: str | None = await self._process.ask("replace", key, data, tag)
        return new

    async def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        found: Sequence[Entry] = await self._process.ask("list", prefix, after)
        return found

    async def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        found: Sequence[str] = await self._process.ask("folders", folder, prefix, after)
        return found

    async def delete(self, keys: Sequence[str]) -> None:
        await _all([self._process.ask("delete", key) for key in keys])

    async def close(self) -> None:
        """Do nothing: all replicas share the objects."""


async def _all(requests: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Send requests concurrently; when all have ended, return their answers or raise a failure."""
    if len(requests) == 1:
        return [await requests[0]]
    answers = await asyncio.gather(*requests, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
