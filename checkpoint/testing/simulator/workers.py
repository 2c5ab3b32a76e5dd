"""What replicas do all day: turns, restores, saves of states they kept, and all the rest."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from checkpoint._async.checkpointer import AsyncCheckpointer
from checkpoint.errors import CheckpointError, Conflict
from checkpoint.ids import SessionKey
from checkpoint.record import Header
from checkpoint.retention import Pruned, Retention
from checkpoint.snapshot import Restored, Snapshot
from checkpoint.testing.simulator.ledger import History, broken
from checkpoint.testing.simulator.operation import (
    CURRENT,
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
}
"""How often each kind of operation is done. Each run does some of them more than others."""

_LABELS = ("x", "y")


@dataclass(eq=False)
class Live:
    """A state that a process keeps and saves again and again.

    Attributes:
        content: what it holds now.
        attempts: what was sent of it and may have been written, or may be yet.
        origins: ids of the writes that it came from or became.
        branch: some save of it was allowed to go on any head.
    """

    key: SessionKey
    state: Simulated
    content: Content
    attempts: list[Content] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    origin: bytes | None = None
    branch: bool = False

    def is_newest(self, history: History) -> bool:
        """Whether the newest revision is one that this state came from, or became."""
        own = {write.header.write_id for op in self.operations for write in op.writes}
        head = history.head
        return head is not None and head.header.write_id in own | {self.origin}

    def is_new(self) -> bool:
        """Whether it came from no revision, and has not become one yet."""
        return self.origin is None and not any(op.writes for op in self.operations)

    def expected(self, history: History, _: Header) -> list[Content | None]:
        """What a write of this state may hold, if it may be made now."""
        fits = self.is_newest(history) or (self.is_new() and not history.alive)
        return [*self.attempts] if self.branch or fits else []


class Worker:
    """One of the tasks of a process, which does one operation after the other."""

    def __init__(self, world: World, replica: Replica) -> None:
        self._world = world
        self._replica = replica
        self._rng = world.rng
        self._ledger = world.ledger

    @property
    def _cp(self) -> AsyncCheckpointer[Simulated]:
        return self._replica.checkpointer

    async def work(self) -> None:
        """Do operations until all are done, or the process ends."""
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
                await getattr(self, f"_{op.kind}")(op)
        except TimeoutError:
            self._note(op, "was given up")
        except CheckpointError as exc:
            self._note(op, f"failed: {exc!r}")
            self._ledger.check_refused(op, exc)
        except asyncio.CancelledError:
            self._note(op, "ends with its process")
            raise
        else:
            self._note(op, "is done")

    def _note(self, op: Operation, what: str) -> None:
        self._world.trace.add(f"{self._replica.name}/{self._replica.process}", f"{op} {what}")

    # --- turns -----------------------------------------------------------------------------------

    async def _run(self, op: Operation) -> None:
        session_id, turn_id = op.key.session_id, self._world.turn_id(op.key)
        history, edit = self._ledger.of(op.key), self._edit(op)
        op.expected = _on_newest(edit)
        op.result = op.number if turn_id else None

        window = self._window()

        async def turn(state: Simulated) -> int:
            self._check_newest(op, Seen.of(state, window))
            await self._think()
            await self._load(state)
            edit.make(state)
            return op.number

        result = await self._cp.run(session_id, turn, turn_id=turn_id, window=window)
        if result == op.number:
            if not op.writes:
                broken("lost", f"{op} was told that it is saved")
        elif not any(
            write.operation and write.operation.result == result
            for write in history.writes
            if turn_id and write.header.turn_id == turn_id
        ):
            broken("wrong result", f"{op} was told {result} for turn {turn_id}")

    async def _turn(self, op: Operation) -> None:
        turn_id, edit = self._world.turn_id(op.key), self._edit(op)
        op.expected = _on_newest(edit)
        window = self._window()
        turn = self._cp.turn(op.key.session_id, turn_id=turn_id, window=window)
        before: Snapshot | None = None
        try:
            async with turn:
                before, seen = turn.snapshot, Seen.of(turn.state, window)
                if turn.replayed:
                    self._check_replayed(op, turn_id, before, seen)
                else:
                    self._check_begun(op, before, seen)
                    await self._think()
                    await self._load(turn.state)
                    edit.make(turn.state)
        except Conflict:
            self._check_conflict(op, before.write_id if before else None)
            raise
        assert turn.snapshot is not None
        if not turn.replayed:
            parent = self._ledger.of(op.key).at(turn.snapshot.revision - 1)
            content = edit.of((parent and parent.content) or Content())
            self._ledger.check_saved(op, turn.snapshot, content)

    def _check_begun(self, op: Operation, snapshot: Snapshot | None, seen: Seen) -> None:
        if snapshot is not None:
            self._ledger.check_read(op, snapshot, seen)
        elif seen.length or not self._ledger.of(op.key).was_absent(op.began[op.key]):
            broken("false absence", f"{op} began with a new state")

    def _check_newest(self, op: Operation, seen: Seen) -> None:
        history, began = self._ledger.of(op.key), op.began[op.key]
        allowed = [write.content or Content() for write in history.since(began)]
        if history.was_absent(began):
            allowed.append(Content())
        if not any(map(seen.fits, allowed)):
            broken("stale read", f"{op} was given a state that is not the newest")

    def _check_replayed(
        self, op: Operation, turn_id: str | None, snapshot: Snapshot | None, seen: Seen
    ) -> None:
        assert snapshot is not None
        history = self._ledger.of(op.key)
        found = [w.header.revision for w in history.writes if w.header.turn_id == turn_id]
        if snapshot.turn_id == turn_id:
            self._ledger.check_read(op, snapshot, seen, asked=snapshot.revision)
        elif history.removed & {*found}:  # it is known to be done, and what it left is gone
            self._ledger.check_read(op, snapshot, seen)
        else:
            broken("wrong result", f"{op} was given {snapshot} for turn {turn_id}")

    def _check_conflict(self, op: Operation, origin: str | None) -> None:
        """A conflict is right only if the session is not at the state's origin any more."""
        history = self._ledger.of(op.key)
        head = history.head
        if (head and head.header.write_id.hex() == origin) or (
            origin is None and len(history.writes) == op.began[op.key] and not history.alive
        ):
            broken("false conflict", f"{op} came from {head}, which is the newest")

    # --- restores --------------------------------------------------------------------------------

    async def _restore(self, op: Operation) -> None:
        history = self._ledger.of(op.key)
        kind = self._rng.random()
        if kind < 0.6:
            await self._restored(op)
        elif kind < 0.9:
            await self._restored(op, self._some_revision(history))
        else:
            label = self._rng.choice(_LABELS)
            restored = await self._cp.restore(op.key.session_id, revision=label)
            asked = restored.revision
            self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state), asked)
            if asked not in self._world.labelled(op.key, label):
                broken("wrong state", f"{op} was given revision {asked} for label {label}")

    async def _restored(self, op: Operation, revision: int | None = None) -> Restored[Simulated]:
        window = self._window()
        restored = await self._cp.restore(op.key.session_id, revision=revision, window=window)
        self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state, window), revision)
        if window is not None and self._rng.random() < 0.3:
            await self._load_all(op, restored)
        return restored

    async def _load_all(self, op: Operation, restored: Restored[Simulated]) -> None:
        """Load what a window left out, some time later."""
        await self._think()
        await restored.state.memory.load()
        revision = restored.revision
        self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state), revision)

    async def _history(self, op: Operation) -> None:
        listed = await self._cp.history(op.key.session_id)
        if op.rotten:
            return  # headers are listed without their bodies, and cannot be verified
        for snapshot in listed:
            self._ledger.check_saved(op, snapshot, None)
        began = op.began[op.key]
        there = [snapshot.revision for snapshot in listed]
        kept = {write.header.revision for write in self._ledger.of(op.key).kept()}
        missing = sorted(kept - {*there, *range(began + 1, max(kept, default=0) + 1)})
        if missing or there != sorted(there, reverse=True):
            broken("wrong history", f"{op} was given {there}, without {missing}")

    # --- states that are kept ---------------------------------------------------------------------

    async def _live_begin(self, op: Operation) -> None:
        if self._rng.random() < 0.1:
            state = Simulated()
            self._replica.lives.append(Live(op.key, state, Content()))
            return
        revision = (
            self._some_revision(self._ledger.of(op.key)) if self._rng.random() < 0.2 else None
        )
        restored = await self._restored(op, revision)
        origin = bytes.fromhex(restored.snapshot.write_id)
        write = self._ledger.find(origin)
        assert write is not None  # it was checked
        assert write.content is not None
        self._replica.lives.append(Live(op.key, restored.state, write.content, origin=origin))

    async def _live_save(self, op: Operation) -> None:
        if not self._replica.lives:
            return
        live = self._replica.lives.pop(self._rng.randrange(len(self._replica.lives)))
        op.key = live.key
        if self._rng.random() < 0.9:
            edit = self._edit(op)
            edit.make(live.state)
            live.content = edit.of(live.content)
        branch = self._rng.random() < 0.1
        live.branch = live.branch or branch
        live.operations.append(op)
        live.attempts.append(live.content)
        op.expected = live.expected
        try:
            snapshot = await self._cp.save(op.key.session_id, live.state, branch=branch)
        except Conflict as exc:
            self._note(op, f"conflict: {exc}")
            if any(write.content == live.content for write in op.writes):
                broken("false conflict", f"{op} was written")
            if live.is_newest(self._ledger.of(op.key)):
                broken("false conflict", f"{op} came from the newest revision")
            if live.is_new() and len(live.operations) == 1:
                self._check_conflict(op, None)
            return
        except CheckpointError:
            self._replica.lives.append(live)
            raise
        except asyncio.CancelledError:
            self._replica.lives.append(live)
            raise
        self._ledger.check_saved(op, snapshot, live.content)
        live.attempts = [live.content]
        self._replica.lives.append(live)

    async def _save_copy(self, op: Operation) -> None:
        restored = await self._restored(op)
        await self._think()
        await restored.state.memory.load()  # what is not loaded is not copied
        edit, copy = self._edit(op), restored.state.model_copy(deep=True)
        op.expected = _on_newest(edit)
        write = self._ledger.of(op.key).at(restored.revision)
        assert write is not None  # it was checked
        content = edit.of(write.content or Content())
        edit.make(copy)
        try:
            saved = await self._cp.save(op.key.session_id, copy, parent=restored.snapshot)
        except Conflict:
            self._check_conflict(op, restored.snapshot.write_id)
            raise
        self._ledger.check_saved(op, saved, content)

    # --- new and other heads ----------------------------------------------------------------------

    async def _create(self, op: Operation) -> None:
        content = self._edit(op, 30).of(Content())

        def expected(history: History, header: Header) -> list[Content | None]:
            return [] if history.alive else [content]

        op.expected = expected
        try:
            snapshot = await self._cp.save(op.key.session_id, content.new_state())
        except Conflict:
            self._check_conflict(op, None)
            raise
        self._ledger.check_saved(op, snapshot, content)

    async def _overwrite(self, op: Operation) -> None:
        content = self._edit(op, 30).of(Content())
        op.expected = lambda history, header: [content]
        snapshot = await self._cp.overwrite(op.key.session_id, content.new_state())
        self._ledger.check_saved(op, snapshot, content)

    async def _fork(self, op: Operation) -> None:
        source, op.key = op.key, self._world.other_session(op.key)
        revision = (
            self._some_revision(self._ledger.of(source)) if self._rng.random() < 0.5 else None
        )

        def expected(history: History, header: Header) -> list[Content | None]:
            session_id, number = header.source or ("", 0)
            write = self._ledger.of(source).at(number)
            right = session_id == source.session_id and number == (revision or number)
            return [write.content] if write and right and not history.alive else []

        op.expected = expected
        try:
            snapshot = await self._cp.fork(source.session_id, op.key.session_id, revision=revision)
        except Conflict as exc:
            if exc.session_id == op.key.session_id:
                self._check_conflict(op, None)
            raise
        self._ledger.check_saved(op, snapshot, None)

    async def _rollback(self, op: Operation) -> None:
        revision = self._some_revision(self._ledger.of(op.key))

        def expected(history: History, header: Header) -> list[Content | None]:
            write = history.at(revision)
            return [write.content] if write and history.alive else []

        op.expected = expected
        try:
            snapshot = await self._cp.rollback(op.key.session_id, revision)
        except Conflict:
            if len(self._ledger.of(op.key).writes) == op.began[op.key]:
                broken("false conflict", f"nobody else wrote during {op}")
            raise
        self._ledger.check_saved(op, snapshot, None)

    async def _delete(self, op: Operation) -> None:
        op.expected = lambda history, header: [None] if history.alive else []
        deleted = await self._cp.delete(op.key.session_id)
        absent = self._ledger.of(op.key).was_absent(op.began[op.key])
        if deleted != bool(op.writes) or not (deleted or absent):
            broken("lost", f"{op} was told {deleted}")

    async def _label(self, op: Operation) -> None:
        label = self._rng.choice(_LABELS)
        revision = self._some_revision(self._ledger.of(op.key))
        self._world.labelled(op.key, label).add(revision)
        await self._cp.label(op.key.session_id, label, revision=revision)

    async def _unlabel(self, op: Operation) -> None:
        await self._cp.unlabel(op.key.session_id, self._rng.choice(_LABELS))

    # --- upkeep ----------------------------------------------------------------------------------

    async def _prune(self, op: Operation) -> None:
        op.rule = self._rule()
        op.expected = _expired
        pruned = await self._cp.prune(op.key.session_id, op.rule, grace=self._grace())
        self._check_pruned(op, pruned)

    async def _sweep(self, op: Operation) -> None:
        op.rule = self._rule()
        op.expected = _expired
        async for pruned in self._cp.sweep(op.rule, grace=self._grace()):
            self._check_pruned(op, pruned)

    def _check_pruned(self, op: Operation, pruned: Pruned) -> None:
        if pruned.problem is not None:
            self._ledger.check_refused(op, pruned.problem)
        history = self._ledger.of(SessionKey(pruned.namespace, pruned.session_id))
        for first, last in pruned.removed:
            left = [n for n in range(first, last + 1) if n not in history.removed]
            if left and not (pruned.deleted and history.writes[last].content is None):
                broken("wrong result", f"{op} was told that {left} of {history.key} are removed")

    def _grace(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._rng.choice((0, 0, 0, 300, 3600)))

    def _rule(self) -> Retention | None:
        match self._rng.randrange(4):
            case 0:
                return None
            case 1:
                return Retention(keep_for=dt.timedelta(hours=self._rng.choice((1, 6))))
            case _:
                return Retention(
                    keep_last=self._rng.choice((1, 3, 10)),
                    keep_labelled=self._rng.random() < 0.8,
                    ttl=dt.timedelta(hours=12) if self._rng.random() < 0.1 else None,
                )

    # --- chance ----------------------------------------------------------------------------------

    def _edit(self, op: Operation, most: int = 4) -> Edit:
        edit = draw_edit(self._rng, str(op.number), most)
        self._note(op, f"is to make an {edit}")
        return edit

    def _some_revision(self, history: History) -> int:
        """Most often one of the newest."""
        newest = max(len(history.writes), 1)
        return max(1, newest - int(self._rng.expovariate(1 / 4)))

    def _window(self) -> int | None:
        return self._rng.choice((None, None, 1, 3, 8, 30))

    async def _load(self, state: Simulated) -> None:
        """Now and then, look at older items of a windowed memory."""
        if state.memory and self._rng.random() < 0.2:
            start = self._rng.randrange(len(state.memory))
            await state.memory.load(start, start + self._rng.randint(1, 5))

    async def _think(self) -> None:
        """An agent takes its time for a turn; now and then, very much of it."""
        mean = self._rng.choices((0.0, 0.5, 20.0, 2 * HOUR), (20, 60, 15, 1))[0]
        if mean:
            await asyncio.sleep(self._rng.expovariate(1 / mean))


def _expired(history: History, _: Header) -> list[Content | None]:
    """All that upkeep may write is a tombstone."""
    return [None]


def _on_newest(edit: Edit) -> Callable[[History, Header], list[Content | None]]:
    """An edit of the newest revision, which is the parent of the write."""

    def expected(history: History, header: Header) -> list[Content | None]:
        if header.parent_revision != len(history.writes):
            return []
        head = history.head
        return [edit.of((head and head.content) or Content())]

    return expected
