"""The object that tells that a place is one of ours, and the trial that comes before it."""

# Generated from checkpoint_objectstore/_async/marker.py by tools/unasync.py: change that one.

from __future__ import annotations

import os

from checkpoint.errors import NotAStore, StoreTooNew, StoreUnsafe
from checkpoint_objectstore.layout import MARKER
from checkpoint_objectstore.objects import Objects

_TEXT = b"agent-checkpoint objects "
_LAYOUT = 1
_TRIAL = "agent-checkpoint-trial"


def check_place(objects: Objects) -> None:
    """Make sure, before a place gets its first session, that saves can rest on its conditions.

    Raises:
        StoreUnsafe: it writes though a condition does not hold, or knows no conditions.
        StoreTooNew: a newer version of this library laid it out.
        NotAStore: the object that tells is something else.
        StoreError: it did not answer.
    """
    marker = objects.get(MARKER)
    if marker is None:
        _try_conditions(objects)
        objects.create(MARKER, b"%s%d\n" % (_TEXT, _LAYOUT))
        return
    told = marker.data.removeprefix(_TEXT).strip()
    if not marker.data.startswith(_TEXT) or not told.isdigit():
        raise NotAStore(
            f"the object {MARKER!r} is none of this library's; use another bucket, prefix or "
            f"directory"
        )
    if int(told) > _LAYOUT:
        raise StoreTooNew(
            f"the objects are in layout {int(told)}, newer than this version of the library, which "
            f"knows layout {_LAYOUT}; upgrade agent-checkpoint"
        )


def _try_conditions(objects: Objects) -> None:
    key = f"{_TRIAL}-{os.urandom(8).hex()}"
    try:
        first = objects.create(key, b"first")
        again = objects.create(key, b"again")
        after = objects.replace(key, b"second", first or "")
        stale = objects.replace(key, b"third", first or "")
        found = objects.get(key)
    finally:
        objects.delete([key])
    if again is not None or stale is not None or not (first and after and found):
        raise StoreUnsafe(
            "the server does not honour If-None-Match and If-Match on writes, so two writers "
            "would overwrite each other; nothing was saved. Use a server that does (see the docs)"
        )
