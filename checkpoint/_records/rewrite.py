"""Rewriting: the records after a removed revision become a segment of their own. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpoint._document.codec import decode
from checkpoint._document.diff import applied
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.baseline import Baseline
from checkpoint._records.body import Body, applied_to, base_body, patch_body
from checkpoint._records.header import Kind, read_header
from checkpoint._records.segment import encode_record, read
from checkpoint.errors import Damaged
from checkpoint.store import Record


def rewritten(
    key: SessionKey, records: Sequence[Record], gone: Baseline, limits: Limits
) -> list[Record]:
    """The records after a revision of a segment, as a segment of their own.

    They keep their numbers, write ids, times and documents; the first becomes a base. It names only
    pages that the old base named.

    Args:
        records: the whole segment.
        gone: the removed revision, as it was loaded.

    Raises:
        Damaged, UnsupportedFormat, StateTooLarge: see :func:`checkpoint._records.segment.read`.
    """
    place = gone.header.revision - records[0].revision + 1
    if place == len(records):
        return []
    before = read(key, records[:place], limits)
    first, *patches = read(key, records[place:], limits, after=before.tip).patches
    document = _document(before.base, [*before.patches, first], gone)
    body, named = base_body(document, gone.fields, first.result)
    # States of this segment that are saved later may name its big values again.
    more = [page for page in before.base.spilled() if page not in named]
    header = read_header(records[place])[0]._replace(
        kind=Kind.BASE,
        parent_write_id=before.tip.header.write_id,
        parent_digest=before.tip.digest,
        pages=(*named, *more),
    )
    record, tip = encode_record(key, header, body, before.tip, limits)
    encoded = [record]
    for patch, old in zip(patches, records[place + 1 :], strict=True):
        body, _ = patch_body(patch.build({}), patch.result)
        record, tip = encode_record(key, read_header(old)[0], body, tip, limits)
        encoded.append(record)
    return encoded


def _document(base: Body, patches: Sequence[Body], gone: Baseline) -> Any:
    """The document after those patches; big values stay in their pages unless one was touched."""
    assert isinstance(base.content, bytes)
    document = decode(base.content, list(base.nodes))
    try:
        for patch in patches:
            document = applied_to(document, patch.build({}), applied)
    except Damaged:
        return applied_to(gone.document, patches[-1].build({}), applied)
    return document
