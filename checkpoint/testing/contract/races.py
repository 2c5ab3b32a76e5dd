"""Tests of concurrent calls: one of several writers wins, and readers see a consistent state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Barrier, Event, Thread
from typing import TypeVar

import pytest

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint.store import Attachment, Page, Segment, Store
from checkpoint.testing.chain import KEY, Chain, new_record, segment_of
from checkpoint.testing.contract.suite import SOAK, Suite

T = TypeVar("T")

ROUNDS = 200 if SOAK else 10


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make the calls in one thread each, started together; return their results."""
    results: dict[int, T] = {}
    failed: list[BaseException] = []
    barrier = Barrier(len(calls))

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = calls[number]()
        except BaseException as exc:  # noqa: BLE001 - raised below, in the test's thread
            failed.append(exc)

    threads = [Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [results[number] for number in range(len(calls))]


class Races(Suite):
    """Threads or tasks that share a store."""

    @pytest.mark.parametrize("kinds", ["", "bp", "bpt"], ids=["new", "living", "deleted"])
    def test_of_commits_on_one_head_exactly_one_wins(self, store: Store, kinds: str) -> None:
        for number in range(ROUNDS):
            chain = Chain(store, SessionKey("default", f"user-{number}"))
            chain.grow(kinds)
            drafts = [chain.draft(Kind.BASE) for _ in range(6)]
            won = at_once([partial(store.commit, chain.key, draft) for draft in drafts])
            assert sorted(won) == [False] * 5 + [True]
            winner = drafts[won.index(True)]
            assert segment_of(store, chain.key) == Segment(winner.head, (winner.record,))
            assert len(store.headers(chain.key, winner.head.revision, 9)) == len(chain.records)

    def test_of_a_commit_that_is_sent_twice_at_once_one_wins(self, store: Store) -> None:
        chain = Chain(store)
        for _ in range(ROUNDS):
            draft = chain.draft()
            assert sorted(at_once([partial(store.commit, KEY, draft)] * 3)) == [False, False, True]
            chain.head = draft.head
        assert segment_of(store).head == chain.head
        assert len(segment_of(store).records) == ROUNDS

    def test_of_a_commit_a_deletion_and_a_pruning_exactly_one_wins(self, store: Store) -> None:
        for number in range(ROUNDS):
            chain = Chain(store, SessionKey("default", f"user-{number}"))
            chain.grow("bpb")
            commits = [chain.draft(kind) for kind in (Kind.PATCH, Kind.BASE, Kind.TOMBSTONE)]
            prunings = [chain.draft_pruning((1, 2)), chain.draft_pruning()]
            won = at_once(
                [
                    *(partial(store.commit, chain.key, commit) for commit in commits),
                    *(partial(store.prune, chain.key, pruning) for pruning in prunings),
                ]
            )
            assert sorted(won) == [False] * 4 + [True]
            head = [*(c.head for c in commits), *(p.head for p in prunings)][won.index(True)]
            assert segment_of(store, chain.key).head == head
            left = {0: 4, 1: 4, 2: 1, 3: 1, 4: 3}[won.index(True)]
            assert len(store.headers(chain.key, None, 9)) == left

    def test_writers_of_sessions_of_their_own_do_not_disturb_each_other(self, store: Store) -> None:
        def write(number: int) -> None:
            chain = Chain(store, SessionKey("default", f"user-{number}"))
            page = Page(bytes([number]) * 24, b"%d" % number, number)
            for _ in range(8):
                chain.grow("p")
                store.attach(chain.key, Attachment(0, "x", b"%d" % number))
                store.put_pages(chain.key, [page])
                assert list(segment_of(store, chain.key).records) == chain.records
            assert store.pages(chain.key, [page.id]) == {page.id: page.data}
            assert store.attachments(chain.key) == [Attachment(0, "x", b"%d" % number)]

        at_once([partial(write, number) for number in range(12)])
        assert len(store.sessions("default", "", None, 99)) == 12

    def test_readers_see_one_moment_while_others_write_prune_and_delete(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("b")
        done = Event()

        def write() -> None:
            try:
                for kinds in ["ppb", "pppp", "tb", "bpp", "p"] * ROUNDS:
                    chain.grow(kinds)
                    newest = new_record(chain.tip().revision)
                    chain.prune(
                        (1, newest.revision),
                        records=((newest, newest.revision),),
                        base=newest.revision,
                    )
            finally:
                done.set()

        def look() -> None:
            while not done.is_set():
                head, records = segment_of(store)
                first = head.base
                assert [r.revision for r in records] == [*range(first, head.revision + 1)], head
                since = segment_of(store, since=head.revision - 1)
                assert len(since.records) == since.head.revision - max(
                    head.revision - 1, since.head.base - 1
                )

        at_once([write, look, look, look])

    def test_pages_put_and_dropped_at_the_same_time_are_each_whole(self, store: Store) -> None:
        ids = [bytes([number]) * 24 for number in range(4)]
        pages = [Page(id, id * 4000, 1) for id in ids]

        def churn() -> None:
            for _ in range(ROUNDS):
                store.put_pages(KEY, pages)
                for id, data in store.pages(KEY, ids).items():
                    assert data == id * 4000
                assert {info.size for info in store.list_pages(KEY)} <= {96_000}
                store.drop_pages(KEY, ids[1:])

        at_once([churn] * 4)
        assert store.pages(KEY, ids[:1]) == {ids[0]: ids[0] * 4000}
