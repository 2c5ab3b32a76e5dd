"""The directory of a store: opens it for each call, creates its layout, translates its errors."""

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
"""The folder for all files that are not objects; no key has a dot."""

TEMP = f"{OURS}/new"
"""The folder of temporary files, which are renamed to objects when complete."""

LOCKS = f"{OURS}/locks"
"""The folder of the locks. Created last: if it exists, the folders around it are on disk."""

_LEFT_AFTER = 3600  # seconds; an older temporary file was left by a process that ended


class Directory:
    """A directory for objects.

    Args:
        path: of the directory.
        timeout: seconds to wait for a lock.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = os.path.abspath(path)
        self.locks = FolderLocks(self.path, LOCKS, timeout)
        self._seen = False  # the directory existed, with our layout
        self._prepared = False

    @contextmanager
    def reading(self) -> Iterator[int | None]:
        """Open the directory for one call, which then sees the same directory throughout.

        None if it was not created yet.
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
        seen = self._seen  # read first: another thread may create it during the call
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as exc:
            if seen or os.path.islink(self.path):
                raise self._gone(error) from exc
            try:
                os.stat(os.path.dirname(self.path))
            except FileNotFoundError:
                raise error(
                    f"the parent directory of {self.path!r} does not exist; is its volume mounted? "
                    f"If it is new, create it"
                ) from exc
            return None
        except NotADirectoryError as exc:
            raise NotAStore(
                f"{self.path!r} is not a directory, or its parent is not; name another directory"
            ) from exc

    def _look(self, root: int, error: type[StoreError]) -> bool:
        """Whether it has our layout; an error if the layout existed before and is gone."""
        seen = self._seen
        if exists(root, LOCKS):
            self._seen = True
            return True
        if seen:
            raise self._gone(error)
        return False

    def _gone(self, error: type[StoreError]) -> StoreError:
        return error(
            f"the directory {self.path!r} is gone or empty; is its volume mounted? If it was "
            f"removed on purpose, open the store again"
        )

    def _make(self) -> int:
        # Fail before creating anything if the parent cannot be opened, and so not synced.
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
        with suppress(PermissionError):  # another user created the directory, and synced its parent
            sync_folder(root, os.path.dirname(self.path))
        with suppress(FileExistsError):
            os.mkdir(LOCKS, dir_fd=root)
        self._seen = True

    def _prepare(self, root: int) -> None:
        """On the first write of a process, check the locks and remove old temporary files."""
        with suppress(FileExistsError):  # it exists, unless someone removed the empty folder
            os.mkdir(TEMP, dir_fd=root)
        self.locks.probe(root, new_temp())
        long_ago = time.time() - _LEFT_AFTER
        with opened(root, TEMP) as folder:
            for name in os.listdir(folder):
                with suppress(FileNotFoundError):  # removed by another process
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
        """Translate an error of the system."""
        where, reason = f"directory {self.path!r}", exc.strerror or exc
        undone = "nothing was written. " if writing else ""
        if exc.errno in (ENOSPC, EDQUOT):
            return StoreFull(f"no space left for the {where}; {undone}Make room")
        if exc.errno == EROFS:
            return StoreReadOnly(f"the {where} is on a read-only file system; {undone}Mount it rw")
        if exc.errno in (EACCES, EPERM):
            return StoreDenied(
                f"this process may not {'write to' if writing else 'read'} the {where} ({reason}); "
                f"{undone}Check the owner and the permissions of everything in it"
            )
        if exc.errno == ENAMETOOLONG:
            return StoreError(
                f"the file system of the {where} does not support names of 215 bytes; {undone}"
                f"Use another file system"
            )
        if writing:
            return StoreError(f"the {where} failed: {reason}; nothing was written")
        return StoreUnavailable(f"the {where} cannot be read: {reason}")

    def unclear(self, exc: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"the directory {self.path!r} failed in the last step of a write, which may be done or "
            f"not: {exc.strerror or exc}"
        )


def new_temp() -> str:
    return f"{TEMP}/{os.getpid()}-{os.urandom(12).hex()}"
