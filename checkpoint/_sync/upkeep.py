"""The part of the face that is for those who run a store: ``delete``, ``prune``, ``verify``."""

# Generated from checkpoint/_async/upkeep.py by tools/unasync.py: change that one.

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from checkpoint._ids import check_id
from checkpoint.errors import InvalidOption

if TYPE_CHECKING:
    from checkpoint._records.retention import Pruned, Retention
    from checkpoint._runtime.problems import Problem
    from checkpoint._sync.engine import Engine

S = TypeVar("S")

_HOUR = dt.timedelta(hours=1)


class Upkeep(Generic[S]):
    """What a checkpointer does for the upkeep of its store."""

    _engine: Engine[S]

    def delete(self, session_id: str) -> bool:
        """Delete a session with all its revisions and labels; whether there was one.

        A tombstone stays, so that a writer that still holds the old state gets ``Conflict``. What
        forks of it share with it stays too, until they are gone.

        Raises:
            StoreError: the store did not answer; delete it again to remove what may be left.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> [cp.delete("user-42"), cp.delete("user-42")]
            [True, False]
        """
        from checkpoint._sync.maintenance import delete

        return delete(self._engine, self._engine.key(session_id))

    def prune(
        self,
        session_id: str,
        retention: Retention | None = None,
        *,
        dry_run: bool = False,
        grace: dt.timedelta = _HOUR,
    ) -> Pruned:
        """Remove the revisions of a session that a rule does not keep, and what nothing needs.

        Safe beside writers, readers and forks. A writer at work goes on; a reader gets its state,
        or ``RevisionPruned``. What was saved in the last minutes never goes by mistake: pages
        (parts of long states, stored once) that nothing names are removed once they are old.

        Args:
            session_id: the session.
            retention: the rule; by default the one given to ``open``, and without any, no revision
                is removed. With a ``ttl`` that is over, the session is deleted.
            dry_run: only tell what would be removed.
            grace: pages younger than this stay.

        Raises:
            SessionNotFound: there is no such session.
            Conflict: others saved or pruned it first, again and again.
            Damaged: it cannot be told what is needed. Revisions that go are removed all the same.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> _ = cp.rollback("user-42", 1)
            >>> rule = checkpoint.Retention(keep_last=1)
            >>> cp.prune("user-42", rule).removed
            ((1, 1),)
        """
        from checkpoint._sync.maintenance import prune

        key = self._engine.key(session_id)
        rule = self._rule(retention, grace)
        pruned = prune(self._engine, key, rule, grace=grace, dry_run=dry_run)
        if pruned.problem is not None:
            raise pruned.problem
        return pruned

    def sweep(
        self,
        retention: Retention | None = None,
        *,
        prefix: str = "",
        dry_run: bool = False,
        grace: dt.timedelta = _HOUR,
    ) -> Iterator[Pruned]:
        """Prune every session of this namespace, and what is left of deleted ones.

        The work is done as the result is iterated over: stop, and the rest stays as it is. What
        cannot be pruned of a session is told as its ``problem``, and the sweep goes on.

        Args:
            prefix: only sessions whose id begins with it.
            retention, dry_run, grace: see :meth:`prune`.

        Yields:
            What was removed, for each session, in byte order of their ids.

        Example:
            >>> from datetime import timedelta
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> rule = checkpoint.Retention(ttl=timedelta(days=90))
            >>> [pruned.deleted for pruned in cp.sweep(rule)]
            [False]
        """
        from checkpoint._sync.listing import each_session
        from checkpoint._sync.maintenance import sweep

        if prefix != "":
            check_id(prefix, "prefix of session ids")
        engine, rule = self._engine, self._rule(retention, grace)
        for key in each_session(engine.store, engine.options.namespace, prefix):
            pruned = sweep(engine, key, rule, grace=grace, dry_run=dry_run)
            if pruned is not None:
                yield pruned

    def delete_revision(self, session_id: str, revision: int) -> Pruned:
        """Remove one revision, such as one that holds what it must not; those around it stay.

        Later revisions keep what they took over from it. A turn that it saved still counts as
        delivered.

        Raises:
            InvalidOption: it is the newest, or has a label.
            SessionNotFound, RevisionNotFound, RevisionPruned: it is not there.
            Conflict: others saved or pruned the session first, again and again.
            Damaged: it, or what comes after it, cannot be read.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> for n in 1, 2, 3:
            ...     with cp.turn("user-42") as turn:
            ...         turn.state["n"] = n
            >>> _ = cp.delete_revision("user-42", 2)
            >>> [snapshot.revision for snapshot in cp.history("user-42")]
            [3, 1]
        """
        from checkpoint._sync.rewriting import delete_revision

        if type(revision) is not int:
            raise InvalidOption(
                f"a revision to delete is given by its number, not {revision!r:.40}"
            )
        key = self._engine.key(session_id)
        deleted = delete_revision(self._engine, key, revision)
        if deleted.problem is not None:
            raise deleted.problem
        return deleted

    def verify(self, session_id: str) -> list[Problem]:
        """Read all that is stored of a session, and tell what is damaged or missing.

        It takes as long as reading every revision; nothing is changed.

        Returns:
            The problems, each with the revisions that it hits; none if all is well. Revisions that
            no problem hits can be restored.

        Raises:
            SessionNotFound: there is no such session.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> cp.verify("user-42")
            []
        """
        from checkpoint._sync.verify import verify

        return verify(self._engine, self._engine.key(session_id))

    def _rule(self, given: Retention | None, grace: dt.timedelta) -> Retention | None:
        """The rule that counts.

        Raises:
            InvalidOption: what was given is not one, or the grace has no meaning.
        """
        from checkpoint._records.retention import Retention

        if given is not None and not isinstance(given, Retention):
            raise InvalidOption(f"a rule is a checkpoint.Retention(...), not {given!r:.40}")
        if not isinstance(grace, dt.timedelta) or grace < dt.timedelta(0):
            raise InvalidOption(f"grace is a timedelta from 0 up, not {grace!r:.40}")
        return given or self._engine.options.retention
