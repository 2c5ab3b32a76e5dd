"""``Memory`` is a list in all that it does, held against a list step by step."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import BaseModel, TypeAdapter, ValidationError

from checkpoint import AgentState, Memory

from ..effort import examples

ITEMS = st.integers(0, 3) | st.sampled_from(["a", 1.0, True, (1,), None])
LISTS = st.lists(ITEMS, max_size=6)
INDEXES = st.integers(-8, 8)
BOUNDS = st.none() | INDEXES
SLICES = st.builds(slice, BOUNDS, BOUNDS, st.none() | st.integers(-3, 3).filter(bool))
Step = Callable[[Any], Any]


def outcome(step: Step, subject: Any) -> Any:
    """What a step returns, or the kind of error it raises."""
    try:
        return step(subject)
    except Exception as exc:  # noqa: BLE001 - the kind of it is what is compared
        return type(exc)


class MemoryMachine(RuleBasedStateMachine):
    """The same steps on a memory and on a list have the same outcomes."""

    @initialize(items=LISTS)
    def begin(self, items: list[Any]) -> None:
        self.memory: Memory[Any] = Memory(items)
        self.list = list(items)

    def both(self, step: Step) -> None:
        mine, theirs = outcome(step, self.memory), outcome(step, self.list)
        assert mine == theirs
        assert type(mine) is type(theirs)

    @rule(item=ITEMS)
    def append(self, item: Any) -> None:
        self.both(lambda it: it.append(item))

    @rule(items=LISTS, how=st.sampled_from([list, tuple, iter, set, Memory]))
    def extend(self, items: list[Any], how: Callable[[Any], Any]) -> None:
        self.both(lambda it: it.extend(how(items)))

    @rule()
    def extend_with_itself(self) -> None:
        if len(self.list) < 50:
            self.both(lambda it: it.extend(it))

    @rule(index=INDEXES, item=ITEMS)
    def insert(self, index: int, item: Any) -> None:
        self.both(lambda it: it.insert(index, item))

    @rule(index=INDEXES)
    def pop(self, index: int) -> None:
        self.both(lambda it: it.pop(index))

    @rule()
    def pop_the_last(self) -> None:
        self.both(lambda it: it.pop())

    @rule(item=ITEMS)
    def remove(self, item: Any) -> None:
        self.both(lambda it: it.remove(item))

    @rule()
    def reverse(self) -> None:
        self.both(lambda it: it.reverse())

    @rule(reverse=st.booleans())
    def sort(self, reverse: bool) -> None:
        self.both(lambda it: it.sort(key=repr, reverse=reverse))

    @rule()
    def sort_what_may_have_no_order(self) -> None:
        self.both(lambda it: it.sort())

    @rule()
    def clear(self) -> None:
        self.both(lambda it: it.clear())

    @rule(index=INDEXES | SLICES)
    def get(self, index: Any) -> None:
        self.both(lambda it: it[index])

    @rule(index=INDEXES, item=ITEMS)
    def set(self, index: int, item: Any) -> None:
        self.both(lambda it: operator.setitem(it, index, item))

    @rule(where=SLICES, items=LISTS)
    def set_slice(self, where: slice, items: list[Any]) -> None:
        self.both(lambda it: operator.setitem(it, where, items))

    @rule(where=SLICES)
    def set_slice_to_itself(self, where: slice) -> None:
        if len(self.list) < 50:
            self.both(lambda it: operator.setitem(it, where, it))

    @rule(index=INDEXES | SLICES)
    def delete(self, index: Any) -> None:
        self.both(lambda it: operator.delitem(it, index))

    @rule(item=ITEMS, start=BOUNDS, stop=BOUNDS)
    def find(self, item: Any, start: int | None, stop: int | None) -> None:
        between = [bound for bound in (start or 0, stop) if bound is not None]
        self.both(lambda it: it.index(item, *between))
        self.both(lambda it: (item in it, it.count(item)))

    @rule(items=LISTS)
    def add(self, items: list[Any]) -> None:
        self.both(lambda it: it + items)
        self.both(lambda it: items + it)
        self.both(lambda it: [*it, *items])

    @rule(items=LISTS)
    def add_in_place(self, items: list[Any]) -> None:
        if len(self.list) < 50:
            before = self.memory
            self.memory += items
            self.list += items
            assert self.memory is before

    @rule(items=LISTS)
    def compare(self, items: list[Any]) -> None:
        for compare in (operator.eq, operator.ne):
            for other in (items, Memory(items), tuple(items), None):
                plain = list(other) if isinstance(other, Memory) else other
                assert compare(self.memory, other) == compare(self.list, plain)
                assert compare(other, self.memory) == compare(plain, self.list)

    @rule(extra=ITEMS)
    def copies_are_their_own(self, extra: Any) -> None:
        pickled = pickle.loads(pickle.dumps(self.memory))
        for other in (copy.copy(self.memory), copy.deepcopy(self.memory), pickled):
            assert type(other) is Memory
            assert other == self.list
            other.append(extra)
            assert self.memory == self.list
        self.both(lambda it: it.copy())

    @invariant()
    def they_are_the_same(self) -> None:
        assert list(self.memory) == self.list
        assert [type(item) for item in self.memory] == [type(item) for item in self.list]
        assert list(reversed(self.memory)) == self.list[::-1]
        assert (len(self.memory), bool(self.memory)) == (len(self.list), bool(self.list))
        assert repr(self.memory) == f"Memory({self.list!r})"


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = examples(60)


def test_a_memory_is_a_mutable_sequence_and_cannot_be_hashed() -> None:
    memory = Memory([1])
    assert isinstance(memory, MutableSequence)
    assert isinstance(memory, Sequence)
    with pytest.raises(TypeError, match="unhashable"):
        hash(memory)


def test_a_memory_matches_the_pattern_of_a_sequence() -> None:
    match Memory([1, 2, 3]):
        case [first, *rest]:
            assert (first, rest) == (1, [2, 3])
        case _:
            pytest.fail("it is no sequence")


def test_a_change_while_iterating_is_what_it_is_for_a_list() -> None:
    memory = Memory([1, 2, 3])
    for item in memory:
        if item == 1:
            memory.append(4)
    assert memory == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [-1, 0, 1, 3])
def test_a_memory_is_repeated_as_a_list_is(count: int) -> None:
    memory: Any = Memory([1, "a"])
    assert memory * count == count * memory == [1, "a"] * count
    memory *= count
    assert list(memory) == [1, "a"] * count


@pytest.mark.parametrize("order", [operator.lt, operator.le, operator.gt, operator.ge])
def test_a_memory_is_ordered_as_a_list_is(order: Callable[[Any, Any], bool]) -> None:
    for one in ([], [1], [1, 2], [2]):
        for other in ([], [1], [1, 2], [2]):
            assert order(Memory(one), other) == order(one, other)
            assert order(one, Memory(other)) == order(one, other)
            assert order(Memory(one), Memory(other)) == order(one, other)


# --- as a field ----------------------------------------------------------------------------------


class Message(BaseModel):
    role: str
    content: str = ""


class Chat(BaseModel):
    memory: Memory[Message] = Memory()
    numbers: Memory[int] = Memory()
    anything: Memory[Any] = Memory()
    bare: Memory = Memory()  # type: ignore[type-arg]
    nested: list[Memory[int]] | None = None


def test_items_are_validated_when_the_model_is() -> None:
    items: Any = [{"role": "user"}, Message(role="assistant")]
    chat = Chat(memory=items)
    assert type(chat.memory) is Memory
    assert chat.memory == [Message(role="user"), Message(role="assistant")]
    with pytest.raises(ValidationError) as caught:
        Chat(memory=Memory([Message(role="a"), {"role": 1}]))  # type: ignore[list-item]
    assert caught.value.errors()[0]["loc"] == ("memory", 1, "role")


@pytest.mark.parametrize("items", [[1, 2], (1, 2), Memory([1, 2]), iter([1, 2]), ["1", 2]])
def test_a_memory_is_made_of_what_a_list_is_made_of(items: Any) -> None:
    assert Chat(numbers=items).numbers == [1, 2]


@pytest.mark.parametrize("items", [1, "12", None, {"a": 1}, Memory(["x"]), [None]])
def test_what_is_no_list_is_refused(items: Any) -> None:
    with pytest.raises(ValidationError):
        Chat(numbers=items)


def test_the_model_has_a_memory_of_its_own() -> None:
    given = Memory([1])
    chat, other = Chat(numbers=given), Chat()
    chat.numbers.append(2)
    chat.anything.append(3)
    assert given == [1]
    assert Chat().anything == other.anything == []


def test_a_memory_dumps_as_a_list() -> None:
    chat = Chat(memory=Memory([Message(role="user")]), numbers=Memory([1]), nested=[Memory([2])])
    dumped = chat.model_dump()
    assert dumped["memory"] == [{"role": "user", "content": ""}]
    for name in ("memory", "numbers", "bare"):
        assert type(dumped[name]) is list
    assert dumped["nested"] == [[2]]
    text = chat.model_dump_json()
    assert '"memory":[{"role":"user","content":""}],"numbers":[1]' in text
    assert Chat.model_validate_json(text) == chat
    assert Chat.model_validate(dumped) == chat


def test_a_memory_dumps_without_what_is_left_out_of_its_items() -> None:
    chat = Chat(memory=Memory([Message(role="user")]))
    assert chat.model_dump(include={"memory"}, exclude_defaults=True) == {
        "memory": [{"role": "user"}]
    }
    assert chat.model_dump(include={"memory": {0: {"role"}}}) == {"memory": [{"role": "user"}]}


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_memory_has_the_json_schema_of_a_list(mode: Any) -> None:
    schema = TypeAdapter(Memory[int]).json_schema(mode=mode)
    assert schema == TypeAdapter(list[int]).json_schema(mode=mode)


def test_models_with_memories_compare_copy_and_pickle() -> None:
    chat = Chat(numbers=Memory([1]))
    assert chat == Chat(numbers=Memory([1])) != Chat()
    for duplicate in (copy.deepcopy(chat), pickle.loads(pickle.dumps(chat))):
        duplicate.numbers.append(2)
        assert chat.numbers == [1]


def test_an_agent_state_takes_a_list_for_its_memory_at_any_time() -> None:
    class Notes(AgentState):
        memory: Memory[int] = []  # type: ignore[assignment]

    notes = Notes()
    assert type(notes.memory) is Memory
    notes.memory = [1, 2]  # type: ignore[assignment]
    assert type(notes.memory) is Memory
    notes.memory += [3]
    assert notes.memory == [1, 2, 3]
    with pytest.raises(ValidationError):
        notes.memory = ["x"]  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        Notes(unknown=1)  # type: ignore[call-arg]
    assert Notes().memory == []
