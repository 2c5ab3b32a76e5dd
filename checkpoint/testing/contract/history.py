"""Tests of listing the history of a session, a page at a time."""

from __future__ import annotations

import pytest

from checkpoint._records.header import Kind
from checkpoint.store import Record, Store
from checkpoint.testing.chain import KEY, Chain
from checkpoint.testing.contract.suite import Suite


def revisions(store: Store, before: int | None, limit: int, *, bases: bool = False) -> list[int]:
    return [record.revision for record, _ in store.headers(KEY, before, limit, bases=bases)]


class History(Suite):
    """Headers without bodies."""

    def test_heads_are_newest_first_without_bodies_and_with_whole_sizes(self, store: Store) -> None:
        chain = Chain(store)
        chain.add(Kind.BASE, b"x" * 1000)
        chain.add(Kind.PATCH, b"")
        assert store.headers(KEY, None, 10) == [
            (Record(record.revision, record.header, b""), len(record.header) + len(record.body))
            for record in reversed(chain.records)
        ]

    @pytest.mark.parametrize(
        ("before", "limit", "expected"),
        [
            (None, 0, []),
            (None, 2, [6, 5]),
            (None, 6, [6, 5, 4, 3, 2, 1]),
            (None, 1000, [6, 5, 4, 3, 2, 1]),
            (7, 1, [6]),
            (6, 2, [5, 4]),
            (2, 9, [1]),
            (1, 9, []),
            (0, 9, []),
            (-5, 9, []),
            (2**63, 1, [6]),
            (2**200, 1, [6]),
            (-(2**200), 9, []),
        ],
    )
    def test_heads_are_paged_by_before_and_limit(
        self, store: Store, before: int | None, limit: int, expected: list[int]
    ) -> None:
        Chain(store).grow("bppbpp")
        assert revisions(store, before, limit) == expected

    @pytest.mark.parametrize(
        ("before", "limit", "expected"),
        [(None, 9, [7, 6, 4, 1]), (None, 2, [7, 6]), (6, 9, [4, 1]), (6, 1, [4]), (1, 9, [])],
    )
    def test_the_first_record_of_each_segment_is_listed_by_itself(
        self, store: Store, before: int | None, limit: int, expected: list[int]
    ) -> None:
        chain = Chain(store)
        chain.grow("bppbpbbp")
        assert revisions(store, before, limit, bases=True) == expected
        listed = dict(store.headers(KEY, None, 9))
        for record, size in store.headers(KEY, None, 9, bases=True):
            assert listed[record] == size

    def test_history_is_paged_without_gaps_while_writes_go_on(self, store: Store) -> None:
        chain = Chain(store)
        chain.grow("bppbppbp")
        seen: list[int] = []
        before: int | None = None
        while page := revisions(store, before, 3):
            seen += page
            before = seen[-1]
            chain.grow("pb")
        assert seen == [8, 7, 6, 5, 4, 3, 2, 1]

    def test_history_is_paged_without_the_revisions_that_are_taken_out_meanwhile(
        self, store: Store
    ) -> None:
        chain = Chain(store)
        chain.grow("bpbpbpbp")
        assert revisions(store, None, 3) == [8, 7, 6]
        chain.prune((3, 4))
        assert revisions(store, 6, 3) == [5, 2, 1]
