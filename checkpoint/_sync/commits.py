"""The commit protocol: reads the head of a session and moves it."""

# Generated from checkpoint/_async/commits.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Callable

from checkpoint._document.pages import PageData
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.header import Kind, RecordHeader, read_header
from checkpoint._records.segment import read, survey
from checkpoint._runtime.snapshot import from_micros
from checkpoint._runtime.waiting import Attempts
from checkpoint._serializer import Draft
from checkpoint._sync.paging import PagesGone, fetch
from checkpoint.errors import (
    CheckpointError,
    Conflict,
    Damaged,
    RevisionNotFound,
    RevisionPruned,
    SaveUnclear,
    SessionNotFound,
    StoreError,
    StoreUnavailable,
    UnsupportedFormat,
)
from checkpoint.store import Commit, Head, Page, Segment, Store

ATTEMPTS = 5
_FIRST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 0.8


class EpochMoved(Exception):
    """The head is the one a save was drafted for, but a removal has moved its epoch."""


def load(
    store: Store,
    key: SessionKey,
    revision: int | None,
    limits: Limits,
    known: Baseline | None = None,
) -> Baseline | None:
    """Read and verify a revision (the newest if None); None if the session never existed.

    Args:
        known: a baseline loaded before; only newer records are requested.

    Raises:
        SessionNotFound: an older revision of a deleted session was requested.
        RevisionNotFound, RevisionPruned: the revision does not exist, or was removed.
        Damaged, UnsupportedFormat, StateTooLarge: see :func:`checkpoint._records.segment.read`.
        StoreError: the store did not answer.
    """
    segment = store.read(key, revision, since=known.header.revision if known else 0)
    if segment is None:
        return None
    if known is not None:
        if (newer := _newer(key, segment, known, limits)) is not None:
            return newer
        if not segment.records or segment.records[0].revision != segment.head.base:
            return load(store, key, revision, limits)  # the segment was sent in part
    head = segment.head
    if revision is not None and not segment.records:
        if head.deleted:
            raise SessionNotFound("it was deleted").at(key)
        if 1 <= revision <= head.revision:
            raise RevisionPruned("this revision was removed").at(key, revision)
        raise RevisionNotFound(f"there is no such revision; the newest is {head.revision}").at(
            key, revision
        )
    stored = read(key, segment.records, limits, epoch=head.epoch)
    if stored.tip.header.kind is Kind.TOMBSTONE and stored.tip.header.revision != head.revision:
        raise RevisionPruned("the session was deleted at this revision and created again later").at(
            key, revision
        )
    _check_place(key, segment, stored.tip.header, revision)
    pages: dict[bytes, PageData] = {}
    try:
        number = stored.tip.header.revision
        fetch(store, key, stored.base.spilled(), pages, limits, number, head.epoch)
    except PagesGone:
        return load(store, key, revision, limits)
    return stored.build(key, pages)


def _newer(key: SessionKey, segment: Segment, known: Baseline, limits: Limits) -> Baseline | None:
    """The known baseline with newer records applied; None if they do not continue it."""
    head, tip = segment.head, known.end
    if head.epoch != tip.epoch:  # its records may have been rewritten
        return None
    if head.write_id == tip.header.write_id:
        return known
    first = segment.records[0].revision if segment.records else 0
    if first != tip.header.revision + 1 or head.base != tip.header.revision - tip.patches:
        return None
    try:
        stored = read(key, segment.records, limits, tip, tip.epoch)
        _check_place(key, segment, stored.tip.header, None)
        loaded = stored.build_on(key, known)
    except Damaged:  # perhaps another segment than the known one: reading all of it decides
        return None
    return loaded


def _check_place(
    key: SessionKey, segment: Segment, header: RecordHeader, revision: int | None
) -> None:
    """Require the requested revision and, if it is the newest, the write that the head names."""
    head = segment.head
    wanted = head.revision if revision is None else revision
    if header.revision != wanted or (wanted == head.revision and header.write_id != head.write_id):
        raise Damaged(
            f"the store returned revision {header.revision} (write {header.write_id.hex()}), but "
            f"its head names revision {head.revision} (write {head.write_id.hex()})"
        ).at(key, wanted)


def send(
    store: Store,
    key: SessionKey,
    draft: Draft,
    clock: Callable[[], int],
    *,
    sent_before: bool = False,
) -> None:
    """Commit a draft if the session's head is still the one it was made for.

    An unclear answer or a refusal is resolved by reading the session. If the head or the ring of
    recent writes has our ``write_id``, the draft is saved. If another write has our parent, it is
    a ``Conflict``. Otherwise the same write is sent again; its guard lets only one succeed.

    Args:
        clock: microseconds since 1970, stored with the pages.
        sent_before: an earlier call may have written the draft.

    Raises:
        EpochMoved: the draft was not written and never will be; make it again.
        Conflict: another write came first.
        SaveUnclear: the store stopped answering.
        StoreError: the draft was certainly not written.
    """
    commit = _commit(draft)
    pages = list(draft.pages.items())
    unclear: CheckpointError | None = None
    was_sent = sent_before
    for _ in Attempts(ATTEMPTS, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE):
        try:
            if pages:  # before the head that names them, so that no reader misses one
                store.put_pages(key, [Page(id, data, clock()) for id, data in pages])
                pages = []
            was_sent = True
            if store.commit(key, commit):
                return
        except StoreError as exc:
            if not (unclear or sent_before or isinstance(exc, StoreUnavailable)):
                raise  # certainly not written, now or before
            unclear = exc
        try:
            segment = store.read(key)
            tip = survey(key, segment) if segment else None
            if tip is not None:
                # Also after a refusal of the first attempt: a proxy may have sent the write twice,
                # and returned the answer to the second.
                landed = _landed(store, key, commit, tip)
                if landed:
                    return
                if landed is None and (sent_before or unclear):
                    break
        except (StoreError, Damaged, UnsupportedFormat) as exc:
            unclear = exc
            continue
        if (segment.head.write_id if segment else None) != draft.guard:
            raise conflict(key, draft.tip.header.parent_revision, tip.header if tip else None)
        if segment is not None and segment.head.epoch != commit.head.epoch:
            raise EpochMoved
    if not was_sent and isinstance(unclear, StoreError):
        raise unclear
    raise SaveUnclear(
        "the store did not answer in time, so this revision may or may not have been saved. Save "
        "the same state object again to find out (it is never saved twice), or restore the session "
        "and check"
    ).at(key, draft.record.revision) from unclear


def _commit(draft: Draft) -> Commit:
    header = draft.tip.header
    head = Head(
        revision=header.revision,
        write_id=header.write_id,
        base=header.revision - draft.tip.patches,
        saved_at=header.saved_at,
        deleted=header.kind is Kind.TOMBSTONE,
        epoch=draft.tip.epoch,
    )
    return Commit(draft.guard, head, draft.record)


def _landed(store: Store, key: SessionKey, commit: Commit, tip: Tip) -> bool | None:
    """Whether a write is among the recent ones, or stored further back under its revision.

    None if that revision is no longer known.
    """
    write_id, revision = commit.head.write_id, commit.record.revision
    if any(write.write_id == write_id for write in tip.recent):
        return True
    if tip.header.revision < revision or any(write.revision == revision for write in tip.recent):
        return False
    below = store.headers(key, revision + 1, 1)
    found = [record for record, _ in below if record.revision == revision]
    return read_header(found[0])[0].write_id == write_id if found else None


def conflict(key: SessionKey, parent_revision: int, newest: RecordHeader | None) -> Conflict:
    """The error for a state whose parent is not the newest revision (0: it has no parent)."""
    mine = (
        f"is based on revision {parent_revision}"
        if parent_revision
        else "has no parent in this session"
    )
    if newest is not None and newest.kind is Kind.TOMBSTONE:
        newest = None
    if newest is None:
        theirs = "the session no longer exists"
    else:
        at = from_micros(newest.saved_at).isoformat(timespec="milliseconds")
        theirs = f"the session is at revision {newest.revision}, saved by {newest.writer} at {at}"
    advice = (
        "Restore the session and apply the turn again, or use run(), which does so"
        if parent_revision
        else "If it is a copy of a restored state (or a dict, or another agent), pass parent=; if "
        "it is new, give it a session id of its own"
    )
    return Conflict(
        f"this state {mine}, but {theirs}; nothing was written. {advice}",
        parent_revision=parent_revision or None,
        current_revision=newest.revision if newest else None,
        writer=str(newest.writer) if newest else None,
    ).at(key)


def contended(key: SessionKey) -> Conflict:
    """The error if others changed a session on every attempt."""
    return Conflict("others saved or pruned it on every attempt; try again later").at(key)
