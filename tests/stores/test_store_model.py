"""A state machine: whatever is asked of them, SQLite answers as the in-memory reference does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from checkpoint.errors import StoreClosed
from checkpoint.ids import SessionKey
from checkpoint.inmemory import InMemoryStore
from checkpoint.record import Kind
from checkpoint.store import Attachment, Commit, Store
from checkpoint_sql.sqlite import SqliteStore

from .chain import Chain
from .soak import steps

NAMES = ["a", "A", "a%", "a_b", "ab", "é", "\ud7ff", "\ud7ff\ue000", "\uffff", "\U0010ffff", "😀b"]
KEYS = [SessionKey(space, name) for space in ("default", "default ") for name in NAMES]

keys = st.sampled_from(KEYS)
kinds = st.sampled_from([Kind.BASE, Kind.PATCH, Kind.PATCH, Kind.PATCH, Kind.TOMBSTONE])
prefixes = st.sampled_from(["", "%", "_", *{name[:1] for name in NAMES}, *NAMES])
revisions = st.one_of(st.integers(-1, 12), st.sampled_from([2**63 - 1, 2**63, -(2**70)]))
labels = st.sampled_from(["label/x", "label/X", "", "é", "\U0010ffff"])
guards = st.sampled_from([None, b"", bytes(16)])


class StoreModel(RuleBasedStateMachine):
    """Both stores get the same calls; every answer must be the same."""

    def __init__(self) -> None:
        super().__init__()
        self._dir = tempfile.TemporaryDirectory()
        self._path = str(Path(self._dir.name) / "sessions.db")
        self._reference = InMemoryStore()
        self._sqlite = SqliteStore(self._path)
        self._chains = {key: Chain(self._reference, key) for key in KEYS}
        self._sent: list[tuple[SessionKey, Commit]] = []

    def teardown(self) -> None:
        self._sqlite.close()
        self._dir.cleanup()

    def _both(self) -> tuple[Store, Store]:
        return self._reference, self._sqlite

    def _commit(self, key: SessionKey, commit: Commit) -> bool:
        expected, answer = (store.commit(key, commit) for store in self._both())
        assert answer is expected
        self._sent.append((key, commit))
        return expected

    @rule(key=keys, kind=kinds, body=st.binary(max_size=64))
    def commit(self, key: SessionKey, kind: Kind, body: bytes) -> None:
        chain = self._chains[key]
        commit = chain.draft(kind, body)
        assert self._commit(key, commit)
        chain.head = commit.head

    @rule(key=keys, kind=kinds, parent=guards)
    def commit_with_a_wrong_guard(self, key: SessionKey, kind: Kind, parent: bytes | None) -> None:
        chain = self._chains[key]
        if parent != (chain.head.write_id if chain.head else None):
            assert not self._commit(key, chain.draft(kind)._replace(parent=parent))

    @precondition(lambda self: self._sent)
    @rule(data=st.data())
    def commit_again(self, data: st.DataObject) -> None:
        key, commit = data.draw(st.sampled_from(self._sent))
        head = self._chains[key].head
        if commit.parent != (head.write_id if head else None):
            assert not self._commit(key, commit)

    @rule(key=keys, revision=st.none() | revisions)
    def read(self, key: SessionKey, revision: int | None) -> None:
        expected, answer = (store.read(key, revision) for store in self._both())
        assert answer == expected

    @rule(key=keys, before=st.none() | revisions, limit=st.integers(0, 8))
    def heads(self, key: SessionKey, before: int | None, limit: int) -> None:
        expected, answer = (store.heads(key, before, limit) for store in self._both())
        assert answer == expected

    @rule(
        namespace=st.sampled_from(["default", "default ", "other"]),
        prefix=prefixes,
        after=st.none() | prefixes,
        limit=st.integers(0, 8),
    )
    def sessions(self, namespace: str, prefix: str, after: str | None, limit: int) -> None:
        expected, answer = (s.sessions(namespace, prefix, after, limit) for s in self._both())
        assert answer == expected

    @rule(key=keys, revision=st.integers(0, 3), name=labels, data=st.binary(max_size=9))
    def attach(self, key: SessionKey, revision: int, name: str, data: bytes) -> None:
        for store in self._both():
            store.attach(key, Attachment(revision, name, data))

    @rule(key=keys, revision=st.integers(0, 3), name=labels)
    def detach(self, key: SessionKey, revision: int, name: str) -> None:
        expected, answer = (store.detach(key, revision, name) for store in self._both())
        assert answer is expected

    @rule()
    def open_again(self) -> None:
        self._sqlite.close()
        try:
            self._sqlite.read(KEYS[0])
        except StoreClosed:
            self._sqlite = SqliteStore(self._path)

    @invariant()
    def all_that_is_kept_is_the_same(self) -> None:
        for key in {key for key, _ in self._sent}:
            first, second = ((s.read(key), s.attachments(key)) for s in self._both())
            assert first == second


StoreModel.TestCase.settings = steps(examples=60, length=40)
test_sqlite_answers_as_the_reference_does = StoreModel.TestCase
