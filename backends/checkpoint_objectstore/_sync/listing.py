"""Lists sessions in byte order of their ids, from folder names and the start of each head."""

# Generated from checkpoint_objectstore/_async/listing.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from checkpoint.errors import CheckpointError, Damaged
from checkpoint.store import Head
from checkpoint_objectstore._format import START, unpack_start
from checkpoint_objectstore._layout import HEAD, ID, folder_of
from checkpoint_objectstore._names import END, STEM, encoded, id_of, name_of
from checkpoint_objectstore.objects import Objects

_UNBORN = Head(0, b"", 0, 0, deleted=True)
_AT_ONCE = 64  # concurrent requests


def list_sessions(
    objects: Objects,
    namespace: str,
    prefix: str,
    after: str | None,
    limit: int,
    deleted: bool,
) -> list[tuple[str, Head]]:
    """See :meth:`checkpoint.store.Store.sessions`; one request for each session examined."""
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
    """Groups of about ``limit`` names. The groups are in order; the names in a group may not be.

    Names with the same stem may sort differently from their ids (see ``STEM``), so they always
    share a group.
    """
    stem = encoded(prefix)[:STEM]
    last = "" if after is None else encoded(after)
    last = last[:STEM] if len(last) >= STEM else last + END if last else ""
    group: list[str] = []
    while names := objects.folders(folder, stem, last):
        for _, alike in groupby(names, key=lambda name: name[:STEM]):
            same_stem = list(alike)
            is_new = group and group[-1][:STEM] != same_stem[0][:STEM]
            if is_new and len(group) >= min(limit, _AT_ONCE):
                yield group
                group = []
            group += same_stem
        last = names[-1]
    if group:
        yield group


def _heads(
    objects: Objects, folder: str, names: list[str], *, deleted: bool
) -> list[tuple[str, Head]]:
    """The ids and heads of the sessions with these folder names.

    A damaged head must not keep maintenance from the other sessions: with ``deleted``, it is listed
    like a session without a head, and reported when maintenance reaches that session.
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
                    raise Damaged(f"the head object belongs to session {key}")
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
    """The id of a session whose head cannot be read; None if no other object has it."""
    session_id = id_of(name)
    if session_id is None:  # the name is hashed
        data = objects.get_many([path + ID]).get(path + ID)
        session_id = data.decode(errors="replace") if data is not None else None
        if session_id is not None and name_of(session_id) != name:
            return None
    return session_id
