"""Saves whose answer is lost: found out, never guessed, never done twice, never told as absent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

import checkpoint
from checkpoint import (
    AgentState,
    Checkpointer,
    CheckpointError,
    Conflict,
    Memory,
    SaveUnclear,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from checkpoint._records.header import Kind
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._sync.commits import ATTEMPTS

from .faults import DONE, FAILS, LATE, NOT_DONE, TWICE, WORKS, Dead, Stepping, Unreliable
from .roles import SESSION

pytestmark = pytest.mark.promise("unclear-resolved")

Dicts = Checkpointer[dict[str, Any]]
LOST = (NOT_DONE, DONE, LATE)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, in seconds, that the tests do not make."""
    made: list[float] = []

    async def pass_on(seconds: float) -> None:
        made.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", made.append)
    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)
    return made


@pytest.fixture
def store() -> Unreliable:
    return Unreliable(InMemoryStore())


@pytest.fixture
def cp(store: Unreliable) -> Iterator[Dicts]:
    with checkpoint.open(store, replica="mine") as opened:
        yield opened


@pytest.fixture
def theirs(store: Unreliable) -> Dicts:
    """Another writer, whose line to the store is fine."""
    return checkpoint.open(store.inner, replica="theirs")


def begin(cp: Dicts, session_id: str = SESSION) -> dict[str, Any]:
    """A session at revision 1, and its state, changed and not saved."""
    cp.save(session_id, {"n": 1})
    state = cp.restore(session_id).state
    state["n"] = 2
    return state


def revisions(cp: Dicts, session_id: str = SESSION) -> list[int]:
    return [snapshot.revision for snapshot in cp.history(session_id)]


def saved_once(store: Unreliable, cp: Dicts, session_id: str = SESSION) -> None:
    """The one save after ``begin`` happened, and what is still under way does not happen again."""
    store.arrive()
    assert store.answers.count(True) == 1
    assert revisions(cp, session_id) == [2, 1]
    assert cp.restore(session_id).state == {"n": 2}


# --- found out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arriving", ["in the end", "at the next loss"])
@pytest.mark.parametrize("reads", list(product([WORKS, FAILS], repeat=3)), ids="-".join)
def test_whatever_answers_are_lost_a_save_that_is_acknowledged_happened_once(
    store: Unreliable, cp: Dicts, reads: tuple[str, ...], arriving: str
) -> None:
    if arriving == "at the next loss":
        store.lost = lambda number: store.arrive() if number % 2 == 0 else None
    for number, commits in enumerate(product([WORKS, TWICE, *LOST], repeat=3)):
        session_id = f"user-{number}"
        state = begin(cp, session_id)
        store.answers.clear()
        store.commits.extend(commits)
        store.reads.extend(reads)
        assert cp.save(session_id, state).revision == 2
        store.commits.clear()
        store.reads.clear()
        saved_once(store, cp, session_id)


@pytest.mark.parametrize("arriving", ["before the next save", "after it"])
def test_out_of_tries_a_save_is_unclear_and_the_next_one_of_that_state_settles_it(
    store: Unreliable, cp: Dicts, arriving: str
) -> None:
    for number, commits in enumerate(product(LOST, repeat=ATTEMPTS)):
        session_id = f"user-{number}"
        state = begin(cp, session_id)
        store.answers.clear()
        store.commits.extend(commits)
        store.reads.extend([FAILS] * ATTEMPTS)
        with pytest.raises(SaveUnclear) as caught:
            cp.save(session_id, state)
        assert (caught.value.session_id, caught.value.revision) == (session_id, 2)
        assert isinstance(caught.value.__cause__, StoreUnavailable)
        if arriving == "before the next save":
            store.arrive()
        assert cp.save(session_id, state).revision == 2
        saved_once(store, cp, session_id)
        state["n"] = 3
        assert cp.save(session_id, state).revision == 3


def test_a_save_that_never_arrives_is_unclear_and_then_done(store: Unreliable, cp: Dicts) -> None:
    state = begin(cp)
    store.commits.extend([NOT_DONE] * ATTEMPTS)  # and each read says that it is not there
    with pytest.raises(SaveUnclear, match="never saved twice"):
        cp.save(SESSION, state)
    assert revisions(cp) == [1]
    assert cp.save(SESSION, state).revision == 2


@pytest.mark.parametrize("becomes", LOST)
def test_a_state_that_went_on_settles_first_what_was_unclear(
    store: Unreliable, cp: Dicts, becomes: str
) -> None:
    state = begin(cp)
    store.commits.extend([becomes] * ATTEMPTS)
    store.reads.extend([FAILS] * ATTEMPTS)
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)
    state["n"] = 3
    assert cp.save(SESSION, state).revision == 3
    store.arrive()
    assert revisions(cp) == [3, 2, 1]
    assert [cp.document(SESSION, revision=n)["n"] for n in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("becomes", LOST)
def test_a_session_whose_first_save_was_unclear_is_made_once(
    store: Unreliable, cp: Dicts, becomes: str
) -> None:
    store.commits.extend([becomes] * ATTEMPTS)
    store.reads.extend([WORKS, *[FAILS] * ATTEMPTS])
    turn = cp.turn(SESSION)
    with pytest.raises(SaveUnclear), turn:
        turn.state["n"] = 1
    assert cp.save(SESSION, turn.state).revision == 1
    store.arrive()
    assert store.answers.count(True) == 1
    assert revisions(cp) == [1]


class Support(AgentState, schema="support", version=1):
    """A typed state, as most are."""


@pytest.mark.parametrize("becomes", LOST)
def test_a_state_of_a_model_remembers_its_unclear_save_too(store: Unreliable, becomes: str) -> None:
    with checkpoint.open(store, Support) as cp:
        state = Support(memory=Memory(["hi"]))
        store.commits.extend([becomes] * ATTEMPTS)
        store.reads.extend([WORKS, *[FAILS] * ATTEMPTS])
        with pytest.raises(SaveUnclear):
            cp.save(SESSION, state)
        assert cp.save(SESSION, state).revision == 1
        store.arrive()
        assert [s.revision for s in cp.history(SESSION)] == [1]


@pytest.mark.parametrize("becomes", LOST)
def test_a_plain_dict_remembers_its_unclear_save_too_and_then_no_more(
    store: Unreliable, cp: Dicts, becomes: str
) -> None:
    state = {"n": 1}
    store.commits.extend([becomes] * ATTEMPTS)
    store.reads.extend([WORKS, *[FAILS] * ATTEMPTS])
    with pytest.raises(SaveUnclear, match="same state object"):
        cp.save(SESSION, state)
    assert cp.save(SESSION, state).revision == 1
    store.arrive()
    assert revisions(cp) == [1]
    with pytest.raises(Conflict):
        cp.save(SESSION, state)


def test_an_answer_that_is_not_lost_costs_no_pause_and_each_further_try_one(
    store: Unreliable, cp: Dicts, pauses: list[float]
) -> None:
    state = begin(cp)
    store.commits.append(DONE)
    cp.save(SESSION, state)
    assert pauses == [], "the read after the lost answer tells all"
    state["n"] = 3
    store.commits.extend([NOT_DONE] * ATTEMPTS)
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)
    assert len(pauses) == ATTEMPTS - 1
    assert all(pause > 0 for pause in pauses)


def test_an_unclear_save_is_found_out_asynchronously_too(store: Unreliable) -> None:
    async def main() -> None:
        async with checkpoint.open_async(Stepping(store)) as cp:
            for number, commits in enumerate(product([WORKS, *LOST], repeat=3)):
                session_id = f"user-{number}"
                await cp.save(session_id, {"n": 1})
                state = (await cp.restore(session_id)).state
                state["n"] = 2
                store.answers.clear()
                store.commits.extend(commits)
                store.reads.extend([FAILS, WORKS])
                assert (await cp.save(session_id, state)).revision == 2
                store.commits.clear()
                store.reads.clear()
                store.arrive()
                assert store.answers.count(True) == 1
                assert [s.revision for s in await cp.history(session_id)] == [2, 1]
                state["n"] = 3
                store.commits.extend([DONE, *[LATE] * (ATTEMPTS - 1)])
                store.reads.extend([FAILS] * ATTEMPTS)
                with pytest.raises(SaveUnclear):
                    await cp.save(session_id, state)
                assert (await cp.save(session_id, state)).revision == 3
                store.arrive()
                assert [s.revision for s in await cp.history(session_id)] == [3, 2, 1]

    asyncio.run(main())


# --- turns with an id ----------------------------------------------------------------------------


def count(state: dict[str, Any]) -> int:
    state["n"] = state.get("n", 0) + 1
    return int(state["n"])


@pytest.mark.parametrize("becomes", LOST)
def test_a_turn_delivered_again_after_an_unclear_save_happens_once(
    store: Unreliable, cp: Dicts, becomes: str
) -> None:
    cp.save(SESSION, {"n": 1})
    store.commits.extend([becomes] * ATTEMPTS)
    store.reads.extend([WORKS, *[FAILS] * ATTEMPTS])
    with pytest.raises(SaveUnclear):
        cp.run(SESSION, count, turn_id="message-1")
    assert cp.run(SESSION, count, turn_id="message-1") == 2
    store.arrive()
    assert cp.restore(SESSION).state == {"n": 2}
    assert revisions(cp) == [2, 1]


# --- others --------------------------------------------------------------------------------------


@pytest.mark.parametrize("becomes", [NOT_DONE, LATE])
@pytest.mark.parametrize("reads", [[], [FAILS], [FAILS, FAILS]], ids=len)
def test_anothers_write_on_our_parent_is_a_conflict_and_ours_never_happens(
    store: Unreliable, cp: Dicts, theirs: Dicts, becomes: str, reads: list[str]
) -> None:
    state = begin(cp)
    store.lost = lambda number: _once(number, lambda: theirs.overwrite(SESSION, {"by": "them"}))
    store.commits.append(becomes)
    store.reads.extend(reads)
    with pytest.raises(Conflict) as caught:
        cp.save(SESSION, state)
    assert (caught.value.parent_revision, caught.value.current_revision) == (1, 2)
    assert str(caught.value.writer).endswith("(theirs)")
    store.arrive()
    assert theirs.restore(SESSION).state == {"by": "them"}
    assert revisions(theirs) == [2, 1]


@pytest.mark.parametrize("becomes", [NOT_DONE, LATE])
def test_anothers_write_after_an_unclear_save_is_a_conflict_for_the_next(
    store: Unreliable, cp: Dicts, theirs: Dicts, becomes: str
) -> None:
    state = begin(cp)
    store.commits.extend([becomes] * ATTEMPTS)
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)
    theirs.overwrite(SESSION, {"by": "them"})
    store.arrive()
    with pytest.raises(Conflict):
        cp.save(SESSION, state)
    assert revisions(theirs) == [2, 1]
    assert theirs.restore(SESSION).state == {"by": "them"}


def test_anothers_write_on_top_of_ours_does_not_hide_it(
    store: Unreliable, cp: Dicts, theirs: Dicts
) -> None:
    state = begin(cp)
    store.lost = lambda number: _once(number, lambda: theirs.run(SESSION, count))
    store.commits.append(DONE)
    assert cp.save(SESSION, state).revision == 2
    assert theirs.restore(SESSION).state == {"n": 3}
    assert revisions(cp) == [3, 2, 1]
    state["n"] = 9
    with pytest.raises(Conflict) as caught:
        cp.save(SESSION, state)
    assert (caught.value.parent_revision, caught.value.current_revision) == (2, 3)


def _once(number: int, call: Callable[[], object]) -> None:
    if number == 1:
        call()


@pytest.mark.parametrize("patches", [0, 1, 3])
@pytest.mark.parametrize("later", [1, 2, 31, 32])
def test_our_write_is_found_under_later_segments_of_others(
    store: Unreliable,
    cp: Dicts,
    theirs: Dicts,
    later: int,
    patches: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("checkpoint._records.baseline.MAX_PATCHES", patches)
    state = begin(cp)

    def go_on() -> None:
        for _ in range(later):
            theirs.run(SESSION, count)
        kinds = [snapshot.kind for snapshot in theirs.history(SESSION)]
        assert kinds.count(Kind.BASE.name.lower()) > later / (patches + 1)

    store.lost = lambda number: _once(number, go_on)
    store.commits.append(DONE)
    assert cp.save(SESSION, state).revision == 2
    assert cp.restore(SESSION).state == {"n": 2 + later}


def test_our_write_is_found_under_a_long_segment_of_others(
    store: Unreliable, cp: Dicts, theirs: Dicts
) -> None:
    state = begin(cp)

    def go_on() -> None:
        for _ in range(200):
            theirs.run(SESSION, count)

    store.lost = lambda number: _once(number, go_on)
    store.commits.append(DONE)
    assert cp.save(SESSION, state).revision == 2


def test_our_write_is_found_under_a_tombstone(store: Unreliable, cp: Dicts, theirs: Dicts) -> None:
    state = begin(cp)
    store.lost = lambda number: _once(number, lambda: theirs.delete(SESSION))
    store.commits.append(DONE)
    assert cp.save(SESSION, state).revision == 2
    assert list(cp.sessions()) == []


@pytest.mark.parametrize("later", [33, 100])
def test_our_write_is_found_however_many_of_others_came_after_it(
    store: Unreliable, cp: Dicts, theirs: Dicts, later: int
) -> None:
    state = begin(cp)

    def go_on() -> None:
        for n in range(later):
            theirs.overwrite(SESSION, {"n": n})

    store.lost = lambda number: _once(number, go_on)
    store.commits.append(DONE)
    assert cp.save(SESSION, state).revision == 2
    assert cp.restore(SESSION).state == {"n": later - 1}
    assert len(revisions(cp)) == later + 2


def test_a_write_that_nothing_is_left_of_is_unclear_and_never_done_again(
    store: Unreliable, cp: Dicts, theirs: Dicts
) -> None:
    state = begin(cp)

    def go_on() -> None:
        theirs.delete(SESSION)
        for n in range(40):
            theirs.overwrite(SESSION, {"n": n})

    store.lost = lambda number: _once(number, go_on)
    store.commits.append(DONE)
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)
    assert cp.restore(SESSION).state == {"n": 39}
    assert len(revisions(cp)) == 40


# --- late duplicates -----------------------------------------------------------------------------


def test_no_duplicate_of_any_write_ever_applies(store: Unreliable, cp: Dicts) -> None:
    sent = []

    def keep(number: int) -> None:
        sent.extend(store.under_way)
        store.arrive()

    def every_duplicate_is_refused() -> None:
        before = store.inner.read(sent[0][0])
        for key, commit in sent:
            assert store.inner.commit(key, commit) is False
        assert store.inner.read(sent[0][0]) == before

    store.lost = keep
    writes: list[Callable[[], object]] = [
        lambda: cp.save(SESSION, {"n": 1}),
        lambda: cp.run(SESSION, count),
        lambda: cp.overwrite(SESSION, {"n": 7}),
        lambda: cp.rollback(SESSION, 1),
        lambda: cp.delete(SESSION),
        lambda: cp.save(SESSION, {"n": 1}),
        lambda: cp.delete(SESSION),
        lambda: cp.run(SESSION, count),
    ]
    for write in writes:
        store.commits.append(LATE)
        write()
        every_duplicate_is_refused()
    assert len(sent) == len(writes)
    assert revisions(cp) == [8]


# --- other writes --------------------------------------------------------------------------------

WRITES: dict[str, tuple[Callable[[Dicts], object], list[int]]] = {
    "overwrite": (lambda cp: cp.overwrite(SESSION, {"n": 2}).revision, [2, 1]),
    "rollback": (lambda cp: cp.rollback(SESSION, 1).revision, [2, 1]),
    "run": (lambda cp: cp.run(SESSION, count), [2, 1]),
    "fork": (lambda cp: cp.fork(SESSION, "fork").revision + 1, [1]),
    "delete": (lambda cp: cp.delete(SESSION) + 1, []),
}


@pytest.mark.parametrize(("write", "after"), WRITES.values(), ids=list(WRITES))
@pytest.mark.parametrize("commits", list(product(LOST, repeat=2)), ids="-".join)
def test_any_other_write_with_lost_answers_happens_once(
    store: Unreliable,
    cp: Dicts,
    write: Callable[[Dicts], object],
    after: list[int],
    commits: tuple[str, ...],
) -> None:
    cp.save(SESSION, {"n": 1})
    store.answers.clear()
    store.commits.extend(commits)
    assert write(cp) == 2
    store.arrive()
    assert store.answers.count(True) == 1
    if after:
        assert revisions(cp) == after if after != [1] else revisions(cp, "fork") == after
    else:
        assert list(cp.sessions()) == []


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreBusy, StoreFull, StoreReadOnly, StoreError])
def test_a_certain_error_is_told_at_once_and_the_state_can_be_saved_again(
    store: Unreliable, cp: Dicts, pauses: list[float], error: type[StoreError]
) -> None:
    state = begin(cp)
    store.failure = error("no")
    store.commits.append(NOT_DONE)
    with pytest.raises(error):
        cp.save(SESSION, state)
    assert pauses == []
    assert revisions(cp) == [1]
    assert cp.save(SESSION, state).revision == 2


@pytest.mark.parametrize("error", [StoreBusy, StoreFull, StoreReadOnly, StoreError])
@pytest.mark.parametrize("first", LOST)
def test_an_error_after_a_lost_answer_does_not_make_it_certain(
    store: Unreliable, cp: Dicts, first: str, error: type[StoreError]
) -> None:
    state = begin(cp)
    store.answers.clear()

    def fail_otherwise(number: int) -> None:
        store.failure = error("nothing was written")

    store.lost = fail_otherwise
    store.commits.extend([first, *[NOT_DONE] * (ATTEMPTS - 1)])
    store.reads.extend([FAILS] * ATTEMPTS)
    with pytest.raises(SaveUnclear):
        cp.save(SESSION, state)
    assert cp.save(SESSION, state).revision == 2
    saved_once(store, cp)


CALLS: dict[str, Callable[[Dicts], object]] = {
    "restore": lambda cp: cp.restore(SESSION),
    "restore a revision": lambda cp: cp.restore(SESSION, revision=1),
    "restore a label": lambda cp: cp.restore(SESSION, revision="x"),
    "turn": lambda cp: cp.turn(SESSION).__enter__(),
    "run": lambda cp: cp.run(SESSION, count),
    "save": lambda cp: cp.save(SESSION, {"n": 2}),
    "overwrite": lambda cp: cp.overwrite(SESSION, {"n": 2}),
    "history": lambda cp: cp.history(SESSION),
    "diff": lambda cp: cp.diff(SESSION, 1, 1),
    "document": lambda cp: cp.document(SESSION),
    "fork": lambda cp: cp.fork(SESSION, "fork"),
    "rollback": lambda cp: cp.rollback(SESSION, 1),
    "label": lambda cp: cp.label(SESSION, "x"),
    "unlabel": lambda cp: cp.unlabel(SESSION, "x"),
    "delete": lambda cp: cp.delete(SESSION),
    "sessions": lambda cp: list(cp.sessions()),
}


@pytest.mark.promise("not-absent")
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_an_outage_is_never_told_as_a_missing_session(call: Callable[[Dicts], object]) -> None:
    dead = Dead(InMemoryStore())
    checkpoint.open(dead.inner).save(SESSION, {"n": 1})
    with checkpoint.open(dead) as cp, pytest.raises(CheckpointError) as caught:
        call(cp)
    assert isinstance(caught.value, StoreUnavailable)
    assert not isinstance(caught.value, LookupError)


@pytest.mark.promise("not-absent")
def test_a_second_session_is_not_begun_when_the_first_cannot_be_read(
    store: Unreliable, cp: Dicts
) -> None:
    cp.save(SESSION, {"n": 1})
    store.reads.append(FAILS)
    with pytest.raises(StoreUnavailable), cp.turn(SESSION):
        raise AssertionError("the turn must not begin")
    assert cp.restore(SESSION).state == {"n": 1}
