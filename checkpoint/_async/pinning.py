"""Forks and pins: a fork shares pages, and pins them at their owners while it needs them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from checkpoint._async.commits import EpochMoved, contended
from checkpoint._async.listing import read_segments
from checkpoint._hydrator import required_pages
from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.pins import Pin, encode_pin, is_undecided, read_pins, shared_pages
from checkpoint._records.retention import Base
from checkpoint._runtime.snapshot import Snapshot
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.errors import CheckpointError, SaveUnclear
from checkpoint.store import Attachment, Head

if TYPE_CHECKING:
    from checkpoint._async.engine import AsyncEngine


async def fork(
    engine: AsyncEngine[Any],
    source: SessionKey,
    target: SessionKey,
    revision: int | str | None,
) -> Snapshot:
    """Create a session from a revision of another, whose pages it shares.

    Raises:
        SessionNotFound, RevisionNotFound, RevisionPruned: the revision does not exist (any more).
        Conflict: the target session exists.
    """
    made: list[tuple[SessionKey, Attachment]] = []
    try:
        async for _ in AsyncAttempts(first=0):
            loaded = await engine.load(source, revision)
            tip = await engine.require_absent(target)
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
        raise contended(source)
    except SaveUnclear:
        raise  # the fork may exist
    except CheckpointError:
        for owner, pin in made:
            with suppress(CheckpointError):  # a remaining pin is removed once it is old
                await engine.store.detach(owner, pin.revision, pin.name)
        raise


def _pins(
    source: SessionKey, target: SessionKey, tip: Tip | None, loaded: Baseline, now: int
) -> list[tuple[SessionKey, Attachment]]:
    """The pins that a fork needs, each with the owner of its pages."""
    pages = [*required_pages(loaded), *loaded.spilled]
    parent = tip.header.write_id if tip else b""
    return [
        (owner, encode_pin(owner, os.urandom(16), target, parent, now, ids))
        for owner, ids in shared_pages(source, pages).items()
    ]


async def _is_as_loaded(engine: AsyncEngine[Any], source: SessionKey, loaded: Baseline) -> bool:
    """Whether a revision exists, and its session had no removal since it was loaded.

    Revision numbers are never reused, so it is the revision that was loaded.
    """
    number = loaded.header.revision
    segment = await engine.store.read(source, number, since=number - 1)
    return bool(segment and segment.records and segment.head.epoch == loaded.end.epoch)


async def unpin(engine: AsyncEngine[Any], owner: SessionKey, target: SessionKey) -> bool:
    """Remove the pins of pages that a fork no longer needs; return whether there were any."""
    pins = read_pins(owner, await engine.store.attachments(owner))
    needed = await needed_pages(engine, owner, [pin for pin in pins if pin.target == target])
    return await detach_unneeded(engine, owner, needed)


async def detach_unneeded(
    engine: AsyncEngine[Any], owner: SessionKey, needed: Mapping[str, Collection[bytes]]
) -> bool:
    """Remove the pins without needed pages; return whether there were any."""
    unneeded = [name for name, pages in needed.items() if not pages]
    for name in unneeded:
        await engine.store.detach(owner, 0, name)
    return bool(unneeded)


async def needed_pages(
    engine: AsyncEngine[Any], owner: SessionKey, pins: Sequence[Pin]
) -> dict[str, frozenset[bytes]]:
    """By the name of each pin, its pages that the fork needs or may come to need.

    The forks are read after the pins. A page that a fork does not need, it never needs again.
    """
    needed: dict[str, frozenset[bytes]] = {}
    seen: dict[SessionKey, tuple[Head | None, list[Base]]] = {}
    for pin in pins:
        if pin.target not in seen:
            seen[pin.target] = await read_segments(engine.store, pin.target)
        needed[pin.name] = _needed(owner, pin, *seen[pin.target], engine.options.clock())
    return needed


def _needed(
    owner: SessionKey, pin: Pin, head: Head | None, bases: Sequence[Base], now: int
) -> frozenset[bytes]:
    may_come = is_undecided(pin, head.write_id if head else b"", now)
    if may_come or any(base.pages is None for base in bases):  # unknown, so all are kept
        return pin.pages
    named = (ref for base in bases for ref in base.pages or ())
    return pin.pages & {ref.id for ref in named if (ref.owner or pin.target) == owner}
