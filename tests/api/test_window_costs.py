"""What a window costs, counted in calls, pages and bytes: that of what it shows, however long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from checkpoint import AgentState, Memory

from .apis import Place
from .windows import (
    COUNT,
    SESSION,
    Notes,
    layout,
    note,
    notes,
    prepared,
    small_pages,
    stored,
    windowed,
)

pytestmark = pytest.mark.promise("cost-of-turn")


def sent(place: Place) -> tuple[int, int]:
    """Bytes of the records, and bytes of the pages, that were written."""
    records = [call.args[1].record for call in place.traffic if call.name == "commit"]
    pages = [page for call in place.traffic if call.name == "put_pages" for page in call.args[1]]
    return sum(len(r.header) + len(r.body) for r in records), sum(len(page.data) for page in pages)


@pytest.fixture
def _small() -> Iterator[None]:
    with small_pages():
        yield


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("window", [1, 5, 20, 40, 100, 199])
async def test_a_window_reads_no_page_that_it_does_not_show(place: Place, window: int) -> None:
    cp = prepared(place)
    needed = {ref.id for ref in layout(place).refs(COUNT - window, COUNT)}
    assert bool(needed) == (window > 10)
    memory = (await windowed(cp, window)).memory
    assert memory[-window:] == notes(COUNT - window, COUNT)
    asked = place.asked_for()
    assert set(asked) == needed
    assert len(asked) == len(needed)
    assert place.calls == (["read", "pages"] if needed else ["read"])


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("bounds", [(0, 1), (50, 51), (60, 90), (0, COUNT), (-11, -9)])
async def test_loading_asks_once_for_the_pages_of_what_is_asked_for(
    place: Place, bounds: tuple[int, int]
) -> None:
    cp = prepared(place)
    memory = (await windowed(cp)).memory
    start, stop = (bound % (COUNT + 1) if bound < 0 else bound for bound in bounds)
    needed = {ref.id for ref in layout(place).refs(start, stop)}
    place.forget()
    for _ in range(2):
        await memory.load(*bounds)
        assert len(memory[start:stop]) == stop - start
    assert set(place.asked_for()) == needed
    assert len(place.asked_for()) == len(needed)
    assert place.calls == (["pages"] if needed else [])
    await memory.load()
    assert len(place.asked_for()) == len({ref.id for ref in layout(place).refs(0, COUNT)})


@pytest.mark.usefixtures("_small")
async def test_a_whole_restore_is_one_read_and_one_for_all_pages(place: Place) -> None:
    cp = prepared(place)
    assert (await cp.restore(SESSION)).state.memory == notes(COUNT)
    assert place.calls == ["read", "pages"]
    assert set(place.asked_for()) == {ref.id for ref in layout(place).refs(0, COUNT)}


@pytest.mark.parametrize("count", [100, 20_000])
async def test_a_turn_in_a_window_costs_the_same_calls_however_long_the_session_is(
    place: Place, count: int
) -> None:
    place.rival(Notes).save(SESSION, Notes(memory=Memory(notes(count))))
    cp = place.open(Notes)
    async with cp.turn(SESSION, window=20) as turn:
        turn.state.memory.append(note(1))
        turn.state.memory[-3].tags.append("seen")
    assert place.calls == ["read", "commit"]


async def test_a_turn_in_a_window_writes_the_same_bytes_however_long_the_session_is(
    place: Place,
) -> None:
    written: dict[int, list[int]] = {}
    for count in (100, 2000, 20_000):
        session_id = f"{count}"
        place.rival(Notes).save(session_id, Notes(memory=Memory(notes(count))))
        cp = place.open(Notes, cache_bytes=0)
        for n in range(10):
            place.forget()
            async with cp.turn(session_id, window=20) as turn:
                turn.state.memory.append(note(10**6 + n))
                turn.state.memory[-3].tags.append(f"seen {n}")
                if n % 2:
                    del turn.state.memory[0]
            assert place.calls == ["read", "commit"], "no page is loaded, and none is written"
            written.setdefault(count, []).append(sent(place)[0])
    for count in (2000, 20_000):
        for mine, least in zip(written[count], written[100], strict=True):
            assert abs(mine - least) < 40, "some numbers are longer"


@pytest.mark.slow
async def test_a_new_segment_is_as_small_however_long_the_session_is(place: Place) -> None:
    """What a save writes when its turn has come for a base: the end of the list, no old page."""
    bases = {}
    for count in (2000, 20_000):
        session_id = f"{count}"
        place.rival(Notes).save(session_id, Notes(memory=Memory(notes(count))))
        cp = place.open(Notes, cache_bytes=0)
        with small_pages(size=128 * 1024, patches=0):
            place.forget()
            async with cp.turn(session_id, window=20) as turn:
                turn.state.memory.append(note(1))
        assert place.calls == ["read", "commit"]
        bases[count], pages = sent(place)
        assert pages == 0
    assert bases[20_000] < bases[2000] + 40_000


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("patches", [0, 3, None])
async def test_a_long_session_of_turns_writes_each_page_once(
    place: Place, patches: int | None
) -> None:
    with small_pages(patches=patches):
        cp = prepared(place)
        before = {ref.id for ref in layout(place).refs(0, COUNT)}
        place.forget()
        for n in range(60):
            async with cp.turn(SESSION, window=1) as turn:
                turn.state.memory.append(note(n))
        after = {ref.id for ref in layout(place).refs(0, COUNT + 60)}
        assert before <= after, "no page was written anew"
        written = [p.id for c in place.traffic if c.name == "put_pages" for p in c.args[1]]
        assert after - before <= set(written)
        assert len(written) == len(after - before), "no page was written in vain"
        anchors = set(place.asked_for())
        assert len(anchors) <= 1 + len(written) / 4, "what new pages are compressed against"
        assert stored(place) == [*notes(COUNT), *notes(60)]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("patches", [0, None])
async def test_an_edit_of_one_old_item_writes_no_other_page(
    place: Place, patches: int | None
) -> None:
    cp = prepared(place)
    pages = {ref.id for ref in layout(place).refs(0, COUNT)}
    with small_pages(patches=patches):
        expected = notes(COUNT)
        changes: list[Any] = [
            lambda items: items[100].tags.append("seen"),
            lambda items: items.__delitem__(50),
            lambda items: items.insert(20, note(7)),
        ]
        for change in changes:
            state = await windowed(cp)
            await state.memory.load(100, 101)
            place.forget()
            change(state.memory)
            change(expected)
            await cp.save(SESSION, state)
            assert set(place.calls) == {"commit"}, "no page was loaded or written"
            assert stored(place) == expected
    assert {ref.id for ref in layout(place).refs(0, COUNT)} <= pages


built: list[str] = []


class Counted(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def _count(cls, text: str) -> str:
        built.append(text)
        return text


class Counting(AgentState, schema="counting", version=1):
    memory: Memory[Counted] = Memory()


async def test_what_is_in_the_window_is_validated_once_and_only_what_is_new_is_proved(
    place: Place,
) -> None:
    whole = Counting(memory=Memory(Counted(text=f"note {n}") for n in range(5000)))
    place.rival(Counting).save(SESSION, whole)
    cp = place.open(Counting)
    built.clear()
    async with cp.turn(SESSION, window=5) as turn:
        assert built == [f"note {n}" for n in range(4995, 5000)]
        turn.state.memory.append(Counted(text="more"))
        built.clear()
    assert built == ["more"], "as it will come back"
    built.clear()
    async with cp.turn(SESSION, window=5) as turn:
        assert built == []
        assert turn.state.memory[-2].text == "note 4999"
        assert built == ["note 4999"], "what is touched"
    assert built == ["note 4999"], "it was not changed"
    async with cp.turn(SESSION, window=5) as turn:
        turn.state.memory[-2].text = "edited"
        built.clear()
    assert built == ["edited"], "as it will come back"
