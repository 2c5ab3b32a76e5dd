"""Codec: encodes documents as MessagePack with a closed set of extension types.

A *document* is a tree of maps, lists and scalars. Besides MessagePack's own types (None, bool, int,
float, str, bytes, list, dict) it preserves tuples, sets, frozensets, integers of any size, Decimal,
UUID, datetime (naive, fixed offset or named zone), date, time and timedelta. The format is
https://github.com/msgpack/msgpack/blob/master/spec.md; extension types are listed in
:data:`_DECODERS`. Decoding never imports or calls a name found in the bytes.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack
from pydantic import BaseModel
from pydantic_core import TzInfo, to_jsonable_python

TUPLE, SET, FROZENSET, BIGINT, DECIMAL, UUID_, DATETIME, DATE, TIME, TIMEDELTA = range(1, 11)

_EPOCH = dt.datetime(1970, 1, 1)
_FIRST_DAY = _EPOCH.toordinal()
_DAY = 24 * 60 * 60 * 1_000_000  # microseconds
_MICROSECOND = dt.timedelta(microseconds=1)


_MAX_EXTENSIONS = 64
"""Maximum nesting of extension types (tuples, sets); lists and maps may be nested deeper."""


NODE = 11
"""Extension type of a node; the payload is its index in the list of nodes."""


class Node:
    """A part of a document that is encoded separately: see :mod:`checkpoint._document.items`."""

    __slots__ = ()


class DecodeError(ValueError):
    """The bytes are not a document. Callers add where the bytes came from."""


class MissingTimeZone(DecodeError):
    """A document names a time zone that this host has no data for."""


def encode(value: object, nodes: list[Node] | None = None) -> bytes:
    """Encode a document, or a pydantic dump of one.

    Args:
        nodes: receives the nodes found, in order; without it, a node is an error.

    Values of declared types with a plain form (enums, URLs, paths, deques …) are written in that
    form; :mod:`checkpoint._state.fidelity` proves whether they come back.

    Raises:
        TypeError, ValueError: a value has no plain form, or is nested too deep.

    Example:
        >>> decode(encode({"seen": {1, 2}, "at": (1, 2**70)}))
        {'seen': {1, 2}, 'at': (1, 1180591620717411303424)}
    """
    return encoder(nodes=nodes)(value)


def encoder(depth: int = 0, nodes: list[Node] | None = None) -> Callable[[object], bytes]:
    """Return an encode function that reuses its buffer, for many small values on one thread.

    Args:
        depth: number of extension types that enclose the values.
        nodes: see :func:`encode`.
    """

    def plain(value: Any) -> object:
        if nodes is not None and isinstance(value, Node):
            nodes.append(value)
            return msgpack.ExtType(NODE, (len(nodes) - 1).to_bytes(4, "big"))
        return _plain(value, depth)

    packer = msgpack.Packer(
        default=plain,
        strict_types=True,
        unicode_errors="surrogatepass",
        buf_size=4096,
    )

    pack: Callable[[object], bytes] = packer.pack  # a value that fails leaves nothing in the buffer
    return pack


def decode(data: bytes | memoryview, nodes: Sequence[object] = ()) -> Any:
    """Decode one document; the inverse of :func:`encode`.

    Args:
        nodes: the values of the document's nodes, in order.

    Raises:
        DecodeError: the bytes are not a document, or more bytes follow it.
    """
    try:
        return msgpack.unpackb(  # not through a partial(), which takes longer than a small value
            data,
            ext_hook=partial(_decode_node, nodes) if nodes else _decode_ext,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
    except msgpack.ExtraData as exc:
        raise DecodeError(f"{len(exc.extra)} bytes follow the document") from exc
    except DecodeError:
        raise
    except Exception as exc:
        # msgpack and the extension decoders raise a dozen types on bad bytes; callers get one.
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc


_EXACT = frozenset({str, int, float, bool, bytes, type(None)})


def is_exact(value: object) -> bool:
    """Whether an encodable value is certain to come back unchanged, judged by the types in it.

    Example:
        >>> is_exact({"seen": [1, None]}), is_exact({"seen": bytearray(b"x")})
        (True, False)
    """
    containers: list[Any] = [value]
    while containers:
        container = containers.pop()
        members = container
        if type(container) is dict:
            if not _EXACT.issuperset(map(type, container)):
                return False
            members = container.values()
        elif type(container) is not list:
            return False
        if not _EXACT.issuperset(map(type, members)):
            containers += [member for member in members if type(member) not in _EXACT]
    return True


def _decode_inside(data: bytes) -> Any:
    """:func:`decode` for the payload of an extension type, which may contain others.

    An Unpacker keeps its state on the heap. unpackb() is faster, but needs 40 KB of the C stack,
    which nested extension types would exhaust.
    """
    value, size = decode_first(data)
    if size != len(data):
        raise DecodeError(f"{len(data) - size} bytes follow the document")
    return value


def decode_shallow(data: bytes) -> Any:
    """A faster :func:`decode`, for bytes without extension types.

    Raises:
        DecodeError: the bytes are not a document, or more bytes follow it.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as exc:  # as in decode
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc


def decode_first(data: bytes | memoryview) -> tuple[Any, int]:
    """Decode the document at the start of ``data``; return it and its size in bytes.

    Raises:
        DecodeError: the bytes do not begin with a document.
    """
    try:
        unpacker = msgpack.Unpacker(
            ext_hook=_decode_ext,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            max_buffer_size=max(len(data), 1),
        )
        unpacker.feed(data)
        return unpacker.unpack(), unpacker.tell()
    except DecodeError:
        raise
    except Exception as exc:  # as in decode
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc


def _plain(value: Any, depth: int) -> object:
    """MessagePack's hook for types it does not support: returns a value to pack instead."""
    kind = type(value)
    if kind in _NATIVE or (kind is int and -(2**63) <= value < 2**64):
        return value
    if (to_ext := _ENCODERS.get(kind)) is not None:
        if depth >= _MAX_EXTENSIONS:
            raise ValueError("recursion limit exceeded")
        code, payload = to_ext(value, depth + 1)
        return msgpack.ExtType(code, payload)
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, Iterator):  # its plain form would exhaust it
        raise TypeError(f"a {kind.__name__} has no plain form")
    # Only the container is converted here: MessagePack calls the hook for each item in it.
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name, None) for name in kind.__dataclass_fields__}
    for container, make in _CONTAINERS:
        if isinstance(value, container):
            return _plain(make(value), depth)
    plain = to_jsonable_python(value)
    if type(plain) is kind:
        raise TypeError(f"a {kind.__name__} has no plain form")
    return plain


_NATIVE = frozenset({dict, list, str, bytes, float, bool, type(None)})
_CONTAINERS: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (BaseModel, dict),
    (Mapping, dict),
    (tuple, tuple),
    (list, list),
    (deque, list),
    (set, set),
    (frozenset, frozenset),
)


# Dates and times consist of numbers and text, never of extension types, so the faster functions
# will do; bytes with an extension type are not a time.
_pack_flat: Callable[[object], bytes] = partial(
    msgpack.packb, strict_types=True, unicode_errors="surrogatepass"
)
_unpack_flat = partial(msgpack.unpackb, unicode_errors="surrogatepass")


def _zone(tz: dt.tzinfo | None) -> list[object]:
    """A time zone as data: None, an offset in µs with an optional name, or an IANA key."""
    if tz is None:
        return [None]
    if type(tz) is ZoneInfo and tz.key is not None:
        return [tz.key]
    if type(tz) is dt.timezone or type(tz) is TzInfo:
        offset = cast("dt.timedelta", tz.utcoffset(None))
        plain = dt.timezone(offset)
        name = tz.tzname(None) if type(tz) is dt.timezone else None
        micros = offset // _MICROSECOND
        return [micros] if name in (None, plain.tzname(None)) else [micros, name]
    raise TypeError(
        f"a time zone of type {type(tz).__name__} cannot be saved; "
        f"use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _unzone(zone: list[Any]) -> dt.tzinfo | None:
    if zone[0] is None:
        return None
    if isinstance(zone[0], str):
        try:
            return ZoneInfo(zone[0])
        except ZoneInfoNotFoundError as exc:
            raise MissingTimeZone(
                f"this host has no data for the time zone {zone[0]!r}; install the package tzdata"
            ) from exc
    if zone == [0]:
        return dt.UTC
    return dt.timezone(zone[0] * _MICROSECOND, *zone[1:])


def _encode_datetime(value: dt.datetime) -> bytes:
    day = value.toordinal() - _FIRST_DAY
    micros = day * _DAY + _micros(value)
    return _pack_flat([micros, value.fold, *_zone(value.tzinfo)])


def _micros(value: dt.datetime | dt.time) -> int:
    """Microseconds since the start of the day, on the clock."""
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * 1_000_000 + value.microsecond


def _decode_datetime(payload: bytes) -> dt.datetime:
    micros, fold, *zone = _unpack_flat(payload)
    wall = _EPOCH + dt.timedelta(0, 0, micros)
    return wall.replace(fold=fold, tzinfo=_unzone(zone))


def _encode_time(value: dt.time) -> bytes:
    return _pack_flat([_micros(value), value.fold, *_zone(value.tzinfo)])


def _decode_time(payload: bytes) -> dt.time:
    micros, fold, *zone = _unpack_flat(payload)
    wall = _EPOCH + dt.timedelta(0, 0, micros)
    return wall.time().replace(fold=fold, tzinfo=_unzone(zone))


def _encode_set(value: set[object] | frozenset[object], depth: int) -> bytes:
    # Sorted by their encodings, so that equal sets have equal bytes in every process.
    parts = sorted(map(encoder(depth), value))
    size: bytes = msgpack.Packer().pack_array_header(len(parts))
    return size + b"".join(parts)


def _encode_bigint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


# Each function takes a value and the number of extension types around it, and returns the code and
# the payload.
_ENCODERS: dict[type, Callable[[Any, int], tuple[int, bytes]]] = {
    tuple: lambda v, depth: (TUPLE, encoder(depth)(list(v))),
    set: lambda v, depth: (SET, _encode_set(v, depth)),
    frozenset: lambda v, depth: (FROZENSET, _encode_set(v, depth)),
    int: lambda v, _: (BIGINT, _encode_bigint(v)),  # only those over 64 bits get here
    Decimal: lambda v, _: (DECIMAL, str(v).encode()),
    UUID: lambda v, _: (UUID_, v.bytes),
    dt.datetime: lambda v, _: (DATETIME, _encode_datetime(v)),
    dt.date: lambda v, _: (DATE, _pack_flat(v.toordinal())),
    dt.time: lambda v, _: (TIME, _encode_time(v)),
    dt.timedelta: lambda v, _: (TIMEDELTA, _pack_flat([v.days, v.seconds, v.microseconds])),
}

_DECODERS: dict[int, Callable[[bytes], object]] = {
    TUPLE: lambda b: tuple(_decode_inside(b)),
    SET: lambda b: set(_decode_inside(b)),
    FROZENSET: lambda b: frozenset(_decode_inside(b)),
    BIGINT: lambda b: int.from_bytes(b, "big", signed=True),
    DECIMAL: lambda b: Decimal(b.decode()),
    UUID_: lambda b: UUID(bytes=b),
    DATETIME: _decode_datetime,
    DATE: lambda b: dt.date.fromordinal(_unpack_flat(b)),
    TIME: _decode_time,
    TIMEDELTA: lambda b: dt.timedelta(*_unpack_flat(b)),
}


def _decode_node(nodes: Sequence[object], code: int, payload: bytes) -> object:
    if code != NODE:
        return _decode_ext(code, payload)
    return nodes[int.from_bytes(payload, "big")]


def _decode_ext(code: int, payload: bytes) -> object:
    if (from_ext := _DECODERS.get(code)) is None:
        raise DecodeError(f"extension type {code} is not known to this version")
    return from_ext(payload)
