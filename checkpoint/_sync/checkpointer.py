"""The face of the library: sessions saved to and restored from one store."""

# Generated from checkpoint/_async/checkpointer.py by tools/unasync.py: change that one.

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from checkpoint._ids import check_id
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.header import Kind, read_header
from checkpoint._records.labels import attachment_name
from checkpoint._runtime import log
from checkpoint._runtime.lineage import Lineage
from checkpoint._runtime.options import Options
from checkpoint._runtime.snapshot import (
    Restored,
    SessionInfo,
    Snapshot,
    from_micros,
)
from checkpoint._runtime.waiting import Attempts, value
from checkpoint._serializer import Draft
from checkpoint._sync.commits import EpochMoved
from checkpoint._sync.engine import Engine
from checkpoint._sync.turn import Turn
from checkpoint._sync.upkeep import Upkeep
from checkpoint.errors import Conflict, Damaged, UnsupportedFormat
from checkpoint.store import Store

if TYPE_CHECKING:
    from checkpoint._document.changes import Change

S = TypeVar("S")
R = TypeVar("R")

_PAGE = 500  # sessions or records asked for at once in a listing


class Checkpointer(Upkeep[S]):
    """Saves and restores the sessions of one namespace of one store.

    Made by :func:`checkpoint.open`; use it with ``with``, or call :meth:`close`.
    It is safe to share between threads, and cheap to keep for the life of the process. Nothing is
    connected before the first call.

    All methods raise ``InvalidId`` for an id that cannot be kept, ``StoreError`` when the store
    cannot do its part, and ``Damaged`` when stored bytes are not what was written. An outage is
    never told as a missing session.
    """

    def __init__(self, store: Store, options: Options[S]) -> None:
        self._engine = Engine(store, options)
        self._store = store
        self._options = options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options})"

    def __enter__(self) -> Checkpointer[S]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the store's connections. Calls after this raise ``StoreClosed``.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> cp.close()
        """
        self._store.close()

    # --- turns -----------------------------------------------------------------------------------

    def turn(
        self,
        session_id: str,
        *,
        turn_id: str | None = None,
        new: Callable[[], S] | None = None,
        window: int | None = None,
    ) -> Turn[S]:
        """A turn of a session: restored when it is entered, saved when it is left.

        Nothing is saved when the body raises, or when it changed nothing.

        Args:
            session_id: stable name of the session, 1 to 512 bytes of UTF-8.
            turn_id: your key of this turn, such as the id of the message. A turn delivered twice
                is saved once: the second has ``turn.replayed`` set. The last 32 turns, at least,
                are remembered.
            new: makes the first state of a session that has none; the model itself by default.
            window: how many of the newest items of each memory to fetch now; see :meth:`restore`.

        Raises:
            Conflict: on exit, somebody else saved the session meanwhile; nothing was written.
            SaveUnclear: on exit, the store stopped answering.
            NotSerializable: on exit, a value would not come back as it is; nothing was written.
            SchemaMismatch: on entry, the session was saved with another schema or version.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> with cp.turn("user-42") as turn:
            ...     turn.state["greeted"] = True
            >>> turn.revision
            1
        """
        if turn_id is not None:
            check_id(turn_id, "turn id")
        return Turn(self._engine, self._engine.key(session_id), turn_id, new, window)

    def run(
        self,
        session_id: str,
        fn: Callable[[S], R],
        *,
        turn_id: str | None = None,
        new: Callable[[], S] | None = None,
        window: int | None = None,
        timeout: float = 60.0,
    ) -> R:
        """Run a turn as a function of the state; after a conflict, again on the fresh state.

        Args:
            fn: called with the state (with an adapter, the live agent). It may be called several
                times, so what it does outside of the state should bear being done again.
            turn_id: your key of this turn. The result is stored with it, so it must be plain data,
                and is returned without a call of ``fn`` when the turn is delivered again. (None,
                if the earlier delivery was a :meth:`turn`, which stores no result.)
            new: makes the first state of a session that has none.
            window: how many of the newest items of each memory to fetch now; see :meth:`restore`.
            timeout: seconds during which conflicts are retried.

        Raises:
            Conflict: the session was saved by others each time, for ``timeout`` seconds.
            SaveUnclear, NotSerializable, SchemaMismatch: see :meth:`turn`.

        Example:
            >>> def count(state):
            ...     state["n"] = state.get("n", 0) + 1
            ...     return state["n"]
            >>> cp = checkpoint.open("memory://")
            >>> [cp.run("user-42", count, turn_id="message-1") for _ in "ab"]
            [1, 1]
        """
        deadline = time.monotonic() + timeout
        attempts = Attempts(sys.maxsize)
        while True:
            next(attempts)
            turn = self.turn(session_id, turn_id=turn_id, new=new, window=window)
            turn.__enter__()
            if turn.replayed:
                earlier: R = turn.result
                return earlier
            result: R = value(fn(turn.state if turn.agent is None else turn.agent))
            try:
                turn.finish(result)
            except Conflict:
                if time.monotonic() > deadline:
                    raise
            else:
                return result

    # --- restore and save ------------------------------------------------------------------------

    def restore(
        self,
        session_id: str,
        *,
        revision: int | str | None = None,
        window: int | None = None,
    ) -> Restored[S]:
        """Rebuild the state of a session, the newest or any revision of it.

        Args:
            revision: a revision's number or label; None for the newest.
            window: how many of the newest items to fetch now, of each field annotated ``Memory``;
                older ones are fetched when they are touched (see :class:`checkpoint.Memory`).
                None fetches all.

        Raises:
            SessionNotFound: there is no such session.
            RevisionNotFound, RevisionPruned: it has no such revision or label, or has it no more.
            SchemaMismatch, SchemaChanged, InvalidState: the stored state is not one of this model.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"memory": ["hi"]})
            >>> cp.restore("user-42").state
            {'memory': ['hi']}
        """
        key = self._engine.key(session_id)
        begun = self._engine.begin(key, revision, window=window)
        header = begun.lineage.known.header
        return Restored(begun.state, Snapshot.of(*key, header), begun.agent)

    def save(
        self, session_id: str, state: S, *, parent: Snapshot | None = None, branch: bool = False
    ) -> Snapshot:
        """Save a state: one that was restored, as its next revision; a new one, as a new session.

        Args:
            state: an instance of the model (with an adapter, the live agent).
            parent: what the state was made from, when it is not the very object that ``restore``,
                ``turn`` or an earlier ``save`` knows: a copy, a plain dict, another agent.
            branch: the parent may be older than the newest revision. The save becomes the newest
                all the same, and its ``parent_revision`` tells where it came from.

        Returns:
            The snapshot; that of the parent, when the state did not change.

        Raises:
            Conflict: the session is not at the state's parent (any more); nothing was written.
            NotSerializable, StateTooLarge: it would not come back; nothing was written.
            SaveUnclear: the store stopped answering; save again to find out.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> restored = cp.restore("user-42")
            >>> restored.state["n"] = 2
            >>> cp.save("user-42", restored.state).revision
            2
        """
        key = self._engine.key(session_id)
        lineage = self._engine.lineage_of(state, key, parent)
        saved = self._engine.save(state, lineage, branch=branch)
        assert saved is not None  # only a turn's first state may have nothing to save
        return Snapshot.of(*key, saved)

    def overwrite(self, session_id: str, state: S) -> Snapshot:
        """Save a state on top of whatever is there, without regard to what others saved.

        The one way to ignore a conflict; it is logged as a warning. Earlier revisions stay.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> cp.overwrite("user-42", {"n": 0}).revision
            2
        """
        key = self._engine.key(session_id)
        captured = self._engine.capture(state)

        def whole(tip: Tip | None) -> Draft | None:
            return self._engine.serialize(key, captured, Baseline(), tip, self._engine.header(tip))

        sent = self._engine.replace_head(key, whole)
        assert sent is not None  # a state without an origin is always saved
        self._engine.lineages.remember(state, Lineage(key, sent.after))
        log.warning("overwritten", session_id=session_id, revision=sent.record.revision)
        return Snapshot.of(*key, sent.tip.header)

    # --- history ---------------------------------------------------------------------------------

    def history(
        self, session_id: str, *, limit: int | None = None, before: int | None = None
    ) -> list[Snapshot]:
        """The snapshots of a session, newest first; no state is loaded.

        Args:
            limit: at most this many; None for all.
            before: only revisions below this one, to go on where an earlier call ended.

        Raises:
            SessionNotFound: there is no such session.

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
            page = self._store.headers(key, before, wanted)
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
            self._engine.require_session(key)  # a missing session is told as that
        return found

    def diff(self, session_id: str, old: int | str, new: int | str) -> list[Change]:
        """What changed from one revision to another, of whatever schemas they are.

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
        """The stored document of a revision as plain data, whatever its schema: for tools.

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
        """Start a new session from a revision of this one (the newest, if None).

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: there is a session of the new id.

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
        """Make an earlier revision the newest again, as a new revision; history stays.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: the session was saved meanwhile.

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
            # The head first: while its epoch lasts, no page of what is loaded then is removed.
            tip = self._engine.require_session(key)
            loaded = self._engine.load(key, revision)
            with suppress(EpochMoved):
                place = (session_id, loaded.header.revision)
                return self._engine.copy(key, loaded, place, tip)

    def label(self, session_id: str, label: str, *, revision: int | str | None = None) -> Snapshot:
        """Name a revision (the newest, if None), so that ``restore(revision=label)`` finds it.

        A label names one revision of its session; labelling again moves it.

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
        """Remove a label; whether it was there. The revision stays.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> _ = cp.label("user-42", "old")
            >>> [cp.unlabel("user-42", "old") for _ in "ab"]
            [True, False]
        """
        name = attachment_name(check_id(label, "label"))
        return self._store.detach(self._engine.key(session_id), 0, name)

    def sessions(self, prefix: str = "") -> Iterator[SessionInfo]:
        """The sessions of this namespace, in byte order of their ids.

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
        namespace = self._options.namespace
        after: str | None = None
        while True:
            page = self._store.sessions(namespace, prefix, after, _PAGE)
            for session_id, head in page:
                yield SessionInfo(namespace, session_id, head.revision, from_micros(head.saved_at))
            if len(page) < _PAGE:
                return
            after = page[-1][0]
