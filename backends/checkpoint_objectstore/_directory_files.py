"""Reads and lists objects stored as files below an open directory."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b

from checkpoint_objectstore.objects import Entry

_NAME = re.compile(r"[0-9a-z!=~-]+")
KEY = re.compile(rf"({_NAME.pattern}/)*{_NAME.pattern}")
START = re.compile(rf"({_NAME.pattern}/)*({_NAME.pattern})?")

ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors of the system that mean there is no such file."""


@contextmanager
def opened(root: int, folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def tag_of(data: bytes) -> str:
    return blake2b(data, digest_size=20).hexdigest()


def folder_of(key: str) -> str:
    return key.rpartition("/")[0]


def checked(key: str, allowed: re.Pattern[str] = KEY) -> str:
    """The key, if it is valid and so cannot point outside the directory."""
    if not allowed.fullmatch(key):
        raise ValueError(f"{key!r} is not a valid key")
    return key


def exists(root: int, path: str) -> bool:
    try:
        os.stat(path, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_file(root: int, key: str) -> bool:
    """Whether the object exists; not if the path is a folder, which a rename then reports."""
    try:
        return not stat.S_ISDIR(os.stat(checked(key), dir_fd=root).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read(root: int, key: str, first: int | None = None) -> bytes | None:
    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, dir_fd=root)

    try:
        with open(checked(key), "rb", opener=opener) as file:
            return file.read(-1 if first is None else first)
    except ABSENT:
        return None


def names(root: int, folder: str) -> list[str]:
    """The names in a folder that can be part of a key; folders end in /."""
    try:
        with opened(root, folder or ".") as descriptor, os.scandir(descriptor) as entries:
            return [
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if _NAME.fullmatch(entry.name)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []


def walk(root: int, folder: str, start: str, after: str) -> Generator[Entry, None, None]:
    """The objects in a folder and below it, in byte order of their keys.

    Folders are sorted with their final /, since other characters sort before and after it.
    """
    for name in sorted(name for name in names(root, folder) if name.startswith(start)):
        key = folder + name
        if name.endswith("/"):
            if key > after or after.startswith(key):
                yield from walk(root, key, "", after)
        elif key > after:
            with suppress(FileNotFoundError):  # removed meanwhile
                found = os.stat(key, dir_fd=root, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield Entry(key, found.st_size, found.st_mtime_ns // 1000)


def is_used(root: int, folder: str) -> bool:
    with closing(walk(root, folder, "", "")) as found:
        return next(found, None) is not None
