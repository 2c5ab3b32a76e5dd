"""The rule for what is kept: what it accepts, and that it plans what a brute-force model does."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checkpoint import Damaged, InvalidOption, Retention
from checkpoint._document.pages import PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.retention import (
    Base,
    doomed,
    micros,
    named_pages,
    owners,
    read_base,
    without,
)
from checkpoint.store import Head, Record
from tests.effort import examples

KEY = SessionKey("default", "user-42")
DAY = dt.timedelta(days=1)


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "pass keep_last, keep_for or ttl"),
        ({"keep_labelled": True}, "pass keep_last, keep_for or ttl"),
        ({"keep_last": 0}, "a number of revisions from 1"),
        ({"keep_last": -1}, "a number of revisions from 1"),
        ({"keep_last": True}, "a number of revisions from 1"),
        ({"keep_last": 1.5}, "a number of revisions from 1"),
        ({"keep_for": dt.timedelta(0)}, "a timedelta above 0"),
        ({"keep_for": -DAY}, "a timedelta above 0"),
        ({"keep_for": 30}, "a timedelta above 0"),
        ({"ttl": dt.timedelta(0)}, "a timedelta above 0"),
        ({"ttl": "90d"}, "a timedelta above 0"),
        ({"keep_last": 1, "keep_labelled": "no"}, "True or False"),
        ({"keep_for": 2 * DAY, "ttl": DAY}, "make ttl longer"),
    ],
)
def test_a_rule_that_has_no_meaning_is_refused_with_what_to_do(
    given: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidOption, match=told):
        Retention(**given)


def test_a_rule_is_a_value() -> None:
    rule = Retention(keep_last=10, keep_for=DAY, ttl=DAY)
    assert rule == Retention(keep_last=10, keep_for=DAY, ttl=DAY)
    assert hash(rule) == hash(pickle.loads(pickle.dumps(rule)))
    with pytest.raises(AttributeError):
        rule.keep_last = 1  # type: ignore[misc]


def test_the_longest_times_are_fine() -> None:
    rule = Retention(keep_for=dt.timedelta.max, ttl=dt.timedelta.max)
    head = Head(1, b"", 1, 0)
    assert not rule.expires(head, now=2**60)


def test_a_session_expires_when_its_last_save_is_older_than_its_ttl() -> None:
    rule = Retention(ttl=DAY)
    head = Head(7, b"", 1, saved_at=1_000)
    assert not rule.expires(head, 1_000 + micros(DAY))
    assert rule.expires(head, 1_001 + micros(DAY))
    assert not rule.expires(head._replace(deleted=True), 1_001 + micros(DAY))
    assert not Retention(keep_last=1).expires(head, 2**60)


# --- the plan, against a model -------------------------------------------------------------------


@dataclass
class Session:
    """A session as it is: the times of all its saves, by revision, in segments."""

    segments: list[dict[int, int]]

    @property
    def bases(self) -> list[Base]:
        return [Base(min(segment), segment[min(segment)], ()) for segment in self.segments]

    @property
    def head(self) -> Head:
        newest = self.segments[-1]
        return Head(max(newest), b"", min(newest), newest[max(newest)])

    def all(self) -> dict[int, int]:
        return {number: at for segment in self.segments for number, at in segment.items()}


@st.composite
def sessions(draw: st.DrawFn, gaps: bool = True) -> Session:
    """Sessions whose clocks go forward; in some, revisions between segments are gone already."""
    number, at = draw(st.integers(1, 50)), draw(st.integers(0, 100))
    segments = []
    for length in draw(st.lists(st.integers(1, 6), min_size=1, max_size=8)):
        segment = {}
        for _ in range(length):
            segment[number] = at
            number, at = number + 1, at + draw(st.sampled_from([0, 1, 1, 10, 50]))
        segments.append(segment)
        if gaps and draw(st.booleans()):
            number += draw(st.integers(0, 5))
    return Session(segments)


times = st.integers(1, 400).map(lambda n: dt.timedelta(microseconds=n))
rules = st.builds(
    lambda keep: Retention(**keep),
    st.fixed_dictionaries(
        {"keep_labelled": st.booleans()},
        optional={"keep_last": st.integers(1, 60), "keep_for": times},
    ).filter(lambda keep: len(keep) > 1),
)
labels = st.sets(st.integers(1, 100), max_size=3)
nows = st.integers(0, 1000)


def kept(rule: Retention, session: Session, labelled: set[int], now: int) -> set[int]:
    """Each revision that the rule itself keeps."""
    return {
        number
        for number, at in session.all().items()
        if (rule.keep_last is not None and number > session.head.revision - rule.keep_last)
        or (rule.keep_for is not None and at >= now - micros(rule.keep_for))
        or (rule.keep_labelled and number in labelled)
    }


def removed(session: Session, ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {n for n in session.all() if any(first <= n <= last for first, last in ranges)}


@pytest.mark.promise("history-kept")
@given(rules, sessions(), labels, nows)
@examples(500)
def test_no_revision_that_a_rule_keeps_is_removed(
    rule: Retention, session: Session, labelled: set[int], now: int
) -> None:
    ranges = doomed(rule, session.bases, labelled, session.head, now)
    assert not removed(session, ranges) & kept(rule, session, labelled, now)
    assert not removed(session, ranges) & set(session.segments[-1])


@given(rules, sessions(gaps=False), labels, nows)
@examples(500)
def test_segments_are_removed_whole_and_all_that_can_be(
    rule: Retention, session: Session, labelled: set[int], now: int
) -> None:
    """As far as the bases tell, by which the last save of a segment is as late as the next base."""
    told = Session([dict(segment) for segment in session.segments])
    for segment, following in pairwise(told.segments):
        segment[max(segment)] = following[min(following)]
    stay = kept(rule, told, labelled, now)
    expected = [set(segment) for segment in told.segments[:-1] if not stay & set(segment)]
    ranges = doomed(rule, session.bases, labelled, session.head, now)
    assert removed(session, ranges) == set().union(*expected)


@given(rules, sessions(), labels, nows)
@examples(200)
def test_the_same_rule_leaves_what_it_left(
    rule: Retention, session: Session, labelled: set[int], now: int
) -> None:
    ranges = doomed(rule, session.bases, labelled, session.head, now)
    left = without(session.bases, ranges)
    assert left == [b for b in session.bases if b.revision not in removed(session, ranges)]
    assert doomed(rule, left, labelled, session.head, now) == ()


@given(rules, sessions(), labels, nows)
@examples(200)
def test_ranges_are_in_order_and_apart(
    rule: Retention, session: Session, labelled: set[int], now: int
) -> None:
    ranges = doomed(rule, session.bases, labelled, session.head, now)
    ends = [end for span in ranges for end in span]
    assert ends == sorted(ends)
    for (_, last), (first, _) in pairwise(ranges):
        assert any(last < base.revision < first for base in without(session.bases, ranges))


@given(sessions(), labels, nows, times)
@examples(50)
def test_a_rule_of_a_ttl_alone_removes_no_revision(
    session: Session, labelled: set[int], now: int, ttl: dt.timedelta
) -> None:
    assert doomed(Retention(ttl=ttl), session.bases, labelled, session.head, now) == ()


# --- what cannot be read -------------------------------------------------------------------------


def test_a_base_that_cannot_be_read_is_kept_by_time_and_removed_by_number() -> None:
    bases = [read_base(Record(n, b"not a head", b"")) for n in (1, 5)]
    bases.append(Base(9, 500, ()))
    head = Head(12, b"", 9, 500)
    assert doomed(Retention(keep_for=DAY), bases, (), head, 10 * micros(DAY)) == ()
    assert doomed(Retention(keep_last=3), bases, (), head, 0) == ((1, 8),)
    with pytest.raises(Damaged, match="no page of this session is removed") as raised:
        named_pages(KEY, bases)
    assert (raised.value.session_id, raised.value.revision) == ("user-42", 1)


def test_a_clock_that_is_ahead_keeps_more_and_never_less() -> None:
    bases = [Base(1, 10**9, ()), Base(2, 20, ()), Base(3, 30, ())]
    head = Head(3, b"", 3, 30)
    rule = Retention(keep_for=dt.timedelta(microseconds=50))
    assert doomed(rule, bases, (), head, now=10**6) == ((2, 2),)


# --- pages ---------------------------------------------------------------------------------------


def page(number: int, owner: SessionKey | None = None) -> PageRef:
    return PageRef(bytes([number]) * 24, owner, 1)


def test_pages_are_told_by_their_owner() -> None:
    other = SessionKey("default", "other")
    bases = [Base(1, 0, (page(1), page(2, other))), Base(2, 0, (page(1), page(3, KEY)))]
    assert named_pages(KEY, bases) == {page(1).id, page(3).id}
    assert owners(KEY, bases) == {other}
    assert owners(KEY, [Base(1, None, None)]) == set()


@given(sessions(), st.data())
@examples(50)
def test_without_takes_out_exactly_the_ranges(session: Session, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from([base.revision for base in session.bases])))
    assume(chosen)
    left = without(session.bases, [(number, number) for number in chosen])
    assert [base.revision for base in left] == [
        base.revision for base in session.bases if base.revision not in chosen
    ]
