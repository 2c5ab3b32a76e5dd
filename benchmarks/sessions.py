"""The agent of the benchmarks, its sessions on SQLite built turn by turn, and what is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

from conversations import endless
from pydantic import BaseModel

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory
from checkpoint._ids import SessionKey
from checkpoint._stores.registry import open_store
from checkpoint.store import Commit, Page, Segment, Store

WINDOW = 50
SEED = 1


class Function(BaseModel):
    """What a tool call calls."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """One call of a tool."""

    id: str
    type: str
    function: Function


class Message(BaseModel):
    """A chat message, as most providers have it."""

    role: str
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Agent(AgentState, schema="benchmark-agent", version=1):
    """An agent that remembers what was said."""

    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


Pair = list[Message]


def pairs(skip: int = 0) -> Iterator[Pair]:
    """The conversations of the seed, two messages at a time, from a message on."""
    said = islice(endless(SEED), skip, None)
    return iter(lambda: [Message.model_validate(message) for message in islice(said, 2)], [])


# --- counting ------------------------------------------------------------------------------------


class Counting:
    """A store that counts what passes through it: stored bytes, without keys and columns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read_bytes = self.written_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        """Count the records sent."""
        segment = self._store.read(key, revision, since=since)
        for record in segment.records if segment else ():
            self.read_bytes += len(record.header) + len(record.body)
        return segment

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        """Count the record written."""
        self.written_bytes += len(commit.record.header) + len(commit.record.body)
        return self._store.commit(key, commit)

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        """Count the pages written."""
        self.written_bytes += sum(len(page.data) for page in pages)
        self._store.put_pages(key, pages)

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Count the pages sent."""
        found = self._store.pages(key, ids)
        self.read_bytes += sum(map(len, found.values()))
        return found


def opened(file: Path, *, cached: bool = True) -> tuple[Checkpointer[Agent], Counting]:
    """A checkpointer on a file, and the count of what passes; without a cache, a cold replica."""
    counting = Counting(open_store(f"sqlite:///{file}"))
    store = cast("Store", counting)
    if cached:
        return checkpoint.open(store, Agent), counting
    return checkpoint.open(store, Agent, cache_bytes=0), counting


# --- sessions ------------------------------------------------------------------------------------


def build(file: Path, sessions: dict[str, int]) -> int:
    """Play each session, by windowed turns of two messages, to its length; return bytes written."""
    cp, counting = opened(file)
    with cp:
        for session, length in sessions.items():
            for said in islice(pairs(), length // 2):
                with cp.turn(session, window=WINDOW) as turn:
                    turn.state.memory.extend(said)
    return counting.written_bytes


def copied(file: Path, copy: Path) -> Path:
    """A copy of a store's file, with what is in its log."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def compacted_size(file: Path) -> int:
    """Bytes of a store's file after VACUUM, with nothing left in its log."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return file.stat().st_size


# --- the least that a store can do ---------------------------------------------------------------


class BareDriver:
    """A turn's traffic without the library: one SELECT, one INSERT, one commit synced to disk."""

    CHUNK = 16 * 1024
    CHUNKS = 256

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE old (id INTEGER PRIMARY KEY, data BLOB)")
        self._connection.execute("CREATE TABLE new (id INTEGER PRIMARY KEY, data BLOB)")
        rows = [(bytes(self.CHUNK),)] * self.CHUNKS
        self._connection.executemany("INSERT INTO old (data) VALUES (?)", rows)

    def turn(self, read_bytes: int, written_bytes: int) -> None:
        """Read about so many bytes (in whole chunks), and write so many."""
        last, data = -(-read_bytes // self.CHUNK), bytes(written_bytes)
        self._connection.execute("SELECT data FROM old WHERE id <= ?", (last,)).fetchall()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO new (data) VALUES (?)", (data,))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
