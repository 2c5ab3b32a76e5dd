"""Operations on states: restore them, keep them over several turns, copy and save them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from checkpoint._ids import SessionKey
from checkpoint._records.header import RecordHeader
from checkpoint.errors import CheckpointError, Conflict
from checkpoint.testing.simulator.acting import Acting, on_newest
from checkpoint.testing.simulator.history import History, broken
from checkpoint.testing.simulator.operation import Content, Operation, Seen, Simulated

LABELS = ("x", "y")


@dataclass(eq=False)
class Live:
    """A state that a process keeps and saves again and again.

    Attributes:
        content: its current content.
        attempts: contents that were sent and may have been, or may yet be, written.
        operations: its saves.
        origin: the id of the write it was restored from.
        branch: whether a save of it was allowed on any head.
    """

    key: SessionKey
    state: Simulated
    content: Content
    attempts: list[Content] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    origin: bytes | None = None
    branch: bool = False

    def is_newest(self, history: History) -> bool:
        """Whether this state was restored from the newest revision, or saved as it."""
        own = {write.header.write_id for op in self.operations for write in op.writes}
        head = history.head
        return head is not None and head.header.write_id in own | {self.origin}

    def is_new(self) -> bool:
        """Whether it was neither restored from a revision nor saved yet."""
        return self.origin is None and not any(op.writes for op in self.operations)

    def expected(self, history: History, _: RecordHeader) -> list[Content | None]:
        """The contents that a write of this state may have now."""
        fits = self.is_newest(history) or (self.is_new() and not history.alive)
        return [*self.attempts] if self.branch or fits else []


class States(Acting):
    """Operations that restore and save states."""

    async def restore(self, op: Operation) -> None:
        history = self._ledger.of(op.key)
        kind = self._rng.random()
        if kind < 0.6:
            await self._restored(op)
        elif kind < 0.9:
            await self._restored(op, self._some_revision(history))
        else:
            label = self._rng.choice(LABELS)
            restored = await self._cp.restore(op.key.session_id, revision=label)
            asked = restored.revision
            self._ledger.check_read(op, restored.snapshot, Seen.of(restored.state), asked)
            if asked not in self._world.labelled(op.key, label):
                broken("wrong state", f"{op} got revision {asked} for label {label}")

    async def live_begin(self, op: Operation) -> None:
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
        assert write is not None  # check_read found it
        assert write.content is not None
        self._replica.lives.append(Live(op.key, restored.state, write.content, origin=origin))

    async def live_save(self, op: Operation) -> None:
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
        # An earlier save may still be unclear, if the session has forgotten its revision.
        op.troubled = any(earlier.troubled for earlier in live.operations)
        live.attempts.append(live.content)
        op.expected = live.expected
        try:
            snapshot = await self._cp.save(op.key.session_id, live.state, branch=branch)
        except Conflict as exc:
            self._note(op, f"conflict: {exc}")
            if any(write.content == live.content for write in op.writes):
                broken("false conflict", f"{op} took effect")
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

    async def save_copy(self, op: Operation) -> None:
        restored = await self._restored(op)
        await self._think(op)
        await restored.state.memory.load()  # a copy needs all items
        edit, copy = self._edit(op), restored.state.model_copy(deep=True)
        op.expected = on_newest(edit)
        write = self._ledger.of(op.key).at(restored.revision)
        assert write is not None  # check_read found it
        content = edit.of(write.content or Content())
        edit.make(copy)
        try:
            saved = await self._cp.save(op.key.session_id, copy, parent=restored.snapshot)
        except Conflict:
            self._check_conflict(op, restored.snapshot.write_id)
            raise
        self._ledger.check_saved(op, saved, content)
