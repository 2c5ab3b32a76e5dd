"""Sessions in byte order of their ids, by the names of their folders and the start of each head."""

# Generated from checkpoint_objectstore/_async/listing.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from checkpoint.errors import CheckpointError, Damaged
from checkpoint.store import Head
from checkpoint_objectstore._format import START, unpack_start
from checkpoint_objectstore._layout import HEAD, ID, folder_of
from checkpoint_objectstore._names import (
    END,
    STEM,
    encoded,
    id_of,
    name_of,
)
from checkpoint_objectstore.objects import Objects

_UNBORN = Head(0, b"", 0, 0, deleted=True)
_AT_ONCE = 64  # heads fetched at the same time


def list_sessions(
    objects: Objects,
    namespace: str,
    prefix: str,
    after: str | None,
    limit: int,
    deleted: bool,
) -> list[tuple[str, Head]]:
    """As :meth:`checkpoint.store.Store.sessions` says; one request for each session looked at."""
    found: list[tuple[str, Head]] = []
    if limit < 1:
        return found
    folder = name_of(namespace) + "/"
    for names in _groups(objects, folder, prefix, after, limit):
        listed = [
            (session_id, head)
            for session_id, head in _heads(objects, folder, names, deleted=deleted)
            if session_id.startswith(prefix)
            and (after is None or session_id.encode() > after.encode())
            and (deleted or not head.deleted)
        ]
        found += sorted(listed, key=lambda session: session[0].encode())
        if len(found) >= limit:
            break
    return found[:limit]


def _groups(
    objects: Objects, folder: str, prefix: str, after: str | None, limit: int
) -> Iterator[list[str]]:
    """Names in groups of about ``limit``, each in order after the one before, but not in itself.

    Names that begin alike for long may be in another order than their ids (:mod:`.names`), so they
    are always in one group.
    """
    stem = encoded(prefix)[:STEM]
    last = "" if after is None else encoded(after)
    last = last[:STEM] if len(last) >= STEM else last + END if last else ""
    group: list[str] = []
    while names := objects.folders(folder, stem, last):
        for _, alike in groupby(names, key=lambda name: name[:STEM]):
            some = list(alike)
            if group and group[-1][:STEM] != some[0][:STEM] and len(group) >= min(limit, _AT_ONCE):
                yield group
                group = []
            group += some
        last = names[-1]
    if group:
        yield group


def _heads(
    objects: Objects, folder: str, names: list[str], *, deleted: bool
) -> list[tuple[str, Head]]:
    """The ids and heads of the sessions of some names.

    A head that is damaged must not keep those who look after all sessions from the others: with
    ``deleted``, it is listed as none, and they come upon it there.
    """
    found: list[tuple[str, Head]] = []
    starts: dict[str, bytes] = {}
    for at in range(0, len(names), _AT_ONCE):
        keys = [f"{folder}{name}/{HEAD}" for name in names[at : at + _AT_ONCE]]
        starts |= objects.get_many(keys, first=START)
    for name in names:
        path = f"{folder}{name}/"
        if (start := starts.get(path + HEAD)) is not None:
            try:
                key, head = unpack_start(start)
                if path != folder_of(key).path:
                    raise Damaged(f"the head object is that of session {key}")
            except CheckpointError as exc:
                session_id = _id(objects, path, name)
                if not deleted or session_id is None:
                    exc.args = (f"{exc.args[0]} ({path}{HEAD})",)
                    exc.session_id = session_id
                    raise
                found.append((session_id, _UNBORN))
            else:
                found.append((key.session_id, head))
            continue
        session_id = None
        if objects.list(path + "pages/"):
            session_id = _id(objects, path, name)
        if session_id is not None:
            found.append((session_id, _UNBORN))
    return found


def _id(objects: Objects, path: str, name: str) -> str | None:
    """The id of a session whose head does not tell it; None where nothing does."""
    session_id = id_of(name)
    if session_id is None:  # its name is a hash
        told = objects.get_many([path + ID]).get(path + ID)
        session_id = told.decode(errors="replace") if told is not None else None
        if session_id is not None and name_of(session_id) != name:
            return None
    return session_id
