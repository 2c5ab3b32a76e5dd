"""Interprets writes of objects and reports them to the ledger as commits, prunings and so on."""

from __future__ import annotations

from typing import NamedTuple

from checkpoint._ids import SessionKey
from checkpoint.store import Commit, Page, Pruning, Record
from checkpoint.testing.simulator.history import broken
from checkpoint.testing.simulator.ledger import Ledger
from checkpoint.testing.simulator.operation import Operation
from checkpoint_objectstore._format import Finished, Session, unpack_segment, unpack_session
from checkpoint_objectstore._layout import (
    HEAD,
    ID,
    MARKER,
    folder_of,
    notes_in,
    page_id,
    unpack_note,
)
from checkpoint_objectstore._names import id_of

_UNLABELLING = ("label", "unlabel")


class _Place(NamedTuple):
    """The location of an object: its session, and ``head``, ``pages``, ``notes`` or ``id``."""

    session: SessionKey
    kind: str


class Seen:
    """The expected objects, according to the writes that took effect.

    Attributes:
        kept: the bytes of each object, by key.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.kept: dict[str, bytes] = {}

    async def written(self, key: str, data: bytes, by: Operation | None) -> None:
        """An object, usually a head, was created or replaced by a conditional write."""
        place = _place(key)
        before = self._session(place.session) if place else None
        self.kept[key] = data
        if place is None or place.kind != HEAD:
            return
        after = self._session(place.session)
        assert after is not None
        if before is None or before.head.write_id != after.head.write_id:
            await self._committed(place.session, before, after, by)
        else:
            await self._pruned(place.session, before, after, by)

    async def put(self, key: str, data: bytes) -> None:
        """An object was written without a condition."""
        place = _place(key)
        self.kept[key] = data
        if place is None or place.kind == ID:
            return
        if place.kind == HEAD:
            broken("two children", f"the head of {place.session} was written without a condition")
        if place.kind == "pages" and not _is_segment(data):
            self.ledger.saw_pages(place.session, [Page(page_id(key), data, 0)])
        if place.kind == "notes" and self._is_shown(place.session, key):
            (note,) = notes_in([key])
            self.ledger.saw_attachment(place.session, unpack_note(note, data))

    async def deleted(self, key: str, by: Operation | None) -> None:
        """An object was removed; check that it was not needed."""
        place = _place(key)
        data = self.kept.pop(key, None)
        if data is None or place is None:
            return
        if place.kind in (HEAD, ID):
            broken("lost", f"{key} was removed")
        if place.kind == "pages":
            if _is_segment(data):
                self._check_segments(place.session, self._session(place.session))
            self.ledger.saw_drop(place.session, [page_id(key)])
        elif self._is_shown(place.session, key):
            (note,) = notes_in([key])
            name = unpack_note(note, data).name
            if name.startswith("label/") and (by is None or by.kind not in _UNLABELLING):
                broken("lost", f"{by} removed {name!r} of {place.session}")
            self.ledger.saw_detachment(place.session, name)

    # --- heads -----------------------------------------------------------------------------------

    async def _committed(
        self, key: SessionKey, before: Session | None, after: Session, by: Operation | None
    ) -> None:
        kept = {} if before is None or after.head.deleted else self._records(key, before)
        *others, record = self._records(key, after).values()
        if others != [*kept.values()]:
            broken("two children", f"{by} changed the records before {record.revision} of {key}")
        if before is not None and before.head.epoch != after.head.epoch:
            broken("two children", f"{by} wrote revision {record.revision} in another epoch")
        parent = before.head.write_id if before else None
        await self.ledger.saw_commit(key, Commit(parent, after.head, record), by)

    async def _pruned(
        self, key: SessionKey, before: Session, after: Session, by: Operation | None
    ) -> None:
        if after.head._replace(base=0, epoch=0) != before.head._replace(base=0, epoch=0):
            broken("lost", f"{by} made {after.head} of {before.head}")
        if after.head.epoch != before.head.epoch + 1 or after.generation != before.generation:
            broken("lost", f"{by} made {after} of {before}")
        had, has = self._records(key, before), self._records(key, after)
        gone = tuple((number, number) for number in had.keys() - has.keys())
        rewritten = [has[number] for number in has if has[number] != had.get(number)]
        bases = tuple((record, 0) for record in rewritten)
        pruning = Pruning(before.head, after.head, gone, bases)
        await self.ledger.saw_pruning(key, pruning, by)

    def _session(self, key: SessionKey) -> Session | None:
        data = self.kept.get(folder_of(key).head)
        return unpack_session(key, data) if data is not None else None

    def _records(self, key: SessionKey, session: Session) -> dict[int, Record]:
        """All records of a session, by revision."""
        self._check_segments(key, session)
        finished = [self._segment(key, segment) for segment in session.finished]
        records = {r.revision: r for some in (*finished, session.records) for r in some}
        if [*records] != sorted(records):
            broken("wrong history", f"{key} has revisions {[*records]}")
        return records

    def _segment(self, key: SessionKey, segment: Finished) -> tuple[Record, ...]:
        return unpack_segment(key, segment, self.kept[folder_of(key).page(segment.id)])

    def _check_segments(self, key: SessionKey, session: Session | None) -> None:
        for segment in session.finished if session else ():
            if folder_of(key).page(segment.id) not in self.kept:
                revisions = f"revisions {segment.base} to {segment.last}"
                broken("segment missing", f"{revisions} of {key} are in a missing segment")

    # --- attachments and garbage -----------------------------------------------------------------

    def _is_shown(self, key: SessionKey, name: str) -> bool:
        """Whether an attachment belongs to its session as it is now."""
        (note,) = notes_in([name])
        session = self._session(key)
        return session is not None and note.generation in (None, session.generation)

    def check_garbage(self) -> None:
        """Check that no object is garbage; the ledger checks pages."""
        left = []
        for name, data in self.kept.items():
            place = _place(name)
            if place is None:
                left += [name] * (name != MARKER)
            elif place.kind == "notes":
                left += [name] * (not self._is_shown(place.session, name))
            elif place.kind == "pages" and _is_segment(data):
                session = self._session(place.session)
                named = session.finished if session else ()
                left += [name] * (page_id(name) not in {segment.id for segment in named})
        if left:
            broken("garbage", f"{left} are left")


def protected(key: str, data: bytes) -> int:
    """How many bytes from the start of an object may be flipped.

    Not the records in a head object: only readers check their digests, so a save would write a
    flipped record back, and healing could not undo that.
    """
    place = _place(key)
    if place is None or place.kind != HEAD:
        return len(data)
    records = unpack_session(place.session, data).records
    return len(data) - sum(len(record.header) + len(record.body) for record in records)


def _is_segment(data: bytes) -> bool:
    return data.startswith(b"ACS")


def _place(key: str) -> _Place | None:
    """The location of an object; None for the marker."""
    if "/" not in key:
        return None
    namespace, session, kind, *_ = key.split("/")
    ids = id_of(namespace), id_of(session)
    assert ids[0] is not None
    assert ids[1] is not None
    return _Place(SessionKey(ids[0], ids[1]), kind)
