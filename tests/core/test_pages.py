"""Pages sealed and opened: what comes out is what went in, for the session that owns it, or not."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from checkpoint import Damaged, StateTooLarge, UnsupportedFormat
from checkpoint._document.codec import DecodeError, encode
from checkpoint._document.encoded import array, split_array
from checkpoint._document.pages import PAGE_ID_SIZE, PageData
from checkpoint._ids import SessionKey
from checkpoint._records import frame
from checkpoint._records.page import NONCE_SIZE, decode_page, encode_page

from ..effort import examples
from ..strategies import DOCUMENTS

KEY = SessionKey("default", "user-42")
NONCE = b"8 bytes."
LIMIT = 1_000_000
HEAD_SIZE = 6

TEXT = b"all is well. " * 40
NOISE = bytes(range(256))


def forged(head: bytes, body: bytes, key: SessionKey = KEY) -> tuple[bytes, bytes]:
    """A page of any bytes, with the id that they need: made by who knows the format."""
    return NONCE + frame.digest(key, b"", head, body), head + body


def head_of(*, compressed: bool) -> bytes:
    return encode_page(KEY, NONCE, TEXT if compressed else NOISE)[1][:HEAD_SIZE]


@examples(150)
@given(st.binary(max_size=2000) | st.binary(max_size=20).map(lambda part: part * 50))
def test_what_is_sealed_is_opened(raw: bytes) -> None:
    id, data = encode_page(KEY, NONCE, raw)
    assert decode_page(KEY, id, data, LIMIT) == raw
    assert id.startswith(NONCE)
    assert len(id) == PAGE_ID_SIZE
    assert len(data) <= HEAD_SIZE + len(raw)


@examples(100)
@given(st.lists(DOCUMENTS, max_size=6))
def test_a_page_of_items_gives_each_as_it_was_encoded(values: list[Any]) -> None:
    items = list(map(encode, values))
    id, data = encode_page(KEY, NONCE, array(items))
    page = PageData(decode_page(KEY, id, data, LIMIT))
    assert page.items == items
    assert split_array(array(items)) == items
    assert array(items) == encode(values)


@pytest.mark.parametrize("raw", [b"\x07", encode({}), encode("text"), b"\xdd\xff\xff\xff\xff"])
def test_a_page_that_is_no_list_has_no_items(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        _ = PageData(raw).items


def test_a_page_that_compresses_is_smaller_and_one_that_does_not_is_as_it_is() -> None:
    assert len(encode_page(KEY, NONCE, TEXT)[1]) < len(TEXT) / 5
    assert encode_page(KEY, NONCE, NOISE)[1].endswith(NOISE)


@examples(100)
@given(st.binary(max_size=500), st.binary(max_size=500), st.integers(0, 3))
def test_what_is_sealed_against_another_page_is_opened_against_it(
    raw: bytes, anchor: bytes, times: int
) -> None:
    raw = raw + anchor * times
    id, data = encode_page(KEY, NONCE, raw, anchor)
    assert decode_page(KEY, id, data, LIMIT, anchor) == raw


def test_a_page_like_another_takes_next_to_nothing_against_it() -> None:
    first, second = (encode([{"n": n, "text": NOISE * 9}]) for n in (1, 2))
    id, data = encode_page(KEY, NONCE, second, first)
    assert len(data) < 100
    assert decode_page(KEY, id, data, LIMIT, first) == second
    for other in (b"", first[:-1], second[::-1]):
        with pytest.raises(Damaged):
            decode_page(KEY, id, data, LIMIT, other)


def test_two_pages_have_one_id_only_if_they_are_the_same_of_the_same_session_and_write() -> None:
    ids = {
        encode_page(key, nonce, raw)[0]
        for key in (KEY, SessionKey("tenant", "user-42"), SessionKey("default", "user-43"))
        for nonce in (NONCE, b"another.")
        for raw in (TEXT, NOISE, b"")
    }
    assert len(ids) == 18
    assert encode_page(KEY, NONCE, TEXT) == encode_page(KEY, NONCE, TEXT)


# --- what was changed ----------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [TEXT, NOISE], ids=["compressed", "raw"])
@pytest.mark.parametrize("by", [0x01, 0x80, 0xFF])
def test_any_byte_flipped_is_damage_and_the_page_is_named(raw: bytes, by: int) -> None:
    id, data = encode_page(KEY, NONCE, raw)
    for at in range(len(data)):
        flipped = data[:at] + bytes((data[at] ^ by,)) + data[at + 1 :]
        with pytest.raises(Damaged, match=id.hex()):
            decode_page(KEY, id, flipped, LIMIT)


@pytest.mark.parametrize("at", range(NONCE_SIZE, PAGE_ID_SIZE))
def test_a_page_under_another_id_is_damage(at: int) -> None:
    id, data = encode_page(KEY, NONCE, TEXT)
    other = id[:at] + bytes((id[at] ^ 1,)) + id[at + 1 :]
    with pytest.raises(Damaged, match=other.hex()):
        decode_page(KEY, other, data, LIMIT)


@pytest.mark.parametrize("raw", [TEXT, NOISE], ids=["compressed", "raw"])
def test_a_page_cut_short_or_longer_is_damage(raw: bytes) -> None:
    id, data = encode_page(KEY, NONCE, raw)
    for other in (*(data[:length] for length in range(len(data))), data + b"\0", data * 2):
        with pytest.raises(Damaged):
            decode_page(KEY, id, other, LIMIT)


@pytest.mark.parametrize(
    "key", [SessionKey("default", "user-43"), SessionKey("tenant", "user-42"), SessionKey("d", "u")]
)
def test_a_page_of_another_session_is_damage(key: SessionKey) -> None:
    id, data = encode_page(KEY, NONCE, TEXT)
    with pytest.raises(Damaged, match="digest"):
        decode_page(key, id, data, LIMIT)


def test_a_page_in_the_place_of_another_of_its_session_is_damage() -> None:
    (id, _), (_, other) = encode_page(KEY, NONCE, TEXT), encode_page(KEY, NONCE, NOISE)
    with pytest.raises(Damaged):
        decode_page(KEY, id, other, LIMIT)


def test_a_record_is_no_page_and_a_page_no_record() -> None:
    head = b"ACP" + head_of(compressed=False)[3:]
    with pytest.raises((Damaged, UnsupportedFormat)):
        decode_page(KEY, *forged(head, NOISE), LIMIT)
    with pytest.raises(Damaged):
        frame.decode_header(encode_page(KEY, NONCE, NOISE)[1])


@pytest.mark.parametrize("index", [3, 4, 5], ids=["format", "flags", "key id"])
def test_a_newer_format_is_told_apart_from_damage(index: int) -> None:
    head = head_of(compressed=False)
    newer = head[:index] + b"\x02" + head[index + 1 :]
    with pytest.raises(UnsupportedFormat, match="newer"):
        decode_page(KEY, *forged(newer, NOISE), LIMIT)


# --- what was made to do harm --------------------------------------------------------------------


def test_a_page_is_refused_by_its_declared_size_before_it_is_decompressed() -> None:
    id, data = encode_page(KEY, NONCE, bytes(50_000_000))
    assert len(data) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(StateTooLarge, match="max_bytes"):
            decode_page(KEY, id, data, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("raw", [TEXT, NOISE], ids=["compressed", "raw"])
def test_a_page_of_just_the_limit_is_opened(raw: bytes) -> None:
    id, data = encode_page(KEY, NONCE, raw)
    assert decode_page(KEY, id, data, len(raw)) == raw
    for limit in (len(raw) - 1, 0, -1):
        with pytest.raises(StateTooLarge):
            decode_page(KEY, id, data, limit)


@pytest.mark.parametrize(
    "options",
    [{"write_checksum": False}, {"write_checksum": True, "write_content_size": False}],
    ids=["no checksum", "no size"],
)
def test_a_frame_that_cannot_be_checked_is_damage(options: dict[str, Any]) -> None:
    frame = zstandard.ZstdCompressor(**options).compress(TEXT)
    with pytest.raises(Damaged):
        decode_page(KEY, *forged(head_of(compressed=True), frame), LIMIT)


def test_what_is_no_frame_or_follows_one_is_damage() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(TEXT)
    assert decode_page(KEY, *forged(head_of(compressed=True), frame), LIMIT) == TEXT
    for body in (NOISE, b"", frame + b"\0", frame + frame):
        with pytest.raises(Damaged):
            decode_page(KEY, *forged(head_of(compressed=True), body), LIMIT)
