"""``verify``: everything damaged is found, with all that it hits and nothing else."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import checkpoint
from checkpoint import (
    AsyncCheckpointer,
    CheckpointError,
    Damaged,
    Problem,
    Retention,
    SessionNotFound,
)
from checkpoint._document.diff import SET
from checkpoint._limits import Limits
from checkpoint._records.body import OPERATIONS
from checkpoint._records.header import read_header
from checkpoint._records.segment import encode_record, read
from checkpoint.store import Attachment, Commit, Page, Pruning, Record, Store

from .apis import Place
from .hooked import hooked, key, lose

Dicts = AsyncCheckpointer[dict[str, Any]]
KEY = key("user-42")
NEWEST = Retention(keep_last=1)


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
    """The store itself, to damage what is in it."""
    store = place._store()
    yield store
    if place.url != "memory://":
        store.close()


def long_list(number: int = 30) -> list[str]:
    return [os.urandom(60).hex() for _ in range(number)]


async def begin(cp: Dicts) -> None:
    """Three segments of three revisions; the last two share the pages of a list."""
    await cp.save("user-42", {"n": 1})
    for n in (2, 3):
        await turn(cp, n)
    await cp.overwrite("user-42", {"n": 4, "memory": long_list()})
    for n in (5, 6):
        await turn(cp, n)
    await cp.rollback("user-42", 4)
    for n in (8, 9):
        await turn(cp, n)
    assert [s.kind for s in await cp.history("user-42")] == ["patch", "patch", "base"] * 3


async def turn(cp: Dicts, n: int) -> None:
    async with cp.turn("user-42") as turn:
        turn.state["n"] = n


def hits(problem: Problem) -> set[int]:
    return {n for first, last in problem.revisions for n in range(first, last + 1)}


async def check(cp: Dicts, *expected: tuple[str, set[int]]) -> list[Problem]:
    """These are the problems; what they hit cannot be restored, and all else can."""
    problems = await cp.verify("user-42")
    assert [(problem.what, hits(problem)) for problem in problems] == list(expected)
    hit = set().union(*(revisions for _, revisions in expected))
    for n in range(1, 10):
        if n in hit:
            with pytest.raises(CheckpointError):
                await cp.restore("user-42", revision=n)
        else:
            state = (await cp.restore("user-42", revision=n)).state
            assert state["n"] == (4 if n == 7 else n)
    return problems


def rewrite(store: Store, revision: int, change: Callable[[Record], Record]) -> None:
    """Change a record in the store."""
    segment = store.read(KEY, revision)
    assert segment is not None
    written = (change(segment.records[-1]), segment.records[0].revision)
    head = segment.head
    assert store.prune(KEY, Pruning(head, head, ((revision, revision),), (written,)))


def remove(store: Store, revision: int) -> None:
    segment = store.read(KEY)
    assert segment is not None
    assert store.prune(KEY, Pruning(segment.head, segment.head, ((revision, revision),)))


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def bad_body(record: Record) -> Record:
    return record._replace(body=flipped(record.body))


def bad_head(record: Record) -> Record:
    return record._replace(header=b"nothing of ours" + record.header)


# --- records -------------------------------------------------------------------------------------


async def test_a_session_that_is_well_has_no_problem(place: Place, cp: Dicts) -> None:
    await begin(cp)
    await cp.label("user-42", "good")
    await cp.fork("user-42", "fork")
    place.calls.clear()
    assert await cp.verify("user-42") == []
    assert await cp.verify("fork") == []
    assert set(place.calls) == {"read", "headers", "pages", "attachments"}
    await cp.prune("user-42", NEWEST)
    assert await cp.verify("user-42") == []


@pytest.mark.parametrize("damage", [bad_body, bad_head])
@pytest.mark.parametrize(
    ("revision", "hit"),
    [
        (1, {1, 2, 3}),
        (2, {2, 3}),
        (3, {3}),
        (4, {4, 5, 6}),
        (5, {5, 6}),
        (7, {7, 8, 9}),
        (9, {9}),
    ],
)
async def test_a_damaged_record_hits_those_after_it_in_its_segment(
    cp: Dicts, store: Store, damage: Callable[[Record], Record], revision: int, hit: set[int]
) -> None:
    await begin(cp)
    rewrite(store, revision, damage)
    (problem,) = await check(cp, ("revision", hit))
    assert (problem.namespace, problem.session_id, problem.page) == ("default", "user-42", None)
    assert str(min(hit)) in str(problem)


async def test_several_damages_are_all_told(cp: Dicts, store: Store) -> None:
    await begin(cp)
    for revision in (2, 6, 8):
        rewrite(store, revision, bad_body)
    await check(cp, ("revision", {8, 9}), ("revision", {6}), ("revision", {2, 3}))


async def test_a_record_that_is_missing_hits_those_after_it(
    place: Place, cp: Dicts, store: Store
) -> None:
    if place.url == "memory://":
        pytest.skip("a record that is missing is an error of the dict that it is missing from")
    await begin(cp)
    remove(store, 5)
    problems = await cp.verify("user-42")
    assert [(problem.what, hits(problem)) for problem in problems] == [("revision", {6})]
    remove(store, 1)
    problems = await cp.verify("user-42")
    assert [hits(problem) for problem in problems] == [{6}, {2, 3}]


async def test_a_record_of_a_newer_version_is_told_as_that(cp: Dicts, store: Store) -> None:
    await begin(cp)
    rewrite(store, 2, lambda record: record._replace(header=b"ACP\x09" + record.header[4:]))
    (problem,) = await check(cp, ("revision", {2, 3}))
    assert "format 9" in problem.message


async def test_what_is_too_large_for_the_reader_is_told(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"memory": long_list()})
    problems = await place.open(max_bytes=500).verify("user-42")
    assert problems
    assert all("larger max_bytes" in problem.message for problem in problems)
    assert await cp.verify("user-42") == []


async def test_a_patch_that_does_not_fit_is_told(cp: Dicts, store: Store) -> None:
    """Written as it is by a program with a bug: no byte of it has changed since."""
    await begin(cp)
    segment = store.read(KEY)
    assert segment is not None
    tip = read(KEY, segment.records, Limits(10**6)).tip
    header = tip.header._replace(revision=10, write_id=b"w" * 16)
    record, _ = encode_record(
        KEY, header, {OPERATIONS: [[SET, ["nothing", "there"], 1]]}, tip, Limits(10**6)
    )
    head = segment.head._replace(revision=10, write_id=header.write_id)
    assert store.commit(KEY, Commit(segment.head.write_id, head, record))
    (problem,) = await cp.verify("user-42")
    assert "does not fit" in problem.message
    with pytest.raises(Damaged):
        await cp.restore("user-42", revision=10)


# --- pages ---------------------------------------------------------------------------------------


def named(store: Store, revision: int) -> list[bytes]:
    (record, _), *_ = store.headers(KEY, revision + 1, 1, bases=True)
    return [page.id for page in read_header(record)[0].pages]


async def test_a_missing_page_hits_all_segments_that_name_it(cp: Dicts, store: Store) -> None:
    await begin(cp)
    page = named(store, 4)[0]
    store.drop_pages(KEY, [page])
    (problem,) = await check(cp, ("page", {4, 5, 6, 7, 8, 9}))
    assert problem.page == page.hex()
    assert problem.revisions == ((4, 6), (7, 9))
    assert problem.message == f"page {page.hex()} is missing"


async def test_a_damaged_page_is_told_from_a_missing_one(cp: Dicts, store: Store) -> None:
    await begin(cp)
    await cp.overwrite("user-42", {"n": 10, "memory": long_list()})
    page = named(store, 10)[0]
    data = store.pages(KEY, [page])[page]
    store.drop_pages(KEY, [page])
    store.put_pages(KEY, [Page(page, flipped(data), 0)])
    (problem,) = await check(cp, ("page", {10}))
    assert "changed or replaced" in problem.message


async def test_each_damaged_page_of_a_long_list_is_found(cp: Dicts, store: Store) -> None:
    await cp.save("user-42", {"memory": long_list(300)})
    pages = named(store, 1)
    assert len(pages) > 30
    for page in pages:
        data = store.pages(KEY, [page])[page]
        for damaged in (None, flipped(data)):
            store.drop_pages(KEY, [page])
            if damaged is not None:
                store.put_pages(KEY, [Page(page, damaged, 0)])
            (problem,) = await cp.verify("user-42")
            assert problem.page == page.hex()
        store.drop_pages(KEY, [page])
        store.put_pages(KEY, [Page(page, data, 0)])
    assert await cp.verify("user-42") == []


async def test_a_page_of_a_big_value_is_checked_too(cp: Dicts, store: Store) -> None:
    await begin(cp)
    text = os.urandom(400_000).hex()
    await cp.overwrite("user-42", {"n": 10, "text": text, "map": {text[:9]: text}})
    assert await cp.verify("user-42") == []
    pages = named(store, 10)
    assert pages
    store.drop_pages(KEY, pages[:1])
    await check(cp, ("page", {10}))


async def test_a_page_of_the_source_is_a_problem_of_the_fork(cp: Dicts, store: Store) -> None:
    await begin(cp)
    await cp.fork("user-42", "fork", revision=6)
    page = named(store, 4)[-1]
    store.drop_pages(KEY, [page])
    (problem,) = await cp.verify("fork")
    assert (problem.session_id, problem.page) == ("fork", page.hex())
    assert problem.revisions == ((1, 1),)


async def test_many_pages_are_all_read(
    cp: Dicts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for api in ("_async", "_sync"):
        monkeypatch.setattr(f"checkpoint.{api}.verify._FETCHED", 2)
        monkeypatch.setattr(f"checkpoint.{api}.listing._LISTED", 2)
    await begin(cp)
    await cp.overwrite("user-42", {"n": 10, "memory": long_list(200)})
    pages = named(store, 10)
    assert len(pages) > 5
    store.drop_pages(KEY, pages)
    problems = await cp.verify("user-42")
    assert {problem.page for problem in problems} == {page.hex() for page in pages}


# --- the rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["label/good", "pin/0123"])
async def test_a_damaged_label_or_pin_is_told(cp: Dicts, store: Store, name: str) -> None:
    await begin(cp)
    await cp.label("user-42", "fine")
    store.attach(KEY, Attachment(0, name, b"not what was written at all"))
    store.attach(KEY, Attachment(0, "of a driver", b"anything"))
    (problem,) = await check(cp, (name.partition("/")[0], set()))
    assert name.partition("/")[2] in problem.message


async def test_a_head_that_names_what_is_not_there_is_told(cp: Dicts, store: Store) -> None:
    await begin(cp)
    segment = store.read(KEY)
    assert segment is not None
    head = segment.head
    assert store.prune(KEY, Pruning(head, head._replace(write_id=b"w" * 16)))
    (problem,) = await cp.verify("user-42")
    assert (problem.what, hits(problem)) == ("head", {9})
    with pytest.raises(Damaged):
        await cp.restore("user-42")
    assert store.prune(KEY, Pruning(head._replace(write_id=b"w" * 16), head._replace(revision=12)))
    (problem,) = await cp.verify("user-42")
    assert (problem.what, hits(problem)) == ("head", {12})


async def test_a_session_that_is_not_there_is_told_as_that(cp: Dicts) -> None:
    with pytest.raises(SessionNotFound, match="'user-42': there is no session"):
        await cp.verify("user-42")
    await cp.save("user-42", {"n": 1})
    await cp.delete("user-42")
    with pytest.raises(SessionNotFound, match="'user-42': it was deleted"):
        await cp.verify("user-42")
    await cp.save("user-42", {"n": 1})
    assert await cp.verify("user-42") == []


async def test_an_outage_is_not_a_problem_of_the_session(place: Place) -> None:
    cp, hooks = hooked(place)
    await begin(cp)
    for call in ("read", "headers", "pages", "attachments"):
        hooks.before[call] = [lose]
        with pytest.raises(checkpoint.StoreUnavailable):
            await cp.verify("user-42")


@pytest.mark.parametrize("call", ["read", "headers", "pages", "attachments"])
@pytest.mark.parametrize("at", range(6))
async def test_what_is_pruned_or_saved_meanwhile_is_no_problem(
    place: Place, call: str, at: int
) -> None:
    cp, hooks = hooked(place)
    theirs = place.rival()
    await begin(cp)

    def replace() -> None:
        theirs.overwrite("user-42", {"n": 10})
        for _ in theirs.sweep(NEWEST, grace=dt.timedelta(0)):
            pass

    hooks.before[call] = [*[lambda: None] * at, replace]
    assert await cp.verify("user-42") == []


@pytest.mark.parametrize("at", range(6))
async def test_what_is_deleted_meanwhile_is_told_as_that(place: Place, at: int) -> None:
    cp, hooks = hooked(place)
    theirs = place.rival()
    await begin(cp)
    hooks.before["read"] = [*[lambda: None] * at, lambda: theirs.delete("user-42")]
    try:
        assert await cp.verify("user-42") == []
    except SessionNotFound:
        assert not theirs.delete("user-42")
