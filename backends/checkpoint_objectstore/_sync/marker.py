"""The marker object: says that a bucket or directory is a store and honours conditional writes."""

# Generated from checkpoint_objectstore/_async/marker.py by tools/unasync.py: change that one.

from __future__ import annotations

import os

from checkpoint._runtime.waiting import Attempts
from checkpoint.errors import NotAStore, StoreTooNew, StoreUnsafe
from checkpoint_objectstore._layout import MARKER
from checkpoint_objectstore.objects import Objects

_TEXT = b"agent-checkpoint objects "
_LAYOUT = 1
_TRIAL = b"agent-checkpoint trial "


def check_place(objects: Objects) -> None:
    """Check, before the first session is created, that the driver honours conditional writes.

    The trial runs on the marker itself, so a process that ends halfway leaves no other object, and
    the next one continues from there.

    Raises:
        StoreUnsafe: it writes although a condition fails, or does not support conditions.
        StoreTooNew: a newer version of this library created the layout.
        NotAStore: the marker was not written by this library.
        StoreError: it did not answer.
    """
    refused = ""
    for _ in Attempts(first=0):
        marker = objects.get(MARKER)
        if marker is not None and not marker.data.startswith(_TRIAL):
            _check_layout(marker.data)
            return
        tag = marker.tag if marker else objects.create(MARKER, _trial())
        if tag is not None and tag == refused:  # unchanged since the trial failed: no race
            break
        refused = tag or ""
        if tag is not None and _try_conditions(objects, tag):
            return
    raise _unsafe()


def _try_conditions(objects: Objects, first: str) -> bool:
    """Try conditional writes on the marker, which has this tag; then write its final form.

    Returns False if another process changed the marker meanwhile.
    """
    again = objects.create(MARKER, _trial())
    second = objects.replace(MARKER, _trial(), first) if again is None else None
    stale = objects.replace(MARKER, _trial(), first) if second else None
    if again is not None or stale is not None:
        objects.delete([MARKER])
        raise _unsafe()
    final = objects.replace(MARKER, b"%s%d\n" % (_TEXT, _LAYOUT), second) if second else None
    return final is not None


def _trial() -> bytes:
    return _TRIAL + os.urandom(8).hex().encode()


def _check_layout(data: bytes) -> None:
    version = data.removeprefix(_TEXT).strip()
    if not data.startswith(_TEXT) or not version.isdigit():
        raise NotAStore(
            f"the object {MARKER!r} was not written by this library; use another bucket, prefix or "
            f"directory"
        )
    if int(version) > _LAYOUT:
        raise StoreTooNew(
            f"the objects have layout {int(version)}, but this version of the library supports "
            f"only layout {_LAYOUT}; upgrade agent-checkpoint"
        )


def _unsafe() -> StoreUnsafe:
    return StoreUnsafe(
        "the server does not honour If-None-Match and If-Match on writes, so two writers would "
        "overwrite each other; nothing was saved. Use a server that does (see the docs)"
    )
