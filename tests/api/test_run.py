"""``run``: a turn as a function, run again after a conflict, its result kept with its turn id."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, Conflict, InvalidOption, NotSerializable, SessionNotFound

from .apis import Place
from .models import Message, Support, heard, hears

Dicts = AsyncCheckpointer[dict[str, Any]]
State = dict[str, Any]


def count(state: State) -> int:
    state["n"] = state.get("n", 0) + 1
    return int(state["n"])


async def test_run_returns_what_the_function_returns_and_saves_the_state(place: Place) -> None:
    cp = place.open(Support)

    def answer(state: Support) -> list[str]:
        hears(state, "hi")
        return heard(state)

    assert await cp.run("user-42", answer) == ["hi"]
    assert await cp.run("user-42", answer) == ["hi", "hi"]
    restored = await cp.restore("user-42")
    assert restored.revision == 2
    assert heard(restored.state) == ["hi", "hi"]


async def test_a_function_that_changes_nothing_writes_nothing(place: Place, cp: Dicts) -> None:
    await cp.run("user-42", count)
    place.calls.clear()
    assert await cp.run("user-42", lambda state: state["n"]) == 1
    assert place.calls == ["read"]


async def test_new_makes_the_first_state(cp: Dicts) -> None:
    assert await cp.run("user-42", count, new=lambda: {"n": 10}) == 11
    assert await cp.run("user-42", count, new=lambda: {"n": 10}) == 12


async def test_any_result_is_returned_when_there_is_no_turn_id(cp: Dicts) -> None:
    result = object()
    assert await cp.run("user-42", lambda _: result) is result


# --- conflicts -----------------------------------------------------------------------------------


async def test_after_a_conflict_it_runs_again_on_the_fresh_state(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    seen: list[State] = []

    def answer(state: State) -> int:
        seen.append(dict(state))
        if len(seen) < 4:
            rival.run("user-42", lambda theirs: theirs.update({f"rival {len(seen)}": True}))
        return count(state)

    assert await cp.run("user-42", answer) == 1
    rivals = {f"rival {n}": True for n in (1, 2, 3)}
    assert seen == [dict(list(rivals.items())[:n]) for n in range(4)]
    restored = await cp.restore("user-42")
    assert restored.revision == 4
    assert restored.state == {**rivals, "n": 1}


async def test_after_a_delete_it_runs_again_on_a_new_session(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 100})
    deletes = [lambda: place.rival().delete("user-42")]

    def answer(state: State) -> int:
        while deletes:
            deletes.pop()()
        return count(state)

    assert await cp.run("user-42", answer) == 1
    assert (await cp.restore("user-42")).state == {"n": 1}


async def test_out_of_time_it_raises_the_conflict_and_saves_nothing(
    place: Place, cp: Dicts
) -> None:
    rival = place.rival(replica="blue")
    calls: list[int] = []

    def overtaken(state: State) -> None:
        calls.append(1)
        assert len(calls) < 50, "it never gives up"
        rival.overwrite("user-42", {"by": "them"})
        state["by"] = "us"

    with pytest.raises(Conflict, match="blue"):
        await cp.run("user-42", overtaken, timeout=0)
    assert (await cp.restore("user-42")).state == {"by": "them"}


async def test_a_conflict_that_the_function_itself_raises_is_not_retried(cp: Dicts) -> None:
    calls: list[int] = []

    def raises(_: State) -> None:
        calls.append(1)
        raise Conflict("of another session")

    with pytest.raises(Conflict, match="of another session"):
        await cp.run("user-42", raises)
    assert calls == [1]


@pytest.mark.promise("no-overwrite")
async def test_many_at_once_all_land_once(place: Place) -> None:
    replicas = [place.open() for _ in range(4)]

    def answer(state: State, entry: list[int]) -> None:
        state.setdefault("all", []).append(entry)

    async def five(cp: Dicts, name: int) -> None:
        for n in range(5):
            await cp.run("user-42", partial(answer, entry=[name, n]))

    await place.together(*(five(cp, name) for name, cp in enumerate(replicas)))
    restored = await replicas[0].restore("user-42")
    assert restored.revision == 20
    assert sorted(restored.state["all"]) == [[name, n] for name in range(4) for n in range(5)]
    for name in range(4):
        assert [n for who, n in restored.state["all"] if who == name] == list(range(5))


# --- turn ids and results ------------------------------------------------------------------------


async def test_a_turn_seen_before_returns_its_result_without_a_call(
    place: Place, cp: Dicts
) -> None:
    assert await cp.run("user-42", count, turn_id="message-1") == 1
    assert await cp.run("user-42", count, turn_id="message-2") == 2
    for replica in (cp, place.open()):
        for turn_id, result in (("message-1", 1), ("message-2", 2)):
            calls: list[State] = []
            assert await replica.run("user-42", calls.append, turn_id=turn_id) == result  # type: ignore[func-returns-value]
            assert calls == []
    assert (await cp.restore("user-42")).state == {"n": 2}


RESULTS = [
    None,
    True,
    2**70,
    1.5,
    "text",
    b"bytes",
    (1, ("two", [3])),
    {"seen": {1, 2}, 3: frozenset("x")},
    Decimal("1.50"),
    dt.datetime(2025, 1, 2, tzinfo=dt.UTC),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
async def test_a_result_comes_back_as_what_it_was(cp: Dicts, result: object) -> None:
    def answer(state: State) -> object:
        count(state)
        return result

    first = await cp.run("user-42", answer, turn_id="message-1")
    again = await cp.run("user-42", answer, turn_id="message-1")
    assert first is result
    assert (type(again), again) == (type(result), result)


async def test_a_result_is_kept_when_the_state_did_not_change(cp: Dicts) -> None:
    calls: list[int] = []

    def look(_: State) -> str:
        calls.append(1)
        return "seen"

    for _ in "ab":
        assert await cp.run("user-42", look, turn_id="message-1") == "seen"
    assert calls == [1]


async def test_a_result_is_that_of_its_turn_only(cp: Dicts) -> None:
    await cp.run("user-42", count, turn_id="message-1")
    async with cp.turn("user-42", turn_id="message-1") as turn:
        assert (turn.replayed, turn.result) == (True, 1)
    async with cp.turn("user-42", turn_id="message-2") as turn:
        assert (turn.replayed, turn.result) == (False, None)


async def test_a_turn_first_delivered_to_turn_has_no_result(cp: Dicts) -> None:
    async with cp.turn("user-42", turn_id="message-1") as turn:
        turn.state["n"] = 1
    assert await cp.run("user-42", count, turn_id="message-1") is None
    assert (await cp.restore("user-42")).state == {"n": 1}


async def test_a_redelivery_that_was_faster_gives_its_result(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    calls: list[int] = []

    def answer(state: State) -> str:
        calls.append(1)
        rival.run("user-42", lambda theirs: f"theirs: {count(theirs)}", turn_id="message-1")
        return f"ours: {count(state)}"

    assert await cp.run("user-42", answer, turn_id="message-1") == "theirs: 1"
    assert calls == [1]
    assert (await cp.restore("user-42")).state == {"n": 1}


class Custom:
    pass


UNKEPT: list[tuple[Callable[[], object], str]] = [
    (Custom, "result"),
    (lambda: {"items": [1, Custom()]}, "result.items[1]"),
    (lambda: [{"a b": print}], "result[0]['a b']"),
    (lambda: Message(role="user", content="hi"), "result"),
    (lambda: {"message": Message(role="user", content="hi")}, "result.message"),
]


@pytest.mark.parametrize(("make", "path"), UNKEPT, ids=[path for _, path in UNKEPT])
async def test_a_result_that_cannot_be_kept_fails_with_its_path_before_a_write(
    place: Place, cp: Dicts, make: Callable[[], object], path: str
) -> None:
    def answer(state: State) -> object:
        count(state)
        return make()

    with pytest.raises(NotSerializable) as raised:
        await cp.run("user-42", answer, turn_id="message-1")
    assert raised.value.path == path
    assert f"session 'user-42', at {path}: " in str(raised.value)
    assert place.calls == ["read"]


# --- what goes wrong in the function -------------------------------------------------------------


@pytest.mark.promise("no-trace")
async def test_what_the_function_raises_is_raised_and_nothing_is_saved(
    place: Place, cp: Dicts
) -> None:
    error = RuntimeError("the model timed out")

    def fails(state: State) -> None:
        count(state)
        raise error

    for turn_id in (None, "message-1"):
        with pytest.raises(RuntimeError) as raised:
            await cp.run("user-42", fails, turn_id=turn_id)
        assert raised.value is error
    assert place.calls == ["read", "read"]
    assert await cp.run("user-42", count, turn_id="message-1") == 1


async def count_slowly(state: State) -> int:
    await asyncio.sleep(0)
    return count(state)


@pytest.mark.parametrize("api", ["async"])
async def test_an_async_function_is_awaited(cp: Dicts) -> None:
    assert await cp.run("user-42", count_slowly, turn_id="message-1") == 1
    assert await cp.run("user-42", count_slowly, turn_id="message-1") == 1
    assert await cp.run("user-42", count_slowly) == 2


@pytest.mark.parametrize("api", ["async"])
async def test_a_cancelled_function_saves_nothing(place: Place, cp: Dicts) -> None:
    inside = asyncio.Event()

    async def stuck(state: State) -> None:
        count(state)
        inside.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(cp.run("user-42", stuck))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.calls == ["read"]


@pytest.mark.parametrize("api", ["sync"])
async def test_an_async_function_on_the_blocking_api_is_told_where_it_belongs(
    place: Place, cp: Dicts
) -> None:
    with pytest.raises(InvalidOption, match=r"async function.*open_async"):
        await cp.run("user-42", count_slowly)
    assert place.calls == ["read"]
    with pytest.raises(SessionNotFound):
        await cp.restore("user-42")
