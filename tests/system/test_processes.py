"""One SQLite file and many processes: opened at once, forked over, and not theirs to write."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import checkpoint
from tests.effort import times

from .nursery import Nursery
from .roles import SESSION, forking, forking_amid_writes, forking_in_threads, nobody, opener

OPENERS = 20


@pytest.mark.parametrize("round", range(times(5, soak=50)))
def test_processes_that_open_a_new_store_at_once_all_get_it(
    nursery: Nursery, url: str, round: int
) -> None:
    ids = [f"user-{number:02}" for number in range(OPENERS)]
    children = [nursery.start(opener, waits=True, url=url, session_id=one) for one in ids]
    for child in children:
        child.go()
    for child, mine in zip(children, ids, strict=True):
        saved, sees = child.hear_all()
        assert saved == ["saved", 1]
        assert sees[0] == "sees"
        assert mine in sees[1]
        assert child.wait() == 0
    with checkpoint.open(url) as cp:
        assert [info.session_id for info in cp.sessions()] == ids
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT version FROM checkpoint_layout").fetchall() == [(1,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_store_that_was_used_goes_on_in_forked_children_and_in_the_parent(
    nursery: Nursery, url: str
) -> None:
    child = nursery.start(forking, url=url, children=4)
    codes, said = child.hear() or ([], [])
    assert codes == [0, 0, 0, 0]
    names = [f"child {number}" for number in range(4)]
    expected = [f"{n}/{turn}" for n in ["parent", "parent after", *names] for turn in range(5)]
    assert sorted(said) == sorted(expected)
    assert child.wait() == 0


@pytest.mark.promise("never-lost")
def test_a_fork_amid_the_writes_of_threads_loses_none(nursery: Nursery, url: str) -> None:
    child = nursery.start(forking_amid_writes, url=url, children=6)
    assert child.hear() == [[0] * 6, True]
    assert child.wait() == 0
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_threads_that_fork_at_once_do_not_block_each_other(nursery: Nursery, url: str) -> None:
    child = nursery.start(forking_in_threads, url=url, threads=4, forks=10)
    assert child.hear(120) == [[0] * 40, 80], "it is blocked, or lost what was said"
    assert child.wait() == 0


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that other users can reach; pytest's own are for this user alone."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with checkpoint.open(f"sqlite:///{directory}/sessions.db") as cp:
            cp.save(SESSION, {"n": 1})
        yield directory
        directory.chmod(0o755)


@pytest.mark.parametrize("query", ["", "?mode=ro"])
@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["in a closed directory", "in an open one"])
def test_who_may_only_read_the_file_reads_what_others_save_and_is_refused_to_write(
    nursery: Nursery, shared: Path, mode: int, query: str
) -> None:
    path = shared / "sessions.db"
    with checkpoint.open(f"sqlite:///{path}") as cp:
        restored = cp.restore(SESSION)
        for file in shared.iterdir():
            file.chmod(0o444)
        shared.chmod(mode)
        child = nursery.start(nobody, url=f"sqlite:///{path}{query}")
        read, *writes = child.hear_all()
        assert child.wait() == 0
        assert read == ["did", {"n": 1}]
        refused(writes, 4, str(path))
        shared.chmod(0o755)
        for file in shared.iterdir():
            file.chmod(0o644)
        restored.state["n"] = 2
        assert cp.save(SESSION, restored.state).revision == 2


@pytest.mark.parametrize("query", ["", "?mode=ro"])
def test_a_store_that_nobody_may_write_to_says_so_and_keeps_what_it_has(
    nursery: Nursery, shared: Path, query: str
) -> None:
    path = shared / "sessions.db"
    path.chmod(0o444)
    shared.chmod(0o555)
    before = path.read_bytes()
    child = nursery.start(nobody, url=f"sqlite:///{path}{query}")
    # SQLite cannot even read a file with a write-ahead log where it may not make its index.
    refused(child.hear_all(), 5, str(path))
    assert path.read_bytes() == before
    shared.chmod(0o755)
    path.chmod(0o644)
    with checkpoint.open(f"sqlite:///{path}") as cp:
        assert cp.restore(SESSION).state == {"n": 1}
        assert cp.overwrite(SESSION, {"n": 2}).revision == 2


def refused(told: list[list[str]], times: int, path: str) -> None:
    """All that a role tells is that it was refused, as one who may only read."""
    assert len(told) == times
    for word, kind, sentence in told:
        assert (word, kind) == ("refused", "StoreReadOnly"), sentence
        assert path in sentence


@pytest.mark.promise("not-absent")
def test_a_file_that_may_not_be_read_is_an_outage_and_no_absence(
    nursery: Nursery, shared: Path
) -> None:
    path = shared / "sessions.db"
    path.chmod(0o600)
    if path.stat().st_uid != 0:
        path.chmod(0)
    child = nursery.start(nobody, url=f"sqlite:///{path}")
    for refused, kind, sentence in child.hear_all():
        assert refused == "refused"
        assert kind in ("StoreUnavailable", "StoreReadOnly")
        assert str(path) in sentence
    path.chmod(0o644)
