"""The simulator finds out when a part of the protocol is missing, and says which rule it breaks.

Each mutant leaves out one thing that a promise rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from checkpoint._async import commits, maintenance, pinning
from checkpoint._ids import SessionKey
from checkpoint._records import frame
from checkpoint._records.baseline import Tip
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import AsyncStore, Commit, Page, Segment
from checkpoint.testing.simulator import Violation, Weather, simulate, stores
from checkpoint.testing.simulator.stores import Link

SEEDS = range(200)

pytestmark = pytest.mark.slow


def finds(*rules: str, store: type = InMemoryStore, **given: Any) -> None:
    """Fail unless a seed finds that one of these rules is broken."""
    others = set()
    for seed in SEEDS:
        broken = simulate(seed, store=store, **given).violation
        if isinstance(broken, Violation) and broken.rule in rules:
            return
        others.add(str(broken))
    pytest.fail(f"no seed of {len(SEEDS)} found it, but {others}")


# --- stores that leave something out --------------------------------------------------------------


class WithoutGuard(InMemoryStore):
    """Puts every commit on the newest revision, whatever its parent."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        parent = segment.head.write_id if segment else None
        return super().commit(key, commit._replace(parent=parent))


class WithoutEpoch(InMemoryStore):
    """Takes commits of an epoch that is over."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        epoch = segment.head.epoch if segment else 0
        return super().commit(key, commit._replace(head=commit.head._replace(epoch=epoch)))


class Forgetful(InMemoryStore):
    """Acknowledges a commit now and then that it does not make."""

    def __init__(self) -> None:
        super().__init__()
        self._commits = 0

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        self._commits += 1
        segment = self.read(key)
        fits = segment is not None and segment.head.write_id == commit.parent
        return True if fits and self._commits % 20 == 0 else super().commit(key, commit)


class Lagging(InMemoryStore):
    """Reads from a copy that lags behind, now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._random = Random(0)
        self._copies: dict[SessionKey, Segment] = {}

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        segment = super().read(key, revision, since=since)
        if segment is not None and revision is None and since == 0:
            if key in self._copies and self._random.random() < 0.05:
                return self._copies[key]
            self._copies[key] = segment
        return segment


@pytest.mark.parametrize(
    ("store", "rules"),
    [
        (WithoutGuard, {"two children"}),
        (WithoutEpoch, {"page missing"}),
        (Forgetful, {"lost"}),
        (Lagging, {"stale read"}),
    ],
)
def test_a_store_that_breaks_its_promise_is_found_out(store: type, rules: set[str]) -> None:
    finds(*rules, store=store)


# --- a core that leaves something out -------------------------------------------------------------


async def only_the_newest(store: AsyncStore, key: SessionKey, commit: Commit, tip: Tip) -> bool:
    return tip.header.write_id == commit.head.write_id


def test_recent_writes_that_are_not_looked_at_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write whose answer was lost, and that others went on from, is told as a conflict."""
    monkeypatch.setattr(commits, "_landed", only_the_newest)
    finds("false conflict", "applied twice", "turn applied twice")


def test_pages_that_are_listed_after_the_epoch_has_moved_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then no grace at all is too little: a writer of the new epoch may have put pages there."""
    drop = maintenance._drop

    async def listed_again(engine: Any, key: SessionKey, _: Any) -> Any:
        return await drop(engine, key, await engine.store.list_pages(key))

    monkeypatch.setattr(maintenance, "_drop", listed_again)
    finds("page missing")


def test_forks_that_pin_nothing_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinning, "_pins", lambda *_: [])
    finds("page missing")


class LatePages(Link):
    """Sends the pages of a save after the commit that names them."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._pages: list[tuple[SessionKey, Sequence[Page]]] = []

    async def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        self._pages.append((key, pages))

    async def commit(self, key: SessionKey, commit: Commit) -> bool:
        done = await super().commit(key, commit)
        while self._pages:
            await super().put_pages(*self._pages.pop())
        return done


def test_pages_that_are_written_after_their_head_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "Link", LatePages)
    finds("page missing")


def test_digests_that_are_not_looked_at_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "digest", lambda *_: bytes(frame.DIGEST_SIZE))
    finds("damage not noticed", "wrong state", "wrong content", weather=Weather(rot=0.5))
