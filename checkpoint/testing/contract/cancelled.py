"""Tests of calls of an asynchronous store that are cancelled at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import AsyncStore, Page, Segment
from checkpoint.testing.chain import Chain, check_rewriting, new_record
from checkpoint.testing.contract.suite import Suite


def moments() -> Iterator[list[float]]:
    """How long to wait before a cancellation: a number of loop steps, or a time."""
    for steps in range(15):
        yield [0.0] * steps
    for tenths in range(1, 15):
        yield [tenths / 10_000]


async def cancelled(call: Coroutine[Any, Any, object], after: list[float]) -> bool:
    """Cancel a call; return whether it ended first."""
    task = asyncio.ensure_future(call)
    for seconds in after:
        await asyncio.sleep(seconds)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


async def begun(store: AsyncStore, key: SessionKey) -> Chain:
    """Create a session of three revisions; return the chain that drafts its next writes."""
    chain = Chain(InMemoryStore(), key)
    for kind in (Kind.BASE, Kind.BASE, Kind.PATCH):
        draft = chain.draft(kind)
        assert await store.commit(key, draft) is True
        chain.head = draft.head
        chain.records.append(draft.record)
    return chain


class Cancelled(Suite):
    """A cancelled write takes effect completely or not at all, and sending it again settles it."""

    async def open(self, place: Path) -> AsyncStore:
        raise NotImplementedError

    def test_a_cancelled_commit_is_wholly_done_or_wholly_not(self, place: Path) -> None:
        async def write(store: AsyncStore, key: SessionKey, after: list[float]) -> None:
            chain = await begun(store, key)
            before = await store.read(key)
            draft = chain.draft()
            done = Segment(draft.head, (*chain.records[1:], draft.record))
            ended = await cancelled(store.commit(key, draft), after)
            assert await store.read(key) in ((done,) if ended else (before, done))
            await store.commit(key, draft)
            assert await store.read(key) == done

        self._at_all_moments(place, write)

    def test_a_cancelled_deletion_is_wholly_done_or_wholly_not(self, place: Path) -> None:
        async def write(store: AsyncStore, key: SessionKey, after: list[float]) -> None:
            chain = await begun(store, key)
            tombstone = chain.draft(Kind.TOMBSTONE)
            ended = await cancelled(store.commit(key, tombstone), after)
            segment = await store.read(key)
            left = len(await store.headers(key, None, 9))
            assert segment is not None
            assert (segment.head.deleted, left) in (
                [(True, 1)] if ended else [(True, 1), (False, 3)]
            )
            await store.commit(key, tombstone)
            assert await store.read(key) == Segment(tombstone.head, (tombstone.record,))

        self._at_all_moments(place, write)

    def test_a_cancelled_pruning_is_wholly_done_or_wholly_not(self, place: Path) -> None:
        async def write(store: AsyncStore, key: SessionKey, after: list[float]) -> None:
            chain = await begun(store, key)
            check_rewriting(store)
            base = new_record(3)
            pruning = chain.draft_pruning((1, 2), records=((base, 3),), base=3)
            done = (pruning.head, (base,), 1)
            before = (chain.head, tuple(chain.records[1:]), 3)
            ended = await cancelled(store.prune(key, pruning), after)

            async def now() -> tuple[object, object, int]:
                segment = await store.read(key)
                assert segment is not None
                return (*segment, len(await store.headers(key, None, 9)))

            assert await now() in ((done,) if ended else (before, done))
            await store.prune(key, pruning)
            assert await now() == done

        self._at_all_moments(place, write)

    def test_pages_whose_writing_was_cancelled_are_each_whole_or_absent(self, place: Path) -> None:
        async def write(store: AsyncStore, key: SessionKey, after: list[float]) -> None:
            pages = [Page(bytes([n]) * 24, bytes([n]) * 10_000, n) for n in range(5)]
            ids = [page.id for page in pages]
            whole = {page.id: page.data for page in pages}
            ended = await cancelled(store.put_pages(key, pages), after)
            found = await store.pages(key, ids)
            assert found.items() <= whole.items()
            assert not ended or found == whole
            await store.put_pages(key, pages)
            assert await store.pages(key, ids) == whole

        self._at_all_moments(place, write)

    def _at_all_moments(
        self,
        place: Path,
        write: Callable[[AsyncStore, SessionKey, list[float]], Coroutine[Any, Any, None]],
    ) -> None:
        async def run() -> None:
            store = await self.open(place)
            try:
                for number, after in enumerate(moments()):
                    await write(store, SessionKey("default", f"user-{number}"), after)
            finally:
                await store.close()

        asyncio.run(run())
