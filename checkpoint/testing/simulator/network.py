"""The network from processes to the store: requests are lost, late, repeated and overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, Protocol

from checkpoint.errors import StoreError, StoreUnavailable
from checkpoint.testing.simulator.operation import CURRENT, Operation
from checkpoint.testing.simulator.trace import Trace
from checkpoint.testing.simulator.weather import CALM, HOUR, Weather

_TIMEOUT = 10.0  # seconds until a replica gives up a request


class Fate(Enum):
    """The fate of a request."""

    FINE = "answered"
    LOST = "lost"
    OUTAGE = "lost, and so are the following ones"
    UNANSWERED = "done, but the reply is lost"
    LATE = "late"
    CRASH_BEFORE = "the process ends before it is sent"
    CRASH_AFTER = "the process ends before it is answered"
    PAUSE_BEFORE = "the process pauses before it is sent"
    PAUSE_AFTER = "the process pauses before it is answered"


_WITHOUT_REPLY = (Fate.LOST, Fate.OUTAGE, Fate.UNANSWERED, Fate.LATE)


@dataclass(eq=False)
class Request:
    """One method call on the served object."""

    number: int
    process: Process
    name: str
    arguments: tuple[Any, ...]
    flags: dict[str, Any]
    operation: Operation | None

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


class Served(Protocol):
    """The object at the other end of the network.

    Attributes:
        steps: the names of requests that write.
        held: pairs of consecutive writes (the first is empty for none), of which the second relies
            on data that another operation could remove in between.
    """

    @property
    def steps(self) -> Collection[str]: ...

    @property
    def held(self) -> Collection[tuple[str, str]]: ...

    async def carry_out(self, request: Request, note: Callable[[str], None]) -> Any:
        """Carry out one request at a time, note its effect, and return the answer."""


class Network:
    """Delivers requests, with the faults of the weather.

    Args:
        served: the object that carries them out.
        failed: called with the error if a rule was broken.
        interrupted: called with an operation that a fault interrupted between two steps.

    Attributes:
        weather: the faults.
        requests: how many were sent.
    """

    def __init__(
        self,
        served: Served,
        trace: Trace,
        rng: Random,
        weather: Weather,
        failed: Callable[[BaseException], None],
        interrupted: Callable[[Operation], None],
    ) -> None:
        self.weather = weather
        self.requests = 0
        self._interrupted = interrupted
        self._served = served
        self._trace = trace
        self._rng = rng
        self._failed = failed
        self._one_at_a_time = asyncio.Lock()
        self._pending: dict[int, asyncio.Task[None]] = {}

    async def ask(
        self, process: Process, name: str, arguments: tuple[Any, ...], flags: dict[str, Any]
    ) -> Any:
        """Send a request, and wait for its reply."""
        await process.ready()
        self.requests += 1
        request = Request(self.requests, process, name, arguments, flags, CURRENT.get())
        fate = self._fate(request)
        if fate is not Fate.FINE and name in self._served.steps and request.operation is not None:
            self._interrupted(request.operation)
        if fate is Fate.CRASH_BEFORE:
            self._note(request, fate.value)
            await process.crash()
        if fate is Fate.PAUSE_BEFORE:
            self._note(request, fate.value)
            process.pause(self._pause())
            await process.ready()
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(request, fate, reply)
        if fate in _WITHOUT_REPLY:
            if request.operation:
                request.operation.troubled = True
            await asyncio.sleep(_TIMEOUT)
            await process.ready()
            raise StoreUnavailable(f"{request} was not answered")
        answer = await reply
        if fate is Fate.CRASH_AFTER:
            self._note(request, fate.value)
            await process.crash()
        if fate is Fate.PAUSE_AFTER:
            self._note(request, fate.value)
            process.pause(self._pause())
        await process.ready()
        return answer

    async def idle(self) -> None:
        """Wait until no request is pending."""
        while self._pending:
            await asyncio.wait([*self._pending.values()])

    def _fate(self, request: Request) -> Fate:
        weather = self.weather
        if weather is CALM:
            return Fate.FINE
        if request.process.is_cut_off():
            return Fate.LOST
        factor = self._factor(request)
        drawn = self._rng.random()
        for fate, chance in (
            (Fate.LOST, weather.lost),
            (Fate.UNANSWERED, weather.unanswered),
            (Fate.LATE, weather.late),
            (Fate.OUTAGE, weather.outage),
            (Fate.CRASH_BEFORE, factor * weather.crash / 2),
            (Fate.CRASH_AFTER, factor * weather.crash / 2),
            (Fate.PAUSE_BEFORE, factor * weather.pause / 2),
            (Fate.PAUSE_AFTER, factor * weather.pause / 2),
        ):
            drawn -= chance
            if drawn < 0:
                return fate
        return Fate.FINE

    def _factor(self, request: Request) -> int:
        """How much more often a process stops at this request than at others.

        The worst moment is between two steps that belong together.
        """
        operation = request.operation
        if operation is None or request.name not in self._served.steps:
            return 1
        last, operation.last_step = operation.last_step, request.name
        return 50 if (last, request.name) in self._served.held else 5

    def _send(self, request: Request, fate: Fate, reply: asyncio.Future[Any]) -> None:
        if fate is Fate.OUTAGE:
            request.process.cut_off(self._rng.expovariate(1 / 60))
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
        """The latency in seconds."""
        mean = 2.0 if self._rng.random() < self.weather.slow else 0.005
        return self._rng.expovariate(1 / mean)

    def _pause(self) -> float:
        """A pause in seconds, from none to longer than garbage collection waits."""
        return self._rng.expovariate(1 / self._rng.choice((0.1, 3.0, 10.0, 60.0, 2 * HOUR)))

    def _begin(self, request: Request, delay: float, reply: asyncio.Future[Any] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(request, delay, reply))
        number = id(task)
        self._pending[number] = task
        task.add_done_callback(lambda _: self._pending.pop(number))

    async def _carry(
        self, request: Request, delay: float, reply: asyncio.Future[Any] | None
    ) -> None:
        await asyncio.sleep(delay)
        try:
            async with self._one_at_a_time:
                again = "again, " if reply is None else ""
                answer = await self._served.carry_out(
                    request, lambda what: self._note(request, again + what)
                )
        except StoreError as exc:
            self._note(request, repr(exc))
            if reply is not None and not reply.done():
                reply.set_exception(exc)
        except Exception as exc:  # noqa: BLE001  # a broken rule ends the run, whatever it is
            self._failed(exc)
        else:
            if reply is not None and not reply.done():
                reply.set_result(answer)

    def _note(self, request: Request, what: str) -> None:
        about = f"{request.operation}: " if request.operation else ""
        self._trace.add(request.process.name, f"{about}{request} {what}")


class Process:
    """A process on the network.

    Attributes:
        name: of the process, in the trace.
        on_crash: ends the process; called during a request.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self._network = network
        self._dead = False
        self._paused_until = 0.0
        self._cut_off_until = 0.0
        self.on_crash: Callable[[], None] = lambda: None

    async def ready(self) -> None:
        """Wait while the process is paused; raise CancelledError if it has ended."""
        loop = asyncio.get_running_loop()
        while (left := self._paused_until - loop.time()) > 0:
            await asyncio.sleep(left)
        if self._dead:
            raise asyncio.CancelledError

    def pause(self, seconds: float) -> None:
        """Pause the process from now on."""
        now = asyncio.get_running_loop().time()
        self._paused_until = max(self._paused_until, now + seconds)

    def cut_off(self, seconds: float) -> None:
        """Lose all requests of the process from now on."""
        self._cut_off_until = asyncio.get_running_loop().time() + seconds

    def is_cut_off(self) -> bool:
        return asyncio.get_running_loop().time() < self._cut_off_until

    async def crash(self) -> None:
        """End the process."""
        self.on_crash()
        await self.ready()

    def cut(self) -> None:
        """Let no further request of this process reach the store."""
        self._dead = True

    async def ask(self, name: str, *arguments: Any, **flags: Any) -> Any:
        """Send a request over the network, and wait for its reply."""
        return await self._network.ask(self, name, arguments, flags)
