"""Deletes a single revision of a session, and rewrites the rest of its segment in one step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from checkpoint._async.commits import contended
from checkpoint._async.listing import measure, read_bases, read_head
from checkpoint._async.maintenance import NO_GRACE, prune, release
from checkpoint._ids import SessionKey
from checkpoint._records.retention import Base, Pruned, owners
from checkpoint._records.rewrite import rewritten
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.errors import CheckpointError, InvalidOption, RevisionPruned, StoreUnavailable
from checkpoint.store import Head, Pruning, Record

if TYPE_CHECKING:
    from checkpoint._async.engine import AsyncEngine


async def delete_revision(engine: AsyncEngine[Any], key: SessionKey, revision: int) -> Pruned:
    """Remove one revision, and the pages that only it needed.

    The epoch moves in the same step, so that no save builds on a rewritten record.

    Raises:
        InvalidOption: it is the newest revision, or has a label.
        SessionNotFound, RevisionNotFound, RevisionPruned: it does not exist.
        Conflict: others changed the session first on every attempt.
        Damaged: it or a revision after it in its segment cannot be read.
    """
    done = Pruned(*key, removed=((revision, revision),), revisions=1)
    forked_from: set[SessionKey] = set()
    was_sent = False
    failure: CheckpointError = contended(key)
    async for _ in AsyncAttempts():
        head = await read_head(engine.store, key)
        try:
            gone = await engine.load(key, revision)
        except RevisionPruned:
            if was_sent:
                break  # an earlier attempt removed it, and the answer was lost
            raise
        await _check_free(engine, key, revision, head)
        if head is None:
            continue  # it was created after the head was read
        bases = await read_bases(engine.store, key)
        forked_from |= owners(key, bases)
        _, size = await measure(engine.store, key, done.removed)
        done = replace(done, bytes=size)
        records = await _segment(engine, key, revision, bases, head)
        if records is None:
            continue
        new_records = rewritten(key, records, gone, engine.options.limits)
        if new_records and not getattr(engine.store, "rewrites", False):
            raise InvalidOption(
                "this store cannot remove a revision that others follow in its segment; remove "
                "whole segments with a retention rule, prune(session_id, Retention(...))"
            ).at(key, revision)
        try:
            was_sent = True
            if await engine.store.prune(key, _pruning(head, revision, new_records)):
                break
        except StoreUnavailable as exc:
            failure = exc
    else:
        raise failure
    pruned = await prune(engine, key, None, grace=NO_GRACE)
    for owner in sorted(forked_from - owners(key, await read_bases(engine.store, key))):
        await release(engine, owner, key)
    size = done.bytes + pruned.bytes
    return replace(done, pages=pruned.pages, bytes=size, problem=pruned.problem)


async def _check_free(
    engine: AsyncEngine[Any], key: SessionKey, revision: int, head: Head | None
) -> None:
    """Raise InvalidOption for the newest revision, and for one with a label."""
    if head is not None and head.revision == revision:
        raise InvalidOption(
            "it is the newest revision, which cannot be deleted; save or roll back to another "
            "first, or delete the session"
        ).at(key, revision)
    labels = await engine.labels(key)
    if names := ", ".join(repr(name) for name in sorted(labels) if labels[name] == revision):
        raise InvalidOption(f"it is labelled {names}; call unlabel() first").at(key, revision)


async def _segment(
    engine: AsyncEngine[Any], key: SessionKey, revision: int, bases: list[Base], head: Head
) -> tuple[Record, ...] | None:
    """The segment of a revision; None if the head has changed since."""
    following = min((b.revision for b in bases if b.revision > revision), default=None)
    newest = await engine.store.headers(key, following, 1)
    segment = await engine.store.read(key, newest[0][0].revision if newest else revision)
    if segment is None or segment.head != head or not segment.records:
        return None
    return segment.records


def _pruning(head: Head, revision: int, records: list[Record]) -> Pruning:
    """The step that removes a revision; stores refuse it if the session has changed since."""
    is_newest = bool(records) and records[-1].revision == head.revision
    base = records[0].revision if is_newest else head.base
    after = head._replace(epoch=head.epoch + 1, base=base)
    written = tuple((record, records[0].revision) for record in records)
    return Pruning(head, after, ((revision, revision),), written)
