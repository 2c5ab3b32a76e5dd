"""Sessions in a directory on a local disk: one file for each object, and no server.

All processes of one machine can share the directory. It must not be on a network file system: with
NFS, for example, two machines may hold the same lock or read outdated files, without an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from errno import EIO
from itertools import groupby, islice
from urllib.parse import parse_qsl, unquote

from checkpoint._stores.registry import redact
from checkpoint.errors import InvalidOption, StoreError, StoreUnsafe
from checkpoint.store import Store
from checkpoint_objectstore._directory_files import (
    ABSENT,
    START,
    checked,
    exists,
    folder_of,
    is_file,
    is_used,
    names,
    read,
    tag_of,
    walk,
)
from checkpoint_objectstore._directory_locks import SUPPORTED, sync, sync_folder
from checkpoint_objectstore._directory_place import Directory, new_temp
from checkpoint_objectstore.objects import Entry, Object

_PAGE = 4096  # entries per listing; large, since each reads all names of a folder
_TRIES = 10  # to create a folder that other processes remove while it is empty

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?", re.ASCII)


class DirectoryObjects:
    """Objects as files in a directory. Safe to share between threads, and with a forked child.

    A write creates a temporary file, syncs it, renames it, and syncs the folder. It takes effect
    completely or not at all, and is durable when the call returns. One process at a time changes a
    folder, protected by ``flock``. Other files in the directory are neither listed nor touched.

    The first write creates the directory, but not its parent; until then, reads find no objects. A
    missing parent is an outage. So is a directory that was removed or emptied after this object
    used it: an unmounted volume must not look like an empty store. Therefore use a folder *in* a
    folder of the volume (``/mnt/volume/agents/sessions``, with ``agents`` created by hand), never
    the mount point itself: then a process that starts without the volume gets an error, too.

    Args:
        path: the directory, absolute, on a local disk; not on a network file system.
        timeout: seconds to wait for other writers of the same folder before ``StoreBusy``.

    Raises:
        StoreUnsafe: at once, this system is not POSIX; on the first write, the file system does
            not support locks.
        NotAStore: on the first call, the path is a file.
        StoreUnavailable: on a read, the directory or its parent is missing or unreadable; on a
            write, the object may or may not be on disk.
        StoreFull, StoreReadOnly, StoreDenied, StoreBusy: nothing was written.
        StoreError: any other failure of a write; nothing was written.

    Example:
        >>> import tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> objects = DirectoryObjects(place.name)
        >>> tag = objects.create("a/b", b"1")
        >>> objects.create("a/b", b"2")
        >>> objects.get("a/b").data
        b'1'
        >>> objects.replace("a/b", b"2", tag) == objects.get("a/b").tag
        True
        >>> place.cleanup()
    """

    def __init__(self, path: str, *, timeout: float = 10.0) -> None:
        if not SUPPORTED:
            raise StoreUnsafe(
                "a directory store needs the file locks of a POSIX system such as Linux or macOS; "
                "on this system, use sqlite:///agents.db"
            )
        self._directory = Directory(path, timeout)
        self._page = _PAGE

    def __repr__(self) -> str:
        return f"DirectoryObjects({self._directory.path!r})"

    # --- reading ---------------------------------------------------------------------------------

    def get(self, key: str, unless: str = "") -> Object | None:
        with self._directory.reading() as root:
            data = None if root is None else read(root, key)
            if root is None or data is None:
                return None
            folder = folder_of(key)
            if self._directory.locks.is_marked(root, folder):
                # A writer is active or was killed: sync, so that the object cannot be lost later.
                self._directory.locks.settle(root, folder)
        tag = tag_of(data)
        return Object(b"" if tag == unless else data, tag)

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        with self._directory.reading() as root:
            if root is None:
                return {}
            found = ((key, read(root, key, first)) for key in keys)
            return {key: data for key, data in found if data is not None}

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        before, slash, start = checked(prefix, START).rpartition("/")
        folder = before + slash
        with self._directory.reading() as root:
            if root is None:
                return []
            with closing(walk(root, folder, start, after)) as found:
                return list(islice(found, self._page))

    def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        checked(folder, START)
        with self._directory.reading() as root:
            if root is None:
                return []
            inside = [name[:-1] for name in names(root, folder) if name.endswith("/")]
            found = sorted(name for name in inside if name.startswith(prefix) and name > after)
            used = (name for name in found if is_used(root, f"{folder}{name}/"))
            return list(islice(used, self._page))

    # --- writing ---------------------------------------------------------------------------------

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        if not objects:
            return
        with self._directory.writing() as root, self._written(root, objects) as temps:
            for folder, keys in groupby(sorted(objects, key=folder_of), folder_of):
                self._publish(root, folder, {key: temps[key] for key in keys})

    def create(self, key: str, data: bytes) -> str | None:
        return self._guarded(key, data, lambda root: not is_file(root, key))

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        def has_tag(root: int) -> bool:
            current = read(root, key)
            return current is not None and tag_of(current) == tag

        return self._guarded(key, data, has_tag)

    def delete(self, keys: Sequence[str]) -> None:
        with self._directory.reading() as existing:
            if existing is None or not keys:
                return  # do not create a directory only to remove nothing
        with self._directory.writing() as root:
            for folder, within in groupby(sorted(keys, key=folder_of), folder_of):
                self._remove(root, folder, list(within))

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _guarded(self, key: str, data: bytes, guard: Callable[[int], bool]) -> str | None:
        with self._directory.writing() as root:
            if not guard(root):  # checked again under the lock
                return None
            with self._written(root, {key: data}) as temps:
                return tag_of(data) if self._publish(root, folder_of(key), temps, guard) else None

    @contextmanager
    def _written(self, root: int, objects: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
        """Write and sync temporary files; at the end, remove those that were not renamed."""
        temps: dict[str, str] = {}
        try:
            for key, data in objects.items():
                temps[checked(key)] = temp = new_temp()
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                descriptor = os.open(temp, flags, 0o666, dir_fd=root)
                try:
                    view = memoryview(data)
                    while view:
                        view = view[os.write(descriptor, view) :]
                    sync(descriptor)
                finally:
                    os.close(descriptor)
            yield temps
        finally:
            for temp in temps.values():
                with suppress(OSError):
                    os.unlink(temp, dir_fd=root)

    def _publish(
        self,
        root: int,
        folder: str,
        temps: Mapping[str, str],
        guard: Callable[[int], bool] = lambda root: True,
    ) -> bool:
        """Rename temporary files to objects of one folder, if the guard holds."""
        for _ in range(_TRIES):
            self._make_folder(root, folder)
            self._directory.locks.clear_above(root, folder)
            with self._directory.locks.locked(root, folder) as held:
                if not exists(root, folder or "."):
                    continue  # removed while it was empty, before we had the lock
                if not guard(root):
                    return False
                held.mark()
                for key, temp in temps.items():
                    try:
                        os.rename(temp, key, src_dir_fd=root, dst_dir_fd=root)
                    except OSError as exc:
                        if exc.errno == EIO:
                            raise self._directory.unclear(exc) from exc
                        raise
                try:
                    # The folder is no longer empty, so it stays; its creator marked the parent.
                    self._directory.locks.settle(root, folder)
                except OSError as exc:
                    raise self._directory.unclear(exc) from exc
                held.unmark()
                return True
        raise StoreError(
            f"a folder in {self._directory.path!r} was removed repeatedly while writing; nothing "
            f"was written. Try again"
        )

    def _make_folder(self, root: int, folder: str) -> None:
        if not folder or exists(root, folder):
            return
        parent = folder_of(folder)
        self._make_folder(root, parent)
        with self._directory.locks.locked(root, parent) as held:
            held.mark()
            with suppress(FileExistsError, FileNotFoundError):  # the caller retries the second
                os.mkdir(folder, dir_fd=root)
                sync_folder(root, parent)
            held.unmark()

    def _remove(self, root: int, folder: str, keys: Iterable[str]) -> None:
        removed = False
        with self._directory.locks.locked(root, folder):
            for key in keys:
                with suppress(*ABSENT):
                    os.unlink(checked(key), dir_fd=root)
                    removed = True
            try:
                with suppress(*ABSENT):
                    sync_folder(root, folder)
            except OSError as exc:
                raise self._directory.unclear(exc) from exc
        with suppress(OSError):  # remove empty folders, up to the first that is in use
            while removed and folder:
                with self._directory.locks.locked(root, folder):
                    os.rmdir(folder, dir_fd=root)
                folder = folder_of(folder)


def open_store(url: str) -> Store:
    """Open ``file:///absolute/directory``. The first save creates it, but not its parent.

    Parameter: ``timeout`` (seconds to wait for other writers, default 10).

    Raises:
        InvalidOption: the URL has no directory, a host, or an unknown parameter.
        StoreUnsafe: this system is not POSIX.

    Example:
        >>> open_store("file:///srv/agents")
        ObjectStore(DirectoryObjects('/srv/agents'))
    """
    from checkpoint_objectstore._sync.store import ObjectStore

    return ObjectStore(open_objects(url))


def open_objects(url: str) -> DirectoryObjects:
    """Open the driver for a URL of :func:`open_store`.

    Example:
        >>> open_objects("file:///srv/agents%20of%20mine?timeout=5")
        DirectoryObjects('/srv/agents of mine')
    """
    location, _, query = url.partition("?")
    path = unquote(location.partition("://")[2], errors="surrogateescape")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not path.startswith("/") or not path.strip("/") or "\0" in path:
        raise InvalidOption(
            f"{redact(url)!r} does not name a directory; write file:///absolute/directory, with "
            f"three slashes and no host"
        )
    timeout = options.pop("timeout", "10")
    if options or not _SECONDS.fullmatch(timeout):
        raise InvalidOption(f"{redact(url)!r}: the URL of a directory takes only ?timeout=SECONDS")
    return DirectoryObjects("/" + path.strip("/"), timeout=float(timeout))
