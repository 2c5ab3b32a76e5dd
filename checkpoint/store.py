"""What a store is: a few methods that speak of records, never of models.

Anybody can write one: implement :class:`Store` (or :class:`AsyncStore`, the same with ``await``),
and register a function that opens it under the entry-point group ``checkpoint.stores``, by the
scheme of its URLs. A blocking store is enough: :class:`checkpoint.threads.ThreadedStore` makes it
an asynchronous one.

Notes to implementers:

* ``commit`` is one atomic step. Compare the ``write_id`` of the head, never a revision number: a
  deleted and re-created session has the same numbers.
* Return ``False`` only when the guard did not hold. When it is not known whether the write
  happened, raise ``StoreUnavailable``: the caller reads the head and finds out. When it certainly
  did not, raise another ``StoreError``.
* Absence is an answer (None, or empty); not getting an answer is an error.
* Ids are compared byte by byte and may hold any character but control characters.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from checkpoint.ids import SessionKey
from checkpoint.record import Record


class Head(NamedTuple):
    """The newest revision of a session, as the store keeps it.

    Attributes:
        revision: its number.
        write_id: of the write that made it; what the next commit is guarded by.
        base: the revision with which its segment begins.
        saved_at: microseconds since 1970, by the writer's clock.
        deleted: it is a tombstone.
    """

    revision: int
    write_id: bytes
    base: int
    saved_at: int
    deleted: bool = False


class Segment(NamedTuple):
    """The head, and the records from a base up to the revision asked for (none if it is gone)."""

    head: Head
    records: tuple[Record, ...]


class Commit(NamedTuple):
    """One save: a record, and the head that names it.

    Attributes:
        parent: the ``write_id`` that the session's head must have; None: there must be no head.
        head: the head afterwards.
        record: the record to add.
    """

    parent: bytes | None
    head: Head
    record: Record


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

    def read(self, key: SessionKey, revision: int | None = None) -> Segment | None:
        """The head and the segment of ``revision`` (of the head, if None), in one moment's view.

        Returns None when the session never existed; a deleted one has a tombstone.
        """

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        """Write a record and move the head, if the guard holds; all or nothing.

        A head that is ``deleted`` removes all older records and all attachments in the same step.
        """

    def heads(self, key: SessionKey, before: int | None, limit: int) -> list[tuple[Record, int]]:
        """Records without their bodies, newest first, and the size of each whole record in bytes.

        Args:
            before: only revisions below this one; None for all.
        """

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Head]]:
        """Sessions whose id begins with ``prefix``, in byte order of their ids, deleted ones not.

        Args:
            after: only ids greater than this one; None for all.
        """

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        """Write an attachment, replacing one of the same revision and name.

        Does nothing when the session is not there.
        """

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        """Remove an attachment; whether it was there."""

    def attachments(self, key: SessionKey) -> list[Attachment]:
        """All attachments of a session, by revision and name."""

    def close(self) -> None:
        """Release connections. Later calls raise ``StoreClosed``."""


class AsyncStore(Protocol):
    """:class:`Store`, with ``await``. A cancelled ``commit`` is wholly done or wholly not."""

    async def read(self, key: SessionKey, revision: int | None = None) -> Segment | None: ...

    async def commit(self, key: SessionKey, commit: Commit) -> bool: ...

    async def heads(
        self, key: SessionKey, before: int | None, limit: int
    ) -> list[tuple[Record, int]]: ...

    async def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Head]]: ...

    async def attach(self, key: SessionKey, attachment: Attachment) -> None: ...

    async def detach(self, key: SessionKey, revision: int, name: str) -> bool: ...

    async def attachments(self, key: SessionKey) -> list[Attachment]: ...

    async def close(self) -> None: ...
