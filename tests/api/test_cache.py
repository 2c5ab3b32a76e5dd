"""A replica that served a session last asks for what is newer, and always has what is newest."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpoint
from checkpoint import AsyncCheckpointer, Conflict, Memory, NotSerializable, Retention
from checkpoint._stores.inmemory import InMemoryStore

from ..effort import examples
from .apis import Place
from .models import Support, heard, hearing, hears
from .windows import COUNT, Notes, note, notes, small_pages

SESSION = "user-42"
NEWEST = Retention(keep_last=1)
Dicts = AsyncCheckpointer[dict[str, Any]]


def sent(place: Place) -> list[int]:
    """The revisions of the records that were sent by reads, since this was last asked."""
    reads = [call.answer for call in place.traffic if call.name == "read" and call.answer]
    place.forget()
    return [record.revision for segment in reads for record in segment.records]


def count(state: dict[str, Any]) -> int:
    state["n"] = state.get("n", 0) + 1
    return int(state["n"])


# --- what is sent --------------------------------------------------------------------------------


async def test_an_unchanged_session_is_not_sent_again(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for _ in range(5):
        rival.run(SESSION, count)
    assert (await cp.restore(SESSION)).state == {"n": 5}
    assert sent(place) == [1, 2, 3, 4, 5]
    for _ in range(3):
        restored = await cp.restore(SESSION)
        assert (restored.revision, restored.state) == (5, {"n": 5})
        assert await cp.document(SESSION) == {"n": 5}
    assert sent(place) == []
    assert place.calls == []


async def test_only_what_is_newer_is_sent(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for n in range(1, 30):
        rival.run(SESSION, count)
        if n % 3 == 0:
            assert (await cp.restore(SESSION)).state == {"n": n}
            assert sent(place) == [n - 2, n - 1, n]


async def test_what_a_replica_saved_itself_is_not_sent_to_it(place: Place, cp: Dicts) -> None:
    for n in range(1, 20):
        assert await cp.run(SESSION, count) == n
    restored = await cp.restore(SESSION)
    restored.state["n"] = 20
    await cp.save(SESSION, restored.state)
    assert (await cp.restore(SESSION)).state == {"n": 20}
    assert sent(place) == []


async def test_a_new_segment_of_others_is_all_that_is_sent(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for _ in range(5):
        rival.run(SESSION, count)
    await cp.restore(SESSION)
    sent(place)
    rival.rollback(SESSION, 3)
    rival.run(SESSION, count)
    assert (await cp.restore(SESSION)).state == {"n": 4}
    assert sent(place) == [6, 7]


async def test_a_replica_takes_turns_with_another_and_neither_misses_anything(
    place: Place, cp: Dicts
) -> None:
    other = place.open()
    for n in range(1, 40):
        assert await (cp if n % 2 else other).run(SESSION, count) == n
    assert len(sent(place)) < 40, "one for each turn of the other"


async def test_a_cache_of_nothing_reads_all_each_time(place: Place) -> None:
    cp = place.open(cache_bytes=0)
    for _ in range(3):
        await cp.run(SESSION, count)
    sent(place)
    for _ in range(2):
        await cp.restore(SESSION)
    assert sent(place) == [1, 2, 3, 1, 2, 3]


async def test_another_revision_is_read_whole_and_does_not_stand_for_the_newest(
    place: Place, cp: Dicts
) -> None:
    for _ in range(3):
        await cp.run(SESSION, count)
    assert (await cp.restore(SESSION, revision=2)).state == {"n": 2}
    assert sent(place)[-2:] == [1, 2]
    assert (await cp.restore(SESSION)).state == {"n": 3}
    assert (await cp.restore(SESSION, revision=3)).state == {"n": 3}


async def test_pages_of_a_big_value_are_not_sent_again(place: Place) -> None:
    place.rival().save(SESSION, {"text": "x" * 300_000, "n": 0})
    cp = place.open()
    assert (await cp.restore(SESSION)).state["n"] == 0
    place.forget()
    for n in range(1, 4):
        assert await cp.run(SESSION, count) == n
    assert place.asked_for() == []


async def test_a_windowed_session_stays_in_the_cache_without_its_old_pages(place: Place) -> None:
    with small_pages():
        place.rival(Notes).save(SESSION, Notes(memory=Memory(notes(COUNT))))
        cp = place.open(Notes)
        for n in range(5):
            async with cp.turn(SESSION, window=3) as turn:
                turn.state.memory.append(note(n))
            assert len(sent(place)) == (n == 0)
        restored = await cp.restore(SESSION)
        assert restored.state.memory == [*notes(COUNT), *notes(5)]


async def test_pages_that_were_read_are_not_sent_again(place: Place) -> None:
    with small_pages():
        place.rival(Notes).save(SESSION, Notes(memory=Memory(notes(COUNT))))
        cp = place.open(Notes)
        assert (await cp.restore(SESSION)).state.memory == notes(COUNT)
        assert place.asked_for() != []
        place.forget()
        for window in (None, 50):
            restored = await cp.restore(SESSION, window=window)
            assert restored.state.memory[-50:] == notes(COUNT)[-50:]
        assert place.asked_for() == []
        await cp.restore(SESSION, revision=1)
        assert place.asked_for() != [], "what is kept is the newest, as such"


# --- what is kept is never what a caller has -----------------------------------------------------


async def test_a_change_of_a_restored_state_is_not_in_the_next_one(place: Place, cp: Dicts) -> None:
    state: dict[str, Any] = {"list": [1, {"in": [2]}], "map": {"a": {"b": 1}}, "set": {1}}
    expected = copy.deepcopy(state)
    await cp.save(SESSION, state)
    for _ in range(3):
        state["list"][1]["in"].append("changed")
        state["map"]["a"]["b"] = "changed"
        state["set"].add("changed")
        state = (await cp.restore(SESSION)).state
        assert state == expected
        async with cp.turn(SESSION) as turn:
            assert turn.state == expected
        document = await cp.document(SESSION)
        assert document == expected
        document["list"].clear()
        document["map"]["a"].clear()
    assert place.rival().restore(SESSION).state == expected


async def test_a_change_of_a_restored_model_is_not_in_the_next_one(
    support: AsyncCheckpointer[Support],
) -> None:
    await support.run(SESSION, hearing("hello"))
    for window in (None, 1, None):
        state = (await support.restore(SESSION, window=window)).state
        assert heard(state) == ["hello"]
        state.memory[0].content = "changed"
        state.memory.append(state.memory[0])
        state.config.stop_words.append("changed")


@pytest.mark.parametrize("older", [False, True])
async def test_a_change_of_a_result_is_not_in_what_a_replay_returns(cp: Dicts, older: bool) -> None:
    def answer(state: dict[str, Any]) -> list[str]:
        count(state)
        return ["yes"]

    first = await cp.run(SESSION, answer, turn_id="message-1")
    if older:
        await cp.run(SESSION, count)
    for _ in range(3):
        first.append("changed")
        first = await cp.run(SESSION, answer, turn_id="message-1")
        assert first == ["yes"]


@pytest.mark.promise("no-trace")
async def test_an_aborted_turn_leaves_nothing(place: Place, cp: Dicts) -> None:
    await cp.run(SESSION, count)
    with pytest.raises(ZeroDivisionError):
        async with cp.turn(SESSION) as turn:
            turn.state["n"] = 1 / 0
    with pytest.raises(NotSerializable):
        async with cp.turn(SESSION) as turn:
            turn.state["n"] = object()
    rival = place.rival()
    place.before_commit.append(lambda: rival.run(SESSION, count))
    with pytest.raises(Conflict):
        async with cp.turn(SESSION) as turn:
            turn.state["n"] = "lost"
    assert (await cp.restore(SESSION)).state == {"n": 2}
    assert await cp.run(SESSION, count) == 3


# --- what others do is seen ----------------------------------------------------------------------


async def test_a_session_deleted_by_others_and_made_anew_is_the_new_one(
    place: Place, cp: Dicts
) -> None:
    for _ in range(3):
        await cp.run(SESSION, count)
    rival = place.rival()
    rival.delete(SESSION)
    with pytest.raises(checkpoint.SessionNotFound):
        await cp.restore(SESSION)
    rival.save(SESSION, {"n": 10})
    assert (await cp.restore(SESSION)).state == {"n": 10}
    assert await cp.run(SESSION, count) == 11
    rival.delete(SESSION)
    assert await cp.run(SESSION, count) == 1


async def test_what_others_do_is_seen_at_once(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for _ in range(3):
        await cp.run(SESSION, count)
    rival.overwrite(SESSION, {"n": 20})
    assert (await cp.restore(SESSION)).state == {"n": 20}
    rival.rollback(SESSION, 2)
    assert (await cp.restore(SESSION)).state == {"n": 2}
    rival.prune(SESSION, NEWEST)
    assert (await cp.restore(SESSION)).state == {"n": 2}
    assert await cp.run(SESSION, count) == 3
    rival.prune(SESSION, NEWEST)
    rival.run(SESSION, count)
    rival.fork(SESSION, "fork")
    assert (await cp.restore("fork")).state == {"n": 4}
    rival.run("fork", count)
    assert [(await cp.restore(name)).state["n"] for name in ("fork", SESSION)] == [5, 4]


DOES = ["run", "run", "run", "overwrite", "rollback", "prune", "take out", "delete", "hold", "save"]


def grow(state: dict[str, Any], by: int) -> None:
    state[f"k{len(state)}"] = by


@examples(150)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(DOES)), max_size=25))
def test_replicas_with_a_cache_and_one_without_agree_after_every_step(
    steps: list[tuple[int, str]],
) -> None:
    store = InMemoryStore()
    cold = checkpoint.open(store, cache_bytes=0)
    # One that keeps this session, one that has no room for it, one that keeps nothing.
    replicas = [checkpoint.open(store), checkpoint.open(store, cache_bytes=300), cold]
    held: dict[int, Any] = {}
    for number, (which, what) in enumerate(steps):
        cp = replicas[which]
        there = [info.session_id for info in cold.sessions()]
        if what == "run":
            cp.run(SESSION, partial(grow, by=number))
        elif what == "overwrite":
            cp.overwrite(SESSION, {"n": number})
        elif what == "delete":
            cp.delete(SESSION)
        elif what == "save" and which in held:
            held[which]["saved"] = number
            try:
                cp.save(SESSION, held[which])
            except Conflict:
                del held[which]
        elif there and what == "rollback":
            cp.rollback(SESSION, cold.history(SESSION)[-1].revision)
        elif there and what == "prune":
            cp.prune(SESSION, NEWEST)
        elif there and what == "take out":
            revisions = [snapshot.revision for snapshot in cold.history(SESSION)]
            if len(revisions) > 1:
                cp.delete_revision(SESSION, revisions[len(revisions) // 2])
        elif there and what == "hold":
            held[which] = cp.restore(SESSION).state
        seen = []
        for replica in replicas:
            try:
                restored = replica.restore(SESSION)
                seen.append((restored.revision, restored.snapshot.write_id, restored.state))
            except checkpoint.SessionNotFound:
                seen.append((0, "", {}))
        assert seen[0] == seen[1] == seen[2], (number, what)


@pytest.mark.parametrize("rolled_back", [False, True])
@pytest.mark.parametrize("theirs", range(1, 8))
def test_a_store_that_was_set_back_is_read_as_it_is(theirs: int, rolled_back: bool) -> None:
    """As from a backup: the numbers are the same, and the writes are others."""
    store, other = InMemoryStore(), InMemoryStore()
    cp, rival = checkpoint.open(store), checkpoint.open(other)
    for _ in range(3):
        cp.run(SESSION, count)
    for n in range(theirs):
        rival.run(SESSION, partial(grow, by=n))
    if rolled_back:
        rival.rollback(SESSION, 1)
    store._sessions = other._sessions
    expected = checkpoint.open(store, cache_bytes=0).restore(SESSION)
    found = cp.restore(SESSION)
    assert (found.snapshot.write_id, found.state) == (expected.snapshot.write_id, expected.state)
    cp.run(SESSION, partial(grow, by=-1))
    assert checkpoint.open(store, cache_bytes=0).restore(SESSION).state == cp.restore(SESSION).state


# --- many at once --------------------------------------------------------------------------------


def test_threads_that_share_a_replica_lose_no_turn() -> None:
    store = InMemoryStore()
    with checkpoint.open(store, Support, cache_bytes=40_000) as cp:
        sessions = [f"user-{n}" for n in range(4)]

        def take(number: int) -> None:
            for turn in range(15):
                session = sessions[(number + turn) % len(sessions)]
                cp.run(session, partial(hears, text=f"{number}/{turn}"), timeout=60)
                state = cp.restore(session).state
                assert f"{number}/{turn}" in heard(state)
                state.memory.clear()

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(take, range(6)))
        said = [line for name in sessions for line in heard(cp.restore(name).state)]
        assert sorted(said) == sorted(f"{n}/{turn}" for n in range(6) for turn in range(15))
        cold = checkpoint.open(store, Support, cache_bytes=0)
        for name in sessions:
            assert cold.restore(name).state == cp.restore(name).state


async def test_tasks_that_share_a_replica_lose_no_turn(place: Place, cp: Dicts) -> None:
    calls = [cp.run(f"user-{n % 3}", count, timeout=60) for n in range(24)]
    await place.together(*calls)
    for n in range(3):
        assert (await cp.restore(f"user-{n}")).state == {"n": 8}
        assert place.rival().restore(f"user-{n}").state == {"n": 8}
    await asyncio.sleep(0)
