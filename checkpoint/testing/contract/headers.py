"""Tests of heads and their guard, and of reading segments."""

from __future__ import annotations

import pytest

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint.store import Head, Record, Segment, Store
from checkpoint.testing.chain import KEY, Chain, segment_of
from checkpoint.testing.contract.suite import Suite


class Headers(Suite):
    """Commits, and reads after them."""

    # --- the head and its guard ------------------------------------------------------------------

    def test_a_session_that_never_was_is_absent_everywhere(self, store: Store) -> None:
        for absent in (store.read(KEY), store.read(KEY, 1), store.read(KEY, None, since=5)):
            assert absent is None
        assert store.headers(KEY, None, 10) == []
        assert store.attachments(KEY) == []
        assert store.detach(KEY, 0, "label/x") is False
        assert store.pages(KEY, [bytes(24)]) == {}
        assert store.list_pages(KEY) == []
        for deleted in (False, True):
            assert store.sessions("default", "", None, 10, deleted=deleted) == []

    def test_a_created_session_reads_back_as_it_was_written(self, store: Store) -> None:
        chain = Chain(store)
        record = chain.add(Kind.BASE, bytes(range(256)) * 5)
        segment = segment_of(store)
        assert segment == Segment(chain.tip(), (record,))
        assert segment.head.deleted is False
        for kept, given in ((segment.head, chain.tip()), (segment.records[0], record)):
            assert type(kept) is type(given)
            assert [type(value) for value in kept] == [type(value) for value in given]

    def test_an_empty_body_is_kept(self, store: Store) -> None:
        chain = Chain(store)
        chain.add(Kind.BASE, b"")
        assert segment_of(store).records == tuple(chain.records)

    def test_the_second_creation_is_refused(self, store: Store) -> None:
        chain = Chain(store)
        first, second = chain.draft(), chain.draft()
        assert store.commit(KEY, first) is True
        assert store.commit(KEY, second) is False
        assert segment_of(store) == Segment(first.head, (first.record,))

    def test_a_move_of_a_session_that_is_not_there_is_refused_and_leaves_nothing(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.add()
        lost = chain.draft()
        elsewhere = SessionKey("default", "elsewhere")
        assert store.commit(elsewhere, lost) is False
        assert store.prune(elsewhere, chain.draft_pruning()) is False
        assert store.read(elsewhere) is None
        assert store.sessions("default", "", None, 9, deleted=True) == [
            (KEY.session_id, chain.tip())
        ]

    def test_the_guard_is_the_write_id_and_not_the_revision(self, store: Store) -> None:
        chain = Chain(store)
        chain.add()
        here = chain.draft()
        parent = here.parent
        assert parent is not None
        for wrong in (b"", parent[:-1], parent + b"\0", bytes(16), parent.hex().encode()):
            assert store.commit(KEY, here._replace(parent=wrong)) is False
        assert segment_of(store).head == chain.head
        assert store.commit(KEY, here) is True

    def test_a_commit_for_a_session_with_the_same_numbers_is_refused(self, store: Store) -> None:
        """A session that was deleted and created again may have the same numbers."""
        mine, other = Chain(store), Chain(store, SessionKey("default", "another"))
        for chain in (mine, other):
            chain.grow("bpp")
        for kind in Kind:
            assert store.commit(mine.key, other.draft(kind)) is False
        assert store.prune(mine.key, other.draft_pruning((1, 2))) is False
        assert segment_of(store, mine.key) == Segment(mine.tip(), tuple(mine.records))

    def test_of_two_writers_on_one_parent_one_is_refused_whole(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bp")
        mine, theirs = chain.draft(), chain.draft()
        assert [store.commit(KEY, theirs), store.commit(KEY, mine)] == [True, False]
        assert segment_of(store) == Segment(theirs.head, (*chain.records, theirs.record))

    def test_a_commit_that_is_sent_again_does_not_happen_again(self, store: Store) -> None:
        chain = Chain(store)
        first = chain.draft()
        for _ in range(2):
            store.commit(KEY, first)
        chain.head = first.head
        second = chain.draft()
        assert store.commit(KEY, second) is True
        assert store.commit(KEY, second) is False
        assert store.commit(KEY, first) is False
        assert [record.revision for record, _ in store.headers(KEY, None, 10)] == [2, 1]
        assert segment_of(store) == Segment(second.head, (first.record, second.record))

    def test_large_numbers_are_kept(self, store: Store) -> None:
        chain = Chain(store)
        begun = chain.draft(Kind.BASE)
        head = Head(2**40, bytes(16), 2**40, 2**62, epoch=2**40)
        record = Record(2**40, b"head", b"body")
        assert store.commit(KEY, begun._replace(head=head, record=record)) is True
        assert segment_of(store) == Segment(head, (record,))
        assert segment_of(store, since=2**40 - 1).records == (record,)
        assert store.headers(KEY, 2**40 + 1, 9) == [(record._replace(body=b""), 8)]

    # --- segments --------------------------------------------------------------------------------

    @pytest.mark.parametrize("kinds", ["b", "bp", "bppp", "bbb", "bppbpbpp"])
    def test_each_revision_is_read_as_its_segment_up_to_it(self, store: Store, kinds: str) -> None:
        chain = Chain(store)
        records = chain.grow(kinds)
        for revision in range(1, len(kinds) + 1):
            base = kinds[:revision].rindex("b")
            segment = segment_of(store, revision=revision)
            assert list(segment.records) == records[base:revision]
            assert segment.head == chain.head, "the head is that of the session"
        assert store.read(KEY) == store.read(KEY, len(kinds))

    def test_a_branch_leaves_the_revisions_it_goes_around_where_they_are(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        abandoned = chain.grow("bpp")
        branch = chain.grow("bp")
        assert list(segment_of(store).records) == branch
        assert list(segment_of(store, revision=3).records) == abandoned

    @pytest.mark.parametrize("revision", [0, -1, 4, 2**31, 2**63 - 1, 2**63, -(2**63), 2**200])
    def test_a_revision_that_is_not_there_has_a_head_and_no_records(
        self, store: Store, revision: int
    ) -> None:
        chain = Chain(store)
        chain.grow("bpp")
        for since in (0, 1, 2**63):
            assert store.read(KEY, revision, since=since) == Segment(chain.tip(), ())

    @pytest.mark.parametrize("kinds", ["b", "bpp", "bppbpbpp"])
    def test_records_that_the_caller_has_are_not_sent(self, store: Store, kinds: str) -> None:
        chain = Chain(store)
        records = chain.grow(kinds)
        newest = len(kinds)
        for revision in (None, *range(1, newest + 1)):
            last = newest if revision is None else revision
            base = kinds[:last].rindex("b") + 1
            for since in range(newest + 2):
                first = max(base, since + 1)
                segment = segment_of(store, revision=revision, since=since)
                assert list(segment.records) == records[first - 1 : last], (revision, since)
                assert segment.head == chain.head
        for since in (2**31, 2**63 - 1, 2**63, 2**200):
            assert store.read(KEY, None, since=since) == Segment(chain.tip(), ())

    def test_long_segments_come_whole_and_in_order(self, store: Store) -> None:
        chain = Chain(store)
        records = chain.grow("b" + "p" * 300)
        assert list(segment_of(store).records) == records
        assert list(segment_of(store, since=290).records) == records[290:]
