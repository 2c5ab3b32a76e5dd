"""``restore``: any revision comes back whole in any process, or a typed error says why not."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    InvalidState,
    Memory,
    RevisionNotFound,
    SchemaChanged,
    SchemaMismatch,
    SessionNotFound,
)

from .apis import Place
from .models import Message, Support, SupportConfig, heard, hearing, hears, said

Dicts = AsyncCheckpointer[dict[str, Any]]
Supports = AsyncCheckpointer[Support]


async def talk(cp: Supports, *texts: str) -> None:
    for text in texts:
        await cp.run("user-42", hearing(text))


# --- what comes back -----------------------------------------------------------------------------


async def test_the_newest_state_comes_back_equal_and_typed(place: Place) -> None:
    saved = Support(
        config=SupportConfig(model="large", stop_words=["stop"]),
        memory=Memory([said("hi")]),
        cursors={"inbox": 7},
    )
    await place.open(Support).save("user-42", saved)
    restored = await place.open(Support).restore("user-42")
    assert restored.state == saved
    assert type(restored.state) is Support
    assert type(restored.state.memory) is Memory
    assert type(restored.state.memory[0]) is Message
    assert restored.agent is restored.state


@pytest.mark.promise("history-kept")
async def test_every_revision_comes_back_as_it_was(support: Supports) -> None:
    texts = list("abcdef")
    await talk(support, *texts)
    for number in (3, 1, 6, 2, 5, 4):
        restored = await support.restore("user-42", revision=number)
        assert heard(restored.state) == texts[:number]
        assert restored.revision == restored.snapshot.revision == number


async def test_a_revision_comes_back_by_its_label(support: Supports) -> None:
    await talk(support, "a", "b", "c")
    await support.label("user-42", "before the upgrade", revision=2)
    restored = await support.restore("user-42", revision="before the upgrade")
    assert restored.revision == 2
    assert heard(restored.state) == ["a", "b"]


async def test_each_restore_gives_a_state_of_its_own(support: Supports) -> None:
    await talk(support, "hi")
    one, other = await support.restore("user-42"), await support.restore("user-42")
    hears(one.state, "only here")
    one.state.memory[0].content = "only here"
    one.state.config.stop_words.append("only here")
    assert heard(other.state) == ["hi"]
    assert (await support.restore("user-42")).state == other.state


async def test_plain_dicts_of_two_restores_share_nothing(cp: Dicts) -> None:
    await cp.save("user-42", {"memory": [{"text": "hi"}]})
    one, other = await cp.restore("user-42"), await cp.restore("user-42")
    one.state["memory"][0]["text"] = "only here"
    assert other.state == {"memory": [{"text": "hi"}]}


async def test_a_snapshot_tells_who_saved_what_and_when(place: Place) -> None:
    cp = place.open(Support, namespace="tenant", replica="blue")
    async with cp.turn("user-42", turn_id="message-1") as turn:
        hears(turn.state, "hi")
    snapshot = (await cp.restore("user-42")).snapshot
    assert snapshot == turn.snapshot
    assert (snapshot.namespace, snapshot.session_id, snapshot.revision) == ("tenant", "user-42", 1)
    assert (snapshot.kind, snapshot.turn_id, snapshot.source) == ("base", "message-1", None)
    assert snapshot.writer.name == "blue"
    assert (snapshot.schema.name, snapshot.schema.version) == ("support", 1)
    assert snapshot.saved_at.tzinfo is dt.UTC


# --- what is not there ---------------------------------------------------------------------------


async def test_a_session_that_never_was_is_told_as_that(cp: Dicts) -> None:
    with pytest.raises(
        SessionNotFound, match=r"session 'nobody': there is no session with this id"
    ) as raised:
        await cp.restore("nobody")
    assert raised.value.session_id == "nobody"
    assert isinstance(raised.value, LookupError)


@pytest.mark.parametrize("revision", [1, 0, -1, "label"])
async def test_any_revision_of_a_session_that_never_was_is_told_as_no_session(
    cp: Dicts, revision: int | str
) -> None:
    with pytest.raises(SessionNotFound, match="'nobody'"):
        await cp.restore("nobody", revision=revision)


@pytest.mark.parametrize("revision", [3, 0, -1, 2**70])
async def test_a_revision_that_never_was_is_told_with_the_newest(cp: Dicts, revision: int) -> None:
    await cp.save("user-42", {"n": 1})
    await cp.overwrite("user-42", {"n": 2})
    with pytest.raises(RevisionNotFound) as raised:
        await cp.restore("user-42", revision=revision)
    message = str(raised.value)
    assert message.startswith(f"session 'user-42', revision {revision}: ")
    assert "the newest is 2" in message
    assert (raised.value.session_id, raised.value.revision) == ("user-42", revision)
    assert isinstance(raised.value, LookupError)


async def test_a_label_that_is_not_there_is_told_with_those_that_are(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    with pytest.raises(RevisionNotFound, match=r"'user-42'.* no label 'green'; its labels: none"):
        await cp.restore("user-42", revision="green")
    for label in ("red", "blue"):
        await cp.label("user-42", label)
    with pytest.raises(RevisionNotFound, match="its labels: 'blue', 'red'"):
        await cp.restore("user-42", revision="green")


async def test_a_revision_from_before_a_delete_is_not_there_any_more(cp: Dicts) -> None:
    for n in (1, 2):
        await cp.overwrite("user-42", {"n": n})
    await cp.delete("user-42")
    await cp.save("user-42", {"n": "anew"})
    for revision in (1, 2, 3):  # the third is the tombstone's
        with pytest.raises(RevisionNotFound) as raised:
            await cp.restore("user-42", revision=revision)
        assert raised.value.revision == revision
    assert (await cp.restore("user-42", revision=4)).state == {"n": "anew"}


# --- another model -------------------------------------------------------------------------------


@pytest.mark.promise("checked-restores")
async def test_another_schema_is_told_with_both_names(place: Place) -> None:
    class Sales(AgentState, schema="sales", version=1):
        pass

    await place.open(Support).save("user-42", Support())
    with pytest.raises(SchemaMismatch) as raised:
        await place.open(Sales).restore("user-42")
    message = str(raised.value)
    assert message.startswith("session 'user-42', revision 1: ")
    assert "'support'" in message
    assert "'sales'" in message
    assert isinstance(raised.value, TypeError)


async def test_dicts_and_models_are_not_mixed_up(place: Place) -> None:
    await place.open(Support).save("model", Support())
    await place.open().save("dict", {})
    with pytest.raises(SchemaMismatch, match=r"'support'.*'dict'"):
        await place.open().restore("model")
    with pytest.raises(SchemaMismatch, match=r"'dict'.*'support'"):
        await place.open(Support).restore("dict")


@pytest.mark.parametrize(("code", "side"), [(1, "newer"), (3, "older")])
async def test_another_version_is_told_with_both_and_the_side(
    place: Place, code: int, side: str
) -> None:
    class Plain(BaseModel):
        n: int = 0

    await place.open(Plain, version=2).save("user-42", Plain())
    with pytest.raises(SchemaMismatch) as raised:
        await place.open(Plain, version=code).restore("user-42")
    for part in ("session 'user-42', revision 1: ", "version 2", side, f"version {code}"):
        assert part in str(raised.value)


@pytest.mark.promise("checked-restores")
async def test_a_model_changed_without_a_version_is_told_field_by_field(place: Place) -> None:
    class Before(BaseModel):
        kept: int = 0
        gone: str = ""
        changed: int = 0

    class After(BaseModel):
        kept: int = 0
        changed: str = ""
        needed: bytes

    await place.open(Before, schema="s").save("user-42", Before())
    after = place.open(After, schema="s")
    with pytest.raises(SchemaChanged) as raised:
        await after.restore("user-42")
    error = raised.value
    assert set(error.changes) == {
        "gone: str (with a default) was removed",
        "needed: bytes was added",
        "changed: int (with a default) became str (with a default)",
    }
    for part in ("session 'user-42', revision 1: ", "raise the version", *error.changes):
        assert part in str(error)
    assert isinstance(error, SchemaMismatch)
    with pytest.raises(SchemaChanged):
        async with after.turn("user-42"):
            pytest.fail("the turn was entered")


async def test_fields_added_with_defaults_are_no_other_model(place: Place) -> None:
    class Before(BaseModel):
        n: int = 0

    class After(BaseModel):
        n: int = 0
        tags: list[str] = ["new"]

    await place.open(Before, schema="s").save("user-42", Before(n=1))
    after = place.open(After, schema="s")
    assert (await after.restore("user-42")).state == After(n=1, tags=["new"])
    place.calls.clear()
    async with after.turn("user-42") as turn:
        pass
    assert (turn.revision, place.calls) == (1, ["read"])
    async with after.turn("user-42") as turn:
        turn.state.n = 2
    assert turn.revision == 2
    assert (await place.open(After, schema="s").restore("user-42")).state == After(n=2)


@pytest.mark.promise("checked-restores")
async def test_a_value_the_model_refuses_is_told_with_its_path(place: Place) -> None:
    class Loose(BaseModel):
        ages: list[int] = []

    class Strict(BaseModel):
        ages: list[Annotated[int, Field(lt=100)]] = []

    await place.open(Loose, schema="s").save("user-42", Loose(ages=[1, 200]))
    with pytest.raises(InvalidState, match=r"^session 'user-42', revision 1, at ages\[1\]: ") as e:
        await place.open(Strict, schema="s").restore("user-42")
    assert (e.value.session_id, e.value.revision, e.value.path) == ("user-42", 1, "ages[1]")
    assert isinstance(e.value, ValueError)
