"""Segments: a base and the patches after it, sealed into records and read back.

Each record is compressed against the raw bodies before it and its digest is chained to theirs, so
a segment is written and verified in order. Pure functions: bytes and values in, the same out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from checkpoint import envelope
from checkpoint.bodies import RESULT, Body, applied_to, build, read_body
from checkpoint.codec import DecodeError, MissingTimeZone, encode
from checkpoint.compression import compress, declared_size, decompress, decompressor
from checkpoint.diff import applied
from checkpoint.envelope import DIGEST_SIZE
from checkpoint.errors import CheckpointError, Damaged, InvalidState, StateTooLarge
from checkpoint.ids import SessionKey
from checkpoint.items import ItemList, Pages
from checkpoint.pages import PageData
from checkpoint.record import (
    Header,
    Kind,
    PageRef,
    Recent,
    Record,
    header_to_map,
    read_header,
)
from checkpoint.store import Segment

RING = 32
"""Writes, and turns, before its segment that a base remembers to answer a late retry of one."""

_KEPT_RESULT = 1024
"""Encoded bytes of a turn's result that the ring keeps, at most."""

_PREFIX_SIZE = 32 * 1024
_SHARE_PREFIX = 8  # patches that are compressed against the same prefix

# A segment is full when reading it costs more than a new base would: by its patches' stored bytes
# against the base's, their number (each costs about 20 µs to read), or their raw bytes.
MAX_PATCHES = 96
_PATCH_BYTES_PER_BASE = 2
_MIN_PATCH_BYTES = 16 * 1024
_RAW_PER_BASE = 8
_MIN_RAW_BYTES = 128 * 1024

_PATCH = Kind.PATCH
_NO_RECORDS = "the head names a segment of which no record is there"


class Tip(NamedTuple):
    """The end of a segment: as much of it as the next record must know.

    Attributes:
        header, digest: of the newest record.
        recent: the base's ring, and the writes of this segment.
        prefix: raw bytes of the segment that the next patch is compressed against.
        trail: raw bodies after those, that patches further on are compressed against.
        base_bytes, patch_bytes: stored bytes of the base, and of all patches.
        base_raw, patch_raw: the same before compression.
        patches: how many.
        epoch: of the session's head when it was read.
    """

    header: Header
    digest: bytes
    recent: tuple[Recent, ...]
    prefix: bytes = b""
    trail: tuple[bytes, ...] = ()
    base_bytes: int = 0
    base_raw: int = 0
    patch_bytes: int = 0
    patch_raw: int = 0
    patches: int = 0
    epoch: int = 0

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


class Stored(NamedTuple):
    """A segment verified, up to the revision asked for; pages may be needed to build its document.

    Attributes:
        base: its body; that of a tombstone holds nothing.
        patches: the bodies after it.
        tip: the end of what was read.
    """

    base: Body
    patches: tuple[Body, ...]
    tip: Tip

    def build(self, key: SessionKey, pages: Pages) -> Baseline:
        """What was read, with its document. ``pages`` has those of the base's big values."""
        newest = self.patches[-1] if self.patches else self.base
        number = self.tip.header.revision
        spilled = tuple(self.base.spilled())
        read = Baseline(
            self.tip,
            fields=self.base.fields,
            result=newest.result,
            pages=dict(pages),
            spilled=spilled,
        )
        try:
            document = build(self.base, self.patches, pages) if self.base.content else None
            return read.with_document(document)
        except MissingTimeZone as exc:
            raise _told(key, number, InvalidState(str(exc))) from exc
        except (TypeError, ValueError) as exc:  # of what is no document, or nested too deep for one
            raise _told(key, number, Damaged(f"the document cannot be built ({exc})")) from exc

    def build_on(self, key: SessionKey, before: Baseline) -> Baseline:
        """What was read after ``before``, of the same segment."""
        document, number = before.document, self.tip.header.revision
        after = before._replace(tip=self.tip, result=self.patches[-1].result)
        try:
            for patch in self.patches:
                document = applied_to(document, patch.build({}), applied)
            return after.with_document(document)
        except (TypeError, ValueError) as exc:
            raise _told(key, number, Damaged(f"the document cannot be built ({exc})")) from exc


class Baseline(NamedTuple):
    """A revision as this process knows it: what a state is built from, and compared with.

    Attributes:
        tip: the end of its segment; None for a state that was never saved.
        document: the state at that revision, as plain data, its long lists as ``ItemList``; never
            changed, parts of it may be shared. None for a tombstone.
        encoded, lists: the encoding of the document, and the long lists in it.
        fields: the model's fields as its writer declared them (see :mod:`checkpoint.fields`).
        result: ``{}``, or ``{RESULT: value}`` where the revision's turn returned one.
        pages: those that are at hand, by id.
        spilled: the pages of big values, which are all in ``pages``.
    """

    tip: Tip | None = None
    document: Any = None
    encoded: bytes = encode(None)
    lists: tuple[ItemList, ...] = ()
    fields: dict[str, str] = {}
    result: dict[int, Any] = {}
    pages: dict[bytes, PageData] = {}
    spilled: tuple[PageRef, ...] = ()

    @property
    def end(self) -> Tip:
        """The end of the segment, of what is or was saved."""
        assert self.tip is not None
        return self.tip

    @property
    def header(self) -> Header:
        """Of the revision, or the tombstone."""
        return self.end.header

    @property
    def saved(self) -> Header | None:
        """The header of the revision; None for a state that was never saved."""
        return self.tip.header if self.tip and self.tip.header.kind is not Kind.TOMBSTONE else None

    def with_document(self, document: Any, **others: Any) -> Baseline:
        """The same with another document, and perhaps other attributes."""
        lists: list[Any] = []
        encoded = encode(document, lists)
        return self._replace(document=document, encoded=encoded, lists=tuple(lists), **others)


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
    stored, compressed = compress(raw, follows.prefix if follows else b"")
    head = envelope.seal_head(header_to_map(header), compressed=compressed)
    chained = envelope.digest(key, follows.digest if follows else b"", head, stored)
    record = Record(header.revision, head, stored + chained)
    if follows is None and len(raw) > _most(max_bytes):
        raise _told(key, None, _too_large(len(raw), max_bytes))
    mine = header.as_recent(_kept({RESULT: body[RESULT]} if RESULT in body else {}))
    after = _after(follows, header, [record], [raw], [*header.recent, mine])
    return record, after._replace(epoch=tip.epoch if tip else 0)


def _remembered(kind: Kind, tip: Tip) -> tuple[Recent, ...]:
    """The ring of a new segment: the last writes, and the last turns further back."""
    if kind is Kind.TOMBSTONE:  # the turns of a deleted session are not those of its successor
        return tuple(write._replace(turn_id=None, result=None) for write in tip.recent[-RING:])
    turns = [write for write in tip.recent[:-RING] if write.turn_id is not None]
    room = RING - sum(write.turn_id is not None for write in tip.recent[-RING:])
    return (*turns[len(turns) - room :], *tip.recent[-RING:]) if room else tip.recent[-RING:]


def read(
    key: SessionKey, records: Sequence[Record], max_bytes: int, after: Tip | None = None
) -> Stored:
    """Verify and read a segment: its base and the patches up to the last record given.

    Args:
        max_bytes: the largest document to read.
        after: the tip that the records follow, for the rest of a segment read before.

    Raises:
        Damaged: a record is not what was written here, or one is missing.
        UnsupportedFormat: a newer version of the library wrote it.
        StateTooLarge: it exceeds the limit; the body that does was not decompressed.
        InvalidState: it names a time zone that this host has no data for.
    """
    if not records:
        raise Damaged(_NO_RECORDS, namespace=key.namespace, session_id=key.session_id)
    raws: list[bytes] = []
    bodies: list[Body] = []
    recent: list[Recent] = []
    chain = _Chain(key, after, max_bytes)
    for record in records:
        try:
            header, raw = chain.unseal(record)
            body = read_body(header.kind, raw, header.pages)
        except MissingTimeZone as exc:
            raise _told(key, record.revision, InvalidState(str(exc))) from exc
        except DecodeError as exc:
            told = Damaged(f"the body cannot be decoded ({exc})")
            raise _told(key, record.revision, told) from exc
        except CheckpointError as exc:
            _told(key, record.revision, exc)
            raise
        raws.append(raw)
        bodies.append(body)
        recent += header.recent
        recent.append(header.as_recent(_kept(body.result) if body.result else None))
    tip = _after(after, header, records, raws, recent)
    base, *patches = bodies if after is None else [Body(), *bodies]
    return Stored(base, tuple(patches), tip)


def _kept(result: dict[int, Any]) -> bytes | None:
    """What the ring keeps of a turn's result, so that it outlives its revision."""
    if RESULT not in result:
        return None
    encoded = encode(result[RESULT])
    return encoded if len(encoded) <= _KEPT_RESULT else b""


def _told(key: SessionKey, revision: int | None, exc: CheckpointError) -> CheckpointError:
    exc.namespace, exc.session_id, exc.revision = *key, revision
    return exc


def survey(key: SessionKey, segment: Segment) -> Tip:
    """The tip of a segment by its headers alone, for what goes on it without reading it.

    A new base or a tombstone needs no body, so a state that is damaged or too large can still be
    deleted or rolled back.

    Raises:
        Damaged: the newest header cannot be read.
    """
    records = segment.records
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
        # What a turn returned is in the body: whoever asks is told that it cannot be had.
        recent += [*header.recent, header.as_recent(b"" if header.turn_id else None)]
    assert header is not None
    digest = records[-1].body[-DIGEST_SIZE:]
    return Tip(header, digest, tuple(recent), epoch=segment.head.epoch)


class _Chain:
    """Verifies records that follow each other.

    Args:
        tip: what the first of them follows; None where that is a base.
        max_bytes: the largest encoded document.
    """

    def __init__(self, key: SessionKey, tip: Tip | None, max_bytes: int) -> None:
        self._key = key
        self._digest = tip.digest if tip else b""
        self._revision = tip.header.revision if tip else None
        self._max_bytes = max_bytes
        self._most = _most(max_bytes)
        self._total = tip.base_raw + tip.patch_raw if tip else 0
        self._prefix = bytearray(tip.prefix if tip else b"")
        self._trail = list(tip.trail) if tip else []
        self._context: Any = None  # for all that have the same prefix

    def unseal(self, record: Record) -> tuple[Header, bytes]:
        """The header of the next record, and its raw body."""
        header, compressed = read_header(record)
        before = self._revision
        if (header.kind is _PATCH) != (before is not None):
            raise Damaged(f"a {header.kind.name.lower()} stands where it cannot in a segment")
        if before is not None and header.revision != before + 1:
            raise Damaged(f"revision {before + 1} is missing from its segment")
        head, stored, digest = record.head, record.body[:-DIGEST_SIZE], record.body[-DIGEST_SIZE:]
        if digest != envelope.digest(self._key, self._digest, head, stored):
            raise Damaged(
                "the digest does not match: the record, or one before it in its segment, was "
                "changed, cut short, or written for another session"
            )
        size = declared_size(stored) if compressed else len(stored)
        self._total += size
        if size > self._most or self._total > (1 + _RAW_PER_BASE) * self._most:
            raise _too_large(self._total, self._max_bytes)
        raw = stored
        if compressed:
            self._context = self._context or decompressor(bytes(self._prefix))
            raw = decompress(stored, size, self._context)
        self._digest, self._revision = digest, header.revision
        self._trail.append(raw)
        if before is None or len(self._trail) == _SHARE_PREFIX:
            self._prefix += b"".join(self._trail)
            del self._prefix[:-_PREFIX_SIZE]
            self._trail.clear()
            self._context = None
        return header, raw


def _most(max_bytes: int) -> int:
    """Bytes that a raw body may have.

    Args:
        max_bytes: the largest encoded document; a body may hold a result of that size too.
    """
    return 2 * max_bytes + _MIN_RAW_BYTES


def _too_large(total: int, max_bytes: int) -> StateTooLarge:
    return StateTooLarge(
        f"the stored state has bodies of {total} bytes, too many for the limit of "
        f"{max_bytes}; open the store with a larger max_bytes if it is trusted"
    )


def _after(
    before: Tip | None,
    header: Header,
    records: Sequence[Record],
    raws: Sequence[bytes],
    recent: Sequence[Recent],
) -> Tip:
    """The tip with more records.

    Args:
        before: None, where the first of them is a base.
        header: of the last of them.
        raws, recent: their raw bodies, and what they add to the ring.
    """
    digest = records[-1].body[-DIGEST_SIZE:]
    stored, raw = [len(record.head) + len(record.body) for record in records], [*map(len, raws)]
    if before is None:
        before = Tip(header, digest, (), raws[0][-_PREFIX_SIZE:], (), stored.pop(0), raw.pop(0))
        raws = raws[1:]
    patches, prefix, trail = before.patches + len(raws), before.prefix, (*before.trail, *raws)
    if len(trail) >= _SHARE_PREFIX:  # so what is made of a prefix for one is used for others
        end = len(trail) - patches % _SHARE_PREFIX
        prefix, trail = b"".join((prefix, *trail[:end]))[-_PREFIX_SIZE:], trail[end:]
    return before._replace(
        header=header,
        digest=digest,
        recent=(*before.recent, *recent),
        prefix=prefix,
        trail=trail,
        patch_bytes=before.patch_bytes + sum(stored),
        patch_raw=before.patch_raw + sum(raw),
        patches=patches,
    )
