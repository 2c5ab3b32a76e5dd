"""Pagination: decides which parts of a document go to pages when a base is written.

The end of a list stays in the base, where the next turns read it; earlier items go to pages once
they fill one. The document's existing pages are reused: items deleted from the middle of one only
add runs. Big maps and values are cut into pages too. So a base is about as small after a hundred
thousand items as after a hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Any

from checkpoint._document.codec import DecodeError, Node, decode, encode
from checkpoint._document.encoded import array
from checkpoint._document.items import ItemList, PageRun, Pages
from checkpoint._document.pages import PageData, PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.body import Spilled
from checkpoint._records.page import encode_page

PAGE_SIZE = 128 * 1024
"""Approximate bytes of encoded items in a page."""

ANCHORED = 16
"""Most pages of a list that share an anchor, which is the first of them."""

_MANY_RUNS = 3  # runs for each page, above which they are gathered


class AnchorNeeded(Exception):
    """The anchor for new pages is not loaded.

    Attributes:
        page: the anchor.
    """

    def __init__(self, page: PageRef) -> None:
        super().__init__(page)
        self.page = page


class Paginator:
    """Lays out a document, and writes its new pages.

    Args:
        key: the session that will own the new pages.
        nonce: 8 bytes that no other write of this session uses.
        version: of the schema.
        pages: the loaded pages: at least those with touched items.
        spilled: pages of big values of the revision before, reused where they fit.
        without: ids of pages that cannot be read; no new page is compressed against one.

    Attributes:
        written: stored forms of new pages, by id.
        made: contents of new pages, by id.
        spilled: the pages of big values.
    """

    def __init__(
        self,
        key: SessionKey,
        nonce: bytes,
        version: int,
        pages: Pages,
        spilled: Iterable[PageRef],
        without: Collection[bytes] = (),
    ) -> None:
        self._key = key
        self._nonce = nonce
        self._version = version
        self._pages = pages
        self._without = without
        known = [(ref, pages[ref.id].raw) for ref in spilled if ref.id in pages]
        self._known = {_digest(raw): ref for ref, raw in known}
        self._starts = {start for _, raw in known for start in _first_name(raw)}
        self.written: dict[bytes, bytes] = {}
        self.made: dict[bytes, PageData] = {}
        self.spilled: list[PageRef] = []

    def lay(self, value: Any) -> tuple[Any, Any]:
        """Return a value in the form that the next save is compared with, and in stored form.

        Raises:
            AnchorNeeded: load that page, and lay the document out again.
        """
        if isinstance(value, ItemList):
            packed = self._pack(value)
            return packed, packed
        nodes: list[Node] = []
        encoded = encode(value, nodes)
        if len(encoded) <= PAGE_SIZE:
            if nodes:
                value = decode(encoded, [self.lay(node)[0] for node in nodes])
            return value, value
        if type(value) is dict:
            return self._lay_map(value)
        if type(value) is list:
            return self._lay_list(value)
        return value, self._spill(
            (encoded[at : at + PAGE_SIZE] for at in range(0, len(encoded), PAGE_SIZE)), is_map=False
        )

    def _lay_map(self, value: dict[Any, Any]) -> tuple[Any, Any]:
        pairs = {name: self.lay(member) for name, member in value.items()}
        live = {name: pair[0] for name, pair in pairs.items()}
        stored = {name: pair[1] for name, pair in pairs.items()}
        nodes: list[Node] = []
        if len(encode(stored, nodes)) <= PAGE_SIZE or nodes:
            return live, stored
        return live, self._spill(self._cut(stored), is_map=True)

    def _lay_list(self, value: list[Any]) -> tuple[Any, Any]:
        inside: list[list[Node]] = [[] for _ in value]
        items = [encode(item, nodes) for item, nodes in zip(value, inside, strict=True)]
        small = [len(item) for item in items if len(item) <= PAGE_SIZE]
        if not any(inside) and (len(small) == len(items) or sum(small) > PAGE_SIZE):
            packed = self._pack(ItemList([items]))
            return packed, packed
        pairs = [self.lay(item) for item in value]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _cut(self, value: dict[Any, Any]) -> Iterable[bytes]:
        """Cut a map where it was cut before, and where a page is full."""
        part: dict[Any, Any] = {}
        size = 0
        for name, member in value.items():
            entry = encode({name: member})
            if part and (size > PAGE_SIZE or encode(name) in self._starts):
                yield encode(part)
                part, size = {}, 0
            part[name] = member
            size += len(entry)
        yield encode(part)

    def _spill(self, parts: Iterable[bytes], *, is_map: bool) -> Spilled:
        refs = [self._known.get(_digest(part)) or self._write(part) for part in parts]
        self.spilled += refs
        return Spilled(refs, is_map=is_map)

    def _write(self, raw: bytes, anchor: PageRef | None = None) -> PageRef:
        against = b""
        if anchor is not None:
            known = self.made.get(anchor.id) or self._pages.get(anchor.id)
            if known is None:
                raise AnchorNeeded(anchor)
            against = known.raw
        id, data = encode_page(self._key, self._nonce, raw, against)
        self.written[id], self.made[id] = data, PageData(raw)
        return PageRef(id, None, self._version, anchor)

    # --- lists -----------------------------------------------------------------------------------

    def _pack(self, items: ItemList) -> ItemList:
        """A list with its older items in pages, if they fill any."""
        runs = items.runs
        *before, last = runs if runs and isinstance(runs[-1], list) else [*runs, []]
        assert isinstance(last, list)
        packed = ItemList(self._gathered(before))
        sizes = list(map(len, last))
        start, left = 0, sum(sizes)
        tail = PAGE_SIZE // 4  # least bytes of items that stay in place at the end of a list
        while left >= PAGE_SIZE + tail:
            stop, size = start, 0
            while size < PAGE_SIZE and left - size > tail and stop < len(last):
                size += sizes[stop]
                stop += 1
            self._add_page(packed, last[start:stop])
            start, left = stop, left - size
        packed.extend(last[start:])
        return packed

    def _add_page(self, packed: ItemList, items: list[bytes]) -> None:
        page = self._write(array(items), self._anchor(packed))
        packed.extend(PageRun(page, 0, len(items)))

    def _anchor(self, packed: ItemList) -> PageRef | None:
        """The anchor of a list's next page: the first page of the newest group.

        None if the next page starts a group. Pages of another session are never anchors here: only
        the shared pages would keep them from removal.
        """
        pages = [run.page for run in packed.runs[-2 * ANCHORED :] if isinstance(run, PageRun)]
        if not pages or pages[-1].owner is not None:
            return None
        anchor = pages[-1].anchor or pages[-1]
        group = {page.id for page in pages if anchor in (page, page.anchor)}
        return anchor if len(group) < ANCHORED and anchor.id not in self._without else None

    def _gathered(self, runs: list[PageRun | list[bytes]]) -> list[PageRun | list[bytes]]:
        """The runs before the end of a list, with edited items between pages gathered into pages.

        Only touched items are written again: a page that is not loaded stays as it is.
        """
        loose = sum(len(item) for run in runs if isinstance(run, list) for item in run)
        named = len({run.page for run in runs if isinstance(run, PageRun)})
        if loose <= PAGE_SIZE // 2 and len(runs) <= _MANY_RUNS * (named + 1):
            return runs
        found = ItemList()
        for run in runs:
            data = self._pages.get(run.page.id) if isinstance(run, PageRun) else None
            if isinstance(run, PageRun) and data is not None and run.size < len(data.items):
                found.extend(data.items[run.start : run.start + run.size])
            else:
                found.extend(run)
        gathered = ItemList()
        for run in found.runs:
            if isinstance(run, PageRun):
                gathered.extend(run)
                continue
            part: list[bytes] = []
            size = 0
            for item in run:
                part.append(item)
                size += len(item)
                if size >= PAGE_SIZE:
                    self._add_page(gathered, part)
                    part, size = [], 0
            if size > PAGE_SIZE // 8:
                self._add_page(gathered, part)
            else:
                gathered.extend(part)
        return gathered.runs


def _digest(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()


def _first_name(raw: bytes) -> list[bytes]:
    """The encoded key of the first entry of a part of a map; empty for other values."""
    try:
        part = decode(raw)
    except DecodeError:  # a piece of a value, cut anywhere
        return []
    return [encode(next(iter(part)))] if type(part) is dict and part else []
