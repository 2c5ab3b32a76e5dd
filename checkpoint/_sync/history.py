"""History methods of the checkpointer, such as ``history``, ``fork`` and ``rollback``."""

# Generated from checkpoint/_async/history.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from checkpoint._ids import check_id
from checkpoint._records.header import Kind, read_header
from checkpoint._records.labels import attachment_name
from checkpoint._runtime.snapshot import SessionInfo, Snapshot, from_micros
from checkpoint._sync.commits import EpochMoved
from checkpoint.errors import Damaged, UnsupportedFormat

if TYPE_CHECKING:
    from checkpoint._document.changes import Change
    from checkpoint._sync.engine import Engine

S = TypeVar("S")

_PAGE = 500  # sessions or records per listing request


class History(Generic[S]):
    """The methods of a checkpointer that work on revisions and whole sessions."""

    _engine: Engine[S]

    # --- history ---------------------------------------------------------------------------------

    def history(
        self, session_id: str, *, limit: int | None = None, before: int | None = None
    ) -> list[Snapshot]:
        """List the snapshots of a session, newest first. No state is loaded.

        Args:
            limit: maximum number of snapshots; None for all.
            before: only revisions below this one, to continue an earlier call.

        Raises:
            SessionNotFound: the session does not exist.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> [snapshot.revision for snapshot in cp.history("user-42")]
            [1]
        """
        key = self._engine.key(session_id)
        labels = self._engine.labels(key)
        found: list[Snapshot] = []
        while limit is None or len(found) < limit:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._engine.store.headers(key, before, wanted)
            for record, size in page:
                try:
                    header, _ = read_header(record)
                except (Damaged, UnsupportedFormat) as exc:
                    exc.at(key, record.revision)
                    raise
                if header.kind is not Kind.TOMBSTONE:
                    names = sorted(
                        n for n, revision in labels.items() if revision == record.revision
                    )
                    found.append(Snapshot.of(*key, header, labels=names, size=size))
                before = record.revision
            if len(page) < wanted:
                break
        if not found:
            self._engine.require_session(key)  # raises SessionNotFound
        return found

    def diff(self, session_id: str, old: int | str, new: int | str) -> list[Change]:
        """List the changes from one revision to another, even if their schemas differ.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> for n in 1, 2:
            ...     with cp.turn("user-42") as turn:
            ...         turn.state["n"] = n
            >>> [str(change) for change in cp.diff("user-42", 1, 2)]
            ['n = 2']
        """
        from checkpoint._document.changes import changes_of
        from checkpoint._document.diff import diff

        before = self.document(session_id, revision=old)
        after = self.document(session_id, revision=new)
        return changes_of(diff(before, after))

    def document(self, session_id: str, *, revision: int | str | None = None) -> Any:
        """Return a revision as plain data, whatever its schema; meant for tools.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> cp.document("user-42")
            {'n': 1}
        """
        return self._engine.document(self._engine.key(session_id), revision)

    # --- whole sessions --------------------------------------------------------------------------

    def fork(
        self, session_id: str, new_session_id: str, *, revision: int | str | None = None
    ) -> Snapshot:
        """Create a new session from a revision of this one (the newest if None).

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: the new session exists already.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> cp.fork("user-42", "what-if").source
            ('user-42', 1)
        """
        from checkpoint._sync.pinning import fork

        source, target = self._engine.key(session_id), self._engine.key(new_session_id)
        return fork(self._engine, source, target, revision)

    def rollback(self, session_id: str, revision: int | str) -> Snapshot:
        """Save an earlier revision again as the newest one. The history stays.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: another writer saved the session meanwhile.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> for n in 1, 2:
            ...     with cp.turn("user-42") as turn:
            ...         turn.state["n"] = n
            >>> _ = cp.rollback("user-42", 1)
            >>> cp.restore("user-42").state
            {'n': 1}
        """
        key = self._engine.key(session_id)
        while True:
            # Read the head first: while its epoch lasts, no page of the loaded revision is removed.
            tip = self._engine.require_session(key)
            loaded = self._engine.load(key, revision)
            with suppress(EpochMoved):
                source = (session_id, loaded.header.revision)
                return self._engine.copy(key, loaded, source, tip)

    def label(self, session_id: str, label: str, *, revision: int | str | None = None) -> Snapshot:
        """Name a revision (the newest if None), so that ``restore(revision=label)`` finds it.

        A label names one revision of its session; using it again moves it.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> _ = cp.label("user-42", "before the upgrade")
            >>> cp.restore("user-42", revision="before the upgrade").state
            {'n': 1}
        """
        check_id(label, "label")
        key = self._engine.key(session_id)
        header = self._engine.label(key, label, revision)
        return Snapshot.of(*key, header, labels=[label])

    def unlabel(self, session_id: str, label: str) -> bool:
        """Remove a label, and return whether it existed. The revision stays.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> _ = cp.label("user-42", "old")
            >>> [cp.unlabel("user-42", "old") for _ in "ab"]
            [True, False]
        """
        name = attachment_name(check_id(label, "label"))
        return self._engine.store.detach(self._engine.key(session_id), 0, name)

    def sessions(self, prefix: str = "") -> Iterator[SessionInfo]:
        """List the sessions of this namespace, in byte order of their ids.

        Args:
            prefix: only ids that begin with it.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user/42", {})
            >>> [session.session_id for session in cp.sessions("user/")]
            ['user/42']
        """
        if prefix != "":
            check_id(prefix, "prefix of session ids")
        namespace = self._engine.options.namespace
        after: str | None = None
        while True:
            page = self._engine.store.sessions(namespace, prefix, after, _PAGE)
            for session_id, head in page:
                yield SessionInfo(namespace, session_id, head.revision, from_micros(head.saved_at))
            if len(page) < _PAGE:
                return
            after = page[-1][0]
