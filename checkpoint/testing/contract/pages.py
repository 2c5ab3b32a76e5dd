"""Tests of pages: written once, read by id, listed, dropped; with or without a session."""

from __future__ import annotations

import random

from checkpoint._ids import SessionKey
from checkpoint.store import Page, Store
from checkpoint.testing.chain import KEY, Chain
from checkpoint.testing.contract.suite import Suite

# Ids of 24 bytes that a store may mistake for text, a pattern, a path, or each other.
ODD_PAGES = [
    *(bytes([byte]) * 24 for byte in (0, 1, 32, 37, 39, 46, 47, 92, 95, 127, 128, 254, 255)),
    *(bytes(23) + b"\1", b"\1" + bytes(23), b"a" * 24, b"A" * 24, bytes(range(24))),
    *(bytes(range(232, 256)), b"../" * 8, b"NULL" * 6, "é".encode() * 12, b"\r\n" * 12),
]


def pages_of(ids: list[bytes], stored_at: int = 1) -> list[Page]:
    """A page for each id, with bytes that identify it."""
    return [Page(id, b"page " + id * n, stored_at + n) for n, id in enumerate(ids)]


class Pages(Suite):
    """Pages with ids of any bytes."""

    def test_pages_need_no_session_and_make_none(self, store: Store) -> None:
        (page,) = pages_of([bytes(24)])
        store.put_pages(KEY, [page])
        assert store.pages(KEY, [page.id]) == {page.id: page.data}
        assert store.read(KEY) is None
        assert store.headers(KEY, None, 9) == []
        assert store.sessions("default", "", None, 9) == []
        chain = Chain(store)
        chain.add()
        assert store.read(KEY) is not None
        assert store.pages(KEY, [page.id]) == {page.id: page.data}

    def test_pages_of_any_ids_come_back_as_the_very_bytes(self, store: Store) -> None:
        pages = pages_of(ODD_PAGES)
        store.put_pages(KEY, pages)
        found = store.pages(KEY, ODD_PAGES)
        assert found == {page.id: page.data for page in pages}
        assert {type(value) for pair in found.items() for value in pair} == {bytes}
        for page in pages:
            assert store.pages(KEY, [page.id]) == {page.id: page.data}

    def test_pages_are_asked_for_in_any_order_twice_or_though_they_are_not_there(
        self, store: Store
    ) -> None:
        first, second, third = pages_of([b"1" * 24, b"2" * 24, b"3" * 24])
        store.put_pages(KEY, (third, first))
        ids = [first.id, second.id, third.id, first.id]
        assert store.pages(KEY, ids) == {first.id: first.data, third.id: third.data}
        assert store.pages(KEY, tuple(reversed(ids))) == store.pages(KEY, ids)
        assert store.pages(KEY, [second.id]) == {}
        assert store.pages(KEY, []) == {}

    def test_pages_are_listed_in_byte_order_with_time_and_size(self, store: Store) -> None:
        pages = pages_of(ODD_PAGES, stored_at=2**60)
        for page in pages:
            store.put_pages(KEY, [page])
        assert self.listed(store) == [
            self.info(page.id, page.stored_at, len(page.data)) for page in sorted(pages)
        ]

    def test_a_page_may_be_empty(self, store: Store) -> None:
        store.put_pages(KEY, [Page(bytes(24), b"", 0)])
        assert store.pages(KEY, [bytes(24)]) == {bytes(24): b""}
        assert self.listed(store) == [self.info(bytes(24), 0, 0)]

    def test_no_pages_at_all_are_put_and_dropped_without_a_trace(self, store: Store) -> None:
        store.put_pages(KEY, [])
        store.drop_pages(KEY, [])
        assert store.list_pages(KEY) == []
        assert store.sessions("default", "", None, 9, deleted=True) == []

    def test_pages_that_are_put_again_are_there_once_and_the_same(self, store: Store) -> None:
        pages = pages_of(ODD_PAGES[:3])
        store.put_pages(KEY, pages)
        store.put_pages(KEY, [*pages[1:], *pages_of([b"new " * 6])])
        assert len(store.list_pages(KEY)) == 4
        assert store.pages(KEY, [page.id for page in pages]) == {p.id: p.data for p in pages}

    def test_dropped_pages_are_gone_and_no_others(self, store: Store) -> None:
        pages = pages_of(ODD_PAGES)
        store.put_pages(KEY, pages)
        going = [page.id for page in pages[::2]]
        store.drop_pages(KEY, [*going, b"nothing " * 3, going[0]])
        store.drop_pages(KEY, going)
        assert store.pages(KEY, ODD_PAGES) == {page.id: page.data for page in pages[1::2]}
        assert [page.id for page in store.list_pages(KEY)] == sorted(p.id for p in pages[1::2])

    def test_pages_of_other_sessions_are_untouched(self, store: Store) -> None:
        ids = [bytes(24), b"\xff" * 24]
        keys = [KEY, *(SessionKey("default", name) for name in ("user", "user-42/", "User-42"))]
        for number, key in enumerate(keys):
            store.put_pages(key, [Page(id, b"%d" % number, number) for id in ids])
        store.drop_pages(KEY, ids)
        assert store.list_pages(KEY) == []
        for number, key in enumerate(keys[1:], start=1):
            assert store.pages(key, ids) == dict.fromkeys(ids, b"%d" % number)
            assert self.listed(store, key) == [self.info(id, number, 1) for id in sorted(ids)]

    def test_commits_and_prunings_leave_pages_alone(self, store: Store) -> None:
        pages = pages_of(ODD_PAGES)
        store.put_pages(KEY, pages)
        before = store.list_pages(KEY)
        chain = Chain(store)
        for kinds in ("bp", "bp", "t", "b"):
            chain.grow(kinds)
            chain.prune()
        chain.prune((1, chain.tip().revision - 1))
        assert store.list_pages(KEY) == before

    def test_many_pages_are_put_read_listed_and_dropped_at_once(self, store: Store) -> None:
        noise = random.Random(1)
        pages = [
            Page(noise.randbytes(24), noise.randbytes(noise.randrange(99)), n) for n in range(1100)
        ]
        store.put_pages(KEY, pages)
        assert store.pages(KEY, [page.id for page in pages]) == {p.id: p.data for p in pages}
        assert [page.id for page in store.list_pages(KEY)] == sorted(page.id for page in pages)
        store.drop_pages(KEY, [page.id for page in pages[1:]])
        assert self.listed(store) == [self.info(pages[0].id, 0, len(pages[0].data))]
