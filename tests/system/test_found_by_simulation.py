"""What the simulator of replicas found: each is told here as the few steps that it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

import checkpoint
from checkpoint import (
    AgentState,
    Checkpointer,
    Damaged,
    Memory,
    NotLoaded,
    Retention,
    RevisionPruned,
    SaveUnclear,
    StoreUnavailable,
)
from checkpoint._ids import SessionKey
from checkpoint._records.segment import RING
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import Commit, Record, Segment

from .roles import SESSION

Dicts = Checkpointer[dict[str, Any]]


class Notes(AgentState, schema="notes", version=1):
    memory: Memory[str] = Memory()


ITEMS = [f"{number} {'.' * 10_000}" for number in range(60)]  # some pages of them


def count(state: dict[str, Any]) -> int:
    state["n"] = state.get("n", 0) + 1
    number: int = state["n"]
    return number


class Rotten(InMemoryStore):
    """Gives one record with other bytes in its head, or its body; and pages, if told so."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = 0
        self.old = self.new = b""
        self.body = self.page = False

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        segment = super().read(key, revision, since=since)
        return segment and segment._replace(records=tuple(map(self._rotten, segment.records)))

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        listed = super().headers(key, before, limit, bases=bases)
        return [(self._rotten(record), size) for record, size in listed]

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        found = super().pages(key, ids)
        return {id: data[:-1] if self.page else data for id, data in found.items()}

    def _rotten(self, record: Record) -> Record:
        if record.revision != self.revision:
            return record
        if self.body:
            return record._replace(body=bytes(len(record.body)))
        assert self.old in record.header
        return record._replace(header=record.header.replace(self.old, self.new, 1))


# --- results of turns ----------------------------------------------------------------------------


def overwrite(cp: Dicts) -> None:
    cp.overwrite(SESSION, {"n": 10})


def roll_back(cp: Dicts) -> None:
    cp.rollback(SESSION, 1)


def branch(cp: Dicts) -> None:
    state = cp.restore(SESSION, revision=1).state
    state["n"] = 20
    cp.save(SESSION, state, branch=True)


@pytest.mark.parametrize("write", [overwrite, roll_back, branch])
def test_a_turn_has_its_result_whatever_was_put_on_it_and_when_it_is_pruned(
    write: Callable[[Dicts], None],
) -> None:
    """A write that reads only headers cannot know results, and must not say that there is none."""
    cp = checkpoint.open("memory://")
    cp.save(SESSION, {"n": 0})
    assert cp.run(SESSION, count, turn_id="message-1") == 1
    write(cp)
    cp.prune(SESSION, Retention(keep_last=1))
    assert cp.run(SESSION, count, turn_id="message-1") == 1


def test_a_result_that_could_not_be_read_is_not_told_as_none() -> None:
    store = Rotten()
    cp = checkpoint.open(store, cache_bytes=0)
    cp.save(SESSION, {"n": 0})
    assert cp.run(SESSION, count, turn_id="message-1") == 1
    store.revision, store.body = 2, True
    cp.overwrite(SESSION, {"n": 10})  # which is possible where the head is damaged
    store.revision = 0
    cp.prune(SESSION, Retention(keep_last=1))
    with contextlib.suppress(RevisionPruned):
        assert cp.run(SESSION, count, turn_id="message-1") == 1


# --- writers that stand still --------------------------------------------------------------------


class Stalled(InMemoryStore):
    """Answers a commit late: ``meanwhile`` is called, and then the answer is lost."""

    meanwhile: Callable[[], None] | None = None

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        done = super().commit(key, commit)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
            raise StoreUnavailable("the line is dead")
        return done


def test_a_write_that_nothing_remembers_any_more_is_unclear_and_no_conflict() -> None:
    """It was done; so many were since that the ring has forgotten it, and it was pruned."""
    store = Stalled()
    cp, other = checkpoint.open(store), checkpoint.open(store)
    cp.save(SESSION, {"n": 0})
    state = cp.restore(SESSION).state
    state["n"] = 1

    def meanwhile() -> None:
        for n in range(RING + 5):
            other.overwrite(SESSION, {"n": n})
        other.prune(SESSION, Retention(keep_last=1))

    store.meanwhile = meanwhile
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)


# --- bytes that flip in a header -----------------------------------------------------------------


def rotten(*, old: bytes, new: bytes) -> tuple[Rotten, Dicts]:
    """A session at revision 2 whose newest header has something else where ``old`` was."""
    store = Rotten()
    cp = checkpoint.open(store)
    cp.save(SESSION, {"n": 0})
    cp.run(SESSION, count, turn_id="message-1")
    write_id = bytes.fromhex(cp.history(SESSION)[0].write_id)
    store.revision, store.old, store.new = 2, old or write_id, new or bytes(16)
    return store, cp


def test_a_write_id_that_flipped_in_a_header_is_not_told_as_a_conflict() -> None:
    _, cp = rotten(old=b"", new=b"")
    with pytest.raises(Damaged):
        cp.rollback(SESSION, 1)


def test_a_turn_is_not_applied_again_because_its_id_flipped_in_a_header() -> None:
    """What is put on it remembers the turns before: those that really were."""
    store, cp = rotten(old=b"message-1", new=b"mess!ge-1")
    with contextlib.suppress(Damaged):
        cp.rollback(SESSION, 1)
    store.revision = 0
    assert cp.run(SESSION, count, turn_id="message-1") == 1
    assert [snapshot.turn_id for snapshot in cp.history(SESSION)].count("message-1") == 1


def test_a_page_is_not_removed_because_its_name_flipped_in_a_header() -> None:
    """The bytes may be right again tomorrow, and the page would be gone."""
    store = Rotten()
    cp = checkpoint.open(store, Notes)
    cp.save(SESSION, Notes(memory=Memory(ITEMS)))
    (page, *_) = store.list_pages(SessionKey("default", SESSION))
    store.revision, store.old, store.new = 1, page.id[8:], bytes(16)
    with contextlib.suppress(Damaged):
        cp.prune(SESSION, grace=timedelta(0))
    store.revision = 0
    assert checkpoint.open(store, Notes).restore(SESSION).state.memory == ITEMS


def test_a_page_that_could_not_be_read_once_is_read_again() -> None:
    """A turn that compresses new pages against another does without it, but only for itself."""
    store = Rotten()
    cp = checkpoint.open(store, Notes)
    checkpoint.open(store, Notes).save(SESSION, Notes(memory=Memory(ITEMS)))
    store.page = True
    with cp.turn(SESSION, window=1) as turn:
        turn.state.memory.extend(ITEMS)
        turn.state.memory.extend(ITEMS)
    store.page = False
    assert cp.restore(SESSION).state.memory == [*ITEMS, *ITEMS, *ITEMS]


# --- windows -------------------------------------------------------------------------------------


def test_what_a_window_left_out_can_be_deleted_and_replaced() -> None:
    cp = checkpoint.open("memory://", Notes, cache_bytes=0)
    cp.save(SESSION, Notes(memory=Memory(ITEMS)))
    with cp.turn(SESSION, window=2) as turn:
        del turn.state.memory[:3]
        turn.state.memory[5] = "new"
    assert cp.restore(SESSION).state.memory == [*ITEMS[3:8], "new", *ITEMS[9:]]


def test_a_copy_of_a_windowed_state_cannot_be_saved_before_it_is_loaded() -> None:
    import asyncio

    async def main() -> None:
        async with checkpoint.open_async("memory://", Notes, cache_bytes=0) as cp:
            await cp.save(SESSION, Notes(memory=Memory(ITEMS)))
            restored = await cp.restore(SESSION, window=2)
            copy = restored.state.model_copy(deep=True)
            copy.memory.append("new")
            with pytest.raises(NotLoaded):
                await cp.save(SESSION, copy, parent=restored.snapshot)
            await copy.memory.load()
            saved = await cp.save(SESSION, copy, parent=restored.snapshot)
            assert saved.revision == 2

    asyncio.run(main())


# --- revisions that are removed ------------------------------------------------------------------


class Late(InMemoryStore):
    """Has its first session only after somebody looked for it."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        segment = super().read(key, revision, since=since)
        if segment is None:
            self.arrive()
        return segment

    def arrive(self) -> None: ...


def test_a_session_that_is_made_while_its_revision_is_removed_is_no_surprise() -> None:
    store = Late()

    def arrive() -> None:
        store.arrive = lambda: None  # type: ignore[method-assign]
        other = checkpoint.open(store)
        other.save(SESSION, {"n": 1})
        other.overwrite(SESSION, {"n": 2})

    store.arrive = arrive  # type: ignore[method-assign]
    cp = checkpoint.open(store)
    assert cp.delete_revision(SESSION, 1).revisions == 1
    assert [snapshot.revision for snapshot in cp.history(SESSION)] == [2]


def test_pages_of_a_value_that_went_with_a_revision_are_not_named_again() -> None:
    """By a writer at work, who knows them from before."""
    store = InMemoryStore()
    cp, other = checkpoint.open(store), checkpoint.open(store)
    text = " ".join(map(str, range(50_000)))
    cp.save(SESSION, {"text": text})
    with cp.turn(SESSION) as turn:
        turn.state["text"] += "and more"
    state = cp.restore(SESSION).state
    other.delete_revision(SESSION, 1)
    state["n"] = 1
    cp.save(SESSION, state)  # a patch
    state["memory"] = ITEMS
    cp.save(SESSION, state)  # a base
    assert cp.history(SESSION)[0].kind == "base"
    assert other.verify(SESSION) == []
