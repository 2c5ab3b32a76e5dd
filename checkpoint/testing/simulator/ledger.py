"""The ledger: records the expected content of the store, and checks the rules.

It sees requests in the order in which they take effect, including unanswered and repeated ones.
It reads each write back at once and compares it with the result of applying the operation to the
previous revision. After that, the revision must not change, and replicas that read it must get the
content in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from checkpoint._async.checkpointer import AsyncCheckpointer
from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind, RecordHeader, read_header
from checkpoint._records.labels import attachment_name
from checkpoint._records.pins import Pin, read_pins
from checkpoint._records.segment import RING
from checkpoint._runtime.snapshot import Snapshot
from checkpoint.errors import (
    CheckpointError,
    Conflict,
    Damaged,
    InvalidOption,
    RevisionNotFound,
    RevisionPruned,
    SaveUnclear,
    SessionNotFound,
    StoreUnavailable,
    UnsupportedFormat,
)
from checkpoint.store import Attachment, Commit, Page, Pruning, Record
from checkpoint.testing.simulator.history import History, Write, broken
from checkpoint.testing.simulator.operation import Content, Operation, Seen, Simulated
from checkpoint.testing.simulator.rot import Part


class Ledger:
    """The histories and pages of a store, and the rules for them.

    Args:
        reader: reads the store directly, without faults.
    """

    def __init__(self, reader: AsyncCheckpointer[Simulated]) -> None:
        self._reader = reader
        self._histories: dict[SessionKey, History] = {}
        self._written: dict[bytes, Write] = {}
        self._attached = 0
        self._pins: dict[tuple[SessionKey, str], Pin] = {}
        self.pages: dict[SessionKey, set[bytes]] = {}

    def of(self, key: SessionKey) -> History:
        """The history of a session; empty if it never existed."""
        return self._histories.setdefault(key, History(key))

    def histories(self) -> list[History]:
        return list(self._histories.values())

    def lengths(self) -> Counter[SessionKey]:
        """How many revisions each session has had."""
        return Counter({key: len(found.writes) for key, found in self._histories.items()})

    def find(self, write_id: bytes) -> Write | None:
        """The write with this id, if it took effect."""
        return self._written.get(write_id)

    # --- requests that took effect ---------------------------------------------------------------

    async def saw_commit(self, key: SessionKey, commit: Commit, by: Operation | None) -> None:
        """A commit took effect."""
        history = self.of(key)
        header, _ = read_header(commit.record)
        self._check_place(history, commit, header, by)
        self._check_pages(key, header)
        removed = history.removed
        if header.kind is Kind.TOMBSTONE:
            removed = {write.header.revision for write in history.writes}
            content = None
            history.labels.clear()
        else:
            content = await self._read(key, header.revision, newest=True)
        write = Write(header, content, by)
        if by is not None:
            if content not in (allowed := by.expected(history, header)):
                broken(
                    "wrong content",
                    f"{by} wrote {content} as revision {header.revision} of {key}, where "
                    f"it may write {' or '.join(map(str, allowed)) or 'nothing'}",
                )
            by.writes.append(write)
            if by.rotten and header.kind is not Kind.PATCH:
                history.forgotten = len(history.writes)
        history.writes.append(write)
        history.removed = removed
        self._written[header.write_id] = write

    def _check_place(
        self, history: History, commit: Commit, header: RecordHeader, by: Operation | None
    ) -> None:
        """Check that a write has a unique place and takes effect only once."""
        head, about = history.head, f"write {header.write_id.hex()[:6]} of {by}"
        if (earlier := self._written.get(header.write_id)) is not None:
            broken("applied twice", f"{about} took effect again; it is {earlier} of {history.key}")
        if commit.parent != (head.header.write_id if head else None):
            broken("two children", f"the parent of {about} is not the newest, {head}")
        if header.revision != len(history.writes) + 1 or commit.head.revision != header.revision:
            broken("revision used again", f"{about} is revision {header.revision} after {head}")
        parent = history.at(header.parent_revision)
        if header.kind is not Kind.PATCH and header.parent_write_id != (
            parent.header.write_id if parent else b""
        ):
            broken("wrong parent", f"{about} names a parent other than {parent}")
        turns = {write.header.turn_id: write for write in history.turns()[-RING:]}
        if header.turn_id in turns:
            broken("turn applied twice", f"{about} repeats the turn of {turns[header.turn_id]}")
        if by is None or by.kind in ("live_save", "sweep"):
            return
        if any(map(history.remembers, by.writes)):
            broken("applied twice", f"{about} is the second of its operation")

    async def saw_pruning(
        self, key: SessionKey, pruning: Pruning, by: Operation | None = None
    ) -> None:
        """A pruning took effect; check that the other revisions are unchanged."""
        history = self.of(key)
        if by is not None and pruning.remove:
            self._check_rule(history, pruning, by)
        ranges = [range(first, last + 1) for first, last in pruning.remove]
        rewritten = {record.revision for record, _ in pruning.records}
        history.removed |= {
            write.header.revision
            for write in history.writes
            if any(write.header.revision in numbers for numbers in ranges)
            and write.header.revision not in rewritten
        }
        for record, _ in pruning.records:
            self._rewritten(history, record)
        for write in history.kept():
            await self._check_readable(key, write)

    def _check_rule(self, history: History, pruning: Pruning, by: Operation) -> None:
        """Check that revisions which the rule has always kept are not removed."""
        revisions = {*range(1, len(history.writes) + 1)}
        labels = by.labels.get(history.key, {})
        labelled = {at[0] for name, at in labels.items() if history.labels.get(name) == at}
        match by.rule:
            case None:
                kept = revisions
            case int(revision):
                kept = revisions - {revision} | labelled
            case rule:
                kept = labelled if rule.keep_labelled else set()
                if rule.keep_last is not None:
                    kept = kept | {n for n in revisions if n > len(revisions) - rule.keep_last}
        rewritten = {record.revision for record, _ in pruning.records}
        for first, last in pruning.remove:
            if gone := kept & {*range(first, last + 1)} - rewritten - history.removed:
                broken("kept revision removed", f"{by} removed {gone}, where its rule is {by.rule}")

    def saw_attachment(self, key: SessionKey, attachment: Attachment) -> None:
        """An attachment was written."""
        history = self.of(key)
        for pin in read_pins(key, [attachment] if history.writes else []):
            self._pins[key, pin.name] = pin
        if attachment.name.startswith("label/") and history.writes:
            self._attached += 1
            number = int.from_bytes(attachment.data[:8], "big")
            history.labels[attachment.name] = number, self._attached

    def saw_detachment(self, key: SessionKey, name: str) -> None:
        """An attachment was removed."""
        self._pins.pop((key, name), None)
        self.of(key).labels.pop(name, None)

    def labels(self) -> dict[SessionKey, dict[str, tuple[int, int]]]:
        """The labels of all sessions."""
        return {key: found.labels.copy() for key, found in self._histories.items()}

    def _rewritten(self, history: History, record: Record) -> None:
        """A record was rewritten; check that it still belongs to the same write."""
        header, _ = read_header(record)
        self._check_pages(history.key, header)
        write = history.writes[header.revision - 1]
        if (header.write_id, header.turn_id) != (write.header.write_id, write.header.turn_id):
            broken("wrong parent", f"{write} of {history.key} was rewritten as another write")
        history.writes[header.revision - 1] = write._replace(header=header)

    def saw_pages(self, key: SessionKey, pages: Iterable[Page]) -> None:
        """Pages were written."""
        self.pages.setdefault(key, set()).update(page.id for page in pages)

    def saw_drop(self, key: SessionKey, ids: Iterable[bytes]) -> None:
        """Pages were removed; check that no stored revision names one of them."""
        self.pages.setdefault(key, set()).difference_update(ids)
        for history in self._histories.values():
            for write in history.kept():
                self._check_pages(history.key, write.header)

    def _check_pages(self, key: SessionKey, header: RecordHeader) -> None:
        for page in header.pages:
            if page.id not in self.pages.get(page.owner or key, ()):
                broken(
                    "page missing",
                    f"revision {header.revision} of {key} names page {page.id.hex()[:6]} of "
                    f"{page.owner or key}, which does not exist",
                )

    def check_garbage(self) -> None:
        """Check that a revision names each page."""
        named: dict[SessionKey, set[bytes]] = {}
        for history in self._histories.values():
            for write in history.kept():
                for page in write.header.pages:
                    named.setdefault(page.owner or history.key, set()).add(page.id)
        for key, ids in self.pages.items():
            if left := ids - named.get(key, set()):
                broken("garbage", f"pages {[id.hex()[:6] for id in left]} of {key} are left")

    def parts(self, key: SessionKey) -> list[list[Part]]:
        """The stored parts of a session: the newest records, its pages, its attachments."""
        newest = len(self.of(key).writes)
        records: list[Part] = [*range(max(1, newest - 3), newest + 1)]
        pages: list[Part] = sorted(self.pages.get(key, ()))
        attachments: list[Part] = [name for owner, name in self._pins if owner == key]
        attachments += self.of(key).labels
        return [some for some in (records, pages, attachments) if some]

    # --- answers to replicas ---------------------------------------------------------------------

    def check_read(
        self, by: Operation, snapshot: Snapshot, seen: Seen, asked: int | None = None
    ) -> None:
        """Check the state that a replica got for the revision ``asked`` for, or for the newest."""
        history = self.of(SessionKey(snapshot.namespace, snapshot.session_id))
        write = self._known(by, snapshot)
        newest = history.since(by.began[history.key])
        if snapshot.revision != asked and (asked is not None or write not in newest):
            broken("stale read", f"{by} got {write} for {asked or 'the newest'}")
        if not seen.fits(write.content):
            broken("wrong state", f"{by} got {seen} for {write}, which is {write.content}")

    def check_saved(self, by: Operation, snapshot: Snapshot, content: Content | None) -> None:
        """Check a snapshot that a replica got for saved content (None if it is unknown)."""
        write = self._known(by, snapshot)
        if content is not None and write.content != content:
            broken("lost", f"{by} saved {content}; {write} is {write.content}")

    def _known(self, by: Operation, snapshot: Snapshot) -> Write:
        write = self.of(SessionKey(snapshot.namespace, snapshot.session_id)).at(snapshot.revision)
        if write is None or write.header.write_id.hex() != snapshot.write_id:
            broken("lost", f"{by} got revision {snapshot.revision}, but the store has {write}")
        return write

    def check_refused(self, by: Operation, error: CheckpointError) -> None:
        """Check that an error which a replica got has a cause."""
        about = f"{by} failed with {type(error).__name__}: {error}"
        key = SessionKey(error.namespace or by.key.namespace, error.session_id or by.key.session_id)
        history, began = self.of(key), by.began[key]
        match error:
            case SaveUnclear() | StoreUnavailable():
                right = by.troubled or by.rotten
            case Damaged() | UnsupportedFormat():
                right = by.rotten
            case Conflict():
                right = not any(map(history.remembers, by.writes))
            case SessionNotFound():
                right = history.was_absent(began)
            case RevisionPruned():
                write = history.at(error.revision or 0)
                gone = write and (write.content is None or write.header.revision in history.removed)
                right = bool(gone)
            case RevisionNotFound():
                right = error.revision is None or error.revision > began
            case InvalidOption() if by.kind == "delete_revision":
                right = True  # it is the newest, or has a label
            case _:
                broken("damage not noticed" if by.rotten else "unexpected error", about)
        if not right:
            broken(_RULES[type(error)], about)

    # --- the content of the store ----------------------------------------------------------------

    async def check_all(self) -> None:
        """Check every revision in the store: equal to that in the ledger, or removed."""
        for history in self.histories():
            for write in history.writes:
                if write.content is not None and write.header.revision not in history.removed:
                    await self._check_readable(history.key, write)
                else:
                    await self._check_gone(history, write)
            await self._check_listed(history)
            if history.alive:
                await self._check_labels(history)

    async def _check_readable(self, key: SessionKey, write: Write) -> None:
        content = await self._read(key, write.header.revision)
        if content != write.content:
            broken("wrong state", f"{write} of {key} is {content}, was {write.content}")

    async def _check_gone(self, history: History, write: Write) -> None:
        revision = write.header.revision
        try:
            await self._reader.restore(history.key.session_id, revision=revision)
        except (SessionNotFound, RevisionPruned):
            return
        except CheckpointError as exc:
            broken("unreadable", f"{write} of {history.key} was removed, but raises {exc!r}")
        broken("wrong state", f"{write} of {history.key} was removed, but can be restored")

    async def _check_listed(self, history: History) -> None:
        try:
            listed = await self._reader.history(history.key.session_id)
        except SessionNotFound:
            listed = []
        found = [(snapshot.revision, snapshot.write_id) for snapshot in reversed(listed)]
        kept = [(write.header.revision, write.header.write_id.hex()) for write in history.kept()]
        if found != kept or bool(listed) != history.alive:
            broken("wrong history", f"{history.key} lists {found}, but has {kept}")

    async def _check_labels(self, history: History) -> None:
        """Check the labels against those set since the session was last created."""
        found = await self._reader._engine.labels(history.key)
        named = {attachment_name(label): revision for label, revision in found.items()}
        right = {name: revision for name, (revision, _) in history.labels.items()}
        if named != right:
            broken("wrong labels", f"{history.key} has labels {named}, expected {right}")

    async def _read(self, key: SessionKey, revision: int, *, newest: bool = False) -> Content:
        """The content of a revision; the newest is read through a cache, like replicas do."""
        try:
            asked = None if newest else revision
            restored = await self._reader.restore(key.session_id, revision=asked)
        except (CheckpointError, LookupError) as exc:
            gone = newest and isinstance(exc, SessionNotFound)
            broken("lost" if gone else "unreadable", f"revision {revision} of {key}: {exc!r}")
        if restored.revision != revision:
            broken("lost", f"revision {revision} of {key} restores as {restored.revision}")
        return Content.of(restored.state)


_RULES: dict[type[Any], str] = {
    SaveUnclear: "error without a cause",
    StoreUnavailable: "error without a cause",
    Damaged: "unreadable",
    UnsupportedFormat: "unreadable",
    Conflict: "false conflict",
    SessionNotFound: "false absence",
    RevisionPruned: "false absence",
    RevisionNotFound: "false absence",
}
