"""The object store: the commit protocol on top of a driver.

The head object of a session also contains its newest segment. A save replaces the head object on
the condition that it has not changed; all other objects that the head names are written before it.
"""

# Generated from checkpoint_objectstore/_async/store.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Sequence

from checkpoint._ids import SessionKey
from checkpoint._runtime import log
from checkpoint._runtime.waiting import Attempts
from checkpoint.errors import Damaged, StoreClosed, StoreError
from checkpoint.store import Attachment, Commit, Head, Page, PageInfo, Pruning, Record, Segment
from checkpoint_objectstore._format import (
    Finished,
    Session,
    located,
    pack_session,
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
from checkpoint_objectstore._sync.listing import list_sessions
from checkpoint_objectstore._sync.marker import check_place
from checkpoint_objectstore._sync.segments import list_records, list_segments
from checkpoint_objectstore.objects import Entry, Objects

_AT_ONCE = 16  # segments fetched concurrently


class ObjectStore:
    """Sessions in object storage.

    Args:
        objects: the driver; closed with the store.
        cache_bytes: limit for cached heads, which let a save replace a head without reading it.

    Raises:
        StoreUnsafe: on the first save of a new session, if conditional writes are not supported.
    """

    rewrites = True

    def __init__(self, objects: Objects, cache_bytes: int = MAX_BYTES) -> None:
        self._driver = objects
        self._known = KnownHeads(cache_bytes)
        self._checked = False
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._driver!r})"

    def preload(self) -> None:
        """Let the driver prepare for later calls."""
        getattr(self._driver, "preload", lambda: None)()

    # --- reading ---------------------------------------------------------------------------------

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        for _ in Attempts(first=0):
            known = self._head(key)
            if known is None:
                return None
            head, session = known.session.head, known.session
            last = head.revision if revision is None else revision
            records: Sequence[Record] | None = session.records
            for segment in () if revision is None else session.finished:
                if segment.base <= last <= segment.last:
                    records = self._segment(key, known, segment)
            if records is None:
                continue
            exists = any(record.revision == last for record in records)
            wanted = [r for r in records if exists and since < r.revision <= last]
            return Segment(head, tuple(wanted))
        raise _pruned_meanwhile(key)

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        for _ in Attempts(first=0):
            known = self._head(key)
            if known is None:
                return []
            session = known.session
            found = list_records(session.records, session.head.base, before, bases=bases)
            older = [s for s in session.finished[::-1] if before is None or s.base < before]
            complete = True
            while older and len(found) < limit and complete:
                some, older = older[:_AT_ONCE], older[_AT_ONCE:]
                listed, complete = list_segments(self._objects, key, some, before, bases=bases)
                complete = complete or self._is_newest(key, known)
                found += listed
            if complete:
                return found[:limit]
        raise _pruned_meanwhile(key)

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        return list_sessions(self._objects, namespace, prefix, after, limit, deleted)

    # --- writing ---------------------------------------------------------------------------------

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        if commit.parent is None:
            if not self._checked:
                check_place(self._objects)
                self._checked = True
            session = Session(commit.head, records=(commit.record,))
            return self._create(key, session)
        known = self._guarded(key, commit.parent, commit.head.epoch)
        if known is None:
            return False
        session, written = after_commit(known.session, commit)
        if not self._replace(key, known, session, written):
            return False
        if commit.head.deleted:
            self._clear(key, known.session, session)
        return True

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        guard = pruning.guard
        known = self._guarded(key, guard.write_id, guard.epoch)
        if known is None:
            return False
        read: dict[Finished, tuple[Record, ...]] = {}
        for segment in touched(known.session, pruning):
            records = self._segment(key, known, segment)
            if records is None:
                return False
            read[segment] = records
        session, written = after_pruning(known.session, pruning, read)
        if not self._replace(key, known, session, written):
            return False
        self._clear(key, known.session, session, pruning.remove)
        return True

    def _guarded(self, key: SessionKey, write_id: bytes, epoch: int) -> Known | None:
        """The head, cached or read, if it has this ``write_id`` and epoch."""

        def fits(known: Known | None) -> bool:
            head = known.session.head if known else None
            return head is not None and (head.write_id, head.epoch) == (write_id, epoch)

        self._objects  # noqa: B018 - raises StoreClosed
        known = self._known.get(key)
        if not fits(known):
            known = self._head(key)
        return known if fits(known) else None

    def _create(self, key: SessionKey, session: Session) -> bool:
        self._known.drop(key)
        head = folder_of(key).head
        tag = self._objects.create(head, pack_session(key, session))
        if tag is not None:
            self._known.put(key, tag, session)
        return tag is not None

    def _replace(
        self, key: SessionKey, known: Known, session: Session, written: dict[bytes, bytes]
    ) -> bool:
        """Write new segments, then replace the known head; False if the head has changed."""
        folder = folder_of(key)
        self._known.drop(key)
        if written:
            self._objects.put_many({folder.page(id): written[id] for id in written})
        tag = self._objects.replace(folder.head, pack_session(key, session), known.tag)
        if tag is not None:
            self._known.put(key, tag, session)
        return tag is not None

    def _clear(
        self,
        key: SessionKey,
        before: Session,
        after: Session,
        removed: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Remove the objects that the new head no longer names.

        Those that cannot be removed now are invisible to readers, and garbage collection removes
        them later.
        """
        folder = folder_of(key)
        kept = set(after.finished)
        gone = [folder.page(s.id) for s in before.finished if s not in kept]
        try:
            if removed or before.generation != after.generation:
                gone += [
                    note.key
                    for note in self._notes(folder)
                    if note.is_over(after)
                    or any(first <= note.revision <= last for first, last in removed)
                ]
            if gone:
                self._objects.delete(gone)
        except StoreError as exc:
            log.warning("garbage left", **key._asdict(), objects=len(gone), reason=str(exc))

    # --- pages -----------------------------------------------------------------------------------

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        folder = folder_of(key)
        if pages and self._known.get(key) is None and (named := folder.id_objects(key.session_id)):
            self._objects.put_many(named)  # first: pages without an id cannot be collected
        self._objects.put_many({folder.page(page.id): page.data for page in pages})

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        folder = folder_of(key)
        found = self._objects.get_many([folder.page(id) for id in dict.fromkeys(ids)])
        return {page_id(name): data for name, data in found.items()}

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        """All pages, and garbage of other kinds: unnamed segments and obsolete attachments.

        The objects are listed before the head is read. An object written later is named by no
        earlier head. One that this head does not name can only be named by a commit on top of this
        head, so never once the epoch has moved.
        """
        folder = folder_of(key)
        entries = self._all(folder.path)
        pages = [entry for entry in entries if entry.key.startswith(folder.pages)]
        notes = [entry for entry in entries if entry.key.startswith(folder.notes)]
        known = self._head(key) if pages or notes else None
        named = {segment.id for segment in known.session.finished} if known else set()
        found = [PageInfo(page_id(name), stored_at, size) for name, size, stored_at in pages]
        found = [page for page in found if page.id not in named]
        for note, entry in zip(notes_in(entry.key for entry in notes), notes, strict=True):
            if known is not None and note.is_over(known.session):
                found.append(PageInfo(note.id, entry.stored_at, entry.size))
        return sorted(found)

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        if not ids:
            return
        folder, wanted = folder_of(key), set(ids)
        known = self._head(key)
        named = {segment.id for segment in known.session.finished} if known else set()
        gone = [folder.page(id) for id in ids if id not in named]
        if known is not None and any(map(may_be_note, ids)):
            notes = [note for note in self._notes(folder) if note.id in wanted]
            gone += [note.key for note in notes if note.is_over(known.session)]
        self._objects.delete(gone)

    # --- attachments -----------------------------------------------------------------------------

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        known = self._head(key)
        if known is not None:
            note = folder_of(key).note(known.session.generation, *attachment[:2])
            self._objects.put_many({note: pack_note(attachment)})

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        known = self._head(key)
        if known is None:
            return False
        note = folder_of(key).note(known.session.generation, revision, name)
        found = self._objects.get_many([note], first=1)
        self._objects.delete(list(found))
        return bool(found)

    def attachments(self, key: SessionKey) -> list[Attachment]:
        known = self._head(key)
        if known is None:
            return []
        notes = self._notes(folder_of(key))
        shown = {note.key: note for note in notes if note.is_shown(known.session)}
        found = self._objects.get_many(list(shown))
        try:
            attached = [unpack_note(shown[name], data) for name, data in found.items()]
        except Damaged as exc:
            exc.at(key)
            raise
        return sorted(attached, key=lambda note: (note.revision, note.name.encode()))

    def _notes(self, folder: Folder) -> list[Note]:
        return notes_in(entry.key for entry in self._all(folder.notes))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._driver.close()

    # --- objects ---------------------------------------------------------------------------------

    @property
    def _objects(self) -> Objects:
        if self._closed:
            raise StoreClosed("this store was closed; open it again")
        return self._driver

    def _head(self, key: SessionKey) -> Known | None:
        """The current head object; an unchanged one is not downloaded again."""
        known = self._known.get(key)
        found = self._objects.get(folder_of(key).head, known.tag if known else "")
        if found is None:
            self._known.drop(key)
            return None
        if known is not None and found.tag == known.tag:
            return known
        return self._known.put(key, found.tag, unpack_session(key, found.data))

    def _segment(
        self, key: SessionKey, known: Known, segment: Finished
    ) -> tuple[Record, ...] | None:
        """The records of a finished segment; None if it is gone because the head has changed."""
        name = folder_of(key).page(segment.id)
        found = self._objects.get_many([name])
        if name in found:
            return unpack_segment(key, segment, found[name])
        if not self._is_newest(key, known):
            return None
        raise located(
            Damaged(
                "the head names their segment, but it does not exist: it was not removed by this "
                "library; see verify()"
            ),
            key,
            segment,
        )

    def _is_newest(self, key: SessionKey, known: Known) -> bool:
        """Whether the stored head is still this one."""
        now = self._head(key)
        return now is not None and now.tag == known.tag

    def _all(self, prefix: str) -> list[Entry]:
        """All pages and attachments whose keys begin with a prefix."""
        found: list[Entry] = []
        while some := self._objects.list(prefix, found[-1].key if found else ""):
            found += some
        return [entry for entry in found if is_ours(entry.key)]


def _pruned_meanwhile(key: SessionKey) -> StoreError:
    return StoreError("other processes kept pruning it; try again").at(key)
