"""Operations interleaved call by call: what is kept is never broken, whoever comes between.

What is checked afterwards: all that is there can be restored, as it was saved; and when all is
swept, no page is left that nothing needs.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from random import Random
from typing import Any, cast

import pytest

import checkpoint
from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    Conflict,
    InvalidOption,
    Memory,
    Retention,
    RevisionPruned,
    SessionNotFound,
)
from checkpoint._records.header import read_header
from checkpoint._stores.inmemory import InMemoryStore
from tests.effort import SOAK, case, some, times

from .hooked import key

NO_GRACE = dt.timedelta(0)
NEWEST = Retention(keep_last=1)
SESSIONS = ("a", "b", "c", "d")
ALLOWED = (Conflict, InvalidOption, RevisionPruned, SessionNotFound)


class State(AgentState, schema="state", version=1):
    """A state whose memory is in pages."""

    memory: Memory[str] = Memory()
    text: str = ""
    n: int = 0


States = AsyncCheckpointer[State]


# --- a store whose calls are taken in an order that a test says ----------------------------------


class Pause:
    """Lets others go on before the next call."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Stepping:
    """A store in memory, each of whose calls is a step."""

    def __init__(self, inner: InMemoryStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **flags: Any) -> Any:
            await Pause()
            return method(*args, **flags)

        return call


class Task:
    """One operation under way; being refused is fine."""

    def __init__(self, store: InMemoryStore, operation: Operation) -> None:
        cp = checkpoint.open_async(cast("Any", Stepping(store)), State)
        self._coroutine = cast("Coroutine[None, None, Any]", operation(cp))
        self.steps = 0
        self.done = False

    def go(self, steps: int = 1000) -> None:
        """Take some steps, or all that are left."""
        for _ in range(steps):
            if self.done:
                return
            try:
                self.steps += 1
                self._coroutine.send(None)
            except (StopIteration, *ALLOWED):
                self.done = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a kilobyte, listings of two, and no time passes."""
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 1024)
    monkeypatch.setattr("checkpoint._async.listing._LISTED", 2)
    monkeypatch.setattr("checkpoint._async.maintenance._DROPPED", 2)

    async def pass_on(seconds: float) -> None:
        await Pause()

    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)


@dataclass
class Ledger:
    """What was ever read of each revision: it must stay what it is."""

    documents: dict[tuple[str, int], Any]

    def check(self, store: InMemoryStore) -> None:
        """All that is there can be restored, and is what it was."""
        cp = checkpoint.open(store)
        for session_id in [session.session_id for session in cp.sessions()]:
            assert cp.verify(session_id) == []
            for snapshot in cp.history(session_id):
                place = (session_id, snapshot.revision)
                document = cp.document(session_id, revision=snapshot.revision)
                assert self.documents.setdefault(place, document) == document


# --- the operations ------------------------------------------------------------------------------


def long_list() -> Memory[str]:
    return Memory([os.urandom(60).hex() for _ in range(20)])


@cache
def begun() -> tuple[InMemoryStore, Ledger]:
    """A session whose memory was replaced twice, a fork of how it was at first, and a tombstone."""
    store, ledger = InMemoryStore(), Ledger({})
    cp = checkpoint.open(store, State)
    state = State(memory=long_list())
    cp.save("a", state)
    state.memory.append("and more")
    cp.save("a", state)
    cp.fork("a", "b", revision=1)
    for n in (3, 4):
        state = State(memory=long_list(), text=os.urandom(2000).hex(), n=n)
        cp.overwrite("a", state)
        cp.overwrite("b", State(n=n))
    del state.memory[::2]  # its pages are full of holes, and not worth keeping
    state.text += "and more"
    cp.save("a", state)
    cp.overwrite("a", State(memory=long_list(), n=6))
    assert [snapshot.kind for snapshot in cp.history("a")] == [
        *("base", "patch", "base", "base", "patch", "base")
    ]
    cp.save("c", State())
    cp.delete("c")
    ledger.check(store)
    return store, ledger


def begin() -> tuple[InMemoryStore, Ledger]:
    """The same, to play with."""
    (first, ledger), store = begun(), InMemoryStore()
    for owner, session in first._sessions.items():
        store._sessions[owner] = replace(
            session,
            records=dict(session.records),
            bases=dict(session.bases),
            attachments=dict(session.attachments),
        )
        store._pages[owner] = dict(first._pages[owner])
    return store, Ledger(dict(ledger.documents))


async def turn(cp: States) -> None:
    async with cp.turn("a") as turn:
        turn.state.n += 1


async def big_turn(cp: States) -> None:
    async with cp.turn("a") as turn:
        turn.state.memory.extend([*long_list(), *long_list()])


async def windowed_turn(cp: States) -> None:
    async with cp.turn("a", window=2) as turn:
        turn.state.memory.extend(long_list())
        await turn.state.memory.load()


async def branch(cp: States) -> None:
    state = (await cp.restore("a", revision=3)).state
    state.memory.append("from here")
    await cp.save("a", state, branch=True)


async def sweep(cp: States) -> None:
    async for pruned in cp.sweep(grace=NO_GRACE):
        assert isinstance(pruned.problem, Conflict | None)


async def delete_both(cp: States) -> None:
    await cp.delete("b")
    await cp.delete("a")


async def only_the_first(cp: States) -> None:
    await cp.rollback("b", 1)
    await cp.prune("b", NEWEST, grace=NO_GRACE)


async def create_anew(cp: States) -> None:
    await cp.delete("a")
    await cp.save("a", State(memory=long_list()))


async def delete_newest_base(cp: States) -> None:
    """A turn on it, and then the base of its own segment."""
    async with cp.turn("a") as turn:
        turn.state.memory.extend(long_list())
    await cp.delete_revision("a", 6)


async def fork_back(cp: States) -> None:
    await cp.delete("a")
    await cp.fork("b", "a", revision=1)


async def forks_of_forks(cp: States) -> None:
    await cp.fork("b", "c", revision=1)
    await cp.delete("b")
    await cp.fork("c", "b")


async def fork_and_delete(cp: States) -> None:
    await cp.fork("a", "c", revision=3)
    await cp.delete("c")


Operation = Callable[[States], Awaitable[Any]]
OPERATIONS: dict[str, Operation] = {
    "prune": lambda cp: cp.prune("a", NEWEST, grace=NO_GRACE),
    "prune the fork": lambda cp: cp.prune("b", NEWEST, grace=NO_GRACE),
    "sweep": sweep,
    "delete": lambda cp: cp.delete("a"),
    "delete the fork": lambda cp: cp.delete("b"),
    "delete both": delete_both,
    "create anew": create_anew,
    "fork": lambda cp: cp.fork("a", "c", revision=3),
    "fork to a new one": lambda cp: cp.fork("a", "d", revision=3),
    "fork the first": lambda cp: cp.fork("a", "c", revision=1),
    "fork the fork": lambda cp: cp.fork("b", "c", revision=1),
    "only the first": only_the_first,
    "fork it back": fork_back,
    "forks of forks": forks_of_forks,
    "fork and delete": fork_and_delete,
    "fork the holes": lambda cp: cp.fork("a", "c", revision=5),
    "delete a revision": lambda cp: cp.delete_revision("a", 4),
    "delete the first": lambda cp: cp.delete_revision("a", 1),
    "delete the newest base": delete_newest_base,
    "replace": lambda cp: cp.overwrite("a", State(memory=long_list())),
    "replace the fork": lambda cp: cp.overwrite("b", State(memory=long_list())),
    "turn": turn,
    "big turn": big_turn,
    "windowed turn": windowed_turn,
    "branch": branch,
    "rollback": lambda cp: cp.rollback("a", 3),
    "restore": lambda cp: cp.restore("a"),
    "restore an old one": lambda cp: cp.restore("a", revision=3),
}
REMOVING = {name for name in OPERATIONS if name.startswith(("prune", "sweep", "delete"))}
PAIRS = [
    pair for pair in product(OPERATIONS, OPERATIONS) if REMOVING & set(pair) and len(set(pair)) == 2
]


# --- what must hold afterwards -------------------------------------------------------------------


def check_no_leak(store: InMemoryStore) -> None:
    """After some sweeps, each page is named by a revision."""
    for _ in range(3):
        Task(store, sweep).go()
    named = set()
    there = set()
    for owner in map(key, SESSIONS):
        there |= {(owner, page.id) for page in store.list_pages(owner)}
        for record, _ in store.headers(owner, None, 100, bases=True):
            named |= {(ref.owner or owner, ref.id) for ref in read_header(record)[0].pages}
    assert there == named


def play(operations: Sequence[Operation], turns: Sequence[tuple[int, int]]) -> list[Task]:
    """Run operations in turns, each of one of them and some steps of it; then each to its end."""
    store, ledger = begin()
    tasks = [Task(store, operation) for operation in operations]
    for number, steps in turns:
        tasks[number].go(steps)
    for task in tasks:
        task.go()
        assert task.done
    check_no_leak(store)
    ledger.check(store)
    return tasks


@cache
def length(name: str) -> int:
    """Steps of an operation that nobody disturbs."""
    return play([OPERATIONS[name]], [])[0].steps


THOROUGHLY = [("delete", "only the first"), ("fork the holes", "delete a revision")]
"""Those where only one order of calls in a hundred would be wrong."""


@pytest.mark.parametrize("first", OPERATIONS)
def test_two_operations(first: str) -> None:
    """Some steps of the first, some of the second, the rest of the first, then of the second."""
    for pair in some([pair for pair in PAIRS if pair[0] == first]):
        schedules = list(product(*(range(1, length(name) + 1) for name in pair)))
        if pair in THOROUGHLY:
            schedules = [*some(schedules)]
        elif not SOAK:
            schedules = Random(" ".join(pair)).sample(schedules, min(times(4), len(schedules)))
        for at, between in schedules:
            with case(*pair, at, between):
                play([OPERATIONS[name] for name in pair], [(0, at), (1, between)])


@pytest.mark.parametrize("chunk", range(10))
def test_three_operations(chunk: int) -> None:
    seeds = times(20, soak=2000)
    for seed in range(chunk * seeds, (chunk + 1) * seeds):
        random = Random(seed)
        chosen = random.choices(list(OPERATIONS.values()), k=3)
        turns = [
            (random.randrange(3), random.randint(1, random.choice([2, 12]))) for _ in range(12)
        ]
        with case("seed", seed):
            play(chosen, turns)
