"""Computes the head object after a commit or a pruning, and the segments to write before it."""

from __future__ import annotations

from collections.abc import Mapping

from checkpoint.store import Commit, Pruning, Record
from checkpoint_objectstore._format import Finished, Session, pack_segment

Written = dict[bytes, bytes]
"""Finished segments to write, by id."""


def after_commit(before: Session, commit: Commit) -> tuple[Session, Written]:
    """Apply a commit to a session. A new base finishes the segment before it."""
    head = commit.head
    if head.deleted:
        return Session(head, generation=head.revision, records=(commit.record,)), {}
    if head.base == before.head.base:
        return before._replace(head=head, records=(*before.records, commit.record)), {}
    finished, written = before.finished, {}
    if before.records:
        segment, data = pack_segment(before.head.base, before.records, head.epoch)
        finished, written = (*finished, segment), {segment.id: data}
    after = Session(head, before.generation, finished, (commit.record,))
    return after, written


def touched(before: Session, pruning: Pruning) -> list[Finished]:
    """The finished segments that a pruning removes in part or writes to."""
    revisions = [record.revision for record, _ in pruning.records]
    return [
        segment
        for segment in before.finished
        if any(segment.base <= revision <= segment.last for revision in revisions)
        or (
            any(first <= segment.last and segment.base <= last for first, last in pruning.remove)
            and not _is_gone(segment, pruning)
        )
    ]


def after_pruning(
    before: Session, pruning: Pruning, read: Mapping[Finished, tuple[Record, ...]]
) -> tuple[Session, Written]:
    """Apply a pruning to a session.

    Args:
        read: the records of the segments that are :func:`touched`.
    """
    head, epoch = pruning.head, pruning.head.epoch
    based = {record.revision: (before.head.base, record) for record in before.records}
    for segment, records in read.items():
        based |= {record.revision: (segment.base, record) for record in records}
    for first, last in pruning.remove:
        based = {number: kept for number, kept in based.items() if not first <= number <= last}
    based |= {record.revision: (base, record) for record, base in pruning.records}
    segments: dict[int, list[Record]] = {}
    for _, (base, record) in sorted(based.items()):
        segments.setdefault(base, []).append(record)
    newest = tuple(segments.pop(head.base, ()))
    finished = [s for s in before.finished if s not in read and not _is_gone(s, pruning)]
    written: Written = {}
    for base, rest in segments.items():
        segment, written_as = pack_segment(base, rest, epoch)
        finished.append(segment)
        written[segment.id] = written_as
    return Session(head, before.generation, tuple(sorted(finished)), newest), written


def _is_gone(segment: Finished, pruning: Pruning) -> bool:
    """Whether a pruning removes a whole segment."""
    return any(first <= segment.base and segment.last <= last for first, last in pruning.remove)
