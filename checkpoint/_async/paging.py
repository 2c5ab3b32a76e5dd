"""Fetches pages from a store, verifies and decodes them."""

from __future__ import annotations

from collections.abc import Sequence

from checkpoint._document.pages import PageData, PageRef
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.page import decode_page
from checkpoint.errors import CheckpointError, Damaged
from checkpoint.store import AsyncStore


class PagesGone(Exception):
    """A page was removed after its session was read; read the session again."""


async def fetch(
    store: AsyncStore,
    key: SessionKey,
    refs: Sequence[PageRef],
    pages: dict[bytes, PageData],
    limits: Limits,
    revision: int,
    epoch: int,
) -> None:
    """Fetch the pages that a base of a session names into ``pages``, unless already there.

    Args:
        refs: the pages; the anchor of each is in ``pages``, or before it in ``refs``.
        revision: the revision that needs them.
        epoch: of the session's head when it was read.

    Raises:
        PagesGone: a page is missing, perhaps with the revision: there was a removal.
        Damaged: a page is missing or was changed.
        StateTooLarge: the pages exceed the limit.
    """
    wanted: dict[SessionKey, dict[bytes, PageRef]] = {}
    for ref in refs:
        if ref.id not in pages:
            # Equal pages of one write may have two anchors: the first is used.
            wanted.setdefault(ref.owner or key, {}).setdefault(ref.id, ref)
    fetched = {ref.id: len(pages[ref.id].raw) for ref in refs if ref.id in pages}
    left = limits.max_bytes - sum(fetched.values())
    for owner, of_owner in wanted.items():
        found = await store.pages(owner, list(of_owner))
        for id, ref in of_owner.items():
            try:
                if id not in found:
                    raise Damaged(
                        f"page {id.hex()} is missing; verify() lists the affected revisions"
                    )
                anchor = pages[ref.anchor.id].raw if ref.anchor else b""
                raw = decode_page(owner, id, found[id], left, anchor)
            except CheckpointError as exc:
                if id not in found and await _was_pruned(store, key, revision, epoch):
                    raise PagesGone from exc
                exc.at(key, revision)
                raise
            pages[id] = PageData(raw)
            left -= len(raw)


async def _was_pruned(store: AsyncStore, key: SessionKey, revision: int, epoch: int) -> bool:
    """Whether the session had a removal since; no page is removed before that."""
    now = await store.read(key, revision, since=revision - 1)
    return now is None or not now.records or now.head.epoch != epoch
