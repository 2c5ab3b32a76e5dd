"""``open``, ``open_async`` and ``preload``: stores by URL or object, states of any model."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

import checkpoint
from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    AsyncTurn,
    Checkpointer,
    CheckpointError,
    InvalidId,
    InvalidOption,
    SessionNotFound,
    StoreClosed,
    Turn,
    UnknownStore,
)
from checkpoint._stores.inmemory import InMemoryStore

from .apis import AsAsync, Place

OPENERS: list[Callable[..., Any]] = [checkpoint.open, checkpoint.open_async]
both_openers = pytest.mark.parametrize("opener", OPENERS, ids=["open", "open_async"])


# --- the two APIs --------------------------------------------------------------------------------


def methods(cls: type) -> dict[str, list[str]]:
    """The public methods of a class with their arguments, and the same for entering and leaving."""
    renamed = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    return {
        renamed.get(name, name): list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") or name in (*renamed, *renamed.values())
    }


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(Checkpointer, AsyncCheckpointer), (Turn, AsyncTurn)]
)
def test_both_apis_have_the_same_methods_and_arguments(blocking: type, asynchronous: type) -> None:
    assert methods(blocking) == methods(asynchronous)
    assert "__enter__" in methods(blocking)


def test_open_and_open_async_take_the_same_arguments() -> None:
    arguments = [list(inspect.signature(opener).parameters) for opener in OPENERS]
    assert arguments[0] == arguments[1]


# --- by URL --------------------------------------------------------------------------------------


def opened(api: str, url: str) -> Any:
    return checkpoint.open_async(url) if api == "async" else AsAsync(checkpoint.open(url))


async def test_a_store_is_opened_by_its_url_and_closed_by_leaving_it(api: str, url: str) -> None:
    async with opened(api, url) as cp:
        async with cp.turn("user-42") as turn:
            turn.state["n"] = 1
        assert (await cp.restore("user-42")).state == {"n": 1}
    for call in (cp.restore, cp.delete, cp.history, cp.document):
        with pytest.raises(StoreClosed, match="closed"):
            await call("user-42")
    with pytest.raises(StoreClosed):
        await cp.turn("user-42").__aenter__()
    await cp.close()


async def test_two_openings_of_a_sqlite_file_share_their_sessions(api: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    async with opened(api, url) as one, opened(api, url) as other:
        await one.save("user-42", {"n": 1})
        assert (await other.restore("user-42")).state == {"n": 1}


async def test_two_openings_of_memory_are_two_stores(api: str) -> None:
    async with opened(api, "memory://") as one, opened(api, "memory://") as other:
        await one.save("user-42", {"n": 1})
        with pytest.raises(SessionNotFound):
            await other.restore("user-42")


@both_openers
def test_opening_touches_no_file(opener: Callable[..., Any], tmp_path: Path) -> None:
    opener(f"sqlite:///{tmp_path}/agents.db")
    checkpoint.preload(f"sqlite:///{tmp_path}/agents.db")
    assert list(tmp_path.iterdir()) == []


@both_openers
def test_an_unknown_scheme_lists_the_known_ones(opener: Callable[..., Any]) -> None:
    with pytest.raises(UnknownStore) as raised:
        opener("postgres9://app:hunter2@db/agents?sslpassword=hunter2")
    for part in ("'postgres9'", "memory", "sqlite", "app:***@db"):
        assert part in str(raised.value)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(UnknownStore):
        checkpoint.preload("postgres9://db")


WRONG_URLS: list[object] = [
    "",
    "agents.db",
    "sqlite:agents.db",
    "sqlite://",
    "sqlite:///",
    "sqlite:///agents.db?colour=blue",
    "memory://name",
]


@both_openers
@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_url_that_names_no_store_is_told_with_one_that_does(
    opener: Callable[..., Any], url: str
) -> None:
    with pytest.raises(InvalidOption, match=r"sqlite:///agents\.db|memory://|\?timeout="):
        opener(url)


@both_openers
@pytest.mark.parametrize(
    "store", [None, 3, b"sqlite:///agents.db", Path("agents.db")], ids=lambda s: type(s).__name__
)
def test_what_is_neither_a_url_nor_a_store_is_refused_at_once(
    opener: Callable[..., Any], store: object
) -> None:
    with pytest.raises(InvalidOption, match=type(store).__name__):
        opener(store)


async def test_a_blocking_store_object_serves_open_async_too() -> None:
    store: Any = InMemoryStore()
    async with checkpoint.open_async(store) as cp:
        await cp.save("user-42", {"n": 1})
        assert (await cp.restore("user-42")).state == {"n": 1}


async def test_a_checkpointer_tells_what_it_is(place: Place) -> None:
    cp = place.open(AgentState, schema="plain", version=3, namespace="tenant")
    assert "plain v3" in repr(cp)
    assert "'tenant'" in repr(cp)


# --- states --------------------------------------------------------------------------------------


class Tutor(BaseModel):
    pupil: str = "Ada"


async def test_any_pydantic_model_is_a_state_with_a_schema_of_its_name(place: Place) -> None:
    async with place.open(Tutor).turn("user-42") as turn:
        turn.state.pupil = "Bob"
    assert turn.snapshot is not None
    assert str(turn.snapshot.schema) == "Tutor v1"
    assert (await place.open(Tutor).restore("user-42")).state == Tutor(pupil="Bob")


async def test_schema_and_version_are_given_where_a_model_does_not_carry_them(
    place: Place,
) -> None:
    snapshot = await place.open(Tutor, schema="tutor", version=7).save("user-42", Tutor())
    assert str(snapshot.schema) == "tutor v7"


async def test_schema_and_version_given_to_open_go_before_those_of_the_class(
    place: Place,
) -> None:
    class Named(AgentState, schema="named", version=2):
        pass

    for options, expected in (
        ({}, "named v2"),
        ({"schema": "other"}, "other v2"),
        ({"version": 3}, "named v3"),
    ):
        snapshot = await place.open(Named, **options).overwrite("user-42", Named())
        assert str(snapshot.schema) == expected


async def test_a_renamed_class_with_the_same_schema_reads_its_sessions(place: Place) -> None:
    class Teacher(BaseModel):
        pupil: str = "Ada"

    await place.open(Tutor, schema="tutor").save("user-42", Tutor(pupil="Bob"))
    assert (await place.open(Teacher, schema="tutor").restore("user-42")).state.pupil == "Bob"


async def test_an_agent_state_without_a_subclass_is_a_state(place: Place) -> None:
    async with place.open(AgentState).turn("user-42") as turn:
        turn.state.memory.append({"role": "user"})
        turn.state.cursors["inbox"] = 1
    state = (await place.open(AgentState).restore("user-42")).state
    assert state.memory == [{"role": "user"}]
    assert state.cursors == {"inbox": 1}


async def test_a_root_model_is_a_state(place: Place) -> None:
    class Messages(RootModel[list[str]]):
        root: list[str] = []

    for text in "ab":
        async with place.open(Messages).turn("user-42") as turn:
            turn.state.root.append(text)
    assert (await place.open(Messages).restore("user-42")).state.root == ["a", "b"]


async def test_dict_is_a_state_like_none(place: Place) -> None:
    await place.open(dict).save("user-42", {"n": 1})
    assert (await place.open().restore("user-42")).state == {"n": 1}


@dataclasses.dataclass
class NoModel:
    n: int = 0


# --- options that have no meaning ----------------------------------------------------------------

MEANINGLESS: list[tuple[dict[str, Any], str]] = [
    ({"state": int}, "pydantic model"),
    ({"state": NoModel}, "pydantic model"),
    ({"state": Tutor()}, "pydantic model"),
    ({"state": "Tutor"}, "pydantic model"),
    ({"state": list[Tutor]}, "pydantic model"),
    ({"schema": "tutor"}, "need a state model"),
    ({"version": 1}, "need a state model"),
    ({"state": dict, "schema": "tutor"}, "need a state model"),
    ({"capture": print, "build": print}, "need a state model"),
    ({"state": Tutor, "capture": print}, "both capture= and build="),
    ({"state": Tutor, "build": print}, "both capture= and build="),
    ({"state": Tutor, "version": -1}, "integer from 1 up"),
    ({"state": Tutor, "version": 0}, "integer from 1 up"),
    ({"state": Tutor, "version": "2"}, "integer from 1 up"),
    ({"max_bytes": 0}, "max_bytes must be an integer of 1 or more"),
    ({"max_bytes": -1}, "max_bytes must be an integer of 1 or more"),
    ({"max_bytes": "64M"}, "max_bytes must be an integer of 1 or more"),
]


@both_openers
@pytest.mark.parametrize(("options", "told"), MEANINGLESS, ids=lambda value: f"{value!r:.50}")
def test_an_option_without_a_meaning_is_refused_at_once(
    opener: Callable[..., Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidOption, match=told) as raised:
        opener("memory://", **options)
    assert isinstance(raised.value, ValueError)


@both_openers
@pytest.mark.parametrize("option", ["namespace", "replica", "schema"])
@pytest.mark.parametrize("name", ["x" * 513, "a\nb", "\ud800", 3], ids=repr)
def test_a_name_that_no_store_could_keep_is_refused_at_once(
    opener: Callable[..., Any], option: str, name: object
) -> None:
    with pytest.raises(InvalidId):
        opener("memory://", Tutor, **{option: name})


@both_openers
def test_an_unknown_option_is_a_type_error_and_an_empty_namespace_an_invalid_id(
    opener: Callable[..., Any],
) -> None:
    with pytest.raises(TypeError):
        opener("memory://", colour="blue")
    with pytest.raises(InvalidId, match="namespace is empty"):
        opener("memory://", namespace="")


# --- classes of states ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        {"schema": "s"},
        {"version": 1},
        {"schema": "s", "version": 0},
        {"schema": "s", "version": "1"},
    ],
    ids=str,
)
def test_a_class_line_with_half_a_schema_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=r"class Half needs both schema=.* and version="):
        type("Half", (AgentState,), {}, **line)


def test_all_errors_have_one_root() -> None:
    for name in checkpoint.__all__:
        found = getattr(checkpoint, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, CheckpointError)


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    cp = checkpoint.open(f"sqlite:///{tmp_path}/agents.db")
    cp.save("user-42", {})
    for _ in "ab":
        cp.close()
    other = checkpoint.open_async(f"sqlite:///{tmp_path}/agents.db")

    async def close_twice() -> None:
        for _ in "ab":
            await other.close()

    asyncio.run(close_twice())
