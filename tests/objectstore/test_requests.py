"""What a turn asks of a driver: each call is a trip to the place, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory, Retention
from checkpoint_objectstore._sync.store import ObjectStore
from tests.objectstore.in_memory import InMemoryObjects

pytestmark = pytest.mark.promise("cost-of-turn")


class Agent(AgentState, schema="agent", version=1):
    memory: Memory[str] = Memory()
    cursors: dict[str, int] = {}


class Counted:
    """Objects, and what was asked of them: the name of a call, and how many keys it had."""

    def __init__(self, objects: InMemoryObjects) -> None:
        self._objects = objects
        self.calls: list[tuple[str, int]] = []
        self.received = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._objects, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            single = isinstance(arguments[0], str)
            self.calls.append((name, 1 if single else len(arguments[0])))
            answer = call(*arguments, **named)
            if name == "get" and answer:
                self.received += len(answer.data)
            return answer

        return counted

    def close(self) -> None:
        pass

    def taken(self) -> list[tuple[str, int]]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def place() -> InMemoryObjects:
    return InMemoryObjects()


def opened(place: InMemoryObjects, **options: Any) -> tuple[Checkpointer[Agent], Counted]:
    """A process that has just started."""
    counted = Counted(place)
    return checkpoint.open(ObjectStore(counted), Agent, **options), counted


def say(cp: Checkpointer[Agent], *said: str, **options: Any) -> None:
    with cp.turn("user-42", **options) as turn:
        turn.state.memory.extend(said)


def test_the_first_session_of_a_place_tries_its_conditions_once(place: InMemoryObjects) -> None:
    cp, counted = opened(place)
    say(cp, "hi")
    assert counted.taken() == [
        ("get", 1),
        ("get", 1),
        *[("create", 1), ("create", 1), ("replace", 1), ("replace", 1), ("replace", 1)],
        ("create", 1),
    ]
    cp, counted = opened(place)
    cp.save("user-43", Agent(memory=Memory(["hi"])))
    cp.save("user-44", Agent(memory=Memory(["hi"])))
    assert counted.taken() == [("get", 1), ("get", 1), ("create", 1), ("get", 1), ("create", 1)]


def test_a_turn_in_a_fresh_process_is_one_read_and_one_write(place: InMemoryObjects) -> None:
    say(opened(place)[0], "hi")
    cp, counted = opened(place)
    say(cp, "hello")
    assert counted.taken() == [("get", 1), ("replace", 1)]


def test_a_turn_where_the_session_was_served_last_reads_no_data(place: InMemoryObjects) -> None:
    cp, counted = opened(place)
    say(cp, "hi")
    counted.taken()
    counted.received = 0
    say(cp, "hello")
    assert counted.taken() == [("get", 1), ("replace", 1)]
    assert cp.restore("user-42").state.memory == ["hi", "hello"]
    assert counted.taken() == [("get", 1)]
    assert counted.received == 0


def test_saving_again_reads_nothing(place: InMemoryObjects) -> None:
    cp, counted = opened(place)
    state = Agent(memory=Memory(["hi"]))
    cp.save("user-42", state)
    counted.taken()
    for _ in range(3):
        state.memory.append("hi")
        cp.save("user-42", state)
    assert counted.taken() == [("replace", 1)] * 3


@pytest.mark.parametrize("window", [50, 5000])
def test_a_window_of_a_long_session_takes_two_trips(place: InMemoryObjects, window: int) -> None:
    cp, counted = opened(place)
    memory = Memory([f"message {number} of this session, {number}" for number in range(100_000)])
    cp.save("user-42", Agent(memory=memory))
    (written,) = (size for name, size in counted.taken() if name == "put_many")
    assert written > 20, "its pages, all at once"
    cp, counted = opened(place)
    restored = cp.restore("user-42", window=window)
    assert len(restored.state.memory) == 100_000
    read, *pages = counted.taken()
    assert read == ("get", 1)
    for name, size in pages:
        assert (name, len(pages)) == ("get_many", 1)
        assert size <= 4, "those that the window is in, and what they are compressed against"
    assert window == 50 or pages
    say(cp, "more", window=window)
    assert [name for name, _ in counted.taken()] == ["get", "replace"]


def test_an_old_revision_takes_two_trips(place: InMemoryObjects) -> None:
    cp, counted = opened(place)
    for number in range(300):
        say(cp, f"message {number}")
    cp, counted = opened(place)
    assert len(cp.restore("user-42", revision=7).state.memory) == 7
    assert counted.taken() == [("get", 1), ("get_many", 1)]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [None, Retention(keep_last=100)], ids=["all", "the last 100"])
def test_a_thousand_turns_write_little_more_than_a_thousand_objects(
    place: InMemoryObjects, rule: Retention | None
) -> None:
    cp, counted = opened(place, retention=rule)
    for number in range(1000):
        say(cp, f"the user says {number}", f"and the agent answers {number}")
    calls = counted.taken()
    written = sum(size for name, size in calls if name in ("create", "replace", "put_many"))
    assert 1000 <= written <= 1100
    if rule is None:
        assert len([name for name, _ in calls if name == "get"]) <= 1004
    else:
        assert len(calls) <= 3 * 1000
        assert len(place.kept) < 12
