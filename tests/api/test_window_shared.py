"""Windowed memories saved again and again, in unions, seen by validators, loaded meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel, field_validator, model_validator

import checkpoint
from checkpoint import AgentState, Memory
from checkpoint._ids import SessionKey
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import Commit, Segment

KEY = SessionKey("default", "user-42")


def texts(count: int) -> Memory[str]:
    return Memory(f"{number}: " + "lorem ipsum dolor " * 60 for number in range(count))


class Notes(AgentState, schema="notes", version=1):
    memory: Memory[str] = Memory()


def test_a_look_at_older_items_after_a_base_was_saved_is_no_change() -> None:
    store = InMemoryStore()
    cp = checkpoint.open(store, Notes)
    cp.save("user-42", Notes(memory=texts(1000)))
    state = cp.restore("user-42", window=5).state
    while cp.history("user-42", limit=1)[0].kind != "base" or len(state.memory) == 1000:
        state.memory.extend(texts(100))
        newest = cp.save("user-42", state).revision
    pages = store.list_pages(KEY)
    assert len(list(state.memory)) == len(state.memory)
    assert cp.save("user-42", state).revision == newest
    assert store.list_pages(KEY) == pages


class Ours(BaseModel):
    kind: Literal["ours"] = "ours"
    log: Memory[str] = Memory()


class Theirs(BaseModel):
    kind: Literal["theirs"] = "theirs"
    log: Memory[str] = Memory()


class Either(AgentState, schema="either", version=1):
    part: Ours | Theirs = Ours()


def test_a_memory_in_each_arm_of_a_union_is_one_memory() -> None:
    cp = checkpoint.open("memory://", Either)
    cp.save("user-42", Either(part=Ours(log=texts(1000))))
    state = cp.restore("user-42", window=5).state
    del state.part.log[:10]
    cp.save("user-42", state)
    state.part.log.append("newest")
    cp.save("user-42", state)
    assert list(state.part.log) == [*texts(1000)[10:], "newest"]
    assert cp.restore("user-42").state == state


class Looking(AgentState, schema="looking", version=1):
    memory: Memory[str] = Memory()

    @model_validator(mode="after")
    def look(self) -> Looking:
        if len(self.memory) > 300:
            assert isinstance(self.memory[-300], str)
        return self


def test_a_validator_that_looks_at_other_items_than_the_window_is_no_difference() -> None:
    cp = checkpoint.open("memory://", Looking)
    cp.save("user-42", Looking(memory=texts(1000)))
    state = cp.restore("user-42", window=5).state
    del state.memory[-250:]
    cp.save("user-42", state)
    assert list(cp.restore("user-42").state.memory) == texts(750)


class Before(AgentState, schema="before", version=1):
    memory: Memory[str] = Memory()

    @field_validator("memory", mode="before")
    @classmethod
    def stripped(cls, value: Any) -> list[str]:
        return [str(item) for item in value]


def test_a_validator_before_that_of_a_memory_sees_its_items() -> None:
    cp = checkpoint.open("memory://", Before)
    cp.save("user-42", Before(memory=texts(100)))
    with cp.turn("user-42", window=5) as turn:
        turn.state.memory.append("newest")
    assert list(cp.restore("user-42").state.memory) == [*texts(100), "newest"]


class Slow(ThreadedStore):
    """Once it holds, the first pages that are asked for are not given before they are let go."""

    holds = False

    def hold(self) -> None:
        self.holds, self.asked, self.let_go = True, asyncio.Event(), asyncio.Event()

    async def pages(self, *args: Any) -> dict[bytes, bytes]:
        if self.holds and not self.asked.is_set():
            self.asked.set()
            await self.let_go.wait()
        return await super().pages(*args)


def test_items_that_load_while_the_state_is_saved_are_the_right_ones() -> None:
    async def main() -> str:
        store = Slow(InMemoryStore())
        cp = checkpoint.open_async(store, Notes, cache_bytes=0)
        await cp.save("user-42", Notes(memory=texts(1000)))
        state = (await cp.restore("user-42", window=5)).state
        del state.memory[:300]
        store.hold()
        loading = asyncio.create_task(state.memory.load(50, 60))
        await store.asked.wait()
        await cp.save("user-42", state)
        store.let_go.set()
        await loading
        return state.memory[50]

    assert asyncio.run(main()) == texts(1000)[350]


class Flaky(InMemoryStore):
    """Loses the answer to a commit, once, and is down until it is told to work again."""

    loses, is_down = False, False

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        done = super().commit(key, commit)
        if self.loses:
            self.is_down = True
            raise checkpoint.StoreUnavailable("the answer was lost")
        return done

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        if self.is_down:
            raise checkpoint.StoreUnavailable("down")
        return super().read(key, revision, since=since)


def test_a_plain_dict_saved_by_a_turn_without_an_answer_can_be_saved_again() -> None:
    store = Flaky()
    cp = checkpoint.open(store)
    cp.save("user-42", {"n": 1})
    store.loses = True
    with pytest.raises(checkpoint.SaveUnclear), cp.turn("user-42") as turn:
        turn.state = {"n": 2}
    store.loses = store.is_down = False
    assert cp.save("user-42", turn.state).revision == 2
