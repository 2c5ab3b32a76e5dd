"""The interface of drivers for object storage.

A driver implements :class:`Objects` (or :class:`AsyncObjects`, the same with ``await``) for one
bucket or directory. :mod:`checkpoint_objectstore._layout` defines the objects of a session, and
``ObjectStore`` builds a :class:`checkpoint.store.Store` on a driver.

Notes to implementers:

* Keys are relative to a bucket and prefix, or to a directory. They consist of the characters
  ``0-9 a-z ! - = ~ /``, have no empty parts, and no part is longer than 215.
* ``create`` and ``replace`` are atomic: of several concurrent calls, one succeeds.
* They return None only if the condition failed and this call did not make it fail. A driver that
  repeats a request after a lost reply cannot know which try made the condition fail. Raise
  ``StoreUnavailable`` if the object may have been written, another ``StoreError`` if it was not.
* A missing object is an answer (None, or left out); a missing answer is an error, and so is a
  missing bucket or directory.
* Writes are durable when the call returns.
* A driver may have a method ``preload()`` that prepares for later calls without making any; it is
  never awaited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Object(NamedTuple):
    """An object.

    Attributes:
        data: its bytes.
        tag: changes with the bytes; guards the next ``replace``.
    """

    data: bytes
    tag: str


class Entry(NamedTuple):
    """An object in a listing.

    Attributes:
        key: its key.
        size: in bytes.
        stored_at: microseconds since 1970, by the clock of the server.
    """

    key: str
    size: int
    stored_at: int


class Objects(Protocol):
    """A bucket or directory of objects. Safe to share between threads."""

    def get(self, key: str, unless: str = "") -> Object | None:
        """Read an object; None if it does not exist.

        Args:
            unless: a tag; an object that still has this tag is returned without its data.
        """

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        """Read several objects concurrently; those that do not exist are left out.

        Args:
            first: read only this many bytes from the start of each; None for all.
        """

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects concurrently, replacing existing ones."""

    def create(self, key: str, data: bytes) -> str | None:
        """Write a new object and return its tag; None if the key already has an object."""

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        """Replace the object that has this tag, and return the new tag.

        None if the key has another object, or none.
        """

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        """List some of the objects whose key begins with ``prefix``, in byte order of their keys.

        Args:
            after: only keys greater than this one.

        Returns an empty list only if there are no more.
        """

    def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        """List some of the subfolders of ``folder``, in byte order of their names.

        Args:
            folder: the start of a key, with the ``/`` at its end.
            prefix: only names that begin with it.
            after: only names greater than this one.

        Returns an empty list only if there are no more.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; missing ones are no error."""

    def close(self) -> None:
        """Release the connections. No call follows."""


class AsyncObjects(Protocol):
    """:class:`Objects`, with ``await``. A cancelled write takes effect completely or not at all."""

    async def get(self, key: str, unless: str = "") -> Object | None: ...

    async def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]: ...

    async def put_many(self, objects: Mapping[str, bytes]) -> None: ...

    async def create(self, key: str, data: bytes) -> str | None: ...

    async def replace(self, key: str, data: bytes, tag: str) -> str | None: ...

    async def list(self, prefix: str, after: str = "") -> Sequence[Entry]: ...

    async def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]: ...

    async def delete(self, keys: Sequence[str]) -> None: ...

    async def close(self) -> None: ...
