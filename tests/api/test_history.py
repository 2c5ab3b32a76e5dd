"""Looking back: ``history``, ``diff`` and ``document``, and ``label`` to find the way."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from checkpoint import (
    AsyncCheckpointer,
    CheckpointError,
    RevisionNotFound,
    SessionNotFound,
    Snapshot,
)

from .apis import Place
from .models import Support, heard, hearing, hears, said

Dicts = AsyncCheckpointer[dict[str, Any]]
Supports = AsyncCheckpointer[Support]


async def count_to(cp: Dicts, last: int) -> None:
    for n in range(1, last + 1):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n


def revisions(snapshots: list[Snapshot]) -> list[int]:
    return [snapshot.revision for snapshot in snapshots]


# --- history -------------------------------------------------------------------------------------


async def test_history_is_newest_first_and_reads_no_bodies(place: Place, cp: Dicts) -> None:
    await count_to(cp, 5)
    place.calls.clear()
    snapshots = await cp.history("user-42")
    assert sorted(place.calls) == ["attachments", "headers"]
    assert revisions(snapshots) == [5, 4, 3, 2, 1]
    assert [s.parent_revision for s in snapshots] == [4, 3, 2, 1, 0]
    assert [s.kind for s in snapshots] == ["patch"] * 4 + ["base"]
    assert [s.saved_at for s in snapshots] == sorted((s.saved_at for s in snapshots), reverse=True)


async def test_history_tells_the_bytes_of_each_revision(cp: Dicts) -> None:
    async with cp.turn("user-42") as turn:
        turn.state["text"] = "".join(map(chr, range(32, 4000)))
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 1
    patch, base = await cp.history("user-42")
    assert 0 < patch.size < 500 < base.size


async def test_history_is_the_same_snapshot_that_the_save_gave(cp: Dicts) -> None:
    saved = await cp.save("user-42", {"n": 1})
    (found,) = await cp.history("user-42")
    assert found.write_id == saved.write_id
    assert (found.saved_at, found.writer, found.schema) == (
        saved.saved_at,
        saved.writer,
        saved.schema,
    )


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, [3]), (2, [3, 2]), (9, [3, 2, 1])])
async def test_history_gives_at_most_limit(cp: Dicts, limit: int, expected: list[int]) -> None:
    await count_to(cp, 3)
    assert revisions(await cp.history("user-42", limit=limit)) == expected


async def test_history_goes_on_before_where_an_earlier_call_ended(cp: Dicts) -> None:
    await count_to(cp, 5)
    found: list[int] = []
    while page := await cp.history("user-42", limit=2, before=found[-1] if found else None):
        found += revisions(page)
    assert found == [5, 4, 3, 2, 1]


async def test_history_of_a_session_that_is_not_there_raises(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound, match="'user-42'"):
        await cp.history("user-42")
    await cp.save("user-42", {})
    await cp.delete("user-42")
    with pytest.raises(SessionNotFound, match=r"'user-42'.*deleted"):
        await cp.history("user-42")


@pytest.mark.parametrize("last", [3, 4, 5, 8, 9])
async def test_a_history_of_several_pages_comes_whole(
    cp: Dicts, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    for api in ("_async", "_sync"):
        monkeypatch.setattr(f"checkpoint.{api}.history._PAGE", 4)
    await count_to(cp, last)
    newest_first = list(range(last, 0, -1))
    assert revisions(await cp.history("user-42")) == newest_first
    assert revisions(await cp.history("user-42", limit=6)) == newest_first[:6]
    assert revisions(await cp.history("user-42", before=last)) == newest_first[1:]


# --- labels --------------------------------------------------------------------------------------


async def test_history_tells_the_labels_of_each_revision(cp: Dicts) -> None:
    await count_to(cp, 3)
    for label, revision in (("b", 1), ("a", 1), ("newest", None)):
        await cp.label("user-42", label, revision=revision)
    found = {s.revision: s.labels for s in await cp.history("user-42")}
    assert found == {3: ("newest",), 2: (), 1: ("a", "b")}


async def test_a_label_stays_when_the_session_goes_on(cp: Dicts) -> None:
    await count_to(cp, 1)
    labelled = await cp.label("user-42", "first")
    assert (labelled.revision, labelled.labels) == (1, ("first",))
    await count_to(cp, 3)
    assert (await cp.restore("user-42", revision="first")).state == {"n": 1}


async def test_a_label_given_again_moves(cp: Dicts) -> None:
    await count_to(cp, 2)
    await cp.label("user-42", "good", revision=1)
    await cp.label("user-42", "good", revision=2)
    assert (await cp.restore("user-42", revision="good")).revision == 2
    assert [s.labels for s in await cp.history("user-42")] == [("good",), ()]


async def test_a_label_can_name_what_another_label_names(cp: Dicts) -> None:
    await count_to(cp, 2)
    await cp.label("user-42", "good", revision=1)
    assert (await cp.label("user-42", "approved", revision="good")).revision == 1


@pytest.mark.parametrize("label", ["2", "label/x", "größer als 1 😀", "x" * 512])
async def test_a_label_is_any_name(cp: Dicts, label: str) -> None:
    await count_to(cp, 2)
    await cp.label("user-42", label, revision=1)
    assert (await cp.restore("user-42", revision=label)).revision == 1
    assert (await cp.history("user-42"))[1].labels == (label,)


async def test_unlabel_removes_the_name_and_not_the_revision(cp: Dicts) -> None:
    await count_to(cp, 1)
    await cp.label("user-42", "good")
    assert [await cp.unlabel("user-42", "good") for _ in "ab"] == [True, False]
    with pytest.raises(RevisionNotFound, match="'good'"):
        await cp.restore("user-42", revision="good")
    assert (await cp.restore("user-42", revision=1)).state == {"n": 1}
    assert await cp.unlabel("nobody", "good") is False


async def test_only_what_is_there_can_be_labelled(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound):
        await cp.label("user-42", "good")
    await count_to(cp, 1)
    with pytest.raises(RevisionNotFound, match="'user-42', revision 2"):
        await cp.label("user-42", "good", revision=2)
    assert (await cp.history("user-42"))[0].labels == ()


async def test_labels_are_those_of_their_session(cp: Dicts) -> None:
    for session in ("a", "b"):
        await cp.save(session, {"of": session})
        await cp.label(session, "good")
    await cp.unlabel("a", "good")
    assert (await cp.restore("b", revision="good")).state == {"of": "b"}


# --- diff ----------------------------------------------------------------------------------------


async def test_a_diff_reads_as_what_the_turns_did(support: Supports) -> None:
    async with support.turn("user-42") as turn:
        turn.state.memory.extend(map(said, "abc"))
        turn.state.cursors["inbox"] = 1
    async with support.turn("user-42") as turn:
        hears(turn.state, "d")
        turn.state.config.model = "large"
        del turn.state.cursors["inbox"]
        turn.state.cursors["the outbox"] = 2
    async with support.turn("user-42") as turn:
        del turn.state.memory[0]
        turn.state.memory[1].content = "edited"
    assert sorted(map(str, await support.diff("user-42", 1, 2))) == [
        "config.model = 'large'",
        "cursors.inbox: removed",
        "cursors['the outbox'] = 2",
        "memory[3]: +1",
    ]
    assert list(map(str, await support.diff("user-42", 2, 3))) == [
        "memory[0]: -1",
        "memory[1].content = 'edited'",
    ]


async def test_a_diff_backwards_undoes_it(support: Supports) -> None:
    for text in "ab":
        await support.run("user-42", hearing(text))
    assert list(map(str, await support.diff("user-42", 2, 1))) == ["memory[1]: -1"]


async def test_a_change_has_its_parts_for_programs(support: Supports) -> None:
    for text in "ab":
        await support.run("user-42", hearing(text))
    (change,) = await support.diff("user-42", 1, 2)
    assert (change.kind, change.path, change.start, change.deleted) == ("splice", "memory", 1, 0)
    assert change.value == [{"role": "user", "content": "b"}]


async def test_a_long_value_is_shortened_in_a_diff(cp: Dicts) -> None:
    await cp.save("user-42", {"text": ""})
    await cp.overwrite("user-42", {"text": "x" * 10_000})
    (change,) = await cp.diff("user-42", 1, 2)
    assert len(str(change)) < 120
    assert change.value == "x" * 10_000


async def test_a_revision_does_not_differ_from_itself(cp: Dicts) -> None:
    await count_to(cp, 2)
    assert await cp.diff("user-42", 2, 2) == []


async def test_a_diff_takes_labels(cp: Dicts) -> None:
    await count_to(cp, 3)
    await cp.label("user-42", "good", revision=1)
    assert list(map(str, await cp.diff("user-42", "good", 3))) == ["n = 3"]


async def test_a_diff_of_what_is_not_there_raises(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound):
        await cp.diff("user-42", 1, 2)
    await count_to(cp, 1)
    with pytest.raises(RevisionNotFound, match="revision 2"):
        await cp.diff("user-42", 1, 2)
    with pytest.raises(CheckpointError, match="'good'"):
        await cp.diff("user-42", "good", 1)


async def test_a_diff_crosses_schemas(place: Place) -> None:
    class Tutor(BaseModel):
        pupil: str = "Ada"

    await place.open(Tutor, version=1).save("user-42", Tutor())
    second = place.open(Tutor, version=2)
    await second.overwrite("user-42", Tutor(pupil="Bob"))
    assert list(map(str, await place.open().diff("user-42", 1, 2))) == ["pupil = 'Bob'"]


# --- document ------------------------------------------------------------------------------------


async def test_a_document_is_plain_data_whatever_the_schema(place: Place) -> None:
    support = place.open(Support)
    await support.save("user-42", Support(cursors={"inbox": 1}))
    for cp in (support, place.open()):
        document = await cp.document("user-42")
        assert document == {
            "config": {"model": "small", "stop_words": []},
            "memory": [],
            "cursors": {"inbox": 1},
        }
        assert type(document) is dict
        assert type(document["memory"]) is list


async def test_a_document_of_any_revision(cp: Dicts) -> None:
    await count_to(cp, 3)
    await cp.label("user-42", "good", revision=2)
    assert [await cp.document("user-42", revision=r) for r in (1, "good", None)] == [
        {"n": 1},
        {"n": 2},
        {"n": 3},
    ]
    with pytest.raises(RevisionNotFound):
        await cp.document("user-42", revision=4)


async def test_a_document_is_the_callers_to_change(support: Supports) -> None:
    await support.run("user-42", hearing("hi"))
    (await support.document("user-42"))["memory"].clear()
    assert heard((await support.restore("user-42")).state) == ["hi"]
