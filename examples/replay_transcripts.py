"""Replay recorded agent conversations through a store, and check every revision of them.

    python examples/replay_transcripts.py FILE [--store URL] [--check]

FILE is a JSON list of objects with a ``traj`` list of chat messages (``role``, ``content``,
``tool_calls``, ``tool_call_id``, ``name``, and whatever else a provider adds). Each conversation
becomes a session, one turn for each user message with all that follows it until the next; what
comes before the first user message, such as the system prompt, belongs to the first turn.

Each turn is played by a replica that has never seen the session: a new ``Checkpointer`` is opened
on the store, restores, saves and is closed again. *Restore* is timed from before that ``open`` to
the state in hand, connecting included; *save* is the end of the turn, until it is on disk. Closing
is not timed. Only imports are shared between the replicas.

Then every session is restored at every revision and compared with the source: keys, values and
types, a missing key and a null told apart (the order of keys, which JSON gives no meaning, is not
compared). The exit code is 1 if anything differs, 2 if the file or the store cannot be used.
``--check`` only compares, with what an earlier run left in the store.

The store is a SQLite file in a temporary directory unless one is named. Its bytes are those of the
file, compacted; for another kind of store, those of its records. Needs ``agent-checkpoint[cli]``.
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
SHOWN = 20  # differences told one by one

Json = dict[str, Any]


class Message(BaseModel):
    """A chat message that dumps the keys it was given, and no others."""

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
    """The agent: what was said, and how many turns it has answered."""

    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


class Transcript(BaseModel):
    """An entry of the file, as far as it is read."""

    traj: list[Message] = Field(min_length=1)


@dataclass(frozen=True)
class Source:
    """A conversation of the file: its messages as they stand there, cut into turns."""

    session_id: str
    turns: list[list[Json]]

    def at(self, revision: int) -> Json:
        """The state that the session must have at a revision."""
        said = [message for turn in self.turns[:revision] for message in turn]
        return {"config": {}, "memory": said, "cursors": {"turns": revision}}


@dataclass
class Timings:
    """Seconds that each restore and each save took."""

    restores: list[float] = field(default_factory=list)
    saves: list[float] = field(default_factory=list)


class BadInputError(Exception):
    """The file or the store cannot be used; the message says why, in one line."""


# --- the file ------------------------------------------------------------------------------------


def read_sources(file: Path) -> list[Source]:
    """The conversations of a file.

    Raises:
        BadInputError: it cannot be read, is not JSON, or holds something else.
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
    """Cut a conversation into turns, each beginning with a user's message."""
    turns: list[list[Json]] = [[]]
    for message in messages:
        if message["role"] == "user" and any(earlier["role"] == "user" for earlier in turns[-1]):
            turns.append([])
        turns[-1].append(message)
    return turns


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


# --- replay and check ----------------------------------------------------------------------------


def open_replica(store: str) -> Checkpointer[Conversation]:
    """A checkpointer as a replica that has just started opens it."""
    return checkpoint.open(store, Conversation, namespace=NAMESPACE)


def play(sources: list[Source], store: str) -> Iterator[tuple[float, float]]:
    """Play all turns, each on a new replica; yield the seconds of its restore and its save."""
    for source in sources:
        for said in source.turns:
            yield play_turn(store, source.session_id, said)


def play_turn(store: str, session_id: str, said: list[Json]) -> tuple[float, float]:
    """Restore, add what was said, save; return the seconds of both."""
    started = perf_counter()
    with open_replica(store) as replica:
        with replica.turn(session_id) as turn:
            restored = perf_counter()
            turn.state.memory.extend(Message.model_validate(message) for message in said)
            turn.state.cursors["turns"] = turn.state.cursors.get("turns", 0) + 1
            answered = perf_counter()
        return restored - started, perf_counter() - answered


def check(sources: list[Source], store: str) -> Iterator[str | None]:
    """Compare each session at each revision; yield what differs, or None, for each."""
    with open_replica(store) as replica:
        for source in sources:
            yield from check_session(replica, source)


def check_session(replica: Checkpointer[Conversation], source: Source) -> Iterator[str | None]:
    """One comparison for each turn of the source, and one more if the session has others."""
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
    """Where two JSON values part, and how; None when they are the same."""
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
    """Bytes that the sessions take: of a SQLite file, once it is compacted; else of all records."""
    scheme, _, location = store.partition("://")
    if scheme.lower() == "sqlite":
        return compacted(Path(unquote(location.partition("?")[0][1:])))
    with open_replica(store) as replica:
        sessions = list(replica.sessions())
        return sum(s.size for session in sessions for s in replica.history(session.session_id))


def compacted(file: Path) -> int:
    """Bytes of a SQLite file with its write-ahead log, after both were made as small as they go."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")  # goes through the log, so the log is emptied last
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    files = [file, file.with_name(f"{file.name}-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def raw_bytes(sources: list[Source]) -> int:
    """Bytes of the messages as JSON in UTF-8, each written once."""
    messages = (message for source in sources for turn in source.turns for message in turn)
    # Half an emoji, as in text that was cut short, is passed on as it is.
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
    """Raise BadInputError for a store that cannot show anything."""
    if store.startswith("memory:"):
        raise BadInputError("memory:// ends with each replica; name a store that outlives them")
    with open_replica(store) as replica:
        if not check_only and next(iter(replica.sessions()), None):
            raise BadInputError(
                f"the store has sessions in the namespace {NAMESPACE!r}: name an empty one, or "
                f"compare with --check"
            )


def run(sources: list[Source], store: str, *, check_only: bool) -> int:
    """Play (unless told not to) and check, with a progress bar; print the figures."""
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
        different = [told for told in tracked if told]
    print_figures(sources, turns, timings, bytes_in_store(store))
    for told in different[:SHOWN]:
        print(f"DIFFERENT  {told}")
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
    """The smallest value that so many percent of the values do not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


if __name__ == "__main__":
    sys.exit(main())
