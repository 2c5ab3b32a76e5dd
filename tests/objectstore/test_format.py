"""The bytes of head objects and finished segments: back as they were, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._ids import SessionKey
from checkpoint.errors import Damaged, UnsupportedFormat
from checkpoint.store import Head, Record
from checkpoint_objectstore._format import (
    START,
    Finished,
    Session,
    first_of_segment,
    pack_segment,
    pack_session,
    unpack_segment,
    unpack_session,
    unpack_start,
)

KEY = SessionKey("default", "user-42")
LONGEST = SessionKey("😀" * 128, "é" * 256)

numbers = st.integers(0, 2**63 - 1)
records = st.lists(
    st.builds(Record, numbers, st.binary(max_size=40), st.binary(max_size=40)),
    max_size=5,
).map(tuple)
finished = st.lists(
    st.builds(Finished, numbers, numbers, st.binary(min_size=8, max_size=8)), max_size=5
).map(tuple)
heads = st.builds(
    Head, numbers, st.binary(max_size=16), numbers, st.integers(), st.booleans(), numbers
).filter(lambda head: abs(head.saved_at) < 2**63)
sessions = st.builds(Session, heads, numbers, finished, records)


@given(sessions, st.sampled_from([KEY, LONGEST]))
def test_a_head_object_comes_back_as_it_was(session: Session, key: SessionKey) -> None:
    data = pack_session(key, session)
    assert unpack_session(key, data) == session
    assert unpack_start(data[:START]) == (key, session.head)


@given(records.filter(bool), numbers, numbers)
def test_a_finished_segment_comes_back_as_it_was(
    some: tuple[Record, ...], base: int, epoch: int
) -> None:
    segment, data = pack_segment(base, some, epoch)
    assert segment[:2] == (base, some[-1].revision)
    assert unpack_segment(KEY, segment, data) == some
    first = some[0]
    found = first_of_segment(KEY, segment, data)
    assert found == (first._replace(body=b""), len(first.header) + len(first.body))


def test_the_first_record_of_a_segment_may_need_more_bytes_than_were_read() -> None:
    segment, data = pack_segment(7, [Record(7, b"h" * 50, b"b" * 50)], 0)
    for size in range(len(data)):
        try:
            found = first_of_segment(KEY, segment, data[:size])
        except Damaged:
            assert size < 40, "what it is can be told of its very first bytes"
        else:
            assert found is None or found == (Record(7, b"h" * 50, b""), 100)


def test_a_segment_of_another_epoch_has_another_id() -> None:
    same = [Record(1, b"head", b"body")]
    assert pack_segment(1, same, 0)[0].id != pack_segment(1, same, 1)[0].id
    assert pack_segment(1, same, 0) == pack_segment(1, same, 0)


SMALL = Session(
    Head(3, bytes(16), 2, 1_700_000_000_000_000),
    finished=(Finished(1, 1, b"i" * 8),),
    records=(Record(2, b"head 2", b"body 2"), Record(3, b"head 3", b"body 3")),
)


def test_a_head_object_that_was_cut_short_is_refused_wherever_it_ends() -> None:
    data = pack_session(KEY, SMALL)
    for size in range(len(data)):
        with pytest.raises(Damaged, match="user-42"):
            unpack_session(KEY, data[:size])
    with pytest.raises(Damaged, match="user-42"):
        unpack_session(KEY, data + b"\0")


def test_each_bit_of_a_head_object_counts() -> None:
    """Those of records have checks of their own."""
    data = pack_session(KEY, SMALL)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = unpack_session(KEY, bytes(flipped))
        except (Damaged, UnsupportedFormat) as exc:
            assert exc.session_id == "user-42"  # noqa: PT017 - not every bit is refused
        else:
            assert found._replace(records=()) == SMALL._replace(records=())
            assert [r.revision for r in found.records] == [2, 3]
            assert found.records != SMALL.records


def test_a_head_object_of_another_session_is_refused() -> None:
    data = pack_session(SessionKey("default", "user-43"), SMALL)
    with pytest.raises(Damaged, match="user-43"):
        unpack_session(KEY, data)


@pytest.mark.parametrize("place", [3, 4, 5])
def test_a_newer_format_is_told_as_such(place: int) -> None:
    segment, whole = pack_segment(2, SMALL.records, 0)

    def newer(data: bytes) -> bytes:
        return data[:place] + b"\x07" + data[place + 1 :]

    with pytest.raises(UnsupportedFormat, match="upgrade"):
        unpack_session(KEY, newer(pack_session(KEY, SMALL)))
    with pytest.raises(UnsupportedFormat, match="upgrade"):
        unpack_segment(KEY, segment, newer(whole))


def test_a_segment_that_is_not_the_one_that_was_named_is_refused() -> None:
    segment, data = pack_segment(2, SMALL.records, 0)
    other = pack_segment(2, SMALL.records[:1], 0)[1]
    for wrong in (other, data[:-1], b"", b"<html>", pack_session(KEY, SMALL)):
        with pytest.raises(Damaged, match="revisions 2 to 3") as told:
            unpack_segment(KEY, segment, wrong)
        assert (told.value.session_id, told.value.revision) == ("user-42", 2)
