"""Tests of prunings, and of the epoch that they increase."""

from __future__ import annotations

import pytest

from checkpoint._records.header import Kind
from checkpoint.store import Attachment, Page, Segment, Store
from checkpoint.testing.chain import KEY, Chain, new_record, segment_of
from checkpoint.testing.contract.suite import Suite


def kept(store: Store) -> list[int]:
    return [record.revision for record, _ in store.headers(KEY, None, 99)][::-1]


class Pruned(Suite):
    """Pruned revisions, and writers that have not seen the pruning."""

    # --- removed and remaining revisions ---------------------------------------------------------

    def test_a_pruning_may_take_out_nothing_and_only_move_the_epoch(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpbp")
        before = segment_of(store)
        chain.prune()
        assert segment_of(store) == before._replace(head=before.head._replace(epoch=1))
        assert kept(store) == [1, 2, 3, 4]
        chain.prune()
        assert segment_of(store).head.epoch == 2

    @pytest.mark.parametrize(
        "ranges",
        [
            [(1, 3)],
            [(1, 1), (2, 2), (3, 3)],
            [(1, 3), (6, 7)],
            [(4, 5)],
            [(1, 7)],
            [(1, 3), (1, 7), (2, 2)],
            [(100, 200), (2**31, 2**63 - 1)],
        ],
    )
    def test_ranges_go_with_both_ends_and_all_else_stays(
        self, store: Store, ranges: list[tuple[int, int]]
    ) -> None:
        chain = Chain(store)
        written = chain.grow("bppbpbpbp")
        bases = [1, 1, 1, 4, 4, 6, 6, 8, 8]
        chain.prune(*ranges)
        gone = {n for first, last in ranges for n in range(first, min(last, 9) + 1)}
        assert kept(store) == [n for n in range(1, 10) if n not in gone]
        for revision, base in enumerate(bases, start=1):
            segment = segment_of(store, revision=revision)
            assert segment.head == chain.head
            expected = [] if revision in gone else written[base - 1 : revision]
            assert list(segment.records) == expected, revision
        chain.add()
        assert list(segment_of(store).records) == [*written[7:], chain.records[-1]]

    def test_revisions_after_one_that_goes_are_written_anew_in_a_segment_of_their_own(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        old = chain.grow("bpppbp")
        base, patch = new_record(3), new_record(4)
        chain.prune((2, 2), records=((base, 3), (patch, 3)))
        assert kept(store) == [1, 3, 4, 5, 6]
        assert segment_of(store, revision=1).records == (old[0],)
        assert segment_of(store, revision=2).records == ()
        assert segment_of(store, revision=3).records == (base,)
        assert segment_of(store, revision=4).records == (base, patch)
        assert segment_of(store, revision=4, since=3).records == (patch,)
        assert list(segment_of(store).records) == old[4:]
        assert [r.revision for r, _ in store.headers(KEY, None, 9, bases=True)] == [5, 3, 1]
        sizes = {record.revision: size for record, size in store.headers(KEY, None, 9)}
        assert sizes[3] == len(base.header) + len(base.body)

    def test_the_newest_segment_is_written_anew_with_another_base_of_the_head(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.grow("bppp")
        base, patch = new_record(3), new_record(4)
        chain.prune((1, 2), records=((base, 3), (patch, 3)), base=3)
        assert segment_of(store) == Segment(chain.tip(), (base, patch))
        assert chain.tip().base == 3
        added = chain.add()
        assert segment_of(store).records == (base, patch, added)
        assert segment_of(store, revision=5, since=4).records == (added,)

    def test_a_record_of_a_range_can_be_written_in_the_same_step(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpp")
        base = new_record(3)
        chain.prune((1, 3), records=((base, 3),), base=3)
        assert segment_of(store) == Segment(chain.tip(), (base,))
        assert kept(store) == [3]

    def test_a_pruning_leaves_a_tombstone_and_what_was_made_after_it(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpt")
        chain.prune()
        assert segment_of(store).head.deleted is True
        chain.grow("bp")
        assert segment_of(store).head.epoch == 1
        chain.prune((3, 3))
        assert kept(store) == [4, 5]

    def test_attachments_go_with_their_revisions_and_pages_stay(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bppbp")
        for revision in range(7):
            store.attach(KEY, Attachment(revision, "label/x", b"%d" % revision))
        store.attach(KEY, Attachment(0, "pin/x", b"0"))
        store.put_pages(KEY, [Page(bytes(24), b"page", 1)])
        chain.prune((1, 2), records=((new_record(3), 3),))
        assert [(a.revision, a.name) for a in store.attachments(KEY)] == [
            *((0, "label/x"), (0, "pin/x")),
            *((revision, "label/x") for revision in (3, 4, 5, 6)),
        ]
        assert self.listed(store) == [self.info(bytes(24), 1, 4)]

    # --- the guard -------------------------------------------------------------------------------

    def test_a_writer_that_read_before_a_pruning_is_refused_though_the_head_did_not_change(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.grow("bpb")
        stalled = [chain.draft(kind) for kind in Kind]
        pruning = chain.draft_pruning((1, 1))
        chain.prune((1, 2))
        before = segment_of(store)
        assert [store.commit(KEY, commit) for commit in stalled] == [False] * 3
        assert store.prune(KEY, pruning) is False
        assert segment_of(store) == before
        again = stalled[Kind.PATCH]
        again = again._replace(head=again.head._replace(epoch=1))
        assert store.commit(KEY, again) is True, "with the new epoch it may"
        assert segment_of(store) == Segment(again.head, (*before.records, again.record))

    def test_no_other_epoch_than_that_of_the_head_is_accepted(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bp")
        for _ in range(2):
            chain.prune()
        here, pruning = chain.draft(), chain.draft_pruning()
        for epoch in (0, 1, 3, -2, 2**62):
            assert store.commit(KEY, here._replace(head=here.head._replace(epoch=epoch))) is False
            wrong = pruning.guard._replace(epoch=epoch)
            assert store.prune(KEY, pruning._replace(guard=wrong)) is False
        assert segment_of(store) == Segment(chain.tip(), tuple(chain.records))
        assert store.commit(KEY, here) is True

    def test_a_pruning_for_another_head_is_refused_and_changes_nothing(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bpb")
        stale = chain.draft_pruning((1, 2))
        chain.add()
        store.attach(KEY, Attachment(1, "label/x", b"1"))
        right = chain.draft_pruning((1, 2))
        wrong = right._replace(guard=right.guard._replace(write_id=bytes(16)))
        for pruning in (stale, wrong):
            assert store.prune(KEY, pruning) is False
        assert segment_of(store) == Segment(chain.tip(), tuple(chain.records[2:]))
        assert kept(store) == [1, 2, 3, 4]
        assert store.attachments(KEY) == [Attachment(1, "label/x", b"1")]

    def test_a_pruning_that_is_sent_again_does_not_happen_again(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bbb")
        pruning = chain.draft_pruning((1, 2))
        assert store.prune(KEY, pruning) is True
        assert store.prune(KEY, pruning) is False
        assert segment_of(store).head == pruning.head
        assert kept(store) == [3]

    def test_a_revision_that_was_taken_out_cannot_be_written_by_one_who_stalled(
        self, store: Store
    ) -> None:
        """A unique key would not help: no record has this number any more."""
        chain = Chain(store)
        chain.grow("bp")
        stalled = chain.draft()
        chain.grow("pbp")
        chain.prune((1, 3))
        current = stalled._replace(head=stalled.head._replace(epoch=1))
        for commit in (stalled, current):
            assert store.commit(KEY, commit) is False
        assert kept(store) == [4, 5]
        assert segment_of(store) == Segment(chain.tip(), tuple(chain.records))
