"""A windowed state saved again and again, in good and in bad order, is always the whole state."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

import checkpoint
from checkpoint import AsyncCheckpointer, Conflict, NotLoaded, NotSerializable, SaveUnclear
from checkpoint._stores.threads import ThreadedStore

from ..system.faults import DONE, FAILS, NOT_DONE, Unreliable
from .apis import AsAsync, Place
from .windows import (
    COUNT,
    SESSION,
    Cp,
    Note,
    Notes,
    note,
    notes,
    prepared,
    small_pages,
    stored,
    windowed,
)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_pages():
        yield


@pytest.fixture
def cp(place: Place) -> Cp:
    return prepared(place)


async def test_a_state_saved_again_without_a_change_is_not_written_again(
    place: Place, cp: Cp
) -> None:
    state = await windowed(cp)
    state.memory.insert(3, note(1))
    assert (await cp.save(SESSION, state)).revision == 2
    place.forget()
    assert (await cp.save(SESSION, state)).revision == 2
    await state.memory.load()
    assert (await cp.save(SESSION, state)).revision == 2
    assert "commit" not in place.calls


@pytest.mark.parametrize("patches", [0, 2, None])
async def test_what_was_left_alone_is_told_by_its_new_place_after_each_save(
    place: Place, patches: int | None
) -> None:
    """With a new layout at each save, at some, and at none."""
    with small_pages(patches=patches):
        cp = prepared(place)
        state, expected = await windowed(cp), notes(COUNT)
        changes: list[Callable[[Any], object]] = [
            lambda items: items.insert(0, note(-1)),
            lambda items: items.__delitem__(slice(20, 40)),
            lambda items: items.__setitem__(slice(50, 51), notes(900, 905)),
            lambda items: items.extend(notes(1000, 1060)),
            lambda items: items.__delitem__(0),
            lambda items: items.insert(100, note(-2)),
            lambda items: items.__delitem__(slice(-70, -60)),
        ]
        for round in range(3):
            for number, change in enumerate(changes):
                change(state.memory)
                change(expected)
                await cp.save(SESSION, state)
                assert stored(place) == expected, (round, number)
                await state.memory.load(30 * number, 30 * number + 5)
                state.memory[30 * number].tags.append("seen")
                expected[30 * number].tags.append("seen")
        await state.memory.load()
        assert state.memory == expected


async def test_a_save_that_is_refused_leaves_the_memory_as_it_is(place: Place, cp: Cp) -> None:
    state = await windowed(cp)
    state.memory.insert(0, note(-1))
    state.memory.append(cast("Note", object()))
    with pytest.raises(NotSerializable) as caught:
        await cp.save(SESSION, state)
    assert caught.value.path == f"memory[{COUNT + 1}]"
    assert stored(place) == notes(COUNT)
    del state.memory[-1]
    await cp.save(SESSION, state)
    assert stored(place) == [note(-1), *notes(COUNT)]


async def test_a_state_that_lost_a_race_stays_refused_and_can_still_be_read(
    place: Place, cp: Cp
) -> None:
    state = await windowed(cp)
    place.rival(Notes).run(SESSION, lambda theirs: theirs.memory.clear())
    state.memory.append(note(1))
    for _ in range(2):
        with pytest.raises(Conflict):
            await cp.save(SESSION, state)
    await state.memory.load()
    assert state.memory == [*notes(COUNT), note(1)]
    assert stored(place) == []
    again = await windowed(cp)
    again.memory.append(note(2))
    await cp.save(SESSION, again)
    assert stored(place) == [note(2)]


@pytest.mark.parametrize("branch", [False, True])
async def test_a_run_in_a_window_applies_the_turn_again_after_a_conflict(
    place: Place, cp: Cp, branch: bool
) -> None:
    rival = place.rival(Notes)
    place.before_commit.append(lambda: rival.run(SESSION, lambda state: state.memory.pop(0)))

    def take(state: Notes) -> int:
        state.memory.append(note(1))
        return len(state.memory)

    if branch:
        state = await windowed(cp)
        take(state)
        await cp.save(SESSION, state, branch=True)
        assert stored(place) == [*notes(COUNT), note(1)]
    else:
        assert await cp.run(SESSION, take, window=5) == COUNT
        assert stored(place) == [*notes(1, COUNT), note(1)]


async def test_a_memory_of_an_older_revision_is_whole_in_a_branch(place: Place, cp: Cp) -> None:
    old = await windowed(cp)
    place.rival(Notes).overwrite(SESSION, Notes())
    old.memory.insert(0, note(-1))
    assert (await cp.save(SESSION, old, branch=True)).parent_revision == 1
    assert stored(place) == [note(-1), *notes(COUNT)]
    await old.memory.load(3, 4)
    old.memory[3].text = "edited"
    await cp.save(SESSION, old)
    assert stored(place)[3].text == "edited"


async def test_an_overwrite_needs_all_of_it(place: Place, cp: Cp) -> None:
    state = await windowed(cp)
    state.memory.append(note(1))
    if place.api == "async":
        with pytest.raises(NotLoaded, match=r"await memory\.load\("):
            await cp.overwrite(SESSION, state)
        await state.memory.load()
    await cp.overwrite(SESSION, state)
    state.memory.append(note(2))
    await cp.save(SESSION, state)
    assert stored(place) == [*notes(COUNT), note(1), note(2)]


async def test_a_save_with_a_parent_needs_all_of_it(place: Place, cp: Cp) -> None:
    restored = await cp.restore(SESSION, window=5)
    state = copy.deepcopy(restored.state)
    state.memory.append(note(1))
    if place.api == "async":
        with pytest.raises(NotLoaded, match=r"await memory\.load\("):
            await cp.save(SESSION, state, parent=restored.snapshot)
        await state.memory.load()
    await cp.save(SESSION, state, parent=restored.snapshot)
    assert stored(place) == [*notes(COUNT), note(1)]


# --- answers that are lost -----------------------------------------------------------------------


def unreliable(place: Place) -> tuple[Cp, Unreliable]:
    """A replica whose line to the store can be made bad."""
    store = Unreliable(place._store())
    if place.api == "async":
        opened = checkpoint.open_async(ThreadedStore(store), Notes)
    else:
        opened = cast("AsyncCheckpointer[Notes]", AsAsync(checkpoint.open(store, Notes)))
    place._opened.append(opened)
    return opened, store


CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda items: None,
    "what was inserted is deleted": lambda items: items.__delitem__(slice(100, 103)),
    "and what is around it": lambda items: items.__delitem__(slice(90, 120)),
    "more is inserted": lambda items: items.insert(101, note(-9)),
    "before it": lambda items: items.insert(0, note(-9)),
    "it is trimmed": lambda items: items.__delitem__(slice(None, 150)),
    "it is cleared": lambda items: items.clear(),
    "it is looked at": lambda items: items[-4].tags.append("seen"),
}


@pytest.mark.parametrize("becomes", [DONE, NOT_DONE])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_state_that_went_on_while_its_save_was_unclear_is_saved_as_it_is(
    place: Place, change: Callable[[Any], object], becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pass_on(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", lambda seconds: None)
    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)
    prepared(place)
    cp, store = unreliable(place)
    state, expected = await windowed(cp), notes(COUNT)
    for items in (state.memory, expected):
        items[100:100] = notes(500, 503)
    unclear = copy.deepcopy(expected)
    store.commits.extend([becomes] * 9)
    store.reads.extend([FAILS] * 9)
    with pytest.raises(SaveUnclear):
        await cp.save(SESSION, state)
    store.commits.clear()
    store.reads.clear()
    change(state.memory)
    change(expected)
    saved = await cp.save(SESSION, state)
    assert stored(place) == expected
    assert saved.revision == (2 if expected == unclear else 3)
    assert place.rival(Notes).restore(SESSION, revision=2).state.memory == unclear
    await state.memory.load()
    assert state.memory == expected


@pytest.mark.parametrize("api", ["async"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_memory_that_is_changed_while_it_is_being_saved_is_saved_the_next_time(
    place: Place, cp: Cp, change: Callable[[Any], object]
) -> None:
    state, expected = await windowed(cp), notes(COUNT)
    for items in (state.memory, expected):
        items[100:100] = notes(500, 503)
    first = copy.deepcopy(expected)
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def meanwhile() -> None:
        change(state.memory)
        done.set()

    place.before_commit.append(lambda: loop.call_soon_threadsafe(meanwhile))
    saving = asyncio.ensure_future(cp.save(SESSION, state))
    await done.wait()
    await saving
    change(expected)
    assert stored(place) == first
    await cp.save(SESSION, state)
    assert stored(place) == expected
