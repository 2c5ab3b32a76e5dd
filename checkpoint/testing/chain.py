"""Drafts and sends the commits of one session, for tests that call a store directly."""

from __future__ import annotations

import os

import pytest

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint.store import Commit, Head, Pruning, Record, Segment, Store

KEY = SessionKey("default", "user-42")

_KINDS = {"b": Kind.BASE, "p": Kind.PATCH, "t": Kind.TOMBSTONE}


class Chain:
    """A writer that knows the head of a session and the records it has written."""

    def __init__(self, store: Store, key: SessionKey = KEY) -> None:
        self.store = store
        self.key = key
        self.head: Head | None = None
        self.records: list[Record] = []

    def draft(self, kind: Kind = Kind.PATCH, body: bytes | None = None) -> Commit:
        """Draft the next commit; a patch begins a segment if there is none to continue."""
        head = self.head
        revision = head.revision + 1 if head else 1
        continues = head is not None and kind is Kind.PATCH and not head.deleted
        base = head.base if head is not None and continues else revision
        record = new_record(revision, body)
        write_id = record.header[-16:]
        saved_at = 1_700_000_000_000_000 + revision
        epoch = head.epoch if head else 0
        after = Head(revision, write_id, base, saved_at, kind is Kind.TOMBSTONE, epoch)
        return Commit(head.write_id if head else None, after, record)

    def add(self, kind: Kind = Kind.PATCH, body: bytes | None = None) -> Record:
        """Commit the next record."""
        commit = self.draft(kind, body)
        assert self.store.commit(self.key, commit) is True
        self.head = commit.head
        self.records = [] if commit.head.deleted else self.records
        self.records.append(commit.record)
        return commit.record

    def grow(self, kinds: str) -> list[Record]:
        """Commit several records: ``"bpp"`` is a base and two patches, ``t`` a tombstone."""
        return [self.add(_KINDS[letter]) for letter in kinds]

    def draft_pruning(
        self,
        *remove: tuple[int, int],
        records: tuple[tuple[Record, int], ...] = (),
        base: int | None = None,
    ) -> Pruning:
        """Draft a pruning of the current head; ``base`` is that of the head after it."""
        head = self.tip()
        after = head._replace(epoch=head.epoch + 1, base=head.base if base is None else base)
        return Pruning(head, after, remove, records)

    def prune(
        self,
        *remove: tuple[int, int],
        records: tuple[tuple[Record, int], ...] = (),
        base: int | None = None,
    ) -> None:
        """Remove ranges of revisions, and replace records."""
        if records:
            check_rewriting(self.store)
        pruning = self.draft_pruning(*remove, records=records, base=base)
        assert self.store.prune(self.key, pruning) is True
        self.head = pruning.head
        kept = {
            record.revision: record
            for record in self.records
            if not any(first <= record.revision <= last for first, last in remove)
        }
        kept |= {record.revision: record for record, _ in records}
        self.records = [kept[revision] for revision in sorted(kept)]

    def tip(self) -> Head:
        """The head, which must exist."""
        assert self.head is not None
        return self.head


def check_rewriting(store: object) -> None:
    """Skip the test if the store does not rewrite records."""
    if not getattr(store, "rewrites", False):
        pytest.skip("this store does not rewrite records (checkpoint.store.Rewriting)")


def new_record(revision: int, body: bytes | None = None) -> Record:
    """A record of random bytes, opaque to a store, from a new write."""
    write_id = os.urandom(16)
    return Record(revision, b"head\0" + write_id, write_id * 3 if body is None else body)


def segment_of(
    store: Store, key: SessionKey = KEY, revision: int | None = None, since: int = 0
) -> Segment:
    """Read a segment of a session, which must exist."""
    segment = store.read(key, revision, since=since)
    assert segment is not None
    return segment


def create(store: Store, *ids: str, namespace: str = "default") -> list[Chain]:
    """Create sessions with these ids, each with one base."""
    chains = [Chain(store, SessionKey(namespace, name)) for name in ids]
    for chain in chains:
        chain.add(Kind.BASE)
    return chains
