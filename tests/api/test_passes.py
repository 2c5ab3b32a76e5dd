"""How often the whole document is encoded and decoded in a turn, counted."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack
import pytest
from pydantic import BaseModel

from checkpoint import AgentState, Memory

from .apis import Place

pytestmark = pytest.mark.promise("cost-of-turn")

SESSION = "user-42"
TEXT = "some hundred bytes of text " * 4


class Passes(NamedTuple):
    """By the size of each, in bytes, what was encoded and decoded in one go."""

    encoded: list[int]
    decoded: list[int]

    def whole(self, size: int) -> tuple[int, int]:
        """How often most of a document of this size was encoded, and decoded."""
        return sum(n > size / 2 for n in self.encoded), sum(n > size / 2 for n in self.decoded)

    def clear(self) -> None:
        self.encoded.clear()
        self.decoded.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    found = Passes([], [])
    unpack = msgpack.unpackb

    class Packer(msgpack.Packer):  # type: ignore[misc]
        def pack(self, value: Any) -> bytes:
            data: bytes = super().pack(value)
            found.encoded.append(len(data))
            return data

    def counted(data: bytes, **options: Any) -> Any:
        found.decoded.append(len(data))
        return unpack(data, **options)

    monkeypatch.setattr("checkpoint._document.codec.msgpack.Packer", Packer)
    monkeypatch.setattr("checkpoint._document.codec.msgpack.unpackb", counted)
    return found


class Item(BaseModel):
    text: str


class Listed(AgentState, schema="listed", version=1):
    memory: list[Item] = []  # type: ignore[assignment]


class Remembered(AgentState, schema="remembered", version=1):
    memory: Memory[Item] = Memory()


def append(state: Any) -> None:
    items = state["memory"] if isinstance(state, dict) else state.memory
    items.append({"text": TEXT} if isinstance(state, dict) else Item(text=TEXT))


def edit(state: Any) -> None:
    items = state["memory"] if isinstance(state, dict) else state.memory
    if isinstance(state, dict):
        items[3]["text"] = f"edited {len(items)}"
    else:
        items[3].text = f"edited {len(items)}"
    append(state)


def read(state: Any) -> None:
    assert state


@pytest.mark.parametrize(
    ("touch", "encodes", "decodes"), [(append, 2, 1), (edit, 2, 1), (read, 2, 1)]
)
async def test_a_turn_of_a_dict_encodes_it_twice_and_decodes_it_once(
    place: Place, passes: Passes, touch: Any, encodes: int, decodes: int
) -> None:
    place.rival().save(SESSION, {"memory": [{"text": TEXT}] * 500, "n": 0})
    cp = place.open()
    for _ in range(3):
        passes.clear()
        async with cp.turn(SESSION) as turn:
            touch(turn.state)
    assert passes.whole(500 * len(TEXT)) == (encodes, decodes)


@pytest.mark.parametrize("touch", [append, edit, read])
async def test_a_turn_of_a_list_encodes_it_twice_and_decodes_it_twice(
    place: Place, passes: Passes, touch: Any
) -> None:
    place.rival(Listed).save(SESSION, Listed(memory=[Item(text=TEXT)] * 500))
    cp = place.open(Listed)
    for _ in range(3):
        passes.clear()
        async with cp.turn(SESSION) as turn:
            touch(turn.state)
    assert passes.whole(500 * len(TEXT)) == (2, 2)


@pytest.mark.parametrize("touch", [append, edit, read])
@pytest.mark.parametrize("count", [10, 1000])
async def test_a_turn_of_a_memory_encodes_and_decodes_what_it_touches(
    place: Place, passes: Passes, touch: Any, count: int
) -> None:
    memory = Memory([Item(text=TEXT)] * count)
    place.rival(Remembered).save(SESSION, Remembered(memory=memory))
    cp = place.open(Remembered)
    for _ in range(3):
        passes.clear()
        async with cp.turn(SESSION) as turn:
            touch(turn.state)
    assert sum(passes.encoded) + sum(passes.decoded) < 25 * len(TEXT)
