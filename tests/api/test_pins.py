"""Forks share pages with their source: what they need stays for as long as they need it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from typing import Any

import pytest

from checkpoint import (
    AsyncCheckpointer,
    Conflict,
    Damaged,
    Retention,
    RevisionPruned,
    SaveUnclear,
    SessionNotFound,
    StoreUnavailable,
)
from checkpoint._ids import SessionKey
from checkpoint._records.pins import LONGEST_FORK, Pin, encode_pin, is_undecided, read_pins
from checkpoint.store import Attachment, Store

from .apis import Place
from .hooked import NOW, Clock, hooked, key, lose

Dicts = AsyncCheckpointer[dict[str, Any]]
NO_GRACE = dt.timedelta(0)
DAY = dt.timedelta(days=1)
NEWEST = Retention(keep_last=1)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a kilobyte instead of many, so that small states have some."""
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 1024)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """The store itself, to look behind the API."""
    store = place._store()
    yield store
    if place.url != "memory://":
        store.close()


def long_list(number: int = 30) -> list[str]:
    return [os.urandom(60).hex() for _ in range(number)]


def ids(store: Store, session_id: str) -> set[bytes]:
    return {page.id for page in store.list_pages(key(session_id))}


def pins(store: Store, session_id: str) -> list[Pin]:
    return read_pins(key(session_id), store.attachments(key(session_id)))


async def memory(cp: Dicts, session_id: str, revision: int | None = None) -> list[str]:
    found: list[str] = (await cp.restore(session_id, revision=revision)).state["memory"]
    return found


async def swept(cp: Dicts) -> None:
    async for pruned in cp.sweep(grace=NO_GRACE):
        assert pruned.problem is None


# --- a pin ---------------------------------------------------------------------------------------

OWNER, TARGET = SessionKey("tenant", "source"), SessionKey("tenant", "fork")
PAGES = {os.urandom(24) for _ in range(3)}
PIN = encode_pin(OWNER, b"nonce", TARGET, b"w" * 16, NOW, PAGES)


def test_a_pin_is_read_as_it_was_made() -> None:
    assert PIN.revision == 0
    label = Attachment(0, "label/good", b"something else")
    assert read_pins(OWNER, [label, PIN]) == [
        Pin(PIN.name, TARGET, b"w" * 16, NOW, frozenset(PAGES))
    ]


def test_a_pin_that_was_changed_is_refused() -> None:
    changed = [
        *(PIN._replace(data=PIN.data[:n] + b"?" + PIN.data[n + 1 :]) for n in range(len(PIN.data))),
        *(PIN._replace(data=PIN.data[:n]) for n in (0, 8, 16, len(PIN.data) - 1)),
        PIN._replace(name="pin/another"),
    ]
    for pin in changed:
        if pin != PIN:
            with pytest.raises(Damaged, match=r"'source'.*no page of this session is removed"):
                read_pins(OWNER, [pin])
    with pytest.raises(Damaged):
        read_pins(OWNER._replace(session_id="another"), [PIN])


@pytest.mark.parametrize(
    ("head", "age", "expected"),
    [
        (b"w" * 16, 0, True),
        (b"w" * 16, LONGEST_FORK, True),
        (b"w" * 16, LONGEST_FORK + 1, False),
        (b"x" * 16, 0, False),
        (b"", 0, False),
    ],
)
def test_a_fork_may_come_until_its_target_has_moved_or_a_day_is_over(
    head: bytes, age: int, expected: bool
) -> None:
    (pin,) = read_pins(OWNER, [PIN])
    assert is_undecided(pin, head, NOW + age) is expected


# --- while the fork is there ---------------------------------------------------------------------


async def test_a_fork_shares_the_pages_of_its_source(cp: Dicts, store: Store) -> None:
    state = {"memory": long_list(100)}
    await cp.save("source", state)
    await cp.fork("source", "fork")
    assert len(ids(store, "fork")) < len(ids(store, "source")) / 4
    assert await memory(cp, "fork") == state["memory"]
    (pin,) = pins(store, "source")
    assert pin.target == key("fork")
    assert pin.pages <= ids(store, "source")
    assert await cp.history("source", limit=1)


async def test_a_fork_of_a_small_state_needs_no_pin(place: Place, cp: Dicts) -> None:
    await cp.save("source", {"n": 1})
    place.calls.clear()
    await cp.fork("source", "fork")
    assert place.calls == ["read", "read", "commit"]


@pytest.mark.parametrize("ending", ["deleted", "pruned", "expired"])
async def test_what_a_fork_shares_outlives_its_source(cp: Dicts, store: Store, ending: str) -> None:
    first = long_list()
    await cp.save("source", {"memory": first})
    await cp.fork("source", "fork")
    await cp.overwrite("source", {"memory": long_list()})
    (pin,) = pins(store, "source")
    replaced = ids(store, "source") - pin.pages
    clock = Clock()
    if ending == "deleted":
        assert await cp.delete("source")
    elif ending == "pruned":
        assert (await cp.prune("source", NEWEST, grace=NO_GRACE)).revisions == 1
    else:
        clock.now += 10**15
        clock.rules(cp)
        assert (await cp.prune("source", Retention(ttl=DAY))).deleted
    for _ in range(2):
        assert pin.pages <= ids(store, "source")
        assert (ids(store, "source") > pin.pages) == (ending == "pruned")
        assert await memory(cp, "fork") == first
        assert await cp.verify("fork") == []
        await swept(cp)
    assert ids(store, "source") - pin.pages == (replaced if ending == "pruned" else set())


async def test_a_fork_of_a_fork_holds_on_to_both(cp: Dicts, store: Store) -> None:
    await cp.save("source", {"memory": long_list()})
    await cp.fork("source", "fork")
    async with cp.turn("fork") as turn:
        turn.state["memory"] += long_list()
    await cp.rollback("fork", 2)
    await cp.fork("fork", "leaf")
    expected = await memory(cp, "leaf")
    assert len(expected) == 60
    assert {pin.target for pin in pins(store, "source")} == {key("fork"), key("leaf")}
    assert {pin.target for pin in pins(store, "fork")} == {key("leaf")}
    for gone in ("source", "fork"):
        await cp.delete(gone)
        await swept(cp)
        assert await memory(cp, "leaf") == expected
        assert await cp.verify("leaf") == []
    assert [pin.target for pin in pins(store, "source")] == [key("leaf")]
    await cp.delete("leaf")
    for session_id in ("source", "fork", "leaf"):
        assert ids(store, session_id) == set()
        assert pins(store, session_id) == []


async def test_a_deleted_source_can_be_made_anew_of_its_fork(cp: Dicts, store: Store) -> None:
    first = long_list()
    await cp.save("source", {"memory": first})
    await cp.fork("source", "fork")
    await cp.delete("source")
    await cp.fork("fork", "source")
    await cp.delete("fork")
    await swept(cp)
    assert await memory(cp, "source") == first
    assert await cp.verify("source") == []
    await cp.delete("source")
    await swept(cp)
    assert ids(store, "source") == ids(store, "fork") == set()
    assert pins(store, "source") == []


# --- when the fork is gone -----------------------------------------------------------------------


async def test_deleting_the_fork_lets_go(cp: Dicts, store: Store) -> None:
    await cp.save("source", {"memory": long_list()})
    for target in ("fork", "another"):
        await cp.fork("source", target)
    await cp.delete("fork")
    assert [pin.target for pin in pins(store, "source")] == [key("another")]
    await cp.delete("source")
    assert ids(store, "source")
    await cp.delete("another")
    assert ids(store, "source") == set(), "a deleted source goes with the last of its forks"


async def test_a_fork_that_needs_the_pages_no_more_lets_go_when_it_is_pruned(
    cp: Dicts, store: Store
) -> None:
    await cp.save("source", {"memory": long_list()})
    await cp.fork("source", "fork")
    await cp.overwrite("fork", {"memory": []})
    await cp.prune("fork")
    assert len(pins(store, "source")) == 1, "its first revision needs them"
    await cp.prune("fork", NEWEST, grace=NO_GRACE)
    assert pins(store, "source") == []


async def test_a_pin_that_nobody_let_go_is_found_dead_by_the_owner(
    place: Place, store: Store
) -> None:
    cp, broken = hooked(place)
    await cp.save("source", {"memory": long_list()})
    await cp.fork("source", "fork")
    broken.before["detach"] = [lose]
    with pytest.raises(StoreUnavailable):
        await cp.delete("fork")
    await cp.overwrite("source", {"memory": []})
    assert len(pins(store, "source")) == 1
    pruned = await cp.prune("source", NEWEST, grace=NO_GRACE)
    assert pruned.pages > 1
    assert pins(store, "source") == []
    assert ids(store, "source") == set()


# --- forks that fail -----------------------------------------------------------------------------


async def test_a_fork_that_is_refused_leaves_no_pin(place: Place, store: Store) -> None:
    cp, hooks = hooked(place)
    theirs = place.rival()
    await cp.save("source", {"memory": long_list()})
    hooks.before["commit"] = [lambda: theirs.save("fork", {"n": 1})]
    with pytest.raises(Conflict, match="'fork'"):
        await cp.fork("source", "fork")
    assert "attach" in hooks.calls
    assert pins(store, "source") == []


@pytest.mark.parametrize("removed", ["pruned", "deleted"])
async def test_a_fork_whose_source_is_removed_meanwhile_is_told(
    place: Place, store: Store, removed: str
) -> None:
    cp, hooks = hooked(place)
    theirs = place.rival()
    for _ in range(2):
        await cp.overwrite("source", {"memory": long_list()})

    def remove() -> None:
        if removed == "pruned":
            theirs.prune("source", NEWEST, grace=NO_GRACE)
        else:
            theirs.delete("source")

    hooks.before["attach"] = [remove]
    with pytest.raises(RevisionPruned if removed == "pruned" else SessionNotFound):
        await cp.fork("source", "fork", revision=1)
    assert pins(store, "source") == []
    assert [session.session_id async for session in cp.sessions("fork")] == []


async def test_a_fork_goes_on_when_something_else_is_removed(place: Place) -> None:
    cp, hooks = hooked(place)
    theirs = place.rival()
    for _ in range(2):
        await cp.overwrite("source", {"memory": long_list()})
    hooks.before["attach"] = [lambda: theirs.prune("source", NEWEST, grace=NO_GRACE)]
    await cp.fork("source", "fork")
    assert await memory(cp, "fork") == await memory(cp, "source")
    await cp.delete("source")
    assert await cp.verify("fork") == []


async def test_a_fork_that_was_never_made_holds_on_for_a_day(place: Place, store: Store) -> None:
    cp, hooks = hooked(place)
    clock = Clock()
    clock.rules(cp)
    await cp.save("source", {"memory": long_list()})
    hooks.before["commit"] = [lose] * 5
    with pytest.raises(SaveUnclear):
        await cp.fork("source", "fork")
    await cp.delete("source")
    (pin,) = pins(store, "source")
    clock.advance(DAY)
    await swept(cp)
    assert ids(store, "source") == pin.pages
    clock.advance(dt.timedelta(minutes=1))
    await swept(cp)
    assert ids(store, "source") == set()
    assert pins(store, "source") == []


async def test_a_fork_whose_answer_was_lost_keeps_its_pages(place: Place) -> None:
    cp, hooks = hooked(place)
    clock = Clock()
    clock.rules(cp)
    first = long_list()
    await cp.save("source", {"memory": first})

    def and_no_answer_ever_after() -> None:
        hooks.before["read"] = [lose] * 100
        hooks.before["commit"] = [lose] * 100
        lose()

    hooks.after["commit"] = [and_no_answer_ever_after]
    with pytest.raises(SaveUnclear):
        await cp.fork("source", "fork")
    hooks.before.clear()
    await cp.delete("source")
    clock.advance(10 * DAY)
    await swept(cp)
    assert await memory(cp, "fork") == first


async def test_no_page_is_removed_while_a_pin_cannot_be_read(cp: Dicts, store: Store) -> None:
    await cp.save("source", {"memory": long_list()})
    await cp.fork("source", "fork")
    (pin,) = store.attachments(key("source"))
    store.attach(key("source"), pin._replace(data=pin.data[:-1]))
    await cp.overwrite("source", {"memory": []})
    with pytest.raises(Damaged, match=pin.name):
        await cp.prune("source", NEWEST, grace=NO_GRACE)
    assert len(await cp.history("source")) == 1, "the revisions are removed all the same"
    assert await cp.verify("fork") == []
    with pytest.raises(Damaged, match=pin.name):
        await cp.delete("source")
    assert await cp.verify("fork") == []
    assert await cp.delete("fork"), "it does not matter to the fork's own end"
