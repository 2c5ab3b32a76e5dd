"""Operations that are turns: functions and ``async with`` blocks, delivered once or repeatedly."""

from __future__ import annotations

from checkpoint._runtime.snapshot import Snapshot
from checkpoint.errors import Conflict
from checkpoint.testing.simulator.acting import Acting, on_newest
from checkpoint.testing.simulator.history import broken
from checkpoint.testing.simulator.operation import Content, Operation, Seen, Simulated


class Turns(Acting):
    """Operations that are turns."""

    async def run(self, op: Operation) -> None:
        session_id, turn_id = op.key.session_id, self._world.turn_id(op.key)
        history, edit = self._ledger.of(op.key), self._edit(op)
        op.expected = on_newest(edit)
        op.result = op.number if turn_id else None

        window = self._window()

        async def turn(state: Simulated) -> int:
            self._check_newest(op, Seen.of(state, window))
            await self._think(op)
            await self._load(state)
            edit.make(state)
            return op.number

        result = await self._cp.run(session_id, turn, turn_id=turn_id, window=window)
        if result == op.number:
            if not op.writes:
                broken("lost", f"{op} returned, but was not saved")
        elif not any(
            write.operation and write.operation.result == result
            for write in history.writes
            if turn_id and write.header.turn_id == turn_id
        ):
            broken("wrong result", f"{op} got {result} for turn {turn_id}")

    async def turn(self, op: Operation) -> None:
        turn_id, edit = self._world.turn_id(op.key), self._edit(op)
        op.expected = on_newest(edit)
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
                    await self._think(op)
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
            is_old = any(seen.fits(write.content) for write in history.writes)
            is_new = seen.fits(Content())
            rule = "false absence" if is_new else "stale read" if is_old else "wrong state"
            broken(rule, f"{op} got {seen}")

    def _check_replayed(
        self, op: Operation, turn_id: str | None, snapshot: Snapshot | None, seen: Seen
    ) -> None:
        assert snapshot is not None
        history = self._ledger.of(op.key)
        found = [w.header.revision for w in history.writes if w.header.turn_id == turn_id]
        if snapshot.turn_id == turn_id:
            self._ledger.check_read(op, snapshot, seen, asked=snapshot.revision)
        elif history.removed & {*found}:  # the turn is known, but its revision was removed
            self._ledger.check_read(op, snapshot, seen)
        else:
            broken("wrong result", f"{op} got {snapshot} for turn {turn_id}")
