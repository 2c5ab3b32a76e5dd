"""A run: replicas, their network and their store, from one seed to a report."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from traceback import format_exception
from typing import Protocol

from checkpoint._ids import SessionKey
from checkpoint._records.retention import Retention
from checkpoint._runtime.cache import CACHE_BYTES
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import AsyncStore, Store
from checkpoint.testing.simulator import loop as virtual
from checkpoint.testing.simulator.history import Violation
from checkpoint.testing.simulator.ledger import Ledger
from checkpoint.testing.simulator.network import Network, Process, Served
from checkpoint.testing.simulator.operation import Operation
from checkpoint.testing.simulator.replica import NAMESPACE, Replica, checkpointer, clock
from checkpoint.testing.simulator.stores import SharedStore
from checkpoint.testing.simulator.trace import Trace
from checkpoint.testing.simulator.weather import CALM, HOUR, Weather, draw
from checkpoint.testing.simulator.workers import WEIGHTS

_NAMES = "abcd"
_UPKEEP = ("prune", "delete_revision", "delete")
# Operations on a session while another operation on it is interrupted between two steps.
_UNEXPECTED = ("prune", "prune", "delete_revision", "delete_revision", "fork", "delete")
_UNEXPECTED_BY_UPKEEP = ("overwrite", "overwrite", "run", "create", "label", "delete", "prune")
_OLD = 72 * HOUR
"""Seconds after which no operation is pending, and all garbage must be collected."""


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Attributes:
        seed: of the run.
        violation: the broken rule, or another unexpected error; None if the run succeeded.
        trace: the events of the run.
        requests: how many were sent to the store.
        revisions: how many were written.
        operations: how many of each kind were begun.
    """

    seed: int
    violation: BaseException | None
    trace: Trace
    requests: int
    revisions: int
    operations: Counter[str]


def simulate(
    seed: int,
    *,
    store: Callable[[], Store | AsyncStore] = InMemoryStore,
    operations: int = 150,
    weather: Weather | None = None,
) -> Report:
    """Run replicas against a store. The seed determines the whole run.

    Args:
        seed: decides everything.
        store: makes the store. It may not use threads, sockets or the clock of the host.
        operations: how many calls the replicas make together.
        weather: the faults; drawn from the seed if None.

    Example:
        >>> simulate(1, operations=10).violation is None
        True
    """
    return run(seed, lambda rng, _: SharedStore(store(), rng), operations, weather)


class Shared(Served, Protocol):
    """The storage that the processes of all replicas share.

    Attributes:
        ledger: records all requests that take effect, in order.
    """

    ledger: Ledger

    def reach(self, process: Process | None) -> AsyncStore:
        """The store of a new process; for None, one without a network."""

    def flip(self, key: SessionKey) -> str | None:
        """Flip a byte in a stored part of a session; return which part, for the trace."""

    def heal(self) -> None:
        """Undo all flips."""

    def check_end(self) -> None:
        """Check that no garbage is left."""


Clock = Callable[[], int]
"""Microseconds since 1970."""


def run(
    seed: int,
    shared: Callable[[Random, Clock], Shared],
    operations: int,
    weather: Weather | None,
) -> Report:
    """:func:`simulate` on the storage that ``shared`` makes of a random generator and a clock."""

    async def main(loop: virtual.VirtualLoop) -> Report:
        return await World(seed, loop, shared, operations, weather).run()

    return virtual.run(seed, main)


class World:
    """The shared state of a run.

    Attributes:
        rng: decides the operations of replicas and their faults.
        operations_left: how many more to begin.
        texts: probability that an edit changes the text of a state.
        retention: the rule for pruning sessions when they are saved.
    """

    def __init__(
        self,
        seed: int,
        loop: virtual.VirtualLoop,
        shared: Callable[[Random, Clock], Shared],
        operations: int,
        weather: Weather | None,
    ) -> None:
        self.rng = Random(seed)
        self.now = loop.time
        self.weather = weather or draw(self.rng)
        self._sticky = self.rng.choice((0.0, 0.0, 0.8, 1.0))
        self.texts = self.rng.choice((0.0, 0.1, 0.7))
        self.retention = self.rng.choice((None, None, Retention(keep_last=3)))
        self._weights = {kind: w * self.rng.choice((0.2, 1, 1, 4)) for kind, w in WEIGHTS.items()}
        self.trace = Trace(loop.time)
        self.operations_left = operations
        self._shared = shared(self.rng, clock(self.now))
        reader = checkpointer(self._shared.reach(None), lambda: 0, "checker/0", CACHE_BYTES)
        self.ledger = self._shared.ledger = Ledger(reader)
        self._network = Network(
            self._shared,
            self.trace,
            self.rng,
            self.weather,
            self.failed,
            self.interrupted,
        )
        self._interrupted: list[Operation] = []
        self._seed = seed
        self._kinds: Counter[str] = Counter()
        self._failure: asyncio.Future[None] = loop.create_future()
        self._turns: dict[SessionKey, list[str]] = {}
        self._labelled: dict[tuple[SessionKey, str], set[int]] = {}
        self._keys = [
            SessionKey(NAMESPACE, f"s{number}") for number in range(self.rng.choice((1, 2, 4, 8)))
        ]

    async def run(self) -> Report:
        """Let replicas work until all operations are done; then check the store."""
        loop = asyncio.get_running_loop()
        self.trace.add("world", f"seed {self._seed}: {self.weather}")
        names = _NAMES[: self.rng.randint(2, 4)]
        replicas = [Replica(self, name, self.rng.randint(1, 2)) for name in names]
        work = loop.create_task(self._all(replicas))
        await asyncio.wait([work, self._failure], return_when=asyncio.FIRST_COMPLETED)
        if work.done() and not self._failure.done():
            try:
                work.result()
            except Exception as exc:  # noqa: BLE001  # the report contains any error
                self.failed(exc)
        failure = self._failure.exception() if self._failure.done() else None
        if failure is not None:
            where = "" if isinstance(failure, Violation) else "".join(format_exception(failure))
            self.trace.add("world", f"{type(failure).__name__}: {failure}\n{where}".rstrip())
        return Report(
            seed=self._seed,
            violation=failure,
            trace=self.trace,
            requests=self._network.requests,
            revisions=sum(self.ledger.lengths().values()),
            operations=self._kinds,
        )

    async def _check_the_end(self) -> None:
        """Check all stored revisions; then, when all are old, that no garbage is left."""
        await self.ledger.check_all()
        await asyncio.sleep(_OLD)
        process, store = self.connect("janitor/1")
        janitor = checkpointer(store, clock(self.now), process.name, CACHE_BYTES)
        for _ in range(3):  # pages released by a fork are collected in the next round
            async for pruned in janitor.sweep():
                if pruned.problem is not None:
                    raise pruned.problem
        await self.ledger.check_all()
        self._shared.check_end()

    async def _all(self, replicas: list[Replica]) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(replica.serve()) for replica in replicas))
        self._network.weather = CALM
        self._shared.heal()
        await self._network.idle()
        await self._check_the_end()

    def failed(self, failure: BaseException) -> None:
        """End the run: a rule was broken."""
        if not self._failure.done():
            self._failure.set_exception(failure)

    def connect(self, name: str) -> tuple[Process, AsyncStore]:
        """A new process, and its store."""
        self.trace.add(name, "starts")
        process = Process(self._network, name)
        return process, self._shared.reach(process)

    # --- chance ----------------------------------------------------------------------------------

    def begin(self, replica: str) -> Operation:
        """Draw the next operation: any kind, on any session."""
        (kind,) = self.rng.choices([*self._weights], [*self._weights.values()])
        key = self._some_session(kind, replica)
        if self._interrupted and self.rng.random() < 0.8:
            held = self._interrupted.pop()
            key, kinds = held.key, [*_UNEXPECTED]
            if held.source is not None:
                key, kinds = held.source, ["prune", "delete"]
            elif held.kind in _UPKEEP:
                kinds = [*_UNEXPECTED_BY_UPKEEP]
            kind = self.rng.choice(kinds)
        if self.rng.random() < self.weather.rot:
            self._rot()
        self.operations_left -= 1
        self._kinds[kind] += 1
        op = Operation(self._kinds.total(), replica, kind, key, self.ledger.lengths())
        op.labels = self.ledger.labels()
        op.rule = self.retention
        return op

    def interrupted(self, op: Operation) -> None:
        """An operation was interrupted: soon begin an interfering one on the same session."""
        self._interrupted.append(op)

    def _some_session(self, kind: str, replica: str) -> SessionKey:
        """Draw a session: some are busy, some stay on one replica; maintenance visits all."""
        if kind in ("prune", "fork", "delete", "delete_revision"):
            return self.rng.choice(self._keys)
        if self.rng.random() < self._sticky:
            return self._keys[_NAMES.index(replica) % len(self._keys)]
        return self._keys[int(len(self._keys) * self.rng.random() ** 2)]

    def _rot(self) -> None:
        """Flip a byte somewhere, or undo all flips."""
        key = self.rng.choice(self._keys)
        if self.rng.random() < 0.5:
            self._shared.heal()
        elif part := self._shared.flip(key):
            self.trace.add("world", f"a byte flips in {part} of {key}")

    def other_session(self, key: SessionKey) -> SessionKey:
        """Draw another session, perhaps one that never existed."""
        others = [other for other in self._keys if other != key]
        gone = [other for other in others if not self.ledger.of(other).alive]
        if gone and self.rng.random() < 0.5:
            return self.rng.choice(gone)
        if not others or (self.rng.random() < 0.2 and len(self._keys) < 8):
            others = [SessionKey(NAMESPACE, f"s{len(self._keys)}")]
            self._keys += others
        return self.rng.choice(others)

    def turn_id(self, key: SessionKey) -> str | None:
        """Draw None, the id of a new turn, or that of an earlier turn."""
        if self.rng.random() < 0.5:
            return None
        turns = self._turns.setdefault(key, [])
        if turns and self.rng.random() < 0.4:
            return self.rng.choice(turns[-5:])
        turns.append(f"turn-{self._kinds.total()}")
        return turns[-1]

    def labelled(self, key: SessionKey, label: str) -> set[int]:
        """All revisions that this label ever named."""
        return self._labelled.setdefault((key, label), set())

    def pause(self) -> float:
        """Draw the seconds until the next operation."""
        if self.rng.random() < self.weather.idle:
            return self.rng.expovariate(1 / (2 * HOUR))
        return self.rng.expovariate(1 / self.rng.choice((0.01, 0.1, 3.0)))
