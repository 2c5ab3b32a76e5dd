"""Sessions in a directory: the suite of stores, and processes that share one by its URL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from checkpoint import Checkpointer, SessionNotFound, StoreDenied, StoreError, StoreUnavailable
from checkpoint._stores.registry import open_async_store, open_store
from checkpoint.store import AsyncStore, Store
from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint_objectstore._directory_place import OURS
from tests.effort import times
from tests.system.conftest import nursery, warm
from tests.system.nursery import Nursery
from tests.system.roles import (
    SESSION,
    forking,
    forking_amid_writes,
    nobody,
    opener,
    racer,
    saver,
    state_at,
)

from .objects_contract import ODD
from .test_directory import ROOT, Disk, mounted, shared

__all__ = ["nursery", "shared", "warm"]

Dicts = Checkpointer[dict[str, Any]]

TURNS = 25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def url(path: Path) -> str:
    return f"file://{path}"


@pytest.fixture
def cp(url: str) -> Iterator[Dicts]:
    with checkpoint.open(url) as opened:
        yield opened


# --- the suite -----------------------------------------------------------------------------------


class Unsynced:
    """A disk that nothing waits for: what is synced when is held by the tests of the driver."""

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", os.fstat)


def bytes_in(place: Path) -> Iterable[bytes]:
    return [file.read_bytes() for file in (place / "store").rglob("*") if file.is_file()]


class TestDirectory(Unsynced, StoreSuite):
    keeps_times = False
    examples = times(30, soak=30)  # the suite itself takes more in a soak

    def open(self, place: Path) -> Store:
        return open_store(f"file://{place}/store")

    def raw(self, place: Path) -> Iterable[bytes]:
        return bytes_in(place)


@pytest.mark.slow
class TestDirectoryInThreads(Unsynced, AsyncStoreSuite):
    keeps_times = False
    examples = 15

    async def open(self, place: Path) -> AsyncStore:
        return open_async_store(f"file://{place}/store")

    def raw(self, place: Path) -> Iterable[bytes]:
        return bytes_in(place)


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.promise("never-lost")
def test_of_turns_that_processes_take_at_once_none_is_lost_and_none_is_there_twice(
    nursery: Nursery, cp: Dicts, url: str
) -> None:
    names = [f"process {number}" for number in range(4)]
    children = [nursery.start(racer, waits=True, url=url, name=n, turns=TURNS) for n in names]
    for child in children:
        child.go()
    for child in children:
        assert child.hear_all() == [["done"]]
        assert child.wait() == 0
    restored = cp.restore(SESSION)
    assert restored.revision == len(names) * TURNS
    said = restored.state["said"]
    assert sorted(said) == sorted(f"{name}/{turn}" for name in names for turn in range(TURNS))
    for name in names:
        own = [turn for turn in said if turn.startswith(name)]
        assert own == [f"{name}/{turn}" for turn in range(TURNS)], "each in its order"


def test_processes_that_open_a_new_store_at_once_all_get_it(
    nursery: Nursery, url: str, cp: Dicts
) -> None:
    ids = [f"user-{number:02}" for number in range(12)]
    children = [nursery.start(opener, waits=True, url=url, session_id=one) for one in ids]
    for child in children:
        child.go()
    for child, mine in zip(children, ids, strict=True):
        saved, sees = child.hear_all()
        assert saved == ["saved", 1]
        assert mine in sees[1]
        assert child.wait() == 0
    assert [info.session_id for info in cp.sessions()] == ids


def test_a_store_that_was_used_goes_on_in_forked_children_and_in_the_parent(
    nursery: Nursery, url: str
) -> None:
    child = nursery.start(forking, url=url, children=3)
    codes, said = child.hear() or ([], [])
    assert codes == [0, 0, 0]
    names = ["parent", "parent after", *(f"child {number}" for number in range(3))]
    assert sorted(said) == sorted(f"{name}/{turn}" for name in names for turn in range(5))


def test_a_fork_amid_the_writes_of_threads_loses_none(nursery: Nursery, url: str) -> None:
    child = nursery.start(forking_amid_writes, url=url, children=4)
    assert child.hear() == [[0] * 4, True]
    assert child.wait() == 0


@pytest.mark.promise("never-lost")
def test_no_acknowledged_save_is_lost_to_a_kill_and_none_is_torn(
    nursery: Nursery, url: str
) -> None:
    for round in range(15):
        child = nursery.start(saver, url=url)
        heard = [child.hear() for _ in range(3 + round)]
        child.send(signal.SIGKILL)
        said = [line for line in [*heard, *child.hear_all()] if line is not None]
        assert child.wait() == -signal.SIGKILL, said
        begun = max((number for word, *rest in said if word == "begins" for number in rest))
        acknowledged = [number for word, *rest in said if word == "saved" for number in rest]
        with checkpoint.open(f"{url}?timeout=0") as cp:
            newest = cp.restore(SESSION).revision
            assert max(acknowledged, default=0) <= newest <= begun
            for revision in {newest, *acknowledged}:
                assert cp.restore(SESSION, revision=revision).state == state_at(revision)
            assert [s.revision for s in cp.history(SESSION)] == list(range(newest, 0, -1))


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.promise("cost-of-turn")
def test_a_turn_syncs_one_file_and_one_folder(
    path: Path, cp: Dicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    cp.save("another", {})
    disk = Disk(path, monkeypatch)
    head = "default!/user-2d42!"

    def take_turn(item: str) -> None:
        with cp.turn("user-42") as turn:
            turn.state.setdefault("memory", []).append(item)

    take_turn("first")
    new = ["sync new file", "sync default!", f"move to {head}/head", f"sync {head}"]
    assert disk.told() == new
    for item in ("second", "third"):
        take_turn(item)
        assert disk.told() == ["sync new file", f"move to {head}/head", f"sync {head}"]
    cp.restore("user-42")
    list(cp.sessions())
    cp.history("user-42")
    assert disk.told() == []


# --- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "session_id",
    [
        *(id for id in ODD if id),
        *("../../etc/passwd", "/etc/passwd", "a/../../b", ".checkpoint", ".checkpoint/locks"),
        *("😀" * 128, "a" * 512, "/" * 512, "A" * 512, "agent-checkpoint", "con", "nul.txt", "~/x"),
    ],
)
def test_any_id_is_a_session_in_the_directory_and_nowhere_else(
    path: Path, cp: Dicts, session_id: str
) -> None:
    cp.save(session_id, {"id": session_id})
    with cp.turn(session_id) as turn:
        turn.state["more"] = True
    assert cp.restore(session_id).state == {"id": session_id, "more": True}
    assert [info.session_id for info in cp.sessions()] == [session_id]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert {entry.name for entry in path.iterdir()} == {OURS, "agent-checkpoint", "default!"}
    cp.delete(session_id)
    with pytest.raises(SessionNotFound):
        cp.restore(session_id)


def test_ids_that_differ_little_are_other_sessions(cp: Dicts) -> None:
    ids = ["user", "User", "USER", "user ", "user/", "üser", "u\u0308ser", "a" * 511, "a" * 512]
    for id in ids:
        cp.save(id, {"id": id})
    assert {info.session_id for info in cp.sessions()} == set(ids)
    for id in ids:
        assert cp.restore(id).state == {"id": id}


# --- outages -------------------------------------------------------------------------------------


@pytest.mark.promise("not-absent")
def test_an_outage_is_never_no_such_session(path: Path, url: str) -> None:
    with checkpoint.open(url) as cp:
        with pytest.raises(SessionNotFound):
            cp.restore("user-42")
        assert not path.exists()
        restored = cp.save("user-42", {"n": 1})
        assert restored.revision == 1
        path.rename(path.with_name("unmounted"))
        path.mkdir()
        for call in (
            lambda: cp.restore("user-42"),
            lambda: cp.turn("user-42").__enter__(),
            lambda: cp.history("user-42"),
            lambda: list(cp.sessions()),
        ):
            with pytest.raises(StoreUnavailable, match="volume mounted"):
                call()
        with pytest.raises(StoreError, match="volume mounted"):
            cp.save("another", {})
        assert list(path.iterdir()) == []
        path.rmdir()
        path.with_name("unmounted").rename(path)
        assert cp.restore("user-42").state == {"n": 1}


@pytest.mark.promise("not-absent")
def test_a_volume_that_is_not_mounted_is_an_outage_to_a_new_process(tmp_path: Path) -> None:
    with checkpoint.open(f"file://{tmp_path}/volume/store") as cp:
        with pytest.raises(StoreUnavailable, match="volume mounted"):
            cp.restore("user-42")
        with pytest.raises(StoreError, match="volume mounted"):
            cp.save("user-42", {})
    assert list(tmp_path.iterdir()) == []


def test_who_may_only_read_restores_and_is_refused_to_save(nursery: Nursery, shared: Path) -> None:
    url = f"file://{shared}"
    with checkpoint.open(url) as cp:
        cp.save(SESSION, {"n": 1})
    child = nursery.start(nobody, url=url)
    did, *refused = child.hear_all()
    assert did == ["did", {"n": 1}]
    assert len(refused) == 4
    for word, kind, sentence in refused:
        assert (word, kind) == ("refused", StoreDenied.__name__)
        assert str(shared) in sentence
    shared.chmod(0o700)
    for word, kind, sentence in nursery.start(nobody, url=url).hear_all():
        assert (word, kind) == ("refused", StoreDenied.__name__)
        assert str(shared) in sentence


FULL = """
import json, random, sys
import checkpoint
from checkpoint import CheckpointError

def item(number):
    return random.Random(number).randbytes(9000).hex()

cp = checkpoint.open(f"file://{sys.argv[1]}/store")
kept, refused = 0, []
while len(refused) < 3:
    try:
        with cp.turn("user-42") as turn:
            turn.state.setdefault("items", []).append(item(kept))
        kept += 1
    except CheckpointError as exc:
        refused.append([type(exc).__name__, str(exc)])
state = cp.restore("user-42").state
print(json.dumps([kept, refused, state == {"items": [item(n) for n in range(kept)]}]))
"""


def test_a_save_on_a_full_disk_says_so_and_loses_nothing(tmp_path: Path) -> None:
    program = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(
        [*mounted(tmp_path), *program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    kept, refused, intact = json.loads(done.stdout)
    assert kept >= 3
    assert intact
    for kind, sentence in refused:
        assert kind == "StoreFull"
        assert "nothing was written" in sentence


# --- what else is in the directory ---------------------------------------------------------------


def test_a_store_moves_with_its_directory(path: Path, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save("user-42", {"n": 1})
    shutil.copytree(path, path.with_name("copy"))
    shutil.rmtree(path.with_name("copy") / OURS)
    with checkpoint.open(f"{url[: -len('store')]}copy") as copied:
        assert copied.restore("user-42").state == {"n": 1}
        assert copied.overwrite("user-42", {"n": 2}).revision == 2
    with checkpoint.open(url) as cp:
        assert cp.restore("user-42").state == {"n": 1}


def test_what_users_keep_beside_it_stays(path: Path, cp: Dicts) -> None:
    path.mkdir()
    for name in ("README.md", "Notes", ".gitignore"):
        (path / name).write_text("mine")
    cp.save("user-42", {"n": 1})
    (path / "default!" / "Notes").write_text("mine")
    assert [info.session_id for info in cp.sessions()] == ["user-42"]
    cp.delete("user-42")
    kept = {
        file.name for file in path.rglob("*") if file.is_file() and file.read_bytes() == b"mine"
    }
    assert kept == {"README.md", "Notes", ".gitignore"}
