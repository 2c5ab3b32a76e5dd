"""Segments: a base and the patches after it, sealed into records and read back.

Each record is compressed against the raw bodies before it and its digest is chained to theirs, so
a segment is written and verified in order. Pure functions: bytes and values in, the same out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from checkpoint import envelope
from checkpoint.codec import DecodeError, MissingTimeZone, decode, encode
from checkpoint.diff import apply
from checkpoint.errors import CheckpointError, Damaged, InvalidState, StateTooLarge
from checkpoint.ids import SessionKey
from checkpoint.record import Header, Kind, Recent, Record, header_to_map, read_header

RING = 32
"""Writes, and turns, before its segment that a base remembers to answer a late retry of one."""

# A segment is full when reading it costs more than a new base would: by its patches' stored bytes
# against the base's, their number (each costs about 30 µs to read), or their raw bytes.
MAX_PATCHES = 256
_PATCH_BYTES_PER_BASE = 2
_MIN_PATCH_BYTES = 16 * 1024
_RAW_PER_BASE = 8
_MIN_RAW_BYTES = 128 * 1024

# What a body holds, by number: a base, the model's fields and the document; a patch, operations;
# either, the result of its turn. The document is last, so that the next patch is compressed against
# the end of it, where an agent's memory grows.
DOCUMENT, OPERATIONS, FIELDS, RESULT = range(4)
_NO_RECORDS = "the head names a segment of which no record is there"
_HOLDS = {Kind.BASE: {DOCUMENT, FIELDS}, Kind.PATCH: {OPERATIONS}, Kind.TOMBSTONE: set[int]()}


class Tip(NamedTuple):
    """The end of a segment: as much of it as the next record must know.

    Attributes:
        header, digest: of the newest record.
        recent: the base's ring, and the writes of this segment.
        prefix: the segment's last raw bytes, that the next patch is compressed against.
        base_bytes, patch_bytes: stored bytes of the base, and of all patches.
        base_raw, patch_raw: the same before compression.
        patches: how many.
    """

    header: Header
    digest: bytes
    recent: tuple[Recent, ...]
    prefix: bytes = b""
    base_bytes: int = 0
    base_raw: int = 0
    patch_bytes: int = 0
    patch_raw: int = 0
    patches: int = 0

    def is_worth_keeping(self, before: Tip) -> bool:
        """Whether the segment with its newest patch is a better buy than a new base.

        What is kept is within the limits of every reader that can read the base.
        """
        return (
            self.patches <= MAX_PATCHES
            and self.patch_raw - before.patch_raw <= max(_MIN_RAW_BYTES, self.base_raw)
            and self.patch_bytes <= max(_MIN_PATCH_BYTES, _PATCH_BYTES_PER_BASE * self.base_bytes)
            and self.patch_raw <= max(_MIN_RAW_BYTES, _RAW_PER_BASE * self.base_raw)
        )

    def check_size(self, max_bytes: int, raw_size: int) -> None:
        """Raise StateTooLarge if a reader with this limit would have to refuse the segment.

        Args:
            max_bytes: the largest encoded document; a body may hold a result of that size too.
            raw_size: of the newest body.
        """
        most = 2 * max_bytes + _MIN_RAW_BYTES
        total = self.base_raw + self.patch_raw
        if raw_size > most or total > (1 + _RAW_PER_BASE) * most:
            raise StateTooLarge(
                f"the stored state has bodies of {total} bytes, too many for the limit of "
                f"{max_bytes}; open the store with a larger max_bytes if it is trusted"
            )


class Loaded(NamedTuple):
    """A segment read back, up to the revision asked for.

    Attributes:
        document: the state at that revision, as plain data; None for a tombstone.
        fields: the model's fields as its writer declared them (see :mod:`checkpoint.fields`).
        tip: the end of what was read.
        result: ``{}``, or ``{RESULT: value}`` where the revision's turn returned one.
    """

    document: Any
    fields: dict[str, str]
    tip: Tip
    result: dict[int, Any]

    @property
    def header(self) -> Header:
        return self.tip.header


def seal(
    key: SessionKey, header: Header, body: dict[int, Any], tip: Tip | None, max_bytes: int
) -> tuple[Record, Tip]:
    """Seal one record; return it, and the tip after it.

    A patch continues ``tip``; a base or a tombstone begins anew and takes from it only the ring.

    Raises:
        TypeError, ValueError: the body cannot be encoded.
        StateTooLarge: no reader with the limit ``max_bytes`` could read it back.
    """
    raw = encode(body) if body else b""
    follows = tip if header.kind is Kind.PATCH else None
    if follows is not None:
        header = header._replace(parent_write_id=b"", parent_digest=b"")  # those of the tip
    elif tip is not None:
        header = header._replace(recent=_remembered(header.kind, tip))
    stored, compressed = envelope.compress(raw, follows.prefix if follows else b"")
    head = envelope.seal_head(header_to_map(header), compressed=compressed)
    chained = envelope.digest(key, follows.digest if follows else b"", head, stored)
    record = Record(header.revision, head, stored + chained)
    after = _after(follows, header, record, len(raw))
    if follows is None:
        try:
            after.check_size(max_bytes, len(raw))
        except StateTooLarge as exc:
            exc.namespace, exc.session_id = key
            raise
    prefix = raw if follows is None else follows.prefix + raw
    recent = (*(tip.recent if follows and tip else header.recent), header.as_recent())
    return record, after._replace(prefix=prefix[-envelope.PREFIX_SIZE :], recent=recent)


def _remembered(kind: Kind, tip: Tip) -> tuple[Recent, ...]:
    """The ring of a new segment: the last writes, and the last turns further back."""
    if kind is Kind.TOMBSTONE:  # the turns of a deleted session are not those of its successor
        return tuple(write._replace(turn_id=None) for write in tip.recent[-RING:])
    turns = [write for write in tip.recent[:-RING] if write.turn_id is not None]
    room = RING - sum(write.turn_id is not None for write in tip.recent[-RING:])
    return (*turns[len(turns) - room :], *tip.recent[-RING:]) if room else tip.recent[-RING:]


def read(key: SessionKey, records: Sequence[Record], max_bytes: int) -> Loaded:
    """Verify and read a segment: its base and the patches up to the last record given.

    Args:
        max_bytes: the largest document to read.

    Raises:
        Damaged: a record is not what was written here, or one is missing.
        UnsupportedFormat: a newer version of the library wrote it.
        StateTooLarge: it exceeds the limit; the body that does was not decompressed.
        InvalidState: it names a time zone that this host has no data for.
    """
    revision = records[0].revision if records else None
    try:
        if not records:
            raise Damaged(_NO_RECORDS)
        tip: Tip | None = None
        document: Any = None
        fields: dict[str, str] = {}
        recent: list[Recent] = []
        prefix = b""
        for record in records:
            revision = record.revision
            tip, raw = _unseal(key, record, tip, prefix, max_bytes)
            prefix = (prefix + raw)[-envelope.PREFIX_SIZE :]
            recent += [*tip.header.recent, tip.header.as_recent()]
            body = _body(tip.header.kind, raw)
            if tip.header.kind is Kind.PATCH:
                document = _apply(document, body[OPERATIONS])
            elif tip.header.kind is Kind.BASE:
                document, fields = body[DOCUMENT], body[FIELDS]
    except CheckpointError as exc:
        exc.namespace, exc.session_id, exc.revision = *key, revision
        raise
    assert tip is not None
    result = {RESULT: body[RESULT]} if RESULT in body else {}
    return Loaded(document, fields, tip._replace(prefix=prefix, recent=tuple(recent)), result)


def survey(key: SessionKey, records: Sequence[Record]) -> Tip:
    """The tip of a segment by its headers alone, for what goes on it without reading it.

    A new base or a tombstone needs no body, so a state that is damaged or too large can still be
    deleted or rolled back.

    Raises:
        Damaged: the newest header cannot be read.
    """
    recent: list[Recent] = []
    header = None
    if not records:
        raise Damaged(_NO_RECORDS, namespace=key.namespace, session_id=key.session_id)
    for record in records:
        try:
            header, _ = read_header(record)
        except Damaged as exc:
            if record is not records[-1]:
                continue  # its write is not remembered; it is the newest that counts
            exc.namespace, exc.session_id, exc.revision = *key, record.revision
            raise
        recent += [*header.recent, header.as_recent()]
    assert header is not None
    return Tip(header, records[-1].body[-envelope.DIGEST_SIZE :], tuple(recent))


def _unseal(
    key: SessionKey, record: Record, before: Tip | None, prefix: bytes, max_bytes: int
) -> tuple[Tip, bytes]:
    """Verify one record; return the tip without what only the last one needs, and its raw body."""
    header, compressed = read_header(record)
    if (header.kind is Kind.PATCH) != (before is not None):
        raise Damaged(f"a {header.kind.name.lower()} stands where it cannot in a segment")
    if before is not None and header.revision != before.header.revision + 1:
        raise Damaged(f"revision {before.header.revision + 1} is missing from its segment")
    stored = record.body[: -envelope.DIGEST_SIZE]
    expected = envelope.digest(key, before.digest if before else b"", record.head, stored)
    if record.body[-envelope.DIGEST_SIZE :] != expected:
        raise Damaged(
            "the digest does not match: the record, or one before it in its segment, was changed, "
            "cut short, or written for another session"
        )
    size = envelope.declared_size(stored, compressed=compressed)
    after = _after(before, header, record, size)
    after.check_size(max_bytes, size)
    return after, envelope.decompress(stored, size, prefix, compressed=compressed)


def _after(before: Tip | None, header: Header, record: Record, raw_size: int) -> Tip:
    stored = len(record.head) + len(record.body)
    chained = record.body[-envelope.DIGEST_SIZE :]
    if before is None:
        return Tip(header, chained, (), base_bytes=stored, base_raw=raw_size)
    return before._replace(
        header=header,
        digest=chained,
        patch_bytes=before.patch_bytes + stored,
        patch_raw=before.patch_raw + raw_size,
        patches=before.patches + 1,
    )


def _body(kind: Kind, raw: bytes) -> dict[int, Any]:
    try:
        body = decode(raw) if raw else {}
    except MissingTimeZone as exc:
        raise InvalidState(str(exc)) from exc
    except DecodeError as exc:
        raise Damaged(f"the body cannot be decoded ({exc})") from exc
    if type(body) is not dict or not _HOLDS[kind] <= body.keys() <= _HOLDS[kind] | {RESULT}:
        raise Damaged("the body does not hold what its kind of record holds")
    return body


def _apply(document: Any, operations: Any) -> Any:
    try:
        return apply(document, operations)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise Damaged(f"the patch does not fit the revision before it ({exc!r})") from exc
