"""Code that type checkers must accept, with the types they must find in it. It is never called."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from pydantic import BaseModel

import checkpoint
from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    AsyncTurn,
    Change,
    Checkpointer,
    Conflict,
    Memory,
    Restored,
    SchemaChanged,
    SchemaId,
    SessionInfo,
    Snapshot,
    Turn,
    Writer,
)
from checkpoint.store import AsyncStore, Store


class Message(BaseModel):
    role: str
    content: str


class Support(AgentState, schema="support", version=1):
    config: dict[str, str] = {}
    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


class Tutor(BaseModel):
    pupil: str = "Ada"


class Agent:
    def __init__(self, memory: list[str]) -> None:
        self.memory = memory


def capture(agent: Agent) -> Tutor:
    return Tutor(pupil=agent.memory[-1])


def build(state: Tutor) -> Agent:
    return Agent([state.pupil])


async def capture_slowly(agent: Agent) -> Tutor:
    return capture(agent)


async def build_slowly(state: Tutor) -> Agent:
    return build(state)


class TutorAdapter:
    def capture(self, agent: Agent) -> Tutor:
        return capture(agent)

    def build(self, state: Tutor) -> Agent:
        return build(state)


class AsyncTutorAdapter:
    async def capture(self, agent: Agent) -> Tutor:
        return capture(agent)

    async def build(self, state: Tutor) -> Agent:
        return build(state)


def opening(store: Store, async_store: AsyncStore) -> None:
    assert_type(checkpoint.open("memory://"), Checkpointer[dict[str, Any]])
    assert_type(checkpoint.open(store, namespace="a", replica="b"), Checkpointer[dict[str, Any]])
    assert_type(checkpoint.open("memory://", Support), Checkpointer[Support])
    assert_type(checkpoint.open("memory://", Tutor, schema="t", version=2), Checkpointer[Tutor])
    live = checkpoint.open("memory://", Tutor, capture=capture, build=build)
    assert_type(live, Checkpointer[Tutor, Agent])
    live = checkpoint.open("memory://", Tutor, capture=lambda agent: Tutor(), build=build)
    assert_type(live, Checkpointer[Tutor, Agent])
    adapted = checkpoint.open("memory://", Tutor, adapter=TutorAdapter(), namespace="a")
    assert_type(adapted, Checkpointer[Tutor, Agent])

    assert_type(checkpoint.open_async("memory://"), AsyncCheckpointer[dict[str, Any]])
    assert_type(checkpoint.open_async(async_store, Support), AsyncCheckpointer[Support])
    live_async = checkpoint.open_async("memory://", Tutor, capture=capture, build=build)
    assert_type(live_async, AsyncCheckpointer[Tutor, Agent])
    for_async = checkpoint.open_async("memory://", Tutor, adapter=TutorAdapter())
    assert_type(for_async, AsyncCheckpointer[Tutor, Agent])
    awaited = checkpoint.open_async("memory://", Tutor, adapter=AsyncTutorAdapter())
    assert_type(awaited, AsyncCheckpointer[Tutor, Agent])
    slow = checkpoint.open_async(
        "memory://", Tutor, capture=capture_slowly, build=build_slowly, max_bytes=1
    )
    assert_type(slow, AsyncCheckpointer[Tutor, Agent])
    assert_type(checkpoint.preload("memory://"), None)
    with checkpoint.open("memory://", Support) as cp:
        assert_type(cp, Checkpointer[Support])


def turning(cp: Checkpointer[Support]) -> None:
    with cp.turn("user-42", turn_id="message-1", new=Support) as turn:
        assert_type(turn, Turn[Support])
        assert_type(turn.state, Support)
        turn.state = Support()
        assert_type(turn.revision, int)
        assert_type(turn.replayed, bool)
        assert_type(turn.snapshot, Snapshot | None)
        assert_type(turn.session_id, str)
        assert_type(turn.turn_id, str | None)
        assert_type(turn.agent, Support)
    assert_type(turn.state.memory, Memory[Message])


def ask(agent: Agent) -> list[str]:
    return agent.memory


def turning_agents(cp: Checkpointer[Tutor, Agent]) -> None:
    with cp.turn("tutor-7", build=lambda state: Agent([state.pupil])) as turn:
        assert_type(turn, Turn[Tutor, Agent])
        assert_type(turn.agent, Agent)
    assert_type(cp.run("tutor-7", ask), list[str])
    restored = cp.restore("tutor-7")
    assert_type(restored, Restored[Tutor, Agent])
    assert_type(restored.agent, Agent)
    assert_type(restored.state, Tutor)
    assert_type(cp.save("tutor-7", restored.agent), Snapshot)


def always_returns(cp: Checkpointer[Support]) -> int:
    """A turn swallows no exception, so nothing is missing after it."""
    with cp.turn("user-42") as turn:
        return turn.revision


def answer(state: Support) -> list[str]:
    return [message.content for message in state.memory]


async def answer_slowly(state: Support) -> list[str]:
    return answer(state)


def running(cp: Checkpointer[Support]) -> None:
    assert_type(cp.run("user-42", answer), list[str])
    assert_type(cp.run("user-42", answer, turn_id="a", new=Support, timeout=1), list[str])
    assert_type(cp.run("user-42", lambda state: 3), int)


def saving(cp: Checkpointer[Support]) -> None:
    restored = cp.restore("user-42", revision="good")
    assert_type(restored, Restored[Support])
    assert_type(restored.state, Support)
    assert_type(restored.revision, int)
    assert_type(restored.snapshot, Snapshot)
    assert_type(cp.save("user-42", restored.state), Snapshot)
    assert_type(cp.save("user-42", Support(), parent=restored.snapshot, branch=True), Snapshot)
    assert_type(cp.overwrite("user-42", Support()), Snapshot)


def looking_back(cp: Checkpointer[Support]) -> None:
    assert_type(cp.history("user-42", limit=3, before=7), list[Snapshot])
    changes = cp.diff("user-42", 1, "good")
    assert_type(changes, list[Change])
    assert_type(cp.document("user-42", revision=1), Any)
    assert_type(cp.fork("user-42", "what-if", revision=1), Snapshot)
    assert_type(cp.rollback("user-42", "good"), Snapshot)
    assert_type(cp.label("user-42", "good", revision=1), Snapshot)
    assert_type(cp.unlabel("user-42", "good"), bool)
    assert_type(cp.delete("user-42"), bool)
    assert_type(cp.sessions("user"), Iterator[SessionInfo])
    for session in cp.sessions():
        assert_type(session.session_id, str)


def values(snapshot: Snapshot, conflict: Conflict, changed: SchemaChanged) -> None:
    assert_type(snapshot.saved_at, dt.datetime)
    assert_type(snapshot.writer, Writer)
    assert_type(snapshot.schema, SchemaId)
    assert_type(snapshot.source, tuple[str, int] | None)
    assert_type(snapshot.labels, tuple[str, ...])
    assert_type(conflict.current_revision, int | None)
    assert_type(conflict.writer, str | None)
    assert_type(conflict.path, str | None)
    assert_type(changed.changes, tuple[str, ...])


def remembering(state: Support) -> None:
    assert_type(state.memory[0], Message)
    assert_type(state.memory[-2:], list[Message])
    assert_type(state.memory + state.memory, list[Message])
    assert_type(state.memory.copy(), list[Message])
    assert_type(state.memory.pop(), Message)
    state.memory.append(Message(role="user", content="hi"))
    state.memory[0] = Message(role="user", content="hi")
    state.memory[1:] = [Message(role="user", content="hi")]
    state.memory.sort(key=lambda message: message.content)
    for message in state.memory:
        assert_type(message, Message)
    assert_type(Memory([1, 2]), Memory[int])


def plain_dicts(cp: Checkpointer[dict[str, Any]]) -> None:
    with cp.turn("user-42", new=lambda: {"n": 1}) as turn:
        assert_type(turn.state, dict[str, Any])
        turn.state["n"] = 2
        turn.state = {"n": 3}
    cp.save("user-42", {"n": 1})
    assert_type(cp.restore("user-42").state, dict[str, Any])


def live_agents(cp: Checkpointer[Any], agent: Agent) -> None:
    cp.save("user-42", agent)
    assert_type(cp.run("user-42", lambda live: [live]), list[Any])


async def asynchronous(cp: AsyncCheckpointer[Support]) -> None:
    async with checkpoint.open_async("memory://", Support) as opened:
        assert_type(opened, AsyncCheckpointer[Support])
    async with cp.turn("user-42", turn_id="message-1") as turn:
        assert_type(turn, AsyncTurn[Support])
        assert_type(turn.state, Support)
    restored = await cp.restore("user-42")
    assert_type(restored, Restored[Support])
    assert_type(await cp.save("user-42", restored.state), Snapshot)
    assert_type(await cp.history("user-42"), list[Snapshot])
    assert_type(await cp.diff("user-42", 1, 2), list[Change])
    assert_type(await cp.delete("user-42"), bool)
    assert_type(cp.sessions(), AsyncIterator[SessionInfo])
    async for session in cp.sessions():
        assert_type(session, SessionInfo)


async def running_asynchronously(cp: AsyncCheckpointer[Support]) -> None:
    assert_type(await cp.run("user-42", answer), list[str])
    assert_type(await cp.run("user-42", answer_slowly), list[str])
    assert_type(await cp.run("user-42", lambda state: 3), int)


async def always_returns_asynchronously(cp: AsyncCheckpointer[Support]) -> int:
    async with cp.turn("user-42") as turn:
        return turn.revision
