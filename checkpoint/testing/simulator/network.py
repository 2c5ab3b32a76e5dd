"""The way from replicas to the store: where requests are lost, late, repeated and overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum
from inspect import iscoroutinefunction
from random import Random
from typing import Any, TypeVar, cast

from checkpoint.errors import StoreError, StoreUnavailable
from checkpoint.ids import SessionKey
from checkpoint.record import Record
from checkpoint.store import (
    AsyncStore,
    Attachment,
    Commit,
    Head,
    Page,
    PageInfo,
    Pruning,
    Segment,
    Store,
)
from checkpoint.testing.simulator.ledger import Ledger
from checkpoint.testing.simulator.operation import CURRENT, Operation
from checkpoint.testing.simulator.rot import Rot
from checkpoint.testing.simulator.trace import Trace, described
from checkpoint.testing.simulator.weather import CALM, HOUR, Weather

T = TypeVar("T")

_STEPS = ("put_pages", "commit", "prune", "drop_pages", "attach", "detach")
# What a request stands on could be taken away from it since the one before.
_HELD = (("put_pages", "commit"), ("attach", "commit"), ("", "attach"))
_TIMEOUT = 10.0  # seconds until a replica gives a request up


class Fate(Enum):
    """What becomes of a request."""

    FINE = "answered"
    LOST = "lost"
    OUTAGE = "lost, as all that follow"
    UNANSWERED = "done, and the reply lost"
    LATE = "late"
    CRASH_BEFORE = "the process ends before it is sent"
    CRASH_AFTER = "the process ends before it is answered"
    PAUSE_BEFORE = "the process stands still before it is sent"
    PAUSE_AFTER = "the process stands still before it is answered"


_WITHOUT_REPLY = (Fate.LOST, Fate.OUTAGE, Fate.UNANSWERED, Fate.LATE)


@dataclass(eq=False)
class Request:
    """One call of a method of the store."""

    number: int
    link: Link
    name: str
    arguments: tuple[Any, ...]
    operation: Operation | None

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


class Network:
    """Carries requests to a store, as the weather has it.

    Args:
        store: the store; it is given one request at a time.
        ledger: told of each request that took effect, in order.
        failed: told of a rule that was broken meanwhile.
        interrupted: told of an operation that something happened to between two steps.

    Attributes:
        weather: what goes wrong.
        requests: how many were sent.
        rot: the bytes that flipped in the store.
    """

    def __init__(
        self,
        store: AsyncStore,
        ledger: Ledger,
        trace: Trace,
        rng: Random,
        weather: Weather,
        failed: Callable[[BaseException], None],
        interrupted: Callable[[Operation], None],
    ) -> None:
        self.weather = weather
        self.requests = 0
        self._interrupted = interrupted
        self.rot = Rot(rng)
        self._store = store
        self._ledger = ledger
        self._trace = trace
        self._rng = rng
        self._failed = failed
        self._one_at_a_time = asyncio.Lock()
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def ask(self, link: Link, name: str, arguments: tuple[Any, ...]) -> Any:
        """Send a request, and wait for its reply."""
        await link.ready()
        self.requests += 1
        request = Request(self.requests, link, name, arguments, CURRENT.get())
        fate = self._fate(request)
        if fate is not Fate.FINE and name in _STEPS and request.operation is not None:
            self._interrupted(request.operation)
        if fate is Fate.CRASH_BEFORE:
            self._note(request, fate.value)
            await link.crash()
        if fate is Fate.PAUSE_BEFORE:
            self._note(request, fate.value)
            link.pause(self._pause())
            await link.ready()
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(request, fate, reply)
        if fate in _WITHOUT_REPLY:
            if request.operation:
                request.operation.troubled = True
            await asyncio.sleep(_TIMEOUT)
            await link.ready()
            raise StoreUnavailable(f"{request} was not answered")
        answer = await reply
        if fate is Fate.CRASH_AFTER:
            self._note(request, fate.value)
            await link.crash()
        if fate is Fate.PAUSE_AFTER:
            self._note(request, fate.value)
            link.pause(self._pause())
        await link.ready()
        return answer

    async def idle(self) -> None:
        """Wait until nothing is under way any more."""
        while self._under_way:
            await asyncio.wait([*self._under_way.values()])

    def _fate(self, request: Request) -> Fate:
        weather = self.weather
        if weather is CALM:
            return Fate.FINE
        if request.link.is_cut_off():
            return Fate.LOST
        worse = self._worse(request)
        drawn = self._rng.random()
        for fate, chance in (
            (Fate.LOST, weather.lost),
            (Fate.UNANSWERED, weather.unanswered),
            (Fate.LATE, weather.late),
            (Fate.OUTAGE, weather.outage),
            (Fate.CRASH_BEFORE, worse * weather.crash / 2),
            (Fate.CRASH_AFTER, worse * weather.crash / 2),
            (Fate.PAUSE_BEFORE, worse * weather.pause / 2),
            (Fate.PAUSE_AFTER, worse * weather.pause / 2),
        ):
            drawn -= chance
            if drawn < 0:
                return fate
        return Fate.FINE

    def _worse(self, request: Request) -> int:
        """How much more often a process stops with this request than with others.

        Between two steps that belong together is where it is worst to stop.
        """
        operation = request.operation
        if operation is None or request.name not in _STEPS:
            return 1
        last, operation.last_step = operation.last_step, request.name
        return 50 if (last, request.name) in _HELD else 5

    def _send(self, request: Request, fate: Fate, reply: asyncio.Future[Any]) -> None:
        if fate is Fate.OUTAGE:
            request.link.cut_off(self._rng.expovariate(1 / 60))
        if fate in (Fate.LOST, Fate.OUTAGE):
            self._note(request, fate.value)
            return
        delay = self._latency() + (_TIMEOUT + self._pause() if fate is Fate.LATE else 0.0)
        if fate in _WITHOUT_REPLY:
            self._note(request, fate.value)
        self._begin(request, delay, reply)
        if self._rng.random() < self.weather.repeated:
            self._begin(request, delay + self._pause(), None)

    def _latency(self) -> float:
        """Seconds, on the way there and back."""
        mean = 2.0 if self._rng.random() < self.weather.slow else 0.005
        return self._rng.expovariate(1 / mean)

    def _pause(self) -> float:
        """Seconds, from no time to longer than garbage collection waits."""
        return self._rng.expovariate(1 / self._rng.choice((0.1, 3.0, 10.0, 60.0, 2 * HOUR)))

    def _begin(self, request: Request, delay: float, reply: asyncio.Future[Any] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(request, delay, reply))
        number = id(task)
        self._under_way[number] = task
        task.add_done_callback(lambda _: self._under_way.pop(number))

    async def _carry(
        self, request: Request, delay: float, reply: asyncio.Future[Any] | None
    ) -> None:
        await asyncio.sleep(delay)
        try:
            async with self._one_at_a_time:
                answer = await self._carry_out(request, repeated=reply is None)
        except StoreError as exc:
            self._note(request, repr(exc))
            if reply is not None and not reply.done():
                reply.set_exception(exc)
        except Exception as exc:  # noqa: BLE001  # a broken rule ends the run, whatever it is
            self._failed(exc)
        else:
            if reply is not None and not reply.done():
                reply.set_result(answer)

    async def _carry_out(self, request: Request, *, repeated: bool) -> Any:
        arguments = request.arguments
        answer = await getattr(self._store, request.name)(*arguments)
        again = "again, " if repeated else ""
        self._note(request, f"{again}{described(request.name, arguments, answer)}")
        await self._tell(request.name, arguments, answer, request.operation)
        return self.rot.seen(request.name, arguments, answer, request.operation)

    async def _tell(
        self, name: str, arguments: tuple[Any, ...], answer: Any, by: Operation | None
    ) -> None:
        """Let the ledger know of a request that took effect."""
        key: Any = arguments[0]
        what: Any = arguments[-1]
        if name == "commit" and answer:
            await self._ledger.saw_commit(key, what, by)
        elif name == "prune" and answer:
            await self._ledger.saw_pruning(key, what, by)
        elif name == "put_pages":
            self._ledger.saw_pages(key, what)
        elif name == "drop_pages":
            self._ledger.saw_drop(key, what)
        elif name == "attach":
            self._ledger.saw_attachment(key, what)
        elif name == "detach":
            self._ledger.saw_detachment(key, what)

    def _note(self, request: Request, what: str) -> None:
        about = f"{request.operation}: " if request.operation else ""
        self._trace.add(request.link.name, f"{about}{request} {what}")


class Link:
    """The store as one process reaches it: an ``AsyncStore``.

    Attributes:
        name: of the process, in the trace.
        crash: ends the process; called in the middle of a request.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self._network = network
        self._dead = False
        self._paused_until = 0.0
        self._cut_off_until = 0.0
        self.on_crash: Callable[[], None] = lambda: None

    async def ready(self) -> None:
        """Wait while the process stands still; one that has ended waits for ever."""
        loop = asyncio.get_running_loop()
        while (left := self._paused_until - loop.time()) > 0:
            await asyncio.sleep(left)
        if self._dead:
            raise asyncio.CancelledError

    def pause(self, seconds: float) -> None:
        """Let the process stand still from now on."""
        now = asyncio.get_running_loop().time()
        self._paused_until = max(self._paused_until, now + seconds)

    def cut_off(self, seconds: float) -> None:
        """Let no request of the process arrive from now on."""
        self._cut_off_until = asyncio.get_running_loop().time() + seconds

    def is_cut_off(self) -> bool:
        return asyncio.get_running_loop().time() < self._cut_off_until

    async def crash(self) -> None:
        """End the process."""
        self.on_crash()
        await self.ready()

    def cut(self) -> None:
        """Nothing that this process still does reaches the store."""
        self._dead = True

    async def _ask(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        answer: T = await self._network.ask(self, method.__name__, arguments)
        return answer

    async def read(
        self, key: SessionKey, revision: int | None = None, since: int = 0
    ) -> Segment | None:
        return await self._ask(self.read, key, revision, since)

    async def commit(self, key: SessionKey, commit: Commit) -> bool:
        return await self._ask(self.commit, key, commit)

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        return await self._ask(self.prune, key, pruning)

    async def heads(
        self, key: SessionKey, before: int | None, limit: int, bases: bool = False
    ) -> list[tuple[Record, int]]:
        return await self._ask(self.heads, key, before, limit, bases)

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        return await self._ask(self.sessions, namespace, prefix, after, limit, deleted)

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
        """Leave the store open: it is that of all replicas."""


class _Immediate:
    """A blocking store, called in the loop: each call is done in one step."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._store, name)

        async def call(*arguments: Any) -> Any:
            return method(*arguments)

        return call


def as_async(store: Store | AsyncStore) -> AsyncStore:
    """The store, to be awaited; a blocking one blocks the loop, and not a thread."""
    if iscoroutinefunction(store.commit):
        return cast("AsyncStore", store)
    return cast("AsyncStore", _Immediate(cast("Store", store)))
