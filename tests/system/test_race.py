"""Writers that race for one session: each turn happens once, and who loses is told to whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import checkpoint
from checkpoint import Checkpointer, Conflict
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.registry import open_store
from checkpoint.store import Store

from .nursery import Nursery
from .roles import SESSION, one_save, racer

pytestmark = pytest.mark.promise("no-overwrite")

PROCESSES, TURNS = 16, 50

Dicts = Checkpointer[dict[str, object]]


def test_processes_that_run_turns_of_one_session_lose_none(nursery: Nursery, url: str) -> None:
    children = [
        nursery.start(racer, waits=True, url=url, name=f"replica-{number}", turns=TURNS)
        for number in range(PROCESSES)
    ]
    for child in children:
        child.go()
    for child in children:
        assert child.hear_all() == [["done"]]
        assert child.wait() == 0
    expected = {f"replica-{p}/{t}" for p in range(PROCESSES) for t in range(TURNS)}
    with checkpoint.open(url) as cp:
        newest = cp.restore(SESSION)
        said = newest.state["said"]
        assert newest.revision == len(said) == PROCESSES * TURNS
        assert set(said) == expected
        for number in range(PROCESSES):
            mine = [one for one in said if one.startswith(f"replica-{number}/")]
            assert mine == [f"replica-{number}/{turn}" for turn in range(TURNS)]
        history = cp.history(SESSION)
        assert [s.revision for s in history] == list(range(PROCESSES * TURNS, 0, -1))
        assert [s.parent_revision for s in history] == list(range(PROCESSES * TURNS - 1, -1, -1))
        assert len({s.write_id for s in history}) == len(history)
        assert len({s.writer.pid for s in history}) == PROCESSES
        for revision, name in enumerate(said, 1):
            assert history[-revision].writer.name == name.partition("/")[0]
        for revision in range(1, len(said), 53):
            assert cp.restore(SESSION, revision=revision).state["said"] == said[:revision]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, url: str) -> Iterator[Store]:
    """One store for two checkpointers."""
    opened = InMemoryStore() if request.param == "memory" else open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def mine(store: Store) -> Dicts:
    return checkpoint.open(store, replica="mine")


@pytest.fixture
def theirs(store: Store) -> Dicts:
    return checkpoint.open(store, replica="theirs")


def test_of_two_saves_of_one_parent_the_second_is_told_of_the_first(
    mine: Dicts, theirs: Dicts
) -> None:
    mine.save(SESSION, {"n": 0})
    stalled, quick = mine.restore(SESSION), theirs.restore(SESSION)
    quick.state["by"] = "theirs"
    stalled.state["by"] = "mine"
    theirs.save(SESSION, quick.state)
    with pytest.raises(Conflict) as caught:
        mine.save(SESSION, stalled.state)
    told = caught.value
    assert (told.session_id, told.parent_revision, told.current_revision) == (SESSION, 1, 2)
    assert told.writer == f"{os.uname().nodename}:{os.getpid()} (theirs)"
    for words in ("revision 1", "revision 2", str(told.writer), "nothing was written"):
        assert words in str(told)
    assert mine.restore(SESSION).state == {"n": 0, "by": "theirs"}
    assert [s.revision for s in mine.history(SESSION)] == [2, 1]


def test_a_conflict_names_the_process_that_won(nursery: Nursery, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save(SESSION, {"by": "nobody"})
        stalled = cp.restore(SESSION)
        child = nursery.start(one_save, url=url, replica="another process")
        assert child.hear() == [2, child.pid]
        stalled.state["by"] = "me"
        with pytest.raises(Conflict, match="another process") as caught:
            cp.save(SESSION, stalled.state)
        assert caught.value.writer == f"{os.uname().nodename}:{child.pid} (another process)"
        assert cp.restore(SESSION).state == {"by": "another process"}


def test_one_of_many_that_save_from_one_parent_wins(nursery: Nursery, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save(SESSION, {"by": "nobody"})
        names = [f"replica-{number}" for number in range(8)]
        children = [nursery.start(one_save, waits=True, url=url, replica=name) for name in names]
        for child in children:
            child.go()
        told = [child.hear_all() for child in children]
        # Who restored after another's save is a successor and no rival: each line says which.
        saved = sorted(line[0] for (line,) in told if line[0] != "failed")
        lost = [line for (line,) in told if line[0] == "failed"]
        assert saved == list(range(2, 2 + len(saved)))
        assert len(saved) + len(lost) == len(names)
        assert {kind for _, kind, _ in lost} <= {"Conflict"}
        assert [s.revision for s in cp.history(SESSION)] == [*reversed(saved), 1]


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and made again"])
@pytest.mark.parametrize("how", ["save", "turn", "turn with an id"])
def test_a_stalled_writer_of_a_deleted_session_gets_a_conflict(
    mine: Dicts, theirs: Dicts, how: str, *, again: bool
) -> None:
    mine.save(SESSION, {"n": 0})
    stalled = mine.restore(SESSION)
    turn = mine.turn(SESSION, turn_id="message-1" if how == "turn with an id" else None)
    turn.__enter__()
    theirs.delete(SESSION)
    if again:
        theirs.save(SESSION, {"n": 100})
    stalled.state["n"] = turn.state["n"] = 1
    finish: Callable[[], object] = partial(turn.__exit__, None, None, None)
    if how == "save":
        finish = partial(mine.save, SESSION, stalled.state)
    with pytest.raises(Conflict) as caught:
        finish()
    assert caught.value.parent_revision == 1
    assert caught.value.current_revision == (3 if again else None)
    there = [theirs.restore(info.session_id).state for info in theirs.sessions()]
    assert there == ([{"n": 100}] if again else [])


def test_the_numbers_of_a_session_made_again_do_not_pass_for_the_old_ones(
    mine: Dicts, theirs: Dicts
) -> None:
    for n in range(3):
        mine.overwrite(SESSION, {"n": n})
    stalled = mine.restore(SESSION)
    theirs.delete(SESSION)
    for n in range(5):
        theirs.overwrite(SESSION, {"n": 100 + n})
        stalled.state["n"] = -n
        with pytest.raises(Conflict):
            mine.save(SESSION, stalled.state)
    assert theirs.restore(SESSION).state == {"n": 104}


def test_run_after_a_deletion_begins_anew(mine: Dicts, theirs: Dicts) -> None:
    mine.save(SESSION, {"n": 5})
    calls: list[dict[str, object]] = []

    def count(state: dict[str, object]) -> object:
        if not calls:
            theirs.delete(SESSION)
        calls.append(dict(state))
        state["seen"] = True
        return len(calls)

    assert mine.run(SESSION, count) == 2
    assert calls == [{"n": 5}, {}]
    assert mine.restore(SESSION).state == {"seen": True}
