"""History methods of the checkpointer, such as ``history``, ``fork`` and ``rollback``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from checkpoint._async.commits import EpochMoved
from checkpoint._ids import check_id
from checkpoint._records.header import Kind, read_header
from checkpoint._records.labels import attachment_name
from checkpoint._runtime.snapshot import SessionInfo, Snapshot, from_micros
from checkpoint.errors import Damaged, UnsupportedFormat

if TYPE_CHECKING:
    from checkpoint._async.engine import AsyncEngine
    from checkpoint._document.changes import Change

S = TypeVar("S")

_PAGE = 500  # sessions or records per listing request


class AsyncHistory(Generic[S]):
    """The methods of a checkpointer that work on revisions and whole sessions."""

    _engine: AsyncEngine[S]

    # --- history ---------------------------------------------------------------------------------

    async def history(
        self, session_id: str, *, limit: int | None = None, before: int | None = None
    ) -> list[Snapshot]:
        """List the snapshots of a session, newest first. No state is loaded.

        Args:
            limit: maximum number of snapshots; None for all.
            before: only revisions below this one, to continue an earlier call.

        Raises:
            SessionNotFound: the session does not exist.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return [snapshot.revision for snapshot in await cp.history("user-42")]
            >>> asyncio.run(main())
            [1]
        """
        key = self._engine.key(session_id)
        labels = await self._engine.labels(key)
        found: list[Snapshot] = []
        while limit is None or len(found) < limit:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = await self._engine.store.headers(key, before, wanted)
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
            await self._engine.require_session(key)  # raises SessionNotFound
        return found

    async def diff(self, session_id: str, old: int | str, new: int | str) -> list[Change]:
        """List the changes from one revision to another, even if their schemas differ.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         for n in 1, 2:
            ...             async with cp.turn("user-42") as turn:
            ...                 turn.state["n"] = n
            ...         return [str(change) for change in await cp.diff("user-42", 1, 2)]
            >>> asyncio.run(main())
            ['n = 2']
        """
        from checkpoint._document.changes import changes_of
        from checkpoint._document.diff import diff

        before = await self.document(session_id, revision=old)
        after = await self.document(session_id, revision=new)
        return changes_of(diff(before, after))

    async def document(self, session_id: str, *, revision: int | str | None = None) -> Any:
        """Return a revision as plain data, whatever its schema; meant for tools.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return await cp.document("user-42")
            >>> asyncio.run(main())
            {'n': 1}
        """
        return await self._engine.document(self._engine.key(session_id), revision)

    # --- whole sessions --------------------------------------------------------------------------

    async def fork(
        self, session_id: str, new_session_id: str, *, revision: int | str | None = None
    ) -> Snapshot:
        """Create a new session from a revision of this one (the newest if None).

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: the new session exists already.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         return (await cp.fork("user-42", "what-if")).source
            >>> asyncio.run(main())
            ('user-42', 1)
        """
        from checkpoint._async.pinning import fork

        source, target = self._engine.key(session_id), self._engine.key(new_session_id)
        return await fork(self._engine, source, target, revision)

    async def rollback(self, session_id: str, revision: int | str) -> Snapshot:
        """Save an earlier revision again as the newest one. The history stays.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.
            Conflict: another writer saved the session meanwhile.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         for n in 1, 2:
            ...             async with cp.turn("user-42") as turn:
            ...                 turn.state["n"] = n
            ...         await cp.rollback("user-42", 1)
            ...         return (await cp.restore("user-42")).state
            >>> asyncio.run(main())
            {'n': 1}
        """
        key = self._engine.key(session_id)
        while True:
            # Read the head first: while its epoch lasts, no page of the loaded revision is removed.
            tip = await self._engine.require_session(key)
            loaded = await self._engine.load(key, revision)
            with suppress(EpochMoved):
                source = (session_id, loaded.header.revision)
                return await self._engine.copy(key, loaded, source, tip)

    async def label(
        self, session_id: str, label: str, *, revision: int | str | None = None
    ) -> Snapshot:
        """Name a revision (the newest if None), so that ``restore(revision=label)`` finds it.

        A label names one revision of its session; using it again moves it.

        Raises:
            SessionNotFound, RevisionNotFound, RevisionPruned: see :meth:`restore`.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         await cp.label("user-42", "before the upgrade")
            ...         return (await cp.restore("user-42", revision="before the upgrade")).state
            >>> asyncio.run(main())
            {'n': 1}
        """
        check_id(label, "label")
        key = self._engine.key(session_id)
        header = await self._engine.label(key, label, revision)
        return Snapshot.of(*key, header, labels=[label])

    async def unlabel(self, session_id: str, label: str) -> bool:
        """Remove a label, and return whether it existed. The revision stays.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user-42", {"n": 1})
            ...         await cp.label("user-42", "old")
            ...         return [await cp.unlabel("user-42", "old") for _ in "ab"]
            >>> asyncio.run(main())
            [True, False]
        """
        name = attachment_name(check_id(label, "label"))
        return await self._engine.store.detach(self._engine.key(session_id), 0, name)

    async def sessions(self, prefix: str = "") -> AsyncIterator[SessionInfo]:
        """List the sessions of this namespace, in byte order of their ids.

        Args:
            prefix: only ids that begin with it.

        Example:
            >>> async def main():
            ...     async with checkpoint.open_async("memory://") as cp:
            ...         await cp.save("user/42", {})
            ...         return [session.session_id async for session in cp.sessions("user/")]
            >>> asyncio.run(main())
            ['user/42']
        """
        if prefix != "":
            check_id(prefix, "prefix of session ids")
        namespace = self._engine.options.namespace
        after: str | None = None
        while True:
            page = await self._engine.store.sessions(namespace, prefix, after, _PAGE)
            for session_id, head in page:
                yield SessionInfo(namespace, session_id, head.revision, from_micros(head.saved_at))
            if len(page) < _PAGE:
                return
            after = page[-1][0]
