"""Maintenance methods of the checkpointer, such as ``delete``, ``prune`` and ``verify``."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Generic, TypeVar

from checkpoint._ids import check_id
from checkpoint.errors import InvalidOption

if TYPE_CHECKING:
    from checkpoint._async.engine import AsyncEngine
    from checkpoint._records.retention import Pruned, Retention
    from checkpoint._runtime.problems import Problem

S = TypeVar("S")

_HOUR = dt.timedelta(hours=1)


class AsyncUpkeep(Generic[S]):
    """The methods of a checkpointer that maintain its store."""

    _engine: AsyncEngine[S]

    async def delete(self, session_id: str) -> bool:
        """Delete a session with its revisions and labels, and return whether it existed.

        A tombstone stays, so that a writer with the old state gets ``Conflict``. Data shared with
        forks stays too, until the forks are gone.

        Raises:
            StoreError: the store failed; delete the session again to remove the rest.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return [await cp.delete("user-42"), await cp.delete("user-42")]
            >>> asyncio.run(main())
            [True, False]
        """
        from checkpoint._async.maintenance import delete

        return await delete(self._engine, self._engine.key(session_id))

    async def prune(
        self,
        session_id: str,
        retention: Retention | None = None,
        *,
        dry_run: bool = False,
        grace: dt.timedelta = _HOUR,
    ) -> Pruned:
        """Remove the revisions that a rule does not keep, and unreferenced pages.

        Safe alongside writers, readers and forks: a save in progress succeeds, and a reader gets
        its state or ``RevisionPruned``. Pages (parts of long states, stored once) that nothing
        references are removed only when older than ``grace``, so recent saves lose nothing.

        Args:
            session_id: the session.
            retention: the rule; by default the one given to ``open``. Without a rule, no revision
                is removed. If its ``ttl`` has passed, the session is deleted.
            dry_run: only report what would be removed.
            grace: keep pages younger than this.

        Raises:
            SessionNotFound: the session does not exist.
            Conflict: other writers saved or pruned the session first on every attempt.
            Damaged: the pages still needed are unknown, so none was removed; the revisions were.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         await cp.rollback("user-42", 1)
            ...         rule = checkpoint.Retention(keep_last=1)
            ...         return (await cp.prune("user-42", rule)).removed
            >>> asyncio.run(main())
            ((1, 1),)
        """
        from checkpoint._async.maintenance import prune

        key = self._engine.key(session_id)
        rule = self._rule(retention, grace)
        pruned = await prune(self._engine, key, rule, grace=grace, dry_run=dry_run)
        if pruned.problem is not None:
            raise pruned.problem
        return pruned

    async def sweep(
        self,
        retention: Retention | None = None,
        *,
        prefix: str = "",
        dry_run: bool = False,
        grace: dt.timedelta = _HOUR,
    ) -> AsyncIterator[Pruned]:
        """Prune every session of this namespace, and the remains of deleted ones.

        Each iteration prunes one session; if you stop early, the rest stay as they are. If a
        session cannot be pruned, the result's ``problem`` says why, and the sweep continues.

        Args:
            prefix: only sessions whose id begins with it.
            retention, dry_run, grace: see :meth:`prune`.

        Yields:
            The removals from each session, in byte order of their ids.

        Example:
            >>> from datetime import timedelta
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         rule = checkpoint.Retention(ttl=timedelta(days=90))
            ...         return [pruned.deleted async for pruned in cp.sweep(rule)]
            >>> asyncio.run(main())
            [False]
        """
        from checkpoint._async.listing import each_session
        from checkpoint._async.maintenance import sweep

        if prefix != "":
            check_id(prefix, "prefix of session ids")
        engine, rule = self._engine, self._rule(retention, grace)
        async for key in each_session(engine.store, engine.options.namespace, prefix):
            pruned = await sweep(engine, key, rule, grace=grace, dry_run=dry_run)
            if pruned is not None:
                yield pruned

    async def delete_revision(self, session_id: str, revision: int) -> Pruned:
        """Remove a single revision, such as one that contains a secret; the others stay.

        Later revisions keep the data they inherited from it. The turn that saved it still counts
        as delivered.

        Raises:
            InvalidOption: it is the newest revision, or has a label.
            SessionNotFound, RevisionNotFound, RevisionPruned: it does not exist.
            Conflict: other writers saved or pruned the session first on every attempt.
            Damaged: it or a revision after it cannot be read.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         for n in 1, 2, 3:
            ...             async with cp.turn("user-42") as turn:
            ...                 turn.state["n"] = n
            ...         await cp.delete_revision("user-42", 2)
            ...         return [snapshot.revision for snapshot in await cp.history("user-42")]
            >>> asyncio.run(main())
            [3, 1]
        """
        from checkpoint._async.rewriting import delete_revision

        if type(revision) is not int:
            raise InvalidOption(f"delete a revision by its number, not {revision!r:.40}")
        key = self._engine.key(session_id)
        deleted = await delete_revision(self._engine, key, revision)
        if deleted.problem is not None:
            raise deleted.problem
        return deleted

    async def verify(self, session_id: str) -> list[Problem]:
        """Read everything stored for a session, and report what is damaged or missing.

        It takes as long as reading every revision, and changes nothing.

        Returns:
            The problems, each with the revisions it affects; empty if there are none. All other
            revisions can be restored.

        Raises:
            SessionNotFound: the session does not exist.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return await cp.verify("user-42")
            >>> asyncio.run(main())
            []
        """
        from checkpoint._async.verify import verify

        return await verify(self._engine, self._engine.key(session_id))

    def _rule(self, given: Retention | None, grace: dt.timedelta) -> Retention | None:
        """The rule to apply.

        Raises:
            InvalidOption: the rule or the grace is invalid.
        """
        from checkpoint._records.retention import Retention

        if given is not None and not isinstance(given, Retention):
            raise InvalidOption(f"retention must be a checkpoint.Retention, not {given!r:.40}")
        if not isinstance(grace, dt.timedelta) or grace < dt.timedelta(0):
            raise InvalidOption(f"grace must be a timedelta of 0 or more, not {grace!r:.40}")
        return given or self._engine.options.retention
