"""Taking out of a store what nobody needs: pruned revisions, ended sessions, and their pages.

A page may go when no base and no pin names it, and nobody can still write one that does. So the
pages are listed first, and those that no base names are removed after the session's epoch was
moved, by which every save that is under way begins anew with fresh pages. A fork pins pages before
it looks whether its source is still there, and here the source is pruned before the pins are read:
one of the two sees the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpoint._async.commits import outrun
from checkpoint._async.listing import measure, read_bases, read_head
from checkpoint._async.pinning import detach_dead, let_go, needed_pages
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
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint._serializer import Draft, draft_tombstone
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
    from checkpoint._async.engine import AsyncEngine

GRACE = dt.timedelta(hours=1)
"""Default age below which no page is removed."""

NO_GRACE = dt.timedelta(0)
_DROPPED = 500  # pages removed at once
_EVERY = 32  # revisions, at least, from one automatic prune to the next


class _Plan(NamedTuple):
    """What is to be taken out of a session, as it was when its head was read.

    Attributes:
        head, bases: of the session.
        removed: the revisions that go.
        pages: those that nothing needs then.
        problem: why no page can go.
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


async def prune(
    engine: AsyncEngine[Any],
    key: SessionKey,
    rule: Retention | None,
    *,
    grace: dt.timedelta = GRACE,
    dry_run: bool = False,
    measured: bool = True,
) -> Pruned:
    """Take out of one session what the rule does not keep, and the pages that nothing needs.

    A lost answer is not guessed: the session is looked at again, and what is gone is gone.

    Args:
        rule: None for the pages only.
        grace: no page that is younger is removed.
        measured: tell how many revisions go, and their bytes; it takes a listing of them.

    Raises:
        SessionNotFound: there never was one, and there are no pages of one.
        Conflict: others were first, again and again.
        Damaged: a label was changed in the store.
    """
    done = Pruned(*key, dry_run=dry_run)
    unanswered: list[tuple[Head, Pruned]] = []  # what was sent: its guard, and what it removes
    sizes: dict[tuple[Range, ...], tuple[int, int]] = {}
    forked_from: set[SessionKey] = set()
    failure: CheckpointError = outrun(key)
    async for _ in AsyncAttempts():
        pages = await engine.store.list_pages(key)
        head = await read_head(engine.store, key)
        if head is None:
            return await _end_unborn(engine, key, pages, grace, done)
        if rule is not None and rule.expires(head, engine.options.clock()):
            ended = await _end(engine, key, head, done)
            if ended is None:
                continue  # it was saved meanwhile
            return ended
        plan = await _plan(engine, key, rule, head, pages, grace)
        forked_from |= owners(key, plan.bases)
        for _, then in unanswered:
            if then.removed and without(plan.bases, then.removed) == plan.bases:
                done = then  # it arrived
        unanswered = [sent for sent in unanswered if sent[0] == head]  # these still may
        if measured and plan.removed not in sizes:
            sizes[plan.removed] = await measure(engine.store, key, plan.removed)
        told = _with_revisions(done, plan.removed, sizes.get(plan.removed, (0, 0)))
        if dry_run:
            return replace(_with_pages(told, plan.pages), problem=plan.problem)
        if plan.removed or plan.pages or unanswered:
            try:
                moved = await engine.store.prune(key, plan.pruning)
            except StoreUnavailable as exc:
                unanswered.append((head, told))
                failure = exc
                continue
            if not moved:
                continue
            done = _with_pages(told, await _drop(engine, key, plan.pages))
        for owner in sorted(forked_from - owners(key, plan.left)):
            await release(engine, owner, key)
        return replace(done, problem=plan.problem)
    raise failure


async def _plan(
    engine: AsyncEngine[Any],
    key: SessionKey,
    rule: Retention | None,
    head: Head,
    pages: Sequence[PageInfo],
    grace: dt.timedelta,
) -> _Plan:
    """What is to go, by what is read after the head; it holds only if the head did not change."""
    bases = await read_bases(engine.store, key)
    attachments = await engine.store.attachments(key)
    removed: tuple[Range, ...] = ()
    if rule is not None and not head.deleted:
        labelled = read_labels(key, attachments).values() if rule.keep_labelled else ()
        removed = doomed(rule, bases, labelled, head, engine.options.clock())
    plan = _Plan(head, bases, removed, [], None)
    try:
        needed = named_pages(key, plan.left)
        old = [page for page in pages if page.stored_at < engine.options.clock() - micros(grace)]
        unnamed = unneeded(old, needed)
        needed |= pinned_pages(*await _pins(engine, key, attachments, unnamed))
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


async def after_save(engine: AsyncEngine[Any], key: SessionKey, before: Tip, after: Tip) -> None:
    """Prune a session now and then by the rule of its engine; for each save of one.

    It does something only after a save that began a segment, and then seldom. It never fails: the
    save is done.

    Args:
        before, after: the session's tip without and with what was saved.
    """
    rule, revision = engine.options.retention, after.header.revision
    if after.patches or rule is None or (rule.keep_last is None and rule.keep_for is None):
        return  # a session whose time is over is not saved
    # A prune reads as many headers as it keeps segments, so the more it may keep, the rarer it is.
    kept = min(rule.keep_last or revision, revision) if rule.keep_for is None else revision
    every = max(_EVERY, kept // _EVERY)
    if (before.header.revision - before.patches) // every == revision // every:
        return
    try:
        done = await prune(engine, key, rule, measured=False)
    except Exception as exc:  # noqa: BLE001  # of a driver, perhaps; whatever it is, it is saved
        log.warning("not pruned", session_id=key.session_id, reason=str(exc))
    else:
        log.debug("pruned", session_id=key.session_id, removed=done.removed, pages=done.pages)


async def sweep(
    engine: AsyncEngine[Any],
    key: SessionKey,
    rule: Retention | None,
    *,
    grace: dt.timedelta,
    dry_run: bool,
) -> Pruned | None:
    """Prune one session of many: what is wrong with it is told, so that the others are pruned."""
    try:
        return await prune(engine, key, rule, grace=grace, dry_run=dry_run)
    except SessionNotFound:
        return None  # it had only pages, and somebody else removed them
    except StoreError:
        raise
    except CheckpointError as exc:
        return Pruned(*key, dry_run=dry_run, problem=exc)


# --- whole sessions ------------------------------------------------------------------------------


async def delete(engine: AsyncEngine[Any], key: SessionKey) -> bool:
    """Delete a session, its pages too but those that forks need; whether there was one."""
    async for _ in AsyncAttempts():
        head = await read_head(engine.store, key)
        if head is None:
            return False
        if head.deleted:
            await prune(engine, key, None, grace=NO_GRACE)  # what an earlier try has left
            return False
        if await _bury(engine, key, head) is not None:
            return True
    raise outrun(key)


async def _bury(engine: AsyncEngine[Any], key: SessionKey, head: Head) -> list[PageInfo] | None:
    """Put a tombstone on the head that was seen; the pages removed, or None if it has changed.

    Nobody can come to name the pages that were there before the tombstone.
    """

    def tombstone(tip: Tip | None) -> Draft | None:
        if tip is None or tip.header.write_id != head.write_id:
            return None
        return draft_tombstone(key, engine.header(tip), tip)

    pages = await engine.store.list_pages(key)
    forked_from = owners(key, await read_bases(engine.store, key))
    if await engine.replace_head(key, tombstone) is None:
        return None
    dropped = await _drop(engine, key, pages)
    if {page.id for page in await engine.store.list_pages(key)} - {page.id for page in pages}:
        # What a store keeps beside its heads was to go with the tombstone, and is there: the store
        # was not told that it had come, or could not remove it.
        pruned = await prune(engine, key, None, grace=NO_GRACE)
        log.debug("buried late", session_id=key.session_id, pages=pruned.pages)
    for owner in sorted(forked_from):
        await release(engine, owner, key)
    return dropped


async def _end(
    engine: AsyncEngine[Any], key: SessionKey, head: Head, done: Pruned
) -> Pruned | None:
    """Delete a session whose time is over, if it was not saved meanwhile."""
    bases = await read_bases(engine.store, key)
    removed = ((min([base.revision for base in bases], default=1), head.revision),)
    size = await measure(engine.store, key, removed)
    if done.dry_run:
        pages = await engine.store.list_pages(key)
        pins = await _pins(engine, key, await engine.store.attachments(key), pages)
        pages = unneeded(pages, pinned_pages(*pins))
    elif (dropped := await _bury(engine, key, head)) is None:
        return None
    else:
        pages = dropped
    return replace(_with_pages(_with_revisions(done, removed, size), pages), deleted=True)


async def _end_unborn(
    engine: AsyncEngine[Any],
    key: SessionKey,
    pages: Sequence[PageInfo],
    grace: dt.timedelta,
    done: Pruned,
) -> Pruned:
    """Remove the pages of a first save that never came.

    A tombstone is put there before, so that it cannot come any more.
    """
    if not pages:
        raise SessionNotFound("no session of this id was ever saved").at(key)
    if max(page.stored_at for page in pages) >= engine.options.clock() - micros(grace):
        return done
    if done.dry_run:
        return _with_pages(done, pages)
    header = engine.header(None)._replace(kind=Kind.TOMBSTONE)
    record, _ = encode_record(key, header, {}, None, engine.options.limits)
    number, write_id = header.revision, header.write_id
    head = Head(number, write_id, base=number, saved_at=header.saved_at, deleted=True)
    if not await engine.store.commit(key, Commit(None, head, record)):
        return done  # it came
    return _with_pages(done, await _drop(engine, key, pages))


# --- pages ---------------------------------------------------------------------------------------


async def _drop(
    engine: AsyncEngine[Any], key: SessionKey, pages: Sequence[PageInfo]
) -> list[PageInfo]:
    """Remove those of some pages that no pin keeps.

    Args:
        pages: listed before the session's epoch was moved or its tombstone put, and named by no
            base that is left: so no base will ever name them.
    """
    if not pages:
        return []
    _, needed = await _pins(engine, key, await engine.store.attachments(key), pages)
    # Again: a fork of a fork has put its own pin here before the fork came to need less.
    pins = read_pins(key, await engine.store.attachments(key))
    gone = unneeded(pages, pinned_pages(pins, needed))
    for at in range(0, len(gone), _DROPPED):
        await engine.store.drop_pages(key, [page.id for page in gone[at : at + _DROPPED]])
    await detach_dead(engine, key, needed)
    return gone


async def _pins(
    engine: AsyncEngine[Any],
    key: SessionKey,
    attachments: Sequence[Attachment],
    pages: Sequence[PageInfo],
) -> tuple[list[Pin], dict[str, frozenset[bytes]]]:
    """All pins of a session; and for those that keep any of these pages, what is needed of each."""
    pins = read_pins(key, attachments)
    keeping = [pin for pin in pins if any(page.id in pin.pages for page in pages)]
    return pins, await needed_pages(engine, key, keeping)


async def release(engine: AsyncEngine[Any], owner: SessionKey, target: SessionKey) -> None:
    """Remove the pins of a fork, and the pages of a deleted owner that nothing else needs."""
    try:
        if await let_go(engine, owner, target):
            head = await read_head(engine.store, owner)
            if head is not None and head.deleted:
                await prune(engine, owner, None, grace=NO_GRACE)
    except (Conflict, Damaged) as exc:
        log.warning("pins are left", session_id=owner.session_id, reason=str(exc))
