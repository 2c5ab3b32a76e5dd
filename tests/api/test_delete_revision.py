"""``delete_revision``: one revision goes, and all around it is as it was."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

import checkpoint
from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    Damaged,
    InvalidOption,
    Memory,
    Retention,
    RevisionNotFound,
    RevisionPruned,
    SessionNotFound,
    Snapshot,
    StoreUnavailable,
)
from checkpoint._records.frame import DIGEST_SIZE
from checkpoint._records.header import Kind, read_header
from checkpoint.store import InMemoryStore, Pruning, Store

from .apis import Place
from .hooked import hooked, key, lose

Dicts = AsyncCheckpointer[dict[str, Any]]
NO_GRACE = dt.timedelta(0)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a kilobyte instead of many, so that small states have some."""
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 1024)


@pytest.fixture
def cp(place: Place) -> Dicts:
    """A checkpointer that restores what is stored, and remembers nothing."""
    return place.open(cache_bytes=0)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """The store itself, to look behind the API."""
    store = place._store()
    yield store
    if place.url != "memory://":
        store.close()


def long_list(number: int = 30) -> list[str]:
    return [os.urandom(60).hex() for _ in range(number)]


async def begin(cp: Dicts) -> dict[int, dict[str, Any]]:
    """Three segments of four revisions, each of a turn that returned its number."""
    states: dict[int, dict[str, Any]] = {}

    def turn(state: dict[str, Any]) -> int:
        state["n"] = len(states) + 1
        state.setdefault("memory", []).extend(long_list(6))
        return len(states) + 1

    for _ in range(3):
        for n in range(4):
            if n == 0 and states:
                await cp.rollback("user-42", len(states))
            else:
                await cp.run("user-42", turn, turn_id=f"turn {len(states) + 1}")
            states[len(states) + 1] = await cp.document("user-42")
    assert [s.kind for s in await cp.history("user-42")] == ["patch", "patch", "patch", "base"] * 3
    return states


async def check(cp: Dicts, states: dict[int, dict[str, Any]], *gone: int) -> None:
    """All but these revisions can be restored as they were."""
    assert await cp.verify("user-42") == []
    left = [snapshot.revision for snapshot in await cp.history("user-42")]
    assert left == sorted(set(states) - set(gone), reverse=True)
    for n, state in states.items():
        if n in gone:
            with pytest.raises(RevisionPruned, match=f"revision {n}: "):
                await cp.restore("user-42", revision=n)
        else:
            assert await cp.document("user-42", revision=n) == state


def identity(snapshot: Snapshot) -> tuple[Any, ...]:
    """What must not change of a revision; whether it is stored whole may."""
    names = set(Snapshot.__match_args__) - {"kind", "size"}
    return tuple(getattr(snapshot, name) for name in sorted(names))


@pytest.mark.promise("history-kept")
@pytest.mark.parametrize("revision", range(1, 12))
async def test_one_revision_goes_and_all_others_stay(cp: Dicts, revision: int) -> None:
    states = await begin(cp)
    before = {s.revision: identity(s) for s in await cp.history("user-42")}
    size = {s.revision: s.size for s in await cp.history("user-42")}[revision]
    deleted = await cp.delete_revision("user-42", revision)
    assert (deleted.removed, deleted.revisions) == (((revision, revision),), 1)
    assert deleted.bytes >= size
    await check(cp, states, revision)
    after = {s.revision: identity(s) for s in await cp.history("user-42")}
    assert after == {n: known for n, known in before.items() if n != revision}
    async with cp.turn("user-42") as turn:
        turn.state["n"] = "goes on"
    assert turn.revision == 13
    assert await cp.verify("user-42") == []


@pytest.mark.parametrize("seed", range(4))
async def test_all_revisions_but_the_newest_can_go_in_any_order(cp: Dicts, seed: int) -> None:
    states = await begin(cp)
    order = Random(seed).sample(range(1, 12), 11)
    for number, revision in enumerate(order):
        await cp.delete_revision("user-42", revision)
        await check(cp, states, *order[: number + 1])


async def test_every_turn_still_counts_as_delivered_and_has_its_result(cp: Dicts) -> None:
    await begin(cp)
    for gone in (2, 10):
        await cp.delete_revision("user-42", gone)
        for n in sorted(set(range(1, 13)) - {5, 9}):  # those are rollbacks
            assert await cp.run("user-42", lambda state: 0, turn_id=f"turn {n}") == n
    assert (await cp.history("user-42"))[0].revision == 12


async def test_the_new_base_notes_what_it_was_made_from(cp: Dicts, store: Store) -> None:
    await begin(cp)
    segment = store.read(key("user-42"), 2)
    assert segment is not None
    gone, _ = read_header(segment.records[-1])
    await cp.delete_revision("user-42", 2)
    ((base, _),) = store.headers(key("user-42"), 4, 1, bases=True)
    header, _ = read_header(base)
    assert header.kind is Kind.BASE
    assert (header.revision, header.parent_revision) == (3, 2)
    assert header.parent_write_id == gone.write_id
    assert header.parent_digest == segment.records[-1].body[-DIGEST_SIZE:]


async def test_pages_that_only_it_needed_go_with_it(cp: Dicts, store: Store) -> None:
    for _ in range(3):
        await cp.overwrite("user-42", {"memory": long_list()})
    before = {page.id for page in store.list_pages(key("user-42"))}
    deleted = await cp.delete_revision("user-42", 2)
    left = {page.id for page in store.list_pages(key("user-42"))}
    assert deleted.pages == len(before - left) == len(before) // 3
    assert await cp.verify("user-42") == []


async def test_a_fork_of_it_stays(cp: Dicts) -> None:
    states = await begin(cp)
    await cp.fork("user-42", "fork", revision=5)
    await cp.delete_revision("user-42", 5)
    await check(cp, states, 5)
    assert await cp.document("fork") == states[5]
    assert await cp.verify("fork") == []


async def test_a_fork_lets_go_of_its_source_with_the_revision_that_needed_it(
    cp: Dicts, store: Store
) -> None:
    await cp.save("source", {"memory": long_list()})
    await cp.fork("source", "user-42")
    await cp.overwrite("user-42", {"memory": []})
    assert store.attachments(key("source"))
    await cp.delete_revision("user-42", 1)
    assert store.attachments(key("source")) == []


async def test_what_is_there_no_more_or_stands_under_something_is_refused(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound):
        await cp.delete_revision("user-42", 1)
    states = await begin(cp)
    with pytest.raises(InvalidOption, match="'user-42', revision 12: it is the newest"):
        await cp.delete_revision("user-42", 12)
    with pytest.raises(RevisionNotFound, match="the newest is 12"):
        await cp.delete_revision("user-42", 13)
    with pytest.raises(InvalidOption, match="by its number"):
        await cp.delete_revision("user-42", "good")  # type: ignore[arg-type]
    for name in ("good", "better"):
        await cp.label("user-42", name, revision=3)
    with pytest.raises(InvalidOption, match=r"'better', 'good'; .*unlabel"):
        await cp.delete_revision("user-42", 3)
    for name in ("good", "better"):
        await cp.unlabel("user-42", name)
    await cp.delete_revision("user-42", 3)
    await check(cp, states, 3)
    with pytest.raises(RevisionPruned):
        await cp.delete_revision("user-42", 3)


async def test_labels_of_others_stay(cp: Dicts) -> None:
    states = await begin(cp)
    for n in (2, 4):
        await cp.label("user-42", f"at {n}", revision=n)
    await cp.delete_revision("user-42", 3)
    for n in (2, 4):
        assert (await cp.restore("user-42", revision=f"at {n}")).state == states[n]


async def test_a_segment_that_cannot_be_read_cannot_be_written_anew(
    cp: Dicts, store: Store
) -> None:
    states = await begin(cp)
    segment = store.read(key("user-42"), 3)
    assert segment is not None
    head, record = segment.head, segment.records[-1]
    broken = record._replace(body=record.body[:-1] + bytes([record.body[-1] ^ 1]))
    store.prune(key("user-42"), Pruning(head, head, (), ((broken, 1),)))
    for revision in (2, 3):
        with pytest.raises(Damaged, match="revision 3"):
            await cp.delete_revision("user-42", revision)
    await cp.delete_revision("user-42", 5)
    assert await cp.document("user-42", revision=6) == states[6]


# --- races ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["a patch", "a base"])
@pytest.mark.parametrize("revision", [9, 10, 11])
async def test_a_save_under_way_goes_on_from_what_was_written_anew(
    place: Place, revision: int, whole: bool
) -> None:
    cp, hooks = hooked(place)
    states = await begin(cp)
    theirs = place.rival()
    hooks.before["commit"] = [lambda: theirs.delete_revision("user-42", revision)]
    async with cp.turn("user-42") as turn:
        turn.state["n"] = "goes on"
        if whole:
            turn.state["memory"] = long_list(300)
    assert turn.revision == 13
    states[13] = dict(turn.state)
    await check(cp, states, revision)


async def test_a_save_that_comes_first_makes_it_look_again(place: Place) -> None:
    cp, hooks = hooked(place)
    states = await begin(cp)
    theirs = place.rival()

    def save() -> None:
        states[13] = theirs.run("user-42", lambda state: {**state, **(state.update(m=1) or state)})

    hooks.before["prune"] = [save]
    await cp.delete_revision("user-42", 10)
    await check(cp, states, 10)


@pytest.mark.parametrize("becomes", ["done", "not done", "done late"])
@pytest.mark.parametrize("revision", [1, 4, 10])
async def test_a_lost_answer_is_found_out(place: Place, revision: int, becomes: str) -> None:
    cp, hooks = hooked(place)
    states = await begin(cp)
    if becomes == "done late":
        hooks.late = ["prune"]
        hooks.before["attachments"] = [lambda: None, hooks.arrive]
    else:
        (hooks.after if becomes == "done" else hooks.before)["prune"] = [lose]
    deleted = await cp.delete_revision("user-42", revision)
    assert deleted.removed == ((revision, revision),)
    await check(cp, states, revision)


@pytest.mark.usefixtures("_no_pauses")
async def test_an_outage_is_told_and_the_next_try_does_it(place: Place) -> None:
    cp, hooks = hooked(place)
    states = await begin(cp)
    hooks.before["prune"] = [lose] * 100
    with pytest.raises(StoreUnavailable):
        await cp.delete_revision("user-42", 10)
    hooks.before.clear()
    await check(cp, states)
    await cp.delete_revision("user-42", 10)
    await check(cp, states, 10)


async def test_a_replica_that_knows_the_session_sees_it_at_once(place: Place) -> None:
    states = await begin(place.open())
    knowing = place.open()
    assert await knowing.document("user-42") == states[12]
    await place.open().delete_revision("user-42", 10)
    assert await knowing.document("user-42") == states[12]
    with pytest.raises(RevisionPruned):
        await knowing.document("user-42", revision=10)
    async with knowing.turn("user-42") as turn:
        turn.state["n"] = "goes on"
    assert await place.open().verify("user-42") == []


async def test_a_rule_counts_by_numbers_whether_or_not_they_are_there(cp: Dicts) -> None:
    states = await begin(cp)
    for revision in (11, 10):
        await cp.delete_revision("user-42", revision)
    assert (await cp.prune("user-42", Retention(keep_last=4))).removed == ((1, 8),)
    await check(cp, states, *range(1, 9), 10, 11)


# --- big values ----------------------------------------------------------------------------------


async def test_big_values_stay_in_their_pages_if_nobody_touched_them(
    cp: Dicts, store: Store
) -> None:
    text, names = os.urandom(20_000).hex(), dict.fromkeys(long_list(100), 1)
    states = {1: {"text": text, "names": names, "n": 1}}
    await cp.save("user-42", states[1])
    for n in (2, 3, 4):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
            states[n] = dict(turn.state)
    before = store.list_pages(key("user-42"))
    for revision in (2, 1):
        await cp.delete_revision("user-42", revision)
    await check(cp, states, 1, 2)
    assert store.list_pages(key("user-42")) == before
    assert max(snapshot.size for snapshot in await cp.history("user-42")) < 2000


async def test_big_values_that_were_changed_are_as_they_were(cp: Dicts) -> None:
    text, names = os.urandom(2000).hex(), dict.fromkeys(long_list(60), 1)
    states = {1: {"text": text, "names": names}}
    await cp.save("user-42", states[1])
    for n in range(2, 8):
        async with cp.turn("user-42") as turn:
            turn.state["names"] = {**turn.state["names"], f"name {n}": n}
            turn.state["text"] += f" and {n}"
            states[n] = dict(turn.state)
    assert [s.kind for s in await cp.history("user-42")] == [*["patch"] * 6, "base"]
    for gone in ([3], [3, 1], [3, 1, 2], [3, 1, 2, 6]):
        await cp.delete_revision("user-42", gone[-1])
        await check(cp, states, *gone)


class Notes(AgentState, schema="notes", version=1):
    """A state that remembers which pages its text is in."""

    text: str = ""
    memory: Memory[str] = Memory()


async def test_a_state_that_knows_a_big_value_can_name_its_pages_again(place: Place) -> None:
    cp = place.open(Notes)
    theirs = place.rival()
    await cp.save("user-42", Notes(text=os.urandom(2000).hex()))
    async with cp.turn("user-42") as turn:
        turn.state.text += " and more"
    held = (await cp.restore("user-42")).state
    theirs.delete_revision("user-42", 1)
    for more, kind in (1, "patch"), (300, "base"):
        held.memory.extend(long_list(more))
        assert (await cp.save("user-42", held)).kind == kind
    assert theirs.verify("user-42") == []
    assert (await place.open(Notes).restore("user-42")).state == held


# --- stores that do not rewrite records ----------------------------------------------------------


class NotRewriting(InMemoryStore):
    rewrites = False


async def test_without_rewriting_only_the_last_of_a_segment_goes() -> None:
    store = NotRewriting()
    cp = checkpoint.open_async(store, cache_bytes=0)
    states = await begin(cp)
    before = store.headers(key("user-42"), None, 99)
    with pytest.raises(InvalidOption, match="retention rule") as raised:
        await cp.delete_revision("user-42", 2)
    assert raised.value.revision == 2
    assert store.headers(key("user-42"), None, 99) == before
    await cp.delete_revision("user-42", 4)
    await check(cp, states, 4)
