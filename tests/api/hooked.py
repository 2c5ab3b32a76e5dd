"""A store into whose calls a test steps, a clock that it sets, and small pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar, cast

import checkpoint
from checkpoint import AsyncCheckpointer
from checkpoint._ids import SessionKey
from checkpoint._stores.threads import ThreadedStore
from checkpoint.errors import StoreUnavailable
from checkpoint.store import Store

from .apis import AsAsync, Place

S = TypeVar("S")
Step = Callable[[], object]

NOW = 1_800_000_000_000_000
LOST = StoreUnavailable("the line is dead")


def key(session_id: str) -> SessionKey:
    return SessionKey("default", session_id)


class Clock:
    """Microseconds since 1970, as a test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def advance(self, time: dt.timedelta) -> None:
        self.now += time // dt.timedelta(microseconds=1)

    def rules(self, *cps: Any) -> None:
        """Make it the clock of some checkpointers."""
        for cp in cps:
            engine = cp._engine
            engine.options = engine.options._replace(clock=self)


class Hooked:
    """A store that passes everything on, and lets a test do something before and after calls.

    Attributes:
        calls: what was asked.
        before, after: steps by the name of a call; each is taken once, by the next such call. One
            that raises makes the call fail, before it is done or with its answer lost.
        late: names of calls; the next such call fails, and is done when it is let to
            :meth:`arrive`.
        each: taken before every call, with the number of it, from 0.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.before: dict[str, list[Step]] = {}
        self.after: dict[str, list[Step]] = {}
        self.late: list[str] = []
        self.each: Callable[[int], object] | None = None
        self._under_way: list[Step] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def call(*args: Any, **flags: Any) -> Any:
            if self.each is not None:
                self.each(len(self.calls))
            self.calls.append(name)
            for step in self._next(self.before, name):
                step()
            if name in self.late:
                self.late.remove(name)
                self._under_way.append(lambda: method(*args, **flags))
                raise LOST
            answer = method(*args, **flags)
            for step in self._next(self.after, name):
                step()
            return answer

        return call

    def arrive(self) -> list[Any]:
        """Let what is late be done now; the answers that nobody gets."""
        answers = [call() for call in self._under_way]
        self._under_way.clear()
        return answers

    def _next(self, steps: dict[str, list[Step]], name: str) -> list[Step]:
        return [steps[name].pop(0)] if steps.get(name) else []


def lose() -> None:
    raise LOST


def hooked(place: Place) -> tuple[AsyncCheckpointer[dict[str, Any]], Hooked]:
    """A checkpointer of the API under test, and the store that it works with."""
    store = Hooked(place._store())
    opened = cast("Any", store)
    if place.api == "async":
        cp = checkpoint.open_async(ThreadedStore(opened))
    else:
        cp = cast("AsyncCheckpointer[dict[str, Any]]", AsAsync(checkpoint.open(opened)))
    place._opened.append(cp)
    return cp, store
