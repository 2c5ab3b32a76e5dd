"""The store that replicas share: each method call is one request over the network."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from inspect import iscoroutinefunction
from random import Random
from typing import Any, TypeVar, cast

from checkpoint._ids import SessionKey
from checkpoint.store import (
    AsyncStore,
    Attachment,
    Commit,
    Head,
    Page,
    PageInfo,
    Pruning,
    Record,
    Segment,
    Store,
)
from checkpoint.testing.simulator.ledger import Ledger
from checkpoint.testing.simulator.network import Process, Request
from checkpoint.testing.simulator.operation import Operation
from checkpoint.testing.simulator.rot import Rot
from checkpoint.testing.simulator.trace import described

T = TypeVar("T")


class Link:
    """An ``AsyncStore`` whose calls cross the network."""

    rewrites = True

    def __init__(self, process: Process) -> None:
        self._process = process

    async def _ask(
        self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **flags: Any
    ) -> T:
        answer: T = await self._process.ask(method.__name__, *arguments, **flags)
        return answer

    async def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        return await self._ask(self.read, key, revision, since=since)

    async def commit(self, key: SessionKey, commit: Commit) -> bool:
        return await self._ask(self.commit, key, commit)

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        return await self._ask(self.prune, key, pruning)

    async def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        return await self._ask(self.headers, key, before, limit, bases=bases)

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        return await self._ask(self.sessions, namespace, prefix, after, limit, deleted=deleted)

    async def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        return await self._ask(self.put_pages, key, pages)

    async def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._ask(self.pages, key, ids)

    async def list_pages(self, key: SessionKey) -> list[PageInfo]:
        return await self._ask(self.list_pages, key)

    async def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        return await self._ask(self.drop_pages, key, ids)

    async def attach(self, key: SessionKey, attachment: Attachment) -> None:
        return await self._ask(self.attach, key, attachment)

    async def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        return await self._ask(self.detach, key, revision, name)

    async def attachments(self, key: SessionKey) -> list[Attachment]:
        return await self._ask(self.attachments, key)

    async def close(self) -> None:
        """Do nothing: all replicas share the store."""


class SharedStore:
    """One store for all processes.

    Args:
        store: the store.
        rng: decides which byte to flip.
    """

    steps = ("put_pages", "commit", "prune", "drop_pages", "attach", "detach")
    held = (("put_pages", "commit"), ("attach", "commit"), ("", "attach"))

    def __init__(self, store: Store | AsyncStore, rng: Random) -> None:
        self._store = _as_async(store)
        self._rng = rng
        self._rot = Rot(rng)
        self.ledger: Ledger

    def reach(self, process: Process | None) -> AsyncStore:
        return Link(process) if process else self._store

    async def carry_out(self, request: Request, note: Callable[[str], None]) -> Any:
        name, arguments, by = request.name, request.arguments, request.operation
        answer = await getattr(self._store, name)(*arguments, **request.flags)
        arguments = (*arguments, *request.flags.values())
        note(described(name, arguments, answer))
        await self._record(name, arguments, answer, by)
        return self._rot.seen(name, arguments, answer, by)

    async def _record(
        self, name: str, arguments: tuple[Any, ...], answer: Any, by: Operation | None
    ) -> None:
        """Record a request that took effect in the ledger."""
        key: Any = arguments[0]
        what: Any = arguments[-1]
        if name == "commit" and answer:
            await self.ledger.saw_commit(key, what, by)
        elif name == "prune" and answer:
            await self.ledger.saw_pruning(key, what, by)
        elif name == "put_pages":
            self.ledger.saw_pages(key, what)
        elif name == "drop_pages":
            self.ledger.saw_drop(key, what)
        elif name == "attach":
            self.ledger.saw_attachment(key, what)
        elif name == "detach":
            self.ledger.saw_detachment(key, what)

    def flip(self, key: SessionKey) -> str | None:
        if not (parts := self.ledger.parts(key)):
            return None
        part = self._rng.choice(self._rng.choice(parts))
        self._rot.flip(key, part)
        return repr(part)

    def heal(self) -> None:
        self._rot.heal()

    def check_end(self) -> None:
        self.ledger.check_garbage()


class _Immediate:
    """A blocking store called in the loop, so that each call is one step."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._store, name)

        async def call(*arguments: Any, **flags: Any) -> Any:
            return method(*arguments, **flags)

        return call


def _as_async(store: Store | AsyncStore) -> AsyncStore:
    """The store as an ``AsyncStore``; a blocking one blocks the loop, not a thread."""
    if iscoroutinefunction(store.commit):
        return cast("AsyncStore", store)
    return cast("AsyncStore", _Immediate(cast("Store", store)))
