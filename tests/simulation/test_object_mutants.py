"""The simulator finds out when a part of the commit protocol over objects is missing.

Each mutant leaves out one thing that the protocol rests on. Two are too seldom for some hundred
seeds, and are told step by step in ``tests/objectstore/test_interleaved.py``: garbage that is
dropped without another look at the head, and attachments of a later life that a late deletion
takes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from checkpoint._async import maintenance
from checkpoint._ids import SessionKey
from checkpoint.store import Commit, Page
from checkpoint.testing.simulator import Violation, Weather
from checkpoint_objectstore import _layout as layout
from checkpoint_objectstore import _pruning as pruning
from checkpoint_objectstore._async import store
from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._format import Session, pack_segment
from checkpoint_objectstore._known import Known
from checkpoint_objectstore._layout import folder_of
from checkpoint_objectstore.testing import simulate
from tests.effort import SOAK
from tests.objectstore.in_memory import InMemoryObjects

pytestmark = pytest.mark.slow

SEEDS = range(200)

# Processes that end and stand still between two requests, and little else: what takes several of
# these in a row is found in some dozens of seeds.
ENDS = Weather(
    crash=0.01, pause=0.01, late=0.02, repeated=0.05, lost=0.01, unanswered=0.02, idle=0.01
)
STALLS = Weather(pause=0.03, late=0.05, repeated=0.1, crash=0.006, idle=0.01)


def finds(*rules: str, **given: Any) -> None:
    """Fail unless a seed finds that one of these rules is broken."""
    others = set()
    given = {"objects": InMemoryObjects} | given
    for seed in SEEDS:
        broken = simulate(seed, **given).violation
        if isinstance(broken, Violation) and broken.rule in rules:
            return
        if broken is not None:
            others.add(str(broken))
    pytest.fail(f"no seed of {len(SEEDS)} found it, but {others}")


# --- the order of requests ------------------------------------------------------------------------


class HeadFirst(AsyncObjectStore):
    """Writes the segment before a new one after the head that names it."""

    async def _replace(
        self, key: SessionKey, known: Known, session: Session, written: dict[bytes, bytes]
    ) -> bool:
        done = await super()._replace(key, known, session, {})
        if done and written:
            folder = folder_of(key)
            await self._objects.put_many({folder.page(id): written[id] for id in written})
        return done


class LatePages(AsyncObjectStore):
    """Writes the pages of a save after the head that names them."""

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


class ClearedFirst(AsyncObjectStore):
    """Removes what goes with a head before that is there."""

    async def _replace(
        self, key: SessionKey, known: Known, session: Session, written: dict[bytes, bytes]
    ) -> bool:
        await self._clear(key, known.session, session)
        return await super()._replace(key, known, session, written)


@pytest.mark.parametrize(
    ("mutant", "rules"),
    [
        (HeadFirst, {"segment missing"}),
        (LatePages, {"page missing"}),
        (ClearedFirst, {"segment missing"}),
    ],
)
def test_requests_in_another_order_are_found_out(
    mutant: type[AsyncObjectStore], rules: set[str]
) -> None:
    finds(*rules, store=mutant)


def test_garbage_that_is_listed_after_the_epoch_has_moved_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drop = maintenance._drop

    async def listed_again(engine: Any, key: SessionKey, _: Any) -> Any:
        return await drop(engine, key, await engine.store.list_pages(key))

    monkeypatch.setattr(maintenance, "_drop", listed_again)
    finds("segment missing", "page missing")


# --- conditions and names -------------------------------------------------------------------------


class LastWriteWins(InMemoryObjects):
    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        return super().replace(key, data, tag) or self._put(key, data)

    def _put(self, key: str, data: bytes) -> str | None:
        self.put_many({key: data})
        found = self.get(key)
        return found.tag if found else None


class CreatesAlways(InMemoryObjects):
    def create(self, key: str, data: bytes) -> str | None:
        if key.endswith("/head"):
            self.delete([key])
        return super().create(key, data)


@pytest.mark.parametrize("place", [LastWriteWins, CreatesAlways])
def test_heads_that_are_written_without_a_condition_are_found_out(
    place: type[InMemoryObjects], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def any_place(_: object) -> None:
        """Conditions are not tried."""

    monkeypatch.setattr(store, "check_place", any_place)
    finds("two children", "revision used again", objects=place)


def test_attachments_without_a_generation_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a deletion leaves of them is that of the session which is made then."""
    note = layout.Folder.note
    monkeypatch.setattr(layout.Folder, "note", lambda self, _, *at: note(self, 0, *at))
    monkeypatch.setattr(layout.Note, "is_shown", lambda *_: True)
    finds("wrong labels", weather=ENDS)


@pytest.mark.skipif(not SOAK, reason="takes some dozens of seeds; set CHECKPOINT_SOAK=1")
def test_segments_whose_ids_do_not_tell_the_epoch_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_epoch(base: int, records: Any, _: int) -> Any:
        return pack_segment(base, records, 0)

    monkeypatch.setattr(pruning, "pack_segment", without_epoch)
    finds("segment missing", weather=STALLS)


def test_a_known_head_that_is_taken_for_the_newest_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = AsyncObjectStore._head

    async def known(self: AsyncObjectStore, key: SessionKey) -> Known | None:
        return self._known.get(key) or await head(self, key)

    monkeypatch.setattr(AsyncObjectStore, "_head", known)
    finds("stale read", "false absence")
