"""What a store is: a few methods that speak of records and pages, never of models.

Anybody can write one: implement :class:`Store` (or :class:`AsyncStore`, the same with ``await``),
and register a function that opens it under the entry-point group ``checkpoint.stores``, by the
scheme of its URLs. A blocking store is enough: :class:`ThreadedStore` makes it an asynchronous one.
:class:`InMemoryStore` is the reference, to be read. :mod:`checkpoint.testing` has the suite that
every store must pass. All that an author of a store needs is importable from here.

Notes to implementers:

* ``commit`` and ``prune`` are each one atomic step. Compare the ``write_id`` and the ``epoch`` of
  the head, never a revision number: a deleted and re-created session has the same numbers.
* Return ``False`` only when the guard did not hold. When it is not known whether the write
  happened, raise ``StoreUnavailable``: the caller reads the head and finds out. When it certainly
  did not, raise another ``StoreError``.
* Absence is an answer (None, or empty); not getting an answer is an error.
* Ids are compared byte by byte and may hold any character but control characters.
* Pages need no atomicity: they are written before the commit that names them, never changed, and
  removed only when no head can name them any more. They may be there without a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

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
    """One stored record, cut where history may stop reading.

    Attributes:
        revision: the revision it stores.
        header: all about it but its body; readable alone.
        body: the stored body and the digest.
    """

    revision: int
    header: bytes
    body: bytes


class Head(NamedTuple):
    """The newest revision of a session, as the store keeps it.

    Attributes:
        revision: its number.
        write_id: of the write that made it; what the next commit is guarded by.
        base: the revision with which its segment begins.
        saved_at: microseconds since 1970, by the writer's clock.
        deleted: it is a tombstone.
        epoch: moved by one with everything that is taken out of the session, so that a writer who
            read it before is refused.
    """

    revision: int
    write_id: bytes
    base: int
    saved_at: int
    deleted: bool = False
    epoch: int = 0


class Segment(NamedTuple):
    """The head, and the records from a base up to the revision asked for (none if it is gone)."""

    head: Head
    records: tuple[Record, ...]


class Commit(NamedTuple):
    """One save: a record, and the head that names it.

    Attributes:
        parent: the ``write_id`` that the session's head must have; None: there must be no head.
        head: the head afterwards. The head before must have the same ``epoch``.
        record: the record to add.
    """

    parent: bytes | None
    head: Head
    record: Record


class Pruning(NamedTuple):
    """Revisions to take out of a session, in a step that moves its epoch.

    Attributes:
        guard: the head as it must be: its ``write_id`` and ``epoch`` are compared.
        head: the head afterwards: its epoch is one more, its ``base`` may be another.
        remove: ranges of revisions, first and last, whose records go.
        records: records written in the same step, each with the revision its segment begins with;
            none for a store that is not :class:`Rewriting`.
    """

    guard: Head
    head: Head
    remove: tuple[tuple[int, int], ...] = ()
    records: tuple[tuple[Record, int], ...] = ()


class Page(NamedTuple):
    """An immutable part of a document, stored once and named by bases.

    Attributes:
        id: 24 bytes, never used again for another page.
        data: its bytes.
        stored_at: microseconds since 1970, by the writer's clock.
    """

    id: bytes
    data: bytes
    stored_at: int


class PageInfo(NamedTuple):
    """A page in a listing: its id, ``stored_at``, and size in bytes.

    A store that notes such times itself may tell its own.
    """

    id: bytes
    stored_at: int
    size: int


PIN = "pin/"
"""How the names of attachments begin that a tombstone leaves in place."""


class Attachment(NamedTuple):
    """A small side record of a session, written without touching its head.

    Attributes:
        revision: the revision it is tied to; 0 for the session as a whole.
        name: unique for that revision.
        data: its bytes.
    """

    revision: int
    name: str
    data: bytes


class Store(Protocol):
    """Where sessions are kept. Safe to use from several threads at once."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        """The head and the segment of ``revision`` (of the head, if None), in one moment's view.

        Args:
            since: the caller has the records up to this revision: only those after it are sent.

        Returns None when the session never existed; a deleted one has a tombstone.
        """

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        """Write a record and move the head, if the guard holds; all or nothing.

        A head that is ``deleted`` removes all older records in the same step, and all attachments
        but those whose name begins with ``PIN``.
        """

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        """Take revisions out of a session, if the guard holds; all or nothing.

        Attachments of the revisions removed go with them.
        """

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        """Records without their bodies, newest first, and the size of each whole record in bytes.

        Args:
            before: only revisions below this one; None for all.
            bases: only the first record of each segment.
        """

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        """Sessions whose id begins with ``prefix``, in byte order of their ids.

        Args:
            after: only ids greater than this one; None for all.
            deleted: also those that were deleted, and, with ``Head(0, b"", 0, 0, True)``, those of
                which there are only pages.
        """

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        """Write pages. They are durable when this returns, and none is changed ever after."""

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """The bytes of those pages that are there."""

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        """All pages of a session, in byte order of their ids."""

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        """Remove pages; those that are not there are no error."""

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        """Write an attachment, replacing one of the same revision and name.

        Does nothing when the session is not there. Its revision is 0, or there, or yet to come.
        """

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        """Remove an attachment; whether it was there."""

    def attachments(self, key: SessionKey) -> list[Attachment]:
        """All attachments of a session, by revision and name."""

    def close(self) -> None:
        """Release connections. Later calls raise ``StoreClosed``."""


@runtime_checkable
class Rewriting(Protocol):
    """An optional ability of a store: ``prune`` also writes the records of a pruning.

    ``delete_revision`` needs it for a revision that others follow in its segment.

    Attributes:
        rewrites: whether it does.
    """

    rewrites: bool


class AsyncStore(Protocol):
    """:class:`Store`, with ``await``. A cancelled ``commit`` is wholly done or wholly not."""

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
    """The names that are made of those above: what serves them is imported when they are used."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"checkpoint._stores.{_ELSEWHERE[name]}"), name)
