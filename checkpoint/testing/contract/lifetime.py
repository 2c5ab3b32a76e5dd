"""Tests of closing and opening again, and of the stored bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint.errors import StoreClosed
from checkpoint.store import Attachment, Page, Pruning, Record, Store
from checkpoint.testing.chain import KEY, Chain, segment_of
from checkpoint.testing.contract.suite import Suite

CALLS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read(KEY),
    "read a revision": lambda store: store.read(KEY, 1),
    "commit": lambda store: store.commit(KEY, Chain(store).draft()),
    "prune": lambda store: store.prune(KEY, _any_pruning(store)),
    "headers": lambda store: store.headers(KEY, None, 1),
    "sessions": lambda store: store.sessions("default", "", None, 1),
    "put pages": lambda store: store.put_pages(KEY, [Page(bytes(24), b"", 1)]),
    "pages": lambda store: store.pages(KEY, [bytes(24)]),
    "list pages": lambda store: store.list_pages(KEY),
    "drop pages": lambda store: store.drop_pages(KEY, [bytes(24)]),
    "attach": lambda store: store.attach(KEY, Attachment(0, "x", b"")),
    "detach": lambda store: store.detach(KEY, 0, "x"),
    "attachments": lambda store: store.attachments(KEY),
}


# Bytes that a store may mistake for text or null, or truncate.
ODD_BYTES = [
    *(b"", b"\0", b"\0" * 1000, b"a\0", b" ", b"a  ", b"\n", b"\r\n", b"\xff" * 9, b"'", b'"'),
    *(b"null", b"0", b"True", b"%s", b"\\", b"\x1a", b"\xc3\xa9", b"\xc3", b"\xef\xbb\xbf"),
    bytes(range(256)),
]


def _any_pruning(store: Store) -> Pruning:
    chain = Chain(store)
    chain.head = chain.draft().head
    return chain.draft_pruning()


def everything(store: Store) -> object:
    """All data that a store returns about its sessions."""
    listed = store.sessions("default", "", None, 99, deleted=True)
    keys = [SessionKey("default", name) for name, _ in listed]
    return listed, [
        (
            [store.read(key, revision) for revision in (None, 1, 2, 3)],
            store.headers(key, None, 99),
            store.attachments(key),
            store.list_pages(key),
            store.pages(key, [info.id for info in store.list_pages(key)]),
        )
        for key in keys
    ]


def fill(store: Store) -> None:
    """Write living, deleted and pruned sessions, and pages without a session."""
    living, deleted, pruned = (Chain(store, SessionKey("default", n)) for n in ("a", "b", "c"))
    living.grow("bpbp")
    deleted.grow("bp")
    pruned.grow("bbpb")
    for chain in (living, deleted, pruned):
        store.attach(chain.key, Attachment(0, "pin/x", os.urandom(9)))
        store.attach(chain.key, Attachment(2, "label/x", os.urandom(9)))
        store.put_pages(chain.key, [Page(os.urandom(24), os.urandom(99), n) for n in range(3)])
    deleted.add(Kind.TOMBSTONE)
    pruned.prune((1, 3))
    store.put_pages(SessionKey("default", "d"), [Page(os.urandom(24), os.urandom(99), 1)])


class Lifetime(Suite):
    """Closing, opening again, reading the stored bytes."""

    @pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
    @pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
    def test_a_closed_store_says_so(
        self, store: Store, call: Callable[[Store], object], *, used: bool
    ) -> None:
        if used:
            Chain(store).add()
        store.close()
        with pytest.raises(StoreClosed):
            call(store)

    def test_closing_twice_is_once(self, store: Store) -> None:
        Chain(store).add()
        store.close()
        store.close()

    def test_places_are_apart(self, place: Path) -> None:
        for name in ("one", "two"):
            (place / name).mkdir()
        with self.connected(place / "one") as one, self.connected(place / "two") as two:
            Chain(one).add()
            assert two.read(KEY) is None

    def test_all_is_there_when_the_store_is_opened_again(self, place: Path) -> None:
        self._must_be_durable()
        with self.connected(place) as store:
            fill(store)
            before = everything(store)
        for _ in range(2):
            with self.connected(place) as store:
                assert everything(store) == before

    def test_another_store_at_the_same_place_sees_what_is_written_at_once(
        self, place: Path
    ) -> None:
        self._must_be_durable()
        with self.connected(place) as writer, self.connected(place) as reader:
            chain = Chain(writer)
            for kind in (Kind.BASE, Kind.PATCH, Kind.BASE):
                chain.add(kind)
                assert segment_of(reader, revision=1).head == chain.head
                assert segment_of(reader).records[-1] == chain.records[-1]
            fill(writer)
            assert everything(reader) == everything(writer)
            lost = chain.draft()
            other = Chain(reader)
            other.head = chain.head
            other.prune((1, 2))
            assert writer.commit(KEY, lost) is False
            assert segment_of(writer).head == other.head

    def test_bytes_of_any_kind_come_back_as_they_were(self, store: Store) -> None:
        chain = Chain(store)
        for number, data in enumerate(ODD_BYTES, start=1):
            draft = chain.draft(Kind.BASE)
            record = Record(number, data or b"head", data)
            assert store.commit(KEY, draft._replace(record=record)) is True
            chain.head = draft.head
            store.attach(KEY, Attachment(number, "x", data))
            store.put_pages(KEY, [Page(bytes([number]) * 24, data, number)])
            assert segment_of(store).records == (record,)
        listed = {record.revision: record.header for record, _ in store.headers(KEY, None, 99)}
        for number, data in enumerate(ODD_BYTES, start=1):
            assert listed[number] == (data or b"head")
            assert store.pages(KEY, [bytes([number]) * 24]) == {bytes([number]) * 24: data}
        assert [note.data for note in store.attachments(KEY)] == ODD_BYTES

    def test_the_bytes_that_are_kept_are_the_very_bytes_given(
        self, place: Path, store: Store
    ) -> None:
        chain = Chain(store)
        given = [value for record in chain.grow("bpbp") for value in record[1:]]
        pages = [Page(os.urandom(24), os.urandom(500), 1) for _ in range(2)]
        store.put_pages(KEY, pages)
        notes = [Attachment(0, name, os.urandom(50)) for name in ("label/x", "pin/x")]
        for note in notes:
            store.attach(KEY, note)
        given += [page.data for page in pages] + [note.data for note in notes]
        kept = self._kept(place)
        for value in given:
            assert any(value in held for held in kept), value

    def test_the_bytes_of_what_is_taken_out_are_gone(self, place: Path, store: Store) -> None:
        chain = Chain(store)
        pages = [Page(os.urandom(24), os.urandom(500), 1) for _ in range(2)]
        store.put_pages(KEY, pages)
        gone = [record.body for record in chain.grow("bp")]
        chain.grow("bp")
        store.attach(KEY, Attachment(1, "label/x", gone[0]))
        chain.prune((1, 2))
        store.drop_pages(KEY, [pages[0].id])
        gone += [pages[0].data]
        kept = self._kept(place)
        assert not [value for value in gone if any(value in held for held in kept)]
        assert any(pages[1].data in held for held in kept)
        gone += [record.body for record in chain.records]
        store.attach(KEY, Attachment(0, "label/x", gone[-1]))
        chain.add(Kind.TOMBSTONE)
        kept = self._kept(place)
        assert not [value for value in gone if any(value in held for held in kept)]

    def _must_be_durable(self) -> None:
        if not self.durable:
            pytest.skip("this store loses its data when it is closed")

    def _kept(self, place: Path) -> list[bytes]:
        kept: Iterable[bytes] | None = self.raw(place)
        if kept is None:
            pytest.skip("the suite of this store has no raw()")
        return list(kept)
