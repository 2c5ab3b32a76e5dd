"""Records written and read: bounded before anything is allocated, and readable for good."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from checkpoint import Damaged, StateTooLarge, UnsupportedFormat, Writer
from checkpoint._document.codec import encode
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records import frame
from checkpoint._records.baseline import MAX_PATCHES, Baseline, Tip
from checkpoint._records.body import DOCUMENT, FIELDS, OPERATIONS
from checkpoint._records.header import (
    Kind,
    Recent,
    RecordHeader,
    SchemaId,
    header_fields,
    read_header,
)
from checkpoint._records.segment import RING, encode_record, read
from checkpoint.store import Record

from ..effort import examples
from ..strategies import DICT_STATES

KEY = SessionKey("default", "user-42")
LIMITS = Limits(1_000_000)


def header(revision: int = 1, kind: Kind = Kind.BASE, **more: Any) -> RecordHeader:
    return RecordHeader(
        revision=revision,
        kind=kind,
        write_id=revision.to_bytes(16, "big"),
        saved_at=1_700_000_000_000_000,
        writer=Writer("host", 42),
        schema=SchemaId("dict", 0),
        **more,
    )


def encoded(
    header: RecordHeader, body: dict[int, Any], tip: Tip | None = None
) -> tuple[Record, Tip]:
    return encode_record(KEY, header, body, tip, LIMITS)


def base_of(document: Any = None) -> dict[int, Any]:
    """The body of a base; its document is empty, if None."""
    return {DOCUMENT: encode({} if document is None else document), FIELDS: {}}


def loaded(records: list[Record]) -> Baseline:
    """What a segment is read as."""
    return read(KEY, records, LIMITS).build(KEY, {})


def forged(body: bytes, *, compressed: bool, kind: Kind = Kind.BASE) -> Record:
    """A record with any body and the digest it needs: made by who knows the format."""
    head = frame.encode_header(header_fields(header(kind=kind)), int(compressed))
    return Record(1, head, body + frame.digest(KEY, b"", head, body))


@contextmanager
def little_memory(limit: int = 2_000_000) -> Iterator[None]:
    """Fail if more bytes than this are allocated at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@contextmanager
def perhaps_damaged(revision: int) -> Iterator[None]:
    """Some of what is made at random fits; the rest is damage, told of this revision."""
    try:
        yield
    except Damaged as exc:
        if (exc.session_id, exc.revision) != (KEY.session_id, revision):
            raise


# --- what is written is read ---------------------------------------------------------------------


@examples(150)
@given(st.lists(DICT_STATES, min_size=1, max_size=5))
def test_every_revision_of_a_segment_reads_back(states: list[dict[Any, Any]]) -> None:
    tip: Tip | None = None
    records = []
    for revision, state in enumerate(states, start=1):
        body = {OPERATIONS: [[0, [], state]]} if tip else base_of(state)
        kind = Kind.PATCH if tip else Kind.BASE
        record, tip = encoded(header(revision, kind), body, tip)
        records.append(record)
    for revision, state in enumerate(states, start=1):
        found = loaded(records[:revision])
        assert encode(found.document) == encode(state)
        assert found.header.revision == revision
    assert read(KEY, records, LIMITS).tip == tip


_printable = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
_ids = st.text(_printable, min_size=1, max_size=20)


@examples(200)
@given(
    st.integers(1, 2**60),
    st.sampled_from(Kind),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**50),
    st.builds(Writer, _ids, st.integers(0, 2**31), _ids | st.just("")),
    st.builds(SchemaId, _ids, st.integers(0, 2**31), st.binary(max_size=8)),
    st.integers(0, 2**60),
    st.none() | _ids,
    st.none() | st.tuples(_ids, st.integers(1, 2**60)),
    st.lists(st.builds(Recent, st.integers(1, 99), st.binary(min_size=16), st.none() | _ids)),
)
def test_a_header_reads_back(
    revision: int,
    kind: Kind,
    write_id: bytes,
    saved_at: int,
    writer: Writer,
    schema: SchemaId,
    parent: int,
    turn_id: str | None,
    source: tuple[str, int] | None,
    recent: list[Recent],
) -> None:
    written = RecordHeader(
        revision=revision,
        kind=kind,
        write_id=write_id,
        saved_at=saved_at,
        writer=writer,
        schema=schema,
        parent_revision=parent,
        parent_write_id=write_id[::-1],
        parent_digest=write_id,
        turn_id=turn_id,
        source=source,
        recent=tuple(recent),
    )
    head = frame.encode_header(header_fields(written), frame.COMPRESSED)
    assert read_header(Record(revision, head, b"")) == (written, frame.COMPRESSED)


def test_a_header_without_its_optional_fields_has_their_defaults() -> None:
    written = header(parent_revision=0)
    assert header_fields(written).keys() == {1, 2, 3, 4, 5, 6}
    head = frame.encode_header(header_fields(written), 0)
    assert read_header(Record(1, head, b"")) == (written, 0)


def test_a_new_segment_remembers_a_ring_of_writes_and_no_more() -> None:
    tip: Tip | None = None
    for revision in range(1, RING + 9):
        kind = Kind.PATCH if tip else Kind.BASE
        body: dict[int, Any] = {OPERATIONS: []} if tip else base_of()
        _, tip = encoded(header(revision, kind, turn_id=f"t{revision}"), body, tip)
    record, tip = encoded(header(RING + 9), base_of(), tip)
    ring = read_header(record)[0].recent
    assert [write.turn_id for write in ring] == [f"t{n}" for n in range(9, RING + 9)]
    assert read(KEY, [record], LIMITS).tip == tip


def test_a_segment_ends_before_it_costs_more_than_a_new_base_of() -> None:
    tip: Tip | None = None
    patches = 0
    _, tip = encoded(header(), base_of())
    while True:
        patch = header(patches + 2, Kind.PATCH)
        _, after = encoded(patch, {OPERATIONS: [[0, ["n"], patches]]}, tip)
        if not after.is_worth_keeping(tip):
            break
        tip, patches = after, patches + 1
    assert 50 < patches <= MAX_PATCHES
    assert tip.patch_bytes < 20_000


def test_patches_in_a_row_are_read_with_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes several times as long as a patch, and they have their prefix in common."""
    record, tip = encoded(header(), base_of({"n": 0}))
    records = [record]
    for n in range(80):
        text = {OPERATIONS: [[0, ["n"], f"{n} " * 60]]}
        record, tip = encoded(header(n + 2, Kind.PATCH), text, tip)
        records.append(record)
    assert sum(read_header(record)[1] for record in records) == 80, "patches are compressed"
    made: list[object] = []
    make = zstandard.ZstdDecompressor

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(zstandard, "ZstdDecompressor", counted)
    assert read(KEY, records, LIMITS).tip == tip
    assert len(made) <= 80 / 8 + 2


@pytest.mark.parametrize("back", [[1], [0, -1], [0, 1, 1], [0, 2], [0, True], [0, b"1"], [0, None]])
def test_an_anchor_that_is_none_of_the_pages_before_it_is_damage(back: list[Any]) -> None:
    ids = b"".join(n.to_bytes(24, "big") for n in range(len(back)))

    def stored(back: list[Any]) -> Record:
        head = header_fields(header()) | {14: [[1, None, ids, back]]}
        return Record(1, frame.encode_header(head, 0), b"")

    sound = read_header(stored([0, *range(1, len(back))]))[0].pages
    assert [page.anchor for page in sound] == [None, *[sound[0]] * (len(back) - 1)]
    with pytest.raises(Damaged, match="malformed"):
        read_header(stored(back))


def test_a_repeated_body_costs_next_to_nothing_in_a_patch() -> None:
    text = "".join(chr(33 + n * n % 89) for n in range(3000))
    _, tip = encoded(header(), base_of({"text": text}))
    record, after = encoded(header(2, Kind.PATCH), {OPERATIONS: [[0, ["copy"], text]]}, tip)
    assert after.patch_raw > 3000
    assert len(record.body) < 150


# --- who reads what ------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [3, 4, 5], ids=["format", "flags", "key id"])
def test_a_newer_format_is_told_apart_from_damage(index: int) -> None:
    head, body = forged(encode(base_of()), compressed=False)[1:]
    newer = head[:index] + b"\x02" + head[index + 1 :]
    with pytest.raises(UnsupportedFormat, match="newer agent-checkpoint") as caught:
        read(KEY, [Record(1, newer, body)], LIMITS)
    assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)


@pytest.mark.parametrize(
    "key", [SessionKey("default", "user-43"), SessionKey("tenant", "user-42"), SessionKey("d", "u")]
)
def test_a_record_is_bound_to_its_session_and_namespace(key: SessionKey) -> None:
    record, _ = encoded(header(), base_of())
    assert loaded([record]).document == {}
    with pytest.raises(Damaged, match="digest"):
        read(key, [record], LIMITS)


def test_a_namespace_and_an_id_are_not_joined_into_one() -> None:
    record, _ = encode_record(SessionKey("ab", "c"), header(), base_of(), None, LIMITS)
    with pytest.raises(Damaged):
        read(SessionKey("a", "bc"), [record], LIMITS)


# --- bodies that were made to do harm ------------------------------------------------------------


def frame_claiming(size: int) -> bytes:
    """A frame with a checksum that declares ``size`` bytes and holds almost none."""
    descriptor = 0b11_0_0_0_1_00  # 8 bytes of size, a window, a checksum, no dictionary
    window = 0x58
    last_raw_block_of_one_byte = (1 | 1 << 3).to_bytes(3, "little") + b"x"
    start = b"\x28\xb5\x2f\xfd" + bytes((descriptor, window)) + size.to_bytes(8, "little")
    return start + last_raw_block_of_one_byte + bytes(4)


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63, 2**64 - 3])
def test_a_frame_that_declares_a_huge_size_is_refused_before_allocation(size: int) -> None:
    assert zstandard.get_frame_parameters(frame_claiming(size)).content_size == size
    with little_memory(), pytest.raises(StateTooLarge, match="max_bytes"):
        read(KEY, [forged(frame_claiming(size), compressed=True)], LIMITS)


def test_a_frame_that_is_a_bomb_and_says_so_is_refused_before_allocation() -> None:
    bomb = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(100_000_000))
    assert len(bomb) < 20_000
    with little_memory(), pytest.raises(StateTooLarge):
        read(KEY, [forged(bomb, compressed=True)], LIMITS)


def test_a_frame_that_declares_no_size_is_refused_before_allocation() -> None:
    quiet = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    bomb = quiet.compress(bytes(100_000_000))
    with little_memory(), pytest.raises(Damaged, match="declares no size"):
        read(KEY, [forged(bomb, compressed=True)], LIMITS)


def test_a_frame_that_declares_less_than_it_holds_is_refused() -> None:
    bomb = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(bytes(100_000_000)))
    at = bomb.index((100_000_000).to_bytes(4, "little"))
    bomb[at : at + 4] = (1000).to_bytes(4, "little")
    with little_memory(), pytest.raises(Damaged):
        read(KEY, [forged(bytes(bomb), compressed=True)], LIMITS)


def test_a_frame_that_declares_more_than_it_holds_is_refused() -> None:
    with pytest.raises(Damaged):
        read(KEY, [forged(frame_claiming(1000), compressed=True)], LIMITS)


def test_a_frame_without_a_checksum_is_refused() -> None:
    raw = encode(base_of())
    frame = zstandard.ZstdCompressor(write_checksum=False).compress(raw)
    with pytest.raises(Damaged, match="checksum"):
        read(KEY, [forged(frame, compressed=True)], LIMITS)


@pytest.mark.parametrize("what", ["bytes", "frame"])
def test_what_follows_the_frame_is_refused(what: str) -> None:
    raw = encode(base_of())
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
    more = b"\0" if what == "bytes" else frame
    assert loaded([forged(frame, compressed=True)]).document == {}
    with pytest.raises(Damaged):
        read(KEY, [forged(frame + more, compressed=True)], LIMITS)


def test_a_skippable_frame_is_refused() -> None:
    with pytest.raises(Damaged):
        read(
            KEY, [forged(b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little"), compressed=True)], LIMITS
        )


def test_all_bodies_of_a_segment_together_are_bounded() -> None:
    """Each is within the limit; together they are a bomb of another kind."""
    base, tip = encoded(header(), base_of())
    records = [base]
    for revision in range(2, 60):
        zeros = {OPERATIONS: [[0, ["zeros"], bytes(1000)], [0, ["n"], revision]]}
        record, tip = encoded(header(revision, Kind.PATCH), zeros, tip)
        records.append(record)
    assert loaded(records).document["n"] == 59
    bomb = {OPERATIONS: [[0, ["zeros"], bytes(900_000)]]}
    for revision in range(60, 100):
        record, tip = encoded(header(revision, Kind.PATCH), bomb, tip)
        records.append(record)
    assert sum(len(record.body) for record in records) < 50_000
    with pytest.raises(StateTooLarge):
        read(KEY, records, LIMITS)


@pytest.mark.parametrize("number", [3, 8, 9], ids=["write id", "parent's write id", "digest"])
def test_a_header_with_a_number_for_bytes_is_refused_before_allocation(number: int) -> None:
    stored = header_fields(header()) | {number: 1_000_000_000}
    head = frame.encode_header(stored, 0)
    with little_memory(), pytest.raises(Damaged):
        read_header(Record(1, head, b""))


_junk = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 3), inner),
    max_leaves=5,
)


@examples(200)
@given(st.dictionaries(st.integers(0, 14), _junk))
def test_a_header_of_anything_is_refused_in_our_words(stored: dict[int, Any]) -> None:
    whole = header_fields(header()) | stored
    head = frame.encode_header(whole, 0)
    with suppress(Damaged, UnsupportedFormat):  # some are headers
        read_header(Record(1, head, b""))


@examples(200)
@given(_junk | st.dictionaries(st.sampled_from([DOCUMENT, OPERATIONS, FIELDS]), _junk))
def test_a_body_of_anything_is_a_document_or_damage(body: object) -> None:
    for kind in Kind:
        with perhaps_damaged(revision=1):
            loaded([forged(encode(body), compressed=False, kind=kind)])


_operations = st.tuples(st.integers(0, 3), st.lists(st.integers(0, 2) | st.text(max_size=1)))


@examples(300)
@given(
    st.lists(
        st.one_of(
            _junk,
            _operations.flatmap(
                lambda start: st.lists(_junk, max_size=3).map(lambda rest: [*start, *rest])
            ),
        )
    )
)
def test_operations_of_anything_are_a_document_or_damage(operations: list[Any]) -> None:
    base, tip = encoded(header(), base_of({"": [1, [2]], "a": "text"}))
    patch, _ = encoded(header(2, Kind.PATCH), {OPERATIONS: operations}, tip)
    with perhaps_damaged(revision=2):
        loaded([base, patch])


# --- what stores hand out ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_start_of_a_frame_may_be_any_kind_of_bytes(kind: Any) -> None:
    for magic in (frame.RECORD, frame.PAGE):
        for flags in (0, frame.COMPRESSED):
            assert frame.flags_of(kind(frame.start(magic, flags)), magic, "it") == flags


def test_a_frame_of_another_kind_is_damage() -> None:
    kinds = [frame.RECORD, frame.PAGE, frame.HEAD_OBJECT, frame.SEGMENT_OBJECT]
    for kind in kinds:
        for other in kinds:
            if other != kind:
                with pytest.raises(Damaged, match="magic"):
                    frame.flags_of(frame.start(other), kind, "it")
        for short in range(frame.START_SIZE):
            with pytest.raises(Damaged, match="cut short"):
                frame.flags_of(frame.start(kind)[:short], kind, "it")
