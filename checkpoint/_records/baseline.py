"""Baselines: revisions in memory, each with the tip of its segment and its document."""

from __future__ import annotations

from typing import Any, NamedTuple

from checkpoint._document.codec import encode
from checkpoint._document.items import ItemList
from checkpoint._document.pages import PageData, PageRef
from checkpoint._limits import MIN_RAW_BYTES, RAW_PER_BASE
from checkpoint._records.header import Kind, Recent, RecordHeader

# A segment is full when reading it costs more than a new base would: by its patches' stored bytes
# against the base's, their number (each costs about 20 µs to read), or their raw bytes.
MAX_PATCHES = 96
_PATCH_BYTES_PER_BASE = 2
_MIN_PATCH_BYTES = 16 * 1024


class Tip(NamedTuple):
    """The end of a segment: all that the next record needs to know of it.

    Attributes:
        header, digest: of the newest record.
        recent: the base's ring, and the writes of this segment.
        prefix: raw bytes of the segment that the next patch is compressed against.
        trail: raw bodies after the prefix, against which later patches are compressed.
        base_bytes, patch_bytes: stored bytes of the base, and of all patches.
        base_raw, patch_raw: the same before compression.
        patches: number of patches.
        epoch: of the session's head when it was read.
    """

    header: RecordHeader
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
        """Whether the segment with its newest patch costs less than a new base.

        If so, it is within the limits of every reader that can read its base.
        """
        return (
            self.patches <= MAX_PATCHES
            and self.patch_raw - before.patch_raw <= max(MIN_RAW_BYTES, self.base_raw)
            and self.patch_bytes <= max(_MIN_PATCH_BYTES, _PATCH_BYTES_PER_BASE * self.base_bytes)
            and self.patch_raw <= max(MIN_RAW_BYTES, RAW_PER_BASE * self.base_raw)
        )


class Baseline(NamedTuple):
    """A revision in memory: states are built from it and compared with it.

    Attributes:
        tip: the end of its segment; None for a state that was never saved.
        document: the state at that revision as plain data, its long lists as ``ItemList``; never
            changed, and parts of it may be shared. None for a tombstone.
        encoded, lists: the encoding of the document, and the long lists in it.
        fields: the model's fields as its writer declared them.
        result: ``{}``, or ``{RESULT: value}`` where the revision's turn returned one.
        pages: the loaded pages, by id.
        spilled: the pages of big values, all of them in ``pages``.
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
        """The tip of a revision that is or was saved."""
        assert self.tip is not None
        return self.tip

    @property
    def header(self) -> RecordHeader:
        """The header of the revision or tombstone."""
        return self.end.header

    @property
    def saved(self) -> RecordHeader | None:
        """The header of the revision; None for a state that was never saved."""
        return self.tip.header if self.tip and self.tip.header.kind is not Kind.TOMBSTONE else None

    def with_document(self, document: Any, **others: Any) -> Baseline:
        """A copy with another document and, optionally, other attributes."""
        lists: list[Any] = []
        encoded = encode(document, lists)
        return self._replace(document=document, encoded=encoded, lists=tuple(lists), **others)
