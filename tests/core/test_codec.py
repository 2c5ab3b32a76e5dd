"""Documents to bytes and back: nothing is lost, and bytes that are no document say so."""

from __future__ import annotations

import datetime as dt
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._document.codec import DecodeError, decode, decode_first, encode, encoder

from ..effort import examples
from ..strategies import DOCUMENTS
from .sameness import same

BERLIN = ZoneInfo("Europe/Berlin")
OFFSET = dt.timezone(dt.timedelta(hours=-3, minutes=-30, seconds=-1, microseconds=-7))
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)

SCALARS = {
    "none": None,
    "true": True,
    "false": False,
    "int": -1,
    "int of 64 bits": 2**64 - 1,
    "int past 64 bits": 2**64,
    "negative int past 63 bits": -(2**63) - 1,
    "huge int": -(10**1000),
    "float": 1.0,
    "negative zero": -0.0,
    "nan": math.nan,
    "infinity": -math.inf,
    "smallest float": 5e-324,
    "str": "grüße\x00 \U0001f600",
    "lone surrogate": "a\ud83d",
    "two halves of a pair": "\ud83d\ude00",
    "bytes": b"\xff\x00",
    "decimal": Decimal("-1.50E+3000"),
    "decimal zero": Decimal("-0.00"),
    "decimal nan": Decimal("-sNaN123"),
    "decimal infinity": Decimal("-Infinity"),
    "uuid": UUID("12345678123456781234567812345678"),
    "naive datetime": dt.datetime(1, 1, 1, 0, 0, 0, 1),
    "last datetime": dt.datetime.max,
    "datetime in utc": dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
    "datetime of an offset": dt.datetime(2024, 2, 29, tzinfo=OFFSET),
    "datetime of a named offset": dt.datetime(
        2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=1), "here")
    ),
    "datetime in a zone, first fold": TWICE,
    "datetime in a zone, second fold": TWICE.replace(fold=1),
    "datetime that no clock showed": dt.datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN),
    "date": dt.date.min,
    "time": dt.time(23, 59, 59, 999_999, fold=1),
    "time of an offset": dt.time(1, tzinfo=OFFSET),
    "time in a zone": dt.time(1, tzinfo=BERLIN),
    "timedelta": dt.timedelta.min,
}
CONTAINERS = {
    "list": [],
    "dict": {},
    "tuple": (),
    "set": set(),
    "frozenset": frozenset(),
    "tuple of one list": ([],),
    "set of frozensets": {frozenset({1}), frozenset({"1"})},
    "keys of every type": {
        None: 0,
        1: 1,
        -1.5: 2,
        b"b": 3,
        (1, (2,)): 4,
        frozenset({1}): 5,
        Decimal(7): 6,
        UUID(int=1): 7,
        dt.date(2024, 1, 1): 8,
        2**70: 9,
        False: 10,
        "\ud800": 11,
    },
    "nan as key and member": {math.nan: {math.nan}},
}


@pytest.mark.parametrize(
    "value", [*SCALARS.values(), *CONTAINERS.values()], ids=[*SCALARS, *CONTAINERS]
)
def test_a_value_comes_back_the_same(value: object) -> None:
    assert same(decode(encode(value)), value)


@examples(500)
@given(DOCUMENTS)
def test_any_document_comes_back_the_same_and_its_bytes_too(document: object) -> None:
    encoded = encode(document)
    assert same(decode(encoded), document)
    assert encode(decode(encoded)) == encoded


@examples(200)
@given(DOCUMENTS, st.binary(max_size=20))
def test_the_first_document_is_told_apart_from_what_follows(document: object, rest: bytes) -> None:
    encoded = encode(document)
    first, size = decode_first(encoded + rest)
    assert same(first, document)
    assert size == len(encoded)
    if rest:
        with pytest.raises(DecodeError):
            decode(encoded + rest)


def test_values_that_are_equal_and_not_the_same_have_other_bytes() -> None:
    values = [1, 1.0, True, Decimal(1), Decimal("1.0"), "1", b"1", (1,), [1], {1}, frozenset({1})]
    values += [
        0.0,
        -0.0,
        TWICE,
        TWICE.replace(fold=1),
        dt.datetime(2024, 1, 1),
        dt.date(2024, 1, 1),
    ]
    assert len({encode(value) for value in values}) == len(values)


# --- sets ----------------------------------------------------------------------------------------

ENCODE_SETS = """
from checkpoint._document.codec import encode
names = {str(n) * n for n in range(50)}
print(encode([names, frozenset(names), {(n, frozenset({n})) for n in names}]).hex())
"""


def test_equal_sets_are_equal_bytes_in_every_process() -> None:
    def encoded(seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.check_output([sys.executable, "-c", ENCODE_SETS], env=environment)

    assert encoded("1") == encoded("2") == encoded("3")


@examples(100)
@given(st.lists(st.integers() | st.text(), unique=True))
def test_a_set_has_the_same_bytes_however_it_was_made(members: list[int | str]) -> None:
    shrunk: set[object] = {*range(1000), *members}  # a larger table, in another order
    shrunk &= set(members)
    assert encode(shrunk) == encode(set(members))


# --- what is refused -----------------------------------------------------------------------------


class Pytz(dt.tzinfo):
    """A time zone that knows its offset and has no name to find it by."""

    def utcoffset(self, at: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    dst = utcoffset

    def tzname(self, at: dt.datetime | None) -> str:
        return "CET"


@pytest.mark.parametrize(
    "value",
    [print, object(), iter([1]), (n for n in "ab"), int, dt.datetime(2024, 1, 1, tzinfo=Pytz())],
    ids=["function", "object", "iterator", "generator", "class", "foreign time zone"],
)
def test_what_has_no_plain_form_is_refused_at_any_depth(value: object) -> None:
    for place in (value, [value], ([value],), {"a": {"b": value}}):
        with pytest.raises((TypeError, ValueError)):
            encode(place)


def test_a_refused_value_leaves_nothing_behind_for_the_next() -> None:
    pack = encoder()
    with pytest.raises((TypeError, ValueError)):
        pack([1, 2, print])
    assert pack([3]) == encode([3])


def test_a_list_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises((TypeError, ValueError, RecursionError)):
        encode(endless)


# --- bytes that are no document ------------------------------------------------------------------


def check_that_it_is_refused_or_a_document(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodeError:
        return
    assert same(decode(encode(value)), value)


@pytest.mark.promise("data-only")
@examples(1000)
@given(st.binary(max_size=60))
def test_garbage_is_a_document_or_a_decode_error_and_nothing_else(garbage: bytes) -> None:
    check_that_it_is_refused_or_a_document(garbage)
    with suppress(DecodeError):
        _, size = decode_first(garbage)
        check_that_it_is_refused_or_a_document(garbage[:size])


@pytest.mark.promise("data-only")
@examples(500)
@given(st.sampled_from(range(1, 11)), DOCUMENTS)
def test_an_extension_of_any_payload_is_a_value_or_a_decode_error(code: int, inner: Any) -> None:
    payload = encode(inner)
    size = len(payload).to_bytes(4, "big")
    check_that_it_is_refused_or_a_document(b"\xc9" + size + bytes((code,)) + payload)


@examples(300)
@given(DOCUMENTS, st.data())
def test_a_document_cut_short_is_a_decode_error(document: object, data: st.DataObject) -> None:
    encoded = encode(document)
    with pytest.raises(DecodeError):
        decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.promise("data-only")
@pytest.mark.parametrize("code", [0, 11, 127, 128, 254])
def test_an_unknown_extension_is_a_decode_error(code: int) -> None:
    with pytest.raises(DecodeError):
        decode(b"\xd4" + bytes((code, 0)))


@pytest.mark.parametrize(
    "claim",
    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\0\0\0"],
    ids=["array", "map", "bytes", "str"],
)
@pytest.mark.parametrize("read", [decode, decode_first])
def test_a_claim_of_gigabytes_is_refused_before_they_are_allocated(
    read: Callable[[bytes], object], claim: bytes
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            read(claim + b"\0")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


NEST = """
import sys
from checkpoint._document.codec import DecodeError, decode, encode

def extension(payload):
    return b"\\xc9" + len(payload).to_bytes(4, "big") + b"\\x01" + payload

for depths in map(int, sys.argv[1:]):
    bytes_, value = b"\\x91\\xc0", None
    for depth in range(depths):
        bytes_, value = extension(b"\\x91" + bytes_), (value,)
    for attempt in (lambda: decode(bytes_), lambda: decode(encode(value))):
        try:
            attempt()
        except (DecodeError, ValueError, RecursionError):
            pass
    print(depths, flush=True)
"""


def test_tuples_nested_too_deep_are_refused_and_do_not_crash_the_process() -> None:
    depths = ["100", "200", "230", "300", "2000"]
    command = [sys.executable, "-c", NEST, *depths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, depths)
