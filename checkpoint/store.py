"""The store interface: a few methods that handle records and pages, never models.

To write a store, implement :class:`Store` (or :class:`AsyncStore`, the same with ``await``), and
register a function that opens it under the entry-point group ``checkpoint.stores``, by the scheme
of its URLs. A blocking store is enough: :class:`ThreadedStore` makes it asynchronous.
:class:`InMemoryStore` is the reference implementation. :mod:`checkpoint.testing` has the test suite
that every store must pass. Everything that a store needs can be imported from this module.

Notes for implementers:

* ``commit`` and ``prune`` are each one atomic step. Compare the ``write_id`` and the ``epoch`` of
  the head, never a revision number: a session deleted and created again may have the same ones.
* Return ``False`` only if the guard did not hold. If the write may or may not have happened, raise
  ``StoreUnavailable``: the caller reads the head and finds out. If it certainly did not happen,
  raise another ``StoreError``.
* Absence is an answer (None, or empty); the lack of an answer is an error.
* Ids are compared byte by byte, and may contain any character except control characters.
* Pages need no atomicity: they are written before the commit that names them, never changed, and
  removed only when no head can name them any more. Pages may exist without a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

from checkpoint._ids import SessionKey

if TYPE_CHECKING:
    from checkpoint._stores.inmemory import InMemoryStore
    from checkpoint._stores.registry import open_store
    from checkpoint._stores.threads import ThreadedStore

__all__ = [
    "PIN",
    "AsyncStore",
    "Attachment",
    "Commit",
    "Head",
    "InMemoryStore",
    "Page",
    "PageInfo",
    "Pruning",
    "Record",
    "Rewriting",
    "Segment",
    "SessionKey",
    "Store",
    "ThreadedStore",
    "open_store",
]
_ELSEWHERE = {"InMemoryStore": "inmemory", "ThreadedStore": "threads", "open_store": "registry"}


class Record(NamedTuple):
    """One stored record, in two parts, so that history can read the header alone.

    Attributes:
        revision: the revision it stores.
        header: the metadata; can be read without the body.
        body: the stored body and the digest.
    """

    revision: int
    header: bytes
    body: bytes


class Head(NamedTuple):
    """The newest revision of a session, as the store keeps it.

    Attributes:
        revision: its number.
        write_id: id of the write that made it; guards the next commit.
        base: the first revision of its segment.
        saved_at: microseconds since 1970, by the writer's clock.
        deleted: whether it is a tombstone.
        epoch: increases by one with each removal from the session, so that a writer who read the
            head before is refused.
    """

    revision: int
    write_id: bytes
    base: int
    saved_at: int
    deleted: bool = False
    epoch: int = 0


class Segment(NamedTuple):
    """The head, and the records from a base to the requested revision (none if it is gone)."""

    head: Head
    records: tuple[Record, ...]


class Commit(NamedTuple):
    """One save: a record, and the head that names it.

    Attributes:
        parent: the ``write_id`` that the session's head must have; None if there must be no head.
        head: the new head. The current head must have the same ``epoch``.
        record: the record to add.
    """

    parent: bytes | None
    head: Head
    record: Record


class Pruning(NamedTuple):
    """A removal of revisions from a session, which moves its epoch.

    Attributes:
        guard: the expected head; its ``write_id`` and ``epoch`` are compared.
        head: the new head; its epoch is one higher, and its ``base`` may differ.
        remove: ranges of revisions to remove, each as first and last.
        records: records to write in the same step, each with the first revision of its segment;
            none for a store that is not :class:`Rewriting`.
    """

    guard: Head
    head: Head
    remove: tuple[tuple[int, int], ...] = ()
    records: tuple[tuple[Record, int], ...] = ()


class Page(NamedTuple):
    """An immutable part of a document, stored once and named by bases.

    Attributes:
        id: 24 bytes, never reused for another page.
        data: its bytes.
        stored_at: microseconds since 1970, by the writer's clock.
    """

    id: bytes
    data: bytes
    stored_at: int


class PageInfo(NamedTuple):
    """A page in a listing: its id, ``stored_at``, and size in bytes.

    A store that records such times itself may return its own.
    """

    id: bytes
    stored_at: int
    size: int


PIN = "pin/"
"""Prefix of the names of attachments that a tombstone keeps."""


class Attachment(NamedTuple):
    """A small side record of a session, written without touching its head.

    Attributes:
        revision: the revision it belongs to; 0 for the whole session.
        name: unique for that revision.
        data: its bytes.
    """

    revision: int
    name: str
    data: bytes


class Store(Protocol):
    """The interface of a store. Implementations must be safe to share between threads."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        """Return the head and the segment of ``revision`` (of the head if None), consistently.

        Args:
            since: the caller has the records up to this revision; return only those after it.

        Returns None if the session never existed; a deleted session has a tombstone.
        """

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        """Write a record and move the head if the guard holds; all or nothing.

        A head that is ``deleted`` removes all older records in the same step, and all attachments
        except those whose name begins with ``PIN``.
        """

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        """Remove revisions from a session if the guard holds; all or nothing.

        Attachments of the removed revisions are removed too.
        """

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        """List records without their bodies, newest first, and the whole size of each in bytes.

        Args:
            before: only revisions below this one; None for all.
            bases: only the first record of each segment.
        """

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        """List the sessions whose id begins with ``prefix``, in byte order of their ids.

        Args:
            after: only ids greater than this one; None for all.
            deleted: include deleted sessions and, with ``Head(0, b"", 0, 0, True)``, those that
                have only pages.
        """

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        """Write pages. They are durable when this returns, and never changed afterwards."""

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the data of those pages that exist, by id."""

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        """List all pages of a session, in byte order of their ids."""

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        """Remove pages; missing ones are ignored."""

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        """Write an attachment, replacing one of the same revision and name.

        Does nothing if the session does not exist. Its revision may be 0, or not exist yet.
        """

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        """Remove an attachment, and return whether it existed."""

    def attachments(self, key: SessionKey) -> list[Attachment]:
        """List all attachments of a session, by revision and name."""

    def close(self) -> None:
        """Close connections. Later calls raise ``StoreClosed``."""


@runtime_checkable
class Rewriting(Protocol):
    """An optional ability of a store: ``prune`` also writes the records of a pruning.

    ``delete_revision`` needs it for a revision that others follow in its segment.

    Attributes:
        rewrites: a store without this ability does not have the attribute.
    """

    rewrites: Literal[True]


class AsyncStore(Protocol):
    """:class:`Store` with ``await``. A cancelled ``commit`` is done completely or not at all."""

    async def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None: ...

    async def commit(self, key: SessionKey, commit: Commit) -> bool: ...

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool: ...

    async def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]: ...

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]: ...

    async def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None: ...

    async def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]: ...

    async def list_pages(self, key: SessionKey) -> list[PageInfo]: ...

    async def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None: ...

    async def attach(self, key: SessionKey, attachment: Attachment) -> None: ...

    async def detach(self, key: SessionKey, revision: int, name: str) -> bool: ...

    async def attachments(self, key: SessionKey) -> list[Attachment]: ...

    async def close(self) -> None: ...


def __getattr__(name: str) -> object:
    """Import the names that are implemented elsewhere when they are first used."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"checkpoint._stores.{_ELSEWHERE[name]}"), name)
