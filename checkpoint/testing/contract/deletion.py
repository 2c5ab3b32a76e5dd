"""Tests of tombstones: what they remove, and what they keep."""

from __future__ import annotations

from checkpoint._records.header import Kind
from checkpoint.store import Attachment, Page, Segment, Store
from checkpoint.testing.chain import KEY, Chain, create, segment_of
from checkpoint.testing.contract.suite import Suite

PINS = ["pin/", "pin/a", "pin/\U0010ffff", "pin//", "pin/%"]
NOT_PINS = [
    "",
    "pin",
    "pin.",
    "pin0",
    "Pin/a",
    "PIN/a",
    " pin/a",
    "label/pin/a",
    "pi",
    "pin_a",
    "q",
]


class Deletion(Suite):
    """Deleted heads."""

    def test_a_tombstone_clears_older_records_and_attachments(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpbp")
        store.attach(KEY, Attachment(0, "label/x", b"1"))
        store.attach(KEY, Attachment(2, "note", b"2"))
        tombstone = chain.add(Kind.TOMBSTONE)
        segment = segment_of(store)
        assert segment.head.deleted is True
        assert segment == Segment(chain.tip(), (tombstone,))
        assert [record.revision for record, _ in store.headers(KEY, None, 9)] == [5]
        assert store.attachments(KEY) == []
        for revision in range(1, 5):
            assert store.read(KEY, revision) == segment._replace(records=())

    def test_a_tombstone_leaves_pins_and_nothing_that_only_looks_like_one(
        self, store: Store
    ) -> None:
        (another,) = create(store, "another")
        chain = Chain(store)
        chain.grow("bp")
        for revision in (0, 2):
            for name in (*PINS, *NOT_PINS):
                store.attach(KEY, Attachment(revision, name, name.encode()))
        store.attach(another.key, Attachment(0, "label/x", b"1"))
        pins = [Attachment(revision, name, name.encode()) for revision in (0, 2) for name in PINS]
        pins.sort(key=lambda pin: (pin.revision, pin.name.encode()))
        for kinds in ("t", "bpt", "b"):
            chain.grow(kinds)
            assert store.attachments(KEY) == pins
        assert store.attachments(another.key) == [Attachment(0, "label/x", b"1")]
        assert store.detach(KEY, 0, "pin/a") is True
        assert len(store.attachments(KEY)) == len(pins) - 1

    def test_a_tombstone_leaves_the_pages(self, store: Store) -> None:
        chain = Chain(store)
        store.put_pages(KEY, [Page(bytes(24), b"page", 1)])
        chain.grow("bpt")
        assert self.listed(store) == [self.info(bytes(24), 1, 4)]
        assert store.pages(KEY, [bytes(24)]) == {bytes(24): b"page"}

    def test_a_session_made_again_goes_on_counting_after_its_tombstone(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpt")
        records = chain.grow("bp")
        assert [record.revision for record in records] == [4, 5]
        assert list(segment_of(store).records) == records
        assert [record.revision for record, _ in store.headers(KEY, None, 9)] == [5, 4, 3]
        chain.grow("t")
        assert [record.revision for record, _ in store.headers(KEY, None, 9)] == [6]

    def test_a_tombstone_is_a_head_like_any_other_to_the_guard(self, store: Store) -> None:
        chain = Chain(store)
        chain.add()
        stalled = chain.draft()
        chain.add(Kind.TOMBSTONE)
        assert store.commit(KEY, stalled) is False
        assert store.commit(KEY, Chain(store).draft()) is False, "it is not absent"
        chain.add(Kind.BASE)
        assert store.commit(KEY, stalled) is False

    def test_a_writer_that_stalled_before_a_deletion_is_refused_after_it(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.grow("bpp")
        stalled = [chain.draft(kind) for kind in Kind]
        pruning = chain.draft_pruning((1, 2))
        for kinds in ("t", "b", "pp", "t", "b"):
            chain.grow(kinds)
            before = segment_of(store)
            assert [store.commit(KEY, commit) for commit in stalled] == [False] * 3
            assert store.prune(KEY, pruning) is False
            assert segment_of(store) == before

    def test_a_tombstone_that_is_sent_again_does_not_delete_what_was_made_after_it(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.grow("bp")
        tombstone = chain.draft(Kind.TOMBSTONE)
        assert store.commit(KEY, tombstone) is True
        assert store.commit(KEY, tombstone) is False
        chain.head = tombstone.head
        made = chain.grow("bp")
        assert store.commit(KEY, tombstone) is False
        assert list(segment_of(store).records) == made

    def test_a_refused_tombstone_clears_nothing(self, store: Store) -> None:
        chain = Chain(store)
        chain.add()
        stale = chain.draft(Kind.TOMBSTONE)
        chain.add()
        store.attach(KEY, Attachment(0, "label/x", b"1"))
        assert store.commit(KEY, stale) is False
        assert segment_of(store).records == tuple(chain.records)
        assert store.attachments(KEY) == [Attachment(0, "label/x", b"1")]
