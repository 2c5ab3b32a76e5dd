"""Saves in flight while something is taken out of their session: no conflict, and no lost page."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

import checkpoint
from checkpoint import (
    AgentState,
    Checkpointer,
    Conflict,
    Memory,
    Retention,
    RevisionPruned,
    SaveUnclear,
    StoreUnavailable,
)
from checkpoint._ids import SessionKey
from checkpoint._records.header import read_header
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._sync.commits import ATTEMPTS
from checkpoint.store import Commit, Pruning, Store

from .faults import DONE, FAILS, LATE, NOT_DONE, WORKS, Stepping, Unreliable
from .roles import SESSION

KEY = SessionKey("default", SESSION)
NEWEST = Retention(keep_last=1)
NO_GRACE = dt.timedelta(0)
ITEMS = [f"{number} {'.' * 90}" for number in range(60)]

Step = Callable[[], object]


class Notes(AgentState, schema="notes", version=1):
    memory: Memory[str] = Memory()


class Meddled(Unreliable):
    """A store in which others do something just before a commit arrives, or just after it.

    Attributes:
        before, after: steps, each taken once, by the next commit.
        sent: all commits, whatever became of them.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.before: deque[Step] = deque()
        self.after: deque[Step] = deque()
        self.sent: list[Commit] = []

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        self.sent.append(commit)
        if self.before:
            self.before.popleft()()
        try:
            return super().commit(key, commit)
        finally:
            if self.after:
                self.after.popleft()()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pass_on(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", lambda seconds: None)
    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 400)


@pytest.fixture
def store() -> Meddled:
    return Meddled(InMemoryStore())


@pytest.fixture(params=[0, None], ids=["no cache", "cache"])
def cache(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param is None else {"cache_bytes": request.param}


@pytest.fixture
def cp(store: Meddled, cache: dict[str, Any]) -> Iterator[Checkpointer[dict[str, Any]]]:
    with checkpoint.open(store, **cache) as opened:
        yield opened


@pytest.fixture
def paged(store: Meddled, cache: dict[str, Any]) -> Iterator[Checkpointer[Notes]]:
    with checkpoint.open(store, Notes, **cache) as opened:
        yield opened


def move_epoch(store: Store, key: SessionKey = KEY) -> None:
    """What a collection of garbage does first, when it finds nothing to take out."""
    segment = store.read(key)
    assert segment is not None
    head = segment.head
    assert store.prune(key, Pruning(head, head._replace(epoch=head.epoch + 1)))


def mover(store: Meddled, key: SessionKey = KEY) -> Step:
    return lambda: move_epoch(store.inner, key)


def documents(store: Meddled, session_id: str = SESSION) -> list[Any]:
    """What every revision holds, the oldest first, as a replica that comes later reads it."""
    with checkpoint.open(Unclosed(store.inner), cache_bytes=0) as cp:
        assert cp.verify(session_id) == []
        revisions = [snapshot.revision for snapshot in cp.history(session_id)]
        return [cp.document(session_id, revision=revision) for revision in reversed(revisions)]


class Unclosed(Unreliable):
    """A store that outlives the checkpointers it is opened with."""

    def close(self) -> None:
        pass


def count(state: dict[str, Any]) -> int:
    state["n"] = state.get("n", 0) + 1
    return int(state["n"])


def count_twice(cp: Checkpointer[dict[str, Any]], session_id: str = SESSION) -> None:
    """A session at revision 2."""
    for _ in range(2):
        cp.run(session_id, count)


# --- no conflict ---------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 10])
def test_a_save_whose_epoch_moves_is_sealed_again_and_happens_once(
    store: Meddled, cp: Checkpointer[dict[str, Any]], times: int
) -> None:
    count_twice(cp)
    state = cp.restore(SESSION).state
    state["n"] = 3
    store.sent.clear()
    store.before.extend([mover(store)] * times)
    assert cp.save(SESSION, state).revision == 3
    assert len(store.sent) == times + 1
    assert len({commit.head.write_id for commit in store.sent}) == 1, "it is one write"
    assert [commit.head.epoch for commit in store.sent] == list(range(times + 1))
    assert documents(store) == [{"n": 1}, {"n": 2}, {"n": 3}]
    state["n"] = 4
    assert cp.save(SESSION, state).revision == 4


def test_an_epoch_that_moved_before_a_save_was_made_is_as_good(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    count_twice(cp)
    state = cp.restore(SESSION).state
    for number in range(3):
        move_epoch(store.inner)
        state["n"] = 10 + number
        cp.save(SESSION, state)
    assert documents(store)[2:] == [{"n": 10}, {"n": 11}, {"n": 12}]


def test_the_pages_of_a_save_that_is_sealed_again_are_new_ones(
    store: Meddled, paged: Checkpointer[Notes]
) -> None:
    state = Notes(memory=Memory(ITEMS))
    paged.save(SESSION, state)
    old = {page.id for page in store.list_pages(KEY)}
    state.memory.extend(ITEMS * 30)  # more than the base: another base
    store.before.append(mover(store))
    assert paged.save(SESSION, state).kind == "base"
    first, second = (
        {ref.id for ref in read_header(commit.record)[0].pages} - old for commit in store.sent[-2:]
    )
    assert first
    assert second
    assert not first & second
    assert {page.id for page in store.list_pages(KEY)} == old | first | second
    assert paged.restore(SESSION).state.memory == ITEMS * 31
    store.drop_pages(KEY, list(first))  # as the collector may
    assert checkpoint.open(store, Notes, cache_bytes=0).restore(SESSION).state == state


def test_a_windowed_state_goes_on_after_its_save_was_sealed_again(
    store: Meddled, paged: Checkpointer[Notes]
) -> None:
    paged.save(SESSION, Notes(memory=Memory(ITEMS)))
    state = paged.restore(SESSION, window=3).state
    expected = list(ITEMS)
    for number in range(8):
        for items in (state.memory, expected):
            items.insert(5 * number, f"new {number}")
            del items[20:22]
            items.extend(f"{number}/{n} {'.' * 90}" for n in range(5))
        store.before.append(mover(store))
        paged.save(SESSION, state)
    assert state.memory == expected
    assert documents(store)[-1]["memory"] == expected


WRITES: dict[str, tuple[Callable[[Checkpointer[dict[str, Any]]], object], object]] = {
    "run": (lambda cp: cp.run(SESSION, count), {"n": 3}),
    "overwrite": (lambda cp: cp.overwrite(SESSION, {"n": 9}), {"n": 9}),
    "rollback": (lambda cp: cp.rollback(SESSION, 1), {"n": 1}),
    "delete": (lambda cp: cp.delete(SESSION), None),
}


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize("becomes", [WORKS, NOT_DONE, DONE, LATE])
@pytest.mark.parametrize(("write", "after"), WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("when", ["before", "after", "both"])
def test_any_write_goes_through_an_epoch_that_moves_and_an_answer_that_is_lost(
    store: Meddled,
    cp: Checkpointer[dict[str, Any]],
    write: Callable[[Checkpointer[dict[str, Any]]], object],
    after: object,
    when: str,
    becomes: str,
) -> None:
    count_twice(cp)
    store.answers.clear()
    if when != "after":
        store.before.append(mover(store))
    if when != "before":
        store.after.append(mover(store))
    store.commits.append(becomes)
    write(cp)
    store.arrive()
    assert store.answers.count(True) == 1
    if after is None:
        assert list(cp.sessions()) == []
    else:
        assert documents(store) == [{"n": 1}, {"n": 2}, after]


def test_a_fork_and_a_first_save_on_a_tombstone_go_through_too(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    target = SessionKey("default", "target")
    count_twice(cp)
    for _ in range(2):
        cp.save("target", {"n": 0})
        cp.delete("target")
        store.before.append(mover(store, target))
        cp.fork(SESSION, "target")
        assert documents(store, "target") == [{"n": 2}]
        cp.delete("target")
        store.before.append(mover(store, target))
        assert cp.run("target", count) == 1
        cp.delete("target")


def test_a_turn_keeps_its_id_and_its_result(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    count_twice(cp)
    store.before.extend([mover(store)] * 2)
    assert cp.run(SESSION, count, turn_id="message-1") == 3
    for _ in range(2):
        assert cp.run(SESSION, count, turn_id="message-1") == 3
    assert cp.history(SESSION)[0].turn_id == "message-1"


# --- with others' writes -------------------------------------------------------------------------


@pytest.mark.promise("no-overwrite")
def test_anothers_write_is_a_conflict_whatever_the_epoch_is(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    count_twice(cp)
    theirs = checkpoint.open(store.inner)
    state = cp.restore(SESSION).state
    state["n"] = 9

    def both() -> None:
        move_epoch(store.inner)
        theirs.run(SESSION, count)

    store.before.append(both)
    with pytest.raises(Conflict):
        cp.save(SESSION, state)
    assert documents(store) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_anothers_write_between_the_epoch_and_the_second_try_is_a_conflict(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    count_twice(cp)
    theirs = checkpoint.open(store.inner)
    state = cp.restore(SESSION).state
    state["n"] = 9
    store.before.extend([mover(store), lambda: theirs.run(SESSION, count)])
    for _ in range(2):
        with pytest.raises(Conflict):
            cp.save(SESSION, state)
    assert documents(store) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert cp.run(SESSION, count) == 4


# --- with what is really taken out ---------------------------------------------------------------


def test_what_is_taken_out_of_the_middle_of_a_segment_does_not_break_what_goes_on_it(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    for _ in range(4):
        cp.run(SESSION, count)
    theirs = checkpoint.open(store.inner)
    for gone in (1, 3):
        state = cp.restore(SESSION).state
        count(state)
        store.before.append(lambda gone=gone: theirs.delete_revision(SESSION, gone))  # type: ignore[misc]
        cp.save(SESSION, state)
        cp.run(SESSION, count)
    assert documents(store) == [{"n": n} for n in (2, 4, 5, 6, 7, 8)]


def test_revisions_pruned_while_a_base_is_saved_take_none_of_its_pages(
    store: Meddled, paged: Checkpointer[Notes]
) -> None:
    theirs = checkpoint.open(store.inner, Notes)
    state = Notes(memory=Memory(ITEMS))
    paged.save(SESSION, state)
    for number in range(4):
        paged.overwrite(SESSION, Notes(memory=Memory([f"{number}", *ITEMS])))
        state = paged.restore(SESSION, window=2).state
        state.memory.extend(ITEMS * 30)
        store.before.append(lambda: theirs.prune(SESSION, NEWEST, grace=NO_GRACE))
        assert paged.save(SESSION, state).kind == "base"
        assert documents(store)[-1]["memory"] == [f"{number}", *ITEMS * 31]


def a_branch(store: Meddled, cp: Checkpointer[Notes]) -> Notes:
    """A changed state of revision 1, in a session that went on without any of its pages."""
    cp.save(SESSION, Notes(memory=Memory(ITEMS)))
    cp.overwrite(SESSION, Notes(memory=Memory(["other"])))
    state = cp.restore(SESSION, revision=1, window=2).state
    state.memory.append("branch")
    return state


def test_a_branch_whose_parent_is_still_there_goes_through(
    store: Meddled, paged: Checkpointer[Notes]
) -> None:
    state = a_branch(store, paged)
    store.before.append(mover(store))
    assert paged.save(SESSION, state, branch=True).parent_revision == 1
    assert documents(store)[-1]["memory"] == [*ITEMS, "branch"]


def test_a_branch_whose_parent_was_taken_out_meanwhile_is_refused_and_names_no_lost_page(
    store: Meddled, paged: Checkpointer[Notes]
) -> None:
    theirs = checkpoint.open(store.inner, Notes)
    state = a_branch(store, paged)
    store.before.append(lambda: theirs.prune(SESSION, NEWEST, grace=NO_GRACE))
    for _ in range(2):
        with pytest.raises(RevisionPruned) as caught:
            paged.save(SESSION, state, branch=True)
        assert caught.value.revision == 1
    assert [document["memory"] for document in documents(store)] == [["other"]]
    assert paged.save("elsewhere", Notes(memory=Memory(state.memory[-1:]))).revision == 1


# --- answers that are lost -----------------------------------------------------------------------


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize("moves", [0, 1, 3])
@pytest.mark.parametrize("arriving", ["before the epoch moves", "after it", "after the next save"])
def test_an_unclear_save_whose_epoch_moved_is_settled_by_the_next_and_happens_once(
    store: Meddled, cp: Checkpointer[dict[str, Any]], arriving: str, moves: int
) -> None:
    for number, becomes in enumerate(product([NOT_DONE, DONE, LATE], repeat=2)):
        session_id = f"user-{number}"
        key = SessionKey("default", session_id)
        count_twice(cp, session_id)
        state = cp.restore(session_id).state
        state["n"] = 3
        store.answers.clear()
        store.commits.extend([*becomes, *[LATE] * (ATTEMPTS - 2)])
        store.reads.extend([FAILS] * ATTEMPTS)
        with pytest.raises(SaveUnclear):
            cp.save(session_id, state)
        if arriving == "before the epoch moves":
            store.arrive()
        for _ in range(moves):
            move_epoch(store.inner, key)
        if arriving == "after it":
            store.arrive()
        assert cp.save(session_id, state).revision == 3
        store.arrive()
        assert store.answers.count(True) == 1
        assert documents(store, session_id) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert cp.run(session_id, count) == 4


@pytest.mark.parametrize("becomes", list(product([NOT_DONE, DONE, LATE, WORKS], repeat=2)))
def test_a_save_that_is_sealed_again_may_lose_its_answer_too(
    store: Meddled, cp: Checkpointer[dict[str, Any]], becomes: tuple[str, ...]
) -> None:
    count_twice(cp)
    store.answers.clear()
    store.before.extend([mover(store), mover(store)])
    store.commits.extend(becomes)
    assert cp.run(SESSION, count, turn_id="t") == 3
    store.commits.clear()
    store.arrive()
    assert store.answers.count(True) == 1
    assert documents(store) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_an_outage_while_it_is_sealed_again_is_told_and_the_state_is_saved_later(
    store: Meddled, cp: Checkpointer[dict[str, Any]]
) -> None:
    count_twice(cp)
    state = cp.restore(SESSION).state
    state["n"] = 3
    store.before.append(mover(store))
    store.reads.extend([WORKS, FAILS])  # the head is seen, and what is to go on it is not
    with pytest.raises(StoreUnavailable):
        cp.save(SESSION, state)
    state["n"] = 4
    assert cp.save(SESSION, state).revision == 3
    assert documents(store) == [{"n": 1}, {"n": 2}, {"n": 4}]


def test_a_save_cancelled_at_any_step_of_that_is_whole_or_absent(store: Meddled) -> None:
    async def main() -> None:
        async with checkpoint.open_async(Stepping(store)) as cp:
            seen = set()
            for step in range(60):
                session_id = f"user-{step}"
                for _ in range(2):
                    await cp.run(session_id, count)
                state = (await cp.restore(session_id)).state
                state["n"] = 3
                store.before.append(mover(store, SessionKey("default", session_id)))
                task = asyncio.ensure_future(cp.save(session_id, state))
                for _ in range(step):
                    await asyncio.sleep(0)
                task.cancel()
                ended = not isinstance(
                    (await asyncio.gather(task, return_exceptions=True))[0], BaseException
                )
                store.before.clear()
                newest = await cp.restore(session_id)
                assert newest.revision in (2, 3)
                assert newest.state == {"n": newest.revision}
                assert newest.revision == 3 or not ended
                assert (await cp.save(session_id, state)).revision == 3
                assert documents(store, session_id) == [{"n": n} for n in (1, 2, 3)]
                seen.add((newest.revision, ended))
            assert seen == {(2, False), (3, False), (3, True)}

    asyncio.run(main())


class Restless(InMemoryStore):
    """A store whose epoch moves before each of the next commits."""

    moves = 0

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        if self.moves:
            self.moves -= 1
            move_epoch(self, key)
        return super().commit(key, commit)


@pytest.mark.parametrize("call", ["overwrite", "delete"])
def test_an_epoch_that_moves_is_not_another_writer_however_often(call: str) -> None:
    store = Restless()
    with checkpoint.open(store) as cp:
        cp.save(SESSION, {"n": 1})
        store.moves = 50
        assert cp.overwrite(SESSION, {"n": 2}) if call == "overwrite" else cp.delete(SESSION)
        assert store.moves == 0
