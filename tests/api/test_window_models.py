"""Windows on models with a mind of their own, on items that do not fit, and at their limits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from pydantic import (
    BaseModel,
    SerializationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from checkpoint import (
    AgentState,
    Conflict,
    InvalidState,
    Memory,
    NotLoaded,
    RevisionPruned,
    StateTooLarge,
)

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


async def test_a_model_whose_validator_looks_at_the_memory_gets_it(place: Place) -> None:
    seen: list[tuple[int, int]] = []

    class Checked(AgentState, schema="checked", version=1):
        memory: Memory[Note] = Memory()

        @model_validator(mode="after")
        def _looks(self) -> Checked:
            if self.memory:
                seen.append((len(self.memory), self.memory[-1].n))
            return self

    place.rival(Checked).save(SESSION, Checked(memory=Memory(notes(COUNT))))
    cp = place.open(Checked)
    seen.clear()
    async with cp.turn(SESSION, window=5) as turn:
        assert seen == [(COUNT, COUNT - 1)]
        turn.state.memory.append(note(7))
    assert seen[-1] == (COUNT + 1, 7), "the proof of what is saved builds it too"
    assert place.asked_for() == []
    assert place.rival(Checked).restore(SESSION).state.memory == [*notes(COUNT), note(7)]


async def test_a_model_whose_validator_reads_it_all_loads_it_all(place: Place) -> None:
    class Summed(AgentState, schema="summed", version=1):
        memory: Memory[Note] = Memory()

        @model_validator(mode="after")
        def _reads(self) -> Summed:
            assert sum(item.n for item in self.memory) >= 0
            return self

    place.rival(Summed).save(SESSION, Summed(memory=Memory(notes(COUNT))))
    cp = place.open(Summed)
    if place.api == "async":
        with pytest.raises(NotLoaded):
            await cp.restore(SESSION, window=5)
        assert (await cp.restore(SESSION)).state.memory == notes(COUNT)
        return
    async with cp.turn(SESSION, window=5) as turn:
        turn.state.memory.append(note(7))
    assert place.rival(Summed).restore(SESSION).state.memory == [*notes(COUNT), note(7)]


async def test_a_serializer_that_looks_at_its_context_finds_no_surprise(place: Place) -> None:
    class Careful(AgentState, schema="careful", version=1):
        memory: Memory[Note] = Memory()
        name: str = "me"

        @field_serializer("name")
        def _redacted(self, name: str, info: SerializationInfo) -> str:
            return "***" if (info.context or {}).get("redact") else name

    cp = place.open(Careful)
    async with cp.turn(SESSION) as turn:
        turn.state.memory.append(note(1))
    restored = await cp.restore(SESSION, window=1)
    assert restored.state.name == "me"
    assert restored.state.model_dump(context={"redact": True})["name"] == "***"


async def test_a_field_that_is_new_in_the_model_needs_no_more_to_be_loaded(place: Place) -> None:
    class Newer(AgentState, schema="notes", version=1):
        memory: Memory[Note] = Memory()
        extra: list[int] = []

    prepared(place)
    cp = place.open(Newer)
    async with cp.turn(SESSION, window=5) as turn:
        turn.state.memory.insert(0, note(-1))
        turn.state.extra.append(1)
    async with cp.turn(SESSION, window=5) as turn:
        turn.state.memory.append(note(1))
    assert place.asked_for() == []
    state = place.rival(Newer).restore(SESSION).state
    assert (state.memory == [note(-1), *notes(COUNT), note(1)], state.extra) == (True, [1])


strict = False


class Picky(BaseModel):
    """An item whose validation is not what it was when it was saved."""

    text: str
    at: dt.datetime | None = None

    @field_validator("text")
    @classmethod
    def _no_seventeen(cls, text: str) -> str:
        if strict and text == "note 17 ":
            raise ValueError("not this one")
        return text


class Strict(AgentState, schema="strict", version=1):
    memory: Memory[Picky] = Memory()


async def test_an_item_that_does_not_fit_the_model_is_told_by_its_place_when_it_is_loaded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Picky(text=f"note {n} ") for n in range(COUNT)]
    place.rival(Strict).save(SESSION, Strict(memory=Memory(items)))
    monkeypatch.setitem(globals(), "strict", True)
    cp = place.open(Strict)
    state = (await cp.restore(SESSION, window=5)).state
    del state.memory[2:4]  # it is told by the place that it has now
    with pytest.raises(InvalidState, match="not this one") as caught:
        await state.memory.load(15, 16)
    assert caught.value.path == "memory[15].text"
    assert (caught.value.session_id, caught.value.revision) == (SESSION, 1)
    await state.memory.load(100, 120)
    state.memory.append(Picky(text="more"))
    await cp.save(SESSION, state)
    with pytest.raises(InvalidState, match="not this one") as caught:
        await cp.restore(SESSION)
    assert caught.value.path == "memory[15].text"


async def test_an_item_of_a_time_zone_that_is_not_known_here_is_told_when_it_is_loaded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu"))
    items = [Picky(text=f"note {n} ", at=at if n == 17 else None) for n in range(COUNT)]
    place.rival(Strict).save(SESSION, Strict(memory=Memory(items)))
    state = (await place.open(Strict).restore(SESSION, window=5)).state

    def unknown(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("checkpoint._document.codec.ZoneInfo", unknown)
    with pytest.raises(InvalidState, match="tzdata") as caught:
        await state.memory.load()
    assert (caught.value.session_id, caught.value.revision) == (SESSION, 1)


# --- limits, and what was removed ----------------------------------------------------------------


async def test_the_limit_of_a_windowed_state_is_one_for_what_is_loaded(place: Place) -> None:
    prepared(place)
    cp = place.open(Notes, max_bytes=3000)
    with pytest.raises(StateTooLarge, match="window="):
        await cp.restore(SESSION)
    async with cp.turn(SESSION, window=5) as turn:
        turn.state.memory.append(note(1))
    state = await windowed(cp)
    with pytest.raises(StateTooLarge):
        await state.memory.load()
    state.memory.extend(Note(n=n, text="x" * 100) for n in range(40))
    with pytest.raises(StateTooLarge, match="nothing was written"):
        await cp.save(SESSION, state)
    assert stored(place) == [*notes(COUNT), note(1)]


async def test_what_was_removed_with_its_session_is_told_as_that(place: Place, cp: Cp) -> None:
    state = await windowed(cp)
    assert place.rival(Notes).delete(SESSION)
    with pytest.raises(RevisionPruned, match="restore the session again") as caught:
        await state.memory.load()
    assert caught.value.session_id == SESSION
    assert state.memory[-1] == note(COUNT - 1)
    state.memory.append(note(1))
    with pytest.raises(Conflict):
        await cp.save(SESSION, state)
