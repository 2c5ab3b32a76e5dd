"""The base class of operations: restores, random choices and conflict checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from checkpoint._async.checkpointer import AsyncCheckpointer
from checkpoint._records.header import RecordHeader
from checkpoint._runtime.snapshot import Restored
from checkpoint.testing.simulator.history import History, broken
from checkpoint.testing.simulator.operation import (
    Content,
    Edit,
    Operation,
    Seen,
    Simulated,
    draw_edit,
)
from checkpoint.testing.simulator.weather import HOUR

if TYPE_CHECKING:
    from checkpoint.testing.simulator.replica import Replica
    from checkpoint.testing.simulator.world import World


class Acting:
    """A task of a process. Subclasses have a method for each kind of operation."""

    def __init__(self, world: World, replica: Replica) -> None:
        self._world = world
        self._replica = replica
        self._rng = world.rng
        self._ledger = world.ledger

    @property
    def _cp(self) -> AsyncCheckpointer[Simulated]:
        return self._replica.checkpointer

    def _note(self, op: Operation, what: str) -> None:
        self._world.trace.add(f"{self._replica.name}/{self._replica.process}", f"{op} {what}")

    async def _restored(self, op: Operation, revision: int | None = None) -> Restored[Simulated]:
        window = self._window()
        restored = await self._cp.restore(op.key.session_id, revision=revision, window=window)
        self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state, window), revision)
        if window is not None and self._rng.random() < 0.3:
            await self._load_all(op, restored)
        return restored

    async def _load_all(self, op: Operation, restored: Restored[Simulated]) -> None:
        """Some time later, load the items outside the window."""
        await self._think(op)
        await restored.state.memory.load()
        revision = restored.revision
        self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state), revision)

    def _check_conflict(self, op: Operation, origin: str | None) -> None:
        """Check that the head is no longer the origin of the state, else the conflict is false."""
        history = self._ledger.of(op.key)
        head = history.head
        if (head and head.header.write_id.hex() == origin) or (
            origin is None and len(history.writes) == op.began[op.key] and not history.alive
        ):
            broken("false conflict", f"{op} came from {head}, which is still the newest")

    # --- chance ----------------------------------------------------------------------------------

    def _edit(self, op: Operation, most: int = 4) -> Edit:
        edit = draw_edit(self._rng, str(op.number), most, self._world.texts)
        self._note(op, f"edit: {edit}")
        return edit

    def _some_revision(self, history: History) -> int:
        """A random revision, usually one of the newest."""
        newest = max(len(history.writes), 1)
        return max(1, newest - int(self._rng.expovariate(1 / 4)))

    def _window(self) -> int | None:
        return self._rng.choice((None, None, 1, 3, 8, 30))

    async def _load(self, state: Simulated) -> None:
        """Sometimes load older items of a windowed memory."""
        if state.memory and self._rng.random() < 0.2:
            start = self._rng.randrange(len(state.memory))
            await state.memory.load(start, start + self._rng.randint(1, 5))

    async def _think(self, op: Operation) -> None:
        """Wait as long as an agent takes for a turn; sometimes for hours."""
        mean = self._rng.choices((0.0, 0.5, 10.0, 2 * HOUR), (20, 50, 30, 1))[0]
        if mean:
            if mean > 1 and self._rng.random() < 0.6:
                self._world.interrupted(op)
            await asyncio.sleep(self._rng.expovariate(1 / mean))


def on_newest(edit: Edit) -> Callable[[History, RecordHeader], list[Content | None]]:
    """Expect an edit of the newest revision, which is the parent of the write."""

    def expected(history: History, header: RecordHeader) -> list[Content | None]:
        if header.parent_revision != len(history.writes):
            return []
        head = history.head
        return [edit.of((head and head.content) or Content())]

    return expected
