"""Replay recorded agent conversations through a store, and check each of their revisions.

    python examples/replay_transcripts.py FILE [--store URL] [--check]

FILE is a JSON list of objects with a ``traj`` list of chat messages (``role``, ``content``,
``tool_calls``, ``tool_call_id``, ``name``, and any other keys of a provider). Each conversation
becomes a session. A turn is a user message with all messages up to the next user message. Messages
before the first user message, such as the system prompt, belong to the first turn.

Each turn is played by a replica that has never seen the session: a new ``Checkpointer`` is opened
on the store, restores, saves and is closed. *Restore* is the time from before ``open`` until the
state is restored, including the connection. *Save* is the time from the end of the turn until it is
on disk. Closing is not timed. The replicas share only imports.

Then each session is restored at each revision and compared with the source: keys, values and types.
A missing key differs from a null. The order of keys, which has no meaning in JSON, is not compared.
The exit code is 1 if anything differs, and 2 if the file or the store cannot be used. ``--check``
only compares, with the sessions that an earlier run left in the store.

By default the store is a SQLite file in a temporary directory. Its reported size is that of the
compacted file; for other stores, that of the records. Requires ``agent-checkpoint[cli]``.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, unquote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import checkpoint
from checkpoint import AgentState, Checkpointer, CheckpointError, Memory

NAMESPACE = "replay"
SHOWN = 20  # differences printed one by one

Json = dict[str, Any]


class Message(BaseModel):
    """A chat message that dumps only the keys it was given."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @model_serializer(mode="wrap")
    def _keys_given(self, dump: SerializerFunctionWrapHandler) -> Json:
        return {key: value for key, value in dump(self).items() if key in self.model_fields_set}


class Conversation(AgentState, schema="replayed-conversation", version=1):
    """The state of the agent: its messages, and the number of turns it has answered."""

    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


class Transcript(BaseModel):
    """The parts of an entry of the file that are read."""

    traj: list[Message] = Field(min_length=1)


@dataclass(frozen=True)
class Source:
    """A conversation of the file: its unchanged messages, split into turns."""

    session_id: str
    turns: list[list[Json]]

    def at(self, revision: int) -> Json:
        """The state that the session must have at a revision."""
        said = [message for turn in self.turns[:revision] for message in turn]
        return {"config": {}, "memory": said, "cursors": {"turns": revision}}


@dataclass
class Timings:
    """Seconds of each restore and each save."""

    restores: list[float] = field(default_factory=list)
    saves: list[float] = field(default_factory=list)


class BadInputError(Exception):
    """The file or the store cannot be used. The message says why, in one line."""


# --- the file ------------------------------------------------------------------------------------


def read_sources(file: Path) -> list[Source]:
    """The conversations of a file.

    Raises:
        BadInputError: if it cannot be read, is not JSON, or has other contents.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
        TypeAdapter(Annotated[list[Transcript], Field(min_length=1)]).validate_python(entries)
    except ValidationError as exc:  # a ValueError too, so it comes first
        first = exc.errors(include_url=False)[0]
        at = "".join(f"[{key!r}]" for key in first["loc"]) or "the whole"
        raise BadInputError(
            f"{file}: not a list of objects with a traj of messages: {at}: {first['msg']}"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise BadInputError(f"{file}: not JSON: {exc}") from exc
    except OSError as exc:
        raise BadInputError(f"{file}: {exc.strerror}") from exc
    return [
        Source(f"conversation/{number:04}", cut(entry["traj"]))
        for number, entry in enumerate(entries, start=1)
    ]


def cut(messages: list[Json]) -> list[list[Json]]:
    """Split a conversation into turns, each starting with a user message."""
    turns: list[list[Json]] = [[]]
    for message in messages:
        if message["role"] == "user" and any(earlier["role"] == "user" for earlier in turns[-1]):
            turns.append([])
        turns[-1].append(message)
    return turns


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


# --- replay and check ----------------------------------------------------------------------------


def open_replica(store: str) -> Checkpointer[Conversation]:
    """Open a checkpointer as a newly started replica does."""
    return checkpoint.open(store, Conversation, namespace=NAMESPACE)


def play(sources: list[Source], store: str) -> Iterator[tuple[float, float]]:
    """Play all turns, each on a new replica; yield the seconds of its restore and its save."""
    for source in sources:
        for said in source.turns:
            yield play_turn(store, source.session_id, said)


def play_turn(store: str, session_id: str, said: list[Json]) -> tuple[float, float]:
    """Restore, append messages and save; return the seconds of the restore and the save."""
    started = perf_counter()
    with open_replica(store) as replica:
        with replica.turn(session_id) as turn:
            restored = perf_counter()
            turn.state.memory.extend(Message.model_validate(message) for message in said)
            turn.state.cursors["turns"] = turn.state.cursors.get("turns", 0) + 1
            answered = perf_counter()
        return restored - started, perf_counter() - answered


def check(sources: list[Source], store: str) -> Iterator[str | None]:
    """Compare each session at each revision; for each, yield the difference or None."""
    with open_replica(store) as replica:
        for source in sources:
            yield from check_session(replica, source)


def check_session(replica: Checkpointer[Conversation], source: Source) -> Iterator[str | None]:
    """Yield one result for each turn of the source, and one more if the session has more turns."""
    try:
        found = [snapshot.revision for snapshot in replica.history(source.session_id)]
    except CheckpointError as exc:
        yield f"{source.session_id}: {exc}"
        return
    for revision in range(1, len(source.turns) + 1):
        at = f"{source.session_id}, revision {revision}"
        try:
            state = replica.restore(source.session_id, revision=revision).state
        except CheckpointError as exc:
            yield f"{at}: {exc}"
        else:
            parted = difference(source.at(revision), state.model_dump())
            yield f"{at}: {parted}" if parted else None
    if len(found) > len(source.turns):
        yield f"{source.session_id}: {len(found)} revisions, {len(source.turns)} turns in the file"


def difference(source: Any, stored: Any, path: str = "") -> str | None:
    """The first difference between two JSON values; None if they are equal."""
    if type(source) is not type(stored):
        return f"{path}: {_short(source)} in the file, {_short(stored)} in the store"
    if isinstance(source, dict):
        for key in [*source, *(key for key in stored if key not in source)]:
            at = f"{path}.{key}" if path else key
            if key not in stored or key not in source:
                return f"{at}: only in the {'file' if key in source else 'store'}"
            if parted := difference(source[key], stored[key], at):
                return parted
    elif isinstance(source, list):
        for index, (mine, theirs) in enumerate(zip(source, stored, strict=False)):
            if parted := difference(mine, theirs, f"{path}[{index}]"):
                return parted
        if len(source) != len(stored):
            return f"{path}: {len(source)} items in the file, {len(stored)} in the store"
    elif source != stored:
        return f"{path}: {_short(source)} in the file, {_short(stored)} in the store"
    return None


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:59] + "~"


# --- bytes ---------------------------------------------------------------------------------------


def bytes_in_store(store: str) -> int:
    """The size of the sessions: of a compacted SQLite file, or else of all records."""
    scheme, _, location = store.partition("://")
    if scheme.lower() == "sqlite":
        return compacted(Path(unquote(location.partition("?")[0][1:])))
    with open_replica(store) as replica:
        sessions = list(replica.sessions())
        return sum(s.size for session in sessions for s in replica.history(session.session_id))


def compacted(file: Path) -> int:
    """The size of a SQLite file and its write-ahead log after compacting both."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")  # goes through the log, so the log is emptied last
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    files = [file, file.with_name(f"{file.name}-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def raw_bytes(sources: list[Source]) -> int:
    """The size of the messages as JSON in UTF-8, each counted once."""
    messages = (message for source in sources for turn in source.turns for message in turn)
    # Half an emoji, as in truncated text, is encoded unchanged.
    as_json = (json.dumps(message, ensure_ascii=False) for message in messages)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in as_json)


# --- the command line ----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="JSON list of objects with a traj of messages")
    parser.add_argument("--store", help="URL of an empty store (default: a temporary SQLite file)")
    parser.add_argument("--check", action="store_true", help="only compare with an earlier run")
    options = parser.parse_args(arguments)
    try:
        sources = read_sources(options.file)
        with tempfile.TemporaryDirectory() as directory:
            store = options.store or f"sqlite:///{quote(directory)}/replay.db"
            refuse_unusable(store, check_only=options.check)
            return run(sources, store, check_only=options.check)
    except (BadInputError, CheckpointError) as exc:
        print(f"replay_transcripts: {exc}", file=sys.stderr)
        return 2


def refuse_unusable(store: str, *, check_only: bool) -> None:
    """Raise BadInputError for a store that cannot be used for this run."""
    if store.startswith("memory:"):
        raise BadInputError("memory:// ends with each replica; name a store that outlives them")
    with open_replica(store) as replica:
        if not check_only and next(iter(replica.sessions()), None):
            raise BadInputError(
                f"the store has sessions in the namespace {NAMESPACE!r}: name an empty store, or "
                f"compare with --check"
            )


def run(sources: list[Source], store: str, *, check_only: bool) -> int:
    """Play (unless ``check_only``) and check, with a progress bar; print the figures."""
    turns = sum(len(source.turns) for source in sources)
    timings = Timings()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        if not check_only:
            played = play(sources, store)
            for restore, save in progress.track(played, total=turns, description="turns played"):
                timings.restores.append(restore)
                timings.saves.append(save)
        checked = check(sources, store)
        tracked = progress.track(checked, total=turns, description="revisions checked")
        different = [found for found in tracked if found]
    print_figures(sources, turns, timings, bytes_in_store(store))
    for found in different[:SHOWN]:
        print(f"DIFFERENT  {found}")
    if different:
        print(f"{len(different)} differences from the source")
        return 1
    print(f"all {turns} revisions equal their source")
    return 0


def print_figures(sources: list[Source], turns: int, timings: Timings, stored: int) -> None:
    raw = raw_bytes(sources)
    messages = sum(len(turn) for source in sources for turn in source.turns)
    print(f"sessions  {len(sources):,}")
    print(f"turns     {turns:,}")
    print(f"messages  {messages:,}")
    for name, seconds in (("save", timings.saves), ("restore", timings.restores)):
        if seconds:
            p50, p95 = (percentile(seconds, percent) * 1000 for percent in (50, 95))
            print(f"{name:8}  p50 {p50:.2f} ms   p95 {p95:.2f} ms")
    print(f"raw JSON  {raw:,} B of messages")
    print(f"store     {stored:,} B with all history, {stored / raw:.3f}x raw JSON")


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that at least ``percent`` percent of the values do not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


if __name__ == "__main__":
    sys.exit(main())
