"""Retention: rules for the revisions to keep, and the revisions they remove. No I/O, no clock."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from checkpoint._document.pages import PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.header import read_header
from checkpoint.errors import CheckpointError, Damaged, InvalidOption, UnsupportedFormat
from checkpoint.store import Head, PageInfo, Record

Range = tuple[int, int]
"""The first and the last of a range of revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A rule for the revisions of a session to keep. A revision stays if any part of it says so.

    Revisions are removed by whole segments: a base, which has the whole state, and the patches
    after it, at most 97 revisions. A segment stays while any of its revisions does. The newest
    segment always stays. Without ``keep_last`` and ``keep_for``, all revisions stay.

    Args:
        keep_last: keep this many of the newest revisions, counted by number.
        keep_for: keep the revisions that were saved within this time.
        keep_labelled: keep the revisions that have a label.
        ttl: delete a session, with its labels, that was not saved for this time.

    Attributes:
        keep_last, keep_for, keep_labelled, ttl: as given.

    Raises:
        InvalidOption: an argument is invalid, or the rule is empty.

    Example:
        >>> from datetime import timedelta
        >>> rule = checkpoint.Retention(keep_last=100, keep_for=timedelta(days=30))
        >>> cp = checkpoint.open("memory://")
        >>> _ = cp.save("user-42", {"n": 1})
        >>> cp.prune("user-42", rule).revisions
        0
    """

    __module__ = "checkpoint"

    keep_last: int | None = None
    keep_for: dt.timedelta | None = None
    keep_labelled: bool = True
    ttl: dt.timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and (type(self.keep_last) is not int or self.keep_last < 1):
            raise InvalidOption(
                f"keep_last is a number of revisions from 1, not {self.keep_last!r:.40}; the "
                f"newest always stays. To remove a session, use delete(), or a ttl"
            )
        for name in ("keep_for", "ttl"):
            time = getattr(self, name)
            if time is not None and not (isinstance(time, dt.timedelta) and time > dt.timedelta(0)):
                raise InvalidOption(
                    f"{name} is a timedelta above 0, such as timedelta(days=30), not {time!r:.60}"
                )
        if type(self.keep_labelled) is not bool:
            raise InvalidOption(f"keep_labelled is True or False, not {self.keep_labelled!r:.40}")
        if self.keep_last is None and self.keep_for is None and self.ttl is None:
            raise InvalidOption("the rule is empty; pass keep_last, keep_for or ttl")
        if self.ttl is not None and self.keep_for is not None and self.ttl < self.keep_for:
            raise InvalidOption(
                f"the ttl of {self.ttl} deletes a session before keep_for={self.keep_for} is over; "
                f"make ttl longer, or keep_for shorter"
            )

    def expires(self, head: Head, now: int) -> bool:
        """Whether a session's ttl is over at ``now``, in microseconds since 1970."""
        return self.ttl is not None and not head.deleted and head.saved_at < now - micros(self.ttl)


@dataclass(frozen=True, slots=True)
class Pruned:
    """The revisions and pages removed from a session; in a dry run, those that would be.

    Attributes:
        namespace, session_id: address of the session.
        removed: the revisions, as ranges from a first to a last.
        revisions: number of revisions.
        pages: number of pages (parts of long states, stored once) that are no longer needed.
        bytes: stored bytes of those revisions and pages.
        deleted: whether the whole session was deleted, because its ``ttl`` is over.
        dry_run: whether this was a dry run, which removes nothing.
        problem: in a sweep, why this session could not be pruned; None if it could.
    """

    __module__ = "checkpoint"

    namespace: str
    session_id: str
    removed: tuple[Range, ...] = ()
    revisions: int = 0
    pages: int = 0
    bytes: int = 0
    deleted: bool = False
    dry_run: bool = False
    problem: CheckpointError | None = None


class Base(NamedTuple):
    """The first revision of a segment, from its header.

    Attributes:
        revision: its number.
        saved_at: microseconds since 1970; None if the header cannot be read.
        pages: the pages that the segment needs; None if the header cannot be read.
    """

    revision: int
    saved_at: int | None
    pages: tuple[PageRef, ...] | None


def read_base(record: Record) -> Base:
    """Read the header of a segment's first record; a damaged one can still be removed."""
    try:
        header, _ = read_header(record)
    except (Damaged, UnsupportedFormat):
        return Base(record.revision, None, None)
    return Base(record.revision, header.saved_at, header.pages)


def doomed(
    rule: Retention, bases: Sequence[Base], labelled: Collection[int], head: Head, now: int
) -> tuple[Range, ...]:
    """The revisions that a rule removes: whole segments, as ranges, oldest first.

    Args:
        bases: of all segments, oldest first.
        labelled: revisions that have a label.
        now: microseconds since 1970.
    """
    if rule.keep_last is None and rule.keep_for is None:
        return ()
    ranges: list[Range] = []
    for base, following in pairwise(bases):  # so the newest always stays
        last = following.revision - 1
        if rule.keep_last is not None and last > head.revision - rule.keep_last:
            continue
        if rule.keep_for is not None and _may_be_recent(
            base, following, now - micros(rule.keep_for)
        ):
            continue
        if rule.keep_labelled and any(base.revision <= number <= last for number in labelled):
            continue
        if ranges and ranges[-1][1] == base.revision - 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((base.revision, last))
    return tuple(ranges)


def _may_be_recent(base: Base, following: Base, since: int) -> bool:
    """Whether a segment may have a revision that was saved since then.

    Its last save came before the base of the next segment. The clocks of two writers may differ, so
    the time of its own base counts too; a time that cannot be read counts as recent.
    """
    times = (base.saved_at, following.saved_at)
    return any(time is None or time >= since for time in times)


def without(bases: Sequence[Base], ranges: Sequence[Range]) -> list[Base]:
    """The segments that remain when those ranges are removed."""
    return [b for b in bases if not any(first <= b.revision <= last for first, last in ranges)]


def named_pages(key: SessionKey, bases: Sequence[Base]) -> set[bytes]:
    """The ids of a session's own pages that it needs.

    Raises:
        Damaged: the header of a base cannot be read, so its pages are unknown.
    """
    named: set[bytes] = set()
    for base in bases:
        if base.pages is None:
            raise Damaged(
                "its header cannot be read, so no page of this session is removed; run verify(), "
                "and remove the revision with a rule that does not keep it"
            ).at(key, base.revision)
        named.update(page.id for page in base.pages if page.owner in (None, key))
    return named


def owners(key: SessionKey, bases: Sequence[Base]) -> set[SessionKey]:
    """The other sessions that own pages which a session, a fork, needs."""
    pages = (page for base in bases for page in base.pages or ())
    return {page.owner for page in pages if page.owner is not None} - {key}


def unneeded(pages: Iterable[PageInfo], needed: Collection[bytes]) -> list[PageInfo]:
    """The pages whose ids are not in ``needed``."""
    return [page for page in pages if page.id not in needed]


def micros(time: dt.timedelta) -> int:
    """A time in whole microseconds."""
    return time // dt.timedelta(microseconds=1)
