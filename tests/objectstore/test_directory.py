"""What the driver of a directory promises: its calls, its processes, its disk, its neighbours."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import (
    InvalidOption,
    NotAStore,
    StoreBusy,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    StoreUnsafe,
)
from checkpoint.testing.contract.races import at_once
from checkpoint_objectstore import _directory_locks as directory_locks
from checkpoint_objectstore import _directory_place as directory_place
from checkpoint_objectstore import directory as driver
from checkpoint_objectstore._directory_place import LOCKS, OURS, TEMP
from checkpoint_objectstore.directory import DirectoryObjects, open_objects
from checkpoint_objectstore.objects import Entry, Object, Objects
from tests.stores.test_full_disk import MOUNT, NAMESPACE

from .directory_roles import KEY, MANY, NEW, OLD
from .objects_contract import ObjectsContract

ROOT = Path(__file__).parents[2]


def play(role: str, *within: str, **given: Any) -> Any:
    """What a process of its own tells, in a role of :mod:`.directory_roles`."""
    program = [sys.executable, "-m", "tests.objectstore.directory_roles", role, json.dumps(given)]
    done = subprocess.run(
        [*within, *program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that nobody waits for: what is synced is seen by the calls, not by a power failure."""
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def objects(path: Path) -> DirectoryObjects:
    return DirectoryObjects(str(path), timeout=5)


class TestDirectoryObjects(ObjectsContract):
    rounds = 20

    @pytest.fixture
    def objects(self, path: Path) -> Iterator[Objects]:
        opened = DirectoryObjects(str(path))
        yield opened
        opened.close()

    def paging(self, objects: Objects, size: int) -> None:
        assert isinstance(objects, DirectoryObjects)
        objects._page = size


def files(path: Path) -> dict[str, bytes]:
    """All files below a directory, but those that are no objects."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and OURS not in file.parts
    }


# --- the calls -----------------------------------------------------------------------------------


def test_an_object_is_the_file_of_its_key(path: Path, objects: DirectoryObjects) -> None:
    objects.create("a!/b!/head", b"1")
    objects.put_many({"top": b"2", "a!/b!/pages/00ff": b""})
    assert files(path) == {"top": b"2", "a!/b!/head": b"1", "a!/b!/pages/00ff": b""}


def test_a_tag_is_of_the_bytes_that_are_there(path: Path, objects: DirectoryObjects) -> None:
    tag = objects.create(KEY, b"1")
    assert objects.get(KEY, unless=tag or "") == Object(b"", tag or "")
    (path / KEY).write_bytes(b"2")  # as by a restored backup, under an open store
    found = objects.get(KEY, unless=tag or "")
    assert found is not None
    assert found.data == b"2"
    assert objects.replace(KEY, b"3", tag or "") is None


def test_what_is_asked_for_comes_back_and_the_rest_is_left_out(objects: DirectoryObjects) -> None:
    objects.put_many({"a/1": b"one", "a/2": b"two", "b": bytes(100_000)})
    assert objects.get_many(["a/1", "a/3", "a", "b/x", "x/y/z"]) == {"a/1": b"one"}
    assert objects.get_many(["a/1", "b"], first=2) == {"a/1": b"on", "b": bytes(2)}
    assert objects.get("a") is None
    objects.delete(["a/1", "a/3", "a", "b/x", "x/y/z"])
    assert objects.get_many(["a/1", "a/2"]) == {"a/2": b"two"}


@pytest.mark.parametrize("page", [1, 2, 7, 5000])
def test_listings_are_in_the_byte_order_of_keys_whatever_the_page(
    objects: DirectoryObjects, page: int
) -> None:
    objects._page = page
    noise = random.Random(page)
    # Folders and files that sort before and after each other's /, and deep ones.
    names = ["a", "a!", "a-", "a0", "a=", "a~", "aa", "b", "b!"]
    keys = {
        "/".join([*noise.choices(["f!", "f", "f-2d", "g~"], k=noise.randrange(3)), f"{name}x"])
        for name in names
        for _ in range(12)
    } | {f"{name}/z" for name in names}
    objects.put_many({key: key.encode() for key in keys})
    for prefix in ("", "a", "a/", "f", "f!/", "f!/f", "f!/f/", "f-2d/", "nothing", "nothing/"):
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert [entry.key for entry in pages(objects, prefix)] == expected
        if prefix == "" or prefix.endswith("/"):
            for start in ("", "f", "a!"):
                inside = {key.removeprefix(prefix) for key in expected}
                folders = {rest.split("/")[0] for rest in inside if "/" in rest}
                found = list(names_of(objects, prefix, start))
                assert found == sorted(name for name in folders if name.startswith(start))


def pages(objects: DirectoryObjects, prefix: str) -> Iterator[Entry]:
    """All entries of a listing."""
    after = ""
    while found := objects.list(prefix, after):
        assert len(found) <= objects._page
        yield from found
        after = found[-1].key


def names_of(objects: DirectoryObjects, folder: str, prefix: str) -> Iterator[str]:
    after = ""
    while found := objects.folders(folder, prefix, after):
        yield from found
        after = found[-1]


def test_a_listing_begins_after_any_key(objects: DirectoryObjects) -> None:
    objects.put_many(dict.fromkeys(["a/1", "a/2", "a!/1", "b", "c/d/1"], b"1"))
    everything = [entry.key for entry in objects.list("")]
    assert everything == ["a!/1", "a/1", "a/2", "b", "c/d/1"]
    for after in [*everything, "a", "a/", "a/0", "a0", "c", "c/", "c/d/0", "c/e", "d"]:
        rest = [key for key in everything if key > after]
        assert [entry.key for entry in objects.list("", after)] == rest


def test_an_entry_tells_the_size_and_when_it_was_stored(
    path: Path, objects: DirectoryObjects
) -> None:
    objects.create("a", b"12345")
    os.utime(path / "a", ns=(0, 1_700_000_000_123_456_789))
    assert list(objects.list("")) == [("a", 5, 1_700_000_000_123_456)]


def test_folders_that_hold_nothing_any_more_are_not_listed_and_go(
    path: Path, objects: DirectoryObjects
) -> None:
    objects.put_many(dict.fromkeys(["s!/a!/pages/1", "s!/a!/pages/2", "s!/b!/head"], b"1"))
    objects.delete(["s!/a!/pages/1"])
    assert list(objects.folders("s!/", "")) == ["a!", "b!"]
    objects.delete(["s!/a!/pages/2"])
    assert sorted(entry.name for entry in (path / "s!").iterdir()) == ["b!"]
    (path / "s!" / "c!" / "pages").mkdir(parents=True)  # a writer made it, and was killed
    assert list(objects.folders("s!/", "")) == ["b!"]
    objects.delete(["s!/c!/pages/1", "s!/c!/head"])
    assert (path / "s!" / "c!" / "pages").is_dir(), "nothing of it was ours to remove"
    objects.create("s!/c!/pages/1", b"1")
    assert list(objects.folders("s!/", "")) == ["b!", "c!"]


@pytest.mark.parametrize(
    "key", ["", "/", "../a", "a/../b", "/etc/passwd", "a//b", "a/", "A", "a.b", ".", "ä", "a\0"]
)
def test_what_is_no_key_leads_nowhere(path: Path, objects: DirectoryObjects, key: str) -> None:
    objects.create("a/b", b"1")
    calls: list[Callable[[], object]] = [
        lambda: objects.get(key),
        lambda: objects.get_many([key]),
        lambda: objects.put_many({key: b"1"}),
        lambda: objects.create(key, b"1"),
        lambda: objects.replace(key, b"1", "x"),
        lambda: objects.delete([key]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a valid key"):
            call()
    assert files(path.parent) == {"store/a/b": b"1"}
    for prefix in ("../", "/", "a/../", "./"):
        with pytest.raises(ValueError, match="not a valid key"):
            objects.list(prefix)
        with pytest.raises(ValueError, match="not a valid key"):
            objects.folders(prefix, "")


def test_keys_as_long_as_they_get_go(objects: DirectoryObjects) -> None:
    key = "/".join(["a" * 215] * 6)
    objects.create(key, b"1")
    assert [entry.key for entry in objects.list("")] == [key]


# --- neighbours ----------------------------------------------------------------------------------


def test_files_that_are_not_ours_are_left_alone_and_not_listed(
    path: Path, objects: DirectoryObjects
) -> None:
    path.mkdir()
    (path / "Notes.txt").write_text("mine")
    (path / ".git").mkdir()
    (path / ".git" / "config").write_text("mine")
    (path / "empty").mkdir()
    (path / "link").symlink_to(path / "Notes.txt")
    (path / "loop").symlink_to(path)
    before = files(path)
    objects.put_many({"a/b": b"1", "empty/x": b"1"})
    (path / "a" / "README.md").write_text("mine")
    (path / "a" / "é").write_text("mine")
    assert [entry.key for entry in objects.list("")] == ["a/b", "empty/x"]
    assert list(objects.folders("", "")) == ["a", "empty"]
    objects.delete(["a/b", "a/c"])
    assert list(objects.folders("", "")) == ["empty"]
    mine = {"a/README.md": b"mine", "a/é": b"mine", "empty/x": b"1"}
    assert files(path) == {**before, **mine}
    assert list(objects.list("")) != []


def test_a_directory_that_is_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    by_link = DirectoryObjects(str(tmp_path / "link"))
    by_link.create("a", b"1")
    assert DirectoryObjects(str(tmp_path / "there")).create("a", b"2") is None
    assert files(tmp_path / "there") == {"a": b"1"}


def test_a_folder_in_the_place_of_an_object_is_an_error_and_no_loss(
    path: Path, objects: DirectoryObjects
) -> None:
    objects.create("a/b", b"1")
    with pytest.raises(StoreError, match=str(path)):
        objects.create("a", b"1")
    with pytest.raises(StoreError, match=str(path)):
        objects.create("a/b/c", b"1")
    assert files(path) == {"a/b": b"1"}
    assert list((path / TEMP).iterdir()) == []


# --- the directory -------------------------------------------------------------------------------


def test_reading_makes_nothing_and_finds_nothing(path: Path, objects: DirectoryObjects) -> None:
    assert objects.get("a") is None
    assert objects.get_many(["a"]) == {}
    assert list(objects.list("")) == []
    assert list(objects.folders("", "")) == []
    objects.delete(["a"])
    assert not path.exists()
    objects.create("a", b"1")
    assert files(path) == {"a": b"1"}


def every_call(objects: DirectoryObjects) -> list[Callable[[], object]]:
    return [
        lambda: objects.get("a"),
        lambda: objects.get_many(["a"]),
        lambda: objects.list(""),
        lambda: objects.folders("", ""),
        lambda: objects.put_many({"a": b"2"}),
        lambda: objects.create("a", b"2"),
        lambda: objects.replace("a", b"2", "x"),
        lambda: objects.delete(["a"]),
    ]


READS = 4  # of these calls; the rest write


def refused(objects: DirectoryObjects, *errors: type[StoreError], says: str = "") -> None:
    """Each call is refused, by the first error where it reads and the last one where it writes."""
    for number, call in enumerate(every_call(objects)):
        with pytest.raises(StoreError, match=says) as caught:
            call()
        assert type(caught.value) in (errors if number == 7 else [errors[number >= READS]]), number


def test_a_parent_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    objects = DirectoryObjects(str(tmp_path / "volume" / "store"))
    refused(objects, StoreUnavailable, StoreError, says="volume mounted")
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    refused(DirectoryObjects(str(tmp_path / "link")), StoreUnavailable, StoreError, says="gone")


@pytest.mark.parametrize("empty", [False, True], ids=["gone", "empty"])
def test_a_directory_that_was_there_and_is_not_is_an_outage(
    path: Path, objects: DirectoryObjects, empty: bool
) -> None:
    objects.create("a", b"1")
    reader = DirectoryObjects(str(path))
    assert reader.get("a") is not None
    path.rename(path.with_name("unmounted"))
    if empty:
        path.mkdir()
    for seen in (objects, reader):
        refused(seen, StoreUnavailable, StoreError, says="volume mounted")
    assert files(path) == {}
    shutil.rmtree(path, ignore_errors=True)
    path.with_name("unmounted").rename(path)
    for seen in (objects, reader):
        assert seen.get("a") is not None


@pytest.mark.parametrize("there", [False, True])
def test_a_directory_that_another_thread_makes_meanwhile_is_not_one_that_is_gone(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        path.mkdir()
    module, name = (directory_place, "exists") if there else (os, "open")
    look = getattr(module, name)

    def raced(*args: Any) -> Any:
        try:
            return look(*args)
        finally:
            monkeypatch.undo()
            objects.create("a", b"1")

    monkeypatch.setattr(module, name, raced)
    assert objects.get("b") is None
    assert files(path) == {"a": b"1"}


def test_a_file_is_no_store(path: Path, objects: DirectoryObjects) -> None:
    path.write_text("mine")
    refused(objects, NotAStore, NotAStore, says=str(path))
    refused(DirectoryObjects(str(path / "in")), NotAStore, NotAStore, says=str(path))
    assert path.read_text() == "mine"


def test_objects_copied_without_our_own_folder_are_all_there(
    path: Path, objects: DirectoryObjects
) -> None:
    tag = objects.create(KEY, b"1")
    shutil.rmtree(path / OURS)
    again = DirectoryObjects(str(path))
    assert again.get(KEY) == (b"1", tag)
    assert again.replace(KEY, b"2", tag or "") is not None


# --- durable -------------------------------------------------------------------------------------


class Disk:
    """What was synced, by its path below the directory, in order; and what moves where."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.steps = path, list[str]()
        fsync, rename = os.fsync, os.rename

        def synced(descriptor: int) -> None:
            self.steps.append(f"sync {self.named(os.readlink(f'/proc/self/fd/{descriptor}'))}")
            fsync(descriptor)

        def renamed(old: str, new: str, **options: Any) -> None:
            self.steps.append(f"move to {new}")
            rename(old, new, **options)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "rename", renamed)

    def named(self, target: str) -> str:
        name = os.path.relpath(target, self.path)
        return "new file" if name.startswith(TEMP) else name

    def told(self) -> list[str]:
        steps, self.steps = self.steps, []
        return steps


@pytest.fixture
def disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the names of open files are told by Linux's /proc")
    return Disk(path, monkeypatch)


@pytest.mark.promise("never-lost")
def test_a_write_syncs_its_file_moves_it_and_syncs_its_folder(
    objects: DirectoryObjects, disk: Disk
) -> None:
    objects.create("warm", b"1")
    disk.told()
    tag = objects.create("s!/u!/head", b"1") or ""
    move = ["move to s!/u!/head", "sync s!/u!"]
    assert disk.told() == ["sync new file", "sync .", "sync s!", *move]
    objects.replace("s!/u!/head", b"2", tag)
    assert disk.told() == ["sync new file", *move]
    objects.create("s!/u!/head", b"3")
    objects.replace("s!/u!/head", b"3", tag)
    objects.get("s!/u!/head")
    assert disk.told() == [], "a write that is refused, and reading, sync nothing"
    objects.put_many({"s!/u!/p/1": b"1", "s!/u!/p/2": b"1"})
    moves = ["move to s!/u!/p/1", "move to s!/u!/p/2", "sync s!/u!/p"]
    assert disk.told() == ["sync new file"] * 2 + ["sync s!/u!", *moves]
    objects.delete(["s!/u!/p/1"])
    assert disk.told() == ["sync s!/u!/p"]


def test_the_first_write_of_all_syncs_the_directory_and_its_parent(
    objects: DirectoryObjects, disk: Disk
) -> None:
    objects.create("a", b"1")
    steps = disk.told()
    assert steps[:3] == [f"sync {OURS}", "sync .", "sync .."]
    assert steps[-3:] == ["sync new file", "move to a", "sync ."]


def test_what_is_not_on_disk_yet_is_synced_before_it_is_believed(
    path: Path, objects: DirectoryObjects, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = objects.create(KEY, b"1") or ""
    with monkeypatch.context() as failing:
        failing.setattr(directory_locks, "sync_folder", fails(errno.EIO))
        with pytest.raises(StoreUnavailable, match="done or not"):
            objects.replace(KEY, b"2", tag)
        with pytest.raises(StoreUnavailable):
            objects.get(KEY)
    disk.told()
    for others in (objects, DirectoryObjects(str(path))):
        found = others.get(KEY)
        assert found is not None
        assert found.data == b"2"
        assert disk.told() == ["sync space!/user!"]
    objects.create("space!/user!/x", b"1")
    assert disk.told()[1:3] == ["sync space!/user!", "move to space!/user!/x"]
    objects.get(KEY)
    assert disk.told() == [], "the next writer saw to it"


def test_a_folder_that_is_not_on_disk_yet_is_synced_by_whoever_writes_in_it(
    objects: DirectoryObjects, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.create("warm", b"1")
    with monkeypatch.context() as failing:
        failing.setattr(driver, "sync_folder", fails(errno.EIO))
        with pytest.raises(StoreError, match="nothing was written") as caught:
            objects.create("s!/head", b"1")
        assert type(caught.value) is StoreError
    disk.told()
    with objects._directory.reading() as root, objects._directory.locks.locked(root or 0, "") as it:
        it.mark()  # as one who makes another folder just now
        assert objects.create("s!/head", b"1")
        assert disk.told()[-4:] == ["sync new file", "move to s!/head", "sync s!", "sync ."]
    assert objects.create("s!/more", b"1")
    assert disk.told() == ["sync new file", "sync .", "move to s!/more", "sync s!"]
    assert objects.create("s!/again", b"1")
    assert disk.told() == ["sync new file", "move to s!/again", "sync s!"]


def test_a_mark_that_makes_no_sense_is_passed_over(path: Path, objects: DirectoryObjects) -> None:
    for content in (b"\0" * 8, b"/../..", b"/gone!/too", b"/\xff"):
        for number in range(256):
            (path / LOCKS).mkdir(parents=True, exist_ok=True)
            (path / LOCKS / f"{number:02x}").write_bytes(content)
        objects.put_many({KEY: content})
        found = objects.get(KEY)
        assert found is not None
        assert found.data == content


# --- failures ------------------------------------------------------------------------------------


def fails(code: int) -> Callable[..., Any]:
    def failing(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return failing


WRITE_STEPS = ["open", "write", "fsync", "rename", "pwrite"]


@pytest.mark.parametrize("step", WRITE_STEPS)
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreDenied),
        (errno.EPERM, StoreDenied),
        (errno.EROFS, StoreReadOnly),
        (errno.EIO, StoreError),
        (errno.ENAMETOOLONG, StoreError),
        (errno.EMFILE, StoreError),
    ],
)
def test_a_write_that_fails_says_what_it_is_and_writes_nothing(
    path: Path,
    objects: DirectoryObjects,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    code: int,
    error: type[StoreError],
) -> None:
    tag = objects.create(KEY, OLD) or ""
    unclear = (step, code) == ("rename", errno.EIO)
    writes: list[Callable[[], object]] = [
        lambda: objects.replace(KEY, NEW, tag),
        lambda: objects.create("space!/user!/new", NEW),
        lambda: objects.put_many({"space!/user!/new": NEW}),
    ]
    for write in writes:
        with monkeypatch.context() as failing:
            failing.setattr(os, step, fails(code))
            with pytest.raises(StoreError, match=str(path)) as caught:
                write()
        assert type(caught.value) is (StoreUnavailable if unclear else error)
        assert ("nothing was written" in str(caught.value)) != unclear
        assert isinstance(caught.value.__cause__, OSError)
        assert files(path) == {KEY: OLD}
        assert list((path / TEMP).iterdir()) == []
    assert objects.replace(KEY, NEW, tag)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failure_after_the_move_is_unclear(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    tag = objects.create(KEY, OLD) or ""
    monkeypatch.setattr(directory_locks, "sync_folder", fails(code))
    with pytest.raises(StoreUnavailable, match="done or not"):
        objects.replace(KEY, NEW, tag)
    assert files(path) == {KEY: NEW}


@pytest.mark.promise("not-absent")
@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.EIO, StoreUnavailable), (errno.ESTALE, StoreUnavailable), (errno.EACCES, StoreDenied)],
)
def test_reading_that_fails_is_no_absence(
    objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StoreError]
) -> None:
    objects.create("a", b"1")
    monkeypatch.setattr(os, "open", fails(code))
    for call in every_call(objects)[:READS]:
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("step", WRITE_STEPS)
def test_a_write_that_is_interrupted_leaves_nothing_behind(
    path: Path,
    objects: DirectoryObjects,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    kind: type[BaseException],
) -> None:
    tag = objects.create(KEY, OLD) or ""

    def interrupted(*args: object, **options: object) -> None:
        raise kind()

    with monkeypatch.context() as failing:
        failing.setattr(os, step, interrupted)
        with pytest.raises(BaseException) as caught:
            objects.replace(KEY, NEW, tag)
        assert type(caught.value) is kind
    assert files(path) == {KEY: OLD}
    assert list((path / TEMP).iterdir()) == []
    assert objects.replace(KEY, NEW, tag)
    assert len(directory_locks._held) == 0


# --- locks that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_cannot_lock_is_refused(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(code))
    for call in every_call(objects)[READS:7]:
        with pytest.raises(StoreUnsafe, match="cannot lock"):
            call()
    assert objects.get("a") is None
    assert files(path) == {}


def test_a_lock_that_two_can_hold_is_refused(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: None)
    for call in every_call(objects)[READS:7]:
        with pytest.raises(StoreUnsafe, match="two holders"):
            call()
    assert files(path) == {}


def test_a_file_system_that_cannot_sync_directories_is_refused(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.create("a", b"1")
    monkeypatch.setattr(directory_locks, "sync", fails(errno.EINVAL))
    with pytest.raises(StoreUnsafe, match="cannot sync"):
        DirectoryObjects(str(path)).create("b", b"1")
    assert files(path) == {"a": b"1"}


def test_the_locks_are_tried_once(
    objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    probe = directory_locks.FolderLocks.probe

    def counted(locks: directory_locks.FolderLocks, root: int, path: str) -> None:
        tried.append(path)
        probe(locks, root, path)

    monkeypatch.setattr(directory_locks.FolderLocks, "probe", counted)
    for number in range(3):
        objects.create(f"{number}", b"1")
    assert len(tried) == 1


def test_a_system_without_such_locks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SUPPORTED", False)
    with pytest.raises(StoreUnsafe, match="sqlite:///"):
        open_objects("file:///srv/agents")


# --- leftovers -----------------------------------------------------------------------------------


def test_what_killed_writers_left_is_removed_when_it_is_old(
    path: Path, objects: DirectoryObjects
) -> None:
    objects.create("a", b"1")
    old, young = path / TEMP / "1-old", path / TEMP / "1-young"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    objects.create("b", b"1")
    assert old.exists(), "once in a process is enough"
    again = DirectoryObjects(str(path))
    again.get("a")
    assert old.exists(), "reading writes nothing"
    again.create("c", b"1")
    assert not old.exists()
    assert young.exists()


def test_a_writer_whose_file_was_taken_for_a_leftover_writes_nothing(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = objects.create(KEY, OLD) or ""
    rename = os.rename

    def stalled(old: str, new: str, **options: Any) -> None:
        monkeypatch.undo()
        os.unlink(path / old)
        rename(old, new, **options)

    monkeypatch.setattr(os, "rename", stalled)
    with pytest.raises(StoreError, match="nothing was written"):
        objects.replace(KEY, NEW, tag)
    assert files(path) == {KEY: OLD}
    assert objects.replace(KEY, NEW, tag)


# --- threads and processes -----------------------------------------------------------------------


def test_of_threads_that_write_at_once_one_wins(path: Path, objects: DirectoryObjects) -> None:
    tag = objects.create("head", b"first") or ""
    for round in range(40):
        data = [b"%d %d" % (round, number) for number in range(6)]
        made = at_once([partial(objects.create, f"s!/{round}!/head", each) for each in data])
        assert sum(won is not None for won in made) == 1
        won = at_once([partial(objects.replace, "head", each, tag) for each in data])
        (tag,) = [each for each in won if each is not None]
        assert objects.get("head") == (data[won.index(tag)], tag)


@pytest.mark.parametrize("other", ["replace", "create", "put_many", "delete"])
def test_nobody_changes_a_folder_between_the_look_and_the_move_of_another(
    path: Path, objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    tag = objects.create(KEY, OLD) or ""
    others = DirectoryObjects(str(path), timeout=0)
    calls: dict[str, Callable[[], object]] = {
        "replace": lambda: others.replace(KEY, b"theirs", tag),
        "create": lambda: others.create("space!/user!/new", b"theirs"),
        "put_many": lambda: others.put_many({KEY: b"theirs"}),
        "delete": lambda: others.delete([KEY]),
    }
    rename = os.rename

    def meanwhile(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(StoreBusy, match="nothing was written"):
            calls[other]()
        assert others.get(KEY) == (OLD, tag), "readers do not wait"
        rename(*args, **options)

    monkeypatch.setattr(os, "rename", meanwhile)
    assert objects.replace(KEY, NEW, tag)
    assert files(path) == {KEY: NEW}
    assert list((path / TEMP).iterdir()) == []


def test_writers_and_removers_of_one_folder_do_not_disturb_each_other(
    path: Path, objects: DirectoryObjects
) -> None:
    def come_and_go(name: str) -> None:
        for _ in range(40):
            assert objects.create(f"s!/u!/pages/{name}", b"1") is not None
            objects.delete([f"s!/u!/pages/{name}"])

    at_once([partial(come_and_go, f"{number}") for number in range(4)])
    assert files(path) == {}
    assert sorted(entry.name for entry in path.iterdir()) == [OURS]


@pytest.mark.promise("no-overwrite")
def test_of_processes_that_write_at_once_one_wins(path: Path) -> None:
    rounds = 60
    won = play("race", directory=str(path), processes=4, rounds=rounds)
    each = [("create", n) for n in range(rounds)] + [("replace", n) for n in range(rounds)]
    assert [(what, round) for what, round, _ in won] == each
    there = files(path)
    for what, round, winner in won:
        if what == "create":
            assert there[f"made/{round}!/at"] == b"%d" % winner
    assert there["head"] == b"%d %d" % tuple(won[-1][1:])


@pytest.mark.parametrize("leaves_a_child", [False, True], ids=["alone", "with a child"])
def test_a_writer_that_is_killed_lets_go(path: Path, leaves_a_child: bool) -> None:
    told = play("holder", directory=str(path), leaves_a_child=leaves_a_child)
    assert told["busy"]["error"] == StoreBusy.__name__
    assert "nothing was written" in told["busy"]["says"]
    assert "0.05 s" in told["busy"]["says"]
    assert (told["read"], told["whole"], told["goes on"]) == (True, True, True)
    assert told["code"] == -signal.SIGKILL


def test_a_writer_waits_for_another(path: Path) -> None:
    told = play("waiting", directory=str(path))
    assert told == {"code": 0, "waited": True, "data": True}


def test_a_child_forked_amid_a_write_does_not_have_the_lock(path: Path) -> None:
    told = play("forks_while_locked", directory=str(path))
    assert told == {"child": "has it not, and 0 open", "parent": True}


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("write", ["create", "replace", "put", "delete"])
def test_a_kill_at_any_step_of_a_write_leaves_it_whole_or_not_at_all(
    tmp_path: Path, write: str
) -> None:
    before = {"create": {}, "put": {}, "replace": {KEY: OLD}, "delete": {KEY: OLD}}[write]
    after = {"create": {KEY: NEW}, "put": MANY, "replace": {KEY: NEW}, "delete": {}}[write]
    told = play("killed", directory=str(tmp_path), write=write)
    assert [each["code"] for each in told] == [-signal.SIGKILL] * (len(told) - 1) + [0]
    assert len(told) > 15
    seen = [{key: data.encode() for key, data in each["keys"].items()} for each in told]
    assert seen[0] == before
    assert seen[-1] == after
    for each, found in zip(told, seen, strict=True):
        if write == "put":
            assert found.items() <= after.items()
        else:
            assert found in (before, after)
        assert each["sizes"]
        assert each["goes on"]
        assert each["left after"] == 0
        assert each["marked"] == 0
    if write != "delete":
        assert max(each["left"] for each in told) > 0


# --- disks and users -----------------------------------------------------------------------------


def mounted(directory: Path) -> list[str]:
    """A command's start, to run it with a small disk of its own at a directory."""
    within = [*NAMESPACE, "sh", "-c", MOUNT, str(directory)]
    if not shutil.which("unshare") or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("a small disk needs a mount: run as root, or where users may make namespaces")
    return within


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    told = play("full", *mounted(tmp_path), directory=str(tmp_path))
    for what in ("refused", "replace", "create", "a new store"):
        assert told[what]["error"] == StoreFull.__name__, what
        assert "nothing was written" in told[what]["says"]
    assert (told["kept"], told["whole"], told["left"]) == (True, True, 0)
    assert told["deleted"] is None, "so that there is room again"
    assert told["goes on"] is True


def test_a_read_only_disk_is_read_and_not_written(path: Path) -> None:
    DirectoryObjects(str(path)).create(KEY, OLD)
    mounted(path)
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    told = play("read_only", *NAMESPACE, "sh", "-c", read_only, str(path), directory=str(path))
    assert (told["read"], told["list"]) == (True, [KEY])
    for what in ("replace", "create", "put", "delete", "new"):
        assert told[what]["error"] == StoreReadOnly.__name__, what
        assert str(path) in told[what]["says"]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that other users can reach; pytest's own are for this user alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        DirectoryObjects(f"{name}/store").create(KEY, OLD)
        yield Path(name, "store")
        Path(name, "store").chmod(0o755)


def closed(path: Path) -> None:
    """Nobody but root may read or write what is below."""
    for folder, inside, within in os.walk(path):
        for name in within:
            Path(folder, name).chmod(0o444)
        for name in inside:
            Path(folder, name).chmod(0o555)
    path.chmod(0o555)


def test_who_may_only_read_reads_and_is_refused_to_write(shared: Path) -> None:
    closed(shared)
    told = play("nobody", directory=str(shared))
    assert (told["read"], told["list"]) == (True, [KEY])
    for what in ("replace", "create", "put", "delete", "new"):
        assert told[what]["error"] == StoreDenied.__name__, what
        assert "nothing was written" in told[what]["says"]


@pytest.mark.promise("not-absent")
def test_what_may_not_be_read_is_no_absence(shared: Path) -> None:
    for place in (shared, shared / KEY):
        place.chmod(0o700 if place.is_dir() else 0o600)
        if os.geteuid() != 0:
            place.chmod(0)
        told = play("nobody", directory=str(shared))
        assert told["read"]["error"] == StoreDenied.__name__
        place.chmod(0o755)


# --- the URL -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/agents", "/srv/agents"),
        ("file:///srv/agents/", "/srv/agents"),
        ("file:////srv/agents", "/srv/agents"),
        ("file:///srv/a%20b%3F%23%25?timeout=1.5", "/srv/a b?#%"),
        ("FILE:///srv/%C3%A4", "/srv/ä"),
        ("file:///srv/%FF", "/srv/\udcff"),
    ],
)
def test_a_url_names_a_directory(url: str, path: str) -> None:
    assert repr(open_objects(url)) == f"DirectoryObjects({path!r})"


@pytest.mark.parametrize(
    "url",
    [
        *("file://", "file:///", "file:////", "file://agents", "file://localhost/srv/agents"),
        *("file://./agents", "file:///a%00b", "file:///?timeout=1", "file://~/agents"),
    ],
)
def test_a_url_that_names_no_directory_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption, match="file:///absolute/directory"):
        open_objects(url)


@pytest.mark.parametrize(
    "query", ["timeout=", "timeout=-1", "timeout=1e3", "timeout", "mode=ro", "x", "timeout=²"]
)
def test_a_parameter_without_a_meaning_is_refused(query: str) -> None:
    with pytest.raises(InvalidOption, match="timeout=SECONDS"):
        open_objects(f"file:///srv/agents?{query}")


def test_the_directory_stays_the_same_when_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = DirectoryObjects("store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    objects.create("a", b"1")
    assert files(tmp_path / "store") == {"a": b"1"}
    assert directory_place.OURS in os.listdir(tmp_path / "store")
