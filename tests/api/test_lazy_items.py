"""A turn pays for the items that it touches: no others are built, compared or encoded."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import gc
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from checkpoint import AgentState, InvalidState, Memory, NotSerializable

from .apis import Place
from .windows import small_pages

SESSION = "user-42"
COUNT = 100

built: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_built() -> Iterator[None]:
    built.clear()
    yield
    built.clear()


class Counted(BaseModel):
    """An item that says when it is built."""

    n: int
    text: str = ""

    @field_validator("n")
    @classmethod
    def _count(cls, n: int) -> int:
        built.append(n)
        return n


class Frozen(Counted):
    model_config = ConfigDict(frozen=True)


class Items(AgentState, schema="items", version=1):
    memory: Memory[Counted] = Memory()


class FrozenItems(AgentState, schema="items", version=1):
    memory: Memory[Frozen] = Memory()


def saved(place: Place, model: type[Any] = Items, count: int = COUNT) -> Any:
    """A checkpointer that has restored the session once."""
    kind = model.model_fields["memory"].annotation.__args__[0]
    memory = Memory([kind(n=n, text=f"note {n}") for n in range(count)])
    place.rival(model).save(SESSION, model(memory=memory))
    return place.open(model)


# --- what is built -------------------------------------------------------------------------------

TOUCHES: dict[str, tuple[Callable[[Memory[Any]], object], list[int]]] = {
    "nothing": (len, []),
    "an item": (lambda memory: memory[3].text, [3]),
    "an item twice": (lambda memory: (memory[3], memory[3]), [3]),
    "the last": (lambda memory: memory[-2:], [98, 99]),
    "every tenth": (lambda memory: [memory[at] for at in range(0, 40, 10)], [0, 10, 20, 30]),
    "all": (list, list(range(COUNT))),
    "what follows a deletion": (lambda memory: (memory.pop(0), memory[0]), [0, 1]),
    "appending": (lambda memory: memory.append(memory[0].model_copy(update={"n": 7})), [0]),
    "deleting": (lambda memory: memory.__delitem__(slice(10, 50)), []),
    "inserting": (lambda memory: memory.insert(50, memory[0]), [0]),
}


@pytest.mark.parametrize(("touch", "expected"), TOUCHES.values(), ids=TOUCHES)
async def test_what_is_touched_is_built_and_nothing_else(
    place: Place, touch: Callable[[Memory[Any]], object], expected: list[int]
) -> None:
    cp = saved(place)
    built.clear()
    state = (await cp.restore(SESSION)).state
    assert built == list(range(COUNT)), "each is validated once"
    state = (await cp.restore(SESSION)).state
    async with cp.turn(SESSION):
        pass
    assert built == list(range(COUNT)), "and not again"
    built.clear()
    touch(state.memory)
    assert built == expected


async def test_what_was_not_touched_is_not_proved_when_it_is_saved(place: Place) -> None:
    cp = saved(place)
    async with cp.turn(SESSION) as turn:
        turn.state.memory[7].text = "edited"
        turn.state.memory.append(Counted(n=1000))
        built.clear()
    assert built == [7, 1000]
    async with cp.turn(SESSION) as turn:
        assert turn.state.memory[7].text == "edited"
        assert turn.state.memory[-1] == Counted(n=1000)
    assert place.rival(Items).restore(SESSION).state.memory[7].text == "edited"


async def test_only_what_others_added_is_validated_by_a_replica_that_knows_the_rest(
    place: Place,
) -> None:
    cp = saved(place)
    await cp.restore(SESSION)
    rival = place.rival(Items)
    rival.run(SESSION, lambda state: state.memory.append(Counted(n=1000)))
    rival.run(SESSION, lambda state: state.memory.insert(5, Counted(n=1001)))
    built.clear()
    assert len((await cp.restore(SESSION)).state.memory) == COUNT + 2
    assert built == [1001, 1000]


async def test_a_replica_without_a_cache_validates_all_each_time(place: Place) -> None:
    saved(place)
    cp = place.open(Items, cache_bytes=0)
    for _ in range(2):
        built.clear()
        async with cp.turn(SESSION) as turn:
            assert built == list(range(len(turn.state.memory)))
            turn.state.memory.append(Counted(n=len(turn.state.memory)))
            built.clear()
        assert len(built) == 1


async def test_an_item_that_is_touched_and_not_changed_is_not_written(place: Place) -> None:
    cp = saved(place)
    async with cp.turn(SESSION) as turn:
        assert [item.n for item in turn.state.memory] == list(range(COUNT))
    assert turn.revision == 1


async def test_a_change_inside_an_item_is_saved_by_a_state_that_is_held(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    item = state.memory[3]
    for n in range(3):
        item.text = f"edit {n}"
        await cp.save(SESSION, state)
        assert state.memory[3] is item
        assert place.rival(Items).restore(SESSION).state.memory[3].text == f"edit {n}"
    added = Counted(n=1000)
    state.memory.append(added)
    await cp.save(SESSION, state)
    del state.memory[0]
    added.text = "edited"
    await cp.save(SESSION, state)
    assert state.memory[-1] is added
    assert place.rival(Items).restore(SESSION).state.memory[-1].text == "edited"


async def test_a_value_that_would_not_come_back_is_refused_in_an_item_that_was_touched(
    place: Place,
) -> None:
    cp = saved(place)
    with pytest.raises(NotSerializable) as caught:
        async with cp.turn(SESSION) as turn:
            turn.state.memory[7].text = 7  # it is not validated as it is assigned
    assert caught.value.path == "memory[7].text"


# --- items that cannot be changed ----------------------------------------------------------------


async def test_frozen_items_are_built_once_and_shared(place: Place) -> None:
    cp = saved(place, FrozenItems)
    first = (await cp.restore(SESSION)).state
    built.clear()
    second = (await cp.restore(SESSION)).state
    assert all(a is b for a, b in zip(first.memory, second.memory, strict=True))
    async with cp.turn(SESSION) as turn:
        assert turn.state.memory[3] is first.memory[3]
        turn.state.memory[5] = turn.state.memory[5].model_copy(update={"text": "edited"})
        turn.state.memory.append(Frozen(n=1000))
        built.clear()
    assert built == [5, 1000], "what is new is proved, and nothing else compared"
    assert first.memory[5].text == "note 5"
    built.clear()
    third = (await cp.restore(SESSION)).state
    assert third.memory[5].text == "edited"
    assert third.memory[-1].n == 1000
    assert third.memory[4] is first.memory[4]
    assert built == []


async def test_a_state_that_is_held_keeps_only_the_bytes_of_frozen_items(place: Place) -> None:
    cp = saved(place, FrozenItems)
    state = FrozenItems()
    for n in range(3):
        state.memory.append(Frozen(n=n))
        await cp.save("held", state)
        assert list(state.memory._lazy.live()) == []
        assert [item.n for item in state.memory] == list(range(n + 1))
    state = (await cp.restore(SESSION)).state
    assert len(list(state.memory)) == COUNT
    assert list(state.memory._lazy.live()) == []


class WithList(BaseModel, frozen=True):
    n: int
    inside: list[int] = []


class WithPrivate(BaseModel, frozen=True):
    n: int
    _inside: list[int] = PrivateAttr(default_factory=list)

    @property
    def inside(self) -> list[int]:
        return self._inside


class WithCached(BaseModel, frozen=True):
    n: int

    @cached_property
    def inside(self) -> list[int]:
        return []


class WithExtra(BaseModel, frozen=True, extra="allow"):
    n: int
    inside: Any = ()


class WithMutable(BaseModel, frozen=True):
    class Inside(BaseModel):
        n: int = 0

    n: int
    inside: Inside = Inside()


class Thawed(BaseModel, frozen=True):
    n: int

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__[name] = value


class WithSlot(BaseModel, frozen=True):
    __slots__ = ("inside",)
    n: int


def change(item: Any) -> None:
    """Change an item in a way that its declaration leaves open."""
    if isinstance(item, WithMutable):
        item.inside.n += 1
    elif isinstance(item, WithExtra):
        assert item.__pydantic_extra__ is not None
        item.__pydantic_extra__["more"] = 1
    elif isinstance(item, Thawed):
        item.n += 1000  # type: ignore[misc]
    elif isinstance(item, WithSlot):
        object.__setattr__(item, "inside", [1])
    else:
        item.inside.append(1)


@pytest.mark.parametrize(
    "kind", [WithList, WithPrivate, WithCached, WithExtra, WithMutable, Thawed, WithSlot]
)
async def test_an_item_that_is_frozen_but_can_be_changed_is_not_shared(
    place: Place, kind: Any
) -> None:
    class Held(AgentState, schema="held", version=1):
        memory: Memory[kind] = Memory()

    place.rival(Held).save(SESSION, Held(memory=Memory([kind(n=n) for n in range(3)])))
    cp = place.open(Held)
    first = (await cp.restore(SESSION)).state
    second = (await cp.restore(SESSION)).state
    untouched = copy.deepcopy(second.memory[0])
    assert first.memory[0] is not second.memory[0]
    assert first.memory[0] is first.memory[0]
    change(first.memory[0])
    assert second.memory[0] == untouched
    is_state = kind in (WithList, WithExtra, WithMutable, Thawed)
    assert (await cp.save(SESSION, first)).revision == (2 if is_state else 1)
    if is_state:
        assert place.rival(Held).restore(SESSION).state.memory[0] == first.memory[0] != untouched


@pytest.mark.slow
async def test_shared_items_are_bounded_by_the_cache(place: Place) -> None:
    saved(place, FrozenItems, count=2000)
    cp = place.open(FrozenItems, cache_bytes=100_000)

    def alive() -> int:
        gc.collect()
        return sum(1 for each in gc.get_objects() if type(each) is Frozen)

    before = alive()
    for _ in range(3):
        state = (await cp.restore(SESSION)).state
        assert sum(1 for _ in state.memory) == 2000
        del state
        assert 0 < alive() - before < 100_000 / 600


async def test_threads_and_tasks_share_frozen_items_and_see_nothing_of_each_other(
    place: Place,
) -> None:
    cp = saved(place, FrozenItems)
    rival = place.rival(FrozenItems)

    async def take(number: int) -> list[int]:
        async with cp.turn(f"task {number % 4}") as turn:
            turn.state.memory.extend(Frozen(n=n) for n in range(number))
            await asyncio.sleep(0)
            found = [item.n for item in turn.state.memory]
            turn.state.memory.clear()
            return found

    def read(number: int) -> list[int]:
        state = rival.restore(SESSION).state
        del state.memory[:number]
        return [item.n for item in state.memory]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(read, range(COUNT))):
            assert found == list(range(number, COUNT))
    for number in range(8):
        assert (await take(number)) == list(range(number))


async def test_one_memory_is_read_by_many_threads(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: [id(item) for item in state.memory], range(32)))
        assert all(each == seen[0] for each in seen), "an item is built once"
        list(pool.map(lambda n: state.memory.append(Counted(n=n)), range(200)))
    assert sorted(item.n for item in state.memory[COUNT:]) == list(range(200))
    await cp.save(SESSION, state)
    assert len(place.rival(Items).restore(SESSION).state.memory) == COUNT + 200


# --- where a memory may end up -------------------------------------------------------------------


async def test_copies_of_a_memory_are_their_own(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    state.memory[3].text = "edited"
    deep, pickled = copy.deepcopy(state), pickle.loads(pickle.dumps(state))
    shallow = state.model_copy()
    assert shallow.memory is state.memory
    for other in (deep, pickled):
        assert other.memory == state.memory
        other.memory[3].text = "of the copy"
        other.memory[4].text = "of the copy"
    assert state.memory[3].text == "edited"
    assert state.memory[4].text == "note 4"
    await cp.save(SESSION, state)
    snapshot = (await cp.restore(SESSION)).snapshot
    await cp.save(SESSION, deep, parent=snapshot)
    assert place.rival(Items).restore(SESSION).state.memory == deep.memory


class Other(AgentState, schema="other", version=1):
    memory: Memory[int] = Memory()


async def test_a_memory_moved_to_a_field_of_other_items_is_validated_there(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    with pytest.raises(ValidationError):
        Other(memory=state.memory)
    assert Items(memory=state.memory).memory == state.memory


# --- models that look at items before they are built ---------------------------------------------


def as_list(value: Any) -> Any:
    assert isinstance(value, list), type(value)
    return [*value]


class BeforeInField(AgentState, schema="before", version=1):
    memory: Memory[Counted] = Memory()

    _check = field_validator("memory", mode="before")(as_list)


class BeforeInAnnotation(AgentState, schema="before", version=1):
    memory: Annotated[Memory[Counted], BeforeValidator(as_list)] = Memory()


class BeforeInModel(AgentState, schema="before", version=1):
    memory: Memory[Counted] = Memory()

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        return {name: as_list(value) if name == "memory" else value for name, value in data.items()}


class Inner(BaseModel):
    memory: Memory[Counted] = Memory()

    _check = field_validator("*", mode="before")(as_list)


@pytest.mark.parametrize("model", [BeforeInField, BeforeInAnnotation, BeforeInModel])
async def test_a_validator_that_comes_first_gets_a_list(place: Place, model: Any) -> None:
    place.rival(model).save(SESSION, model(memory=[Counted(n=n) for n in range(COUNT)]))
    cp = place.open(model)
    for n in range(3):
        async with cp.turn(SESSION) as turn:
            assert len(turn.state.memory) == COUNT + n
            turn.state.memory[n].text = "edited"
            turn.state.memory.append(Counted(n=n))
    state = place.rival(model).restore(SESSION).state
    assert [item.text for item in state.memory[:4]] == ["edited", "edited", "edited", ""]
    held = (await cp.restore(SESSION)).state
    for n in range(3):
        held.memory.append(Counted(n=n))
        await cp.save(SESSION, held)
    assert len(place.rival(model).restore(SESSION).state.memory) == COUNT + 6


async def test_such_a_validator_of_a_model_inside_gets_a_list_too(place: Place) -> None:
    class Outer(AgentState, schema="outer", version=1):
        inner: Inner | None = None

    place.rival(Outer).save(SESSION, Outer(inner=Inner.model_validate({"memory": [Counted(n=1)]})))
    cp = place.open(Outer)
    async with cp.turn(SESSION) as turn:
        assert turn.state.inner is not None
        turn.state.inner.memory.append(Counted(n=2))
    inner = place.rival(Outer).restore(SESSION).state.inner
    assert inner is not None
    assert [item.n for item in inner.memory] == [1, 2]


async def test_a_union_of_memories_is_built_by_the_arm_that_fits(place: Place) -> None:
    class Either(AgentState, schema="either", version=1):
        memory: Memory[int] | Memory[Counted] = Memory()

    place.rival(Either).save(SESSION, Either(memory=Memory([Counted(n=1)])))
    state = (await place.open(Either).restore(SESSION)).state
    assert state.memory == [Counted(n=1)]


async def test_a_memory_has_the_constraints_of_its_field(place: Place) -> None:
    class Short(AgentState, schema="short", version=1):
        memory: Annotated[Memory[Counted], Field(max_length=3)] = Memory()

    cp = place.open(Short)
    await cp.save(SESSION, Short(memory=Memory([Counted(n=n) for n in range(3)])))
    state = (await cp.restore(SESSION)).state
    state.memory.append(Counted(n=3))
    with pytest.raises(NotSerializable, match="refuse it on restore"):
        await cp.save(SESSION, state)
    assert len((await cp.restore(SESSION)).state.memory) == 3


# --- what a fresh pair of eyes found -------------------------------------------------------------


class Aliased(BaseModel):
    role: str = Field("user", alias="Role")


class Aliases(BaseModel):
    memory: Memory[Aliased] = Memory()


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
async def test_stored_items_are_read_by_their_names_wherever_their_memory_goes(
    place: Place, cache_bytes: int
) -> None:
    cp = place.open(Aliases, cache_bytes=cache_bytes)
    held = Aliases(memory=Memory([Aliased(Role="assistant")] * 3))
    await cp.save(SESSION, held)
    held.memory.reverse()
    held.memory.append(Aliased(Role="tool"))
    await cp.save(SESSION, held)
    moved = Aliases(memory=(await cp.restore(SESSION)).state.memory)
    await cp.save("other", moved)
    for session_id in (SESSION, "other"):
        memory = place.rival(Aliases).restore(session_id).state.memory
        assert [item.role for item in memory] == ["assistant"] * 3 + ["tool"]


async def test_a_state_is_read_by_threads_while_it_is_saved(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    expected = list(range(COUNT))
    done = False

    def read() -> None:
        while not done:
            for item in state.memory[:10]:
                assert item.n < COUNT or item.n >= 1000

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for n in range(20):
                del state.memory[0], expected[0]
                state.memory.insert(5, Counted(n=1000 + n))
                expected.insert(5, 1000 + n)
                await cp.save(SESSION, state)
        finally:
            done = True
        for reader in readers:
            reader.result()
    assert [item.n for item in state.memory] == expected
    found = place.rival(Items).restore(SESSION).state.memory
    assert [item.n for item in found] == expected


class OneKind(BaseModel, frozen=True):
    role: str


class OtherKind(BaseModel, frozen=True):
    role: str


class OneArm(BaseModel):
    kind: Literal["one"] = "one"
    memory: Memory[OneKind] = Memory()


class OtherArm(BaseModel):
    kind: Literal["other"] = "other"
    memory: Memory[OtherKind] = Memory()


class Arms(BaseModel):
    sub: OneArm | OtherArm = Field(OneArm(), discriminator="kind")


async def test_arms_of_a_union_do_not_share_items(place: Place) -> None:
    cp = place.open(Arms)
    await cp.save("one", Arms(sub=OneArm(memory=Memory([OneKind(role="x")]))))
    await cp.save("other", Arms(sub=OtherArm(memory=Memory([OtherKind(role="x")]))))
    for _ in range(2):
        for name, kind in (("one", OneKind), ("other", OtherKind)):
            assert type((await cp.restore(name)).state.sub.memory[0]) is kind


async def test_a_union_of_memories_keeps_the_types_of_its_items(place: Place) -> None:
    class Either(BaseModel):
        memory: Memory[int] | Memory[str] = Memory()

    cp = place.open(Either)
    await cp.save(SESSION, Either(memory=Memory(["1", "2"])))
    for reader in (cp, cp, place.open(Either)):
        assert (await reader.restore(SESSION)).state.memory == ["1", "2"]


async def test_a_field_that_is_new_in_items_is_stored_with_all_of_them(place: Place) -> None:
    class New(BaseModel):
        n: int
        text: str = ""
        lang: str = "en"

    class NewItems(AgentState, schema="items", version=1):
        memory: Memory[New] = Memory()

    saved(place)
    cp = place.open(NewItems)
    async with cp.turn(SESSION) as turn:
        assert turn.state.memory[0].lang == "en"
    assert turn.revision == 1, "nothing was changed"
    async with cp.turn(SESSION) as turn:
        turn.state.memory.append(New(n=1000))
    document = await cp.document(SESSION)
    assert {item["lang"] for item in document["memory"]} == {"en"}
    async with cp.turn(SESSION) as turn:
        assert turn.state.memory[0].lang == "en"
    assert turn.revision == 2


class Loose(BaseModel):
    value: Any = None


class Touching(BaseModel):
    memory: Memory[Loose] = Memory()
    n: int = 0

    @field_serializer("n")
    def _touch(self, n: int) -> int:
        return n if not self.memory or self.memory[0] else 0


async def test_what_is_touched_while_it_is_dumped_hides_nothing_that_comes_after(
    place: Place,
) -> None:
    class Color(Enum):
        RED = 1

    cp = place.open(Touching)
    await cp.save(SESSION, Touching(memory=Memory([Loose(value=1), Loose(value=2)])))
    state = (await cp.restore(SESSION)).state
    state.memory.append(Loose(value=Color.RED))
    with pytest.raises(NotSerializable) as caught:
        await cp.save(SESSION, state)
    assert caught.value.path == "memory[2].value"


@pytest.mark.parametrize("window", [None, 3])
async def test_a_model_with_a_validator_of_its_own_is_saved_in_a_window(
    place: Place, window: int | None
) -> None:
    class Passing(BaseModel):
        memory: Memory[str] = Memory()

        @model_validator(mode="before")
        @classmethod
        def _pass(cls, data: Any) -> Any:
            return data

    with small_pages():
        texts = [f"note {n}" for n in range(200)]
        place.rival(Passing).save(SESSION, Passing(memory=Memory(texts)))
        cp = place.open(Passing)
        place.forget()
        async with cp.turn(SESSION, window=window) as turn:
            turn.state.memory.append("more")
        assert ("pages" in place.calls) == (window is None)
        assert list(place.rival(Passing).restore(SESSION).state.memory) == [*texts, "more"]


class Renamed(BaseModel):
    memory: Memory[str] = Memory()

    @model_validator(mode="before")
    @classmethod
    def _back(cls, data: Any) -> Any:
        return {"memory": data["m"]} if isinstance(data, dict) and "m" in data else data

    @model_serializer(mode="wrap")
    def _there(self, dump: Any) -> dict[str, Any]:
        return {"m": dump(self)["memory"]}


async def test_a_memory_that_a_serializer_puts_elsewhere_is_saved_and_comes_back(
    place: Place,
) -> None:
    cp = place.open(Renamed)
    state = Renamed(memory=Memory(["x"]))
    await cp.save(SESSION, state)
    state.memory.append("y")
    assert (await cp.save(SESSION, state)).revision == 2
    async with cp.turn(SESSION) as turn:
        turn.state.memory.append("z")
    assert list((await cp.restore(SESSION)).state.memory) == ["x", "y", "z"]


EDITS: dict[str, Callable[[Any], object]] = {
    "replacing every second": lambda m: [m.__setitem__(n, m[n]) for n in range(0, len(m), 2)],
    "deleting every second": lambda m: [m.__delitem__(n) for n in range(len(m) - 1, 0, -2)],
    "inserting everywhere": lambda m: [m.insert(n, m[n]) for n in range(len(m) - 1, 0, -2)],
    "touching every second": lambda m: [m[n] for n in range(0, len(m), 2)],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_many_edits_leave_few_pieces_and_few_operations(
    place: Place, edit: Callable[[Any], object]
) -> None:
    cp = saved(place, count=2000)
    state = (await cp.restore(SESSION)).state
    edit(state.memory)
    for n in range(0, len(state.memory), 3):
        state.memory[n].text = "edited"
    expected = [(item.n, item.text) for item in state.memory]
    assert len(state.memory._lazy.pieces) <= 66
    await cp.save(SESSION, state)
    found = place.rival(Items).restore(SESSION).state.memory
    assert [(item.n, item.text) for item in found] == expected
    changes = await cp.diff(SESSION, 1, 2)
    assert len(changes) <= 2000
    state.memory.append(Counted(n=1))
    await cp.save(SESSION, state)
    assert len(place.rival(Items).restore(SESSION).state.memory) == len(expected) + 1


async def test_an_item_is_told_by_its_place_when_its_memory_is_assigned(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    state.memory.append("no item")
    with pytest.raises(ValidationError) as caught:
        state.memory = state.memory
    assert caught.value.errors()[0]["loc"][:2] == ("memory", COUNT)


# --- items that are touched and not changed ------------------------------------------------------


async def test_what_is_touched_and_not_changed_is_neither_encoded_nor_proved(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    for n in range(3):
        for item in state.memory:
            assert item.n >= 0
        state.memory[n].text = f"edit {n}"
        built.clear()
        await cp.save(SESSION, state)
        assert built == [n]
    assert [item.text for item in place.rival(Items).restore(SESSION).state.memory[:3]] == [
        "edit 0",
        "edit 1",
        "edit 2",
    ]


class Tallied(BaseModel):
    """An item that dumps what is private too."""

    n: int
    tally: int = 0
    _tally: list[int] = PrivateAttr(default_factory=list)

    @field_serializer("tally")
    def _sum(self, tally: int) -> int:
        return sum(self._tally, tally)


async def test_what_a_serializer_looks_at_is_seen_to_change(place: Place) -> None:
    class Tallies(AgentState, schema="tallies", version=1):
        memory: Memory[Tallied] = Memory()

    place.rival(Tallies).save(SESSION, Tallies(memory=Memory([Tallied(n=n) for n in range(3)])))
    cp = place.open(Tallies)
    state = (await cp.restore(SESSION)).state
    state.memory[1]._tally.append(5)
    with pytest.raises(NotSerializable) as caught:
        await cp.save(SESSION, state)
    assert caught.value.path == "memory[1].tally"


@pytest.mark.parametrize("value", [True, 1.0])
async def test_an_equal_value_of_another_type_is_seen(place: Place, value: Any) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    state.memory[1].n = value
    with pytest.raises(NotSerializable) as caught:
        await cp.save(SESSION, state)
    assert caught.value.path == "memory[1].n"


async def test_a_change_undone_before_the_save_writes_nothing(place: Place) -> None:
    cp = saved(place)
    async with cp.turn(SESSION) as turn:
        text = turn.state.memory[1].text
        turn.state.memory[1].text = "edited"
        turn.state.memory[1].text = "".join(text)
        turn.state.memory[2] = turn.state.memory[2].model_copy()
    assert turn.revision == 1


async def test_a_refused_save_forgets_no_change(place: Place) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    state.memory[1].text = "edited"
    state.memory[2].text = 7
    with pytest.raises(NotSerializable):
        await cp.save(SESSION, state)
    state.memory[2].text = "mended"
    await cp.save(SESSION, state)
    memory = place.rival(Items).restore(SESSION).state.memory
    assert [item.text for item in memory[1:3]] == ["edited", "mended"]


async def test_an_item_that_cannot_be_decoded_is_told_with_its_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timed(AgentState, schema="timed", version=1):
        memory: Memory[dt.datetime] = Memory()

    at = dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu"))
    place.rival(Timed).save(SESSION, Timed(memory=Memory([at])))

    def unknown(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("checkpoint._document.codec.ZoneInfo", unknown)
    with pytest.raises(InvalidState, match="tzdata") as caught:
        await place.open(Timed).restore(SESSION)
    assert (caught.value.session_id, caught.value.revision) == (SESSION, 1)
    assert caught.value.path == "memory"


async def test_what_is_left_of_a_page_is_validated_once(place: Place) -> None:
    with small_pages():
        cp = saved(place)
        rival = place.rival(Items)
        rival.run(SESSION, lambda state: state.memory.__delitem__(slice(10, 13)))
        for n in range(3):
            await cp.restore(SESSION)
            rival.run(SESSION, lambda state: state.memory.append(Counted(n=1000)))
            built.clear()
            await cp.restore(SESSION)
            assert built == ([1000] if n == 0 else []), "the same bytes are known"


async def test_a_validator_that_fails_when_an_item_is_touched_is_told_with_its_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cp = saved(place)
    state = (await cp.restore(SESSION)).state
    monkeypatch.setattr("tests.api.test_lazy_items.built", None)
    with pytest.raises(InvalidState, match="AttributeError") as caught:
        state.memory[3]
    assert (caught.value.session_id, caught.value.revision) == (SESSION, 1)
    assert caught.value.path == "memory"
