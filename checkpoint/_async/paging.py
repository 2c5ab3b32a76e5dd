"""Pages fetched from a store, verified and opened."""

from __future__ import annotations

from collections.abc import Sequence

from checkpoint.errors import CheckpointError, Damaged
from checkpoint.ids import SessionKey
from checkpoint.pages import PageData, open_page
from checkpoint.record import PageRef
from checkpoint.store import AsyncStore, Head

_NO_RECORDS = 2**62  # after every revision: the head is all that is asked for


class PagesGone(Exception):
    """A page was removed since its session was read: it is to be read again."""


async def fetch(
    store: AsyncStore,
    key: SessionKey,
    refs: Sequence[PageRef],
    pages: dict[bytes, PageData],
    max_bytes: int,
    head: Head,
) -> None:
    """Fetch pages that a base of a session names into ``pages``, but for those that are there.

    Args:
        max_bytes: the most that all pages may have.
        head: the session's head when the base was read.

    Raises:
        PagesGone: one is not there, and the session has moved on.
        Damaged: one is not there, or is not what was written.
        StateTooLarge: they exceed the limit.
    """
    wanted: dict[SessionKey, list[bytes]] = {}
    for ref in refs:
        if ref.id not in pages:
            wanted.setdefault(ref.owner or key, []).append(ref.id)
    left = max_bytes - sum(len(page.raw) for page in pages.values()) if wanted else 0
    for owner, ids in wanted.items():
        found = await store.pages(owner, ids)
        for id in ids:
            try:
                if id not in found:
                    raise Damaged(f"page {id.hex()} is missing; verify() lists what it is part of")
                raw = open_page(owner, id, found[id], left)
            except CheckpointError as exc:
                if id not in found:
                    now = await store.read(key, None, _NO_RECORDS)
                    if now is None or now.head[:2] != head[:2] or now.head.epoch != head.epoch:
                        raise PagesGone from exc
                exc.namespace, exc.session_id, exc.revision = *key, head.revision
                raise
            pages[id] = PageData(raw)
            left -= len(raw)
