"""``prune`` and ``sweep``: what no rule keeps goes, with the pages that nothing needs; no more."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

import pytest

import checkpoint
from checkpoint import (
    AsyncCheckpointer,
    Conflict,
    InvalidOption,
    Pruned,
    Retention,
    RevisionPruned,
    SessionNotFound,
    StoreUnavailable,
)
from checkpoint.store import Attachment, Page, Store

from .apis import Place
from .hooked import Clock, Hooked, hooked, key, lose

Dicts = AsyncCheckpointer[dict[str, Any]]
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
NO_GRACE = dt.timedelta(0)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a kilobyte instead of many, so that small states have some."""
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 1024)


@pytest.fixture
def clock(cp: Dicts) -> Clock:
    """The clock of the checkpointer under test."""
    clock = Clock()
    clock.rules(cp)
    return clock


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """The store itself, to look behind the API."""
    store = place._store()
    yield store
    if place.url != "memory://":
        store.close()


async def segments(cp: Dicts, number: int, session_id: str = "user-42") -> None:
    """So many segments more, of three revisions each, that say which they are."""
    for _ in range(number):
        history = await cp.history(session_id, limit=1) if await there(cp, session_id) else []
        newest = history[0].revision if history else 0
        await cp.overwrite(session_id, {"n": newest + 1})
        for n in (newest + 2, newest + 3):
            async with cp.turn(session_id) as turn:
                turn.state["n"] = n


async def there(cp: Dicts, session_id: str) -> bool:
    return session_id in [session.session_id async for session in cp.sessions()]


async def revisions(cp: Dicts, session_id: str = "user-42") -> list[int]:
    return [snapshot.revision for snapshot in await cp.history(session_id)]


def long_list(number: int = 30) -> list[str]:
    """A list that fills some pages, and shares none with another."""
    return [os.urandom(60).hex() for _ in range(number)]


def pages(store: Store, session_id: str = "user-42") -> int:
    return len(store.list_pages(key(session_id)))


# --- revisions -----------------------------------------------------------------------------------


@pytest.mark.promise("history-kept")
async def test_what_a_rule_does_not_keep_is_removed_by_whole_segments(cp: Dicts) -> None:
    await segments(cp, 4)
    sizes = {snapshot.revision: snapshot.size for snapshot in await cp.history("user-42")}
    pruned = await cp.prune("user-42", Retention(keep_last=5))
    assert pruned == Pruned(
        "default", "user-42", ((1, 6),), 6, bytes=sum(sizes[n] for n in range(1, 7))
    )
    assert await revisions(cp) == [12, 11, 10, 9, 8, 7]
    for n in range(7, 13):
        assert (await cp.restore("user-42", revision=n)).state == {"n": n}
    for n in range(1, 7):
        with pytest.raises(RevisionPruned, match=f"'user-42', revision {n}: .*removed"):
            await cp.restore("user-42", revision=n)
    assert (await cp.restore("user-42")).revision == 12


async def test_the_session_goes_on_after_a_prune(cp: Dicts) -> None:
    await segments(cp, 2)
    held = (await cp.restore("user-42")).state
    async with cp.turn("user-42") as turn:
        turn.state["n"] = "in a turn that began before"
        await cp.prune("user-42", Retention(keep_last=1))
    assert turn.revision == 7
    with pytest.raises(Conflict):
        await cp.save("user-42", {**held}, parent=None)
    assert (await cp.restore("user-42")).state == {"n": "in a turn that began before"}


async def test_a_dry_run_tells_the_same_and_touches_nothing(
    place: Place, store: Store, cp: Dicts
) -> None:
    await segments(cp, 3)
    for _ in range(3):
        await cp.overwrite("user-42", {"memory": long_list()})
    rule = Retention(keep_last=1)
    before = pages(store)
    place.calls.clear()
    told = await cp.prune("user-42", rule, dry_run=True, grace=NO_GRACE)
    assert {"prune", "commit", "drop_pages", "detach"}.isdisjoint(place.calls)
    assert told.dry_run
    assert len(await revisions(cp)) == 12
    assert pages(store) == before
    done = await cp.prune("user-42", rule, grace=NO_GRACE)
    assert not done.dry_run
    for name in ("removed", "revisions", "pages", "bytes", "deleted"):
        assert getattr(done, name) == getattr(told, name)
    assert done.pages > 0


async def test_the_rule_given_to_open_counts_unless_another_is_given(place: Place) -> None:
    cp = place.open()
    cp._engine.options = cp._engine.options._replace(retention=Retention(keep_last=1))
    await segments(cp, 3)
    assert (await cp.prune("user-42", Retention(keep_last=6), dry_run=True)).removed == ((1, 3),)
    assert (await cp.prune("user-42")).removed == ((1, 6),)
    assert [p.revisions async for p in cp.sweep()] == [0]


@pytest.mark.promise("history-kept")
async def test_without_any_rule_every_revision_stays(cp: Dicts) -> None:
    await segments(cp, 3)
    assert (await cp.prune("user-42")).removed == ()
    assert len(await revisions(cp)) == 9


async def test_a_label_keeps_its_segment(cp: Dicts) -> None:
    await segments(cp, 4)
    await cp.label("user-42", "good", revision=5)
    assert (await cp.prune("user-42", Retention(keep_last=1))).removed == ((1, 3), (7, 9))
    assert (await cp.restore("user-42", revision="good")).state == {"n": 5}
    assert await revisions(cp) == [12, 11, 10, 6, 5, 4]


async def test_a_label_that_does_not_count_names_a_pruned_revision(cp: Dicts) -> None:
    await segments(cp, 2)
    await cp.label("user-42", "good", revision=2)
    rule = Retention(keep_last=1, keep_labelled=False)
    assert (await cp.prune("user-42", rule)).removed == ((1, 3),)
    with pytest.raises(RevisionPruned):
        await cp.restore("user-42", revision="good")


async def test_revisions_are_kept_for_a_time(cp: Dicts, clock: Clock) -> None:
    for _ in range(4):
        await segments(cp, 1)
        clock.advance(10 * DAY)
    rule = Retention(keep_for=25 * DAY)  # the second segment may have been saved to 20 days ago
    assert (await cp.prune("user-42", rule)).removed == ((1, 3),)
    clock.advance(1000 * DAY)
    assert (await cp.prune("user-42", rule)).removed == ((4, 9),)
    assert await revisions(cp) == [12, 11, 10]


async def test_a_session_that_was_created_anew_is_pruned_too(cp: Dicts) -> None:
    await segments(cp, 2)
    await cp.delete("user-42")
    await segments(cp, 2)
    assert await revisions(cp) == [13, 12, 11, 10, 9, 8]
    await cp.prune("user-42", Retention(keep_last=1))
    assert await revisions(cp) == [13, 12, 11]
    assert (await cp.restore("user-42")).state == {"n": 13}


async def test_a_prune_that_finds_nothing_writes_nothing(place: Place, cp: Dicts) -> None:
    await segments(cp, 1)
    place.calls.clear()
    pruned = await cp.prune("user-42", Retention(keep_last=1))
    assert place.calls == ["list_pages", "read", "headers", "attachments"]
    assert pruned == Pruned("default", "user-42")


async def test_what_is_not_there_or_has_no_meaning_is_refused(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound, match="'nobody'"):
        await cp.prune("nobody", Retention(keep_last=1))
    with pytest.raises(InvalidOption, match=r"checkpoint\.Retention"):
        await cp.prune("nobody", 5)  # type: ignore[arg-type]
    for grace in (-HOUR, 3600):
        with pytest.raises(InvalidOption, match="a timedelta of 0 or more"):
            await cp.prune("nobody", grace=grace)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        _ = [pruned async for pruned in cp.sweep(5)]  # type: ignore[arg-type]


# --- sessions that end ---------------------------------------------------------------------------


async def test_a_session_whose_time_is_over_is_deleted(
    cp: Dicts, clock: Clock, store: Store
) -> None:
    await segments(cp, 2)
    await cp.overwrite("user-42", {"memory": long_list()})
    await cp.label("user-42", "good")
    rule = Retention(ttl=30 * DAY)
    clock.advance(30 * DAY)
    assert not (await cp.prune("user-42", rule)).deleted
    clock.advance(DAY)
    told = await cp.prune("user-42", rule, dry_run=True)
    assert await there(cp, "user-42")
    pruned = await cp.prune("user-42", rule)
    assert pruned.deleted
    assert (pruned.removed, pruned.revisions) == (((1, 7),), 7)
    assert (told.removed, told.pages, told.bytes) == (pruned.removed, pruned.pages, pruned.bytes)
    assert pruned.pages > 0
    assert pages(store) == 0
    with pytest.raises(SessionNotFound, match="deleted"):
        await cp.restore("user-42")
    assert not (await cp.prune("user-42", rule)).deleted
    assert (await cp.save("user-42", {"n": 1})).revision == 9


async def test_a_session_that_is_saved_just_before_it_ends_stays(place: Place) -> None:
    cp, store = hooked(place)
    clock = Clock()
    clock.rules(cp)
    await segments(cp, 1)
    clock.advance(31 * DAY)
    theirs = place.rival()
    clock.rules(theirs)
    for call in ("read", "list_pages", "headers", "commit"):

        def save(of: str = call) -> None:
            theirs.run("user-42", lambda state: state.update(n=of))

        store.before[call] = [save]
        assert not (await cp.prune("user-42", Retention(ttl=30 * DAY))).deleted, call
        assert theirs.restore("user-42").state == {"n": call}
        clock.advance(31 * DAY)


async def test_deleted_sessions_and_saves_that_never_came_are_swept_of_their_pages(
    cp: Dicts, clock: Clock, store: Store
) -> None:
    orphan = Page(b"p" * 24, b"data", clock())
    await cp.save("deleted", {})
    await cp.delete("deleted")
    for session_id in ("deleted", "never-saved"):
        store.put_pages(key(session_id), [orphan])
    assert [p.pages async for p in cp.sweep()] == [0, 0]
    clock.advance(HOUR + dt.timedelta(seconds=1))
    assert [p.pages async for p in cp.sweep(dry_run=True)] == [1, 1]
    assert [(p.session_id, p.pages, p.bytes) async for p in cp.sweep()] == [
        ("deleted", 1, 4),
        ("never-saved", 1, 4),
    ]
    assert pages(store, "deleted") == pages(store, "never-saved") == 0
    assert [p.pages async for p in cp.sweep()] == [0, 0]
    assert (await cp.save("never-saved", {"n": 1})).revision == 2
    assert (await cp.restore("never-saved")).state == {"n": 1}


async def test_a_first_save_that_comes_late_is_refused_once_its_pages_are_swept(
    place: Place,
) -> None:
    cp, store = hooked(place)
    sweeper = place.rival()
    swept: list[Pruned] = []
    store.before["commit"] = [lambda: swept.extend(sweeper.sweep(grace=NO_GRACE))]
    state = {"memory": long_list()}
    with pytest.raises(Conflict):
        await cp.save("user-42", state)
    assert swept[0].pages > 0
    await cp.save("user-42", state)
    assert (await cp.restore("user-42")).state == state
    assert await cp.verify("user-42") == []


# --- pages ---------------------------------------------------------------------------------------


async def test_pages_that_nothing_names_any_more_go_once_they_are_old(
    cp: Dicts, clock: Clock, store: Store
) -> None:
    for _ in range(3):
        await cp.overwrite("user-42", {"memory": long_list()})
    each = pages(store) // 3
    assert each > 1
    rule = Retention(keep_last=1)
    assert (await cp.prune("user-42", rule)).pages == 0
    assert pages(store) == 3 * each
    clock.advance(HOUR + dt.timedelta(seconds=1))
    size = sum(page.size for page in store.list_pages(key("user-42")))
    pruned = await cp.prune("user-42", rule)
    assert (pruned.removed, pruned.pages) == ((), 2 * each)
    assert pages(store) == each
    assert pruned.bytes == size - sum(page.size for page in store.list_pages(key("user-42")))
    assert len((await cp.restore("user-42")).state["memory"]) == 30
    assert await cp.verify("user-42") == []


async def test_pages_that_a_kept_revision_shares_stay(cp: Dicts, store: Store) -> None:
    state = {"memory": long_list()}
    await cp.save("user-42", state)
    for n in range(4):
        await cp.overwrite("user-42", {"memory": [], "n": n})
        await cp.rollback("user-42", 1)
    before = pages(store)
    pruned = await cp.prune("user-42", Retention(keep_last=1), grace=NO_GRACE)
    assert pruned.revisions == 8
    assert (await cp.restore("user-42")).state == state
    assert pages(store) + pruned.pages == before
    assert await cp.verify("user-42") == []


async def test_pages_of_a_save_that_was_never_committed_go(place: Place, store: Store) -> None:
    cp, broken = hooked(place)
    await cp.save("user-42", {"n": 1})
    for _ in range(5):
        broken.before.setdefault("commit", []).append(lose)
    with pytest.raises(checkpoint.SaveUnclear):
        await cp.overwrite("user-42", {"memory": long_list()})
    assert pages(store) > 1
    assert (await cp.prune("user-42")).pages == 0
    pruned = await cp.prune("user-42", grace=NO_GRACE)
    assert pruned.pages > 1
    assert pages(store) == 0


async def test_deleting_a_session_removes_its_pages(cp: Dicts, store: Store) -> None:
    for _ in range(2):
        await cp.overwrite("user-42", {"memory": long_list()})
    await cp.save("other", {"memory": long_list()})
    assert await cp.delete("user-42")
    assert pages(store) == 0
    assert await cp.verify("other") == []


async def test_a_deletion_that_failed_on_the_way_is_finished_by_the_next(place: Place) -> None:
    cp, store = hooked(place)
    await cp.save("user-42", {"memory": long_list()})
    store.before["drop_pages"] = [lose]
    with pytest.raises(StoreUnavailable):
        await cp.delete("user-42")
    assert pages(store.inner) > 0
    assert await cp.delete("user-42") is False
    assert pages(store.inner) == 0


async def test_more_than_one_listing_is_taken_in_whole(
    cp: Dicts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for api in ("_async", "_sync"):
        monkeypatch.setattr(f"checkpoint.{api}.listing._LISTED", 2)
        monkeypatch.setattr(f"checkpoint.{api}.maintenance._DROPPED", 2)
    for n in range(5):
        await cp.overwrite("user-42", {"memory": long_list(), "n": n})
        await cp.save(f"other-{n}", {})
    pruned = await cp.prune("user-42", Retention(keep_last=2), grace=NO_GRACE)
    assert (pruned.removed, pruned.revisions) == (((1, 3),), 3)
    assert pruned.pages == 3 * pages(store) // 2
    assert await cp.verify("user-42") == []
    assert len([p async for p in cp.sweep()]) == 6


# --- sweeps --------------------------------------------------------------------------------------


async def test_a_sweep_prunes_each_session_of_the_namespace(place: Place, cp: Dicts) -> None:
    for session_id in ("a/1", "a/2", "b"):
        await segments(cp, 2, session_id)
    other = place.open(namespace="other")
    await segments(other, 2, "a/3")
    rule = Retention(keep_last=1)
    assert [(p.session_id, p.removed) async for p in cp.sweep(rule, prefix="a/")] == [
        ("a/1", ((1, 3),)),
        ("a/2", ((1, 3),)),
    ]
    assert [p.revisions async for p in cp.sweep(rule)] == [0, 0, 3]
    assert await revisions(other, "a/3") == [6, 5, 4, 3, 2, 1]


async def test_a_sweep_that_is_stopped_leaves_the_rest(cp: Dicts) -> None:
    for session_id in ("a", "b"):
        await segments(cp, 2, session_id)
    sweeping = cast("AsyncGenerator[Pruned]", cp.sweep(Retention(keep_last=1)))
    assert (await anext(sweeping)).session_id == "a"
    await sweeping.aclose()
    assert await revisions(cp, "b") == [6, 5, 4, 3, 2, 1]


async def test_a_session_that_cannot_be_pruned_is_told_and_the_sweep_goes_on(
    cp: Dicts, store: Store
) -> None:
    for session_id in ("a", "b", "c"):
        await segments(cp, 2, session_id)
        await cp.overwrite(session_id, {"memory": long_list()})
    store.attach(key("a"), Attachment(0, "label/good", b"not a label at all"))
    store.attach(key("b"), Attachment(0, "pin/1", b"not a pin at all"))
    store.put_pages(key("b"), [Page(b"p" * 24, b"data", 0)])
    first, second, third = [p async for p in cp.sweep(Retention(keep_last=1))]
    assert (first.revisions, str(first.problem)[:11]) == (0, "session 'a'")
    assert (second.revisions, second.pages) == (6, 0), "no page goes that a fork may need"
    assert "pin/1" in str(second.problem)
    assert (third.revisions, third.problem) == (6, None)
    with pytest.raises(checkpoint.Damaged, match="label 'good'"):
        await cp.prune("a", Retention(keep_last=1))
    with pytest.raises(checkpoint.Damaged, match="pin/1"):
        await cp.prune("b")


async def test_an_outage_ends_a_sweep(place: Place) -> None:
    cp, store = hooked(place)
    await segments(cp, 2)
    store.before["headers"] = [lose]
    with pytest.raises(StoreUnavailable):
        _ = [p async for p in cp.sweep(Retention(keep_last=1))]


# --- races ---------------------------------------------------------------------------------------


async def test_a_save_that_comes_first_makes_the_prune_look_again(place: Place) -> None:
    cp, store = hooked(place)
    await segments(cp, 3)
    theirs = place.rival()
    store.before["prune"] = [lambda: theirs.overwrite("user-42", {"n": 10})]
    pruned = await cp.prune("user-42", Retention(keep_last=1))
    assert (pruned.removed, pruned.revisions) == (((1, 9),), 9)
    assert await revisions(cp) == [10]
    assert store.calls.count("prune") == 2


@pytest.mark.usefixtures("_no_pauses")
async def test_a_prune_that_always_loses_gives_up(place: Place) -> None:
    cp, store = hooked(place)
    await segments(cp, 2)
    theirs = place.rival()

    def save() -> None:
        theirs.run("user-42", lambda state: state.update(n=state["n"] + 1))

    store.before["prune"] = [save] * 100
    with pytest.raises(Conflict, match="'user-42'"):
        await cp.prune("user-42", Retention(keep_last=1))
    assert (await cp.restore("user-42")).state["n"] > 20


@pytest.mark.parametrize("whole", [False, True], ids=["a patch", "a base"])
async def test_a_save_is_not_in_conflict_with_a_prune(place: Place, whole: bool) -> None:
    cp, store = hooked(place)
    await segments(cp, 2)
    theirs = place.rival()
    store.before["commit"] = [lambda: theirs.prune("user-42", Retention(keep_last=1))] * 2
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 7
        if whole:
            turn.state["memory"] = long_list(200)
    assert turn.revision == 7
    assert (await cp.restore("user-42")).state["n"] == 7
    assert await revisions(cp) == [7, 6, 5, 4]
    assert await cp.verify("user-42") == []


async def test_a_reader_in_flight_gets_its_state_or_is_told(place: Place) -> None:
    cp, store = hooked(place)
    theirs = place.rival()
    for n in (1, 2):
        theirs.overwrite("user-42", {"memory": long_list(), "n": n})
    rule = Retention(keep_last=1)
    store.before["pages"] = [lambda: theirs.prune("user-42", rule, grace=NO_GRACE)]
    with pytest.raises(RevisionPruned):
        await cp.restore("user-42", revision=1)

    def replace() -> None:
        theirs.overwrite("user-42", {"memory": long_list(), "n": 3})
        theirs.prune("user-42", rule, grace=NO_GRACE)

    store.before["pages"] = [replace]
    assert (await cp.restore("user-42")).state["n"] == 3


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize("becomes", ["done", "not done", "done late"])
async def test_a_prune_whose_answer_is_lost_is_found_out(place: Place, becomes: str) -> None:
    cp, store = hooked(place)
    for n in range(1, 4):
        await cp.overwrite("user-42", {"memory": long_list(), "n": n})
    kept = len(store.inner.list_pages(key("user-42"))) // 3
    if becomes == "done late":
        store.late = ["prune"]
        store.before["headers"] = [lambda: None, lambda: None, store.arrive]
    else:
        (store.after if becomes == "done" else store.before)["prune"] = [lose]
    pruned = await cp.prune("user-42", Retention(keep_last=1), grace=NO_GRACE)
    assert (pruned.removed, pruned.revisions) == (((1, 2),), 2)
    assert pruned.pages == 2 * kept
    assert await revisions(cp) == [3]
    assert await cp.verify("user-42") == []


async def test_a_prune_that_may_still_arrive_is_fenced_off(place: Place) -> None:
    """Else it would remove, long after, what has got a label since."""
    cp, store = hooked(place)
    await segments(cp, 2)
    theirs = place.rival()
    store.late = ["prune"]
    store.before["prune"] = [lambda: theirs.label("user-42", "good", revision=2)]
    assert (await cp.prune("user-42", Retention(keep_last=1))).removed == ()
    assert store.arrive() == [False]
    assert (await cp.restore("user-42", revision="good")).state == {"n": 2}


@pytest.mark.usefixtures("_no_pauses")
async def test_a_store_that_does_not_answer_is_told_as_that(place: Place) -> None:
    cp, store = hooked(place)
    await segments(cp, 2)
    store.before["prune"] = [lose] * 100
    with pytest.raises(StoreUnavailable, match="the line is dead"):
        await cp.prune("user-42", Retention(keep_last=1))
    store.before.clear()
    assert (await cp.prune("user-42", Retention(keep_last=1))).removed == ((1, 3),)


# --- as sessions are saved -----------------------------------------------------------------------


def rule_given_to_open(place: Place, rule: Retention) -> tuple[Dicts, Hooked]:
    cp, store = hooked(place)
    engine = cp._engine
    engine.options = engine.options._replace(retention=rule)
    return cp, store


async def saves(cp: Dicts, number: int) -> None:
    for _ in range(number):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = turn.state.get("n", 0) + 1
            turn.state["memory"] = [os.urandom(6000)]


async def test_a_rule_given_to_open_is_applied_as_sessions_are_saved(place: Place) -> None:
    cp, store = rule_given_to_open(place, Retention(keep_last=10))
    await saves(cp, 150)
    left = await revisions(cp)
    assert left[:10] == list(range(150, 140, -1))
    assert len(left) < 60
    assert 2 <= store.calls.count("prune") <= 150 / 32
    assert await cp.verify("user-42") == []


async def test_a_rule_given_to_open_costs_nothing_at_other_saves(place: Place) -> None:
    cp, store = rule_given_to_open(place, Retention(keep_last=10))
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 0
    store.calls.clear()
    for n in range(1, 30):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
    assert store.calls == ["read", "commit"] * 29


@pytest.mark.parametrize("failing", ["list_pages", "read", "headers", "attachments", "prune"])
async def test_a_prune_that_fails_does_not_fail_the_save(
    place: Place, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    cp, store = rule_given_to_open(place, Retention(keep_last=1))
    failures: list[Exception] = []

    def fail() -> None:
        failures.append(RuntimeError("a driver that says it in its own words"))
        raise failures[0]

    def begin_to_fail() -> None:
        store.before[failing] = [fail]

    store.before["list_pages"] = [fail if failing == "list_pages" else begin_to_fail]
    while not failures:
        await saves(cp, 1)
    newest = (await revisions(cp))[0]
    assert (await cp.restore("user-42")).state["n"] == newest
    assert "not pruned session_id='user-42' reason='a driver that says" in caplog.text
    await saves(cp, 1)
