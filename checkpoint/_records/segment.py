"""Segments: a base and the patches after it, encoded as records and read back.

Each record is compressed against the raw bodies before it and its digest is chained to theirs, so
a segment is written and verified in order. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from zstandard import ZstdDecompressor

from checkpoint._document.codec import DecodeError, MissingTimeZone, encode
from checkpoint._document.diff import applied
from checkpoint._document.items import Pages
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records import frame
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.body import RESULT, Body, applied_to, build, read_body
from checkpoint._records.compression import decompressor
from checkpoint._records.frame import DIGEST_SIZE
from checkpoint._records.header import Kind, Recent, RecordHeader, header_fields, read_header
from checkpoint.errors import CheckpointError, Damaged, InvalidState
from checkpoint.store import Record, Segment

RING = 32
"""Number of earlier writes, and of turns, that a base remembers to answer late retries."""

_KEPT_RESULT = 1024
"""Most encoded bytes of a turn's result in the ring."""

_PREFIX_SIZE = 32 * 1024
_SHARE_PREFIX = 8  # patches that are compressed against the same prefix

_PATCH = Kind.PATCH
_NO_RECORDS = "the store has no record of the segment that the head names"


class Stored(NamedTuple):
    """A verified segment, up to the requested revision; to build its document may take pages.

    Attributes:
        base: the body of the base; empty for a tombstone.
        patches: the bodies of the patches.
        tip: the end of the records that were read.
    """

    base: Body
    patches: tuple[Body, ...]
    tip: Tip

    def build(self, key: SessionKey, pages: Pages) -> Baseline:
        """The revision with its document. ``pages`` has those of the base's big values."""
        newest = self.patches[-1] if self.patches else self.base
        number = self.tip.header.revision
        spilled = tuple(self.base.spilled())
        baseline = Baseline(
            self.tip,
            fields=self.base.fields,
            result=newest.result,
            pages=dict(pages),
            spilled=spilled,
        )
        try:
            document = build(self.base, self.patches, pages) if self.base.content else None
            return baseline.with_document(document)
        except MissingTimeZone as exc:
            raise InvalidState(str(exc)).at(key, number) from exc
        except (TypeError, ValueError) as exc:  # not a document, or nested too deep
            raise Damaged(f"the document cannot be built ({exc})").at(key, number) from exc

    def build_on(self, key: SessionKey, before: Baseline) -> Baseline:
        """The revision, built on an earlier one of the same segment."""
        document, number = before.document, self.tip.header.revision
        after = before._replace(tip=self.tip, result=self.patches[-1].result)
        try:
            for patch in self.patches:
                document = applied_to(document, patch.build({}), applied)
            return after.with_document(document)
        except (TypeError, ValueError) as exc:
            raise Damaged(f"the document cannot be built ({exc})").at(key, number) from exc


def encode_record(
    key: SessionKey, header: RecordHeader, body: dict[int, Any], tip: Tip | None, limits: Limits
) -> tuple[Record, Tip]:
    """Encode one record; return it, and the tip after it.

    A patch continues ``tip``; a base or a tombstone starts a segment and takes only the ring.

    Raises:
        TypeError, ValueError: the body cannot be encoded.
        StateTooLarge: readers with these limits could not read it back.
    """
    raw = encode(body) if body else b""
    follows = tip if header.kind is Kind.PATCH else None
    if follows is not None:
        header = header._replace(parent_write_id=b"", parent_digest=b"")  # those of the tip
    elif tip is not None:
        header = header._replace(recent=_remembered(header.kind, tip))
    stored, flags = frame.pack(raw, follows.prefix if follows else b"")
    encoded = frame.encode_header(header_fields(header), flags)
    chained = frame.digest(key, follows.digest if follows else b"", encoded, stored)
    record = Record(header.revision, encoded, stored + chained)
    end = _OpenTip(follows)
    if follows is None:
        end.check_size(key, len(raw), limits)
    end.add(header, record, raw, {RESULT: body[RESULT]} if RESULT in body else {})
    return record, end.tip(tip.epoch if tip else 0)


def _remembered(kind: Kind, tip: Tip) -> tuple[Recent, ...]:
    """The ring of a new segment: the last writes, and the last turns before them."""
    if kind is Kind.TOMBSTONE:  # the turns of a deleted session are not those of its successor
        return tuple(write._replace(turn_id=None, result=None) for write in tip.recent[-RING:])
    turns = [write for write in tip.recent[:-RING] if write.turn_id is not None]
    room = RING - sum(write.turn_id is not None for write in tip.recent[-RING:])
    return (*turns[len(turns) - room :], *tip.recent[-RING:]) if room else tip.recent[-RING:]


def read(
    key: SessionKey,
    records: Sequence[Record],
    limits: Limits,
    after: Tip | None = None,
    epoch: int = 0,
) -> Stored:
    """Verify and read a segment: its base and the patches up to the last record given.

    Args:
        after: the tip that the records follow, if the start of the segment was read before.
        epoch: of the session's head, as read with the records.

    Raises:
        Damaged: a record was changed or replaced, or one is missing.
        UnsupportedFormat: a newer version of the library wrote a record.
        StateTooLarge: the segment exceeds the limit; the body over it was not decompressed.
        InvalidState: a record names a time zone that this host has no data for.
    """
    if not records:
        raise Damaged(_NO_RECORDS).at(key)
    end = _OpenTip(after)
    bodies = [] if after is None else [Body()]
    for record in records:
        try:
            bodies.append(end.read(key, record, limits))
        except MissingTimeZone as exc:
            raise InvalidState(str(exc)).at(key, record.revision) from exc
        except DecodeError as exc:
            reason = f"the body cannot be decoded ({exc})"
            raise Damaged(reason).at(key, record.revision) from exc
        except CheckpointError as exc:
            exc.at(key, record.revision)
            raise
    base, *patches = bodies
    return Stored(base, tuple(patches), end.tip(epoch))


def _kept(result: dict[int, Any]) -> bytes | None:
    """A turn's result for the ring, where it outlives its revision; empty if it is too long."""
    if RESULT not in result:
        return None
    encoded = encode(result[RESULT])
    return encoded if len(encoded) <= _KEPT_RESULT else b""


def survey(key: SessionKey, segment: Segment) -> Tip:
    """The tip of a segment from its headers alone, for a base or tombstone that follows it.

    Neither needs the bodies, so a state that is damaged or too large can still be deleted or rolled
    back.

    Raises:
        Damaged: the newest header cannot be read.
    """
    records = segment.records
    recent: list[Recent] = []
    header = None
    if not records:
        raise Damaged(_NO_RECORDS).at(key)
    for record in records:
        try:
            header, _ = read_header(record)
        except Damaged as exc:
            if record is not records[-1]:
                continue  # its write is not remembered; only the newest is required
            exc.at(key, record.revision)
            raise
        # The result of a turn is in the body, so it counts as too long for the ring.
        recent += [*header.recent, header.as_recent(b"" if header.turn_id else None)]
    assert header is not None
    digest = records[-1].body[-DIGEST_SIZE:]
    return Tip(header, digest, tuple(recent), epoch=segment.head.epoch)


class _OpenTip:
    """The end of a segment while records are added to it: a mutable :class:`Tip`."""

    def __init__(self, tip: Tip | None) -> None:
        self._header = tip.header if tip else None
        self._digest, self._prefix = (tip.digest, tip.prefix) if tip else (b"", b"")
        self._recent, self._trail = ([*tip.recent], [*tip.trail]) if tip else ([], [])
        self._base_bytes, self._base_raw = (tip.base_bytes, tip.base_raw) if tip else (0, 0)
        self._patch_bytes, self._patch_raw = (tip.patch_bytes, tip.patch_raw) if tip else (0, 0)
        self._patches = tip.patches if tip else 0
        self._context: ZstdDecompressor | None = None  # of the prefix

    def read(self, key: SessionKey, record: Record, limits: Limits) -> Body:
        """Verify and add the next record; return its body."""
        header, flags = read_header(record)
        before = self._header
        if (header.kind is _PATCH) != (before is not None):
            verb = "start" if before is None else "continue"
            raise Damaged(f"a {header.kind.name.lower()} cannot {verb} a segment")
        if before is not None and header.revision != before.revision + 1:
            raise Damaged(f"revision {before.revision + 1} is missing from its segment")
        stored = record.body[:-DIGEST_SIZE]
        expected = frame.digest(key, self._digest, record.header, stored)
        if record.body[-DIGEST_SIZE:] != expected:
            raise Damaged(
                "the digest does not match: the record, or one before it in its segment, was "
                "changed, cut short, or written for another session"
            )
        size = frame.unpacked_size(stored, flags)
        self.check_size(key, size, limits)
        raw = frame.unpack(stored, flags, size, self._decompressor)
        body = read_body(header.kind, raw, header.pages)
        self.add(header, record, raw, body.result)
        return body

    def _decompressor(self) -> ZstdDecompressor:
        self._context = self._context or decompressor(self._prefix)
        return self._context

    def check_size(self, key: SessionKey, raw_size: int, limits: Limits) -> None:
        """Raise StateTooLarge if a body of this size would make the segment too large."""
        limits.check_segment(key, raw_size, raw_size + self._base_raw + self._patch_raw)

    def add(self, header: RecordHeader, record: Record, raw: bytes, result: dict[int, Any]) -> None:
        """Add a record; ``result`` is that of its turn."""
        stored = len(record.header) + len(record.body)
        if self._header is None:
            self._base_bytes, self._base_raw = stored, len(raw)
            self._prefix, self._context = raw[-_PREFIX_SIZE:], None
        else:
            self._patch_bytes += stored
            self._patch_raw += len(raw)
            self._patches += 1
            self._trail.append(raw)
            if self._patches % _SHARE_PREFIX == 0:  # others reuse its context
                over = max(len(self._prefix) + sum(map(len, self._trail)) - _PREFIX_SIZE, 0)
                joined = b"".join((memoryview(self._prefix)[over:], *self._trail))
                self._prefix, self._context = joined[-_PREFIX_SIZE:], None
                self._trail.clear()
        self._header, self._digest = header, record.body[-DIGEST_SIZE:]
        self._recent += header.recent
        self._recent.append(header.as_recent(_kept(result) if result else None))

    def tip(self, epoch: int) -> Tip:
        """The end as it is now."""
        assert self._header is not None
        return Tip(
            self._header,
            self._digest,
            tuple(self._recent),
            self._prefix,
            tuple(self._trail),
            self._base_bytes,
            self._base_raw,
            self._patch_bytes,
            self._patch_raw,
            self._patches,
            epoch,
        )
