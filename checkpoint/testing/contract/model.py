"""A state machine test: a store must give the same answers as the in-memory reference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import count, groupby
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import Attachment, Commit, Page, Pruning, Record, Segment, Store
from checkpoint.testing.chain import Chain, new_record
from checkpoint.testing.contract.suite import SOAK, Suite

T = TypeVar("T")

NAMES = ["a", "A", "a%", "a_b", "ab", "é", "\ud7ff", "\ud7ff\ue000", "\uffff", "\U0010ffff", "😀b"]
KEYS = [SessionKey(space, name) for space in ("default", "default ") for name in NAMES]
PAGES = [bytes([byte]) * 24 for byte in (0, 1, 37, 47, 255)]

keys = st.sampled_from([*KEYS[:2] * len(KEYS), *KEYS])  # mostly two, for long histories
kinds = st.sampled_from([Kind.BASE, Kind.PATCH, Kind.PATCH, Kind.PATCH, Kind.TOMBSTONE])
prefixes = st.sampled_from(["", "%", "_", *{name[:1] for name in NAMES}, *NAMES])
revisions = st.one_of(st.integers(-1, 12), st.sampled_from([2**63 - 1, 2**63, -(2**70)]))
wrong_epochs = st.sampled_from([0, -1, 2**40])
near = st.integers(0, 5)
names = st.sampled_from(["label/x", "label/X", "", "é", "\U0010ffff", "pin/x", "pin", "pin0"])
page_ids = st.lists(st.sampled_from(PAGES), max_size=4)


def _read(key: SessionKey, since: int, store: Store) -> Segment | None:
    return store.read(key, None, since=since)


def _attach(key: SessionKey, note: Attachment, store: Store) -> None:
    store.attach(key, note)


def _kept(key: SessionKey, suite: Suite, store: Store) -> list[object]:
    return [
        store.headers(key, None, 99),
        store.attachments(key),
        suite.listed(store, key),
        store.pages(key, PAGES),
    ]


class StoreModel(RuleBasedStateMachine):
    """Sends the same calls to the store and the reference, and compares the answers."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Store]], suite: Suite) -> None:
        super().__init__()
        self._connect = connect
        self._suite = suite
        self._reference = InMemoryStore()
        self._chains = {key: Chain(self._reference, key) for key in KEYS}
        self._sent: list[tuple[SessionKey, Commit | Pruning]] = []
        self._touched: set[SessionKey] = set()
        self._changed: set[SessionKey] = set()  # since the last comparison
        self._agreed = True
        self._open()

    def teardown(self) -> None:
        try:
            if self._agreed:  # else report the difference that was found
                self._changed |= self._touched
                self.what_is_kept_is_the_same()
        finally:
            self._opened.__exit__(None, None, None)

    def _open(self) -> None:
        self._opened = self._connect()
        self._store = self._opened.__enter__()

    def _same(self, call: Callable[[Store], T]) -> T:
        self._agreed = False
        expected, answer = call(self._reference), call(self._store)
        assert answer == expected
        assert type(answer) is type(expected)
        self._agreed = True
        return expected

    def _send(self, key: SessionKey, write: Commit | Pruning) -> bool:
        """Send a write to both; return whether it was accepted."""
        self._changed.add(key)
        if isinstance(write, Commit):
            accepted = self._same(lambda store: store.commit(key, write))
        else:
            accepted = self._same(lambda store: store.prune(key, write))
        if accepted:
            self._chains[key].head = write.head
        self._sent.append((key, write))
        return accepted

    # --- writes ----------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """Begin with two sessions, since most bugs need existing ones."""
        for key in KEYS[:2]:
            self.commit(key, [Kind.BASE, Kind.PATCH, Kind.PATCH, Kind.BASE, Kind.PATCH], b"body")
            self.attach(key, {0, 2, 5}, {"label/x", "pin/x"}, b"data")

    @rule(key=keys, kinds=st.lists(kinds, min_size=1, max_size=4), body=st.binary(max_size=64))
    def commit(self, key: SessionKey, kinds: list[Kind], body: bytes) -> None:
        for kind in kinds:
            assert self._send(key, self._chains[key].draft(kind, body))

    @rule(key=keys, kind=kinds, parent=st.sampled_from([None, b"", bytes(16)]), epoch=wrong_epochs)
    def commit_with_a_wrong_guard(
        self, key: SessionKey, kind: Kind, parent: bytes | None, epoch: int
    ) -> None:
        draft = self._chains[key].draft(kind)
        if epoch and draft.parent is not None:
            wrong = draft._replace(head=draft.head._replace(epoch=draft.head.epoch + epoch))
        else:
            wrong = draft._replace(parent=parent)
        assert wrong == draft or not self._send(key, wrong)

    @rule(key=st.sampled_from(KEYS[:2]), data=st.data(), stale=st.booleans())
    def prune(self, key: SessionKey, data: st.DataObject, stale: bool) -> None:
        """Remove any revisions but the newest, and begin a segment after each gap."""
        chain = self._chains[key]
        if chain.head is None:
            return
        stored = [record.revision for record, _ in self._reference.headers(key, None, 10_000)][::-1]
        removed: set[int] = set()
        if len(stored) > 1 and data.draw(st.integers(0, 3)):
            removed = data.draw(st.sets(st.sampled_from(stored[:-1]), min_size=1))
        rewritten: list[tuple[Record, int]] = []
        base = chain.head.base
        for revision in stored:
            old = self._reference.read(key, revision)
            assert old is not None
            gaps = [r.revision for r in old.records if r.revision in removed]
            if revision not in removed and gaps:
                first = max(gaps) + 1
                rewritten.append((new_record(revision), first))
                base = first if revision == chain.head.revision else base
        if rewritten and not getattr(self._store, "rewrites", False):
            return
        ranges = [
            (run[0], run[-1])
            for run in (
                [n for _, n in pairs]
                for _, pairs in groupby(enumerate(sorted(removed)), lambda pair: pair[1] - pair[0])
            )
        ]
        pruning = chain.draft_pruning(*ranges, records=tuple(rewritten), base=base)
        if stale:
            wrong = pruning.guard._replace(epoch=pruning.guard.epoch - 1)
            pruning = pruning._replace(guard=wrong)
        assert self._send(key, pruning) is not stale

    @precondition(lambda self: self._sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Send an old write again; it may be accepted only if it was refused before."""
        key, write = data.draw(st.sampled_from(self._sent))
        self._send(key, write)

    # --- reads -----------------------------------------------------------------------------------

    @rule(
        key=keys,
        revision=st.none() | revisions,
        since=st.integers(0, 12) | st.just(2**63),
        limit=st.integers(0, 8),
        bases=st.booleans(),
    )
    def read(
        self, key: SessionKey, revision: int | None, *, since: int, limit: int, bases: bool
    ) -> None:
        self._same(lambda store: store.read(key, revision, since=since))
        self._same(lambda store: store.headers(key, revision, limit, bases=bases))

    @rule(
        namespace=st.sampled_from(["default", "default ", "other"]),
        prefix=prefixes,
        after=st.none() | prefixes,
        limit=st.integers(0, 8),
        deleted=st.booleans(),
    )
    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool
    ) -> None:
        self._same(lambda store: store.sessions(namespace, prefix, after, limit, deleted=deleted))

    # --- pages -----------------------------------------------------------------------------------

    @rule(key=keys, ids=page_ids, stored_at=st.integers(0, 2**62))
    def put_pages(self, key: SessionKey, ids: list[bytes], stored_at: int) -> None:
        self._changed.add(key)
        existing = self._reference.pages(key, ids)
        new = [Page(id, id * (stored_at % 5), stored_at) for id in dict.fromkeys(ids)]
        pages = [page for page in new if page.id not in existing]
        self._same(lambda store: store.put_pages(key, pages))

    @rule(key=keys, ids=page_ids)
    def drop_pages(self, key: SessionKey, ids: list[bytes]) -> None:
        self._changed.add(key)
        self._same(lambda store: store.drop_pages(key, ids))

    # --- attachments -----------------------------------------------------------------------------

    @rule(
        key=keys,
        revisions=st.sets(near, min_size=1),
        names=st.sets(names, min_size=1),
        data=st.binary(max_size=9),
    )
    def attach(self, key: SessionKey, revisions: set[int], names: set[str], data: bytes) -> None:
        """Attach to the session, and to existing revisions."""
        self._changed.add(key)
        revisions &= {0, *(record.revision for record, _ in self._reference.headers(key, None, 99))}
        for note in (Attachment(revision, name, data) for revision in revisions for name in names):
            self._same(partial(_attach, key, note))

    @rule(key=keys, revision=near, name=names)
    def detach(self, key: SessionKey, revision: int, name: str) -> None:
        self._changed.add(key)
        self._same(lambda store: store.detach(key, revision, name))

    # --- the whole -------------------------------------------------------------------------------

    @precondition(lambda self: self._suite.durable)
    @rule()
    def open_again(self) -> None:
        self._opened.__exit__(None, None, None)
        self._open()
        self._changed |= self._touched

    @invariant()
    def what_is_kept_is_the_same(self) -> None:
        """Compare the changed sessions; at the end, all of them."""
        self._touched |= self._changed
        while self._changed:
            key = self._changed.pop()
            segment = self._same(partial(_read, key, 0))
            self._same(partial(_read, key, segment.head.revision - 1 if segment else 0))
            self._same(partial(_kept, key, self._suite))


class Model(Suite):
    """Random sequences of calls."""

    def test_any_calls_in_any_order_are_answered_as_the_reference_does(self, place: Path) -> None:
        suite, numbers = self, count()

        class Machine(StoreModel):
            def __init__(self) -> None:
                here = place / f"example-{next(numbers)}"
                here.mkdir()
                super().__init__(lambda: suite.connected(here), suite)

        wanted = settings(
            max_examples=self.examples * (20 if SOAK else 1),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Machine, settings=wanted)
