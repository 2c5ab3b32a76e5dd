"""Retention: a rule for what to keep of a session, and what it means for one. No I/O, no clock."""

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
"""Revisions from a first to a last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A rule for what is kept of a session. A revision that any part of it keeps stays.

    Revisions are removed by whole segments (a revision that holds the whole state, and those after
    it that hold what changed, 257 at most): a segment stays while any of its revisions does. The
    newest segment always stays. Without ``keep_last`` and ``keep_for``, all revisions do.

    Args:
        keep_last: keep the newest revisions, this many by their numbers.
        keep_for: keep the revisions that were saved within this time.
        keep_labelled: keep the revisions that have a label.
        ttl: delete a session, labels and all, that was not saved for this time.

    Attributes:
        keep_last, keep_for, keep_labelled, ttl: as given.

    Raises:
        InvalidOption: the rule keeps nothing or has no meaning.

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
            raise InvalidOption("the rule says nothing to keep; give keep_last, keep_for or ttl")
        if self.ttl is not None and self.keep_for is not None and self.ttl < self.keep_for:
            raise InvalidOption(
                f"a session is deleted after a ttl of {self.ttl}, before its revisions were kept "
                f"for {self.keep_for}; make ttl longer, or keep_for shorter"
            )

    def expires(self, head: Head, now: int) -> bool:
        """Whether a session was not saved for longer than its ttl, at a time in microseconds."""
        return self.ttl is not None and not head.deleted and head.saved_at < now - micros(self.ttl)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was taken out of a session; in a dry run, what would be.

    Attributes:
        namespace, session_id: its address.
        removed: the revisions, as ranges from a first to a last.
        revisions: how many.
        pages: how many pages (parts of long states, stored once) that nothing needs any more.
        bytes: stored bytes of those revisions and pages.
        deleted: the session as a whole, because its ``ttl`` is over.
        dry_run: nothing was touched.
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
    """The first revision of a segment, as far as its header tells.

    Attributes:
        revision: with which the segment begins.
        saved_at: microseconds since 1970; None where the header cannot be read.
        pages: those that the segment needs; None where the header cannot be read.
    """

    revision: int
    saved_at: int | None
    pages: tuple[PageRef, ...] | None


def read_base(record: Record) -> Base:
    """What the record at the start of a segment tells; a damaged one may still be removed."""
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
    """Whether a segment may hold a revision that was saved since then.

    Its last save is known to be before that of the next segment. The clocks of two writers may
    differ, so its own time counts too; where one cannot be read, nobody knows.
    """
    times = (base.saved_at, following.saved_at)
    return any(time is None or time >= since for time in times)


def without(bases: Sequence[Base], ranges: Sequence[Range]) -> list[Base]:
    """The segments that are left when those ranges are removed."""
    return [b for b in bases if not any(first <= b.revision <= last for first, last in ranges)]


def named_pages(key: SessionKey, bases: Sequence[Base]) -> set[bytes]:
    """The pages of its own that a session needs.

    Raises:
        Damaged: the header of a base cannot be read, so it is not known which.
    """
    named: set[bytes] = set()
    for base in bases:
        if base.pages is None:
            raise Damaged(
                "its header cannot be read, so no page of this session is removed; see verify(), "
                "and remove the revision with a rule that does not keep it"
            ).at(key, base.revision)
        named.update(page.id for page in base.pages if page.owner in (None, key))
    return named


def owners(key: SessionKey, bases: Sequence[Base]) -> set[SessionKey]:
    """The other sessions that own pages which a session needs, being a fork."""
    pages = (page for base in bases for page in base.pages or ())
    return {page.owner for page in pages if page.owner is not None} - {key}


def unneeded(pages: Iterable[PageInfo], needed: Collection[bytes]) -> list[PageInfo]:
    """The pages that are not among those needed."""
    return [page for page in pages if page.id not in needed]


def micros(time: dt.timedelta) -> int:
    """A time in whole microseconds."""
    return time // dt.timedelta(microseconds=1)
