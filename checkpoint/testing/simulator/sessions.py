"""Operations on whole sessions: create, overwrite, fork, rollback, delete, label, list."""

from __future__ import annotations

from checkpoint._records.header import RecordHeader
from checkpoint.errors import Conflict
from checkpoint.testing.simulator.acting import Acting
from checkpoint.testing.simulator.history import History, broken
from checkpoint.testing.simulator.operation import Content, Operation
from checkpoint.testing.simulator.states import LABELS


class Sessions(Acting):
    """Operations on whole sessions."""

    async def create(self, op: Operation) -> None:
        content = self._edit(op, 30).of(Content())

        def expected(history: History, header: RecordHeader) -> list[Content | None]:
            return [] if history.alive else [content]

        op.expected = expected
        try:
            snapshot = await self._cp.save(op.key.session_id, content.new_state())
        except Conflict:
            self._check_conflict(op, None)
            raise
        self._ledger.check_saved(op, snapshot, content)

    async def overwrite(self, op: Operation) -> None:
        content = self._edit(op, 30).of(Content())
        op.expected = lambda history, header: [content]
        snapshot = await self._cp.overwrite(op.key.session_id, content.new_state())
        self._ledger.check_saved(op, snapshot, content)

    async def fork(self, op: Operation) -> None:
        op.source = source = op.key
        op.key = self._world.other_session(source)
        revision = (
            self._some_revision(self._ledger.of(source)) if self._rng.random() < 0.5 else None
        )

        def expected(history: History, header: RecordHeader) -> list[Content | None]:
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

    async def rollback(self, op: Operation) -> None:
        revision = self._some_revision(self._ledger.of(op.key))

        def expected(history: History, header: RecordHeader) -> list[Content | None]:
            write = history.at(revision)
            return [write.content] if write and history.alive else []

        op.expected = expected
        try:
            snapshot = await self._cp.rollback(op.key.session_id, revision)
        except Conflict:
            if len(self._ledger.of(op.key).writes) == op.began[op.key]:
                broken("false conflict", f"there was no other write during {op}")
            raise
        self._ledger.check_saved(op, snapshot, None)

    async def delete(self, op: Operation) -> None:
        op.expected = lambda history, header: [None] if history.alive else []
        deleted = await self._cp.delete(op.key.session_id)
        absent = self._ledger.of(op.key).was_absent(op.began[op.key])
        if deleted != bool(op.writes) or not (deleted or absent):
            broken("lost", f"{op} returned {deleted}")

    async def label(self, op: Operation) -> None:
        label = self._rng.choice(LABELS)
        revision = self._some_revision(self._ledger.of(op.key))
        self._world.labelled(op.key, label).add(revision)
        await self._cp.label(op.key.session_id, label, revision=revision)

    async def unlabel(self, op: Operation) -> None:
        await self._cp.unlabel(op.key.session_id, self._rng.choice(LABELS))

    async def history(self, op: Operation) -> None:
        listed = await self._cp.history(op.key.session_id)
        if op.rotten:
            return  # a listing cannot verify headers, which come without their bodies
        for snapshot in listed:
            self._ledger.check_saved(op, snapshot, None)
        began = op.began[op.key]
        found = [snapshot.revision for snapshot in listed]
        kept = {write.header.revision for write in self._ledger.of(op.key).kept()}
        missing = sorted(kept - {*found, *range(began + 1, max(kept, default=0) + 1)})
        if missing or found != sorted(found, reverse=True):
            broken("wrong history", f"{op} got {found}, without {missing}")

    async def sessions(self, op: Operation) -> None:
        listed = {info.session_id: info.revision async for info in self._cp.sessions()}
        for history in self._ledger.histories():
            began, revision = op.began[history.key], listed.get(history.key.session_id)
            if revision is None:
                right = history.was_absent(began)
            else:
                newest = [write.header.revision for write in history.since(began) if write.content]
                right = revision in newest
            if not right:
                broken("stale read", f"{op} got revision {revision} of {history.key}")
