"""Forks share pages: these are pinned at their owners, and let go when the fork is gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from checkpoint._async.commits import EpochMoved
from checkpoint._async.engine import AsyncEngine
from checkpoint._async.listing import read_segments
from checkpoint.errors import CheckpointError, Conflict, SaveUnclear
from checkpoint.hydrator import wanted
from checkpoint.ids import SessionKey
from checkpoint.pins import Pin, is_undecided, read_pins, seal_pin, shared_pages
from checkpoint.retention import Base
from checkpoint.segment import Loaded, Tip
from checkpoint.snapshot import Snapshot
from checkpoint.store import Attachment, Head

_TRIES = 20


async def fork(
    engine: AsyncEngine[Any],
    source: SessionKey,
    target: SessionKey,
    revision: int | str | None,
) -> Snapshot:
    """Start a session from a revision of another one, whose pages it shares.

    Raises:
        SessionNotFound, RevisionNotFound, RevisionPruned: it has no such revision (any more).
        Conflict: there is a session at the target.
    """
    made: list[tuple[SessionKey, Attachment]] = []
    try:
        for _ in range(_TRIES):
            loaded = await engine.load(source, revision)
            tip = await engine.absent(target)
            revision = loaded.header.revision
            pins = _pins(source, target, tip, loaded, engine.options.clock())
            for owner, pin in pins:
                made.append((owner, pin))
                await engine.store.attach(owner, pin)
            if pins and not await _is_as_loaded(engine, source, loaded):
                continue
            try:
                return await engine.copy(target, loaded, (source.session_id, revision), tip)
            except EpochMoved:
                continue
        raise Conflict("it is pruned by others all the time; try again later", **source._asdict())
    except SaveUnclear:
        raise  # it may have been made
    except CheckpointError:
        for owner, pin in made:
            with suppress(CheckpointError):  # else it is let go when it is old
                await engine.store.detach(owner, pin.revision, pin.name)
        raise


def _pins(
    source: SessionKey, target: SessionKey, tip: Tip | None, loaded: Loaded, now: int
) -> list[tuple[SessionKey, Attachment]]:
    """The pins that a fork needs, each with the session that it is for."""
    pages = [*wanted(loaded.document), *loaded.spilled]
    parent = tip.header.write_id if tip else b""
    return [
        (owner, seal_pin(owner, os.urandom(16), target, parent, now, ids))
        for owner, ids in shared_pages(source, pages).items()
    ]


async def _is_as_loaded(engine: AsyncEngine[Any], source: SessionKey, loaded: Loaded) -> bool:
    """Whether a revision is there, and nothing was taken out of its session since it was loaded.

    A number is never used again, so it is the revision that was loaded.
    """
    number = loaded.header.revision
    segment = await engine.store.read(source, number, number - 1)
    return bool(segment and segment.records and segment.head.epoch == loaded.tip.epoch)


async def let_go(engine: AsyncEngine[Any], owner: SessionKey, target: SessionKey) -> bool:
    """Remove the pins of a fork that needs the owner's pages no more; whether there were any."""
    pins = read_pins(owner, await engine.store.attachments(owner))
    dead = await dead_pins(engine, owner, [pin for pin in pins if pin.target == target])
    for name in dead:
        await engine.store.detach(owner, 0, name)
    return bool(dead)


async def dead_pins(engine: AsyncEngine[Any], owner: SessionKey, pins: Sequence[Pin]) -> set[str]:
    """The names of those pins whose forks need none of their pages, and never will.

    The targets are looked at after the pins were read. A pin that is dead stays dead.
    """
    dead = set()
    seen: dict[SessionKey, tuple[Head | None, list[Base]]] = {}
    for pin in pins:
        if pin.target not in seen:
            seen[pin.target] = await read_segments(engine.store, pin.target)
        if not _is_needed(owner, pin, *seen[pin.target], engine.options.clock()):
            dead.add(pin.name)
    return dead


def _is_needed(
    owner: SessionKey, pin: Pin, head: Head | None, bases: Sequence[Base], now: int
) -> bool:
    if is_undecided(pin, head.write_id if head else b"", now):
        return True
    return any(
        base.pages is None  # nobody knows
        or any((ref.owner or pin.target) == owner and ref.id in pin.pages for ref in base.pages)
        for base in bases
    )
