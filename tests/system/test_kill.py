"""Rounds of ``kill -9`` at random moments: every acknowledged save is there, whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import checkpoint
from tests.effort import times

from .nursery import Nursery
from .roles import SESSION, saver, state_at

pytestmark = pytest.mark.promise("never-lost")

ROUNDS = times(200, soak=2000)
A_NEW_FILE_EVERY = 8  # rounds


def test_no_acknowledged_save_is_lost_to_a_kill_and_none_is_torn(
    nursery: Nursery, tmp_path: Path
) -> None:
    moments = random.Random(20_26)
    in_the_middle = 0
    for round in range(ROUNDS):
        path = tmp_path / f"{round // A_NEW_FILE_EVERY}.db"
        fresh = round % A_NEW_FILE_EVERY == 0
        begun, acknowledged = kill_a_saver(nursery, path, moments, fresh=fresh)
        in_the_middle += begun > (acknowledged[-1] if acknowledged else 0)
        check(path, begun, acknowledged)
    for path in tmp_path.glob("*.db"):
        check_all(path)
    assert in_the_middle > ROUNDS / 10, "too few were killed between the start and end of a save"


def kill_a_saver(
    nursery: Nursery, path: Path, moments: random.Random, *, fresh: bool
) -> tuple[int, list[int]]:
    """Kill a saver some time after it began a save; which it had begun, and had acknowledged."""
    child = nursery.start(saver, url=f"sqlite:///{path}")
    heard = [child.hear()]
    # In a new file, the first save of all, which makes the tables, is as good a moment as any.
    for _ in range(0 if fresh else moments.randrange(1, 8)):
        heard.append(child.hear())
    time.sleep((0.04 if fresh else moments.choice([0, 0.001, 0.004, 0.008])) * moments.random())
    child.send(signal.SIGKILL)
    heard += child.hear_all()
    assert child.wait() == -signal.SIGKILL, heard
    said = [line for line in heard if line is not None]
    begun = [number for word, *numbers in said if word == "begins" for number in numbers]
    acknowledged = [number for word, *numbers in said if word == "saved" for number in numbers]
    return (begun[-1] if begun else 0), acknowledged


def check(path: Path, begun: int, acknowledged: list[int]) -> None:
    """What a new process would find after the kill."""
    with checkpoint.open(f"sqlite:///{path}") as cp:
        there = {info.session_id: info.revision for info in cp.sessions()}
        if not there:
            assert not acknowledged
            return
        newest = there[SESSION]
        assert newest >= max(acknowledged, default=0)
        assert begun == 0 or newest <= begun
        for revision in {newest, *acknowledged}:
            assert cp.restore(SESSION, revision=revision).state == state_at(revision)
        assert cp.restore(SESSION).revision == newest
        assert [s.revision for s in cp.history(SESSION, limit=30)] == list(
            range(newest, max(0, newest - 30), -1)
        )


def check_all(path: Path) -> None:
    """Every revision there is, and the file as SQLite sees it."""
    with checkpoint.open(f"sqlite:///{path}") as cp:
        if not list(cp.sessions()):
            return
        history = cp.history(SESSION)
        assert [s.revision for s in history] == list(range(len(history), 0, -1))
        for snapshot in history:
            document = cp.document(SESSION, revision=snapshot.revision)
            assert document == state_at(snapshot.revision)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
