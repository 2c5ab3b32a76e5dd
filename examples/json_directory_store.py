"""A store as a third party might write it: a directory with one JSON file per session.

It implements ``checkpoint.store.Store`` and passes the test suite in ``checkpoint.testing``, on a
POSIX system with a local disk. It is written for clarity, not speed: each commit rewrites the file
of its session, and a listing reads all files.

Each session has a folder. The folder's name is a hash, because a session id may contain any
character. Its files:

    key.json      namespace and session id
    session.json  head, records and attachments; replaced as a whole, so reads are consistent
    *.page        one page, named by its id: 8 bytes of time, then the data
    lock          locked by the current writer
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkpoint.errors import Damaged, StoreClosed, StoreUnavailable
from checkpoint.store import (
    PIN,
    Attachment,
    Commit,
    Head,
    Page,
    PageInfo,
    Pruning,
    Record,
    Segment,
    SessionKey,
)


@dataclass
class _Session:
    head: Head
    records: dict[int, tuple[int, Record]] = field(default_factory=dict)  # and the segment's base
    notes: dict[tuple[int, str], bytes] = field(default_factory=dict)


class JsonDirectoryStore:
    """Sessions in a directory, which is created by the first write."""

    rewrites = True

    def __init__(self, directory: str | Path) -> None:
        self._root = Path(directory).absolute()
        self._closed = False

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        session = _load(self._folder(key))
        if session is None:
            return None
        last = session.head.revision if revision is None else revision
        base, _ = session.records.get(last, (last + 1, None))
        numbers = range(max(base, since + 1), last + 1)
        return Segment(session.head, tuple(session.records[number][1] for number in numbers))

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        expected = None if commit.parent is None else (commit.parent, commit.head.epoch)
        with self._locked(key) as folder:
            session = _load(folder)
            if _guard(session) != expected:
                return False
            if session is None or commit.head.deleted:
                notes = session.notes.items() if session else ()
                session = _Session(commit.head)
                session.notes = {at: data for at, data in notes if at[1].startswith(PIN)}
            session.head = commit.head
            session.records[commit.record.revision] = (commit.head.base, commit.record)
            _save(folder, session)
            return True

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        with self._locked(key) as folder:
            session = _load(folder)
            if session is None or _guard(session) != (pruning.guard.write_id, pruning.guard.epoch):
                return False
            for first, last in pruning.remove:
                for revision in [n for n in session.records if first <= n <= last]:
                    del session.records[revision]
                for at in [at for at in session.notes if first <= at[0] <= last]:
                    del session.notes[at]
            for record, base in pruning.records:
                session.records[record.revision] = (base, record)
            session.head = pruning.head
            _save(folder, session)
            return True

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        session = _load(self._folder(key))
        records = sorted(session.records.items(), reverse=True) if session else []
        return [
            (record._replace(body=b""), len(record.header) + len(record.body))
            for revision, (base, record) in records
            if (before is None or revision < before) and (not bases or revision == base)
        ][:limit]

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        found = {}
        for path in self._open_root().glob("*/key.json"):
            space, id = json.loads(path.read_text())
            if space == namespace and id.startswith(prefix) and id > (after or ""):
                if session := _load(path.parent):
                    found[id] = session.head
                elif any(path.parent.glob("*.page")):
                    found[id] = Head(0, b"", 0, 0, deleted=True)
        # Python compares strings by code points, which is the order of their UTF-8 bytes.
        return [(id, found[id]) for id in sorted(found) if deleted or not found[id].deleted][:limit]

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        with self._locked(key) as folder:
            for page in pages:
                stored_at = page.stored_at.to_bytes(8, "big")
                _replace(folder / f"{page.id.hex()}.page", stored_at + page.data)
            _sync(folder)

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        found = {id: _read(self._folder(key) / f"{id.hex()}.page") for id in ids}
        return {id: kept[8:] for id, kept in found.items() if kept is not None}

    def list_pages(self, key: SessionKey) -> list[PageInfo]:
        kept = {path.stem: _read(path) for path in sorted(self._folder(key).glob("*.page"))}
        return [
            PageInfo(bytes.fromhex(id), int.from_bytes(data[:8], "big"), len(data) - 8)
            for id, data in kept.items()
            if data is not None
        ]

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        with self._locked(key) as folder:
            for id in ids:
                (folder / f"{id.hex()}.page").unlink(missing_ok=True)

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        with self._locked(key) as folder:
            if session := _load(folder):
                session.notes[attachment.revision, attachment.name] = attachment.data
                _save(folder, session)

    def detach(self, key: SessionKey, revision: int, name: str) -> bool:
        with self._locked(key) as folder:
            session = _load(folder)
            if session is None or session.notes.pop((revision, name), None) is None:
                return False
            _save(folder, session)
            return True

    def attachments(self, key: SessionKey) -> list[Attachment]:
        session = _load(self._folder(key))
        return (
            [Attachment(*at, session.notes[at]) for at in sorted(session.notes)] if session else []
        )

    def close(self) -> None:
        self._closed = True

    def _open_root(self) -> Path:
        if self._closed:
            raise StoreClosed("this store was closed; open it again")
        return self._root

    def _folder(self, key: SessionKey) -> Path:
        return self._open_root() / hashlib.sha256("\0".join(key).encode()).hexdigest()

    @contextmanager
    def _locked(self, key: SessionKey) -> Iterator[Path]:
        """Lock the folder of a session for one writer among all threads and processes."""
        folder = self._folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    if not (folder / "key.json").exists():
                        _replace(folder / "key.json", json.dumps(key).encode())
                        _sync(folder)
                        _sync(self._root)
                    yield folder
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)  # a child forked meanwhile also has it open
        except OSError as exc:  # written or not: the caller finds out
            raise StoreUnavailable(f"the directory {str(self._root)!r} failed: {exc}") from exc


def open_store(url: str) -> JsonDirectoryStore:
    """Open ``json:///relative/directory``. A package registers this under ``checkpoint.stores``."""
    return JsonDirectoryStore(url.removeprefix("json:///"))


def _guard(session: _Session | None) -> tuple[bytes, int] | None:
    return (session.head.write_id, session.head.epoch) if session else None


def _load(folder: Path) -> _Session | None:
    kept = _read(folder / "session.json")
    if kept is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(kept)
        revision, write_id, *others = fields["head"]
        session = _Session(Head(revision, b64decode(write_id), *others))
        for number, base, head, body in fields["records"]:
            session.records[number] = (base, Record(number, b64decode(head), b64decode(body)))
        for number, name, data in fields["attachments"]:
            session.notes[number, name] = b64decode(data)
    except (ValueError, LookupError, TypeError) as exc:
        raise Damaged(f"{folder / 'session.json'} does not hold a session ({exc})") from exc
    return session


def _save(folder: Path, session: _Session) -> None:
    fields = {
        "head": session.head,
        "records": [
            (number, base, r.header, r.body) for number, (base, r) in session.records.items()
        ],
        "attachments": [(*at, data) for at, data in session.notes.items()],
    }
    text = json.dumps(fields, default=lambda data: b64encode(data).decode())
    _replace(folder / "session.json", text.encode())
    _sync(folder)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreUnavailable(f"the file {str(path)!r} cannot be read: {exc}") from exc


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically. The caller must sync its directory."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
