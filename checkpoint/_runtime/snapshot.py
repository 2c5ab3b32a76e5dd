"""Values returned to callers: snapshots, restored states and session listings."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Self

from typing_extensions import TypeVar

from checkpoint._records.header import Kind, RecordHeader, SchemaId, Writer

S = TypeVar("S")
T = TypeVar("T", default=S)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The metadata of one revision of a session.

    Attributes:
        namespace, session_id, revision: address of the revision.
        kind: ``"base"`` (the whole document), ``"patch"`` (the changes) or ``"tombstone"``.
        parent_revision: the revision it is based on; 0 for the first.
        write_id: random id of the write, in hex.
        turn_id: the caller's key for the turn that saved it, or None.
        saved_at: time of the save by the writer's clock, in UTC.
        writer: host, process id and name of the writer.
        schema: name, version and fingerprint of the state's model.
        source: ``(session_id, revision)`` that a fork or rollback was copied from, or None.
        labels: labels of the revision.
        size: size of the stored record in bytes; 0 if unknown.
    """

    __module__ = "checkpoint"

    namespace: str
    session_id: str
    revision: int
    kind: str
    parent_revision: int
    write_id: str
    turn_id: str | None
    saved_at: dt.datetime
    writer: Writer
    schema: SchemaId
    source: tuple[str, int] | None = None
    labels: tuple[str, ...] = ()
    size: int = 0

    @classmethod
    def of(
        cls,
        namespace: str,
        session_id: str,
        header: RecordHeader,
        *,
        labels: Iterable[str] = (),
        size: int = 0,
    ) -> Self:
        """The snapshot of a record, from its header."""
        return cls(
            namespace=namespace,
            session_id=session_id,
            revision=header.revision,
            kind=Kind(header.kind).name.lower(),
            parent_revision=header.parent_revision,
            write_id=header.write_id.hex(),
            turn_id=header.turn_id,
            saved_at=from_micros(header.saved_at),
            writer=header.writer,
            schema=header.schema,
            source=header.source,
            labels=tuple(labels),
            size=size,
        )


@dataclass(frozen=True, slots=True)
class Restored(Generic[S, T]):
    """A state rebuilt from the store.

    Attributes:
        state: a new instance, which you may change. Saving it creates the next revision.
        snapshot: the metadata of the restored revision.
        agent: the live agent that ``build`` made from the state; without an adapter, the state.
    """

    __module__ = "checkpoint"

    state: S
    snapshot: Snapshot
    agent: T = field(repr=False)  # which would show the state twice

    @property
    def revision(self) -> int:
        """The restored revision."""
        return self.snapshot.revision


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in a listing.

    Attributes:
        namespace, session_id: address of the session.
        revision: its newest revision.
        saved_at: time of that revision's save, in UTC.
    """

    __module__ = "checkpoint"

    namespace: str
    session_id: str
    revision: int
    saved_at: dt.datetime


def from_micros(micros: int) -> dt.datetime:
    """Microseconds since 1970 as a time in UTC, clamped to the years 1 to 9999."""
    micros = max(-62_135_596_800_000_000, min(micros, 253_402_300_799_999_999))
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
