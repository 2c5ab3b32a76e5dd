"""Stores that lose answers, put off writes and hold calls, around one that works."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn

from checkpoint._ids import SessionKey
from checkpoint.errors import StoreUnavailable
from checkpoint.store import Commit, Segment, Store

if TYPE_CHECKING:  # any store of each kind: what is not here is passed on to the one inside
    from checkpoint._stores.inmemory import InMemoryStore as AnyStore
    from checkpoint._stores.threads import ThreadedStore as AnyAsyncStore
else:
    AnyStore = AnyAsyncStore = object

WORKS, NOT_DONE, DONE, LATE, TWICE = "works", "not done", "done", "late", "twice"
"""What becomes of a commit: answered; lost on the way; done with its answer lost; done later.

Or it comes twice, since something on the way has sent it again, and the second is answered.
"""

FAILS = "fails"
"""What becomes of a read that does not work."""


class Around(AnyStore):
    """A store that passes everything on; a subclass changes some of it."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Unreliable(Around):
    """A store across a network: what becomes of the next calls is given by lists, then all works.

    Attributes:
        commits, reads: what becomes of the next ones.
        failure: the error of those that fail.
        under_way: commits that are still to arrive; :meth:`arrive` lets them.
        answers: what each commit that arrived was answered, whether or not the answer was lost.
        lost: called each time a commit's answer was lost, with the number of such.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.commits: deque[str] = deque()
        self.reads: deque[str] = deque()
        self.failure: Exception = StoreUnavailable("the line is dead")
        self.under_way: list[tuple[SessionKey, Commit]] = []
        self.answers: list[bool] = []
        self.lost: Callable[[int], None] = lambda number: None
        self._lost = 0

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        if self.reads and self.reads.popleft() == FAILS:
            raise self.failure
        return self.inner.read(key, revision, since=since)

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        becomes = self.commits.popleft() if self.commits else WORKS
        if becomes == LATE:
            self.under_way.append((key, commit))
        elif becomes != NOT_DONE:
            self.answers.append(self.inner.commit(key, commit))
        if becomes == TWICE:
            self.answers.append(self.inner.commit(key, commit))
        if becomes in (WORKS, TWICE):
            return self.answers[-1]
        failure = self.failure
        self._lost += 1
        self.lost(self._lost)
        raise failure

    def arrive(self) -> None:
        """Let what was put off happen now."""
        while self.under_way:
            self.answers.append(self.inner.commit(*self.under_way.pop(0)))


class Dead(Around):
    """A store that answers nothing any more; closing it is all that works."""

    def __getattribute__(self, name: str) -> Any:
        if hasattr(Store, name) and name != "close" and not name.startswith("_"):
            return self._unanswered
        return super().__getattribute__(name)

    def _unanswered(self, *_: object, **flags: object) -> NoReturn:
        raise StoreUnavailable("the line is dead")


class Held(Around):
    """A store whose commits wait: before they are done, or after, until they are let go."""

    def __init__(self, inner: Store, *, when: str) -> None:
        super().__init__(inner)
        self.entered = Event()
        self.let_go = Event()
        self.let_go.set()
        self._when = when

    def hold(self) -> None:
        """Hold those that come from now on."""
        self.entered.clear()
        self.let_go.clear()

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        done = self.inner.commit(key, commit) if self._when == "after" else None
        self.entered.set()
        assert self.let_go.wait(60), "nobody let it go"
        return self.inner.commit(key, commit) if done is None else done


class Stepping(AnyAsyncStore):
    """A blocking store made asynchronous, with a step of the loop before and after each call."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **flags: Any) -> Any:
            await asyncio.sleep(0)
            answer = method(*args, **flags)
            await asyncio.sleep(0)
            return answer

        return call
