"""The bytes of a head object and of a finished segment.

    b"ACH"  format version   flags   key id   |   start   finished segments   index   records
    b"ACS"  format version   flags   key id   |   epoch                       index   records
    3       1                1       1

The start of a head object holds the ids and the head of the session, and can be read alone, for
listings. The finished segments follow, with the first and last revision and the digest of each. The
*index* has the revision of each record and the sizes of its header and body, which follow one after
the other and have their own checks. These parts are MessagePack, each after its length (4 bytes)
and before the CRC-32 of all bytes up to there. All numbers are big-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from checkpoint._document.codec import DecodeError, decode_shallow, encode
from checkpoint._ids import SessionKey
from checkpoint._records import frame
from checkpoint.errors import CheckpointError, Damaged, UnsupportedFormat
from checkpoint.store import Head, Record

E = TypeVar("E", bound=CheckpointError)

START = 2048
"""Bytes of a head object that are enough to list it, however long its ids."""

SEGMENT_START = 16 * 1024
"""Bytes of a finished segment that usually contain the header of its first record."""

_DIGEST_SIZE = 8
_SIZE = Struct(">I")

# Field numbers of the start of a head object. Never reuse one.
_NAMESPACE, _SESSION, _REVISION, _WRITE_ID, _BASE, _SAVED_AT, _DELETED, _EPOCH, _GENERATION = range(
    1, 10
)


class Finished(NamedTuple):
    """A segment stored as a separate object.

    Attributes:
        base, last: its first and last revision.
        digest: of its bytes.
    """

    base: int
    last: int
    digest: bytes

    @property
    def id(self) -> bytes:
        """The id of its object; segments are stored next to pages."""
        return self.base.to_bytes(8, "big") + self.last.to_bytes(8, "big") + self.digest


class Session(NamedTuple):
    """The content of a head object.

    Attributes:
        generation: the revision of the last deletion; 0 if there was none.
        finished: the segments before the newest, oldest first.
        records: of the newest segment.
    """

    head: Head
    generation: int = 0
    finished: tuple[Finished, ...] = ()
    records: tuple[Record, ...] = ()

    def has(self, revision: int) -> bool:
        """Whether a revision is stored."""
        return any(record.revision == revision for record in self.records) or any(
            segment.base <= revision <= segment.last for segment in self.finished
        )


# --- head objects --------------------------------------------------------------------------------


def pack_session(key: SessionKey, session: Session) -> bytes:
    """Encode a head object."""
    head = session.head
    start = {
        _NAMESPACE: key.namespace,
        _SESSION: key.session_id,
        _REVISION: head.revision,
        _WRITE_ID: head.write_id,
        _BASE: head.base,
        _SAVED_AT: head.saved_at,
        _DELETED: head.deleted,
        _EPOCH: head.epoch,
        _GENERATION: session.generation,
    }
    data = frame.start(frame.HEAD_OBJECT)
    for block in (start, _packed(session.finished)):
        data = _with_block(data, block)
    return _with_records(data, session.records)


def unpack_session(key: SessionKey, data: bytes) -> Session:
    """The inverse of :func:`pack_session`.

    Raises:
        Damaged: these bytes were not written for this session.
        UnsupportedFormat: a newer version of the library wrote them.
    """
    try:
        found, session, at = _unpack_start(data)
        block, at = _block(data, at)
        finished = _unpacked(block)
        records = _records(data, at)
    except (Damaged, UnsupportedFormat) as exc:
        exc.at(key)
        raise
    except (ValueError, TypeError) as exc:
        raise Damaged(f"its head object is malformed ({exc!r})").at(key) from exc
    if found != key:
        raise Damaged(f"its head object belongs to session {found}").at(key)
    return session._replace(finished=finished, records=records)


def _packed(finished: Sequence[Finished]) -> list[Any]:
    """A compact form of segments: for each, the distance from the one before, and its length."""
    numbers: list[int] = []
    at = 0
    for base, last, _ in finished:
        numbers += (base - at, last - base)
        at = last
    return [numbers, b"".join(segment.digest for segment in finished)]


def _unpacked(block: Any) -> tuple[Finished, ...]:
    numbers, digests = block
    finished = []
    last = 0
    for n, (after, length) in enumerate(zip(numbers[::2], numbers[1::2], strict=True)):
        base = last + after
        last = base + length
        digest = digests[n * _DIGEST_SIZE : (n + 1) * _DIGEST_SIZE]
        finished.append(Finished(base, last, digest))
    return tuple(finished)


def unpack_start(data: bytes) -> tuple[SessionKey, Head]:
    """Decode the start of a head object: the key of its session, and the head.

    Raises:
        Damaged, UnsupportedFormat: see :func:`unpack_session`.
    """
    key, session, _ = _unpack_start(data)
    return key, session.head


def _unpack_start(data: bytes) -> tuple[SessionKey, Session, int]:
    frame.flags_of(data, frame.HEAD_OBJECT, "an object")
    block, at = _block(data, frame.START_SIZE)
    try:
        key = SessionKey(block[_NAMESPACE], block[_SESSION])
        head = Head(*(block[number] for number in range(_REVISION, _GENERATION)))
        return key, Session(head, block[_GENERATION]), at
    except (LookupError, TypeError) as exc:
        raise Damaged(f"the head object is malformed ({exc!r})") from exc


# --- finished segments ---------------------------------------------------------------------------


def pack_segment(base: int, records: Sequence[Record], epoch: int) -> tuple[Finished, bytes]:
    """Encode a finished segment: its entry in the head, and its bytes.

    The digest covers the epoch, so the id of a collected segment is never reused: a segment that a
    stalled writer of an earlier epoch still writes is garbage, under a different key.
    """
    data = _with_records(_with_block(frame.start(frame.SEGMENT_OBJECT), epoch), records)
    digest = blake2b(data, digest_size=_DIGEST_SIZE).digest()
    return Finished(base, records[-1].revision, digest), data


def unpack_segment(key: SessionKey, segment: Finished, data: bytes) -> tuple[Record, ...]:
    """The inverse of :func:`pack_segment`.

    Raises:
        Damaged: these are not the bytes that were written.
        UnsupportedFormat: a newer version of the library wrote them.
    """
    try:
        records = _records(data, _after_epoch(data))
    except (Damaged, UnsupportedFormat) as exc:
        raise located(exc, key, segment)  # noqa: B904 - the same error
    if not records or records[-1].revision != segment.last:
        raise located(Damaged("their object contains another segment"), key, segment)
    return records


def first_of_segment(key: SessionKey, segment: Finished, data: bytes) -> tuple[Record, int] | None:
    """The first record of a segment without its body, from the first bytes; and its size.

    None if these are too few. Raises the errors of :func:`unpack_segment`.
    """
    try:
        at = _after_epoch(data)
        size = at + int.from_bytes(data[at : at + _SIZE.size], "big") + _SIZE.size + frame.SUM_SIZE
        if size > len(data):
            return None
        index, at = _block(data, at)
    except (Damaged, UnsupportedFormat) as exc:
        raise located(exc, key, segment)  # noqa: B904 - the same error
    revision, head, body = index[:3]
    if at + head > len(data):
        return None
    return Record(revision, data[at : at + head], b""), head + body


def located(exc: E, key: SessionKey, segment: Finished) -> E:
    """The error, with the session and the revisions of a finished segment added."""
    exc.args = (f"revisions {segment.base} to {segment.last}: {exc.args[0]}",)
    return exc.at(key, segment.base)


def _after_epoch(data: bytes) -> int:
    frame.flags_of(data, frame.SEGMENT_OBJECT, "an object")
    return _block(data, frame.START_SIZE)[1]


# --- both ----------------------------------------------------------------------------------------


def _with_block(data: bytes, value: Any) -> bytes:
    block = encode(value)
    return frame.with_sum(data + _SIZE.pack(len(block)) + block)


def _block(data: bytes, at: int) -> tuple[Any, int]:
    """The value of a block, and where the next part begins."""
    begin = at + _SIZE.size
    end = begin + int.from_bytes(data[at:begin], "big")
    if data[: end + frame.SUM_SIZE] != frame.with_sum(data[:end]):
        raise Damaged("an object was changed or truncated")
    try:
        return decode_shallow(data[begin:end]), end + frame.SUM_SIZE
    except DecodeError as exc:
        raise Damaged(f"an object cannot be decoded ({exc})") from exc


def _with_records(data: bytes, records: Sequence[Record]) -> bytes:
    index = [n for revision, head, body in records for n in (revision, len(head), len(body))]
    parts = [part for _, head, body in records for part in (head, body)]
    return b"".join((_with_block(data, index), *parts))


def _records(data: bytes, at: int) -> tuple[Record, ...]:
    index, at = _block(data, at)
    records = []
    for revision, head, body in zip(index[::3], index[1::3], index[2::3], strict=True):
        middle, end = at + head, at + head + body
        records.append(Record(revision, data[at:middle], data[middle:end]))
        at = end
    if at != len(data):
        raise Damaged(f"an object has {len(data)} bytes, but declares {at}")
    return tuple(records)
