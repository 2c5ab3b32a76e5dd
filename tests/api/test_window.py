"""A memory restored with ``window=`` is the whole list, and is loaded as it is needed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from checkpoint import AgentState, InvalidOption, Memory, NotLoaded

from .apis import Place
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


# --- the whole list ------------------------------------------------------------------------------


async def test_the_end_is_there_and_the_length_and_nothing_was_asked_for_them(
    place: Place, cp: Cp
) -> None:
    memory = (await windowed(cp)).memory
    assert len(memory) == COUNT
    assert memory
    assert memory[-1] == memory[COUNT - 1] == note(COUNT - 1)
    assert memory[-5:] == notes(COUNT - 5, COUNT)
    assert repr(memory) == f"<Memory of {COUNT} items, 5 of them loaded>"
    assert place.calls == ["read"]


@pytest.mark.parametrize("window", [COUNT, COUNT + 1, 10**9])
async def test_a_window_as_long_as_the_list_leaves_nothing_out(cp: Cp, window: int) -> None:
    assert (await windowed(cp, window)).memory == notes(COUNT)


async def test_a_session_that_is_not_there_is_begun_in_a_window_too(place: Place, cp: Cp) -> None:
    async with cp.turn("new", window=5) as turn:
        turn.state.memory.extend(notes(20))
    assert stored(place, "new") == notes(20)


async def test_any_revision_is_restored_in_a_window(place: Place, cp: Cp) -> None:
    for n in range(30):
        async with cp.turn(SESSION, window=2) as turn:
            turn.state.memory.append(note(n))
    for revision in (1, 7, 31):
        memory = (await windowed(cp, 3, revision=revision)).memory
        await memory.load()
        assert memory == [*notes(COUNT), *notes(revision - 1)]


@pytest.mark.parametrize("period", [1, 2, 7, 60])
async def test_a_memory_that_says_the_same_over_and_over_comes_back(
    place: Place, period: int
) -> None:
    """Some of its pages are the same, and are compressed against others that are the same."""
    said = [f"{n} {'.' * 90}" for n in range(period)] * (2000 // period)

    class Said(AgentState, schema="said", version=1):
        memory: Memory[str] = Memory()

    place.rival(Said).save(SESSION, Said(memory=Memory(said)))
    cp = place.open(Said, cache_bytes=0)
    assert (await cp.restore(SESSION)).state.memory == said
    memory = (await cp.restore(SESSION, window=3)).state.memory
    for start in (1900, 700, 0):
        await memory.load(start, start + 50)
        assert memory[start : start + 50] == said[start : start + 50]
    async with cp.turn(SESSION, window=3) as turn:
        turn.state.memory.extend(said)
    assert (await cp.restore(SESSION)).state.memory == said * 2


class Deep(AgentState, schema="deep", version=1):
    class Talk(BaseModel):
        said: Memory[str] = Memory()
        title: str = ""

    talk: Talk = Talk()
    memory: Memory[Note] = Memory()
    maybe: Memory[int] | None = None


async def test_each_memory_has_its_window_wherever_it_is(place: Place) -> None:
    said = [f"line {n}" for n in range(COUNT)]
    whole = Deep(talk=Deep.Talk(said=Memory(said)), memory=Memory(notes(COUNT)))
    place.rival(Deep).save(SESSION, whole)
    place.rival(Deep).save("other", Deep(maybe=Memory(range(COUNT))))
    cp = place.open(Deep)
    state = (await cp.restore(SESSION, window=5)).state
    assert "5 of them loaded" in repr(state.talk.said)
    assert "5 of them loaded" in repr(state.memory)
    assert state.maybe is None
    state.talk.said.append("more")
    del state.memory[0]
    await cp.save(SESSION, state)
    assert place.asked_for() == []
    found = place.rival(Deep).restore(SESSION).state
    assert found.talk.said == [*said, "more"]
    assert found.memory == notes(1, COUNT)
    other = (await cp.restore("other", window=5)).state
    assert other.maybe is not None
    assert "5 of them loaded" in repr(other.maybe)


class Bot:
    """A live agent that takes its memory as it is."""

    def __init__(self, memory: Memory[Note]) -> None:
        self.memory = memory


async def test_an_agent_that_hands_its_memory_on_loads_nothing(place: Place, cp: Cp) -> None:
    bots = place.open(
        Notes, capture=lambda bot: Notes(memory=bot.memory), build=lambda state: Bot(state.memory)
    )
    place.forget()
    async with bots.turn(SESSION, window=5) as turn:
        turn.agent.memory.append(note(1))
    assert place.calls == ["read", "commit"]
    assert stored(place) == [*notes(COUNT), note(1)]


# --- what asynchronous code must ask for ---------------------------------------------------------

TOUCHES: dict[str, Callable[[Memory[Note]], object]] = {
    "an item": lambda memory: memory[3],
    "an item from the end": lambda memory: memory[-COUNT],
    "a slice": lambda memory: memory[100:110],
    "a slice with steps": lambda memory: memory[::7],
    "iterating": list,
    "looking for an item": lambda memory: note(3) in memory,
    "the index of one": lambda memory: memory.index(note(3)),
    "counting": lambda memory: memory.count(note(3)),
    "comparing": lambda memory: memory == notes(COUNT),
    "adding": lambda memory: memory + [],  # noqa: RUF005 - it is what is tested
    "taking one out": lambda memory: memory.pop(0),
    "removing one": lambda memory: memory.remove(note(3)),
    "reversing": lambda memory: memory.reverse(),
    "sorting": lambda memory: memory.sort(key=lambda item: item.n),
    "a list of it": lambda memory: memory.copy(),
    "setting with steps": lambda memory: memory.__setitem__(slice(0, 4, 2), notes(2)),
    "deleting with steps": lambda memory: memory.__delitem__(slice(0, 4, 2)),
    "setting to what is made of it": lambda memory: memory.__setitem__(
        slice(0, 1), (item for item in memory)
    ),
}


@pytest.mark.parametrize("api", ["async"])
@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
async def test_asynchronous_code_is_told_what_to_await_before_it_touches_what_is_not_loaded(
    place: Place, cp: Cp, touch: Callable[[Memory[Note]], object]
) -> None:
    state = await windowed(cp)
    with pytest.raises(NotLoaded, match=r"await memory\.load\(") as caught:
        touch(state.memory)
    assert caught.value.session_id == SESSION
    assert "5 of them loaded" in repr(state.memory), "nothing was changed"
    advice = re.search(r"await memory\.load\((\d+), (\d+)\)", str(caught.value))
    assert advice is not None
    await state.memory.load(*map(int, advice.groups()))
    expected = Memory(notes(COUNT))
    assert touch(state.memory) == touch(expected)
    await state.memory.load()
    assert state.memory == expected


@pytest.mark.parametrize("api", ["async"])
async def test_a_dump_of_what_is_not_loaded_says_what_to_await(cp: Cp) -> None:
    state = await windowed(cp)
    with pytest.raises(PydanticSerializationError, match=r"await memory\.load\("):
        state.model_dump()
    await state.memory.load()
    assert [item["n"] for item in state.model_dump()["memory"]] == list(range(COUNT))


@pytest.mark.parametrize("api", ["sync"])
@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
async def test_blocking_code_gets_what_is_not_loaded_when_it_touches_it(
    place: Place, cp: Cp, touch: Callable[[Memory[Note]], object]
) -> None:
    memory, expected = (await windowed(cp)).memory, Memory(notes(COUNT))
    assert touch(memory) == touch(expected)
    assert memory == expected
    asked = place.asked_for()
    assert len(asked) == len(set(asked)), "no page is asked for twice"


UNTOUCHED: dict[str, Callable[[Any], object]] = {
    "appending": lambda items: items.append(note(1)),
    "extending": lambda items: items.extend(notes(3)),
    "inserting": lambda items: items.insert(7, note(1)),
    "replacing": lambda items: items.__setitem__(7, note(1)),
    "replacing several": lambda items: items.__setitem__(slice(7, 100), notes(2)),
    "deleting": lambda items: items.__delitem__(7),
    "deleting several": lambda items: items.__delitem__(slice(7, 100)),
    "trimming": lambda items: items.__delitem__(slice(None, -5)),
    "clearing": lambda items: items.clear(),
    "taking the last": lambda items: items.pop(),
    "editing the last": lambda items: items[-1].tags.append("seen"),
    "looking for what is loaded": lambda items: note(COUNT - 2) in items,
    "a copy": copy.copy,
    "a deep copy": copy.deepcopy,
    "the truth of it": bool,
    "other lengths": lambda items: (items == notes(3), items == []),
}


@pytest.mark.parametrize("change", UNTOUCHED.values(), ids=UNTOUCHED)
async def test_what_needs_no_item_loads_none_and_neither_does_saving_it(
    place: Place, cp: Cp, change: Callable[[Any], object]
) -> None:
    state, expected = await windowed(cp), notes(COUNT)
    place.forget()
    change(state.memory)
    change(expected)
    await cp.save(SESSION, state)
    assert place.calls in (["commit"], [])
    assert stored(place) == expected


async def test_the_end_of_the_list_is_there_beyond_the_window_too(place: Place, cp: Cp) -> None:
    """It is in the record that was read, and becomes live items when it is looked at."""
    memory = (await windowed(cp)).memory
    assert memory[-6:-4] == notes(COUNT - 6, COUNT - 4)
    assert place.calls == ["read"]
    assert "5 of them loaded" not in repr(memory)


async def test_loading_is_free_where_all_is_there(place: Place, cp: Cp) -> None:
    state = (await cp.restore(SESSION)).state
    place.forget()
    await state.memory.load()
    await Memory(notes(3)).load(1, 2)
    assert place.calls == []


@pytest.mark.parametrize(
    ("bounds", "loaded"),
    [((), range(COUNT)), ((10, 20), range(10, 20)), ((-30,), range(170, 200)), ((9, 4), range(0))],
    ids=str,
)
async def test_what_is_asked_for_is_loaded(
    place: Place, cp: Cp, bounds: tuple[int, ...], loaded: range
) -> None:
    memory = (await windowed(cp)).memory
    await memory.load(*bounds)
    there = len({*loaded, *range(COUNT - 5, COUNT)})
    assert (
        repr(memory).startswith("Memory(") if there == COUNT else f"{there} of them" in repr(memory)
    )
    place.forget()
    assert all(memory[index] == note(index) for index in loaded)
    assert place.calls == []


# --- what a window cannot be ---------------------------------------------------------------------


def never(state: Notes) -> None:
    pytest.fail("the turn began")


@pytest.mark.parametrize("window", [0, -1, True, False, "5", 2.0, [5]], ids=repr)
async def test_a_window_is_a_number_of_items(place: Place, cp: Cp, window: Any) -> None:
    async def in_a_turn() -> None:
        async with cp.turn(SESSION, window=window):
            pytest.fail("the turn began")

    for call in (
        cp.restore(SESSION, window=window),
        cp.run(SESSION, never, window=window),
        in_a_turn(),
    ):
        with pytest.raises(InvalidOption, match="window= is a number of items from 1 up"):
            await call
    assert place.calls == []


class Lists(AgentState, schema="lists", version=1):
    memory: list[str] = []  # type: ignore[assignment]
    seen: list[int] = []


async def test_a_window_needs_a_field_that_can_have_one(place: Place) -> None:
    with pytest.raises(InvalidOption, match=r"needs a field annotated Memory"):
        await place.open().restore(SESSION, window=5)
    with pytest.raises(InvalidOption, match=r"memory, seen is annotated list|memory, seen"):
        await place.open(Lists).restore(SESSION, window=5)
    assert place.calls == []


# --- where a memory may end up -------------------------------------------------------------------


async def test_a_memory_moved_to_another_session_is_there_whole(place: Place, cp: Cp) -> None:
    state = await windowed(cp)
    other = Notes(memory=state.memory)
    if place.api == "async":
        with pytest.raises(NotLoaded, match=r"await memory\.load\("):
            await cp.save("other", other)
        await other.memory.load()
    await cp.save("other", other)
    other.memory.append(note(1))
    await cp.save("other", other)
    state.memory.append(note(2))
    await cp.save(SESSION, state)
    assert stored(place) == [*notes(COUNT), note(2)]
    assert stored(place, "other") == [*notes(COUNT), note(1)]


async def test_a_state_saved_to_two_sessions_is_whole_in_both(place: Place, cp: Cp) -> None:
    state = await windowed(cp)
    await state.memory.load()
    await cp.save("other", state)
    for n in range(3):
        state.memory[n].text = "edited"
        await cp.save(SESSION, state)
        await cp.save("other", state)
    assert stored(place) == stored(place, "other") == list(state.memory)


async def test_a_memory_in_another_state_of_the_same_turn_loads_nothing(
    place: Place, cp: Cp
) -> None:
    place.forget()
    async with cp.turn(SESSION, window=5) as turn:
        turn.state = Notes(memory=turn.state.memory, cursors={"seen": 1})
        turn.state.memory.append(note(1))
    async with cp.turn(SESSION, window=5) as turn:
        turn.state = turn.state.model_copy(update={"cursors": {"seen": 2}}, deep=True)
        turn.state.memory.append(note(2))
    assert place.calls == ["read", "commit"] * 2
    assert stored(place) == [*notes(COUNT), note(1), note(2)]


async def test_two_memories_that_change_places_are_saved_as_they_are(place: Place) -> None:
    class Two(AgentState, schema="two", version=1):
        memory: Memory[Note] = Memory()
        old: Memory[Note] = Memory()

    place.rival(Two).save(SESSION, Two(memory=Memory(notes(COUNT)), old=Memory(notes(90))))
    cp = place.open(Two)
    state = (await cp.restore(SESSION, window=5)).state
    state.memory, state.old = state.old, state.memory
    if place.api == "async":
        with pytest.raises(NotLoaded):
            await cp.save(SESSION, state)
        await state.memory.load()
        await state.old.load()
    await cp.save(SESSION, state)
    found = place.rival(Two).restore(SESSION).state
    assert found.memory == notes(90)
    assert found.old == notes(COUNT)
