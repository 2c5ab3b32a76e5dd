"""Maintenance operations: prune, sweep, delete revisions, verify."""

from __future__ import annotations

import datetime as dt

from checkpoint._ids import SessionKey
from checkpoint._records.header import RecordHeader
from checkpoint._records.retention import Pruned, Retention
from checkpoint.testing.simulator.acting import Acting
from checkpoint.testing.simulator.history import History, broken
from checkpoint.testing.simulator.operation import Content, Operation


class Upkeep(Acting):
    """Maintenance operations."""

    async def prune(self, op: Operation) -> None:
        rule = self._rule()
        op.rule = rule or self._world.retention
        op.expected = _expired
        pruned = await self._cp.prune(op.key.session_id, rule, grace=self._grace())
        self._check_pruned(op, pruned)

    async def sweep(self, op: Operation) -> None:
        rule = self._rule()
        op.rule = rule or self._world.retention
        op.expected = _expired
        async for pruned in self._cp.sweep(rule, grace=self._grace()):
            self._check_pruned(op, pruned)

    async def delete_revision(self, op: Operation) -> None:
        *older, _ = [w.header.revision for w in self._ledger.of(op.key).kept()] or [1]
        revision = self._rng.choice(older[-3:] or [1])
        op.rule = revision
        pruned = await self._cp.delete_revision(op.key.session_id, revision)
        self._check_pruned(op, pruned)
        if revision not in self._ledger.of(op.key).removed:
            broken("lost", f"{op} returned, but revision {revision} is not removed")

    async def verify(self, op: Operation) -> None:
        problems = await self._cp.verify(op.key.session_id)
        if problems and not op.rotten:
            broken("unreadable", f"{op} reported {problems}")

    def _check_pruned(self, op: Operation, pruned: Pruned) -> None:
        if pruned.problem is not None:
            self._ledger.check_refused(op, pruned.problem)
        history = self._ledger.of(SessionKey(pruned.namespace, pruned.session_id))
        for first, last in pruned.removed:
            left = [n for n in range(first, last + 1) if n not in history.removed]
            if left and not (pruned.deleted and history.writes[last].content is None):
                broken("wrong result", f"{op} reported {left} of {history.key} as removed")

    def _grace(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._rng.choice((0, 0, 0, 300, 3600)))

    def _rule(self) -> Retention | None:
        match self._rng.randrange(8):
            case 0:
                return None
            case 1:
                return Retention(keep_for=dt.timedelta(hours=self._rng.choice((1, 6))))
            case _:
                return Retention(
                    keep_last=self._rng.choice((1, 1, 3, 10)),
                    keep_labelled=self._rng.random() < 0.8,
                    ttl=dt.timedelta(hours=12) if self._rng.random() < 0.1 else None,
                )


def _expired(history: History, _: RecordHeader) -> list[Content | None]:
    """Maintenance may only write a tombstone."""
    return [None]
