"""What the processes of the tests do. Each is called with ``say``, and with what the test gave."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, NoReturn

import checkpoint
from checkpoint import Checkpointer, CheckpointError, SessionNotFound

from .nursery import Say

SESSION = "user-42"
WINDOW = 12


def item(number: int) -> bytes:
    """The item that turn ``number`` adds: small as a rule, of many pages of the file at times."""
    noise = random.Random(number)
    return noise.randbytes(noise.choice([10, 100, 1_000, 3_000, 10_000, 60_000]))


def state_at(revision: int) -> dict[str, Any]:
    """The state that a saver leaves at a revision, known beforehand to everybody."""
    first = max(1, revision - WINDOW + 1)
    return {"n": revision, "items": [item(number) for number in range(first, revision + 1)]}


def advance(state: dict[str, Any]) -> int:
    """Make the next state of this one, in place and in one step, whatever signal comes."""
    number: int = state.get("n", 0) + 1
    state.update(n=number, items=[*state.get("items", []), item(number)][-WINDOW:])
    return number


def _restored(cp: Checkpointer[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return cp.restore(SESSION).state
    except SessionNotFound:
        return None


def saver(say: Say, url: str) -> None:
    """Save as fast as it goes, for ever; say before each save what it is, and after, its number."""
    say("opens")
    cp = checkpoint.open(url)
    state = _restored(cp)
    if state is None:
        say("begins", 1)
        with cp.turn(SESSION) as turn:
            advance(turn.state)
        say("saved", turn.revision)
        state = turn.state
    while True:
        say("begins", advance(state))
        say("saved", cp.save(SESSION, state).revision)


def saver_that_exits(say: Say, url: str) -> None:
    """A saver whose SIGTERM raises SystemExit; it then saves the state it has once more."""

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(f"signal {number}")

    cp = checkpoint.open(url)
    state = _restored(cp)
    if state is None:
        with cp.turn(SESSION) as turn:
            advance(turn.state)
        state = turn.state
    advance(state)
    say("saved", cp.save(SESSION, state).revision)
    signal.signal(signal.SIGTERM, leave)
    try:
        while True:
            advance(state)
            say("begins", state["n"])
            say("saved", cp.save(SESSION, state).revision)
    except SystemExit:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("settles", state["n"], cp.save(SESSION, state).revision)
        cp.close()


def saying(what: str) -> Callable[[dict[str, Any]], None]:
    """A turn that says something."""
    return lambda state: state.setdefault("said", []).append(what)


def racer(say: Say, url: str, name: str, turns: int) -> None:
    """Take turns of the one session, against all others."""
    with checkpoint.open(url, replica=name) as cp:
        for turn in range(turns):
            cp.run(SESSION, saying(f"{name}/{turn}"))
    say("done")


def opener(say: Say, url: str, session_id: str) -> None:
    """Open a store that may not be there yet, save a session of its own and look for others."""
    with checkpoint.open(url) as cp:
        say("saved", cp.save(session_id, {"of": session_id}).revision)
        say("sees", [info.session_id for info in cp.sessions()])


def one_save(say: Say, url: str, replica: str) -> None:
    """Restore, change and save once."""
    with checkpoint.open(url, replica=replica) as cp:
        restored = cp.restore(SESSION)
        restored.state["by"] = replica
        say(cp.save(SESSION, restored.state).revision, os.getpid())


def forking(say: Say, url: str, children: int) -> None:
    """Use a store, fork, and use the same store object in the children and the parent at once."""
    cp = checkpoint.open(url)
    cp.save(SESSION, {"said": []})

    def take_turns(name: str) -> None:
        for turn in range(5):
            cp.run(SESSION, saying(f"{name}/{turn}"))

    pids = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                take_turns(f"child {number}")
                if number % 2:
                    cp.close()  # some clean up, some just end
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    take_turns("parent")
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    take_turns("parent after")
    say(codes, cp.restore(SESSION).state["said"])
    cp.close()


def forking_amid_writes(say: Say, url: str, children: int) -> None:
    """Fork while threads are writing; each child drops the store it was left, or goes on with it.

    Every commit that was acknowledged is told, whoever made it.
    """
    cp = checkpoint.open(url)
    cp.save(SESSION, {"said": []})
    forked = Event()
    written: list[str] = []

    def write(name: str) -> None:
        while not forked.is_set():
            mine = f"{name}/{len(written)}/{threading.get_ident()}"
            cp.run(SESSION, saying(mine))
            written.append(mine)

    threads = [Thread(target=write, args=(f"thread {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    pids = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if number % 2:
                    cp.close()
                    del cp
                    gc.collect()
                else:
                    cp.run(SESSION, saying(f"child {number}"))
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    forked.set()
    for thread in threads:
        thread.join()
    written += [f"child {number}" for number in range(0, children, 2)]
    say(codes, sorted(written) == sorted(cp.restore(SESSION).state["said"]))
    cp.close()


def forking_in_threads(say: Say, url: str, threads: int, forks: int) -> None:
    """Fork from several threads at once, each of which uses the store in between."""
    cp = checkpoint.open(url)
    cp.save(SESSION, {"said": []})
    codes: list[int] = []

    def fork(name: str) -> None:
        for number in range(forks):
            cp.run(SESSION, saying(f"{name}/{number}"))
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    cp.run(SESSION, saying(f"{name}/{number} in a child"))
                    code = 0
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    working = [Thread(target=fork, args=(f"thread {number}",)) for number in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    say(codes, len(set(cp.restore(SESSION).state["said"])))
    cp.close()


def nobody(say: Say, url: str) -> None:
    """Read and write as a user who may do nothing special, such as read this library's files."""
    checkpoint.preload(url)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    with checkpoint.open(url) as cp:
        for call in (
            lambda: cp.restore(SESSION).state,
            lambda: cp.save("new", {}).revision,
            lambda: cp.overwrite(SESSION, {"n": 2}).revision,
            lambda: cp.label(SESSION, "x").revision,
            lambda: cp.delete(SESSION),
        ):
            try:
                say("did", call())
            except CheckpointError as exc:
                say("refused", type(exc).__name__, str(exc))
