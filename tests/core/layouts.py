"""Documents laid out again and again, in small pages, and read back each time."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

from checkpoint._document.codec import decode, encode
from checkpoint._document.diff import applied, diff
from checkpoint._document.items import ItemList
from checkpoint._document.pages import PageData, PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.body import base_body, read_body, standalone
from checkpoint._records.header import Kind, RecordHeader, SchemaId, Writer, header_fields
from checkpoint._records.page import decode_page
from checkpoint._records.pagination import AnchorNeeded, Paginator

from .lists import Pages, with_lists

KEY = SessionKey("default", "user-42")

PAGE = 200
"""Bytes of a page, with the fixture ``_small_pages``."""

ANCHORED = 4
"""Pages in a group that are compressed against its first."""


class Written(NamedTuple):
    """What a save wrote.

    Attributes:
        base: bytes of the body, not compressed.
        pages: what is in the new pages, by id.
        named: the pages that the base names.
        header: bytes that naming them takes.
    """

    base: int
    pages: Pages
    named: tuple[PageRef, ...]
    header: int


class Session:
    """A document saved again and again, each time as a base, read back each time.

    Attributes:
        document: as its next save is compared with.
        pages: all that were ever written.
        at_hand: those that the next save may look at; all of them, unless a test takes some away.
    """

    def __init__(self, document: Any = None) -> None:
        self.document: Any = None
        self.pages: Pages = {}
        self.at_hand: Pages = {}
        self.spilled: tuple[PageRef, ...] = ()
        self._nonces = count(1)
        if document is not None:
            self.save(document)

    def edited(self, new: Any) -> Any:
        """The document as it is to be laid out next."""
        wanted = decode(encode(new))
        return applied(self.document, standalone(diff(self.document, wanted, self.at_hand)))

    def save(self, new: Any) -> Written:
        document = self.edited(new)
        nonce = next(self._nonces).to_bytes(8, "big")
        layout, document, laid = self._layout(document, nonce)
        pages = {
            id: PageData(decode_page(KEY, id, data, 10**9, self._anchor(layout, laid, id)))
            for id, data in layout.written.items()
        }
        assert {id: page.raw for id, page in pages.items()} == {
            id: page.raw for id, page in layout.made.items()
        }
        assert all(id.startswith(nonce) for id in pages)
        self.pages |= pages
        self.at_hand |= pages
        self.document, self.spilled = document, tuple(layout.spilled)
        assert encode(with_lists(self.document, self.pages)) == encode(new)
        body, named = base_body(laid, {}, {})
        raw = encode(body)
        stored = read_body(Kind.BASE, raw, named).build(
            {ref.id: self.pages[ref.id] for ref in named}
        )
        assert encode(with_lists(stored, self.pages)) == encode(new)
        assert len(set(named)) == len(named)
        header = RecordHeader(1, Kind.BASE, b"", 0, Writer("", 0), SchemaId("", 0), pages=named)
        return Written(len(raw), pages, named, len(encode(header_fields(header))))

    def _layout(self, document: Any, nonce: bytes) -> tuple[Paginator, Any, Any]:
        while True:
            layout = Paginator(KEY, nonce, 1, self.at_hand, self.spilled)
            try:
                return layout, *layout.lay(document)
            except AnchorNeeded as exc:
                self.at_hand[exc.page.id] = self.pages[exc.page.id]

    def _anchor(self, layout: Paginator, laid: Any, id: bytes) -> bytes:
        ref = next((ref for ref in base_body(laid, {}, {})[1] if ref.id == id), None)
        if ref is None or ref.anchor is None:
            return b""
        assert ref.anchor.anchor is None
        return (layout.made.get(ref.anchor.id) or self.pages[ref.anchor.id]).raw

    def window(self) -> None:
        """Forget all pages but those of big values, as a state restored with a window does."""
        self.at_hand = {ref.id: self.pages[ref.id] for ref in self.spilled}

    def touch(self, items: ItemList, index: int) -> None:
        """Have the page of an item at hand."""
        for ref in items.refs(index, index + 1):
            self.at_hand[ref.id] = self.pages[ref.id]


def message(n: int, size: int = 20) -> dict[str, Any]:
    return {"n": n, "text": f"message {n} ".ljust(size, ".")}


def messages(*bounds: int) -> list[dict[str, Any]]:
    return [message(n) for n in range(*bounds)]
