"""Whole sessions: ``fork``, ``rollback``, ``delete``, ``sessions``, and namespaces."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, Conflict, RevisionNotFound, SessionNotFound

from .apis import Place
from .models import Support, heard, hearing, hears

Dicts = AsyncCheckpointer[dict[str, Any]]
Supports = AsyncCheckpointer[Support]


async def talk(cp: Supports, session_id: str, *texts: str) -> None:
    for text in texts:
        await cp.run(session_id, hearing(text))


async def told(cp: Supports, session_id: str, revision: int | str | None = None) -> list[str]:
    return heard((await cp.restore(session_id, revision=revision)).state)


async def ids(cp: AsyncCheckpointer[Any], prefix: str = "") -> list[str]:
    return [session.session_id async for session in cp.sessions(prefix)]


# --- fork ----------------------------------------------------------------------------------------


async def test_a_fork_starts_as_its_source_is_and_notes_it(support: Supports) -> None:
    await talk(support, "user-42", "a", "b")
    snapshot = await support.fork("user-42", "what-if")
    assert (snapshot.session_id, snapshot.revision) == ("what-if", 1)
    assert (snapshot.parent_revision, snapshot.source) == (0, ("user-42", 2))
    restored = await support.restore("what-if")
    assert heard(restored.state) == ["a", "b"]
    assert restored.snapshot == snapshot


@pytest.mark.parametrize("revision", [1, "good"])
async def test_a_fork_can_start_from_any_revision(support: Supports, revision: int | str) -> None:
    await talk(support, "user-42", "a", "b", "c")
    await support.label("user-42", "good", revision=1)
    snapshot = await support.fork("user-42", "what-if", revision=revision)
    assert snapshot.source == ("user-42", 1)
    assert await told(support, "what-if") == ["a"]


async def test_a_fork_is_independent_of_its_source(support: Supports) -> None:
    await talk(support, "user-42", "a")
    await support.fork("user-42", "what-if")
    await talk(support, "what-if", "only in the fork")
    await talk(support, "user-42", "only in the source")
    assert await told(support, "what-if") == ["a", "only in the fork"]
    assert await told(support, "user-42") == ["a", "only in the source"]
    await support.delete("user-42")
    assert await told(support, "what-if") == ["a", "only in the fork"]
    assert len(await support.history("what-if")) == 2


async def test_a_fork_does_not_take_the_labels_along(support: Supports) -> None:
    await talk(support, "user-42", "a")
    await support.label("user-42", "good")
    await support.fork("user-42", "what-if")
    assert [s.labels for s in await support.history("what-if")] == [()]


async def test_a_fork_keeps_the_schema_of_its_source(place: Place, support: Supports) -> None:
    await talk(support, "user-42", "a")
    snapshot = await place.open().fork("user-42", "what-if")
    assert str(snapshot.schema) == "support v1"
    assert await told(support, "what-if") == ["a"]


@pytest.mark.parametrize("target", ["taken", "user-42"])
async def test_a_fork_does_not_replace_a_session(support: Supports, target: str) -> None:
    await talk(support, "user-42", "a")
    await talk(support, "taken", "b")
    with pytest.raises(Conflict, match=f"session '{target}'") as raised:
        await support.fork("user-42", target)
    assert raised.value.current_revision == 1
    assert await told(support, "taken") == ["b"]
    assert len(await support.history(target)) == 1


async def test_a_fork_that_is_overtaken_raises_conflict(place: Place, support: Supports) -> None:
    await talk(support, "user-42", "a")
    place.before_commit.append(lambda: place.rival(Support).save("what-if", Support()))
    with pytest.raises(Conflict):
        await support.fork("user-42", "what-if")
    assert await told(support, "what-if") == []


async def test_a_fork_onto_a_deleted_session_makes_it_anew(support: Supports) -> None:
    await talk(support, "user-42", "a")
    await talk(support, "what-if", "old")
    await support.delete("what-if")
    assert (await support.fork("user-42", "what-if")).revision == 3
    assert await told(support, "what-if") == ["a"]


async def test_a_fork_of_what_is_not_there_raises(support: Supports) -> None:
    with pytest.raises(SessionNotFound, match="'user-42'"):
        await support.fork("user-42", "what-if")
    await talk(support, "user-42", "a")
    with pytest.raises(RevisionNotFound, match="'user-42', revision 2"):
        await support.fork("user-42", "what-if", revision=2)
    assert await ids(support) == ["user-42"]


# --- rollback ------------------------------------------------------------------------------------


@pytest.mark.promise("history-kept")
@pytest.mark.parametrize("revision", [1, "good"])
async def test_a_rollback_is_a_new_revision_and_history_stays(
    support: Supports, revision: int | str
) -> None:
    await talk(support, "user-42", "a", "b", "c")
    await support.label("user-42", "good", revision=1)
    snapshot = await support.rollback("user-42", revision)
    assert (snapshot.revision, snapshot.parent_revision) == (4, 3)
    assert snapshot.source == ("user-42", 1)
    assert await told(support, "user-42") == ["a"]
    for number in (1, 2, 3):
        assert await told(support, "user-42", number) == ["a", "b", "c"][:number]
    await talk(support, "user-42", "instead")
    assert await told(support, "user-42", 5) == ["a", "instead"]


async def test_a_rollback_can_be_rolled_back(support: Supports) -> None:
    await talk(support, "user-42", "a", "b")
    await support.rollback("user-42", 1)
    await support.rollback("user-42", 2)
    assert await told(support, "user-42") == ["a", "b"]


async def test_who_held_the_state_before_a_rollback_gets_the_conflict(support: Supports) -> None:
    await talk(support, "user-42", "a", "b")
    mine = (await support.restore("user-42")).state
    await support.rollback("user-42", 1)
    hears(mine, "late")
    with pytest.raises(Conflict) as raised:
        await support.save("user-42", mine)
    assert (raised.value.parent_revision, raised.value.current_revision) == (2, 3)


async def test_a_rollback_that_is_overtaken_raises_conflict(
    place: Place, support: Supports
) -> None:
    await talk(support, "user-42", "a", "b")
    rival = place.rival(Support)
    place.before_commit.append(lambda: rival.run("user-42", hearing("c")))
    with pytest.raises(Conflict) as raised:
        await support.rollback("user-42", 1)
    assert (raised.value.parent_revision, raised.value.current_revision) == (2, 3)
    assert await told(support, "user-42") == ["a", "b", "c"]


async def test_a_rollback_to_what_is_not_there_raises(support: Supports) -> None:
    with pytest.raises(SessionNotFound):
        await support.rollback("user-42", 1)
    await talk(support, "user-42", "a")
    for missing in (2, "good"):
        with pytest.raises(RevisionNotFound):
            await support.rollback("user-42", missing)
    assert len(await support.history("user-42")) == 1


# --- delete --------------------------------------------------------------------------------------


async def test_delete_removes_a_session_and_tells_whether_there_was_one(cp: Dicts) -> None:
    assert await cp.delete("user-42") is False
    await cp.save("user-42", {"n": 1})
    assert await cp.delete("user-42") is True
    assert await cp.delete("user-42") is False


async def test_nothing_of_a_deleted_session_is_found(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    await cp.label("user-42", "good")
    await cp.delete("user-42")
    for revision in (None, 1, 2, "good"):
        for look in (cp.restore, cp.document):
            with pytest.raises(SessionNotFound, match=r"'user-42'.*deleted"):
                await look("user-42", revision=revision)
    with pytest.raises(SessionNotFound):
        await cp.rollback("user-42", 1)
    with pytest.raises(SessionNotFound):
        await cp.fork("user-42", "other")
    with pytest.raises(SessionNotFound):
        await cp.label("user-42", "good")
    assert await cp.unlabel("user-42", "good") is False
    assert await ids(cp) == []


async def test_a_session_made_again_goes_on_counting_and_knows_nothing_of_the_old(
    cp: Dicts,
) -> None:
    for n in (1, 2):
        await cp.overwrite("user-42", {"n": n})
    await cp.label("user-42", "good")
    await cp.delete("user-42")
    async with cp.turn("user-42") as turn:
        assert (turn.state, turn.revision) == ({}, 0)
        turn.state["n"] = "anew"
    assert turn.revision == 4
    (only,) = await cp.history("user-42")
    assert (only.revision, only.labels) == (4, ())
    with pytest.raises(RevisionNotFound):
        await cp.restore("user-42", revision="good")
    assert await ids(cp) == ["user-42"]


async def test_a_session_can_be_deleted_and_made_again_many_times(cp: Dicts) -> None:
    for round in range(5):
        assert (await cp.save("user-42", {"round": round})).revision == 2 * round + 1
        assert await cp.delete("user-42")


async def test_delete_does_not_mind_being_overtaken(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    rival = place.rival()
    place.before_commit.append(lambda: rival.overwrite("user-42", {"n": 2}))
    assert await cp.delete("user-42") is True
    with pytest.raises(SessionNotFound):
        await cp.restore("user-42")


async def test_delete_at_once_with_another_delete_is_told_to_one(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    rival = place.rival()
    place.before_commit.append(lambda: rival.delete("user-42"))
    assert await cp.delete("user-42") is False


# --- sessions ------------------------------------------------------------------------------------


async def test_sessions_tell_revision_and_time(cp: Dicts) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
    for n in (1, 2):
        await cp.overwrite("user-42", {"n": n})
    (session,) = [session async for session in cp.sessions()]
    assert (session.namespace, session.session_id, session.revision) == ("default", "user-42", 2)
    assert before <= session.saved_at <= dt.datetime.now(dt.UTC)


async def test_sessions_come_in_byte_order_of_their_ids(cp: Dicts) -> None:
    names = ["a", "B", "a/b", "a b", "é", "\uffee", "😀", "z", "%", "_"]
    for name in names:
        await cp.save(name, {})
    assert await ids(cp) == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["%a", "_a", "a", "a%b", "a_b", "aab", "b", "é", "éa", "\U0010ffff", "\U0010ffffa"]),
        ("a", ["a", "a%b", "a_b", "aab"]),
        ("A", []),
        ("a%", ["a%b"]),
        ("a_", ["a_b"]),
        ("%", ["%a"]),
        ("é", ["é", "éa"]),
        ("\U0010ffff", ["\U0010ffff", "\U0010ffffa"]),
        ("c", []),
    ],
)
async def test_sessions_of_a_prefix(cp: Dicts, prefix: str, expected: list[str]) -> None:
    for name in ["%a", "_a", "a", "a%b", "a_b", "aab", "b", "é", "éa", "\U0010ffff", "\U0010ffffa"]:
        await cp.save(name, {})
    assert await ids(cp, prefix) == expected


async def test_more_sessions_than_a_page_come_once_each(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    names = [f"user/{n:04}" for n in range(502)]
    for name in ["before", *names, "zzz"]:
        rival.overwrite(name, {})
    for deleted in (names[0], names[499], names[500]):
        rival.delete(deleted)
        names.remove(deleted)
    assert await ids(cp, "user/") == names
    rival.save("user/0499", {"made": "again"})
    rival.save("user/0500", {"made": "again"})
    place.calls.clear()
    assert len(await ids(cp, "user/")) == 501
    assert place.calls == ["sessions", "sessions"]


async def test_a_listing_can_be_left_early(place: Place, cp: Dicts) -> None:
    for name in "abc":
        await cp.save(name, {})
    place.calls.clear()
    async for session in cp.sessions():
        assert session.session_id == "a"
        break
    assert place.calls == ["sessions"]


# --- namespaces ----------------------------------------------------------------------------------


async def test_a_session_is_not_seen_from_another_namespace(place: Place) -> None:
    one, other = place.open(namespace="one"), place.open(namespace="other")
    await one.save("user-42", {"n": 1})
    await one.label("user-42", "good")
    for look in (other.restore, other.document, other.history):
        with pytest.raises(SessionNotFound, match="session 'user-42', namespace 'other'") as raised:
            await look("user-42")
        assert raised.value.namespace == "other"
    assert await ids(other) == []
    assert await other.delete("user-42") is False
    assert await other.unlabel("user-42", "good") is False
    with pytest.raises(SessionNotFound):
        await other.fork("user-42", "mine")
    assert (await one.restore("user-42", revision="good")).state == {"n": 1}


async def test_the_same_id_in_two_namespaces_is_two_sessions(place: Place) -> None:
    one, other = place.open(namespace="one"), place.open(namespace="other")
    for cp, n in ((one, 1), (other, 2)):
        async with cp.turn("user-42", turn_id="message-1") as turn:
            assert not turn.replayed
            turn.state["n"] = n
    await one.overwrite("user-42", {"n": 3})
    assert (await other.restore("user-42")).state == {"n": 2}
    await one.delete("user-42")
    assert (await other.restore("user-42")).state == {"n": 2}


async def test_namespaces_compare_byte_by_byte_and_do_not_nest(place: Place) -> None:
    for namespace in ("a", "A", "a/b", "default"):
        await place.open(namespace=namespace).save("b/c", {"in": namespace})
    for namespace in ("a", "A", "a/b", "default"):
        cp = place.open(namespace=namespace)
        assert (await cp.restore("b/c")).state == {"in": namespace}
        assert await ids(cp) == ["b/c"]
    assert (await place.open().restore("b/c")).state == {"in": "default"}
