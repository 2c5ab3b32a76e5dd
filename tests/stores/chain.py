"""Commits of one session, as a writer that knows its head makes them, for tests of bare stores."""

from __future__ import annotations

import os

from checkpoint.ids import SessionKey
from checkpoint.record import Kind, Record
from checkpoint.store import Commit, Head, Store

KEY = SessionKey("default", "user-42")


class Chain:
    """The revisions of a session that were committed through it, and the commit that follows."""

    def __init__(self, store: Store, key: SessionKey = KEY) -> None:
        self.store = store
        self.key = key
        self.head: Head | None = None
        self.records: list[Record] = []

    def draft(self, kind: Kind = Kind.PATCH, body: bytes | None = None) -> Commit:
        """The next commit, not sent; a patch begins a segment where there is none to go on."""
        head = self.head
        revision = head.revision + 1 if head else 1
        goes_on = head is not None and kind is Kind.PATCH and not head.deleted
        base = head.base if head is not None and goes_on else revision
        write_id = os.urandom(16)
        record = Record(revision, b"head\0" + write_id, write_id * 3 if body is None else body)
        after = Head(revision, write_id, base, 1_700_000_000_000_000 + revision, _deletes(kind))
        return Commit(head.write_id if head else None, after, record)

    def add(self, kind: Kind = Kind.PATCH, body: bytes | None = None) -> Record:
        """Commit the next record."""
        commit = self.draft(kind, body)
        assert self.store.commit(self.key, commit)
        self.head = commit.head
        self.records = [] if commit.head.deleted else self.records
        self.records.append(commit.record)
        return commit.record

    def grow(self, kinds: str) -> list[Record]:
        """Commit several: ``"bpp"`` is a base and two patches, ``t`` a tombstone."""
        names = {"b": Kind.BASE, "p": Kind.PATCH, "t": Kind.TOMBSTONE}
        return [self.add(names[letter]) for letter in kinds]

    def tip(self) -> Head:
        """The head; there must be one."""
        assert self.head is not None
        return self.head


def _deletes(kind: Kind) -> bool:
    return kind is Kind.TOMBSTONE
