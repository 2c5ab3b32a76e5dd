"""A replica: serves sessions in a process that may be killed at any time and is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from checkpoint._async.checkpointer import AsyncCheckpointer
from checkpoint._limits import Limits
from checkpoint._records.header import Writer
from checkpoint._records.retention import Retention
from checkpoint._runtime.cache import CACHE_BYTES, Cache
from checkpoint._runtime.keywatch import KeyWatch
from checkpoint._runtime.options import Options
from checkpoint._state.schema import ModelSchema
from checkpoint.store import AsyncStore
from checkpoint.testing.simulator.network import Process
from checkpoint.testing.simulator.operation import Simulated
from checkpoint.testing.simulator.states import Live
from checkpoint.testing.simulator.workers import Worker

if TYPE_CHECKING:
    from checkpoint.testing.simulator.world import World

NAMESPACE = "simulated"
_BEGIN = 1_700_000_000  # start of all runs, in seconds since 1970


class _Options(Options[Simulated]):
    """Options with a simulated writer: a real process id would change the trace."""

    def writer(self) -> Writer:
        name, _, process = self.replica.partition("/")
        return Writer("simulated", int(process), name)


def clock(now: Callable[[], float], offset: float = 0.0) -> Callable[[], int]:
    """A clock in microseconds since 1970, off by so many seconds."""
    return lambda: int((_BEGIN + now() + offset) * 1e6)


def checkpointer(
    store: AsyncStore,
    clock: Callable[[], int],
    name: str,
    cache_bytes: int,
    retention: Retention | None = None,
) -> AsyncCheckpointer[Simulated]:
    """A checkpointer like that of ``open_async``, with the given clock."""
    schema = ModelSchema(Simulated)
    options = _Options(
        store="simulated",
        schema=schema,
        namespace=NAMESPACE,
        replica=name,
        limits=Limits(),
        adapter=None,
        watch=KeyWatch(),
        cache=Cache(cache_bytes, schema.memories),
        retention=retention,
        clock=clock,
    )
    return AsyncCheckpointer(store, options)


class Replica:
    """A replica and its successive processes.

    Attributes:
        name: of the replica.
        process: how many processes it has had.
        checkpointer: of the current process.
        lives: states that the current process keeps over several turns.
    """

    def __init__(self, world: World, name: str, workers: int) -> None:
        self.name = name
        self.process = 0
        self.checkpointer: AsyncCheckpointer[Simulated]
        self.lives: list[Live] = []
        self._world = world
        self._workers = workers
        self._offset = 0.0
        self._cache_bytes = world.rng.choice((0, 20_000, CACHE_BYTES))
        self.set_clock()

    async def serve(self) -> None:
        """Work, in one process after the other, until all operations are done."""
        while self._world.operations_left > 0:
            self.process += 1
            process, store = self._world.connect(f"{self.name}/{self.process}")
            self.checkpointer = checkpointer(
                store, self.clock, process.name, self._cache_bytes, self._world.retention
            )
            self.lives = []
            loop = asyncio.get_running_loop()
            tasks = [
                loop.create_task(Worker(self._world, self).work()) for _ in range(self._workers)
            ]
            process.on_crash = partial(_end, process, tasks)
            await asyncio.wait(tasks)
            await asyncio.sleep(self._world.rng.expovariate(1 / 20))

    def clock(self) -> int:
        """Microseconds since 1970 by the clock of this replica's host."""
        return clock(self._world.now, self._offset)()

    def set_clock(self) -> None:
        """Set the clock, with an error that the weather allows."""
        skew = self._world.weather.skew
        self._offset = self._world.rng.uniform(-skew, skew)


def _end(process: Process, tasks: list[asyncio.Task[None]]) -> None:
    process.cut()
    for task in tasks:
        task.cancel()
