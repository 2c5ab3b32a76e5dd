"""The engine: saves states and replaces the head of a session."""

# Generated from checkpoint/_async/engine.py by tools/unasync.py: change that one.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

from checkpoint._hydrator import required_pages
from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.header import Kind, RecordHeader
from checkpoint._records.labels import attachment_name, label_attachment
from checkpoint._records.pagination import AnchorNeeded
from checkpoint._runtime import log
from checkpoint._runtime.lineage import Lineage
from checkpoint._runtime.snapshot import Snapshot
from checkpoint._runtime.waiting import Attempts, value
from checkpoint._serializer import Draft, draft_save, draft_tombstone, owned_by, serialize
from checkpoint._sync.commits import EpochMoved, conflict, send
from checkpoint._sync.loading import Loader
from checkpoint._sync.paging import PagesGone
from checkpoint.errors import (
    CheckpointError,
    Conflict,
    Damaged,
    InvalidOption,
    RevisionNotFound,
    RevisionPruned,
    SaveUnclear,
    SessionNotFound,
    StateTooLarge,
    UnsupportedFormat,
)

S = TypeVar("S")
D = TypeVar("D")


class Engine(Loader[S]):
    """Loads and saves the sessions of one store, namespace and schema."""

    def capture(self, subject: Any) -> S:
        """The state of ``subject``: captured from an agent, or the subject itself."""
        adapter = self.options.adapter
        state: S = subject if adapter is None else value(adapter.capture(subject))
        return state

    def lineage_of(self, subject: object, key: SessionKey, parent: Snapshot | None) -> Lineage:
        """The lineage of a state: from ``parent``, remembered, or that of a new session.

        Raises:
            Conflict: the session does not have the parent, or a new session exists already.
        """
        if parent is None:
            known = self.lineages.get(subject, key)
            return known or Lineage(key, Baseline(self.require_absent(key)))
        if (parent.namespace, parent.session_id) != key:
            raise InvalidOption(
                f"the parent is a snapshot of session {parent.session_id!r} in namespace "
                f"{parent.namespace!r}; use fork() to create another session from it"
            ).at(key)
        try:
            loaded = self.load(key, parent.revision)
        except (SessionNotFound, RevisionNotFound) as exc:
            tip = self.tip(key)
            raise conflict(key, parent.revision, tip.header if tip else None) from exc
        if loaded.header.write_id.hex() != parent.write_id:
            raise conflict(key, parent.revision, self.require_session(key).header)
        while True:
            try:
                pages = dict(loaded.pages)
                self._fetch(key, loaded, required_pages(loaded), pages)
                break
            except PagesGone:
                loaded = self.load(key, parent.revision)
        return Lineage(key, self.hydrate(key, loaded._replace(pages=pages))[1])

    def save(
        self,
        subject: Any,
        lineage: Lineage,
        *,
        turn_id: str | None = None,
        result: dict[int, Any] | None = None,
        branch: bool = False,
    ) -> RecordHeader | None:
        """Save a state as the child of its origin; None if a new state has nothing to save.

        A branch is saved on any head; everything else only on the origin.

        Args:
            subject: an agent, or the state itself; its lineage is remembered.
        """
        self.lineages.remember(subject, lineage)
        try:
            state = self.capture(subject)
            return self._save(state, lineage, turn_id, result, branch)
        finally:
            # Again: a plain dict is remembered only while a save of it is pending.
            self.lineages.remember(subject, lineage)

    def _save(
        self,
        state: S,
        lineage: Lineage,
        turn_id: str | None,
        result: dict[int, Any] | None,
        branch: bool,
    ) -> RecordHeader | None:
        self._settle(lineage)
        before = lineage.known.tip
        for left in Attempts():
            known = lineage.known
            tip = self._head_for_branch(lineage) if branch else known.tip
            header = self.header(tip, parent=known.tip, turn_id=turn_id)
            make = partial(self.serialize, lineage.key, state, known, tip, header, result)
            lineage.pending = self._draft_with_anchor(lineage.key, tip, known, make)
            try:
                self._settle(lineage, planned=True)
                break
            except Conflict:
                if not (branch and left):
                    raise
        saved, after = lineage.known.saved, lineage.known.tip
        if self.options.retention is not None and before and after and before is not after:
            from checkpoint._sync.maintenance import after_save

            after_save(self, lineage.key, before, after)
        return saved

    def _head_for_branch(self, lineage: Lineage) -> Tip | None:
        mine = lineage.known.tip
        if lineage.known.saved is None or mine is None:
            return mine
        head = self.tip(lineage.key)
        if head is None or head.header.kind is Kind.TOMBSTONE:
            raise conflict(lineage.key, mine.header.revision, None)
        if head.header.write_id == mine.header.write_id:
            return mine
        # The parent exists after the head was read, so its pages are safe while the epoch lasts.
        self.load(lineage.key, mine.header.revision)
        return head

    def _settle(self, lineage: Lineage, *, planned: bool = False) -> None:
        """Send the pending save, if any, until it is stored or refused.

        It stays pending after anything else: an unclear answer, a cancellation, a signal; and if
        it was pending before, after any failure of the store.

        Args:
            planned: it was drafted just now, so a failure means that it was not written.
        """
        if (draft := lineage.pending) is None:
            return
        sent_before = not planned
        while True:
            try:
                try:
                    self._send(lineage.key, draft, sent_before=sent_before)
                    break
                except EpochMoved:
                    again = self._redraft(lineage.key, draft)
            except SaveUnclear:
                raise
            except CheckpointError as exc:
                refused = planned or isinstance(exc, (Conflict, RevisionPruned))
                if lineage.pending is draft and refused:
                    lineage.pending = None
                raise
            if lineage.pending is draft:
                lineage.pending = again
            draft, sent_before = again, False
        if lineage.pending is draft:  # another task may have settled it, and saved since
            if lineage.known.saved is None:
                self.options.watch.saw_created(lineage.key.session_id)
            lineage.known, lineage.pending = draft.after, None
            draft.mark_stored(
                self.page_loader(lineage.key, draft.after), self.options.cache.known_items
            )

    def _redraft(self, key: SessionKey, draft: Draft) -> Draft:
        """Draft the same save again, on the same head with its new epoch."""
        header, target = draft.header, draft.target
        tip = self.tip(key)
        if draft.operations is not None:
            tip = self.load(key, None).end  # its records may have been rewritten
        if tip is None or tip.header.write_id != draft.guard:
            raise conflict(key, draft.tip.header.parent_revision, tip.header if tip else None)
        if header is None or target is None:
            return draft_tombstone(key, draft.tip.header, tip)
        target = target._replace(spilled=())  # the pages of big values may be gone by now
        if header.parent_write_id not in (b"", draft.guard):  # a branch
            # As in _head_for_branch, its pages are safe; this raises if the parent was removed.
            self.load(key, header.parent_revision)
        limits = self.options.limits
        operations, memories = draft.operations, draft.memories
        make = partial(draft_save, key, header, target, operations, memories, tip, limits)
        return self._draft_with_anchor(key, tip, target, make)

    def _draft_with_anchor(
        self, key: SessionKey, tip: Tip | None, known: Baseline, make: Callable[..., D]
    ) -> D:
        """Call ``make``, and fetch the anchor that it compresses new pages against if needed.

        Only needed when a windowed session has filled a page.
        """
        unreadable: set[bytes] = set()
        while True:
            try:
                return make(without=unreadable)
            except AnchorNeeded as exc:
                assert tip is not None  # an earlier save wrote the anchor
                try:
                    self._fetch(key, Baseline(tip), [exc.page], known.pages)
                except (PagesGone, Damaged, UnsupportedFormat, StateTooLarge):
                    unreadable.add(exc.page.id)  # compress new pages without it

    def header(
        self,
        tip: Tip | None,
        *,
        parent: Tip | None = None,
        turn_id: str | None = None,
        source: tuple[str, int] | None = None,
    ) -> RecordHeader:
        """The header of a new record on ``tip``, based on ``parent`` (the tip if None)."""
        parent = parent or tip
        return RecordHeader(
            revision=tip.header.revision + 1 if tip else 1,
            kind=Kind.BASE,
            write_id=os.urandom(16),
            saved_at=self.options.clock(),
            writer=self.options.writer(),
            schema=self.options.schema.id,
            parent_revision=parent.header.revision if parent else 0,
            parent_write_id=parent.header.write_id if parent else b"",
            parent_digest=parent.digest if parent else b"",
            turn_id=turn_id,
            source=source,
        )

    def serialize(
        self,
        key: SessionKey,
        state: S,
        known: Baseline,
        tip: Tip | None,
        header: RecordHeader,
        result: dict[int, Any] | None = None,
        without: Collection[bytes] = (),
    ) -> Draft | None:
        """:func:`checkpoint._serializer.serialize` with this engine's schema and limits."""
        return serialize(
            key,
            self.options.schema,
            state,
            header,
            known=known,
            tip=tip,
            result=result,
            limits=self.options.limits,
            without=without,
        )

    def replace_head(
        self, key: SessionKey, draft: Callable[[Tip | None], Draft | None]
    ) -> Draft | None:
        """Store the save that ``draft`` makes for the current head; retry after each conflict.

        Returns the stored draft, or None if there was nothing to do.
        """
        attempts = Attempts()
        left = next(attempts)
        while (made := draft(self.tip(key))) is not None:
            try:
                self._send(key, made)
                break
            except EpochMoved:
                continue  # no other save was first, so this is not another attempt
            except Conflict:
                if not left:
                    raise
            left = next(attempts)
        return made

    def copy(
        self, key: SessionKey, loaded: Baseline, source: tuple[str, int], tip: Tip | None
    ) -> Snapshot:
        """Save the document of another revision as a base, in its own schema.

        Raises:
            EpochMoved: pages of the loaded revision may have been removed; load it again.
        """
        header = self.header(tip, source=source)._replace(schema=loaded.header.schema)
        if source[0] != key.session_id:
            loaded = owned_by(SessionKey(key.namespace, source[0]), loaded)
        limits = self.options.limits
        make = partial(draft_save, key, header, loaded._replace(result={}), None, (), tip, limits)
        draft = self._draft_with_anchor(key, tip, loaded, make)
        self._send(key, draft)
        return Snapshot.of(*key, draft.tip.header)

    def label(self, key: SessionKey, label: str, revision: int | str | None) -> RecordHeader:
        """Label a revision, and return its header."""
        header = self.load(key, revision).header
        self.store.attach(key, label_attachment(key, label, header.revision))
        try:  # again: a prune may have removed the revision before it saw the label
            self.load(key, header.revision)
        except LookupError:
            self.store.detach(key, 0, attachment_name(label))
            raise
        return header

    def _send(self, key: SessionKey, draft: Draft, *, sent_before: bool = False) -> None:
        started = time.perf_counter()
        send(self.store, key, draft, self.options.clock, sent_before=sent_before)
        if draft.after.saved is None:
            self.options.cache.drop(key)
        else:
            self.options.cache.put(key, draft.for_others())
        if log.is_debugging():
            log.debug(
                "saved",
                session_id=key.session_id,
                revision=draft.record.revision,
                writer=str(draft.tip.header.writer),
                bytes=len(draft.record.header) + len(draft.record.body),
                pages=len(draft.pages),
                milliseconds=round((time.perf_counter() - started) * 1000, 3),
            )
