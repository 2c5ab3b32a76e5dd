"""A store of objects: the commit protocol over the calls of a driver.

A session is one object, its head, with the newest segment in it. A save replaces it on the
condition that it is the one that was read; all else that a head names is written before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from checkpoint._ids import SessionKey
from checkpoint._runtime import log
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.errors import Damaged, StoreClosed, StoreError
from checkpoint.store import Attachment, Commit, Head, Page, PageInfo, Pruning, Record, Segment
from checkpoint_objectstore._async.listing import list_sessions
from checkpoint_objectstore._async.marker import check_place
from checkpoint_objectstore._async.segments import list_records, list_segments
from checkpoint_objectstore._format import (
    Finished,
    Session,
    pack_session,
    told,
    unpack_segment,
    unpack_session,
)
from checkpoint_objectstore._known import MAX_BYTES, Known, KnownHeads
from checkpoint_objectstore._layout import (
    Folder,
    Note,
    folder_of,
    is_ours,
    may_be_note,
    notes_in,
    pack_note,
    page_id,
    unpack_note,
)
from checkpoint_objectstore._pruning import after_commit, after_pruning, touched
from checkpoint_objectstore.objects import AsyncObjects, Entry

_AT_ONCE = 16  # segments fetched at the same time


class AsyncObjectStore:
    """Sessions in a place that keeps objects.

    Args:
        objects: the place; it is closed with the store.
        cache_bytes: how much it may keep of the heads that it has seen, so that a save need not
            read the one that it replaces.

    Raises:
        StoreUnsafe: on the first save of a new session, the place has no conditions on writes.
    """

    rewrites = True

    def __init__(self, objects: AsyncObjects, cache_bytes: int = MAX_BYTES) -> None:
        self._driver = objects
        self._known = KnownHeads(cache_bytes)
        self._checked = False
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._driver!r})"

    def preload(self) -> None:
        """Do what the driver can do for later calls without any of them."""
        getattr(self._driver, "preload", lambda: None)()

    # --- reading ---------------------------------------------------------------------------------

    async def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        async for _ in AsyncAttempts():
            known = await self._head(key)
            if known is None:
                return None
            head, session = known.session.head, known.session
            last = head.revision if revision is None else revision
            records: Sequence[Record] | None = session.records
            for segment in () if revision is None else session.finished:
                if segment.base <= last <= segment.last:
                    records = await self._segment(key, known, segment)
            if records is None:
                continue
            there = any(record.revision == last for record in records)
            wanted = [r for r in records if there and since < r.revision <= last]
            return Segment(head, tuple(wanted))
        raise _always_changing(key)

    async def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        async for _ in AsyncAttempts():
            known = await self._head(key)
            if known is None:
                return []
            session = known.session
            found = list_records(session.records, session.head.base, before, bases=bases)
            older = [s for s in session.finished[::-1] if before is None or s.base < before]
            complete = True
            while older and len(found) < limit and complete:
                some, older = older[:_AT_ONCE], older[_AT_ONCE:]
                listed, complete = await list_segments(
                    self._objects, key, some, before, bases=bases
                )
                complete = complete or await self._is_newest(key, known)
                found += listed
            if complete:
                return found[:limit]
        raise _always_changing(key)

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        return await list_sessions(self._objects, namespace, prefix, after, limit, deleted)

    # --- writing ---------------------------------------------------------------------------------

    async def commit(self, key: SessionKey, commit: Commit) -> bool:
        if commit.parent is None:
            if not self._checked:
                await check_place(self._objects)
                self._checked = True
            session = Session(commit.head, records=(commit.record,))
            return await self._create(key, session)
        known = await self._guarded(key, commit.parent, commit.head.epoch)
        if known is None:
            return False
        session, written = after_commit(known.session, commit)
        if not await self._replace(key, known, session, written):
            return False
        if commit.head.deleted:
            await self._clear(key, known.session, session)
        return True

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        guard = pruning.guard
        known = await self._guarded(key, guard.write_id, guard.epoch)
        if known is None:
            return False
        read: dict[Finished, tuple[Record, ...]] = {}
        for segment in touched(known.session, pruning):
            records = await self._segment(key, known, segment)
            if records is None:
                return False
            read[segment] = records
        session, written = after_pruning(known.session, pruning, read)
        if not await self._replace(key, known, session, written):
            return False
        await self._clear(key, known.session, session, pruning.remove)
        return True

    async def _guarded(self, key: SessionKey, write_id: bytes, epoch: int) -> Known | None:
        """The head, if it has this ``write_id`` and epoch; as it is known, or else read."""

        def fits(known: Known | None) -> bool:
            head = known.session.head if known else None
            return head is not None and (head.write_id, head.epoch) == (write_id, epoch)

        self._objects  # noqa: B018 - it is open
        known = self._known.get(key)
        if not fits(known):
            known = await self._head(key)
        return known if fits(known) else None

    async def _create(self, key: SessionKey, session: Session) -> bool:
        self._known.drop(key)
        head = folder_of(key).head
        tag = await self._objects.create(head, pack_session(key, session))
        if tag is not None:
            self._known.put(key, tag, session)
        return tag is not None

    async def _replace(
        self, key: SessionKey, known: Known, session: Session, written: dict[bytes, bytes]
    ) -> bool:
        """Put a head on the one that is known, and before it the segments that only it names.

        Whether that is still there; if not, its guard does not hold any more.
        """
        folder = folder_of(key)
        self._known.drop(key)
        if written:
            await self._objects.put_many({folder.page(id): written[id] for id in written})
        tag = await self._objects.replace(folder.head, pack_session(key, session), known.tag)
        if tag is not None:
            self._known.put(key, tag, session)
        return tag is not None

    async def _clear(
        self,
        key: SessionKey,
        before: Session,
        after: Session,
        removed: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Remove what went with a deletion, or with revisions, now that the head tells so.

        What cannot be removed now is not seen by anybody, and collected later.
        """
        folder = folder_of(key)
        kept = set(after.finished)
        gone = [folder.page(s.id) for s in before.finished if s not in kept]
        try:
            if removed or before.generation != after.generation:
                gone += [
                    note.key
                    for note in await self._notes(folder)
                    if note.is_over(after)
                    or any(first <= note.revision <= last for first, last in removed)
                ]
            if gone:
                await self._objects.delete(gone)
        except StoreError as exc:
            log.warning("garbage is left", **key._asdict(), objects=len(gone), reason=str(exc))

    # --- pages -----------------------------------------------------------------------------------

    async def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        folder = folder_of(key)
        if pages and self._known.get(key) is None and (named := folder.id_objects(key.session_id)):
            await self._objects.put_many(named)  # before what cannot be found without
        await self._objects.put_many({folder.page(page.id): page.data for page in pages})

    async def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        folder = folder_of(key)
        found = await self._objects.get_many([folder.page(id) for id in dict.fromkeys(ids)])
        return {page_id(name): data for name, data in found.items()}

    async def list_pages(self, key: SessionKey) -> list[PageInfo]:
        """All pages, and all else that is garbage: segments that no head names, attachments.

        They are listed before the head is read. One that is written later is named by no head that
        was there before, and one that this head does not name can come to be named only on top of
        it: so not by anybody, once its epoch has moved.
        """
        folder = folder_of(key)
        entries = await self._all(folder.path)
        pages = [entry for entry in entries if entry.key.startswith(folder.pages)]
        notes = [entry for entry in entries if entry.key.startswith(folder.notes)]
        known = await self._head(key) if pages or notes else None
        named = {segment.id for segment in known.session.finished} if known else set()
        found = [PageInfo(page_id(name), stored_at, size) for name, size, stored_at in pages]
        found = [page for page in found if page.id not in named]
        for note, entry in zip(notes_in(entry.key for entry in notes), notes, strict=True):
            if known is not None and note.is_over(known.session):
                found.append(PageInfo(note.id, entry.stored_at, entry.size))
        return sorted(found)

    async def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        if not ids:
            return
        folder, wanted = folder_of(key), set(ids)
        known = await self._head(key)
        named = {segment.id for segment in known.session.finished} if known else set()
        gone = [folder.page(id) for id in ids if id not in named]
        if known is not None and any(map(may_be_note, ids)):
            notes = [note for note in await self._notes(folder) if note.id in wanted]
            gone += [note.key for note in notes if note.is_over(known.session)]
        await self._objects.delete(gone)

    # --- attachments -----------------------------------------------------------------------------

    async def attach(self, key: SessionKey, attachment: Attachment) -> None:
        known = await self._head(key)
        if known is not None:
            note = folder_of(key).note(known.session.generation, *attachment[:2])
            await self._objects.put_many({note: pack_note(attachment)})

    async def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        known = await self._head(key)
        if known is None:
            return False
        note = folder_of(key).note(known.session.generation, revision, name)
        found = await self._objects.get_many([note], first=1)
        await self._objects.delete(list(found))
        return bool(found)

    async def attachments(self, key: SessionKey) -> list[Attachment]:
        known = await self._head(key)
        if known is None:
            return []
        notes = await self._notes(folder_of(key))
        shown = {note.key: note for note in notes if note.is_shown(known.session)}
        found = await self._objects.get_many(list(shown))
        try:
            attached = [unpack_note(shown[name], data) for name, data in found.items()]
        except Damaged as exc:
            exc.at(key)
            raise
        return sorted(attached, key=lambda note: (note.revision, note.name.encode()))

    async def _notes(self, folder: Folder) -> list[Note]:
        return notes_in(entry.key for entry in await self._all(folder.notes))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._driver.close()

    # --- objects ---------------------------------------------------------------------------------

    @property
    def _objects(self) -> AsyncObjects:
        if self._closed:
            raise StoreClosed("this store was closed; open it again")
        return self._driver

    async def _head(self, key: SessionKey) -> Known | None:
        """The head object as it is now; one that did not change is not sent again."""
        known = self._known.get(key)
        found = await self._objects.get(folder_of(key).head, known.tag if known else "")
        if found is None:
            self._known.drop(key)
            return None
        if known is not None and found.tag == known.tag:
            return known
        return self._known.put(key, found.tag, unpack_session(key, found.data))

    async def _segment(
        self, key: SessionKey, known: Known, segment: Finished
    ) -> tuple[Record, ...] | None:
        """The records of a finished segment; None where it is gone, and another head is there."""
        name = folder_of(key).page(segment.id)
        found = await self._objects.get_many([name])
        if name in found:
            return unpack_segment(key, segment, found[name])
        if not await self._is_newest(key, known):
            return None
        raise told(
            Damaged(
                "their segment is not there, though the head names it: something else than this "
                "library removed it; see verify()"
            ),
            key,
            segment,
        )

    async def _is_newest(self, key: SessionKey, known: Known) -> bool:
        """Whether a head is still the one that is there."""
        now = await self._head(key)
        return now is not None and now.tag == known.tag

    async def _all(self, prefix: str) -> list[Entry]:
        """All pages and attachments whose keys begin with a prefix."""
        found: list[Entry] = []
        while some := await self._objects.list(prefix, found[-1].key if found else ""):
            found += some
        return [entry for entry in found if is_ours(entry.key)]


def _always_changing(key: SessionKey) -> StoreError:
    return StoreError("others take revisions out of it all the time; try again").at(key)
