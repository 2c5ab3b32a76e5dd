"""Garbage collection: removes pruned revisions, expired sessions and unreferenced pages.

A page can be removed once no base and no pin names it, and no save in progress can still name it.
So the pages are listed first, and those that no base names are removed after the session's epoch
has moved, which makes every save in progress start again with fresh pages. A fork pins pages before
it checks that its source still exists, and a prune removes revisions before it reads the pins: one
of the two sees the other.
"""

# Generated from checkpoint/_async/maintenance.py by tools/unasync.py: change that one.

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Tip
from checkpoint._records.header import Kind
from checkpoint._records.labels import read_labels
from checkpoint._records.pins import Pin, pinned_pages, read_pins
from checkpoint._records.retention import (
    Base,
    Pruned,
    Range,
    Retention,
    doomed,
    micros,
    named_pages,
    owners,
    unneeded,
    without,
)
from checkpoint._records.segment import encode_record
from checkpoint._runtime import log
from checkpoint._runtime.waiting import Attempts
from checkpoint._serializer import Draft, draft_tombstone
from checkpoint._sync.commits import contended
from checkpoint._sync.listing import measure, read_bases, read_head
from checkpoint._sync.pinning import detach_unneeded, needed_pages, unpin
from checkpoint.errors import (
    CheckpointError,
    Conflict,
    Damaged,
    SessionNotFound,
    StoreError,
    StoreUnavailable,
)
from checkpoint.store import Attachment, Commit, Head, PageInfo, Pruning

if TYPE_CHECKING:
    from checkpoint._sync.engine import Engine

GRACE = dt.timedelta(hours=1)
"""Default age below which pages are kept."""

NO_GRACE = dt.timedelta(0)
_DROPPED = 500  # pages removed per request
_EVERY = 32  # minimum number of revisions between automatic prunes


class _Plan(NamedTuple):
    """The removals planned for a session at one head.

    Attributes:
        head, bases: of the session.
        removed: the revisions to remove.
        pages: the pages that nothing needs afterwards.
        problem: why no page can be removed.
    """

    head: Head
    bases: list[Base]
    removed: tuple[Range, ...]
    pages: list[PageInfo]
    problem: Damaged | None

    @property
    def left(self) -> list[Base]:
        return without(self.bases, self.removed)

    @property
    def pruning(self) -> Pruning:
        return Pruning(self.head, self.head._replace(epoch=self.head.epoch + 1), self.removed)


# --- revisions -----------------------------------------------------------------------------------


def prune(
    engine: Engine[Any],
    key: SessionKey,
    rule: Retention | None,
    *,
    grace: dt.timedelta = GRACE,
    dry_run: bool = False,
    measured: bool = True,
) -> Pruned:
    """Remove the revisions of a session that a rule does not keep, and unreferenced pages.

    After a lost answer, the session is read again to see whether the removal happened.

    Args:
        rule: None to remove only pages.
        grace: keep pages younger than this.
        measured: count the removed revisions and their bytes, which takes a listing of them.

    Raises:
        SessionNotFound: the session never existed, and has no pages.
        Conflict: others changed the session first on every attempt.
        Damaged: a stored label was changed.
    """
    done = Pruned(*key, dry_run=dry_run)
    unanswered: list[tuple[Head, Pruned]] = []  # prunes without an answer: guard and removals
    sizes: dict[tuple[Range, ...], tuple[int, int]] = {}
    forked_from: set[SessionKey] = set()
    failure: CheckpointError = contended(key)
    for _ in Attempts():
        pages = engine.store.list_pages(key)
        head = read_head(engine.store, key)
        if head is None:
            return _remove_unsaved(engine, key, pages, grace, done)
        if rule is not None and rule.expires(head, engine.options.clock()):
            expired = _expire(engine, key, head, done)
            if expired is None:
                continue  # it was saved meanwhile
            return expired
        plan = _plan(engine, key, rule, head, pages, grace)
        forked_from |= owners(key, plan.bases)
        for _, then in unanswered:
            if then.removed and without(plan.bases, then.removed) == plan.bases:
                done = then  # it was applied
        unanswered = [sent for sent in unanswered if sent[0] == head]  # these still may be
        if measured and plan.removed not in sizes:
            sizes[plan.removed] = measure(engine.store, key, plan.removed)
        result = _with_revisions(done, plan.removed, sizes.get(plan.removed, (0, 0)))
        if dry_run:
            return replace(_with_pages(result, plan.pages), problem=plan.problem)
        if plan.removed or plan.pages or unanswered:
            try:
                moved = engine.store.prune(key, plan.pruning)
            except StoreUnavailable as exc:
                unanswered.append((head, result))
                failure = exc
                continue
            if not moved:
                continue
            done = _with_pages(result, _drop(engine, key, plan.pages))
        for owner in sorted(forked_from - owners(key, plan.left)):
            release(engine, owner, key)
        return replace(done, problem=plan.problem)
    raise failure


def _plan(
    engine: Engine[Any],
    key: SessionKey,
    rule: Retention | None,
    head: Head,
    pages: Sequence[PageInfo],
    grace: dt.timedelta,
) -> _Plan:
    """Plan the removals at a head that was read before; valid only while the head is the same."""
    bases = read_bases(engine.store, key)
    attachments = engine.store.attachments(key)
    removed: tuple[Range, ...] = ()
    if rule is not None and not head.deleted:
        labelled = read_labels(key, attachments).values() if rule.keep_labelled else ()
        removed = doomed(rule, bases, labelled, head, engine.options.clock())
    plan = _Plan(head, bases, removed, [], None)
    try:
        needed = named_pages(key, plan.left)
        old = [page for page in pages if page.stored_at < engine.options.clock() - micros(grace)]
        unnamed = unneeded(old, needed)
        needed |= pinned_pages(*_pins(engine, key, attachments, unnamed))
    except Damaged as exc:
        return plan._replace(problem=exc)
    return plan._replace(pages=unneeded(unnamed, needed))


def _with_revisions(done: Pruned, removed: tuple[Range, ...], size: tuple[int, int]) -> Pruned:
    return replace(
        done,
        removed=(*done.removed, *removed),
        revisions=done.revisions + size[0],
        bytes=done.bytes + size[1],
    )


def _with_pages(done: Pruned, pages: Sequence[PageInfo]) -> Pruned:
    size = sum(page.size for page in pages)
    return replace(done, pages=done.pages + len(pages), bytes=done.bytes + size)


def after_save(engine: Engine[Any], key: SessionKey, before: Tip, after: Tip) -> None:
    """Prune a session now and then by its engine's rule; called after every save.

    It acts only after some of the saves that begin a segment. It never fails, since the save is
    done.

    Args:
        before, after: the session's tip before and after the save.
    """
    rule, revision = engine.options.retention, after.header.revision
    if after.patches or rule is None or (rule.keep_last is None and rule.keep_for is None):
        return  # a ttl alone removes nothing from a session that was just saved
    # A prune reads one header for each kept segment: the more it may keep, the rarer it is.
    kept = min(rule.keep_last or revision, revision) if rule.keep_for is None else revision
    every = max(_EVERY, kept // _EVERY)
    if (before.header.revision - before.patches) // every == revision // every:
        return
    try:
        done = prune(engine, key, rule, measured=False)
    except Exception as exc:  # noqa: BLE001  # whatever a driver raises, the save is done
        log.warning("not pruned", session_id=key.session_id, reason=str(exc))
    else:
        log.debug("pruned", session_id=key.session_id, removed=done.removed, pages=done.pages)


def sweep(
    engine: Engine[Any],
    key: SessionKey,
    rule: Retention | None,
    *,
    grace: dt.timedelta,
    dry_run: bool,
) -> Pruned | None:
    """Prune one session of many; a problem is returned, so that the sweep continues."""
    try:
        return prune(engine, key, rule, grace=grace, dry_run=dry_run)
    except SessionNotFound:
        return None  # it had only pages, and another process removed them
    except StoreError:
        raise
    except CheckpointError as exc:
        return Pruned(*key, dry_run=dry_run, problem=exc)


# --- whole sessions ------------------------------------------------------------------------------


def delete(engine: Engine[Any], key: SessionKey) -> bool:
    """Delete a session and the pages that no fork needs; return whether it existed."""
    for _ in Attempts(first=0):
        head = read_head(engine.store, key)
        if head is None:
            return False
        if head.deleted:
            prune(engine, key, None, grace=NO_GRACE)  # the remains of an earlier attempt
            return False
        if _put_tombstone(engine, key, head) is not None:
            return True
    raise contended(key)


def _put_tombstone(engine: Engine[Any], key: SessionKey, head: Head) -> list[PageInfo] | None:
    """Put a tombstone on the given head; return the removed pages, or None if the head changed.

    No later save can name the pages that were listed before the tombstone.
    """

    def tombstone(tip: Tip | None) -> Draft | None:
        if tip is None or tip.header.write_id != head.write_id:
            return None
        return draft_tombstone(key, engine.header(tip), tip)

    pages = engine.store.list_pages(key)
    forked_from = owners(key, read_bases(engine.store, key))
    if engine.replace_head(key, tombstone) is None:
        return None
    dropped = _drop(engine, key, pages)
    if {page.id for page in engine.store.list_pages(key)} - {page.id for page in pages}:
        # The tombstone should have removed these, which the store keeps beside its heads. The store
        # did not learn that the tombstone was written, or could not remove them.
        pruned = prune(engine, key, None, grace=NO_GRACE)
        log.debug("removed remains", session_id=key.session_id, pages=pruned.pages)
    for owner in sorted(forked_from):
        release(engine, owner, key)
    return dropped


def _expire(engine: Engine[Any], key: SessionKey, head: Head, done: Pruned) -> Pruned | None:
    """Delete an expired session; None if it was saved meanwhile."""
    bases = read_bases(engine.store, key)
    removed = ((min([base.revision for base in bases], default=1), head.revision),)
    size = measure(engine.store, key, removed)
    if done.dry_run:
        pages = engine.store.list_pages(key)
        pins = _pins(engine, key, engine.store.attachments(key), pages)
        pages = unneeded(pages, pinned_pages(*pins))
    elif (dropped := _put_tombstone(engine, key, head)) is None:
        return None
    else:
        pages = dropped
    return replace(_with_pages(_with_revisions(done, removed, size), pages), deleted=True)


def _remove_unsaved(
    engine: Engine[Any],
    key: SessionKey,
    pages: Sequence[PageInfo],
    grace: dt.timedelta,
    done: Pruned,
) -> Pruned:
    """Remove the pages of a first save that was never completed.

    A tombstone is put first, so that the save cannot complete any more.
    """
    if not pages:
        raise SessionNotFound("there is no session with this id").at(key)
    if max(page.stored_at for page in pages) >= engine.options.clock() - micros(grace):
        return done
    if done.dry_run:
        return _with_pages(done, pages)
    header = engine.header(None)._replace(kind=Kind.TOMBSTONE)
    record, _ = encode_record(key, header, {}, None, engine.options.limits)
    number, write_id = header.revision, header.write_id
    head = Head(number, write_id, base=number, saved_at=header.saved_at, deleted=True)
    if not engine.store.commit(key, Commit(None, head, record)):
        return done  # the save completed
    return _with_pages(done, _drop(engine, key, pages))


# --- pages ---------------------------------------------------------------------------------------


def _drop(engine: Engine[Any], key: SessionKey, pages: Sequence[PageInfo]) -> list[PageInfo]:
    """Remove pages, except those that a pin keeps.

    Args:
        pages: listed before the session's epoch moved or its tombstone was put, and named by no
            remaining base, so no base will ever name them.
    """
    if not pages:
        return []
    _, needed = _pins(engine, key, engine.store.attachments(key), pages)
    # Read again: a fork of a fork has put its own pin here before the fork needed fewer pages.
    pins = read_pins(key, engine.store.attachments(key))
    gone = unneeded(pages, pinned_pages(pins, needed))
    for at in range(0, len(gone), _DROPPED):
        engine.store.drop_pages(key, [page.id for page in gone[at : at + _DROPPED]])
    detach_unneeded(engine, key, needed)
    return gone


def _pins(
    engine: Engine[Any],
    key: SessionKey,
    attachments: Sequence[Attachment],
    pages: Sequence[PageInfo],
) -> tuple[list[Pin], dict[str, frozenset[bytes]]]:
    """All pins of a session; and for those of any of these pages, the pages still needed."""
    pins = read_pins(key, attachments)
    keeping = [pin for pin in pins if any(page.id in pin.pages for page in pages)]
    return pins, needed_pages(engine, key, keeping)


def release(engine: Engine[Any], owner: SessionKey, target: SessionKey) -> None:
    """Remove the pins of a fork, and the pages of a deleted owner that nothing else needs."""
    try:
        if unpin(engine, owner, target):
            head = read_head(engine.store, owner)
            if head is not None and head.deleted:
                prune(engine, owner, None, grace=NO_GRACE)
    except (Conflict, Damaged) as exc:
        log.warning("pins not removed", session_id=owner.session_id, reason=str(exc))
