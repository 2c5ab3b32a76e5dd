"""What the processes of the tests of a directory do, each a program of its own that may fork.

Run as ``python -m tests.objectstore.directory_roles ROLE JSON``; what it prints is JSON, too.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

from checkpoint.errors import CheckpointError, StoreBusy
from checkpoint_objectstore import _directory_locks as directory_locks
from checkpoint_objectstore._directory_place import TEMP
from checkpoint_objectstore.directory import DirectoryObjects

KEY = "space!/user!/head"
OLD, NEW = b"old" * 1000, b"new" * 2000
MANY = {f"space!/user!/{folder}/{n}": NEW for folder in ("pages", "notes") for n in range(2)}

_STEPS = [  # those that change something: a kill before another is one after the last of these
    *("open", "write", "pwrite", "fsync", "ftruncate", "rename", "unlink", "mkdir", "rmdir"),
]


def told(call: Callable[[], object]) -> object:
    """What came back, or the type and sentence of the library's error."""
    try:
        return call()
    except CheckpointError as exc:
        return {"error": type(exc).__name__, "says": str(exc)}


def fork(run: Callable[[], object]) -> int:
    """A child that does this and ends."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """How a child ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# --- killed at each step -------------------------------------------------------------------------


WRITES: dict[str, Callable[[DirectoryObjects], object]] = {
    "create": lambda objects: objects.create(KEY, NEW),
    "replace": lambda objects: objects.replace(KEY, NEW, tag(objects)),
    "put": lambda objects: objects.put_many(MANY),
    "delete": lambda objects: objects.delete([KEY]),
}


def tag(objects: DirectoryObjects) -> str:
    found = objects.get(KEY)
    return found.tag if found else ""


def kill_at(step: int) -> None:
    """Make the call of the system with this number the end of the process, just before it."""
    left = step

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return counting

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))


def killed(directory: str, write: str) -> list[dict[str, Any]]:
    """What others find after a kill at each step of a write, and what they can do then."""
    found: list[dict[str, Any]] = []
    code = -signal.SIGKILL
    while code != 0:
        place = Path(directory, f"{write}-{len(found)}")
        if write in ("replace", "delete"):
            DirectoryObjects(str(place)).create(KEY, OLD)

        def run(place: Path = place, step: int = len(found)) -> None:
            kill_at(step)
            WRITES[write](DirectoryObjects(str(place)))

        code = ended(fork(run))
        found.append(after_a_kill(place, code))
    return found


def after_a_kill(place: Path, code: int) -> dict[str, Any]:
    objects = DirectoryObjects(str(place), timeout=0)
    before = {entry.key: entry.size for entry in objects.list("")}
    whole = objects.get_many(list(before))
    leftovers = list((place / TEMP).glob("*"))
    for file in leftovers:
        os.utime(file, (0, 0))
    objects.put_many({KEY: b"after", **dict.fromkeys(MANY, b"after")})
    return {
        "code": code,
        "keys": {key: data.decode() for key, data in whole.items()},
        "sizes": before == {key: len(data) for key, data in whole.items()},
        "left": len(leftovers),
        "left after": len(list((place / TEMP).glob("*"))),
        "goes on": len(objects.list("")) == 1 + len(MANY),
        "marked": sum(file.stat().st_size for file in (place / TEMP).parent.glob("locks/*")),
    }


# --- races ---------------------------------------------------------------------------------------


def race(directory: str, processes: int, rounds: int) -> list[list[str]]:
    """Who won each round: of creating an object, and of replacing another."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(processes), context.Queue()

    def run(name: int) -> None:
        objects = DirectoryObjects(directory)
        for round in range(rounds):
            barrier.wait()
            if objects.create(f"made/{round}!/at", b"%d" % name):
                results.put(("create", round, name))
            seen = objects.get("head")
            barrier.wait()
            assert seen is not None
            if objects.replace("head", b"%d %d" % (round, name), seen.tag):
                results.put(("replace", round, name))

    DirectoryObjects(directory).create("head", b"first")
    running = [context.Process(target=run, args=(name,)) for name in range(processes)]
    for process in running:
        process.start()
    won = [results.get(timeout=60) for _ in range(2 * rounds)]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * processes
    assert results.empty()
    return sorted(won)


# --- a holder that is killed ---------------------------------------------------------------------


def holder(directory: str, leaves_a_child: bool) -> dict[str, object]:
    """Write while another is in the middle of its write, and after that was killed there."""
    objects = DirectoryObjects(directory, timeout=0.05)
    objects.create(KEY, OLD)
    reading, writing = os.pipe()

    def stop(*args: Any, **options: Any) -> NoReturn:
        if leaves_a_child and os.fork() == 0:
            os.write(writing, b"%8d" % os.getpid())
        elif not leaves_a_child:
            os.write(writing, b"%8d" % 0)
        time.sleep(60)
        os._exit(1)

    def run() -> None:
        os.rename = stop
        objects.replace(KEY, NEW, tag(objects))

    pid = fork(run)
    left = int(os.read(reading, 8))
    result: dict[str, object] = {"busy": told(lambda: objects.replace(KEY, b"1", tag(objects)))}
    result["read"] = objects.get(KEY) == (OLD, tag(objects))
    os.kill(pid, signal.SIGKILL)
    result["code"] = ended(pid)
    result["whole"] = objects.get(KEY) == (OLD, tag(objects))
    result["goes on"] = objects.replace(KEY, b"2", tag(objects)) == tag(objects)
    if left:
        os.kill(left, signal.SIGKILL)
    return result


def waiting(directory: str) -> dict[str, object]:
    """A write that waits until the lock is free."""
    objects = DirectoryObjects(directory, timeout=60)
    objects.create(KEY, OLD)
    reading, writing = os.pipe()

    sleep = time.sleep

    def sleeps(seconds: object) -> None:
        os.write(writing, b".")
        time.sleep = sleep

    def child() -> None:
        time.sleep = sleeps
        objects.replace(KEY, NEW, tag(objects))

    with (
        objects._directory.writing() as root,
        objects._directory.locks.locked(root, "space!/user!"),
    ):
        pid = fork(child)
        os.read(reading, 1)  # it found the lock taken, and sleeps
        before = tag(objects)
    return {"code": ended(pid), "waited": before != tag(objects), "data": tag(objects) != ""}


# --- disks and users -----------------------------------------------------------------------------


def full(directory: str) -> dict[str, object]:
    """Writes to a small disk until nothing goes; then what is left, and with room again."""
    objects = DirectoryObjects(f"{directory}/store")
    objects.create(KEY, OLD)
    kept, refused = 0, cast("object", None)
    while refused is None:
        more = {f"space!/user!/pages/{kept}": bytes(20_000)}
        refused = told(partial(objects.put_many, more))
        kept += refused is None
    ballast = Path(directory, "ballast")
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    result = {
        "refused": refused,
        "kept": kept > 5 and len(objects.list("space!/user!/pages/")) == kept,
        "replace": told(lambda: objects.replace(KEY, NEW, tag(objects))),
        "create": told(lambda: objects.create("space!/new!/head", NEW)),
        "whole": objects.get(KEY) == (OLD, tag(objects)),
        "left": len(list(Path(directory, "store", TEMP).glob("*"))),
        "deleted": told(lambda: objects.delete(["space!/user!/pages/0"])),
        "a new store": told(lambda: DirectoryObjects(f"{directory}/new").create(KEY, NEW * 9000)),
    }
    ballast.unlink()
    result["goes on"] = bool(objects.replace(KEY, NEW, tag(objects)))
    return result


def read_only(directory: str) -> dict[str, object]:
    """All calls, where a read-only file system is mounted."""
    objects = DirectoryObjects(directory)
    return {
        "read": told(lambda: objects.get(KEY) == (OLD, tag(objects))),
        "list": told(lambda: [entry.key for entry in objects.list("")]),
        "replace": told(lambda: objects.replace(KEY, NEW, tag(objects))),
        "create": told(lambda: objects.create("space!/new!/head", NEW)),
        "put": told(lambda: objects.put_many({KEY: NEW})),
        "delete": told(lambda: objects.delete([KEY])),
        "new": told(lambda: DirectoryObjects(f"{directory}/new").create(KEY, NEW)),
    }


def nobody(directory: str) -> dict[str, object]:
    """All calls, by a user who may do nothing special."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    return read_only(directory)


# --- threads -------------------------------------------------------------------------------------


def forks_while_locked(directory: str) -> dict[str, object]:
    """A child forked while the lock is held neither has it nor keeps it."""
    objects = DirectoryObjects(directory, timeout=0)
    objects.create(KEY, OLD)
    reading, writing = os.pipe()

    def child() -> None:
        try:
            objects.replace(KEY, NEW, tag(objects))
            os.write(writing, b"has it")
        except StoreBusy:
            os.write(writing, b"has it not, and %d open" % len(directory_locks._held))
        time.sleep(60)

    with (
        objects._directory.writing() as root,
        objects._directory.locks.locked(root, "space!/user!"),
    ):
        pid = fork(child)
        said = os.read(reading, 100).decode()
    replaced = told(lambda: objects.replace(KEY, NEW, tag(objects)))
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    return {"child": said, "parent": replaced == tag(objects)}


ROLES: dict[str, Callable[..., object]] = {
    role.__name__: role
    for role in (killed, race, holder, waiting, full, read_only, nobody, forks_while_locked)
}

if __name__ == "__main__":
    setattr(os, "fsync", os.fstat)  # noqa: B010 - a kill takes nothing from the kernel
    print(json.dumps(ROLES[sys.argv[1]](**json.loads(sys.argv[2]))))
