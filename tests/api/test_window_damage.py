"""Pages that are missing or were changed: told where they are needed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from checkpoint import CheckpointError, Damaged, Memory, StateTooLarge
from checkpoint._ids import SessionKey
from checkpoint.store import Page, Store

from .apis import Place
from .windows import (
    COUNT,
    SESSION,
    Cp,
    Notes,
    layout,
    note,
    notes,
    prepared,
    small_pages,
    stored,
    windowed,
)

pytestmark = pytest.mark.promise("checked-restores")

KEY = SessionKey("default", SESSION)
OTHER = SessionKey("default", "other")


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_pages():
        yield


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """The store past every checkpointer."""
    store = place._store()
    yield store
    if place.url != "memory://":
        store.close()


@pytest.fixture
def cp(place: Place) -> Cp:
    place.rival(Notes).save("other", Notes(memory=Memory(notes(COUNT))))
    return prepared(place)


def put(store: Store, key: SessionKey, id: bytes, data: bytes) -> None:
    """Change a page behind everybody's back."""
    store.drop_pages(key, [id])
    store.put_pages(key, [Page(id, data, 1)])


def of_another_session(store: Store, id: bytes) -> bytes:
    listed = store.list_pages(OTHER)
    place = [page.id for page in store.list_pages(KEY)].index(id)
    return store.pages(OTHER, [listed[place].id])[listed[place].id]


def of_another_place(store: Store, id: bytes) -> bytes:
    other = next(page.id for page in store.list_pages(KEY) if page.id != id)
    return store.pages(KEY, [other])[other]


HARMS: dict[str, Callable[[Store, bytes, bytes], bytes | None]] = {
    "missing": lambda store, page, data: None,
    "empty": lambda store, page, data: b"",
    "cut short": lambda store, page, data: data[:-1],
    "longer": lambda store, page, data: data + b"\0",
    "flipped at the start": lambda store, page, data: bytes((data[0] ^ 1,)) + data[1:],
    "flipped at the end": lambda store, page, data: data[:-1] + bytes((data[-1] ^ 1,)),
    "of another session": lambda store, page, data: of_another_session(store, page),
    "of another place": lambda store, page, data: of_another_place(store, page),
}


def harm(store: Store, id: bytes, how: str) -> bytes:
    """Do something to a page; what it was."""
    data = store.pages(KEY, [id])[id]
    made = HARMS[how](store, id, data)
    store.drop_pages(KEY, [id])
    if made is not None:
        put(store, KEY, id, made)
    return data


@pytest.mark.parametrize("how", HARMS)
async def test_a_page_that_is_not_what_it_was_is_told_where_it_is_needed_and_nowhere_else(
    place: Place, cp: Cp, store: Store, how: str
) -> None:
    await cp.overwrite(SESSION, Notes(memory=Memory(notes(3))))
    await cp.rollback(SESSION, 1)
    place.rival(Notes).fork(SESSION, "fork")
    replica = place.open(Notes)
    (page,) = layout(place).refs(180, 181)[-1:]
    whole = harm(store, page.id, how)
    for session_id, which in ((SESSION, None), (SESSION, 1), ("fork", None)):
        with pytest.raises(Damaged, match=page.id.hex()) as caught:
            await replica.restore(session_id, revision=which)
        assert caught.value.session_id == session_id
        assert caught.value.namespace == "default"
        assert caught.value.revision == which or which is None
    assert len((await replica.restore(SESSION, revision=2)).state.memory) == 3
    assert (await replica.restore("other")).state.memory == notes(COUNT)

    state = await windowed(replica, 2)
    with pytest.raises(Damaged, match=page.id.hex()) as caught:
        await state.memory.load(180, 181)
    assert caught.value.session_id == SESSION
    await state.memory.load(0, 30)
    assert state.memory[:30] == notes(30)
    state.memory.append(note(1))
    await replica.save(SESSION, state)
    async with replica.turn(SESSION, window=2) as turn:
        turn.state.memory.append(note(2))
    with pytest.raises(Damaged):
        await replica.restore(SESSION)
    put(store, KEY, page.id, whole)
    assert (await replica.restore(SESSION)).state.memory == [*notes(COUNT), note(1), note(2)]


@pytest.mark.parametrize("how", HARMS)
async def test_a_page_that_others_are_compressed_against_is_the_one_that_is_told(
    place: Place, cp: Cp, store: Store, how: str
) -> None:
    anchored = next(ref for ref in layout(place).refs(0, COUNT) if ref.anchor is not None)
    assert anchored.anchor is not None
    harm(store, anchored.anchor.id, how)
    with pytest.raises(Damaged, match=anchored.anchor.id.hex()):
        await cp.restore(SESSION)
    assert (await windowed(cp, 2)).memory[-1] == note(COUNT - 1)


@pytest.mark.parametrize("how", ["missing", "flipped at the end"])
@pytest.mark.parametrize("cache_bytes", [0, 10**6])
@pytest.mark.parametrize("anew", [False, True], ids=["one state", "anew"])
async def test_new_pages_do_without_one_that_is_damaged_and_the_session_goes_on(
    place: Place, store: Store, how: str, cache_bytes: int, anew: bool
) -> None:
    with small_pages(patches=2):
        cp = prepared(place, cache_bytes=cache_bytes)
        ids = {ref.id for ref in layout(place).refs(0, COUNT)}
        kept = {id: harm(store, id, how) for id in ids}
        state = await windowed(cp, 1)
        for n in range(60):
            if anew:
                state = await windowed(cp, 1)
            state.memory.append(note(n))
            await cp.save(SESSION, state)
        with pytest.raises(Damaged, match="page"):
            await state.memory.load(0, 1)
        with pytest.raises(Damaged, match="page"):
            await cp.restore(SESSION)
        for id, data in kept.items():
            put(store, KEY, id, data)
        await state.memory.load()
        assert state.memory == [*notes(COUNT), *notes(60)]
        assert (await cp.restore(SESSION)).state.memory == [*notes(COUNT), *notes(60)]


async def test_a_replica_with_a_low_limit_goes_on_in_a_window_and_tells_what_is_too_much(
    place: Place,
) -> None:
    with small_pages(patches=2):
        prepared(place)
        cp = place.open(Notes, max_bytes=300)
        for n in range(60):
            async with cp.turn(SESSION, window=1) as turn:
                turn.state.memory.append(note(n))
        state = await windowed(cp, 1)
        with pytest.raises(StateTooLarge, match="max_bytes"):
            await state.memory.load(0, 1)
        with pytest.raises(StateTooLarge, match="max_bytes"):
            await cp.restore(SESSION)
        assert stored(place) == [*notes(COUNT), *notes(60)]


async def test_every_page_of_a_session_is_needed_by_the_whole_of_it(
    place: Place, cp: Cp, store: Store
) -> None:
    """No page is there that could be damaged and nobody would notice."""
    for page in store.list_pages(KEY):
        whole = harm(store, page.id, "flipped at the end")
        with pytest.raises(CheckpointError, match=page.id.hex()):
            await place.open(Notes).restore(SESSION)
        put(store, KEY, page.id, whole)
    assert (await cp.restore(SESSION)).state.memory == notes(COUNT)
