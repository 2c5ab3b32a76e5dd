"""Verification: reads everything stored for a session, and reports damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from checkpoint._async.commits import contended
from checkpoint._async.listing import listed, read_head
from checkpoint._document.pages import PageData, PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.header import read_header
from checkpoint._records.labels import read_labels
from checkpoint._records.page import decode_page
from checkpoint._records.pins import read_pins
from checkpoint._records.segment import read
from checkpoint._runtime.problems import Problem
from checkpoint._runtime.waiting import AsyncAttempts
from checkpoint.errors import (
    Damaged,
    InvalidState,
    SessionNotFound,
    StateTooLarge,
    UnsupportedFormat,
)
from checkpoint.store import Head, Record

if TYPE_CHECKING:
    from checkpoint._async.engine import AsyncEngine

_UNUSABLE = (Damaged, InvalidState, StateTooLarge, UnsupportedFormat)
_FETCHED = 16  # pages read at once: a few megabytes


async def verify(engine: AsyncEngine[Any], key: SessionKey) -> list[Problem]:
    """The problems of a session; it is read again if it was pruned meanwhile.

    Raises:
        SessionNotFound: the session does not exist.
        Conflict: others pruned it on every attempt.
    """
    async for _ in AsyncAttempts(5, first=0):
        try:
            head = await read_head(engine.store, key)
        except (Damaged, UnsupportedFormat) as exc:
            return [Problem(*key, "head", str(exc.args[0]))]
        if head is None:
            raise SessionNotFound("there is no session with this id").at(key)
        if head.deleted:
            raise SessionNotFound("it was deleted; saving creates it again").at(key)
        check = _Check(engine, key, head)
        await check.run()
        if not check.found or not await _was_pruned(engine, key, head):
            return check.found
    raise contended(key)


async def _was_pruned(engine: AsyncEngine[Any], key: SessionKey, before: Head) -> bool:
    """Whether anything was removed from a session since its head was read."""
    now = await read_head(engine.store, key)
    if now is None or now.deleted or now.epoch != before.epoch:
        return True
    # It may have been deleted and created again.
    segment = await engine.store.read(key, before.revision, since=before.revision - 1)
    return now.revision != before.revision and not (segment and segment.records)


class _Check:
    """One pass over a session.

    Attributes:
        found: the problems.
    """

    def __init__(self, engine: AsyncEngine[Any], key: SessionKey, head: Head) -> None:
        self.found: list[Problem] = []
        self._store = engine.store
        self._limits = engine.options.limits
        self._key = key
        self._head = head
        self._named: dict[PageRef, list[tuple[int, int]]] = {}  # with the revisions it may affect

    async def run(self) -> None:
        newest: Record | None = None
        seen: set[int] = set()
        async for batch in listed(self._store, self._key, before=self._head.revision + 1):
            for record, _ in batch:
                newest = newest or record
                if record.revision not in seen:  # the last of its segment
                    seen |= await self._check_segment(record.revision)
        self._check_head(newest)
        await self._check_pages()
        try:
            attachments = await self._store.attachments(self._key)
        except Damaged as exc:
            self._found("label", str(exc.args[0]))
            return
        for attachment in attachments:
            for what, reading in ("label", read_labels), ("pin", read_pins):
                try:
                    reading(self._key, [attachment])
                except Damaged as exc:
                    self._found(what, str(exc.args[0]))

    def _found(
        self, what: str, message: str, *revisions: tuple[int, int], page: str | None = None
    ) -> None:
        self.found.append(Problem(*self._key, what, message, revisions, page))

    def _check_head(self, newest: Record | None) -> None:
        number = self._head.revision
        if newest is None or newest.revision != number:
            self._found("head", f"it names revision {number}, which is missing", (number, number))
            return
        try:
            if read_header(newest)[0].write_id != self._head.write_id:
                message = f"revision {number} is from another write than the head names"
                self._found("head", message, (number, number))
        except (Damaged, UnsupportedFormat):
            pass  # reported with its segment

    async def _check_segment(self, last: int) -> set[int]:
        """Verify the segment that ends at a revision, note its pages, return its revisions."""
        try:
            segment = await self._store.read(self._key, last)
        except (Damaged, UnsupportedFormat) as exc:  # from a store that keeps whole segments
            first = min(exc.revision or last, last)
            self._found("revision", str(exc.args[0]), (first, last))
            return {*range(first, last + 1)}
        records = segment.records if segment else ()
        if not records or records[-1].revision != last:
            self._found("revision", "its segment cannot be read", (last, last))
            return {last}
        numbers = {record.revision for record in records}
        first = min(numbers)
        try:
            for page in read_header(records[0])[0].pages:
                self._named.setdefault(page, []).append((first, last))
            stored = read(self._key, records, self._limits)
            spilled = stored.base.spilled()
            pages = {ref.id: page for ref, page in (await self._fetch(spilled)).items()}
            if all(ref.id in pages for ref in spilled):  # the others are reported with the pages
                stored.build(self._key, pages)
        except _UNUSABLE as exc:
            self._found("revision", str(exc.args[0]), (max(first, exc.revision or first), last))
        return numbers

    async def _check_pages(self) -> None:
        """Verify each page once, starting with the anchors of others."""
        anchors = dict.fromkeys(ref.anchor for ref in self._named if ref.anchor)
        for ref in anchors:
            self._named.setdefault(ref, [])
        known: dict[PageRef, PageData] = {}
        for refs in [*anchors], [ref for ref in self._named if ref not in anchors]:
            for at in range(0, len(refs), _FETCHED):
                found = await self._fetch(refs[at : at + _FETCHED], known, report=True)
                known |= {ref: page for ref, page in found.items() if ref in anchors}

    async def _fetch(
        self,
        refs: Sequence[PageRef],
        anchors: Mapping[PageRef, PageData] = {},
        *,
        report: bool = False,
    ) -> dict[PageRef, PageData]:
        """The pages that can be read; with ``report``, the others become problems.

        A page whose anchor cannot be read is not reported: its anchor is, for the same revisions.
        """
        pages: dict[PageRef, PageData] = {}
        for owner in sorted({ref.owner or self._key for ref in refs}):
            wanted = [ref for ref in refs if (ref.owner or self._key) == owner]
            found = await self._store.pages(owner, [ref.id for ref in wanted])
            for ref in wanted:
                try:
                    if ref.id not in found:
                        raise Damaged(f"page {ref.id.hex()} is missing")
                    if ref.anchor is None or ref.anchor in anchors:
                        anchor = anchors[ref.anchor].raw if ref.anchor else b""
                        raw = decode_page(
                            owner, ref.id, found[ref.id], self._limits.max_bytes, anchor
                        )
                        pages[ref] = PageData(raw)
                except _UNUSABLE as exc:
                    if report:
                        message = str(exc.args[0])
                        self._found("page", message, *self._named[ref][::-1], page=ref.id.hex())
        return pages
