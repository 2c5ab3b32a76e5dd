"""What a place that keeps objects can do: the handful of calls that a driver is made of.

A driver implements :class:`Objects` (or :class:`AsyncObjects`, the same with ``await``) for one
bucket or directory; :mod:`checkpoint_objectstore._layout` says which objects there are, and
``ObjectStore`` makes a :class:`checkpoint.store.Store` of them.

Notes to implementers:

* Keys are relative to the place (a bucket and a prefix, a directory). They are made of the
  characters ``0-9 a-z ! - = ~ /``, have no empty parts, and no part is longer than 215.
* ``create`` and ``replace`` are each one atomic step: of several at once, one wins.
* Return None from them only when the condition did not hold, and this very call did not change
  that: a driver that sends a request again after a lost reply, and is then told that the condition
  does not hold, does not know. When it is not known whether something was written, raise
  ``StoreUnavailable``; when it certainly was not, another ``StoreError``.
* Absence is an answer (None, or left out); not getting an answer is an error. A bucket or a
  directory that is not there is an error.
* What is written is durable when the call returns.
* A driver may have a method ``preload()`` that does what it can for later calls without any of
  them; it is never awaited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Object(NamedTuple):
    """What is kept under a key.

    Attributes:
        data: its bytes.
        tag: changes with the bytes; what the next ``replace`` is guarded by.
    """

    data: bytes
    tag: str


class Entry(NamedTuple):
    """An object in a listing.

    Attributes:
        key: its key.
        size: in bytes.
        stored_at: microseconds since 1970, by the clock of the place.
    """

    key: str
    size: int
    stored_at: int


class Objects(Protocol):
    """A place that keeps objects. Safe to use from several threads at once."""

    def get(self, key: str, unless: str = "") -> Object | None:
        """An object; None when there is none.

        Args:
            unless: a tag; an object that still has it comes with it and without its data.
        """

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        """The bytes of those objects that are there, fetched at the same time.

        Args:
            first: only so many bytes of each, from its start; None for all.
        """

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Write objects, whatever is there, at the same time."""

    def create(self, key: str, data: bytes) -> str | None:
        """Write an object where there is none; its tag, or None where there was one."""

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        """Write an object over the one with this tag; the new tag.

        None where there was another object, or none.
        """

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        """Some of the objects whose key begins with ``prefix``, in byte order of their keys.

        Args:
            after: only keys greater than this one.

        Returns an empty list only where there are no more.
        """

    def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        """Some of the names that follow ``folder`` in keys, up to the next ``/``, in byte order.

        Args:
            folder: the start of a key, with the ``/`` at its end.
            prefix: only names that begin with it.
            after: only names greater than this one.

        Returns an empty list only where there are no more.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def close(self) -> None:
        """Release connections. No call comes after it."""


class AsyncObjects(Protocol):
    """:class:`Objects`, with ``await``. A cancelled write is wholly done or wholly not."""

    async def get(self, key: str, unless: str = "") -> Object | None: ...

    async def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]: ...

    async def put_many(self, objects: Mapping[str, bytes]) -> None: ...

    async def create(self, key: str, data: bytes) -> str | None: ...

    async def replace(self, key: str, data: bytes, tag: str) -> str | None: ...

    async def list(self, prefix: str, after: str = "") -> Sequence[Entry]: ...

    async def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]: ...

    async def delete(self, keys: Sequence[str]) -> None: ...

    async def close(self) -> None: ...
