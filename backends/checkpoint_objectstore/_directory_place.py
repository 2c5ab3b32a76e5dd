"""A directory of the system: opened for each call, laid out by the first write, with its errors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, ENAMETOOLONG, ENOSPC, EPERM, EROFS

from checkpoint.errors import (
    CheckpointError,
    NotAStore,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from checkpoint_objectstore._directory_files import exists, opened
from checkpoint_objectstore._directory_locks import FolderLocks, sync, sync_folder

OURS = ".checkpoint"
"""The folder in the directory for all that is no object; no key has a dot."""

TEMP = f"{OURS}/new"
"""The folder of files that are not in their places yet."""

LOCKS = f"{OURS}/locks"
"""The folder of the locks. Made last: where it is, the folders around it are on disk."""

_LEFT_AFTER = 3600  # seconds; a file so old that was not moved to its place never will be


class Directory:
    """A directory that holds objects, or will.

    Args:
        path: of the directory.
        timeout: seconds to wait for a lock.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = os.path.abspath(path)
        self.locks = FolderLocks(self.path, LOCKS, timeout)
        self._seen = False  # it was there, with objects of ours
        self._prepared = False

    @contextmanager
    def reading(self) -> Iterator[int | None]:
        """The directory, opened for one call, so that it is one and the same throughout.

        None when it was not made yet.
        """
        with self._translated(writing=False):
            root = self._open(StoreUnavailable)
            if root is None:
                yield None
                return
            try:
                self._look(root, StoreUnavailable)
                yield root
            finally:
                os.close(root)

    @contextmanager
    def writing(self) -> Iterator[int]:
        with self._translated(writing=True):
            root = self._open(StoreError)
            if root is None:
                root = self._make()
            try:
                if not self._look(root, StoreError):
                    self._lay_out(root)
                if not self._prepared:
                    self._prepare(root)
                yield root
            finally:
                os.close(root)

    def _open(self, error: type[StoreError]) -> int | None:
        seen = self._seen  # before we look: another thread may make it right after
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as exc:
            if seen or os.path.islink(self.path):
                raise self._gone(error) from exc
            try:
                os.stat(os.path.dirname(self.path))
            except FileNotFoundError:
                raise error(
                    f"there is no directory {os.path.dirname(self.path)!r}, in which "
                    f"{self.path!r} would be; is its volume mounted? If it is new, make it"
                ) from exc
            return None
        except NotADirectoryError as exc:
            raise NotAStore(
                f"{self.path!r} is no directory, or lies in what is none; name another one"
            ) from exc

    def _look(self, root: int, error: type[StoreError]) -> bool:
        """Whether it was written to before; an error when it was, and does not look so any more."""
        seen = self._seen
        if exists(root, LOCKS):
            self._seen = True
            return True
        if seen:
            raise self._gone(error)
        return False

    def _gone(self, error: type[StoreError]) -> StoreError:
        return error(
            f"the directory {self.path!r} is gone, or is empty now; is its volume mounted? If it "
            f"was removed on purpose, open it again"
        )

    def _make(self) -> int:
        # A parent that cannot be opened cannot be synced: told before anything is made.
        os.close(os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY))
        with suppress(FileExistsError):
            os.mkdir(self.path)
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def _lay_out(self, root: int) -> None:
        for folder in (OURS, TEMP):
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=root)
        sync_folder(root, OURS)
        sync(root)
        with suppress(PermissionError):  # of a directory made by others, who saw to that
            sync_folder(root, os.path.dirname(self.path))
        with suppress(FileExistsError):
            os.mkdir(LOCKS, dir_fd=root)
        self._seen = True

    def _prepare(self, root: int) -> None:
        """What the first write of a process does: try the locks, and remove what others left."""
        with suppress(FileExistsError):  # unless somebody took it for a place of no use
            os.mkdir(TEMP, dir_fd=root)
        self.locks.probe(root, new_temp())
        long_ago = time.time() - _LEFT_AFTER
        with opened(root, TEMP) as folder:
            for name in os.listdir(folder):
                with suppress(FileNotFoundError):  # others are at it, too
                    if os.stat(name, dir_fd=folder).st_mtime < long_ago:
                        os.unlink(name, dir_fd=folder)
        self._prepared = True

    # --- errors ----------------------------------------------------------------------------------

    @contextmanager
    def _translated(self, *, writing: bool) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except OSError as exc:
            raise self._error(exc, writing) from exc

    def _error(self, exc: OSError, writing: bool) -> StoreError:
        """An error of the system in the words of this library; the only place that knows them."""
        where, why = f"directory {self.path!r}", exc.strerror or exc
        undone = "nothing was written. " if writing else ""
        if exc.errno in (ENOSPC, EDQUOT):
            return StoreFull(f"no space left for the {where}; {undone}Make room")
        if exc.errno == EROFS:
            return StoreReadOnly(f"the {where} is on a read-only file system; {undone}Mount it rw")
        if exc.errno in (EACCES, EPERM):
            return StoreDenied(
                f"this process may not {'write to' if writing else 'read'} the {where} ({why}); "
                f"{undone}Check the owner and the permissions of all that is in it"
            )
        if exc.errno == ENAMETOOLONG:
            return StoreError(
                f"the file system of the {where} does not take names of 215 bytes; {undone}"
                f"Use another one"
            )
        if writing:
            return StoreError(f"the {where} failed: {why}; nothing was written")
        return StoreUnavailable(f"the {where} cannot be read: {why}")

    def unclear(self, exc: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"the directory {self.path!r} failed in the last step of a write, which is done or "
            f"not: {exc.strerror or exc}"
        )


def new_temp() -> str:
    return f"{TEMP}/{os.getpid()}-{os.urandom(12).hex()}"
