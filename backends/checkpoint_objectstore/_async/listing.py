"""Sessions in byte order of their ids, by the names of their folders and the start of each head."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import groupby

from checkpoint.errors import CheckpointError
from checkpoint.store import Head
from checkpoint_objectstore.format import START, unpack_start
from checkpoint_objectstore.layout import HEAD, ID
from checkpoint_objectstore.names import END, STEM, encoded, id_of, name_of
from checkpoint_objectstore.objects import AsyncObjects

_UNBORN = Head(0, b"", 0, 0, deleted=True)
_AT_ONCE = 64  # heads fetched at the same time


async def list_sessions(
    objects: AsyncObjects,
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
    async for names in _groups(objects, folder, prefix, after, limit):
        listed = [
            (session_id, head)
            for session_id, head in await _heads(objects, folder, names)
            if session_id.startswith(prefix)
            and (after is None or session_id.encode() > after.encode())
            and (deleted or not head.deleted)
        ]
        found += sorted(listed, key=lambda session: session[0].encode())
        if len(found) >= limit:
            break
    return found[:limit]


async def _groups(
    objects: AsyncObjects, folder: str, prefix: str, after: str | None, limit: int
) -> AsyncIterator[list[str]]:
    """Names in groups of about ``limit``, each in order after the one before, but not in itself.

    Names that begin alike for long may be in another order than their ids (:mod:`.names`), so they
    are always in one group.
    """
    stem = encoded(prefix)[:STEM]
    last = "" if after is None else encoded(after)
    last = last[:STEM] if len(last) >= STEM else last + END if last else ""
    group: list[str] = []
    while names := await objects.folders(folder, stem, last):
        for _, alike in groupby(names, key=lambda name: name[:STEM]):
            some = list(alike)
            if group and group[-1][:STEM] != some[0][:STEM] and len(group) >= min(limit, _AT_ONCE):
                yield group
                group = []
            group += some
        last = names[-1]
    if group:
        yield group


async def _heads(objects: AsyncObjects, folder: str, names: list[str]) -> list[tuple[str, Head]]:
    """The ids and heads of the sessions of some names."""
    found: list[tuple[str, Head]] = []
    starts: dict[str, bytes] = {}
    for at in range(0, len(names), _AT_ONCE):
        keys = [f"{folder}{name}/{HEAD}" for name in names[at : at + _AT_ONCE]]
        starts |= await objects.get_many(keys, first=START)
    for name in names:
        path = f"{folder}{name}/"
        if (start := starts.get(path + HEAD)) is not None:
            try:
                key, head = unpack_start(start)
            except CheckpointError as exc:
                exc.args = (f"{exc.args[0]} ({path}{HEAD})",)
                exc.session_id = id_of(name)
                raise
            found.append((key.session_id, head))
        elif await objects.list(path + "pages/"):
            session_id = id_of(name)
            if session_id is None:  # its name is a hash
                told = await objects.get_many([path + ID])
                session_id = told[path + ID].decode() if path + ID in told else None
            if session_id is not None:
                found.append((session_id, _UNBORN))
    return found
