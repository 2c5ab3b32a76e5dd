"""The workers of a replica, which run one random operation after the other."""

from __future__ import annotations

import asyncio

from checkpoint.errors import CheckpointError
from checkpoint.testing.simulator.operation import CURRENT
from checkpoint.testing.simulator.sessions import Sessions
from checkpoint.testing.simulator.states import States
from checkpoint.testing.simulator.turns import Turns
from checkpoint.testing.simulator.upkeep import Upkeep

WEIGHTS = {
    "run": 30,
    "turn": 14,
    "restore": 10,
    "live_begin": 5,
    "live_save": 12,
    "save_copy": 4,
    "create": 2,
    "overwrite": 2,
    "fork": 7,
    "rollback": 3,
    "delete": 2,
    "label": 2,
    "unlabel": 1,
    "history": 1,
    "prune": 14,
    "sweep": 4,
    "delete_revision": 4,
    "verify": 2,
    "sessions": 1,
}
"""The relative frequency of each kind of operation. Each run varies these weights."""


class Worker(Turns, States, Sessions, Upkeep):
    """A task of a process."""

    async def work(self) -> None:
        """Run operations until all are done or the process ends."""
        try:
            while self._world.operations_left > 0:
                await asyncio.sleep(self._world.pause())
                if self._rng.random() < self._world.weather.leap:
                    self._replica.set_clock()
                await self._one()
        except Exception as exc:  # noqa: BLE001  # a broken rule ends the run, whatever it is
            self._world.failed(exc)

    async def _one(self) -> None:
        op = self._world.begin(self._replica.name)
        CURRENT.set(op)
        self._note(op, "begins")
        cancelled = self._rng.random() < self._world.weather.cancelled
        patience = self._rng.expovariate(1 / self._rng.choice((0.01, 5.0))) if cancelled else None
        try:
            async with asyncio.timeout(patience):
                await getattr(self, op.kind)(op)
        except TimeoutError:
            self._note(op, "was cancelled")
        except CheckpointError as exc:
            self._note(op, f"failed: {exc!r}")
            self._ledger.check_refused(op, exc)
        except asyncio.CancelledError:
            self._note(op, "ends with its process")
            raise
        else:
            self._note(op, "is done")
