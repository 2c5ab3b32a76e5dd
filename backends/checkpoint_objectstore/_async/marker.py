"""The object that tells that a place is one of ours, and that conditions were tried on it."""

from __future__ import annotations

import os

from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.errors import NotAStore, StoreTooNew, StoreUnsafe
from checkpoint_objectstore._layout import MARKER
from checkpoint_objectstore.objects import AsyncObjects

_TEXT = b"agent-checkpoint objects "
_LAYOUT = 1
_TRIAL = b"agent-checkpoint trial "


async def check_place(objects: AsyncObjects) -> None:
    """Make sure, before a place gets its first session, that saves can rest on its conditions.

    They are tried on the very object that tells so afterwards: whoever ends in the middle leaves
    nothing else, and others go on from there.

    Raises:
        StoreUnsafe: it writes though a condition does not hold, or knows no conditions.
        StoreTooNew: a newer version of this library laid it out.
        NotAStore: the object that tells is something else.
        StoreError: it did not answer.
    """
    refused = ""
    async for _ in AsyncAttempts():
        marker = await objects.get(MARKER)
        if marker is not None and not marker.data.startswith(_TRIAL):
            _check_layout(marker.data)
            return
        tag = marker.tag if marker else await objects.create(MARKER, _trial())
        if tag is not None and tag == refused:  # it is still there, and nobody else's
            break
        refused = tag or ""
        if tag is not None and await _try_conditions(objects, tag):
            return
    raise _unsafe()


async def _try_conditions(objects: AsyncObjects, first: str) -> bool:
    """Try them on the marker, which has this tag; then let it tell so, if nobody else came first.

    Returns whether it does.
    """
    again = await objects.create(MARKER, _trial())
    second = await objects.replace(MARKER, _trial(), first) if again is None else None
    stale = await objects.replace(MARKER, _trial(), first) if second else None
    if again is not None or stale is not None:
        await objects.delete([MARKER])
        raise _unsafe()
    told = await objects.replace(MARKER, b"%s%d\n" % (_TEXT, _LAYOUT), second) if second else None
    return told is not None


def _trial() -> bytes:
    return _TRIAL + os.urandom(8).hex().encode()


def _check_layout(data: bytes) -> None:
    told = data.removeprefix(_TEXT).strip()
    if not data.startswith(_TEXT) or not told.isdigit():
        raise NotAStore(
            f"the object {MARKER!r} is none of this library's; use another bucket, prefix or "
            f"directory"
        )
    if int(told) > _LAYOUT:
        raise StoreTooNew(
            f"the objects are in layout {int(told)}, newer than this version of the library, which "
            f"knows layout {_LAYOUT}; upgrade agent-checkpoint"
        )


def _unsafe() -> StoreUnsafe:
    return StoreUnsafe(
        "the server does not honour If-None-Match and If-Match on writes, so two writers would "
        "overwrite each other; nothing was saved. Use a server that does (see the docs)"
    )
