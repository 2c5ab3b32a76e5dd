"""The face of the library: sessions saved to and restored from one store."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, overload

from typing_extensions import TypeVar

from checkpoint._async.engine import AsyncEngine
from checkpoint._async.history import AsyncHistory
from checkpoint._async.turn import AsyncTurn
from checkpoint._async.upkeep import AsyncUpkeep
from checkpoint._ids import check_id
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._runtime import log
from checkpoint._runtime.adapter import with_build
from checkpoint._runtime.lineage import Lineage
from checkpoint._runtime.options import Options
from checkpoint._runtime.snapshot import (
    Restored,
    Snapshot,
)
from checkpoint._runtime.waiting import AsyncAttempts, async_value
from checkpoint._serializer import Draft
from checkpoint.errors import Conflict
from checkpoint.store import AsyncStore

S = TypeVar("S")
T = TypeVar("T", default=S)
R = TypeVar("R")


class AsyncCheckpointer(AsyncHistory[S], AsyncUpkeep[S], Generic[S, T]):
    """Saves and restores the sessions of one namespace of one store.

    Made by :func:`checkpoint.open_async`; use it with ``async with``, or call :meth:`close`.
    It is safe to share between tasks, and cheap to keep for the life of the process. Nothing is
    connected before the first call.

    All methods raise ``InvalidId`` for an id that cannot be kept, ``StoreError`` when the store
    cannot do its part, and ``Damaged`` when stored bytes are not what was written. An outage is
    never told as a missing session.
    """

    __module__ = "checkpoint"

    def __init__(self, store: AsyncStore, options: Options[S]) -> None:
        self._engine = AsyncEngine(store, options)
        self._store = store
        self._options = options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options})"

    async def __aenter__(self) -> AsyncCheckpointer[S, T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the store's connections. Calls after this raise ``StoreClosed``.

        Example:
            >>> async def main():
            ...     cp = checkpoint.open_async("memory://")
            ...     await cp.close()
            >>> asyncio.run(main())
        """
        await self._store.close()

    # --- turns -----------------------------------------------------------------------------------

    def turn(
        self,
        session_id: str,
        *,
        turn_id: str | None = None,
        new: Callable[[], S] | None = None,
        window: int | None = None,
        build: Callable[[S], Awaitable[T] | T] | None = None,
    ) -> AsyncTurn[S, T]:
        """A turn of a session: restored when it is entered, saved when it is left.

        Nothing is saved when the body raises, or when it changed nothing.

        Args:
            session_id: stable name of the session, 1 to 512 bytes of UTF-8.
            turn_id: your key of this turn, such as the id of the message. A turn delivered twice
                is saved once: the second has ``turn.replayed`` set. The last 32 turns, at least,
                are remembered.
            new: makes the first state of a session that has none; the model itself by default.
            window: how many of the newest items of each memory to fetch now; see :meth:`restore`.
            build: makes the agent of this turn, in place of the adapter's ``build``.

        Raises:
            Conflict: on exit, somebody else saved the session meanwhile; nothing was written.
            SaveUnclear: on exit, the store stopped answering.
            NotSerializable: on exit, a value would not come back as it is; nothing was written.
            SchemaMismatch: on entry, the session was saved with another schema or version.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         async with cp.turn("user-42") as turn:
            ...             turn.state["greeted"] = True
            ...         return turn.revision
            >>> asyncio.run(main())
            1
        """
        if turn_id is not None:
            check_id(turn_id, "turn id")
        adapter = with_build(self._options.adapter, build)
        key = self._engine.key(session_id)
        return AsyncTurn(self._engine, key, turn_id, new, window, adapter)

    @overload
    async def run(
        self,
        session_id: str,
        fn: Callable[[T], Awaitable[R]],
        *,
        turn_id: str | None = ...,
        new: Callable[[], S] | None = ...,
        window: int | None = ...,
        timeout: float = ...,
    ) -> R: ...
    @overload
    async def run(
        self,
        session_id: str,
        fn: Callable[[T], R],
        *,
        turn_id: str | None = ...,
        new: Callable[[], S] | None = ...,
        window: int | None = ...,
        timeout: float = ...,
    ) -> R: ...
    async def run(
        self,
        session_id: str,
        fn: Callable[[T], Awaitable[R] | R],
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
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         return [await cp.run("user-42", count, turn_id="message-1") for _ in "ab"]
            >>> asyncio.run(main())
            [1, 1]
        """
        deadline = time.monotonic() + timeout
        attempts = AsyncAttempts(sys.maxsize)
        while True:
            await anext(attempts)
            turn = self.turn(session_id, turn_id=turn_id, new=new, window=window)
            await turn.__aenter__()
            if turn.replayed:
                earlier: R = turn.result
                return earlier
            result: R = await async_value(fn(turn.agent))
            try:
                await turn.finish(result)
            except Conflict:
                if time.monotonic() > deadline:
                    raise
            else:
                return result

    # --- restore and save ------------------------------------------------------------------------

    async def restore(
        self,
        session_id: str,
        *,
        revision: int | str | None = None,
        window: int | None = None,
    ) -> Restored[S, T]:
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
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"memory": ["hi"]})
            ...         return (await cp.restore("user-42")).state
            >>> asyncio.run(main())
            {'memory': ['hi']}
        """
        key = self._engine.key(session_id)
        begun = await self._engine.begin(
            key, revision, adapter=self._options.adapter, window=window
        )
        header = begun.lineage.known.header
        return Restored(begun.state, Snapshot.of(*key, header), begun.agent)

    async def save(
        self, session_id: str, state: T, *, parent: Snapshot | None = None, branch: bool = False
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
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         restored = await cp.restore("user-42")
            ...         restored.state["n"] = 2
            ...         return (await cp.save("user-42", restored.state)).revision
            >>> asyncio.run(main())
            2
        """
        key = self._engine.key(session_id)
        lineage = await self._engine.lineage_of(state, key, parent)
        saved = await self._engine.save(state, lineage, branch=branch)
        assert saved is not None  # only a turn's first state may have nothing to save
        return Snapshot.of(*key, saved)

    async def overwrite(self, session_id: str, state: T) -> Snapshot:
        """Save a state on top of whatever is there, without regard to what others saved.

        The one way to ignore a conflict; it is logged as a warning. Earlier revisions stay.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return (await cp.overwrite("user-42", {"n": 0})).revision
            >>> asyncio.run(main())
            2
        """
        key = self._engine.key(session_id)
        captured = await self._engine.capture(state)

        def whole(tip: Tip | None) -> Draft | None:
            return self._engine.serialize(key, captured, Baseline(), tip, self._engine.header(tip))

        sent = await self._engine.replace_head(key, whole)
        assert sent is not None  # a state without an origin is always saved
        self._engine.lineages.remember(state, Lineage(key, sent.after))
        log.warning("overwritten", session_id=session_id, revision=sent.record.revision)
        return Snapshot.of(*key, sent.tip.header)
