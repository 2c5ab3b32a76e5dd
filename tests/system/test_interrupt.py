"""A save that a signal interrupts: whole or absent, wherever it was; the next settles it."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import pytest

import checkpoint
from checkpoint import Checkpointer, SessionNotFound
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import Store
from checkpoint_sql.sqlite import SqliteStore
from tests.effort import times

from .nursery import Nursery
from .roles import SESSION, saver, saver_that_exits, state_at

Dicts = Checkpointer[dict[str, Any]]

ROUNDS = times(30, soak=300)


# --- SIGTERM -------------------------------------------------------------------------------------


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("role", [saver, saver_that_exits], ids=["by default", "as SystemExit"])
def test_a_terminated_save_is_whole_or_absent(
    nursery: Nursery, url: str, role: Callable[..., None]
) -> None:
    moments = random.Random(role.__name__)
    for _ in range(ROUNDS):
        child = nursery.start(role, url=url)
        heard = [child.hear() for _ in range(moments.randrange(4, 9))]
        time.sleep(0.006 * moments.random())
        child.send(signal.SIGTERM)
        heard += child.hear_all()
        ended = child.wait()
        said = [line for line in heard if line is not None]
        acknowledged = [numbers[-1] for word, *numbers in said if word in ("saved", "settles")]
        begun = [numbers[0] for word, *numbers in said if word in ("begins", "settles")]
        with checkpoint.open(url) as cp:
            newest = cp.restore(SESSION).revision
            assert acknowledged[-1] <= newest <= begun[-1]
            for revision in {newest, *acknowledged}:
                assert cp.restore(SESSION, revision=revision).state == state_at(revision)
        if role is saver:
            assert ended == -signal.SIGTERM
        else:
            assert ended == 0, said
            word, number, revision = said[-1]
            assert (word, revision) == ("settles", number), "the interrupted save is there once"


# --- an exception at any call --------------------------------------------------------------------

# What runs between a call of a save and its answer, but for the pure parts: the codec, pydantic.
INTERRUPTED = (
    *("turn.py", "checkpointer.py", "engine.py", "loading.py", "commits.py", "inmemory.py"),
    *("waiting.py", "sqlite.py", "sqlite_file.py", "rows.py", "contextlib.py"),
    "threading.py",
)


class Interrupter:
    """Raises KeyboardInterrupt at the nth place where a signal may come in the code that saves.

    Python looks for signals when a function is entered and when a call into C returns; that is
    where a profiler is called too, and may raise.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.at: str | None = None

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(INTERRUPTED):
            self._left -= 1
            if self._left < 0:
                sys.setprofile(None)
                name = getattr(arg, "__name__", "")
                self.at = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {event} {name}"
                raise KeyboardInterrupt(self.at)

    @contextmanager
    def working(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)


def interruptions(work: Callable[[int], Callable[[], object]]) -> Iterator[tuple[int, str]]:
    """Do a piece of work again and again, interrupted one place later each time, until it ends.

    Args:
        work: prepares the nth try, and returns what is to be interrupted.
    """
    for number in range(10_000):
        piece, interrupter = work(number), Interrupter(number)
        try:
            with interrupter.working():
                piece()
        except KeyboardInterrupt:
            assert interrupter.at is not None
        if interrupter.at is None:
            return
        yield number, interrupter.at
    raise AssertionError("it never ended")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = InMemoryStore()
    if request.param == "sqlite":
        opened = SqliteStore(str(tmp_path / "sessions.db"), timeout=0)
    yield opened
    opened.close()


def newest(cp: Dicts, session_id: str) -> tuple[int, object]:
    """What another thread finds: one that waits for a lock that was left finds nothing."""
    found: list[tuple[int, object]] = []

    def look() -> None:
        try:
            restored = cp.restore(session_id)
        except SessionNotFound:
            found.append((0, None))
        else:
            found.append((restored.revision, restored.state))

    other = Thread(target=look, daemon=True)
    other.start()
    other.join(60)
    assert found, "a lock was left held"
    return found[0]


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("how", ["save", "turn"])
def test_a_save_interrupted_at_any_call_is_whole_or_absent_and_the_next_settles_it(
    store: Store, how: str
) -> None:
    states: dict[str, dict[str, Any]] = {}
    with checkpoint.open(store) as cp:

        def work(number: int) -> Callable[[], object]:
            session_id = f"user-{number}"
            cp.save(session_id, {"n": 1})
            if how == "save":
                state = states[session_id] = cp.restore(session_id).state
                state["n"] = 2
                return lambda: cp.save(session_id, state)
            turn = cp.turn(session_id)
            state = states[session_id] = turn.__enter__().state
            state["n"] = 2
            return lambda: turn.__exit__(None, None, None)

        ends: set[int] = set()
        for number, at in interruptions(work):
            session_id = f"user-{number}"
            end = newest(cp, session_id)
            assert end in [(1, {"n": 1}), (2, {"n": 2})], at
            assert cp.save(session_id, states[session_id]).revision == 2, at
            assert [s.revision for s in cp.history(session_id)] == [2, 1], at
            assert newest(cp, session_id) == (2, {"n": 2}), at
            states[session_id]["n"] = 3
            assert cp.save(session_id, states[session_id]).revision == 3, at
            ends.add(end[0])
        assert ends == {1, 2}, "interrupted both before and after it was written"


@pytest.mark.promise("never-lost")
def test_a_first_save_interrupted_at_any_call_is_whole_or_absent(store: Store) -> None:
    with checkpoint.open(store) as cp:

        def work(number: int) -> Callable[[], object]:
            turn = cp.turn(f"user-{number}")
            turn.__enter__().state["n"] = 1
            turns.append(turn)
            return lambda: turn.__exit__(None, None, None)

        turns: list[checkpoint.Turn[dict[str, Any]]] = []
        for number, at in interruptions(work):
            assert newest(cp, f"user-{number}") in [(0, None), (1, {"n": 1})], at
            assert cp.save(f"user-{number}", turns[number].state).revision == 1, at
            assert newest(cp, f"user-{number}") == (1, {"n": 1}), at


def change(state: dict[str, Any]) -> str:
    state["n"] = state.get("n", 0) + 1
    return "done"


WHOLE: dict[str, tuple[Callable[[Dicts, str], object], object]] = {
    "run": (lambda cp, session_id: cp.run(session_id, change), (2, {"n": 2})),
    "overwrite": (lambda cp, session_id: cp.overwrite(session_id, {"n": 9}), (2, {"n": 9})),
    "rollback": (lambda cp, session_id: cp.rollback(session_id, 1), (2, {"n": 1})),
    "delete": (lambda cp, session_id: cp.delete(session_id), (0, None)),
}


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize(("call", "after"), WHOLE.values(), ids=list(WHOLE))
def test_any_other_write_interrupted_at_any_call_is_whole_or_absent(
    store: Store, call: Callable[[Dicts, str], object], after: object
) -> None:
    with checkpoint.open(store) as cp:

        def work(number: int) -> Callable[[], object]:
            cp.save(f"user-{number}", {"n": 1})
            return lambda: call(cp, f"user-{number}")

        for number, at in interruptions(work):
            assert newest(cp, f"user-{number}") in [(1, {"n": 1}), after], at


def test_no_interrupted_call_is_waited_for_by_a_later_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(str(tmp_path / "sessions.db"))
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr("time.monotonic", lambda: float(len(waited)))
    with checkpoint.open(store) as cp:
        cp.save(SESSION, {"n": 1})
        for _, at in interruptions(lambda number: lambda: cp.overwrite(SESSION, {"n": number})):
            store.before_fork()
            store.after_fork()
            assert not waited, at


def test_opening_a_new_file_interrupted_at_any_call_leaves_it_usable(tmp_path: Path) -> None:
    opened: list[Dicts] = []

    def work(number: int) -> Callable[[], object]:
        store = SqliteStore(str(tmp_path / f"{number}.db"), timeout=0)
        opened.append(checkpoint.open(store))
        return lambda: opened[-1].save(SESSION, {"n": 1})

    for number, at in interruptions(work):
        with opened[number] as cp:
            assert newest(cp, SESSION) in [(0, None), (1, {"n": 1})], at
            cp.overwrite(SESSION, {"n": 2})
        with checkpoint.open(f"sqlite:///{tmp_path}/{number}.db?timeout=0") as other:
            assert other.restore(SESSION).state == {"n": 2}, at
    opened[-1].close()
