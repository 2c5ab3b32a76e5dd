"""Lists the record headers of finished segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checkpoint._ids import SessionKey
from checkpoint.errors import Damaged, UnsupportedFormat
from checkpoint.store import Record
from checkpoint_objectstore._format import SEGMENT_START, Finished, first_of_segment, unpack_segment
from checkpoint_objectstore._layout import folder_of
from checkpoint_objectstore.objects import AsyncObjects

Listed = list[tuple[Record, int]]
"""Records without their bodies, newest first, and the size of each."""


async def list_segments(
    objects: AsyncObjects,
    key: SessionKey,
    segments: Sequence[Finished],
    before: int | None,
    *,
    bases: bool,
) -> tuple[Listed, bool]:
    """List the records of segments below a revision, and say whether all segments exist.

    A missing or damaged segment is listed with empty records, so that its session can still be
    deleted and pruned.

    Args:
        segments: newest first.
        bases: only the first record of each segment.
    """
    names = {folder_of(key).page(segment.id): segment for segment in segments}
    found = await objects.get_many(list(names), first=SEGMENT_START if bases else None)
    listed: Listed = []
    for name, segment in names.items():
        numbers = (segment.base,) if bases else range(segment.base, segment.last + 1)
        try:
            data = found.get(name, b"")
            first = first_of_segment(key, segment, data) if bases else None
            if first is not None:
                listed += [first] if first[0].revision == segment.base else []
                continue
            if bases and name in found:  # the header names too many pages for SEGMENT_START
                data = (await objects.get_many([name])).get(name, b"")
            some: Iterable[Record] = unpack_segment(key, segment, data)
        except (Damaged, UnsupportedFormat):
            some = [Record(number, b"", b"") for number in numbers]
        listed += list_records(some, segment.base, before, bases=bases)
    return listed, found.keys() == names.keys()


def list_records(
    records: Iterable[Record], base: int, before: int | None, *, bases: bool
) -> Listed:
    """The records of one segment below a revision."""
    return [
        (record._replace(body=b""), len(record.header) + len(record.body))
        for record in reversed(tuple(records))
        if (before is None or record.revision < before) and (not bases or record.revision == base)
    ]
