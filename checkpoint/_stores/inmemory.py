"""The in-memory store: plain Python, for development and tests only.

It is the reference implementation: read it to learn what a store must do. Its sessions are lost
when the process exits, so it logs a warning when it is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from checkpoint._ids import SessionKey
from checkpoint._runtime import log
from checkpoint._stores.registry import redact
from checkpoint.errors import InvalidOption, StoreClosed
from checkpoint.store import PIN, Attachment, Commit, Head, Page, PageInfo, Pruning, Record, Segment


@dataclass(slots=True)
class _Session:
    head: Head
    records: dict[int, Record] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)  # revision -> base of its segment
    attachments: dict[tuple[int, str], Attachment] = field(default_factory=dict)


class InMemoryStore:
    """Keeps sessions in a dict.

    Example:
        >>> import checkpoint
        >>> cp = checkpoint.open("memory://")
        >>> with cp.turn("user-42") as turn:
        ...     turn.state["seen"] = 1
        >>> cp.restore("user-42").state
        {'seen': 1}
    """

    rewrites = True

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, _Session] = {}
        self._pages: defaultdict[SessionKey, dict[bytes, Page]] = defaultdict(dict)
        self._lock = Lock()
        self._closed = False
        log.warning("memory:// keeps sessions in this process only; they are lost when it exits")

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        with self._open_lock():
            session = self._sessions.get(key)
            if session is None:
                return None
            last = session.head.revision if revision is None else revision
            first = session.bases.get(last)
            numbers = [] if first is None else range(max(first, since + 1), last + 1)
            records = session.records
            return Segment(session.head, tuple(records[n] for n in numbers if n in records))

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        with self._open_lock():
            session = self._sessions.get(key)
            if session is None:
                if commit.parent is not None:
                    return False
                session = self._sessions[key] = _Session(commit.head)
            elif (session.head.write_id, session.head.epoch) != (commit.parent, commit.head.epoch):
                return False
            if commit.head.deleted:
                pins = {at: a for at, a in session.attachments.items() if a.name.startswith(PIN)}
                session = self._sessions[key] = _Session(commit.head, attachments=pins)
            session.head = commit.head
            session.records[commit.record.revision] = commit.record
            session.bases[commit.record.revision] = commit.head.base
            return True

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        with self._open_lock():
            session = self._sessions.get(key)
            guard = (pruning.guard.write_id, pruning.guard.epoch)
            if session is None or (session.head.write_id, session.head.epoch) != guard:
                return False
            for first, last in pruning.remove:
                for number in [n for n in session.records if first <= n <= last]:
                    del session.records[number], session.bases[number]
                for at in [at for at in session.attachments if first <= at[0] <= last]:
                    del session.attachments[at]
            for record, base in pruning.records:
                session.records[record.revision] = record
                session.bases[record.revision] = base
            session.head = pruning.head
            return True

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        with self._open_lock():
            session = self._sessions.get(key)
            records = session.records if session else {}
            newest_first = sorted(
                (
                    n
                    for n in records
                    if (before is None or n < before)
                    and (not bases or (session and session.bases[n] == n))
                ),
                reverse=True,
            )
            return [
                (
                    Record(number, records[number].header, b""),
                    len(records[number].header) + len(records[number].body),
                )
                for number in newest_first[:limit]
            ]

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        with self._open_lock():
            heads = {key: session.head for key, session in self._sessions.items()}
            if deleted:
                unborn = Head(0, b"", 0, 0, deleted=True)
                heads = {key: unborn for key, pages in self._pages.items() if pages} | heads
        found = sorted(
            (key.session_id.encode(), key.session_id, head)
            for key, head in heads.items()
            if key.namespace == namespace
            and key.session_id.startswith(prefix)
            and (deleted or not head.deleted)
            and (after is None or key.session_id.encode() > after.encode())
        )
        return [(session_id, head) for _, session_id, head in found[:limit]]

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        with self._open_lock():
            for page in pages:
                self._pages[key].setdefault(page.id, page)

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._open_lock():
            kept = self._pages[key]
            return {id: kept[id].data for id in ids if id in kept}

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        with self._open_lock():
            kept = sorted(self._pages[key].values())
            return [PageInfo(page.id, page.stored_at, len(page.data)) for page in kept]

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        with self._open_lock():
            for id in ids:
                self._pages[key].pop(id, None)

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        with self._open_lock():
            if session := self._sessions.get(key):
                session.attachments[attachment.revision, attachment.name] = attachment

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        with self._open_lock():
            session = self._sessions.get(key)
            return bool(session and session.attachments.pop((revision, name), None))

    def attachments(self, key: SessionKey) -> list[Attachment]:
        with self._open_lock():
            session = self._sessions.get(key)
            return (
                [session.attachments[at] for at in sorted(session.attachments)] if session else []
            )

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _open_lock(self) -> Lock:
        if self._closed:
            raise StoreClosed("this store was closed; open it again")
        return self._lock


def open_store(url: str) -> InMemoryStore:
    """Open ``memory://``; each call creates a new store."""
    if url != "memory://":
        raise InvalidOption(f"memory:// takes no name and no parameters, but got {redact(url)!r}")
    return InMemoryStore()
