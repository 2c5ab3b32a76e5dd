"""The header of a record: the metadata of a revision, readable without its document."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter, itemgetter
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from checkpoint._document.pages import PAGE_ID_SIZE, PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.frame import decode_header
from checkpoint.errors import Damaged, UnsupportedFormat
from checkpoint.store import Record

T = TypeVar("T")

_ids = Struct(f"{PAGE_ID_SIZE}s").iter_unpack


class Kind(IntEnum):
    """The kind of a record, by the contents of its body."""

    BASE = 0
    PATCH = 1
    TOMBSTONE = 2


class SchemaId(NamedTuple):
    """Name, version and fingerprint of a model; the fingerprint of a plain dict is empty."""

    name: str
    version: int
    fingerprint: bytes = b""

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Writer(NamedTuple):
    """The process that saved: host, process id, and the replica's name if it has one."""

    host: str
    pid: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}" + (f" ({self.name})" if self.name else "")


for _public in (SchemaId, Writer):
    _public.__module__ = "checkpoint"


class Recent(NamedTuple):
    """A recent write, remembered by a later base so that a retry of it can be answered.

    Attributes:
        result: the encoded result of its turn; empty if it is too long to be kept here, None if the
            turn returned nothing.
    """

    revision: int
    write_id: bytes
    turn_id: str | None = None
    result: bytes | None = None


class RecordHeader(NamedTuple):
    """All of a record except its body.

    Attributes:
        parent_revision, parent_write_id: the revision that this save was made from; 0 and empty at
            the start. A patch stores none of these: its parent is the record before it.
        parent_digest: digest of the parent.
        write_id: random; one for each logical write, the same when it is retried.
        saved_at: microseconds since 1970 by the writer's clock.
        source: ``(session_id, revision)`` from which a fork or a rollback took its document.
        recent: in bases and tombstones, the ring of writes before this segment, newest last.
        pages: in bases, all pages that the document needs.
    """

    revision: int
    kind: Kind
    write_id: bytes
    saved_at: int
    writer: Writer
    schema: SchemaId
    parent_revision: int = 0
    parent_write_id: bytes = b""
    parent_digest: bytes = b""
    turn_id: str | None = None
    source: tuple[str, int] | None = None
    recent: tuple[Recent, ...] = ()
    pages: tuple[PageRef, ...] = ()

    def as_recent(self, result: bytes | None = None) -> Recent:
        return tuple.__new__(Recent, (self.revision, self.write_id, self.turn_id, result))


_DEFAULTS = tuple(RecordHeader._field_defaults.values())[1:]  # those after the parent's revision

# Stored numbers of the header's fields. An absent field has its default. Never reuse a number.
# Reserved: 13 epoch, 15 min_reader, 16 labels given at the save, 17 attachments.
(_REVISION, _KIND, _WRITE_ID, _SAVED_AT, _WRITER, _SCHEMA, _PARENT_REVISION, _PARENT_WRITE_ID) = (
    range(1, 9)
)
_PARENT_DIGEST, _TURN_ID, _SOURCE, _RECENT = range(9, 13)
_PAGES = 14
_KNOWN = frozenset((*range(1, 13), _PAGES))
_IN_ALL = range(_REVISION, _SCHEMA + 1)
_in_all = itemgetter(*_IN_ALL)
_KINDS = {kind.value: kind for kind in Kind}
_IGNORABLE = 64  # readers may ignore unknown fields from here up, and must refuse those below


def header_fields(header: RecordHeader) -> dict[int, Any]:
    """The stored form of a header, without defaults and values that follow from the rest."""
    schema = header.schema
    stored: dict[int, Any] = {
        _REVISION: header.revision,
        _KIND: int(header.kind),
        _WRITE_ID: header.write_id,
        _SAVED_AT: header.saved_at,
        _WRITER: [header.writer.host, header.writer.pid, header.writer.name],
        _SCHEMA: [schema.name, schema.version, schema.fingerprint],
    }
    if header.parent_revision != header.revision - 1:
        stored[_PARENT_REVISION] = header.parent_revision
    for number, value in (
        (_PARENT_WRITE_ID, header.parent_write_id),
        (_PARENT_DIGEST, header.parent_digest),
        (_TURN_ID, header.turn_id),
        (_SOURCE, list(header.source) if header.source else None),
        (_RECENT, [list(r[:3] if r.result is None else r) for r in header.recent]),
        (_PAGES, _grouped(header.pages)),
    ):
        if value:
            stored[number] = value
    return stored


def read_header(record: Record) -> tuple[RecordHeader, int]:
    """Return the header of a record, and the flags of its body.

    Raises:
        Damaged: the bytes are not a header, or the header of another revision.
        UnsupportedFormat: a newer version of the library wrote it.
    """
    stored, flags = decode_header(record.header)
    if not _KNOWN.issuperset(stored) and (
        unknown := [
            n for n in stored if n not in _KNOWN and not (type(n) is int and n >= _IGNORABLE)
        ]
    ):
        raise UnsupportedFormat(
            f"the record has header fields {unknown} that this version does not know; if a newer "
            f"agent-checkpoint wrote it, upgrade; if not, the record is damaged"
        )
    try:
        header = _header(stored)
    except (LookupError, TypeError, ValueError) as exc:
        raise Damaged(f"the header of the record is malformed ({exc!r})") from exc
    if header.revision != record.revision:
        raise Damaged(f"the record stored here has the header of revision {header.revision}")
    return header, flags


def _header(stored: dict[Any, Any]) -> RecordHeader:
    revision, kind, write_id, saved_at, writer, schema = _in_all(stored)
    if not (type(revision) is type(saved_at) is int and type(write_id) is bytes):
        raise TypeError("the revision, the write id or the time has the wrong type")
    writer, schema = _writer(*writer[:3]), _schema_id(*schema[:3])
    known = revision, _KINDS[kind], write_id, saved_at, writer, schema, revision - 1, *_DEFAULTS
    header = tuple.__new__(
        RecordHeader, known
    )  # faster than RecordHeader(): patches are read by the dozen
    if len(stored) == len(_IN_ALL):  # the most common case
        return header
    source, turn_id = stored.get(_SOURCE), stored.get(_TURN_ID)
    return header._replace(
        parent_revision=_checked(int, stored.get(_PARENT_REVISION, revision - 1)),
        parent_write_id=_checked(bytes, stored.get(_PARENT_WRITE_ID, b"")),
        parent_digest=_checked(bytes, stored.get(_PARENT_DIGEST, b"")),
        turn_id=None if turn_id is None else _checked(str, turn_id),
        source=(_checked(str, source[0]), _checked(int, source[1])) if source else None,
        recent=tuple(_recent(*entry) for entry in stored.get(_RECENT, ())),
        pages=_pages(stored.get(_PAGES, ())),
    )


@lru_cache(maxsize=64, typed=True)  # most records of a session repeat it
def _writer(host: object, pid: object, name: object) -> Writer:
    return Writer(_checked(str, host), _checked(int, pid), _checked(str, name))


@lru_cache(maxsize=64, typed=True)
def _schema_id(name: object, version: object, fingerprint: object) -> SchemaId:
    return SchemaId(_checked(str, name), _checked(int, version), _checked(bytes, fingerprint))


def _grouped(pages: tuple[PageRef, ...]) -> list[list[Any]]:
    """Pages as stored: grouped by owner and version, with the ids of a group joined.

    For each page follows the distance back to its anchor in the whole list; 0 without an anchor.
    """
    places = {ref: place for place, ref in enumerate(pages)}
    groups: list[list[Any]] = []
    for (owner, version), refs in groupby(pages, key=attrgetter("owner", "version")):
        named = list(refs)
        back = [places[ref] - places[ref.anchor] if ref.anchor else 0 for ref in named]
        ids = b"".join(ref.id for ref in named)
        groups.append([version, list(owner) if owner else None, ids, back])
    return groups


def _pages(groups: Any) -> tuple[PageRef, ...]:
    pages: list[PageRef] = []
    make = partial(tuple.__new__, PageRef)  # faster: a long session has hundreds
    for version, owner, ids, back, *_ in groups:
        of = SessionKey(_checked(str, owner[0]), _checked(str, owner[1])) if owner else None
        if len(_checked(bytes, ids)) != len(back) * PAGE_ID_SIZE:
            raise ValueError("the ids of pages are cut short")
        if not {int}.issuperset(map(type, (version, *back))) or min(back, default=0) < 0:
            raise ValueError("the version of a page or the distance to its anchor is no number")
        for (id,), by in zip(_ids(ids), back, strict=True):
            anchor = pages[-by] if by else None
            if anchor is not None and anchor.anchor is not None:
                raise ValueError("the anchor of a page has an anchor itself")
            pages.append(make((id, of, version, anchor)))
    return tuple(pages)


def _recent(
    revision: object, write_id: object, turn_id: object, result: object = None, *_: object
) -> Recent:
    turn = None if turn_id is None else _checked(str, turn_id)
    kept = None if result is None else _checked(bytes, result)
    return Recent(_checked(int, revision), _checked(bytes, write_id), turn, kept)


def _checked(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40} where {kind.__name__} is expected")
    return value
