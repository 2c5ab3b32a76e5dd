"""Documents to bytes and back: MessagePack with a closed set of extension types.

A *document* is a tree of maps, lists and scalars. Besides what MessagePack knows (None, bool, int,
float, str, bytes, list, dict) it keeps tuples, sets, frozensets, integers of any size, Decimal,
UUID, datetime (naive, fixed offset or named zone), date, time and timedelta as what they are. The
format is https://github.com/msgpack/msgpack/blob/master/spec.md; extension types are listed in
:data:`_DECODERS`. Nothing here imports or calls a name found in the bytes.
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
"""How deep extension types (tuples, sets) may be nested in each other; lists and maps go deeper."""


NODE = 11
"""A part of a document that is kept apart; the payload is its place in a list of such parts."""


class Node:
    """A part of a document that is not encoded in place: see :mod:`checkpoint._document.items`."""

    __slots__ = ()


class DecodeError(ValueError):
    """Bytes that are not a document. Callers know where they came from and say so."""


class MissingTimeZone(DecodeError):
    """A document names a time zone that this host has no data for."""


def encode(value: object, nodes: list[Node] | None = None) -> bytes:
    """Encode a document, or a pydantic dump of one.

    Args:
        nodes: gets the nodes met, in order; without it, a node is an error.

    Values of declared types that have a plain form (enums, URLs, paths, deques …) are written in
    that form: whether they come back is for :mod:`checkpoint._state.fidelity` to prove, and not
    decided here.

    Raises:
        TypeError, ValueError: a value has no plain form, or it is nested too deep.

    Example:
        >>> decode(encode({"seen": {1, 2}, "at": (1, 2**70)}))
        {'seen': {1, 2}, 'at': (1, 1180591620717411303424)}
    """
    return encoder(nodes=nodes)(value)


def encoder(depth: int = 0, nodes: list[Node] | None = None) -> Callable[[object], bytes]:
    """Return an encode function that reuses its buffer; for one thread, many small values.

    Args:
        depth: how many extension types the values are inside of.
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

    pack: Callable[[object], bytes] = packer.pack  # nothing is left in it of a value that fails
    return pack


def decode(data: bytes | memoryview, nodes: Sequence[object] = ()) -> Any:
    """Decode one document; the inverse of :func:`encode`.

    Args:
        nodes: what to put where the document has its nodes.

    Raises:
        DecodeError: the bytes are no document, or are followed by more bytes.
    """
    try:
        return msgpack.unpackb(  # not by a partial(): that takes longer than a small value
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
        # msgpack and the extension decoders raise a dozen types on bad bytes; it is one thing.
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc


_EXACT = frozenset({str, int, float, bool, bytes, type(None)})


def is_exact(value: object) -> bool:
    """Whether a value that can be encoded is sure to come back as it is, by the types inside of it.

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
    """:func:`decode`, for what is inside of an extension type, and that inside of another.

    An Unpacker keeps its state on the heap; unpackb(), which is faster, needs 40 KB of the C stack,
    which extension types that are decoded within each other would run out of.
    """
    value, size = decode_first(data)
    if size != len(data):
        raise DecodeError(f"{len(data) - size} bytes follow the document")
    return value


def decode_shallow(data: bytes) -> Any:
    """:func:`decode`, for bytes without extension types, in less time.

    Raises:
        DecodeError: the bytes are no document, or are followed by more bytes.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as exc:  # as in decode
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc


def decode_first(data: bytes | memoryview) -> tuple[Any, int]:
    """Decode the document at the start of ``data``; return it and the number of bytes it took.

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
    """MessagePack's hook for what it does not know; what is returned is packed instead."""
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
    if isinstance(value, Iterator):  # asking for its plain form would use it up
        raise TypeError(f"a {kind.__name__} has no plain form")
    # What is inside of a container is plain in its own way, so only the container is made so here.
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


# Plain numbers and text, as times are made of: what is in them is no extension type itself, so the
# quick functions do, and bytes that say otherwise are no time.
_pack_flat: Callable[[object], bytes] = partial(
    msgpack.packb, strict_types=True, unicode_errors="surrogatepass"
)
_unpack_flat = partial(msgpack.unpackb, unicode_errors="surrogatepass")


def _zone(tz: dt.tzinfo | None) -> list[object]:
    """A time zone as data: nothing, an offset in µs with an optional name, or an IANA key."""
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
        f"a time zone of type {type(tz).__name__} would not come back; "
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
    # Sorted by their bytes, so that equal sets are equal bytes in every process.
    parts = sorted(map(encoder(depth), value))
    size: bytes = msgpack.Packer().pack_array_header(len(parts))
    return size + b"".join(parts)


def _encode_bigint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


# From a value, and how many extension types it and they are inside of, to the code and the payload.
_ENCODERS: dict[type, Callable[[Any, int], tuple[int, bytes]]] = {
    tuple: lambda v, depth: (TUPLE, encoder(depth)(list(v))),
    set: lambda v, depth: (SET, _encode_set(v, depth)),
    frozenset: lambda v, depth: (FROZENSET, _encode_set(v, depth)),
    int: lambda v, _: (BIGINT, _encode_bigint(v)),  # only those of more than 64 bits arrive here
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
