"""Locks for the threads and processes of one machine, with marks for changes not yet on disk.

One writer at a time changes a folder: the holder of one of :data:`LOCKS` lock files, chosen by a
hash of the folder's name. The system releases a lock when its holder ends. The lock files stay,
because unlinking one races with its waiters.

While a change may not be on disk yet, the lock file holds the name of the folder: the folder is
marked. The mark survives a holder that was killed or whose sync failed. Readers of a marked folder
sync it first, and so does the next holder, so that nobody acts on a change that may be lost.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN, EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP, EWOULDBLOCK
from hashlib import blake2b
from random import random

from checkpoint.errors import StoreBusy, StoreUnsafe

try:
    import fcntl
except ImportError:  # Windows: opening a store raises StoreUnsafe
    fcntl = None  # type: ignore[assignment]

SUPPORTED = fcntl is not None
LOCKS = 256

_CANNOT = {ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP, EINVAL}
_TAKEN = {EAGAIN, EWOULDBLOCK}
_FOLDER = re.compile(rb"/[0-9a-z!=~/-]*")
_LONGEST_PATH = 4096
_LONGEST_WAIT = 0.01  # seconds between two tries to take a lock

_held: set[int] = set()  # descriptors of locks that this process holds or waits for


def _let_go() -> None:
    """In a forked child, close the parent's locks, so that they are released when it ends."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def sync(descriptor: int) -> None:
    """Make a file or directory durable: on macOS, fsync alone leaves it in the drive's cache."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def sync_folder(root: int, folder: str) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def _above(folder: str) -> Iterator[str]:
    """The parent folders of a folder, up to the directory itself."""
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


class Held:
    """The lock of a folder, held."""

    def __init__(self, descriptor: int, folder: str) -> None:
        self._descriptor = descriptor
        self._folder = folder

    def mark(self) -> None:
        """Mark the folder: a change may not be on disk yet."""
        os.pwrite(self._descriptor, f"/{self._folder}".encode(), 0)

    def unmark(self) -> None:
        """Unmark the folder: all changes are on disk."""
        with suppress(OSError):  # costs the next holder one more sync
            os.ftruncate(self._descriptor, 0)

    def left(self) -> str | None:
        """The folder that an earlier holder left marked."""
        name = os.pread(self._descriptor, _LONGEST_PATH, 0)
        # An invalid name is a mark cut by a power failure, after which all visible data is on disk.
        return name[1:].decode() if _FOLDER.fullmatch(name) else None


class FolderLocks:
    """The locks of a directory.

    Args:
        name: of the directory, for error messages.
        place: the folder of the lock files, relative to the directory.
        timeout: seconds to wait for a lock before ``StoreBusy``.
    """

    def __init__(self, name: str, place: str, timeout: float) -> None:
        self._name = name
        self._place = place
        self._timeout = timeout

    def _path(self, folder: str) -> str:
        return f"{self._place}/{blake2b(folder.encode(), digest_size=1).hexdigest()}"

    def is_marked(self, root: int, folder: str) -> bool:
        """Whether a change in the folder (or one that shares its lock) may not be on disk yet."""
        try:
            return os.stat(self._path(folder), dir_fd=root).st_size > 0
        except FileNotFoundError:
            return False

    def settle(self, root: int, folder: str) -> None:
        """Make the entries of a folder and of its marked parents durable."""
        above = [name for name in _above(folder) if self.is_marked(root, name)]
        for name in (folder, *above):
            with suppress(FileNotFoundError):  # left marked, then removed
                sync_folder(root, name)

    def clear_above(self, root: int, folder: str) -> None:
        """Settle parents that were left marked, which every write below would otherwise sync."""
        for name in _above(folder):
            if self.is_marked(root, name):
                with suppress(StoreBusy), self.locked(root, name, timeout=0):
                    pass  # locking settles it

    @contextmanager
    def locked(self, root: int, folder: str, timeout: float | None = None) -> Iterator[Held]:
        """Hold the lock of a folder. Never hold two: folders may share a lock."""
        flags = os.O_RDWR | os.O_CREAT
        descriptor = os.open(self._path(folder), flags, 0o666, dir_fd=root)
        _held.add(descriptor)
        try:
            self._acquire(descriptor, self._timeout if timeout is None else timeout)
            held = Held(descriptor, folder)
            left = held.left()
            if left is not None:
                self.settle(root, left)
            held.unmark()
            yield held
        finally:
            # A child forked meanwhile may have it open, too, so closing is not enough.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            _held.discard(descriptor)
            os.close(descriptor)

    def _acquire(self, descriptor: int, timeout: float) -> None:
        # Polls instead of blocking in flock, which has no timeout.
        deadline = time.monotonic() + timeout
        wait = 0.0005
        while not self._try(descriptor):
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"a folder in {self._name!r} was locked by other writers for "
                    f"{timeout:g} s; nothing was written. Try again, or give the URL a "
                    f"longer ?timeout="
                )
            time.sleep(wait * random())
            wait = min(2 * wait, _LONGEST_WAIT)

    def _try(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in _TAKEN:
                return False
            if exc.errno in _CANNOT:
                raise self._unsafe(f"cannot lock files ({exc.strerror})") from exc
            raise
        return True

    def probe(self, root: int, path: str) -> None:
        """Check with a temporary file that locks exclude and that directories can be synced.

        Raises:
            StoreUnsafe: one of the checks failed.
        """
        try:
            sync(root)
        except OSError as exc:
            if exc.errno in _CANNOT:
                raise self._unsafe(f"cannot sync directories ({exc.strerror})") from exc
            raise
        opened = []
        try:
            for _ in range(2):
                flags = os.O_RDWR | os.O_CREAT
                opened.append(os.open(path, flags, 0o666, dir_fd=root))
            if not self._try(opened[0]) or self._try(opened[1]):
                raise self._unsafe("gives the same lock to two holders at once")
        finally:
            for descriptor in opened:
                os.close(descriptor)
            if opened:
                os.unlink(path, dir_fd=root)

    def _unsafe(self, reason: str) -> StoreUnsafe:
        return StoreUnsafe(
            f"the file system of the directory {self._name!r} {reason}, so two writers could "
            f"overwrite each other; nothing was written. Use a directory on a local disk"
        )
