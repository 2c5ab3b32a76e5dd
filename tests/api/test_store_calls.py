"""What each operation costs, counted in calls of the store: round trips, for a remote one."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer

from .apis import Place

pytestmark = pytest.mark.promise("cost-of-turn")

Dicts = AsyncCheckpointer[dict[str, Any]]
Operation = Callable[[Dicts], Awaitable[object]]


async def turn(cp: Dicts, session_id: str, turn_id: str | None = None) -> None:
    async with cp.turn(session_id, turn_id=turn_id) as turn:
        turn.state["touched"] = True


async def listed(cp: Dicts) -> list[str]:
    return [session.session_id async for session in cp.sessions()]


async def restored_and_saved(cp: Dicts) -> None:
    state = (await cp.restore("there")).state
    for n in range(3):
        state["n"] = n
        await cp.save("there", state)


async def saved_with_parent(cp: Dicts) -> None:
    snapshot = (await cp.restore("there")).snapshot
    await cp.save("there", {"n": "by hand"}, parent=snapshot)


COSTS: dict[str, tuple[Operation, list[str]]] = {
    "a turn": (lambda cp: turn(cp, "there"), ["read", "commit"]),
    "a first turn": (lambda cp: turn(cp, "new"), ["read", "commit"]),
    "a replayed turn": (lambda cp: turn(cp, "there", "last"), ["read"]),
    "an older replayed turn": (lambda cp: turn(cp, "there", "first"), ["read", "read"]),
    "a run": (lambda cp: cp.run("there", lambda state: state.update(n=0)), ["read", "commit"]),
    "a run seen before": (lambda cp: cp.run("there", print, turn_id="last"), ["read"]),
    "restore": (lambda cp: cp.restore("there"), ["read"]),
    "restore a revision": (lambda cp: cp.restore("there", revision=1), ["read"]),
    "restore a label": (lambda cp: cp.restore("there", revision="good"), ["attachments", "read"]),
    "save a new state": (lambda cp: cp.save("new", {}), ["read", "commit"]),
    "save a restored state thrice": (restored_and_saved, ["read", *["commit"] * 3]),
    "save with a parent": (saved_with_parent, ["read", "read", "commit"]),
    "overwrite": (lambda cp: cp.overwrite("there", {}), ["read", "commit"]),
    "history": (lambda cp: cp.history("there"), ["attachments", "headers"]),
    "document": (lambda cp: cp.document("there"), ["read"]),
    "diff": (lambda cp: cp.diff("there", 1, 2), ["read", "read"]),
    "fork": (lambda cp: cp.fork("there", "new"), ["read", "read", "commit"]),
    "rollback": (lambda cp: cp.rollback("there", 1), ["read", "read", "commit"]),
    "label": (lambda cp: cp.label("there", "better"), ["read", "attach", "read"]),
    "unlabel": (lambda cp: cp.unlabel("there", "good"), ["detach"]),
    "delete": (
        lambda cp: cp.delete("there"),
        ["read", "list_pages", "headers", "read", "commit", "list_pages"],
    ),
    "delete what is not there": (lambda cp: cp.delete("new"), ["read"]),
    "sessions": (listed, ["sessions"]),
}


@pytest.mark.parametrize(("operation", "expected"), COSTS.values(), ids=COSTS)
async def test_an_operation_costs_these_calls(
    place: Place, cp: Dicts, operation: Operation, expected: list[str]
) -> None:
    rival = place.rival()
    for turn_id in ("first", "last"):
        rival.run("there", lambda state: state.update(turn=len(state)), turn_id=turn_id)
    rival.label("there", "good", revision=1)
    assert place.calls == []
    await operation(cp)
    assert place.calls == expected


async def test_opening_and_making_a_turn_cost_nothing(place: Place) -> None:
    place.open().turn("user-42", turn_id="message-1")
    assert place.calls == []


async def test_a_turn_of_a_long_session_costs_the_same(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for _ in range(30):
        rival.run("there", lambda state: state.setdefault("memory", []).append(os.urandom(2000)))
    assert sum(snapshot.kind == "base" for snapshot in rival.history("there")) > 1
    await turn(cp, "there")
    assert place.calls == ["read", "commit"]
    assert len((await cp.restore("there")).state["memory"]) == 30
