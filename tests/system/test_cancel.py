"""A save whose task is cancelled, at any await: whole or absent, and the next save settles it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from checkpoint import AsyncCheckpointer, SessionNotFound
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import AsyncStore
from checkpoint_sql.sqlite import SqliteStore

from .faults import Held, Stepping

Dicts = AsyncCheckpointer[dict[str, Any]]
# More steps than any call takes. A thread takes none of the loop's, so there a step is a moment.
STEPS = {"memory": range(60), "sqlite in threads": range(0, 60, 5)}
STEP = {"memory": 0.0, "sqlite in threads": 0.0002}  # seconds

pytestmark = pytest.mark.parametrize("kind", ["memory", "sqlite in threads"])


@pytest.fixture
def store(kind: str, tmp_path: Path) -> AsyncStore:
    if kind == "memory":
        return Stepping(InMemoryStore())
    return ThreadedStore(SqliteStore(str(tmp_path / "sessions.db")))


async def cancelled(call: Callable[[], Awaitable[object]], kind: str, step: int) -> bool:
    """Cancel a call after so many steps; whether it ended before that."""
    task = asyncio.ensure_future(call())
    for _ in range(step):
        await asyncio.sleep(STEP[kind])
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


async def newest(cp: Dicts, session_id: str) -> tuple[int, object]:
    try:
        restored = await cp.restore(session_id)
    except SessionNotFound:
        return 0, None
    return restored.revision, restored.state


async def each_step(
    kind: str, prepare: Callable[[str], Awaitable[Callable[[], Awaitable[object]]]]
) -> list[tuple[str, bool]]:
    """Cancel a call at each of its steps, in a session of its own each; which ended before."""
    tried = []
    for step in STEPS[kind]:
        session_id = f"user-{step}"
        tried.append((session_id, await cancelled(await prepare(session_id), kind, step)))
    return tried


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("how", ["save", "turn", "branch"])
def test_a_save_cancelled_at_any_step_is_whole_or_absent_and_the_next_settles_it(
    store: AsyncStore, kind: str, how: str
) -> None:
    async def main() -> None:
        async with checkpoint.open_async(store) as cp:
            states: dict[str, dict[str, Any]] = {}

            async def prepare(session_id: str) -> Callable[[], Awaitable[object]]:
                await cp.save(session_id, {"n": 1})
                if how == "turn":
                    turn = cp.turn(session_id)
                    state = states[session_id] = (await turn.__aenter__()).state
                    state["n"] = 2
                    return lambda: turn.__aexit__(None, None, None)
                state = states[session_id] = (await cp.restore(session_id)).state
                state["n"] = 2
                return lambda: cp.save(session_id, state, branch=how == "branch")

            seen: set[tuple[int, bool]] = set()
            for session_id, ended in await each_step(kind, prepare):
                at = await newest(cp, session_id)
                assert at in [(1, {"n": 1}), (2, {"n": 2})]
                assert not ended or at == (2, {"n": 2}), "what was acknowledged is there"
                assert (await cp.save(session_id, states[session_id])).revision == 2
                assert [s.revision for s in await cp.history(session_id)] == [2, 1]
                assert await newest(cp, session_id) == (2, {"n": 2})
                seen.add((at[0], ended))
            if kind == "memory":  # how many steps a thread takes is another each time
                assert seen == {(1, False), (2, False), (2, True)}

    asyncio.run(main())


def test_a_state_that_went_on_after_a_cancelled_save_is_saved_on_top_of_it(
    store: AsyncStore, kind: str
) -> None:
    async def main() -> None:
        async with checkpoint.open_async(store) as cp:
            for step in STEPS[kind]:
                session_id = f"user-{step}"
                await cp.save(session_id, {"n": 1})
                state = (await cp.restore(session_id)).state
                state["n"] = 2
                await cancelled(partial(cp.save, session_id, state), kind, step)
                state["n"] = 3
                await cp.save(session_id, state)
                history = await cp.history(session_id)
                assert (await cp.restore(session_id)).state == {"n": 3}
                documents = [await cp.document(session_id, revision=s.revision) for s in history]
                assert documents in ([{"n": 3}, {"n": 1}], [{"n": 3}, {"n": 2}, {"n": 1}])

    asyncio.run(main())


def change(state: dict[str, Any]) -> str:
    state["n"] = state.get("n", 0) + 1
    return "done"


CALLS: dict[str, tuple[Callable[[Dicts, str], Awaitable[object]], object]] = {
    "run": (lambda cp, session_id: cp.run(session_id, change), (2, {"n": 2})),
    "overwrite": (lambda cp, session_id: cp.overwrite(session_id, {"n": 9}), (2, {"n": 9})),
    "rollback": (lambda cp, session_id: cp.rollback(session_id, 1), (2, {"n": 1})),
    "delete": (lambda cp, session_id: cp.delete(session_id), (0, None)),
}


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize(("call", "after"), CALLS.values(), ids=list(CALLS))
def test_any_other_write_cancelled_at_any_step_is_whole_or_absent(
    store: AsyncStore,
    kind: str,
    call: Callable[[Dicts, str], Awaitable[object]],
    after: object,
) -> None:
    async def main() -> None:
        async with checkpoint.open_async(store) as cp:

            async def prepare(session_id: str) -> Callable[[], Awaitable[object]]:
                await cp.save(session_id, {"n": 1})
                return lambda: call(cp, session_id)

            ends = set()
            for session_id, ended in await each_step(kind, prepare):
                at = await newest(cp, session_id)
                assert at in [(1, {"n": 1}), after]
                assert at == after or not ended
                ends.add(ended)
            if kind == "memory":
                assert ends == {True, False}

    asyncio.run(main())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_save_cancelled_while_its_thread_writes_is_settled_by_the_next(
    kind: str, tmp_path: Path, when: str, times: int
) -> None:
    inner = InMemoryStore() if kind == "memory" else SqliteStore(str(tmp_path / "sessions.db"))
    held = Held(inner, when=when)

    async def main() -> None:
        async with checkpoint.open_async(ThreadedStore(held)) as cp:
            await cp.save("user-42", {"n": 1})
            state = (await cp.restore("user-42")).state
            state["n"] = 2
            held.hold()
            task = asyncio.ensure_future(cp.save("user-42", state))
            await asyncio.to_thread(held.entered.wait)
            for _ in range(times):
                task.cancel()
                for _ in range(5):
                    await asyncio.sleep(0)
            assert not task.done(), "it waits for the thread, which cannot be stopped"
            held.let_go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await cp.restore("user-42")).state == {"n": 2}
            assert (await cp.save("user-42", state)).revision == 2
            assert [s.revision for s in await cp.history("user-42")] == [2, 1]

    asyncio.run(main())
