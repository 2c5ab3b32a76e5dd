"""One set of tests for two APIs: the blocking one, seen through the asynchronous one's eyes.

The tests are written against ``AsyncCheckpointer``. :class:`AsAsync` gives a blocking object the
same manners: what its asynchronous twin is awaited for, is awaited; so a name that one of the two
lacks, or takes other arguments for, fails here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar, cast, overload

import checkpoint
from checkpoint import AsyncCheckpointer, AsyncTurn, Checkpointer, Turn
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.registry import open_store
from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import Store

S = TypeVar("S")
R = TypeVar("R")

ASYNC_TWIN: dict[type, type] = {Checkpointer: AsyncCheckpointer, Turn: AsyncTurn}


class AsAsync:
    """A blocking object with the manners of its asynchronous twin."""

    _blocking: Any

    def __init__(self, blocking: object) -> None:
        object.__setattr__(self, "_blocking", blocking)

    def __repr__(self) -> str:
        return repr(self._blocking)

    def __getattr__(self, name: str) -> Any:
        twins = inspect.getattr_static(ASYNC_TWIN[type(self._blocking)], name, None)
        value = getattr(self._blocking, name)
        if inspect.iscoroutinefunction(twins):
            return _awaited(value)
        if inspect.isasyncgenfunction(twins):
            return _iterated(value)
        if inspect.isfunction(twins):
            return lambda *args, **kwargs: AsAsync(value(*args, **kwargs))
        return value

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._blocking, name, value)

    async def __aenter__(self) -> Self:
        assert self._blocking.__enter__() is self._blocking
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return cast("bool | None", self._blocking.__exit__(*error))


def _awaited(method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


def _iterated(method: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    async def each(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for item in method(*args, **kwargs):
            yield item

    return each


class Call(NamedTuple):
    """What a store was asked, and what it answered."""

    name: str
    args: tuple[Any, ...]
    answer: Any


class Watched:
    """A store that notes what it is asked, and lets a rival in just before a commit."""

    def __init__(
        self,
        store: Store,
        calls: list[str],
        traffic: list[Call],
        rivals: list[Callable[[], object]],
    ) -> None:
        self._store = store
        self._calls = calls
        self._traffic = traffic
        self._rivals = rivals

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **flags: Any) -> Any:
            self._calls.append(name)
            if name == "commit" and self._rivals:
                self._rivals.pop(0)()
            answer = method(*args, **flags)
            self._traffic.append(Call(name, args, answer))
            return answer

        return call


@dataclass
class Place:
    """One store, on which a test opens the API it is about, and others beside it.

    Attributes:
        api: ``"async"`` or ``"sync"``.
        url: ``memory://``, or that of a SQLite file.
        calls: what the stores of the opened APIs were asked since the test last cleared it.
        traffic: the same calls with their arguments and answers, of those that were answered.
        before_commit: rivals; each is called once, just before a commit of an opened API.
    """

    api: str
    url: str
    calls: list[str] = field(default_factory=list)
    traffic: list[Call] = field(default_factory=list)
    before_commit: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # In memory, each opening is a store of its own: replicas must share the object.
        self._shared = InMemoryStore() if self.url == "memory://" else None
        self._opened: list[AsyncCheckpointer[Any]] = []
        self._rivals: list[Checkpointer[Any]] = []

    @overload
    def open(self, **options: Any) -> AsyncCheckpointer[dict[str, Any]]: ...
    @overload
    def open(self, state: type[S], **options: Any) -> AsyncCheckpointer[S]: ...
    def open(self, state: Any = None, **options: Any) -> AsyncCheckpointer[Any]:
        """A checkpointer of the API under test; each is a replica that knows nothing of others."""
        watched: Any = Watched(self._store(), self.calls, self.traffic, self.before_commit)
        if self.api == "async":
            opened = checkpoint.open_async(ThreadedStore(watched), state, **options)
        else:
            opened = cast(
                "AsyncCheckpointer[Any]", AsAsync(checkpoint.open(watched, state, **options))
            )
        self._opened.append(opened)
        return opened

    @overload
    def rival(self, **options: Any) -> Checkpointer[dict[str, Any]]: ...
    @overload
    def rival(self, state: type[S], **options: Any) -> Checkpointer[S]: ...
    def rival(self, state: Any = None, **options: Any) -> Checkpointer[Any]:
        """Somebody else on the same store: blocking, whatever the API, and not watched."""
        rival = checkpoint.open(self._store(), state, **options)
        self._rivals.append(rival)
        return rival

    async def together(self, *calls: Coroutine[Any, Any, R]) -> list[R]:
        """Await all at once: as tasks, or for the blocking API each in a thread."""
        if self.api == "async":
            return await asyncio.gather(*calls)
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, call) for call in calls))

    def asked_for(self, name: str = "pages") -> list[bytes]:
        """The ids of the pages that were asked for, in order; each as often as it was."""
        return [id for call in self.traffic if call.name == name for id in call.args[1]]

    def forget(self) -> None:
        """Clear the notes of what was asked."""
        self.calls.clear()
        self.traffic.clear()

    def close(self) -> None:
        for opened in self._opened:
            asyncio.run(_close(opened))
        for rival in self._rivals:
            rival.close()

    def _store(self) -> Store:
        return self._shared or open_store(self.url)


async def _close(opened: AsyncCheckpointer[Any]) -> None:
    await opened.close()
