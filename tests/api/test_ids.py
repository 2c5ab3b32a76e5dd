"""Ids that no store could keep are refused before any store is asked; all others are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, InvalidId

from .apis import Place

Dicts = AsyncCheckpointer[dict[str, Any]]
Use = Callable[[Dicts, Any], Awaitable[object]]

UNKEPT: dict[str, object] = {
    "empty": "",
    "513 bytes": "x" * 513,
    "513 bytes of emoji": "😀" * 128 + "x",
    "newline": "a\nb",
    "NUL": "a\0",
    "escape": "\x1b[31m",
    "DEL": "\x7f",
    "C1": "\x85",
    "lone surrogate": "a\ud800",
    "None": None,
    "int": 42,
    "bytes": b"user-42",
    "list": ["user-42"],
}


async def turned(cp: Dicts, session_id: str, turn_id: str | None = None) -> None:
    async with cp.turn(session_id, turn_id=turn_id) as turn:
        turn.state["n"] = 1


async def listed(cp: Dicts, prefix: str) -> list[str]:
    return [session.session_id async for session in cp.sessions(prefix)]


def nothing(_: object) -> None:
    pytest.fail("the function was called")


USES: dict[str, Use] = {
    "turn": turned,
    "turn_id": lambda cp, bad: turned(cp, "user-42", bad),
    "run": lambda cp, bad: cp.run(bad, nothing),
    "run turn_id": lambda cp, bad: cp.run("user-42", nothing, turn_id=bad),
    "restore": lambda cp, bad: cp.restore(bad),
    "save": lambda cp, bad: cp.save(bad, {}),
    "overwrite": lambda cp, bad: cp.overwrite(bad, {}),
    "history": lambda cp, bad: cp.history(bad),
    "diff": lambda cp, bad: cp.diff(bad, 1, 2),
    "document": lambda cp, bad: cp.document(bad),
    "fork": lambda cp, bad: cp.fork(bad, "what-if"),
    "fork onto": lambda cp, bad: cp.fork("user-42", bad),
    "rollback": lambda cp, bad: cp.rollback(bad, 1),
    "delete": lambda cp, bad: cp.delete(bad),
    "label of": lambda cp, bad: cp.label(bad, "good"),
    "label": lambda cp, bad: cp.label("user-42", bad),
    "unlabel of": lambda cp, bad: cp.unlabel(bad, "good"),
    "unlabel": lambda cp, bad: cp.unlabel("user-42", bad),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_an_id_that_cannot_be_kept_is_refused_before_a_store_is_asked(
    place: Place, cp: Dicts, use: Use
) -> None:
    for what, value in UNKEPT.items():
        if value is None and use in (USES["turn_id"], USES["run turn_id"]):
            continue  # there, None is a meaning
        with pytest.raises(InvalidId) as raised:
            await use(cp, value)
        assert isinstance(raised.value, ValueError), what
        assert len(str(raised.value)) < 250, what
        str(raised.value).encode()  # a log can write it
    assert place.calls == []


async def test_a_turn_with_a_bad_id_is_refused_when_it_is_made(cp: Dicts) -> None:
    with pytest.raises(InvalidId):
        cp.turn("")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "empty"),
        ("x" * 513, "513 bytes.*limit is 512"),
        ("a\nb", r"control character at 1: '\\n'"),
        ("a\ud800", r"UTF-8 \(character 1\)"),
        (42, "str, not int: 42"),
    ],
)
async def test_the_error_says_what_is_wrong_with_the_id(cp: Dicts, value: Any, told: str) -> None:
    with pytest.raises(InvalidId, match=f"session id.*{told}"):
        await cp.restore(value)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 512,
        "😀" * 128,
        " ",
        " a ",
        "a/b/../c",
        "..",
        "/etc/passwd",
        "%00?x=1#y",
        "'; DROP TABLE sessions; --",
        "\u202eright to left",
        "\u200b",
        "e\u0301",
    ],
)
async def test_any_other_id_is_kept_as_it_is(place: Place, value: str) -> None:
    cp = place.open(namespace=value)
    assert not await served(cp, value)
    assert await served(cp, value)
    await cp.label(value, value)
    restored = await place.open(namespace=value).restore(value, revision=value)
    assert restored.snapshot.session_id == value
    assert [session.session_id async for session in cp.sessions(value)] == [value]
    assert await cp.delete(value)


async def served(cp: Dicts, value: str) -> bool:
    async with cp.turn(value, turn_id=value) as turn:
        turn.state["n"] = 1
    return turn.replayed


async def test_ids_are_compared_byte_by_byte(cp: Dicts) -> None:
    names = ["user", "User", "user ", "é", "e\u0301", "ß", "ss"]
    for name in names:
        await cp.save(name, {"name": name})
    for name in names:
        assert (await cp.restore(name)).state == {"name": name}


@pytest.mark.parametrize("prefix", ["a\ud800", "a\n", "x" * 513, None, 42, b"user"], ids=ascii)
async def test_a_prefix_that_no_id_can_have_is_refused_before_a_store_is_asked(
    place: Place, cp: Dicts, prefix: Any
) -> None:
    with pytest.raises(InvalidId):
        await listed(cp, prefix)
    assert place.calls == []
