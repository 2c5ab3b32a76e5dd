"""Live agents: ``capture`` makes a state of one, ``build`` makes one of a state."""

# ruff: noqa: PT012 - what a turn raises, it raises when its whole block is left

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, Conflict, InvalidOption, NotSerializable

from .apis import Place
from .models import Support, heard, hears

Agents = AsyncCheckpointer[Any]


class Agent:
    """A live agent: it has a memory worth keeping, and tools that are none of a state's."""

    def __init__(self, memory: list[str]) -> None:
        self.memory = memory
        self.tools: dict[str, Callable[[str], str]] = {"shout": str.upper}

    def answer(self, text: str) -> str:
        self.memory.append(text)
        return self.tools["shout"](text)


def capture(agent: Agent) -> Support:
    state = Support()
    for text in agent.memory:
        hears(state, text)
    return state


def build(state: Support) -> Agent:
    return Agent(heard(state))


async def capture_slowly(agent: Agent) -> Support:
    await asyncio.sleep(0)
    return capture(agent)


async def build_slowly(state: Support) -> Agent:
    await asyncio.sleep(0)
    return build(state)


@pytest.fixture
def agents(place: Place) -> Agents:
    return place.open(Support, capture=capture, build=build)


# --- the agent in a turn, in run, in restore and save --------------------------------------------


async def test_a_turn_gives_the_live_agent_and_saves_what_became_of_it(
    place: Place, agents: Agents
) -> None:
    async with agents.turn("user-42") as turn:
        assert type(turn.agent) is Agent
        assert turn.agent.answer("hi") == "HI"
    assert turn.revision == 1
    others: Agents = place.open(Support, capture=capture, build=build)
    async with others.turn("user-42") as turn:
        assert turn.agent.memory == ["hi"]
        turn.agent.answer("and now?")
    assert heard((await place.open(Support).restore("user-42")).state) == ["hi", "and now?"]


async def test_an_agent_that_did_nothing_is_not_saved(place: Place, agents: Agents) -> None:
    await agents.run("user-42", lambda agent: agent.answer("hi"))
    place.calls.clear()
    for session in ("user-42", "a new one"):
        async with agents.turn(session):
            pass
    assert place.calls == ["read", "read"]


@pytest.mark.promise("no-trace")
async def test_a_turn_that_raises_leaves_no_trace_of_the_agent(agents: Agents) -> None:
    with pytest.raises(ZeroDivisionError):
        async with agents.turn("user-42") as turn:
            turn.agent.answer("lost")
            raise ZeroDivisionError
    async with agents.turn("user-42") as turn:
        assert turn.agent.memory == []


async def test_run_is_given_the_agent_and_a_fresh_one_after_a_conflict(
    place: Place, agents: Agents
) -> None:
    seen: list[Agent] = []

    def answer(agent: Agent) -> str:
        if not seen:
            place.rival(Support).save("user-42", capture(Agent(["from a rival"])))
        seen.append(agent)
        return agent.answer("hi")

    assert await agents.run("user-42", answer, turn_id="message-1") == "HI"
    assert len({id(agent) for agent in seen}) == 2
    assert seen[-1].memory == ["from a rival", "hi"]
    assert await agents.run("user-42", answer, turn_id="message-1") == "HI"
    assert len(seen) == 2


async def test_a_replay_gives_the_agent_as_that_turn_left_it(agents: Agents) -> None:
    for text in ("one", "two"):
        async with agents.turn("user-42", turn_id=text) as turn:
            turn.agent.answer(text)
    async with agents.turn("user-42", turn_id="one") as turn:
        assert turn.replayed
        assert turn.agent.memory == ["one"]


async def test_new_makes_the_state_that_the_first_agent_is_built_from(agents: Agents) -> None:
    async with agents.turn("user-42", new=lambda: capture(Agent(["be kind"]))) as turn:
        assert turn.agent.memory == ["be kind"]
        turn.agent.answer("hi")
    assert (await agents.restore("user-42")).agent.memory == ["be kind", "hi"]


async def test_an_agent_is_saved_and_restored_and_remembers_its_parent(agents: Agents) -> None:
    agent = Agent(["hi"])
    assert (await agents.save("user-42", agent)).revision == 1
    agent.answer("more")
    assert (await agents.save("user-42", agent)).revision == 2
    restored = (await agents.restore("user-42")).agent
    assert restored is not agent
    assert restored.memory == ["hi", "more"]
    restored.answer("and more")
    assert (await agents.save("user-42", restored)).revision == 3
    agent.answer("stale")
    with pytest.raises(Conflict):
        await agents.save("user-42", agent)


async def test_an_unchanged_agent_is_not_written(place: Place, agents: Agents) -> None:
    snapshot = await agents.save("user-42", Agent(["hi"]))
    agent = (await agents.restore("user-42")).agent
    place.calls.clear()
    assert await agents.save("user-42", agent) == snapshot
    assert place.calls == []


async def test_an_agent_can_be_overwritten(agents: Agents) -> None:
    await agents.save("user-42", Agent(["hi"]))
    agent = Agent(["instead"])
    assert (await agents.overwrite("user-42", agent)).revision == 2
    agent.answer("more")
    assert (await agents.save("user-42", agent)).revision == 3


@pytest.mark.parametrize("api", ["async"])
async def test_capture_and_build_may_be_async(place: Place) -> None:
    agents: Agents = place.open(Support, capture=capture_slowly, build=build_slowly)
    async with agents.turn("user-42") as turn:
        turn.agent.answer("hi")
    await agents.run("user-42", lambda agent: agent.answer("more"))
    agent = (await agents.restore("user-42")).agent
    assert agent.memory == ["hi", "more"]
    agent.answer("and more")
    assert (await agents.save("user-42", agent)).revision == 3


# --- what cannot be done -------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["sync"])
@pytest.mark.parametrize("which", ["capture", "build"])
async def test_async_adapters_on_the_blocking_api_are_told_where_they_belong(
    place: Place, which: str
) -> None:
    slow = {"capture": capture_slowly, "build": build_slowly}
    agents: Agents = place.open(Support, **{"capture": capture, "build": build, which: slow[which]})
    with pytest.raises(InvalidOption, match=r"async function.*open_async"):
        async with agents.turn("user-42") as turn:
            turn.agent.answer("hi")
    assert "commit" not in place.calls


@pytest.mark.parametrize("alone", [{"capture": capture}, {"build": build}], ids=list)
async def test_an_adapter_needs_both_functions(place: Place, alone: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="both capture= and build="):
        place.open(Support, **alone)


async def test_what_an_adapter_raises_is_raised_and_nothing_is_saved(place: Place) -> None:
    error = RuntimeError("no such tool")

    def fails(_: object) -> Any:
        raise error

    unbuilt: Agents = place.open(Support, capture=capture, build=fails)
    uncaptured: Agents = place.open(Support, capture=fails, build=build)
    for agents in (unbuilt, uncaptured):
        with pytest.raises(RuntimeError) as raised:
            await agents.run("user-42", lambda agent: agent.answer("hi"))
        assert raised.value is error
    with pytest.raises(RuntimeError):
        await uncaptured.save("user-42", Agent([]))
    assert "commit" not in place.calls


async def test_an_adapter_that_captures_something_else_is_told(place: Place) -> None:
    agents: Agents = place.open(Support, capture=lambda agent: agent.memory, build=build)
    with pytest.raises(InvalidOption, match=r"saves Support states.*list"):
        await agents.save("user-42", Agent([]))


async def test_a_captured_value_that_would_not_come_back_is_told_with_its_path(
    place: Place,
) -> None:
    def captures_a_tool(agent: Agent) -> Support:
        state = capture(agent)
        state.config.stop_words.append(print)  # type: ignore[arg-type]  # the mistake
        return state

    agents: Agents = place.open(Support, capture=captures_a_tool, build=build)
    with pytest.raises(NotSerializable) as raised:
        await agents.save("user-42", Agent([]))
    assert raised.value.path == "config.stop_words[0]"
    assert "commit" not in place.calls


class Slotted:
    """An agent that no weak reference can be made of, so nothing can be remembered beside it."""

    __slots__ = ("memory",)

    def __init__(self, memory: list[str]) -> None:
        self.memory = memory


async def test_an_agent_that_cannot_be_remembered_is_saved_with_a_parent(place: Place) -> None:
    agents: Agents = place.open(
        Support,
        capture=lambda slotted: capture(Agent(slotted.memory)),
        build=lambda state: Slotted(heard(state)),
    )
    async with agents.turn("user-42") as turn:
        turn.agent.memory.append("hi")
    restored = await agents.restore("user-42")
    restored.agent.memory.append("more")
    with pytest.raises(Conflict, match="parent="):
        await agents.save("user-42", restored.agent)
    snapshot = await agents.save("user-42", restored.agent, parent=restored.snapshot)
    assert snapshot.revision == 2
    assert (await agents.restore("user-42")).agent.memory == ["hi", "more"]


async def test_a_state_beside_a_live_agent_is_not_lost_in_silence(
    place: Place, agents: Agents
) -> None:
    with pytest.raises(InvalidOption, match=r"use turn\.agent"):
        async with agents.turn("user-42") as turn:
            turn.state = capture(Agent(["assigned"]))
    with pytest.raises(InvalidOption, match=r"use turn\.agent"):
        async with agents.turn("user-42") as turn:
            hears(turn.state, "changed in place")
    assert "commit" not in place.calls


# --- adapters as objects, and agents of one turn -------------------------------------------------


class SupportAdapter:
    """An adapter whose agents share what it was made with."""

    def __init__(self, tool: Callable[[str], str]) -> None:
        self.tool = tool

    def capture(self, agent: Agent) -> Support:
        return capture(agent)

    def build(self, state: Support) -> Agent:
        agent = build(state)
        agent.tools["shout"] = self.tool
        return agent


async def test_an_adapter_may_be_an_object(place: Place) -> None:
    agents: Agents = place.open(Support, adapter=SupportAdapter(str.title))
    async with agents.turn("user-42") as turn:
        assert turn.agent.answer("hi there") == "Hi There"
    assert (await agents.restore("user-42")).agent.memory == ["hi there"]


class EmptyAdapter(SupportAdapter):
    """An adapter that is also a collection, and an empty one is false."""

    def __len__(self) -> int:
        return 0


async def test_an_adapter_that_is_false_is_an_adapter(place: Place) -> None:
    agents: Agents = place.open(Support, adapter=EmptyAdapter(str.title))
    async with agents.turn("user-42") as turn:
        assert turn.agent.answer("hi") == "Hi"
    assert (await agents.restore("user-42")).agent.memory == ["hi"]


async def test_one_turn_may_build_its_agent_in_another_way(place: Place) -> None:
    agents: Agents = place.open(Support, adapter=SupportAdapter(str.title))
    async with agents.turn("user-42", build=SupportAdapter(str.lower).build) as turn:
        assert turn.agent.answer("HI") == "hi"
    async with agents.turn("user-42") as turn:
        assert turn.agent.memory == ["HI"]
        assert turn.agent.answer("bye") == "Bye"


async def test_build_needs_an_adapter_that_captures(place: Place) -> None:
    states: Agents = place.open(Support)
    with pytest.raises(InvalidOption, match="adapter="):
        states.turn("user-42", build=build)


async def test_without_an_adapter_the_agent_is_the_state(place: Place) -> None:
    cp = place.open(Support)
    async with cp.turn("user-42") as turn:
        assert turn.agent is turn.state
        turn.state = capture(Agent(["assigned"]))
        assert turn.agent is turn.state
    restored = await cp.restore("user-42")
    assert restored.agent is restored.state
    assert heard(restored.state) == ["assigned"]


@pytest.mark.parametrize(
    ("missing", "adapter"),
    [
        ("capture", type("OnlyBuild", (), {"build": build})()),
        ("build", type("OnlyCapture", (), {"capture": capture})()),
        ("capture and no build", object()),
        ("capture", type("NoMethod", (), {"build": build, "capture": 3})()),
    ],
)
def test_an_adapter_that_lacks_a_method_is_refused_when_it_is_given(
    place: Place, missing: str, adapter: object
) -> None:
    with pytest.raises(InvalidOption, match=rf"has no {missing}$"):
        place.open(Support, adapter=adapter)
    assert place.calls == []


def test_an_adapter_is_given_in_one_way(place: Place) -> None:
    with pytest.raises(InvalidOption, match="either"):
        place.open(Support, adapter=SupportAdapter(str.title), capture=capture, build=build)
    with pytest.raises(InvalidOption, match="need a state model"):
        place.open(adapter=SupportAdapter(str.title))
