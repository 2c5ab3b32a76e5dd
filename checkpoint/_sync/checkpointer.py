"""The checkpointer: saves and restores the sessions of one store."""

# Generated from checkpoint/_async/checkpointer.py by tools/unasync.py: change that one.

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic

from typing_extensions import TypeVar

from checkpoint._ids import check_id
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._runtime import log
from checkpoint._runtime.adapter import with_build
from checkpoint._runtime.lineage import Lineage
from checkpoint._runtime.options import Options
from checkpoint._runtime.snapshot import Restored, Snapshot
from checkpoint._runtime.waiting import Attempts, value
from checkpoint._serializer import Draft
from checkpoint._sync.engine import Engine
from checkpoint._sync.history import History
from checkpoint._sync.turn import Turn
from checkpoint._sync.upkeep import Upkeep
from checkpoint.errors import Conflict
from checkpoint.store import Store

S = TypeVar("S")
T = TypeVar("T", default=S)
R = TypeVar("R")


class Checkpointer(History[S], Upkeep[S], Generic[S, T]):
    """Saves and restores the sessions in one namespace of a store.

    Create one with :func:`checkpoint.open`; close it with ``with`` or :meth:`close`.
    It is safe to share between threads, and cheap to keep for the life of the process. It connects
    to the store on the first call.

    All methods raise ``InvalidId`` for an invalid id, ``StoreError`` if the store fails, and
    ``Damaged`` if stored bytes have changed. An outage is never reported as a missing session.
    """

    __module__ = "checkpoint"

    def __init__(self, store: Store, options: Options[S]) -> None:
        self._engine = Engine(store, options)
        self._store = store
        self._options = options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options})"

    def __enter__(self) -> Checkpointer[S, T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store's connections. Later calls raise ``StoreClosed``.

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
        build: Callable[[S], T] | None = None,
    ) -> Turn[S, T]:
        """Take a turn: restore the session on entry, and save it on exit.

        Nothing is saved if the body raises or changes nothing.

        Args:
            session_id: stable name of the session, 1 to 512 bytes of UTF-8.
            turn_id: your key for this turn, such as the id of the message. A turn delivered twice
                is saved once: the second has ``turn.replayed`` set. At least the last 32 turns are
                remembered.
            new: creates the first state of a new session; by default the model itself.
            window: number of newest items to load now for each memory; see :meth:`restore`.
            build: makes the agent of this turn, instead of the adapter's ``build``.

        Raises:
            Conflict: on exit, another writer saved the session first; nothing was written.
            SaveUnclear: on exit, the store stopped answering; the turn may have been saved.
            NotSerializable: on exit, a value would not be restored unchanged; nothing was written.
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
        adapter = with_build(self._options.adapter, build)
        key = self._engine.key(session_id)
        return Turn(self._engine, key, turn_id, new, window, adapter)

    def run(
        self,
        session_id: str,
        fn: Callable[[T], R],
        *,
        turn_id: str | None = None,
        new: Callable[[], S] | None = None,
        window: int | None = None,
        timeout: float = 60.0,
    ) -> R:
        """Run a turn as a function of the state, and retry it after a conflict.

        Args:
            fn: called with the state (with an adapter, the live agent). It may be called several
                times, so its effects outside the state must be safe to repeat.
            turn_id: your key for this turn. The result is stored with it, so it must be plain data.
                If the turn is delivered again, that result is returned without calling ``fn``
                (None if the earlier delivery was a :meth:`turn`, which stores no result).
            new: creates the first state of a new session; by default the model itself.
            window: number of newest items to load now for each memory; see :meth:`restore`.
            timeout: seconds to keep retrying after conflicts.

        Raises:
            Conflict: other writers saved the session first each time, for ``timeout`` seconds.
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
            result: R = value(fn(turn.agent))
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
    ) -> Restored[S, T]:
        """Restore the state of a session, at the newest or any other revision.

        Args:
            revision: number or label of the revision; None for the newest.
            window: number of newest items to load now for each field annotated ``Memory``; older
                items are loaded when they are used (see :class:`checkpoint.Memory`). None loads
                all.

        Raises:
            SessionNotFound: the session does not exist.
            RevisionNotFound, RevisionPruned: the revision or label does not exist, or was removed.
            SchemaMismatch, SchemaChanged, InvalidState: the stored state does not fit this model.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"memory": ["hi"]})
            >>> cp.restore("user-42").state
            {'memory': ['hi']}
        """
        key = self._engine.key(session_id)
        begun = self._engine.begin(key, revision, adapter=self._options.adapter, window=window)
        header = begun.lineage.known.header
        return Restored(begun.state, Snapshot.of(*key, header), begun.agent)

    def save(
        self, session_id: str, state: T, *, parent: Snapshot | None = None, branch: bool = False
    ) -> Snapshot:
        """Save a state: a restored one as the next revision, a new one as a new session.

        Args:
            state: an instance of the model (with an adapter, the live agent).
            parent: the snapshot that the state is based on. Needed only if the state is not the
                object from ``restore``, ``turn`` or an earlier ``save``, but a copy, a plain dict
                or another agent.
            branch: allow a parent older than the newest revision. The save becomes the newest
                revision all the same; its ``parent_revision`` is the parent.

        Returns:
            The new snapshot, or the parent's if the state did not change.

        Raises:
            Conflict: the session is not, or no longer, at the state's parent; nothing was written.
            NotSerializable, StateTooLarge: the state could not be restored; nothing was written.
            SaveUnclear: the store stopped answering; save the state again to find out.

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

    def overwrite(self, session_id: str, state: T) -> Snapshot:
        """Save a state as the newest revision, whatever other writers have saved.

        The only way to ignore a conflict, logged as a warning. Earlier revisions stay.

        Example:
            >>> cp = checkpoint.open("memory://")
            >>> _ = cp.save("user-42", {"n": 1})
            >>> cp.overwrite("user-42", {"n": 0}).revision
            2
        """
        key = self._engine.key(session_id)
        captured = self._engine.capture(state)

        def draft(tip: Tip | None) -> Draft | None:
            return self._engine.serialize(key, captured, Baseline(), tip, self._engine.header(tip))

        sent = self._engine.replace_head(key, draft)
        assert sent is not None  # a state without an origin is always saved
        self._engine.lineages.remember(state, Lineage(key, sent.after))
        log.warning("overwritten", session_id=session_id, revision=sent.record.revision)
        return Snapshot.of(*key, sent.tip.header)
