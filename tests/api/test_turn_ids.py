"""``turn_id``: a turn that is delivered twice is saved once, however the session went on."""

# ruff: noqa: PT012 - what a turn raises, it raises when its whole block is left

from __future__ import annotations

import os
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, Conflict
from checkpoint._records import baseline

from .apis import Place

Dicts = AsyncCheckpointer[dict[str, Any]]

REMEMBERED = 32  # "the last 32 turns, at least", says the documentation of turn()


async def deliver(cp: Dicts, number: int, session_id: str = "user-42") -> bool:
    """Serve message ``number``, as a handler does; whether it had been served before."""
    async with cp.turn(session_id, turn_id=f"message-{number}") as turn:
        turn.state.setdefault("served", []).append(number)
    return turn.replayed


async def test_a_turn_delivered_twice_is_saved_once(place: Place, cp: Dicts) -> None:
    assert not await deliver(cp, 1)
    place.calls.clear()
    assert await deliver(cp, 1)
    assert place.calls == ["read"]
    assert (await cp.restore("user-42")).state == {"served": [1]}
    assert len(await cp.history("user-42")) == 1


async def test_another_replica_knows_what_was_delivered(place: Place) -> None:
    assert not await deliver(place.open(), 1)
    assert await deliver(place.open(), 1)


async def test_a_replay_sees_the_state_as_that_turn_left_it(cp: Dicts) -> None:
    for number in (1, 2, 3):
        await deliver(cp, number)
    async with cp.turn("user-42", turn_id="message-2") as turn:
        assert turn.replayed
        assert turn.state == {"served": [1, 2]}
        assert turn.revision == 2
        assert turn.snapshot is not None
        assert turn.snapshot.turn_id == "message-2"
        turn.state["more"] = "is not saved"
    assert turn.revision == 2
    restored = await cp.restore("user-42")
    assert restored.revision == 3
    assert restored.state == {"served": [1, 2, 3]}


async def test_a_turn_id_is_noted_in_the_history(cp: Dicts) -> None:
    await deliver(cp, 1)
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 2
    assert [snapshot.turn_id for snapshot in await cp.history("user-42")] == [None, "message-1"]


async def test_turn_ids_are_those_of_their_session(cp: Dicts) -> None:
    assert not await deliver(cp, 1, "a")
    assert not await deliver(cp, 1, "b")
    assert await deliver(cp, 1, "a")


async def test_a_turn_that_raised_is_served_when_it_is_delivered_again(cp: Dicts) -> None:
    with pytest.raises(ZeroDivisionError):
        async with cp.turn("user-42", turn_id="message-1") as turn:
            turn.state["n"] = 1
            raise ZeroDivisionError
    assert not await deliver(cp, 1)


async def test_a_turn_that_lost_against_its_own_redelivery_is_a_replay_then(
    place: Place, cp: Dicts
) -> None:
    with pytest.raises(Conflict):
        async with cp.turn("user-42", turn_id="message-1") as turn:
            with place.rival().turn("user-42", turn_id="message-1") as theirs:
                theirs.state["by"] = "them"
            turn.state["by"] = "us"
    async with cp.turn("user-42", turn_id="message-1") as turn:
        assert turn.replayed
        assert turn.state == {"by": "them"}


async def test_a_turn_that_was_rolled_back_is_still_not_served_twice(cp: Dicts) -> None:
    for number in (1, 2):
        await deliver(cp, number)
    await cp.rollback("user-42", 1)
    assert await deliver(cp, 2)
    assert (await cp.restore("user-42")).state == {"served": [1]}


# --- how long they are remembered ----------------------------------------------------------------


@pytest.mark.parametrize("patches", [0, 1, 7, 31, 32, 512], ids="segments of 1+{}".format)
async def test_each_of_the_last_turns_is_remembered_wherever_segments_begin(
    cp: Dicts, monkeypatch: pytest.MonkeyPatch, patches: int
) -> None:
    monkeypatch.setattr(baseline, "MAX_PATCHES", patches)
    last = 2 * REMEMBERED + 3
    for number in range(1, last + 1):
        assert not await deliver(cp, number)
    bases = [s for s in await cp.history("user-42") if s.kind == "base"]
    assert len(bases) == -(-last // (patches + 1))
    for number in range(last - REMEMBERED + 1, last + 1):
        async with cp.turn("user-42", turn_id=f"message-{number}") as turn:
            assert turn.replayed, number
            assert turn.state["served"] == list(range(1, number + 1))


async def test_turns_are_remembered_when_their_size_makes_new_segments(cp: Dicts) -> None:
    last = 40
    for number in range(1, last + 1):
        async with cp.turn("user-42", turn_id=f"message-{number}") as turn:
            turn.state[f"noise {number % 8}"] = os.urandom(3000)
    assert sum(s.kind == "base" for s in await cp.history("user-42")) > 2
    for number in range(last - REMEMBERED + 1, last + 1):
        async with cp.turn("user-42", turn_id=f"message-{number}") as turn:
            assert turn.replayed, number
        assert turn.revision == number


async def test_a_turn_out_of_memory_is_a_new_one_and_no_error(
    cp: Dicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "MAX_PATCHES", 0)
    for number in range(1, REMEMBERED + 3):
        await deliver(cp, number)
    assert not await deliver(cp, 1)
    assert await deliver(cp, 3)


async def test_saves_that_are_no_turns_do_not_push_turns_out_of_memory(
    cp: Dicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "MAX_PATCHES", 0)
    await deliver(cp, 1)
    for n in range(REMEMBERED + 1):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
    assert await deliver(cp, 1)


# --- turns of a session that was deleted ---------------------------------------------------------


async def test_a_turn_of_a_deleted_session_is_served_anew(cp: Dicts) -> None:
    await deliver(cp, 1)
    await cp.delete("user-42")
    assert not await deliver(cp, 1)
    assert (await cp.restore("user-42")).state == {"served": [1]}


async def test_a_turn_from_before_the_delete_is_served_in_the_new_session(cp: Dicts) -> None:
    await deliver(cp, 1)
    await cp.delete("user-42")
    await deliver(cp, 2)
    assert not await deliver(cp, 1)
    assert (await cp.restore("user-42")).state == {"served": [2, 1]}
